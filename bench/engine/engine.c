#include "bench/engine/engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"
#include "bench/engine/experts.h"
#include "bench/engine/latent.h"
#include "bench/engine/pass.h"

enum { ALIGNMENT = 64, PAGE = 4096, DEFAULT_MICRO_BATCH = 512, DEVICE_MICRO_BATCH = 2048 };

/* Of what attends, and of what attention gives. */
static size_t query_width(const zh_architecture *a) {
  return (size_t)a->heads * zh_key_dim(a);
}
static size_t key_width(const zh_architecture *a) {
  return (size_t)a->kv_heads * zh_key_dim(a);
}
static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

/* a * b, or SIZE_MAX, which no allocation grants. */
static size_t product(size_t a, size_t b) {
  size_t out;
  return __builtin_mul_overflow(a, b, &out) ? SIZE_MAX : out;
}

static zh_status check_options(const zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  if (engine->sequences == 0 || engine->context == 0)
    return zh_fail(err, ZH_ERR_ARG, "an engine needs at least one sequence and one position");
  if (engine->context > a->context) {
    return zh_fail(err, ZH_ERR_ARG,
                   "a context of %" PRIu32 " was asked for, but the model holds at most %" PRIu32,
                   engine->context, a->context);
  }
  if (a->heads / a->kv_heads > ZH_ATTENTION_ROWS) {
    return zh_fail(err, ZH_ERR_LACKING,
                   "%" PRIu32 " query heads share a key head; attention is made for %d at most",
                   a->heads / a->kv_heads, ZH_ATTENTION_ROWS);
  }
  return ZH_OK;
}

static zh_status allocate_cache(zh_engine *engine, zh_kv_type type, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  engine->kv = (zh_kv){.type = type,
                       .sequences = engine->sequences,
                       .kv_heads = a->kv_heads,
                       .head_dim = zh_key_dim(a),
                       .capacity = engine->context,
                       .shared = a->attention == ZH_ATTENTION_LATENT ? zh_seen_dim(a) : 0};
  engine->kept = type;
  engine->kv_layer = zh_kv_bytes(&engine->kv);
  size_t bytes = product(engine->kv_layer, a->layers);
  if (bytes != SIZE_MAX) {
    engine->kv.keys = zh_big_alloc(bytes);
    if (!engine->kv.shared) engine->kv.values = zh_big_alloc(bytes);
  }
  engine->length = calloc(engine->sequences, sizeof *engine->length);
  bool whole = engine->kv.keys && (engine->kv.values || engine->kv.shared);
  if (whole && engine->length) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING,
                 "the cache of %" PRIu32 " sequences of %" PRIu32
                 " positions needs %.1f GB, which this machine has not; "
                 "ask for a shorter context",
                 engine->sequences, engine->context,
                 (engine->kv.shared ? 1 : 2) * (double)bytes / 1e9);
}

/* Fewer tokens than would give each thread four key heads share attention by blocks of keys. */
static zh_status allocate_parts(zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  size_t threads = (size_t)zh_threads_count(engine->threads),
         tokens = (4 * threads - 1) / a->kv_heads,
         blocks = (size_t)engine->context / ZH_ATTENTION_BLOCK + 1;
  if (tokens > engine->micro_batch) tokens = engine->micro_batch;
  if (threads == 1 || tokens == 0 || engine->context <= ZH_ATTENTION_BLOCK) return ZH_OK;
  size_t floats = zh_attention_part_floats(tokens, a->heads, zh_kv_value_dim(&engine->kv), blocks);
  engine->part_tokens = tokens;
  engine->part_bytes = product(floats, sizeof(float));
  engine->parts = zh_big_alloc(engine->part_bytes);
  if (engine->parts) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the parts of attention");
}

/* Whether some layer turns by rope[1], and that is another one. */
static bool has_two_ropes(const zh_architecture *a) {
  bool slides = false;
  for (uint32_t l = 0; l < a->layers; ++l) slides |= zh_layer_is(a, l, ZH_LAYER_SLIDING);
  return slides && memcmp(&a->rope[0], &a->rope[1], sizeof a->rope[0]) != 0;
}

