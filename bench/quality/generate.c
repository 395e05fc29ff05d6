/* Generated answers: prompts of several items beside each other, then one token each at a time. */
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"
#include "bench/quality/draw.h"
#include "bench/quality/examinee.h"
#include "core/text.h"
#include "model/tokenizer/tokenizer.h"

/* An answer on its way. */
typedef struct writing {
  const zh_ask *ask;
  const zh_request *request;
  zh_drawing *drawing; /* NULL: the likeliest token */
  uint32_t slot;
  uint32_t *made;
  size_t count, shown; /* shown: of those, with a text */
  uint32_t *with_text;
  bool ended;
} writing;

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

static zh_status text_of(zh_text *out, const zh_examinee *e, const writing *w, zh_error *err) {
  char *bytes;
  size_t length;
  out->length = 0;
  if (w->shown == 0) return ZH_OK;
  ZH_TRY(zh_detokenize(&bytes, &length, e->speech.tokenizer, w->with_text, w->shown, err));
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
static zh_status extend(writing *w, zh_examinee *e, const zh_exam_task *task, const float *logits,
                        zh_text *held, zh_error *err) {
  size_t next = w->drawing
                    ? zh_drawing_token(w->drawing, &task->draws, w->request, w->count, logits)
                    : e->engine->kernels->argmax(logits, e->vocab);
  if (next >= e->vocab)
    return zh_fail(err, ZH_ERR_CHECK, "the logits behind token %zu are not numbers",
                   e->slots[w->slot].count);
  w->ended = (int64_t)next == e->speech.end;
  if (w->ended) return ZH_OK;
  w->made[w->count++] = (uint32_t)next;
  if (has_text(e->speech.tokenizer, (uint32_t)next)) w->with_text[w->shown++] = (uint32_t)next;
  w->ended = w->count >= task->max_new || e->slots[w->slot].count >= e->positions;
  if (w->ended || json_array_size(task->until) == 0) return ZH_OK;
  ZH_TRY(text_of(held, e, w, err));
  w->ended = find_end(held, task->until) != SIZE_MAX;
  return ZH_OK;
}

/* Prompts one after the other, so that each has its last logits at hand. */
static zh_status read_prompt(writing *w, zh_examinee *e, const zh_exam_task *task, zh_text *held,
                             zh_error *err) {
  const zh_ask *ask = w->ask;
  zh_slot *slot = &e->slots[w->slot];
  size_t same = 0;
  while (same + 1 < ask->count && same < slot->count && slot->cached[same] == ask->tokens[same])
    same++;
  zh_slot_keep(e, w->slot, same);
  for (size_t at = same; at < ask->count; at++) {
    if (e->feed.count == e->feed_tokens) ZH_TRY(zh_examinee_feed(e, ZH_MANY, err));
    zh_examinee_gather(e, w->slot, ask->tokens[at], at + 1 == ask->count);
  }
  ZH_TRY(zh_examinee_feed(e, ZH_MANY, err));
  return extend(w, e, task, e->logits, held, err);
}

static zh_status write_all(writing *all, size_t count, zh_examinee *e, const zh_exam_task *task,
                           zh_text *held, zh_error *err) {
  for (;;) {
    size_t going = 0;
    for (size_t i = 0; i < count; i++) {
      if (all[i].ended) continue;
      zh_examinee_gather(e, all[i].slot, all[i].made[all[i].count - 1], true);
      going++;
    }
    if (going == 0) return ZH_OK;
    ZH_TRY(zh_examinee_feed(e, ZH_FEW, err));
    for (size_t i = 0, row = 0; i < count; i++)
      if (!all[i].ended) ZH_TRY(extend(&all[i], e, task, e->logits + row++ * e->vocab, held, err));
  }
}

static zh_status finish(zh_request *r, const writing *w, zh_examinee *e, const zh_exam_task *task,
                        zh_text *held, zh_error *err) {
  ZH_TRY(text_of(held, e, w, err));
  size_t end = find_end(held, task->until);
  json_decref(r->text);
  r->text = json_stringn(zh_text_string(held), end < held->length ? end : held->length);
  return r->text ? ZH_OK : no_memory(err);
}

zh_status zh_examinee_generate(zh_examinee *e, const zh_exam_task *task, zh_requests *requests,
                               const zh_asks *asks, const size_t *groups, size_t count,
                               zh_error *err) {
  zh_text held = {0};
  zh_drawing *drawing = NULL;
  writing *all = calloc(count + 1, sizeof *all);
  uint32_t *tokens = malloc((2 * count + 1) * (size_t)task->max_new * sizeof *tokens);
  zh_status status = all && tokens ? ZH_OK : no_memory(err);
  if (status == ZH_OK && task->draws.drawn) status = zh_drawing_create(&drawing, e->vocab, err);
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    all[i] = (writing){
        .ask = &asks->at[asks->groups[groups[i]].first], .slot = (uint32_t)i, .drawing = drawing};
    all[i].request = &requests->at[all[i].ask->request];
    all[i].made = tokens + 2 * i * task->max_new;
    all[i].with_text = all[i].made + task->max_new;
    status = read_prompt(&all[i], e, task, &held, err);
  }
  if (status == ZH_OK) status = write_all(all, count, e, task, &held, err);
  for (size_t i = 0; status == ZH_OK && i < count; i++)
    status = finish(&requests->at[all[i].ask->request], &all[i], e, task, &held, err);
  zh_text_free(&held);
  zh_drawing_free(drawing);
  free(all);
  free(tokens);
  return status;
}
