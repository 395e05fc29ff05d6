#include "bench/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/files.h"

static const size_t JOURNAL_BYTES_MAX = (size_t)64 << 20;

zh_status zh_journal_add(const zh_journal *journal, const char *event, json_t *details,
                         zh_error *err) {
  char utc[32];
  char *line = NULL;
  zh_utc_now(utc, sizeof utc);
  json_t *entry =
      json_pack("{s:s,s:s,s:s}", "utc", utc, "event", event, "plan_sm3", journal->plan_sm3);
  if (entry && details) json_object_update(entry, details);
  json_decref(details);
  if (!entry) return zh_fail(err, ZH_ERR_MEMORY, "out of memory while writing the journal");
  zh_status status = zh_json_dump_line(&line, entry, err);
  if (status == ZH_OK) status = zh_append_line(journal->path, line, err);
  free(line);
  json_decref(entry);
  return status;
}

typedef struct reading {
  const zh_journal *journal;
  json_t *lines;
} reading;

static zh_status visit(reading *r, size_t line, const char *text, size_t length, zh_error *err) {
  json_t *value = NULL;
  const char *sm3 = NULL, *event = NULL;
  char where[4200];
  snprintf(where, sizeof where, "%s:%zu", r->journal->path, line);
  ZH_TRY(zh_json_load_text(&value, text, length, where, err));
  zh_status status = zh_json_string(&sm3, value, "plan_sm3", where, err);
  if (status == ZH_OK) status = zh_json_string(&event, value, "event", where, err);
  if (status == ZH_OK && strcmp(sm3, r->journal->plan_sm3) != 0)
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s belongs to another plan (%.12s…, wanted %.12s…); it cannot be resumed",
                     where, sm3, r->journal->plan_sm3);
  if (status == ZH_OK && json_array_append(r->lines, value) != 0)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  json_decref(value);
  return status;
}

zh_status zh_journal_read(json_t **out, const zh_journal *journal, zh_error *err) {
  char *text = NULL;
  size_t length = 0, number = 0;
  *out = NULL;
  ZH_TRY(zh_read_file(&text, &length, journal->path, JOURNAL_BYTES_MAX, err));
  reading r = {journal, json_array()};
  zh_status status = ZH_OK;
  size_t begin = 0;
  while (status == ZH_OK && begin < length) {
    const char *newline = memchr(text + begin, '\n', length - begin);
    if (!newline) break;
    size_t bytes = (size_t)(newline - text) - begin;
    number++;
    if (bytes > 0) status = visit(&r, number, text + begin, bytes, err);
    begin += bytes + 1;
  }
  if (status == ZH_OK && begin < length && truncate(journal->path, (off_t)begin) != 0)
    status =
        zh_fail(err, ZH_ERR_IO, "cannot mend the end of %s: %s", journal->path, strerror(errno));
  free(text);
  if (status != ZH_OK) {
    json_decref(r.lines);
    return status;
  }
  *out = r.lines;
  return ZH_OK;
}
