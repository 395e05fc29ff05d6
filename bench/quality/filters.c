/* What becomes of an answer before it is scored: chains of filters. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/python_values.h"
#include "bench/quality/quality.h"
#include "core/text.h"

/* ---- reading ---- */

typedef struct reading {
  zh_exam_task *task;
  const zh_task_file *file;
  zh_error *err;
} reading;

static const struct {
  const char *word;
  zh_filter_kind kind;
} functions[] = {{"take_first", ZH_FILTER_TAKE_FIRST},   {"take_first_k", ZH_FILTER_TAKE_FIRST_K},
                 {"majority_vote", ZH_FILTER_MAJORITY},  {"regex", ZH_FILTER_REGEX},
                 {"remove_whitespace", ZH_FILTER_STRIP}, {"lowercase", ZH_FILTER_LOWER},
                 {"uppercase", ZH_FILTER_UPPER},         {"map", ZH_FILTER_MAP}};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

#define fail_at(r, ...)                                                                            \
  (zh_task_file_node((r)->file, "filter_list")                                                     \
       ? zh_yaml_fail((r)->err, zh_task_file_node((r)->file, "filter_list"), __VA_ARGS__)          \
       : zh_fail((r)->err, ZH_ERR_INPUT, __VA_ARGS__))

static zh_status read_regex(zh_filter *out, const reading *r, const json_t *entry) {
  const json_t *pattern = json_object_get(entry, "regex_pattern"),
               *group = json_object_get(entry, "group_select"),
               *fallback = json_object_get(entry, "fallback");
  const char *text =
      json_is_string(pattern) ? json_string_value(pattern) : "#### (\\-?[0-9\\.\\,]+)";
  out->group_select = json_integer_value(group);
  out->fallback = json_is_string(fallback) ? json_string_value(fallback) : "[invalid]";
  zh_status status = zh_regex_compile(&out->regex, text, strlen(text), false, r->err);
  const zh_yaml_node *node = zh_task_file_node(r->file, "filter_list");
  if (status != ZH_OK && node)
    zh_error_prefix(r->err, "%s:%d", zh_yaml_path(node), zh_yaml_line(node));
  return status;
}

static zh_status read_filter(zh_filter *out, const reading *r, const json_t *entry) {
  const char *word = json_string_value(json_object_get(entry, "function")),
             *words[FUNCTIONS + 1] = {NULL};
  size_t i = 0;
  if (!word) return fail_at(r, "a filter names no 'function'");
  for (size_t k = 0; k < FUNCTIONS; k++) words[k] = functions[k].word;
  while (i < FUNCTIONS && strcmp(word, functions[i].word) != 0) i++;
  if (i == FUNCTIONS) {
    char guess[ZH_GUESS_BYTES];
    return fail_at(r, "the filter '%.60s' is not known to this version%s", word,
                   zh_did_you_mean(guess, word, words));
  }
  out->kind = functions[i].kind;
  if (out->kind == ZH_FILTER_REGEX) return read_regex(out, r, entry);
  if (out->kind == ZH_FILTER_TAKE_FIRST_K || out->kind == ZH_FILTER_MAJORITY)
    out->k = json_integer_value(json_object_get(entry, "k"));
  if (out->kind != ZH_FILTER_MAP) return ZH_OK;
  out->mapping = json_object_get(entry, "mapping_dict");
  out->otherwise = json_object_get(entry, "default_value");
  return json_is_object(out->mapping) ? ZH_OK : fail_at(r, "a 'map' filter needs mapping_dict");
}

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (filters)");
}

static zh_status read_chain(zh_filter_chain *out, const reading *r, const json_t *entry) {
  const json_t *list = json_object_get(entry, "filter");
  out->name = json_string_value(json_object_get(entry, "name"));
  if (!out->name || !json_is_array(list))
    return fail_at(r, "an entry of filter_list needs 'name' and 'filter', a list");
  size_t count = json_array_size(list);
  out->filters = zh_arena_alloc(r->task->arena, count, sizeof *out->filters);
  if (!out->filters) return no_memory(r->err);
  for (; out->count < count; out->count++)
    ZH_TRY(read_filter(&out->filters[out->count], r, json_array_get(list, out->count)));
  return ZH_OK;
}

zh_status zh_filters_read(zh_exam_task *task, const zh_task_file *file, const json_t *list,
                          zh_error *err) {
  reading r = {task, file, err};
  size_t count = json_array_size(list);
  task->chains = zh_arena_alloc(task->arena, count + 1, sizeof *task->chains);
  if (!task->chains) return no_memory(err);
  if (count == 0) {
    static zh_filter first = {.kind = ZH_FILTER_TAKE_FIRST};
    task->chains[0] = (zh_filter_chain){.name = "none", .filters = &first, .count = 1};
    task->chain_count = 1;
    return ZH_OK;
  }
  for (size_t i = 0; i < count; i++) {
    task->chain_count = i + 1; /* so that what it holds is freed */
    ZH_TRY(read_chain(&task->chains[i], &r, json_array_get(list, i)));
  }
  return ZH_OK;
}

