/* The child's way between the walls. It was split off a program that may have threads, so it takes
 * no locks: no allocation, no library function but thin ones over system calls; those that the C
 * library would repeat on all threads (setresuid) are made directly. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/sandbox/sandbox.h"

#define ROOT "/tmp" /* over it the new root is laid, seen by the child alone */
#define ALTERNATIVES "/etc/alternatives"

enum step {
  STEP_BEGIN,
  STEP_USER,
  STEP_LIFELINE,
  STEP_PRIVATE,
  STEP_ROOT,
  STEP_SYSTEM,
  STEP_DEVICES,
  STEP_FOLDER,
  STEP_TURN,
  STEP_LIMITS,
  STEP_PRIVILEGES,
  STEP_DESCRIPTORS,
  STEP_FILTER,
  STEP_PROGRAM,
  STEPS
};

const char *zh_sandbox_step(int32_t step) {
  static const char *const words[] = {[STEP_BEGIN] = "namespaces",
                                      [STEP_USER] = "a user without rights",
                                      [STEP_LIFELINE] = "an end with its parent",
                                      [STEP_PRIVATE] = "mounts of its own",
                                      [STEP_ROOT] = "a root in memory",
                                      [STEP_SYSTEM] = "the system's programs, read-only",
                                      [STEP_DEVICES] = "/dev/null and /dev/urandom",
                                      [STEP_FOLDER] = "a private folder",
                                      [STEP_TURN] = "turning to the new root",
                                      [STEP_LIMITS] = "limits of memory, time and files",
                                      [STEP_PRIVILEGES] = "giving up all privileges",
                                      [STEP_DESCRIPTORS] = "closing descriptors",
                                      [STEP_FILTER] = "a filter of system calls",
                                      [STEP_PROGRAM] = "starting the program"};
  return step >= 0 && step < STEPS ? words[step] : "an unknown wall";
}

static _Noreturn void give_up(const zh_sandbox_entry *e, enum step step) {
  zh_sandbox_report report = {.step = (int32_t)step, .error = errno};
  ssize_t written = write(e->report, &report, sizeof report);
  (void)written;
  _exit(127);
}

#define BUILD(step, condition)                                                                     \
  do {                                                                                             \
    if (!(condition)) give_up(e, (step));                                                          \
  } while (0)

/* ---- who ---- */

/* The parent writes which user this is, then says go. */
static bool wait_for_parent(const zh_sandbox_entry *e) {
  char byte;
  ssize_t got;
  do got = read(e->go, &byte, 1);
  while (got < 0 && errno == EINTR);
  if (got == 0) _exit(127); /* the parent gave up, and knows why */
  return got == 1;
}

static bool become_nobody(const zh_sandbox_entry *e) {
  const gid_t id = ZH_SANDBOX_ID;
  if (e->drop_groups && syscall(SYS_setgroups, 0, NULL) != 0) return false;
  if (syscall(SYS_setresgid, id, id, id) != 0 || syscall(SYS_setresuid, id, id, id) != 0)
    return false;
  return prctl(PR_SET_DUMPABLE, 0) == 0;
}

/* Ends with its parent, also where that ended before this was asked for. */
static bool tie_to_parent(const zh_sandbox_entry *e) {
  struct pollfd line = {.fd = e->go};
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || setsid() < 0) return false;
  return poll(&line, 1, 0) == 0 || (line.revents & POLLHUP) == 0;
}

/* ---- where ---- */

/* Everything below: no writing, no set-user-ID, no devices. */
static bool seal(const char *path, unsigned flags, uint64_t more) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | more};
  return mount_setattr(AT_FDCWD, path, flags, &attributes, sizeof attributes) == 0;
}

static bool show_folder(const char *from, const char *to) {
  return mkdir(to, 0755) == 0 && mount(from, to, NULL, MS_BIND | MS_REC, NULL) == 0 &&
         seal(to, AT_RECURSIVE, MOUNT_ATTR_NODEV);
}

/* /lib and its like are links into /usr, or folders of their own; what is not there is left out. */
static bool show_system(void) {
  static const char *const names[] = {"/bin", "/lib", "/lib32", "/lib64"};
  if (!show_folder("/usr", ROOT "/usr")) return false;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    struct stat about;
    char to[32] = ROOT, target[64];
    strcat(to, names[i]);
    if (lstat(names[i], &about) != 0) continue;
    if (S_ISLNK(about.st_mode)) {
      ssize_t length = readlink(names[i], target, sizeof target - 1);
      if (length < 0) return false;
      target[length] = 0;
      if (symlink(target, to) != 0) return false;
    } else if (!show_folder(names[i], to)) {
      return false;
    }
  }
  /* Where some libraries in /usr are found by way of links. */
  return access(ALTERNATIVES, F_OK) != 0 ||
         (mkdir(ROOT "/etc", 0755) == 0 && show_folder(ALTERNATIVES, ROOT ALTERNATIVES));
}

