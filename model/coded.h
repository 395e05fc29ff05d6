/* Weights as makers publish them packed: small integers or floats, and scales beside them. Each is
 * presented as the tensor that it stands for, whose rows are made in a type that the engine holds
 * (docs/formats.md says which, and what each value is). Inside the room. */
#ifndef ZH_MODEL_CODED_H
#define ZH_MODEL_CODED_H

#include "model/room.h"

/* Where a value's code lies. Of 32-bit words, which hold 32 / bits codes, the lowest bits first. */
typedef enum zh_code_layout {
  ZH_CODE_DOWN,   /* GPTQ: I32 [inputs / per][outputs], a word goes down the inputs */
  ZH_CODE_ACROSS, /* AWQ: I32 [inputs][outputs / 8], outputs 0 2 4 6 1 3 5 7 of a word */
  ZH_CODE_ALONG,  /* compressed-tensors: I32 [outputs][inputs / per], codes less 2^(bits - 1) */
  ZH_CODE_BYTES,  /* I8 [outputs][inputs] */
  ZH_CODE_FLOATS, /* F8 [..., outputs, inputs] */
  ZH_CODE_BLOCKS, /* MXFP4: U8 [..., outputs, inputs / 2], the lower four bits first */
  ZH_CODE_F64     /* of any shape */
} zh_code_layout;

/* Where the zero point of (row, group) lies. */
typedef enum zh_zero_layout {
  ZH_ZERO_NONE,   /* half the range, 2^(bits - 1), everywhere */
  ZH_ZERO_ACROSS, /* I32 [groups][outputs / per], in the order of the codes */
  ZH_ZERO_DOWN,   /* I32 [outputs / per][groups], a word goes down the outputs; as codes ALONG */
  ZH_ZERO_BYTES   /* I8 [outputs][groups] */
} zh_zero_layout;

typedef struct zh_coded {
  zh_tensor tensor; /* what it stands for: rows are outputs; data NULL */
  zh_code_layout layout;
  zh_zero_layout zero_layout;
  const zh_tensor *codes, *scales, *zeros; /* scales, zeros: NULL where there are none */
  const zh_tensor *order; /* I32: the group of each column; NULL: column / group_columns */
  unsigned bits;
  uint32_t zero_added; /* to a word of zeros: GPTQ's first version stores them less one */
  uint64_t slice_rows; /* of one expert, where there are several */
  uint64_t group_columns, groups;
  uint64_t block_rows;                            /* that share a scale */
  uint64_t scale_slice, scale_down, scale_across; /* steps in `scales`; 0: the same for all */
  const float *values;                            /* FLOATS: of each byte */
} zh_coded;

/* The coded weight that stands for a tensor of that name; NULL: none. All are found and checked at
 * the first call, which fails in one sentence where packed weights are not of a known form, are
 * incomplete or contradict each other or config.json. They live as long as the model. */
ZH_MUST_CHECK zh_status zh_coded_find(const zh_coded **out, const zh_model *model, const char *name,
                                      zh_error *err);
/* The i-th of them all; NULL past the last. */
ZH_MUST_CHECK zh_status zh_coded_item(const zh_coded **out, const zh_model *model, size_t i,
                                      zh_error *err);
/* Whether it belongs to the codes of a coded weight: scales, zero points, … Asked after
 * zh_coded_find. */
bool zh_coded_is_part(const zh_model *model, const zh_tensor *t);
typedef struct zh_coded_table zh_coded_table;
void zh_coded_free(zh_coded_table *table);

/* Rows [first, first + count) as tensor.type has them; of a vector, elements. */
void zh_coded_rows(void *out, const zh_coded *w, uint64_t first, uint64_t count);
/* Of FLOATS: a column of rows [first, first + count). */
void zh_coded_column(void *out, const zh_coded *w, uint64_t column, uint64_t first, uint64_t count);
/* Gives back the memory of the file's pages that were read for it; they can be read again. */
void zh_coded_leave(const zh_coded *w);

/* --- of the parts, for checks --- */

/* In 0 … 2^bits - 1; row of the whole tensor. */
int zh_coded_zero(const zh_coded *w, uint64_t row, uint64_t group);
float zh_coded_scale(const zh_coded *w, uint64_t row, uint64_t group);
float zh_scale_value(const zh_tensor *scales, uint64_t i);
uint64_t zh_coded_group(const zh_coded *w, uint64_t column);

#endif
