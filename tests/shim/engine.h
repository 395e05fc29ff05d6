/* What the shim's own sources share; kernels never see it. */
#ifndef ZH_TESTS_SHIM_ENGINE_H
#define ZH_TESTS_SHIM_ENGINE_H

#include <functional>
#include <memory>
#include <mutex>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <string>
#include <vector>

#define ZH_DEVICE inline
#include "shim_types.h"
#include "shim_runtime.h"
#include "shim_watch.h"
#include "shim_pointers.h"
#include "shim_block.h"

namespace zh_shim {

enum { WARP = 32, THREADS_MAX = 1024, STATIC_SHARED_MAX = 48 << 10, SHARED_ARENA = 256 << 10 };
enum { MULTIPROCESSORS = 4, THREADS_OF_ONE = 1536 };

/* --- fibre.cc: stacks that are switched between --- */

struct stack {
  void *top_of_stack; /* while it does not run */
  unsigned char *low; /* NULL: the host's own */
  size_t bytes;
  void *asan, *tsan;
};
stack *stack_new(unsigned number);
void stack_begin(stack *s, void (*entry)()); /* entry never returns; it calls stack_arrived first */
void stack_arrived();
void stack_switch(stack *from, stack *to, bool forever);
void stack_take_host(stack *host);

/* --- random.cc: one stream of numbers for all orders --- */

void seed_orders(uint64_t seed);
uint32_t drawn(uint32_t below);

/* --- launch.cc, block.cc, warp.cc --- */

struct kernel_launch {
  launch_shape shape;
  std::function<void()> thread;
};
void run_launch(const kernel_launch &work);
void run_unless_lost(const kernel_launch &work);
const kernel_launch *current_launch();

/* --- harm.cc --- */

bool skips_last_block(const launch_shape &s);
extern const unsigned dropped_sum_bits; /* of the fraction of a matrix product's sum; 0: none */
float coarse_sum(float sum);
inline float kept_sum(float sum) {
  return dropped_sum_bits ? coarse_sum(sum) : sum;
}

enum thread_state : uint8_t { WAITS_FOR_ITS_TURN, IN_BLOCK_BARRIER, IN_WARP, GONE };
/* 16 bytes that zh_copy_async has announced. */
struct pending_copy {
  unsigned char *to;
  shared_space to_space;
  const unsigned char *from; /* NULL: zeros */
  const memory *from_memory;
  unsigned group;
  site where;
};
struct block_thread {
  thread_state state;
  stack *on;
  site where; /* it waits */
  offer *mine;
  uint64_t result;
  std::vector<struct pending_copy> copies;
  unsigned groups; /* of copies that were committed */
  uint32_t fenced; /* the epoch of its last fence, 0: none */
};
struct block_warp {
  unsigned alive, waiting;
  uint32_t clocks_epoch;       /* in which `clocks` holds; else all are new */
  uint16_t clocks[WARP][WARP]; /* [lane][of lane]: what it knows of the others */
};
struct block_run {
  const kernel_launch *work;
  uint3 at;
  uint32_t number; /* in the order in which blocks began */
  unsigned threads, alive, in_barrier;
  bool stopped;
  site barrier;
  std::vector<block_thread> thread;
  std::vector<block_warp> warp;
  std::vector<uint16_t> ready;
  std::vector<uint32_t> seen; /* [block]: up to which epoch what it did comes before this one */
};
extern block_run block;
void run_block(const kernel_launch &work, uint3 at);
/* All of them at once: one goes on where another waits. */
void run_blocks_together(const kernel_launch &work, const std::vector<uint3> &places);
std::string describe_blocks(); /* that live at once: what the others do */
void refresh_stamp();          /* of the running thread, in another epoch */
void wait_for_turn();          /* the running thread's state says for what */
void make_ready(unsigned thread);
void stop_block(); /* called by a thread whose access must not happen: never returns */
void lane_left(unsigned thread);
unsigned lane_clock(unsigned thread);
bool ordered_within_warp(unsigned thread, unsigned clock);
void describe_meeting(std::string &text, unsigned thread);

/* --- report.cc --- */

std::string thread_name(unsigned thread); /* "(5,0,0)" */
std::string block_name(uint3 at);
/* One line; at most a few a launch, and one for each line of source and kind of fault. */
void fault(const char *kind, const site &where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void fault_of_launch(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fault_of_call(const char *text);
size_t faults();
const std::string &first_fault();
void forget_faults();

/* --- blocks.cc, watch.cc --- */

void begin_blocks(); /* of a launch */
void begin_block(uint3 at);
void new_epoch();                       /* of the running block */
bool is_of_other_block(uint32_t epoch); /* epochs: of this launch */
uint3 block_of_epoch(uint32_t epoch);
bool block_was_seen(uint32_t epoch);
void shared_reset();               /* made at the first launch */
void shared_of_block(size_t slot); /* of blocks that live at once each has its own */
void stamps_reset_all();           /* epochs begin anew */

/* --- hopper.cc --- */

void begin_hopper(unsigned threads); /* of a block */
void end_hopper();
extern bool plays_hopper; /* the block has barriers that count */
void note_shared_write(const unsigned char *at, size_t bytes);

/* --- memory.cc --- */

memory *memory_new(size_t bytes, bool pinned);
memory *memory_of_others(unsigned char *contents, size_t bytes); /* mapped; gets an address here */
memory *memory_exact(uintptr_t address);                         /* that begins there, NULL: none */
void memory_free(memory *m);
bool is_device_address(const void *address);
size_t memory_limit();
size_t memory_used();
size_t shared_limit();
void all_memories(const std::function<void(memory *)> &each);

/* --- processes.cc --- */

bool allowed_among_processes(const memory *of, const unsigned char *at, size_t bytes, access kind,
                             const site &where);
bool is_of_others(const memory *m);
void shared_release(memory *m);

/* --- errors.cc --- */

extern std::recursive_mutex gate;
cudaError_t failed(cudaError_t status); /* keeps it for cudaGetLastError */
cudaError_t complain(cudaError_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
std::string complaint(); /* the last */
cudaError_t lost();      /* why no call works any more, or cudaSuccess */
void lose(cudaError_t status);
void forget_loss();

/* --- stream.cc --- */

void drain_all();
bool forbidden_by_capture();            /* of what waits; and spoils the capture */
bool allocation_forbidden_by_capture(); /* not in relaxed mode */
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

} // namespace zh_shim

#endif
