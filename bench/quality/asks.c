/* Requests as tokens. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/examinee.h"
#include "bench/quality/python_values.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens of requests)");
}

zh_status zh_speech_of(zh_speech *out, const zh_model *model, uint32_t longest, zh_error *err) {
  zh_architecture architecture;
  *out = (zh_speech){0};
  ZH_TRY(zh_model_architecture(&architecture, model, err));
  ZH_TRY(zh_model_tokenizer(&out->tokenizer, model, err));
  if (!out->tokenizer)
    return zh_fail(err, ZH_ERR_INPUT, "%s has no tokenizer, so no text can be put to it",
                   zh_model_name(model));
  if (longest > architecture.context)
    return zh_fail(err, ZH_ERR_ARG, "a length of %u was asked for; %s holds at most %u positions",
                   longest, zh_model_name(model), architecture.context);
  zh_special_tokens special = zh_tokenizer_special(out->tokenizer);
  out->start = special.bos >= 0 ? special.bos : special.eos;
  out->end = special.eos;
  out->add_start = special.add_bos;
  out->longest = longest > 0 ? longest : architecture.context;
  if (out->start < 0)
    return zh_fail(err, ZH_ERR_INPUT, "the tokenizer of %s has neither BOS nor EOS",
                   zh_model_name(model));
  return ZH_OK;
}

/* A text that begins with the start token's own text gets no other. */
static zh_status encode(uint32_t **tokens, size_t *count, const zh_speech *s, const char *text,
                        size_t length, zh_error *err) {
  const char *start;
  size_t size;
  bool begun = zh_tokenizer_token_text(&start, &size, s->tokenizer, s->start) && size <= length &&
               memcmp(start, text, size) == 0;
  return zh_tokenize(tokens, count, s->tokenizer, text, length, s->add_start && !begun, true, err);
}

/* The last speech->longest + 1 of them. Takes the tokens. */
static zh_status add_ask(zh_asks *asks, const zh_speech *s, size_t request, uint32_t *tokens,
                         size_t count, size_t scored, zh_error *err) {
  size_t dropped = count > s->longest + 1 ? count - s->longest - 1 : 0;
  if (dropped >= scored && count > scored) {
    free(tokens);
    return zh_fail(err, ZH_ERR_INPUT,
                   "a continuation of %zu tokens is longer than the %zu that the model holds",
                   count - scored, s->longest);
  }
  if (asks->count == asks->capacity) {
    size_t capacity = asks->capacity * 2 + 64;
    zh_ask *grown = realloc(asks->at, capacity * sizeof *grown);
    if (!grown) {
      free(tokens);
      return no_memory(err);
    }
    asks->at = grown;
    asks->capacity = capacity;
  }
  if (dropped > 0) memmove(tokens, tokens + dropped, (count - dropped) * sizeof *tokens);
  count -= dropped;
  asks->at[asks->count++] = (zh_ask){.request = request,
                                     .tokens = tokens,
                                     .count = count,
                                     .scored = scored - dropped,
                                     .greedy = true};
  if (count > 0) asks->tokens += count - 1;
  if (count > asks->longest) asks->longest = count;
  return ZH_OK;
}

/* The asks from `first` on are a group. */
static zh_status close_group(zh_asks *asks, size_t first, zh_error *err) {
  if (asks->count == first) return ZH_OK;
  if (asks->group_count == asks->group_capacity) {
    size_t capacity = asks->group_capacity * 2 + 64;
    zh_ask_group *grown = realloc(asks->groups, capacity * sizeof *grown);
    if (!grown) return no_memory(err);
    asks->groups = grown;
    asks->group_capacity = capacity;
  }
  asks->groups[asks->group_count++] = (zh_ask_group){first, asks->count - first};
  return ZH_OK;
}

/* The start token, then the text; a text that begins with that token has it once. */
static zh_status encode_bare(uint32_t **out, size_t *count, const zh_speech *s, const char *text,
                             size_t length, zh_error *err) {
  uint32_t *tokens = NULL;
  size_t n = 0;
  ZH_TRY(zh_tokenize(&tokens, &n, s->tokenizer, text, length, false, true, err));
  bool begun = n > 0 && tokens[0] == (uint32_t)s->start;
  *out = malloc((n + 1) * sizeof **out);
  if (*out) {
    **out = (uint32_t)s->start;
    if (n > begun) memcpy(*out + 1, tokens + begun, (n - begun) * sizeof *tokens);
    *count = n + 1 - begun;
  }
  free(tokens);
  return *out ? ZH_OK : no_memory(err);
}

