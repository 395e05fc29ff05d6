#include "tests/power/random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "kernels/kernels.h"

enum { ALIGN = 32, TENSORS_MAX = 64, TYPE_STRING = 8, TYPE_U32 = 4, TYPE_F32 = 6 };

uint32_t dice_below(dice *d, uint32_t below) {
  uint32_t bits;
  zh_random_fill(&bits, 1, d->seed, UINT64_C(0x64696365), d->drawn++);
  return (uint32_t)(((uint64_t)bits * below) >> 32);
}

uint32_t dice_from(dice *d, uint32_t low, uint32_t high) {
  return low + dice_below(d, high - low + 1);
}

/* --- shapes --- */

/* Types by the columns that their blocks divide. */
static const zh_dtype PLAIN[] = {ZH_F32, ZH_F16, ZH_BF16},
                      SHORT[] = {ZH_Q8_0, ZH_Q4_0, ZH_Q4_1, ZH_Q5_0, ZH_Q5_1},
                      LONG[] = {ZH_Q4_K, ZH_Q5_K, ZH_Q6_K};

static zh_dtype draw_type(dice *d, uint32_t unit) {
  uint32_t one_of = dice_below(d, 4);
  if (unit >= 256 && one_of < 2) return LONG[dice_below(d, 3)];
  if (unit >= 32 && one_of < 3) return SHORT[dice_below(d, 5)];
  return PLAIN[dice_below(d, 3)];
}

random_shape random_shape_draw(dice *d, uint32_t layers_min) {
  static const uint32_t units[] = {2, 32, 256}, dims[] = {6, 10, 16, 20, 32, 48, 64, 80, 96, 128};
  uint32_t unit = units[dice_below(d, 3)];
  random_shape s = {.layers = dice_from(d, layers_min, 4), .context = 64};
  do {
    s.head_dim = dims[dice_below(d, 10)];
    s.kv_heads = dice_from(d, 1, 3);
    s.heads = s.kv_heads * dice_from(d, 1, 4);
  } while (s.heads * s.head_dim % unit != 0 || s.heads * s.head_dim > 768);
  s.hidden = unit * (unit == 2 ? dice_from(d, 10, 60) : dice_from(d, 1, 256 / unit + 2));
  s.ffn = unit * (unit == 2 ? dice_from(d, 10, 90) : dice_from(d, 1, 256 / unit + 4));
  s.vocab = dice_from(d, 33, 300);
  s.tied = dice_below(d, 2) == 0;
  s.half_norms = dice_below(d, 2) == 0;
  bool mixed = dice_below(d, 2) == 0;
  s.embedding = s.head = draw_type(d, unit);
  for (int i = 0; i < RANDOM_MATRICES; ++i)
    s.of_layer[i] = mixed ? draw_type(d, unit) : s.embedding;
  return s;
}

void random_shape_say(char *out, size_t capacity, const random_shape *s) {
  int used = snprintf(
      out, capacity, "%u layers, hidden %u, %u/%u heads of %u, ffn %u, vocabulary %u%s,", s->layers,
      s->hidden, s->heads, s->kv_heads, s->head_dim, s->ffn, s->vocab, s->tied ? ", tied" : "");
  for (int i = 0; i < RANDOM_MATRICES && used > 0 && (size_t)used < capacity; ++i)
    used += snprintf(out + used, capacity - (size_t)used, " %s",
                     zh_dtype_find((uint32_t)s->of_layer[i])->name);
}

/* --- blocks --- */

static void put_half(unsigned char *at, float value) {
  uint16_t bits = zh_f32_to_f16(value);
  memcpy(at, &bits, sizeof bits);
}

/* Random bits make the values; the scale gives them about this standard deviation, and the offset a
 * mean near zero. */
