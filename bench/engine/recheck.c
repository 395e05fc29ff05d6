/* A certificate against the model alone: the pass of each followed token is walked through, every
 * operator's output read from the file and checked in fp64 from the outputs before it. So no value
 * stands in the file twice, and none can be of another pass. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/certificate.h"
#include "bench/engine/chosen.h"
#include "bench/engine/order.h"
#include "core/base64.h"
#include "core/philox.h"

/* Where a followed token stands in its pass. */
typedef struct walk {
  zh_answer answer; /* what was fed, where, and what was answered, if `ends` */
  bool ends;        /* in logits */
  uint64_t mark;    /* of its keys and values so far */
  zh_followed followed;
  size_t next; /* instruction to come */
  float *at[ZH_VALUES];
  float *own; /* [layers][2][zh_key_dim]: key and value of the head that is shown */
} walk;

typedef struct recheck {
  const zh_certificate_claim *claim;
  zh_weights weights;
  zh_program program;
  zh_check *check;
  uint64_t seed;
  size_t rows;
  bool begun;
  zh_arithmetic arithmetic;
  char nonce[256];
  bool is_prompt;
  size_t steps, sequences, start, ranks;
  zh_answer *answers;
  uint64_t *marks; /* of a prompt: [sequences][steps] */
  zh_challenge challenge;
  walk walks[ZH_FOLLOWED_MAX];
  float *fresh, *keys, *values;
  size_t operators;
} recheck;

/* --- the first line --- */

static zh_certified run_of(const recheck *r, const char *nonce) {
  return (zh_certified){.step = r->claim->step,
                        .nonce = nonce,
                        .is_prompt = r->is_prompt,
                        .steps = r->steps,
                        .sequences = r->sequences};
}

static size_t answer_count(const recheck *r) {
  zh_certified run = run_of(r, "");
  return zh_certified_answers(&run);
}

static zh_status read_answers(recheck *r, const char *links, zh_error *err) {
  size_t count = answer_count(r);
  unsigned char *bytes = malloc(count * ZH_LINK_BYTES);
  r->answers = calloc(count, sizeof *r->answers);
  bool whole = bytes && r->answers && zh_base64_decode(bytes, count * ZH_LINK_BYTES, links);
  for (size_t i = 0; whole && i < count; ++i)
    zh_answer_read(&r->answers[i], bytes + i * ZH_LINK_BYTES);
  free(bytes);
  if (whole) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: line 1: 'links' should be base64 of %zu links of 24 bytes",
                 r->claim->path, count);
}

/* Of a prompt the sums over its keys and values, as the bundle has them. */
static zh_status read_marks(recheck *r, const char *text, zh_error *err) {
  char sm3[ZH_DIGEST_HEX];
  size_t count = r->is_prompt ? r->steps * r->sequences : 0;
  unsigned char *bytes = malloc(8 * count + 1);
  r->marks = calloc(count + 1, sizeof *r->marks);
  bool whole = bytes && r->marks && zh_base64_decode(bytes, 8 * count, text);
  for (size_t i = 0; whole && i < 8 * count; ++i)
    r->marks[i / 8] |= (uint64_t)bytes[i] << (8 * (i % 8));
  free(bytes);
  if (!whole)
    return zh_fail(err, ZH_ERR_INPUT, "%s: line 1: 'marks' should be base64 of %zu sums of 8 bytes",
                   r->claim->path, count);
  if (!r->is_prompt) return ZH_OK;
  ZH_TRY(zh_marks_digest(sm3, r->marks, count, err));
  if (strcmp(sm3, r->claim->marks_sm3) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "%s: its marks have SM3 %.16s…, but step %s of run.json has %.16s…",
                 r->claim->path, sm3, r->claim->step, r->claim->marks_sm3);
}

/* Prompts are drawn from the step's seed: workloads/prefill.c. */
static uint32_t prompt_token(const recheck *r, size_t sequence, size_t position) {
  uint32_t bits;
  uint64_t at = sequence * (r->start + r->steps) + position;
  zh_random_fill(&bits, 1, r->claim->seed, 1, at);
  return (uint32_t)(((uint64_t)bits * r->weights.architecture.vocab) >> 32);
}

