/* What becomes of an answer before it is scored: chains of filters. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
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

/* `function: !function utils.F`, or `function: custom` with filter_fn. */
static zh_status read_function(zh_filter *out, const reading *r, const json_t *entry,
                               const json_t *named) {
  const char *word = zh_function_word(named);
  out->kind = ZH_FILTER_FUNCTION;
  out->options = entry;
  if (!word) return fail_at(r, "a 'custom' filter needs filter_fn: !function MODULE.NAME");
  return zh_function_find(&out->function, r->file, r->task->config, word, ZH_FUNCTION_FILTER,
                          r->err);
}

static zh_status read_filter(zh_filter *out, const reading *r, const json_t *entry) {
  const json_t *named = json_object_get(entry, "function");
  const char *word = json_string_value(named), *words[FUNCTIONS + 1] = {NULL};
  size_t i = 0;
  if (!word) return fail_at(r, "a filter names no 'function'");
  if (zh_function_word(named)) return read_function(out, r, entry, named);
  if (strcmp(word, "custom") == 0)
    return read_function(out, r, entry, json_object_get(entry, "filter_fn"));
  for (size_t k = 0; k < FUNCTIONS; k++) words[k] = functions[k].word;
  while (i < FUNCTIONS && strcmp(word, functions[i].word) != 0) i++;
  if (i == FUNCTIONS) {
    char guess[ZH_GUESS_BYTES];
    return fail_at(r, "the filter '%.60s' is not known to this version%s", word,
                   zh_did_you_mean(guess, word, words));
  }
  out->kind = functions[i].kind;
  if (out->kind == ZH_FILTER_REGEX) return read_regex(out, r, entry);
  if (out->kind == ZH_FILTER_TAKE_FIRST_K) {
    out->k = json_integer_value(json_object_get(entry, "k"));
    if (out->k < 1 || out->k > r->task->repeats)
      return fail_at(r, "take_first_k: k must be from 1 to the task's repeats, which are %lld",
                     (long long)r->task->repeats);
  }
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
    *out = json_incref(answer); /* those that choose among answers stand below */
    return ZH_OK;
  }
}

/* Each answer of the list by itself; a list. */
static zh_status filter_each(json_t **out, const zh_filter *f, const json_t *answers,
                             zh_error *err) {
  zh_status status = ZH_OK;
  *out = json_array();
  for (size_t i = 0; status == ZH_OK && i < json_array_size(answers); i++) {
    json_t *changed = NULL;
    status = filter_one(&changed, f, json_array_get(answers, i), err);
    if (status == ZH_OK && json_array_append_new(*out, changed) != 0) status = no_memory(err);
  }
  return status;
}

/* The most frequent, of several the first; a list of one. */
static json_t *majority(const json_t *answers) {
  size_t best = 0, most = 0, count = json_array_size(answers);
  for (size_t i = 0; i < count; i++) {
    size_t same = 0;
    for (size_t k = 0; k < count; k++)
      same += json_equal(json_array_get(answers, i), json_array_get(answers, k)) != 0;
    if (same <= most) continue;
    most = same;
    best = i;
  }
  return json_pack("[O]", json_array_get(answers, best));
}

static json_t *first_few(const json_t *answers, int64_t k) {
  json_t *list = json_array();
  for (size_t i = 0; i < (size_t)k && i < json_array_size(answers); i++)
    json_array_append(list, json_array_get(answers, i));
  return list;
}

/* What is being filtered: a list of answers until one was taken. */
typedef struct answers {
  json_t *value;
  bool taken;
} answers;

static zh_status apply(answers *a, const zh_filter *f, const zh_exam_task *t, const json_t *doc,
                       zh_error *err) {
  json_t *made = NULL, *list = a->taken ? json_pack("[O]", a->value) : json_incref(a->value);
  bool takes = f->kind == ZH_FILTER_TAKE_FIRST;
  zh_function_call call = {.function = f->function, .task = t, .options = f->options};
  zh_status status = list ? ZH_OK : no_memory(err);
  if (status == ZH_OK && json_array_size(list) == 0)
    status = zh_fail(err, ZH_ERR_INPUT, "a filter left no answer for the next one");
  if (status == ZH_OK && takes)
    made = json_incref(json_array_get(list, 0));
  else if (status == ZH_OK && f->kind == ZH_FILTER_TAKE_FIRST_K)
    made = first_few(list, f->k);
  else if (status == ZH_OK && f->kind == ZH_FILTER_MAJORITY)
    made = majority(list);
  else if (status == ZH_OK && f->kind == ZH_FILTER_FUNCTION)
    status = f->function->body.filter(&made, &call, list, doc, err);
  else if (status == ZH_OK)
    status = filter_each(&made, f, list, err);
  json_decref(list);
  if (status == ZH_OK && !made) status = no_memory(err);
  if (status == ZH_OK && a->taken && !takes) { /* one stays one */
    list = made;
    made = json_incref(json_array_get(list, 0));
    json_decref(list);
  }
  json_decref(a->value);
  a->value = made;
  a->taken |= takes;
  return status;
}

/* Answers of log-likelihoods stand as they are: [value, greedy]; of rolling ones, the value. */
static json_t *answer_json(const zh_exam_task *t, const zh_request *r) {
  if (t->output == ZH_OUTPUT_GENERATE) return json_incref(r->text);
  if (t->output == ZH_OUTPUT_ROLLING) return json_real(r->logprob);
  if (r->tokens > 0)
    return json_pack("[f, b, I]", r->logprob, (int)r->greedy, (json_int_t)r->tokens);
  return json_pack("[f, b]", r->logprob, (int)r->greedy);
}

zh_status zh_filter_apply(json_t **out, const zh_filter_chain *chain, const zh_exam_task *t,
                          const zh_request *requests, size_t count, zh_error *err) {
  const json_t *doc = count > 0 ? json_array_get(t->docs, requests[0].doc) : NULL;
  size_t together = t->output == ZH_OUTPUT_GENERATE ? count : 1;
  json_t *list = json_array();
  zh_status status = list ? ZH_OK : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < count; i += together) {
    answers a = {.value = json_array()};
    for (size_t k = i; k < i + together; k++)
      if (json_array_append_new(a.value, answer_json(t, &requests[k])) != 0)
        status = no_memory(err);
    for (size_t f = 0; status == ZH_OK && f < chain->count; f++)
      status = apply(&a, &chain->filters[f], t, doc, err);
    if (status == ZH_OK && json_array_append(list, a.value) != 0) status = no_memory(err);
    json_decref(a.value);
  }
  *out = list;
  if (status != ZH_OK) {
    json_decref(list);
    *out = NULL;
  }
  return status;
}
