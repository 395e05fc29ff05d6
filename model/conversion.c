/* Which tensors a converted model has, and how they are written piece by piece. */
#include "model/conversion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/coded.h"
#include "model/conversion_room.h"

enum { PIECE_BYTES = 4 << 20, GGUF_DIMS = 4 };

/* --- names: llama's, in both formats --- */

typedef struct name_pair {
  const char *gguf, *config; /* "%u" stands for the layer */
} name_pair;

static const name_pair names[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.%u.attn_norm.weight", "model.layers.%u.input_layernorm.weight"},
    {"blk.%u.attn_q.weight", "model.layers.%u.self_attn.q_proj.weight"},
    {"blk.%u.attn_k.weight", "model.layers.%u.self_attn.k_proj.weight"},
    {"blk.%u.attn_v.weight", "model.layers.%u.self_attn.v_proj.weight"},
    {"blk.%u.attn_output.weight", "model.layers.%u.self_attn.o_proj.weight"},
    {"blk.%u.ffn_norm.weight", "model.layers.%u.post_attention_layernorm.weight"},
    {"blk.%u.ffn_gate.weight", "model.layers.%u.mlp.gate_proj.weight"},
    {"blk.%u.ffn_up.weight", "model.layers.%u.mlp.up_proj.weight"},
    {"blk.%u.ffn_down.weight", "model.layers.%u.mlp.down_proj.weight"},
};
enum { NAMES = sizeof names / sizeof names[0] };

/* The tensor's name in the other format; NULL where it has none. */
static const char *other_name(zh_arena *arena, const char *name, zh_container container) {
  for (size_t i = 0; i < NAMES; i++) {
    const char *from = container == ZH_CONTAINER_GGUF ? names[i].config : names[i].gguf;
    const char *to = container == ZH_CONTAINER_GGUF ? names[i].gguf : names[i].config;
    unsigned layer = 0;
    char again[160];
    if (strstr(from, "%u") != NULL && sscanf(name, from, &layer) != 1) continue;
    snprintf(again, sizeof again, from, layer);
    if (strcmp(again, name) == 0) return zh_arena_printf(arena, to, layer);
  }
  return NULL;
}

/* --- types --- */

/* Gains, biases and routers, whose few numbers are not worth rounding. */
static bool stays_exact(const zh_tensor *t) {
  return t->dims < 2 || zh_tensor_role_of(t) == ZH_ROLE_NORM ||
         zh_tensor_role_of(t) == ZH_ROLE_ROUTER;
}

/* The next larger type whose blocks divide the rows. */
static zh_dtype fitting(zh_dtype type, uint64_t columns) {
  if (columns % zh_dtype_find((uint32_t)type)->block_elements == 0) return type;
  return columns % 32 == 0 ? ZH_Q5_0 : ZH_F16;
}

static zh_status choose_type(zh_dtype *out, const zh_conversion *c, const zh_tensor *t,
                             const zh_dtype_info *wanted, zh_error *err) {
  const zh_dtype_info *has = zh_dtype_find((uint32_t)t->type);
  *out = t->type;
  if (!zh_dtype_is_weight(t->type)) {
    if (has->block_elements == 1 && has->type < ZH_U8) return ZH_OK; /* integers, as they are */
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' has the type %s, which is not converted",
                   t->file, t->name, has->name);
  }
  if (wanted != NULL || stays_exact(t))
    *out = stays_exact(t) ? ZH_F32 : fitting(wanted->type, t->shape[t->dims - 1]);
  if (c->container == ZH_CONTAINER_GGUF || zh_dtype_find((uint32_t)*out)->block_elements == 1)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "safetensors folders hold no %s; say --type f32, f16 or bf16",
                 wanted != NULL ? wanted->name : has->name);
}

/* --- tensors --- */

static bool is_layer_matrix(const char *name, const char *part) {
  const char *at = strstr(name, part);
  return at != NULL && strcmp(at + strlen(part), ".weight") == 0;
}

