/* A model's weights as the engine reads them: matrices that lie in the mapped file (never copied),
 * or a standard model's, computed once into big pages; or the same rearranged for the kernels.
 * Every tensor is held against the architecture before it is used. */
#ifndef ZH_BENCH_ENGINE_WEIGHTS_H
#define ZH_BENCH_ENGINE_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/engine/engine.h"
#include "core/digest.h"
#include "core/files.h"
#include "core/status.h"
#include "kernels/kernels.h"
#include "model/model.h"

/* One of the parts into which a model is cut for several ranks, by heads and columns (index of
 * parts) and by layers (stage of stages; 0 is one); {0, 1}: all of it. */
typedef struct zh_part {
  int index, parts;
  int stage, stages;
  zh_expert_split experts;
  size_t tokens; /* of the calls for which `experts` is chosen */
} zh_part;

/* Blocks of rows and columns that share a scale. */
typedef struct zh_fp8 {
  uint32_t rows, columns;
} zh_fp8;

/* How a slot that the architecture does not have looks: all zero. */
typedef struct zh_weight {
  const zh_source *source;        /* where its rows come from */
  const zh_tensor *tensor;        /* &source->tensor: the weight by itself, whole */
  zh_matrix matrix;               /* the bytes the engine reads; a vector is one row */
  size_t first_row, first_column; /* of the tensor, where a part of it alone is here */
  zh_packed packed; /* the same rearranged, read instead; data NULL: they are not. Then the matrix
                       of computed rows has no data any more */
  const float
      *gain; /* vectors (norms, biases): the values that count, in fp32; NULL for matrices */
  int layer; /* of this part; -1: of the whole model */
  bool is_norm;
  size_t head_rows; /* of latent attention's products, of which each head has so many rows and an
                       input of its own; 0: all rows have one */
  const struct zh_laid *laid; /* on a device (device_engine.h); NULL: it is not on one */
  bool fine;                  /* activations that would become bytes for its product become two */
  zh_fp8 fp8; /* its file has E4M3 and scales of such blocks, and a device may hold it so: then
                 matrix.type is F8_E4M3 where a file's is; rows 0: it has not */
} zh_weight;

/* Of the whole model, however it is cut. */
typedef struct zh_weights_total {
  zh_architecture architecture;
  uint32_t layers;
  uint64_t step_bytes;   /* all but an embedding that is not the head as well, and experts */
  uint64_t expert_bytes; /* of all routed experts: a step reads those that are chosen */
  uint64_t step_fp8_less, expert_fp8_less; /* of these, where FP8 is held as it is */
  uint64_t flops_per_token;                /* 2 x weights multiplied in the layers */
} zh_weights_total;

/* What it took until the weights could be used. */
typedef struct zh_load {
  double generate_s;     /* standard models: computing the weights */
  double memory_s;       /* getting the memory for rearranged weights from the system */
  double pack_s;         /* rearranging, or comparing what a cache holds */
  uint64_t packed_bytes; /* rearranged: as many were read */
  char cache[256];       /* what became of the cache: one sentence; "" where none was asked for */
} zh_load;

typedef struct zh_weights {
  const zh_model *model;
  zh_architecture architecture; /* of this part: its layers, its heads, its columns of the FFN */
  zh_weights_total total;
  uint32_t first_layer;            /* of the model: the first one that is here */
  zh_weight *layer;                /* [layers][ZH_LAYER_SLOTS] */
  zh_weight *expert;               /* [layers][experts][ZH_EXPERT_SLOTS]; NULL: a dense model. Of
                                      experts that another rank has the slots are empty */
  bool whole_experts;              /* this rank has some of them whole, others have the others */
  uint32_t first_expert, experts_here;
  zh_weight whole[ZH_MODEL_SLOTS]; /* tensor NULL: not here. A tied head is the embedding's matrix,
                                      where both are here */
  zh_weight **here;                /* [in_layers]: slots of the layers that are not empty */
  size_t in_layers;
  zh_source *sources;       /* of all, here or not */
  unsigned char *generated; /* rows that had to be computed or put together, each weight at a
                               multiple of 64 bytes */
  size_t generated_bytes;
  unsigned char *packed; /* matrices as zh_weights_pack rearranged them */
  size_t packed_bytes;
  zh_mapping cached; /* where `packed` lies, if it came from a cache */
  zh_load load;
  bool elsewhere; /* matrices are computed with on a device: vectors alone are made here */
  char (
      *digests)[ZH_DIGEST_HEX]; /* [zh_weights_count]: SM3 of each, as zh_weights_digest found it */
  float *gains;                 /* the vectors' values */
  void *altered;                /* private mapping of a tensor that zh_weights_flip changed */
  size_t altered_bytes;
} zh_weights;

