#include "bench/engine/certificate.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/order.h"
#include "bench/engine/shown.h"
#include "core/base64.h"
#include "core/files.h"
#include "core/philox.h"

enum { FOLLOWED = 2 };
/* Keys and values of one token take at most this much of the file; beyond it some layers' alone. */
#define CACHE_BYTES_MAX (UINT64_C(8) << 20)
enum { STREAM_TOKENS, STREAM_HEADS, STREAM_LAYERS, STREAM_SEQUENCE };

/* --- what is asked --- */

zh_status zh_nonce_commitment(char out[ZH_DIGEST_HEX], const char *nonce, zh_error *err) {
  zh_text text = {0};
  zh_text_printf(&text, "zhiheng nonce\n%s", nonce);
  zh_status status = text.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for the nonce")
                                 : zh_digest_bytes(out, ZH_SM3, text.data, text.length, err);
  zh_text_free(&text);
  return status;
}

static uint32_t draw(const zh_challenge *c, uint64_t stream, uint64_t index, size_t below) {
  uint32_t bits;
  zh_random_fill(&bits, 1, c->seed, stream, index);
  return (uint32_t)(((uint64_t)bits * below) >> 32);
}

static bool is_drawn(const zh_challenge *c, const zh_followed *token) {
  for (size_t i = 0; i < c->count; ++i)
    if (c->token[i].step == token->step && c->token[i].sequence == token->sequence) return true;
  return false;
}

size_t zh_certified_answers(const zh_certified *run) {
  return run->is_prompt ? run->sequences : run->steps * run->sequences;
}

/* Tokens of one drawn sequence, and its last one, whose answer was timed. */
static void draw_of_prompt(zh_challenge *c, const zh_certified *run) {
  size_t sequence = draw(c, STREAM_SEQUENCE, 0, run->sequences), before = run->steps - 1;
  size_t wanted = before < FOLLOWED ? before : FOLLOWED;
  for (uint64_t i = 0; c->count < wanted; ++i) {
    zh_followed token = {draw(c, STREAM_TOKENS, i, before), sequence};
    if (!is_drawn(c, &token)) c->token[c->count++] = token;
  }
  c->token[c->count++] = (zh_followed){before, sequence};
}

static void draw_of_answers(zh_challenge *c, const zh_certified *run) {
  size_t timed = run->steps * run->sequences, wanted = timed < FOLLOWED ? timed : FOLLOWED;
  for (uint64_t i = 0; c->count < wanted; ++i) {
    uint32_t answer = draw(c, STREAM_TOKENS, i, timed);
    zh_followed token = {answer / run->sequences, answer % run->sequences};
    if (!is_drawn(c, &token)) c->token[c->count++] = token;
  }
}

zh_status zh_challenge_draw(zh_challenge *out, const zh_certified *run, const char *chain,
                            const char *marks_sm3, zh_error *err) {
  char digest[ZH_DIGEST_HEX];
  zh_text text = {0};
  *out = (zh_challenge){0};
  zh_text_printf(&text, "zhiheng certificate 1\n%s\n%s\n%s%s%s", run->step, chain, marks_sm3,
                 marks_sm3[0] ? "\n" : "", run->nonce);
  zh_status status = text.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for the challenge")
                                 : zh_digest_bytes(digest, ZH_SM3, text.data, text.length, err);
  zh_text_free(&text);
  ZH_TRY(status);
  digest[16] = '\0';
  out->seed = strtoull(digest, NULL, 16);
  if (run->is_prompt)
    draw_of_prompt(out, run);
  else
    draw_of_answers(out, run);
  return ZH_OK;
}

int64_t zh_challenge_head(const zh_challenge *c, const zh_architecture *a, uint32_t layer,
                          size_t positions) {
  uint64_t bytes = (uint64_t)positions * zh_key_dim(a) * 2 * sizeof(float) * a->layers;
  uint64_t every = (bytes + CACHE_BYTES_MAX - 1) / CACHE_BYTES_MAX;
  if (every > a->layers) every = a->layers;
  if (every > 1 && (layer + draw(c, STREAM_LAYERS, 0, every)) % every != 0) return -1;
  return draw(c, STREAM_HEADS, layer, a->kv_heads);
}

