#include "bench/supervise.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/launch.h"
#include "bench/lifeline.h"
#include "bench/step_progress.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/text.h"

enum { TAIL_BYTES = 2048, TICK_MS = 1000, GRACE_MS = 3000, REAP_MS = 5000, LAUNCHER_MS = 5000 };

typedef struct job {
  const json_t *step;
  const char *folder;
  pid_t pid;
  int output; /* the ranks' stdout and stderr */
  int pid_fd;
  char tail[TAIL_BYTES + 1];
  size_t tail_length;
  double started_s;
  int wait_status;
  bool late;
  double ranks_ended_s;     /* when all ranks were first seen ended, else 0 */
  bool launcher_hangs;      /* though all its ranks have ended */
  double told_s, told_done; /* when the ranks were first seen working, and how far they were then */
  int signal;
} job;

/* The supervisor's own waits are on true time, whatever clock a fault was put into. */
static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- signals --- */

zh_status zh_supervision_begin(zh_supervision *out, zh_error *err) {
  sigset_t wanted;
  _Static_assert(sizeof(sigset_t) <= sizeof out->mask_before, "room for the signal mask");
  memset(out, 0, sizeof *out);
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGHUP);
  out->signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
  if (out->signal_fd < 0)
    return zh_fail(err, ZH_ERR_LACKING, "cannot wait for signals: %s", strerror(errno));
  sigprocmask(SIG_BLOCK, &wanted, (sigset_t *)out->mask_before);
  signal(SIGXFSZ, SIG_IGN); /* a full quota is an error of write(), told in words */
  prctl(PR_GET_CHILD_SUBREAPER, &out->subreaper_before);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  return ZH_OK;
}