/* Blanks at the end of the context belong to the continuation; its tokens are what the whole text
 * has behind as many as the context alone has. */
static zh_status encode_pair(uint32_t **out, size_t *count, size_t *scored, const zh_speech *s,
                             const zh_request *r, zh_error *err) {
  const char *context = json_string_value(r->context), *rest = json_string_value(r->continuation);
  size_t length = json_string_length(r->context), more = json_string_length(r->continuation);
  *out = NULL;
  if (length == 0) {
    *scored = 1;
    return encode_bare(out, count, s, rest, more, err);
  }
  zh_text whole = {0};
  uint32_t *alone = NULL;
  zh_text_append(&whole, context, length);
  if (more > 0) zh_text_append(&whole, rest, more);
  zh_status status = whole.failed ? no_memory(err) : ZH_OK;
  if (status == ZH_OK) status = encode(out, count, s, whole.data, whole.length, err);
  if (status == ZH_OK)
    status = encode(&alone, scored, s, context, zh_python_rstrip(context, length), err);
  if (status == ZH_OK && (*scored >= *count || *scored == 0))
    status = zh_fail(err, ZH_ERR_INPUT,
                     *scored == 0 ? "a context of blanks alone has no token that an answer could "
                                    "follow"
                                  : "an answer adds no token to its context");
  zh_text_free(&whole);
  free(alone);
  if (status == ZH_OK) return ZH_OK;
  free(*out);
  *out = NULL;
  return status;
}

static uint32_t *copy_of(const uint32_t *tokens, size_t count) {
  uint32_t *copy = malloc((count + 1) * sizeof *copy);
  if (copy && count > 0) memcpy(copy, tokens, count * sizeof *copy);
  return copy;
}

/* A text in windows, each a group: the first predicts as many tokens as the model holds behind the
 * start token; the others as many behind one token; the last as much context as there is room. */
static zh_status add_windows(zh_asks *asks, const zh_speech *s, size_t request, const char *text,
                             size_t length, zh_error *err) {
  uint32_t *all = NULL;
  size_t n = 0, most = s->longest;
  ZH_TRY(encode(&all, &n, s, text, length, err));
  zh_status status = ZH_OK;
  size_t first = n < most ? n : most, group = asks->count;
  uint32_t *window = malloc((first + 1) * sizeof *window);
  if (window) {
    window[0] = (uint32_t)s->start;
    if (first > 0) memcpy(window + 1, all, first * sizeof *window);
    status = add_ask(asks, s, request, window, first + 1, 1, err);
  } else {
    status = no_memory(err);
  }
  if (status == ZH_OK) status = close_group(asks, group, err);
  for (size_t done = first; status == ZH_OK && done < n;) {
    size_t taken = n - done < most ? n - done : most, end = done + taken;
    group = asks->count;
    window = copy_of(all + end - most - 1, most + 1);
    status = window ? add_ask(asks, s, request, window, most + 1, most + 1 - taken, err)
                    : no_memory(err);
    if (status == ZH_OK) status = close_group(asks, group, err);
    done = end;
  }
  free(all);
  return status;
}

/* A prompt, its end where it is too long. */
static zh_status add_prompt(zh_asks *asks, const zh_speech *s, const zh_exam_task *t,
                            size_t request, const zh_request *r, zh_error *err) {
  uint32_t *tokens = NULL;
  size_t n = 0, length = json_string_length(r->context);
  if (s->longest <= t->max_new)
    return zh_fail(err, ZH_ERR_INPUT,
                   "task %s generates %llu tokens, and the model holds %zu: nothing is left for "
                   "the question",
                   t->name, (unsigned long long)t->max_new, s->longest);
  size_t room = s->longest - (size_t)t->max_new;
  if (length == 0) {
    ZH_TRY(encode_bare(&tokens, &n, s, "", 0, err));
  } else {
    ZH_TRY(encode(&tokens, &n, s, json_string_value(r->context), length, err));
  }
  if (n > room) memmove(tokens, tokens + n - room, room * sizeof *tokens);
  if (n > room) n = room;
  ZH_TRY(add_ask(asks, s, request, tokens, n, n, err));
  if (n + t->max_new > asks->longest) asks->longest = n + (size_t)t->max_new;
  return ZH_OK;
}

