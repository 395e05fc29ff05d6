/* What quantisation did to a model: the quantised one against its reference, answer by answer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/compare/parts.h"
#include "evaluator/stats/multiplicity.h"

enum { WORD_MAX = 16384 };

zh_status zh_entrant_find(size_t *out, const zh_entrants *e, const char *label, zh_error *err) {
  const char *labels[ZH_ENTRANTS_MAX + 1] = {NULL};
  char guess[ZH_GUESS_BYTES];
  for (size_t i = 0; i < e->count; i++) {
    labels[i] = e->at[i].label;
    *out = i;
    if (strcmp(labels[i], label) == 0) return ZH_OK;
  }
  return zh_fail(err, ZH_ERR_USAGE, "no model here is called '%.100s'%s", label,
                 zh_did_you_mean(guess, label, labels));
}

typedef struct checking {
  const zh_contest *contest;
  size_t reference, model;
  json_t *tests; /* objects with "p", which get "p_adjusted" */
  zh_error *err;
} checking;

static json_t *test_json(const checking *c, const zh_pair *pair) {
  json_t *test = json_pack("{s:o, s:o, s:o, s:o, s:o, s:s}", "difference",
                           zh_finite(zh_pair_known(pair) ? pair->estimate.value : NAN), "se",
                           zh_finite(zh_pair_known(pair) ? sqrt(pair->estimate.variance) : NAN),
                           "low", zh_finite(pair->low), "high", zh_finite(pair->high), "p",
                           zh_finite(pair->p_two_sided), "method", zh_pair_ways[pair->way]);
  if (zh_pair_known(pair)) json_array_append(c->tests, test);
  return test;
}

static bool is_binary(const double *values, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (values[i] != 0 && values[i] != 1) return false;
  return true;
}

/* Answers that were right and are wrong, and the other way round. */
static json_t *flips_json(const zh_side *side, size_t reference, size_t model) {
  size_t items = side->groups->items, lost = 0, won = 0, right = 0;
  const double *a = side->scores + reference * items, *b = side->scores + model * items;
  if (side->share_of != NULL || !is_binary(a, items) || !is_binary(b, items)) return json_null();
  for (size_t i = 0; i < items; i++) {
    lost += a[i] > b[i];
    won += a[i] < b[i];
    right += a[i] == 1 && b[i] == 1;
  }
  zh_mcnemar exact = zh_mcnemar_test((int64_t)lost, (int64_t)won);
  double wrong = (double)(items - lost - won - right);
  zh_interval interval = zh_newcombe_paired((double)right, (double)won, (double)lost, wrong, 0.95);
  return json_pack("{s:I, s:I, s:o, s:o, s:o, s:[o,o]}", "right_to_wrong", (json_int_t)lost,
                   "wrong_to_right", (json_int_t)won, "share",
                   zh_finite((double)(lost + won) / (double)items), "mcnemar_mid_p",
                   zh_finite(exact.mid_p), "mcnemar_exact", zh_finite(exact.exact), "interval",
                   zh_finite(interval.low), zh_finite(interval.high));
}

/* Log-likelihoods of the right answers, in nats an item. */
static zh_status likely_json(json_t **out, const checking *c, const zh_side *side, size_t reference,
                             size_t model) {
  size_t items = side->groups->items;
  const double *a = side->likely + reference * items, *b = side->likely + model * items;
  const zh_contest_options *how = &c->contest->options;
  const zh_pair_question question = {.groups = side->groups,
                                     .first = b,
                                     .second = a,
                                     .alpha = how->alpha,
                                     .draws = {how->replicates, how->seed, how->threads}};
  zh_pair pair;
  *out = json_null();
  for (size_t i = 0; i < items; i++)
    if (!isfinite(a[i]) || !isfinite(b[i])) return ZH_OK;
  if (side->share_of != NULL) return ZH_OK;
  ZH_TRY(zh_pair_test(&pair, &question, c->err));
  *out = test_json(c, &pair);
  return ZH_OK;
}

