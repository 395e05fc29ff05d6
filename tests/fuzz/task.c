/* A task file with items of its own choosing left out: templates, filters and scores over rows that
 * are always the same, and an answer, which stands behind the last NUL byte. No model. */
#include <string.h>

#include "bench/quality/data_check.h"
#include "bench/quality/functions_code.h"
#include "fuzz.h"

static const char rows[] =
    "[{\"question\":\"What is 6 x 7? \",\"choices\":[\"41\",\"42\"],\"answer\":1,\"text\":\"It is "
    "42.\","
    "\"target\":\"42\",\"A\":\"x\",\"B\":\"y\",\"n\":null,\"more\":{\"a\":[1,2.5]}},"
    "{\"question\":\"\xE4\xB8\x80\xE5\x8A\xA0\xE4\xB8\x80\",\"choices\":[\"\xE4\xBA\x8C\",\"\"],"
    "\"answer\":0,\"text\":\"\xE6\x98\xAF\xE4\xBA\x8C\xE3\x80\x82\",\"target\":\"#### "
    "2\",\"A\":\"\","
    "\"B\":\"y\",\"n\":null,\"more\":{\"a\":[]}}]";

static const char *rows_path(void) {
  static char path[64];
  if (path[0] == 0) {
    int fd = memfd_create("rows", MFD_CLOEXEC);
    if (fd < 0 || write(fd, rows, sizeof rows - 1) != (ssize_t)sizeof rows - 1) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  }
  return path;
}

/* Wherever the file would have its items from, these are they. */
static void take_own_rows(json_t *config) {
  json_object_set_new(config, "dataset_path", json_string("json"));
  json_object_set_new(config, "dataset_kwargs",
                      json_pack("{s:{s:s}}", "data_files", "test", rows_path()));
  json_object_set_new(config, "test_split", json_string("test"));
  json_object_set_new(config, "fewshot_split", json_string("test"));
}

/* Requests of one item, from `first`; returns how many. */
static size_t score_item(const zh_exam_task *task, const zh_requests *list, size_t first) {
  size_t count = 1;
  const zh_request *r = &list->at[first];
  while (first + count < list->count && r[count].doc == r->doc) count++;
  for (size_t c = 0; c < task->chain_count; c++) {
    zh_error err = ZH_ERROR_INIT;
    json_t *filtered = NULL, *scores = NULL;
    zh_status status = zh_filter_apply(&filtered, &task->chains[c], task, r, count, &err);
    if (status == ZH_OK)
      status = zh_score_item(&scores, task, json_array_get(task->docs, r->doc), r, count, filtered,
                             &err);
    if ((status == ZH_OK) != (scores != NULL) || (status == ZH_OK) != (err.message[0] == 0))
      abort();
    json_decref(filtered);
    json_decref(scores);
  }
  return count;
}

static void score(zh_exam_task *task, const char *answer, size_t length) {
  zh_error err = ZH_ERROR_INIT;
  zh_requests list = {0};
  if (zh_task_requests(&list, task, &err) == ZH_OK) {
    for (size_t i = 0; i < list.count; i++) {
      list.at[i].logprob = -0.5 * (double)(i % 7);
      list.at[i].greedy = i % 2;
      if (task->output == ZH_OUTPUT_GENERATE) list.at[i].text = json_stringn(answer, length);
      if (task->output == ZH_OUTPUT_GENERATE && !list.at[i].text)
        list.at[i].text = json_string("4");
    }
    for (size_t i = 0; i < list.count;) i += score_item(task, &list, i);
  } else if (err.message[0] == 0) {
    abort();
  }
  zh_requests_free(&list);
}

static void check(const zh_exam_task *task) {
  zh_error err = ZH_ERROR_INIT;
  json_t *report = NULL;
  if (zh_data_check(&report, task, &err) != ZH_OK) abort(); /* whatever is wrong is a finding */
  json_decref(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const zh_task_options options = {.shots = -1};
  const uint8_t *end = size > 0 ? memrchr(data, 0, size) : NULL;
  size_t length = end ? (size_t)(end - data) : size;
  zh_error err = ZH_ERROR_INIT;
  zh_task_file file;
  zh_exam_task *task = NULL;
  if (zh_task_file_load(&file, fuzz_file(data, length), &err) != ZH_OK) {
    if (err.message[0] == 0) abort();
    return 0;
  }
  take_own_rows(file.config);
  zh_status status = zh_task_create(&task, &file, file.config, "fuzz", &options, &err);
  if ((status == ZH_OK) != (task != NULL) || (status == ZH_OK) != (err.message[0] == 0)) abort();
  if (task && !zh_code_task(task)) { /* nothing that an answer says is run */
    score(task, end ? (const char *)end + 1 : "", end ? size - length - 1 : 0);
    check(task);
  }
  zh_task_free(task);
  zh_task_file_close(&file);
  return 0;
}
