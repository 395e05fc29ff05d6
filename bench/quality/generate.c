/* Generated answers: prompts of several items in one pass, then one token of each at a time;
 * whoever has ended makes room for the next prompt. */
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"
#include "bench/quality/draw.h"
#include "bench/quality/examinee.h"
#include "core/text.h"
#include "model/tokenizer/tokenizer.h"

enum { WRITERS = 16, WORTH_COMPUTING = 32 };

/* An answer on its way, in a sequence of the engine. */
typedef struct writer {
  const zh_ask *ask; /* NULL: nobody writes here */
  uint32_t slot;
  uint32_t *made;
  size_t count, shown; /* shown: of those, with a text */
  uint32_t *with_text;
  bool ended;
} writer;

typedef struct desk {
  zh_examinee *e;
  const zh_exam_task *task;
  zh_requests *requests;
  const zh_asks *asks;
  const bool *skip;
  zh_answered answered;
  void *user;
  writer *writers;
  size_t writer_count, taken, next_group;
  uint32_t *rows; /* whose logits the gathered tokens will have, in order */
  size_t row_count;
  zh_text held;
  zh_drawing *drawing; /* NULL: the likeliest token */
} desk;

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (generated answers)");
}

/* Special tokens have no text in an answer, nor have ids that the tokenizer does not know. */
static bool has_text(const zh_tokenizer *t, uint32_t token) {
  if (token >= t->vocab || t->kinds[token] == 0) return false;
  return t->kinds[token] != ZH_TOKEN_CONTROL && t->kinds[token] != ZH_TOKEN_UNKNOWN;
}

/* Bytes that are no character become U+FFFD. */
static void append_valid(zh_text *out, const char *bytes, size_t length) {
  while (length > 0) {
    size_t valid = zh_utf8_valid_prefix(bytes, length);
    zh_text_append(out, bytes, valid);
    bytes += valid;
    length -= valid;
    if (length == 0) return;
    zh_text_puts(out, "\xef\xbf\xbd");
    bytes++;
    length--;
  }
}

static zh_status text_of(desk *d, const writer *w, zh_error *err) {
  char *bytes;
  size_t length;
  zh_text *out = &d->held;
  out->length = 0;
  if (w->shown == 0) return ZH_OK;
  ZH_TRY(zh_detokenize(&bytes, &length, d->e->speech.tokenizer, w->with_text, w->shown, err));
  append_valid(out, bytes, length);
  free(bytes);
  return out->failed ? no_memory(err) : ZH_OK;
}

/* Where one of the endings begins first; SIZE_MAX: nowhere. */
static size_t find_end(const zh_text *text, const json_t *until) {
  size_t best = SIZE_MAX;
  for (size_t i = 0; i < json_array_size(until); i++) {
    const char *end = json_string_value(json_array_get(until, i));
    size_t size = json_string_length(json_array_get(until, i));
    if (size == 0 || text->length < size) continue;
    const char *found = memmem(text->data, text->length, end, size);
    if (found && (size_t)(found - text->data) < best) best = (size_t)(found - text->data);
  }
  return best;
}

/* Takes the likeliest token, or draws one. */
static zh_status extend(writer *w, desk *d, const float *logits, zh_error *err) {
  zh_examinee *e = d->e;
  size_t next = d->drawing ? zh_drawing_token(d->drawing, &d->task->draws,
                                              &d->requests->at[w->ask->request], w->count, logits)
                           : e->engine->kernels->argmax(logits, e->vocab);
  if (next >= e->vocab)
    return zh_fail(err, ZH_ERR_CHECK, "the logits behind token %zu are not numbers",
                   e->slots[w->slot].count);
  w->ended = (int64_t)next == e->speech.end;
  if (w->ended) return ZH_OK;
  w->made[w->count++] = (uint32_t)next;
  if (has_text(e->speech.tokenizer, (uint32_t)next)) w->with_text[w->shown++] = (uint32_t)next;
  w->ended = w->count >= d->task->max_new || e->slots[w->slot].count >= e->positions;
  if (w->ended || json_array_size(d->task->until) == 0) return ZH_OK;
  ZH_TRY(text_of(d, w, err));
  w->ended = find_end(&d->held, d->task->until) != SIZE_MAX;
  return ZH_OK;
}

/* ---- prompts ---- */

static size_t next_group(const desk *d) {
  size_t g = d->next_group;
  while (g < d->asks->group_count && d->skip && d->skip[g]) g++;
  return g;
}

static zh_status extend_all(desk *d, zh_error *err) {
  for (size_t i = 0; i < d->row_count; i++)
    ZH_TRY(extend(&d->writers[d->rows[i]], d, d->e->logits + i * d->e->vocab, err));
  d->row_count = 0;
  return ZH_OK;
}

static zh_status feed(desk *d, zh_way way, zh_error *err) {
  ZH_TRY(zh_examinee_feed(d->e, way, err));
  return extend_all(d, err);
}

/* Whether a prompt that is gathered, but not computed, has more of this one's beginning. */
static bool better_computes(const desk *d, const zh_ask *ask, size_t has) {
  for (size_t i = 0; zh_engine_copies(d->e->engine) && i < d->writer_count; i++) {
    const zh_slot *slot = &d->e->slots[i];
    size_t most = slot->count < ask->count - 1 ? slot->count : ask->count - 1, same = 0;
    while (same < most && slot->cached[same] == ask->tokens[same]) same++;
    if (slot->computed < same && same >= has + WORTH_COMPUTING) return true;
  }
  return false;
}

