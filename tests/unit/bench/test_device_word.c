/* Words of --device, with the module that ZH_DEVICE_MODULE names: tests' shim, which shows one GPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "bench/device_word.h"

static void words_name_devices(void **state) {
  static const struct {
    const char *word;
    int device;
  } good[] = {{NULL, 0}, {"cpu", 0}, {"gpu", 1}, {"gpu:0", 1}, {"gpu:3", 4}, {"auto", 1}};
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    zh_error err = ZH_ERROR_INIT;
    int device = -1;
    assert_int_equal(zh_device_word(&device, good[i].word, &err), ZH_OK);
    assert_int_equal(device, good[i].device);
  }
}

static void other_words_are_refused(void **state) {
  static const char *const bad[] = {"",       "gpus",           "GPU", "gpu:", "gpu:-1",
                                    "gpu:1x", "gpu:99999999999"};
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    zh_error err = ZH_ERROR_INIT;
    int device = 0;
    assert_int_equal(zh_device_word(&device, bad[i], &err), ZH_ERR_USAGE);
    assert_non_null(strstr(err.message, "expected cpu, gpu, gpu:N or auto"));
  }
}

static void what_is_lacking_is_said(void **state) {
  zh_error err = ZH_ERROR_INIT;
  (void)state;
  assert_int_equal(zh_device_is_here(0, &err), ZH_OK);
  assert_int_equal(zh_device_is_here(1, &err), ZH_OK);
  assert_int_equal(zh_device_is_here(2, &err), ZH_ERR_LACKING);
  assert_non_null(strstr(err.message, "there is no GPU 1"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_name_devices),
      cmocka_unit_test(other_words_are_refused),
      cmocka_unit_test(what_is_lacking_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
