/* From a protocol and tables of scores to a verdict with its figures. */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"
#include "evaluator/evaluator.h"
#include "evaluator/leading/notes.h"
#include "evaluator/leading/scales.h"
#include "evaluator/leading/seen.h"
#include "evaluator/leading/show.h"
#include "evaluator/stats/multiplicity.h"

typedef struct ranking {
  zh_words *words;
  zh_protocol *protocol;
  zh_threads *threads;
  zh_table_paths paths;
  zh_scorer *scorers; /* the claimant first */
  size_t count;
  zh_refusals refusals;
  zh_table *table;
  zh_seen seen; /* gone NULL: the protocol names no list */
} ranking;

/* --- one look at a table --- */

static zh_status look_at_units(zh_matter *m, const ranking *r, zh_error *err) {
  const zh_table *t = m->table;
  m->tasks = calloc(t->tasks + 1, sizeof *m->tasks);
  m->endpoints = calloc(t->tasks + 1, sizeof *m->endpoints);
  if (m->tasks == NULL || m->endpoints == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu tasks", t->tasks);
  for (size_t k = 0; k < t->tasks; k++)
    ZH_TRY(zh_unit_create(&m->tasks[k], t, k, 1, true, r->protocol, r->threads, err));
  for (size_t k = 0, next; k < t->tasks; k = next) {
    for (next = k + 1; next < t->tasks && strcmp(t->modality[next], t->modality[k]) == 0;) next++;
    ZH_TRY(zh_unit_create(&m->endpoints[m->endpoint_count++], t, k, next - k, false, r->protocol,
                          r->threads, err));
  }
  return ZH_OK;
}

/* Holm over primary tasks and peers: that the claimant is worse. */
static zh_status look_for_losses(zh_matter *m, zh_error *err) {
  const zh_table *t = m->table;
  size_t all = t->tasks * t->models, count = 0;
  double *p = calloc(all + 1, sizeof *p);
  m->losses = calloc(all + 1, sizeof *m->losses);
  if (p == NULL || m->losses == NULL) {
    free(p);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu tests", all);
  }
  for (size_t i = 0; i < all; i++) {
    const zh_pair *pair = &m->tasks[i / t->models].pairs[i % t->models];
    bool tested = i % t->models > 0 && t->task[i / t->models]->primary;
    m->losses[i] = NAN;
    /* A pair without variance is of the family, too, and shows nothing. */
    if (tested) p[count++] = zh_pair_known(pair) ? pair->p_less : 1;
  }
  zh_status status = zh_holm(p, p, count, err);
  for (size_t i = 0, k = 0; status == ZH_OK && i < all; i++) {
    if (i % t->models > 0 && t->task[i / t->models]->primary) m->losses[i] = p[k++];
  }
  free(p);
  return status;
}

static zh_status look(zh_matter *m, const ranking *r, const zh_table *table, zh_error *err) {
  *m = (zh_matter){.words = r->words, .protocol = r->protocol, .table = table};
  ZH_TRY(look_at_units(m, r, err));
  ZH_TRY(look_for_losses(m, err));
  return zh_look_at_published(m, err);
}

static void matter_clear(zh_matter *m) {
  for (size_t k = 0; m->tasks != NULL && k < m->table->tasks; k++) zh_unit_clear(&m->tasks[k]);
  for (size_t k = 0; m->endpoints != NULL && k < m->table->tasks; k++)
    zh_unit_clear(&m->endpoints[k]);
  free(m->tasks);
  free(m->endpoints);
  free(m->losses);
  free(m->unmatched);
}

/* --- the clean subset --- */

/* The verdict without contaminated items; where it is another, the first one does not stand. */
static zh_status decide_clean(json_t **out, zh_decision *decision, const ranking *r,
                              zh_error *err) {
  zh_table *clean = NULL;
  zh_matter m = {0};
  zh_decision again = {0};
  *out = NULL;
  if (r->seen.gone == NULL) return ZH_OK;
  ZH_TRY(zh_table_without(&clean, r->table, r->seen.gone, err));
  zh_status status = ZH_OK;
  again.verdict = ZH_NOT_ENOUGH;
  if (clean->items > 0) {
    m.table = clean;
    status = look(&m, r, clean, err);
    if (status == ZH_OK) status = zh_decide(&again, &m, m.endpoints, m.endpoint_count, true, err);
  }
  if (status == ZH_OK) {
    *out = zh_clean_json(r->words, &again, &r->seen, clean->items);
    if (again.verdict != decision->verdict && decision->verdict != ZH_NOT_LEADING)
      zh_overrule(decision, r->words, &again, r->seen.left_out);
  }
  zh_decision_clear(&again);
  if (m.table != NULL) matter_clear(&m);
  zh_table_free(clean);
  return status;
}

/* --- input --- */

static int cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

static bool known_model(const zh_protocol *p, const char *name) {
  bool known = strcmp(p->claimant, name) == 0;
  for (size_t i = 0; i < p->peer_count; i++) known |= strcmp(p->peers[i].model, name) == 0;
  return known;
}

static zh_status refuse_model(const zh_protocol *p, const zh_scorer *s, zh_error *err) {
  const char **names = calloc(p->peer_count + 2, sizeof *names);
  char guess[ZH_GUESS_BYTES];
  if (names == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  names[0] = p->claimant;
  for (size_t i = 0; i < p->peer_count; i++) names[i + 1] = p->peers[i].model;
  zh_did_you_mean(guess, s->name, names);
  free(names);
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: the protocol %s names no model '%s'%s (a table's model is its file's name, "
                 "or its first line '# model: NAME')",
                 s->file, p->path, s->name, guess);
}

static zh_status read_all(ranking *r, const char *const *paths, size_t count, zh_error *err) {
  r->scorers = calloc(count + 1, sizeof *r->scorers);
  if (r->scorers == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (; r->count < count; r->count++) {
    zh_scorer *s = &r->scorers[r->count];
    zh_status status = zh_scorer_read(s, paths[r->count], r->protocol, &r->refusals, err);
    if (status == ZH_OK && !known_model(r->protocol, s->name))
      status = refuse_model(r->protocol, s, err);
    if (status != ZH_OK) {
      r->count++;
      return status;
    }
  }
  return ZH_OK;
}

/* One model, or one table, under two names. */
static bool same_files(const zh_scorer *a, const zh_scorer *b) {
  return a->model_sm3 != NULL && b->model_sm3 != NULL &&
         strcasecmp(a->model_sm3, b->model_sm3) == 0;
}

static bool same_scores(const zh_scorer *a, const zh_scorer *b) {
  return strcmp(a->sm3, b->sm3) == 0;
}

/* The claimant to the front; what speaks against comparing these models at all. */
static void check_models(ranking *r) {
  const zh_protocol *p = r->protocol;
  size_t claimant = SIZE_MAX;
  for (size_t i = 0; i < p->peer_count; i++) {
    if (strcmp(p->peers[i].model, p->claimant) == 0)
      zh_refuse(&r->refusals, "peer_is_claimant", p->claimant, ZH_WORD_leading_peer_is_claimant,
                "model", p->claimant, NULL);
  }
  for (size_t i = 0; i < r->count; i++) {
    if (strcmp(r->scorers[i].name, p->claimant) == 0) claimant = i;
    for (size_t k = 0; k < i; k++) {
      const zh_scorer *a = &r->scorers[k], *b = &r->scorers[i];
      if (strcmp(a->name, b->name) == 0)
        zh_refuse(&r->refusals, "model_twice", a->name, ZH_WORD_leading_model_twice, "model",
                  a->name, "file", a->file, "other", b->file, NULL);
      else if (same_files(a, b))
        zh_refuse(&r->refusals, "same_model", b->name, ZH_WORD_compare_same_model, "model", a->name,
                  "other", b->name, "sm3", b->model_sm3, NULL);
      else if (same_scores(a, b))
        zh_refuse(&r->refusals, "same_table", b->name, ZH_WORD_leading_same_table, "model", a->name,
                  "other", b->name, "file", b->file, NULL);
    }
  }
  if (claimant == SIZE_MAX) {
    zh_refuse(&r->refusals, "claimant_missing", p->claimant, ZH_WORD_leading_claimant_missing,
              "model", p->claimant, NULL);
    return;
  }
  zh_scorer front = r->scorers[claimant];
  r->scorers[claimant] = r->scorers[0];
  r->scorers[0] = front;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const zh_scorer *)a)->name, ((const zh_scorer *)b)->name);
}

