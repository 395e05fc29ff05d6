/* Weights to a device, and held against the model there. Matrices of a file go through pinned
 * memory, one piece laid by all threads while the one before is on its way; a standard model's are
 * generated where they are read. No copy stays on the host. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/engine/device_engine.h"
#include "core/clock.h"
#include "core/philox.h"

enum { ALIGNMENT = 256, VERIFIED_ROWS = 4 };

static size_t aligned(size_t bytes) {
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool is_vector(const zh_weight *w) {
  return w->gain != NULL;
}

static bool is_standard(const zh_weight *w) {
  return w->source->stored->data == NULL;
}

static size_t number_bytes(const zh_device_matrix *m) {
  return zh_device_number_bytes(m->form, m->rows, m->columns);
}

static size_t scale_bytes(const zh_device_matrix *m) {
  return zh_device_scale_bytes(m);
}

/* Scales that lie row by row: E4M3's do not, and are laid by themselves. */
static size_t row_scale_bytes(const zh_device_matrix *m) {
  return m->rows * zh_device_scale_row_bytes(m->form, m->columns);
}

/* --- places: of each layer its weights, then its experts', of each slot one behind the other ---
 */

typedef struct placing {
  const zh_device_engine *d;
  unsigned char *next; /* from a base that is not used while counting */
  bool places;         /* false while counting */
} placing;

static void *take(placing *p, size_t bytes) {
  unsigned char *at = p->next;
  p->next += aligned(bytes);
  return at;
}

/* The same slot of `count` weights, `step` apart, as one matrix: numbers, then scales. */
static void place(placing *p, zh_weight *w, size_t count, size_t step) {
  if (!w->tensor) return;
  zh_device_matrix one = w->laid->matrix;
  size_t numbers = is_vector(w) ? one.columns * sizeof(float) : number_bytes(&one),
         scales = scale_bytes(&one);
  unsigned char *first = take(p, count * numbers), *first_scale = take(p, count * scales);
  for (size_t i = 0; p->places && i < count; ++i) {
    zh_laid *laid = zh_device_laid_of(p->d, &w[i * step]);
    laid->matrix.numbers = first + i * numbers;
    laid->matrix.scales = scales ? first_scale + i * scales : NULL;
  }
}

static void place_layer(placing *p, const zh_weights *weights, uint32_t layer) {
  const zh_architecture *a = &weights->architecture;
  for (int slot = 0; slot < ZH_LAYER_SLOTS; ++slot)
    place(p, &zh_weights_layer(weights, layer)[slot], 1, 1);
  if (!weights->expert || !zh_layer_is(a, layer, ZH_LAYER_EXPERTS)) return;
  for (int slot = 0; slot < ZH_EXPERT_SLOTS; ++slot)
    place(p, &zh_weights_own_experts(weights, layer)[slot], weights->experts_here, ZH_EXPERT_SLOTS);
}

/* begin: [layers + 2], where each section begins, the last that of the whole model's weights, and
 * its end; NULL: not asked for. */
static uint64_t place_all(placing p, zh_weights *weights, uint64_t *begin) {
  unsigned char *base = p.next;
  uint32_t layers = weights->architecture.layers;
  for (uint32_t l = 0; l < layers; ++l) {
    if (begin) begin[l] = (uint64_t)(p.next - base);
    place_layer(&p, weights, l);
  }
  if (begin) begin[layers] = (uint64_t)(p.next - base);
  bool tied = weights->architecture.tied_head && weights->whole[ZH_EMBEDDING].tensor;
  for (int slot = 0; slot < ZH_MODEL_SLOTS; ++slot)
    if (slot != ZH_HEAD || !tied) place(&p, &weights->whole[slot], 1, 1);
  if (begin) begin[layers + 1] = (uint64_t)(p.next - base);
  return (uint64_t)(p.next - base);
}

uint64_t zh_device_weights_formula(const zh_engine *engine) {
  static unsigned char base[1];
  return place_all((placing){engine->device, base, false}, (zh_weights *)&engine->weights, NULL);
}

/* --- rows of a file, laid piece by piece --- */

