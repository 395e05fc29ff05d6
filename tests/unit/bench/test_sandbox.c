/* Each wall of the sandbox, by a program that runs against it; what the program tries is possible
 * outside. Skipped only where the kernel lacks a wall: then the program is refused, which
 * test_sandbox_refused.c looks at everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/sandbox/judge.h"

enum { SKIPPED = 77, MIB = 1 << 20 };
static const char *python;

static zh_sandbox_limits small(void) {
  zh_sandbox_limits l = zh_sandbox_usual();
  l.memory = 256 * MIB;
  l.scratch = 4 * MIB;
  l.file = MIB;
  l.output = MIB;
  l.cpu_seconds = 20; /* of a machine that has other things to do */
  l.wall_seconds = 60;
  return l;
}

static zh_sandbox_outcome run_within(const char *program, const zh_sandbox_limits *limits) {
  const char *const words[] = {python, "-s", "-B", "-c", program, NULL};
  zh_sandbox_job job = {.words = words, .limits = *limits};
  zh_sandbox_outcome out;
  zh_error err = ZH_ERROR_INIT;
  if (zh_sandbox_run(&out, &job, &err) != ZH_OK) fail_msg("%s", err.message);
  return out;
}

/* The program must end by itself, with status 0, and print this. */
static void prints(const char *program, const char *wanted) {
  zh_sandbox_limits limits = small();
  zh_sandbox_outcome out = run_within(program, &limits);
  if (out.end != ZH_SANDBOX_EXITED || out.code != 0)
    fail_msg("end %d, code %d: %s", (int)out.end, out.code, zh_text_string(&out.output));
  assert_string_equal(zh_text_string(&out.output), wanted);
  zh_sandbox_outcome_free(&out);
}

static void says_what_it_printed_and_how_it_ended(void **state) {
  (void)state;
  prints("print('an answer')", "an answer\n");
  zh_sandbox_limits limits = small();
  zh_sandbox_outcome out = run_within("raise SystemExit(7)", &limits);
  assert_int_equal(out.end, ZH_SANDBOX_EXITED);
  assert_int_equal(out.code, 7);
  zh_sandbox_outcome_free(&out);
  out = run_within("import os; os.abort()", &limits);
  assert_int_equal(out.end, ZH_SANDBOX_SIGNALLED);
  zh_sandbox_outcome_free(&out);
}

static void opens_no_socket(void **state) {
  (void)state;
  int outside = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(outside >= 0);
  close(outside);
  prints("import socket\n"
         "for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):\n"
         "    try: socket.socket(family, socket.SOCK_RAW); print('open')\n"
         "    except PermissionError as e: print(e.errno)\n",
         "1\n1\n1\n1\n");
}

/* Of the machine's files only its programs; nothing of /etc, of homes, of processes. */
static void sees_the_systems_programs_alone(void **state) {
  (void)state;
  prints("import os\n"
         "print(sorted(set(os.listdir('/')) - {'bin', 'lib', 'lib32', 'lib64', 'etc'}))\n"
         "print(os.path.exists('/etc/shadow'), os.path.exists('/etc/passwd'))\n"
         "print([p for p in ('/root', '/home', '/proc/self', '/sys', '/tmp', '/var', '/run') if "
         "os.path.exists(p)])\n"
         "print(sorted(os.listdir('/dev')), os.getcwd(), os.listdir('.'))\n",
         "['box', 'dev', 'usr']\nFalse False\n[]\n['null', 'urandom'] /box []\n");
  char program[4096];
  const char *home = getenv("HOME");
  snprintf(program, sizeof program, "import os; print(os.path.exists(%s%s%s), os.path.exists(%s))",
           "'", home && home[0] ? home : "/root", "'", "'" ZH_SOURCE_DIR "'");
  prints(program, "False False\n");
}

