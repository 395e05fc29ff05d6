#include "core/status.h"

#include <stdio.h>
#include <string.h>

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

zh_status zh_error_set(zh_error *err, zh_status status, const char *file, int line,
                       const char *format, ...) {
  if (err == NULL || err->status != ZH_OK) return status;
  const char *slash = strrchr(file, '/');
  err->status = status;
  err->source_line = line;
  snprintf(err->source, sizeof err->source, "%s", slash ? slash + 1 : file);
  va_list args;
  va_start(args, format);
  vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  return status;
}

void zh_error_prefix(zh_error *err, const char *format, ...) {
  if (err == NULL || err->status == ZH_OK) return;
  char prefix[sizeof err->message], old[sizeof err->message];
  va_list args;
  va_start(args, format);
  vsnprintf(prefix, sizeof prefix, format, args);
  va_end(args);
  memcpy(old, err->message, sizeof old);
  size_t used = (size_t)snprintf(err->message, sizeof err->message, "%s", prefix);
  if (used + 2 >= sizeof err->message) return;
  strcpy(err->message + used, ": ");
  strncat(err->message, old, sizeof err->message - used - 3);
}
