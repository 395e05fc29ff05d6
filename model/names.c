/* Tensors by name: open addressing, so that a hundred thousand names cost one look each. The hash
 * is seeded anew for each model, because names come from outside. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "model/room.h"

/* A slot holds the hash's upper half and the tensor's number + 1; 0 is empty. */
static uint64_t hash_of(const zh_model *model, const char *name, size_t length) {
  return XXH3_64bits_withSeed(name, length, model->name_seed);
}

static bool is_named(const zh_tensor *tensor, const char *name, size_t length) {
  return strncmp(tensor->name, name, length) == 0 && tensor->name[length] == '\0';
}

/* The slot of the name, or the empty one where it belongs. */
static uint64_t *slot_of(const zh_model *model, uint64_t hash, const char *name, size_t length) {
  uint64_t *slot;
  for (uint64_t at = hash;; at++) {
    slot = &model->name_slots[at & model->name_mask];
    if (*slot == 0) return slot;
    if (*slot >> 32 == hash >> 32 &&
        is_named(&model->tensors[(*slot & UINT32_MAX) - 1], name, length))
      return slot;
  }
}

const zh_tensor *zh_model_find_exactly(const zh_model *model, const char *name, size_t length) {
  if (model->name_slots == NULL) return NULL;
  uint64_t slot = *slot_of(model, hash_of(model, name, length), name, length);
  return slot != 0 ? &model->tensors[(slot & UINT32_MAX) - 1] : NULL;
}

/* Of tensors with one name the first is kept; one in another file is a defect of that file. */
static zh_status repeated(zh_model *model, const zh_tensor *first, const zh_tensor *again,
                          zh_error *err) {
  if (model->lenient && first->file != again->file)
    return zh_model_add_defect(model, ZH_DEFECT_SHARD_REPEATED, again->file, 1, err);
  return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' stands twice", again->file, again->name);
}

zh_status zh_model_index(zh_model *model, zh_error *err) {
  size_t count = model->tensor_count, kept = 0, slots = 16;
  while (slots < 2 * count) slots *= 2;
  model->name_slots = calloc(slots, sizeof *model->name_slots);
  if (model->name_slots == NULL || count >= UINT32_MAX)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tensor names)");
  model->name_mask = slots - 1;
  model->name_seed = (uint64_t)zh_now_ns() ^ (uint64_t)(uintptr_t)model;
  for (size_t i = 0; i < count; i++) {
    zh_tensor *tensor = &model->tensors[i];
    size_t length = strlen(tensor->name);
    uint64_t hash = hash_of(model, tensor->name, length);
    uint64_t *slot = slot_of(model, hash, tensor->name, length);
    if (*slot != 0) {
      ZH_TRY(repeated(model, &model->tensors[(*slot & UINT32_MAX) - 1], tensor, err));
      continue;
    }
    if (kept != i) model->tensors[kept] = *tensor;
    *slot = (hash & ~(uint64_t)UINT32_MAX) | ++kept;
  }
  model->tensor_count = kept;
  return ZH_OK;
}
