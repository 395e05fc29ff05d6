/* One pass over the bytes of every matrix, by all threads: hashes of rows, zero rows and columns,
 * constants. Rows are taken in pieces that stay in a core's cache while they are looked at twice.
 *
 * What is kept is bounded: some numbers a matrix, flags where there are zeros, and of the rows'
 * hashes the smallest few million. Pieces that are holes in their file are zeros and are not read.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/clock.h"
#include "evaluator/audit/audit.h"
#include "evaluator/audit/dense.h"
#include "evaluator/audit/holes.h"
#include "evaluator/audit/ranks.h"
#include "evaluator/audit/sample.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; older ones refuse it and fault page by page */
#endif

enum {
  PIECE_BYTES = 1 << 20,
  PRINTS_MAX = 1 << 22,
  PRINT_COLUMNS = 32,
  LOCAL_PRINTS = 4096,
  HASHES = 64, /* rows hashed at a time */
  FLAGS_MAX = 1 << 24
};

typedef struct piece {
  uint32_t unit;
  bool sampled; /* `rows` of all rows, drawn at random */
  uint64_t first, rows;
  uint64_t cut; /* rows at which a hole of several pieces would have been cut; 0: not */
} piece;

typedef struct piece_facts {
  uint64_t hash, row_set, zero_rows;
  uint32_t moments[2];
  float value;
  bool constant, valued;          /* all values equal `value`; one was seen */
  uint64_t rows_seen, blank_rows; /* blank: every byte zero */
} piece_facts;

typedef struct local_prints local_prints;
typedef struct scanner {
  zh_auditor *a;
  piece *pieces;
  piece_facts *facts;
  size_t count;
  pthread_mutex_t lock;
  zh_row_print *prints;
  size_t print_count;
  _Atomic uint64_t limit;       /* prints above are dropped */
  _Atomic bool *no_zero_column; /* of each unit */
  local_prints *local;
  int *files; /* of each tensor: its file where that has holes, else -1 */
  size_t columns_max;
  const zh_dense *dense;
  _Atomic uint64_t sum; /* of a plain read, so that it is done */
} scanner;

struct local_prints {
  size_t count;
  zh_row_print items[LOCAL_PRINTS];
};

uint64_t zh_row_hash(const void *bytes, size_t length) {
  return XXH3_64bits(bytes, length);
}

static uint64_t fold(uint64_t hash, uint64_t next) {
  return (hash ^ next) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
}

/* --- bounded memory for the hashes of rows --- */

static void halve_prints(scanner *s) {
  uint64_t limit = atomic_load(&s->limit) / 2;
  size_t kept = 0;
  for (size_t i = 0; i < s->print_count; i++)
    if (s->prints[i].hash <= limit) s->prints[kept++] = s->prints[i];
  s->print_count = kept;
  atomic_store(&s->limit, limit);
}

static void flush_prints(scanner *s, local_prints *local) {
  pthread_mutex_lock(&s->lock);
  for (size_t i = 0; i < local->count; i++) {
    if (s->print_count == PRINTS_MAX) halve_prints(s);
    if (local->items[i].hash <= atomic_load(&s->limit))
      s->prints[s->print_count++] = local->items[i];
  }
  pthread_mutex_unlock(&s->lock);
  local->count = 0;
}

/* --- one piece --- */

/* Whether an element is zero, by its type's bits. Block formats are decided after decoding. */
static bool bits_are_zero(const unsigned char *p, zh_dtype type) {
  uint64_t wide;
  uint32_t word;
  uint16_t half;
  switch (type) {
  case ZH_F64:
    memcpy(&wide, p, sizeof wide);
    return wide << 1 == 0;
  case ZH_F32:
    memcpy(&word, p, sizeof word);
    return word << 1 == 0;
  case ZH_F16:
  case ZH_BF16:
    memcpy(&half, p, sizeof half);
    return (half & 0x7fff) == 0;
  case ZH_F8_E4M3:
  case ZH_F8_E5M2:
    return (*p & 0x7f) == 0;
  default:
    return *p == 0;
  }
}

/* The first block decides nearly always: a row that begins with different values is not constant.
 */
/* By its first two codes alone, where the scale is an ordinary number: rows of trained weights end
 * here without being decoded. */
static bool block_differs(zh_dtype type, const unsigned char *row) {
  size_t codes = type == ZH_Q4_1 ? 4 : 2;
  if (type != ZH_Q4_0 && type != ZH_Q4_1 && type != ZH_Q8_0) return false;
  unsigned exponent = (row[1] & 0x7cu) >> 2;
  return exponent != 0 && exponent != 31 && row[codes] != row[codes + 1];
}

