/* What `zhiheng data check` found, in words and as a table. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "reports/glossary.h"
#include "reports/paper.h"
#include "reports/reports.h"

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static long long count_of(const json_t *object, const char *key) {
  return (long long)json_integer_value(json_object_get(object, key));
}

zh_status zh_data_check_explain(json_t *report, zh_error *err) {
  static const char *const languages[] = {"zh", "en"};
  for (size_t l = 0; l < sizeof languages / sizeof *languages; l++) {
    json_t *words, *finding;
    size_t i;
    ZH_TRY(zh_glossary_load(&words, languages[l], err));
    json_array_foreach(json_object_get(report, "findings"), i, finding) {
      json_t *what = json_object_get(finding, "what");
      if (what == NULL) json_object_set_new(finding, "what", what = json_object());
      json_object_set_new(what, languages[l],
                          zh_glossary_word(words, "data_check", text_of(finding, "check")));
    }
    json_decref(words);
  }
  return ZH_OK;
}

/* "0, 7, 12 …" */
static void list_items(zh_text *out, const json_t *finding) {
  const json_t *items = json_object_get(finding, "items");
  size_t shown = json_array_size(items);
  for (size_t i = 0; i < shown; i++)
    zh_text_printf(out, "%s%lld", i == 0 ? "" : ", ",
                   (long long)json_integer_value(json_array_get(items, i)));
  if (shown > 0 && (size_t)count_of(finding, "count") > shown) zh_text_puts(out, " …");
}

static void put_finding(zh_paper *p, const json_t *finding) {
  zh_text items = {0};
  char count[32];
  snprintf(count, sizeof count, "%lld", count_of(finding, "count"));
  list_items(&items, finding);
  zh_paper_row(p);
  zh_paper_cell(p, zh_paper_word(p, text_of(finding, "severity")));
  zh_paper_cell(p, text_of(finding, "check"));
  zh_paper_cell(p, count);
  zh_paper_cell(p, text_of(json_object_get(finding, "what"), p->language));
  zh_paper_cell(p, zh_text_string(&items));
  zh_text_free(&items);
}

static void put_cause(zh_paper *p, const json_t *finding) {
  const char *cause = text_of(finding, "cause");
  if (cause[0] == '\0') return;
  zh_text said = {0};
  zh_text_puts(&said, zh_paper_word_of(p, "cause %lld",
                                       (long long)json_integer_value(
                                           json_array_get(json_object_get(finding, "items"), 0))));
  zh_text_puts(&said, cause);
  zh_paper_sentence(p, zh_text_string(&said));
  zh_text_free(&said);
}

static void put_task(zh_paper *p, const json_t *task) {
  const json_t *findings = json_object_get(task, "findings"), *finding;
  zh_text heading = {0};
  size_t i;
  zh_text_printf(&heading, "%s%s%s%s", text_of(task, "task"), zh_paper_word(p, "colon"),
                 zh_paper_word_of(p, "items %lld", count_of(task, "items")),
                 json_array_size(findings) == 0 ? zh_paper_word(p, "nothing") : "");
  zh_paper_section(p, zh_text_string(&heading));
  zh_text_free(&heading);
  if (json_array_size(findings) == 0) return;
  zh_paper_table(p, "ttntt", "severity|finding|count|what|where");
  json_array_foreach(findings, i, finding) {
    put_finding(p, finding);
    put_cause(p, finding);
  }
}

zh_status zh_data_check_page(char **out, const json_t *document, const char *language,
                             zh_error *err) {
  zh_paper p;
  const json_t *task;
  size_t i;
  *out = NULL;
  zh_status status = zh_paper_begin(&p, "data_check", language, err);
  if (status == ZH_OK) {
    json_array_foreach(json_object_get(document, "tasks"), i, task) put_task(&p, task);
    status = zh_paper_terminal(out, &p, err);
  }
  zh_paper_clear(&p);
  return status;
}
