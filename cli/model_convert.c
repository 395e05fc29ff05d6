/* zhiheng model convert: another format, other types. Tensors pass by in pieces of rows, each made
 * by all threads. */
#include "cli/model_session.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "cli/cli.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/text.h"
#include "model/conversion.h"

enum {
  PANEL = 64, /* rows made together where they are columns of the model's */
  BLOCK = 256 /* elements, at most */
};

/* One piece of rows, and what each thread needs for it. */
typedef struct work {
  zh_threads *threads;
  unsigned char *room; /* of each thread: a row as it was, as fp32, and a panel of rows */
  size_t room_bytes, values_at, panel_at;
  unsigned char *out;
  const zh_converted *tensor;
  uint64_t first, count;
  atomic_uint_fast64_t bad; /* the first row that does not fit, and 1 */
} work;

static uint64_t stored_bytes(const zh_converted *t) {
  uint64_t bytes = 0;
  (void)zh_dtype_bytes(&bytes, t->as.type, t->columns); /* measured before */
  return bytes;
}

static void note_bad(work *w, uint64_t row) {
  uint64_t known = 0;
  while ((known == 0 || known > row + 1) &&
         !atomic_compare_exchange_weak(&w->bad, &known, row + 1)) {
  }
}

/* Of length one; a row of zeros stays. */
static void make_unit(float *values, uint64_t columns) {
  double sum = 0;
  for (uint64_t k = 0; k < columns; ++k) sum += (double)values[k] * (double)values[k];
  for (uint64_t k = 0; k < columns && sum > 0; ++k)
    values[k] = (float)((double)values[k] / sqrt(sum));
}

static void put_values(work *w, unsigned char *out, float *values, uint64_t row) {
  const zh_converted *t = w->tensor;
  for (uint64_t k = 0; k < t->columns && t->added != 0; ++k) values[k] += t->added;
  if (t->unit) make_unit(values, t->columns);
  if (!zh_quantize_row(out, values, t->as.type, (size_t)t->columns)) note_bad(w, row);
}

static void make_row(work *w, unsigned char *out, unsigned char *stored, uint64_t row) {
  const zh_converted *t = w->tensor;
  float *values = (float *)(void *)(stored + w->values_at);
  zh_dtype type = zh_converted_row(stored, t, row);
  if (type == t->as.type && t->added == 0 && !t->unit) {
    memcpy(out, stored, stored_bytes(t));
    return;
  }
  zh_dequantize_row_fast(values, stored, type, (size_t)t->columns);
  put_values(w, out, values, row);
}

/* Rows that are columns of the model's: of each of its rows the few elements that they take, from
 * whole blocks. */
static void make_across(work *w, unsigned char *out, unsigned char *stored, uint64_t row,
                        uint64_t count) {
  const zh_converted *t = w->tensor;
  float *values = (float *)(void *)(stored + w->values_at),
        *panel = (float *)(void *)(stored + w->panel_at);
  for (uint64_t c = 0; c < t->columns; ++c) {
    uint64_t at;
    const zh_dtype_info *type =
        zh_dtype_find((uint32_t)zh_converted_column(stored, &at, t, row, c));
    uint64_t skipped = at / type->block_elements, first = skipped * type->block_elements,
             blocks = (at + count - first + type->block_elements - 1) / type->block_elements;
    zh_dequantize_row_fast(values, stored + skipped * type->block_bytes, type->type,
                           (size_t)(blocks * type->block_elements));
    for (uint64_t i = 0; i < count; ++i) panel[i * t->columns + c] = values[at - first + i];
  }
  for (uint64_t i = 0; i < count; ++i)
    put_values(w, out + i * stored_bytes(t), panel + i * t->columns, row + i);
}

static void make_share(void *user, int thread, int threads) {
  work *w = user;
  unsigned char *stored = w->room + (size_t)thread * w->room_bytes;
  uint64_t bytes = stored_bytes(w->tensor);
  size_t begin, end;
  zh_share(&begin, &end, (size_t)w->count, 1, thread, threads);
  while (begin < end) {
    unsigned char *out = w->out + begin * bytes;
    uint64_t row = w->first + begin, most = end - begin < PANEL ? end - begin : PANEL,
             across = zh_converted_across(w->tensor, row, most);
    if (across > 0)
      make_across(w, out, stored, row, across);
    else
      make_row(w, out, stored, row);
    begin += across > 0 ? across : 1;
  }
}

static zh_status make_rows(void *user, void *out, const zh_converted *tensor, uint64_t first,
                           uint64_t count, zh_error *err) {
  work *w = user;
  w->out = out;
  w->tensor = tensor;
  w->first = first;
  w->count = count;
  zh_threads_run(w->threads, make_share, w);
  uint64_t bad = atomic_load(&w->bad);
  if (bad == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "row %" PRIu64
                 " of the tensor '%s' holds what %s cannot: no number, or one beyond "
                 "its range; say --type bf16 or f32",
                 bad - 1, tensor->as.name, zh_dtype_find((uint32_t)tensor->as.type)->name);
}

