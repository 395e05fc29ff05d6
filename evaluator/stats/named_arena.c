/* Strengths by name, from a table a,b,won[,prompt] of comparisons of two. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/csv.h"
#include "evaluator/stats/bradley_terry.h"
#include "evaluator/stats/named.h"

/* Names numbered in the order in which they come up. */
typedef struct names {
  const char **words;
  size_t count, room;
} names;

static zh_status number_of(uint32_t *out, names *n, const char *word, size_t most, zh_error *err) {
  for (size_t i = n->count; i-- > 0;) {
    if (strcmp(n->words[i], word) != 0) continue;
    *out = (uint32_t)i;
    return ZH_OK;
  }
  if (n->count == most)
    return zh_fail(err, ZH_ERR_INPUT, "more than %zu different names in one column", most);
  if (n->count == n->room) {
    size_t room = n->room > 0 ? 2 * n->room : 64;
    const char **words = realloc(n->words, room * sizeof *words);
    if (words == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu names", room);
    n->words = words;
    n->room = room;
  }
  n->words[n->count] = word;
  *out = (uint32_t)n->count++;
  return ZH_OK;
}

typedef struct arena_table {
  zh_csv *csv;
  zh_match *matches;
  size_t count, room;
  names models, prompts;
  size_t columns[4]; /* a, b, won, prompt */
  bool clustered;
} arena_table;

static zh_status read_match(arena_table *t, zh_error *err) {
  enum { MODELS_MAX = 1000, PROMPTS_MAX = 100000 };
  zh_match match = {.cluster = (uint32_t)t->count};
  const char *won = zh_csv_field(t->csv, t->columns[2]);
  char *end;
  ZH_TRY(number_of(&match.a, &t->models, zh_csv_field(t->csv, t->columns[0]), MODELS_MAX, err));
  ZH_TRY(number_of(&match.b, &t->models, zh_csv_field(t->csv, t->columns[1]), MODELS_MAX, err));
  if (match.a == match.b)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s:%zu: '%.60s' is compared with itself; two different models are expected",
                   zh_csv_path(t->csv), zh_csv_line(t->csv), t->models.words[match.a]);
  if (t->clustered)
    ZH_TRY(number_of(&match.cluster, &t->prompts, zh_csv_field(t->csv, t->columns[3]), PROMPTS_MAX,
                     err));
  match.won = strtod(won, &end);
  if (*won == '\0' || *end != '\0' || !(match.won >= 0 && match.won <= 1))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s:%zu: won is '%.40s'; 1 (a won), 0 (b won) or 0.5 (a tie) is expected",
                   zh_csv_path(t->csv), zh_csv_line(t->csv), won);
  if (t->count == t->room) {
    size_t room = t->room > 0 ? 2 * t->room : 1024;
    zh_match *matches = realloc(t->matches, room * sizeof *matches);
    if (matches == NULL)
      return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu comparisons", room);
    t->matches = matches;
    t->room = room;
  }
  t->matches[t->count++] = match;
  return ZH_OK;
}

static zh_status read_matches(arena_table *t, const char *path, zh_error *err) {
  static const char *const columns[] = {"a", "b", "won"};
  bool more;
  ZH_TRY(zh_csv_open(&t->csv, path, NULL, err));
  for (int i = 0; i < 3; i++) ZH_TRY(zh_csv_require(&t->columns[i], t->csv, columns[i], err));
  t->clustered = zh_csv_find(&t->columns[3], t->csv, "prompt");
  for (;;) {
    ZH_TRY(zh_csv_next(&more, t->csv, err));
    if (!more) return ZH_OK;
    ZH_TRY(read_match(t, err));
  }
}

/* Models that comparisons join to the first one, from hand to hand. */
static void find_joined(bool *joined, const arena_table *t) {
  joined[0] = true;
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < t->count; i++) {
      const zh_match *m = &t->matches[i];
      if (joined[m->a] == joined[m->b]) continue;
      joined[m->a] = joined[m->b] = more = true;
    }
  }
}

static zh_status check_joined(const arena_table *t, zh_error *err) {
  bool *joined = calloc(t->models.count + 1, sizeof *joined);
  size_t apart = 0;
  if (joined == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  find_joined(joined, t);
  while (apart < t->models.count && joined[apart]) apart++;
  free(joined);
  if (apart == t->models.count) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: no comparison joins '%.60s' and '%.60s', not through others either, so that "
                 "their strengths have no common scale; compare some model of each side",
                 zh_csv_path(t->csv), t->models.words[0], t->models.words[apart]);
}

static zh_status rate(json_t **out, const arena_table *t, double confidence, const zh_draws *draws,
                      zh_error *err) {
  static const double ELO = 173.71779276130073; /* 400 / ln 10 */
  size_t undefined, clusters = t->clustered ? t->prompts.count : t->count;
  zh_strength *strengths = calloc(t->models.count + 1, sizeof *strengths);
  if (strengths == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  zh_error inner = ZH_ERROR_INIT;
  zh_status status = zh_bradley_terry(strengths, &undefined, t->models.count, t->matches, t->count,
                                      clusters, confidence, draws, &inner);
  if (status != ZH_OK) status = zh_fail(err, status, "%s: %s", zh_csv_path(t->csv), inner.message);
  if (status == ZH_OK) {
    json_t *list = json_array();
    for (size_t m = 0; m < t->models.count; m++) {
      const zh_strength *s = &strengths[m];
      json_array_append_new(
          list, json_pack("{s:s, s:o, s:o, s:o, s:o}", "model", t->models.words[m], "strength",
                          zh_json_number(s->strength), "low", zh_json_number(s->low), "high",
                          zh_json_number(s->high), "elo", zh_json_number(ELO * s->strength)));
    }
    status =
        zh_named_done(out,
                      json_pack("{s:o, s:I, s:I, s:I, s:I, s:f}", "models", list, "comparisons",
                                (json_int_t)t->count, "clusters", (json_int_t)clusters,
                                "replicates", (json_int_t)draws->replicates, "undefined_replicates",
                                (json_int_t)undefined, "confidence", confidence),
                      err);
    if (status == ZH_OK && isnan(strengths[0].low))
      json_object_set_new(*out, "note",
                          json_string("in too many replicates some model always won or always "
                                      "lost, so that no interval follows: more comparisons are "
                                      "needed"));
  }
  free(strengths);
  return status;
}

static zh_status bradley_terry(json_t **out, const zh_given *given, zh_error *err) {
  arena_table table = {0};
  zh_draws draws;
  double confidence;
  ZH_TRY(zh_given_draws(&draws, given, err));
  if (zh_given_text(given, "replicates") == NULL) draws.replicates = 1000;
  ZH_TRY(zh_given_real_or(&confidence, given, "confidence", 0.5, 0.999999, 0.95, err));
  zh_status status = read_matches(&table, zh_given_text(given, "file"), err);
  if (status == ZH_OK && table.count > 0) status = check_joined(&table, err);
  if (status == ZH_OK) status = rate(out, &table, confidence, &draws, err);
  free(table.matches);
  free(table.models.words);
  free(table.prompts.words);
  zh_csv_free(table.csv);
  return status;
}

const zh_method zh_arena_methods[] = {
    {"bradley-terry", "file ?confidence ?replicates ?seed", bradley_terry}, {NULL, NULL, NULL}};
