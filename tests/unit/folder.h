/* A folder of the test's own, below TMPDIR. It is gone when the test's process ends, whatever
 * became of the tests; what is killed leaves it below the build folder, where ctest lets TMPDIR
 * lead (tests/CMakeLists.txt). */
#ifndef ZH_TESTS_FOLDER_H
#define ZH_TESTS_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"

static char test_folder_path[256];
static pid_t test_folder_owner; /* processes that a test forks leave it alone */

static inline void remove_test_folder(void) {
  if (getpid() == test_folder_owner && zh_remove_tree(test_folder_path, NULL) != ZH_OK)
    fprintf(stderr, "%s was left behind\n", test_folder_path);
}

static inline const char *test_folder(void) {
  const char *base = getenv("TMPDIR");
  if (test_folder_path[0] != '\0') return test_folder_path;
  snprintf(test_folder_path, sizeof test_folder_path, "%.220s/zhiheng-test-XXXXXX",
           base != NULL && base[0] != '\0' ? base : "/tmp");
  if (mkdtemp(test_folder_path) == NULL || atexit(remove_test_folder) != 0) {
    perror(test_folder_path);
    abort();
  }
  test_folder_owner = getpid();
  return test_folder_path;
}

/* Anew and empty: a setup of cmocka's. */
static inline int empty_test_folder(void **state) {
  const char *path = test_folder();
  (void)state;
  return zh_remove_tree(path, NULL) == ZH_OK && mkdir(path, 0700) == 0 ? 0 : -1;
}

#endif