/* Rows [first, first + count) of a weight, laid on the host. */
typedef struct piece {
  const zh_weight *w;
  const zh_device_matrix *m; /* of the whole weight */
  size_t first, count;
  unsigned char *numbers, *scales;
  unsigned char *row; /* [threads][row_bytes] */
  size_t row_bytes;
  atomic_size_t *no_number; /* a row of E4M3 that holds one; SIZE_MAX: none */
} piece;

/* A row of another type as its products round it. */
static void round_row(void *out, float *values, const void *row, zh_dtype type, size_t columns) {
  uint16_t *bits = out;
  zh_dequantize_row(values, row, type, columns);
  for (size_t i = 0; i < columns; ++i) bits[i] = zh_f32_to_bf16(values[i]);
}

/* Bytes of a file as they are. 0x7F and 0xFF are no numbers, and the device would take them for
 * some. */
static void lay_fp8_row(const piece *p, size_t r, size_t numbers) {
  const zh_weight *w = p->w;
  const uint8_t *row = zh_weight_fp8_row(w, p->first + r);
  size_t columns = w->matrix.columns;
  zh_device_lay(ZH_FORM_E4M3, p->numbers + r * numbers, NULL, ZH_F8_E4M3, row, 1, columns, columns);
  for (size_t c = 0; c < columns; ++c)
    if ((row[c] & 0x7F) == 0x7F) *p->no_number = w->first_row + p->first + r;
}

static void lay_share(void *user, int thread, int threads) {
  const piece *p = user;
  const zh_weight *w = p->w;
  zh_device_matrix one = *p->m;
  size_t begin, end, columns = w->matrix.columns;
  unsigned char *room = p->row + (size_t)thread * p->row_bytes,
                *after = room + aligned(zh_weight_whole_row_bytes(w));
  one.rows = 1;
  size_t numbers = zh_device_number_bytes(one.form, 1, columns), scales = row_scale_bytes(&one);
  zh_share(&begin, &end, p->count, 1, thread, threads);
  for (size_t r = begin; r < end; ++r) {
    if (one.form == ZH_FORM_E4M3) {
      lay_fp8_row(p, r, numbers);
      continue;
    }
    const void *row = zh_weight_source_row(w, p->first + r, room);
    zh_dtype type = w->tensor->type;
    if (one.form == ZH_FORM_BF16 && type != ZH_BF16) {
      round_row(after + columns * sizeof(float), (float *)(void *)after, row, type, columns);
      row = after + columns * sizeof(float);
      type = ZH_BF16;
    }
    zh_device_lay(one.form, p->numbers + r * numbers, p->scales + r * scales, type, row, 1,
                  zh_weight_row_bytes(w), columns);
  }
  zh_source_leave(w->source);
}

/* Rows that half of the staging memory holds. */
static size_t rows_at_once(const zh_device_engine *d, const zh_device_matrix *m) {
  zh_device_matrix one = *m;
  one.rows = 1;
  size_t bytes = number_bytes(&one) + row_scale_bytes(&one), rows = d->staging_bytes / 2 / bytes;
  return rows < m->rows ? rows : m->rows;
}

static piece piece_at(const zh_device_engine *d, const zh_weight *w, size_t first, int half) {
  const zh_device_matrix *m = &w->laid->matrix;
  size_t most = rows_at_once(d, m), left = m->rows - first;
  piece p = {.w = w, .m = m, .first = first, .count = left < most ? left : most};
  p.numbers = d->staging + (size_t)half * (d->staging_bytes / 2);
  p.scales = p.numbers + zh_device_number_bytes(m->form, p.count, m->columns);
  return p;
}

typedef struct planes {
  unsigned char *numbers, *scales;
  size_t number_bytes, scale_bytes;
} planes;

/* Where a piece lies on the device. */
static planes planes_of(const piece *p) {
  zh_device_matrix before = *p->m, part = *p->m;
  before.rows = (uint32_t)p->first;
  part.rows = (uint32_t)p->count;
  return (planes){(unsigned char *)p->m->numbers + number_bytes(&before),
                  p->m->scales ? (unsigned char *)p->m->scales + row_scale_bytes(&before) : NULL,
                  number_bytes(&part), row_scale_bytes(&part)};
}

