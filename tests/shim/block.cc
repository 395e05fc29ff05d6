/* The threads of one block, each on a stack of its own, in a drawn order between barriers. */
#include "engine.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace zh_shim {

running now;
block_run block;
/* Where blocks live at once, about so many barriers of one go by before another goes on. */
enum { BARRIERS_OF_A_TURN = 4 };

static stack host;
static std::vector<stack *> &stacks = *new std::vector<stack *>(); /* never destroyed */
static std::vector<stack *> unused;

static stack *take_stack() {
  if (unused.empty()) {
    stacks.push_back(stack_new((unsigned)stacks.size()));
    unused.push_back(stacks.back());
  }
  stack *s = unused.back();
  unused.pop_back();
  return s;
}

void refresh_stamp() {
  unsigned t = now.thread;
  now.stamp = (uint64_t)now.epoch << 32 | (uint64_t)lane_clock(t) << 16 | t << 5;
}

static void become(unsigned thread) {
  dim3 b = blockDim;
  now.thread = thread;
  refresh_stamp();
  threadIdx = uint3{thread % b.x, thread / b.x % b.y, thread / (b.x * b.y)};
}

void make_ready(unsigned thread) {
  block.thread[thread].state = WAITS_FOR_ITS_TURN;
  block.ready.push_back((uint16_t)thread);
}

/* The thread whose turn is next, or -1: none can go on. */
static int next_thread() {
  if (block.stopped || block.ready.empty()) return -1;
  uint32_t k = drawn((uint32_t)block.ready.size());
  unsigned thread = block.ready[k];
  block.ready[k] = block.ready.back();
  block.ready.pop_back();
  return (int)thread;
}

static void release_barrier() {
  new_epoch();
  block.in_barrier = 0;
  for (unsigned t = 0; t < block.threads; t++)
    if (block.thread[t].state == IN_BLOCK_BARRIER) make_ready(t);
}

static void thread_left() {
  unsigned t = now.thread;
  block.thread[t].state = GONE;
  block.thread[t].on = nullptr;
  block.alive--;
  lane_left(t);
  if (block.alive > 0 && block.in_barrier == block.alive) release_barrier();
}

/* Runs threads that have not begun on one stack until another stack must go on. */
static void run_threads() {
  stack_arrived();
  stack *here = block.thread[now.thread].on;
  for (;;) {
    block.work->thread();
    thread_left();
    int next = next_thread();
    if (next >= 0) become((unsigned)next);
    if (next >= 0 && !block.thread[next].on) {
      block.thread[next].on = here;
      continue;
    }
    unused.push_back(here);
    stack_switch(here, next >= 0 ? block.thread[next].on : &host, true);
  }
}

static stack *stack_of(unsigned thread) {
  block_thread &t = block.thread[thread];
  if (!t.on) {
    t.on = take_stack();
    stack_begin(t.on, run_threads);
  }
  return t.on;
}

static void leave(bool forever) {
  stack *here = block.thread[now.thread].on;
  int next = forever ? -1 : next_thread();
  if (next < 0) {
    stack_switch(here, &host, forever);
    return;
  }
  become((unsigned)next);
  stack *there = stack_of((unsigned)next);
  if (there != here) stack_switch(here, there, false);
}

void wait_for_turn() {
  leave(false);
}

/* To another block, where they live at once. */
static void leave_block() {
  stack_switch(block.thread[now.thread].on, &host, false);
}

void give_way() {
  make_ready(now.thread);
  if (now.together)
    leave_block();
  else
    leave(false);
}

void stop_block() {
  block.stopped = true;
  leave(true);
}

void give_up(const site &where) {
  fault("gives up", where, "gives up: what it waits for does not come");
  stop_block();
}

