/* Reads texts from stdin, each a u32 of its bytes and then them; writes, for each, a u32 of its
 * tokens and them, then a u32 of the bytes they decode to and those. For the oracles that compare
 * with `tokenizers`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

static void fail(const zh_error *err) {
  fprintf(stderr, "tokenize_tool: %s\n", err->message);
  exit(2);
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model;
  const zh_tokenizer *tokenizer;
  if (argc != 2) return 2;
  if (zh_model_open(&model, argv[1], &err) != ZH_OK) fail(&err);
  if (zh_model_tokenizer(&tokenizer, model, &err) != ZH_OK) fail(&err);
  uint32_t length;
  while (fread(&length, sizeof length, 1, stdin) == 1) {
    char *text = malloc(length + 1u), *back;
    uint32_t *tokens;
    size_t count, bytes;
    if (text == NULL || fread(text, 1, length, stdin) != length) return 2;
    if (zh_tokenize(&tokens, &count, tokenizer, text, length, false, true, &err) != ZH_OK)
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
