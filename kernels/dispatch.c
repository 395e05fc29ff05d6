/* Which functions this machine runs: the reference everywhere, overridden by what the CPU can do.
 */
#include "core/text.h"
#include "kernels/gemm/gemm.h"
#include "kernels/matmul/packed.h"
#include "kernels/peak/peak.h"
#include "kernels/variants.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const zh_kernels reference = {
    .name = "ref",
    .fp64_sums = true,
    .matmul = zh_matmul_ref,
    .rmsnorm = zh_rmsnorm_ref,
    .rope = zh_rope_ref,
    .attention = zh_attention_ref,
    .attention_merge = zh_attention_merge_ref,
    .silu_multiply = zh_silu_multiply_ref,
    .gelu_multiply = zh_gelu_multiply_ref,
    .gelu_tanh_multiply = zh_gelu_tanh_multiply_ref,
    .add = zh_add_ref,
    .argmax = zh_argmax_ref,
    .logsumexp = zh_logsumexp_ref,
};

#ifdef ZH_KERNELS_X86
#define TABLE(isa)                                                                                 \
  static zh_kernels table_##isa = {                                                                \
      .name = #isa,                                                                                \
      .fp64_sums = false,                                                                          \
      .matmul = zh_matmul_##isa,                                                                   \
      .rmsnorm = zh_rmsnorm_##isa,                                                                 \
      .rope = zh_rope_##isa,                                                                       \
      .attention = zh_attention_##isa,                                                             \
      .attention_merge = zh_attention_merge_##isa,                                                 \
      .silu_multiply = zh_silu_multiply_##isa,                                                     \
      .gelu_multiply = zh_gelu_multiply_##isa,                                                     \
      .gelu_tanh_multiply = zh_gelu_tanh_multiply_##isa,                                           \
      .add = zh_add_##isa,                                                                         \
      .argmax = zh_argmax_##isa,                                                                   \
      .logsumexp = zh_logsumexp_##isa,                                                             \
  };
TABLE(avx2)
TABLE(avx512)
/* avx512's, with products of packed weights */
static zh_kernels table_vnni, table_amx;
#endif
static zh_kernels table_portable; /* the reference's, where plain C has nothing faster yet */

/* Words of ZH_CPU and names of tables, by level. */
enum {
  LEVEL_REF,
  LEVEL_PORTABLE,
  LEVEL_AVX2,
  LEVEL_AVX512, /* F, BW, DQ, VL */
  LEVEL_VNNI,   /* and VNNI; BF16 where there is */
  LEVEL_AMX,    /* and BF16, VBMI, and tiles of both */
  LEVELS
};
static const char *const level_names[LEVELS + 1] = {"ref",    "portable", "avx2",
                                                    "avx512", "vnni",     "amx"};
enum { PEAK_LOOPS = 16, GEMMS = 16 };

/* What was found out, once. */
static struct dispatch {
  zh_cpu_features has;                  /* no more than the level in use has */
  int level;                            /* in use: the CPU's, or less where ZH_CPU says so */
  int asked;                            /* by ZH_CPU; -1: nothing that there is */
  const zh_kernels *tables[LEVELS + 1]; /* what this CPU can run, by level */
  zh_peak_loop loops[PEAK_LOOPS];
  zh_gemm gemms[GEMMS];
} chosen;
static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;

/* The level that ZH_CPU names; `otherwise` where it is not set, -1 for another word. */
static int asked_level(int otherwise) {
  const char *word = getenv("ZH_CPU");
  if (!word || !*word) return otherwise;
  for (int level = 0; level < LEVELS; level++)
    if (strcmp(word, level_names[level]) == 0) return level;
  return -1;
}

/* The level in use imitates a machine that has no more. */
static void choose_level(int best) {
  chosen.asked = asked_level(best);
  chosen.level = chosen.asked >= 0 && chosen.asked < best ? chosen.asked : best;
  if (chosen.level == best) return;
  zh_cpu_features *has = &chosen.has;
  if (chosen.level < LEVEL_AMX) has->amx_bf16 = has->amx_int8 = has->avx512_vbmi = false;
  if (chosen.level < LEVEL_VNNI) has->avx512_vnni = has->avx512_bf16 = false;
  if (chosen.level < LEVEL_AVX512) has->avx512 = false;
  if (chosen.level < LEVEL_AVX2) has->avx2_fma = has->f16c = has->avx_vnni = false;
}

