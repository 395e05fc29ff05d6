#include "evaluator/leading/show.h"

#include <math.h>
#include <string.h>

#include "evaluator/leading/notes.h"
#include "evaluator/leading/scope.h"

#define SCHEMA "zhiheng.rank/1"

static void set_verdict(json_t *object, const zh_words *words, zh_standing verdict) {
  const zh_phrase *name = zh_word_of(words, zh_standing_words[verdict]);
  json_object_set_new(object, "verdict", json_string(name->zh));
  json_object_set_new(object, "verdict_en", json_string(name->en));
  json_object_set_new(object, "verdict_id", json_string(zh_standing_names[verdict]));
}

static json_t *text_or_null(const char *text) {
  return text != NULL ? json_string(text) : json_null();
}

/* "": none. */
static json_t *digest_or_null(const char *text) {
  return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *protocol_json(const zh_protocol *p) {
  json_t *peers = json_array();
  for (size_t i = 0; i < p->peer_count; i++)
    json_array_append_new(peers,
                          json_pack("{s:s, s:o, s:b}", "model", p->peers[i].model, "declared",
                                    text_or_null(p->peers[i].declared), "top", p->peers[i].top));
  return json_pack("{s:s, s:s, s:o, s:s, s:o, s:f, s:f, s:I, s:I, s:o}", "name", p->name, "sm3",
                   p->sm3, "locked", text_or_null(p->locked), "claimant", p->claimant,
                   "claimant_sm3", text_or_null(p->claimant_sm3), "alpha", p->alpha, "margin",
                   p->margin, "replicates", (json_int_t)p->replicates, "seed", (json_int_t)p->seed,
                   "peers", peers);
}

static json_t *models_json(const zh_scorer *scorers, size_t count, const char *claimant) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) {
    const zh_scorer *s = &scorers[i];
    json_array_append_new(list,
                          json_pack("{s:s, s:b, s:s, s:o, s:o, s:O, s:I, s:I}", "model", s->name,
                                    "claimant", strcmp(s->name, claimant) == 0, "sm3", s->sm3,
                                    "protocol_sm3", text_or_null(s->protocol_sm3), "model_sm3",
                                    text_or_null(s->model_sm3), "columns_not_read", s->not_read,
                                    "rows", (json_int_t)s->row_count, "runs", (json_int_t)s->runs));
  }
  return list;
}

/* NAN is null. */
static void set_number(json_t *object, const char *key, double value) {
  json_object_set_new(object, key, zh_json_number(value));
}

/* Where no variance is known there is no error to print, above all not 0. */
static void set_pair(json_t *object, const zh_pair *pair) {
  bool known = zh_pair_known(pair);
  set_number(object, "difference", pair->estimate.value);
  set_number(object, "se", known ? sqrt(pair->estimate.variance) : NAN);
  set_number(object, "df", known ? pair->estimate.df : NAN);
  set_number(object, "p", pair->p_greater);
  set_number(object, "p_less", pair->p_less);
  set_number(object, "low", pair->low);
  set_number(object, "high", pair->high);
  set_number(object, "bound", pair->bound);
  json_object_set_new(object, "method", json_string(zh_pair_ways[pair->way]));
  if (pair->way == ZH_BY_MCNEMAR)
    json_object_set_new(
        object, "discordant",
        json_pack("[I, I]", (json_int_t)pair->only_first, (json_int_t)pair->only_second));
}

static size_t least_sure(const zh_unit *u) {
  size_t worst = 0;
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *at = &u->pairs[peer];
    if (worst == 0 || isnan(at->p_greater) || at->p_greater > u->pairs[worst].p_greater)
      worst = peer;
    if (isnan(u->pairs[worst].p_greater)) break;
  }
  return worst;
}

static json_t *scores_json(const zh_unit *u, const zh_table *t) {
  json_t *scores = json_object();
  for (size_t m = 0; m < u->models; m++)
    json_object_set_new(scores, t->names[m], zh_json_number(u->means[m]));
  return scores;
}

static json_t *peers_json(const zh_unit *u, const zh_matter *m) {
  json_t *peers = json_object();
  for (size_t peer = 1; peer < u->models; peer++) {
    json_t *entry = json_object();
    set_pair(entry, &u->pairs[peer]);
    if (u->is_task) set_number(entry, "p_loss_holm", m->losses[u->first_task * u->models + peer]);
    json_object_set_new(peers, m->table->names[peer], entry);
  }
  return peers;
}

