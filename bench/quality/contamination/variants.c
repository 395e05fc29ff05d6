#include "bench/quality/contamination/variants.h"

#include <stdlib.h>
#include <string.h>

#include "bench/quality/python_values.h"
#include "core/digest.h"
#include "core/philox.h"
#include "core/text.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (orders of items)");
}

void zh_variants_free(zh_variants *v) {
  zh_requests_free(&v->requests);
  free(v->first);
  free(v->item);
  *v = (zh_variants){0};
}

zh_status zh_variants_begin(zh_variants *v, size_t item, zh_error *err) {
  if (v->rows == v->capacity) {
    size_t capacity = v->capacity * 2 + 64;
    size_t *first = realloc(v->first, (capacity + 1) * sizeof *first);
    if (first) v->first = first;
    size_t *items = realloc(v->item, capacity * sizeof *items);
    if (items) v->item = items;
    if (!first || !items) return no_memory(err);
    v->capacity = capacity;
  }
  v->item[v->rows] = item;
  v->first[v->rows++] = v->requests.count;
  v->first[v->rows] = v->requests.count;
  return ZH_OK;
}

zh_status zh_variants_add(zh_variants *v, const char *context, size_t context_length,
                          const char *text, size_t length, zh_error *err) {
  zh_requests *list = &v->requests;
  if (list->count == list->capacity) {
    size_t capacity = list->capacity * 2 + 256;
    zh_request *grown = realloc(list->at, capacity * sizeof *grown);
    if (!grown) return no_memory(err);
    list->at = grown;
    list->capacity = capacity;
  }
  zh_request *r = &list->at[list->count];
  *r = (zh_request){.doc = v->rows - 1,
                    .context = json_stringn(context, context_length),
                    .continuation = json_stringn(text, length)};
  list->count++;
  v->first[v->rows] = list->count;
  return r->context && r->continuation ? ZH_OK : no_memory(err);
}

void zh_variant_shuffle(uint32_t *order, size_t count, const zh_variant_options *options,
                        size_t row, size_t number) {
  uint64_t stream = ((uint64_t)options->number << 44) ^ ((uint64_t)row << 12) ^ (uint64_t)number;
  for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
  for (size_t i = count; i > 1; i--) {
    uint32_t bits, kept = order[i - 1];
    zh_random_fill(&bits, 1, options->seed, stream, i);
    size_t other = (size_t)(((uint64_t)bits * i) >> 32);
    order[i - 1] = order[other];
    order[other] = kept;
  }
}

/* ---- an item as text ---- */

zh_status zh_item_name(char out[ZH_ITEM_NAME], const zh_exam_task *t, size_t item, zh_error *err) {
  char *text = NULL, digest[ZH_DIGEST_HEX];
  size_t length;
  ZH_TRY(zh_python_dumps(&text, &length, json_array_get(t->docs, item), true, err));
  zh_status status = zh_digest_bytes(digest, ZH_SHA256, text, length, err);
  free(text);
  if (status == ZH_OK) zh_decision_item(out, item, digest);
  return status;
}

static void append_line(zh_text *out, const json_t *text) {
  if (json_string_length(text) == 0) return;
  if (out->length > 0) zh_text_puts(out, "\n");
  zh_text_append(out, json_string_value(text), json_string_length(text));
}

/* "A", "(B": they stand in the question. */
static bool is_label(const json_t *option) {
  const unsigned char *bytes = (const unsigned char *)json_string_value(option);
  return json_string_length(option) <= 2 && bytes[0] < 0x80;
}

static zh_status append_answer(zh_text *out, const zh_exam_task *t, const json_t *doc,
                               zh_error *err) {
  json_t *answer = NULL;
  if (t->output == ZH_OUTPUT_CHOICE || !t->target.value) return ZH_OK;
  ZH_TRY(zh_task_target(&answer, t, &t->target, doc, err));
  append_line(out, json_is_array(answer) ? json_array_get(answer, 0) : answer);
  json_decref(answer);
  return ZH_OK;
}

zh_status zh_item_text(zh_text *out, const zh_exam_task *t, size_t item, zh_error *err) {
  const json_t *doc = json_array_get(t->docs, item);
  json_t *question = NULL, *options = NULL;
  zh_status status = ZH_OK;
  if (t->text.value && t->output != ZH_OUTPUT_ROLLING)
    status = zh_task_text(&question, t, &t->text, doc, err);
  if (status == ZH_OK) append_line(out, question);
  if (status == ZH_OK && t->choice.value)
    status = zh_task_choices(&options, t, &t->choice, doc, err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(options); i++)
    if (!is_label(json_array_get(options, i))) append_line(out, json_array_get(options, i));
  if (status == ZH_OK) status = append_answer(out, t, doc, err);
  json_decref(question);
  json_decref(options);
  if (status != ZH_OK) zh_error_prefix(err, "item %zu", item);
  return status != ZH_OK || !out->failed ? status : no_memory(err);
}