static zh_status send(const zh_device_engine *d, const piece *p, zh_error *err) {
  planes to = planes_of(p);
  ZH_TRY(d->api->upload(d->device, to.numbers, p->numbers, to.number_bytes, err));
  if (to.scale_bytes == 0) return ZH_OK;
  return d->api->upload(d->device, to.scales, p->scales, to.scale_bytes, err);
}

/* Pages of the file that will not be read again. */
static void give_back(const zh_weight *w) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)w->matrix.data + page - 1,
            end = (uintptr_t)w->matrix.data + w->matrix.rows * w->matrix.row_bytes;
  if (zh_weight_is_made(w) || is_vector(w)) return;
  begin -= begin % page;
  end -= end % page;
  if (begin < end) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static unsigned char *room_for_rows(const zh_engine *engine, const zh_weight *w, size_t *each) {
  *each = aligned(zh_weight_whole_row_bytes(w)) +
          aligned(w->matrix.columns * (sizeof(float) + sizeof(uint16_t)));
  return aligned_alloc(ALIGNMENT, *each * (size_t)zh_threads_count(engine->threads));
}

static zh_status refuse_no_number(const zh_weight *w, size_t row, zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT,
                 "tensor '%s': row %zu holds a byte that is no number in E4M3 (0x7f or 0xff)",
                 w->source->stored->name, row);
}

static zh_status lay_rows(const zh_engine *engine, const zh_weight *w, zh_error *err) {
  const zh_device_engine *d = engine->device;
  size_t each, first = 0;
  atomic_size_t no_number = SIZE_MAX;
  unsigned char *room = room_for_rows(engine, w, &each);
  zh_status status =
      room ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for rows of weights");
  for (int half = 0; status == ZH_OK && first < w->matrix.rows; half = 1 - half) {
    piece p = piece_at(d, w, first, half);
    p.row = room;
    p.row_bytes = each;
    p.no_number = &no_number;
    zh_threads_run(engine->threads, lay_share, &p);
    if (no_number != SIZE_MAX) status = refuse_no_number(w, no_number, err);
    if (status == ZH_OK)
      status = d->api->wait(d->device, err); /* for the other half, which is laid anew next */
    if (status == ZH_OK) status = send(d, &p, err);
    first += p.count;
  }
  if (status == ZH_OK) status = d->api->wait(d->device, err);
  free(room);
  give_back(w);
  return status;
}

/* --- all --- */

static zh_status lay_vector(const zh_device_engine *d, const zh_weight *w, zh_error *err) {
  size_t bytes = w->matrix.columns * sizeof(float);
  ZH_TRY(d->api->upload(d->device, w->laid->matrix.numbers, w->gain, bytes, err));
  return d->api->wait(d->device, err);
}

/* Where the weight's first row lies in its tensor's stream. */
static uint64_t first_row(const zh_weight *w) {
  return w->source->first + w->first_row;
}

/* Of blocks of E4M3, as the model has them; *out is the caller's (free), NULL in other forms. */
static zh_status block_scales(float **out, const zh_weight *w, zh_error *err) {
  const zh_device_matrix *m = &w->laid->matrix;
  *out = NULL;
  if (m->form != ZH_FORM_E4M3) return ZH_OK;
  *out = malloc(scale_bytes(m));
  if (!*out) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for scales of weights");
  if (is_standard(w))
    zh_standard_scales_of(*out, w->source->stored, first_row(w), m->rows, w->first_column,
                          m->columns);
  else
    zh_weight_fp8_scales(*out, w, m->scale_rows);
  return ZH_OK;
}

static zh_status lay_block_scales(const zh_device_engine *d, const zh_weight *w, zh_error *err) {
  const zh_device_matrix *m = &w->laid->matrix;
  float *scales;
  zh_status status = block_scales(&scales, w, err);
  if (scales) status = d->api->upload(d->device, m->scales, scales, scale_bytes(m), err);
  if (scales && status == ZH_OK) status = d->api->wait(d->device, err);
  free(scales);
  return status;
}

