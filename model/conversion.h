/* A model in another format or of other types: which tensors there will be, made of which rows, and
 * what the files say of them. Who asks for it turns rows into rows of another type: this room knows
 * no arithmetic. */
#ifndef ZH_MODEL_CONVERSION_H
#define ZH_MODEL_CONVERSION_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_container { ZH_CONTAINER_GGUF, ZH_CONTAINER_SAFETENSORS } zh_container;

/* MXFP4 as its maker publishes it: two tensors of bytes. */
typedef enum zh_converted_bytes { ZH_NO_BYTES, ZH_MXFP4_CODES, ZH_MXFP4_SCALES } zh_converted_bytes;

/* One tensor of the result. Rows are those of the matrices it holds, one after the other; vectors
 * are one row. */
typedef struct zh_converted {
  zh_tensor as; /* name, type, shape, elements and bytes that it will have */
  uint64_t rows, columns;
  uint64_t row_bytes; /* the most that zh_converted_row or zh_converted_column writes */
  float added;        /* to every value: norms that have their 1 in them, or have it taken out */
  bool unit;          /* each row is divided by its length: a normalised head */
  zh_converted_bytes bytes;
  const zh_tensor *whole; /* a tensor as it is, else … */
  const float *values;    /* … what no tensor held, or … */
  const zh_source *parts; /* … weights: of each expert `held` ones */
  uint64_t experts, held, groups;
  bool alternating;
  unsigned across; /* of which weights held the columns become rows, a bit each */
  /* Rows of each head that is turned by positions: pairs (i, i + turned / 2) of the one format are
     pairs (2 i, 2 i + 1) of the other. turns: of which weights held, a bit each. */
  unsigned turns;
  uint64_t head_rows, first_turned, turned;
  bool to_pairs;
} zh_converted;

/* A row as the model has it, in the type that comes back. */
zh_dtype zh_converted_row(void *out, const zh_converted *tensor, uint64_t row);
/* Rows that are columns of the model's: how many from `row` on, at most `most`, lie side by side in
 * the same rows of the model's; 0: this one is a row of the model's. */
uint64_t zh_converted_across(const zh_converted *tensor, uint64_t row, uint64_t most);
/* The row of the model's that is column `column` of such rows; `row` stands at *at in it. */
zh_dtype zh_converted_column(void *out, uint64_t *at, const zh_converted *tensor, uint64_t row,
                             uint64_t column);

typedef struct zh_conversion zh_conversion;

/* type: of all matrices of weights, NULL: as they are, packed ones too. MXFP4: what is so stays so,
 * all else becomes BF16. Vectors, norms and routers become F32. A matrix whose rows are no whole
 * blocks of the type gets the next larger one (Q4_K: Q5_0, else F16). The model must outlive the
 * conversion. */
ZH_MUST_CHECK zh_status zh_conversion_create(zh_conversion **out, const zh_model *model,
                                             zh_container container, const zh_dtype_info *type,
                                             zh_error *err);
void zh_conversion_free(zh_conversion *conversion); /* NULL is safe */
size_t zh_conversion_count(const zh_conversion *conversion);
const zh_converted *zh_conversion_tensor(const zh_conversion *conversion, size_t i);
/* What did not come along, one sentence for people each; NULL past the last. */
const char *zh_conversion_note(const zh_conversion *conversion, size_t i);

/* Files beside the tensors in a folder, by name; NULL past the last. */
const char *zh_conversion_side(const zh_conversion *conversion, size_t i);

/* Whether the file or folder that was written describes the same model: what was lost is named. */
ZH_MUST_CHECK zh_status zh_conversion_check(const zh_conversion *conversion, const char *path,
                                            zh_error *err);

/* Writes rows [first, first + count) of a tensor in its new type. */
typedef zh_status (*zh_rows_maker)(void *user, void *out, const zh_converted *tensor,
                                   uint64_t first, uint64_t count, zh_error *err);
typedef void (*zh_write_progress)(void *user, uint64_t done, uint64_t all); /* bytes */
/* path: the GGUF file, or the folder of safetensors, which may not hold a model yet. Each file is
 * written under another name and renamed once it is whole; of a folder the tensors last. */
ZH_MUST_CHECK zh_status zh_conversion_write(const zh_conversion *conversion, const char *path,
                                            zh_rows_maker rows, zh_write_progress progress,
                                            void *user, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