static zh_status set_frequencies(zh_engine *engine, zh_error *err) {
  for (int i = 0; i < 2; ++i) {
    const zh_rope *rope = &engine->architecture.rope[i];
    engine->frequency[i] = calloc(rope->dims / 2 + 1, sizeof *engine->frequency[i]);
    if (!engine->frequency[i])
      return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the frequencies of RoPE");
    zh_rope_frequencies(engine->frequency[i], rope, engine->context);
  }
  return ZH_OK;
}

/* Of this rank's heads. */
static zh_status set_slopes(zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  uint32_t all = engine->weights.total.architecture.heads;
  size_t first = (size_t)engine->stages.part.index * a->heads;
  if (!a->alibi) return ZH_OK;
  engine->slopes = malloc(all * sizeof *engine->slopes);
  if (!engine->slopes) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for ALiBi's slopes");
  zh_alibi_slopes(engine->slopes, all);
  memmove(engine->slopes, engine->slopes + first, a->heads * sizeof *engine->slopes);
  return ZH_OK;
}

/* One block for all activations, cut into [micro_batch][width] pieces at multiples of 16 floats. */
static zh_status allocate_activations(zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  size_t other_dims = has_two_ropes(a) ? a->rope[1].dims : 0, ffn = larger(a->ffn, a->shared_ffn);
  struct {
    float **at;
    size_t width;
  } pieces[] = {
      {&engine->x, a->hidden},
      {&engine->normed, a->hidden},
      {&engine->q, query_width(a)},
      {&engine->k, key_width(a)},
      {&engine->v, a->attention == ZH_ATTENTION_LATENT ? 0 : key_width(a)},
      {&engine->attended, query_width(a)},
      {&engine->delta, a->hidden},
      {&engine->gate, ffn},
      {&engine->up, ffn},
      {&engine->inner, ffn},
      {&engine->last, a->hidden},
      {&engine->angles[0], a->rope[0].dims},
      {&engine->angles[1], other_dims},
  };
  enum { PIECES = sizeof pieces / sizeof pieces[0], UNIT = ALIGNMENT / sizeof(float) };
  size_t total = 0;
  for (size_t i = 0; i < PIECES; ++i) {
    size_t floats = product(pieces[i].width, engine->micro_batch);
    if (floats >= SIZE_MAX / 64)
      return zh_fail(err, ZH_ERR_MEMORY, "activations of that size cannot be held");
    total += (floats + UNIT - 1) / UNIT * UNIT;
  }
  engine->activation_floats = total;
  engine->activations = zh_big_alloc(total * sizeof(float));
  if (!engine->activations) {
    return zh_fail(err, ZH_ERR_LACKING,
                   "activations of %" PRIu32 " tokens need %.1f GB, which this machine has not",
                   engine->micro_batch, (double)total * sizeof(float) / 1e9);
  }
  float *next = engine->activations;
  for (size_t i = 0; i < PIECES; ++i) {
    *pieces[i].at = next;
    next += (pieces[i].width * engine->micro_batch + UNIT - 1) / UNIT * UNIT;
  }
  if (!has_two_ropes(a)) engine->angles[1] = engine->angles[0];
  return ZH_OK;
}

static size_t longest_input(const zh_architecture *a) {
  size_t of_attention = larger((size_t)a->heads * a->value_dim, query_width(a)),
         of_latents = larger(a->latent.q_rank, a->latent.kv_rank);
  return larger(larger(a->hidden, larger(of_attention, of_latents)),
                larger(a->ffn, larger(a->expert_ffn, a->shared_ffn)));
}

static zh_status allocate_prepared_kind(zh_engine *engine, zh_rounding kind, zh_error *err) {
  if (engine->prepared[kind]) return ZH_OK;
  size_t bytes = zh_prepared_bytes(kind, longest_input(&engine->architecture), engine->micro_batch);
  engine->prepared[kind] = zh_big_alloc(bytes);
  engine->prepared_bytes[kind] = bytes;
  if (engine->prepared[kind]) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the inputs of products");
}

