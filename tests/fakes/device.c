/* A module of accelerators that finds one GPU and complains as ZH_FAKE_DEVICE says: abi=99, count,
 * open (in words that a real one uses), or has a MIG slice. It computes nothing. */
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

static int is_word(const char *word) {
  const char *text = getenv("ZH_FAKE_DEVICE");
  return text && strncmp(text, word, strlen(word)) == 0;
}

static zh_status count(int *out, zh_error *err) {
  *out = 1;
  if (!is_word("count")) return ZH_OK;
  *out = 0;
  return zh_fail(err, ZH_ERR_LACKING, "the driver is too old for CUDA 13.0");
}

static zh_status facts(zh_device_facts *out, int index, zh_error *err) {
  (void)index, (void)err;
  *out = (zh_device_facts){
      .name = "Fake GPU 0", .bus = "0000:00:00.0", .major = 7, .minor = 5, .mig = is_word("mig")};
  return ZH_OK;
}

static zh_status open_device(zh_device **out, int index, zh_error *err) {
  static int device;
  *out = (zh_device *)(void *)&device;
  if (!is_word("open")) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "GPU %d is of architecture sm_75, for which there is no code",
                 index);
}

static void close_device(zh_device *device) {
  (void)device;
}

static const char *const *product_variants(const zh_device *device) {
  static const char *const names[] = {"mma", NULL};
  (void)device;
  return names;
}

__attribute__((visibility("default"))) const zh_device_api *zh_device_module(void) {
  static zh_device_api api;
  api = (zh_device_api){.abi = is_word("abi") ? 99 : ZH_DEVICE_ABI,
                        .backend = "fake",
                        .build = "sm_90a",
                        .count = count,
                        .facts = facts,
                        .open = open_device,
                        .close = close_device,
                        .product_variants = product_variants};
  return &api;
}