static bool follows(const recheck *r, size_t i) {
  const zh_answer *is = &r->answers[i];
  size_t step = i / r->sequences, last = r->start + r->steps - 1;
  if (r->is_prompt) return is->fed == prompt_token(r, i, last) && is->position == last;
  return (step == 0 || is->fed == r->answers[i - r->sequences].chosen) &&
         is->position == r->start + step;
}

/* The chain is the bundle's, its tokens follow each other, and its positions have no gap. */
static zh_status check_chain(recheck *r, zh_error *err) {
  char chain[ZH_DIGEST_HEX];
  size_t count = answer_count(r);
  ZH_TRY(zh_trial_chain(chain, r->answers, count, err));
  if (strcmp(chain, r->claim->chain_sm3) != 0)
    return zh_fail(err, ZH_ERR_CHECK,
                   "%s: its links give the chain %.16s…, but step %s of run.json has %.16s…",
                   r->claim->path, chain, r->claim->step, r->claim->chain_sm3);
  for (size_t i = 0; i < count; ++i) {
    uint32_t vocab = r->weights.architecture.vocab;
    if (r->answers[i].fed >= vocab || r->answers[i].chosen >= vocab)
      return zh_fail(err, ZH_ERR_CHECK, "%s: link %zu names a token that the model has not",
                     r->claim->path, i);
    if (!follows(r, i))
      return zh_fail(err, ZH_ERR_CHECK, "%s: link %zu does not follow %s", r->claim->path, i,
                     r->is_prompt ? "from the prompt" : "the one before it");
  }
  return ZH_OK;
}

static zh_status read_sizes(recheck *r, const json_t *header, const char *where, zh_error *err) {
  size_t context = 0;
  const struct {
    const char *key;
    size_t *out;
    int64_t min;
  } sizes[] = {{"steps", &r->steps, 1},
               {"sequences", &r->sequences, 1},
               {"start", &r->start, 0},
               {"context", &context, 1},
               {"ranks", &r->ranks, 1}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
    int64_t number = 0;
    ZH_TRY(zh_json_int(&number, header, sizes[i].key, where, err));
    if (number < sizes[i].min || number > 1 << 24)
      return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' is out of range", where, sizes[i].key);
    *sizes[i].out = (size_t)number;
  }
  r->arithmetic.context = (uint32_t)context;
  if (r->weights.architecture.heads % r->ranks != 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: 'ranks' is %zu, among which the model's %" PRIu32
                   " heads cannot be divided",
                   where, r->ranks, r->weights.architecture.heads);
  if (r->steps * r->sequences <= 1 << 24 && r->start + r->steps <= context &&
      context <= r->weights.architecture.context)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: more positions than the model holds", where);
}

/* What must be said in the same words as the bundle says it. */
static zh_status check_words(const recheck *r, const json_t *header, const char *where,
                             zh_error *err) {
  const char *const expected[][2] = {{"schema", "zhiheng.certificate/1"},
                                     {"step", r->claim->step},
                                     {"workload", r->claim->workload},
                                     {"model", zh_model_name(r->claim->model)},
                                     {"model_sm3", r->claim->model_sm3}};
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; ++i) {
    const char *word = NULL;
    ZH_TRY(zh_json_string(&word, header, expected[i][0], where, err));
    if (strcmp(word, expected[i][1]) != 0)
      return zh_fail(err, ZH_ERR_CHECK, "%s: '%s' is %.80s, where %.80s was expected", where,
                     expected[i][0], word, expected[i][1]);
  }
  return ZH_OK;
}