static zh_status generate(const zh_device_engine *d, const zh_weight *w, zh_error *err) {
  const zh_tensor *t = w->source->stored;
  return d->api->generate(d->device, &w->laid->matrix, zh_standard_seed(), t->stream, first_row(w),
                          w->first_column, t->shape[t->dims - 1], t->scale, err);
}

static zh_status lay_weight(const zh_engine *engine, zh_weight *w, zh_error *err) {
  const zh_device_engine *d = engine->device;
  int layer = w->layer < 0 ? w->layer : w->layer + (int)engine->weights.first_layer;
  d->api->mark(d->device, w->tensor->name, layer);
  if (is_vector(w)) return lay_vector(d, w, err);
  ZH_TRY(lay_block_scales(d, w, err));
  return is_standard(w) ? generate(d, w, err) : lay_rows(engine, w, err);
}

/* A part of a generated weight begins where a block of numbers with one scale does; all experts'
 * parts, which are one matrix, are whole blocks of rows. */
static zh_status refuse_cut(const zh_engine *engine, const zh_weight *w, zh_error *err) {
  const zh_weights *weights = &engine->weights;
  const zh_device_matrix *m = &w->laid->matrix;
  bool expert = weights->expert && w >= weights->expert &&
                w < zh_weights_expert(weights, weights->architecture.layers, 0);
  bool begins = first_row(w) % ZH_STANDARD_BLOCK == 0 && w->first_column % ZH_STANDARD_BLOCK == 0,
       ends = !expert || m->scale_rows <= 1 || m->rows % m->scale_rows == 0;
  if (m->form != ZH_FORM_E4M3 || ((begins || !is_standard(w)) && ends)) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: tensor '%s' cut for %d ranks would have a part that begins or ends within a "
                 "block of %d rows and columns with one scale; take fewer ranks, or parallel: "
                 "pipeline",
                 zh_model_name(weights->model), w->tensor->name, engine->stages.part.parts,
                 ZH_STANDARD_BLOCK);
}

static zh_status refuse_form(const zh_engine *engine, const zh_weight *w, zh_error *err) {
  if (w->laid->matrix.form != ZH_FORMS) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING,
                 "%s: tensor '%s' is of type %s, which this version does not compute on a GPU; run "
                 "it with --device cpu, or convert it (zhiheng model convert)",
                 zh_model_name(engine->weights.model), w->tensor->name,
                 zh_dtype_find((uint32_t)w->matrix.type)->name);
}

/* Of the bits of a layer's weights, or of the whole model's. */
static zh_status sum_section(uint64_t *out, const zh_device_engine *d, size_t section,
                             zh_error *err) {
  uint64_t begin = d->section[section], bytes = d->section[section + 1] - begin;
  *out = 0;
  if (bytes == 0) return ZH_OK;
  ZH_TRY(d->api->sum_of_bits(d->device, d->sum, d->weights + begin, bytes / 4, err));
  ZH_TRY(d->api->download(d->device, d->staging, d->sum, sizeof *out, err));
  ZH_TRY(d->api->wait(d->device, err));
  memcpy(out, d->staging, sizeof *out);
  return ZH_OK;
}

zh_status zh_device_lay_weights(zh_engine *engine, zh_error *err) {
  zh_device_engine *d = engine->device;
  zh_weights *weights = &engine->weights;
  size_t count = zh_weights_count(weights), sections = (size_t)weights->architecture.layers + 1;
  d->section = calloc(2 * sections + 1, sizeof *d->section);
  if (!d->section) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the weights' places");
  d->section_sum = d->section + sections + 1;
  ZH_TRY(d->api->alloc(d->device, (void **)&d->weights, d->weight_bytes, "weights", err));
  ZH_TRY(d->api->fill(d->device, d->weights, 0, d->weight_bytes, err)); /* gaps count in sums */
  (void)place_all((placing){d, d->weights, true}, weights, d->section);
  int64_t begun = zh_now_ns();
  for (size_t i = 0; i < count; ++i) ZH_TRY(lay_weight(engine, zh_weights_at(weights, i), err));
  ZH_TRY(d->api->wait(d->device, err));
  weights->load.pack_s = (double)(zh_now_ns() - begun) / 1e9;
  weights->load.packed_bytes = d->weight_bytes;
  for (size_t i = 0; i < sections; ++i) ZH_TRY(sum_section(&d->section_sum[i], d, i, err));
  zh_weights_tie_head(weights);
  return ZH_OK;
}

