/* An engine on a device: what is refused, what must fit, and its parts in their order. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"
#include "bench/placement.h"

/* --- what cannot be done there --- */

static zh_status refuse_options(const zh_engine_options *o, zh_error *err) {
  const struct {
    bool is;
    const char *what;
  } missing[] = {
      {o->precision == ZH_PRECISION_EXACT, "the precision 'exact', which is the reference's"},
      {o->unpacked, "changing single weights (liveness)"},
      {o->kv == ZH_KV_Q8, "keys and values of type q8 (choose bf16, e4m3 or f32)"}};
  for (size_t i = 0; i < sizeof missing / sizeof missing[0]; ++i)
    if (missing[i].is)
      return zh_fail(err, ZH_ERR_LACKING, "this version does not compute %s on a GPU; use the CPU",
                     missing[i].what);
  return ZH_OK;
}

/* Operators that the module's table must have for one of the program's. */
static bool can(const zh_device_api *api, zh_operator op) {
  switch (op) {
  case ZH_OP_EMBEDDING:
    return api->embed && api->gather;
  case ZH_OP_RMSNORM:
  case ZH_OP_HEAD_NORM:
    return api->norm;
  case ZH_OP_LATENT_NORM:
    return api->norm && api->slices;
  case ZH_OP_MATMUL:
    return api->product && api->shape_logits;
  case ZH_OP_ROPE:
    return api->rope;
  case ZH_OP_ATTENTION:
    return api->attention && api->attention_scratch && api->store;
  case ZH_OP_ACTIVATION:
    return api->activate;
  case ZH_OP_ADD:
    return api->add;
  case ZH_OP_ROUTE:
    return api->route && api->grouped;
  case ZH_OP_COMBINE:
    return api->combine;
  case ZH_OP_HEAD_MATMUL:
    return api->head_product && api->slices;
  default:
    return false;
  }
}

static zh_status refuse_operators(const zh_engine *engine, zh_error *err) {
  const zh_device_engine *d = engine->device;
  for (size_t i = 0; i < zh_program_length(&d->program, true); ++i) {
    int layer;
    const zh_instruction *is = zh_program_at(&d->program, i, &layer);
    if (!can(d->api, is->op))
      return zh_fail(err, ZH_ERR_LACKING,
                     "%s needs '%s', which the module '%s' does not compute; use the CPU",
                     zh_model_name(engine->weights.model), is->name, d->api->backend);
  }
  if (engine->head_factor && !d->api->scale_columns)
    return zh_fail(err, ZH_ERR_LACKING,
                   "the module '%s' cannot normalise the head of %s; use the CPU", d->api->backend,
                   zh_model_name(engine->weights.model));
  if (!d->api->generate || !d->api->sum_of_bits)
    return zh_fail(err, ZH_ERR_LACKING, "the module '%s' cannot hold weights; use the CPU",
                   d->api->backend);
  return ZH_OK;
}

static zh_status refuse_architecture(const zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  const struct {
    bool is;
    const char *what;
  } missing[] = {{a->experts > ZH_DEVICE_EXPERTS_MAX, "so many experts"},
                 {a->experts_used > ZH_DEVICE_USED_MAX, "so many experts of a token"},
                 {a->router.groups > ZH_DEVICE_GROUPS_MAX, "so many groups of experts"}};
  for (size_t i = 0; i < sizeof missing / sizeof missing[0]; ++i)
    if (missing[i].is)
      return zh_fail(err, ZH_ERR_LACKING,
                     "%s has %s, which this version does not compute on a GPU; use the CPU",
                     zh_model_name(engine->weights.model), missing[i].what);
  return refuse_operators(engine, err);
}

/* --- what must fit --- */

zh_device_room zh_device_room_of(const zh_engine *engine) {
  return (zh_device_room){zh_device_weights_formula(engine), zh_device_cache_formula(engine),
                          zh_device_buffers_formula(engine)};
}

static uint64_t total_of(zh_device_room r) {
  uint64_t sum;
  if (__builtin_add_overflow(r.weights, r.cache, &sum) ||
      __builtin_add_overflow(sum, r.activations, &sum))
    return UINT64_MAX;
  return sum;
}

static bool fits_with(zh_engine *engine, uint32_t *field, uint32_t value, uint64_t available) {
  uint32_t was = *field;
  *field = value;
  bool fits = total_of(zh_device_room_of(engine)) <= available;
  *field = was;
  return fits;
}

