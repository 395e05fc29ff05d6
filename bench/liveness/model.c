/* Liveness of one model: its texts, an engine for it, and the account. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/liveness/bound.h"
#include "bench/liveness/liveness.h"
#include "core/files.h"
#include "core/philox.h"

enum { TEXT_BYTES_MAX = 1 << 20, EXAMPLES = 16 };
enum { STREAM_TEXTS = 0x74657874 };
static const uint64_t TEXT_SEED = 1; /* the same tokens in every run */

/* --- texts --- */

static zh_status read_beginning(zh_liveness_texts *out, size_t index, const zh_tokenizer *tokenizer,
                                zh_error *err) {
  char path[4096], *text = NULL;
  size_t length = 0, count = 0;
  uint32_t *token = NULL;
  ZH_TRY(zh_data_path(path, sizeof path, out->name[index], err));
  ZH_TRY(zh_read_file(&text, &length, path, TEXT_BYTES_MAX, err));
  zh_status status = zh_tokenize(&token, &count, tokenizer, text, length, true, true, err);
  free(text);
  ZH_TRY(status);
  for (size_t i = 0; i < out->length && count > 0; ++i) out->token[index][i] = token[i % count];
  free(token);
  return ZH_OK;
}

static void draw_text(uint32_t *token, uint32_t length, uint32_t number, uint32_t vocab) {
  zh_random_fill(token, length, TEXT_SEED, STREAM_TEXTS + number, 0);
  for (uint32_t i = 0; i < length; ++i) token[i] = (uint32_t)(((uint64_t)token[i] * vocab) >> 32);
}

zh_status zh_liveness_read_texts(zh_liveness_texts *out, const zh_model *model,
                                 const zh_architecture *architecture, zh_error *err) {
  static const char *const files[ZH_LIVENESS_TEXTS] = {"bench/suites/texts/measuring-en.txt",
                                                       "bench/suites/texts/measuring-zh.txt"};
  const zh_tokenizer *tokenizer = NULL;
  zh_error unknown = ZH_ERROR_INIT; /* a tokenizer that this version cannot read is no hindrance */
  *out = (zh_liveness_texts){.length = architecture->context < ZH_LIVENESS_LENGTH
                                           ? architecture->context
                                           : ZH_LIVENESS_LENGTH};
  if (zh_model_tokenizer(&tokenizer, model, &unknown) == ZH_ERR_MEMORY)
    return zh_fail(err, ZH_ERR_MEMORY, "%s", unknown.message);
  for (size_t t = 0; t < ZH_LIVENESS_TEXTS; ++t) {
    out->name[t] = files[t];
    if (tokenizer) {
      ZH_TRY(read_beginning(out, t, tokenizer, err));
      continue;
    }
    out->name[t] = "drawn tokens";
    draw_text(out->token[t], out->length, (uint32_t)t, architecture->vocab);
  }
  return ZH_OK;
}

void zh_liveness_text(uint32_t *token, const zh_liveness_texts *texts, uint32_t number,
                      uint32_t vocab) {
  if (number < ZH_LIVENESS_TEXTS)
    memcpy(token, texts->token[number], texts->length * sizeof *token);
  else
    draw_text(token, texts->length, number, vocab);
}

zh_engine_options zh_liveness_engine(zh_precision precision, const zh_architecture *architecture) {
  uint32_t length =
      architecture->context < ZH_LIVENESS_LENGTH ? architecture->context : ZH_LIVENESS_LENGTH;
  return (zh_engine_options){.precision = precision,
                             .sequences = ZH_LIVENESS_SEQUENCES,
                             .context = length,
                             .micro_batch = ZH_LIVENESS_SEQUENCES * length,
                             .unpacked = true};
}

/* --- the account --- */

static const char *outcome_name(zh_probe_outcome outcome) {
  static const char *const names[] = {
      [ZH_PROBE_LIVE] = "live",           [ZH_PROBE_BELOW_FLOOR] = "below_floor",
      [ZH_PROBE_UNCHANGED] = "unchanged", [ZH_PROBE_ALL_ZERO] = "all_zero",
      [ZH_PROBE_STUCK] = "stuck",         [ZH_PROBE_NOT_REACHED] = "not_reached"};
  return names[outcome];
}

static json_int_t count_of(const zh_liveness *l, zh_probe_outcome outcome) {
  json_int_t count = 0;
  for (size_t i = 0; i < l->count; ++i) count += l->probes[i].outcome == outcome;
  return count;
}

/* The probes by the role of their tensors; each bound is of its own draws alone. */
static json_t *strata_json(const zh_liveness *l) {
  json_t *list = json_array();
  for (int role = 0; role <= ZH_ROLE_OTHER; ++role) {
    uint64_t probes = 0, live = 0;
    for (size_t i = 0; i < l->count; ++i) {
      if ((int)zh_tensor_role_of(l->probes[i].weight->tensor) != role) continue;
      ++probes;
      live += l->probes[i].outcome == ZH_PROBE_LIVE;
    }
    if (probes == 0) continue;
    json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:f}", "role",
                                          zh_tensor_role_name((zh_tensor_role)role), "probes",
                                          (json_int_t)probes, "changed", (json_int_t)live,
                                          "lower_bound_95", zh_lower_bound(live, probes, 0.95)));
  }
  return list;
}