static void set_scales(unsigned char *block, zh_dtype type, float stdev) {
  switch (type) {
  case ZH_Q8_0:
    put_half(block, stdev / 74);
    break;
  case ZH_Q4_0:
    put_half(block, stdev / 4.6f);
    break;
  case ZH_Q4_1:
    put_half(block, stdev / 4.6f);
    put_half(block + 2, -7.5f * stdev / 4.6f);
    break;
  case ZH_Q5_0:
    put_half(block, stdev / 9.2f);
    break;
  case ZH_Q5_1:
    put_half(block, stdev / 9.2f);
    put_half(block + 2, -15.5f * stdev / 9.2f);
    break;
  case ZH_Q4_K:
    put_half(block, stdev / 254);
    put_half(block + 2, 7.5f * stdev / 254);
    break;
  case ZH_Q5_K:
    put_half(block, stdev / 527);
    put_half(block + 2, 15.5f * stdev / 527);
    break;
  case ZH_Q6_K:
    put_half(block + 208, stdev / 1367);
    break;
  default:
    break;
  }
}

static void fill_plain(unsigned char *out, zh_dtype type, size_t elements, uint64_t seed,
                       uint64_t stream, float stdev, float mean) {
  float *values = malloc(elements * sizeof *values);
  if (!values) abort();
  zh_normal_fill(values, elements, seed, stream, 0, stdev);
  for (size_t i = 0; i < elements; ++i) {
    float value = values[i] + mean;
    uint16_t bits = type == ZH_F16 ? zh_f32_to_f16(value) : zh_f32_to_bf16(value);
    if (type == ZH_F32)
      memcpy(out + i * sizeof value, &value, sizeof value);
    else
      memcpy(out + i * sizeof bits, &bits, sizeof bits);
  }
  free(values);
}

static void fill_blocks(unsigned char *out, zh_dtype type, size_t bytes, uint64_t seed,
                        uint64_t stream, float stdev) {
  const zh_dtype_info *info = zh_dtype_find((uint32_t)type);
  dice d = {seed ^ (stream << 32), 0};
  uint32_t *random = malloc((bytes / sizeof *random + 1) * sizeof *random);
  if (!random) abort();
  zh_random_fill(random, bytes / sizeof *random + 1, seed, stream, 0);
  memcpy(out, random, bytes);
  free(random);
  for (size_t i = 0; i < bytes; i += info->block_bytes)
    set_scales(out + i, type, stdev * (0.5f + (float)dice_below(&d, 1000) / 1000));
}

/* --- the file --- */

typedef struct tensor {
  char name[48];
  uint64_t rows, columns; /* rows 0: a vector */
  zh_dtype type;
  float stdev;
} tensor;

static size_t list_tensors(tensor *out, const random_shape *s) {
  uint32_t query = s->heads * s->head_dim, key = s->kv_heads * s->head_dim;
  zh_dtype norms = s->half_norms ? ZH_F16 : ZH_F32;
  const struct {
    const char *name;
    uint32_t rows, columns;
  } parts[RANDOM_MATRICES] = {{"attn_q", query, s->hidden},    {"attn_k", key, s->hidden},
                              {"attn_v", key, s->hidden},      {"attn_output", s->hidden, query},
                              {"ffn_gate", s->ffn, s->hidden}, {"ffn_up", s->ffn, s->hidden},
                              {"ffn_down", s->hidden, s->ffn}};
  float head = 3 / sqrtf((float)s->hidden);
  size_t n = 0;
  out[n++] = (tensor){"token_embd.weight", s->vocab, s->hidden, s->embedding, s->tied ? head : 1};
  for (uint32_t layer = 0; layer < s->layers; ++layer) {
    for (int i = 0; i < RANDOM_MATRICES + 2; ++i) {
      tensor *t = &out[n++];
      *t = (tensor){.columns = s->hidden, .type = norms, .stdev = 0.1f};
      const char *name = i == RANDOM_MATRICES ? "attn_norm" : "ffn_norm";
      if (i < RANDOM_MATRICES) {
        name = parts[i].name;
        t->rows = parts[i].rows;
        t->columns = parts[i].columns;
        t->type = s->of_layer[i];
        t->stdev = 1 / sqrtf((float)t->columns);
      }
      snprintf(t->name, sizeof t->name, "blk.%u.%s.weight", layer, name);
    }
  }
  out[n++] = (tensor){"output_norm.weight", 0, s->hidden, norms, 0.1f};
  if (!s->tied) out[n++] = (tensor){"output.weight", s->vocab, s->hidden, s->head, head};
  return n;
}

