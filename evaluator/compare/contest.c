#include "evaluator/compare/contest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/compare/events.h"
#include "evaluator/stats/multiplicity.h"

const char *const zh_bout_verdicts[] = {"insufficient", "above", "below", "open"};

/* --- one bout --- */

static const zh_entrant *who(const zh_contest *c, size_t i) {
  return &c->entrants->at[i];
}

static void tell(zh_bout *bout, const zh_contest *c, const char *kind, zh_word word) {
  const zh_entrant *a = who(c, bout->first), *b = who(c, bout->second);
  zh_compare_say(bout->reasons, c->entrants->words, kind, word, "model", a->label, "other",
                 b->label, "sm3", a->sm3, "file", b->folder, NULL);
}

/* A model is not compared with itself, under whatever name. */
static bool is_itself(zh_bout *bout, const zh_contest *c) {
  const zh_entrant *a = who(c, bout->first), *b = who(c, bout->second);
  bool model = a->sm3[0] != '\0' && strcmp(a->sm3, b->sm3) == 0,
       table = a->scores_sm3[0] != '\0' && strcmp(a->scores_sm3, b->scores_sm3) == 0;
  if (model)
    tell(bout, c, "same_model", ZH_WORD_compare_same_model);
  else if (table)
    tell(bout, c, "same_table", ZH_WORD_leading_same_table);
  return model || table;
}

/* Who says less of its answers matches each of two that differ, and stands with one of them. */
static void tell_company(json_t *reasons, const zh_contest *c, const zh_event *event, size_t with,
                         size_t other) {
  if (event->of[with].side == ZH_NO_SIDE) return;
  const zh_side *side = &event->sides[event->of[with].side];
  for (size_t m = 0; m < side->members && json_array_size(reasons) == 0; m++) {
    size_t member = side->member[m];
    (void)zh_sheets_match(reasons, c->entrants, member, event->of[member].sheet, other,
                          event->of[other].sheet);
  }
}

void zh_tell_apart(json_t *reasons, const zh_contest *c, size_t event, size_t first,
                   size_t second) {
  const zh_event *of = &c->events[event];
  if (!zh_sheets_match(reasons, c->entrants, first, of->of[first].sheet, second,
                       of->of[second].sheet))
    return;
  tell_company(reasons, c, of, first, second);
  tell_company(reasons, c, of, second, first);
}

static void find_reasons(zh_bout *bout, const zh_contest *c) {
  const zh_event *event = &c->events[bout->event];
  const zh_standing_of *a = &event->of[bout->first], *b = &event->of[bout->second];
  if (event->overall) {
    const zh_standing_of *both[2] = {a, b};
    for (size_t i = 0; i < 2; i++) {
      if (both[i]->side != ZH_NO_SIDE) continue;
      zh_compare_say(bout->reasons, c->entrants->words, "not_all_tasks",
                     ZH_WORD_compare_not_all_tasks, "model",
                     who(c, i == 0 ? bout->first : bout->second)->label, NULL);
    }
    return;
  }
  if (a->sheet == NULL || b->sheet == NULL) {
    bout->missing = true;
    zh_compare_say(bout->reasons, c->entrants->words, "missing", ZH_WORD_compare_missing, "model",
                   who(c, a->sheet == NULL ? bout->first : bout->second)->label, "task",
                   event->name, NULL);
    return;
  }
  zh_tell_apart(bout->reasons, c, bout->event, bout->first, bout->second);
}

void zh_tell_untested(json_t *reasons, const zh_contest *c, size_t event, size_t first,
                      size_t second) {
  const zh_event *of = &c->events[event];
  const zh_groups *groups = of->sides[of->of[first].side].groups;
  bool lone = groups->clusters == 1;
  char difference[32], items[32];
  snprintf(difference, sizeof difference, "%.4g", of->of[first].score - of->of[second].score);
  snprintf(items, sizeof items, "%zu", groups->items);
  zh_compare_say(reasons, c->entrants->words, lone ? "one_cluster" : "zero_variance",
                 groups->items == 1 ? ZH_WORD_compare_one_item
                 : lone             ? ZH_WORD_compare_one_cluster
                                    : ZH_WORD_compare_zero_variance,
                 "model", who(c, first)->label, "other", who(c, second)->label, "task", of->name,
                 "items", items, "difference", difference, NULL);
}

/* A task of several clusters where all answers score alike takes nothing from all tasks together.
 */
static bool takes_nothing(const zh_event *event, const zh_bout *bout) {
  const zh_standing_of *a = &event->of[bout->first], *b = &event->of[bout->second];
  return event->sides[a->side].groups->clusters > 1 && a->score == b->score;
}

