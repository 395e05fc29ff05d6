/* What people see on stderr: once on a terminal (a pseudo-terminal here), once in a file. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/progress.h"

static void say_everything(void) {
  zh_progress_step(2, 7, "%s", "decode");
  zh_progress_detail("repeat %d of %d", 1, 3);
  zh_warn("%s", "the clock is slow");
  zh_progress_done("%d token/s", 61);
  fflush(stderr);
}

/* Runs say_everything with stderr at `to`; what came out at `from` is in `out`. */
static void capture(char *out, size_t capacity, int from, int to) {
  int kept = dup(STDERR_FILENO);
  assert_true(kept >= 0 && dup2(to, STDERR_FILENO) >= 0);
  say_everything();
  dup2(kept, STDERR_FILENO);
  close(kept);
  struct pollfd ready = {.fd = from, .events = POLLIN};
  size_t length = 0;
  while (length + 1 < capacity && poll(&ready, 1, 100) == 1) {
    ssize_t got = read(from, out + length, capacity - 1 - length);
    if (got <= 0) break;
    length += (size_t)got;
  }
  out[length] = 0;
}

static void in_a_file_there_are_plain_lines(void **state) {
  (void)state;
  int ends[2];
  char out[1000];
  assert_int_equal(pipe(ends), 0);
  capture(out, sizeof out, ends[0], ends[1]);
  assert_string_equal(out, "warning: the clock is slow\n[2/7] decode  61 token/s\n");
  assert_false(zh_colour_allowed(ends[1]));
  close(ends[0]);
  close(ends[1]);
}

static void on_a_terminal_the_line_moves(void **state) {
  (void)state;
  int master, slave;
  char out[1000];
  setenv("TERM", "xterm", 1);
  unsetenv("NO_COLOR");
  assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
  assert_true(zh_colour_allowed(slave));
  capture(out, sizeof out, master, slave);
  assert_non_null(strstr(out, "[2/7] decode"));
  assert_non_null(strstr(out, "\r\033[K"));
  assert_non_null(strstr(out, "repeat 1 of 3"));
  assert_non_null(strstr(out, "\033[33mwarning:\033[0m the clock is slow"));
  setenv("NO_COLOR", "1", 1);
  assert_false(zh_colour_allowed(slave));
  capture(out, sizeof out, master, slave);
  assert_null(strstr(out, "\033[33m"));
  assert_null(strstr(out, "\033[2m"));
  unsetenv("NO_COLOR");
  close(master);
  close(slave);
}

static void quiet_is_quiet(void **state) {
  (void)state;
  int ends[2];
  char out[100];
  assert_int_equal(pipe(ends), 0);
  zh_progress_quiet(true);
  capture(out, sizeof out, ends[0], ends[1]);
  zh_progress_quiet(false);
  assert_string_equal(out, "");
  close(ends[0]);
  close(ends[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(in_a_file_there_are_plain_lines),
      cmocka_unit_test(on_a_terminal_the_line_moves),
      cmocka_unit_test(quiet_is_quiet),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