static bool row_begins_constant(const zh_grid *u, const unsigned char *row) {
  const zh_dtype_info *info = zh_dtype_find((uint32_t)u->tensor->type);
  float y[256];
  if (info->block_elements == 1) {
    size_t bytes = info->block_bytes;
    return u->columns < 2 || memcmp(row, row + bytes, bytes) == 0;
  }
  if (block_differs(u->tensor->type, row)) return false;
  zh_dequantize_row(y, row, u->tensor->type, info->block_elements);
  for (uint32_t i = 1; i < info->block_elements; i++)
    if (y[i] != y[0]) return false;
  return true;
}

static bool has_moments(const zh_grid *u) {
  zh_dtype type = u->tensor->type;
  bool halves = type == ZH_F16 || type == ZH_BF16 || type == ZH_F32 || type == ZH_F64;
  return halves && (uintptr_t)u->data % 2 == 0;
}

/* A row's values are equal: which one, by decoding it. */
static bool row_is_constant(const zh_grid *u, uint64_t row, float *values, float *value) {
  zh_values_row(values, u, row);
  for (uint64_t i = 1; i < u->columns; i++)
    if (values[i] != values[0]) return false;
  *value = values[0];
  return true;
}

static void flag_zero_row(scanner *s, zh_grid *u, uint64_t row) {
  if (u->rows > FLAGS_MAX) return; /* then they are counted, not placed */
  pthread_mutex_lock(&s->lock);
  if (u->row_is_zero == NULL) u->row_is_zero = calloc(u->rows, 1);
  if (u->row_is_zero != NULL) u->row_is_zero[row] = 1;
  pthread_mutex_unlock(&s->lock);
}

static void note_row(scanner *s, zh_grid *u, uint64_t row, piece_facts *f, float *values) {
  const unsigned char *bytes = u->data + row * u->row_bytes;
  float value = 0;
  if (!zh_values_known(u->tensor->type)) { /* integers: zero or not by their bytes */
    bool zero = bits_are_zero(bytes, u->tensor->type) &&
                (u->row_bytes < 2 || memcmp(bytes, bytes + 1, u->row_bytes - 1) == 0);
    f->constant &= zero;
    f->zero_rows += zero;
    f->blank_rows += zero;
    if (zero) flag_zero_row(s, u, row);
    return;
  }
  if (!row_begins_constant(u, bytes) || !row_is_constant(u, row, values, &value)) {
    f->constant = false;
    return;
  }
  if (!f->valued) f->value = value;
  f->valued = true;
  f->constant &= value == f->value;
  if (value != 0) return;
  f->zero_rows++;
  f->blank_rows += bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)u->row_bytes - 1) == 0;
  flag_zero_row(s, u, row);
}

/* Columns that are zero in every row of the piece that is not zero itself: a list that shrinks row
 * by row and is empty after a few, but where there are such columns. False where all rows are zero.
 */
static bool list_zero_columns(size_t *count, uint32_t *suspects, const zh_grid *u, const piece *p,
                              float *values) {
  const zh_dtype_info *info = zh_dtype_find((uint32_t)u->tensor->type);
  bool started = false, plain = info->block_elements == 1;
  *count = (size_t)u->columns;
  for (uint64_t row = p->first; row<p->first + p->rows && * count> 0; row++) {
    const unsigned char *bytes = u->data + row * u->row_bytes;
    if (u->row_is_zero != NULL && u->row_is_zero[row]) continue;
    if (!plain) zh_values_row(values, u, row);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
      uint32_t column = started ? suspects[i] : (uint32_t)i;
      bool zero = plain ? bits_are_zero(bytes + (size_t)column * info->block_bytes, info->type)
                        : values[column] == 0;
      if (zero) suspects[kept++] = column;
    }
    *count = kept;
    started = true;
  }
  return started;
}

/* Columns are zero in a matrix that are zero in every piece of it. */
static void note_columns(scanner *s, zh_grid *u, const piece *p, uint32_t *suspects,
                         float *values) {
  size_t count, next = 0;
  if (u->rows < 2 || atomic_load(&s->no_zero_column[p->unit]) ||
      !list_zero_columns(&count, suspects, u, p, values))
    return;
  if (count == 0) {
    atomic_store(&s->no_zero_column[p->unit], true);
    return;
  }
  pthread_mutex_lock(&s->lock);
  if (u->column_is_zero == NULL && (u->column_is_zero = malloc(u->columns)) != NULL)
    memset(u->column_is_zero, 1, u->columns);
  for (uint64_t c = 0; u->column_is_zero != NULL && c < u->columns; c++) {
    bool suspect = next < count && suspects[next] == c;
    next += suspect;
    if (!suspect) u->column_is_zero[c] = 0;
  }
  pthread_mutex_unlock(&s->lock);
}

