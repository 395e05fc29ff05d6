#include "bench/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"

enum { MIB = 1 << 20, LEAST_DESCRIPTOR = 10 };

zh_sandbox_limits zh_sandbox_usual(void) {
  return (zh_sandbox_limits){.memory = 1024ull * MIB,
                             .scratch = 64 * MIB,
                             .file = 16 * MIB,
                             .output = 4 * MIB,
                             .cpu_seconds = 3,
                             .wall_seconds = 12,
                             .threads = 32,
                             .files = 64};
}

/* A program on its way. */
typedef struct running {
  const zh_sandbox_job *job;
  int go[2], report[2], output[2], nothing; /* read end, write end */
  int pidfd;
  pid_t pid;
} running;

static zh_status fail_step(int32_t step, int error, zh_error *err) {
  return zh_fail(err, ZH_ERR_LACKING,
                 "programs that models write are run between walls alone, and this kernel (or the "
                 "container around it) refuses one of them: %s (%s); allow user namespaces, "
                 "or run on a host that has them",
                 zh_sandbox_step(step), strerror(error));
}

/* ---- descriptors ---- */

/* Above those that the child's own three take. */
static bool raise_descriptor(int *fd) {
  int higher = fcntl(*fd, F_DUPFD_CLOEXEC, LEAST_DESCRIPTOR);
  if (higher < 0) return false;
  close(*fd);
  *fd = higher;
  return true;
}

static bool open_pipe(int ends[2]) {
  return pipe2(ends, O_CLOEXEC) == 0 && raise_descriptor(&ends[0]) && raise_descriptor(&ends[1]);
}

static void close_end(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static zh_status open_descriptors(running *r, zh_error *err) {
  r->nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (r->nothing >= 0 && raise_descriptor(&r->nothing) && open_pipe(r->go) &&
      open_pipe(r->report) && open_pipe(r->output) && fcntl(r->output[0], F_SETFL, O_NONBLOCK) == 0)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_IO, "no descriptors for a program between walls: %s", strerror(errno));
}

static void close_descriptors(running *r) {
  for (int i = 0; i < 2; i++) {
    close_end(&r->go[i]);
    close_end(&r->report[i]);
    close_end(&r->output[i]);
  }
  close_end(&r->nothing);
  close_end(&r->pidfd);
}

/* ---- beginning ---- */

static bool write_proc(pid_t pid, const char *file, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, file);
  int out = open(path, O_WRONLY | O_CLOEXEC);
  if (out < 0) return false;
  bool good = write(out, text, strlen(text)) == (ssize_t)strlen(text);
  int error = errno;
  close(out);
  errno = error;
  return good;
}

/* Inside it is user 1000; outside nobody where the caller is root, whom no limit of processes
 * holds, else the caller. */
static bool say_who(pid_t pid, bool root) {
  char users[64], groups[64];
  unsigned user = root ? ZH_SANDBOX_NOBODY : geteuid(),
           group = root ? ZH_SANDBOX_NOBODY : getegid();
  snprintf(users, sizeof users, "%d %u 1", ZH_SANDBOX_ID, user);
  snprintf(groups, sizeof groups, "%d %u 1", ZH_SANDBOX_ID, group);
  return (root || write_proc(pid, "setgroups", "deny")) && write_proc(pid, "gid_map", groups) &&
         write_proc(pid, "uid_map", users);
}

static zh_status begin(running *r, zh_error *err) {
  /* Sets come in the same order each time; a library of numbers starts no threads of its own, and
   * each thread takes no 64 MiB of addresses for what it allocates. */
  static const char *const environment[] = {"PYTHONHASHSEED=0", "OPENBLAS_NUM_THREADS=1",
                                            "MALLOC_ARENA_MAX=1", NULL};
  const zh_sandbox_limits *l = &r->job->limits;
  bool root = geteuid() == 0;
  zh_sandbox_entry entry = {.job = r->job, .environment = environment, .drop_groups = root};
  snprintf(entry.root_options, sizeof entry.root_options, "size=64k,nr_inodes=32,mode=755");
  snprintf(entry.box_options, sizeof entry.box_options, "size=%llu,nr_inodes=1024,mode=700",
           (unsigned long long)l->scratch);
  entry.go = r->go[0];
  entry.report = r->report[1];
  entry.output = r->output[1];
  entry.nothing = r->nothing;
  const unsigned long flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                              CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD | SIGCHLD;
  long pid = syscall(SYS_clone, flags, NULL, &r->pidfd, NULL, NULL);
  if (pid == 0) {
    close(r->go[1]); /* its last end is the parent's */
    zh_sandbox_enter(&entry);
  }
  if (pid < 0) return fail_step(0, errno, err);
  r->pid = (pid_t)pid;
  if (!say_who(r->pid, root)) return fail_step(1, errno, err);
  if (write(r->go[1], "g", 1) != 1) return fail_step(0, errno, err);
  return ZH_OK;
}

