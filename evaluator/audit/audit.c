/* The audit of one model: counts, what was found in the weights, and what follows for the
 * threshold. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/text.h"
#include "evaluator/audit/portrait.h"
#include "evaluator/audit/ranks.h"
#include "evaluator/audit/sample.h"
#include "evaluator/words.h"

static const int64_t limit = INT64_C(100000000000); /* 千亿; the boundary word is 超过 */

/* --- looking --- */

static int cpus(void) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0)
    return CPU_COUNT(&allowed);
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int)count : 1;
}

void zh_note_memory(zh_auditor *a) {
  char line[128];
  unsigned long long kib = 0;
  FILE *status = fopen("/proc/self/status", "re");
  if (status == NULL) return;
  while (fgets(line, sizeof line, status) != NULL)
    if (sscanf(line, "RssAnon: %llu", &kib) == 1) break;
  fclose(status);
  if (1024 * (uint64_t)kib > a->times.anonymous_bytes)
    a->times.anonymous_bytes = 1024 * (uint64_t)kib;
}

/* Cheap and certain first; what is spoken of once is not spoken of again by a weaker test. */
static zh_status look(zh_auditor *a, zh_error *err) {
  static zh_status (*const searches[])(zh_auditor *, zh_error *) = {zh_scan,
                                                                    zh_find_sampled,
                                                                    zh_find_zeros,
                                                                    zh_find_repeats,
                                                                    zh_portraits_take,
                                                                    zh_find_tiny,
                                                                    zh_find_cut_off,
                                                                    zh_find_constants,
                                                                    zh_find_unreachable,
                                                                    zh_find_repeated_rows,
                                                                    zh_find_low_rank,
                                                                    zh_find_likeness,
                                                                    zh_find_untrained};
  int64_t begin = zh_now_ns();
  if (a->options->times != NULL) a->times = *a->options->times;
  ZH_TRY(zh_threads_create(&a->threads, a->options->threads > 0 ? a->options->threads : cpus(),
                           NULL, err));
  ZH_TRY(zh_grids_index(a, err));
  ZH_TRY(zh_ranks_plan(a, err));
  for (size_t i = 0; i < sizeof searches / sizeof searches[0]; i++)
    if (!zh_rank_only_helps(a) || searches[i] == zh_scan || searches[i] == zh_portraits_take) {
      ZH_TRY(searches[i](a, err));
      zh_note_memory(a);
    }
  a->times.all_s = (double)(zh_now_ns() - begin) / 1e9;
  if (a->options->times != NULL) *a->options->times = a->times;
  return ZH_OK;
}

static zh_status prepare(zh_auditor *a, zh_error *err) {
  zh_error refused = ZH_ERROR_INIT; /* what cannot be run is described and counted all the same */
  const char *name = zh_model_name(a->model);
  if (zh_utf8_valid_prefix(name, strlen(name)) != strlen(name))
    return zh_fail(err, ZH_ERR_INPUT, "the model's file name is not UTF-8; rename the file");
  if (zh_model_architecture(&a->architecture, a->model, &refused) == ZH_ERR_MEMORY)
    return zh_fail(err, ZH_ERR_MEMORY, "%s", refused.message);
  a->architecture_known = a->architecture.family[0] != '\0';
  ZH_TRY(zh_arena_create(&a->arena, 0, err));
  return zh_grids_make(a, err);
}

static void release(zh_auditor *a) {
  zh_threads_free(a->threads);
  zh_portraits_free(a);
  zh_grids_free(a);
  free(a->prints);
  free(a->rank_of);
  free(a->findings);
  zh_arena_free(a->arena);
}

/* --- telling --- */

static json_t *architecture_json(const zh_auditor *auditor) {
  const zh_architecture *a = &auditor->architecture;
  if (!auditor->architecture_known) return json_null();
  return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "family",
                   a->family, "layers", (json_int_t)a->layers, "hidden", (json_int_t)a->hidden,
                   "heads", (json_int_t)a->heads, "kv_heads", (json_int_t)a->kv_heads, "head_dim",
                   (json_int_t)a->head_dim, "ffn", (json_int_t)a->ffn, "vocab",
                   (json_int_t)a->vocab, "context", (json_int_t)a->context, "experts",
                   (json_int_t)a->experts, "experts_used", (json_int_t)a->experts_used, "tied_head",
                   (int)a->tied_head);
}

typedef struct note_writer {
  json_t *array;
  const zh_words *words;
  const zh_slot *slots;
  size_t slot_count;
} note_writer;

