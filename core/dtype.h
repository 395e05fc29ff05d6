/* Element types of tensors: name, how many elements a block holds, how many bytes it takes. The
 * numbers of the quantised types are ggml's, so a GGUF type maps one to one; types ggml lacks start
 * at 1000. */
#ifndef ZH_CORE_DTYPE_H
#define ZH_CORE_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* name, id, elements a block, bytes a block */
#define ZH_DTYPE_LIST(ENTRY)                                                                       \
  ENTRY(F32, 0, 1, 4)                                                                              \
  ENTRY(F16, 1, 1, 2)                                                                              \
  ENTRY(Q4_0, 2, 32, 18)                                                                           \
  ENTRY(Q4_1, 3, 32, 20)                                                                           \
  ENTRY(Q5_0, 6, 32, 22)                                                                           \
  ENTRY(Q5_1, 7, 32, 24)                                                                           \
  ENTRY(Q8_0, 8, 32, 34)                                                                           \
  ENTRY(Q2_K, 10, 256, 84)                                                                         \
  ENTRY(Q3_K, 11, 256, 110)                                                                        \
  ENTRY(Q4_K, 12, 256, 144)                                                                        \
  ENTRY(Q5_K, 13, 256, 176)                                                                        \
  ENTRY(Q6_K, 14, 256, 210)                                                                        \
  ENTRY(IQ2_XXS, 16, 256, 66)                                                                      \
  ENTRY(IQ2_XS, 17, 256, 74)                                                                       \
  ENTRY(IQ3_XXS, 18, 256, 98)                                                                      \
  ENTRY(IQ1_S, 19, 256, 50)                                                                        \
  ENTRY(IQ4_NL, 20, 32, 18)                                                                        \
  ENTRY(IQ3_S, 21, 256, 110)                                                                       \
  ENTRY(IQ2_S, 22, 256, 82)                                                                        \
  ENTRY(IQ4_XS, 23, 256, 136)                                                                      \
  ENTRY(I8, 24, 1, 1)                                                                              \
  ENTRY(I16, 25, 1, 2)                                                                             \
  ENTRY(I32, 26, 1, 4)                                                                             \
  ENTRY(I64, 27, 1, 8)                                                                             \
  ENTRY(F64, 28, 1, 8)                                                                             \
  ENTRY(IQ1_M, 29, 256, 56)                                                                        \
  ENTRY(BF16, 30, 1, 2)                                                                            \
  ENTRY(TQ1_0, 34, 256, 54)                                                                        \
  ENTRY(TQ2_0, 35, 256, 66)                                                                        \
  ENTRY(MXFP4, 39, 32, 17)                                                                         \
  ENTRY(NVFP4, 40, 64, 36)                                                                         \
  ENTRY(Q1_0, 41, 128, 18)                                                                         \
  ENTRY(U8, 1000, 1, 1)                                                                            \
  ENTRY(BOOL, 1001, 1, 1)                                                                          \
  ENTRY(U16, 1002, 1, 2)                                                                           \
  ENTRY(U32, 1003, 1, 4)                                                                           \
  ENTRY(U64, 1004, 1, 8)                                                                           \
  ENTRY(F8_E4M3, 1005, 1, 1)                                                                       \
  ENTRY(F8_E5M2, 1006, 1, 1)                                                                       \
  ENTRY(F8_E8M0, 1007, 1, 1)

typedef enum zh_dtype {
#define ZH_DTYPE_ENTRY(name, id, elements, bytes) ZH_##name = id,
  ZH_DTYPE_LIST(ZH_DTYPE_ENTRY)
#undef ZH_DTYPE_ENTRY
} zh_dtype;

typedef struct zh_dtype_info {
  zh_dtype type;
  const char *name; /* "Q4_1" */
  uint32_t block_elements, block_bytes;
} zh_dtype_info;

const zh_dtype_info *zh_dtype_find(uint32_t id);         /* NULL when unknown */
const zh_dtype_info *zh_dtype_by_name(const char *name); /* NULL when unknown */
/* Bytes of `elements` in a row; false when not a whole number of blocks or on overflow or unknown
 * type. */
bool zh_dtype_bytes(uint64_t *out, zh_dtype type, uint64_t elements);
/* Whether the engine can compute with weights of this type (F32 F16 BF16, Q8_0 Q4_0 Q4_1 Q5_0 Q5_1,
 * Q2_K … Q6_K, IQ4_NL IQ4_XS MXFP4); of the others a model can be counted, not run. */
bool zh_dtype_is_weight(zh_dtype type);

#ifdef __cplusplus
}
#endif
#endif