zh_status zh_device_check_forms(const zh_engine *engine, zh_error *err) {
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *w = zh_weights_at(&engine->weights, i);
    ZH_TRY(refuse_form(engine, w, err));
    if (engine->stages.part.parts > 1) ZH_TRY(refuse_cut(engine, w, err));
  }
  return ZH_OK;
}

/* --- held against the model --- */

zh_status zh_device_weights_digest(char out[ZH_DIGEST_HEX], zh_engine *engine, zh_error *err) {
  const zh_device_engine *d = engine->device;
  zh_digest *digest = NULL;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; i <= engine->architecture.layers && status == ZH_OK; ++i) {
    char line[64];
    int length = snprintf(line, sizeof line, "%zu %016" PRIx64 "\n", i, d->section_sum[i]);
    status = zh_digest_update(digest, line, (size_t)length, err);
  }
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}

static zh_status verify_sums(const zh_engine *engine, zh_error *err) {
  const zh_device_engine *d = engine->device;
  for (size_t i = 0; i <= engine->architecture.layers; ++i) {
    uint64_t now;
    char where[32] = "the whole model";
    ZH_TRY(sum_section(&now, d, i, err));
    if (now == d->section_sum[i]) continue;
    if (i < engine->architecture.layers)
      snprintf(where, sizeof where, "layer %zu", i + engine->weights.first_layer);
    return zh_fail(
        err, ZH_ERR_CHECK,
        "weights: the bits of the weights of %s in the GPU's memory add up to %016" PRIx64
        ", and added up to %016" PRIx64 " when they were laid there",
        where, now, d->section_sum[i]);
  }
  return ZH_OK;
}

/* A piece as it lies on the device: behind the laid one, in the other half of the staging memory.
 */
static zh_status compare_piece(const zh_device_engine *d, const piece *p, zh_error *err) {
  planes there = planes_of(p);
  unsigned char *other = d->staging + d->staging_bytes / 2;
  ZH_TRY(d->api->download(d->device, other, there.numbers, there.number_bytes, err));
  if (there.scale_bytes > 0)
    ZH_TRY(d->api->download(d->device, other + there.number_bytes, there.scales, there.scale_bytes,
                            err));
  ZH_TRY(d->api->wait(d->device, err));
  size_t bytes = there.number_bytes + there.scale_bytes, i = 0;
  if (memcmp(other, p->numbers, bytes) == 0) return ZH_OK;
  while (other[i] == p->numbers[i]) ++i;
  size_t row = i < there.number_bytes ? i / (there.number_bytes / p->count)
                                      : (i - there.number_bytes) / (there.scale_bytes / p->count);
  return zh_fail(err, ZH_ERR_CHECK,
                 "weights: row %zu of tensor %s is not in the GPU's memory as the model has it "
                 "(byte 0x%02x, expected 0x%02x)",
                 p->w->first_row + p->first + row, p->w->tensor->name, other[i], p->numbers[i]);
}

static zh_status compare_with_model(const zh_engine *engine, const zh_weight *w, zh_error *err) {
  const zh_device_engine *d = engine->device;
  size_t each, first = 0;
  atomic_size_t no_number = SIZE_MAX;
  unsigned char *room = room_for_rows(engine, w, &each);
  zh_status status =
      room ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check the weights");
  while (status == ZH_OK && first < w->matrix.rows) {
    piece p = piece_at(d, w, first, 0);
    p.row = room;
    p.row_bytes = each;
    p.no_number = &no_number;
    zh_threads_run(engine->threads, lay_share, &p);
    status = compare_piece(d, &p, err);
    first += p.count;
  }
  free(room);
  give_back(w);
  return status;
}