static zh_status add_task(json_t *list, const checking *c, size_t number) {
  const zh_event *event = &c->contest->events[number];
  const zh_standing_of *a = &event->of[c->reference], *b = &event->of[c->model];
  zh_pair pair = {.way = ZH_BY_NOTHING};
  json_t *likely = NULL;
  if (event->overall || a->sheet == NULL || b->sheet == NULL) return ZH_OK;
  if (a->side == ZH_NO_SIDE || a->side != b->side) {
    json_t *reasons = json_array();
    zh_tell_apart(reasons, c->contest, number, c->reference, c->model);
    json_array_append_new(list, json_pack("{s:s, s:o}", "task", event->name, "reasons", reasons));
    return ZH_OK;
  }
  const zh_side *side = &event->sides[a->side];
  /* Of texts in bits a byte, where more is worse; else the quantised one less its reference. */
  size_t first = event->texts ? a->row : b->row, second = event->texts ? b->row : a->row;
  ZH_TRY(zh_side_pair(&pair, side, first, second, &c->contest->options, c->err));
  ZH_TRY(likely_json(&likely, c, side, a->row, b->row));
  json_t *score = test_json(c, &pair), *reasons = json_array();
  if (!zh_pair_known(&pair)) zh_tell_untested(reasons, c->contest, number, c->model, c->reference);
  json_array_append_new(
      list, json_pack("{s:s, s:s, s:b, s:b, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "task",
                      event->name, "metric", event->metric, "shares", event->shares, "texts",
                      event->texts, "items", (json_int_t)side->groups->items, "reference",
                      zh_finite(a->score), "score", zh_finite(b->score), "test", score, "flips",
                      flips_json(side, a->row, b->row), "likelihood", likely, "perplexity_ratio",
                      event->texts ? zh_finite(exp2(b->score - a->score)) : json_null(), "reasons",
                      reasons));
  return ZH_OK;
}

static zh_status add_model(json_t *list, checking *c) {
  const zh_entrants *e = c->contest->entrants;
  json_t *tasks = json_array();
  const zh_entrant *a = &e->at[c->reference], *b = &e->at[c->model];
  bool itself = a->sm3[0] != '\0' && strcmp(a->sm3, b->sm3) == 0;
  json_t *reasons = json_array();
  if (itself)
    zh_compare_say(reasons, e->words, "same_model", ZH_WORD_compare_same_model, "model", a->label,
                   "other", b->label, "sm3", a->sm3, NULL);
  zh_status status = ZH_OK;
  for (size_t t = 0; !itself && status == ZH_OK && t < c->contest->event_count; t++)
    status = add_task(tasks, c, t);
  json_array_append_new(list, json_pack("{s:I, s:I, s:o, s:o}", "reference",
                                        (json_int_t)c->reference, "model", (json_int_t)c->model,
                                        "reasons", reasons, "tasks", tasks));
  return status;
}

static zh_status add_declared(json_t *list, checking *c, const char *word) {
  char room[WORD_MAX];
  const char *equals = strchr(word, '=');
  if (equals == NULL || strlen(word) >= sizeof room)
    return zh_fail(c->err, ZH_ERR_USAGE,
                   "--damage %.100s: expected REFERENCE=MODEL[,MODEL…], labels of compared models",
                   word);
  memcpy(room, word, strlen(word) + 1);
  room[equals - word] = '\0';
  ZH_TRY(zh_entrant_find(&c->reference, c->contest->entrants, room, c->err));
  for (char *rest = room + (equals - word) + 1, *part; (part = strsep(&rest, ",")) != NULL;) {
    ZH_TRY(zh_entrant_find(&c->model, c->contest->entrants, part, c->err));
    if (c->model == c->reference)
      return zh_fail(c->err, ZH_ERR_USAGE,
                     "--damage %.100s: a model is not held against itself; name the reference, and "
                     "what was made of it",
                     word);
    ZH_TRY(add_model(list, c));
  }
  return ZH_OK;
}

static zh_status adjust(json_t *tests, zh_error *err) {
  size_t count = json_array_size(tests);
  double *p = calloc(count + 1, sizeof *p);
  if (p == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu tests", count);
  for (size_t i = 0; i < count; i++)
    p[i] = json_number_value(json_object_get(json_array_get(tests, i), "p"));
  zh_status status = zh_holm(p, p, count, err);
  for (size_t i = 0; status == ZH_OK && i < count; i++)
    json_object_set_new(json_array_get(tests, i), "p_adjusted", zh_finite(p[i]));
  free(p);
  return status;
}

zh_status zh_compare_damage(json_t **out, const zh_contest *contest, const char *const *declared,
                            size_t count, zh_error *err) {
  checking c = {.contest = contest, .tests = json_array(), .err = err};
  json_t *list = json_array();
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < count; i++)
    status = add_declared(list, &c, declared[i]);
  if (status == ZH_OK) status = adjust(c.tests, err);
  if (status == ZH_OK)
    *out = json_pack("{s:I, s:O}", "tests", (json_int_t)json_array_size(c.tests), "pairs", list);
  json_decref(list);
  json_decref(c.tests);
  return status;
}
