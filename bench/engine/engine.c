#include "bench/engine/engine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"

enum { ALIGNMENT = 64, DEFAULT_MICRO_BATCH = 512, ATTENTION_EXTRA_FLOATS = 16 };

static size_t query_width(const zh_architecture *a) {
  return (size_t)a->heads * a->head_dim;
}
static size_t key_width(const zh_architecture *a) {
  return (size_t)a->kv_heads * a->head_dim;
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
  return ZH_OK;
}

static zh_status allocate_cache(zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  size_t positions = product(product(a->layers, engine->sequences), engine->context);
  engine->cache_floats = product(positions, key_width(a));
  size_t bytes = product(engine->cache_floats, sizeof(float));
  if (bytes != SIZE_MAX) {
    engine->keys = zh_big_alloc(bytes);
    engine->values = zh_big_alloc(bytes);
  }
  engine->length = calloc(engine->sequences, sizeof *engine->length);
  if (engine->keys && engine->values && engine->length) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING,
                 "the cache of %" PRIu32 " sequences of %" PRIu32
                 " positions needs %.1f GB, which this machine has not; "
                 "ask for a shorter context",
                 engine->sequences, engine->context, 2.0 * (double)bytes / 1e9);
}

/* One block for all activations, cut into [micro_batch][width] pieces at multiples of 16 floats. */
static zh_status allocate_activations(zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  struct {
    float **at;
    size_t width;
  } pieces[] = {
      {&engine->x, a->hidden},      {&engine->normed, a->hidden},
      {&engine->q, query_width(a)}, {&engine->k, key_width(a)},
      {&engine->v, key_width(a)},   {&engine->attended, query_width(a)},
      {&engine->delta, a->hidden},  {&engine->gate, a->ffn},
      {&engine->up, a->ffn},        {&engine->inner, a->ffn},
      {&engine->last, a->hidden},
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
  return ZH_OK;
}

static size_t longest_input(const zh_architecture *a) {
  return larger(larger(a->hidden, a->ffn), query_width(a));
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
    const zh_packed *w = &zh_weights_at(&engine->weights, i)->packed;
    if (!w->data) continue;
    const zh_roundings *rounds = &engine->kernels->rounds;
    ZH_TRY(allocate_prepared_kind(engine, zh_rounding_of(rounds, w->type, ZH_FEW), err));
    ZH_TRY(allocate_prepared_kind(engine, zh_rounding_of(rounds, w->type, ZH_MANY), err));
  }
  return ZH_OK;
}

static zh_status allocate_scratch(zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  size_t columns = longest_input(a);
  size_t matmul = larger(zh_matmul_scratch_bytes(columns, engine->micro_batch),
                         zh_multiply_scratch_bytes(columns));
  size_t attention = ((size_t)engine->context + ATTENTION_EXTRA_FLOATS) * sizeof(float);
  engine->scratch_bytes = (larger(matmul, attention) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  size_t bytes = product(engine->scratch_bytes, (size_t)zh_threads_count(engine->threads));
  if (bytes != SIZE_MAX) engine->scratch = aligned_alloc(ALIGNMENT, bytes);
  return engine->scratch
             ? ZH_OK
             : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the threads' scratch space");
}

static zh_status hold_weights(zh_engine *engine, const zh_model *model,
                              const zh_engine_options *options, zh_error *err) {
  ZH_TRY(zh_weights_open(&engine->weights, model, engine->part, engine->threads, err));
  engine->architecture = engine->weights.architecture;
  bool pack = options->precision == ZH_PRECISION_FAST && !options->unpacked &&
              engine->kernels->multiply != NULL;
  return pack ? zh_weights_pack(&engine->weights, engine->threads, err) : ZH_OK;
}

static zh_status hold_activations(zh_engine *engine, const zh_engine_options *options,
                                  zh_error *err) {
  ZH_TRY(check_options(engine, err));
  size_t most = product(engine->sequences, engine->context);
  engine->micro_batch = options->micro_batch ? options->micro_batch : DEFAULT_MICRO_BATCH;
  if (engine->micro_batch > most) engine->micro_batch = (uint32_t)most;
  ZH_TRY(allocate_cache(engine, err));
  ZH_TRY(allocate_activations(engine, err));
  ZH_TRY(allocate_scratch(engine, err));
  return allocate_prepared(engine, err);
}

zh_status zh_engine_create(zh_engine **out, const zh_model *model, zh_threads *threads,
                           const zh_engine_options *options, zh_error *err) {
  const zh_comm *comm = options->comm && options->comm->size > 1 ? options->comm : NULL;
  zh_engine *engine = calloc(1, sizeof *engine);
  zh_status status =
      engine ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for an engine");
  if (status == ZH_OK) {
    engine->threads = threads;
    engine->kernels =
        options->precision == ZH_PRECISION_FAST ? zh_kernels_best() : zh_kernels_reference();
    engine->part = comm ? (zh_part){comm->rank, comm->size} : (zh_part){0, 1};
    engine->sequences = options->sequences;
    engine->context = options->context;
    status = hold_weights(engine, model, options, err);
  }
  if (status == ZH_OK) status = hold_activations(engine, options, err);
  if (comm) status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK && comm)
    status = zh_reduce_create(&engine->reduce, comm,
                              (size_t)engine->micro_batch * engine->architecture.hidden,
                              engine->architecture.vocab, zh_threads_count(threads), err);
  if (status != ZH_OK) {
    zh_engine_free(engine);
    return status;
  }
  *out = engine;
  return ZH_OK;
}

