/* What a reader must know before any verdict, and what an evaluation leaves out. */
#include <string.h>

#include "core/text.h"
#include "evaluator/evaluation.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the evaluation");
}

/* Adds a sentence to an array. */
static zh_status add_sentence(json_t *array, const zh_phrase *phrase, const zh_slot *slots,
                              size_t count, zh_error *err) {
  return json_array_append_new(array, zh_phrase_json(phrase, slots, count)) == 0 ? ZH_OK
                                                                                 : no_memory(err);
}

/* What the reader must know before any verdict. */
zh_status zh_marks_add(json_t *marks, const zh_case *c, zh_error *err) {
  if (strcmp(c->policy->status, "draft") == 0) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_draft), NULL, 0, err));
  }
  if (strcmp(c->policy->status, "expired") == 0) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_expired), NULL, 0, err));
  }
  if (c->bundle_count == 0) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_no_bundle), NULL, 0, err));
  }
  if (c->subject_count > 0 && zh_is_standard(c->subjects[0])) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_standard_model), NULL, 0, err));
  }
  for (size_t i = 0; i < c->bundle_count; i++) {
    const zh_bundle *b = &c->bundles[i];
    const zh_slot slot = {"bundle", b->name, b->name};
    if (!b->valid)
      ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_invalid_run), &slot, 1, err));
    if (!b->stable)
      ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_unstable_run), &slot, 1, err));
    if (json_array_size(json_object_get(b->run, "gpu_marks")) > 0)
      ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_doubtful_gpu), &slot, 1, err));
  }
  return ZH_OK;
}

/* "a, b": names of the steps that have no result. */
static void unfinished_steps(zh_text *out, const zh_bundle *bundle) {
  json_t *step;
  size_t i;
  json_array_foreach(json_object_get(bundle->run, "steps"), i, step) {
    if (strcmp(json_string_value(json_object_get(step, "status")), "done") == 0) continue;
    zh_text_printf(out, "%s%s", out->length > 0 ? ", " : "",
                   json_string_value(json_object_get(step, "step")));
  }
}

zh_status zh_not_tested_add(json_t *list, const zh_case *c, zh_error *err) {
  for (size_t i = 0; i < c->policy->not_tested_count; i++) {
    ZH_TRY(add_sentence(list, &c->policy->not_tested[i], NULL, 0, err));
  }
  ZH_TRY(add_sentence(list, zh_word_of(c->words, ZH_WORD_not_tested_quality), NULL, 0, err));
  for (size_t i = 0; i < c->bundle_count; i++) {
    zh_text steps = {0};
    unfinished_steps(&steps, &c->bundles[i]);
    const zh_slot slots[] = {{"bundle", c->bundles[i].name, c->bundles[i].name},
                             {"steps", zh_text_string(&steps), zh_text_string(&steps)}};
    zh_status status = ZH_OK;
    if (steps.length > 0)
      status = add_sentence(list, zh_word_of(c->words, ZH_WORD_not_tested_steps), slots, 2, err);
    zh_text_free(&steps);
    ZH_TRY(status);
  }
  return ZH_OK;
}
