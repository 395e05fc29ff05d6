#include "core/dtype.h"

#include <stddef.h>
#include <string.h>

static const zh_dtype_info types[] = {
#define ENTRY(name, id, elements, bytes) {ZH_##name, #name, elements, bytes},
    ZH_DTYPE_LIST(ENTRY)
#undef ENTRY
};
enum { TYPE_COUNT = sizeof types / sizeof *types };

const zh_dtype_info *zh_dtype_find(uint32_t id) {
  for (size_t i = 0; i < TYPE_COUNT; i++)
    if ((uint32_t)types[i].type == id) return &types[i];
  return NULL;
}

const zh_dtype_info *zh_dtype_by_name(const char *name) {
  for (size_t i = 0; i < TYPE_COUNT; i++)
    if (strcmp(types[i].name, name) == 0) return &types[i];
  return NULL;
}

bool zh_dtype_bytes(uint64_t *out, zh_dtype type, uint64_t elements) {
  const zh_dtype_info *info = zh_dtype_find((uint32_t)type);
  if (info == NULL || elements % info->block_elements != 0) return false;
  return !__builtin_mul_overflow(elements / info->block_elements, (uint64_t)info->block_bytes, out);
}

bool zh_dtype_is_weight(zh_dtype type) {
  switch (type) {
  case ZH_F32:
  case ZH_F16:
  case ZH_BF16:
  case ZH_Q8_0:
  case ZH_Q4_0:
  case ZH_Q4_1:
  case ZH_Q5_0:
  case ZH_Q5_1:
  case ZH_Q2_K:
  case ZH_Q3_K:
  case ZH_Q4_K:
  case ZH_Q5_K:
  case ZH_Q6_K:
  case ZH_IQ4_NL:
  case ZH_IQ4_XS:
  case ZH_MXFP4:
    return true;
  default:
    return false;
  }
}