/* Room for the inputs of products, as packed weights want them in both ways. */
static zh_status allocate_prepared(zh_engine *engine, zh_error *err) {
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *weight = zh_weights_at(&engine->weights, i);
    const zh_packed *w = &weight->packed;
    if (!w->data) continue;
    const zh_roundings *rounds = &engine->kernels->rounds;
    for (int of_pass = ZH_FEW; of_pass <= ZH_MANY; ++of_pass) {
      zh_way way = zh_weight_way(weight, rounds, (zh_way)of_pass);
      ZH_TRY(allocate_prepared_kind(engine, zh_rounding_of(rounds, w->type, way), err));
    }
  }
  return ZH_OK;
}

static size_t rounded_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

static size_t own_total(const zh_engine *engine) {
  return engine->own_bytes * (size_t)(zh_threads_count(engine->threads) - 1);
}

/* On pages that the threads themselves touch first. */
static zh_status allocate_own(zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  size_t tokens = engine->micro_batch < ZH_TOKEN_GRAIN ? engine->micro_batch : ZH_TOKEN_GRAIN,
         bytes = rounded_up(tokens * a->hidden * sizeof(float), ALIGNMENT);
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind) {
    engine->own_prepared[kind] = bytes;
    if (engine->prepared[kind])
      bytes += rounded_up(zh_prepared_bytes(kind, longest_input(a), tokens), ALIGNMENT);
  }
  engine->own_bytes = rounded_up(bytes, PAGE);
  if (own_total(engine) == 0) return ZH_OK;
  engine->own = zh_big_alloc(own_total(engine));
  if (engine->own) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the threads' inputs of products");
}

static zh_status allocate_scratch(zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  size_t columns = longest_input(a);
  size_t matmul = larger(zh_matmul_scratch_bytes(columns, engine->micro_batch),
                         zh_multiply_scratch_bytes(columns));
  size_t attention = zh_attention_scratch_bytes(zh_key_dim(a));
  engine->scratch_bytes = rounded_up(larger(matmul, attention), ALIGNMENT);
  size_t bytes = product(engine->scratch_bytes, (size_t)zh_threads_count(engine->threads));
  if (bytes != SIZE_MAX) engine->scratch = aligned_alloc(ALIGNMENT, bytes);
  return engine->scratch
             ? ZH_OK
             : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the threads' scratch space");
}

float zh_head_factor(const float *row, size_t columns) {
  double squares = 0;
  for (size_t i = 0; i < columns; ++i) squares += (double)row[i] * row[i];
  return (float)(1 / sqrt(squares));
}

/* Each row of a normalised head is divided by its length: its logit, here. */
static zh_status measure_head(zh_engine *engine, zh_error *err) {
  const zh_weight *w = &engine->weights.whole[ZH_HEAD];
  if (!engine->architecture.normalised_head || !w->tensor) return ZH_OK;
  engine->head_factor = malloc(w->matrix.rows * sizeof *engine->head_factor);
  unsigned char *bytes = malloc(zh_weight_whole_row_bytes(w));
  float *row = malloc(w->matrix.columns * sizeof *row);
  bool whole = engine->head_factor && bytes && row;
  for (size_t r = 0; whole && r < w->matrix.rows; ++r) {
    zh_dequantize_row(row, zh_weight_source_row(w, r, bytes), w->matrix.type, w->matrix.columns);
    engine->head_factor[r] = zh_head_factor(row, w->matrix.columns);
  }
  free(bytes);
  free(row);
  return whole ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the head's lengths");
}

static zh_status hold_weights(zh_engine *engine, const zh_model *model,
                              const zh_engine_options *options, zh_error *err) {
  ZH_TRY(zh_weights_open(&engine->weights, model, engine->stages.part, engine->threads, err));
  engine->architecture = engine->weights.architecture;
  ZH_TRY(measure_head(engine, err));
  bool pack = options->precision == ZH_PRECISION_FAST && !options->unpacked &&
              engine->kernels->multiply != NULL;
  return pack ? zh_weights_pack(&engine->weights, engine->threads, options->packed_cache, err)
              : ZH_OK;
}