static void little_endian(unsigned char out[8], uint64_t value) {
  for (int i = 0; i < 8; ++i) out[i] = (unsigned char)(value >> (8 * i));
}

zh_status zh_marks_digest(char out[ZH_DIGEST_HEX], const uint64_t *marks, size_t count,
                          zh_error *err) {
  zh_digest *digest = NULL;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; i < count && status == ZH_OK; ++i) {
    unsigned char bytes[8];
    little_endian(bytes, marks[i]);
    status = zh_digest_update(digest, bytes, sizeof bytes, err);
  }
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}

/* --- what this rank saw --- */

typedef struct certificate {
  zh_certified run;
  zh_challenge challenge;
  zh_architecture whole; /* the model's; the engine's is of this rank's part */
  zh_program program;
  const zh_engine *engine;
  const zh_comm *comm; /* NULL: the whole model is here */
  zh_writer *writer;   /* of rank 0 */
  zh_text line;
  zh_shown shown; /* where the model is divided; else lines are written as they come */
  float *slice;   /* one head's keys and values, or what choices gave */
  zh_error error;
  zh_status status; /* the first failure while watching */
} certificate;

static zh_status put_line(certificate *c, zh_error *err) {
  zh_text_puts(&c->line, "\n");
  zh_status status = c->line.failed
                         ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate")
                         : zh_writer_put(c->writer, c->line.data, c->line.length, err);
  c->line.length = 0;
  return status;
}

static void put_floats(certificate *c, const char *key, const float *values, size_t count) {
  zh_text_printf(&c->line, ",\"%s\":\"", key);
  zh_base64_append(&c->line, values, count * sizeof *values);
  zh_text_puts(&c->line, "\"");
}

/* One operator's output, and of attention the shown head's cache: of latents keys alone. */
static zh_status put_operation(certificate *c, const zh_shown_part part[ZH_SHOWN_KINDS],
                               zh_error *err) {
  int layer = -1;
  const zh_shown_part *values = &part[ZH_SHOWN_VALUES];
  const zh_instruction *is = zh_program_at(&c->program, values->place, &layer);
  zh_text_printf(&c->line, "{\"token\":%u,\"layer\":%d,\"name\":\"%s\"", values->token, layer,
                 is->name);
  put_floats(c, "values", values->floats, values->count);
  if (part[ZH_SHOWN_KEYS].count > 0)
    put_floats(c, "keys", part[ZH_SHOWN_KEYS].floats, part[ZH_SHOWN_KEYS].count);
  if (part[ZH_SHOWN_CACHED].count > 0)
    put_floats(c, "cached_values", part[ZH_SHOWN_CACHED].floats, part[ZH_SHOWN_CACHED].count);
  zh_text_puts(&c->line, "}");
  return put_line(c, err);
}

static zh_status put_or_keep(certificate *c, const zh_shown_part part[ZH_SHOWN_KINDS]) {
  if (!c->comm) return put_operation(c, part, &c->error);
  for (int kind = 0; kind < ZH_SHOWN_KINDS; ++kind)
    if (part[kind].count > 0) ZH_TRY(zh_shown_keep(&c->shown, kind, &part[kind], &c->error));
  return ZH_OK;
}

static void show_cache(certificate *c, zh_shown_part part[ZH_SHOWN_KINDS], const zh_operation *o,
                       size_t t) {
  const zh_architecture *a = &c->engine->architecture;
  size_t positions = (size_t)o->position[t] + 1, floats = positions * zh_key_dim(a),
         of_values = o->kv->shared ? 0 : floats,
         first = (size_t)c->engine->stages.part.index * c->whole.kv_heads /
                 (size_t)c->engine->stages.part.parts;
  int64_t head = zh_challenge_head(&c->challenge, &c->whole, (uint32_t)o->layer, positions);
  if (head < 0 || (size_t)head < first || (size_t)head >= first + a->kv_heads) return;
  size_t mine = (size_t)head - first;
  part[ZH_SHOWN_KEYS] = part[ZH_SHOWN_CACHED] = part[ZH_SHOWN_VALUES];
  zh_kv_keys(c->slice, o->kv, o->sequence[t], mine, 0, positions);
  if (of_values) zh_kv_values(c->slice + floats, o->kv, o->sequence[t], mine, 0, positions);
  part[ZH_SHOWN_KEYS].floats = c->slice;
  part[ZH_SHOWN_CACHED].floats = c->slice + floats;
  part[ZH_SHOWN_KEYS].count = floats;
  part[ZH_SHOWN_CACHED].count = of_values;
}