/* Rows of q and k stand in another order where the formats pair them otherwise. */
static void turn_rows(zh_converted *t, const zh_conversion *c, const zh_architecture *a) {
  bool to_pairs = c->container == ZH_CONTAINER_GGUF;
  if ((a->rope[0].kind == ZH_ROPE_PAIRS) == to_pairs) return;
  if (!is_layer_matrix(t->from->name, "attn_q") && !is_layer_matrix(t->from->name, "attn_k") &&
      !is_layer_matrix(t->from->name, "q_proj") && !is_layer_matrix(t->from->name, "k_proj"))
    return;
  t->head_rows = a->head_dim;
  t->turned = a->rope[0].dims;
  t->to_pairs = to_pairs;
}

static zh_status add_tensor(zh_conversion *c, const zh_tensor *from, const zh_architecture *a,
                            const zh_dtype_info *wanted, zh_error *err) {
  zh_converted *t = &c->tensors[c->count];
  const char *name = from->name;
  const zh_coded *coded;
  ZH_TRY(zh_coded_find(&coded, c->model, from->name, err));
  if (zh_coded_is_part(c->model, from))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the tensor '%s' belongs to packed weights, which are not converted",
                   from->file, from->name);
  if (a != NULL) {
    if (zh_tensor_role_of(from) == ZH_ROLE_BUFFER) return ZH_OK; /* computed anew by who runs it */
    name = strcmp(c->model->format, "safetensors") == 0 || c->container != ZH_CONTAINER_GGUF
               ? other_name(c->arena, from->name, c->container)
               : from->name;
  }
  if (name == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' has no name in the other format",
                   from->file, from->name);
  if (from->elements == 0 || (c->container == ZH_CONTAINER_GGUF && from->dims > GGUF_DIMS))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the tensor '%s' has no elements, or more than %d lengths", from->file,
                   from->name, GGUF_DIMS);
  t->as = *from;
  t->as.name = name;
  t->as.data = NULL;
  t->from = from;
  t->source_type = from->type;
  t->columns = from->dims > 0 ? from->shape[from->dims - 1] : 1;
  t->rows = from->elements / t->columns;
  ZH_TRY(choose_type(&t->as.type, c, from, wanted, err));
  if (!zh_tensor_measure(&t->as))
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' is too large", from->file, from->name);
  if (a != NULL) turn_rows(t, c, a);
  c->count++;
  return ZH_OK;
}

/* Row of the source that stands at row r of the result. */
static uint64_t source_row(const zh_converted *t, uint64_t r) {
  if (t->head_rows == 0) return r;
  uint64_t head = r / t->head_rows * t->head_rows, at = r % t->head_rows, half = t->turned / 2;
  if (at >= t->turned) return r;
  return head + (t->to_pairs ? at % 2 * half + at / 2 : at % half * 2 + at / half);
}

void zh_converted_rows(void *out, const zh_converted *t, uint64_t first, uint64_t count) {
  uint64_t bytes = t->from->bytes / t->rows;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t row = source_row(t, first + i);
    char *to = (char *)out + i * bytes;
    if (t->from->data == NULL) /* a standard model's */
      zh_standard_rows(to, t->from, row, 1);
    else
      memcpy(to, (const char *)t->from->data + row * bytes, (size_t)bytes);
  }
}

/* --- the whole --- */

static zh_status add_all(zh_conversion *c, const zh_dtype_info *type, zh_error *err) {
  const zh_model *model = c->model;
  bool same =
      strcmp(model->format, c->container == ZH_CONTAINER_GGUF ? "gguf" : "safetensors") == 0;
  zh_architecture a = {0};
  if (!same) ZH_TRY(zh_model_architecture(&a, model, err));
  for (size_t i = 0; i < model->tensor_count; i++)
    ZH_TRY(add_tensor(c, &model->tensors[i], same ? NULL : &a, type, err));
  ZH_TRY(zh_conversion_describe(c, same ? NULL : &a, err));
  return zh_conversion_carry_tokenizer(c, same ? NULL : &a, err);
}