static zh_status start_walks(recheck *r, zh_error *err) {
  const zh_architecture *a = &r->weights.architecture;
  size_t longest = 0, positions = r->start + r->steps, d = zh_key_dim(a);
  for (int v = 0; v < ZH_VALUES; ++v)
    if (zh_value_shown(a, (zh_value)v) > longest) longest = zh_value_shown(a, (zh_value)v);
  r->fresh = malloc(longest * sizeof *r->fresh);
  r->keys = malloc(positions * d * sizeof *r->keys);
  r->values = malloc(positions * d * sizeof *r->values);
  bool whole = r->fresh && r->keys && r->values;
  for (size_t i = 0; i < r->challenge.count; ++i) {
    walk *w = &r->walks[i];
    w->followed = r->challenge.token[i];
    w->ends = !r->is_prompt || w->followed.step + 1 == r->steps;
    w->answer = (zh_answer){.position = (uint32_t)(r->start + w->followed.step)};
    w->answer.fed = prompt_token(r, w->followed.sequence, w->answer.position);
    if (w->ends)
      w->answer =
          r->answers[(r->is_prompt ? 0 : w->followed.step * r->sequences) + w->followed.sequence];
    w->own = calloc((size_t)a->layers * 2 * d, sizeof *w->own);
    whole = whole && w->own;
    for (int v = 0; v < ZH_VALUES; ++v) {
      w->at[v] = calloc(zh_value_shown(a, (zh_value)v) + 1, sizeof *w->at[v]);
      whole = whole && w->at[v];
    }
  }
  return whole ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
}

/* Which roundings the run's kernels had: this machine's may be others. */
static zh_status read_roundings(zh_roundings *out, const json_t *rounds, const char *where,
                                zh_error *err) {
  const struct {
    const char *key;
    zh_rounding *at;
  } parts[] = {{"bf16", &out->bf16},
               {"few", &out->few},
               {"many", &out->many},
               {"fine", &out->fine},
               {"attention", &out->attention}};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i)
    if (!zh_rounding_find(parts[i].at, json_string_value(json_object_get(rounds, parts[i].key))) ||
        *parts[i].at == ZH_ROUND_E4M3_INPUTS)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: 'rounds.%s' must be 'none', 'bf16', 'bytes' or 'bytes2': what "
                     "activations become before they are multiplied",
                     where, parts[i].key);
  const json_t *e4m3 = json_object_get(rounds, "e4m3");
  out->e4m3 = e4m3 ? ZH_ROUND_E4M3_INPUTS : ZH_ROUND_NONE;
  if (e4m3 && (!json_is_string(e4m3) ||
               strcmp(json_string_value(e4m3), zh_rounding_name(ZH_ROUND_E4M3_INPUTS)) != 0))
    return zh_fail(
        err, ZH_ERR_INPUT,
        "%s: 'rounds.e4m3' must be 'e4m3-inputs' where it is there: what inputs of weights of E4M3 "
        "become by many tokens",
        where);
  if (out->bf16 != ZH_ROUND_NONE && out->bf16 != ZH_ROUND_BF16)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "%s: 'rounds.bf16' must be 'none' or 'bf16': no kernels multiply weights of bf16 "
        "by bytes",
        where);
  return ZH_OK;
}

static bool names_hold(const json_t *names, const char *name) {
  size_t i;
  const json_t *item;
  json_array_foreach(names, i, item) {
    const char *word = json_string_value(item);
    if (word && strcmp(word, name) == 0) return true;
  }
  return false;
}

/* Which products took two bytes where bytes were due: another version may have chosen others. */
static zh_status read_fine(recheck *r, const json_t *header, const char *where, zh_error *err) {
  const json_t *names = json_object_get(header, "fine");
  size_t known = 0;
  for (size_t i = 0; i < zh_program_length(&r->program, true); ++i) {
    int layer = -1;
    const zh_instruction *is = zh_program_at(&r->program, i, &layer);
    zh_weight *weight = zh_order_weight(is, layer, &r->weights);
    if (is->op != ZH_OP_MATMUL || !weight) continue;
    weight->fine = names_hold(names, is->name);
    known += weight->fine && layer <= 0;
  }
  if (json_is_array(names) && known == json_array_size(names)) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: 'fine' must list the names of products, each once: those whose activations "
                 "became two bytes where one was due",
                 where);
}

