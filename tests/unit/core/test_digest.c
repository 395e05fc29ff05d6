/* SM3: GB/T 32905-2016, annex A. SHA-256: FIPS 180-4 examples. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/digest.h"

static void sm3_of_the_standard(void **state) {
  (void)state;
  char hex[ZH_DIGEST_HEX];
  assert_int_equal(zh_digest_bytes(hex, ZH_SM3, "abc", 3, NULL), ZH_OK);
  assert_string_equal(hex, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
  char text[65] = "";
  for (int i = 0; i < 16; i++) strcat(text, "abcd");
  assert_int_equal(zh_digest_bytes(hex, ZH_SM3, text, 64, NULL), ZH_OK);
  assert_string_equal(hex, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732");
}

static void sha256_of_the_standard(void **state) {
  (void)state;
  char hex[ZH_DIGEST_HEX];
  assert_int_equal(zh_digest_bytes(hex, ZH_SHA256, "abc", 3, NULL), ZH_OK);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_int_equal(zh_digest_bytes(hex, ZH_SHA256, NULL, 0, NULL), ZH_OK);
  assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void pieces_give_the_same_digest(void **state) {
  (void)state;
  zh_digest *digest;
  char hex[ZH_DIGEST_HEX];
  assert_int_equal(zh_digest_create(&digest, ZH_SM3, NULL), ZH_OK);
  for (const char *c = "abc"; *c != 0; c++)
    assert_int_equal(zh_digest_update(digest, c, 1, NULL), ZH_OK);
  assert_int_equal(zh_digest_update(digest, NULL, 0, NULL), ZH_OK);
  assert_int_equal(zh_digest_final(hex, digest, NULL), ZH_OK);
  assert_string_equal(hex, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
  zh_digest_free(digest);
  zh_digest_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sm3_of_the_standard),
      cmocka_unit_test(sha256_of_the_standard),
      cmocka_unit_test(pieces_give_the_same_digest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
