/* Labels of a scatter: each is there, inside the drawing, on no other, however close the points. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/chart.h"

enum { POINTS = 12, LETTER = 5, LINE = 12 };

static double number(const json_t *of, const char *key) {
  return strtod(json_string_value(json_object_get(of, key)), NULL);
}

static void test_labels_of_near_points_stand_apart(void **state) {
  char name[POINTS][24];
  zh_chart_point points[POINTS];
  (void)state;
  for (size_t i = 0; i < POINTS; i++) {
    snprintf(name[i], sizeof name[i], "model-%zu-Q4_K_M", i);
    points[i] = (zh_chart_point){.x = 100 + (double)(i % 3),
                                 .y = 0.5 + 0.001 * (double)(i / 3),
                                 .x_low = NAN,
                                 .x_high = NAN,
                                 .y_low = NAN,
                                 .y_high = NAN,
                                 .label = name[i],
                                 .title = name[i],
                                 .kind = "plain"};
  }
  points[0].x = 400, points[0].y = 0.502; /* alone: its label beside it */
  points[1].x = 10;
  zh_chart chart = {.title = "t",
                    .x = {.title = "x", .from_zero = true},
                    .y = {.title = "y"},
                    .points = points,
                    .count = POINTS};
  json_t *drawn = zh_chart_scatter(&chart), *dots = json_object_get(drawn, "dots"), *dot;
  double x[POINTS], y[POINTS], width = number(drawn, "width");
  size_t i, leaders = 0;
  assert_int_equal(json_array_size(dots), POINTS);
  json_array_foreach(dots, i, dot) {
    const json_t *label = json_array_get(json_object_get(dot, "labels"), 0);
    assert_string_equal(json_string_value(json_object_get(label, "label")), name[i]);
    x[i] = number(label, "label_x"), y[i] = number(label, "label_y");
    assert_true(x[i] >= 0 && x[i] + LETTER * (double)strlen(name[i]) <= width);
    assert_true(y[i] - LINE >= -1 && y[i] <= number(drawn, "bottom"));
    leaders += json_array_size(json_object_get(dot, "leaders"));
    for (size_t k = 0; k < i; k++)
      assert_true(fabs(x[k] - x[i]) >= LETTER * (double)strlen(name[0]) ||
                  fabs(y[k] - y[i]) >= LINE - 1);
  }
  dot = json_array_get(dots, 0);
  assert_int_equal(json_array_size(json_object_get(dot, "leaders")), 0);
  assert_true(leaders > 0);
  json_decref(drawn);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_labels_of_near_points_stand_apart)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