/* Of these types weights were held as bf16; what is looked up as fp32. FP8 as it is, or as bf16. */
static zh_status read_held(recheck *r, const json_t *header, const char *where, zh_error *err) {
  zh_weights *weights = &r->weights;
  const json_t *names = json_object_get(header, "held_bf16");
  bool fp8 = json_is_true(json_object_get(header, "held_e4m3"));
  for (size_t i = 0; fp8 && i < zh_weights_count(weights); ++i) {
    zh_weight *w = zh_weights_at(weights, i);
    if (w->fp8.rows > 0 && w->tensor->type == ZH_BF16 && w->source->stored->data)
      w->matrix.type = ZH_F8_E4M3;
  }
  zh_weights_tie_head(weights);
  if (!names) return ZH_OK;
  if (!json_is_array(names))
    return zh_fail(err, ZH_ERR_INPUT, "%s: 'held_bf16' must list the names of element types",
                   where);
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    zh_weight *w = zh_weights_at(weights, i);
    if (names_hold(names, zh_dtype_find((uint32_t)w->tensor->type)->name))
      w->matrix.type = w == &weights->whole[ZH_EMBEDDING] ? ZH_F32 : ZH_BF16;
  }
  zh_weights_tie_head(weights);
  return ZH_OK;
}

static zh_status read_kv(zh_kv_type *out, const json_t *header, const char *where, zh_error *err) {
  const char *name = NULL;
  ZH_TRY(zh_json_string(&name, header, "kv", where, err));
  if (zh_kv_find(out, name)) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: 'kv' must be 'f32', 'bf16', 'q8' or 'e4m3': how keys were kept", where);
}

static zh_status begin(recheck *r, const json_t *header, zh_error *err) {
  char where[4200], commitment[ZH_DIGEST_HEX];
  const char *links = NULL, *nonce = NULL, *marks = NULL;
  snprintf(where, sizeof where, "%s: line 1", r->claim->path);
  ZH_TRY(check_words(r, header, where, err));
  r->is_prompt = strcmp(r->claim->workload, "prefill") == 0;
  ZH_TRY(read_sizes(r, header, where, err));
  zh_program_shown(&r->program, &r->weights.architecture, r->ranks);
  ZH_TRY(zh_json_string(&nonce, header, "nonce", where, err));
  ZH_TRY(zh_json_string(&links, header, "links", where, err));
  ZH_TRY(zh_json_string(&marks, header, "marks", where, err));
  r->arithmetic.fp64_sums = json_is_true(json_object_get(header, "fp64_sums"));
  ZH_TRY(read_roundings(&r->arithmetic.rounds, json_object_get(header, "rounds"), where, err));
  ZH_TRY(read_fine(r, header, where, err));
  ZH_TRY(read_held(r, header, where, err));
  ZH_TRY(read_kv(&r->arithmetic.kv, header, where, err));
  snprintf(r->nonce, sizeof r->nonce, "%s", nonce);
  ZH_TRY(zh_nonce_commitment(commitment, nonce, err));
  if (strcmp(commitment, r->claim->commitment) != 0)
    return zh_fail(err, ZH_ERR_CHECK, "%s: its nonce is not the one that run.json commits to",
                   where);
  ZH_TRY(read_answers(r, links, err));
  ZH_TRY(check_chain(r, err));
  ZH_TRY(read_marks(r, marks, err));
  zh_certified run = run_of(r, nonce);
  const char *marks_sm3 = r->is_prompt ? r->claim->marks_sm3 : "";
  ZH_TRY(zh_challenge_draw(&r->challenge, &run, r->claim->chain_sm3, marks_sm3, err));
  ZH_TRY(start_walks(r, err));
  r->begun = true;
  return zh_check_create_for(&r->check, &r->weights, r->arithmetic, r->start + r->steps, r->rows,
                             r->seed, err);
}

/* --- the lines of operators --- */

static size_t length_of_pass(const recheck *r, const walk *w) {
  return zh_program_length(&r->program, w->ends);
}

