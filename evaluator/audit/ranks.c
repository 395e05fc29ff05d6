#include "evaluator/audit/ranks.h"

#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/portrait.h"

static bool is_alone(const zh_auditor *a) {
  return a->options->ranks == NULL || a->options->ranks->size < 2;
}

bool zh_rank_only_helps(const zh_auditor *a) {
  return !is_alone(a) && a->options->ranks->rank != 0;
}

bool zh_rank_owns(const zh_auditor *a, size_t i) {
  return is_alone(a) || a->rank_of[i] == (uint32_t)a->options->ranks->rank;
}

static uint64_t bytes_of(const zh_grid *u) {
  return zh_is_scanned(u) ? u->rows * u->row_bytes : 0;
}

zh_status zh_ranks_plan(zh_auditor *a, zh_error *err) {
  unsigned __int128 before = 0, all = 1;
  if (is_alone(a)) return ZH_OK;
  a->rank_of = calloc(a->unit_count + 1, sizeof *a->rank_of);
  if (a->rank_of == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the ranks' shares");
  for (size_t i = 0; i < a->unit_count; i++) all += bytes_of(&a->units[i]);
  for (size_t i = 0; i < a->unit_count; i++) {
    unsigned __int128 middle = before + bytes_of(&a->units[i]) / 2;
    a->rank_of[i] = (uint32_t)(middle * (unsigned)a->options->ranks->size / all);
    before += bytes_of(&a->units[i]);
  }
  return ZH_OK;
}

/* --- numbers at fixed widths --- */

static void put_u64(zh_text *out, uint64_t number) {
  char bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (char)(number >> (8 * i));
  zh_text_append(out, bytes, sizeof bytes);
}

static void put_f64(zh_text *out, double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  put_u64(out, bits);
}

/* NULL and the bytes' number first; little-endian machines alone are supported (model/gguf.c). */
static void put_bytes(zh_text *out, const void *bytes, size_t length) {
  put_u64(out, bytes != NULL ? length + 1 : 0);
  if (bytes != NULL && length > 0) zh_text_append(out, (const char *)bytes, length);
}

typedef struct parcel {
  const unsigned char *at, *end;
  bool bad; /* ended too early, or memory was short */
} parcel;

static uint64_t get_u64(parcel *p) {
  uint64_t number = 0;
  if (p->end - p->at < 8) {
    p->bad = true;
    return 0;
  }
  for (int i = 0; i < 8; i++) number |= (uint64_t)p->at[i] << (8 * i);
  p->at += 8;
  return number;
}

static double get_f64(parcel *p) {
  uint64_t bits = get_u64(p);
  double number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

static void *get_bytes(parcel *p, size_t *length) {
  uint64_t stated = get_u64(p);
  if (length != NULL) *length = 0;
  if (p->bad || stated == 0) return NULL;
  size_t count = (size_t)stated - 1;
  void *copy = count <= (size_t)(p->end - p->at) ? malloc(count + 1) : NULL;
  p->bad = copy == NULL;
  if (p->bad) return NULL;
  memcpy(copy, p->at, count);
  p->at += count;
  if (length != NULL) *length = count;
  return copy;
}

/* --- parcels: every rank but 0 sends one, rank 0 opens them in order --- */

typedef zh_status (*opener)(void *user, zh_auditor *a, parcel *p);

static zh_status exchange(zh_auditor *a, zh_text *mine, opener open, void *user, zh_error *err) {
  const zh_audit_ranks *r = a->options->ranks;
  if (r->rank != 0) {
    if (mine->failed)
      return zh_fail(err, ZH_ERR_MEMORY, "out of memory for what rank %d saw", r->rank);
    return r->send(r->user, mine->data, mine->length, err);
  }
  for (int from = 1; from < r->size; from++) {
    void *bytes = NULL;
    size_t length = 0;
    ZH_TRY(r->receive(r->user, from, &bytes, &length, err));
    parcel p = {bytes, (const unsigned char *)bytes + length, false};
    zh_status status = open(user, a, &p);
    bool whole = !p.bad && p.at == p.end;
    free(bytes);
    if (status != ZH_OK || !whole)
      return zh_fail(err, ZH_ERR_IO, "what rank %d saw arrived damaged, or memory is short", from);
  }
  return ZH_OK;
}

/* --- the scan --- */

static void put_unit(zh_text *out, const zh_grid *u) {
  put_u64(out, (uint64_t)u->zero | (uint64_t)u->constant << 1 | (uint64_t)u->sparse << 2 |
                   (uint64_t)u->constant_in_sample << 3);
  put_f64(out, u->value);
  put_u64(out, u->hash);
  put_u64(out, u->row_set);
  put_u64(out, u->moments[0] | (uint64_t)u->moments[1] << 32);
  put_u64(out, u->zero_rows);
  put_u64(out, u->zero_columns);
  put_u64(out, u->rows_seen);
  put_u64(out, u->blank_rows);
  put_bytes(out, u->row_is_zero, (size_t)u->rows);
  put_bytes(out, u->column_is_zero, (size_t)u->columns);
}

static void get_unit(parcel *p, zh_grid *u) {
  size_t rows, columns;
  uint64_t flags = get_u64(p);
  u->zero = flags & 1;
  u->constant = flags >> 1 & 1;
  u->sparse = flags >> 2 & 1;
  u->constant_in_sample = flags >> 3 & 1;
  u->value = get_f64(p);
  u->hash = get_u64(p);
  u->row_set = get_u64(p);
  uint64_t moments = get_u64(p);
  u->moments[0] = (uint32_t)moments;
  u->moments[1] = (uint32_t)(moments >> 32);
  u->zero_rows = get_u64(p);
  u->zero_columns = get_u64(p);
  u->rows_seen = get_u64(p);
  u->blank_rows = get_u64(p);
  u->row_is_zero = get_bytes(p, &rows);
  u->column_is_zero = get_bytes(p, &columns);
  p->bad |= (u->row_is_zero != NULL && rows != u->rows) ||
            (u->column_is_zero != NULL && columns != u->columns);
}

typedef struct print_user {
  zh_print_taker taker;
  void *user;
} print_user;

static zh_status open_scan(void *user, zh_auditor *a, parcel *p) {
  const print_user *to = user;
  for (uint64_t count = get_u64(p); count > 0 && !p->bad; count--) {
    uint64_t i = get_u64(p);
    if (i >= a->unit_count) return ZH_ERR_IO;
    get_unit(p, &a->units[i]);
  }
  a->times.bytes += get_u64(p);
  a->zero_bytes_in_holes += get_u64(p);
  ZH_TRY(to->taker(to->user, NULL, get_u64(p)));
  for (uint64_t count = get_u64(p); count > 0 && !p->bad; count--) {
    zh_row_print print = {.hash = get_u64(p)};
    uint64_t place = get_u64(p);
    print.unit = (uint32_t)place;
    print.row = (uint32_t)(place >> 32);
    if (print.unit >= a->unit_count) return ZH_ERR_IO;
    ZH_TRY(to->taker(to->user, &print, 0));
  }
  return ZH_OK;
}

static bool sends(const zh_auditor *a, size_t i) {
  return zh_is_scanned(&a->units[i]) && zh_rank_owns(a, i);
}

zh_status zh_ranks_share_scan(zh_auditor *a, const zh_row_print *prints, size_t print_count,
                              uint64_t limit, zh_print_taker taker, void *user, zh_error *err) {
  zh_text mine = {0};
  print_user to = {taker, user};
  uint64_t count = 0;
  if (is_alone(a)) return ZH_OK;
  if (a->options->ranks->rank != 0) {
    for (size_t i = 0; i < a->unit_count; i++) count += sends(a, i);
    put_u64(&mine, count);
    for (size_t i = 0; i < a->unit_count; i++) {
      if (!sends(a, i)) continue;
      put_u64(&mine, i);
      put_unit(&mine, &a->units[i]);
    }
    put_u64(&mine, a->times.bytes);
    put_u64(&mine, a->zero_bytes_in_holes);
    put_u64(&mine, limit);
    put_u64(&mine, print_count);
    for (size_t i = 0; i < print_count; i++) {
      put_u64(&mine, prints[i].hash);
      put_u64(&mine, prints[i].unit | (uint64_t)prints[i].row << 32);
    }
  }
  zh_status status = exchange(a, &mine, open_scan, &to, err);
  zh_text_free(&mine);
  return status;
}

zh_status zh_ranks_share_flags(zh_auditor *a, unsigned char *flags, size_t count, zh_error *err) {
  if (is_alone(a)) return ZH_OK;
  return a->options->ranks->broadcast(a->options->ranks->user, flags, count, err);
}

/* --- the looks at the values --- */

static void put_portrait(zh_text *out, const zh_portrait *p) {
  put_u64(out, (uint64_t)p->looked | (uint64_t)p->all_rows << 1 | (uint64_t)p->cliff << 2);
  const double reals[] = {p->rms, p->mean, p->deviation, p->departure, p->departures, p->rest};
  const uint64_t numbers[] = {p->constant_rows, p->value_zero_rows, p->value_zero_columns,
                              p->block_rows,    p->block_columns,   p->rank,
                              p->rows.count,    p->columns.count};
  for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) put_f64(out, reals[i]);
  for (int i = 0; i < ZH_SCORES; i++) put_f64(out, p->scores[i]);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) put_u64(out, numbers[i]);
  put_bytes(out, p->rows.prints, p->rows.count * sizeof *p->rows.prints);
  put_bytes(out, p->rows.numbers, p->rows.count * sizeof *p->rows.numbers);
  put_bytes(out, p->columns.prints, p->columns.count * sizeof *p->columns.prints);
  put_bytes(out, p->row_is_constant, p->rows.count);
}

