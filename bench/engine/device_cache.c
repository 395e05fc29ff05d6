/* Keys and values on a device, and their mirror on the host in a form that the CPU's cache has: the
 * same values, for what checks and certificates read; of e4m3, which the CPU has not, as f32. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"

enum { ALIGNMENT = 256 };

static size_t aligned(size_t bytes) {
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool is_latent(const zh_engine *engine) {
  return engine->architecture.attention == ZH_ATTENTION_LATENT;
}

static zh_device_kv shape_of(const zh_engine *engine) {
  const zh_architecture *a = &engine->architecture;
  return (zh_device_kv){.type = engine->device->kv_type,
                        .sequences = engine->sequences,
                        .kv_heads = a->kv_heads,
                        .capacity = engine->context,
                        .key_dim = zh_key_dim(a),
                        .value_dim = is_latent(engine) ? a->latent.kv_rank : a->value_dim};
}

uint64_t zh_device_cache_formula(const zh_engine *engine) {
  zh_device_kv kv = shape_of(engine);
  size_t keys = zh_device_kv_bytes(&kv, false),
         values = is_latent(engine) ? 0 : zh_device_kv_bytes(&kv, true);
  if (keys >= SIZE_MAX / 4 / ZH_MAX_LAYERS || values >= SIZE_MAX / 4 / ZH_MAX_LAYERS)
    return UINT64_MAX;
  return (uint64_t)engine->architecture.layers * (aligned(keys) + aligned(values));
}

zh_status zh_device_make_cache(zh_engine *engine, zh_error *err) {
  zh_device_engine *d = engine->device;
  zh_device_kv kv = shape_of(engine);
  d->keys_bytes = aligned(zh_device_kv_bytes(&kv, false));
  d->values_bytes = is_latent(engine) ? 0 : aligned(zh_device_kv_bytes(&kv, true));
  d->computed = calloc(engine->sequences, sizeof *d->computed);
  if (!d->computed) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for an engine");
  d->cache_bytes = zh_device_cache_formula(engine);
  ZH_TRY(d->api->alloc(d->device, (void **)&d->cache, d->cache_bytes, "keys and values", err));
  ZH_TRY(d->api->fill(d->device, d->cache, 0xff, d->cache_bytes, err));
  return d->api->wait(d->device, err);
}

zh_device_kv zh_device_cache_of(const zh_engine *engine, size_t layer) {
  const zh_device_engine *d = engine->device;
  zh_device_kv kv = shape_of(engine);
  unsigned char *base = d->cache + layer * (d->keys_bytes + d->values_bytes);
  kv.keys = base;
  kv.values = is_latent(engine) ? NULL : base + aligned(zh_device_kv_bytes(&kv, false));
  return kv;
}

/* --- poison --- */

static size_t row_bytes(const zh_device_kv *kv, bool values) {
  return zh_device_kv_row_bytes(kv->type, values ? kv->value_dim : kv->key_dim);
}

unsigned char *zh_device_cache_row(const zh_device_kv *kv, bool values, size_t sequence,
                                   size_t head, size_t position) {
  unsigned char *base = values && kv->values ? kv->values : kv->keys;
  size_t bytes = row_bytes(kv, values && kv->values);
  return base + ((sequence * kv->kv_heads + head) * kv->capacity + position) * bytes;
}

/* All bits set: every number is NaN. */
static zh_status poison_plane(zh_engine *engine, const zh_device_kv *kv, bool values,
                              uint32_t sequence, uint32_t first, zh_error *err) {
  const zh_device_engine *d = engine->device;
  size_t bytes = row_bytes(kv, values), each = (kv->capacity - first) * bytes;
  if (first == 0)
    return d->api->fill(d->device, zh_device_cache_row(kv, values, sequence, 0, 0), 0xff,
                        each * kv->kv_heads, err);
  for (size_t head = 0; head < kv->kv_heads && each > 0; ++head)
    ZH_TRY(d->api->fill(d->device, zh_device_cache_row(kv, values, sequence, head, first), 0xff,
                        each, err));
  return ZH_OK;
}