static void note(note_writer *w, zh_word word) {
  json_array_append_new(w->array,
                        zh_phrase_json(zh_word_of(w->words, word), w->slots, w->slot_count));
}

/* Where sources differ on what a parameter is, both counts. */
static void note_readings(note_writer *w, const zh_census *c) {
  if (c->elements != c->stored) note(w, ZH_WORD_audit_elements);
  if (c->router_bias > 0) note(w, ZH_WORD_audit_router_bias);
  if (c->prediction > 0) note(w, ZH_WORD_audit_prediction);
}

/* On what part of the weights the findings rest, and what may lie in the rest. */
static void note_sample(note_writer *w, const zh_auditor *a) {
  char rows[32], all[32], unseen[32], share[32];
  zh_group_digits(rows, sizeof rows, a->sampled_rows);
  zh_group_digits(all, sizeof all, a->all_rows);
  zh_group_digits(unseen, sizeof unseen, a->unseen);
  json_t *sample = zh_sample_json(a);
  const json_t *of_all = json_object_get(json_object_get(sample, "unseen"), "share");
  snprintf(share, sizeof share, "%.3g", 100 * json_number_value(of_all));
  json_decref(sample);
  const zh_slot slots[] = {{"rows", rows, rows},
                           {"all", all, all},
                           {"parameters", unseen, unseen},
                           {"share", share, share}};
  note_writer own = {w->array, w->words, slots, sizeof slots / sizeof slots[0]};
  note(&own, ZH_WORD_audit_sample);
}

/* Where not all rows were looked at, and nothing was said of a sample already. */
static void note_looked(note_writer *w, const zh_auditor *a) {
  char rows[32], all[32], matrices[32], block[32];
  zh_looked looked = zh_portraits_looked(a);
  if (a->options->sample || looked.rows == looked.of_rows) return;
  zh_group_digits(rows, sizeof rows, looked.rows);
  zh_group_digits(all, sizeof all, looked.of_rows);
  zh_group_digits(matrices, sizeof matrices, looked.matrices);
  zh_group_digits(block, sizeof block, looked.block);
  const zh_slot slots[] = {{"rows", rows, rows},
                           {"all", all, all},
                           {"matrices", matrices, matrices},
                           {"block", block, block}};
  note_writer own = {w->array, w->words, slots, sizeof slots / sizeof slots[0]};
  note(&own, ZH_WORD_audit_looked);
}

/* Rows beyond the last token are a finding (unreachable.c); tokens beyond the last row are not, as
 * some publishers name one that only another model of theirs has. */
static void note_vocabulary(note_writer *w, const zh_auditor *a) {
  char tokens[32], rows[32];
  if (a->architecture.vocab == 0 || a->tokens <= a->architecture.vocab) return;
  zh_group_digits(tokens, sizeof tokens, a->tokens);
  zh_group_digits(rows, sizeof rows, a->architecture.vocab);
  const zh_slot slots[] = {{"tokens", tokens, tokens}, {"rows", rows, rows}};
  note_writer own = {w->array, w->words, slots, sizeof slots / sizeof slots[0]};
  note(&own, ZH_WORD_audit_vocabulary);
}

static json_t *looked_json(const zh_auditor *a) {
  zh_looked looked = zh_portraits_looked(a);
  return json_pack("{s:I, s:I, s:I, s:I}", "matrices", (json_int_t)looked.matrices, "rows",
                   (json_int_t)looked.rows, "of_rows", (json_int_t)looked.of_rows, "block",
                   (json_int_t)looked.block);
}

