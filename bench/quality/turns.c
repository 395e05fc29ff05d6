#include "bench/quality/turns.h"

#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"
#include "core/text.h"

static zh_status no_memory(const zh_exam_task *t, zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (prompts of %s)", t->name);
}

/* Takes the content. */
static zh_status add_turn(json_t *turns, const zh_exam_task *t, const char *role, json_t *content,
                          const char *delimiter, zh_error *err) {
  json_t *turn = content ? json_pack("{s:s, s:o, s:s}", "role", role, "content", content,
                                     "delimiter", delimiter)
                         : NULL;
  return turn && json_array_append_new(turns, turn) == 0 ? ZH_OK : no_memory(t, err);
}

static json_t *shared(const json_t *text) {
  return json_incref((json_t *)(uintptr_t)text);
}

/* Whether neither has a blank where they meet, and both are there. */
static bool need_delimiter(const json_t *before, const json_t *after) {
  size_t left = json_string_length(before), right = json_string_length(after);
  return left > 0 && right > 0 && !zh_python_space_last(json_string_value(before), left) &&
         !zh_python_space_first(json_string_value(after), right);
}

static void append(zh_text *out, const json_t *text) {
  if (json_string_length(text) > 0)
    zh_text_append(out, json_string_value(text), json_string_length(text));
}

static json_t *delimited(const json_t *before, const json_t *after, const char *delimiter) {
  zh_text out = {0};
  append(&out, before);
  if (need_delimiter(before, after)) zh_text_puts(&out, delimiter);
  append(&out, after);
  return zh_rewritten(&out);
}

/* ---- examples ---- */

/* What stands for an answer: an option by its number, the first of several, or text. Borrowed. */
static zh_status answer_text(const json_t **out, const zh_exam_task *task, const json_t *choices,
                             const json_t *answer, zh_error *err) {
  *out = answer;
  if (choices && json_is_integer(answer)) {
    json_int_t i = json_integer_value(answer), count = (json_int_t)json_array_size(choices);
    if (i < 0) i += count; /* as Python counts */
    *out = i >= 0 && i < count ? json_array_get(choices, (size_t)i) : NULL;
    if (!*out)
      return zh_fail(err, ZH_ERR_INPUT,
                     "task %s: an example's answer is option %lld, and it has %lld options",
                     task->name, (long long)json_integer_value(answer), (long long)count);
  } else if (json_is_array(answer)) {
    *out = json_array_get(answer, 0);
  }
  if (json_is_string(*out)) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "task %s: the answer of an example is not text (doc_to_target; without "
                 "doc_to_choice numbers stand for nothing)",
                 task->name);
}

/* Question and answer. */
static zh_status add_answered(json_t *turns, const zh_exam_task *t, const json_t *question,
                              const json_t *choices, const json_t *answer, const json_t *prefix,
                              zh_error *err) {
  const json_t *text = NULL;
  bool has_answer = answer && !json_is_null(answer) &&
                    !(json_is_string(answer) && json_string_length(answer) == 0),
       has_prefix = json_string_length(prefix) > 0;
  if (!json_is_string(question))
    return zh_fail(err, ZH_ERR_INPUT, "task %s: doc_to_text gives no text for an example", t->name);
  bool apart = has_prefix ? need_delimiter(question, prefix) : has_answer;
  ZH_TRY(add_turn(turns, t, "user", shared(question), apart ? t->shot_target_delimiter : "", err));
  if (!has_answer)
    return has_prefix ? add_turn(turns, t, "assistant", shared(prefix), "", err) : ZH_OK;
  ZH_TRY(answer_text(&text, t, choices, answer, err));
  return add_turn(turns, t, "assistant", delimited(has_prefix ? prefix : NULL, text, " "),
                  t->shot_delimiter, err);
}

static const zh_field *own_or(const zh_field *own, const zh_field *other) {
  return own->value ? own : other;
}