static void writes_into_its_folder_alone(void **state) {
  (void)state;
  prints(
      "import errno\n"
      "for path in ('/new', '/usr/new', '/usr/bin/python3', '/bin/new', '/dev/new', '/box/new'):\n"
      "    try: open(path, 'r+' if 'python' in path else 'w'); print(path, 'written')\n"
      "    except OSError as e: print(path, errno.errorcode[e.errno])\n",
      "/new EROFS\n/usr/new EROFS\n/usr/bin/python3 EACCES\n/bin/new EROFS\n/dev/new EROFS\n"
      "/box/new written\n");
}

static void writes_no_huge_file(void **state) {
  (void)state;
  prints("import errno\n"
         "def fill(name, most):\n"
         "    done = 0\n"
         "    with open(name, 'wb', buffering=0) as file:\n"
         "        while done < most:\n"
         "            done += file.write(b'x' * 65536)\n"
         "for n in range(9):\n"
         "    try: fill(f'file{n}', 1 << (30 if n == 0 else 20))\n"
         "    except OSError as e: print(n, errno.errorcode[e.errno])\n",
         "0 EFBIG\n4 ENOSPC\n5 ENOSPC\n6 ENOSPC\n7 ENOSPC\n8 ENOSPC\n");
}

static void forks_nothing(void **state) {
  (void)state;
  prints("import os, subprocess, sys\n"
         "def bomb():\n"
         "    while True: os.fork()\n"
         "def behind():\n"
         "    if os.fork() == 0: os.setsid(); os.fork()\n"
         "for try_it in (bomb, behind, lambda: subprocess.Popen([sys.executable, '-c', '1']),\n"
         "               lambda: os.posix_spawn('/usr/bin/true', ['true'], {})):\n"
         "    try: try_it(); print('forked')\n"
         "    except PermissionError as e: print(e.errno)\n",
         "1\n1\n1\n1\n");
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left behind */
  assert_int_equal(errno, ECHILD);
}

static void has_few_threads(void **state) {
  (void)state;
  zh_sandbox_limits limits = small();
  limits.memory = 1024ull * MIB;
  zh_sandbox_outcome out =
      run_within("import os, threading, time\n"
                 "count = 1\n"
                 "try:\n"
                 "    while count < 500:\n"
                 "        threading.Thread(target=time.sleep, args=(60,)).start()\n"
                 "        count += 1\n"
                 "except RuntimeError: pass\n"
                 "os.write(1, str(count).encode())\n"
                 "os._exit(0)\n",
                 &limits);
  assert_int_equal(out.end, ZH_SANDBOX_EXITED);
  assert_string_equal(zh_text_string(&out.output), "32");
  assert_true(out.seconds < 30);
  zh_sandbox_outcome_free(&out);
}

static void holds_little_memory(void **state) {
  (void)state;
  zh_sandbox_limits limits = small();
  zh_sandbox_outcome out = run_within("held = []\n"
                                      "try:\n"
                                      "    while True: held.append(bytearray(b'x') * (1 << 24))\n"
                                      "except MemoryError: count = len(held)\n"
                                      "del held\n"
                                      "print(2 < count < 16)\n",
                                      &limits);
  assert_string_equal(zh_text_string(&out.output), "True\n");
  assert_true(out.peak_bytes > 32 * MIB && out.peak_bytes < limits.memory);
  zh_sandbox_outcome_free(&out);
}

static void does_not_run_for_ever(void **state) {
  (void)state;
  zh_sandbox_limits limits = small();
  limits.cpu_seconds = 1;
  zh_sandbox_outcome out = run_within("while True: pass", &limits);
  assert_int_equal(out.end, ZH_SANDBOX_LATE);
  assert_true(out.cpu_seconds > 0.8 && out.cpu_seconds < 3);
  zh_sandbox_outcome_free(&out);
  limits.wall_seconds = 0.5;
  out = run_within("import signal, time\n"
                   "for s in range(1, 32):\n"
                   "    try: signal.signal(s, signal.SIG_IGN)\n"
                   "    except OSError: pass\n"
                   "while True: time.sleep(600)",
                   &limits);
  assert_int_equal(out.end, ZH_SANDBOX_LATE);
  assert_true(out.seconds > 0.4 && out.seconds < 20);
  zh_sandbox_outcome_free(&out);
}

