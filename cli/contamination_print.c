/* What `zhiheng contamination` says, and the table that it writes. */
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/contamination.h"
#include "core/csv.h"
#include "core/files.h"
#include "evaluator/words.h"

enum { FIGURE = 32 };

typedef struct figure {
  char text[FIGURE];
} figure;

static figure whole(const json_t *part, const char *key) {
  figure f;
  snprintf(f.text, sizeof f.text, "%lld",
           (long long)json_integer_value(json_object_get(part, key)));
  return f;
}

static figure number(const json_t *part, const char *key, const char *format)
    __attribute__((format(printf, 3, 0)));

static figure number(const json_t *part, const char *key, const char *format) {
  figure f;
  snprintf(f.text, sizeof f.text, format, json_number_value(json_object_get(part, key)));
  return f;
}

/* Names and values up to NULL, as zh_phrase_of takes them. */
static void say(const zh_words *words, zh_word word, ...) {
  va_list pairs;
  va_start(pairs, word);
  json_t *phrase = zh_phrase_of(zh_word_of(words, word), pairs);
  va_end(pairs);
  const char *text = json_string_value(json_object_get(phrase, zh_cli_language()));
  printf("%s\n", text != NULL ? text : "");
  json_decref(phrase);
}

/* "p = 0.01", or that nothing can be said. */
static figure chance(const zh_words *words, const json_t *part) {
  const json_t *p = json_object_get(part, "p_holm");
  const zh_phrase *open = zh_word_of(words, ZH_WORD_contamination_open);
  figure f;
  if (json_is_number(p))
    snprintf(f.text, sizeof f.text, "p = %.2g", json_number_value(p));
  else
    snprintf(f.text, sizeof f.text, "%s", zh_cli_language()[0] == 'z' ? open->zh : open->en);
  return f;
}

static void say_least(const zh_words *words, const json_t *least) {
  figure mean = number(least, "mean", "%.3f");
  if (json_integer_value(json_object_get(least, "reference_items")) == 0) {
    say(words, ZH_WORD_contamination_least_alone, "value", mean.text, NULL);
    return;
  }
  say(words, ZH_WORD_contamination_least, "value", mean.text, "other",
      number(least, "reference_mean", "%.3f").text, "share", number(least, "auc", "%.3f").text, "p",
      chance(words, least).text, "count", whole(least, "flagged").text, NULL);
}

static void say_task(const zh_words *words, const json_t *task) {
  const json_t *overlap = json_object_get(task, "overlap"), *order = json_object_get(task, "order"),
               *options = json_object_get(task, "options"), *least = json_object_get(task, "least");
  bool all = json_is_true(json_object_get(task, "listed_whole"));
  figure listed;
  snprintf(listed.text, sizeof listed.text, "%zu",
           json_array_size(json_object_get(task, "listed")));
  say(words, all ? ZH_WORD_contamination_task_whole : ZH_WORD_contamination_task, "task",
      json_string_value(json_object_get(task, "task")), "items", whole(task, "items").text, "count",
      listed.text, NULL);
  if (overlap)
    say(words, ZH_WORD_contamination_overlap, "count", whole(overlap, "not_clean").text, "used",
        whole(overlap, "dirty").text, "missing", whole(overlap, "too_short").text, NULL);
  if (order)
    say(words, ZH_WORD_contamination_order, "rows", whole(order, "rows").text, "difference",
        number(order, "difference", "%.2f").text, "p", chance(words, order).text, NULL);
  if (options)
    say(words, ZH_WORD_contamination_options, "count", whole(options, "first").text, "items",
        whole(options, "items").text, "needed", number(options, "expected", "%.1f").text, "p",
        chance(words, options).text, NULL);
  if (least) say_least(words, least);
}

zh_status zh_search_write(const json_t *result, const char *path, zh_error *err) {
  zh_text out = {0};
  zh_text_puts(&out, "task,item\n");
  const json_t *tasks = json_object_get(result, "tasks");
  for (size_t t = 0; t < json_array_size(tasks); t++) {
    const json_t *task = json_array_get(tasks, t), *listed = json_object_get(task, "listed");
    for (size_t i = 0; i < json_array_size(listed); i++) {
      zh_csv_put(&out, json_string_value(json_object_get(task, "task")));
      zh_text_puts(&out, ",");
      zh_csv_put(&out, json_string_value(json_object_get(json_array_get(listed, i), "item")));
      zh_text_puts(&out, "\n");
    }
  }
  zh_status status = out.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (table)")
                                : zh_write_file(path, zh_text_string(&out), out.length, err);
  zh_text_free(&out);
  return status;
}

zh_status zh_search_print(const json_t *result, zh_error *err) {
  const json_t *tasks = json_object_get(result, "tasks"),
               *corpus = json_object_get(result, "corpus");
  zh_words *words;
  ZH_TRY(zh_words_load(&words, err));
  if (corpus)
    say(words, ZH_WORD_contamination_corpus, "count", whole(corpus, "documents").text, "words",
        whole(corpus, "words").text, "total", whole(corpus, "bytes").text, NULL);
  for (size_t i = 0; i < json_array_size(tasks); i++) say_task(words, json_array_get(tasks, i));
  zh_words_free(words);
  return ZH_OK;
}
