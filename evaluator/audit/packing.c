/* Packed weights: how many numbers they stand for, and which. Sources: the formats' own
 * repositories (AutoGPTQ, AutoAWQ, OCP Microscaling 1.0, DeepSeek-V3's FP8 blocks). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "evaluator/audit/audit.h"

static bool has_sibling(const zh_model *model, const char *name, const char *old_end,
                        const char *new_end) {
  return zh_model_sibling(model, name, old_end, new_end) != NULL;
}

static json_int_t integer_at(const json_t *object, const char *key) {
  return json_integer_value(json_object_get(object, key));
}

/* Bits of a value by config.json's quantization_config, 0 where it does not say. */
static uint64_t declared_bits(const zh_model *model) {
  const json_t *q = json_object_get(zh_model_config(model), "quantization_config"), *group;
  json_int_t bits = integer_at(q, "bits");
  const char *name;
  if (bits == 0) bits = integer_at(q, "w_bit");
  json_object_foreach((json_t *)json_object_get(q, "config_groups"), name, group) {
    if (bits == 0) bits = integer_at(json_object_get(group, "weights"), "num_bits");
  }
  return bits >= 1 && bits <= 32 ? (uint64_t)bits : 0;
}

static uint64_t bits_of_element(zh_dtype type) {
  return type == ZH_U8 || type == ZH_I8     ? 8
         : type == ZH_I16 || type == ZH_U16 ? 16
         : type == ZH_I32 || type == ZH_U32 ? 32
         : type == ZH_I64 || type == ZH_U64 ? 64
                                            : 0;
}

/* A power of two for each 16 bytes: MXFP4 under its weight's own name. */
static bool has_powers(const zh_model *model, const zh_tensor *t) {
  const zh_tensor *s = zh_model_sibling(model, t->name, "", "_scale");
  return s != NULL && (s->type == ZH_U8 || s->type == ZH_F8_E8M0) && t->elements % 16 == 0 &&
         s->elements == t->elements / 16;
}

/* Four-bit formats in bytes, known by what lies beside them: MXFP4 (blocks and scales), NVFP4 (a
 * second scale, or compressed-tensors' packed name), bitsandbytes (a state for the weight). */
static bool is_four_bit(const zh_model *model, const zh_tensor *t) {
  const char *name = t->name;
  if (t->type != ZH_U8) return false;
  if (zh_ends_in(name, "_blocks")) return has_sibling(model, name, "_blocks", "_scales");
  if (zh_ends_in(name, ".weight_packed")) return true;
  if (has_powers(model, t)) return true;
  if (!zh_ends_in(name, ".weight")) return false;
  return has_sibling(model, name, "", "_scale_2") ||
         has_sibling(model, name, "", ".quant_state.bitsandbytes__nf4") ||
         has_sibling(model, name, "", ".quant_state.bitsandbytes__fp4");
}

static bool is_low_bit(zh_dtype type) {
  return type == ZH_U8 || type == ZH_I8 || type == ZH_I32 || type == ZH_U32 || type == ZH_F8_E4M3 ||
         type == ZH_F8_E5M2;
}

/* By its type, or because its name is that of low-bit weights beside it with a scale's ending. */
bool zh_is_scale(const zh_model *model, const zh_tensor *t) {
  static const char *const endings[] = {"_scale_inv", "_scale_2", "_scale", "_scales", ".scale",
                                        ".scales",    "_zero",    "_zeros", ".zero",   ".zeros"};
  static const char *const weights[] = {"", "_blocks", "_packed", ".weight", ".qweight"};
  if (t->type == ZH_F8_E8M0) return true;
  size_t length = strlen(t->name);
  if (length == 0 || strchr("v2eso", t->name[length - 1]) == NULL) return false; /* most names */
  for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
    for (size_t k = 0; zh_ends_in(t->name, endings[i]) && k < sizeof weights / sizeof weights[0];
         k++) {
      const zh_tensor *w = zh_model_sibling(model, t->name, endings[i], weights[k]);
      if (w != NULL && is_low_bit(w->type) && w->elements > t->elements) return true;
    }
  return false;
}

bool zh_unpacked(uint64_t *values, uint64_t *elements, const zh_model *model, const zh_tensor *t) {
  uint64_t stored = bits_of_element(t->type), bits = 0;
  *values = *elements = 1;
  if (stored == 0) return true;
  if (is_four_bit(model, t))
    bits = 4;
  else if (zh_ends_in(t->name, "qweight") || zh_ends_in(t->name, ".weight_packed"))
    bits = declared_bits(model);
  if (bits == 0 || bits > stored) return stored == 8 && t->type == ZH_I8;
  *values = stored;
  *elements = bits;
  return true;
}