static void put(FILE *f, const void *p, size_t n) {
  if (fwrite(p, 1, n, f) != n) abort();
}
static void put_u32(FILE *f, uint32_t v) {
  put(f, &v, sizeof v);
}
static void put_u64(FILE *f, uint64_t v) {
  put(f, &v, sizeof v);
}
static void put_text(FILE *f, const char *s) {
  put_u64(f, strlen(s));
  put(f, s, strlen(s));
}
static void put_count(FILE *f, const char *key, uint32_t v) {
  put_text(f, key);
  put_u32(f, TYPE_U32);
  put_u32(f, v);
}
static void put_real(FILE *f, const char *key, float v) {
  put_text(f, key);
  put_u32(f, TYPE_F32);
  put(f, &v, sizeof v);
}

static uint64_t bytes_of(const tensor *t) {
  const zh_dtype_info *type = zh_dtype_find((uint32_t)t->type);
  return (t->rows ? t->rows : 1) * t->columns / type->block_elements * type->block_bytes;
}

static void put_header(FILE *f, const random_shape *s, const tensor *tensors, size_t count) {
  uint64_t offset = 0;
  put(f, "GGUF", 4);
  put_u32(f, 3);
  put_u64(f, count);
  put_u64(f, 12);
  put_text(f, "general.architecture");
  put_u32(f, TYPE_STRING);
  put_text(f, "llama");
  put_count(f, "llama.block_count", s->layers);
  put_count(f, "llama.context_length", s->context);
  put_count(f, "llama.embedding_length", s->hidden);
  put_count(f, "llama.feed_forward_length", s->ffn);
  put_count(f, "llama.attention.head_count", s->heads);
  put_count(f, "llama.attention.head_count_kv", s->kv_heads);
  put_count(f, "llama.attention.key_length", s->head_dim);
  put_count(f, "llama.attention.value_length", s->head_dim);
  put_count(f, "llama.vocab_size", s->vocab);
  put_real(f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
  put_real(f, "llama.rope.freq_base", 10000.0f);
  for (size_t i = 0; i < count; ++i) {
    const tensor *t = &tensors[i];
    put_text(f, t->name);
    put_u32(f, t->rows ? 2 : 1);
    put_u64(f, t->columns);
    if (t->rows) put_u64(f, t->rows);
    put_u32(f, (uint32_t)t->type);
    put_u64(f, offset);
    offset += (bytes_of(t) + ALIGN - 1) / ALIGN * ALIGN;
  }
}

zh_status random_model_write(const char *path, const random_shape *s, uint64_t seed,
                             zh_error *err) {
  tensor tensors[TENSORS_MAX];
  size_t count = list_tensors(tensors, s);
  FILE *f = fopen(path, "wb");
  if (!f) return zh_fail(err, ZH_ERR_IO, "%s cannot be written", path);
  put_header(f, s, tensors, count);
  for (size_t i = 0; i < count; ++i) {
    const tensor *t = &tensors[i];
    size_t bytes = (size_t)bytes_of(t), elements = (size_t)((t->rows ? t->rows : 1) * t->columns);
    unsigned char *data = malloc(bytes + sizeof(float));
    if (!data) abort();
    if (zh_dtype_find((uint32_t)t->type)->block_elements == 1)
      fill_plain(data, t->type, elements, seed, i, t->stdev, t->rows ? 0 : 1);
    else
      fill_blocks(data, t->type, bytes, seed, i, t->stdev);
    while (ftell(f) % ALIGN) put(f, "", 1);
    put(f, data, bytes);
    free(data);
  }
  return fclose(f) == 0 ? ZH_OK : zh_fail(err, ZH_ERR_IO, "%s cannot be written", path);
}
