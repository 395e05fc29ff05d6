/* round_stdin ROUNDING COLUMNS: rows of activations, fp32, on stdin become what products multiply,
 * on stdout. */
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  zh_rounding rounding = ZH_ROUND_NONE;
  size_t columns = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
  if (argc != 3 || !zh_rounding_find(&rounding, argv[1]) || columns == 0 ||
      columns > SIZE_MAX / sizeof(float)) {
    fprintf(stderr, "usage: round_stdin ROUNDING COLUMNS < floats > floats\n");
    return 2;
  }
  float *x = malloc(columns * sizeof *x);
  int status = x ? 0 : 3;
  while (status == 0 && fread(x, sizeof *x, columns, stdin) == columns) {
    zh_rounded(x, rounding, x, columns);
    if (fwrite(x, sizeof *x, columns, stdout) != columns) status = 1;
  }
  free(x);
  return status;
}