static size_t in_lines(uint64_t bytes) {
  return ((size_t)bytes + 63) & ~(size_t)63;
}

static zh_status make_room(work *w, const zh_conversion *conversion, int threads, zh_error *err) {
  uint64_t stored = 0, columns = PANEL + 2 * BLOCK, panel = 0;
  for (size_t i = 0; i < zh_conversion_count(conversion); ++i) {
    const zh_converted *t = zh_conversion_tensor(conversion, i);
    if (t->row_bytes > stored) stored = t->row_bytes;
    if (t->columns > columns) columns = t->columns;
    if (t->across != 0 && t->columns > panel) panel = t->columns;
  }
  w->values_at = in_lines(stored);
  w->panel_at = w->values_at + in_lines(columns * sizeof(float));
  w->room_bytes = w->panel_at + in_lines(PANEL * panel * sizeof(float));
  w->room = calloc((size_t)threads, w->room_bytes);
  return w->room ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for rows of tensors");
}

static void show_written(void *user, uint64_t done, uint64_t all) {
  (void)user;
  zh_progress_detail("%.0f %%", 100 * (double)done / (double)all);
}

/* --- options --- */

static zh_status type_of(const zh_dtype_info **out, const zh_session_arguments *given,
                         zh_error *err) {
  static const char *const words[] = {"f32",  "f16",  "bf16", "q8_0",  "q4_0", "q4_1",
                                      "q5_0", "q5_1", "q4_k", "mxfp4", NULL};
  static const zh_dtype types[] = {ZH_F32,  ZH_F16,  ZH_BF16, ZH_Q8_0, ZH_Q4_0,
                                   ZH_Q4_1, ZH_Q5_0, ZH_Q5_1, ZH_Q4_K, ZH_MXFP4};
  const char *word = given->value[ZH_KEY_TYPE];
  char guess[ZH_GUESS_BYTES];
  *out = NULL;
  for (size_t i = 0; word && words[i]; ++i)
    if (strcmp(words[i], word) == 0) *out = zh_dtype_find((uint32_t)types[i]);
  if (!word || *out) return ZH_OK;
  return zh_fail(
      err, ZH_ERR_USAGE,
      "--type %s: expected f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k or mxfp4%s", word,
      zh_did_you_mean(guess, word, words));
}

static bool is_gguf(const char *path) {
  size_t length = strlen(path);
  return length > 5 && strcmp(path + length - 5, ".gguf") == 0;
}

static zh_status destination_of(char path[PATH_MAX], zh_container *container, const zh_session *s,
                                zh_error *err) {
  const char *given = s->given->value[ZH_KEY_OUT];
  bool standard = strcmp(zh_model_format(s->model), "standard") == 0;
  if (!given && !standard)
    return zh_fail(err, ZH_ERR_USAGE,
                   "say where to: a file with .gguf at its end, or a folder for safetensors");
  snprintf(path, PATH_MAX, given ? "%s" : "%s.gguf", given ? given : zh_model_name(s->model));
  size_t length = strlen(path);
  if (length > 12 && strcmp(path + length - 12, ".safetensors") == 0)
    return zh_fail(err, ZH_ERR_USAGE,
                   "%s: name a folder: config.json and the tokenizer stand beside the tensors",
                   path);
  *container = is_gguf(path) ? ZH_CONTAINER_GGUF : ZH_CONTAINER_SAFETENSORS;
  return ZH_OK;
}

static zh_status start_threads(zh_session *s, zh_error *err) {
  uint64_t count = 0;
  ZH_TRY(zh_session_whole(&count, s->given, ZH_KEY_THREADS, "threads", 0, 1, ZH_CLI_CPUS, err));
  return zh_cli_threads(&s->threads, count, err);
}

/* A folder that was written does not say what it should: its files go again, and it, unless it
 * holds something else. (A GGUF file was looked at before it took its name.) */
static void take_back(const zh_conversion *conversion, const char *path) {
  char file[PATH_MAX + 64];
  snprintf(file, sizeof file, "%s/model.safetensors", path);
  (void)unlink(file);
  for (size_t i = 0; zh_conversion_side(conversion, i); ++i) {
    snprintf(file, sizeof file, "%s/%s", path, zh_conversion_side(conversion, i));
    (void)unlink(file);
  }
  (void)rmdir(path);
}

/* --- the action --- */

