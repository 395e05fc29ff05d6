/* One bit of one weight changed, for those who doubt the check. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/engine/weights.h"
#include "core/philox.h"

static zh_status map_privately(zh_weights *weights, zh_weight *w, zh_error *err) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), inside = w->tensor->file_offset % page;
  int file = open(w->tensor->file, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return zh_fail(err, ZH_ERR_IO, "%s cannot be opened for the injected fault", w->tensor->file);
  size_t bytes = (size_t)(inside + w->tensor->bytes);
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file,
                 (off_t)(w->tensor->file_offset - inside));
  close(file);
  if (p == MAP_FAILED)
    return zh_fail(err, ZH_ERR_MEMORY, "no memory to map %s for the injected fault",
                   w->tensor->name);
  weights->altered = p;
  weights->altered_bytes = bytes;
  w->matrix.data = (unsigned char *)p + inside + zh_weight_offset(w, 0);
  return ZH_OK;
}

zh_status zh_weights_alter(zh_weights *weights, size_t bytes, zh_error *err) {
  if (weights->altered) return zh_fail(err, ZH_ERR_ARG, "only one weight can be altered");
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return zh_fail(err, ZH_ERR_MEMORY, "no memory for the injected fault");
  weights->altered = p;
  weights->altered_bytes = bytes;
  return ZH_OK;
}

static uint64_t bytes_read(const zh_weight *w) {
  return w->packed.data ? zh_packed_bytes(w->packed.type, w->packed.rows, w->packed.columns)
                        : zh_weight_bytes(w);
}

zh_status zh_weights_flip(zh_weights *weights, uint64_t seed, char *what, size_t capacity,
                          zh_error *err) {
  if (weights->altered) return zh_fail(err, ZH_ERR_ARG, "only one weight can be altered");
  uint64_t total = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    total += bytes_read(zh_weights_at(weights, i));
  uint32_t random[3];
  zh_random_fill(random, 3, seed, UINT64_C(0x77656967687400), 0);
  uint64_t at = (((uint64_t)random[0] << 32) | random[1]) % total;
  size_t i = 0;
  while (at >= bytes_read(zh_weights_at(weights, i))) at -= bytes_read(zh_weights_at(weights, i++));
  zh_weight *w = zh_weights_at(weights, i);
  size_t row_bytes = zh_weight_row_bytes(w), row = (size_t)(at / row_bytes);
  if (w->packed.data) {
    ZH_TRY(zh_packed_writable(weights, err));
    unsigned char *byte = (unsigned char *)(uintptr_t)w->packed.data + at;
    *byte = (unsigned char)(*byte ^ (1u << (random[2] % 8)));
    snprintf(what, capacity, "bit %u of byte %" PRIu64 " of the rearranged %s", random[2] % 8, at,
             w->tensor->name);
  } else {
    if (!zh_weight_is_made(w)) ZH_TRY(map_privately(weights, w, err));
    unsigned char *byte =
        (unsigned char *)(uintptr_t)w->matrix.data + row * w->matrix.row_bytes + at % row_bytes;
    *byte = (unsigned char)(*byte ^ (1u << (random[2] % 8)));
    snprintf(what, capacity, "bit %u of byte %" PRIu64 " of %s", random[2] % 8,
             zh_weight_offset(w, row) + at % row_bytes, w->tensor->name);
  }
  zh_weights_tie_head(weights);
  return zh_weights_set_gains(weights, err);
}