static void forget(zh_device_engine *d, const zh_engine *engine, uint32_t sequence,
                   uint32_t length) {
  if (d->computed[sequence] > length) d->computed[sequence] = length;
  for (size_t layer = 0; d->mirrored && layer < engine->architecture.layers; ++layer) {
    uint32_t *has = &d->mirrored[layer * engine->sequences + sequence];
    if (*has > length) *has = length;
  }
}

void zh_device_truncate(zh_engine *engine, uint32_t sequence, uint32_t length) {
  forget(engine->device, engine, sequence, length);
}

void zh_device_poison(zh_engine *engine, uint32_t sequence, uint32_t length) {
  zh_device_engine *d = engine->device;
  zh_status status = ZH_OK;
  if (length > engine->context) length = engine->context;
  d->api->mark(d->device, "clearing keys and values", -1);
  for (size_t layer = 0; status == ZH_OK && layer < engine->architecture.layers; ++layer) {
    zh_device_kv kv = zh_device_cache_of(engine, layer);
    status = poison_plane(engine, &kv, false, sequence, length, &d->late);
    if (status == ZH_OK && kv.values)
      status = poison_plane(engine, &kv, true, sequence, length, &d->late);
  }
  forget(d, engine, sequence, length);
}

/* --- the mirror --- */

static zh_status make_mirror(zh_engine *engine, zh_error *err) {
  zh_device_engine *d = engine->device;
  size_t layers = engine->architecture.layers, bytes = engine->kv_layer * layers;
  if (d->mirrored) return ZH_OK;
  d->mirrored = calloc(layers * engine->sequences, sizeof *d->mirrored);
  engine->kv.keys = zh_big_alloc(bytes);
  if (!engine->kv.shared) engine->kv.values = zh_big_alloc(bytes);
  if (d->mirrored && engine->kv.keys && (engine->kv.values || engine->kv.shared)) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY,
                 "the check of keys and values on the GPU needs %.2f GB here, which this machine "
                 "has not; ask for a shorter context or fewer sequences",
                 (engine->kv.shared ? 1 : 2) * (double)bytes / 1e9);
}

uint64_t zh_device_mirror_bytes(const zh_engine *engine) {
  if (!engine->device->mirrored) return 0;
  return (engine->kv.shared ? 1 : 2) * (uint64_t)engine->kv_layer * engine->architecture.layers;
}

/* Rows of a head as values, in `out` [count][width]: what lies behind a value's own numbers is
 * zero, as the CPU's cache has it. */
static zh_status fetch_rows(const zh_engine *engine, float *out, size_t width,
                            const zh_device_kv *kv, bool values, const size_t at[3], size_t count,
                            zh_error *err) {
  const zh_device_engine *d = engine->device;
  bool own = values && kv->values;
  size_t bytes = row_bytes(kv, own), dim = values ? kv->value_dim : kv->key_dim;
  const unsigned char *from = zh_device_cache_row(kv, values, at[0], at[1], at[2]);
  ZH_TRY(d->api->download(d->device, d->staging, from, count * bytes, err));
  ZH_TRY(d->api->wait(d->device, err));
  memset(out, 0, count * width * sizeof *out);
  for (size_t i = 0; i < count; ++i)
    zh_device_kv_values(out + i * width, kv->type, d->staging + i * bytes, dim);
  return ZH_OK;
}

/* Positions [at[2], at[2] + count) of head at[1] of sequence at[0]. room: as much of both, and a
 * position's rows of all heads. */
static zh_status mirror_head(zh_engine *engine, const zh_kv *to, const zh_device_kv *kv,
                             const size_t at[3], size_t count, float *room, zh_error *err) {
  size_t width = to->head_dim, head = at[1], all = to->kv_heads * width;
  float *key = room, *value = key + all, *keys = value + all, *values = keys + count * width;
  ZH_TRY(fetch_rows(engine, keys, width, kv, false, at, count, err));
  if (kv->values) ZH_TRY(fetch_rows(engine, values, width, kv, true, at, count, err));
  for (size_t i = 0; i < count; ++i) {
    memcpy(key + head * width, keys + i * width, width * sizeof *key);
    if (kv->values) memcpy(value + head * width, values + i * width, width * sizeof *value);
    zh_kv_store(to, at[0], at[2] + i, head, head + 1, key, value);
  }
  return ZH_OK;
}

