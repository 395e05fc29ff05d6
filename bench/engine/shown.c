#include "bench/engine/shown.h"

#include <stdlib.h>
#include <string.h>

#include "bench/engine/order.h"

struct zh_shown_record {
  uint32_t place, token, kind, row;
  uint64_t count, at; /* floats, and where they begin */
};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
}

zh_status zh_shown_keep(zh_shown *s, zh_shown_kind kind, const zh_shown_part *part, zh_error *err) {
  if (s->count == s->capacity) {
    size_t capacity = s->capacity ? 2 * s->capacity : 256;
    zh_shown_record *grown = realloc(s->records, capacity * sizeof *grown);
    if (!grown) return no_memory(err);
    s->records = grown;
    s->capacity = capacity;
  }
  if (s->used + part->count > s->room) {
    size_t room = 2 * (s->room + part->count);
    float *grown = realloc(s->floats, room * sizeof *grown);
    if (!grown) return no_memory(err);
    s->floats = grown;
    s->room = room;
  }
  s->records[s->count++] = (zh_shown_record){.place = part->place,
                                             .token = part->token,
                                             .kind = kind,
                                             .row = part->row,
                                             .count = part->count,
                                             .at = s->used};
  memcpy(s->floats + s->used, part->floats, part->count * sizeof *part->floats);
  s->used += part->count;
  return ZH_OK;
}

void zh_shown_free(zh_shown *shown) {
  free(shown->records);
  free(shown->floats);
  *shown = (zh_shown){0};
}

/* --- together --- */

typedef struct joining {
  const zh_architecture *whole;
  const zh_program *program;
  zh_shown *of; /* [ranks] */
  size_t *next; /* [ranks]: record to come */
  size_t ranks;
  float *out[ZH_SHOWN_KINDS]; /* one operator's */
  size_t room[ZH_SHOWN_KINDS];
} joining;

static int by_place(const void *a, const void *b) {
  const zh_shown_record *x = a, *y = b;
  if (x->place != y->place) return x->place < y->place ? -1 : 1;
  if (x->token != y->token) return x->token < y->token ? -1 : 1;
  if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static zh_status receive(zh_shown *s, const uint64_t size[2], const zh_comm *comm, int from,
                         zh_error *err) {
  s->count = s->capacity = (size_t)size[0];
  s->used = s->room = (size_t)size[1];
  s->records = malloc((s->count + 1) * sizeof *s->records);
  s->floats = malloc((s->used + 1) * sizeof *s->floats);
  if (!s->records || !s->floats) return no_memory(err);
  if (s->count == 0) return ZH_OK;
  ZH_TRY(comm->receive(comm, s->records, s->count * sizeof *s->records, from, err));
  return comm->receive(comm, s->floats, s->used * sizeof *s->floats, from, err);
}

static zh_status send(const zh_shown *s, const zh_comm *comm, zh_error *err) {
  if (s->count == 0) return ZH_OK;
  ZH_TRY(comm->send(comm, s->records, s->count * sizeof *s->records, 0, err));
  return comm->send(comm, s->floats, s->used * sizeof *s->floats, 0, err);
}

static const zh_shown_record *record_of(const joining *j, size_t rank) {
  return j->next[rank] < j->of[rank].count ? &j->of[rank].records[j->next[rank]] : NULL;
}

static bool is_at(const zh_shown_record *r, const zh_shown_record *like) {
  return r && r->place == like->place && r->token == like->token && r->kind == like->kind &&
         r->row == like->row;
}

static zh_status make_room(joining *j, uint32_t kind, size_t floats, zh_error *err) {
  if (floats <= j->room[kind]) return ZH_OK;
  free(j->out[kind]);
  j->out[kind] = malloc(floats * sizeof(float));
  j->room[kind] = j->out[kind] ? floats : 0;
  return j->out[kind] ? ZH_OK : no_memory(err);
}

/* Numbers of a row of one thing, and how many rows there are. */
static size_t width_of(const joining *j, const zh_shown_record *like, size_t *rows) {
  int layer = -1;
  const zh_instruction *is = zh_program_at(j->program, like->place, &layer);
  *rows = 1;
  if (like->kind != ZH_SHOWN_VALUES) return like->count;
  if (!zh_value_is_of_choices(is->out)) return zh_value_shown(j->whole, is->out);
  *rows = j->whole->experts_used;
  return zh_value_width(j->whole, is->out);
}

/* One row: the ranks' columns of it in their order. Where there is more than the whole, `copies`
 * neighbours have the same: key heads that several ranks share, or what is whole on each. */
static zh_status join_row(joining *j, float *to, const zh_shown_record *like, size_t width,
                          zh_error *err) {
  size_t total = 0, copies, seen = 0, used = 0, before = 0;
  int layer = -1;
  const zh_instruction *is = zh_program_at(j->program, like->place, &layer);
  for (size_t rank = 0; rank < j->ranks; ++rank)
    if (is_at(record_of(j, rank), like)) total += record_of(j, rank)->count;
  copies = width ? total / width : 0;
  if (copies == 0 || total % width != 0)
    return zh_fail(err, ZH_ERR_CHECK,
                   "certificate: the ranks have %zu numbers of '%s' of layer %d, not %zu", total,
                   is->name, layer, width);
  for (size_t rank = 0; rank < j->ranks; ++rank) {
    const zh_shown_record *r = record_of(j, rank);
    if (!is_at(r, like)) continue;
    const float *from = j->of[rank].floats + r->at;
    if (seen++ % copies == 0) {
      if (used + r->count > width) break;
      memcpy(to + used, from, r->count * sizeof *from);
      before = used;
      used += r->count;
    } else if (r->count != used - before ||
               memcmp(to + before, from, r->count * sizeof *from) != 0) {
      return zh_fail(err, ZH_ERR_CHECK,
                     "certificate: rank %zu has other numbers of '%s' of layer %d than the rank "
                     "before it",
                     rank, is->name, layer);
    }
  }
  return ZH_OK;
}

/* Into its place among the others of its kind; rows come in their order. */
static zh_status put_together(joining *j, zh_shown_part *out, const zh_shown_record *like,
                              zh_error *err) {
  size_t rows, width = width_of(j, like, &rows), at = like->row * width;
  if (like->row >= rows || out->count != at)
    return zh_fail(err, ZH_ERR_CHECK,
                   "certificate: choice %u of a token is not what comes next, of %zu", like->row,
                   rows);
  ZH_TRY(make_room(j, like->kind, rows * width, err));
  ZH_TRY(join_row(j, j->out[like->kind] + at, like, width, err));
  *out = (zh_shown_part){.token = like->token,
                         .place = like->place,
                         .count = at + width,
                         .floats = j->out[like->kind]};
  return ZH_OK;
}

/* No rank kept the last rows back. */
static zh_status hold_to_rows(const joining *j, const zh_shown_part *part,
                              const zh_shown_record *of, zh_error *err) {
  size_t rows, width = width_of(j, of, &rows);
  if (of->kind != ZH_SHOWN_VALUES || part->count == rows * width) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK, "certificate: %zu of %zu choices of a token are shown",
                 width ? part->count / width : 0, rows);
}