static zh_status read_floats(float *out, size_t count, const json_t *line, const char *key,
                             const char *where, zh_error *err) {
  const char *text = NULL;
  ZH_TRY(zh_json_string(&text, line, key, where, err));
  if (zh_base64_decode(out, count * sizeof *out, text)) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' should be base64 of %zu numbers in fp32", where, key,
                 count);
}

static bool equal_bits(const float *a, const float *b, size_t count) {
  return memcmp(a, b, count * sizeof *a) == 0;
}

/* Values are the first numbers of keys then, and stand nowhere by themselves. */
static bool has_latents(const recheck *r) {
  return r->weights.architecture.attention == ZH_ATTENTION_LATENT;
}

/* Of the head that is shown of this layer, before any token attends to it. */
static void keep_own(const recheck *r, const walk *w, int layer) {
  const zh_architecture *a = &r->weights.architecture;
  size_t d = zh_key_dim(a), at = (size_t)layer * 2 * d,
         head = (size_t)zh_challenge_head(&r->challenge, a, (uint32_t)layer, 1);
  memcpy(w->own + at, w->at[ZH_VALUE_FINAL_KEY] + head * d, d * sizeof(float));
  zh_kv_round(w->own + at, r->arithmetic.kv, d);
  if (has_latents(r)) return;
  memcpy(w->own + at + d, w->at[ZH_VALUE_VALUE] + head * d, d * sizeof(float));
  zh_kv_round(w->own + at + d, r->arithmetic.kv, d);
}

/* The shown head's cache holds what this token, and every other followed one, put there. */
static zh_status check_cache(const recheck *r, const walk *w, int layer, const char *where,
                             zh_error *err) {
  size_t d = zh_key_dim(&r->weights.architecture), at = (size_t)layer * 2 * d;
  for (size_t i = 0; i < r->challenge.count; ++i) {
    const walk *other = &r->walks[i];
    size_t position = other->answer.position;
    if (other->followed.sequence != w->followed.sequence || position > w->answer.position) continue;
    if (equal_bits(other->own + at, r->keys + position * d, d) &&
        (has_latents(r) || equal_bits(other->own + at + d, r->values + position * d, d)))
      continue;
    return zh_fail(err, ZH_ERR_CHECK,
                   "%s: the cache does not hold the key and value that were computed at position "
                   "%zu",
                   where, position);
  }
  return ZH_OK;
}

static zh_status check_attention(recheck *r, const walk *w, const zh_operation *o,
                                 const json_t *line, const char *where, zh_error *err) {
  const zh_architecture *a = &r->weights.architecture;
  size_t positions = (size_t)w->answer.position + 1, d = zh_key_dim(a),
         group = a->heads / a->kv_heads;
  int64_t head = zh_challenge_head(&r->challenge, a, (uint32_t)o->layer, positions);
  if (head < 0) return ZH_OK;
  ZH_TRY(read_floats(r->keys, positions * d, line, "keys", where, err));
  if (has_latents(r))
    for (size_t i = 0; i < positions; ++i)
      memcpy(r->values + i * zh_seen_dim(a), r->keys + i * d, zh_seen_dim(a) * sizeof(float));
  else
    ZH_TRY(read_floats(r->values, positions * d, line, "cached_values", where, err));
  ZH_TRY(check_cache(r, w, o->layer, where, err));
  for (size_t h = (size_t)head * group; h < ((size_t)head + 1) * group; ++h)
    zh_check_attention_head(r->check, o, h, r->keys, r->values);
  return ZH_OK;
}

/* The logits are those of the chain: the timed answer is the one that was followed. */
static zh_status check_answer(const recheck *r, const walk *w, zh_error *err) {
  size_t vocab = r->weights.architecture.vocab;
  const float *logits = w->at[ZH_VALUE_LOGITS];
  size_t best = zh_kernels_reference()->argmax(logits, vocab);
  uint32_t bits = 0;
  if (best < vocab) memcpy(&bits, &logits[best], sizeof bits);
  if (best == w->answer.chosen && bits == w->answer.logit_bits &&
      zh_sum_of_bits(logits, vocab) == w->answer.bits_sum)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "%s: the logits at position %" PRIu32 " are not those of the timed run",
                 r->claim->path, w->answer.position);
}