static void get_portrait(parcel *in, zh_portrait *p) {
  uint64_t flags = get_u64(in);
  p->looked = flags & 1;
  p->all_rows = flags >> 1 & 1;
  p->cliff = flags >> 2 & 1;
  double *const reals[] = {&p->rms,       &p->mean,       &p->deviation,
                           &p->departure, &p->departures, &p->rest};
  for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) *reals[i] = get_f64(in);
  for (int i = 0; i < ZH_SCORES; i++) p->scores[i] = get_f64(in);
  p->constant_rows = get_u64(in);
  p->value_zero_rows = get_u64(in);
  p->value_zero_columns = get_u64(in);
  p->block_rows = (size_t)get_u64(in);
  p->block_columns = (size_t)get_u64(in);
  p->rank = (size_t)get_u64(in);
  p->rows.count = (size_t)get_u64(in);
  p->columns.count = (size_t)get_u64(in);
  size_t lengths[4];
  p->rows.prints = get_bytes(in, &lengths[0]);
  p->rows.numbers = get_bytes(in, &lengths[1]);
  p->columns.prints = get_bytes(in, &lengths[2]);
  p->row_is_constant = get_bytes(in, &lengths[3]);
  const size_t expected[] = {p->rows.prints != NULL ? 8 * p->rows.count : 0,
                             p->rows.numbers != NULL ? 4 * p->rows.count : 0,
                             p->columns.prints != NULL ? 8 * p->columns.count : 0,
                             p->row_is_constant != NULL ? p->rows.count : 0};
  in->bad |= memcmp(lengths, expected, sizeof lengths) != 0;
}