zh_status zh_device_mirror(zh_engine *engine, size_t layer, bool anew, zh_error *err) {
  enum { AT_ONCE = 1024 };
  zh_device_engine *d = engine->device;
  ZH_TRY(make_mirror(engine, err));
  zh_device_kv kv = zh_device_cache_of(engine, layer);
  zh_kv to = zh_engine_kv(engine, layer);
  float *room = malloc(2 * (AT_ONCE + to.kv_heads) * to.head_dim * sizeof *room);
  zh_status status = room ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for keys");
  for (size_t s = 0; s < engine->sequences; ++s) {
    uint32_t *has = &d->mirrored[layer * engine->sequences + s], length = d->computed[s];
    size_t first = anew ? 0 : *has;
    for (size_t p = first, some; status == ZH_OK && p < length; p += some) {
      some = length - p < AT_ONCE ? length - p : AT_ONCE;
      for (size_t h = 0; status == ZH_OK && h < kv.kv_heads; ++h)
        status = mirror_head(engine, &to, &kv, (const size_t[3]){s, h, p}, some, room, err);
    }
    if (status == ZH_OK) *has = length;
  }
  free(room);
  return status;
}

zh_status zh_engine_fetch_cache(zh_engine *engine, zh_error *err) {
  if (!engine->device) return ZH_OK;
  for (size_t layer = 0; layer < engine->architecture.layers; ++layer)
    ZH_TRY(zh_device_mirror(engine, layer, true, err));
  return ZH_OK;
}

/* --- a sum over it, made where it lies --- */

typedef struct summing {
  const zh_device_engine *d;
  size_t pending, done; /* sums in the device's list, and before it */
  uint64_t total;
} summing;

/* Each with an odd factor of its own, so that none can stand in another's place. */
static zh_status collect(summing *s, zh_error *err) {
  const zh_device_engine *d = s->d;
  const uint64_t *sums = (const uint64_t *)(const void *)d->staging;
  if (s->pending == 0) return ZH_OK;
  ZH_TRY(d->api->download(d->device, d->staging, d->sum, s->pending * sizeof *sums, err));
  ZH_TRY(d->api->wait(d->device, err));
  for (size_t i = 0; i < s->pending; ++i) s->total += sums[i] * (2 * (uint64_t)s->done++ + 1);
  s->pending = 0;
  return ZH_OK;
}

static zh_status sum_heads(summing *s, const zh_device_kv *kv, bool values, size_t sequence,
                           uint32_t length, zh_error *err) {
  const zh_device_engine *d = s->d;
  for (size_t head = 0; head < kv->kv_heads; ++head) {
    const unsigned char *rows = zh_device_cache_row(kv, values, sequence, head, 0);
    ZH_TRY(d->api->sum_of_bits(d->device, d->sum + s->pending++, rows,
                               length * row_bytes(kv, values) / 4, err));
    if (s->pending == ZH_DEVICE_SUMS) ZH_TRY(collect(s, err));
  }
  return ZH_OK;
}

zh_status zh_device_cache_sum(uint64_t *out, const zh_engine *engine, uint32_t length,
                              zh_error *err) {
  summing s = {.d = engine->device};
  if (length > engine->context) length = engine->context;
  for (size_t layer = 0; layer < engine->architecture.layers; ++layer) {
    zh_device_kv kv = zh_device_cache_of(engine, layer);
    for (size_t sequence = 0; sequence < engine->sequences; ++sequence) {
      ZH_TRY(sum_heads(&s, &kv, false, sequence, length, err));
      if (kv.values) ZH_TRY(sum_heads(&s, &kv, true, sequence, length, err));
    }
  }
  ZH_TRY(collect(&s, err));
  *out = s.total;
  return ZH_OK;
}