/* Fastest first: a tile unit does sixteen vectors' work, wider vectors beat narrower ones. */
static void choose_peak_loops(void) {
  size_t count = 0;
#ifdef ZH_KERNELS_X86
  const zh_cpu_features *has = &chosen.has;
  const struct {
    const zh_peak_loop *loop;
    bool there;
  } candidates[] = {
      {&zh_peak_fp32_avx512, has->avx512},     {&zh_peak_fp32_avx2, has->avx2_fma},
      {&zh_peak_bf16_amx, has->amx_bf16},      {&zh_peak_bf16_avx512, has->avx512_bf16},
      {&zh_peak_int8_amx, has->amx_int8},      {&zh_peak_int8_avx512, has->avx512_vnni},
      {&zh_peak_int8_avx_vnni, has->avx_vnni}, {&zh_peak_int8_avx2, has->avx2_fma},
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
/* Few tokens are held by memory, and tiles would round what vectors need not; capped scores are the
 * vectors' alone, and so are scores with slopes. */
static void attention_amx(const zh_attention *work, size_t begin, size_t end, void *scratch) {
  if (work->softcap == 0 && !work->slopes &&
      zh_attention_rounds(&table_amx.rounds, work->kv->type, work->kv->head_dim,
                          zh_kv_value_dim(work->kv), work->way))
    zh_attention_amx(work, begin, end, scratch);
  else
    zh_attention_avx512(work, begin, end, scratch);
}

static void gemm_fp32_avx2(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,
                           size_t begin, size_t end) {
  (void)m;
  zh_matrix weights = {b, ZH_F32, n, k, k * sizeof(float)};
  zh_matmul_avx2((float *)c + begin * n, n, &weights, (const float *)a + begin * k, k, end - begin,
                 0, n, NULL);
}
#endif

/* A product is a matmul whose tokens are the rows of A; fp32 weights need no scratch. */
static void gemm_fp32_portable(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,
                               size_t begin, size_t end) {
  (void)m;
  zh_matrix weights = {b, ZH_F32, n, k, k * sizeof(float)};
  zh_matmul_portable((float *)c + begin * n, n, &weights, (const float *)a + begin * k, k,
                     end - begin, 0, n, NULL);
}

static void choose_gemms(void) {
  size_t count = 0;
  chosen.gemms[count++] = (zh_gemm){"fp32", "reference", "fp32_fma", zh_gemm_fp32_ref};
  chosen.gemms[count++] = (zh_gemm){"bf16", "reference", "bf16_dot", zh_gemm_bf16_ref};
  chosen.gemms[count++] = (zh_gemm){"int8", "reference", "int8_dot", zh_gemm_int8_ref};
  if (chosen.level >= LEVEL_PORTABLE)
    chosen.gemms[count++] = (zh_gemm){"fp32", "portable", "fp32_fma", gemm_fp32_portable};
#ifdef ZH_KERNELS_X86
  if (chosen.has.avx2_fma)
    chosen.gemms[count++] = (zh_gemm){"fp32", "avx2", "fp32_fma", gemm_fp32_avx2};
  if (chosen.has.avx512) {
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
  chosen.tables[LEVEL_REF] = &reference;
  table_portable = reference;
  table_portable.name = level_names[LEVEL_PORTABLE];
  table_portable.fp64_sums = false;
  table_portable.matmul = zh_matmul_portable;
  table_portable.rounds = zh_fp32_roundings;
  table_portable.prepare = zh_prepare_portable;
  table_portable.multiply = zh_multiply_portable;
  table_portable.rmsnorm = zh_rmsnorm_portable;
  table_portable.silu_multiply = zh_silu_multiply_portable;
  table_portable.add = zh_add_portable;
  table_portable.argmax = zh_argmax_portable;
  table_portable.rope = zh_rope_portable;
  table_portable.attention = zh_attention_portable;
  table_portable.attention_merge = zh_attention_merge_portable;
  table_portable.gelu_multiply = zh_gelu_multiply_portable;
  table_portable.gelu_tanh_multiply = zh_gelu_tanh_multiply_portable;
  table_portable.logsumexp = zh_logsumexp_portable;
#ifdef ZH_KERNELS_AARCH64
  if (chosen.has.arm_dotprod) table_portable.multiply = zh_multiply_dotprod;
#endif
  int best = LEVEL_PORTABLE;
  chosen.tables[best] = &table_portable;
#ifdef ZH_KERNELS_X86
  const zh_cpu_features *has = &chosen.has;
  if (has->avx2_fma && has->f16c) {
    table_avx2.rounds = zh_fp32_roundings;
    table_avx2.prepare = zh_prepare_avx2;
    table_avx2.multiply = has->avx_vnni ? zh_multiply_avx_vnni : zh_multiply_avx2;
    chosen.tables[best = LEVEL_AVX2] = &table_avx2;
  }
  if (best == LEVEL_AVX2 && has->avx512) chosen.tables[best = LEVEL_AVX512] = &table_avx512;
  if (best == LEVEL_AVX512 && has->avx512_vnni) {
    table_vnni = table_avx512;
    table_vnni.name = level_names[LEVEL_VNNI];
    zh_add_products_vnni(&table_vnni, has->avx512_bf16);
    chosen.tables[best = LEVEL_VNNI] = &table_vnni;
  }
  if (best == LEVEL_VNNI && has->avx512_bf16 && has->avx512_vbmi && has->amx_bf16 &&
      has->amx_int8) {
    table_amx = table_vnni;
    table_amx.name = level_names[LEVEL_AMX];
    zh_add_products_amx(&table_amx);
    table_amx.attention = attention_amx;
    chosen.tables[best = LEVEL_AMX] = &table_amx;
  }
#endif
  choose_level(best);
  choose_peak_loops();
  choose_gemms();
}

static const struct dispatch *dispatch(void) {
  (void)pthread_once(&chosen_once, choose);
  return &chosen;
}

zh_status zh_kernels_asked(const char **missing, zh_error *err) {
  const struct dispatch *d = dispatch();
  char guess[ZH_GUESS_BYTES];
  *missing = d->asked > d->level ? level_names[d->asked] : NULL;
  if (d->asked >= 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE,
                 "ZH_CPU names no kernels: '%s'%s; it may be ref, portable, avx2, avx512, vnni or "
                 "amx, or not set, which takes the best that this processor can run",
                 getenv("ZH_CPU"), zh_did_you_mean(guess, getenv("ZH_CPU"), level_names));
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
  if (dispatch()->level >= LEVEL_AVX512) {
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

static bool pack_groups(void *out, zh_dtype type, const void *rows, size_t groups, size_t row_bytes,
                        size_t columns) {
#ifdef ZH_KERNELS_X86
  if (dispatch()->level >= LEVEL_AVX512)
    return zh_pack_groups_avx512(out, type, rows, groups, row_bytes, columns);
  if (dispatch()->level == LEVEL_AVX2)
    return zh_pack_groups_avx2(out, type, rows, groups, row_bytes, columns);
#endif
  (void)out, (void)type, (void)rows, (void)groups, (void)row_bytes, (void)columns;
  return false;
}

void zh_pack_rows(void *out, zh_dtype type, const void *rows, size_t count, size_t row_bytes,
                  size_t columns) {
  size_t groups = count / ZH_PACKED_ROWS, whole = 0;
  if (groups && pack_groups(out, type, rows, groups, row_bytes, columns))
    whole = groups * ZH_PACKED_ROWS;
  zh_pack_rows_ref((unsigned char *)out + zh_packed_bytes(type, whole, columns), type,
                   (const unsigned char *)rows + whole * row_bytes, count - whole, row_bytes,
                   columns);
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

bool zh_attention_rounds(const zh_roundings *table, zh_kv_type type, size_t head_dim,
                         size_t value_dim, zh_way way) {
  return table->attention != ZH_ROUND_NONE && way == ZH_MANY && type != ZH_KV_F32 &&
         head_dim % 32 == 0 && value_dim % 32 == 0;
}

/* Columns filled up to 32. fp32 and bf16: tiles of sixteen tokens (or all, where they are fewer).
 * Bytes: one or two a column and up to 32 for each, for scale and sums of a block of 32. */
size_t zh_prepared_bytes(zh_rounding rounding, size_t columns, size_t tokens) {
  size_t whole = tokens < 16 ? tokens : (tokens + 15) & ~(size_t)15, steps = (columns + 31) / 32;
  return whole * steps * (rounding == ZH_ROUND_NONE || rounding == ZH_ROUND_TWO_BYTES ? 128 : 64);
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
