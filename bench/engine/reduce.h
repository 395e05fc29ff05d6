/* Sums and gatherings over the ranks that hold the parts of one model. Inside a node each rank
 * writes its part into shared memory, all meet, and each adds all parts up in the order of the
 * ranks: every rank has the same bits. Between nodes the first rank of each node exchanges its
 * node's sum through the communicator.
 *
 * Everything here is collective: all ranks call it in the same order. */
#ifndef ZH_BENCH_ENGINE_REDUCE_H
#define ZH_BENCH_ENGINE_REDUCE_H

#include <stddef.h>

#include "bench/comm.h"
#include "core/status.h"
#include "kernels/kernels.h"

typedef struct zh_reduce zh_reduce;

/* Places for parts. Between two uses of the same one there must be a use of another. */
typedef enum zh_reduce_slot {
  ZH_REDUCE_ATTENTION,
  ZH_REDUCE_FFN,
  ZH_REDUCE_EMBEDDING,
  ZH_REDUCE_SLOTS
} zh_reduce_slot;

/* floats: of the longest sum; width: of the rows that are gathered; threads: of this rank. */
ZH_MUST_CHECK zh_status zh_reduce_create(zh_reduce **out, const zh_comm *comm, size_t floats,
                                         size_t width, const zh_threads *threads, zh_error *err);
void zh_reduce_free(zh_reduce *reduce); /* NULL is safe */

/* Where this rank writes its part: 64-byte aligned, [floats]. */
float *zh_reduce_mine(const zh_reduce *reduce, zh_reduce_slot slot);
/* The parts of all ranks, *stride floats apart, until the next call; NULL where they are not all in
 * this node. */
const float *zh_reduce_parts(const zh_reduce *reduce, zh_reduce_slot slot, size_t *stride);

/* Called by all threads of all ranks, each after it wrote what it has of this rank's part. Of out
 * [rows][width] each thread has its own columns when it returns, as zh_share gives them in grains
 * of ZH_PACKED_ROWS; the caller's barrier stands before others read them, and before the next call.
 */
void zh_reduce_sum(zh_reduce *reduce, zh_threads *threads, int thread, zh_reduce_slot slot,
                   float *out, size_t rows, size_t width);
/* rows [count][width], of which each rank has computed the columns that zh_share gives it in grains
 * of ZH_PACKED_ROWS; then all have all. */
void zh_reduce_gather(zh_reduce *reduce, zh_threads *threads, int thread, float *rows,
                      size_t count);

/* What went wrong between nodes since the last call; every rank must then stop. */
ZH_MUST_CHECK zh_status zh_reduce_error(zh_reduce *reduce, zh_error *err);
size_t zh_reduce_bytes(const zh_reduce *reduce); /* of shared memory, this rank's share */

#endif
