#include "bench/device_word.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "kernels/device.h"

enum { MOST = 1024 };

static zh_status count_devices(int *out, zh_error *err) {
  const zh_device_api *api = NULL;
  *out = 0;
  ZH_TRY(zh_device_open_module(&api, err));
  return api->count(out, err);
}

zh_status zh_device_word(int *out, const char *word, zh_error *err) {
  static const char *const words[] = {"cpu", "gpu", "auto", NULL};
  char *end = NULL;
  int count = 0;
  *out = 0;
  if (!word || strcmp(word, "cpu") == 0) return ZH_OK;
  if (strcmp(word, "auto") == 0) {
    *out = count_devices(&count, NULL) == ZH_OK && count > 0;
    return ZH_OK;
  }
  *out = 1;
  if (strcmp(word, "gpu") == 0) return ZH_OK;
  if (strncmp(word, "gpu:", 4) == 0 && word[4] >= '0' && word[4] <= '9') {
    unsigned long index = strtoul(word + 4, &end, 10);
    *out = 1 + (int)(index < MOST ? index : MOST);
    if (*end == '\0' && index < MOST) return ZH_OK;
  }
  char guess[ZH_GUESS_BYTES];
  return zh_fail(err, ZH_ERR_USAGE, "device %s: expected cpu, gpu, gpu:N or auto%s", word,
                 zh_did_you_mean(guess, word, words));
}

zh_status zh_device_is_here(int device, zh_error *err) {
  int count = 0;
  if (device == 0) return ZH_OK;
  ZH_TRY(count_devices(&count, err));
  if (device <= count) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "there is no GPU %d: this process sees %d, numbered from 0 on",
                 device - 1, count);
}
