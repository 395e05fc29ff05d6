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

/* The end of a slice: behind a newline or, where none is near, before a character. */
static size_t slice_end(const char *text, size_t length, size_t begin) {
  enum { SLICE = 64 * 1024 };
  if (length - begin <= SLICE) return length;
  const char *newline = memrchr(text + begin, '\n', SLICE);
  if (newline != NULL) return (size_t)(newline - text) + 1;
  size_t end = begin + SLICE;
  while (end > begin && ((unsigned char)text[end] & 0xc0) == 0x80) end--;
  return end;
}

/* MB/s of one core: each slice's best of many rounds, for others may disturb some, and none makes
 * one faster. A round goes over all of the text, so that no slice finds its own words remembered
 * unless the text is that small. */
static void bench(const zh_tokenizer *tokenizer, const char *path) {
  enum { ROUNDS = 40, BYTES_MAX = 1 << 28, SLICES_MAX = 1 << 14 };
  static int64_t best[SLICES_MAX];
  zh_error err = ZH_ERROR_INIT;
  char *text;
  size_t length, count = 0, slices = 0;
  int64_t total = 0;
  if (zh_read_file(&text, &length, path, BYTES_MAX, &err) != ZH_OK) fail(&err);
  for (int i = 0; i < ROUNDS; i++) {
    slices = count = 0;
    for (size_t at = 0, end; at < length && slices < SLICES_MAX; at = end, slices++) {
      uint32_t *tokens;
      size_t made;
      end = slice_end(text, length, at);
      int64_t begin = zh_now_ns();
      if (zh_tokenize(&tokens, &made, tokenizer, text + at, end - at, false, true, &err) != ZH_OK)
        fail(&err);
      int64_t spent = zh_now_ns() - begin;
      if (i == 0 || spent < best[slices]) best[slices] = spent;
      count += made;
      free(tokens);
    }
  }
  for (size_t i = 0; i < slices; i++) total += best[i];
  printf("%.1f MB/s, %zu bytes, %zu tokens\n", (double)length / (double)total * 1e3, length, count);
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