static bool show_device(const char *from, const char *to) {
  int file = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0) return false;
  close(file);
  return mount(from, to, NULL, MS_BIND, NULL) == 0 && seal(to, 0, MOUNT_ATTR_NOEXEC);
}

static bool write_file(const zh_sandbox_file *file) {
  char path[256];
  if (strlen(file->name) > 200 || strchr(file->name, '/')) {
    errno = EINVAL;
    return false;
  }
  strcpy(path, ROOT ZH_SANDBOX_FOLDER "/");
  strcat(path, file->name);
  int out = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (out < 0) return false;
  for (size_t done = 0; done < file->length;) {
    ssize_t now = write(out, file->bytes + done, file->length - done);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return false;
    done += (size_t)now;
  }
  return close(out) == 0;
}

static bool make_folder(const zh_sandbox_entry *e) {
  const char *box = ROOT ZH_SANDBOX_FOLDER;
  if (mkdir(box, 0700) != 0 ||
      mount("box", box, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, e->box_options) != 0)
    return false;
  for (size_t i = 0; i < e->job->file_count; i++)
    if (!write_file(&e->job->files[i])) return false;
  return true;
}

/* The old root lies over the new one for a moment, then is taken away with all that it held. */
static bool turn_to_root(void) {
  return chdir(ROOT) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
         umount2(".", MNT_DETACH) == 0 && chdir("/") == 0 && seal("/", 0, MOUNT_ATTR_NODEV) &&
         chdir(ZH_SANDBOX_FOLDER) == 0;
}

/* ---- how much ---- */

static bool limit(int what, uint64_t value) {
  struct rlimit both = {.rlim_cur = value, .rlim_max = value};
  return setrlimit((__rlimit_resource_t)what, &both) == 0;
}

/* Of time the parent looks to it; where that is stopped, this does. */
static bool set_limits(const zh_sandbox_limits *l) {
  enum { STACK = 8 << 20, LATER = 5 };
  return limit(RLIMIT_CORE, 0) && limit(RLIMIT_MEMLOCK, 0) && limit(RLIMIT_MSGQUEUE, 0) &&
         limit(RLIMIT_STACK, STACK) && limit(RLIMIT_FSIZE, l->file) &&
         limit(RLIMIT_NOFILE, l->files) && limit(RLIMIT_NPROC, l->threads) &&
         limit(RLIMIT_CPU, l->cpu_seconds + LATER);
}

/* ---- no rights ---- */

static bool drop_privileges(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {{0}, {0}};
  for (int i = 0; i < 64; i++)
    if (prctl(PR_CAPBSET_DROP, i) != 0) {
      if (errno == EINVAL) break; /* this kernel knows no more of them */
      return false;
    }
  if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED) != 0)
    return false;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return false;
  return syscall(SYS_capset, &head, none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* 0, 1, 2 and what reports a failure, until the program begins. */
static bool close_descriptors(zh_sandbox_entry *e) {
  enum { REPORT = 3 };
  if (dup2(e->nothing, 0) < 0 || dup2(e->output, 1) < 0 || dup2(e->output, 2) < 0 ||
      dup3(e->report, REPORT, O_CLOEXEC) < 0)
    return false;
  e->report = REPORT;
  return close_range(REPORT + 1, ~0u, 0) == 0;
}

/* As a fresh program has them. */
static void forget_signals(void) {
  sigset_t none;
  struct sigaction usual = {.sa_handler = SIG_DFL};
  for (int i = 1; i < NSIG; i++) sigaction(i, &usual, NULL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn void zh_sandbox_enter(const zh_sandbox_entry *entry) {
  zh_sandbox_entry own = *entry, *e = &own;
  BUILD(STEP_BEGIN, wait_for_parent(e));
  BUILD(STEP_USER, become_nobody(e));
  BUILD(STEP_LIFELINE, tie_to_parent(e));
  forget_signals();
  umask(022);
  BUILD(STEP_PRIVATE, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
  BUILD(STEP_ROOT, sethostname("box", 3) == 0 &&
                       mount("root", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, e->root_options) == 0);
  BUILD(STEP_SYSTEM, show_system());
  BUILD(STEP_DEVICES, mkdir(ROOT "/dev", 0755) == 0 && show_device("/dev/null", ROOT "/dev/null") &&
                          show_device("/dev/urandom", ROOT "/dev/urandom"));
  umask(077);
  BUILD(STEP_FOLDER, make_folder(e));
  BUILD(STEP_TURN, turn_to_root());
  BUILD(STEP_LIMITS, set_limits(&e->job->limits));
  BUILD(STEP_PRIVILEGES, drop_privileges());
  BUILD(STEP_DESCRIPTORS, close_descriptors(e));
  BUILD(STEP_FILTER, zh_sandbox_filter());
  /* Last: what this process holds, a whole model perhaps, is more than it may have from now on. */
  BUILD(STEP_LIMITS, limit(RLIMIT_AS, e->job->limits.memory));
  execve(e->job->words[0], (char *const *)(uintptr_t)e->job->words,
         (char *const *)(uintptr_t)e->environment);
  give_up(e, STEP_PROGRAM);
}