/* Of all tasks together: those of them by which there is no error. */
static void tell_tasks(zh_bout *bout, const zh_contest *c) {
  for (size_t e = 0; e < bout->event; e++) {
    const zh_event *event = &c->events[e];
    bool turned;
    const zh_bout *of = zh_contest_bout(c, e, bout->first, bout->second, &turned);
    if (!zh_event_counts(event) || zh_pair_known(&of->pair) || takes_nothing(event, bout)) continue;
    json_array_extend(bout->reasons, of->reasons);
  }
}

static zh_status hold(zh_bout *bout, const zh_contest *c, zh_error *err) {
  const zh_event *event = &c->events[bout->event];
  const zh_standing_of *a = &event->of[bout->first], *b = &event->of[bout->second];
  bout->adjusted = NAN;
  bout->pair = (zh_pair){.way = ZH_BY_NOTHING};
  bout->reasons = json_array();
  if (bout->reasons == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a comparison");
  if (a->side == ZH_NO_SIDE || a->side != b->side) {
    find_reasons(bout, c);
    return ZH_OK;
  }
  if (is_itself(bout, c)) return ZH_OK;
  ZH_TRY(zh_side_pair(&bout->pair, &event->sides[a->side], a->row, b->row, &c->options, err));
  if (zh_pair_known(&bout->pair)) return ZH_OK;
  if (event->overall) tell_tasks(bout, c);
  if (json_array_size(bout->reasons) == 0)
    zh_tell_untested(bout->reasons, c, bout->event, bout->first, bout->second);
  return ZH_OK;
}

/* --- all of them --- */

static zh_status pair_up(zh_contest *c, zh_error *err) {
  size_t n = c->entrants->count, pairs = c->options.against >= 0 ? n - 1 : n * (n - 1) / 2;
  c->bouts = calloc(pairs * c->event_count + 1, sizeof *c->bouts);
  if (c->bouts == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu pairs", pairs);
  for (size_t e = 0; e < c->event_count; e++) {
    for (size_t i = 0; i < n; i++) {
      for (size_t k = i + 1; k < n; k++) {
        size_t first = i, second = k, against = (size_t)c->options.against;
        if (c->options.against >= 0 && i != against && k != against) continue;
        if (c->options.against >= 0) {
          first = i == against ? k : i;
          second = against;
        }
        c->bouts[c->bout_count++] = (zh_bout){.event = e, .first = first, .second = second};
      }
    }
  }
  for (size_t b = 0; b < c->bout_count; b++) ZH_TRY(hold(&c->bouts[b], c, err));
  return ZH_OK;
}

static bool tested(const zh_bout *bout) {
  return zh_pair_known(&bout->pair);
}

static void decide(zh_bout *bout, double alpha) {
  if (!tested(bout)) return;
  bout->verdict = ZH_BOUT_OPEN;
  if (bout->adjusted <= alpha)
    bout->verdict = bout->pair.estimate.value > 0 ? ZH_BOUT_ABOVE : ZH_BOUT_BELOW;
}

static zh_status adjust(zh_contest *c, zh_error *err) {
  double *p = calloc(c->bout_count + 1, sizeof *p);
  if (p == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu tests", c->bout_count);
  for (size_t b = 0; b < c->bout_count; b++)
    if (tested(&c->bouts[b])) p[c->tests++] = c->bouts[b].pair.p_two_sided;
  zh_status status = c->options.exploratory ? zh_benjamini_hochberg(p, p, c->tests, err)
                                            : zh_holm(p, p, c->tests, err);
  for (size_t b = 0, k = 0; status == ZH_OK && b < c->bout_count; b++) {
    if (tested(&c->bouts[b])) c->bouts[b].adjusted = p[k++];
    decide(&c->bouts[b], c->options.alpha);
  }
  free(p);
  return status;
}

zh_status zh_contest_hold(zh_contest *out, const zh_entrants *entrants,
                          const zh_contest_options *options, zh_error *err) {
  *out = (zh_contest){.entrants = entrants, .options = *options};
  ZH_TRY(zh_events_find(out, err));
  ZH_TRY(pair_up(out, err));
  return adjust(out, err);
}

void zh_contest_clear(zh_contest *c) {
  for (size_t b = 0; b < c->bout_count; b++) json_decref(c->bouts[b].reasons);
  for (size_t e = 0; e < c->event_count; e++) zh_event_clear(&c->events[e]);
  free(c->bouts);
  free(c->events);
}

const zh_bout *zh_contest_bout(const zh_contest *c, size_t event, size_t first, size_t second,
                               bool *turned) {
  for (size_t b = 0; b < c->bout_count; b++) {
    const zh_bout *bout = &c->bouts[b];
    if (bout->event != event) continue;
    *turned = bout->first == second && bout->second == first;
    if (*turned || (bout->first == first && bout->second == second)) return bout;
  }
  return NULL;
}