/* Tokens computed together: no more than the cache holds. */
static void set_micro_batch(zh_engine *engine, const zh_engine_options *options) {
  size_t most = product(engine->sequences, engine->context);
  uint32_t usual = options->device > 0 ? DEVICE_MICRO_BATCH : DEFAULT_MICRO_BATCH;
  engine->micro_batch = options->micro_batch ? options->micro_batch : usual;
  if (engine->micro_batch > most) engine->micro_batch = (uint32_t)most;
}

static zh_status describe_on_device(zh_engine *engine, const zh_model *model,
                                    const zh_engine_options *options, zh_error *err) {
  ZH_TRY(zh_device_engine_open(engine, options, err));
  ZH_TRY(zh_weights_describe(&engine->weights, model, err));
  engine->weights.elsewhere = true;
  ZH_TRY(zh_weights_cut(&engine->weights, engine->stages.part, err));
  engine->architecture = engine->weights.architecture;
  ZH_TRY(check_options(engine, err));
  set_micro_batch(engine, options);
  return ZH_OK;
}

/* Nothing but vectors and lengths is here; the rest is the device's. */
static zh_status hold_on_device(zh_engine *engine, const zh_model *model,
                                const zh_engine_options *options, zh_error *err) {
  zh_status status = describe_on_device(engine, model, options, err);
  if (engine->stages.comm) status = zh_comm_agree(engine->stages.comm, status, err);
  ZH_TRY(status);
  ZH_TRY(zh_device_join(engine, options->ranks, err));
  ZH_TRY(zh_weights_generate(&engine->weights, engine->threads, err));
  ZH_TRY(zh_weights_set_gains(&engine->weights, err));
  ZH_TRY(measure_head(engine, err));
  engine->length = calloc(engine->sequences, sizeof *engine->length);
  if (!engine->length) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for an engine");
  ZH_TRY(set_frequencies(engine, err));
  ZH_TRY(set_slopes(engine, err));
  return zh_device_engine_fill(engine, options, err);
}

static zh_status hold_activations(zh_engine *engine, const zh_engine_options *options,
                                  zh_error *err) {
  ZH_TRY(check_options(engine, err));
  set_micro_batch(engine, options);
  bool rounds = options->precision == ZH_PRECISION_FAST && !options->unpacked;
  ZH_TRY(allocate_cache(engine, rounds ? options->kv : ZH_KV_F32, err));
  ZH_TRY(allocate_parts(engine, err));
  ZH_TRY(set_frequencies(engine, err));
  ZH_TRY(set_slopes(engine, err));
  ZH_TRY(allocate_activations(engine, err));
  ZH_TRY(allocate_scratch(engine, err));
  ZH_TRY(allocate_prepared(engine, err));
  ZH_TRY(zh_experts_create(&engine->experts, engine, err));
  ZH_TRY(zh_latents_create(&engine->latents, engine, err));
  return allocate_own(engine, err);
}

/* What ties the ranks together. */
static zh_status join_ranks(zh_engine *engine, zh_error *err) {
  const zh_comm *comm = engine->stages.comm, *tied = zh_stages_tied(&engine->stages);
  size_t floats = (size_t)engine->micro_batch * engine->architecture.hidden;
  if (engine->device) return ZH_OK; /* zh_device_join */
  zh_status status = zh_stages_reserve(&engine->stages, floats, err);
  if (comm) ZH_TRY(zh_comm_agree(comm, status, err));
  if (tied)
    status = zh_reduce_create(&engine->reduce, tied, floats, engine->architecture.vocab,
                              engine->threads, err);
  return comm ? zh_comm_agree(comm, status, err) : status;
}

