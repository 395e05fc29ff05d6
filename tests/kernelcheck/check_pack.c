/* Rows rearranged with vectors: bit for bit what the plain code gives, whatever the shape, and
 * nothing written beside. */
#include "tests/kernelcheck/check.h"

#include "kernels/matmul/packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64, EXTRA = 5 /* bytes between rows */ };

typedef bool (*pack_groups)(void *out, zh_dtype type, const void *rows, size_t groups,
                            size_t row_bytes, size_t columns);

static void pack_shape(const char *variant, pack_groups pack, zh_dtype type, size_t rows,
                       size_t columns, size_t extra) {
  uint64_t bytes;
  char shape[64];
  if (!zh_dtype_bytes(&bytes, type, columns)) exit(3);
  size_t stride = (size_t)bytes + extra, size = zh_packed_bytes(type, rows, columns);
  uint8_t *data = random_bytes(rows * stride), *want = zeroed(size + GUARD),
          *got = zeroed(size + GUARD);
  memset(want, 0xa5, size + GUARD);
  memset(got, 0xa5, size + GUARD);
  zh_pack_rows_ref(want, type, data, rows, stride, columns);
  /* `pack` NULL: what callers use, with the last rows of any number. */
  if (!pack)
    zh_pack_rows(got, type, data, rows, stride, columns);
  else if (!pack(got, type, data, rows / ZH_PACKED_ROWS, stride, columns))
    memcpy(got, want, size); /* left to the plain code, and the guard must be whole */
  snprintf(shape, sizeof shape, "%s %zux%zu, rows %zu bytes apart",
           zh_dtype_find((uint32_t)type)->name, rows, columns, stride);
  check_report("pack", variant, shape, unless_equal(0, got, want, size + GUARD));
  free(data);
  free(want);
  free(got);
}

static void pack_variant(const char *variant, pack_groups pack) {
  for (size_t n = 0; n < weight_type_count; n++) {
    zh_dtype type = weight_types[n];
    if (!zh_packs(type)) continue;
    size_t block = zh_dtype_find((uint32_t)type)->block_elements;
    size_t unit = block < 32 ? 32 : block;
    pack_shape(variant, pack, type, 16, unit, 0);
    pack_shape(variant, pack, type, 48, 9 * unit, EXTRA);
    pack_shape(variant, pack, type, 80, 34 * unit, 0);
    if (block == 1) pack_shape(variant, pack, type, 32, 2 * unit + 6, 0);
    if (!pack) pack_shape(variant, pack, type, 75, 3 * unit, EXTRA);
  }
}

void check_pack(void) {
  pack_variant("dispatched", NULL);
#ifdef __x86_64__
  if (zh_cpu_detect().avx2_fma) pack_variant("avx2", zh_pack_groups_avx2);
  if (zh_cpu_detect().avx512) pack_variant("avx512", zh_pack_groups_avx512);
#endif
}
