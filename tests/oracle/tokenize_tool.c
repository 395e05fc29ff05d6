/* Reads texts from stdin, each a u32 of its bytes and then them; writes, for each, a u32 of its
 * tokens and them, then a u32 of the bytes they decode to and those. For the oracles that compare
 * with `tokenizers`. With "around" as a second word, what the file asks for stands around each
 * text; with "bench FILE" the file is tokenized again and again, and the best rate is written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/files.h"
#include "model/model.h"

static void fail(const zh_error *err) {
  fprintf(stderr, "tokenize_tool: %s\n", err->message);
  exit(2);
}

/* MB/s of one core, the best of many rounds: others may disturb some, none makes one faster. */
static void bench(const zh_tokenizer *tokenizer, const char *path) {
  enum { ROUNDS = 40, BYTES_MAX = 1 << 28 };
  zh_error err = ZH_ERROR_INIT;
  char *text;
  size_t length, count = 0;
  int64_t best = INT64_MAX;
  if (zh_read_file(&text, &length, path, BYTES_MAX, &err) != ZH_OK) fail(&err);
  for (int i = 0; i < ROUNDS; i++) {
    uint32_t *tokens;
    int64_t begin = zh_now_ns();
    if (zh_tokenize(&tokens, &count, tokenizer, text, length, false, true, &err) != ZH_OK)
      fail(&err);
    int64_t spent = zh_now_ns() - begin;
    if (spent < best) best = spent;
    free(tokens);
  }
  printf("%.1f MB/s, %zu bytes, %zu tokens\n", (double)length / (double)best * 1e3, length, count);
  free(text);
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model;
  const zh_tokenizer *tokenizer;
  if (argc < 2) return 2;
  bool around = argc == 3 && strcmp(argv[2], "around") == 0;
  if (zh_model_open(&model, argv[1], &err) != ZH_OK) fail(&err);
  if (zh_model_tokenizer(&tokenizer, model, &err) != ZH_OK) fail(&err);
  if (tokenizer == NULL) return 2;
  if (argc == 4 && strcmp(argv[2], "bench") == 0) {
    bench(tokenizer, argv[3]);
    zh_model_free(model);
    return 0;
  }
  uint32_t length;
  while (fread(&length, sizeof length, 1, stdin) == 1) {
    char *text = malloc(length + 1u), *back;
    uint32_t *tokens;
    size_t count, bytes;
    if (text == NULL || fread(text, 1, length, stdin) != length) return 2;
    if (zh_tokenize(&tokens, &count, tokenizer, text, length, around, true, &err) != ZH_OK)
      fail(&err);
    if (zh_detokenize(&back, &bytes, tokenizer, tokens, count, &err) != ZH_OK) fail(&err);
    fwrite(&(uint32_t){(uint32_t)count}, 4, 1, stdout);
    fwrite(tokens, sizeof *tokens, count, stdout);
    fwrite(&(uint32_t){(uint32_t)bytes}, 4, 1, stdout);
    fwrite(back, 1, bytes, stdout);
    free(tokens);
    free(back);
    free(text);
  }
  zh_model_free(model);
  return 0;
}