static void prints_no_more_than_it_may(void **state) {
  (void)state;
  zh_sandbox_limits limits = small();
  zh_sandbox_outcome out = run_within("while True: print('x' * 999)", &limits);
  assert_int_equal(out.end, ZH_SANDBOX_TALKATIVE);
  assert_int_equal(out.output.length, limits.output);
  zh_sandbox_outcome_free(&out);
  out = run_within("import sys\nsys.stderr.write('y' * (1 << 20))", &limits);
  assert_int_equal(out.end, ZH_SANDBOX_EXITED);
  assert_int_equal(out.output.length, MIB);
  zh_sandbox_outcome_free(&out);
}

static void kills_nobody(void **state) {
  (void)state;
  prints("import os, signal\n"
         "for who in (os.getppid(), 0, -1, 1, 2):\n"
         "    try: os.kill(who, signal.SIGKILL); print('killed')\n"
         "    except PermissionError as e: print(e.errno)\n"
         "print(os.getpid(), os.getppid(), os.getsid(0) == os.getpid())\n",
         "1\n1\n1\n1\n1\n1 0 True\n");
}

/* Calls that a program of this kind never needs, by their numbers. */
static void makes_no_dangerous_call(void **state) {
  (void)state;
  static const int calls[] = {SYS_ptrace,
                              SYS_mount,
                              SYS_umount2,
                              SYS_pivot_root,
                              SYS_chroot,
                              SYS_unshare,
                              SYS_setns,
                              SYS_bpf,
                              SYS_keyctl,
                              SYS_add_key,
                              SYS_setresuid,
                              SYS_setuid,
                              SYS_capset,
                              SYS_prctl,
                              SYS_seccomp,
                              SYS_init_module,
                              SYS_kexec_load,
                              SYS_perf_event_open,
                              SYS_userfaultfd,
                              SYS_memfd_create,
                              SYS_execveat,
                              SYS_io_uring_setup,
                              SYS_process_vm_readv,
                              SYS_process_vm_writev,
                              SYS_pidfd_open,
                              SYS_pidfd_getfd,
                              SYS_socketpair,
                              SYS_shmget,
                              SYS_msgget,
                              SYS_open_by_handle_at,
                              SYS_name_to_handle_at,
                              SYS_personality,
                              SYS_sethostname,
                              SYS_mount_setattr,
                              SYS_open_tree,
                              SYS_fsopen,
                              SYS_syslog,
                              SYS_quotactl,
                              SYS_reboot,
                              SYS_clock_settime,
                              SYS_sched_setaffinity,
                              SYS_kill,
                              SYS_tkill,
                              SYS_mbind};
  zh_text program = {0}, wanted = {0};
  zh_text_puts(&program, "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nfor n in [");
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
    zh_text_printf(&program, "%d, ", calls[i]);
  zh_text_printf(
      &program,
      "]:\n"
      "    done = libc.syscall(n, 0, 0, 0, 0, 0, 0)\n"
      "    if done != -1 or ctypes.get_errno() != 1: print(n, done, ctypes.get_errno())\n"
      "print(libc.syscall(%d, 0, 0), ctypes.get_errno())\n"
      "print(libc.ioctl(0, 0x5412, b'x'), ctypes.get_errno())\n",
      SYS_clone3);
  zh_text_printf(&wanted, "-1 %d\n-1 %d\n", ENOSYS, ENOTTY);
  assert_false(program.failed || wanted.failed);
  prints(program.data, wanted.data);
  zh_text_free(&program);
  zh_text_free(&wanted);
}