/* The next operator of the next token, over all ranks. */
static const zh_shown_record *first_of(const joining *j) {
  const zh_shown_record *first = NULL;
  for (size_t rank = 0; rank < j->ranks; ++rank) {
    const zh_shown_record *r = record_of(j, rank);
    if (r && (!first || by_place(r, first) < 0)) first = r;
  }
  return first;
}

static zh_status put_all(joining *j, zh_shown_put put, void *user, zh_error *err) {
  const zh_shown_record *first;
  while ((first = first_of(j)) != NULL) {
    zh_shown_record like = *first;
    zh_shown_part part[ZH_SHOWN_KINDS] = {{0}};
    while (first && first->place == like.place && first->token == like.token) {
      zh_shown_record at = *first;
      ZH_TRY(put_together(j, &part[at.kind], &at, err));
      for (size_t rank = 0; rank < j->ranks; ++rank)
        if (is_at(record_of(j, rank), &at)) ++j->next[rank];
      first = first_of(j);
    }
    like.kind = ZH_SHOWN_VALUES;
    ZH_TRY(hold_to_rows(j, &part[ZH_SHOWN_VALUES], &like, err));
    ZH_TRY(put(user, part, err));
  }
  return ZH_OK;
}

static zh_status join_on_first(joining *j, zh_shown *mine, const uint64_t (*sizes)[2],
                               const zh_comm *comm, zh_shown_put put, void *user, zh_error *err) {
  j->of[0] = *mine;
  *mine = (zh_shown){0};
  for (size_t rank = 1; rank < j->ranks; ++rank)
    ZH_TRY(receive(&j->of[rank], sizes[rank], comm, (int)rank, err));
  for (size_t rank = 0; rank < j->ranks; ++rank)
    if (j->of[rank].count > 0)
      qsort(j->of[rank].records, j->of[rank].count, sizeof *j->of[rank].records, by_place);
  return put_all(j, put, user, err);
}

zh_status zh_shown_join(zh_shown *mine, const zh_architecture *whole, const zh_program *program,
                        const zh_comm *comm, zh_shown_put put, void *user, zh_error *err) {
  size_t ranks = (size_t)comm->size;
  uint64_t size[2] = {mine->count, mine->used}, (*sizes)[2] = calloc(ranks, sizeof *sizes);
  joining j = {.whole = whole,
               .program = program,
               .of = calloc(ranks, sizeof *j.of),
               .next = calloc(ranks, sizeof *j.next),
               .ranks = ranks};
  zh_status status = sizes && j.of && j.next ? ZH_OK : no_memory(err);
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->gather(comm, size, sizeof size, sizes, 0, err);
  if (status == ZH_OK)
    status = comm->rank == 0
                 ? join_on_first(&j, mine, (const uint64_t(*)[2])sizes, comm, put, user, err)
                 : send(mine, comm, err);
  for (size_t rank = 0; j.of && rank < ranks; ++rank) zh_shown_free(&j.of[rank]);
  for (int kind = 0; kind < ZH_SHOWN_KINDS; ++kind) free(j.out[kind]);
  free(j.of);
  free(j.next);
  free(sizes);
  return status;
}
