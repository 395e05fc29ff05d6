/* Which functions this machine runs: the reference everywhere, overridden by what the CPU can do.
 */
#include "kernels/gemm/gemm.h"
#include "kernels/matmul/packed.h"
#include "kernels/peak/peak.h"
#include "kernels/variants.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const zh_kernels reference = {
    .name = "reference",
    .fp64_sums = true,
    .matmul = zh_matmul_ref,
    .rmsnorm = zh_rmsnorm_ref,
    .rope = zh_rope_ref,
    .attention = zh_attention_ref,
    .silu_multiply = zh_silu_multiply_ref,
    .add = zh_add_ref,
    .argmax = zh_argmax_ref,
    .logsumexp = zh_logsumexp_ref,
};

#ifdef ZH_KERNELS_X86
/* rope and logsumexp: the reference's, until they cost a share that shows. */
#define TABLE(isa)                                                                                 \
  static const zh_kernels table_##isa = {                                                          \
      .name = #isa,                                                                                \
      .fp64_sums = false,                                                                          \
      .matmul = zh_matmul_##isa,                                                                   \
      .rmsnorm = zh_rmsnorm_##isa,                                                                 \
      .rope = zh_rope_ref,                                                                         \
      .attention = zh_attention_##isa,                                                             \
      .silu_multiply = zh_silu_multiply_##isa,                                                     \
      .add = zh_add_##isa,                                                                         \
      .argmax = zh_argmax_##isa,                                                                   \
      .logsumexp = zh_logsumexp_ref,                                                               \
  };
TABLE(avx2)
TABLE(avx512)
static zh_kernels table_amx; /* avx512's, with products of packed weights */
#endif

enum { LEVEL_REFERENCE, LEVEL_AVX2, LEVEL_AVX512, LEVEL_AMX };
enum { PEAK_LOOPS = 16, GEMMS = 16 };

/* What was found out, once. */
static struct dispatch {
  zh_cpu_features has;
  int level;                   /* what may be used: the CPU's, or less where ZHIHENG_ISA says so */
  const zh_kernels *tables[5]; /* what this CPU can run, by level */
  zh_peak_loop loops[PEAK_LOOPS];
  zh_gemm gemms[GEMMS];
} chosen;
static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;

static int wanted_level(int best) {
  const char *isa = getenv("ZHIHENG_ISA");
  if (!isa) return best;
  int level = strcmp(isa, "reference") == 0 ? LEVEL_REFERENCE
              : strcmp(isa, "avx2") == 0    ? LEVEL_AVX2
              : strcmp(isa, "avx512") == 0  ? LEVEL_AVX512
                                            : best;
  return level < best ? level : best;
}

/* Fastest first: a tile unit does sixteen vectors' work, wider vectors beat narrower ones. */
static void choose_peak_loops(void) {
  size_t count = 0;
#ifdef ZH_KERNELS_X86
  const zh_cpu_features *has = &chosen.has;
  bool amx = chosen.level >= LEVEL_AMX, avx512 = chosen.level >= LEVEL_AVX512,
       avx2 = chosen.level >= LEVEL_AVX2;
  const struct {
    const zh_peak_loop *loop;
    bool there;
  } candidates[] = {
      {&zh_peak_fp32_avx512, avx512},
      {&zh_peak_fp32_avx2, avx2},
      {&zh_peak_bf16_amx, amx},
      {&zh_peak_bf16_avx512, avx512 && has->avx512_bf16},
      {&zh_peak_int8_amx, amx},
      {&zh_peak_int8_avx512, avx512 && has->avx512_vnni},
      {&zh_peak_int8_avx_vnni, avx2 && has->avx_vnni},
      {&zh_peak_int8_avx2, avx2},
  };
  for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
    if (candidates[i].there) chosen.loops[count++] = *candidates[i].loop;
#endif
  chosen.loops[count++] = zh_peak_fp32_portable;
  chosen.loops[count++] = zh_peak_bf16_portable;
  chosen.loops[count++] = zh_peak_int8_portable;
  chosen.loops[count] = (zh_peak_loop){0};
}

