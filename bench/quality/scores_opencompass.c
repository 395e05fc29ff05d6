/* Scores as OpenCompass defines them.
 *
 * ppl (icl_ppl_inferencer.py, models/huggingface*.py): question and option are one text; its mark
 * is the sum of the cross-entropies of all tokens but the first over the number of all tokens; the
 * option with the lowest mark is chosen, of equals the first.
 * gen (icl_gen_inferencer.py, AccEvaluator): what is left of the answer behind the filters is right
 * where it is the right answer, sign by sign. */
#include <string.h>

#include "bench/quality/scores.h"

static size_t lowest_mark(const zh_request *requests, size_t count) {
  size_t best = 0;
  double least = 0;
  for (size_t i = 0; i < count; i++) {
    double mark = -requests[i].logprob / (double)requests[i].tokens;
    if (i > 0 && !(mark < least)) continue;
    least = mark;
    best = i;
  }
  return best;
}

static zh_status by_ppl(bool *out, const zh_exam_task *t, const json_t *doc,
                        const zh_request *requests, size_t count, zh_error *err) {
  json_t *choices = NULL, *gold = NULL;
  zh_status status = zh_task_choices(&choices, t, &t->choice, doc, err);
  if (status == ZH_OK && json_array_size(choices) != count)
    status = zh_fail(err, ZH_ERR_INPUT, "task %s: %zu answers to %zu options", t->name, count,
                     json_array_size(choices));
  if (status == ZH_OK) status = zh_gold_options(&gold, t, doc, choices, err);
  *out = status == ZH_OK && zh_is_gold(gold, lowest_mark(requests, count));
  json_decref(choices);
  json_decref(gold);
  return status;
}

static zh_status by_gen(bool *out, const zh_exam_task *t, const json_t *doc, const json_t *made,
                        zh_error *err) {
  json_t *gold = NULL;
  bool several;
  const json_t *said = json_array_size(made) == 1 ? json_array_get(made, 0) : made;
  *out = false;
  if (!json_is_string(said))
    return zh_fail(err, ZH_ERR_INPUT, "task %s: the filters leave no one text of the answers",
                   t->name);
  ZH_TRY(zh_right_answers(&gold, &several, t, doc, err));
  for (size_t i = 0; i < json_array_size(gold); i++)
    *out |= json_equal(json_array_get(gold, i), said) != 0;
  json_decref(gold);
  return ZH_OK;
}

zh_status zh_score_opencompass(json_t *scores, const zh_exam_task *t, const json_t *doc,
                               const zh_request *requests, size_t count, const json_t *filtered,
                               zh_error *err) {
  bool right;
  ZH_TRY(t->output == ZH_OUTPUT_CHOICE ? by_ppl(&right, t, doc, requests, count, err)
                                       : by_gen(&right, t, doc, json_array_get(filtered, 0), err));
  if (json_object_set_new(scores, "accuracy", json_real(right)) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (scores of %s)", t->name);
}
