/* quantize_stdin TYPE COLUMNS: rows of fp32 on stdin become rows of the type on stdout. */
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  const zh_dtype_info *info = argc == 3 ? zh_dtype_by_name(argv[1]) : NULL;
  size_t columns = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
  uint64_t bytes;
  if (!info || !zh_quantizes(info->type) || !columns ||
      !zh_dtype_bytes(&bytes, info->type, columns)) {
    fprintf(stderr, "usage: quantize_stdin TYPE COLUMNS < floats > blocks\n");
    return 2;
  }
  float *x = malloc(columns * sizeof *x);
  unsigned char *row = malloc(bytes);
  if (!x || !row) return 3;
  int status = 0;
  while (status == 0 && fread(x, sizeof *x, columns, stdin) == columns) {
    if (!zh_quantize_row(row, x, info->type, columns)) status = 4; /* a value does not fit */
    if (status == 0 && fwrite(row, 1, bytes, stdout) != bytes) status = 1;
  }
  free(x);
  free(row);
  return status;
}
