/* The blocks of a launch in the order they ran, and which of them the running one has seen: by an
 * atomic on what the other, after a fence, had changed by an atomic. */
#include <unordered_map>

#include "engine.h"
#include "shim_math.h"
#include "shim_atomics.h"

namespace zh_shim {

struct begun {
  uint32_t epoch;
  uint3 at;
};
static std::vector<begun> blocks; /* of this launch, in the order they ran */
typedef std::vector<uint64_t> block_set;
static block_set seen; /* by the block that runs */

struct release {
  uint64_t launch = 0;
  std::unordered_map<size_t, block_set> at; /* [byte of the allocation] */
};

void begin_blocks() {
  blocks.clear();
  now.launch++;
  now.launch_epoch = ++now.epoch;
  if (now.epoch > 0xFF000000u) stamps_reset_all();
}

void begin_block(uint3 at) {
  now.block_epoch = ++now.epoch;
  blocks.push_back(begun{now.epoch, at});
  seen.clear();
}

static size_t number_of(uint32_t epoch) {
  size_t low = 0, high = blocks.size();
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    (blocks[middle].epoch <= epoch ? low : high) = middle;
  }
  return low;
}

uint3 block_of_epoch(uint32_t epoch) {
  return blocks[number_of(epoch)].at;
}

bool block_was_seen(uint32_t epoch) {
  size_t n = number_of(epoch);
  return n / 64 < seen.size() && (seen[n / 64] >> n % 64 & 1);
}

static void unite(block_set &to, const block_set &from) {
  if (to.size() < from.size()) to.resize(from.size());
  for (size_t i = 0; i < from.size(); i++) to[i] |= from[i];
}

void note_fence() {
  block.thread[now.thread].has_fenced = true;
}

void note_atomic(const memory *of, const unsigned char *at) {
  memory *m = const_cast<memory *>(of);
  bool tells = block.thread[now.thread].has_fenced;
  if (!m->releases) {
    if (!tells) return;
    m->releases = new release();
  }
  if (m->releases->launch != now.launch) m->releases->at.clear();
  m->releases->launch = now.launch;
  block_set &told = m->releases->at[(size_t)(at - m->bytes)];
  unite(seen, told);
  if (!tells) return;
  size_t mine = blocks.size() - 1;
  unite(told, seen);
  if (told.size() <= mine / 64) told.resize(mine / 64 + 1);
  told[mine / 64] |= (uint64_t)1 << mine % 64;
}

} // namespace zh_shim
