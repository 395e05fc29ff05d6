#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

static void memory_is_there_and_on_whole_pages(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 9 << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char *p = zh_big_alloc(sizes[i]);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % (2 << 20), 0);
    assert_int_equal(p[sizes[i] - 1], 0);
    memset(p, 1, sizes[i]);
    zh_big_free(p, sizes[i]);
  }
}

static void impossible_sizes_give_nothing(void **state) {
  (void)state;
  assert_null(zh_big_alloc(0));
  assert_null(zh_big_alloc(SIZE_MAX));
  assert_null(zh_big_alloc(SIZE_MAX / 2));
  zh_big_free(NULL, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_is_there_and_on_whole_pages),
      cmocka_unit_test(impossible_sizes_give_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
