/* The verifier of MANIFEST.sm3, in a folder with one file "a" that holds "abc". */
#include <string.h>

#include "core/files.h"
#include "core/manifest.h"
#include "fuzz.h"

static char folder[] = "/tmp/zhiheng-fuzz-XXXXXX";

static void remove_folder(void) {
  if (zh_remove_tree(folder, NULL) != ZH_OK) fprintf(stderr, "%s was left behind\n", folder);
}

static void put(const char *name, const void *bytes, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "wb");
  if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int made;
  zh_error err = ZH_ERROR_INIT;
  char digest[ZH_DIGEST_HEX];
  if (!made) {
    if (mkdtemp(folder) == NULL) abort();
    atexit(remove_folder);
    put("a", "abc", 3);
    made = 1;
  }
  put(ZH_MANIFEST_NAME, data, size);
  zh_status status = zh_manifest_verify(folder, digest, &err);
  if ((status == ZH_OK) != (err.message[0] == 0)) abort();
  return 0;
}