static zh_status add_example(json_t *turns, const zh_exam_task *t, const json_t *example,
                             zh_error *err) {
  json_t *question = NULL, *choices = NULL, *answer = NULL, *prefix = NULL;
  bool rendered;
  zh_status status = zh_task_text(&question, t, own_or(&t->shot_text, &t->text), example, err);
  const zh_field *choice = own_or(&t->shot_choice, &t->choice);
  if (status == ZH_OK && choice->value) status = zh_task_choices(&choices, t, choice, example, err);
  if (status == ZH_OK)
    status = zh_task_target(&answer, t, own_or(&t->shot_target, &t->target), example, err);
  if (status == ZH_OK)
    status = zh_field_value(&prefix, &rendered, t, own_or(&t->shot_gen_prefix, &t->gen_prefix),
                            example, err);
  if (status == ZH_OK && t->multiple_input)
    status = add_answered(turns, t, json_array_get(choices, (size_t)json_integer_value(question)),
                          NULL, answer, prefix, err);
  else if (status == ZH_OK)
    status = add_answered(turns, t, question, choices, answer, prefix, err);
  json_decref(question);
  json_decref(choices);
  json_decref(answer);
  json_decref(prefix);
  return status;
}

/* ---- which examples ---- */

static zh_status choose_first(uint32_t *places, const zh_exam_task *t, const json_t *doc,
                              zh_error *err) {
  size_t found = 0;
  for (size_t i = 0; i < json_array_size(t->shot_docs) && found < (size_t)t->shots; i++)
    if (!t->exclude_itself || !json_equal(json_array_get(t->shot_docs, i), doc))
      places[found++] = (uint32_t)i;
  if (found == (size_t)t->shots) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "task %s: %lld examples were asked for, and only %zu are there",
                 t->name, (long long)t->shots, found);
}

/* Of `wanted` places in `from`, those whose examples are not the item itself; at most t->shots. */
static uint32_t keep_others(uint32_t *places, const zh_exam_task *t, const json_t *doc,
                            const uint32_t *from, uint32_t wanted) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < wanted && found < (uint32_t)t->shots; i++)
    if (!t->exclude_itself || !json_equal(json_array_get(t->shot_docs, from[i]), doc))
      places[found++] = from[i];
  return found;
}

/* Where an item stands several times among its examples, and too few of those drawn are others. */
static zh_status draw_again(uint32_t *places, const zh_exam_task *t, const json_t *doc,
                            zh_python_random *r, zh_error *err) {
  size_t count = json_array_size(t->shot_docs);
  uint32_t *pool = malloc((count + 1) * sizeof *pool), others = 0;
  if (!pool) return no_memory(t, err);
  for (size_t i = 0; i < count; i++)
    if (!json_equal(json_array_get(t->shot_docs, i), doc)) pool[others++] = (uint32_t)i;
  zh_status status = zh_python_sample(places, r, others, (uint32_t)t->shots, err);
  for (int64_t i = 0; status == ZH_OK && i < t->shots; i++) places[i] = pool[places[i]];
  free(pool);
  return status;
}

/* One more is drawn where the item could be its own example. */
static zh_status draw(uint32_t *places, const zh_exam_task *t, const json_t *doc,
                      zh_python_random *r, zh_error *err) {
  uint32_t wanted = (uint32_t)t->shots + t->exclude_itself,
           count = (uint32_t)json_array_size(t->shot_docs);
  ZH_TRY(zh_python_sample(places, r, count, wanted, err));
  if (keep_others(places, t, doc, places, wanted) == (uint32_t)t->shots) return ZH_OK;
  return draw_again(places, t, doc, r, err);
}

static zh_status add_examples(json_t *turns, const zh_exam_task *t, const json_t *doc,
                              zh_python_random *r, zh_error *err) {
  if (t->shots == 0) return ZH_OK;
  uint32_t *places = malloc(((size_t)t->shots + 1) * sizeof *places);
  if (!places) return no_memory(t, err);
  zh_status status = t->first_n ? choose_first(places, t, doc, err) : draw(places, t, doc, r, err);
  for (size_t i = 0; status == ZH_OK && i < (size_t)t->shots; i++)
    status = add_example(turns, t, json_array_get(t->shot_docs, places[i]), err);
  free(places);
  return status;
}

/* ---- the whole ---- */

