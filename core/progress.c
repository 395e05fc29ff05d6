#include "core/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
  bool quiet, line_open; /* line_open: the terminal's last line is ours to overwrite */
  char step[160];
} progress;

static bool on_terminal(void) {
  const char *term = getenv("TERM");
  return isatty(STDERR_FILENO) && !(term != NULL && strcmp(term, "dumb") == 0);
}

bool zh_colour_allowed(int fd) {
  const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
  if (none != NULL && none[0] != 0) return false;
  return isatty(fd) && !(term != NULL && strcmp(term, "dumb") == 0);
}

static const char *colour(const char *sequence) {
  return zh_colour_allowed(STDERR_FILENO) ? sequence : "";
}

void zh_progress_quiet(bool quiet) {
  progress.quiet = quiet;
}

/* Erases the moving line, so that whatever follows starts at column one. */
static void clear_line(void) {
  if (progress.line_open) fputs("\r\033[K", stderr);
  progress.line_open = false;
}

void zh_progress_step(int step, int steps, const char *format, ...) {
  char name[128];
  va_list args;
  va_start(args, format);
  vsnprintf(name, sizeof name, format, args);
  va_end(args);
  snprintf(progress.step, sizeof progress.step, "[%d/%d] %s", step, steps, name);
  if (progress.quiet) return;
  clear_line();
  if (!on_terminal()) return;
  fprintf(stderr, "%s", progress.step);
  progress.line_open = true;
  fflush(stderr);
}

void zh_progress_detail(const char *format, ...) {
  char detail[128];
  if (progress.quiet || !on_terminal()) return;
  va_list args;
  va_start(args, format);
  vsnprintf(detail, sizeof detail, format, args);
  va_end(args);
  clear_line();
  fprintf(stderr, "%s%s  %s%s", progress.step, colour("\033[2m"), detail, colour("\033[0m"));
  progress.line_open = true;
  fflush(stderr);
}

void zh_progress_done(const char *format, ...) {
  char result[256];
  if (progress.quiet) return;
  va_list args;
  va_start(args, format);
  vsnprintf(result, sizeof result, format, args);
  va_end(args);
  clear_line();
  fprintf(stderr, "%s  %s\n", progress.step, result);
  progress.step[0] = 0;
}

void zh_warn(const char *format, ...) {
  char message[1024];
  if (progress.quiet) return;
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  clear_line();
  fprintf(stderr, "%swarning:%s %s\n", colour("\033[33m"), colour("\033[0m"), message);
}