/* Of the peer against which the lead is least sure, which is what intersection-union looks at. */
static zh_status unit_json(json_t **out, const zh_unit *u, const zh_matter *m, zh_error *err) {
  zh_decision decision;
  ZH_TRY(zh_decide(&decision, m, u, 1, false, err));
  json_t *entry = json_object();
  size_t peer = least_sure(u);
  set_verdict(entry, m->words, decision.verdict);
  json_object_set_new(entry, "items", json_integer((json_int_t)u->groups->items));
  json_object_set_new(entry, "clusters", json_integer((json_int_t)u->groups->clusters));
  json_object_set_new(entry, "unit", json_string(u->shares ? "share" : "score"));
  json_object_set_new(entry, "scores", scores_json(u, m->table));
  json_object_set_new(entry, "peer", peer > 0 ? json_string(m->table->names[peer]) : json_null());
  if (peer > 0) set_pair(entry, &u->pairs[peer]);
  json_object_set_new(entry, "L", json_integer((json_int_t)u->own.low));
  json_object_set_new(entry, "U", json_integer((json_int_t)u->own.high));
  set_number(entry, "run_spread", u->run_spread);
  json_object_set_new(entry, "peers", peers_json(u, m));
  json_object_set(entry, "decided_by", decision.decided_by);
  json_object_set(entry, "would_change", decision.would_change);
  zh_decision_clear(&decision);
  *out = entry;
  return ZH_OK;
}

static json_t *sets_json(const zh_unit *u, const zh_table *t) {
  json_t *joint = json_array();
  for (size_t m = 0; m < u->models; m++)
    json_array_append_new(joint, json_pack("{s:s, s:o, s:I, s:I}", "model", t->names[m], "mean",
                                           zh_json_number(u->joint[m].mean), "L",
                                           (json_int_t)u->joint[m].low, "U",
                                           (json_int_t)u->joint[m].high));
  return json_pack("{s:{s:I, s:I}, s:o}", "own", "L", (json_int_t)u->own.low, "U",
                   (json_int_t)u->own.high, "joint", joint);
}

static json_t *unmatched_json(const zh_matter *m) {
  static const char *const held[] = {"compared", "not_scored", "not_shares"};
  json_t *list = json_array();
  for (size_t i = 0; i < m->unmatched_count; i++) {
    const zh_unmatched *u = &m->unmatched[i];
    zh_word word = u->held == ZH_NOT_SCORED   ? ZH_WORD_leading_published_not_scored
                   : u->held == ZH_NOT_SHARES ? ZH_WORD_leading_published_not_shares
                   : u->model > 0             ? ZH_WORD_leading_published_beside
                                              : ZH_WORD_leading_published_alone;
    json_t *entry = zh_about_unmatched(m, held[u->held], word, u);
    json_object_set_new(entry, "published", json_real(u->published->score));
    json_object_set_new(entry, "items", json_real(u->published->items));
    json_object_set_new(entry, "source", text_or_null(u->published->source));
    set_number(entry, "own", u->own);
    set_number(entry, "own_items", u->items);
    set_number(entry, "table",
               u->held == ZH_HELD && u->model > 0 ? m->tasks[u->task].means[u->model] : NAN);
    set_number(entry, "difference", u->difference);
    set_number(entry, "low", u->interval.low);
    set_number(entry, "high", u->interval.high);
    json_array_append_new(list, entry);
  }
  return list;
}

static zh_status show_units(json_t *result, const zh_matter *m, zh_error *err) {
  json_t *endpoints = json_object(), *sets = json_object(), *tasks = json_object(), *entry;
  zh_status status = ZH_OK;
  for (size_t i = 0; i < m->endpoint_count && status == ZH_OK; i++) {
    const zh_unit *u = &m->endpoints[i];
    if ((status = unit_json(&entry, u, m, err)) != ZH_OK) break;
    json_object_set_new(endpoints, u->name, entry);
    json_object_set_new(sets, u->name, sets_json(u, m->table));
  }
  for (size_t k = 0; k < m->table->tasks && status == ZH_OK; k++) {
    if ((status = unit_json(&entry, &m->tasks[k], m, err)) != ZH_OK) break;
    json_object_set_new(entry, "modality", json_string(m->table->modality[k]));
    json_object_set_new(entry, "items_sm3", json_string(m->table->items_sm3[k]));
    json_object_set_new(entry, "prompts_sm3", digest_or_null(m->table->prompts_sm3[k]));
    json_object_set_new(tasks, m->tasks[k].name, entry);
  }
  json_object_set_new(result, "endpoints", endpoints);
  json_object_set_new(result, "rank_sets", sets);
  json_object_set_new(result, "tasks", tasks);
  return status;
}

static json_t *head(const zh_words *words, const zh_protocol *protocol, zh_standing verdict,
                    bool refused, const char *rule, json_t *decided_by, json_t *would_change) {
  json_t *result = json_pack("{s:s}", "schema", SCHEMA);
  set_verdict(result, words, verdict);
  json_object_set_new(result, "rule", json_string(rule));
  json_object_set_new(result, "refused", json_boolean(refused));
  json_object_set(result, "decided_by", decided_by);
  json_object_set(result, "would_change", would_change);
  json_object_set_new(result, "protocol", protocol_json(protocol));
  return result;
}

