/* What fuzz targets share. A target defines LLVMFuzzerTestOneInput; readers of files get the bytes
 * as a file. */
#ifndef ZH_TESTS_FUZZ_H
#define ZH_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A path under which the bytes can be read as a regular file, in memory; valid until the next call.
 */
static inline const char *fuzz_file(const uint8_t *data, size_t size) {
  static char path[64];
  static int fd = -1;
  if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 0) != 0 || (size > 0 && pwrite(fd, data, size, 0) != (ssize_t)size)) {
    perror("fuzz: memfd");
    abort();
  }
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return path;
}

#endif
