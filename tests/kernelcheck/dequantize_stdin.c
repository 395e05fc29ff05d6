/* dequantize_stdin TYPE: blocks of the type on stdin become fp32 on stdout. */
#include "kernels/kernels.h"

#include <stdio.h>

int main(int argc, char **argv) {
  const zh_dtype_info *info = argc == 2 ? zh_dtype_by_name(argv[1]) : NULL;
  if (!info || !zh_dtype_is_weight(info->type)) {
    fprintf(stderr, "usage: dequantize_stdin TYPE < blocks > floats\n");
    return 2;
  }
  unsigned char block[256];
  float values[256];
  while (fread(block, info->block_bytes, 1, stdin) == 1) {
    zh_dequantize_row(values, block, info->type, info->block_elements);
    if (fwrite(values, sizeof *values, info->block_elements, stdout) != info->block_elements)
      return 1;
  }
  return 0;
}
