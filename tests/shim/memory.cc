/* The device's memory. The host holds addresses of pages that nobody may touch, never used twice,
 * with a page or more between two allocations; what is in them lies elsewhere. Fresh memory is
 * filled with 0xFF: NaN in every floating-point type. */
#include <map>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine.h"

namespace zh_shim {

enum : size_t { PAGE = 4096, MOST_RESERVED = (size_t)1 << 40, ALIGN = 256 };
static const size_t DEFAULT_MEMORY = (size_t)8 << 30;
static const size_t DEFAULT_SHARED = 99 << 10; /* what a block has of compute capability 8.9 */

static uintptr_t reserved, next_address;
static size_t reserved_bytes;
/* Never destroyed, nor what it holds: pointers of kept graphs may outlive everything. */
static std::map<uintptr_t, memory *> &by_address = *new std::map<uintptr_t, memory *>();
static std::vector<memory *> &buried = *new std::vector<memory *>();
static unsigned count;
static size_t used;

static size_t asked(const char *name, size_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, nullptr, 0) : otherwise;
}

size_t memory_limit() {
  return asked("ZH_SHIM_MEMORY", DEFAULT_MEMORY);
}
size_t memory_used() {
  return used;
}
size_t shared_limit() {
  size_t bytes = asked("ZH_SHIM_SHARED", DEFAULT_SHARED);
  return bytes < SHARED_ARENA ? bytes : (size_t)SHARED_ARENA;
}

bool is_device_address(const void *address) {
  uintptr_t a = reinterpret_cast<uintptr_t>(address);
  return reserved && a >= reserved && a < reserved + reserved_bytes;
}

/* As many as the process may have: limits of address space are kept. */
static void reserve() {
  for (size_t bytes = MOST_RESERVED; !reserved && bytes >= (size_t)1 << 30; bytes /= 4) {
    void *all = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) continue;
    reserved = next_address = reinterpret_cast<uintptr_t>(all);
    reserved_bytes = bytes;
  }
}

static uintptr_t take_addresses(size_t bytes) {
  size_t taken = (bytes + 2 * PAGE - 1) / PAGE * PAGE;
  if (!reserved) reserve();
  if (taken > reserved + reserved_bytes - next_address) return 0;
  uintptr_t address = next_address;
  next_address += taken;
  return address;
}

static memory *note_memory(unsigned char *contents, size_t bytes, uintptr_t address, bool pinned) {
  memory *m = new memory();
  m->bytes = contents;
  m->size = bytes;
  m->address = address;
  m->serial = ++count;
  m->pinned = pinned;
  by_address[address] = m;
  return m;
}

memory *memory_of_others(unsigned char *contents, size_t bytes) {
  uintptr_t address = take_addresses(bytes);
  return address ? note_memory(contents, bytes, address, false) : nullptr;
}

memory *memory_new(size_t bytes, bool pinned) {
  size_t limit = memory_limit(), left = used < limit ? limit - used : 0;
  size_t rounded = bytes > SIZE_MAX - ALIGN ? 0 : (bytes + ALIGN - 1) / ALIGN * ALIGN;
  if (rounded == 0 || (!pinned && rounded > left)) return nullptr;
  unsigned char *contents = static_cast<unsigned char *>(aligned_alloc(ALIGN, rounded));
  uintptr_t address = pinned ? reinterpret_cast<uintptr_t>(contents) : take_addresses(rounded);
  if (!contents || !address) {
    free(contents);
    return nullptr;
  }
  memset(contents, 0xFF, rounded);
  if (!pinned) used += rounded;
  return note_memory(contents, bytes, address, pinned);
}

memory *memory_exact(uintptr_t address) {
  auto found = by_address.find(address);
  return found == by_address.end() || !found->second->bytes ? nullptr : found->second;
}

void memory_free(memory *m) {
  bool counted = !m->pinned && !is_of_others(m);
  if (m->shared)
    shared_release(m);
  else
    free(m->bytes);
  m->bytes = nullptr;
  if (m->stamps) munmap(m->stamps, (m->size + 3) / 4 * 4 * sizeof(uint64_t));
  m->stamps = nullptr;
  if (m->pinned)
    by_address.erase(m->address),
        buried.push_back(m); /* the host may be given that address again */
  if (counted) used -= (m->size + ALIGN - 1) / ALIGN * ALIGN;
}

const memory *memory_at(const void *address, unsigned char **at) {
  std::lock_guard<std::recursive_mutex> lock(gate);
  uintptr_t a = reinterpret_cast<uintptr_t>(address);
  *at = static_cast<unsigned char *>(const_cast<void *>(address));
  auto after = by_address.upper_bound(a);
  if (after == by_address.begin()) return nullptr;
  memory *m = std::prev(after)->second;
  /* An address behind the end is that allocation's still: what it reaches is out of its bounds. */
  if (a - m->address > m->size + PAGE) return nullptr;
  if (m->bytes) *at = m->bytes + (a - m->address);
  return m;
}

void all_memories(const std::function<void(memory *)> &each) {
  for (auto &entry : by_address) each(entry.second);
}

} // namespace zh_shim
