#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

static void every_table_is_whole(void **state) {
  (void)state;
  const zh_kernels *const *all = zh_kernels_all();
  assert_ptr_equal(all[0], zh_kernels_reference());
  assert_string_equal(all[0]->name, "ref");
  assert_true(all[0]->fp64_sums);
  for (; *all; all++) {
    assert_non_null((*all)->name);
    assert_true((*all)->matmul && (*all)->rmsnorm && (*all)->rope && (*all)->attention);
    assert_true((*all)->silu_multiply && (*all)->add && (*all)->argmax && (*all)->logsumexp);
    assert_true(!(*all)->prepare == !(*all)->multiply);
  }
}

static const char *const words[] = {"ref", "portable", "avx2", "avx512", "vnni", "amx"};

/* As CPUID says, by itself. */
static int best_level(void) {
  zh_cpu_features has = zh_cpu_detect();
  if (!has.avx2_fma || !has.f16c) return 1;
  if (!has.avx512) return 2;
  if (!has.avx512_vnni) return 3;
  return has.avx512_bf16 && has.avx512_vbmi && has.amx_bf16 && has.amx_int8 ? 5 : 4;
}

static int asked_level(void) {
  const char *word = getenv("ZH_CPU");
  for (int i = 0; word && i < 6; i++)
    if (strcmp(word, words[i]) == 0) return i;
  return -1;
}

/* ctest runs this file with ZH_CPU unset, with each of its words, and with one that is none. */
static void best_obeys_the_word_and_the_cpu(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  const char *missing = "";
  int best = best_level(), asked = asked_level();
  int expected = asked >= 0 && asked < best ? asked : best;
  assert_string_equal(zh_kernels_best()->name, words[expected]);
  bool wrong = getenv("ZH_CPU") && *getenv("ZH_CPU") && asked < 0;
  assert_int_equal(zh_kernels_asked(&missing, &err), wrong ? ZH_ERR_USAGE : ZH_OK);
  if (wrong) assert_non_null(strstr(err.message, getenv("ZH_CPU")));
  if (asked > best)
    assert_string_equal(missing, words[asked]);
  else
    assert_null(missing);
}

static void a_lower_word_imitates_a_lesser_machine(void **state) {
  (void)state;
  const char *best = zh_kernels_best()->name;
  const char *int8 = zh_gemm_best("int8")->variant, *fp32 = zh_gemm_best("fp32")->variant;
  if (strcmp(best, "ref") == 0 || strcmp(best, "portable") == 0) {
    assert_string_equal(fp32, strcmp(best, "ref") == 0 ? "reference" : "portable");
    assert_string_equal(zh_memory_variant(), "portable");
    assert_string_equal(zh_peak_loops()->variant, "portable");
  }
  if (strcmp(best, "avx2") == 0) assert_string_equal(fp32, "avx2");
  if (strcmp(best, "avx512") == 0) assert_string_equal(fp32, "avx512");
  if (asked_level() >= 0 && asked_level() < 4 && asked_level() < best_level())
    assert_string_equal(int8, "reference");
  for (const zh_peak_loop *loop = zh_peak_loops(); loop->metric; loop++)
    if (strcmp(best, "amx") != 0) assert_string_not_equal(loop->variant, "amx");
}

static void peak_loops_come_best_first(void **state) {
  (void)state;
  static const char *const metrics[] = {"fp32_fma", "bf16_dot", "int8_dot"};
  for (int i = 0; i < 3; i++) {
    const char *last = NULL;
    for (const zh_peak_loop *loop = zh_peak_loops(); loop->metric; loop++)
      if (strcmp(loop->metric, metrics[i]) == 0) last = loop->variant;
    assert_non_null(last);
    assert_string_equal(last, "portable");
  }
}

static void gemms_are_found_by_type(void **state) {
  (void)state;
  static const char *const types[] = {"fp32", "bf16", "int8"};
  for (int i = 0; i < 3; i++) {
    assert_string_equal(zh_gemm_best(types[i])->type, types[i]);
    assert_string_equal(zh_gemm_reference(types[i])->variant, "reference");
  }
  assert_null(zh_gemm_best("fp8"));
  assert_null(zh_gemm_reference(""));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_table_is_whole),
      cmocka_unit_test(best_obeys_the_word_and_the_cpu),
      cmocka_unit_test(a_lower_word_imitates_a_lesser_machine),
      cmocka_unit_test(peak_loops_come_best_first),
      cmocka_unit_test(gemms_are_found_by_type),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
