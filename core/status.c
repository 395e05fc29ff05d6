#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

static const struct {
  const char *name, *text;
  int exit_code;
} statuses[] = {
#define ENTRY(name, text, code) {#name, text, code},
    ZH_STATUS_LIST(ENTRY)
#undef ENTRY
};

const char *zh_status_name(zh_status status) {
  return statuses[status].name;
}
const char *zh_status_text(zh_status status) {
  return statuses[status].text;
}
int zh_status_exit_code(zh_status status) {
  return statuses[status].exit_code;
}

/* Messages quote names and lines of hostile files, and end up on terminals and in JSON: what is not
 * UTF-8 or would move the cursor becomes a question mark, and a character cut in half by the
 * message's end goes. A line ends only where an indented quotation of a file follows; a file's name
 * may hold line ends, too, and the sentence must stay one. */
static void make_printable(char *message, bool cut) {
  size_t length = strlen(message);
  for (size_t at = 0; at < length;) {
    uint32_t point = 0;
    int size = zh_utf8_decode(&point, message + at, length - at);
    if (size == 0 && cut && length - at < 4 && (message[at] & 0xC0) == 0xC0) {
      message[at] = 0;
      return;
    }
    bool quotes = point == '\n' && message[at + 1] == ' ' && message[at + 2] == ' ';
    bool control = (point < 0x20 && point != '\t' && !quotes) || (point >= 0x7F && point < 0xA0);
    for (int i = 0; i < size && control; i++) message[at + (size_t)i] = '?';
    if (size == 0) message[at] = '?';
    at += size > 0 ? (size_t)size : 1;
  }
}

zh_status zh_error_set(zh_error *err, zh_status status, const char *file, int line,
                       const char *format, ...) {
  if (err == NULL || err->status != ZH_OK) return status;
  const char *slash = strrchr(file, '/');
  err->status = status;
  err->source_line = line;
  snprintf(err->source, sizeof err->source, "%s", slash ? slash + 1 : file);
  va_list args;
  va_start(args, format);
  int length = vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  make_printable(err->message, length >= (int)sizeof err->message);
  return status;
}

void zh_error_prefix(zh_error *err, const char *format, ...) {
  if (err == NULL || err->status == ZH_OK) return;
  char old[sizeof err->message];
  memcpy(old, err->message, sizeof old);
  va_list args;
  va_start(args, format);
  int used = vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  int room = (int)sizeof err->message - (used > 0 ? used : 0);
  bool cut = room <= 0;
  if (!cut) cut = snprintf(err->message + used, (size_t)room, ": %s", old) >= room;
  make_printable(err->message, cut);
}