/* The largest value of the engine's context or sequences that fits; 0: none. */
static uint32_t largest(zh_engine *engine, uint32_t *field, uint64_t available) {
  uint32_t low = 0, high = *field;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (fits_with(engine, field, middle, available))
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* The largest standard model whose weights leave a twentieth of the memory to everything else. */
static const zh_standard_class *largest_class(uint64_t available) {
  const zh_standard_class *classes, *best = NULL;
  size_t count;
  if (zh_standard_classes(&classes, &count, NULL) != ZH_OK) return NULL;
  for (size_t i = 0; i < count; ++i)
    if (classes[i].bytes <= available / 20 * 19 && (!best || classes[i].bytes > best->bytes))
      best = &classes[i];
  return best;
}

static void advise_model(char *out, size_t capacity, uint64_t available) {
  const zh_standard_class *class = largest_class(available);
  int used =
      snprintf(out, capacity, "its weights alone leave no room; take a smaller model or type");
  if (class && used > 0 && (size_t)used < capacity)
    snprintf(out + used, capacity - (size_t)used, ": of the standard ones %s (%.2f GB) would fit",
             class->name, (double)class->bytes / 1e9);
}

static void advise(char *out, size_t capacity, zh_engine *engine, uint64_t available) {
  uint32_t context = largest(engine, &engine->context, available),
           sequences = largest(engine, &engine->sequences, available);
  if (context > 0 && sequences > 0)
    snprintf(out, capacity,
             "a context of %" PRIu32 " positions would fit, or %" PRIu32 " sequence%s", context,
             sequences, sequences == 1 ? "" : "s");
  else if (context > 0)
    snprintf(out, capacity, "a context of %" PRIu32 " positions would fit", context);
  else
    advise_model(out, capacity, available);
}

/* Of a model that several ranks hold: " (the part of rank 1 of 8)". */
static void name_part(char *out, size_t capacity, const zh_engine *engine) {
  const zh_comm *comm = engine->stages.comm;
  out[0] = '\0';
  if (comm) snprintf(out, capacity, " (the part of rank %d of %d)", comm->rank, comm->size);
}

/* What nobody counts: code that is loaded when it is first launched, executable graphs, the
 * workspace of a library of products, the weights of a draw. A sixteenth of a small device. */
static uint64_t beside_reserve(const zh_device_facts *facts) {
  uint64_t most = (uint64_t)512 << 20, part = facts->memory_bytes / 16,
           reserve = part < most ? part : most;
  return facts->free_bytes > reserve ? facts->free_bytes - reserve : 0;
}

static zh_status judge_room(zh_engine *engine, zh_error *err) {
  const zh_device_engine *d = engine->device;
  zh_device_room r = zh_device_room_of(engine);
  uint64_t available = beside_reserve(&d->facts);
  char advice[192], part[64];
  if (d->facts.free_bytes == 0 || total_of(r) <= available) return ZH_OK;
  advise(advice, sizeof advice, engine, available);
  name_part(part, sizeof part, engine);
  return zh_fail(err, ZH_ERR_LACKING,
                 "GPU %d (%s) has %.2f GB free beside a reserve, but %s%s with %" PRIu32
                 " positions for each of %" PRIu32
                 " sequences needs %.2f GB: weights %.2f, keys and values %.2f, activations %.2f; "
                 "%s",
                 d->index, d->facts.name, (double)available / 1e9,
                 zh_model_name(engine->weights.model), part, engine->context, engine->sequences,
                 (double)total_of(r) / 1e9, (double)r.weights / 1e9, (double)r.cache / 1e9,
                 (double)r.activations / 1e9, advice);
}

/* --- its parts --- */

static zh_status open_device(zh_device_engine *d, int index, zh_error *err) {
  int count = 0;
  ZH_TRY(zh_device_open_module(&d->api, err));
  ZH_TRY(d->api->count(&count, err));
  if (index >= count)
    return zh_fail(err, ZH_ERR_LACKING,
                   "there is no GPU %d: this process sees %d, numbered from 0 on", index, count);
  d->index = index;
  ZH_TRY(d->api->facts(&d->facts, index, err));
  zh_place_near(d->facts.bus);
  ZH_TRY(d->api->open(&d->device, index, err));
  ZH_TRY(d->api->facts(&d->facts, index, err)); /* with what is free */
  d->staging_bytes = ZH_DEVICE_STAGING;
  return d->api->alloc_host(d->device, (void **)&d->staging, d->staging_bytes, err);
}

/* The host's kernels read logits and judge; what is recorded of them is the device's. */
static void name_kernels(zh_engine *engine) {
  zh_device_engine *d = engine->device;
  d->kernels = *zh_kernels_best();
  d->kernels.name = d->api->backend;
  d->kernels.fp64_sums = false;
  d->kernels.rounds = zh_device_rounds(d->api, d->device);
  engine->kernels = &d->kernels;
}

zh_status zh_device_engine_open(zh_engine *engine, const zh_engine_options *options,
                                zh_error *err) {
  ZH_TRY(refuse_options(options, err));
  engine->device = calloc(1, sizeof *engine->device);
  if (!engine->device) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for an engine");
  ZH_TRY(open_device(engine->device, options->device - 1, err));
  name_kernels(engine);
  return ZH_OK;
}

zh_status zh_device_engine_fill(zh_engine *engine, const zh_engine_options *options,
                                zh_error *err) {
  zh_device_engine *d = engine->device;
  const zh_architecture *a = &engine->architecture;
  static const zh_device_kv_type kept[] = {[ZH_KV_F32] = ZH_DEVICE_KV_F32,
                                           [ZH_KV_BF16] = ZH_DEVICE_KV_BF16,
                                           [ZH_KV_E4M3] = ZH_DEVICE_KV_E4M3};
  d->kv_type = kept[options->kv];
  engine->kept = options->kv;
  engine->kv = (zh_kv){.type = options->kv == ZH_KV_E4M3 ? ZH_KV_F32 : options->kv,
                       .sequences = engine->sequences,
                       .kv_heads = a->kv_heads,
                       .head_dim = zh_key_dim(a),
                       .capacity = engine->context,
                       .shared = a->attention == ZH_ATTENTION_LATENT ? zh_seen_dim(a) : 0};
  engine->kv_layer = zh_kv_bytes(&engine->kv);
  zh_program_of(&d->program, a);
  ZH_TRY(refuse_architecture(engine, err));
  ZH_TRY(zh_device_choose_forms(engine, err));
  ZH_TRY(zh_device_check_forms(engine, err));
  d->logit_rows = zh_device_logit_rows(engine);
  d->weight_bytes = zh_device_weights_formula(engine);
  ZH_TRY(judge_room(engine, err));
  ZH_TRY(zh_device_make_buffers(engine, err));
  ZH_TRY(zh_device_make_cache(engine, err));
  return zh_device_lay_weights(engine, err);
}

void zh_device_engine_free(zh_engine *engine) {
  zh_device_engine *d = engine->device;
  if (!d) return;
  if (d->device) {
    zh_device_end_observing(engine);
    zh_device_end_drawing(d);
    for (size_t i = 0; i < d->events; ++i) d->api->release_event(d->device, d->event[i]);
    d->api->release_graph(d->device, d->graph);
    zh_device_leave(d);
    d->api->release(d->device, d->weights);
    d->api->release(d->device, d->cache);
    d->api->release(d->device, d->activations);
    d->api->release_host(d->device, d->staging);
    d->api->close(d->device);
  }
  free(d->event);
  free(d->laid);
  free(d->section);
  free(d->computed);
  free(d->mirrored);
  free(d);
  engine->device = NULL;
}

uint64_t zh_device_host_bytes(const zh_engine *engine) {
  return ZH_DEVICE_STAGING + zh_device_mirror_bytes(engine) + zh_device_sight_bytes(engine);
}

/* --- what a step reads of experts --- */

/* Enqueued behind what was counted, before what comes. */
void zh_device_restart_count(zh_engine *engine) {
  zh_device_engine *d = engine->device;
  size_t bytes = ZH_COUNTS * (size_t)engine->architecture.layers * sizeof *d->counted;
  if (!d->counted || d->late.status != ZH_OK) return;
  (void)d->api->fill(d->device, d->counted, 0, bytes, &d->late);
}

/* Bytes of the experts of a layer that are here, as files have them. */
static double bytes_of_experts(const zh_engine *engine, uint32_t layer) {
  const zh_weight *first = zh_weights_own_experts(&engine->weights, layer);
  double bytes = 0;
  for (size_t i = 0; i < (size_t)engine->weights.experts_here * ZH_EXPERT_SLOTS; ++i)
    if (first[i].tensor) bytes += (double)first[i].tensor->bytes;
  return bytes;
}

/* Waits for the device: never between timed passes. */
const uint64_t *zh_device_expert_counts(const zh_engine *engine) {
  zh_device_engine *d = engine->device;
  uint64_t *counted = (uint64_t *)(void *)d->staging;
  size_t bytes = ZH_COUNTS * (size_t)engine->architecture.layers * sizeof *counted;
  if (!d->counted || d->late.status != ZH_OK || d->api->wait(d->device, &d->late) != ZH_OK ||
      d->api->download(d->device, counted, d->counted, bytes, &d->late) != ZH_OK ||
      d->api->wait(d->device, &d->late) != ZH_OK)
    return NULL;
  return counted;
}

/* Of the experts' bytes those that were read, on the mean of the passes since the count began;
 * before any, a token's. Of whole experts as if every rank had read as many as the one that read
 * most in that layer: each has its own memory, and all wait for it. */
static double share_read(const zh_engine *engine) {
  const zh_architecture *a = &engine->architecture;
  const uint64_t *counted = zh_device_expert_counts(engine);
  double read = 0, offered = 0, ranks = zh_device_expert_ranks(engine);
  for (uint32_t l = 0; counted && l < a->layers; ++l, counted += ZH_COUNTS) {
    double all = bytes_of_experts(engine, l);
    read += all * ranks * (double)counted[ZH_COUNT_MOST_BUSY] / a->experts;
    offered += all * (double)counted[ZH_COUNT_PASSES];
  }
  return offered > 0 ? read / offered : (double)a->experts_used / a->experts;
}

void zh_device_cost(zh_engine_cost *cost, const zh_engine *engine) {
  const zh_device_engine *d = engine->device;
  const zh_weights_total *total = &engine->weights.total;
  zh_device_kv kv = zh_device_cache_of(engine, 0);
  size_t row = zh_device_kv_row_bytes(kv.type, kv.key_dim) +
               (kv.values ? zh_device_kv_row_bytes(kv.type, kv.value_dim) : 0);
  cost->weight_bytes = total->step_bytes - total->step_fp8_less;
  if (total->expert_bytes) {
    double experts = (double)(total->expert_bytes - total->expert_fp8_less);
    cost->weight_bytes += (uint64_t)llround(experts * share_read(engine));
  }
  cost->kv_bytes_per_position =
      (uint64_t)total->layers * (uint64_t)engine->stages.part.parts * kv.kv_heads * row;
  cost->memory_weights = d->weight_bytes;
  cost->memory_kv = d->cache_bytes;
  cost->memory_activations = d->activation_bytes;
}

json_t *zh_engine_device_json(const zh_engine *engine) {
  const zh_device_engine *d = engine->device;
  if (!d) return NULL;
  const char *products = d->api->product_variant ? d->api->product_variant(d->device) : "";
  zh_rounding e4m3 = d->kernels.rounds.e4m3;
  const char *inputs = e4m3 == ZH_ROUND_NONE ? NULL : zh_rounding_name(e4m3);
  return json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:s*,s:o,s:s*}", "kind", "gpu",
                   "index", d->index, "name", d->facts.name, "uuid", d->facts.uuid, "backend",
                   d->api->backend, "build", d->api->build, "driver", d->facts.driver, "runtime",
                   d->facts.runtime, "memory_bytes", (json_int_t)d->facts.memory_bytes, "products",
                   products, "inputs_of_e4m3", inputs, "weights", zh_device_forms_json(engine),
                   "decode", zh_device_decode_form(d));
}

zh_status zh_engine_digest_weights(char out[ZH_DIGEST_HEX], zh_engine *engine, zh_error *err) {
  return engine->device ? zh_device_weights_digest(out, engine, err)
                        : zh_weights_digest(out, &engine->weights, engine->threads, err);
}

zh_status zh_engine_verify_weights(zh_engine *engine, uint64_t seed, zh_error *err) {
  return engine->device ? zh_device_weights_verify(engine, seed, err)
                        : zh_weights_verify(&engine->weights, engine->threads, seed, err);
}
