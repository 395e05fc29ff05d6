/* Judges every access to watched memory (shim_watch.h says by what). */
#include <stdlib.h>
#include <sys/mman.h>

#include "engine.h"

namespace zh_shim {

/* A stamp: epoch << 32 | clock << 16 | thread << 5 | bytes of the word << 1 | whether atomic. */
static uint32_t epoch_of(uint64_t stamp) {
  return (uint32_t)(stamp >> 32);
}
static unsigned clock_of(uint64_t stamp) {
  return stamp >> 16 & 0xFFFFu;
}
static unsigned thread_of(uint64_t stamp) {
  return stamp >> 5 & 1023u;
}
static unsigned bytes_of(uint64_t stamp) {
  return stamp >> 1 & 15u;
}
static bool is_atomic(uint64_t stamp) {
  return stamp & 1;
}

enum { WRITER, OTHER_WRITER, READER, OTHER_READER, STAMPS, IS_SET = STAMPS, SHARED_CELL };

/* --- races --- */

/* Of an earlier launch, or (of shared memory) of before the last barrier. */
static bool is_over(uint64_t stamp, bool global) {
  return global ? epoch_of(stamp) < now.launch_epoch : epoch_of(stamp) != now.epoch;
}

/* Whether nothing puts what the stamp tells of before what the running thread does now. */
static bool is_concurrent(uint64_t stamp, bool global) {
  uint32_t epoch = epoch_of(stamp);
  if (is_over(stamp, global)) return false;
  if (global && is_of_other_block(epoch)) return !block_was_seen(epoch);
  unsigned thread = thread_of(stamp);
  if (epoch != now.epoch || thread == now.thread) return false;
  return thread / WARP != now.thread / WARP || !ordered_within_warp(thread, clock_of(stamp));
}

static void report_race(uint64_t stamp, bool global, bool it_wrote, access kind, const site &where,
                        size_t byte) {
  static const char *const does[] = {"reads", "writes", "changes by an atomic"};
  static const char *const kinds[] = {"read race", "write race", "atomic race"};
  std::string who = "thread " + thread_name(thread_of(stamp));
  if (global && is_of_other_block(epoch_of(stamp)))
    who += " of block " + block_name(block_of_epoch(epoch_of(stamp)));
  fault(kinds[kind], where,
        "race: %s byte %zu of %s memory, which %s %s with nothing to order them", does[kind], byte,
        global ? "global" : "shared", who.c_str(),
        it_wrote ? is_atomic(stamp) ? "changed by an atomic" : "wrote" : "read");
}

static void keep_writer(uint64_t *cell, uint64_t stamp, bool global) {
  for (int i = WRITER; i <= OTHER_WRITER; i++)
    if (is_over(cell[i], global) || !(bytes_of(cell[i]) & ~bytes_of(stamp))) {
      cell[i] = stamp;
      return;
    }
  cell[OTHER_WRITER] = cell[WRITER];
  cell[WRITER] = stamp;
}

static void keep_reader(uint64_t *cell, uint64_t stamp, bool global) {
  for (int i = READER; i <= OTHER_READER; i++)
    if (is_over(cell[i], global) ||
        (!(bytes_of(cell[i]) & ~bytes_of(stamp)) && !is_concurrent(cell[i], global))) {
      cell[i] = stamp;
      return;
    }
  /* Two that nothing orders: rather of two warps, or of two blocks. */
  bool alike = epoch_of(cell[READER]) == epoch_of(cell[OTHER_READER]) &&
               thread_of(cell[READER]) / WARP == thread_of(cell[OTHER_READER]) / WARP;
  if (alike) cell[OTHER_READER] = stamp;
}

/* By a thread that nothing orders before this one: writing the same again changes nothing. */
static bool is_written_meanwhile(const uint64_t *cell, unsigned bytes) {
  for (int i = WRITER; i <= OTHER_WRITER; i++)
    if (!(bytes & ~bytes_of(cell[i])) && is_concurrent(cell[i], true)) return true;
  return false;
}

static bool same_value;
void note_same_value(bool same) {
  same_value = same;
}

static void judge_word(uint64_t *cell, unsigned bytes, bool global, access kind, const site &where,
                       size_t byte) {
  uint64_t stamp = now.stamp | bytes << 1 | (kind == ATOMIC);
  bool harmless = global && kind == WRITE && same_value;
  for (int i = 0; i < (kind == READ ? READER : STAMPS) && !harmless; i++) {
    if (!(bytes_of(cell[i]) & bytes) || (kind == ATOMIC && is_atomic(cell[i]))) continue;
    if (is_concurrent(cell[i], global))
      report_race(cell[i], global, i <= OTHER_WRITER, kind, where, byte);
  }
  if (harmless && is_written_meanwhile(cell, bytes)) return;
  if (kind == READ)
    keep_reader(cell, stamp, global);
  else
    keep_writer(cell, stamp, global);
}

/* each(word, which of its bytes) */
template <class Each> static void words_of(size_t begin, size_t bytes, Each each) {
  for (size_t end = begin + bytes; begin < end;) {
    size_t first = begin % 4, count = 4 - first < end - begin ? 4 - first : end - begin;
    each(begin / 4, ((1u << count) - 1u) << first);
    begin += count;
  }
}

/* --- global memory --- */

static const char *const DOES[] = {"reads", "writes", "changes"};

static bool fits(const memory *of, const unsigned char *at, size_t bytes, size_t align, access kind,
                 const site &where) {
  if (!of) {
    fault("no allocation", where, "%s %zu bytes through an address that is no allocation's",
          DOES[kind], bytes);
    return false;
  }
  if (!of->bytes) {
    fault("freed", where, "%s %zu bytes of allocation %u, which has been freed", DOES[kind], bytes,
          of->serial);
    return false;
  }
  ptrdiff_t offset = at - of->bytes;
  if (offset < 0 || (size_t)offset > of->size || bytes > of->size - (size_t)offset) {
    fault("bounds", where,
          "%s %zu bytes at byte %td (index %td of such) of allocation %u, which has %zu bytes",
          DOES[kind], bytes, offset, offset / (ptrdiff_t)bytes, of->serial, of->size);
    return false;
  }
  if ((size_t)offset % align == 0)
    return !of->shared || allowed_among_processes(of, at, bytes, kind, where);
  fault("alignment", where, "%s %zu bytes at byte %td of allocation %u, no multiple of %zu",
        DOES[kind], bytes, offset, of->serial, align);
  return false;
}

static uint64_t *stamps_of(memory *of) {
  if (of->stamps) return of->stamps;
  size_t bytes = (of->size + 3) / 4 * STAMPS * sizeof(uint64_t);
  void *all = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) {
    perror("shim: memory to watch memory with");
    abort();
  }
  return of->stamps = static_cast<uint64_t *>(all);
}

