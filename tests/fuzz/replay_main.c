/* Feeds a fuzz target every file of a folder, whole and cut off at many places: a reader that
 * mishandles a truncated file crashes here, under a sanitizer with its stack. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "fuzz.h"

enum { CUTS = 400, MAX_BYTES = 16 << 20 };

/* Its own allocation of exactly `size` bytes, so that a read past the end is seen. */
static void feed(const char *bytes, size_t size) {
  uint8_t *copy = malloc(size > 0 ? size : 1);
  if (copy == NULL) abort();
  memcpy(copy, bytes, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
}

static zh_status replay(const char *folder, const char *name, zh_error *err) {
  char path[4096], *bytes;
  size_t size;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  ZH_TRY(zh_read_file(&bytes, &size, path, MAX_BYTES, err));
  size_t step = size / CUTS + 1;
  for (size_t cut = 0; cut < size; cut += step) feed(bytes, cut);
  feed(bytes, size);
  free(bytes);
  return ZH_OK;
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  zh_file_list files = {0};
  if (argc != 2) {
    fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  zh_status status = zh_list_files(&files, argv[1], &err);
  if (status == ZH_OK && files.count == 0)
    status = zh_fail(&err, ZH_ERR_INPUT, "%s: holds no seeds", argv[1]);
  for (size_t i = 0; status == ZH_OK && i < files.count; i++)
    status = replay(argv[1], files.paths[i], &err);
  if (status != ZH_OK) fprintf(stderr, "%s\n", err.message);
  if (status == ZH_OK) printf("%zu seeds replayed\n", files.count);
  zh_file_list_free(&files);
  return zh_status_exit_code(status);
}