static bool same_site(const site &a, const site &b) {
  return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

void meet_block(const site &where) {
  block_thread &mine = block.thread[now.thread];
  mine.where = where;
  mine.state = IN_BLOCK_BARRIER;
  if (block.in_barrier++ == 0) block.barrier = where;
  if (!same_site(block.barrier, where))
    fault("two barriers", where, "waits at one __syncthreads while others wait at that of line %d",
          block.barrier.line);
  bool all = block.in_barrier == block.alive;
  if (all) release_barrier();
  if (all && now.together && drawn(BARRIERS_OF_A_TURN) == 0)
    leave_block();
  else
    leave(false);
}

static std::string place_of(const site &where) {
  const char *slash = strrchr(where.file, '/');
  return std::string(slash ? slash + 1 : where.file) + ":" + std::to_string(where.line);
}

/* No thread can go on: says of one at each kind of place where it waits. */
static void report_standstill() {
  std::string text;
  unsigned in_barrier = 0, in_warp = 0, first_in_barrier = 0, first_in_warp = 0;
  for (unsigned t = block.threads; t-- > 0;) {
    if (block.thread[t].state == IN_BLOCK_BARRIER) in_barrier++, first_in_barrier = t;
    if (block.thread[t].state == IN_WARP) in_warp++, first_in_warp = t;
  }
  if (in_barrier)
    text += "thread " + thread_name(first_in_barrier) + " (one of " + std::to_string(in_barrier) +
            ") waits at __syncthreads of " + place_of(block.thread[first_in_barrier].where) +
            ", which not all of the block's " + std::to_string(block.alive) + " threads reach";
  if (in_warp) {
    if (in_barrier) text += "; ";
    describe_meeting(text, first_in_warp);
  }
  fault_of_launch("%s", text.c_str());
}

static void begin_threads(const kernel_launch &work) {
  dim3 b = work.shape.block;
  block.work = &work;
  block.threads = block.alive = b.x * b.y * b.z;
  block.in_barrier = 0;
  block.stopped = false;
  block.thread.resize(THREADS_MAX);
  block.warp.resize(THREADS_MAX / WARP);
  block.ready.clear();
  for (unsigned t = 0; t < block.threads; t++) {
    block.thread[t].on = nullptr;
    block.thread[t].groups = 0;
    block.thread[t].fenced = 0;
    block.thread[t].copies.clear();
    make_ready(t);
  }
  for (unsigned w = 0; w * WARP < block.threads; w++) {
    unsigned lanes = block.threads - w * WARP;
    block.warp[w].alive = lanes >= WARP ? 0xFFFFFFFFu : (1u << lanes) - 1u;
    block.warp[w].waiting = 0;
    block.warp[w].clocks_epoch = 0;
  }
}

static void begin(const kernel_launch &work, uint3 at) {
  blockIdx = at;
  begin_block(at);
  begin_threads(work);
  begin_hopper(block.threads);
}

/* Until no thread of it can go on, or (where they live at once) another block's turn comes. */
static void go_on() {
  int first = next_thread();
  if (first < 0) return;
  become((unsigned)first);
  stack_switch(&host, stack_of((unsigned)first), false);
}

static void end() {
  for (unsigned t = 0; t < block.threads; t++)
    if (block.thread[t].state != GONE && block.thread[t].on) unused.push_back(block.thread[t].on);
}

void run_block(const kernel_launch &work, uint3 at) {
  now.together = false;
  begin(work, at);
  stack_take_host(&host);
  go_on();
  if (block.alive > 0 && !block.stopped) report_standstill();
  if (block.alive == 0) end_hopper();
  end();
}

/* --- blocks that live at once --- */

/* A block while another one runs. */
struct block_life {
  block_run run;
  uint32_t epoch, block_epoch;
  size_t slot; /* of shared memory */
};
static std::vector<block_life> lives;

static void exchange(block_life &life) {
  std::swap(block, life.run);
  std::swap(now.epoch, life.epoch);
  std::swap(now.block_epoch, life.block_epoch);
}

/* Whether it lives on. */
static bool take_turn(block_life &life) {
  exchange(life);
  blockIdx = block.at;
  shared_of_block(life.slot);
  go_on();
  if (block.alive > 0 && !block.stopped && block.ready.empty()) {
    report_standstill();
    block.stopped = true;
  }
  bool lives_on = block.alive > 0 && !block.stopped;
  if (!lives_on) end();
  exchange(life);
  return lives_on;
}

std::string describe_blocks() {
  std::string text;
  for (const block_life &life : lives) {
    if (life.run.number == block.number || life.run.work != block.work) continue; /* it runs */
    text += text.empty() ? "; block " : ", block ";
    text += block_name(life.run.at);
    if (life.run.alive == 0)
      text += " has ended";
    else if (life.run.in_barrier > 0)
      text += " waits at " + place_of(life.run.barrier);
    else
      text += " goes round";
  }
  return text;
}

void run_blocks_together(const kernel_launch &work, const std::vector<uint3> &places) {
  size_t before = faults();
  std::vector<size_t> alive;
  lives = std::vector<block_life>(places.size());
  now.together = true;
  stack_take_host(&host);
  for (size_t i = 0; i < places.size(); i++) {
    exchange(lives[i]);
    begin(work, places[i]);
    exchange(lives[i]);
    lives[i].slot = i;
    alive.push_back(i);
  }
  while (!alive.empty() && faults() == before) {
    size_t k = drawn((uint32_t)alive.size());
    if (take_turn(lives[alive[k]])) continue;
    alive[k] = alive.back();
    alive.pop_back();
  }
  for (size_t i : alive) { /* that a fault left where they were */
    exchange(lives[i]);
    end();
    exchange(lives[i]);
  }
  lives.clear();
  now.together = false;
}

} // namespace zh_shim