static void take_signals(zh_supervision *supervision) {
  struct signalfd_siginfo info;
  while (read(supervision->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
    supervision->signal = (int)info.ssi_signo;
}

void zh_supervision_end(zh_supervision *supervision) {
  take_signals(supervision);
  close(supervision->signal_fd);
  prctl(PR_SET_CHILD_SUBREAPER, supervision->subreaper_before);
  sigprocmask(SIG_SETMASK, (sigset_t *)supervision->mask_before, NULL);
}

/* --- starting --- */

static zh_status write_step_file(char *path, size_t capacity, const job *j, zh_error *err) {
  json_t *step = json_copy((json_t *)j->step);
  snprintf(path, capacity, "%s/step.json", j->folder);
  if (!step || json_object_set_new(step, "folder", json_string(j->folder)) != 0 ||
      json_object_set_new(step, "supervisor", zh_lifeline_describe()) != 0) {
    json_decref(step);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the step's file");
  }
  zh_status status = zh_json_write_file(step, path, err);
  json_decref(step);
  return status;
}

static zh_launcher launcher_of(const json_t *step) {
  zh_launcher launcher = ZH_LAUNCH_DIRECT;
  const char *name = json_string_value(json_object_get(step, "launcher"));
  while (strcmp(zh_launcher_name(launcher), name) != 0) launcher++;
  return launcher;
}

/* In the child: its own process group, ended with the supervisor, signals as a fresh program has
 * them. */
static void become_job(const char *const *words, int output, zh_launcher launcher, pid_t supervisor,
                       const sigset_t *mask) {
  int nothing = open("/dev/null", O_RDONLY);
  setpgid(0, 0);
  /* A launcher told to end takes its ranks along; a rank alone just ends. */
  prctl(PR_SET_PDEATHSIG, launcher == ZH_LAUNCH_DIRECT ? SIGKILL : SIGTERM);
  if (getppid() != supervisor) _exit(127);
  if (nothing >= 0) dup2(nothing, 0);
  dup2(output, 1);
  dup2(output, 2);
  if (launcher == ZH_LAUNCH_MPIRUN && geteuid() == 0) {
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  }
  sigprocmask(SIG_SETMASK, mask, NULL);
  execvp(words[0], (char *const *)words);
  dprintf(2, "cannot start %s: %s\n", words[0], strerror(errno));
  _exit(127);
}

static zh_status start(job *j, const zh_supervision *supervision, zh_error *err) {
  char step_file[PATH_MAX], program[PATH_MAX], text[32];
  const char *words[ZH_LAUNCH_WORDS];
  int ends[2];
  zh_launcher launcher = launcher_of(j->step);
  int ranks = (int)json_integer_value(json_object_get(j->step, "ranks"));
  ZH_TRY(write_step_file(step_file, sizeof step_file, j, err));
  ZH_TRY(zh_program_path(program, sizeof program, "zhiheng-rank", err));
  zh_launcher_command(words, text, sizeof text, launcher, ranks, zh_machine_allowed_cores(),
                      program, step_file);
  if (pipe2(ends, O_CLOEXEC) != 0)
    return zh_fail(err, ZH_ERR_LACKING, "cannot make a pipe: %s", strerror(errno));
  pid_t supervisor = getpid();
  j->pid = fork();
  if (j->pid == 0)
    become_job(words, ends[1], launcher, supervisor, (const sigset_t *)supervision->mask_before);
  close(ends[1]);
  if (j->pid < 0) {
    close(ends[0]);
    return zh_fail(err, ZH_ERR_LACKING, "cannot start a process: %s", strerror(errno));
  }
  setpgid(j->pid, j->pid); /* whichever of us is first */
  j->output = ends[0];
  fcntl(j->output, F_SETFL, O_NONBLOCK);
  j->pid_fd = (int)syscall(SYS_pidfd_open, j->pid, 0);
  j->started_s = seconds();
  return ZH_OK;
}

/* --- waiting --- */

/* Keeps the last TAIL_BYTES of what the ranks said. */
static void read_output(job *j) {
  char bytes[4096];
  ssize_t got;
  while ((got = read(j->output, bytes, sizeof bytes)) > 0) {
    size_t count = (size_t)got;
    const char *from = bytes;
    if (count > TAIL_BYTES) {
      from += count - TAIL_BYTES;
      count = TAIL_BYTES;
    }
    if (j->tail_length + count > TAIL_BYTES) {
      size_t drop = j->tail_length + count - TAIL_BYTES;
      memmove(j->tail, j->tail + drop, j->tail_length - drop);
      j->tail_length -= drop;
    }
    memcpy(j->tail + j->tail_length, from, count);
    j->tail_length += count;
  }
  j->tail[j->tail_length] = '\0';
}

static bool has_ended(job *j) {
  return waitpid(j->pid, &j->wait_status, WNOHANG) == j->pid;
}

/* Waits at most `ms`; true when the job has ended. */
static bool wait_a_moment(job *j, zh_supervision *supervision, int ms) {
  struct pollfd fds[3] = {
      {j->pid_fd, POLLIN, 0}, {j->output, POLLIN, 0}, {supervision->signal_fd, POLLIN, 0}};
  /* Without pidfds (before Linux 5.3) ask often. */
  poll(fds, 3, j->pid_fd >= 0 || ms < 20 ? ms : 20);
  if (fds[1].revents & POLLHUP) poll(NULL, 0, 1); /* output closed, the end follows */
  read_output(j);
  take_signals(supervision);
  return has_ended(j);
}

/* Parent of a process, 0 when it is gone. */
static pid_t parent_of(pid_t pid) {
  char path[64], line[512];
  long parent = 0;
  char state = 0;
  snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  size_t length = fread(line, 1, sizeof line - 1, file);
  fclose(file);
  line[length] = '\0';
  const char *at = strrchr(line, ')');
  return at && sscanf(at + 1, " %c %ld", &state, &parent) == 2 ? (pid_t)parent : 0;
}

static bool has_children(pid_t of) {
  bool found = false;
  DIR *processes = opendir("/proc");
  if (!processes) return true;
  for (struct dirent *entry; !found && (entry = readdir(processes));) {
    pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
    found = pid > 1 && parent_of(pid) == of;
  }
  closedir(processes);
  return found;
}

/* Under a launcher every rank's guard leaves a record, unless it was killed, too; mpirun then has
 * no children any more. A launcher that has lost its ranks to a signal may hang while it ends; it
 * is not waited for until the deadline. */
static bool launcher_hangs(job *j) {
  if (launcher_of(j->step) == ZH_LAUNCH_DIRECT) return false;
  int ranks = (int)json_integer_value(json_object_get(j->step, "ranks"));
  int recorded = 0;
  for (int i = 0; i < ranks && j->ranks_ended_s == 0; i++) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/rank-%d.json", j->folder, i);
    recorded += zh_is_file(path);
  }
  bool ended = j->ranks_ended_s > 0 || recorded == ranks ||
               (recorded > 0 && launcher_of(j->step) == ZH_LAUNCH_MPIRUN && !has_children(j->pid));
  if (!ended) return false;
  if (j->ranks_ended_s == 0) j->ranks_ended_s = seconds();
  return (seconds() - j->ranks_ended_s) * 1000 > LAUNCHER_MS;
}

/* What the ranks say of how far they are, with the time that is left at this rate. */
static void tell_progress(job *j, const char *name) {
  zh_step_progress p;
  char score[64] = "", left[48] = "";
  double now_s = seconds();
  int ranks = (int)json_integer_value(json_object_get(j->step, "ranks"));
  if (!zh_step_progress_read(&p, j->folder, ranks)) {
    zh_progress_detail("%s  %.0f s", name, now_s - j->started_s);
    return;
  }
  if (j->told_s == 0) {
    j->told_s = now_s;
    j->told_done = p.done;
  }
  if (p.count > 0) snprintf(score, sizeof score, ", %s %.4f", p.score, p.sum / p.count);
  if (p.done > j->told_done && p.done < p.all)
    snprintf(left, sizeof left, ", about %.0f s left",
             (now_s - j->told_s) * (p.all - p.done) / (p.done - j->told_done));
  zh_progress_detail("%s  %.0f s, %s: %.1f %%%s%s", name, now_s - j->started_s, p.what,
                     p.all > 0 ? 100 * p.done / p.all : 100, score, left);
}

static void wait_within_deadline(job *j, zh_supervision *supervision) {
  double deadline_s = json_number_value(json_object_get(j->step, "deadline_s"));
  const char *name = json_string_value(json_object_get(j->step, "step"));
  for (;;) {
    double passed_s = seconds() - j->started_s;
    double left_ms = (deadline_s - passed_s) * 1000;
    if (left_ms <= 0) {
      j->late = true;
      return;
    }
    if (wait_a_moment(j, supervision, left_ms < TICK_MS ? (int)ceil(left_ms) : TICK_MS)) return;
    if (supervision->signal) {
      j->signal = supervision->signal;
      return;
    }
    if ((j->launcher_hangs = launcher_hangs(j))) return;
    tell_progress(j, name);
  }
}

/* Asks, then insists. */
static void end_job(job *j, zh_supervision *supervision) {
  double until = seconds() + GRACE_MS * 1e-3;
  kill(-j->pid, SIGTERM);
  kill(-j->pid, SIGCONT);
  while (seconds() < until)
    if (wait_a_moment(j, supervision, 20)) return;
  kill(-j->pid, SIGKILL);
  while (waitpid(j->pid, &j->wait_status, 0) < 0 && errno == EINTR) continue;
}

/* --- nothing left behind --- */

/* As subreaper we inherit whatever a launcher left; kills them where `insist`. Returns how many
 * there are. */
static int visit_children(bool insist) {
  int count = 0;
  DIR *processes = opendir("/proc");
  if (!processes) return 0;
  for (struct dirent *entry; (entry = readdir(processes));) {
    pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
    if (pid <= 1 || parent_of(pid) != getpid()) continue;
    count++;
    if (insist) kill(pid, SIGKILL);
  }
  closedir(processes);
  return count;
}

static void reap_leftovers(void) {
  double begin = seconds();
  for (;;) {
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    double waited_ms = (seconds() - begin) * 1000;
    /* Guards get a second to write down how their ranks ended. */
    if (visit_children(waited_ms > 1000) == 0 || waited_ms > REAP_MS) return;
    poll(NULL, 0, 20);
  }
}

/* --- what happened --- */

static json_t *rank_json(int number, int exit_status, int signal_number) {
  return json_pack("{s:i,s:i,s:i}", "rank", number, "exit", exit_status, "signal", signal_number);
}

static json_t *own_end(const job *j) {
  return rank_json(0, WIFEXITED(j->wait_status) ? WEXITSTATUS(j->wait_status) : -1,
                   WIFSIGNALED(j->wait_status) ? WTERMSIG(j->wait_status) : 0);
}

/* Ends of all ranks; *first is the rank that a signal ended first, or -1. A rank without a record
 * was killed together with its guard: the launcher's exit status (128 + signal) is then the best
 * evidence, and it comes before ranks that got SIGTERM, with which launchers end the rest. */
static json_t *collect_ends(const job *j, int *first) {
  int ranks = (int)json_integer_value(json_object_get(j->step, "ranks"));
  json_int_t first_ns = 0, failed_ns = INT64_MAX; /* failed: the first exit with an error */
  int first_signal = 0;
  json_t *list = json_array();
  *first = -1;
  if (launcher_of(j->step) == ZH_LAUNCH_DIRECT) {
    json_array_append_new(list, own_end(j));
    if (WIFSIGNALED(j->wait_status)) *first = 0;
    return list;
  }
  for (int i = 0; i < ranks; i++) {
    char path[PATH_MAX];
    json_t *record = NULL;
    snprintf(path, sizeof path, "%s/rank-%d.json", j->folder, i);
    if (zh_is_file(path) && zh_json_load_file(&record, path, 4096, NULL) == ZH_OK) {
      json_int_t ended_ns = json_integer_value(json_object_get(record, "ended_unix_ns"));
      int number = (int)json_integer_value(json_object_get(record, "signal"));
      json_array_append_new(
          list, rank_json(i, (int)json_integer_value(json_object_get(record, "exit")), number));
      if (number && (*first < 0 || ended_ns < first_ns))
        *first = i, first_ns = ended_ns, first_signal = number;
      if (json_integer_value(json_object_get(record, "exit")) > 0 && ended_ns < failed_ns)
        failed_ns = ended_ns;
      json_decref(record);
    } else {
      int status = WIFEXITED(j->wait_status) ? WEXITSTATUS(j->wait_status) : 0;
      int number = status > 128 ? status - 128 : 0;
      json_array_append_new(list, rank_json(i, -1, number));
      bool is_cause = *first < 0 || (first_signal == SIGTERM && number != SIGTERM);
      if (number && is_cause) *first = i, first_signal = number;
    }
  }
  if (first_signal == SIGTERM && failed_ns < first_ns) *first = -1; /* its own words tell more */
  return list;
}

static bool all_well(const json_t *ends) {
  size_t i;
  json_t *end;
  json_array_foreach(ends, i, end) {
    if (json_integer_value(json_object_get(end, "exit")) != 0) return false;
  }
  return true;
}

static json_t *load_result(const job *j) {
  char path[PATH_MAX];
  json_t *result = NULL;
  snprintf(path, sizeof path, "%s/result.json", j->folder);
  if (zh_is_file(path) && zh_json_load_file(&result, path, 0, NULL) == ZH_OK) return result;
  return NULL;
}

/* Last line that says something: the innermost complaint. Launchers frame theirs with dashes. */
static const char *last_line(job *j) {
  char *end = j->tail + j->tail_length;
  while (end > j->tail && strchr("\n -=", end[-1])) *--end = '\0';
  char *line = strrchr(j->tail, '\n');
  return line ? line + 1 : j->tail;
}

static const char *own_message(job *j) {
  static const char mark[] = "zhiheng-rank: ";
  char *at = strstr(j->tail, mark);
  if (!at) return last_line(j);
  at += sizeof mark - 1;
  at[strcspn(at, "\n")] = '\0';
  return at;
}

/* By exit status, where a rank could not leave a result. */
static const char *error_of_exit(int status) {
  return status == 1 ? "ZH_ERR_CHECK" : status == 2 ? "ZH_ERR_INPUT" : "ZH_ERR_IO";
}

static json_t *judge(job *j) {
  int first = -1;
  char reason[1024] = "";
  const char *status = "lost", *error = NULL;
  json_t *ends = collect_ends(j, &first), *result = load_result(j);
  json_t *complaint = json_object_get(result, "error");
  int exit_status = WIFEXITED(j->wait_status) ? WEXITSTATUS(j->wait_status) : -1;
  if (j->late) {
    snprintf(reason, sizeof reason, "the deadline of %g s passed",
             json_number_value(json_object_get(j->step, "deadline_s")));
  } else if (json_is_object(complaint)) {
    error = json_string_value(json_object_get(complaint, "status"));
    int rank = (int)json_integer_value(json_object_get(complaint, "rank"));
    snprintf(reason, sizeof reason, "%s%.0d%s%.940s", rank > 0 ? "rank " : "", rank > 0 ? rank : 0,
             rank > 0 ? ": " : "", json_string_value(json_object_get(complaint, "message")));
  } else if (launcher_of(j->step) != ZH_LAUNCH_DIRECT && WIFSIGNALED(j->wait_status) &&
             !j->launcher_hangs) {
    /* Its ranks end with it; what killed them is not the cause. */
    int number = WTERMSIG(j->wait_status);
    snprintf(reason, sizeof reason, "%s, which had started the ranks, was ended by signal %d (%s)",
             zh_launcher_name(launcher_of(j->step)), number, strsignal(number));
  } else if (first >= 0) {
    int number =
        (int)json_integer_value(json_object_get(json_array_get(ends, (size_t)first), "signal"));
    snprintf(reason, sizeof reason, "rank %d was ended by signal %d (%s)", first, number,
             strsignal(number));
  } else if ((exit_status == 0 || j->launcher_hangs) && result && all_well(ends)) {
    status = "done";
  } else {
    const char *said = own_message(j);
    if (exit_status >= 1 && exit_status <= 3) error = error_of_exit(exit_status);
    if (error && *said)
      snprintf(reason, sizeof reason, "%.900s", said);
    else
      snprintf(reason, sizeof reason, "the ranks ended with exit status %d%s%.800s", exit_status,
               *said ? ": " : " and said nothing", said);
  }
  if (error) status = strcmp(error, "ZH_ERR_LACKING") == 0 ? "skipped" : "failed";
  reason[zh_utf8_valid_prefix(reason, strlen(reason))] = '\0';
  return json_pack("{s:s,s:s,s:s?,s:f,s:o,s:o}", "status", status, "reason", reason, "error", error,
                   "wall_s", seconds() - j->started_s, "ranks", ends, "result",
                   result ? result : json_null());
}

zh_status zh_supervise(json_t **outcome, zh_supervision *supervision, const json_t *step,
                       const char *folder, zh_error *err) {
  job j = {.step = step, .folder = folder, .output = -1, .pid_fd = -1};
  *outcome = NULL;
  take_signals(supervision);
  if (supervision->signal) return zh_fail(err, ZH_ERR_INTERRUPTED, "%s", "");
  ZH_TRY(start(&j, supervision, err));
  wait_within_deadline(&j, supervision);
  if (j.late || j.signal || j.launcher_hangs) end_job(&j, supervision);
  reap_leftovers();
  read_output(&j);
  close(j.output);
  if (j.pid_fd >= 0) close(j.pid_fd);
  if (j.signal)
    return zh_fail(err, ZH_ERR_INTERRUPTED, "stopped by SIG%s during step %s",
                   sigabbrev_np(j.signal), json_string_value(json_object_get(step, "step")));
  *outcome = judge(&j);
  return *outcome ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the step's outcome");
}