/* Of a divided product this rank has a part of each sum: what is read of it next is the whole. */
static zh_status show_sum(certificate *c, size_t token, size_t place, const zh_operation *o,
                          size_t t, const zh_instruction *now) {
  const float *whole = now->in == ZH_VALUE_DELTA       ? o->input
                       : now->second == ZH_VALUE_DELTA ? o->second
                                                       : NULL;
  if (!whole) return ZH_OK;
  zh_shown_part delta[ZH_SHOWN_KINDS] = {
      {(uint32_t)token, (uint32_t)place - 1, o->in_width, whole + t * o->in_width, 0}};
  return put_or_keep(c, delta);
}

/* Of a token's choices all, one after the other; and which they are. */
static size_t count_of(const certificate *c, const zh_operation *o) {
  size_t used = c->whole.experts_used;
  return o->op == ZH_OP_ROUTE ? 2 * used : o->each ? used * o->out_width : o->out_width;
}

static const float *output_of(certificate *c, const zh_operation *o, size_t t) {
  size_t used = c->whole.experts_used, width = o->out_width;
  for (size_t k = 0; o->each && k < used; ++k)
    memcpy(c->slice + k * width, zh_operation_output(o, t * used + k), width * sizeof(float));
  if (o->op == ZH_OP_ROUTE) {
    memcpy(c->slice, o->output + t * used, used * sizeof(float));
    for (size_t k = 0; k < used; ++k) c->slice[used + k] = (float)o->mixture->choice[t * used + k];
  }
  return o->each || o->op == ZH_OP_ROUTE ? c->slice : zh_operation_output(o, t);
}

/* Of several ranks: what this one gave of each choice, its columns or all of it; nothing of choices
 * whose expert another rank has. */
static zh_status keep_choices(certificate *c, size_t token, size_t place, const zh_operation *o,
                              size_t t) {
  size_t used = c->whole.experts_used;
  for (uint32_t k = 0; k < used; ++k) {
    zh_shown_part part = {(uint32_t)token, (uint32_t)place, o->out_width,
                          zh_operation_output(o, t * used + k), k};
    if (zh_operation_has(o, t * used + k))
      ZH_TRY(zh_shown_keep(&c->shown, ZH_SHOWN_VALUES, &part, &c->error));
  }
  return ZH_OK;
}

static zh_status show(certificate *c, size_t token, const zh_operation *o, size_t t) {
  size_t place = zh_program_find(&c->program, o);
  int layer = -1;
  if (place == SIZE_MAX) return ZH_OK;
  if (c->comm && o->each) return keep_choices(c, token, place, o, t);
  const zh_instruction *now = zh_program_at(&c->program, place, &layer);
  zh_shown_part part[ZH_SHOWN_KINDS] = {
      {(uint32_t)token, (uint32_t)place, count_of(c, o), output_of(c, o, t), 0}};
  if (c->comm && now->out == ZH_VALUE_DELTA) return ZH_OK;
  if (c->comm) ZH_TRY(show_sum(c, token, place, o, t, now));
  if (o->op == ZH_OP_ATTENTION) show_cache(c, part, o, t);
  return put_or_keep(c, part);
}

static void watch(void *user, const zh_operation *o) {
  certificate *c = user;
  for (size_t i = 0; i < c->challenge.count; ++i) {
    const zh_followed *followed = &c->challenge.token[i];
    size_t tokens = o->each ? o->tokens / o->mixture->used : o->tokens;
    for (size_t t = 0; t < tokens && c->status == ZH_OK; ++t)
      if (o->sequence[t] == followed->sequence && o->position[t] == c->run.start + followed->step)
        c->status = show(c, i, o, t);
  }
}

/* --- the file --- */

/* Links of the chain as their 24 bytes: docs/metrics.md, "Self-check". */
static void put_links(zh_text *out, const zh_certified *run) {
  for (size_t i = 0; i < zh_certified_answers(run); ++i) {
    unsigned char link[ZH_LINK_BYTES];
    zh_answer_bytes(link, &run->answers[i]);
    zh_base64_append(out, link, sizeof link); /* 24 is a multiple of 3 */
  }
}

