/* What quantisation cost. */
#include "reports/paper_compare.h"

#include <math.h>
#include <stdio.h>

static void put_names(zh_compare_page *g, const json_t *pair, const json_t *task) {
  zh_paper_row(&g->p);
  zh_paper_cell(&g->p, zh_page_label_at(g, pair, "reference"));
  zh_paper_cell(&g->p, zh_page_label_at(g, pair, "model"));
  zh_paper_cell(&g->p, zh_page_text(task, "task"));
}

static void put_test(zh_compare_page *g, const json_t *test, zh_manner m) {
  double adjusted = zh_page_number(test, "p_adjusted");
  zh_paper_cell(&g->p, zh_page_figure(zh_page_number(test, "difference"), m, true).text);
  zh_paper_cell(
      &g->p,
      zh_page_between(zh_page_number(test, "low"), zh_page_number(test, "high"), m, true).text);
  zh_paper_cell(&g->p, zh_page_chance(zh_page_number(test, "p")).text);
  zh_paper_cell(&g->p, isfinite(adjusted) ? zh_page_chance(adjusted).text
                                          : zh_paper_word(&g->p, "score insufficient"));
}

static void put_damage_scores(zh_compare_page *g, const json_t *pair) {
  const json_t *task;
  size_t i;
  json_array_foreach(json_object_get(pair, "tasks"), i, task) {
    const json_t *flips = json_object_get(task, "flips");
    if (!json_is_object(flips)) continue;
    char turned[64];
    snprintf(turned, sizeof turned, "%lld / %lld",
             (long long)json_integer_value(json_object_get(flips, "right_to_wrong")),
             (long long)json_integer_value(json_object_get(flips, "wrong_to_right")));
    put_names(g, pair, task);
    zh_paper_cell(
        &g->p, zh_page_figure(zh_page_number(task, "reference"), zh_page_manner(task), false).text);
    zh_paper_cell(&g->p,
                  zh_page_figure(zh_page_number(task, "score"), zh_page_manner(task), false).text);
    zh_paper_cell(&g->p, turned);
    put_test(g, json_object_get(task, "test"), zh_page_manner(task));
  }
}

/* Nats of the right answer, or bits a byte of texts. */
static void put_damage_likelihoods(zh_compare_page *g, const json_t *pair) {
  const zh_manner texts = {false, true};
  const json_t *task;
  size_t i;
  json_array_foreach(json_object_get(pair, "tasks"), i, task) {
    const json_t *likely = json_object_get(task, "likelihood");
    bool of_texts = zh_page_flag(task, "texts");
    if (!json_is_object(likely) && !of_texts) continue;
    put_names(g, pair, task);
    zh_paper_cell(&g->p, zh_paper_word(&g->p, of_texts ? "unit bits" : "unit nats"));
    put_test(g, of_texts ? json_object_get(task, "test") : likely, texts);
    zh_paper_cell(&g->p,
                  zh_page_figure(zh_page_number(task, "perplexity_ratio"), texts, false).text);
  }
}

void zh_page_damage(zh_compare_page *g) {
  const json_t *damage = json_object_get(g->doc, "damage"),
               *pairs = json_object_get(damage, "pairs"), *pair, *task;
  size_t i, k;
  if (json_array_size(pairs) == 0) return;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "damage"));
  zh_paper_sentence(
      &g->p, zh_paper_word_of(&g->p, "about damage %lld",
                              (long long)json_integer_value(json_object_get(damage, "tests"))));
  json_array_foreach(pairs, i, pair) {
    zh_text why = {0};
    zh_page_join(&why, g, json_object_get(pair, "reasons"));
    json_array_foreach(json_object_get(pair, "tasks"), k, task) {
      bool in_table = json_object_get(task, "test") != NULL;
      if (!in_table) zh_page_join(&why, g, json_object_get(task, "reasons"));
    }
    if (why.length > 0) zh_paper_sentence(&g->p, why.data);
    zh_text_free(&why);
  }
  zh_paper_table(
      &g->p, "tttnnnnnnn",
      "reference|model|task|score reference|score|turned|difference|interval|p|adjusted");
  json_array_foreach(pairs, i, pair) put_damage_scores(g, pair);
  zh_paper_table(&g->p, "ttttnnnnn",
                 "reference|model|task|unit|change|interval|p|adjusted|perplexity");
  json_array_foreach(pairs, i, pair) put_damage_likelihoods(g, pair);
}
