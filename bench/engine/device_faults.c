/* Faults put in on purpose, in the memory of a device: what faults.c and pass.h do on the CPU. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/engine/device_engine.h"
#include "core/philox.h"

static bool strikes(const zh_engine *e, zh_tamper_kind kind, int layer) {
  return e->tamper.kind == kind && e->tamper.layer == (uint32_t)layer;
}

/* A piece of the device's memory in the staging memory, and back again. */
static zh_status take(const zh_device_engine *d, const void *from, size_t bytes, zh_error *err) {
  ZH_TRY(d->api->wait(d->device, err));
  ZH_TRY(d->api->download(d->device, d->staging, from, bytes, err));
  return d->api->wait(d->device, err);
}

static zh_status put(const zh_device_engine *d, void *to, size_t bytes, zh_error *err) {
  ZH_TRY(d->api->upload(d->device, to, d->staging, bytes, err));
  return d->api->wait(d->device, err);
}

static zh_status flip_bit(const zh_device_engine *d, unsigned char *at, unsigned bit,
                          zh_error *err) {
  ZH_TRY(take(d, at + bit / 8, 1, err));
  d->staging[0] = (unsigned char)(d->staging[0] ^ (1u << bit % 8));
  return put(d, at + bit / 8, 1, err);
}

/* Of the first number from the drawn one on that is not smaller than its row's mean: see
 * forward.c. */
zh_status zh_device_flip_activation(zh_device_pass *p, int layer, zh_error *err) {
  const zh_tamper *t = &p->e->tamper;
  const zh_device_engine *d = p->d;
  if (!strikes(p->e, ZH_TAMPER_RESIDUAL, layer)) return ZH_OK;
  size_t hidden = p->e->architecture.hidden, at = t->element % hidden;
  float *row = d->value[ZH_VALUE_X] + (t->element - at);
  ZH_TRY(take(d, row, hidden * sizeof *row, err));
  const float *x = (const float *)(const void *)d->staging;
  double mean = 0;
  for (size_t i = 0; i < hidden; ++i) mean += fabs((double)x[i]) / (double)hidden;
  for (size_t i = 0; i < hidden && fabs((double)x[at]) < mean; ++i) at = (at + 1) % hidden;
  return flip_bit(d, (unsigned char *)(row + at), t->bit, err);
}

static unsigned bits_of(zh_device_kv_type type) {
  return type == ZH_DEVICE_KV_F32 ? 32 : type == ZH_DEVICE_KV_BF16 ? 16 : 8;
}

/* One bit of what the drawn token is about to read. */
zh_status zh_device_flip_cached(zh_device_pass *p, int layer, zh_error *err) {
  zh_engine *e = p->e;
  const zh_tamper *tamper = &e->tamper;
  if (!strikes(e, ZH_TAMPER_CACHE, layer)) return ZH_OK;
  const zh_architecture *a = &e->architecture;
  zh_device_kv kv = zh_device_cache_of(e, (size_t)layer);
  bool is_value = tamper->element / 2 % 2 == 0;
  size_t dims = is_value ? kv.value_dim : kv.key_dim, at = tamper->element, t = at % p->tokens,
         seen = p->position[t] + (size_t)1, number = at / 7 % (kv.kv_heads * dims);
  if (zh_layer_is(a, (uint32_t)layer, ZH_LAYER_SLIDING) && seen > a->window) seen = a->window;
  unsigned char *row = zh_device_cache_row(&kv, is_value, p->sequence[t], number / dims,
                                           p->position[t] - at / 4 % seen);
  unsigned bits = bits_of(kv.type);
  if (kv.type == ZH_DEVICE_KV_E4M3) row += 16; /* behind the scale */
  return flip_bit(p->d, row + number % dims * (bits / 8), tamper->bit % bits, err);
}

/* Nothing is taken of each token's last choice. */
zh_status zh_device_lose_choices(zh_device_pass *p, int layer, zh_error *err) {
  const zh_device_engine *d = p->d;
  size_t used = p->e->architecture.experts_used, bytes = p->tokens * used * sizeof(float);
  if (!strikes(p->e, ZH_TAMPER_EXPERT, layer)) return ZH_OK;
  ZH_TRY(take(d, d->value[ZH_VALUE_ROUTED], bytes, err));
  float *weight = (float *)(void *)d->staging;
  for (size_t t = 0; t < p->tokens; ++t) weight[t * used + used - 1] = 0;
  return put(d, d->value[ZH_VALUE_ROUTED], bytes, err);
}

