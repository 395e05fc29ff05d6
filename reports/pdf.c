#include "reports/pdf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/files.h"

extern char **environ;

/* The program's path by PATH, so that "missing" and "failed" are told apart before anything is
 * started. */
static bool find_program(char out[PATH_MAX], const char *name) {
  const char *path = getenv("PATH");
  for (const char *at = path; at && *at;) {
    size_t length = strcspn(at, ":");
    int written = snprintf(out, PATH_MAX, "%.*s/%s", (int)length, at, name);
    if (length > 0 && written < PATH_MAX && zh_is_file(out) && access(out, X_OK) == 0) return true;
    at += length + (at[length] == ':');
  }
  return false;
}

/* After fork: nothing but system calls that are safe there. */
static void become(const char *program, char *const *arguments, char *const *environment, int log) {
  sigset_t none;
  setpgid(0, 0);                    /* its helpers end with it */
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* and it with us */
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) _exit(126);
  execve(program, arguments, environment);
  _exit(127);
}

/* The child's status, or -1 when the deadline passed and it was ended. */
static int wait_for(pid_t child, int timeout_seconds) {
  const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
  int64_t deadline = zh_reference_now_ns() + (int64_t)timeout_seconds * 1000000000;
  int status = 0;
  for (;;) {
    pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0 && errno != EINTR) return -1;
    if (zh_reference_now_ns() > deadline) break;
    nanosleep(&pause, NULL);
  }
  kill(-child, SIGKILL);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return -1;
}

/* The environment with one variable replaced; entries are borrowed, the array is the caller's. */
static char **environment_with(char *entry) {
  size_t count = 0, kept = 0, length = strcspn(entry, "=") + 1;
  while (environ[count]) count++;
  char **out = calloc(count + 2, sizeof *out);
  if (!out) return NULL;
  for (size_t i = 0; i < count; i++)
    if (strncmp(environ[i], entry, length) != 0) out[kept++] = environ[i];
  out[kept] = entry;
  return out;
}

/* The last line that the child wrote: its own reason. */
static void last_line(char out[160], const char *path) {
  char *text = NULL, *at;
  size_t length = 0;
  snprintf(out, 160, "it gave no reason");
  if (zh_read_file(&text, &length, path, 1 << 20, NULL) != ZH_OK) return;
  while (length > 0 && strchr("\r\n ", text[length - 1])) text[--length] = '\0';
  at = strrchr(text, '\n');
  if (length > 0) snprintf(out, 160, "%.150s", at ? at + 1 : text);
  free(text);
}

/* The log's name ends the reason when the child fails; it is removed here in every case. */
static zh_status run(const char *program, char *const *arguments, char *entry, const char *log_path,
                     int timeout_seconds, zh_error *err) {
  char reason[160];
  char **environment = environment_with(entry);
  int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), status = 0;
  pid_t child = environment && log >= 0 ? fork() : -1;
  if (child == 0) become(program, arguments, environment, log);
  if (child > 0) status = wait_for(child, timeout_seconds);
  if (log >= 0) close(log);
  last_line(reason, log_path);
  unlink(log_path);
  free(environment);
  if (child < 0)
    return zh_fail(err, ZH_ERR_LACKING, "WeasyPrint could not be started: %s", strerror(errno));
  if (status == -1)
    return zh_fail(err, ZH_ERR_LACKING, "WeasyPrint took longer than %d s and was ended",
                   timeout_seconds);
  if (WIFSIGNALED(status))
    return zh_fail(err, ZH_ERR_LACKING, "WeasyPrint was ended by signal %d", WTERMSIG(status));
  if (WEXITSTATUS(status) != 0)
    return zh_fail(err, ZH_ERR_LACKING, "WeasyPrint failed with status %d: %s", WEXITSTATUS(status),
                   reason);
  return ZH_OK;
}

static bool is_pdf(const char *path) {
  zh_mapping file = {0};
  bool good = zh_map_file(&file, path, NULL) == ZH_OK && file.bytes > 5 &&
              memcmp(file.data, "%PDF-", 5) == 0;
  zh_unmap(&file);
  return good;
}

zh_status zh_pdf_print(const char *pdf, const char *html, const char *attachment, int64_t epoch,
                       int timeout_seconds, zh_error *err) {
  char program[PATH_MAX], entry[64], log[PATH_MAX];
  if (!find_program(program, "weasyprint"))
    return zh_fail(
        err, ZH_ERR_LACKING,
        "WeasyPrint is not installed (Debian: apt-get install weasyprint fonts-noto-cjk)");
  snprintf(entry, sizeof entry, "SOURCE_DATE_EPOCH=%" PRId64, epoch);
  if (snprintf(log, sizeof log, "%s.log", pdf) >= (int)sizeof log)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the path is too long", pdf);
  const char *const arguments[] = {
      program, "--quiet", "--attachment", attachment, "--encoding", "utf-8", html, pdf, NULL};
  zh_status status =
      run(program, (char *const *)(uintptr_t)arguments, entry, log, timeout_seconds, err);
  if (status == ZH_OK && !is_pdf(pdf))
    status = zh_fail(err, ZH_ERR_LACKING, "WeasyPrint ended well but left no PDF");
  if (status != ZH_OK) unlink(pdf);
  return status;
}