typedef struct portrait_user {
  const unsigned char *looked_at;
  float *row;
} portrait_user;

static zh_status open_portraits(void *user, zh_auditor *a, parcel *p) {
  const portrait_user *to = user;
  for (uint64_t count = get_u64(p); count > 0 && !p->bad; count--) {
    uint64_t i = get_u64(p);
    if (i >= a->unit_count || !to->looked_at[i] || a->portraits[i].rows.prints != NULL)
      return ZH_ERR_IO;
    get_portrait(p, &a->portraits[i]);
    zh_packing_settle(&a->units[i], to->row);
  }
  return ZH_OK;
}

zh_status zh_ranks_share_portraits(zh_auditor *a, const unsigned char *looked_at,
                                   size_t columns_max, zh_error *err) {
  zh_text mine = {0};
  portrait_user to = {looked_at, NULL};
  uint64_t count = 0;
  if (is_alone(a)) return ZH_OK;
  to.row = malloc((columns_max + 1) * sizeof *to.row);
  if (to.row == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the ranks' looks");
  if (a->options->ranks->rank != 0) {
    for (size_t i = 0; i < a->unit_count; i++) count += looked_at[i] && zh_rank_owns(a, i);
    put_u64(&mine, count);
    for (size_t i = 0; i < a->unit_count; i++) {
      if (!looked_at[i] || !zh_rank_owns(a, i)) continue;
      put_u64(&mine, i);
      put_portrait(&mine, &a->portraits[i]);
    }
  }
  zh_status status = exchange(a, &mine, open_portraits, &to, err);
  zh_text_free(&mine);
  free(to.row);
  return status;
}
