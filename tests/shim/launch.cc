/* One launch: its blocks in a drawn order, and the shared memory of each. */
#include <map>

#include "engine.h"

namespace zh_shim {

static const kernel_launch *current;
static std::map<any_function, size_t> dynamic_allowed; /* cudaFuncSetAttribute */

const kernel_launch *current_launch() {
  return current;
}

/* --- shared memory: the dynamic part, then what is declared, in the order it is met --- */

struct declared {
  const void *key;
  size_t at, bytes;
};
static std::vector<declared> stores;
static size_t declared_bytes;

static size_t rounded(size_t bytes) {
  return (bytes + 15) / 16 * 16;
}

unsigned char *dynamic_store(size_t *bytes) {
  *bytes = current->shape.shared_bytes;
  return now.shared;
}

static const declared &declare(const void *key, const char *name, size_t bytes) {
  for (const declared &d : stores)
    if (d.key == key) return d;
  size_t at = rounded(current->shape.shared_bytes) + declared_bytes;
  if (declared_bytes + bytes > STATIC_SHARED_MAX || at + bytes > shared_limit()) {
    fault("too much shared", site{nullptr, 0},
          "shared memory '%s' of %zu bytes: with %zu others declared and %zu dynamic ones that is "
          "more than %d declared or %zu in all",
          name, bytes, declared_bytes, current->shape.shared_bytes, STATIC_SHARED_MAX,
          shared_limit());
    stop_block();
  }
  stores.push_back(declared{key, at, bytes});
  declared_bytes += rounded(bytes);
  return stores.back();
}

void *store_of(const void *key, const char *name, size_t bytes, const unsigned char **high) {
  const declared &d = declare(key, name, bytes);
  *high = now.shared + d.at + d.bytes;
  return now.shared + d.at;
}

void bad_part(size_t offset, size_t bytes, size_t have, size_t align) {
  fault("part", site{nullptr, 0},
        "a part of %zu bytes from byte %zu on, aligned to %zu, of %zu bytes of shared memory",
        bytes, offset, align, have);
  stop_block();
}

/* --- configuration --- */

static bool is_possible(const launch_shape &s) {
  uint64_t threads = (uint64_t)s.block.x * s.block.y * s.block.z;
  return s.block.x >= 1 && s.block.y >= 1 && s.block.z >= 1 && s.block.z <= 64 &&
         threads <= THREADS_MAX && s.grid.x >= 1 && s.grid.x <= 0x7FFFFFFFu && s.grid.y >= 1 &&
         s.grid.y <= 65535 && s.grid.z >= 1 && s.grid.z <= 65535;
}

static size_t dynamic_limit(any_function function) {
  auto found = dynamic_allowed.find(function);
  return found == dynamic_allowed.end() ? (size_t)STATIC_SHARED_MAX : found->second;
}

static int blocks_of_one(unsigned threads, size_t shared_bytes) {
  int count = THREADS_OF_ONE / (int)threads;
  if (shared_bytes && shared_limit() / shared_bytes < (size_t)count)
    count = (int)(shared_limit() / shared_bytes);
  return count;
}

static int blocks_at_once(const launch_shape &s) {
  return MULTIPROCESSORS * blocks_of_one(s.block.x * s.block.y * s.block.z, s.shared_bytes);
}

static bool may_live_at_once(const launch_shape &s) {
  return (uint64_t)s.grid.x * s.grid.y * s.grid.z <= (uint64_t)blocks_at_once(s);
}

void enqueue_launch(const launch_shape &shape, cudaStream_t stream, std::function<void()> thread) {
  std::lock_guard<std::recursive_mutex> lock(gate);
  if (!is_possible(shape)) {
    complain(cudaErrorInvalidConfiguration,
             "kernel '%s' with %u x %u x %u blocks of %u x %u x %u threads", shape.name,
             shape.grid.x, shape.grid.y, shape.grid.z, shape.block.x, shape.block.y, shape.block.z);
    return;
  }
  if (shape.shared_bytes > dynamic_limit(shape.function)) {
    complain(cudaErrorInvalidValue,
             "kernel '%s' with %zu bytes of dynamic shared memory; %zu were allowed", shape.name,
             shape.shared_bytes, dynamic_limit(shape.function));
    return;
  }
  if (shape.together && !may_live_at_once(shape)) {
    complain(cudaErrorCooperativeLaunchTooLarge,
             "kernel '%s' with %u x %u x %u blocks at once, of which %d fit", shape.name,
             shape.grid.x, shape.grid.y, shape.grid.z, blocks_at_once(shape));
    return;
  }
  auto work = std::make_shared<kernel_launch>(kernel_launch{shape, std::move(thread)});
  enqueue(stream, [work] { run_unless_lost(*work); });
}

cudaError_t set_attribute(any_function function, cudaFuncAttribute which, int value) {
  std::lock_guard<std::recursive_mutex> lock(gate);
  if (which != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || (size_t)value > shared_limit())
    return complain(cudaErrorInvalidValue, "%d bytes of dynamic shared memory; a block has %zu",
                    value, shared_limit());
  dynamic_allowed[function] = (size_t)value;
  return cudaSuccess;
}

cudaError_t blocks_that_fit(int *out, any_function function, int threads, size_t shared_bytes) {
  std::lock_guard<std::recursive_mutex> lock(gate);
  *out = 0;
  if (threads < 1 || threads > THREADS_MAX) return failed(cudaErrorInvalidValue);
  if (shared_bytes > dynamic_limit(function)) return cudaSuccess;
  *out = blocks_of_one((unsigned)threads, shared_bytes);
  return cudaSuccess;
}

/* --- running --- */

static std::vector<uint32_t> drawn_order(size_t count) {
  std::vector<uint32_t> order(count);
  for (size_t i = 0; i < count; i++) {
    size_t j = drawn((uint32_t)(i + 1));
    order[i] = order[j];
    order[j] = (uint32_t)i;
  }
  return order;
}

void run_launch(const kernel_launch &work) {
  const launch_shape &s = work.shape;
  size_t before = faults();
  current = &work;
  gridDim = s.grid;
  blockDim = s.block;
  stores.clear();
  declared_bytes = 0;
  shared_reset();
  begin_blocks();
  std::vector<uint3> places;
  size_t blocks = (size_t)s.grid.x * s.grid.y * s.grid.z;
  bool skips = skips_last_block(s);
  for (uint32_t b : drawn_order(blocks))
    if (!skips || b + 1 < blocks)
      places.push_back(uint3{b % s.grid.x, b / s.grid.x % s.grid.y, b / s.grid.x / s.grid.y});
  if (s.together) run_blocks_together(work, places);
  for (size_t i = 0; i < places.size() && !s.together && faults() == before; i++)
    run_block(work, places[i]);
  current = nullptr;
  if (faults() > before) lose(cudaErrorLaunchFailure);
}

} // namespace zh_shim
