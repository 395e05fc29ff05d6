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
  assert_string_equal(all[0]->name, "reference");
  assert_true(all[0]->fp64_sums);
  for (; *all; all++) {
    assert_non_null((*all)->name);
    assert_true((*all)->matmul && (*all)->rmsnorm && (*all)->rope && (*all)->attention);
    assert_true((*all)->silu_multiply && (*all)->add && (*all)->argmax && (*all)->logsumexp);
    assert_true(!(*all)->prepare == !(*all)->multiply);
  }
}

/* ctest runs this file with ZHIHENG_ISA unset and with each of its words. */
static void best_obeys_the_word_and_the_cpu(void **state) {
  (void)state;
  zh_cpu_features has = zh_cpu_detect();
  const char *isa = getenv("ZHIHENG_ISA");
  bool amx = has.amx_bf16 && has.amx_int8 && has.avx512_bf16 && has.avx512_vnni;
  const char *expected = has.avx512 && amx          ? "amx"
                         : has.avx512               ? "avx512"
                         : has.avx2_fma && has.f16c ? "avx2"
                                                    : "reference";
  if (isa && strcmp(isa, "reference") == 0) expected = "reference";
  if (isa && strcmp(isa, "avx512") == 0 && has.avx512) expected = "avx512";
  if (isa && strcmp(isa, "avx2") == 0 && has.avx2_fma && has.f16c) expected = "avx2";
  assert_string_equal(zh_kernels_best()->name, expected);
  if (strcmp(expected, "reference") == 0) {
    assert_string_equal(zh_gemm_best("int8")->variant, "reference");
    assert_string_equal(zh_memory_variant(), "portable");
  }
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
      cmocka_unit_test(peak_loops_come_best_first),
      cmocka_unit_test(gemms_are_found_by_type),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