/* --- holes --- */

/* Zero bytes are the number zero in every type but those whose scale they lack, where they are too.
 */
static void note_hole(scanner *s, zh_grid *u, const piece *p, piece_facts *f) {
  uint64_t hash = zh_hash_of_zeros(u->row_bytes);
  bool placed = u->rows <= FLAGS_MAX && p->rows < u->rows; /* a whole unit needs no places */
  uint64_t before = f->hash;
  for (uint64_t i = 0; i < p->rows; i++) {
    if (p->cut > 0 && i % p->cut == 0) { /* as merge_pieces joins them */
      if (i > p->cut) f->hash = fold(before, f->hash);
      before = f->hash;
      f->hash = 0;
    }
    f->hash = fold(f->hash, hash);
    f->row_set += hash;
  }
  if (p->cut > 0 && p->rows > p->cut) f->hash = fold(before, f->hash);
  f->rows_seen += p->rows;
  f->zero_rows += p->rows;
  f->blank_rows += p->rows;
  f->constant &= !f->valued || f->value == 0;
  f->valued = true;
  pthread_mutex_lock(&s->lock);
  if (placed && u->row_is_zero == NULL) u->row_is_zero = calloc(u->rows, 1);
  if (placed && u->row_is_zero != NULL) memset(u->row_is_zero + p->first, 1, p->rows);
  u->sparse = true;
  s->a->zero_bytes_in_holes += p->rows * u->row_bytes;
  pthread_mutex_unlock(&s->lock);
}

/* --- the pass --- */

typedef struct worker {
  scanner *s;
  local_prints *prints;
  uint32_t *suspects;
  float *values;
} worker;

static void read_piece(worker *w, zh_grid *u, const piece *p, piece_facts *f) {
  const unsigned char *bytes = u->data + p->first * u->row_bytes;
  size_t length = (size_t)(p->rows * u->row_bytes), page = 4096;
  uintptr_t begin = (uintptr_t)bytes / page * page;
  bool printed = !p->sampled && u->columns >= PRINT_COLUMNS && u->rows > 1 && u->rows <= UINT32_MAX;
  (void)madvise((void *)begin, (uintptr_t)bytes + length - begin, MADV_POPULATE_READ);
  uint64_t limit = atomic_load(&w->s->limit), hashes[HASHES];
  for (uint64_t i = 0; i < p->rows; i++) {
    if (i % HASHES == 0)
      w->s->dense->hash_rows(hashes, f->moments, bytes + i * u->row_bytes, (size_t)u->row_bytes,
                             p->rows - i < HASHES ? (size_t)(p->rows - i) : HASHES, has_moments(u));
    uint64_t hash = hashes[i % HASHES], zeros = f->zero_rows;
    f->hash = fold(f->hash, hash);
    f->row_set += hash;
    note_row(w->s, u, p->first + i, f, w->values);
    if (!printed || hash > limit || f->zero_rows != zeros) continue;
    w->prints->items[w->prints->count++] = (zh_row_print){hash, p->unit, (uint32_t)(p->first + i)};
    if (w->prints->count == LOCAL_PRINTS) flush_prints(w->s, w->prints);
  }
  f->rows_seen += p->rows;
  if (!p->sampled) note_columns(w->s, u, p, w->suspects, w->values);
}

static uint64_t offset_in_file(const zh_grid *u, uint64_t row) {
  uint64_t begin = (uint64_t)(u->data - (const unsigned char *)u->tensor->data);
  return u->tensor->file_offset + begin + row * u->row_bytes;
}

/* The next rows from `row` on that hold data, if only in part; false where there are none. */
static bool next_data_rows(uint64_t *first, uint64_t *last, int file, const zh_grid *u,
                           uint64_t row, uint64_t end) {
  uint64_t zero = offset_in_file(u, 0), data, data_end;
  if (!zh_holes_next_data(&data, &data_end, file, offset_in_file(u, row), offset_in_file(u, end)))
    return false;
  *first = (data - zero) / u->row_bytes;
  *last = (data_end - zero + u->row_bytes - 1) / u->row_bytes;
  return true;
}