/* The keys and values of all layers are those that the timed run left. */
static zh_status check_mark(const recheck *r, const walk *w, zh_error *err) {
  if (w->mark == r->marks[w->followed.sequence * r->steps + w->followed.step]) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "%s: the keys and values at position %" PRIu32 " are not those of the timed run",
                 r->claim->path, w->answer.position);
}

/* Value and key, which comes after it, go into the mark, and the shown head's into the cache. */
static void note(const recheck *r, walk *w, zh_value value, int layer) {
  bool key = value == ZH_VALUE_FINAL_KEY;
  if (!key && value != ZH_VALUE_VALUE) return;
  size_t width = zh_value_width(&r->weights.architecture, value),
         d = zh_key_dim(&r->weights.architecture);
  for (size_t at = 0; at < width; at += d) { /* r->keys: room for a head, unused until attention */
    memcpy(r->keys, w->at[value] + at, d * sizeof(float));
    zh_kv_round(r->keys, r->arithmetic.kv, d);
    w->mark += zh_sum_of_bits(r->keys, d) * (4 * (uint64_t)layer + (key ? 1 : 3));
  }
  if (key) keep_own(r, w, layer);
}

/* Of the call that was timed. */
static size_t tokens_at_once(const recheck *r) {
  return r->is_prompt ? r->steps * r->sequences : r->sequences;
}

static bool is_of_experts(const zh_instruction *is) {
  return is->op == ZH_OP_ROUTE || is->op == ZH_OP_COMBINE || zh_value_is_of_choices(is->out);
}

static zh_status check_experts(recheck *r, const walk *w, zh_operation *o, const zh_instruction *is,
                               const char *where, zh_error *err) {
  const zh_architecture *a = &r->weights.architecture;
  zh_chosen chosen = {.routed = is->op == ZH_OP_ROUTE ? o->output : w->at[ZH_VALUE_ROUTED],
                      .shared = a->shared_gated ? w->at[ZH_VALUE_SHARED_SCORE] : NULL,
                      .rounds = &r->arithmetic.rounds,
                      .way = zh_expert_way(a, tokens_at_once(r)),
                      .shared_way = zh_way_of(tokens_at_once(r))};
  return zh_chosen_check(r->check, o, is, &r->weights, &chosen, where, err);
}

static zh_status check_line(recheck *r, walk *w, const json_t *line, const char *where,
                            zh_error *err) {
  const zh_architecture *a = &r->weights.architecture;
  const char *name = NULL;
  int64_t stated = 0;
  int layer = -1;
  const zh_instruction *next = zh_program_at(&r->program, w->next, &layer);
  const zh_weight *weight = zh_order_weight(next, layer, &r->weights);
  zh_way way = zh_way_of(tokens_at_once(r));
  if (weight) way = zh_weight_way(weight, &r->arithmetic.rounds, way);
  if (next->op == ZH_OP_ATTENTION) way = zh_attention_way(a, zh_way_of(tokens_at_once(r)));
  ZH_TRY(zh_json_string(&name, line, "name", where, err));
  ZH_TRY(zh_json_int(&stated, line, "layer", where, err));
  if (strcmp(name, next->name) != 0 || stated != layer)
    return zh_fail(err, ZH_ERR_CHECK,
                   "%s: '%.40s' of layer %" PRId64 " stands where '%s' of layer %d comes next",
                   where, name, stated, next->name, layer);
  size_t shown = zh_value_shown(a, next->out);
  uint32_t sequence = 0;
  ZH_TRY(read_floats(r->fresh, shown, line, "values", where, err));
  zh_operation o = {.op = next->op,
                    .layer = layer,
                    .name = next->name,
                    .weight = weight,
                    .bias = zh_order_bias(next, layer, &r->weights),
                    .tokens = 1,
                    .way = way,
                    .addends = next->out == ZH_VALUE_DELTA ? r->ranks : 0,
                    .in_width = zh_value_width(a, next->in),
                    .out_width = zh_value_width(a, next->out),
                    .input = w->at[next->in],
                    .second = w->at[next->second],
                    .output = r->fresh,
                    .token = &w->answer.fed,
                    .position = &w->answer.position,
                    .sequence = &sequence};
  if (next->op == ZH_OP_ATTENTION)
    ZH_TRY(check_attention(r, w, &o, line, where, err));
  else if (is_of_experts(next))
    ZH_TRY(check_experts(r, w, &o, next, where, err));
  else
    zh_check_operation(r->check, &o);
  memcpy(w->at[next->out], r->fresh, shown * sizeof(float));
  ++w->next;
  ++r->operators;
  note(r, w, next->out, layer);
  if (r->is_prompt && w->next == zh_program_length(&r->program, false))
    ZH_TRY(check_mark(r, w, err));
  return next->out == ZH_VALUE_LOGITS ? check_answer(r, w, err) : ZH_OK;
}

