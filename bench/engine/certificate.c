#include "bench/engine/certificate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/files.h"
#include "core/philox.h"

enum { FOLLOWED = 2 };
/* Keys and values of one token take at most this much of the file; beyond it some layers' alone. */
#define CACHE_BYTES_MAX (UINT64_C(8) << 20)
enum { STREAM_TOKENS, STREAM_HEADS, STREAM_LAYERS };

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

zh_status zh_challenge_draw(zh_challenge *out, const zh_certified *run, const char *chain,
                            zh_error *err) {
  char digest[ZH_DIGEST_HEX];
  zh_text text = {0};
  *out = (zh_challenge){0};
  zh_text_printf(&text, "zhiheng certificate 1\n%s\n%s\n%s", run->step, chain, run->nonce);
  zh_status status = text.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for the challenge")
                                 : zh_digest_bytes(digest, ZH_SM3, text.data, text.length, err);
  zh_text_free(&text);
  ZH_TRY(status);
  digest[16] = '\0';
  out->seed = strtoull(digest, NULL, 16);
  size_t timed = run->steps * run->sequences, wanted = timed < FOLLOWED ? timed : FOLLOWED;
  for (uint64_t i = 0; out->count < wanted; ++i) {
    uint32_t answer = draw(out, STREAM_TOKENS, i, timed);
    zh_followed token = {answer / run->sequences, answer % run->sequences};
    if (!is_drawn(out, &token)) out->token[out->count++] = token;
  }
  return ZH_OK;
}

int64_t zh_challenge_head(const zh_challenge *c, const zh_architecture *a, uint32_t layer,
                          size_t positions) {
  uint64_t bytes = (uint64_t)positions * a->head_dim * 2 * sizeof(float) * a->layers;
  uint64_t every = (bytes + CACHE_BYTES_MAX - 1) / CACHE_BYTES_MAX;
  if (every > a->layers) every = a->layers;
  if (every > 1 && (layer + draw(c, STREAM_LAYERS, 0, every)) % every != 0) return -1;
  return draw(c, STREAM_HEADS, layer, a->kv_heads);
}

/* --- the file --- */

struct zh_certificate {
  zh_certified run;
  zh_challenge challenge;
  zh_engine *engine;
  zh_writer *writer;
  zh_text line;
  float *slice; /* one head's keys or values */
  zh_error error;
  zh_status status; /* the first failure while watching */
};

static zh_status put_line(zh_certificate *c, zh_error *err) {
  zh_text_puts(&c->line, "\n");
  zh_status status = c->line.failed
                         ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate")
                         : zh_writer_put(c->writer, c->line.data, c->line.length, err);
  c->line.length = 0;
  return status;
}

static void put_floats(zh_certificate *c, const char *key, const float *values, size_t count) {
  zh_text_printf(&c->line, ",\"%s\":\"", key);
  zh_base64_append(&c->line, values, count * sizeof *values);
  zh_text_puts(&c->line, "\"");
}

/* Links of the chain as their 24 bytes: docs/metrics.md, "Self-check". */
static zh_status put_header(zh_certificate *c, zh_error *err) {
  const zh_certified *run = &c->run;
  const zh_roundings *rounds = &run->arithmetic.rounds;
  char commitment[ZH_DIGEST_HEX];
  char *text = NULL;
  size_t count = run->steps * run->sequences;
  ZH_TRY(zh_nonce_commitment(commitment, run->nonce, err));
  zh_text links = {0};
  for (size_t i = 0; i < count; ++i) {
    unsigned char link[ZH_LINK_BYTES];
    zh_answer_bytes(link, &run->answers[i]);
    zh_base64_append(&links, link, sizeof link); /* 24 is a multiple of 3 */
  }
  json_t *header = json_pack(
      "{s:s,s:s,s:s,s:s,s:s,s:b,s:{s:s,s:s,s:s},s:s,s:s,s:I,s:I,s:I,s:s}", "schema",
      "zhiheng.certificate/1", "step", run->step, "model", run->model, "model_sm3", run->model_sm3,
      "kernels", run->kernels, "fp64_sums", run->arithmetic.fp64_sums, "rounds", "bf16",
      zh_rounding_name(rounds->bf16), "few", zh_rounding_name(rounds->few), "many",
      zh_rounding_name(rounds->many), "nonce", run->nonce, "commitment", commitment, "steps",
      (json_int_t)run->steps, "sequences", (json_int_t)run->sequences, "start",
      (json_int_t)run->start, "links", zh_text_string(&links));
  zh_text_free(&links);
  zh_status status = header && !links.failed
                         ? zh_json_dump_line(&text, header, err)
                         : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
  if (status == ZH_OK) zh_text_puts(&c->line, text);
  if (status == ZH_OK) status = put_line(c, err);
  free(text);
  json_decref(header);
  return status;
}

