#include "cli/data_score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/dataset_terms.h"
#include "bench/quality/functions_code.h"
#include "bench/quality/given_answers.h"
#include "bench/quality/results.h"
#include "cli/cli.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/files.h"
#include "core/text.h"

typedef struct scoring {
  const zh_data_score *given;
  zh_exam *exam;
  zh_requests *lists; /* [tasks] */
  zh_marks *marks;    /* [tasks] */
  json_t *document;
} scoring;

static zh_status write_files(const scoring *s, zh_error *err) {
  char time[40], path[4300];
  ZH_TRY(zh_make_dirs(s->given->out, err));
  zh_utc_now(time, sizeof time);
  for (char *c = time; *c; c++)
    if (*c == ':') *c = '-';
  for (size_t i = 0; i < s->exam->task_count; i++) {
    snprintf(path, sizeof path, "%s/samples_%s_%s.jsonl", s->given->out, s->exam->tasks[i]->name,
             time);
    ZH_TRY(
        zh_write_file(path, zh_text_string(&s->marks[i].samples), s->marks[i].samples.length, err));
  }
  snprintf(path, sizeof path, "%s/results_%s.json", s->given->out, time);
  return zh_json_write_file(s->document, path, err);
}

static zh_status score(scoring *s, zh_error *err) {
  const zh_data_score *g = s->given;
  char sm3[ZH_DIGEST_HEX];
  ZH_TRY(zh_task_words_open(&s->exam, g->words, g->words->tasks, err));
  ZH_TRY(zh_code_ready(s->exam, err));
  s->lists = calloc(s->exam->task_count, sizeof *s->lists);
  s->marks = calloc(s->exam->task_count, sizeof *s->marks);
  if (!s->lists || !s->marks) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (scores)");
  ZH_TRY(zh_answers_given(s->lists, s->exam, g->answers, err));
  for (size_t i = 0; i < s->exam->task_count; i++)
    ZH_TRY(zh_marks_make(&s->marks[i], s->exam->tasks[i], &s->lists[i], err));
  ZH_TRY(zh_exam_results(&s->document, s->exam, s->marks, err));
  ZH_TRY(zh_digest_file(sm3, ZH_SM3, g->answers, err));
  json_object_set_new(s->document, "answers",
                      json_pack("{s:s, s:s}", "path", g->answers, "sm3", sm3));
  return g->out ? write_files(s, err) : ZH_OK;
}

static void print_figures(const json_t *document) {
  const char *task, *key;
  json_t *result, *value;
  json_object_foreach(json_object_get(document, "results"), task, result) {
    json_object_foreach(result, key, value) {
      size_t length = strcspn(key, ",");
      char error[256];
      if (key[length] != ',' || strstr(key, "_stderr,")) continue;
      snprintf(error, sizeof error, "%.*s_stderr%s", (int)length, key, key + length);
      const json_t *spread = json_object_get(result, error);
      printf("%-28s %-14s %-14.*s %8.4f", task, key + length + 1, (int)length, key,
             json_number_value(value));
      if (json_is_number(spread) && json_number_value(spread) > 0)
        printf(" ± %.4f", json_number_value(spread));
      putchar('\n');
    }
  }
}

static zh_status print_terms(const json_t *datasets, zh_error *err) {
  json_t *said;
  ZH_TRY(zh_terms_said(&said, datasets, err));
  for (size_t i = 0; i < json_array_size(said); i++)
    printf("%s\n", json_string_value(json_object_get(json_array_get(said, i), zh_cli_language())));
  json_decref(said);
  return ZH_OK;
}

static void release(scoring *s) {
  for (size_t i = 0; s->exam && i < s->exam->task_count; i++) {
    if (s->lists) zh_requests_free(&s->lists[i]);
    if (s->marks) zh_marks_free(&s->marks[i]);
  }
  free(s->lists);
  free(s->marks);
  zh_exam_free(s->exam);
}

int zh_cli_data_score(const zh_data_score *given) {
  scoring s = {.given = given};
  zh_error err = ZH_ERROR_INIT;
  zh_status status = score(&s, &err);
  release(&s);
  if (status != ZH_OK) {
    json_decref(s.document);
    return zh_cli_fail(&err, given->json);
  }
  if (given->json) return zh_cli_print_json(s.document);
  print_figures(s.document);
  status = print_terms(json_object_get(s.document, "datasets"), &err);
  json_decref(s.document);
  return status == ZH_OK ? zh_cli_flush() : zh_cli_fail(&err, given->json);
}