static uint32_t free_writer(const desk *d, const zh_ask *ask) {
  uint32_t chosen = UINT32_MAX;
  size_t best = 0;
  for (uint32_t i = 0; i < d->writer_count; i++) {
    if (d->writers[i].ask) continue;
    size_t common = zh_slot_common(&d->e->slots[i], ask->tokens, ask->count - 1);
    if (chosen != UINT32_MAX && common <= best) continue;
    chosen = i;
    best = common;
  }
  return chosen;
}

/* Prompts in one pass as far as they fit; each wants the logits of its last token. */
static zh_status read_prompt(desk *d, size_t group, zh_error *err) {
  const zh_ask *ask = &d->asks->at[d->asks->groups[group].first];
  if (ask->count == 0)
    return zh_fail(err, ZH_ERR_INPUT, "a question without a single token cannot be asked");
  uint32_t at = free_writer(d, ask);
  size_t has = zh_slot_borrow(d->e, at, ask->tokens, ask->count - 1);
  if (better_computes(d, ask, has)) {
    ZH_TRY(feed(d, ZH_MANY, err));
    has = zh_slot_borrow(d->e, at, ask->tokens, ask->count - 1);
  }
  zh_slot_keep(d->e, at, has);
  writer *w = &d->writers[at];
  w->ask = ask;
  w->count = w->shown = 0;
  w->ended = false;
  d->taken++;
  for (size_t p = has; p < ask->count; p++) {
    if (d->e->pass.count == d->e->pass_tokens) ZH_TRY(feed(d, ZH_MANY, err));
    zh_examinee_gather(d->e, at, ask->tokens[p], p + 1 == ask->count);
  }
  d->rows[d->row_count++] = at;
  return ZH_OK;
}

static zh_status read_prompts(desk *d, zh_error *err) {
  size_t group;
  while (d->taken < d->writer_count && (group = next_group(d)) < d->asks->group_count) {
    d->next_group = group + 1;
    ZH_TRY(read_prompt(d, group, err));
  }
  return feed(d, ZH_MANY, err);
}

/* ---- answers ---- */

static zh_status finish(desk *d, writer *w, zh_error *err) {
  size_t request = w->ask->request;
  zh_request *r = &d->requests->at[request];
  ZH_TRY(text_of(d, w, err));
  size_t end = find_end(&d->held, d->task->until);
  json_decref(r->text);
  r->text = json_stringn(zh_text_string(&d->held), end < d->held.length ? end : d->held.length);
  w->ask = NULL;
  d->taken--;
  if (!r->text) return no_memory(err);
  return d->answered ? d->answered(d->user, request, err) : ZH_OK;
}

static zh_status finish_ended(desk *d, zh_error *err) {
  for (size_t i = 0; i < d->writer_count; i++)
    if (d->writers[i].ask && d->writers[i].ended) ZH_TRY(finish(d, &d->writers[i], err));
  return ZH_OK;
}

/* One token of each answer on its way. */
static zh_status write_step(desk *d, zh_error *err) {
  for (uint32_t i = 0; i < d->writer_count; i++) {
    const writer *w = &d->writers[i];
    if (!w->ask) continue;
    zh_examinee_gather(d->e, i, w->made[w->count - 1], true);
    d->rows[d->row_count++] = i;
  }
  d->e->made += d->row_count;
  return feed(d, ZH_FEW, err);
}

static zh_status write_all(desk *d, zh_error *err) {
  for (;;) {
    bool more = next_group(d) < d->asks->group_count;
    if (!more && d->taken == 0) return ZH_OK;
    size_t room = d->writer_count - d->taken;
    if (more && (d->taken == 0 || 4 * room >= d->writer_count))
      ZH_TRY(read_prompts(d, err));
    else
      ZH_TRY(write_step(d, err));
    ZH_TRY(finish_ended(d, err));
  }
}

zh_status zh_examinee_generate(zh_examinee *e, const zh_exam_task *task, zh_requests *requests,
                               const zh_asks *asks, const bool *skip, zh_answered answered,
                               void *user, zh_error *err) {
  size_t count = e->sequences < WRITERS ? e->sequences : WRITERS, room = (size_t)task->max_new;
  desk d = {.e = e,
            .task = task,
            .requests = requests,
            .asks = asks,
            .skip = skip,
            .answered = answered,
            .user = user,
            .writers = calloc(count, sizeof *d.writers),
            .rows = calloc(count, sizeof *d.rows),
            .writer_count = count};
  uint32_t *tokens = malloc((2 * count * room + 1) * sizeof *tokens);
  zh_status status = d.writers && d.rows && tokens ? ZH_OK : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    d.writers[i].slot = (uint32_t)i;
    d.writers[i].made = tokens + 2 * i * room;
    d.writers[i].with_text = d.writers[i].made + room;
  }
  if (status == ZH_OK && task->draws.drawn) status = zh_drawing_create(&d.drawing, e->vocab, err);
  if (status == ZH_OK) status = write_all(&d, err);
  zh_drawing_free(d.drawing);
  zh_text_free(&d.held);
  free(d.writers);
  free(d.rows);
  free(tokens);
  return status;
}