static zh_status put_marks(zh_text *out, const zh_certified *run, zh_error *err) {
  size_t count = run->marks ? run->steps * run->sequences : 0;
  unsigned char *bytes = malloc(8 * count + 1);
  if (!bytes) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
  for (size_t i = 0; i < count; ++i) little_endian(bytes + 8 * i, run->marks[i]);
  zh_base64_append(out, bytes, 8 * count);
  free(bytes);
  return ZH_OK;
}

/* Names of the products that ask for finer rounding. */
static json_t *fine_products(const certificate *c) {
  json_t *names = json_array();
  const zh_program *p = &c->program;
  for (size_t i = 0; names && i < zh_program_length(p, true); ++i) {
    int layer = -1;
    const zh_instruction *is = zh_program_at(p, i, &layer);
    if (layer > 0) continue;
    const zh_weight *weight = zh_order_weight(is, layer, &c->engine->weights);
    if (weight && weight->fine) json_array_append_new(names, json_string(is->name));
  }
  return names;
}

static json_t *header_of(const certificate *c, const char *commitment, const char *links,
                         const char *marks) {
  const zh_certified *run = &c->run;
  const zh_roundings *rounds = &run->arithmetic.rounds;
  return json_pack(
      "{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:{s:s,s:s,s:s,s:s,s:s},s:o,s:s,s:I,s:s,s:s,s:I,s:"
      "I,s:I,s:s,s:s}",
      "schema", "zhiheng.certificate/1", "step", run->step, "workload",
      run->is_prompt ? "prefill" : "decode", "model", run->model, "model_sm3", run->model_sm3,
      "kernels", run->kernels, "context", (json_int_t)run->arithmetic.context, "fp64_sums",
      run->arithmetic.fp64_sums, "rounds", "bf16", zh_rounding_name(rounds->bf16), "few",
      zh_rounding_name(rounds->few), "many", zh_rounding_name(rounds->many), "fine",
      zh_rounding_name(rounds->fine), "attention", zh_rounding_name(rounds->attention), "fine",
      fine_products(c), "kv", zh_kv_names[run->arithmetic.kv], "ranks", (json_int_t)run->ranks,
      "nonce", run->nonce, "commitment", commitment, "steps", (json_int_t)run->steps, "sequences",
      (json_int_t)run->sequences, "start", (json_int_t)run->start, "links", links, "marks", marks);
}

/* Types whose weights a device holds as bf16, and whether it holds FP8 as it is (device_forms.c).
 */
static zh_status say_held(json_t *header, const zh_engine *engine, zh_error *err) {
  json_t *names = json_array();
  bool fp8 = false;
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *w = zh_weights_at(&engine->weights, i);
    fp8 |= w->matrix.type == ZH_F8_E4M3;
    const char *name = zh_dtype_find((uint32_t)w->tensor->type)->name;
    bool known = w->matrix.type == w->tensor->type || w->matrix.type == ZH_F8_E4M3;
    for (size_t k = 0; !known && k < json_array_size(names); ++k)
      known = strcmp(json_string_value(json_array_get(names, k)), name) == 0;
    if (!known) json_array_append_new(names, json_string(name));
  }
  bool any = json_array_size(names) > 0;
  bool said = !fp8 || json_object_set_new(header, "held_e4m3", json_true()) == 0;
  if (names && said && (!any || json_object_set(header, "held_bf16", names) == 0)) {
    json_decref(names);
    return ZH_OK;
  }
  json_decref(names);
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
}

static zh_status put_header(certificate *c, zh_error *err) {
  char commitment[ZH_DIGEST_HEX];
  char *text = NULL;
  zh_text links = {0}, marks = {0};
  ZH_TRY(zh_nonce_commitment(commitment, c->run.nonce, err));
  put_links(&links, &c->run);
  zh_status status = put_marks(&marks, &c->run, err);
  json_t *header = header_of(c, commitment, zh_text_string(&links), zh_text_string(&marks));
  if (header && c->run.arithmetic.rounds.e4m3 != ZH_ROUND_NONE)
    json_object_set_new(json_object_get(header, "rounds"), "e4m3",
                        json_string(zh_rounding_name(c->run.arithmetic.rounds.e4m3)));
  if (status == ZH_OK && (!header || links.failed || marks.failed))
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
  if (status == ZH_OK) status = say_held(header, c->engine, err);
  if (status == ZH_OK) status = zh_json_dump_line(&text, header, err);
  if (status == ZH_OK) zh_text_puts(&c->line, text);
  if (status == ZH_OK) status = put_line(c, err);
  free(text);
  json_decref(header);
  zh_text_free(&links);
  zh_text_free(&marks);
  return status;
}