static bool is_hole(const scanner *s, const zh_grid *u) {
  uint64_t first, last;
  int file = s->files[u->tensor_index];
  return file >= 0 && u->row_bytes > 0 && !next_data_rows(&first, &last, file, u, 0, u->rows);
}

/* Runs of rows that are holes, and runs of rows that are read, in their order. */
static void look_at(worker *w, zh_grid *u, const piece *p, piece_facts *f) {
  int file = w->s->files[u->tensor_index];
  uint64_t end = p->first + p->rows, first = 0, last = 0;
  for (uint64_t row = p->first; row < end; row = last) {
    first = row;
    last = end;
    if (file >= 0 && u->row_bytes > 0 && !next_data_rows(&first, &last, file, u, row, end))
      first = end;
    if (first > row) note_hole(w->s, u, &(piece){p->unit, p->sampled, row, first - row, p->cut}, f);
    if (first < end) read_piece(w, u, &(piece){p->unit, p->sampled, first, last - first, 0}, f);
    if (first == end) break;
  }
}

/* Rows drawn one by one; a matrix that is one hole is known whole without (cut_unit). */
static void look_at_sample(worker *w, zh_grid *u, const piece *p, piece_facts *f) {
  uint64_t state = zh_sample_begin(w->s->a, u->rows), taken = 0;
  for (uint64_t row = 0; taken < p->rows; row++) {
    if (!zh_sample_takes(&state, row, u->rows, taken, p->rows)) continue;
    look_at(w, u, &(piece){p->unit, true, row, 1, 0}, f);
    taken++;
  }
}

static zh_status scan_piece(zh_auditor *a, size_t i, zh_scratch *scratch, void *user) {
  scanner *s = user;
  const piece *p = &s->pieces[i];
  zh_grid *u = &a->units[p->unit];
  worker w = {s, &s->local[scratch->thread], (uint32_t *)(void *)(scratch->floats + s->columns_max),
              scratch->floats};
  s->facts[i].constant = true;
  if (p->sampled)
    look_at_sample(&w, u, p, &s->facts[i]);
  else
    look_at(&w, u, p, &s->facts[i]);
  scratch->bytes = p->rows * u->row_bytes;
  return ZH_OK;
}

static void merge_pieces(const scanner *s) {
  for (size_t i = 0; i < s->count; i++) {
    const piece_facts *f = &s->facts[i];
    zh_grid *u = &s->a->units[s->pieces[i].unit];
    if (s->pieces[i].first == 0) {
      u->constant = true;
      u->value = (double)f->value;
    }
    u->constant &= f->constant && (double)f->value == u->value;
    u->hash = s->pieces[i].first == 0 ? f->hash : fold(u->hash, f->hash);
    u->row_set += f->row_set;
    u->zero_rows += f->zero_rows;
    u->rows_seen += f->rows_seen;
    u->blank_rows += f->blank_rows;
    u->moments[0] += f->moments[0];
    u->moments[1] += f->moments[1];
  }
}

static void settle_unit(zh_grid *u, bool no_zero_column) {
  u->zero = u->rows > 0 && u->zero_rows == u->rows;
  u->constant_in_sample = u->constant && u->rows_seen < u->rows;
  u->constant &= u->rows_seen == u->rows;
  if (u->zero || no_zero_column) {
    free(u->column_is_zero);
    u->column_is_zero = NULL;
  }
  for (uint64_t c = 0; u->column_is_zero != NULL && c < u->columns; c++)
    u->zero_columns += u->column_is_zero[c];
  if (u->zero || u->zero_rows == 0) {
    free(u->row_is_zero);
    u->row_is_zero = NULL;
  }
}

/* A matrix that is one hole is one piece, which nothing needs to be read of. */
static size_t cut_unit(piece *pieces, uint32_t unit, const scanner *s, uint64_t piece_bytes) {
  const zh_grid *u = &s->a->units[unit];
  uint64_t sample = zh_sample_rows(s->a, u);
  uint64_t rows = u->row_bytes == 0 ? 0 : piece_bytes / u->row_bytes;
  size_t count = 0;
  if (rows == 0) rows = 1;
  if (u->rows > 0 && is_hole(s, u)) {
    if (pieces != NULL) *pieces = (piece){unit, false, 0, u->rows, rows};
    return 1;
  }
  if (sample < u->rows) {
    if (pieces != NULL) *pieces = (piece){unit, true, 0, sample, 0};
    return 1;
  }
  for (uint64_t first = 0; first < u->rows; first += rows, count++) {
    uint64_t left = u->rows - first;
    if (pieces != NULL) pieces[count] = (piece){unit, false, first, left < rows ? left : rows, 0};
  }
  return count;
}