/* Units that lead with U above 1: why both hold is said once. */
static void note_rank_sets(json_t *notes, const zh_words *words, const json_t *units) {
  const char *name;
  json_t *unit;
  json_object_foreach((json_t *)units, name, unit) {
    json_int_t high = json_integer_value(json_object_get(unit, "U"));
    const char *verdict = json_string_value(json_object_get(unit, "verdict_id"));
    if (high < 2 || strcmp(verdict, zh_standing_names[ZH_LEADING]) != 0) continue;
    zh_note_rank_set(notes, words, name, (size_t)high);
    return;
  }
}

zh_status zh_show(json_t **out, const zh_matter *m, const zh_decision *decision, json_t *clean,
                  json_t *notes, const zh_scorer *scorers, size_t count, zh_error *err) {
  json_t *result = head(m->words, m->protocol, decision->verdict, false, decision->rule,
                        decision->decided_by, decision->would_change);
  json_object_set_new(result, "models", models_json(scorers, count, m->protocol->claimant));
  zh_status status = show_units(result, m, err);
  size_t said = json_array_size(notes);
  note_rank_sets(notes, m->words, json_object_get(result, "endpoints"));
  if (json_array_size(notes) == said)
    note_rank_sets(notes, m->words, json_object_get(result, "tasks"));
  json_object_set_new(result, "published", unmatched_json(m));
  json_object_set(result, "clean", clean != NULL ? clean : json_null());
  json_object_set(result, "notes", notes);
  if (status == ZH_OK)
    *out = result;
  else
    json_decref(result);
  return status;
}

zh_status zh_show_refusal(json_t **out, const zh_words *words, const zh_protocol *protocol,
                          json_t *refusals, json_t *notes, const zh_scorer *scorers, size_t count,
                          zh_error *err) {
  json_t *needs = json_array(), *entry;
  size_t i;
  json_array_append_new(needs, zh_say(words, "input", ZH_WORD_leading_needs_input, NULL));
  json_array_foreach(refusals, i, entry)
      json_object_set(entry, "rule", json_object_get(entry, "kind"));
  json_t *result = head(words, protocol, ZH_NOT_ENOUGH, true, "refused", refusals, needs);
  json_object_set_new(result, "models", models_json(scorers, count, protocol->claimant));
  json_object_set_new(result, "endpoints", json_object());
  json_object_set_new(result, "rank_sets", json_object());
  json_object_set_new(result, "tasks", json_object());
  json_object_set_new(result, "published", json_array());
  json_object_set_new(result, "clean", json_null());
  json_object_set(result, "notes", notes);
  json_decref(needs);
  *out = result;
  return result != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the result");
}

json_t *zh_clean_json(const zh_words *words, const zh_decision *decision, const zh_seen *seen,
                      size_t items) {
  const zh_phrase *verdict = zh_word_of(words, zh_standing_words[decision->verdict]);
  zh_figure count = zh_count_text(seen->left_out), listed = zh_count_text(seen->listed),
            left = zh_count_text(items);
  const zh_slot slots[] = {{"count", count.text, count.text},
                           {"total", listed.text, listed.text},
                           {"items", left.text, left.text},
                           {"to", verdict->zh, verdict->en}};
  json_t *clean = zh_phrase_json(zh_word_of(words, ZH_WORD_leading_clean), slots, 4);
  json_object_set_new(clean, "listed", json_integer((json_int_t)seen->listed));
  json_object_set_new(clean, "left_out", json_integer((json_int_t)seen->left_out));
  json_object_set_new(clean, "not_found", json_integer((json_int_t)seen->not_found));
  json_object_set_new(clean, "other_tasks", json_integer((json_int_t)seen->elsewhere));
  json_object_set_new(clean, "items", json_integer((json_int_t)items));
  set_verdict(clean, words, decision->verdict);
  json_object_set(clean, "decided_by",
                  decision->decided_by != NULL ? decision->decided_by : json_null());
  return clean;
}

void zh_overrule(zh_decision *decision, const zh_words *words, const zh_decision *clean,
                 size_t left_out) {
  const zh_phrase *all = zh_word_of(words, zh_standing_words[decision->verdict]),
                  *left = zh_word_of(words, zh_standing_words[clean->verdict]);
  zh_figure count = zh_count_text(left_out);
  const zh_slot slots[] = {
      {"count", count.text, count.text}, {"from", all->zh, all->en}, {"to", left->zh, left->en}};
  json_t *entry = zh_phrase_json(zh_word_of(words, ZH_WORD_leading_clean_differs), slots, 3);
  json_object_set_new(entry, "rule", json_string("clean_differs"));
  json_array_clear(decision->decided_by);
  json_array_clear(decision->would_change);
  json_array_append_new(decision->decided_by, entry);
  json_array_append_new(decision->would_change,
                        zh_say(words, "clean", ZH_WORD_leading_needs_clean, NULL));
  decision->verdict = ZH_NOT_ENOUGH;
  decision->rule = "clean_differs";
}
