/* The verifier of MANIFEST.sm3, in a folder with one file "a" that holds "abc". */
#include <string.h>

#include "core/manifest.h"
#include "fuzz.h"
#include "tests/unit/folder.h"

static void put(const char *name, const void *bytes, size_t size) {
  char path[600];
  snprintf(path, sizeof path, "%s/%s", test_folder(), name);
  FILE *file = fopen(path, "wb");
  if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int made;
  zh_error err = ZH_ERROR_INIT;
  char digest[ZH_DIGEST_HEX];
  if (!made) {
    put("a", "abc", 3);
    made = 1;
  }
  put(ZH_MANIFEST_NAME, data, size);
  zh_status status = zh_manifest_verify(test_folder(), digest, &err);
  if ((status == ZH_OK) != (err.message[0] == 0)) abort();
  return 0;
}
