/* Sentences of a decision, with their figures. */
#include <stdarg.h>
#include <stdio.h>

#include "evaluator/leading/decide.h"

const char *const zh_standing_names[ZH_STANDINGS] = {"insufficient", "not_leading", "leading",
                                                     "tied"};
const zh_word zh_standing_words[ZH_STANDINGS] = {ZH_WORD_leading_insufficient,
                                                 ZH_WORD_leading_not_leading,
                                                 ZH_WORD_leading_leading, ZH_WORD_leading_tied};

json_t *zh_say(const zh_words *words, const char *rule, zh_word word, ...) {
  va_list list;
  va_start(list, word);
  json_t *sentence = zh_phrase_of(zh_word_of(words, word), list);
  va_end(list);
  json_t *entry = json_pack("{s:s}", "rule", rule);
  json_object_update(entry, sentence);
  json_decref(sentence);
  return entry;
}

zh_figure zh_points(const zh_matter *matter, double difference) {
  zh_figure figure;
  snprintf(figure.text, sizeof figure.text, "%.2f", difference * matter->scale);
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
