/* The blocks of a launch in the order they began, which epochs are whose, and what of the others
 * the running one has seen: by an atomic on what another had changed by an atomic, all that came
 * before the fence in front of that. */
#include <unordered_map>

#include "engine.h"
#include "shim_math.h"
#include "shim_atomics.h"

namespace zh_shim {

static uint32_t epochs;             /* over all launches */
static std::vector<uint3> places;   /* [block] */
static std::vector<uint32_t> owner; /* [epoch of this launch]: block */

struct release {
  uint64_t launch = 0;
  std::unordered_map<size_t, std::vector<uint32_t>> at; /* [byte of the allocation][block] */
};

void begin_blocks() {
  places.clear();
  owner.clear();
  now.launch++;
  if (epochs > 0xFF000000u) {
    stamps_reset_all();
    epochs = 0;
  }
  now.launch_epoch = now.epoch = ++epochs;
}

void new_epoch() {
  now.epoch = ++epochs;
  owner.push_back(block.number);
}

void begin_block(uint3 at) {
  block.at = at;
  block.number = (uint32_t)places.size();
  block.seen.clear();
  places.push_back(at);
  new_epoch();
  now.block_epoch = now.epoch;
}

static uint32_t owner_of(uint32_t epoch) {
  return owner[epoch - now.launch_epoch - 1];
}

bool is_of_other_block(uint32_t epoch) {
  return epoch != now.epoch && owner_of(epoch) != block.number;
}

uint3 block_of_epoch(uint32_t epoch) {
  return places[owner_of(epoch)];
}

bool block_was_seen(uint32_t epoch) {
  uint32_t number = owner_of(epoch);
  return number < block.seen.size() && epoch <= block.seen[number];
}

static void unite(std::vector<uint32_t> &to, const std::vector<uint32_t> &from) {
  if (to.size() < from.size()) to.resize(from.size());
  for (size_t i = 0; i < from.size(); i++)
    if (to[i] < from[i]) to[i] = from[i];
}

void note_fence() {
  block.thread[now.thread].fenced = now.epoch;
  if (!now.together) return;
  new_epoch();
  refresh_stamp();
}

void note_atomic(const memory *of, const unsigned char *at) {
  memory *m = const_cast<memory *>(of);
  uint32_t tells = block.thread[now.thread].fenced;
  if (!m->releases) {
    if (!tells) return;
    m->releases = new release();
  }
  if (m->releases->launch != now.launch) m->releases->at.clear();
  m->releases->launch = now.launch;
  std::vector<uint32_t> &told = m->releases->at[(size_t)(at - m->bytes)];
  unite(block.seen, told);
  if (!tells) return;
  unite(told, block.seen);
  if (told.size() <= block.number) told.resize(block.number + 1);
  if (told[block.number] < tells) told[block.number] = tells;
}

} // namespace zh_shim
