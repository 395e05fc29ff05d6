/* Rearranged weights kept in a folder, so that the next start maps them instead of making them
 * anew, and processes of one node share one copy.
 *
 * A file is named by what it was made from (SM3 over the arrangement's version and, of each tensor,
 * name, type, shape, part, first and last bytes) and holds a head of one page, then all matrices
 * in order. Nothing in it is believed: when it is taken, every group of rows is rearranged once
 * more from the model into a small buffer and compared. That reads the model and the file once
 * each, and writes nothing. */
#ifndef ZH_BENCH_ENGINE_PACKED_CACHE_H
#define ZH_BENCH_ENGINE_PACKED_CACHE_H

#include <limits.h>

#include "bench/engine/weights.h"

/* Where the rearranged weights of these lie below `folder`, which is made where it is missing. */
ZH_MUST_CHECK zh_status zh_packed_cache_path(char out[PATH_MAX], const char *folder,
                                             const zh_weights *weights, zh_error *err);
/* Maps the file as weights->packed, every byte compared with the model. ZH_ERR_INPUT says why it is
 * of no use; the weights are then as they were. */
ZH_MUST_CHECK zh_status zh_packed_cache_take(zh_weights *weights, const char *path, size_t bytes,
                                             zh_threads *threads, zh_error *err);
/* Writes weights->packed, whole or not at all. */
ZH_MUST_CHECK zh_status zh_packed_cache_keep(const zh_weights *weights, const char *path,
                                             zh_error *err);

#endif
