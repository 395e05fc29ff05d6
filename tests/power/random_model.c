#include "tests/power/random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "kernels/kernels.h"

enum { ALIGN = 32, TENSORS_MAX = 128, TYPE_STRING = 8, TYPE_U32 = 4, TYPE_F32 = 6 };

uint32_t dice_below(dice *d, uint32_t below) {
  uint32_t bits;
  zh_random_fill(&bits, 1, d->seed, UINT64_C(0x64696365), d->drawn++);
  return (uint32_t)(((uint64_t)bits * below) >> 32);
}

uint32_t dice_from(dice *d, uint32_t low, uint32_t high) {
  return low + dice_below(d, high - low + 1);
}

/* --- families: what each has beyond Llama --- */

struct random_family {
  const char *name; /* in GGUF */
  bool qkv_bias, output_bias, head_norms, post_norms, windows, caps, sinks, latent;
  bool experts, expert_biases, shared;
};
static const random_family FAMILIES[] = {
    {.name = "llama"},
    {.name = "llama", .experts = true},
    {.name = "qwen2", .qkv_bias = true},
    {.name = "qwen3", .head_norms = true},
    {.name = "qwen3moe", .head_norms = true, .experts = true},
    {.name = "qwen2moe", .qkv_bias = true, .experts = true, .shared = true},
    {.name = "gemma2", .post_norms = true, .windows = true, .caps = true},
    {.name = "gemma3", .head_norms = true, .post_norms = true, .windows = true},
    {.name = "gpt-oss",
     .qkv_bias = true,
     .output_bias = true,
     .windows = true,
     .sinks = true,
     .experts = true,
     .expert_biases = true},
    {.name = "deepseek2", .latent = true}};
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof FAMILIES[0] };

static const random_family *draw_family(dice *d, bool experts) {
  for (;;) {
    const random_family *family =
        &FAMILIES[dice_below(d, 3) == 0 ? 0 : dice_below(d, FAMILY_COUNT)];
    if (!experts || family->experts) return family;
  }
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

random_shape random_shape_draw(dice *d, uint32_t layers_min, bool experts) {
  static const uint32_t units[] = {2, 32, 256}, dims[] = {6, 10, 16, 20, 32, 48, 64, 80, 96, 128};
  uint32_t unit = units[dice_below(d, 3)];
  random_shape s = {.layers = dice_from(d, layers_min, 4), .context = 64};
  s.family = draw_family(d, experts);
  do {
    s.head_dim = dims[dice_below(d, 10)];
    s.kv_heads = dice_from(d, 1, 3);
    s.heads = s.kv_heads * dice_from(d, 1, 4);
  } while (s.heads * s.head_dim % unit != 0 || s.heads * s.head_dim > 768);
  s.hidden = unit * (unit == 2 ? dice_from(d, 10, 60) : dice_from(d, 1, 256 / unit + 2));
  s.ffn = unit * (unit == 2 ? dice_from(d, 10, 90) : dice_from(d, 1, 256 / unit + 4));
  s.vocab = dice_from(d, 33, 300);
  s.experts = dice_from(d, 3, 6);
  s.experts_used = dice_from(d, 2, 3);
  s.expert_ffn = unit * (unit == 2 ? dice_from(d, 10, 50) : dice_from(d, 1, 256 / unit + 1));
  s.shared_ffn = unit * (unit == 2 ? dice_from(d, 10, 50) : dice_from(d, 1, 256 / unit + 1));
  s.window = dice_from(d, 2, 16);
  s.latent_rank = unit == 2 ? 2 * dice_from(d, 5, 40) : unit * dice_from(d, 1, 64 / unit + 1);
  s.latent_turned = 2 * dice_from(d, 2, 12);
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
      out, capacity, "%s%s, %u layers, hidden %u, %u/%u heads of %u, ffn %u, vocabulary %u%s,",
      s->family->name, s->family->experts ? " with experts" : "", s->layers, s->hidden, s->heads,
      s->kv_heads, s->head_dim, s->ffn, s->vocab, s->tied ? ", tied" : "");
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
  char name[56];
  uint64_t rows, columns, count; /* rows 0: a vector; count: of matrices, 0: one */
  zh_dtype type;
  float stdev, mean;
} tensor;

