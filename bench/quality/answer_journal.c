#include "bench/quality/answer_journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/files.h"
#include "core/text.h"

enum { JOURNAL_BYTES = 1 << 30 };

struct zh_answer_journal {
  FILE *file;
  char *path;
};

static zh_status fail_to_write(const zh_answer_journal *j, zh_error *err) {
  return zh_fail(err, ZH_ERR_IO, "%s cannot be written: %s", j->path, strerror(errno));
}

typedef struct reading {
  const char *path, *plan;
  zh_requests *lists;
  bool **done;
  size_t tasks;
} reading;

/* Bits, not digits. */
static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static zh_status read_line(const reading *r, size_t line, const json_t *value, zh_error *err) {
  const char *plan = json_string_value(json_object_get(value, "plan"));
  if (line == 1) {
    if (plan && strcmp(plan, r->plan) == 0) return ZH_OK;
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s has answers of another evaluation (other tasks, items, model or way of "
                   "computing); remove it, or name another folder with --out",
                   r->path);
  }
  json_int_t task = json_integer_value(json_object_get(value, "task")),
             number = json_integer_value(json_object_get(value, "request"));
  const char *bits = json_string_value(json_object_get(value, "bits"));
  json_t *text = json_object_get(value, "text");
  bool known = task >= 0 && (size_t)task < r->tasks && number >= 0 &&
               (size_t)number < r->lists[task].count && (bits || json_is_string(text));
  if (!known) return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: not an answer", r->path, line);
  zh_request *request = &r->lists[task].at[number];
  if (bits) {
    uint64_t pattern = strtoull(bits, NULL, 16);
    memcpy(&request->logprob, &pattern, sizeof pattern);
    request->greedy = json_is_true(json_object_get(value, "greedy"));
  } else {
    json_decref(request->text);
    request->text = json_incref(text);
  }
  r->done[task][number] = true;
  return ZH_OK;
}

/* *whole: bytes of the lines that have an end. */
static zh_status read_lines(size_t *whole, const reading *r, zh_error *err) {
  char *text;
  size_t length, line = 0;
  *whole = 0;
  ZH_TRY(zh_read_file(&text, &length, r->path, JOURNAL_BYTES, err));
  zh_status status = ZH_OK;
  for (size_t at = 0; status == ZH_OK && at < length;) {
    const char *end = memchr(text + at, '\n', length - at);
    if (!end) break;
    size_t size = (size_t)(end - text) - at;
    json_t *value;
    line++;
    status = zh_json_load_text(&value, text + at, size, r->path, err);
    if (status == ZH_OK) status = read_line(r, line, value, err);
    json_decref(value);
    at += size + 1;
    *whole = at;
  }
  free(text);
  return status;
}

zh_status zh_answer_journal_open(zh_answer_journal **out, const char *path, const char *plan,
                                 uint64_t seed, zh_requests *lists, bool **done, size_t tasks,
                                 zh_error *err) {
  reading r = {path, plan, lists, done, tasks};
  size_t whole = 0;
  *out = NULL;
  bool there = zh_is_file(path);
  if (there) ZH_TRY(read_lines(&whole, &r, err));
  if (there && truncate(path, (off_t)whole) != 0)
    return zh_fail(err, ZH_ERR_IO, "%s cannot be written: %s", path, strerror(errno));
  zh_answer_journal *j = calloc(1, sizeof *j);
  if (j) j->path = strdup(path);
  if (!j || !j->path) {
    free(j);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", path);
  }
  j->file = fopen(path, "a");
  zh_status status = j->file ? ZH_OK : fail_to_write(j, err);
  if (status == ZH_OK && whole == 0 &&
      fprintf(j->file, "{\"plan\":\"%s\",\"seed\":%" PRIu64 "}\n", plan, seed) < 0)
    status = fail_to_write(j, err);
  if (status != ZH_OK) {
    zh_answer_journal_close(j);
    return status;
  }
  *out = j;
  return ZH_OK;
}

zh_status zh_answer_journal_add(zh_answer_journal *j, size_t task, size_t number,
                                const zh_request *r, zh_error *err) {
  int wrote;
  if (!j) return ZH_OK;
  if (r->text) {
    char *line;
    json_t *value = json_pack("{s:I, s:I, s:O}", "task", (json_int_t)task, "request",
                              (json_int_t)number, "text", r->text);
    zh_status status = zh_json_dump_line(&line, value, err);
    json_decref(value);
    ZH_TRY(status);
    wrote = fprintf(j->file, "%s\n", line);
    free(line);
  } else {
    wrote = fprintf(j->file,
                    "{\"task\":%zu,\"request\":%zu,\"bits\":\"%016" PRIx64 "\",\"greedy\":%s}\n",
                    task, number, bits_of(r->logprob), r->greedy ? "true" : "false");
  }
  return wrote < 0 ? fail_to_write(j, err) : ZH_OK;
}

zh_status zh_answer_journal_flush(zh_answer_journal *j, zh_error *err) {
  return !j || fflush(j->file) == 0 ? ZH_OK : fail_to_write(j, err);
}

bool zh_answer_journal_seed(uint64_t *out, const char *path) {
  char line[512];
  FILE *file = fopen(path, "r");
  bool read = file && fgets(line, sizeof line, file);
  if (file) fclose(file);
  const char *seed = read ? strstr(line, "\"seed\":") : NULL;
  if (!seed) return false;
  *out = strtoull(seed + strlen("\"seed\":"), NULL, 10);
  return true;
}

void zh_answer_journal_close(zh_answer_journal *j) {
  if (!j) return;
  if (j->file) fclose(j->file);
  free(j->path);
  free(j);
}
