/* A model's weights as the engine reads them: matrices that lie in the mapped file (never copied),
 * or a standard model's, computed once into big pages; or the same rearranged for the kernels.
 * Every tensor is held against the architecture before it is used. */
#ifndef ZH_BENCH_ENGINE_WEIGHTS_H
#define ZH_BENCH_ENGINE_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/digest.h"
#include "core/status.h"
#include "kernels/kernels.h"
#include "model/model.h"

/* Tensors of each layer, then those of the whole model. */
typedef enum zh_layer_slot {
  ZH_ATTN_NORM,
  ZH_ATTN_Q,
  ZH_ATTN_K,
  ZH_ATTN_V,
  ZH_ATTN_OUTPUT,
  ZH_FFN_NORM,
  ZH_FFN_GATE,
  ZH_FFN_UP,
  ZH_FFN_DOWN,
  ZH_LAYER_SLOTS
} zh_layer_slot;
typedef enum zh_model_slot { ZH_EMBEDDING, ZH_OUTPUT_NORM, ZH_HEAD, ZH_MODEL_SLOTS } zh_model_slot;

/* One of the parts into which a model is cut for several ranks; {0, 1}: all of it. */
typedef struct zh_part {
  int index, parts;
} zh_part;

typedef struct zh_weight {
  const zh_tensor *tensor;        /* the model's own description and source bytes */
  zh_matrix matrix;               /* the bytes the engine reads; a vector is one row */
  size_t first_row, first_column; /* of the tensor, where a part of it alone is here */
  zh_packed packed;  /* the same rearranged, read instead; data NULL: they are not. Then a
                        standard model's matrix has no data any more */
  const float *gain; /* norms: their values; NULL for matrices */
} zh_weight;

typedef struct zh_weights {
  const zh_model *model;
  zh_architecture architecture;    /* of this part: its heads, its columns of the FFN */
  zh_weight *layer;                /* [layers][ZH_LAYER_SLOTS] */
  zh_weight whole[ZH_MODEL_SLOTS]; /* a tied head is the embedding's matrix */
  unsigned char *generated; /* standard models: all tensors, each at a multiple of 64 bytes */
  size_t generated_bytes;
  unsigned char *packed; /* matrices as zh_weights_pack rearranged them */
  size_t packed_bytes;
  char (
      *digests)[ZH_DIGEST_HEX]; /* [zh_weights_count]: SM3 of each, as zh_weights_digest found it */
  float *gains;                 /* norms whose file values are not aligned fp32 */
  void *altered;                /* private mapping of a tensor that zh_weights_flip changed */
  size_t altered_bytes;
} zh_weights;

/* Shapes, types and source bytes alone: nothing is computed or read. Closed like the rest. */
ZH_MUST_CHECK zh_status zh_weights_describe(zh_weights *out, const zh_model *model, zh_error *err);
ZH_MUST_CHECK zh_status zh_weights_open(zh_weights *out, const zh_model *model, zh_part part,
                                        zh_threads *threads, zh_error *err);
/* Cuts described weights (bench/engine/split.c): heads, columns of the FFN and rows of the
 * vocabulary are divided, norms stay whole. Where there are more parts than key heads, several hold
 * the same one. ZH_ERR_INPUT says in one sentence what does not divide. */
ZH_MUST_CHECK zh_status zh_weights_cut(zh_weights *weights, zh_part part, zh_error *err);
/* The steps of opening that need the bytes: a standard model's are computed; norms become fp32. */
ZH_MUST_CHECK zh_status zh_weights_generate(zh_weights *weights, zh_threads *threads,
                                            zh_error *err);
ZH_MUST_CHECK zh_status zh_weights_set_gains(zh_weights *weights, zh_error *err);
void zh_weights_close(zh_weights *weights);
/* Rearranges the matrices for zh_kernels.multiply, and gives back the memory of what they were read
 * from: weights are held once. */
ZH_MUST_CHECK zh_status zh_weights_pack(zh_weights *weights, zh_threads *threads, zh_error *err);
/* Gives back the pages of the file that were read since, where rearranged weights stand instead. */
void zh_weights_leave_source(const zh_weights *weights);
/* Bytes of a row as it is here, and of all rows. */
size_t zh_weight_row_bytes(const zh_weight *w);
uint64_t zh_weight_bytes(const zh_weight *w);
/* Where row r begins in the bytes of the whole tensor. */
uint64_t zh_weight_offset(const zh_weight *w, size_t r);
/* Row r by the model's definition: of the mapped file, or computed into `buffer`, which holds the
 * tensor's whole row. */
size_t zh_weight_whole_row_bytes(const zh_weight *w);
const void *zh_weight_source_row(const zh_weight *w, size_t r, void *buffer);
/* Row r as the file has it, from the bytes that the engine reads. buffer: row_bytes, used where the
 * row must be put together. */
const void *zh_weight_row(const zh_weight *w, size_t r, void *buffer);
ZH_MUST_CHECK zh_status zh_weight_flip_packed(zh_weight *w, uint64_t byte, unsigned bit,
                                              zh_error *err);

/* The i-th of the distinct tensors (layers first, then whole-model ones; a tied head is not counted
 * twice). */
size_t zh_weights_count(const zh_weights *weights);
zh_weight *zh_weights_at(const zh_weights *weights, size_t i);

/* SM3 over the SM3 (in hex) of each tensor's bytes that the engine reads, in the order of
 * zh_weights_at; the tensors' digests are kept for zh_weights_verify. */
ZH_MUST_CHECK zh_status zh_weights_digest(char out[ZH_DIGEST_HEX], zh_weights *weights,
                                          zh_threads *threads, zh_error *err);
/* Holds the bytes that the engine reads against their source: for a file, every byte, read anew
 * from the disk; for standard models the digests taken when they were computed, and rows drawn by
 * `seed`, computed anew. ZH_ERR_CHECK names the tensor. */
ZH_MUST_CHECK zh_status zh_weights_verify(const zh_weights *weights, zh_threads *threads,
                                          uint64_t seed, zh_error *err);

/* For --inject fault=weight: flips the bit of the model that `seed` picks, in a private copy of its
 * tensor. what: receives "bit 3 of byte 1234 of blk.0.ffn_up.weight". */
ZH_MUST_CHECK zh_status zh_weights_flip(zh_weights *weights, uint64_t seed, char *what,
                                        size_t capacity, zh_error *err);

#endif