typedef struct tensors {
  tensor of[TENSORS_MAX];
  size_t count;
  const random_shape *s;
  uint32_t layer;
} tensors;

static tensor *add(tensors *t, const char *name) {
  if (t->count == TENSORS_MAX) abort();
  tensor *one = &t->of[t->count++];
  *one = (tensor){.type = t->s->half_norms ? ZH_F16 : ZH_F32};
  snprintf(one->name, sizeof one->name, "blk.%u.%s", t->layer, name);
  return one;
}

static void add_vector(tensors *t, const char *name, uint64_t columns, float stdev, float mean) {
  tensor *one = add(t, name);
  one->columns = columns;
  one->stdev = stdev;
  one->mean = mean;
}

static void add_norm(tensors *t, const char *name, uint64_t columns) {
  add_vector(t, name, columns, 0.1f, 1);
}

static void add_bias(tensors *t, bool there, const char *name, uint64_t columns) {
  if (there) add_vector(t, name, columns, 0.3f, 0);
}

static tensor *add_matrix(tensors *t, const char *name, zh_dtype type, uint64_t rows,
                          uint64_t columns) {
  tensor *one = add(t, name);
  one->type = type;
  one->rows = rows;
  one->columns = columns;
  one->stdev = 1 / sqrtf((float)columns);
  return one;
}

static void add_latent(tensors *t) {
  const random_shape *s = t->s;
  uint64_t key = s->head_dim + s->latent_turned;
  add_matrix(t, "attn_q.weight", s->of_layer[0], s->heads * key, s->hidden);
  add_matrix(t, "attn_kv_a_mqa.weight", s->of_layer[1], s->latent_rank + s->latent_turned,
             s->hidden);
  add_norm(t, "attn_kv_a_norm.weight", s->latent_rank);
  add_matrix(t, "attn_k_b.weight", ZH_BF16, s->latent_rank, s->head_dim)->count = s->heads;
  add_matrix(t, "attn_v_b.weight", s->of_layer[2], s->head_dim, s->latent_rank)->count = s->heads;
}

static void add_attention(tensors *t) {
  const random_shape *s = t->s;
  const random_family *f = s->family;
  uint32_t query = s->heads * s->head_dim, key = s->kv_heads * s->head_dim;
  add_norm(t, "attn_norm.weight", s->hidden);
  if (f->latent) {
    add_latent(t);
  } else {
    add_matrix(t, "attn_q.weight", s->of_layer[0], query, s->hidden);
    add_matrix(t, "attn_k.weight", s->of_layer[1], key, s->hidden);
    add_matrix(t, "attn_v.weight", s->of_layer[2], key, s->hidden);
  }
  add_bias(t, f->qkv_bias, "attn_q.bias", query);
  add_bias(t, f->qkv_bias, "attn_k.bias", key);
  add_bias(t, f->qkv_bias, "attn_v.bias", key);
  if (f->head_norms) add_norm(t, "attn_q_norm.weight", s->head_dim);
  if (f->head_norms) add_norm(t, "attn_k_norm.weight", s->head_dim);
  add_bias(t, f->sinks, "attn_sinks.weight", s->heads);
  add_matrix(t, "attn_output.weight", s->of_layer[3], s->hidden, query);
  add_bias(t, f->output_bias, "attn_output.bias", s->hidden);
  if (f->post_norms) add_norm(t, "post_attention_norm.weight", s->hidden);
}

static void add_dense(tensors *t) {
  const random_shape *s = t->s;
  add_matrix(t, "ffn_gate.weight", s->of_layer[4], s->ffn, s->hidden);
  add_matrix(t, "ffn_up.weight", s->of_layer[5], s->ffn, s->hidden);
  add_matrix(t, "ffn_down.weight", s->of_layer[6], s->hidden, s->ffn);
}