static zh_status put_joined(void *user, const zh_shown_part part[ZH_SHOWN_KINDS], zh_error *err) {
  return put_operation(user, part, err);
}

static zh_status draw_challenge(certificate *c, zh_error *err) {
  char chain[ZH_DIGEST_HEX], marks[ZH_DIGEST_HEX] = "";
  const zh_certified *run = &c->run;
  ZH_TRY(zh_trial_chain(chain, run->answers, zh_certified_answers(run), err));
  if (run->marks) ZH_TRY(zh_marks_digest(marks, run->marks, run->steps * run->sequences, err));
  return zh_challenge_draw(&c->challenge, run, chain, marks, err);
}

static zh_status begin(certificate *c, const zh_trial *trial, const char *path, zh_error *err) {
  zh_engine *engine = trial->engine;
  c->engine = engine;
  ZH_TRY(zh_model_architecture(&c->whole, trial->model, err));
  zh_program_shown(&c->program, &c->whole, c->run.ranks);
  size_t floats = 2 * engine->context * (size_t)zh_key_dim(&c->whole);
  for (int v = 0; v < ZH_VALUES; ++v)
    if (zh_value_shown(&c->whole, (zh_value)v) > floats)
      floats = zh_value_shown(&c->whole, (zh_value)v);
  c->slice = malloc(floats * sizeof *c->slice);
  if (!c->slice) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
  ZH_TRY(draw_challenge(c, err));
  if (trial->job->comm->rank == 0) {
    ZH_TRY(zh_writer_open(&c->writer, path, err));
    ZH_TRY(put_header(c, err));
  }
  return zh_engine_observe(engine, watch, c, err);
}

static zh_status compute_again(certificate *c, zh_status (*again)(void *, zh_error *), void *user,
                               zh_error *err) {
  ZH_TRY(again(user, err));
  return c->status == ZH_OK ? ZH_OK : zh_fail(err, c->status, "%s", c->error.message);
}

zh_status zh_certify(zh_trial *trial, const zh_certified *run,
                     zh_status (*again)(void *user, zh_error *err), void *user, zh_error *err) {
  const zh_job *job = trial->job;
  bool together = zh_job_is_parallel(job);
  char path[PATH_MAX], sm3[ZH_DIGEST_HEX];
  if (!job->nonce || (job->comm->rank != 0 && !together)) return ZH_OK;
  certificate c = {.run = *run, .comm = together ? job->comm : NULL, .error = ZH_ERROR_INIT};
  c.run.step = job->step;
  c.run.model = zh_model_name(trial->model);
  c.run.model_sm3 = job->model_sm3;
  c.run.nonce = job->nonce;
  c.run.kernels = trial->engine->kernels->name;
  c.run.arithmetic = zh_engine_arithmetic(trial->engine);
  c.run.ranks = (size_t)trial->engine->stages.part.parts;
  snprintf(path, sizeof path, "%s/certificate.jsonl", job->folder);
  zh_status status = zh_trial_agree(job, begin(&c, trial, path, err), err);
  if (status == ZH_OK) status = zh_trial_agree(job, compute_again(&c, again, user, err), err);
  if (status == ZH_OK && together)
    status = zh_shown_join(&c.shown, &c.whole, &c.program, job->comm, put_joined, &c, err);
  (void)!zh_engine_observe(trial->engine, NULL, NULL, NULL);
  if (c.writer && status == ZH_OK) {
    status = zh_writer_commit(c.writer, err);
    if (status == ZH_OK) status = zh_digest_file(sm3, ZH_SM3, path, err);
    if (status == ZH_OK) status = zh_trial_fact(trial, "certificate_sm3", json_string(sm3), err);
  } else if (c.writer) {
    zh_writer_abandon(c.writer);
  }
  zh_text_free(&c.line);
  zh_shown_free(&c.shown);
  free(c.slice);
  return zh_trial_agree(job, status, err);
}