/* --- which packing, and the tensors that go with it --- */

static const char *method_of(const zh_model *model) {
  const json_t *q = json_object_get(zh_model_config(model), "quantization_config");
  const char *method = json_string_value(json_object_get(q, "quant_method"));
  return method != NULL ? method : "";
}

static bool is_matrix(const zh_tensor *t, uint64_t rows, uint64_t columns) {
  return t != NULL && t->data != NULL && t->dims == 2 && t->shape[0] >= rows &&
         t->shape[1] >= columns;
}

static void find_codes(zh_grid *u, const zh_model *model) {
  bool awq = strcmp(method_of(model), "awq") == 0;
  const zh_tensor *t = u->tensor;
  u->value_rows = u->value_columns = 0;
  if (t->dims != 2 || declared_bits(model) != 4 || t->type != ZH_I32) return;
  u->scales = zh_model_sibling(model, t->name, "qweight", "scales");
  u->zeros = zh_model_sibling(model, t->name, "qweight", "qzeros");
  uint64_t inputs = awq ? t->shape[0] : 8 * t->shape[0],
           outputs = awq ? 8 * t->shape[1] : t->shape[1];
  if (u->scales == NULL || u->scales->type != ZH_F16 || !is_matrix(u->scales, 1, outputs) ||
      u->scales->shape[1] != outputs || u->zeros == NULL || u->zeros->type != ZH_I32 ||
      !is_matrix(u->zeros, u->scales->shape[0], outputs / 8) || outputs % 8 != 0 ||
      u->scales->shape[0] > inputs || u->columns != t->shape[1])
    return;
  u->packing = awq ? ZH_PACK_AWQ : ZH_PACK_GPTQ;
  u->value_rows = inputs;
  u->value_columns = outputs;
}

static void find_blocks(zh_grid *u, const zh_model *model, uint64_t slices) {
  const zh_tensor *t = u->tensor;
  u->value_rows = u->value_columns = 0;
  u->scales = zh_model_sibling(model, t->name, "_blocks", "_scales");
  uint64_t blocks = u->row_bytes / 16;
  if (u->scales == NULL || u->scales->data == NULL || u->scales->type != ZH_U8 ||
      u->row_bytes % 16 != 0 || u->scales->elements != slices * u->rows * blocks)
    return;
  u->packing = ZH_PACK_MXFP4;
  u->value_rows = u->rows;
  u->value_columns = 32 * blocks;
}

static void find_scales(zh_grid *u, const zh_model *model) {
  const char *name = u->tensor->name;
  u->scales = zh_model_sibling(model, name, "", "_scale_inv");
  if (u->scales == NULL) u->scales = zh_model_sibling(model, name, "", "_scale");
  bool known = u->scales != NULL && u->scales->data != NULL && u->whole && u->tensor->dims == 2 &&
               (u->scales->type == ZH_F32 || u->scales->type == ZH_BF16) &&
               u->columns == u->tensor->shape[1];
  bool one = known && u->scales->elements == 1, lines = known && u->scales->elements == u->rows;
  bool blocks = known && u->scales->dims == 2 && u->scales->shape[0] > 0 &&
                u->scales->shape[1] > 0 && u->scales->shape[0] <= u->rows &&
                u->scales->shape[1] <= u->columns;
  if (one || lines || blocks) u->packing = ZH_PACK_F8_BLOCKS;
}

void zh_packing_find(zh_grid *u, const zh_model *model, uint64_t slices) {
  const zh_tensor *t = u->tensor;
  if (t->type == ZH_F8_E4M3 || t->type == ZH_F8_E5M2)
    find_scales(u, model);
  else if (zh_ends_in(t->name, "qweight"))
    find_codes(u, model);
  else if (t->type == ZH_U8 && zh_ends_in(t->name, "_blocks"))
    find_blocks(u, model, slices);
  else if (!zh_values_known(t->type))
    u->value_rows = u->value_columns = 0;
}

/* --- their values --- */