/* A block of the product's grid did not run: zeros are left of its rows. */
zh_status zh_device_lose_tile(zh_device_pass *p, int layer, zh_error *err) {
  const zh_tamper *t = &p->e->tamper;
  if (!strikes(p->e, ZH_TAMPER_TILE, layer)) return ZH_OK;
  size_t hidden = p->e->architecture.hidden, at = t->element % hidden,
         first = at / ZH_TILE_LOST * ZH_TILE_LOST,
         rows = hidden - first < ZH_TILE_LOST ? hidden - first : ZH_TILE_LOST;
  float *row = p->d->value[ZH_VALUE_DELTA] + (t->element - at);
  return p->d->api->fill(p->d->device, row + first, 0, rows * sizeof *row, err);
}

/* --- weights --- */

static uint64_t number_bytes(const zh_laid *laid) {
  const zh_device_matrix *m = &laid->matrix;
  return zh_device_number_bytes(m->form, m->rows, m->columns);
}

static uint64_t bytes_of(const zh_weight *w) {
  return number_bytes(w->laid) + zh_device_scale_bytes(&w->laid->matrix);
}

zh_status zh_device_flip_weight(zh_engine *engine, uint64_t seed, char *what, size_t capacity,
                                zh_error *err) {
  const zh_weights *weights = &engine->weights;
  uint64_t total = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    total += bytes_of(zh_weights_at(weights, i));
  uint32_t random[3];
  zh_random_fill(random, 3, seed, UINT64_C(0x77656967687400), 0);
  uint64_t at = (((uint64_t)random[0] << 32) | random[1]) % total;
  size_t i = 0;
  while (at >= bytes_of(zh_weights_at(weights, i))) at -= bytes_of(zh_weights_at(weights, i++));
  const zh_weight *w = zh_weights_at(weights, i);
  uint64_t numbers = number_bytes(w->laid);
  unsigned char *byte = at < numbers ? (unsigned char *)w->laid->matrix.numbers + at
                                     : (unsigned char *)w->laid->matrix.scales + (at - numbers);
  snprintf(what, capacity, "bit %u of byte %" PRIu64 " of %s in the GPU's memory", random[2] % 8,
           at, w->tensor->name);
  return flip_bit(engine->device, byte, random[2] % 8, err);
}

zh_status zh_device_swap_weight(zh_engine *engine, const zh_weight *w, const zh_weight *from,
                                zh_error *err) {
  const zh_device_engine *d = engine->device;
  const zh_device_matrix *to = &w->laid->matrix, *other = &from->laid->matrix;
  size_t scales = zh_device_scale_bytes(to);
  if (to->form != other->form || to->scale_rows != other->scale_rows ||
      to->scale_columns != other->scale_columns)
    return zh_fail(err, ZH_ERR_INPUT, "%s and %s lie in different forms and cannot be swapped",
                   w->tensor->name, from->tensor->name);
  ZH_TRY(d->api->copy(d->device, to->numbers, other->numbers, number_bytes(w->laid), err));
  if (scales > 0) ZH_TRY(d->api->copy(d->device, to->scales, other->scales, scales, err));
  return d->api->wait(d->device, err);
}

/* Which bits of a number are kept: half of them, or the upper half of the fraction. */
zh_status zh_device_coarsen_weight(zh_engine *engine, const zh_weight *w, zh_error *err) {
  static const struct {
    size_t bytes;
    unsigned char mask[4];
  } kept[ZH_FORMS] = {[ZH_FORM_F32] = {4, {0x00, 0x00, 0xff, 0xff}},
                      [ZH_FORM_F16] = {2, {0x00, 0xff}},
                      [ZH_FORM_BF16] = {2, {0xf0, 0xff}},
                      [ZH_FORM_E4M3] = {1, {0xfc}},
                      [ZH_FORM_Q8] = {1, {0xf0}},
                      [ZH_FORM_Q4] = {1, {0xcc}},
                      [ZH_FORM_Q4_1] = {1, {0xcc}},
                      [ZH_FORM_Q4_K] = {1, {0xcc}}};
  const zh_device_engine *d = engine->device;
  zh_device_form form = w->laid->matrix.form;
  unsigned char *numbers = w->laid->matrix.numbers;
  uint64_t all = number_bytes(w->laid);
  for (uint64_t done = 0; done < all; done += d->staging_bytes) {
    size_t bytes = all - done < d->staging_bytes ? (size_t)(all - done) : d->staging_bytes;
    ZH_TRY(take(d, numbers + done, bytes, err));
    for (size_t i = 0; i < bytes; ++i) d->staging[i] &= kept[form].mask[i % kept[form].bytes];
    ZH_TRY(put(d, numbers + done, bytes, err));
  }
  return ZH_OK;
}