zh_status zh_conversion_create(zh_conversion **out, const zh_model *model, zh_container container,
                               const zh_dtype_info *type, zh_error *err) {
  *out = NULL;
  zh_conversion *c = calloc(1, sizeof *c);
  if (c == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  c->model = model;
  c->container = container;
  zh_status status = zh_arena_create(&c->arena, 0, err);
  if (status == ZH_OK) {
    c->tensors = zh_arena_alloc(c->arena, model->tensor_count + 1, sizeof *c->tensors);
    status = c->tensors == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)")
                                : add_all(c, type, err);
  }
  if (status == ZH_OK)
    *out = c;
  else
    zh_conversion_free(c);
  return status;
}

void zh_conversion_free(zh_conversion *c) {
  if (c == NULL) return;
  for (size_t i = 0; i < c->side_count; i++) zh_text_free(&c->side[i].bytes);
  zh_text_free(&c->values);
  zh_arena_free(c->arena);
  free(c);
}

size_t zh_conversion_count(const zh_conversion *c) {
  return c->count;
}

const zh_converted *zh_conversion_tensor(const zh_conversion *c, size_t i) {
  return i < c->count ? &c->tensors[i] : NULL;
}

const char *zh_conversion_note(const zh_conversion *c, size_t i) {
  return i < c->note_count ? c->notes[i] : NULL;
}

void zh_conversion_add_note(zh_conversion *c, const char *sentence) {
  if (c->note_count < ZH_NOTES_MAX) c->notes[c->note_count++] = sentence;
}

zh_text *zh_conversion_add_side(zh_conversion *c, const char *name) {
  zh_side_file *side = &c->side[c->side_count++];
  side->name = name;
  return &side->bytes;
}

/* --- writing --- */

static zh_status put_padding(zh_writer *writer, uint64_t written, size_t pad, zh_error *err) {
  static const unsigned char zeros[ZH_GGUF_ALIGNMENT];
  return zh_writer_put(writer, zeros, (size_t)((pad - written % pad) % pad), err);
}

typedef struct telling {
  zh_write_progress tell; /* NULL: nobody listens */
  void *user;
  uint64_t done, all;
} telling;

static zh_status put_tensor(zh_writer *writer, const zh_converted *t, void *piece,
                            zh_rows_maker rows, telling *progress, zh_error *err) {
  uint64_t row_bytes = t->as.bytes / t->rows, step = PIECE_BYTES / row_bytes;
  if (step == 0) step = 1;
  for (uint64_t row = 0; row < t->rows; row += step) {
    uint64_t count = t->rows - row < step ? t->rows - row : step;
    if (progress->tell != NULL) progress->tell(progress->user, progress->done, progress->all);
    ZH_TRY(rows(progress->user, piece, t, row, count, err));
    ZH_TRY(zh_writer_put(writer, piece, (size_t)(count * row_bytes), err));
    progress->done += count * row_bytes;
  }
  return ZH_OK;
}

zh_status zh_conversion_put_tensors(const zh_conversion *c, zh_writer *writer, size_t pad,
                                    zh_rows_maker rows, zh_write_progress tell, void *user,
                                    zh_error *err) {
  telling progress = {tell, user, 0, 0};
  uint64_t most = PIECE_BYTES;
  for (size_t i = 0; i < c->count; i++) {
    uint64_t row_bytes = c->tensors[i].as.bytes / c->tensors[i].rows;
    progress.all += c->tensors[i].as.bytes;
    if (row_bytes > most) most = row_bytes;
  }
  void *piece = malloc((size_t)most);
  zh_status status =
      piece == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (a row of a tensor)") : ZH_OK;
  for (size_t i = 0; i < c->count && status == ZH_OK; i++) {
    status = put_tensor(writer, &c->tensors[i], piece, rows, &progress, err);
    if (status == ZH_OK) status = put_padding(writer, c->tensors[i].as.bytes, pad, err);
  }
  free(piece);
  return status;
}

zh_status zh_conversion_write(const zh_conversion *c, const char *path, zh_rows_maker rows,
                              zh_write_progress progress, void *user, zh_error *err) {
  return c->container == ZH_CONTAINER_GGUF
             ? zh_gguf_write(c, path, rows, progress, user, err)
             : zh_safetensors_write(c, path, rows, progress, user, err);
}