/* --- waiting for what another thread will write: its turn must come, and there must be one --- */

enum : uint64_t { SPINS_OF_A_TURN = 100, SPINS_TOGETHER = 4, TURNS_MAX = 20000 };
static struct {
  const unsigned char *at;
  unsigned thread;
  uint64_t times, turns; /* turns: of the block that began in block_epoch, or since `changes` */
  uint32_t block_epoch;
  uint64_t changes;
} spinning;

static void give_up_waiting(const memory *of, const unsigned char *at, const site &where) {
  if (now.together)
    fault("waits", where,
          "looks at byte %td of allocation %u again and again, and no thread of the launch changes "
          "anything any more%s",
          at - of->bytes, of->serial, describe_blocks().c_str());
  else
    fault("waits", where,
          "looks at byte %td of allocation %u again and again: no thread of its block will change "
          "it, and blocks run one after another here",
          at - of->bytes, of->serial);
  stop_block();
}

static void notice_spinning(const memory *of, const unsigned char *at, const site &where) {
  if (of->shared || of->pinned) return; /* another process may change it, or the host */
  if (at != spinning.at || now.thread != spinning.thread) {
    spinning.at = at;
    spinning.thread = now.thread;
    spinning.times = 0;
    return;
  }
  if (++spinning.times < (now.together ? SPINS_TOGETHER : SPINS_OF_A_TURN)) return;
  spinning.times = 0;
  if (now.together ? spinning.changes != now.changes : spinning.block_epoch != now.block_epoch)
    spinning.turns = 0;
  spinning.block_epoch = now.block_epoch;
  spinning.changes = now.changes;
  if (++spinning.turns > TURNS_MAX) give_up_waiting(of, at, where);
  give_way();
}

bool allowed_global(const memory *block_of, const unsigned char *at, size_t bytes, size_t align,
                    access kind, const site &where) {
  memory *of = const_cast<memory *>(block_of);
  if (!fits(of, at, bytes, align, kind, where)) stop_block();
  if (kind != WRITE) notice_spinning(of, at, where);
  if (kind != READ) of->written_launch = now.launch;
  if (kind == WRITE && !same_value) now.changes++;
  if (of->size > WATCHED_BYTES || (kind == READ && !reads_are_kept(of))) return true;
  uint64_t *stamps = stamps_of(of);
  size_t begin = (size_t)(at - of->bytes);
  words_of(begin, bytes, [&](size_t word, unsigned which) {
    judge_word(stamps + word * STAMPS, which, true, kind, where, begin);
  });
  return true;
}