/* Shapes, types and source bytes alone: nothing is computed or read. Closed like the rest. */
ZH_MUST_CHECK zh_status zh_weights_describe(zh_weights *out, const zh_model *model, zh_error *err);
ZH_MUST_CHECK zh_status zh_weights_open(zh_weights *out, const zh_model *model, zh_part part,
                                        zh_threads *threads, zh_error *err);
/* Cuts described weights (bench/engine/split.c). Into stages: layers in order, the embedding with
 * the first, output norm and head with the last. Into parts: heads, columns of the FFN and rows of
 * the vocabulary are divided, norms stay whole; where there are more parts than key heads, several
 * hold the same one. Experts are divided by columns, or are shared out whole. ZH_ERR_INPUT says in
 * one sentence what does not divide. */
ZH_MUST_CHECK zh_status zh_weights_cut(zh_weights *weights, zh_part part, zh_error *err);
/* Parts begin at multiples of so many rows of the vocabulary (zh_share). */
size_t zh_weights_vocab_grain(const zh_weights *weights);
/* The weights of a layer, and of one of its experts. */
static inline zh_weight *zh_weights_layer(const zh_weights *weights, uint32_t layer) {
  return weights->layer + (size_t)layer * ZH_LAYER_SLOTS;
}
static inline zh_weight *zh_weights_expert(const zh_weights *weights, uint32_t layer,
                                           uint32_t expert) {
  return weights->expert +
         ((size_t)layer * weights->architecture.experts + expert) * ZH_EXPERT_SLOTS;
}
/* The first one of those that are here: what all of them have in common. */
static inline zh_weight *zh_weights_own_experts(const zh_weights *weights, uint32_t layer) {
  return zh_weights_expert(weights, layer, weights->first_expert);
}
static inline bool zh_weights_have_expert(const zh_weights *weights, uint32_t expert) {
  return expert - weights->first_expert < weights->experts_here;
}
/* Whether its rows do not lie in a file as the engine wants them, so that they are computed. */
static inline bool zh_weight_is_made(const zh_weight *w) {
  return w->tensor->data == NULL;
}
/* After the slots changed: lists anew what is here. */
ZH_MUST_CHECK zh_status zh_weights_list(zh_weights *weights, zh_error *err);
/* The steps of opening that need the bytes: rows that no file holds so are computed; vectors become
 * fp32. */
ZH_MUST_CHECK zh_status zh_weights_generate(zh_weights *weights, zh_threads *threads,
                                            zh_error *err);
ZH_MUST_CHECK zh_status zh_weights_set_gains(zh_weights *weights, zh_error *err);
/* The values that a vector stands for, from the bytes that the engine reads. */
void zh_weight_vector(float *out, const zh_weights *weights, const zh_weight *w);
void zh_weights_close(zh_weights *weights);
/* Rearranges the matrices for zh_kernels.multiply, and gives back the memory of what they were read
 * from: weights are held once. cache: folder in which the result is kept and looked for
 * (bench/engine/packed_cache.h); NULL: none. */
ZH_MUST_CHECK zh_status zh_weights_pack(zh_weights *weights, zh_threads *threads, const char *cache,
                                        zh_error *err);