/* Question and option as one text, all of whose tokens are judged but the first. */
static zh_status add_whole(zh_asks *asks, const zh_speech *s, size_t number, zh_request *r,
                           zh_error *err) {
  zh_text whole = {0};
  uint32_t *tokens = NULL;
  size_t count = 0;
  zh_text_append(&whole, json_string_value(r->context), json_string_length(r->context));
  zh_text_append(&whole, json_string_value(r->continuation), json_string_length(r->continuation));
  zh_status status = whole.failed
                         ? no_memory(err)
                         : encode(&tokens, &count, s, zh_text_string(&whole), whole.length, err);
  zh_text_free(&whole);
  if (status == ZH_OK && (count < 2 || count > s->longest + 1))
    status = zh_fail(err, ZH_ERR_INPUT,
                     "a question with its option has %zu tokens; 2 to %zu can be judged", count,
                     s->longest + 1);
  r->tokens = (uint32_t)count;
  if (status == ZH_OK) return add_ask(asks, s, number, tokens, count, 1, err);
  free(tokens);
  return status;
}

static zh_status add_request(zh_asks *asks, const zh_speech *s, const zh_exam_task *t,
                             size_t number, zh_request *r, zh_error *err) {
  uint32_t *tokens;
  size_t count, scored;
  if (t->opencompass && t->output == ZH_OUTPUT_CHOICE) return add_whole(asks, s, number, r, err);
  if (t->output == ZH_OUTPUT_ROLLING)
    return add_windows(asks, s, number, json_string_value(r->context),
                       json_string_length(r->context), err);
  if (t->output == ZH_OUTPUT_GENERATE) return add_prompt(asks, s, t, number, r, err);
  ZH_TRY(encode_pair(&tokens, &count, &scored, s, r, err));
  return add_ask(asks, s, number, tokens, count, scored, err);
}

zh_status zh_asks_make(zh_asks *out, const zh_speech *s, const zh_exam_task *t,
                       zh_requests *requests, zh_error *err) {
  zh_status status = ZH_OK;
  size_t group = 0;
  *out = (zh_asks){0};
  for (size_t i = 0; status == ZH_OK && i < requests->count; i++) {
    zh_request *r = &requests->at[i], *before = i > 0 ? r - 1 : NULL;
    bool together = before && before->doc == r->doc && t->output != ZH_OUTPUT_GENERATE &&
                    json_equal(before->context, r->context);
    if (t->output != ZH_OUTPUT_ROLLING && !together) {
      status = close_group(out, group, err);
      group = out->count;
    }
    if (status == ZH_OK) status = add_request(out, s, t, i, r, err);
    if (status != ZH_OK) zh_error_prefix(err, "task %s, item %zu", t->name, r->doc);
  }
  if (status == ZH_OK && t->output != ZH_OUTPUT_ROLLING) status = close_group(out, group, err);
  if (status != ZH_OK) zh_asks_free(out);
  return status;
}

static size_t common(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count) {
  size_t n = 0, most = a_count < b_count ? a_count : b_count;
  while (n < most && a[n] == b[n]) n++;
  return n;
}

size_t zh_asks_shared(const zh_asks *asks, size_t group) {
  const zh_ask_group *g = &asks->groups[group];
  const zh_ask *first = &asks->at[g->first];
  size_t shared = zh_ask_fed(first);
  for (size_t a = 1; a < g->count; a++)
    shared = common(first->tokens, shared, first[a].tokens, zh_ask_fed(&first[a]));
  return shared;
}

size_t zh_asks_before(const zh_asks *asks, size_t group, size_t before) {
  if (before == SIZE_MAX) return 0;
  return common(asks->at[asks->groups[group].first].tokens, zh_asks_shared(asks, group),
                asks->at[asks->groups[before].first].tokens, zh_asks_shared(asks, before));
}

uint64_t zh_asks_needed(const zh_asks *asks, size_t group, size_t before) {
  const zh_ask_group *g = &asks->groups[group];
  const zh_ask *first = &asks->at[g->first];
  size_t shared = zh_asks_shared(asks, group);
  uint64_t needed = shared - zh_asks_before(asks, group, before);
  for (size_t a = 0; a < g->count; a++) needed += zh_ask_fed(&first[a]) - shared;
  return needed;
}

void zh_asks_free(zh_asks *asks) {
  for (size_t i = 0; i < asks->count; i++) free(asks->at[i].tokens);
  free(asks->at);
  free(asks->groups);
  *asks = (zh_asks){0};
}