#ifdef __x86_64__
/* Numbers of the processor's other ABIs, which no list of this one names. */
static void makes_no_call_of_another_abi(void **state) {
  (void)state;
  zh_sandbox_limits limits = small();
  zh_sandbox_outcome out = run_within(
      "import ctypes\nctypes.CDLL(None).syscall(0x40000000 | 39)\nprint('made')", &limits);
  assert_int_equal(out.end, ZH_SANDBOX_SIGNALLED);
  assert_int_equal(out.code, 31); /* SIGSYS */
  zh_sandbox_outcome_free(&out);
}
#endif

static void inherits_nothing(void **state) {
  (void)state;
  int secret = open("/dev/null", O_RDONLY);
  assert_true(secret >= 0);
  setenv("ZH_SECRET", "a key", 1);
  prints("import os\n"
         "def is_open(d):\n"
         "    try: os.fstat(d); return True\n"
         "    except OSError: return False\n"
         "print([d for d in range(1024) if is_open(d)])\n"
         "print([n for n in os.environ if not n.startswith(('PYTHON', 'OPENBLAS', 'MALLOC', "
         "'LC_'))])\n"
         "print(os.getuid(), os.getgid(), os.uname().nodename, os.read(0, 1))\n",
         "[0, 1, 2]\n[]\n1000 1000 box b''\n");
  close(secret);
}

static void two_see_nothing_of_each_other(void **state) {
  (void)state;
  prints("open('left', 'w').write('behind')", "");
  prints("import os; print(os.listdir('.'))", "[]\n");
}

static void gets_the_files_it_is_given(void **state) {
  (void)state;
  const char *const words[] = {python, "-s", "-B", "-c", "print(open('given').read())", NULL};
  const zh_sandbox_file good = {"given", "some text", 9}, bad = {"../given", "some text", 9};
  zh_sandbox_job job = {.words = words, .files = &good, .file_count = 1, .limits = small()};
  zh_sandbox_outcome out;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_sandbox_run(&out, &job, &err), ZH_OK);
  assert_string_equal(zh_text_string(&out.output), "some text\n");
  zh_sandbox_outcome_free(&out);
  job.files = &bad;
  assert_int_equal(zh_sandbox_run(&out, &job, &err), ZH_ERR_LACKING);
  assert_non_null(strstr(err.message, "a private folder"));
}

static void a_program_that_is_not_there_is_named(void **state) {
  (void)state;
  const char *const words[] = {"/usr/bin/there-is-no-such-program", NULL};
  zh_sandbox_job job = {.words = words, .limits = small()};
  zh_sandbox_outcome out;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_sandbox_run(&out, &job, &err), ZH_ERR_LACKING);
  assert_non_null(strstr(err.message, "starting the program"));
}

/* As root the walls are put up by another way than as a user: here the user's. */
static void a_user_can(void **state) {
  (void)state;
  enum { SOMEBODY = 23456 };
  if (geteuid() != 0) return; /* all other tests were this one */
  pid_t pid = fork();
  if (pid == 0) {
    const char *const words[] = {python, "-s", "-B", "-c", "import os; print(os.getuid())", NULL};
    zh_sandbox_job job = {.words = words, .limits = small()};
    zh_sandbox_outcome out;
    zh_error err = ZH_ERROR_INIT;
    if (setgroups(0, NULL) != 0 || setresgid(SOMEBODY, SOMEBODY, SOMEBODY) != 0 ||
        setresuid(SOMEBODY, SOMEBODY, SOMEBODY) != 0 || prctl(PR_SET_DUMPABLE, 1) != 0)
      _exit(3);
    zh_status status = zh_sandbox_run(&out, &job, &err);
    if (status == ZH_ERR_LACKING) {
      fprintf(stderr, "skipped for a user: %s\n", err.message);
      _exit(SKIPPED);
    }
    _exit(status == ZH_OK && strcmp(zh_text_string(&out.output), "1000\n") == 0 ? 0 : 1);
  }
  int how = 0;
  assert_int_equal(waitpid(pid, &how, 0), pid);
  assert_true(WIFEXITED(how));
  assert_true(WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == SKIPPED);
}