static zh_status visit(void *user, size_t number, json_t *line, zh_error *err) {
  recheck *r = user;
  char where[4200];
  int64_t token = 0;
  if (!r->begun) return begin(r, line, err);
  snprintf(where, sizeof where, "%s: line %zu", r->claim->path, number);
  ZH_TRY(zh_json_int(&token, line, "token", where, err));
  if (token < 0 || (size_t)token >= r->challenge.count ||
      r->walks[token].next == length_of_pass(r, &r->walks[token]))
    return zh_fail(err, ZH_ERR_CHECK, "%s: no more of token %" PRId64 " was asked for", where,
                   token);
  return check_line(r, &r->walks[token], line, where, err);
}

/* --- the whole --- */

static zh_status finish(zh_recheck *out, const recheck *r, zh_error *err) {
  if (!r->begun) return zh_fail(err, ZH_ERR_INPUT, "%s: the file is empty", r->claim->path);
  for (size_t i = 0; i < r->challenge.count; ++i)
    if (r->walks[i].next != length_of_pass(r, &r->walks[i]))
      return zh_fail(err, ZH_ERR_CHECK, "%s: the pass of token %zu ends after %zu of %zu operators",
                     r->claim->path, i, r->walks[i].next, length_of_pass(r, &r->walks[i]));
  json_t *checks = json_array(), *check;
  zh_status status = zh_check_report(r->check, checks, err);
  size_t i;
  *out = (zh_recheck){.tokens = r->challenge.count,
                      .operators = r->operators,
                      .samples = zh_check_samples(r->check)};
  snprintf(out->nonce, sizeof out->nonce, "%s", r->nonce);
  json_array_foreach(checks, i, check) {
    double bound = json_number_value(json_object_get(check, "bound"));
    double error = json_number_value(json_object_get(check, "error"));
    const char *name = json_string_value(json_object_get(check, "operator"));
    bool is_sum = strstr(name, "residual") != NULL; /* rounds once: reaches its bound by design */
    if (bound > 0 && error / bound > out->nearest && !is_sum) {
      out->nearest = error / bound;
      snprintf(out->where, sizeof out->where, "%s",
               json_string_value(json_object_get(check, "what")));
    }
  }
  json_decref(checks);
  return status;
}

static void release(recheck *r) {
  for (size_t i = 0; i < ZH_FOLLOWED_MAX; ++i) {
    for (int v = 0; v < ZH_VALUES; ++v) free(r->walks[i].at[v]);
    free(r->walks[i].own);
  }
  free(r->answers);
  free(r->marks);
  free(r->fresh);
  free(r->keys);
  free(r->values);
  zh_check_free(r->check);
  zh_weights_close(&r->weights);
}

zh_status zh_certificate_recheck(zh_recheck *out, const zh_certificate_claim *claim, uint64_t seed,
                                 size_t rows, zh_error *err) {
  recheck r = {.claim = claim, .seed = seed, .rows = rows};
  zh_status status = zh_weights_describe(&r.weights, claim->model, err);
  if (status == ZH_OK) status = zh_jsonl_read(claim->path, visit, &r, err);
  if (status == ZH_OK) status = finish(out, &r, err);
  release(&r);
  return status;
}