/* Which matrices that is, and the bytes of one, up to the next. */
bool zh_weight_is_packed(const zh_weights *weights, const zh_weight *w);
size_t zh_weight_packed_bytes(const zh_weight *w);
/* Gives back the pages of the file that were read since, where rearranged weights stand instead. */
void zh_weights_leave_source(const zh_weights *weights);
/* Which way its product goes in a pass that goes `way`. */
zh_way zh_weight_way(const zh_weight *w, const zh_roundings *rounds, zh_way way);
/* What its product that goes this way rounds. */
zh_rounding zh_weight_rounding(const zh_weight *w, const zh_roundings *rounds, zh_way way);
/* Bytes of a row as it is here, and of all rows. */
size_t zh_weight_row_bytes(const zh_weight *w);
uint64_t zh_weight_bytes(const zh_weight *w);
/* Where row r begins in the bytes of the whole weight. */
uint64_t zh_weight_offset(const zh_weight *w, size_t r);
/* Row r by the model's definition: of the mapped file, or computed into `buffer`, which holds the
 * tensor's whole row. */
size_t zh_weight_whole_row_bytes(const zh_weight *w);
const void *zh_weight_source_row(const zh_weight *w, size_t r, void *buffer);
/* Rows [first, first + count) of a whole tensor that no file holds so, by the model's definition.
 */
void zh_weight_make_rows(void *out, const zh_source *source, size_t first, size_t count);
/* Row r as the file has it, from the bytes that the engine reads. buffer: row_bytes, used where the
 * row must be put together. */
const void *zh_weight_row(const zh_weight *w, size_t r, void *buffer);
/* Whether rows [first, first + count), first a multiple of ZH_PACKED_ROWS and count ZH_PACKED_ROWS
 * but at the end, are packed as `rows` (row_bytes apart) give them, bits that stand for no weight
 * included. buffer: zh_packed_bytes of so many rows, 64-byte aligned. */
bool zh_weight_packed_as(const zh_weight *w, size_t first, size_t count, const void *rows,
                         void *buffer);
/* What came from a cache is mapped for reading; afterwards it may be changed, here alone. */
ZH_MUST_CHECK zh_status zh_packed_writable(zh_weights *weights, zh_error *err);

/* The i-th of the distinct weights that are here (layer by layer, of each its slots, then its
 * experts'; then those of the whole model; a tied head is not counted twice). */
size_t zh_weights_count(const zh_weights *weights);
zh_weight *zh_weights_at(const zh_weights *weights, size_t i);
/* After a change of the embedding: a tied head reads the same. */
void zh_weights_tie_head(zh_weights *weights);

/* bench/engine/weights_fp8.c: which weights have `fp8`; of those all bytes, scales of blocks that
 * begin at every multiple of scale_rows, and rows: as they lie, and the values they stand for. */
void zh_weights_find_fp8(zh_weights *weights);
uint64_t zh_weight_fp8_bytes(const zh_weight *w);
void zh_weight_fp8_scales(float *out, const zh_weight *w, size_t scale_rows);
const uint8_t *zh_weight_fp8_row(const zh_weight *w, size_t r);
void zh_weight_fp8_values(float *out, const zh_weight *w, size_t r);

/* SM3 over the SM3 (in hex) of each tensor's bytes that the engine reads, in the order of
 * zh_weights_at; the tensors' digests are kept for zh_weights_verify. */
ZH_MUST_CHECK zh_status zh_weights_digest(char out[ZH_DIGEST_HEX], zh_weights *weights,
                                          zh_threads *threads, zh_error *err);
/* Holds the bytes that the engine reads against their source: for a file, every byte, read anew
 * from the disk; for standard models the digests taken when they were computed, and rows drawn by
 * `seed`, computed anew. ZH_ERR_CHECK names the tensor. */
ZH_MUST_CHECK zh_status zh_weights_verify(const zh_weights *weights, zh_threads *threads,
                                          uint64_t seed, zh_error *err);

/* For --inject: zeros that are freed with the weights, for bytes that the engine shall read. */
ZH_MUST_CHECK zh_status zh_weights_alter(zh_weights *weights, size_t bytes, zh_error *err);
/* For --inject fault=weight: flips the bit that `seed` picks of all that the engine reads: of
 * rearranged weights as they lie, else in a private copy of the tensor. what: receives "bit 3 of
 * byte 1234 of blk.0.ffn_up.weight". */
ZH_MUST_CHECK zh_status zh_weights_flip(zh_weights *weights, uint64_t seed, char *what,
                                        size_t capacity, zh_error *err);

#endif