/* Before anything is read. */
static zh_status refuse_kept(const zh_engine_options *options, zh_error *err) {
  bool rounds = options->precision == ZH_PRECISION_FAST && !options->unpacked;
  if (!rounds || options->kv != ZH_KV_E4M3) return ZH_OK;
  return zh_fail(
      err, ZH_ERR_LACKING,
      "keys and values of type %s are kept on GPUs alone; ask for bf16, f32 or q8, or for "
      "a GPU",
      zh_kv_names[options->kv]);
}

static zh_status hold_model(zh_engine *engine, const zh_model *model,
                            const zh_engine_options *options, zh_error *err) {
  if (options->device > 0) return hold_on_device(engine, model, options, err);
  ZH_TRY(refuse_kept(options, err));
  ZH_TRY(hold_weights(engine, model, options, err));
  return hold_activations(engine, options, err);
}

zh_status zh_engine_create(zh_engine **out, const zh_model *model, zh_threads *threads,
                           const zh_engine_options *options, zh_error *err) {
  const zh_ranks none = {0}, *ranks = options->ranks ? options->ranks : &none;
  const zh_comm *comm = ranks->comm;
  zh_engine *engine = calloc(1, sizeof *engine);
  zh_status status =
      engine ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for an engine");
  if (comm) status = zh_comm_agree(comm, status, err);
  if (status != ZH_OK) {
    free(engine);
    return status;
  }
  *engine = (zh_engine){.threads = threads,
                        .kernels = options->precision == ZH_PRECISION_FAST ? zh_kernels_best()
                                                                           : zh_kernels_reference(),
                        .sequences = options->sequences,
                        .context = options->context};
  status = zh_stages_find(&engine->stages, ranks, err);
  if (status == ZH_OK) {
    status = hold_model(engine, model, options, err);
    if (status == ZH_OK) status = zh_engine_count(engine, true, err);
    if (comm) status = zh_comm_agree(comm, status, err);
  }
  if (status == ZH_OK) status = join_ranks(engine, err);
  if (status != ZH_OK) {
    zh_engine_free(engine);
    return status;
  }
  *out = engine;
  return ZH_OK;
}

void zh_engine_free(zh_engine *engine) {
  if (!engine) return;
  zh_device_engine_free(engine);
  zh_weights_close(&engine->weights);
  zh_experts_free(engine->experts);
  zh_latents_free(engine->latents);
  zh_reduce_free(engine->reduce);
  zh_stages_close(&engine->stages);
  size_t cache = product(engine->kv_layer, engine->architecture.layers);
  if (engine->kv.keys) zh_big_free(engine->kv.keys, cache);
  if (engine->kv.values) zh_big_free(engine->kv.values, cache);
  if (engine->parts) zh_big_free(engine->parts, engine->part_bytes);
  if (engine->activations)
    zh_big_free(engine->activations, engine->activation_floats * sizeof(float));
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind)
    if (engine->prepared[kind]) zh_big_free(engine->prepared[kind], engine->prepared_bytes[kind]);
  if (engine->own) zh_big_free(engine->own, own_total(engine));
  for (int i = 0; i < 2; ++i) free(engine->frequency[i]);
  free(engine->slopes);
  free(engine->head_factor);
  free(engine->length);
  free(engine->scratch);
  free(engine->before);
  free(engine->gathered);
  free(engine->spent);
  free(engine);
}

void zh_engine_truncate(zh_engine *engine, uint32_t sequence, uint32_t length) {
  if (sequence < engine->sequences && engine->length[sequence] > length)
    engine->length[sequence] = length;
  if (engine->device && sequence < engine->sequences) zh_device_truncate(engine, sequence, length);
}

void zh_engine_poison(zh_engine *engine, uint32_t sequence, uint32_t length) {
  if (engine->device && sequence < engine->sequences) zh_device_poison(engine, sequence, length);
  for (size_t layer = 0; !engine->device && layer < engine->architecture.layers; ++layer) {
    zh_kv kv = zh_engine_kv(engine, layer);
    zh_kv_poison(&kv, sequence, length);
  }
  zh_engine_truncate(engine, sequence, length);
}

bool zh_engine_copies(const zh_engine *engine) {
  return !engine->device;
}