/* The first of those that changed nothing, so that anyone can change them by hand. */
static json_t *examples_json(const zh_liveness *l) {
  json_t *list = json_array();
  for (size_t i = 0; i < l->count && json_array_size(list) < EXAMPLES; ++i) {
    const zh_probe *p = &l->probes[i];
    if (p->outcome == ZH_PROBE_LIVE) continue;
    zh_probe_place at = zh_probe_place_of(p);
    json_array_append_new(
        list,
        json_pack("{s:s,s:o,s:I,s:I,s:o,s:o,s:o,s:s}", "tensor", p->weight->tensor->name, "expert",
                  at.expert < 0 ? json_null() : json_integer(at.expert), "row", (json_int_t)at.row,
                  "column", (json_int_t)at.column, "was", zh_json_number((double)p->was), "is",
                  zh_json_number((double)p->is), "change", zh_json_number((double)p->change),
                  "outcome", outcome_name(p->outcome)));
  }
  return list;
}

static json_t *texts_json(const zh_liveness_texts *texts) {
  json_t *list = json_array();
  for (size_t t = 0; t < ZH_LIVENESS_TEXTS; ++t) {
    json_t *token = json_array();
    for (size_t i = 0; i < texts->length; ++i)
      json_array_append_new(token, json_integer(texts->token[t][i]));
    json_array_append_new(list, json_pack("{s:s,s:o}", "name", texts->name[t], "tokens", token));
  }
  return list;
}

/* Null: a dense model. */
static json_t *experts_json(const zh_liveness_experts *e) {
  if (e->all == 0) return json_null();
  return json_pack("{s:I,s:I,s:I,s:I}", "all", (json_int_t)e->all, "reached",
                   (json_int_t)e->reached, "reached_by_texts", (json_int_t)e->by_texts,
                   "drawn_texts", (json_int_t)e->drawn);
}

json_t *zh_liveness_json(const zh_liveness *l) {
  char seed[32];
  snprintf(seed, sizeof seed, "0x%016llx", (unsigned long long)l->seed);
  return json_pack(
      "{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:f,s:o,s:s,s:s,s:f,s:o,s:o,s:o}", "measured", 1,
      "population", (json_int_t)l->population, "probes", (json_int_t)l->count, "changed",
      (json_int_t)l->live, "below_floor", count_of(l, ZH_PROBE_BELOW_FLOOR), "unchanged",
      count_of(l, ZH_PROBE_UNCHANGED), "all_zero", count_of(l, ZH_PROBE_ALL_ZERO), "stuck",
      count_of(l, ZH_PROBE_STUCK), "not_reached", count_of(l, ZH_PROBE_NOT_REACHED), "experts",
      experts_json(&l->experts), "lower_bound_95", l->lower_bound_95, "floor",
      zh_json_number((double)l->floor), "seed", seed, "kernels", l->kernels, "seconds", l->seconds,
      "texts", texts_json(&l->texts), "strata", strata_json(l), "not_live", examples_json(l));
}

/* --- one model --- */

static zh_status measure(json_t **out, const zh_model *model, zh_threads *threads,
                         const zh_liveness_options *options, zh_error *err) {
  zh_architecture architecture;
  zh_engine *engine = NULL;
  zh_liveness_texts texts;
  zh_liveness result = {0};
  ZH_TRY(zh_model_architecture(&architecture, model, err));
  zh_engine_options wanted = zh_liveness_engine(ZH_PRECISION_FAST, &architecture);
  ZH_TRY(zh_engine_create(&engine, model, threads, &wanted, err));
  zh_status status = zh_liveness_read_texts(&texts, model, &architecture, err);
  if (status == ZH_OK) status = zh_liveness_measure(&result, engine, threads, &texts, options, err);
  if (status == ZH_OK) {
    *out = zh_liveness_json(&result);
    if (!*out) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the account of the probes");
  }
  zh_liveness_free(&result);
  zh_engine_free(engine);
  return status;
}

zh_status zh_liveness_of_model(json_t **out, const zh_model *model, int threads,
                               const zh_liveness_options *options, zh_error *err) {
  zh_threads *pool = NULL;
  zh_error refused = ZH_ERROR_INIT;
  if (threads <= 0) threads = zh_machine_allowed_cores();
  ZH_TRY(zh_threads_create(&pool, threads > 0 ? threads : 1, NULL, err));
  zh_status status = measure(out, model, pool, options, &refused);
  zh_threads_free(pool);
  if (status == ZH_ERR_INPUT || status == ZH_ERR_LACKING || status == ZH_ERR_CHECK) {
    *out = json_pack("{s:b,s:s}", "measured", 0, "reason", refused.message);
    return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  }
  return status == ZH_OK ? ZH_OK : zh_fail(err, status, "%s", refused.message);
}