void must_be_constant(const memory *of, const unsigned char *at, const site &where) {
  if (!of || !of->bytes || of->written_launch != now.launch || at < of->bytes ||
      at >= of->bytes + of->size || !of->stamps)
    return;
  const uint64_t *cell = of->stamps + (size_t)(at - of->bytes) / 4 * STAMPS;
  if (!is_over(cell[WRITER], true))
    fault("not constant", where,
          "reads by a load for constant memory what this launch has written (allocation %u, byte "
          "%td)",
          of->serial, at - of->bytes);
}

void may_ask_for(const memory *of, const unsigned char *at, size_t bytes, const site &where) {
  if (!fits(of, at, bytes, 16, READ, where)) stop_block();
  if (bytes % 16) fault("alignment", where, "asks for %zu bytes, no multiple of 16", bytes);
}

/* --- shared memory --- */

static bool fits_shared(const unsigned char *low, const unsigned char *high,
                        const unsigned char *at, size_t bytes, size_t align, access kind,
                        const site &where) {
  ptrdiff_t offset = at - low;
  if (at < low || at > high || bytes > (size_t)(high - at)) {
    fault("shared bounds", where,
          "%s %zu bytes at byte %td (index %td of such) of shared memory of %td bytes", DOES[kind],
          bytes, offset, offset / (ptrdiff_t)bytes, high - low);
    return false;
  }
  if ((uintptr_t)at % align == 0) return true;
  fault("shared alignment", where, "%s %zu bytes at byte %td of shared memory, no multiple of %zu",
        DOES[kind], bytes, offset, align);
  return false;
}

static void judge_set(uint64_t *is_set, unsigned which, access kind, const site &where,
                      ptrdiff_t byte) {
  unsigned have = *is_set >> 4 == now.block_epoch ? *is_set & 15u : 0;
  if (kind != WRITE && (which & ~have))
    fault("not set", where,
          "%s byte %td of shared memory, which nobody has written (or whose copy has not been "
          "waited for)",
          DOES[kind], byte);
  *is_set = (uint64_t)now.block_epoch << 4 | have | (kind == READ ? 0 : which);
}

bool allowed_shared(const unsigned char *low, const unsigned char *high, const unsigned char *at,
                    size_t bytes, size_t align, access kind, const site &where) {
  if (!fits_shared(low, high, at, bytes, align, kind, where)) stop_block();
  words_of((size_t)(at - now.shared), bytes, [&](size_t word, unsigned which) {
    uint64_t *cell = now.shared_cells + word * SHARED_CELL;
    judge_word(cell, which, false, kind, where, (size_t)(at - low));
    judge_set(cell + IS_SET, which, kind, where, at - low);
  });
  if (plays_hopper && kind == WRITE) note_shared_write(at, bytes);
  return true;
}

void unset_shared(const unsigned char *at, size_t bytes) {
  words_of((size_t)(at - now.shared), bytes, [&](size_t word, unsigned which) {
    uint64_t *is_set = now.shared_cells + word * SHARED_CELL + IS_SET;
    *is_set &= ~(uint64_t)which;
  });
}

enum : size_t { CELLS_BYTES = SHARED_ARENA / 4 * SHARED_CELL * sizeof(uint64_t) };
struct shared_memory {
  unsigned char *bytes;
  uint64_t *cells;
};
static std::vector<shared_memory> shared_memories; /* never given back */

static void make_shared() {
  void *arena = nullptr;
  uint64_t *cells = static_cast<uint64_t *>(calloc(1, CELLS_BYTES));
  if (!cells || posix_memalign(&arena, 1024, SHARED_ARENA) != 0) {
    perror("shim: shared memory");
    abort();
  }
  memset(arena, 0xFF, SHARED_ARENA);
  shared_memories.push_back(shared_memory{static_cast<unsigned char *>(arena), cells});
}

void shared_of_block(size_t slot) {
  while (shared_memories.size() <= slot) make_shared();
  now.shared = shared_memories[slot].bytes;
  now.shared_cells = shared_memories[slot].cells;
}

void shared_reset() {
  shared_of_block(0);
}

void stamps_reset_all() {
  all_memories([](memory *m) {
    if (m->stamps) madvise(m->stamps, (m->size + 3) / 4 * STAMPS * sizeof(uint64_t), MADV_DONTNEED);
  });
  for (const shared_memory &one : shared_memories) memset(one.cells, 0, CELLS_BYTES);
  now.epoch = now.launch_epoch = 1;
}

} // namespace zh_shim
