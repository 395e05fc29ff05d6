#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "core/arena.h"
#include "core/clock.h"
#include "core/dtype.h"
#include "core/status.h"
#include "core/text.h"

static void the_innermost_message_wins(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_fail(&err, ZH_ERR_INPUT, "line %d", 7), ZH_ERR_INPUT);
  assert_int_equal(zh_fail(&err, ZH_ERR_IO, "later"), ZH_ERR_IO);
  assert_int_equal(err.status, ZH_ERR_INPUT);
  assert_string_equal(err.message, "line 7");
  assert_string_equal(err.source, "test_status.c");
  zh_error_prefix(&err, "%s", "suite.yaml");
  assert_string_equal(err.message, "suite.yaml: line 7");
  assert_int_equal(zh_fail(NULL, ZH_ERR_IO, "nobody listens"), ZH_ERR_IO);
}

static void long_messages_are_cut_not_overrun(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  char huge[4000];
  memset(huge, 'x', sizeof huge - 1);
  huge[sizeof huge - 1] = 0;
  zh_status status = zh_fail(&err, ZH_ERR_INPUT, "%s", huge);
  assert_int_equal(status, ZH_ERR_INPUT);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
  zh_error_prefix(&err, "short");
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
  assert_memory_equal(err.message, "short: x", 8);
  zh_error_prefix(&err, "%s", huge);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void messages_are_fit_for_terminals_and_json(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT, wide = ZH_ERROR_INIT;
  zh_status status = zh_fail(&err, ZH_ERR_INPUT, "tensor '\x1B[2J\xFF\xC2\x9B智\x7F'\t|");
  assert_string_equal(err.message, "tensor '?[2J???智?'\t|");
  zh_error lines = ZH_ERROR_INIT;
  status = zh_fail(&lines, status, "%s: expected this\n  7 | that", "a\nb\r\n");
  assert_string_equal(lines.message, "a?b??: expected this\n  7 | that");
  zh_text text = {0};
  for (int i = 0; i < 500; i++) zh_text_puts(&text, "智");
  status = zh_fail(&wide, status, "%s", zh_text_string(&text));
  assert_int_equal(strlen(wide.message),
                   sizeof wide.message / 3 * 3 - (sizeof wide.message % 3 == 0 ? 3 : 0));
  zh_error_prefix(&wide, "ab");
  assert_int_equal(zh_utf8_valid_prefix(wide.message, strlen(wide.message)), strlen(wide.message));
  zh_text_free(&text);
}

static void every_status_has_a_name_and_an_exit_code(void **state) {
  (void)state;
  assert_string_equal(zh_status_name(ZH_ERR_CHECK), "ZH_ERR_CHECK");
  assert_int_equal(zh_status_exit_code(ZH_OK), 0);
  assert_int_equal(zh_status_exit_code(ZH_ERR_CHECK), 1);
  assert_int_equal(zh_status_exit_code(ZH_ERR_USAGE), 2);
  assert_int_equal(zh_status_exit_code(ZH_ERR_LACKING), 3);
  assert_string_equal(zh_status_text(ZH_ERR_INTERRUPTED), "interrupted");
}

static void an_arena_keeps_its_limit(void **state) {
  (void)state;
  zh_arena *arena;
  assert_int_equal(zh_arena_create(&arena, 1000, NULL), ZH_OK);
  unsigned char *p = zh_arena_alloc(arena, 10, 3);
  assert_non_null(p);
  assert_int_equal((uintptr_t)p % 16, 0);
  for (int i = 0; i < 30; i++) assert_int_equal(p[i], 0);
  assert_null(zh_arena_alloc(arena, SIZE_MAX, 2));
  assert_null(zh_arena_alloc(arena, SIZE_MAX, 1));
  assert_null(zh_arena_alloc(arena, 1000, 1));
  assert_string_equal(zh_arena_printf(arena, "%d-%s", 5, "x"), "5-x");
  assert_string_equal(zh_arena_strndup(arena, "abcdef", 3), "abc");
  while (zh_arena_alloc(arena, 1, 100) != NULL) continue;
  assert_non_null(zh_arena_alloc(arena, 1, 1));
  zh_arena_free(arena);
  zh_arena_free(NULL);
}

static void an_arena_holds_more_than_a_block(void **state) {
  (void)state;
  zh_arena *arena;
  char *kept[300];
  assert_int_equal(zh_arena_create(&arena, 0, NULL), ZH_OK);
  for (int i = 0; i < 300; i++) {
    kept[i] = zh_arena_alloc(arena, 1, i % 50 == 0 ? 200000 : 1000);
    assert_non_null(kept[i]);
    memset(kept[i], i, 1000);
  }
  for (int i = 0; i < 300; i++) assert_int_equal((unsigned char)kept[i][999], i & 0xFF);
  zh_arena_free(arena);
}

static void element_types_know_their_bytes(void **state) {
  (void)state;
  uint64_t bytes;
  assert_true(zh_dtype_bytes(&bytes, ZH_Q4_1, 64));
  assert_int_equal(bytes, 40);
  assert_true(zh_dtype_bytes(&bytes, ZH_Q6_K, 512));
  assert_int_equal(bytes, 420);
  assert_true(zh_dtype_bytes(&bytes, ZH_F32, 0));
  assert_int_equal(bytes, 0);
  assert_false(zh_dtype_bytes(&bytes, ZH_Q4_0, 33));
  assert_false(zh_dtype_bytes(&bytes, ZH_F64, UINT64_MAX / 4));
  assert_false(zh_dtype_bytes(&bytes, (zh_dtype)4, 32));
  assert_null(zh_dtype_find(4));
  assert_null(zh_dtype_find(UINT32_MAX));
  assert_int_equal(zh_dtype_by_name("BF16")->type, ZH_BF16);
  assert_null(zh_dtype_by_name("bf16"));
  assert_true(zh_dtype_is_weight(ZH_Q5_K));
  assert_true(zh_dtype_is_weight(ZH_MXFP4));
  assert_false(zh_dtype_is_weight(ZH_I32));
  assert_false(zh_dtype_is_weight(ZH_IQ2_XS));
}

static void an_injected_clock_runs_fast_and_is_caught(void **state) {
  (void)state;
  int64_t reference = zh_reference_now_ns(), now = zh_now_ns();
  zh_clock_inject_rate(3.0);
  while (zh_reference_now_ns() - reference < 20000000) continue;
  double ratio = (double)(zh_now_ns() - now) / (double)(zh_reference_now_ns() - reference);
  assert_true(ratio > 2.5 && ratio < 3.2);
  zh_clock_inject_rate(1.0);
  char utc[32];
  zh_utc_now(utc, sizeof utc);
  assert_int_equal(strlen(utc), 20);
  assert_int_equal(utc[19], 'Z');
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_innermost_message_wins),
      cmocka_unit_test(long_messages_are_cut_not_overrun),
      cmocka_unit_test(messages_are_fit_for_terminals_and_json),
      cmocka_unit_test(every_status_has_a_name_and_an_exit_code),
      cmocka_unit_test(an_arena_keeps_its_limit),
      cmocka_unit_test(an_arena_holds_more_than_a_block),
      cmocka_unit_test(element_types_know_their_bytes),
      cmocka_unit_test(an_injected_clock_runs_fast_and_is_caught),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