/* ---- applying ---- */

/* Bytes [*begin, *end) that a match stands for: the whole, its group, or the first that is not
 * empty. False: none is. */
static bool chosen_span(size_t *begin, size_t *end, const zh_regex *regex,
                        const zh_regex_span *spans) {
  unsigned groups = zh_regex_group_count(regex);
  *begin = *end = 0;
  if (groups <= 1) {
    if (spans[groups].begin != SIZE_MAX) *begin = spans[groups].begin, *end = spans[groups].end;
    return true;
  }
  for (unsigned g = 1; g <= groups; g++) {
    if (spans[g].begin == SIZE_MAX || spans[g].end == spans[g].begin) continue;
    *begin = spans[g].begin;
    *end = spans[g].end;
    return true;
  }
  return false;
}

/* As re.findall(text)[group_select]; the fallback where nothing matches. */
static zh_status by_regex(json_t **out, const zh_filter *f, const json_t *answer, zh_error *err) {
  const char *text = json_string_value(answer);
  size_t length = json_string_length(answer), begin = 0, end = 0;
  int64_t count = 0;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  bool found = true, taken = false, chosen = false;
  zh_regex_walk walk = {0};
  while (found && text) {
    ZH_TRY(zh_regex_next(&found, spans, &walk, f->regex, text, length, err));
    count += found;
  }
  int64_t wanted = f->group_select < 0 ? count + f->group_select : f->group_select;
  if (count > 0 && (wanted < 0 || wanted >= count))
    return zh_fail(err, ZH_ERR_INPUT,
                   "a regex filter takes match %lld of an answer, and there are %lld",
                   (long long)f->group_select, (long long)count);
  walk = (zh_regex_walk){0};
  for (int64_t i = 0; i < count && i <= wanted; i++) {
    ZH_TRY(zh_regex_next(&taken, spans, &walk, f->regex, text, length, err));
    if (i == wanted) chosen = chosen_span(&begin, &end, f->regex, spans);
  }
  if (chosen) {
    end = begin + zh_python_rstrip(text + begin, end - begin);
    begin += zh_python_lstrip(text + begin, end - begin);
    *out = json_stringn(text + begin, end - begin);
  } else if (count > 0) {
    size_t size = strlen(f->fallback), left = zh_python_lstrip(f->fallback, size);
    *out = json_stringn(f->fallback + left, zh_python_rstrip(f->fallback + left, size - left));
  } else {
    *out = json_string(f->fallback);
  }
  return ZH_OK;
}

static zh_status filter_one(json_t **out, const zh_filter *f, json_t *answer, zh_error *err) {
  const char *text = json_string_value(answer);
  size_t length = json_string_length(answer);
  *out = NULL;
  switch (f->kind) {
  case ZH_FILTER_REGEX:
    return by_regex(out, f, answer, err);
  case ZH_FILTER_STRIP: {
    size_t left = text ? zh_python_lstrip(text, length) : 0;
    *out = json_stringn(text ? text + left : "", length - left);
    return ZH_OK;
  }
  case ZH_FILTER_LOWER:
  case ZH_FILTER_UPPER:
    return zh_python_case(out, answer, f->kind == ZH_FILTER_UPPER, err);
  case ZH_FILTER_MAP: {
    const json_t *mapped = text ? json_object_get(f->mapping, text) : NULL;
    const json_t *chosen = mapped ? mapped : f->otherwise;
    *out = chosen ? json_incref((json_t *)(uintptr_t)chosen) : json_null();
    return ZH_OK;
  }
  default:
    /* One answer a request: the first, the first few and the most frequent are it. */
    *out = json_incref(answer);
    return ZH_OK;
  }
}

/* Answers of log-likelihoods stand as they are: [value, greedy]. */
static json_t *answer_json(const zh_request *r) {
  if (r->text) return json_incref(r->text);
  return json_pack("[f, b]", r->logprob, (int)r->greedy);
}

zh_status zh_filter_apply(json_t **out, const zh_filter_chain *chain, const zh_request *requests,
                          size_t count, zh_error *err) {
  json_t *list = json_array();
  zh_status status = list ? ZH_OK : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    json_t *answer = answer_json(&requests[i]);
    if (!answer) status = no_memory(err);
    for (size_t f = 0; status == ZH_OK && f < chain->count; f++) {
      json_t *changed;
      status = filter_one(&changed, &chain->filters[f], answer, err);
      if (status == ZH_OK && !changed) status = no_memory(err);
      json_decref(answer);
      answer = changed;
    }
    if (status == ZH_OK && json_array_append_new(list, answer) != 0) status = no_memory(err);
  }
  *out = list;
  if (status != ZH_OK) {
    json_decref(list);
    *out = NULL;
  }
  return status;
}