/* What the counts hold and leave out, in words. */
static json_t *notes_json(const zh_auditor *auditor, const zh_census *c, int64_t active,
                          const zh_words *words) {
  const zh_architecture *a = auditor->architecture_known ? &auditor->architecture : NULL;
  char buffers[32], tensors[32], parameters[32], experts[32], used[32];
  char stored[32], elements[32], no_bias[32], no_ahead[32];
  zh_group_digits(buffers, sizeof buffers, c->buffers);
  zh_group_digits(tensors, sizeof tensors, c->repeated);
  zh_group_digits(parameters, sizeof parameters, c->repeated_parameters);
  zh_group_digits(experts, sizeof experts, a != NULL ? a->experts : 0);
  zh_group_digits(used, sizeof used, a != NULL ? a->experts_used : 0);
  zh_group_digits(stored, sizeof stored, c->stored);
  zh_group_digits(elements, sizeof elements, c->elements);
  zh_group_digits(no_bias, sizeof no_bias, c->stored - c->router_bias);
  zh_group_digits(no_ahead, sizeof no_ahead, c->stored - c->prediction);
  zh_slot slots[] = {{"stored", stored, stored},
                     {"elements", elements, elements},
                     {"no_bias", no_bias, no_bias},
                     {"no_ahead", no_ahead, no_ahead},
                     {"buffers", buffers, buffers},
                     {"tensors", tensors, tensors},
                     {"parameters", parameters, parameters},
                     {"experts", experts, experts},
                     {"used", used, used}};
  note_writer w = {json_array(), words, slots, sizeof slots / sizeof slots[0]};
  if (strcmp(zh_model_format(auditor->model), "standard") == 0) note(&w, ZH_WORD_audit_standard);
  note(&w, ZH_WORD_audit_counted);
  note(&w, ZH_WORD_audit_not_counted);
  note_readings(&w, c);
  if (a != NULL && a->tied_head) note(&w, ZH_WORD_audit_tied_head);
  if (c->repeated > 0) note(&w, ZH_WORD_audit_repeated);
  if (auditor->options->scan) note(&w, ZH_WORD_audit_small_not_compared);
  if (active < 0)
    note(&w, ZH_WORD_audit_active_unknown);
  else
    note(&w, c->routed > 0 ? ZH_WORD_audit_active_experts : ZH_WORD_audit_active_dense);
  if (a == NULL) note(&w, ZH_WORD_audit_architecture_unknown);
  if (auditor->options->sample) note_sample(&w, auditor);
  note_looked(&w, auditor);
  note_vocabulary(&w, auditor);
  zh_group_digits(tensors, sizeof tensors, c->may_be_packed);
  if (c->may_be_packed > 0) note(&w, ZH_WORD_audit_integer_weights);
  return w.array;
}

static json_t *count_or_null(bool known, uint64_t count) {
  return known ? json_integer((json_int_t)count) : json_null();
}

static json_t *effective_json(const zh_auditor *a, const zh_census *c) {
  if (!a->options->scan) return json_null();
  return json_pack("{s:I, s:I, s:I}", "value", (json_int_t)c->effective[ZH_MEASURED], "low",
                   (json_int_t)c->effective[ZH_PRESUMED], "high",
                   (json_int_t)c->effective[ZH_PROVED]);
}

/* What makes up the active count, so that a reader can leave embedding or head out. */
static json_t *active_parts_json(const zh_auditor *a, const zh_census *c, int64_t active) {
  if (active < 0) return json_null();
  uint64_t shared = c->unique - c->routed - c->embedding - c->head;
  return json_pack("{s:I, s:I, s:I, s:I}", "shared", (json_int_t)shared, "routed",
                   (json_int_t)zh_active_share(c->routed, c->routed, &a->architecture), "embedding",
                   (json_int_t)c->embedding, "head", (json_int_t)c->head);
}

/* Other counts in use, where they differ from `stored`. */
static json_t *readings_json(const zh_census *c) {
  const struct {
    const char *name;
    uint64_t parameters;
  } readings[] = {{"file_elements", c->elements},
                  {"without_router_bias", c->stored - c->router_bias},
                  {"without_prediction_layers", c->stored - c->prediction}};
  json_t *array = json_array();
  for (size_t i = 0; i < sizeof readings / sizeof readings[0]; i++)
    if (readings[i].parameters != c->stored)
      json_array_append_new(array, json_pack("{s:s, s:I}", "reading", readings[i].name,
                                             "parameters", (json_int_t)readings[i].parameters));
  return array;
}

static json_t *parameters_json(const zh_auditor *a, const zh_census *c, int64_t active) {
  return json_pack("{s:s?, s:I, s:o, s:o, s:o, s:o, s:o}", "declared",
                   zh_model_declared_size(a->model), "stored", (json_int_t)c->stored, "unique",
                   count_or_null(a->options->scan, c->unique), "effective", effective_json(a, c),
                   "active", count_or_null(active >= 0, (uint64_t)active), "active_parts",
                   active_parts_json(a, c, active), "readings", readings_json(c));
}

/* Strictly more than the limit. Between what is left when every finding holds (low) and what there
 * is at most (high), nobody can say. */
static const char *verdict(int64_t low, int64_t high) {
  return low > limit ? "pass" : high <= limit ? "fail" : "undetermined";
}