/* ---- judging ---- */

static void judges(const char *program, const char *why) {
  zh_judgement got;
  zh_error err = ZH_ERROR_INIT;
  if (zh_judge_python(&got, program, strlen(program), &err) != ZH_OK) fail_msg("%s", err.message);
  assert_string_equal(got.why, why);
  assert_int_equal(got.passed, why[0] == 0);
}

static void passes_what_runs_to_its_end(void **state) {
  (void)state;
  judges("def double(x):\n    return 2 * x\n\nassert double(4) == 8\n", "");
  judges("import threading, time\n"
         "threading.Thread(target=time.sleep, args=(60,)).start()\n"
         "print('failed: by its own words')",
         "");
}

static void fails_what_does_not(void **state) {
  (void)state;
  judges("assert 2 * 4 == 9", "failed: AssertionError");
  judges("def f(:\n", "failed: SyntaxError: invalid syntax (program.py, line 1)");
  judges("raise ValueError('so\\nand so')", "failed: ValueError: so and so");
  judges("import sys; sys.exit(0)", "failed: SystemExit: 0");
  judges("import os; os._exit(0)", "failed: left early, with status 0");
  judges("def f(): return f()\nf()", "failed: RecursionError: maximum recursion depth exceeded");
}

static void judges_several_at_once(void **state) {
  (void)state;
  static const char good[] = "assert 1 + 1 == 2", bad[] = "assert 1 + 1 == 3";
  zh_sandbox_file programs[9];
  zh_judgement got[9];
  zh_error err = ZH_ERROR_INIT;
  for (size_t i = 0; i < 9; i++)
    programs[i] = (zh_sandbox_file){"answer", i % 2 ? bad : good, sizeof good - 1};
  if (zh_judge_all(got, programs, 9, &err) != ZH_OK) fail_msg("%s", err.message);
  for (size_t i = 0; i < 9; i++) assert_int_equal(got[i].passed, i % 2 == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(says_what_it_printed_and_how_it_ended),
                                     cmocka_unit_test(opens_no_socket),
                                     cmocka_unit_test(sees_the_systems_programs_alone),
                                     cmocka_unit_test(writes_into_its_folder_alone),
                                     cmocka_unit_test(writes_no_huge_file),
                                     cmocka_unit_test(forks_nothing),
                                     cmocka_unit_test(has_few_threads),
                                     cmocka_unit_test(holds_little_memory),
                                     cmocka_unit_test(does_not_run_for_ever),
                                     cmocka_unit_test(prints_no_more_than_it_may),
                                     cmocka_unit_test(kills_nobody),
                                     cmocka_unit_test(makes_no_dangerous_call),
#ifdef __x86_64__
                                     cmocka_unit_test(makes_no_call_of_another_abi),
#endif
                                     cmocka_unit_test(inherits_nothing),
                                     cmocka_unit_test(two_see_nothing_of_each_other),
                                     cmocka_unit_test(gets_the_files_it_is_given),
                                     cmocka_unit_test(a_program_that_is_not_there_is_named),
                                     cmocka_unit_test(a_user_can),
                                     cmocka_unit_test(passes_what_runs_to_its_end),
                                     cmocka_unit_test(fails_what_does_not),
                                     cmocka_unit_test(judges_several_at_once)};
  zh_error err = ZH_ERROR_INIT;
  zh_status status = zh_sandbox_probe(&err);
  if (status == ZH_OK) status = zh_sandbox_python(&python, &err);
  if (status == ZH_ERR_LACKING) {
    printf("skipped: %s\n", err.message);
    return SKIPPED;
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