typedef struct copying {
  const zh_engine *engine;
  uint32_t to, from, begin, end;
} copying;

static void copy_layers(void *user, int thread, int threads) {
  const copying *c = user;
  size_t first, last;
  zh_share(&first, &last, c->engine->architecture.layers, 1, thread, threads);
  for (size_t layer = first; layer < last; ++layer) {
    zh_kv kv = zh_engine_kv(c->engine, layer);
    zh_kv_copy(&kv, c->to, c->from, c->begin, c->end);
  }
}

void zh_engine_copy(zh_engine *engine, uint32_t to, uint32_t from, uint32_t begin, uint32_t end) {
  copying c = {engine, to, from, begin, end};
  zh_threads_run(engine->threads, copy_layers, &c);
  engine->length[to] = end;
}

zh_kv zh_engine_kv(const zh_engine *engine, size_t layer) {
  zh_kv kv = engine->kv;
  kv.keys += layer * engine->kv_layer;
  if (!kv.shared) kv.values += layer * engine->kv_layer;
  return kv;
}

zh_status zh_engine_observe(zh_engine *engine, zh_observer observer, void *user, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  if (observer && engine->device) {
    ZH_TRY(zh_device_begin_observing(engine, err));
  } else if (observer && !engine->before) {
    size_t width = larger(a->hidden, query_width(a) + key_width(a));
    engine->before = malloc(engine->micro_batch * width * sizeof(float));
    engine->gathered = malloc(3 * (size_t)engine->micro_batch * sizeof *engine->gathered);
    if (!engine->before || !engine->gathered)
      return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check operators");
  }
  engine->observer = observer;
  engine->observer_user = user;
  return ZH_OK;
}

bool zh_engine_has_head(const zh_engine *engine) {
  return engine->weights.whole[ZH_HEAD].tensor != NULL;
}

zh_status zh_engine_share(const zh_engine *engine, void *bytes, size_t length, zh_error *err) {
  const zh_stages *s = &engine->stages;
  if (s->part.stages <= 1) return ZH_OK;
  return s->comm->broadcast(s->comm, bytes, length, s->head, err);
}

zh_arithmetic zh_engine_arithmetic(const zh_engine *engine) {
  /* Products of packed weights are summed in fp32, whatever the table does else. */
  zh_arithmetic arithmetic = {.fp64_sums = engine->kernels->fp64_sums && !engine->weights.packed,
                              .kv = engine->kept,
                              .context = engine->context};
  if (engine->weights.packed || engine->device) arithmetic.rounds = engine->kernels->rounds;
  arithmetic.rounds.attention = engine->kernels->rounds.attention;
  return arithmetic;
}

zh_rounding zh_engine_rounding(const zh_engine *engine, size_t tokens) {
  zh_arithmetic arithmetic = zh_engine_arithmetic(engine);
  uint64_t elements[ZH_ROUNDINGS] = {0};
  zh_way way = zh_way_of(tokens);
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *w = zh_weights_at(&engine->weights, i);
    if (!w->gain && w != &engine->weights.whole[ZH_EMBEDDING])
      elements[zh_weight_rounding(
          w, &arithmetic.rounds, zh_weight_way(w, &arithmetic.rounds, way))] += w->tensor->elements;
  }
  zh_rounding most = ZH_ROUND_NONE;
  for (int i = 0; i < ZH_ROUNDINGS; ++i)
    if (elements[i] > elements[most]) most = (zh_rounding)i;
  return most;
}

const char *zh_engine_memory_peak(const zh_engine *engine) {
  return engine->device ? "gpu-memory/read" : "memory/read_all_cores";
}

double zh_engine_gpus(const zh_engine *engine) {
  return engine->device && engine->stages.comm ? engine->stages.comm->size : 1;
}