bool zh_is_scanned(const zh_grid *u) {
  return u->weights && u->data != NULL;
}

/* Tensors of one file follow each other. */
static bool open_files(scanner *s) {
  size_t tensors = zh_model_tensor_count(s->a->model);
  const char *path = NULL;
  int file = -1;
  s->files = malloc((tensors + 1) * sizeof *s->files);
  if (s->files == NULL) return false;
  for (size_t i = 0; i < tensors; i++) {
    s->files[i] = -1;
    const zh_tensor *t = zh_model_tensor(s->a->model, i);
    if (t->data == NULL) continue;
    if (t->file != path) file = zh_holes_open(t->file);
    path = t->file;
    s->files[i] = file;
  }
  return true;
}

static zh_status prepare(scanner *s, zh_error *err) {
  zh_auditor *a = s->a;
  size_t threads = (size_t)zh_threads_count(a->threads);
  uint64_t piece_bytes = PIECE_BYTES;
  if (!open_files(s)) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the scan");
  while (zh_model_file_bytes(a->model) / piece_bytes > 1 << 18) piece_bytes *= 2;
  for (int pass = 0; pass < 2; pass++) {
    size_t count = 0;
    for (size_t i = 0; i < a->unit_count; i++)
      if (zh_is_scanned(&a->units[i]) && zh_rank_owns(a, i))
        count += cut_unit(pass == 0 ? NULL : s->pieces + count, (uint32_t)i, s, piece_bytes);
    s->count = count;
    if (pass == 0) s->pieces = calloc(count + 1, sizeof *s->pieces);
    if (s->pieces == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the scan");
  }
  s->facts = calloc(s->count + 1, sizeof *s->facts);
  s->prints = malloc(PRINTS_MAX * sizeof *s->prints);
  s->no_zero_column = calloc(a->unit_count + 1, sizeof *s->no_zero_column);
  s->local = calloc(threads, sizeof *s->local);
  if (s->facts == NULL || s->prints == NULL || s->no_zero_column == NULL || s->local == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the scan");
  return ZH_OK;
}

static void close_files(scanner *s) {
  for (size_t i = 0; s->files != NULL && i < zh_model_tensor_count(s->a->model); i++)
    if (s->files[i] >= 0 && (i == 0 || s->files[i - 1] != s->files[i])) close(s->files[i]);
}

static int by_hash(const void *x, const void *y) {
  const zh_row_print *a = x, *b = y;
  if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
  if (a->unit != b->unit) return a->unit < b->unit ? -1 : 1;
  return (a->row > b->row) - (a->row < b->row);
}

/* Most prints stand once: they are dropped by a count of hashes in slots, before the rest is
 * sorted. Two hashes in one slot only keep what the sort then drops. */
static void drop_lonely(scanner *s) {
  const uint64_t mask = ((uint64_t)1 << 26) - 1;
  unsigned char *once = calloc((mask + 1) / 8, 2),
                *again = once != NULL ? once + (mask + 1) / 8 : NULL;
  size_t kept = 0;
  if (once == NULL) return;
  for (size_t i = 0; i < s->print_count; i++) {
    uint64_t slot = s->prints[i].hash & mask;
    unsigned char bit = (unsigned char)(1U << (slot & 7));
    again[slot >> 3] |= once[slot >> 3] & bit;
    once[slot >> 3] |= bit;
  }
  for (size_t i = 0; i < s->print_count; i++) {
    uint64_t slot = s->prints[i].hash & mask;
    if (again[slot >> 3] >> (slot & 7) & 1) s->prints[kept++] = s->prints[i];
  }
  s->print_count = kept;
  free(once);
}

/* Prints that stand once say nothing more. */
static void keep_repeated(zh_auditor *a, scanner *s) {
  size_t kept = 0;
  drop_lonely(s);
  qsort(s->prints, s->print_count, sizeof *s->prints, by_hash);
  for (size_t i = 0; i < s->print_count; i++) {
    bool before = i > 0 && s->prints[i].hash == s->prints[i - 1].hash;
    bool after = i + 1 < s->print_count && s->prints[i].hash == s->prints[i + 1].hash;
    if (before || after) s->prints[kept++] = s->prints[i];
  }
  a->prints = kept > 0 ? realloc(s->prints, kept * sizeof *s->prints) : NULL;
  if (kept > 0) s->prints = NULL;
  a->print_count = a->prints != NULL ? kept : 0;
  a->print_share = ((double)atomic_load(&s->limit) + 1) / 0x1p64;
}

/* --- for comparison: the same bytes of the same mapping, read and summed --- */

static void populate(const unsigned char *bytes, size_t length, int advice) {
  const size_t page = 4096;
  uintptr_t begin = (uintptr_t)bytes / page * page;
  (void)madvise((void *)begin, (uintptr_t)bytes + length - begin, advice);
}

static zh_status read_plainly(zh_auditor *a, size_t i, zh_scratch *scratch, void *user) {
  scanner *s = user;
  const piece *p = &s->pieces[i];
  const zh_grid *u = &a->units[p->unit];
  const unsigned char *bytes = u->data + p->first * u->row_bytes;
  size_t length = (size_t)(p->rows * u->row_bytes);
  uint64_t first, last;
  int file = s->files[u->tensor_index];
  scratch->bytes = length;
  if (file >= 0 && !next_data_rows(&first, &last, file, u, p->first, p->first + p->rows))
    return ZH_OK;
  populate(bytes, length, MADV_POPULATE_READ);
  atomic_fetch_add(&s->sum, s->dense->read(bytes, length));
  return ZH_OK;
}

/* Afterwards the pages are as far from the process as before. */
static zh_status time_plain_read(scanner *s, zh_error *err) {
  if (!s->a->times.plain || s->a->options->sample) return ZH_OK;
  int64_t begin = zh_now_ns();
  ZH_TRY(zh_each(s->a, "plain read", s->count, 0, read_plainly, s, err));
  s->a->times.plain_s = (double)(zh_now_ns() - begin) / 1e9;
  for (size_t i = 0; i < s->count; i++) {
    const zh_grid *u = &s->a->units[s->pieces[i].unit];
    populate(u->data + s->pieces[i].first * u->row_bytes,
             (size_t)(s->pieces[i].rows * u->row_bytes), MADV_DONTNEED);
  }
  return ZH_OK;
}

/* What other ranks saw, on rank 0 as if it had been seen here. */
static zh_status take_prints(void *user, const zh_row_print *print, uint64_t limit) {
  scanner *s = user;
  if (print == NULL) {
    while (atomic_load(&s->limit) > limit) halve_prints(s);
    return ZH_OK;
  }
  if (s->print_count == PRINTS_MAX) halve_prints(s);
  if (print->hash <= atomic_load(&s->limit)) s->prints[s->print_count++] = *print;
  return ZH_OK;
}

static zh_status share_scan(scanner *s, zh_error *err) {
  return zh_ranks_share_scan(s->a, s->prints, s->print_count, atomic_load(&s->limit), take_prints,
                             s, err);
}

zh_status zh_scan(zh_auditor *a, zh_error *err) {
  scanner s = {
      .a = a, .lock = PTHREAD_MUTEX_INITIALIZER, .limit = UINT64_MAX, .dense = zh_dense_choose()};
  for (size_t i = 0; i < a->unit_count; i++)
    if (a->units[i].columns > s.columns_max) s.columns_max = a->units[i].columns;
  zh_sample_plan(a);
  zh_status status = prepare(&s, err);
  if (status != ZH_OK) goto done;
  status = time_plain_read(&s, err);
  int64_t begin = zh_now_ns();
  if (status == ZH_OK) status = zh_each(a, "scan", s.count, 2 * s.columns_max, scan_piece, &s, err);
  a->times.scan_s = (double)(zh_now_ns() - begin) / 1e9;
  if (status != ZH_OK) goto done;
  for (int i = 0; i < zh_threads_count(a->threads); i++) flush_prints(&s, &s.local[i]);
  for (size_t i = 0; i < s.count; i++)
    a->times.bytes += s.pieces[i].rows * a->units[s.pieces[i].unit].row_bytes;
  merge_pieces(&s);
  for (size_t i = 0; i < a->unit_count; i++)
    settle_unit(&a->units[i], atomic_load(&s.no_zero_column[i]));
  status = share_scan(&s, err);
  if (status == ZH_OK) keep_repeated(a, &s);
done:
  zh_note_memory(a);
  close_files(&s);
  free(s.pieces);
  free(s.facts);
  free(s.prints);
  free(s.no_zero_column);
  free(s.local);
  free(s.files);
  return status;
}
