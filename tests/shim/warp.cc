/* What the threads of a warp do together: votes, shuffles, matrices, __syncwarp and its clocks. */
#include "engine.h"

namespace zh_shim {

static const char *meeting_name(meeting_kind kind) {
  static const char *const names[] = {"__syncwarp",       "a shuffle",       "__ballot_sync",
                                      "__any_sync",       "__all_sync",      "__match_any_sync",
                                      "zh_load_matrices", "a matrix product"};
  return names[kind];
}

static block_warp &warp_of(unsigned thread) {
  return block.warp[thread / WARP];
}

/* --- clocks: which threads of a warp are ordered by __syncwarp, since the last block barrier ---
 */

unsigned lane_clock(unsigned thread) {
  const block_warp &w = warp_of(thread);
  return w.clocks_epoch == now.epoch ? w.clocks[thread % WARP][thread % WARP] : 1;
}

bool ordered_within_warp(unsigned thread, unsigned clock) {
  const block_warp &w = warp_of(thread);
  return w.clocks_epoch == now.epoch && w.clocks[now.thread % WARP][thread % WARP] >= clock;
}

static void order_lanes(block_warp &w, unsigned lanes) {
  uint16_t known[WARP] = {0};
  if (w.clocks_epoch != now.epoch) {
    memset(w.clocks, 0, sizeof w.clocks);
    for (unsigned i = 0; i < WARP; i++) w.clocks[i][i] = 1;
    w.clocks_epoch = now.epoch;
  }
  for (unsigned i = 0; i < WARP; i++)
    for (unsigned j = 0; j < WARP && lanes >> i & 1; j++)
      if (known[j] < w.clocks[i][j]) known[j] = w.clocks[i][j];
  for (unsigned i = 0; i < WARP; i++) {
    if (!(lanes >> i & 1)) continue;
    memcpy(w.clocks[i], known, sizeof known);
    if (w.clocks[i][i] < UINT16_MAX) w.clocks[i][i]++;
  }
}

/* --- meetings --- */

static const offer *offer_of(unsigned first, unsigned lane) {
  return block.thread[first + lane].mine;
}

static uint64_t value_from(unsigned first, unsigned lanes, unsigned lane) {
  const offer *mine = offer_of(first, lane);
  if (lanes >> mine->from & 1) return offer_of(first, (unsigned)mine->from)->value;
  fault("no lane", mine->where, "lane %u takes its value from lane %d, which does not take part",
        lane, mine->from);
  return 0;
}

/* Which lanes of a meeting have what `is` says. */
template <class Is> static uint64_t lanes_where(unsigned first, unsigned lanes, Is is) {
  uint64_t set = 0;
  for (unsigned i = 0; i < WARP; i++)
    if (lanes >> i & 1 && is(offer_of(first, i)->value)) set |= (uint64_t)1 << i;
  return set;
}

static void give_results(unsigned first, unsigned lanes, meeting_kind kind) {
  uint64_t votes = 0;
  if (kind == BALLOT || kind == ANY || kind == ALL)
    votes = lanes_where(first, lanes, [](uint64_t v) { return v != 0; });
  if (kind == ANY) votes = votes != 0;
  if (kind == ALL) votes = votes == lanes;
  for (unsigned i = 0; i < WARP; i++) {
    if (!(lanes >> i & 1)) continue;
    uint64_t own = offer_of(first, i)->value;
    block.thread[first + i].result =
        kind == SHUFFLE ? value_from(first, lanes, i)
        : kind == MATCH ? lanes_where(first, lanes, [own](uint64_t v) { return v == own; })
                        : votes;
  }
}

static void matrices_together(unsigned first, unsigned lanes) {
  offer *all[WARP];
  if (lanes != 0xFFFFFFFFu) {
    fault("part of a warp", offer_of(first, (unsigned)__builtin_ctz(lanes))->where,
          "%s takes all 32 threads of a warp, not those of mask 0x%08X",
          meeting_name(offer_of(first, (unsigned)__builtin_ctz(lanes))->kind), lanes);
    return;
  }
  for (unsigned i = 0; i < WARP; i++) all[i] = block.thread[first + i].mine;
  all[0]->together(all);
}

static void hold(unsigned first, unsigned lanes) {
  const offer *any = offer_of(first, (unsigned)__builtin_ctz(lanes));
  if (any->kind == SYNCWARP) order_lanes(block.warp[first / WARP], lanes);
  if (any->together) matrices_together(first, lanes);
  give_results(first, lanes, any->kind);
  block.warp[first / WARP].waiting &= ~lanes;
  for (unsigned i = 0; i < WARP; i++)
    if (lanes >> i & 1) make_ready(first + i);
}

/* Whether those who wait are there for the same thing. A lane of another mask may still come. */
static bool agree(unsigned first, unsigned lanes, const offer &mine) {
  for (unsigned i = 0; i < WARP; i++)
    if (lanes >> i & 1 && offer_of(first, i)->mask != mine.mask) return false;
  for (unsigned i = 0; i < WARP; i++) {
    if (!(lanes >> i & 1)) continue;
    const offer *o = offer_of(first, i);
    if (o->where.line != mine.where.line || o->kind != mine.kind)
      fault("different meetings", mine.where, "%s meets lane %u in %s of line %d",
            meeting_name(mine.kind), i, meeting_name(o->kind), o->where.line);
    if (o->kind != mine.kind) return false;
  }
  return true;
}

/* Holds the meeting that a mask names where all of it that have not returned are there. */
static void try_meeting(unsigned first, unsigned mask) {
  const block_warp &w = block.warp[first / WARP];
  unsigned lanes = mask & w.alive;
  if (!lanes || (w.waiting & lanes) != lanes) return;
  if (agree(first, lanes, *offer_of(first, (unsigned)__builtin_ctz(lanes)))) hold(first, lanes);
}

uint64_t meet_warp(offer &mine) {
  unsigned thread = now.thread, lane = thread % WARP;
  block_thread &me = block.thread[thread];
  if (!(mine.mask >> lane & 1)) {
    fault("not in mask", mine.where, "%s of mask 0x%08X, in which lane %u is missing",
          meeting_name(mine.kind), mine.mask, lane);
    stop_block();
  }
  me.mine = &mine;
  me.where = mine.where;
  me.state = IN_WARP;
  warp_of(thread).waiting |= 1u << lane;
  try_meeting(thread - lane, mine.mask);
  wait_for_turn();
  return me.result;
}

void lane_left(unsigned thread) {
  block_warp &w = warp_of(thread);
  unsigned first = thread / WARP * WARP;
  w.alive &= ~(1u << thread % WARP);
  for (unsigned i = 0; i < WARP; i++)
    if (w.waiting >> i & 1) try_meeting(first, offer_of(first, i)->mask);
}

unsigned lanes_alive() {
  return warp_of(now.thread).alive;
}

/* The first lane of the mask that is not there, or is there for another mask. */
static int lane_that_lacks(const block_warp &w, unsigned first, const offer &o) {
  for (unsigned i = 0; i < WARP; i++)
    if (o.mask & w.alive & 1u << i && (!(w.waiting >> i & 1) || offer_of(first, i)->mask != o.mask))
      return (int)i;
  return -1;
}

void describe_meeting(std::string &text, unsigned thread) {
  const offer &o = *block.thread[thread].mine;
  unsigned first = thread / WARP * WARP;
  int lacks = lane_that_lacks(warp_of(thread), first, o);
  char mask[16];
  snprintf(mask, sizeof mask, "0x%08X", o.mask);
  text += "thread " + thread_name(thread) + " waits in " + meeting_name(o.kind) + " of line " +
          std::to_string(o.where.line) + " for all of mask " + mask;
  if (lacks >= 0) text += ", where thread " + thread_name(first + (unsigned)lacks) + " never comes";
}

} // namespace zh_shim
