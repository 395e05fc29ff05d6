/* The published forms of packed weights, found by the tensors that are there and held against each
 * other. Inside model/coded*.c. */
#ifndef ZH_MODEL_CODED_FORMS_H
#define ZH_MODEL_CODED_FORMS_H

#include "model/coded.h"

/* What config.json's quantization_config says; 0 or NULL where it does not. */
typedef struct zh_declared {
  const json_t *root;
  const char *method;
  uint64_t bits, group_columns;
  uint64_t block_rows, block_columns; /* of FP8 with scales of blocks */
  bool whole_rows;                    /* group_size -1 */
  bool zeros_as_they_are;             /* GPTQ's second version */
} zh_declared;

typedef struct zh_coding {
  const zh_model *model;
  zh_declared declared;
  const float *e4m3, *e5m2; /* [256] values */
  bool *part;               /* of each tensor: it belongs to a coded weight */
} zh_coding;

/* Fills in *out where t holds codes (*is true), else leaves it alone. */
ZH_MUST_CHECK zh_status zh_coded_describe(zh_coded *out, bool *is, const zh_coding *c,
                                          const zh_tensor *t, zh_error *err);

#endif