/* What was said to the program, then the task's description. */
static zh_status add_system(json_t *turns, const zh_exam_task *t, const json_t *doc,
                            zh_error *err) {
  json_t *description = NULL, *said = t->chat.system ? json_string(t->chat.system) : NULL, *both;
  bool rendered;
  if (json_string_length(t->description.value) > 0)
    ZH_TRY(zh_field_value(&description, &rendered, t, &t->description, doc, err));
  both = delimited(said, description, t->fewshot_delimiter);
  json_decref(said);
  json_decref(description);
  if (both && json_string_length(both) == 0) {
    json_decref(both);
    return ZH_OK;
  }
  return add_turn(turns, t, "system", both, "", err);
}

zh_status zh_turns_before(json_t **out, const zh_exam_task *t, const json_t *doc,
                          zh_python_random *r, zh_error *err) {
  *out = json_array();
  zh_status status = *out ? add_system(*out, t, doc, err) : no_memory(t, err);
  if (status == ZH_OK) status = add_examples(*out, t, doc, r, err);
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}

zh_status zh_turns_ask(json_t *turns, const zh_exam_task *t, const json_t *question,
                       const json_t *prefix, const char *delimiter, zh_error *err) {
  bool begun = json_string_length(prefix) > 0, apart = begun && need_delimiter(question, prefix);
  if (!json_is_string(question))
    return zh_fail(err, ZH_ERR_INPUT, "task %s: doc_to_text gives no text", t->name);
  ZH_TRY(add_turn(turns, t, "user", shared(question), apart ? delimiter : "", err));
  return begun ? add_turn(turns, t, "assistant", shared(prefix), "", err) : ZH_OK;
}

static const json_t *content_of(const json_t *turn) {
  return json_object_get(turn, "content");
}

static bool is_of(const json_t *turn, const char *role) {
  return strcmp(json_string_value(json_object_get(turn, "role")), role) == 0;
}

/* Turns [from, to) as one text; the last one's delimiter is left out where `bare`. New reference.
 */
static json_t *joined(const json_t *turns, size_t from, size_t to, bool bare) {
  zh_text out = {0};
  for (size_t i = from; i < to; i++) {
    const json_t *turn = json_array_get(turns, i);
    append(&out, content_of(turn));
    if (!bare || i + 1 < to) append(&out, json_object_get(turn, "delimiter"));
  }
  return zh_rewritten(&out);
}

json_t *zh_turns_plain(const json_t *turns) {
  return joined(turns, 0, json_array_size(turns), false);
}

static bool add_message(json_t *messages, const char *role, json_t *content) {
  json_t *message = content ? json_pack("{s:s, s:o}", "role", role, "content", content) : NULL;
  return message && json_array_append_new(messages, message) == 0;
}

/* As they are, or all that stands before the answer in one turn. */
static json_t *messages_of(const json_t *turns, bool multiturn) {
  size_t count = json_array_size(turns), first = is_of(json_array_get(turns, 0), "system");
  const json_t *last = json_array_get(turns, count - 1);
  bool begun = is_of(last, "assistant"), good = true;
  json_t *messages = json_array();
  for (size_t i = 0; i < count && (multiturn || i < first); i++) {
    const json_t *turn = json_array_get(turns, i);
    good &= add_message(messages, json_string_value(json_object_get(turn, "role")),
                        shared(content_of(turn)));
  }
  if (!multiturn) good &= add_message(messages, "user", joined(turns, first, count - begun, true));
  if (!multiturn && begun) good &= add_message(messages, "assistant", shared(content_of(last)));
  if (good) return messages;
  json_decref(messages);
  return NULL;
}

zh_status zh_turns_text(json_t **out, const json_t *turns, const zh_exam_task *t, zh_error *err) {
  size_t count = json_array_size(turns);
  if (!t->chat.render) {
    *out = joined(turns, 0, count, false);
    return *out ? ZH_OK : no_memory(t, err);
  }
  json_t *messages = messages_of(turns, t->chat.multiturn);
  bool begun = is_of(json_array_get(turns, count - 1), "assistant");
  *out = NULL;
  zh_status status =
      messages ? t->chat.render(out, t->chat.user, messages, begun, err) : no_memory(t, err);
  json_decref(messages);
  return status;
}