static json_t *threshold_json(const zh_auditor *a, const zh_census *c, int64_t active) {
  bool looked = a->options->scan;
  int64_t low = looked ? (int64_t)c->effective[ZH_PRESUMED] : 0;
  int64_t high = looked ? (int64_t)c->effective[ZH_PROVED] : (int64_t)c->stored;
  int64_t lost = looked ? (int64_t)(c->unique - c->effective[ZH_PRESUMED]) : INT64_MAX;
  const char *of_active = active < 0 ? high <= limit ? "fail" : "undetermined"
                                     : verdict(lost < active ? active - lost : 0, active);
  return json_pack("{s:I, s:s, s:s, s:s}", "limit", (json_int_t)limit, "comparison", ">", "total",
                   verdict(low, high), "active", of_active);
}

/* Publishers print SHA-256 of files; a standard model is no file. */
static zh_status digests_json(json_t **sm3, json_t **sha256, zh_auditor *a, zh_error *err) {
  char hex[ZH_DIGEST_HEX] = {0}, published[ZH_DIGEST_HEX] = {0};
  bool standard = strcmp(zh_model_format(a->model), "standard") == 0;
  *sm3 = json_null();
  *sha256 = json_null();
  if (!a->options->digest) return ZH_OK;
  ZH_TRY(standard ? zh_model_digest(hex, a->model, ZH_SM3, err)
                  : zh_digest_both(hex, published, a, err));
  *sm3 = json_string(hex);
  if (!standard) *sha256 = json_string(published);
  return ZH_OK;
}

static zh_status compose(json_t **out, zh_auditor *a, const zh_census *c, const zh_words *words,
                         zh_error *err) {
  json_t *findings = NULL, *sm3 = NULL, *sha256 = NULL;
  int64_t active =
      zh_active_share(a->options->scan ? c->unique : c->stored, c->routed, &a->architecture);
  ZH_TRY(digests_json(&sm3, &sha256, a, err));
  ZH_TRY(zh_findings_json(&findings, a, err));
  *out =
      json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o}",
                "name", zh_model_name(a->model), "format", zh_model_format(a->model), "bytes",
                (json_int_t)zh_model_file_bytes(a->model), "sm3", sm3, "sha256", sha256,
                "architecture", architecture_json(a), "parameters", parameters_json(a, c, active),
                "threshold", threshold_json(a, c, active), "groups", zh_census_groups_json(c),
                "layers", zh_census_layers_json(c, a), "types", zh_census_types_json(c), "tensors",
                (json_int_t)zh_model_tensor_count(a->model), "buffers", (json_int_t)c->buffers,
                "findings", findings, "notes", notes_json(a, c, active, words));
  if (*out != NULL && a->options->sample) json_object_set_new(*out, "sample", zh_sample_json(a));
  if (*out != NULL && a->options->scan) json_object_set_new(*out, "looked", looked_json(a));
  return *out != NULL ? ZH_OK
                      : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the audit of %s",
                                zh_model_name(a->model));
}

zh_status zh_audit_with(json_t **out, zh_model *model, const zh_audit_options *options,
                        zh_error *err) {
  zh_auditor a = {.model = model, .options = options};
  zh_words *words = NULL;
  zh_census census = {0};
  *out = NULL;
  zh_status status = prepare(&a, err);
  if (status == ZH_OK && options->scan) status = look(&a, err);
  if (zh_rank_only_helps(&a)) goto done;
  if (status == ZH_OK) status = zh_census_take(&census, &a, err);
  if (status == ZH_OK) status = zh_find_packaging(&a, census.stored, err);
  if (status == ZH_OK) status = zh_words_load(&words, err);
  if (status == ZH_OK) status = compose(out, &a, &census, words, err);
done:
  zh_words_free(words);
  zh_census_free(&census);
  release(&a);
  return status;
}

zh_status zh_audit_explain(json_t **out, zh_model *model, const char *tensor,
                           const zh_audit_options *options, zh_error *err) {
  zh_auditor a = {.model = model, .options = options};
  *out = NULL;
  zh_status status = prepare(&a, err);
  if (status == ZH_OK) status = zh_explain_find(&a, tensor, err);
  if (status == ZH_OK) status = look(&a, err);
  if (status == ZH_OK) status = zh_explain_json(out, &a, tensor, err);
  release(&a);
  return status;
}

zh_status zh_audit(json_t **out, zh_model *model, zh_error *err) {
  static const zh_audit_options whole = {.scan = true, .digest = true};
  return zh_audit_with(out, model, &whole, err);
}