#ifdef ZH_KERNELS_X86
static void prepare_amx(void *out, zh_dtype type, zh_way way, const float *x, size_t x_stride,
                        size_t columns, size_t tokens, size_t begin, size_t end) {
  if (zh_preparation(type, way) == 0)
    zh_prepare_bf16_amx(out, x, x_stride, columns, tokens, begin, end);
  else
    zh_prepare_int8_amx(out, x, x_stride, columns, begin, end);
}

static void multiply_amx(float *y, size_t y_stride, const zh_packed *w, zh_way way,
                         const void *prepared, size_t tokens, size_t begin, size_t end,
                         void *scratch) {
  if (begin >= end || tokens == 0) return;
  if (zh_preparation(w->type, way) == 0)
    zh_multiply_bf16_amx(y, y_stride, w, prepared, tokens, begin, end, scratch);
  else
    zh_multiply_int8_amx(y, y_stride, w, prepared, tokens, begin, end);
}

/* A product is a matmul whose tokens are the rows of A; fp32 weights need no scratch. */
static void zh_gemm_fp32_avx2(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,
                              size_t begin, size_t end) {
  (void)m;
  zh_matrix weights = {b, ZH_F32, n, k, k * sizeof(float)};
  zh_matmul_avx2((float *)c + begin * n, n, &weights, (const float *)a + begin * k, k, end - begin,
                 0, n, NULL);
}
#endif

static void choose_gemms(void) {
  size_t count = 0;
  chosen.gemms[count++] = (zh_gemm){"fp32", "reference", "fp32_fma", zh_gemm_fp32_ref};
  chosen.gemms[count++] = (zh_gemm){"bf16", "reference", "bf16_dot", zh_gemm_bf16_ref};
  chosen.gemms[count++] = (zh_gemm){"int8", "reference", "int8_dot", zh_gemm_int8_ref};
#ifdef ZH_KERNELS_X86
  if (chosen.level >= LEVEL_AVX2)
    chosen.gemms[count++] = (zh_gemm){"fp32", "avx2", "fp32_fma", zh_gemm_fp32_avx2};
  if (chosen.level >= LEVEL_AVX512) {
    chosen.gemms[count++] = (zh_gemm){"fp32", "avx512", "fp32_fma", zh_gemm_fp32_avx512};
    if (chosen.has.avx512_bf16)
      chosen.gemms[count++] =
          (zh_gemm){"bf16", "avx512_bf16", "bf16_dot", zh_gemm_bf16_avx512_bf16};
    if (chosen.has.avx512_vnni)
      chosen.gemms[count++] =
          (zh_gemm){"int8", "avx512_vnni", "int8_dot", zh_gemm_int8_avx512_vnni};
  }
#endif
  chosen.gemms[count] = (zh_gemm){0};
}

static void choose(void) {
  chosen.has = zh_cpu_detect();
  chosen.tables[LEVEL_REFERENCE] = &reference;
  int best = LEVEL_REFERENCE;
#ifdef ZH_KERNELS_X86
  if (chosen.has.avx2_fma && chosen.has.f16c) chosen.tables[best = LEVEL_AVX2] = &table_avx2;
  if (best == LEVEL_AVX2 && chosen.has.avx512) chosen.tables[best = LEVEL_AVX512] = &table_avx512;
  if (best == LEVEL_AVX512 && chosen.has.avx512_bf16 && chosen.has.avx512_vnni &&
      chosen.has.amx_bf16 && chosen.has.amx_int8) {
    table_amx = table_avx512;
    table_amx.name = "amx";
    table_amx.prepare = prepare_amx;
    table_amx.multiply = multiply_amx;
    chosen.tables[best = LEVEL_AMX] = &table_amx;
  }
#endif
  chosen.level = wanted_level(best);
  choose_peak_loops();
  choose_gemms();
}

