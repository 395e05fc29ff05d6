/* What a pass needs on the device beside weights and cache: a place for each value of the program,
 * the tokens, and room for attention. One block. */
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"

enum { ALIGNMENT = 256, LOGIT_ROWS = 32 };

static size_t aligned(size_t bytes) {
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool is_latent(const zh_engine *engine) {
  return engine->architecture.attention == ZH_ATTENTION_LATENT;
}

/* What changes in place stays where it was. */
static zh_value place_of(const zh_engine *engine, zh_value value) {
  if (value == ZH_VALUE_FINAL_QUERY) return is_latent(engine) ? ZH_VALUE_ABSORBED : ZH_VALUE_QUERY;
  return value == ZH_VALUE_FINAL_KEY ? ZH_VALUE_KEY : value;
}

/* Which values the layers' programs have. */
static void find_used(bool used[ZH_VALUES], const zh_engine *engine) {
  const zh_program *program = &engine->device->program;
  for (uint32_t l = 0; l < program->layers; ++l) {
    const zh_instruction *list = program->list[program->kind[l]];
    for (size_t i = 0; i < program->length[program->kind[l]]; ++i)
      used[list[i].in] = used[list[i].second] = used[list[i].out] = true;
  }
  used[ZH_VALUE_X] = used[ZH_VALUE_NORMED] = used[ZH_VALUE_LOGITS] = true;
  if (!engine->architecture.shared_ffn) used[ZH_VALUE_SHARED] = false;
}

static size_t rows_of(const zh_engine *engine, zh_value value) {
  if (value == ZH_VALUE_LOGITS) return zh_device_logit_rows(engine);
  return engine->micro_batch *
         (zh_value_is_of_choices(value) ? (size_t)engine->architecture.experts_used : 1);
}

size_t zh_device_logit_rows(const zh_engine *engine) {
  size_t rows = engine->sequences > LOGIT_ROWS ? engine->sequences : LOGIT_ROWS;
  return rows < engine->micro_batch ? rows : engine->micro_batch;
}

zh_device_attention zh_device_attention_of(const zh_engine *engine, size_t layer, size_t tokens) {
  const zh_architecture *a = &engine->architecture;
  return (zh_device_attention){
      .kv = zh_device_cache_of(engine, layer),
      .heads = a->heads,
      .tokens = tokens,
      .window = zh_layer_is(a, (uint32_t)layer, ZH_LAYER_SLIDING) ? a->window : 0,
      .longest = engine->context, /* the same parts at each step: the same bits */
      .scale = a->attention_scale,
      .softcap = a->attention_softcap};
}

/* Room for the inputs of products of many tokens, of every value that may be one. */
static size_t product_room(const zh_engine *engine, const bool used[ZH_VALUES]) {
  const zh_device_engine *d = engine->device;
  const zh_architecture *a = &engine->architecture;
  size_t most = 0;
  for (int v = 0; v < ZH_VALUES && d->api->product_room; ++v) {
    size_t rows = rows_of(engine, (zh_value)v), width = zh_value_width(a, (zh_value)v);
    if (!used[v] || v == ZH_VALUE_LOGITS) continue;
    size_t whole = d->api->product_room(d->device, rows, width), heads = 0;
    if (is_latent(engine))
      heads = d->api->product_room(d->device, rows * a->heads, (width + a->heads - 1) / a->heads);
    most = whole > most ? whole : most;
    most = heads > most ? heads : most;
  }
  return most;
}

static size_t scratch_bytes(const zh_engine *engine) {
  const zh_device_api *api = engine->device->api;
  size_t most = 0;
  for (int way = ZH_FEW; way <= ZH_MANY; ++way) {
    zh_device_attention work = zh_device_attention_of(engine, 0, engine->micro_batch);
    work.way = (zh_way)way;
    work.window = 0; /* other layers may have none */
    size_t bytes = api->attention_scratch(engine->device->device, &work);
    if (bytes > most) most = bytes;
  }
  return most;
}

/* --- one block, cut up --- */

typedef struct cutting {
  unsigned char *next; /* from a base that is not used while bytes are counted */
} cutting;

static void *take(cutting *c, size_t count, size_t size) {
  void *at = c->next;
  c->next += aligned(count * size);
  return at;
}

static void cut(cutting *c, const zh_engine *engine, zh_device_engine *d) {
  const zh_architecture *a = &engine->architecture;
  size_t tokens = engine->micro_batch;
  bool used[ZH_VALUES] = {false};
  find_used(used, engine);
  for (int v = 0; v < ZH_VALUES; ++v)
    if (used[v] && place_of(engine, (zh_value)v) == (zh_value)v)
      d->value[v] =
          take(c, rows_of(engine, (zh_value)v) * zh_value_width(a, (zh_value)v), sizeof(float));
  for (int v = 0; v < ZH_VALUES; ++v) d->value[v] = d->value[place_of(engine, (zh_value)v)];
  d->last = take(c, tokens * a->hidden, sizeof(float));
  d->tokens.token = take(c, 4 * tokens, sizeof(uint32_t));
  d->tokens.position = d->tokens.token + tokens;
  d->tokens.sequence = d->tokens.position + tokens;
  d->tokens.wanted = d->tokens.sequence + tokens;
  for (int i = 0; i < 2; ++i) d->frequency[i] = take(c, a->rope[i].dims / 2 + 1, sizeof(double));
  if (a->alibi) d->slopes = take(c, a->heads, sizeof(float));
  if (engine->weights.expert) {
    d->choice = take(c, tokens * a->experts_used, sizeof(uint32_t));
    d->lists = take(c, zh_device_list_words(tokens, engine->weights.experts_here, a->experts_used),
                    sizeof(uint32_t));
    d->counted = take(c, ZH_COUNTS * (size_t)a->layers, sizeof *d->counted);
  }
  /* Behind them what was chosen: zh_device_chosen. */
  d->answer = take(c, zh_device_logit_rows(engine), sizeof *d->answer + sizeof(uint32_t));
  size_t gathered = zh_device_gathered_floats(engine);
  if (gathered > 0) d->gathered = take(c, gathered, sizeof(float));
  d->sum = take(c, ZH_DEVICE_SUMS, sizeof *d->sum);
  if (engine->head_factor)
    d->head_factor = take(c, engine->weights.whole[ZH_HEAD].matrix.rows, sizeof *d->head_factor);
  d->scratch = take(c, scratch_bytes(engine), 1);
  d->product_room_bytes = product_room(engine, used);
  d->product_room = take(c, d->product_room_bytes, 1);
}

uint64_t zh_device_buffers_formula(const zh_engine *engine) {
  static unsigned char base[1];
  zh_device_engine unused = *engine->device;
  cutting c = {base};
  cut(&c, engine, &unused);
  return (uint64_t)(c.next - base);
}

zh_status zh_device_make_buffers(zh_engine *engine, zh_error *err) {
  zh_device_engine *d = engine->device;
  d->activation_bytes = zh_device_buffers_formula(engine);
  ZH_TRY(
      d->api->alloc(d->device, (void **)&d->activations, d->activation_bytes, "activations", err));
  cutting c = {d->activations};
  cut(&c, engine, d);
  if (d->product_room_bytes)
    d->api->lend_product_room(d->device, d->product_room, d->product_room_bytes);
  for (int i = 0; i < 2; ++i)
    ZH_TRY(d->api->upload(d->device, d->frequency[i], engine->frequency[i],
                          engine->architecture.rope[i].dims / 2 * sizeof(double), err));
  if (engine->slopes)
    ZH_TRY(d->api->upload(d->device, d->slopes, engine->slopes,
                          engine->architecture.heads * sizeof(float), err));
  if (engine->head_factor)
    ZH_TRY(d->api->upload(d->device, d->head_factor, engine->head_factor,
                          engine->weights.whole[ZH_HEAD].matrix.rows * sizeof *d->head_factor,
                          err));
  return d->api->wait(d->device, err);
}
