/* Sentences of a decision, with their figures. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "evaluator/leading/decide.h"

const char *const zh_standing_names[ZH_STANDINGS] = {"insufficient", "not_leading", "leading",
                                                     "tied"};
const zh_word zh_standing_words[ZH_STANDINGS] = {ZH_WORD_leading_insufficient,
                                                 ZH_WORD_leading_not_leading,
                                                 ZH_WORD_leading_leading, ZH_WORD_leading_tied};

static json_t *with_rule(const char *rule, json_t *sentence) {
  json_t *entry = json_pack("{s:s}", "rule", rule);
  json_object_update(entry, sentence);
  json_decref(sentence);
  return entry;
}

static json_t *say(const zh_words *words, const zh_slot *unit, const char *rule, zh_word word,
                   va_list pairs) {
  zh_slot slots[ZH_SLOTS_MAX];
  size_t count = 0;
  if (unit != NULL) slots[count++] = *unit;
  for (const char *name; count < ZH_SLOTS_MAX && (name = va_arg(pairs, const char *)) != NULL;) {
    const char *value = va_arg(pairs, const char *);
    slots[count++] = (zh_slot){name, value, value};
  }
  return with_rule(rule, zh_phrase_json(zh_word_of(words, word), slots, count));
}

json_t *zh_say(const zh_words *words, const char *rule, zh_word word, ...) {
  va_list pairs;
  va_start(pairs, word);
  json_t *entry = say(words, NULL, rule, word, pairs);
  va_end(pairs);
  return entry;
}

json_t *zh_say_in(const zh_words *words, bool shares, const char *rule, zh_word word, ...) {
  const zh_phrase *points = zh_word_of(words, ZH_WORD_leading_points);
  const zh_slot unit = {"unit", shares ? points->zh : "", shares ? points->en : ""};
  va_list pairs;
  va_start(pairs, word);
  json_t *entry = say(words, &unit, rule, word, pairs);
  va_end(pairs);
  return entry;
}

zh_figure zh_points(bool shares, double difference) {
  zh_figure figure;
  if (shares)
    snprintf(figure.text, sizeof figure.text, "%.2f", difference * 100);
  else
    snprintf(figure.text, sizeof figure.text, "%.4g", difference);
  return figure;
}

zh_figure zh_p_text(double p) {
  zh_figure figure;
  if (p < 1e-4)
    snprintf(figure.text, sizeof figure.text, "< 0.0001");
  else
    snprintf(figure.text, sizeof figure.text, "= %.4f", p);
  return figure;
}

zh_figure zh_count_text(size_t count) {
  zh_figure figure;
  snprintf(figure.text, sizeof figure.text, "%zu", count);
  return figure;
}