static void add_expert_biases(tensors *t) {
  const random_shape *s = t->s;
  const struct {
    const char *name;
    uint64_t columns;
  } biases[] = {{"ffn_gate_exps.bias", s->expert_ffn},
                {"ffn_up_exps.bias", s->expert_ffn},
                {"ffn_down_exps.bias", s->hidden}};
  add_bias(t, true, "ffn_gate_inp.bias", s->experts);
  for (int i = 0; i < 3; ++i) {
    tensor *one = add_matrix(t, biases[i].name, ZH_F32, s->experts, biases[i].columns);
    one->stdev = 0.3f;
  }
}

static void add_experts(tensors *t) {
  const random_shape *s = t->s;
  add_matrix(t, "ffn_gate_inp.weight", ZH_F32, s->experts, s->hidden);
  add_matrix(t, "ffn_gate_exps.weight", s->of_layer[4], s->expert_ffn, s->hidden)->count =
      s->experts;
  add_matrix(t, "ffn_up_exps.weight", s->of_layer[5], s->expert_ffn, s->hidden)->count = s->experts;
  add_matrix(t, "ffn_down_exps.weight", s->of_layer[6], s->hidden, s->expert_ffn)->count =
      s->experts;
  if (s->family->expert_biases) add_expert_biases(t);
  if (!s->family->shared) return;
  add_vector(t, "ffn_gate_inp_shexp.weight", s->hidden, 0.1f, 0);
  add_matrix(t, "ffn_gate_shexp.weight", s->of_layer[4], s->shared_ffn, s->hidden);
  add_matrix(t, "ffn_up_shexp.weight", s->of_layer[5], s->shared_ffn, s->hidden);
  add_matrix(t, "ffn_down_shexp.weight", s->of_layer[6], s->hidden, s->shared_ffn);
}

