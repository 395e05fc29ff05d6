/* Who touched which word of watched memory last, and what can be said against it.
 *
 * A word of four bytes has two stamps of writers and two of readers. A stamp is an epoch, the
 * thread, its warp's clock, and which of the word's bytes. Epochs count the block barriers passed
 * and the blocks begun, over all launches, so that nothing is cleared between them. Two threads of
 * a block are ordered by a barrier in between (another epoch), or within a warp by __syncwarp
 * (vector clocks); two blocks of a launch only where one's atomic, after __threadfence, was seen by
 * an atomic of the other: then what came before the fence. Where blocks live at once, a fence
 * begins an epoch. Shuffles and votes order no memory. */
#ifndef ZH_TESTS_SHIM_WATCH_H
#define ZH_TESTS_SHIM_WATCH_H

#include <vector>

namespace zh_shim {

/* Where in a kernel. An access through operator* has none: file is NULL. */
struct site {
  const char *file;
  int line;
};
/* An index that knows where it was written. */
struct index {
  ptrdiff_t at;
  site where;
  template <class I>
  index(I of, const char *file = __builtin_FILE(), int line = __builtin_LINE())
      : at(static_cast<ptrdiff_t>(of)), where{file, line} {}
};

/* An allocation of the device, or pinned host memory. Never deleted: pointers of a graph outlive
 * what they point to. */
struct memory {
  unsigned char *bytes; /* its contents, NULL once freed */
  size_t size;
  uintptr_t address; /* what the host holds */
  unsigned serial;   /* the how many-th of the process */
  bool pinned;
  uint64_t *stamps;         /* [words][4], made at the first access that is kept */
  uint64_t written_launch;  /* that last wrote to it, 0: none */
  struct release *releases; /* what atomics after a fence told other blocks */
  struct shared_part *shared; /* what other processes reach, too (processes.cc); else NULL */
};

enum access { READ, WRITE, ATOMIC };

/* Of the thread that runs. */
struct running {
  uint64_t stamp; /* its epoch, clock and number */
  uint32_t epoch, block_epoch, launch_epoch;
  unsigned thread;  /* in its block, x fastest */
  uint64_t launch;  /* 0: none runs */
  uint64_t changes; /* of values in global memory, by kernels */
  bool together;    /* this launch's blocks live at once */
  unsigned char *shared;
  uint64_t *shared_cells; /* [words][5]: stamps, then block_epoch << 4 | bytes that are set */
  size_t shared_bytes;
};
extern running now;

/* False: the access is reported and must not be done. */
bool allowed_global(const memory *block, const unsigned char *at, size_t bytes, size_t align,
                    access kind, const site &where);
bool allowed_shared(const unsigned char *low, const unsigned char *high, const unsigned char *at,
                    size_t bytes, size_t align, access kind, const site &where);
/* Bytes on their way into shared memory: written, but not to be read yet. */
void unset_shared(const unsigned char *at, size_t bytes);
/* Of memory that must not change while the kernel runs. */
void must_be_constant(const memory *block, const unsigned char *at, const site &where);
/* That 16-byte pieces are the allocation's. */
void may_ask_for(const memory *block, const unsigned char *at, size_t bytes, const site &where);
/* A write of what stands there already is no race in global memory. */
void note_same_value(bool same);

/* Weights: large, and no kernel wrote to them lately. Their reads are checked and not kept, but
 * that a write follows a read in the same launch is then found only where orders differ. Of what is
 * larger still (stamps take eight times as much) nothing is kept: it has its bounds alone. */
enum : size_t { SMALL_BYTES = (size_t)1 << 20, WATCHED_BYTES = (size_t)64 << 20 };
enum : uint64_t { LATELY_LAUNCHES = 4096 };
static inline bool reads_are_kept(const memory *block) {
  return block->size <= SMALL_BYTES || (block->size <= WATCHED_BYTES && block->written_launch &&
                                        now.launch - block->written_launch < LATELY_LAUNCHES);
}

static inline bool may_read(const memory *block, const unsigned char *at, size_t bytes,
                            size_t align, const site &where) {
  if (__builtin_expect(block && block->bytes && at >= block->bytes && bytes <= block->size &&
                           at <= block->bytes + (block->size - bytes) &&
                           reinterpret_cast<uintptr_t>(at) % align == 0 && !reads_are_kept(block) &&
                           !block->shared,
                       1))
    return true;
  return allowed_global(block, at, bytes, align, READ, where);
}

} // namespace zh_shim

#endif
