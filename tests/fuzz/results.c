/* A folder of an evaluation, its results and, behind the first NUL byte, the samples of task `t`,
 * beside a table of the same task: up to what differs between their conditions. */
#include <string.h>
#include <sys/stat.h>

#include "core/files.h"
#include "evaluator/compare/parts.h"
#include "fuzz.h"

static const char table[] = "item,cluster,task,modality,score\n0,,t,text,1\n1,,t,text,0\n";

static char folder[512];

static void must(zh_status status, const zh_error *err) {
  if (status == ZH_OK) return;
  fprintf(stderr, "fuzz: %s\n", err->message);
  abort();
}

static void put(const char *name, const void *bytes, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  char path[600];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  must(zh_write_file(path, bytes, size, &err), &err);
}

static void remove_folder(void) {
  if (zh_remove_tree(folder, NULL) != ZH_OK) perror(folder);
}

static void make_folder(void) {
  const char *temporary = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/results.XXXXXX", temporary != NULL ? temporary : "/tmp");
  if (mkdtemp(folder) == NULL || atexit(remove_folder) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static zh_words *words;
  static zh_threads *threads;
  zh_error err = ZH_ERROR_INIT;
  if (words == NULL) must(zh_words_load(&words, &err), &err);
  if (threads == NULL) must(zh_threads_create(&threads, 1, NULL, &err), &err);
  if (folder[0] == 0) make_folder();
  if (size > 65536) return 0;
  const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
  size_t length = end != NULL ? (size_t)(end - data) : size;
  put("results_1.json", data, length);
  put("samples_t_1.jsonl", end != NULL ? end + 1 : data, end != NULL ? size - length - 1 : 0);
  zh_entrants entrants = {.words = words};
  const char *const inputs[] = {folder, fuzz_file((const uint8_t *)table, sizeof table - 1)};
  const zh_contest_options how = {
      .alpha = 0.05, .against = -1, .replicates = 100, .seed = 1, .threads = threads};
  zh_contest contest = {0};
  json_t *protocol = NULL;
  zh_status status = zh_entrants_open(&entrants, inputs, 2, &err);
  if (status == ZH_OK) status = zh_contest_hold(&contest, &entrants, &how, &err);
  if (status == ZH_OK) status = zh_compare_protocol(&protocol, &entrants, &contest, &err);
  if ((status == ZH_OK) != (err.message[0] == 0)) abort();
  json_decref(protocol);
  zh_contest_clear(&contest);
  zh_entrants_clear(&entrants);
  return 0;
}