void zh_engine_free(zh_engine *engine) {
  if (!engine) return;
  zh_weights_close(&engine->weights);
  zh_reduce_free(engine->reduce);
  if (engine->keys) zh_big_free(engine->keys, engine->cache_floats * sizeof(float));
  if (engine->values) zh_big_free(engine->values, engine->cache_floats * sizeof(float));
  if (engine->activations)
    zh_big_free(engine->activations, engine->activation_floats * sizeof(float));
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind)
    if (engine->prepared[kind]) zh_big_free(engine->prepared[kind], engine->prepared_bytes[kind]);
  free(engine->length);
  free(engine->scratch);
  free(engine->before);
  free(engine);
}

void zh_engine_truncate(zh_engine *engine, uint32_t sequence, uint32_t length) {
  if (sequence < engine->sequences && engine->length[sequence] > length)
    engine->length[sequence] = length;
}

void zh_engine_poison(zh_engine *engine, uint32_t sequence) {
  size_t row = (size_t)engine->context * key_width(&engine->architecture);
  for (size_t layer = 0; layer < engine->architecture.layers; ++layer) {
    size_t at = (layer * engine->sequences + sequence) * row;
    memset(engine->keys + at, 0xff, row * sizeof(float)); /* all bits set: NaN */
    memset(engine->values + at, 0xff, row * sizeof(float));
  }
  zh_engine_truncate(engine, sequence, 0);
}

zh_status zh_engine_observe(zh_engine *engine, zh_observer observer, void *user, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  if (observer && !engine->before) {
    size_t width = larger(a->hidden, query_width(a) + key_width(a));
    engine->before = malloc(engine->micro_batch * width * sizeof(float));
    if (!engine->before) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check operators");
  }
  engine->observer = observer;
  engine->observer_user = user;
  return ZH_OK;
}

zh_arithmetic zh_engine_arithmetic(const zh_engine *engine) {
  zh_arithmetic arithmetic = {.fp64_sums = engine->kernels->fp64_sums};
  if (engine->weights.packed) arithmetic.rounds = engine->kernels->rounds;
  return arithmetic;
}

zh_rounding zh_engine_rounding(const zh_engine *engine) {
  zh_arithmetic arithmetic = zh_engine_arithmetic(engine);
  uint64_t elements[ZH_ROUNDINGS] = {0};
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *w = zh_weights_at(&engine->weights, i);
    if (!w->gain && w != &engine->weights.whole[ZH_EMBEDDING])
      elements[zh_rounding_of(&arithmetic.rounds, w->matrix.type, ZH_MANY)] += w->tensor->elements;
  }
  zh_rounding most = ZH_ROUND_NONE;
  for (int i = 0; i < ZH_ROUNDINGS; ++i)
    if (elements[i] > elements[most]) most = (zh_rounding)i;
  return most;
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

zh_engine_cost zh_engine_cost_of(const zh_engine *engine) {
  const zh_architecture *a = &engine->architecture;
  uint64_t parts = (uint64_t)engine->part.parts;
  zh_engine_cost cost = {0};
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *w = zh_weights_at(&engine->weights, i);
    cost.memory_weights += zh_weight_bytes(w);
    bool embedding = w == &engine->weights.whole[ZH_EMBEDDING];
    if (!embedding || a->tied_head) cost.weight_bytes += w->tensor->bytes;
    if (!w->gain && !embedding && w != &engine->weights.whole[ZH_HEAD])
      cost.flops_per_token += 2 * w->tensor->elements;
  }
  cost.head_flops = 2 * (uint64_t)a->vocab * a->hidden;
  cost.attention_flops_per_pair = 4 * (uint64_t)a->layers * query_width(a) * parts;
  cost.kv_bytes_per_position = 2 * (uint64_t)a->layers * key_width(a) * sizeof(float) * parts;
  cost.memory_kv = 2 * (uint64_t)engine->cache_floats * sizeof(float);
  cost.memory_activations =
      (uint64_t)engine->activation_floats * sizeof(float) +
      (uint64_t)engine->scratch_bytes * (uint64_t)zh_threads_count(engine->threads) +
      (engine->reduce ? zh_reduce_bytes(engine->reduce) : 0);
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind)
    cost.memory_activations += engine->prepared_bytes[kind];
  return cost;
}
