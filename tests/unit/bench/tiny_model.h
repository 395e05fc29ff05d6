/* Writes a small random llama model as GGUF: 3 layers, 6 query heads over 2 key heads, fp32, Q8_0
 * or with fp16 norms. */
#ifndef ZH_TESTS_TINY_MODEL_H
#define ZH_TESTS_TINY_MODEL_H

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/philox.h"
#include "kernels/kernels.h"

enum {
  TINY_LAYERS = 3,
  TINY_HIDDEN = 96,
  TINY_HEADS = 6,
  TINY_KV = 2,
  TINY_DIM = 16,
  TINY_FFN = 160,
  TINY_VOCAB = 131,
  TINY_CONTEXT = 64,
  TINY_ALIGN = 32
};

typedef struct tiny_tensor {
  char name[48];
  uint64_t rows, columns; /* rows 0: a vector */
} tiny_tensor;

static void put(FILE *f, const void *p, size_t n) {
  size_t written = fwrite(p, 1, n, f);
  assert(written == n);
  (void)written;
}
static void put_u32(FILE *f, uint32_t v) {
  put(f, &v, sizeof v);
}
static void put_u64(FILE *f, uint64_t v) {
  put(f, &v, sizeof v);
}
static void put_text(FILE *f, const char *s) {
  put_u64(f, strlen(s));
  put(f, s, strlen(s));
}
static void put_count(FILE *f, const char *key, uint32_t v) {
  put_text(f, key);
  put_u32(f, 4); /* u32 */
  put_u32(f, v);
}
static void put_real(FILE *f, const char *key, float v) {
  put_text(f, key);
  put_u32(f, 6); /* f32 */
  put(f, &v, sizeof v);
}

static size_t tiny_tensors(tiny_tensor *out) {
  static const struct {
    const char *name;
    int rows, columns;
  } of_layer[] = {{"attn_norm", 0, TINY_HIDDEN},
                  {"attn_q", TINY_HEADS * TINY_DIM, TINY_HIDDEN},
                  {"attn_k", TINY_KV * TINY_DIM, TINY_HIDDEN},
                  {"attn_v", TINY_KV * TINY_DIM, TINY_HIDDEN},
                  {"attn_output", TINY_HIDDEN, TINY_HEADS * TINY_DIM},
                  {"ffn_norm", 0, TINY_HIDDEN},
                  {"ffn_gate", TINY_FFN, TINY_HIDDEN},
                  {"ffn_up", TINY_FFN, TINY_HIDDEN},
                  {"ffn_down", TINY_HIDDEN, TINY_FFN}};
  size_t n = 0;
  out[n++] = (tiny_tensor){"token_embd.weight", TINY_VOCAB, TINY_HIDDEN};
  for (int layer = 0; layer < TINY_LAYERS; ++layer) {
    for (size_t i = 0; i < sizeof of_layer / sizeof of_layer[0]; ++i) {
      out[n].rows = (uint64_t)of_layer[i].rows;
      out[n].columns = (uint64_t)of_layer[i].columns;
      snprintf(out[n].name, sizeof out[n].name, "blk.%d.%s.weight", layer, of_layer[i].name);
      ++n;
    }
  }
  out[n++] = (tiny_tensor){"output_norm.weight", 0, TINY_HIDDEN};
  out[n++] = (tiny_tensor){"output.weight", TINY_VOCAB, TINY_HIDDEN};
  return n;
}

/* half_norms: norms as fp16, which the engine converts; else fp32. quantised: matrices as Q8_0;
 * else fp32. */
static void write_tiny_model(const char *path, int quantised, int half_norms) {
  tiny_tensor tensors[64];
  size_t count = tiny_tensors(tensors);
  FILE *f = fopen(path, "wb");
  assert(f);
  put(f, "GGUF", 4);
  put_u32(f, 3);
  put_u64(f, count);
  put_u64(f, 10);
  put_text(f, "general.architecture");
  put_u32(f, 8); /* string */
  put_text(f, "llama");
  put_count(f, "llama.block_count", TINY_LAYERS);
  put_count(f, "llama.context_length", TINY_CONTEXT);
  put_count(f, "llama.embedding_length", TINY_HIDDEN);
  put_count(f, "llama.feed_forward_length", TINY_FFN);
  put_count(f, "llama.attention.head_count", TINY_HEADS);
  put_count(f, "llama.attention.head_count_kv", TINY_KV);
  put_count(f, "llama.vocab_size", TINY_VOCAB);
  put_real(f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
  put_real(f, "llama.rope.freq_base", 10000.0f);
  uint64_t offset = 0;
  for (size_t i = 0; i < count; ++i) {
    const tiny_tensor *t = &tensors[i];
    uint64_t elements = (t->rows ? t->rows : 1) * t->columns;
    uint32_t type = t->rows ? (quantised ? 8 : 0) : (half_norms ? 1 : 0);
    uint64_t bytes = type == 8 ? elements / 32 * 34 : type == 1 ? elements * 2 : elements * 4;
    put_text(f, t->name);
    put_u32(f, t->rows ? 2 : 1);
    put_u64(f, t->columns);
    if (t->rows) put_u64(f, t->rows);
    put_u32(f, type);
    put_u64(f, offset);
    offset += (bytes + TINY_ALIGN - 1) / TINY_ALIGN * TINY_ALIGN;
  }
  for (size_t i = 0; i < count; ++i) {
    const tiny_tensor *t = &tensors[i];
    while (ftell(f) % TINY_ALIGN) put(f, "", 1);
    size_t elements = (size_t)((t->rows ? t->rows : 1) * t->columns);
    float *values = malloc(elements * sizeof *values);
    assert(values);
    zh_normal_fill(values, elements, 42, i, 0, t->rows ? 0.15f : 0.1f);
    for (size_t k = 0; k < elements; ++k) values[k] += t->rows ? 0.0f : 1.0f;
    for (size_t k = 0; t->rows && quantised && k < elements; k += 32) {
      uint16_t scale = zh_f32_to_f16(0.15f * 4 / 127);
      put(f, &scale, sizeof scale);
      for (size_t j = 0; j < 32; ++j) {
        float q = values[k + j] / (0.15f * 4 / 127);
        signed char byte = (signed char)(q > 127 ? 127 : q < -127 ? -127 : q);
        put(f, &byte, 1);
      }
    }
    for (size_t k = 0; !t->rows && half_norms && k < elements; ++k) {
      uint16_t half = zh_f32_to_f16(values[k]);
      put(f, &half, sizeof half);
    }
    if (t->rows ? !quantised : !half_norms) put(f, values, elements * sizeof *values);
    free(values);
  }
  int failed = fclose(f);
  assert(failed == 0);
  (void)failed;
}

#endif