/* Keys or values of one head of one sequence, positions 0 … n - 1, packed. */
static void put_cache(zh_certificate *c, const char *key, const float *cache, size_t positions,
                      size_t head) {
  const zh_architecture *a = &c->engine->architecture;
  size_t d = a->head_dim, width = (size_t)a->kv_heads * d;
  for (size_t j = 0; j < positions; ++j)
    memcpy(c->slice + j * d, cache + j * width + head * d, d * sizeof *c->slice);
  put_floats(c, key, c->slice, positions * d);
}

static void put_operation(zh_certificate *c, size_t token, const zh_operation *o, size_t t) {
  size_t positions = (size_t)o->position[t] + 1;
  zh_text_printf(&c->line, "{\"token\":%zu,\"layer\":%d,\"name\":\"%s\"", token, o->layer, o->name);
  put_floats(c, "values", o->output + t * o->out_width, o->out_width);
  if (o->op == ZH_OP_ATTENTION) {
    int64_t head =
        zh_challenge_head(&c->challenge, &c->engine->architecture, (uint32_t)o->layer, positions);
    size_t at = o->sequence[t] * o->cache_stride;
    if (head >= 0) {
      put_cache(c, "keys", o->k_cache + at, positions, (size_t)head);
      put_cache(c, "cached_values", o->v_cache + at, positions, (size_t)head);
    }
  }
  zh_text_puts(&c->line, "}");
  c->status = put_line(c, &c->error);
}

static void watch(void *user, const zh_operation *o) {
  zh_certificate *c = user;
  for (size_t i = 0; i < c->challenge.count; ++i) {
    const zh_followed *followed = &c->challenge.token[i];
    for (size_t t = 0; t < o->tokens && c->status == ZH_OK; ++t)
      if (o->sequence[t] == followed->sequence && o->position[t] == c->run.start + followed->step)
        put_operation(c, i, o, t);
  }
}

zh_status zh_certificate_begin(zh_certificate **out, const char *path, const zh_certified *run,
                               zh_engine *engine, zh_error *err) {
  char chain[ZH_DIGEST_HEX];
  *out = NULL;
  zh_certificate *c = calloc(1, sizeof *c);
  if (!c) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
  *c = (zh_certificate){.run = *run, .engine = engine, .error = ZH_ERROR_INIT};
  c->slice = malloc(engine->context * (size_t)engine->architecture.head_dim * sizeof *c->slice);
  zh_status status =
      c->slice ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
  if (status == ZH_OK)
    status = zh_trial_chain(chain, run->answers, run->steps * run->sequences, err);
  if (status == ZH_OK) status = zh_challenge_draw(&c->challenge, run, chain, err);
  if (status == ZH_OK) status = zh_writer_open(&c->writer, path, err);
  if (status == ZH_OK) status = put_header(c, err);
  if (status == ZH_OK) status = zh_engine_observe(engine, watch, c, err);
  if (status != ZH_OK) {
    zh_certificate_abandon(c);
    return status;
  }
  *out = c;
  return ZH_OK;
}

static void release(zh_certificate *c) {
  (void)!zh_engine_observe(c->engine, NULL, NULL, NULL);
  zh_text_free(&c->line);
  free(c->slice);
  free(c);
}

zh_status zh_certificate_commit(zh_certificate *c, zh_error *err) {
  zh_status status = c->status;
  if (status != ZH_OK) {
    zh_fail(err, status, "%s", c->error.message);
    zh_writer_abandon(c->writer);
  } else {
    status = zh_writer_commit(c->writer, err);
  }
  release(c);
  return status;
}

void zh_certificate_abandon(zh_certificate *c) {
  if (!c) return;
  zh_writer_abandon(c->writer);
  release(c);
}
