#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"

/* RFC 4648, section 10. */
static const char *const vectors[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};

static void published_vectors(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
    zh_text text = {0};
    char bytes[8] = "";
    size_t length = strlen(vectors[i][0]);
    zh_base64_append(&text, vectors[i][0], length);
    assert_string_equal(zh_text_string(&text), vectors[i][1]);
    assert_true(zh_base64_decode(bytes, length, vectors[i][1]));
    assert_memory_equal(bytes, vectors[i][0], length);
    assert_false(zh_base64_decode(bytes, length + 3, vectors[i][1]));
    zh_text_free(&text);
  }
}

/* Around the pieces in which it works. */
static void long_texts_come_back(void **state) {
  (void)state;
  unsigned char bytes[10000], back[10000];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 167 + i / 251);
  for (size_t length = 3060; length < 3090; length++) {
    zh_text text = {0};
    zh_base64_append(&text, bytes, length);
    assert_int_equal(text.length, (length + 2) / 3 * 4);
    memset(back, 0, sizeof back);
    assert_true(zh_base64_decode(back, length, text.data));
    assert_memory_equal(back, bytes, length);
    zh_text_free(&text);
  }
}

static void what_is_no_base64_is_refused(void **state) {
  (void)state;
  char out[16];
  assert_false(zh_base64_decode(out, 3, "Zm9"));
  assert_false(zh_base64_decode(out, 3, "Zm9v\n"));
  assert_false(zh_base64_decode(out, 3, "Zm 9"));
  assert_false(zh_base64_decode(out, 3, "Zm9-"));
  assert_false(zh_base64_decode(out, 1, "Zm9v"));
  assert_false(zh_base64_decode(out, 2, "Z==="));
  assert_false(zh_base64_decode(out, 5, "Zg==Zg=="));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(published_vectors),
      cmocka_unit_test(long_texts_come_back),
      cmocka_unit_test(what_is_no_base64_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