/* --- units of scores --- */

/* A margin in points means something where the score of a perfect answer is known, a bare one where
 * scores are of its kind; among shares one of 100 points covers every gap. */
static void check_margin(ranking *r) {
  const zh_protocol *p = r->protocol;
  bool said = false;
  for (size_t k = 0; k < r->table->tasks && !said; k++) {
    const char *task = r->table->task[k]->task, *claimant = r->table->names[0];
    double outside = 0;
    bool shares = zh_table_in_shares(r->table, k, &outside);
    char value[32];
    said = shares ? p->margin >= 1 : !p->margin_is_bare;
    snprintf(value, sizeof value, "%g", outside);
    if (said && shares)
      zh_refuse(&r->refusals, "margin_too_wide", claimant, ZH_WORD_leading_margin_of_shares, "task",
                task, "margin", p->margin_written, NULL);
    else if (said)
      zh_refuse(&r->refusals, "scale_unknown", claimant, ZH_WORD_leading_scale_unknown, "task",
                task, "value", value, NULL);
  }
}

/* --- the result --- */

static zh_status describe(json_t **out, const ranking *r, json_t *notes, zh_error *err) {
  zh_matter m = {.table = r->table};
  zh_decision decision = {0};
  json_t *clean = NULL;
  zh_status status = look(&m, r, r->table, err);
  if (status == ZH_OK) status = zh_decide(&decision, &m, m.endpoints, m.endpoint_count, true, err);
  if (status == ZH_OK) status = decide_clean(&clean, &decision, r, err);
  if (status == ZH_OK)
    status = zh_show(out, &m, &decision, clean, notes, r->scorers, r->count, err);
  json_decref(clean);
  zh_decision_clear(&decision);
  matter_clear(&m);
  return status;
}

