/* Where the kernel refuses a wall nothing is run, and the sentence says which: played by a filter
 * that refuses it, so that this runs everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/sandbox/judge.h"

/* One call is refused from now on; of clone that with new users alone. */
static bool refuse(unsigned call, int error) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 2),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWUSER, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog whole = {.len = sizeof program / sizeof program[0], .filter = program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) == 0;
}

/* In a process of its own: a filter stays. What it said comes through a pipe. */
static void refused_with(unsigned call, int error, const char *wanted) {
  char said[1200] = "";
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  pid_t pid = fork();
  if (pid == 0) {
    static const char program[] = "print('it was run')";
    zh_judgement judgement;
    zh_error err = ZH_ERROR_INIT;
    if (!refuse(call, error)) _exit(9);
    zh_status status = zh_judge_python(&judgement, program, sizeof program - 1, &err);
    int length = snprintf(said, sizeof said, "%s: %s", zh_status_name(status), err.message);
    _exit(write(ends[1], said, (size_t)length) == length ? 0 : 8);
  }
  int how = 0;
  assert_int_equal(waitpid(pid, &how, 0), pid);
  assert_true(WIFEXITED(how));
  assert_int_equal(WEXITSTATUS(how), 0);
  assert_true(read(ends[0], said, sizeof said - 1) > 0);
  close(ends[0]);
  close(ends[1]);
  if (strncmp(said, "ZH_ERR_LACKING: ", 16) != 0 || !strstr(said, wanted))
    fail_msg("'%s' is not in: %s", wanted, said);
}

static void no_namespaces(void **state) {
  (void)state;
  refused_with(SYS_clone, EPERM, "namespaces (Operation not permitted)");
}

/* The walls behind that one can be refused only where it stands. */
static bool stands(void) {
  zh_error err = ZH_ERROR_INIT;
  return zh_sandbox_probe(&err) == ZH_OK;
}

static void no_mounts(void **state) {
  (void)state;
  if (stands()) refused_with(SYS_mount, EACCES, "mounts of its own (Permission denied)");
}

static void no_new_root(void **state) {
  (void)state;
  if (stands()) refused_with(SYS_pivot_root, EINVAL, "turning to the new root (Invalid argument)");
}

static void no_sealing(void **state) {
  (void)state;
  if (stands())
    refused_with(SYS_mount_setattr, ENOSYS,
                 "the system's programs, read-only (Function not implemented)");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(no_namespaces), cmocka_unit_test(no_mounts),
                                     cmocka_unit_test(no_new_root), cmocka_unit_test(no_sealing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