static void list_tensors(tensors *t, const random_shape *s) {
  float head = 3 / sqrtf((float)s->hidden);
  zh_dtype norms = s->half_norms ? ZH_F16 : ZH_F32;
  *t = (tensors){.s = s};
  t->of[t->count++] = (tensor){.name = "token_embd.weight",
                               .rows = s->vocab,
                               .columns = s->hidden,
                               .type = s->embedding,
                               .stdev = s->tied ? head : 1};
  for (t->layer = 0; t->layer < s->layers; ++t->layer) {
    bool sinks = s->family->sinks; /* gpt-oss calls the FFN's norm so */
    add_attention(t);
    add_norm(t, sinks ? "post_attention_norm.weight" : "ffn_norm.weight", s->hidden);
    if (s->family->experts)
      add_experts(t);
    else
      add_dense(t);
    if (s->family->post_norms) add_norm(t, "post_ffw_norm.weight", s->hidden);
  }
  t->of[t->count++] = (tensor){
      .name = "output_norm.weight", .columns = s->hidden, .type = norms, .stdev = 0.1f, .mean = 1};
  if (!s->tied)
    t->of[t->count++] = (tensor){.name = "output.weight",
                                 .rows = s->vocab,
                                 .columns = s->hidden,
                                 .type = s->head,
                                 .stdev = head};
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
/* Keys of the family's own, counted where f is NULL. */
typedef struct keys {
  FILE *f;
  const char *family;
  uint64_t count;
} keys;

static void put_key(keys *k, const char *key, uint32_t type, const void *value) {
  char name[96];
  ++k->count;
  if (!k->f) return;
  snprintf(name, sizeof name, "%s.%s", k->family, key);
  put_text(k->f, name);
  put_u32(k->f, type);
  put(k->f, value, 4);
}
static void put_count(keys *k, const char *key, uint32_t v) {
  put_key(k, key, TYPE_U32, &v);
}
static void put_real(keys *k, const char *key, float v) {
  put_key(k, key, TYPE_F32, &v);
}

static uint64_t elements_of(const tensor *t) {
  return (t->count ? t->count : 1) * (t->rows ? t->rows : 1) * t->columns;
}

static uint64_t bytes_of(const tensor *t) {
  const zh_dtype_info *type = zh_dtype_find((uint32_t)t->type);
  return elements_of(t) / type->block_elements * type->block_bytes;
}

static void put_attention_keys(keys *k, const random_shape *s) {
  const random_family *f = s->family;
  uint32_t latent = f->latent ? s->latent_turned : 0;
  put_count(k, "attention.head_count", s->heads);
  put_count(k, "attention.head_count_kv", f->latent ? 1 : s->kv_heads);
  put_count(k, f->latent ? "attention.key_length_mla" : "attention.key_length",
            s->head_dim + latent);
  put_count(k, f->latent ? "attention.value_length_mla" : "attention.value_length", s->head_dim);
  put_real(k, "rope.freq_base", 10000.0f);
  if (f->windows) put_count(k, "attention.sliding_window", s->window);
  if (f->caps) put_real(k, "attn_logit_softcapping", 5);
  if (f->caps) put_real(k, "final_logit_softcapping", 10);
  if (!f->latent) return;
  put_count(k, "attention.kv_lora_rank", s->latent_rank);
  put_count(k, "rope.dimension_count", s->latent_turned);
  put_count(k, "leading_dense_block_count", s->layers);
}

static void put_keys(keys *k, const random_shape *s) {
  put_count(k, "block_count", s->layers);
  put_count(k, "context_length", s->context);
  put_count(k, "embedding_length", s->hidden);
  put_count(k, "feed_forward_length", s->ffn);
  put_count(k, "vocab_size", s->vocab);
  put_real(k, "attention.layer_norm_rms_epsilon", 1e-5f);
  put_attention_keys(k, s);
  if (!s->family->experts) return;
  put_count(k, "expert_count", s->experts);
  put_count(k, "expert_used_count", s->experts_used);
  put_count(k, "expert_feed_forward_length", s->expert_ffn);
  if (s->family->shared) put_count(k, "expert_shared_feed_forward_length", s->shared_ffn);
}

static void put_tensor(FILE *f, const tensor *t, uint64_t offset) {
  put_text(f, t->name);
  put_u32(f, t->count ? 3 : t->rows ? 2 : 1);
  put_u64(f, t->columns);
  if (t->rows) put_u64(f, t->rows);
  if (t->count) put_u64(f, t->count);
  put_u32(f, (uint32_t)t->type);
  put_u64(f, offset);
}

static void put_header(FILE *f, const tensors *all) {
  const random_shape *s = all->s;
  keys none = {.family = s->family->name}, k = {f, s->family->name, 0};
  uint64_t offset = 0;
  put_keys(&none, s);
  put(f, "GGUF", 4);
  put_u32(f, 3);
  put_u64(f, all->count);
  put_u64(f, none.count + 1);
  put_text(f, "general.architecture");
  put_u32(f, TYPE_STRING);
  put_text(f, s->family->name);
  put_keys(&k, s);
  for (size_t i = 0; i < all->count; ++i) {
    put_tensor(f, &all->of[i], offset);
    offset += (bytes_of(&all->of[i]) + ALIGN - 1) / ALIGN * ALIGN;
  }
}

zh_status random_model_write(const char *path, const random_shape *s, uint64_t seed,
                             zh_error *err) {
  tensors all;
  list_tensors(&all, s);
  FILE *f = fopen(path, "wb");
  if (!f) return zh_fail(err, ZH_ERR_IO, "%s cannot be written", path);
  put_header(f, &all);
  for (size_t i = 0; i < all.count; ++i) {
    const tensor *t = &all.of[i];
    size_t bytes = (size_t)bytes_of(t), elements = (size_t)elements_of(t);
    unsigned char *data = malloc(bytes + sizeof(float));
    if (!data) abort();
    if (zh_dtype_find((uint32_t)t->type)->block_elements == 1)
      fill_plain(data, t->type, elements, seed, i, t->stdev, t->mean);
    else
      fill_blocks(data, t->type, bytes, seed, i, t->stdev);
    while (ftell(f) % ALIGN) put(f, "", 1);
    put(f, data, bytes);
    free(data);
  }
  return fclose(f) == 0 ? ZH_OK : zh_fail(err, ZH_ERR_IO, "%s cannot be written", path);
}