static zh_status join(ranking *r, zh_error *err) {
  const char *contaminated = r->protocol->contaminated;
  ZH_TRY(zh_table_join(&r->table, r->scorers, r->count, r->protocol, &r->refusals, err));
  if (r->table == NULL) return ZH_OK;
  ZH_TRY(zh_scales_check(r->table, &r->refusals, err));
  check_margin(r);
  return contaminated == NULL ? ZH_OK
                              : zh_seen_read(&r->seen, r->table, contaminated, &r->refusals, err);
}

static zh_status rank(json_t **out, ranking *r, const char *const *given, size_t count,
                      zh_error *err) {
  r->refusals = (zh_refusals){r->words, json_array()};
  ZH_TRY(zh_table_paths_find(&r->paths, given, count, err));
  ZH_TRY(read_all(r, (const char *const *)r->paths.at, r->paths.count, err));
  check_models(r);
  /* The order of the files decides nothing. */
  if (r->count > 2) qsort(r->scorers + 1, r->count - 1, sizeof *r->scorers, by_name);
  ZH_TRY(join(r, err));
  json_t *notes = json_array();
  zh_note_input(notes, r->words, r->protocol, r->scorers, r->count);
  zh_note_seen(notes, r->words, &r->seen);
  zh_status status = zh_note_countries(notes, r->words, r->protocol, err);
  if (status == ZH_OK)
    status = json_array_size(r->refusals.list) == 0
                 ? describe(out, r, notes, err)
                 : zh_show_refusal(out, r->words, r->protocol, r->refusals.list, notes, r->scorers,
                                   r->count, err);
  json_decref(notes);
  return status;
}

zh_status zh_rank(json_t **out, const char *protocol, const char *const *scores, size_t count,
                  int threads, zh_error *err) {
  ranking r = {0};
  *out = NULL;
  zh_status status = zh_words_load(&r.words, err);
  if (status == ZH_OK) status = zh_protocol_load(&r.protocol, protocol, err);
  if (status == ZH_OK)
    status = zh_threads_create(&r.threads, threads > 0 ? threads : cpus(), NULL, err);
  if (status == ZH_OK) status = rank(out, &r, scores, count, err);
  zh_table_free(r.table);
  zh_seen_clear(&r.seen);
  for (size_t i = 0; i < r.count; i++) zh_scorer_clear(&r.scorers[i]);
  free(r.scorers);
  zh_table_paths_free(&r.paths);
  json_decref(r.refusals.list);
  zh_threads_free(r.threads);
  zh_protocol_free(r.protocol);
  zh_words_free(r.words);
  return status;
}