const char *zh_engine_peak(const zh_engine *engine, size_t tokens) {
  static const char *const loops[ZH_ROUNDINGS] = {
      "compute/fp32_fma_all_cores", "compute/bf16_dot_all_cores", "compute/int8_dot_all_cores",
      "compute/int8_dot_all_cores", "compute/bf16_dot_all_cores", ""};
  static const char *const of_device[ZH_ROUNDINGS] = {
      "gpu-compute/fp32_fma",    "gpu-compute/bf16_tensor", "gpu-compute/int8_tensor",
      "gpu-compute/int8_tensor", "gpu-compute/bf16_tensor", "gpu-compute/fp8_tensor"};
  if (engine->device) return of_device[zh_engine_rounding(engine, tokens)];
  return loops[zh_engine_rounding(engine, tokens)];
}

uint64_t zh_sum_of_bits(const float *values, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &values[i], sizeof bits);
    sum += bits;
  }
  return sum;
}

const zh_architecture *zh_engine_architecture(const zh_engine *engine) {
  return &engine->architecture;
}

/* The mean of min(n, window) for n from first + 1 to first + count. */
static double seen_in_window(double first, double count, double window) {
  double whole = window - first; /* tokens that see all before them */
  if (whole >= count) return first + (count + 1) / 2;
  if (whole <= 0) return window;
  return (whole * (first + (whole + 1) / 2) + (count - whole) * window) / count;
}

double zh_engine_seen(const zh_engine *engine, uint64_t first, uint64_t count) {
  const zh_architecture *a = &engine->weights.total.architecture;
  double all = (double)first + ((double)count + 1) / 2, sum = 0;
  for (uint32_t l = 0; l < a->layers; ++l)
    sum += zh_layer_is(a, l, ZH_LAYER_SLIDING)
               ? seen_in_window((double)first, (double)count, a->window)
               : all;
  return sum / a->layers;
}

/* Of a query and a key, all heads: their product, and the weighted value; of latents no more than
 * counts of it. */
static uint64_t pair_products(const zh_architecture *a) {
  bool latent = a->attention == ZH_ATTENTION_LATENT;
  return (uint64_t)a->heads * (zh_key_dim(a) + (latent ? a->latent.kv_rank : a->head_dim));
}

zh_engine_cost zh_engine_cost_of(const zh_engine *engine) {
  const zh_architecture *a = &engine->architecture;
  uint64_t parts = (uint64_t)engine->stages.part.parts;
  const zh_weights_total *total = &engine->weights.total;
  zh_engine_cost cost = {0};
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *w = zh_weights_at(&engine->weights, i);
    cost.memory_weights += w->packed.data
                               ? zh_packed_bytes(w->packed.type, w->packed.rows, w->packed.columns)
                               : zh_weight_bytes(w);
  }
  cost.weight_bytes = total->step_bytes + (uint64_t)llround((double)total->expert_bytes *
                                                            zh_experts_share_read(engine->experts));
  cost.flops_per_token = total->flops_per_token;
  cost.head_flops = 2 * (uint64_t)a->vocab * a->hidden;
  cost.attention_flops_per_pair = 2 * (uint64_t)total->layers * pair_products(a) * parts;
  cost.kv_bytes_per_position = total->layers * parts * zh_kv_position_bytes(&engine->kv);
  cost.memory_kv = (engine->kv.shared ? 1 : 2) * (uint64_t)engine->kv_layer * a->layers;
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind)
    cost.memory_activations += engine->prepared_bytes[kind];
  if (engine->head_factor)
    cost.memory_activations += engine->weights.whole[ZH_HEAD].matrix.rows * sizeof(float);
  cost.memory_activations +=
      (uint64_t)engine->activation_floats * sizeof(float) +
      (uint64_t)engine->scratch_bytes * (uint64_t)zh_threads_count(engine->threads) +
      own_total(engine) + engine->part_bytes + zh_experts_bytes(engine->experts) +
      zh_latents_bytes(engine->latents) +
      ZH_COMM_SENDS * (uint64_t)engine->stages.floats * sizeof(float) +
      (engine->reduce ? zh_reduce_bytes(engine->reduce) : 0);
  if (engine->device) zh_device_cost(&cost, engine);
  return cost;
}
