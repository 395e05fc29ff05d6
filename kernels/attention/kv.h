/* How keys and values lie, for a head of a sequence. Inside kernels/.
 *
 * Keys, sixteen positions a group, so that a vector holds the same dimension of sixteen keys:
 *   f32   [group][dim][16]
 *   bf16  [group][dim / 2][16][2], dimensions filled up to an even number: a step of 32 dimensions
 *         is a tile's right operand
 *   q8    [group]: scales bf16 [16], then bytes [dim][16]
 * Values, so that a vector holds sixteen dimensions:
 *   f32   [position][dim]
 *   bf16  [position / 2][dim][2]: 32 positions by 16 dimensions are a tile's right operand
 *   q8    [group]: scales bf16 [16], then bytes [16][dim]
 * Shared values (zh_kv.shared) are the first numbers of keys, where those lie.
 * Heads take whole groups of KV_GRAIN positions; SPARE bytes follow the last, which kernels may
 * read. */
#ifndef ZH_KERNELS_ATTENTION_KV_H
#define ZH_KERNELS_ATTENTION_KV_H

#include "kernels/kernels.h"

enum { KV_GROUP = 16, KV_GRAIN = 64, KV_SPARE = 256, KV_SCALES = 32 };

/* Bytes of sixteen positions. */
static inline size_t kv_group_bytes(zh_kv_type type, size_t head_dim) {
  if (type == ZH_KV_F32) return head_dim * KV_GROUP * 4;
  if (type == ZH_KV_BF16) return (head_dim + 1) / 2 * KV_GROUP * 4;
  return KV_SCALES + head_dim * KV_GROUP;
}

static inline size_t kv_head_bytes(const zh_kv *kv) {
  size_t groups = (kv->capacity + KV_GRAIN - 1) / KV_GRAIN * (KV_GRAIN / KV_GROUP);
  return groups * kv_group_bytes(kv->type, kv->head_dim);
}

/* Where a head of a sequence begins, in keys and in values. */
static inline size_t kv_head_at(const zh_kv *kv, size_t sequence, size_t head) {
  return (sequence * kv->kv_heads + head) * kv_head_bytes(kv);
}

#endif
