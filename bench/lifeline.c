#include "bench/lifeline.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HOST_BYTES = 256 };

/* Field 22 of /proc/PID/stat; 0 when there is no such process. The name in field 2 may hold blanks.
 */
static long long start_of(pid_t pid) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  size_t length = fread(line, 1, sizeof line - 1, file);
  fclose(file);
  line[length] = '\0';
  const char *at = strrchr(line, ')');
  long long start = 0;
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  return at && sscanf(at, "%lld", &start) == 1 ? start : 0;
}

json_t *zh_lifeline_describe(void) {
  char host[HOST_BYTES] = "";
  gethostname(host, sizeof host - 1);
  return json_pack("{s:I,s:I,s:s}", "pid", (json_int_t)getpid(), "start",
                   (json_int_t)start_of(getpid()), "host", host);
}

static int descriptors[2] = {-1, -1};

static void *watch(void *unused) {
  struct pollfd fds[2] = {{descriptors[0], POLLIN, 0}, {descriptors[1], POLLIN, 0}};
  (void)unused;
  for (;;)
    if (poll(fds, 2, -1) > 0) break; /* a pidfd becomes readable when its process ends */
  kill(getpid(), SIGKILL);
  return NULL;
}

static int open_pid(pid_t pid) {
  return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int is_here(const json_t *supervisor) {
  char host[HOST_BYTES] = "";
  const char *theirs = json_string_value(json_object_get(supervisor, "host"));
  gethostname(host, sizeof host - 1);
  return theirs && strcmp(host, theirs) == 0;
}

zh_status zh_lifeline_hold(const json_t *supervisor, pid_t parent, zh_error *err) {
  if (is_here(supervisor)) {
    pid_t pid = (pid_t)json_integer_value(json_object_get(supervisor, "pid"));
    long long start = json_integer_value(json_object_get(supervisor, "start"));
    descriptors[0] = open_pid(pid);
    if (start_of(pid) != start) kill(getpid(), SIGKILL);
  }
  if (parent > 1) descriptors[1] = open_pid(parent);
  if (parent > 1 && descriptors[1] < 0 && errno == ESRCH) kill(getpid(), SIGKILL);
  if (descriptors[0] < 0 && descriptors[1] < 0) return ZH_OK; /* an old kernel, or another node */
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&thread, NULL, watch, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed) return zh_fail(err, ZH_ERR_LACKING, "cannot start a thread: %s", strerror(failed));
  pthread_detach(thread);
  return ZH_OK;
}