static float scale_at(const zh_tensor *scales, uint64_t i) {
  const unsigned char *bytes = scales->data;
  float value;
  uint16_t half;
  if (scales->type == ZH_F32) {
    memcpy(&value, bytes + 4 * i, sizeof value);
    return value;
  }
  memcpy(&half, bytes + 2 * i, sizeof half);
  return scales->type == ZH_F16 ? zh_f16_to_f32(half) : zh_bf16_to_f32(half);
}

/* Blocks have a power of two of lines; the last one may be cut: 192 rows in two blocks are 128 and
 * 64. */
static uint64_t block_lines(uint64_t lines, uint64_t blocks) {
  uint64_t size = 1;
  while (size * blocks < lines) size *= 2;
  return size;
}

void zh_packing_scale_row(float *row, const zh_grid *u, uint64_t number) {
  const zh_tensor *s = u->scales;
  uint64_t down = s->dims == 2 ? s->shape[0] : s->elements, across = s->dims == 2 ? s->shape[1] : 1;
  if (s->elements == 1) down = across = 1;
  uint64_t tall = block_lines(u->rows, down), wide = block_lines(u->columns, across);
  for (uint64_t c = 0; c < u->columns; c++)
    row[c] *= scale_at(s, number / tall * across + c / wide);
}

static uint32_t word_at(const zh_tensor *t, uint64_t i) {
  uint32_t word;
  memcpy(&word, (const unsigned char *)t->data + 4 * i, sizeof word);
  return word;
}

/* Where column c lies in a word of eight. */
static unsigned nibble_of(zh_packing packing, uint64_t c) {
  static const unsigned char places[8] = {0, 4, 1, 5, 2, 6, 3, 7}; /* AWQ: 0 2 4 6 1 3 5 7 */
  return packing == ZH_PACK_AWQ ? places[c % 8] : (unsigned)(c % 8);
}

/* Zero points are stored less one by the older writers of GPTQ, subtracted from whole words: what
 * puts the first row's mean nearer to zero is taken. */
static void codes_row(float *out, const zh_grid *u, uint64_t row, float offset) {
  uint64_t columns = u->value_columns, groups = u->scales->shape[0];
  uint64_t group = row / ((u->value_rows + groups - 1) / groups);
  for (uint64_t c = 0; c < columns; c++) {
    uint32_t code =
        u->packing == ZH_PACK_AWQ
            ? word_at(u->tensor, row * (columns / 8) + c / 8) >> 4 * nibble_of(u->packing, c)
            : word_at(u->tensor, row / 8 * columns + c) >> 4 * (row % 8);
    uint32_t zeros =
        word_at(u->zeros, group * (columns / 8) + c / 8) + (offset != 0 ? 0x11111111u : 0);
    uint32_t zero = zeros >> 4 * nibble_of(u->packing, c);
    float steps = (float)(code & 15) - (float)(zero & 15);
    out[c] = steps * scale_at(u->scales, group * columns + c);
  }
}

static double mean_of(const float *row, uint64_t count) {
  double sum = 0;
  for (uint64_t i = 0; i < count; i++) sum += (double)row[i];
  return count > 0 ? sum / (double)count : 0;
}

static void mxfp4_row(float *out, const zh_grid *u, uint64_t row) {
  static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  const unsigned char *bytes = u->data + row * u->row_bytes;
  uint64_t blocks = u->value_columns / 32;
  const unsigned char *powers =
      (const unsigned char *)u->scales->data + (u->slice * u->rows + row) * blocks;
  for (uint64_t i = 0; i < u->value_columns; i++) {
    unsigned code = bytes[i / 2] >> (i % 2 * 4) & 15;
    float value = ldexpf(values[code & 7], powers[i / 32] - 127);
    out[i] = code & 8 ? -value : value;
  }
}

void zh_packing_row(float *out, const zh_grid *u, uint64_t row) {
  if (u->packing == ZH_PACK_MXFP4) {
    mxfp4_row(out, u, row);
    return;
  }
  codes_row(out, u, row, u->zero_offset);
}

void zh_packing_settle(zh_grid *u, float *scratch) {
  if (u->packing != ZH_PACK_GPTQ) return;
  double means[2] = {0};
  for (int offset = 0; offset < 2; offset++)
    for (uint64_t row = 0; row < 8 && row < u->value_rows; row++) {
      codes_row(scratch, u, row, (float)offset);
      means[offset] += mean_of(scratch, u->value_columns);
    }
  u->zero_offset = fabs(means[1]) < fabs(means[0]) ? 1.0f : 0.0f;
}