zh_status zh_variants_of_none(zh_variants *out, const zh_exam_task *t, zh_error *err) {
  zh_status status = ZH_OK;
  *out = (zh_variants){0};
  for (size_t i = 0; status == ZH_OK && i < t->taken; i++) {
    zh_text text = {0};
    status = zh_item_text(&text, t, i, err);
    if (status == ZH_OK && text.length == 0) {
      out->left_out++;
    } else if (status == ZH_OK) {
      status = zh_variants_begin(out, i, err);
      if (status == ZH_OK)
        status = zh_variants_add(out, "", 0, zh_text_string(&text), text.length, err);
    }
    zh_text_free(&text);
  }
  if (status != ZH_OK) zh_variants_free(out);
  return status;
}

/* ---- items in other orders ---- */

typedef struct shelf {
  zh_text *texts; /* of the items of the row that is filled */
  size_t *items;
  uint32_t *order;
  size_t count, tokens;
} shelf;

static zh_status add_order(zh_variants *out, const shelf *s, zh_error *err) {
  zh_text row = {0};
  for (size_t i = 0; i < s->count; i++) {
    const zh_text *text = &s->texts[s->order[i]];
    if (i > 0) zh_text_puts(&row, "\n\n");
    zh_text_append(&row, text->data, text->length);
  }
  zh_status status =
      row.failed ? no_memory(err) : zh_variants_add(out, "", 0, row.data, row.length, err);
  zh_text_free(&row);
  return status;
}

/* Makes a row of what stands on the shelf, and clears it. */
static zh_status empty_shelf(zh_variants *out, shelf *s, const zh_variant_options *options,
                             zh_error *err) {
  zh_status status = ZH_OK;
  if (s->count < 2) {
    out->left_out += s->count;
  } else {
    status = zh_variants_begin(out, s->items[0], err);
    for (uint32_t i = 0; i < s->count; i++) s->order[i] = i;
    if (status == ZH_OK) status = add_order(out, s, err);
    for (size_t n = 1; status == ZH_OK && n <= options->others; n++) {
      zh_variant_shuffle(s->order, s->count, options, out->rows, n);
      status = add_order(out, s, err);
    }
  }
  for (size_t i = 0; i < s->count; i++) zh_text_free(&s->texts[i]);
  s->count = s->tokens = 0;
  return status;
}

static zh_status put_on_shelf(zh_variants *out, shelf *s, const zh_exam_task *t, size_t item,
                              const zh_speech *speech, const zh_variant_options *options,
                              zh_error *err) {
  enum { BETWEEN = 2 }; /* tokens of two line ends, at most */
  uint32_t *tokens = NULL;
  size_t count = 0;
  zh_text text = {0};
  zh_status status = zh_item_text(&text, t, item, err);
  if (status == ZH_OK)
    status = zh_tokenize(&tokens, &count, speech->tokenizer, zh_text_string(&text), text.length,
                         false, true, err);
  free(tokens);
  count += BETWEEN;
  bool fits = status == ZH_OK && text.length > 0 && count < options->window;
  if (status == ZH_OK && !fits) out->left_out++;
  if (fits && s->tokens + count >= options->window) status = empty_shelf(out, s, options, err);
  if (!fits || status != ZH_OK) {
    zh_text_free(&text);
    return status;
  }
  s->texts[s->count] = text;
  s->items[s->count++] = item;
  s->tokens += count;
  return ZH_OK;
}

zh_status zh_variants_of_items(zh_variants *out, const zh_exam_task *t, const zh_speech *speech,
                               const zh_variant_options *options, zh_error *err) {
  size_t most = options->window / 2 + 2;
  shelf s = {.texts = calloc(most, sizeof *s.texts),
             .items = calloc(most, sizeof *s.items),
             .order = calloc(most, sizeof *s.order)};
  *out = (zh_variants){0};
  zh_status status = s.texts && s.items && s.order ? ZH_OK : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < t->taken; i++)
    status = put_on_shelf(out, &s, t, i, speech, options, err);
  if (status == ZH_OK) status = empty_shelf(out, &s, options, err);
  for (size_t i = 0; i < s.count; i++) zh_text_free(&s.texts[i]);
  free(s.texts);
  free(s.items);
  free(s.order);
  if (status != ZH_OK) zh_variants_free(out);
  return status;
}