static const struct dispatch *dispatch(void) {
  (void)pthread_once(&chosen_once, choose);
  return &chosen;
}

const zh_kernels *zh_kernels_reference(void) {
  return &reference;
}
const zh_kernels *zh_kernels_best(void) {
  return dispatch()->tables[dispatch()->level];
}
const zh_kernels *const *zh_kernels_all(void) {
  return dispatch()->tables;
}
const zh_peak_loop *zh_peak_loops(void) {
  return dispatch()->loops;
}

void zh_dequantize_row_fast(float *y, const void *row, zh_dtype type, size_t elements) {
#ifdef ZH_KERNELS_X86
  if (dispatch()->level == LEVEL_AVX512) {
    zh_dequantize_row_avx512(y, row, type, elements);
    return;
  }
  if (dispatch()->level == LEVEL_AVX2) {
    zh_dequantize_row_avx2(y, row, type, elements);
    return;
  }
#endif
  zh_dequantize_row(y, row, type, elements);
}

size_t zh_matmul_block_rows(size_t columns) {
  size_t rows = ((size_t)512 << 10) / (columns * sizeof(float) + 1) & ~(size_t)3;
  return rows < 4 ? 4 : rows > 32 ? 32 : rows;
}

size_t zh_matmul_scratch_bytes(size_t columns, size_t tokens) {
  (void)tokens;
  size_t row_bytes = (columns * sizeof(float) + 63) & ~(size_t)63;
  return zh_matmul_block_rows(columns) * row_bytes;
}

zh_way zh_way_of(size_t tokens) {
  return tokens <= ZH_FEW_TOKENS ? ZH_FEW : ZH_MANY;
}

int zh_preparation(zh_dtype type, zh_way way) {
  return type == ZH_BF16 || way == ZH_MANY ? 0 : 1;
}

/* bf16 (0): tiles of sixteen tokens (or all, where they are fewer), columns filled up to 32. Bytes:
 * one a column and twelve a block of 32. */
size_t zh_prepared_bytes(int preparation, size_t columns, size_t tokens) {
  size_t whole = (tokens + 15) & ~(size_t)15, steps = (columns + 31) / 32;
  if (preparation == 0) return steps * 64 * (tokens < 16 ? tokens : whole);
  return tokens * ((steps * 44 + 63) & ~(size_t)63);
}

/* 256 rows of up to 2048 columns, unpacked to bf16, and twice four tiles of sums. */
size_t zh_multiply_scratch_bytes(size_t columns) {
  (void)columns;
  return (size_t)(16 * 64 + 8) * 1024;
}

static const zh_memory_loops *memory(void) {
#ifdef ZH_KERNELS_X86
  if (dispatch()->level >= LEVEL_AVX512) return &zh_memory_avx512;
  if (dispatch()->level == LEVEL_AVX2) return &zh_memory_avx2;
#endif
  return &zh_memory_portable;
}

const char *zh_memory_variant(void) {
  return memory()->variant;
}
double zh_memory_read(const double *a, size_t begin, size_t end) {
  return memory()->read(a, begin, end);
}
void zh_memory_copy(double *b, const double *a, size_t begin, size_t end) {
  memory()->copy(b, a, begin, end);
}
void zh_memory_triad(double *a, const double *b, const double *c, double s, size_t begin,
                     size_t end) {
  memory()->triad(a, b, c, s, begin, end);
}

/* --- matrix products --- */

const zh_gemm *zh_gemm_all(void) {
  return dispatch()->gemms;
}

/* The list runs from the reference up: the last of a type is the best. */
const zh_gemm *zh_gemm_best(const char *type) {
  const zh_gemm *best = NULL;
  for (const zh_gemm *g = zh_gemm_all(); g->type; g++)
    if (strcmp(g->type, type) == 0) best = g;
  return best;
}

const zh_gemm *zh_gemm_reference(const char *type) {
  for (const zh_gemm *g = zh_gemm_all(); g->type; g++)
    if (strcmp(g->type, type) == 0) return g;
  return NULL;
}