/* Until the child is the program, or says which wall does not stand. */
static zh_status wait_for_walls(running *r, zh_error *err) {
  zh_sandbox_report report;
  struct pollfd line = {.fd = r->report[0], .events = POLLIN};
  enum { PATIENCE_MS = 60000 };
  close_end(&r->report[1]);
  int ready;
  do ready = poll(&line, 1, PATIENCE_MS);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) return fail_step(0, ETIMEDOUT, err);
  ssize_t got = read(r->report[0], &report, sizeof report);
  if (got == 0) return ZH_OK;
  if (got == (ssize_t)sizeof report) return fail_step(report.step, report.error, err);
  return zh_fail(err, ZH_ERR_IO, "a program between walls could not be started: %s",
                 strerror(got < 0 ? errno : EIO));
}

/* ---- watching ---- */

/* What there is to read now; *open becomes false at the end. false: it printed too much. */
static bool take_output(zh_text *output, bool *open, const running *r) {
  char bytes[16384];
  for (;;) {
    ssize_t got = read(r->output[0], bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return true;
    if (got == 0) {
      *open = false;
      return true;
    }
    uint64_t room = r->job->limits.output - output->length;
    zh_text_append(output, bytes, (uint64_t)got < room ? (size_t)got : (size_t)room);
    if ((uint64_t)got > room) return false;
  }
}

/* Exact, where the kernel's own limit counts ticks. */
static double spent_by(pid_t pid) {
  clockid_t clock;
  struct timespec spent;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) != 0) return 0;
  return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

static void watch(zh_sandbox_outcome *out, running *r) {
  enum { LOOK_MS = 50 };
  const int64_t began = zh_now_ns(), until = began + (int64_t)(r->job->limits.wall_seconds * 1e9);
  bool ended = false, open = true, kill_it = false;
  close_end(&r->output[1]);
  while (!ended && !kill_it) {
    struct pollfd both[2] = {{.fd = r->pidfd, .events = POLLIN},
                             {.fd = open ? r->output[0] : -1, .events = POLLIN}};
    if (zh_now_ns() >= until || spent_by(r->pid) >= (double)r->job->limits.cpu_seconds) {
      out->end = ZH_SANDBOX_LATE;
      kill_it = true;
    } else if (poll(both, 2, LOOK_MS) > 0) {
      ended = both[0].revents != 0;
      if (!take_output(&out->output, &open, r)) {
        out->end = ZH_SANDBOX_TALKATIVE;
        kill_it = true;
      }
    }
  }
  out->seconds = (double)(zh_now_ns() - began) * 1e-9;
}

static double seconds_of(struct timeval t) {
  return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

/* The first process of its namespace: with it the kernel ends all others there. */
static void reap(zh_sandbox_outcome *out, running *r) {
  struct rusage used = {0};
  int how = 0;
  if (r->pid <= 0) return;
  kill(r->pid, SIGKILL); /* of one that ended nothing but the remains is there */
  while (wait4(r->pid, &how, __WALL, &used) < 0 && errno == EINTR) continue;
  r->pid = 0;
  out->cpu_seconds = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
  out->peak_bytes = (uint64_t)used.ru_maxrss * 1024;
  if (out->end != ZH_SANDBOX_EXITED) return;
  if (WIFEXITED(how)) {
    out->code = WEXITSTATUS(how);
    return;
  }
  out->code = WTERMSIG(how);
  out->end = ZH_SANDBOX_SIGNALLED;
}

zh_status zh_sandbox_run(zh_sandbox_outcome *out, const zh_sandbox_job *job, zh_error *err) {
  running r = {.job = job,
               .go = {-1, -1},
               .report = {-1, -1},
               .output = {-1, -1},
               .nothing = -1,
               .pidfd = -1};
  *out = (zh_sandbox_outcome){.end = ZH_SANDBOX_EXITED};
  zh_status status = open_descriptors(&r, err);
  if (status == ZH_OK) status = begin(&r, err);
  if (status == ZH_OK) status = wait_for_walls(&r, err);
  if (status == ZH_OK) watch(out, &r);
  close_end(&r.go[1]);
  reap(out, &r);
  close_descriptors(&r);
  if (status == ZH_OK && out->output.failed)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (what a program printed)");
  if (status != ZH_OK) zh_sandbox_outcome_free(out);
  return status;
}

void zh_sandbox_outcome_free(zh_sandbox_outcome *outcome) {
  zh_text_free(&outcome->output);
}

/* ---- asking ---- */

zh_status zh_sandbox_python(const char **out, zh_error *err) {
  static const char *const places[] = {"/usr/bin/python3", "/usr/local/bin/python3"};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    *out = places[i];
    if (access(places[i], X_OK) == 0) return ZH_OK;
  }
  *out = NULL;
  return zh_fail(err, ZH_ERR_LACKING,
                 "programs that models write are run by the system's own Python, and there is "
                 "neither %s nor %s (package python3)",
                 places[0], places[1]);
}

/* A whole way between the walls, to a program that every system has. */
zh_status zh_sandbox_probe(zh_error *err) {
  static const char *const words[] = {"/usr/bin/true", NULL};
  zh_sandbox_job job = {.words = words, .limits = zh_sandbox_usual()};
  zh_sandbox_outcome outcome;
  ZH_TRY(zh_sandbox_run(&outcome, &job, err));
  bool good = outcome.end == ZH_SANDBOX_EXITED && outcome.code == 0;
  zh_sandbox_outcome_free(&outcome);
  return good ? ZH_OK
              : zh_fail(err, ZH_ERR_LACKING,
                        "programs that models write are run between walls alone, and between them "
                        "%s does not run on this machine",
                        words[0]);
}