static zh_status compare_block_scales(const zh_engine *engine, const zh_weight *w, zh_error *err) {
  const zh_device_engine *d = engine->device;
  size_t bytes = scale_bytes(&w->laid->matrix);
  float *scales, *there = malloc(bytes + 1);
  zh_status status = block_scales(&scales, w, err);
  if (status == ZH_OK && !there)
    status = zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check the weights");
  if (scales && status == ZH_OK)
    status = d->api->download(d->device, there, w->laid->matrix.scales, bytes, err);
  if (scales && status == ZH_OK) status = d->api->wait(d->device, err);
  if (scales && status == ZH_OK && memcmp(there, scales, bytes) != 0)
    status =
        zh_fail(err, ZH_ERR_CHECK,
                "weights: the scales of tensor %s are not in the GPU's memory as the model has "
                "them",
                w->tensor->name);
  free(scales);
  free(there);
  return status;
}

/* A generated row's values against the rule's, computed here. */
static zh_status compare_row(const zh_engine *engine, const zh_weight *w, size_t row, float *values,
                             zh_error *err) {
  const zh_device_engine *d = engine->device;
  size_t columns = w->matrix.columns;
  zh_device_matrix one = w->laid->matrix, before = one, blocks = one;
  bool in_blocks = one.form == ZH_FORM_E4M3; /* whose scales serve several rows */
  one.rows = 1;
  before.rows = (uint32_t)row;
  blocks.rows = (uint32_t)(in_blocks ? row / one.scale_rows * one.scale_rows : row);
  const unsigned char *numbers = (unsigned char *)one.numbers + number_bytes(&before),
                      *scales = (unsigned char *)one.scales + scale_bytes(&blocks);
  size_t length = number_bytes(&one), scale_length = scale_bytes(&one);
  ZH_TRY(d->api->download(d->device, d->staging, numbers, length, err));
  if (scale_length > 0)
    ZH_TRY(d->api->download(d->device, d->staging + length, scales, scale_length, err));
  ZH_TRY(d->api->wait(d->device, err));
  zh_device_row_values(values, &one, d->staging, d->staging + length, 0);
  const void *bytes = zh_weight_source_row(w, row, d->staging + d->staging_bytes / 2);
  zh_dequantize_row(values + columns, bytes, w->tensor->type, columns);
  if (memcmp(values, values + columns, columns * sizeof *values) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "weights: row %zu of tensor %s in the GPU's memory is not what the standard model "
                 "defines",
                 w->first_row + row, w->tensor->name);
}

static zh_status compare_drawn_rows(const zh_engine *engine, const zh_weight *w, size_t i,
                                    uint64_t seed, zh_error *err) {
  uint32_t pick[VERIFIED_ROWS];
  float *values = malloc(2 * w->matrix.columns * sizeof *values);
  if (!values) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a row of weights");
  zh_random_fill(pick, VERIFIED_ROWS, seed, i, 0);
  zh_status status = ZH_OK;
  for (int k = 0; status == ZH_OK && k < VERIFIED_ROWS; ++k)
    status = compare_row(engine, w, pick[k] % w->matrix.rows, values, err);
  free(values);
  return status;
}

static zh_status compare_vector(const zh_engine *engine, const zh_weight *w, zh_error *err) {
  const zh_device_engine *d = engine->device;
  size_t bytes = w->matrix.columns * sizeof(float);
  ZH_TRY(d->api->download(d->device, d->staging, w->laid->matrix.numbers, bytes, err));
  ZH_TRY(d->api->wait(d->device, err));
  if (memcmp(d->staging, w->gain, bytes) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "weights: the values of %s in the GPU's memory are not the model's",
                 w->tensor->name);
}

zh_status zh_device_weights_verify(zh_engine *engine, uint64_t seed, zh_error *err) {
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *w = zh_weights_at(&engine->weights, i);
    ZH_TRY(compare_block_scales(engine, w, err));
    if (is_vector(w))
      ZH_TRY(compare_vector(engine, w, err));
    else if (is_standard(w))
      ZH_TRY(compare_drawn_rows(engine, w, i, seed, err));
    else
      ZH_TRY(compare_with_model(engine, w, err));
  }
  return verify_sums(engine, err);
}
