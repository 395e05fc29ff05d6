#include "evaluator/compare/compare.h"

#include <sched.h>
#include <string.h>

#include "evaluator/compare/parts.h"

enum { REPLICATES = 10000, SEED = 1 };
static const double ALPHA = 0.05;

typedef struct comparing {
  const zh_compare_options *options;
  zh_words *words;
  zh_threads *threads;
  zh_entrants entrants;
  zh_contest contest;
} comparing;

static int cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

static zh_status hold(comparing *c, size_t *reference, zh_error *err) {
  const zh_compare_options *o = c->options;
  zh_contest_options how = {.alpha = o->alpha > 0 ? o->alpha : ALPHA,
                            .exploratory = o->exploratory,
                            .against = -1,
                            .replicates = REPLICATES,
                            .seed = SEED,
                            .threads = c->threads};
  *reference = 0;
  if (o->against != NULL) {
    ZH_TRY(zh_entrant_find(reference, &c->entrants, o->against, err));
    how.against = (int)*reference;
  }
  return zh_contest_hold(&c->contest, &c->entrants, &how, err);
}

static zh_status describe(json_t **out, comparing *c, zh_error *err) {
  size_t reference;
  json_t *protocol = NULL, *damage = NULL;
  ZH_TRY(hold(c, &reference, err));
  ZH_TRY(zh_compare_protocol(&protocol, &c->entrants, &c->contest, err));
  zh_status status =
      zh_compare_damage(&damage, &c->contest, c->options->damage, c->options->damage_count, err);
  if (status != ZH_OK) {
    json_decref(protocol);
    return status;
  }
  const zh_contest_options *how = &c->contest.options;
  *out = json_pack("{s:s, s:o, s:I, s:b, s:o, s:o, s:o, s:o, s:{s:s, s:I, s:f}, s:o, s:o}",
                   "schema", "zhiheng.compare/1", "models", zh_compare_models(&c->entrants),
                   "reference", (json_int_t)reference, "against", how->against >= 0, "protocol",
                   protocol, "speeds", zh_compare_speeds(&c->entrants, reference), "tasks",
                   zh_compare_tasks(&c->contest), "pairs", zh_compare_pairs(&c->contest), "family",
                   "adjusted_by", how->exploratory ? "benjamini_hochberg" : "holm", "tests",
                   (json_int_t)c->contest.tests, "alpha", how->alpha, "fronts",
                   zh_compare_fronts(&c->contest), "damage", damage);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for a comparison");
}

zh_status zh_compare(json_t **out, const zh_compare_options *options, zh_error *err) {
  comparing c = {.options = options};
  *out = NULL;
  zh_status status = zh_words_load(&c.words, err);
  c.entrants.words = c.words;
  c.entrants.metric = options->metric;
  if (status == ZH_OK)
    status =
        zh_threads_create(&c.threads, options->threads > 0 ? options->threads : cpus(), NULL, err);
  if (status == ZH_OK)
    status = zh_entrants_open(&c.entrants, options->inputs, options->input_count, err);
  if (status == ZH_OK) status = describe(out, &c, err);
  zh_contest_clear(&c.contest);
  zh_entrants_clear(&c.entrants);
  zh_threads_free(c.threads);
  zh_words_free(c.words);
  return status;
}
