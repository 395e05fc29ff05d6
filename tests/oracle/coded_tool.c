/* Rows of a coded weight as the engine gets them: coded_tool MODEL NAME [FIRST COUNT]. Its type and
 * shape as one line, then the rows' values as fp32. */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "model/coded.h"

static void write_rows(const zh_coded *w, uint64_t first, uint64_t count) {
  const zh_tensor *t = &w->tensor;
  uint64_t columns = t->dims > 1 ? t->shape[t->dims - 1] : 1;
  uint64_t row_bytes = t->bytes / (t->elements / columns);
  unsigned char *rows = malloc(count * row_bytes);
  float *values = malloc(columns * sizeof *values);
  if (rows == NULL || values == NULL) abort();
  zh_coded_rows(rows, w, first, count);
  for (uint64_t r = 0; r < count; r++) {
    zh_dequantize_row(values, rows + r * row_bytes, t->type, columns);
    fwrite(values, sizeof *values, columns, stdout);
  }
  free(values);
  free(rows);
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  const zh_coded *w = NULL;
  if (argc < 3 || zh_model_open(&model, argv[1], &err) != ZH_OK ||
      zh_coded_find(&w, model, argv[2], &err) != ZH_OK || w == NULL) {
    fprintf(stderr, "coded_tool: %s\n", err.message[0] ? err.message : "no such coded weight");
    zh_model_free(model);
    return 2;
  }
  const zh_tensor *t = &w->tensor;
  uint64_t rows = t->elements / (t->dims > 1 ? t->shape[t->dims - 1] : 1);
  printf("%s", zh_dtype_find((uint32_t)t->type)->name);
  for (int i = 0; i < t->dims; i++) printf(" %llu", (unsigned long long)t->shape[i]);
  printf("\n");
  if (argc > 4)
    write_rows(w, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
  else
    write_rows(w, 0, rows);
  zh_model_free(model);
  return 0;
}
