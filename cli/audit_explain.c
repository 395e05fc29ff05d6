/* zhiheng audit MODEL --explain TENSOR, for people. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/text.h"

static uint64_t number_of(const json_t *object, const char *key) {
  return (uint64_t)json_integer_value(json_object_get(object, key));
}

static double real_of(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "-";
}

static const char *digits_of(char out[32], const json_t *object, const char *key) {
  return zh_group_digits(out, 32, number_of(object, key));
}

static void print_bytes(const json_t *b) {
  const char *source = json_string_value(json_object_get(b, "repeats"));
  char rows[32], columns[32];
  printf("    bytes    XXH3 %s; ", text_of(b, "xxh3"));
  if (json_is_true(json_object_get(b, "zero")))
    printf("all zero");
  else if (json_is_true(json_object_get(b, "constant")))
    printf("one number throughout");
  else
    printf("rows of zeros: %s, columns of zeros: %s", digits_of(rows, b, "zero_rows"),
           digits_of(columns, b, "zero_columns"));
  printf("%s\n", json_is_true(json_object_get(b, "hole")) ? "; a part is a hole in the file" : "");
  if (source != NULL) printf("             equals %s, which comes first, byte for byte\n", source);
}

static void print_scores(const json_t *scores) {
  static const struct {
    const char *key, *words;
  } tests[] = {{"edge", "largest singular value"},
               {"row_means", "means of rows"},
               {"column_means", "means of columns"},
               {"row_sizes", "sizes of rows"},
               {"column_sizes", "sizes of columns"}};
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
    printf("               %-24s %10.1f\n", tests[i].words, real_of(scores, tests[i].key));
}

static void print_block(const json_t *b) {
  if (!json_is_object(b)) {
    printf("    block    none: smaller than 32 by 32\n");
    return;
  }
  printf("    block    %" PRIu64 " rows by %" PRIu64
         " columns, against independent equal draws, in "
         "standard deviations:\n",
         number_of(b, "rows"), number_of(b, "columns"));
  print_scores(json_object_get(b, "scores"));
  printf("             %s\n", real_of(b, "departure") > 6 ? "one above 6 tells it from draws"
                                                          : "none above 6: it looks like draws");
  if (number_of(b, "rank") > 0)
    printf("    rank     the spectrum ends at %" PRIu64 "; %.2g %% of the energy lies beyond\n",
           number_of(b, "rank"), 100 * real_of(b, "rest"));
  else
    printf("    rank     the spectrum has no end before the block's size\n");
}

static void print_values(const json_t *v) {
  char rows[32], constant[32];
  if (!json_is_object(v)) {
    printf("    values   not looked at: a short vector, or the bytes say it all\n");
    return;
  }
  printf(
      "    values   root mean square %.4g, mean %.3g, deviation %.4g; rows looked at: %s, of one "
      "number: %s\n",
      real_of(v, "rms"), real_of(v, "mean"), real_of(v, "deviation"),
      digits_of(rows, v, "rows_looked_at"), digits_of(constant, v, "constant_rows"));
  print_block(json_object_get(v, "block"));
}

static void print_matrix(const json_t *m) {
  char rows[32], columns[32], parameters[32], spoken[32];
  printf("\n  %s: %s rows of %s, %s parameters; findings speak of %s\n", text_of(m, "matrix"),
         digits_of(rows, m, "rows"), digits_of(columns, m, "columns"),
         digits_of(parameters, m, "parameters"), digits_of(spoken, m, "spoken_of"));
  print_bytes(json_object_get(m, "bytes"));
  print_values(json_object_get(m, "values"));
}

static void print_tensor(const json_t *t) {
  const json_t *size, *matrix;
  char bytes[32];
  size_t i;
  printf("\n%s\n  %s, shape [", text_of(t, "tensor"), text_of(t, "type"));
  json_array_foreach(json_object_get(t, "shape"), i, size)
      printf("%s%" JSON_INTEGER_FORMAT, i > 0 ? ", " : "", json_integer_value(size));
  printf("], %s, %s\n", text_of(t, "role"),
         zh_human_bytes(bytes, sizeof bytes, (double)number_of(t, "bytes")));
  json_array_foreach(json_object_get(t, "matrices"), i, matrix) print_matrix(matrix);
}

void zh_cli_print_explanation(const json_t *document) {
  const json_t *tensor;
  size_t i;
  printf("%s\n", text_of(document, "model"));
  json_array_foreach(json_object_get(document, "tensors"), i, tensor) print_tensor(tensor);
}
