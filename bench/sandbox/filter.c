/* The filter of system calls: a list of what is allowed, as the kernel's own small programs (BPF)
 * say it. Written here and not through a library: it is one list for two processors. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "bench/sandbox/sandbox.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

/* What an interpreter does with files, memory, time and threads. No sockets, processes, mounts,
 * keys, tracing, other processes' memory, memory without a name in its folder. */
static const unsigned short allowed[] = {
#ifdef SYS_open /* those that only older processors have */
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_pipe,
    SYS_select,
    SYS_poll,
    SYS_dup2,
    SYS_getpgrp,
    SYS_mkdir,
    SYS_rmdir,
    SYS_unlink,
    SYS_rename,
    SYS_readlink,
    SYS_chmod,
    SYS_time,
    SYS_alarm,
    SYS_pause,
    SYS_getdents,
    SYS_arch_prctl,
#endif
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_openat,
    SYS_close,
    SYS_close_range,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_lseek,
    SYS_mmap,
    SYS_mprotect,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_pipe2,
    SYS_pselect6,
    SYS_ppoll,
    SYS_dup,
    SYS_dup3,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_times,
    SYS_getrusage,
    SYS_getpid,
    SYS_gettid,
    SYS_getppid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getresuid,
    SYS_getresgid,
    SYS_getgroups,
    SYS_getpgid,
    SYS_getsid,
    SYS_uname,
    SYS_sysinfo,
    SYS_getcwd,
    SYS_chdir,
    SYS_fchdir,
    SYS_mkdirat,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_readlinkat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_utimensat,
    SYS_truncate,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fsync,
    SYS_fdatasync,
    SYS_flock,
    SYS_fcntl,
    SYS_getdents64,
    SYS_umask,
    SYS_exit,
    SYS_exit_group,
    SYS_futex,
    SYS_set_tid_address,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_rseq,
    SYS_getrandom,
    SYS_prlimit64,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_tgkill,
    SYS_restart_syscall,
    SYS_setitimer,
    SYS_getitimer,
    SYS_wait4,
    SYS_waitid,
    SYS_execve};
enum { ALLOWED = sizeof allowed / sizeof allowed[0] };

/* Of ioctl: is it a terminal, how much is there to read, close on exec. */
static const unsigned requests[] = {0x5401, 0x5413, 0x541b, 0x5450, 0x5451};
enum { REQUESTS = sizeof requests / sizeof requests[0] };

enum {
  THREAD = CLONE_THREAD | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
           CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
};
#define X32 0x40000000u /* numbers of another ABI on the same processor */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF_EQUAL(value, then, otherwise)                                                           \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (then), (otherwise))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define ERROR(number) (SECCOMP_RET_ERRNO | (number))

enum { ROOM = 32 + 2 * ALLOWED + 2 * REQUESTS };

typedef struct program {
  struct sock_filter at[ROOM];
  unsigned short count;
} program;

static void add(program *p, struct sock_filter instruction) {
  if (p->count < ROOM) p->at[p->count++] = instruction;
}

/* Of words of 64 bits the lower half is what these calls look at; both processors are
 * little-endian. */
static void write_program(program *p) {
  add(p, (struct sock_filter)LOAD(arch));
  add(p, (struct sock_filter)IF_EQUAL(ARCHITECTURE, 1, 0));
  add(p, (struct sock_filter)ANSWER(SECCOMP_RET_KILL_PROCESS));
  add(p, (struct sock_filter)LOAD(nr));
  add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1));
  add(p, (struct sock_filter)ANSWER(SECCOMP_RET_KILL_PROCESS));
  for (size_t i = 0; i < ALLOWED; i++) {
    add(p, (struct sock_filter)IF_EQUAL(allowed[i], 0, 1));
    add(p, (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW));
  }
  /* Its flags lie in memory, where no filter sees them; libraries then take clone. */
  add(p, (struct sock_filter)IF_EQUAL(SYS_clone3, 0, 1));
  add(p, (struct sock_filter)ANSWER(ERROR(ENOSYS)));
  add(p, (struct sock_filter)IF_EQUAL(SYS_clone, 0, 5)); /* threads, nothing else */
  add(p, (struct sock_filter)LOAD(args[0]));
  add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, THREAD));
  add(p, (struct sock_filter)IF_EQUAL(CLONE_THREAD, 0, 1));
  add(p, (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW));
  add(p, (struct sock_filter)ANSWER(ERROR(EPERM)));
  add(p, (struct sock_filter)IF_EQUAL(SYS_ioctl, 1, 0));
  add(p, (struct sock_filter)ANSWER(ERROR(EPERM)));
  add(p, (struct sock_filter)LOAD(args[1]));
  for (size_t i = 0; i < REQUESTS; i++) {
    add(p, (struct sock_filter)IF_EQUAL(requests[i], 0, 1));
    add(p, (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW));
  }
  add(p, (struct sock_filter)ANSWER(ERROR(ENOTTY)));
}

bool zh_sandbox_filter(void) {
  program p = {.count = 0};
  if (ARCHITECTURE == 0) {
    errno = ENOSYS; /* no list is written for this processor */
    return false;
  }
  write_program(&p);
  struct sock_fprog whole = {.len = p.count, .filter = p.at};
  return p.count < ROOM && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) == 0;
}