/* Tensors that were asked to be of another type than they could be. */
static void tell_fallback(const zh_conversion *conversion, const zh_dtype_info *type) {
  size_t count = 0;
  const zh_converted *one = NULL;
  if (type && type->type == ZH_MXFP4) return; /* kept, not made */
  for (size_t i = 0; type && i < zh_conversion_count(conversion); ++i) {
    const zh_converted *t = zh_conversion_tensor(conversion, i);
    if (t->columns % type->block_elements == 0 || t->rows < 2) continue;
    if (t->as.type == ZH_F32 || t->as.type == type->type) continue;
    one = t;
    ++count;
  }
  if (count)
    zh_warn("%zu tensors become %s, as '%s': their rows are no whole blocks of %" PRIu32
            " elements (%s)",
            count, zh_dtype_find((uint32_t)one->as.type)->name, one->as.name, type->block_elements,
            type->name);
}

static zh_status write_all(zh_session *s, const zh_conversion *conversion, const char *path,
                           zh_error *err) {
  work w = {.threads = s->threads};
  atomic_init(&w.bad, 0);
  zh_progress_step(1, 1, "writing %s", path);
  zh_status status = make_room(&w, conversion, zh_threads_count(s->threads), err);
  if (status == ZH_OK)
    status = zh_conversion_write(conversion, path, make_rows, show_written, &w, err);
  free(w.room);
  if (status == ZH_OK) zh_progress_done("written");
  return status;
}

static void tell_notes(const zh_conversion *conversion) {
  for (size_t i = 0; zh_conversion_note(conversion, i); ++i)
    zh_warn("%s", zh_conversion_note(conversion, i));
}

/* What would be written: of each type how many tensors and bytes. */
static zh_status tell_plan(zh_session *s, const zh_conversion *conversion, const char *path) {
  uint64_t all = 0;
  char size[32];
  json_t *types = json_array();
  for (uint32_t id = 0; id <= ZH_F8_E8M0; ++id) {
    const zh_dtype_info *type = zh_dtype_find(id);
    uint64_t count = 0, bytes = 0;
    for (size_t i = 0; type && i < zh_conversion_count(conversion); ++i) {
      const zh_tensor *t = &zh_conversion_tensor(conversion, i)->as;
      if (t->type != type->type) continue;
      ++count;
      bytes += t->bytes;
    }
    if (count == 0) continue;
    all += bytes;
    json_array_append_new(types, json_pack("{s:s, s:I, s:I}", "type", type->name, "tensors",
                                           (json_int_t)count, "bytes", (json_int_t)bytes));
    if (!s->given->json)
      printf("%-8s %6" PRIu64 " tensors %12s\n", type->name, count,
             zh_human_bytes(size, sizeof size, (double)bytes));
  }
  tell_notes(conversion);
  s->document = json_pack("{s:s, s:I, s:I, s:o}", "path", path, "tensors",
                          (json_int_t)zh_conversion_count(conversion), "tensor_bytes",
                          (json_int_t)all, "types", types);
  if (!s->given->json) printf("%s: %s\n", path, zh_human_bytes(size, sizeof size, (double)all));
  return ZH_OK;
}

static zh_status tell_written(zh_session *s, const zh_conversion *conversion, const char *path) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < zh_conversion_count(conversion); ++i)
    bytes += zh_conversion_tensor(conversion, i)->as.bytes;
  tell_notes(conversion);
  if (s->given->json) {
    s->document = json_pack(
        "{s:s, s:I, s:I, s:I}", "path", path, "bytes", (json_int_t)zh_file_bytes(path), "tensors",
        (json_int_t)zh_conversion_count(conversion), "tensor_bytes", (json_int_t)bytes);
  } else {
    printf("%s\n", path);
  }
  return ZH_OK;
}

zh_status zh_action_convert(zh_session *s, zh_error *err) {
  char path[PATH_MAX];
  zh_container container;
  const zh_dtype_info *type;
  zh_conversion *conversion = NULL;
  ZH_TRY(type_of(&type, s->given, err));
  ZH_TRY(destination_of(path, &container, s, err));
  ZH_TRY(start_threads(s, err));
  ZH_TRY(zh_conversion_create(&conversion, s->model, container, type, err));
  tell_fallback(conversion, type);
  if (s->given->value[ZH_KEY_DRY_RUN]) {
    zh_status told = tell_plan(s, conversion, path);
    zh_conversion_free(conversion);
    return told;
  }
  zh_status status = write_all(s, conversion, path, err);
  if (status == ZH_OK && container == ZH_CONTAINER_SAFETENSORS &&
      (status = zh_conversion_check(conversion, path, err)) != ZH_OK)
    take_back(conversion, path);
  if (status == ZH_OK) status = tell_written(s, conversion, path);
  zh_conversion_free(conversion);
  return status;
}
