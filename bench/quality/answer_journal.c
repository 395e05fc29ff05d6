#include "bench/quality/answer_journal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/files.h"

static const size_t JOURNAL_BYTES = (size_t)1 << 32;

/* ---- lines ---- */

zh_status zh_answer_line(zh_text *out, size_t task, size_t number, const zh_request *r,
                         zh_error *err) {
  if (r->text) {
    char *line;
    json_t *value = json_pack("{s:I, s:I, s:O}", "task", (json_int_t)task, "request",
                              (json_int_t)number, "text", r->text);
    zh_status status = zh_json_dump_line(&line, value, err);
    json_decref(value);
    ZH_TRY(status);
    zh_text_printf(out, "%s\n", line);
    free(line);
  } else {
    uint64_t bits; /* bits, not digits */
    memcpy(&bits, &r->logprob, sizeof bits);
    zh_text_printf(out,
                   "{\"task\":%zu,\"request\":%zu,\"bits\":\"%016" PRIx64 "\",\"greedy\":%s}\n",
                   task, number, bits, r->greedy ? "true" : "false");
  }
  return out->failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers)") : ZH_OK;
}

static zh_status take(const zh_answer_sheet *into, const json_t *value, const char *where,
                      size_t line, zh_error *err) {
  json_int_t task = json_integer_value(json_object_get(value, "task")),
             number = json_integer_value(json_object_get(value, "request"));
  const char *bits = json_string_value(json_object_get(value, "bits"));
  json_t *text = json_object_get(value, "text");
  bool known = task >= 0 && (size_t)task < into->tasks && number >= 0 &&
               (size_t)number < into->lists[task].count && (bits || json_is_string(text));
  if (!known) return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: not an answer", where, line);
  zh_request *request = &into->lists[task].at[number];
  if (bits) {
    uint64_t pattern = strtoull(bits, NULL, 16);
    memcpy(&request->logprob, &pattern, sizeof pattern);
    request->greedy = json_is_true(json_object_get(value, "greedy"));
  } else {
    json_decref(request->text);
    request->text = json_incref(text);
  }
  into->done[task][number] = true;
  return ZH_OK;
}

zh_status zh_answer_lines_read(const zh_answer_sheet *into, const char *lines, size_t length,
                               const char *where, zh_error *err) {
  size_t line = 0;
  for (const char *at = lines, *end; at < lines + length; at = end + 1) {
    json_t *value;
    end = memchr(at, '\n', (size_t)(lines + length - at));
    if (!end) return zh_fail(err, ZH_ERR_INPUT, "%s: the last answer is cut off", where);
    ZH_TRY(zh_json_load_text(&value, at, (size_t)(end - at), where, err));
    zh_status status = take(into, value, where, ++line, err);
    json_decref(value);
    ZH_TRY(status);
  }
  return ZH_OK;
}

/* ---- files ---- */

static zh_status check_plan(const char *head, size_t length, const char *plan, const char *path,
                            zh_error *err) {
  json_t *value;
  ZH_TRY(zh_json_load_text(&value, head, length, path, err));
  const char *said = json_string_value(json_object_get(value, "plan"));
  bool same = said && strcmp(said, plan) == 0;
  json_decref(value);
  if (same) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s has answers of another evaluation (other tasks, items, model or way of "
                 "computing); remove it, or name another folder with --out",
                 path);
}

/* *whole: bytes of the lines that have an end; the first line is of this plan. */
static zh_status read_journal(char **text, size_t *whole, const char *path, const char *plan,
                              zh_error *err) {
  size_t length;
  ZH_TRY(zh_read_file(text, &length, path, JOURNAL_BYTES, err));
  while (length > 0 && (*text)[length - 1] != '\n') length--;
  *whole = length;
  if (length == 0) return ZH_OK;
  size_t head = (size_t)((char *)memchr(*text, '\n', length) - *text);
  zh_status status = check_plan(*text, head, plan, path, err);
  if (status != ZH_OK) free(*text);
  return status;
}

zh_status zh_answer_journals_read(zh_text *lines, const char *folder, const char *plan,
                                  zh_error *err) {
  zh_file_list files;
  ZH_TRY(zh_list_files(&files, folder, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    char path[PATH_MAX], *text;
    size_t whole;
    if (strncmp(files.paths[i], ZH_ANSWERS_PREFIX, strlen(ZH_ANSWERS_PREFIX)) != 0) continue;
    snprintf(path, sizeof path, "%.4000s/%.80s", folder, files.paths[i]);
    status = read_journal(&text, &whole, path, plan, err);
    if (status != ZH_OK) break;
    const char *end = whole > 0 ? memchr(text, '\n', whole) : NULL;
    if (end) zh_text_append(lines, end + 1, whole - (size_t)(end + 1 - text));
    free(text);
  }
  zh_file_list_free(&files);
  if (status == ZH_OK && lines->failed)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers that were kept)");
  return status;
}

struct zh_answer_journal {
  FILE *file;
  char path[PATH_MAX];
  zh_text line;
};

static zh_status fail_to_write(const zh_answer_journal *j, zh_error *err) {
  return zh_fail(err, ZH_ERR_IO, "%s cannot be written: %s", j->path, strerror(errno));
}

/* Behind the last whole line; a new file gets its head. */
static zh_status go_on(zh_answer_journal *j, const char *plan, zh_error *err) {
  size_t whole = 0;
  if (zh_is_file(j->path)) {
    char *text;
    ZH_TRY(read_journal(&text, &whole, j->path, plan, err));
    free(text);
    if (truncate(j->path, (off_t)whole) != 0) return fail_to_write(j, err);
  }
  j->file = fopen(j->path, "a");
  if (!j->file) return fail_to_write(j, err);
  if (whole > 0) return ZH_OK;
  bool wrote = fprintf(j->file, "{\"plan\":\"%s\"}\n", plan) > 0 && fflush(j->file) == 0;
  return wrote ? ZH_OK : fail_to_write(j, err);
}

zh_status zh_answer_journal_open(zh_answer_journal **out, const char *folder, int rank,
                                 const char *plan, zh_error *err) {
  zh_answer_journal *j = calloc(1, sizeof *j);
  *out = NULL;
  if (!j) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers)");
  snprintf(j->path, sizeof j->path, "%.4000s/" ZH_ANSWERS_PREFIX "%d.jsonl", folder, rank);
  zh_status status = go_on(j, plan, err);
  if (status != ZH_OK) {
    zh_answer_journal_close(j);
    return status;
  }
  *out = j;
  return ZH_OK;
}

/* One write a line, so that a line is there whole or, at the end of the file, cut off. */
zh_status zh_answer_journal_add(zh_answer_journal *j, size_t task, size_t number,
                                const zh_request *r, zh_error *err) {
  j->line.length = 0;
  ZH_TRY(zh_answer_line(&j->line, task, number, r, err));
  bool wrote = fwrite(j->line.data, 1, j->line.length, j->file) == j->line.length;
  return wrote && fflush(j->file) == 0 ? ZH_OK : fail_to_write(j, err);
}

void zh_answer_journal_close(zh_answer_journal *j) {
  if (!j) return;
  if (j->file) fclose(j->file);
  zh_text_free(&j->line);
  free(j);
}
