/* Parts of the quality tasks, for an oracle in Python: one JSON request a line, one answer a line.
 *   {"sample": [seed, [[count, wanted], …]]}   {"real": [seed, n]}   {"literal": text}
 *   {"yaml": path}   {"findall": [pattern, text]}   {"sub": [pattern, by, text, count]}
 *   {"function": {"family", "name", "doc", …}}   {"sentences": text}
 *   {"language": text}   {"dumps": value}   {"bleu": [[references, said], …]}   {"chrf": …} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/language.h"
#include "bench/quality/python_random.h"
#include "bench/quality/python_values.h"
#include "bench/quality/quality.h"
#include "core/regex.h"

static json_t *failed(const zh_error *err) {
  return json_pack("{s:s}", "error", err->message);
}

static const char *text_at(const json_t *list, size_t i) {
  return json_string_value(json_array_get(list, i));
}

static json_t *sample(const json_t *of) {
  zh_python_random r;
  zh_error err = ZH_ERROR_INIT;
  json_t *all = json_array();
  const json_t *draws = json_array_get(of, 1);
  zh_python_seed(&r, (uint64_t)json_integer_value(json_array_get(of, 0)));
  for (size_t i = 0; i < json_array_size(draws); i++) {
    const json_t *draw = json_array_get(draws, i);
    uint32_t count = (uint32_t)json_integer_value(json_array_get(draw, 0)),
             wanted = (uint32_t)json_integer_value(json_array_get(draw, 1));
    uint32_t *places = calloc(wanted + 1, sizeof *places);
    if (zh_python_sample(places, &r, count, wanted, &err) != ZH_OK) abort();
    json_t *list = json_array();
    for (uint32_t k = 0; k < wanted; k++) json_array_append_new(list, json_integer(places[k]));
    json_array_append_new(all, list);
    free(places);
  }
  return all;
}

static json_t *real(const json_t *of) {
  zh_python_random r;
  json_t *all = json_array();
  zh_python_seed(&r, (uint64_t)json_integer_value(json_array_get(of, 0)));
  for (json_int_t i = 0; i < json_integer_value(json_array_get(of, 1)); i++)
    json_array_append_new(all, json_real(zh_python_real(&r)));
  return all;
}

static json_t *literal(const json_t *of) {
  json_t *value = zh_python_literal(json_string_value(of), json_string_length(of));
  return value ? json_pack("{s:o}", "value", value) : json_pack("{s:s}", "error", "no literal");
}

static json_t *yaml(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  zh_yaml_doc *doc;
  json_t *value;
  if (zh_yaml_load_foreign(&doc, json_string_value(of), &err) != ZH_OK) return failed(&err);
  bool good = zh_yaml_to_json(&value, zh_yaml_root(doc), &err) == ZH_OK;
  zh_yaml_free(doc);
  return good ? json_pack("{s:o}", "value", value) : failed(&err);
}

/* All matches, each with all of its groups. */
static json_t *findall(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  zh_regex *regex;
  zh_regex_walk walk = {0};
  zh_regex_span spans[ZH_REGEX_GROUPS];
  const char *pattern = text_at(of, 0), *text = text_at(of, 1);
  if (zh_regex_compile(&regex, pattern, strlen(pattern), false, &err) != ZH_OK) return failed(&err);
  json_t *all = json_array();
  for (bool found = true; found;) {
    if (zh_regex_next(&found, spans, &walk, regex, text, strlen(text), &err) != ZH_OK) break;
    json_t *match = json_array();
    for (unsigned g = 0; found && g <= zh_regex_group_count(regex); g++)
      json_array_append_new(
          match, spans[g].begin == SIZE_MAX
                     ? json_null()
                     : json_stringn(text + spans[g].begin, spans[g].end - spans[g].begin));
    if (found)
      json_array_append_new(all, match);
    else
      json_decref(match);
  }
  zh_regex_free(regex);
  return all;
}

static json_t *sub(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  zh_regex *regex;
  zh_text out = {0};
  const char *pattern = text_at(of, 0), *by = text_at(of, 1), *text = text_at(of, 2);
  size_t count = (size_t)json_integer_value(json_array_get(of, 3));
  if (zh_regex_compile(&regex, pattern, strlen(pattern), false, &err) != ZH_OK) return failed(&err);
  json_t *value = zh_regex_replace(&out, regex, text, strlen(text), by, count, &err) == ZH_OK
                      ? json_stringn(zh_text_string(&out), out.length)
                      : failed(&err);
  zh_regex_free(regex);
  zh_text_free(&out);
  return value;
}

static json_t *dumps(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  json_t *both = json_array();
  for (int indented = 0; indented < 2; indented++) {
    char *text;
    size_t length;
    if (zh_python_dumps(&text, &length, of, indented, &err) != ZH_OK) return failed(&err);
    json_array_append_new(both, json_stringn(text, length));
    free(text);
  }
  return both;
}

/* A function of a task file, by what it is given. */
static json_t *function(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  const char *family = json_string_value(json_object_get(of, "family")),
             *name = json_string_value(json_object_get(of, "name"));
  const zh_function *f = zh_function_named(family, name);
  const json_t *doc = json_object_get(of, "doc"), *results = json_object_get(of, "results"),
               *answers = json_object_get(of, "answers"), *values = json_object_get(of, "values");
  zh_function_call call = {.function = f, .options = json_object_get(of, "options")};
  json_t *value = NULL;
  double number;
  zh_status status;
  if (!f) return json_pack("{s:s}", "error", "no function of that name");
  if (f->kind == ZH_FUNCTION_DOCS)
    status = f->body.docs(&value, &call, json_object_get(of, "rows"), &err);
  else if (f->kind == ZH_FUNCTION_RESULTS)
    status = f->body.results(&value, &call, doc, results, &err);
  else if (f->kind == ZH_FUNCTION_FILTER)
    status = f->body.filter(&value, &call, answers, doc, &err);
  else if (f->kind == ZH_FUNCTION_AGGREGATION)
    status = f->body.aggregation(&number, &call, values, &err);
  else
    status = f->body.field(&value, &call, doc, &err);
  if (status != ZH_OK) return failed(&err);
  return f->kind == ZH_FUNCTION_AGGREGATION ? json_real(number) : value;
}

static json_t *sentences(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  size_t count;
  if (zh_sentence_count(&count, of, &err) != ZH_OK) return failed(&err);
  return json_integer((json_int_t)count);
}

static json_t *language(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  const char *code;
  return zh_language_of(&code, of, &err) == ZH_OK ? json_string(code) : failed(&err);
}

static json_t *aggregate(const char *name, const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  double figure, error;
  if (zh_aggregate(&figure, &error, name, of, &err) != ZH_OK) return failed(&err);
  return json_pack("[o, o]", zh_json_number(figure), zh_json_number(error));
}

static json_t *answer(const json_t *request) {
  static const struct {
    const char *key;
    json_t *(*run)(const json_t *of);
  } parts[] = {{"sample", sample},    {"real", real},         {"literal", literal},
               {"yaml", yaml},        {"findall", findall},   {"sub", sub},
               {"dumps", dumps},      {"function", function}, {"sentences", sentences},
               {"language", language}};
  const char *key;
  json_t *value;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    const json_t *of = json_object_get(request, parts[i].key);
    if (of) return parts[i].run(of);
  }
  json_object_foreach((json_t *)(uintptr_t)request, key, value) return aggregate(key, value);
  return json_null();
}

int main(void) {
  char *line = NULL;
  size_t capacity = 0;
  for (ssize_t length; (length = getline(&line, &capacity, stdin)) > 0;) {
    zh_error err = ZH_ERROR_INIT;
    json_t *request;
    if (zh_json_load_text(&request, line, (size_t)length, "request", &err) != ZH_OK) {
      fprintf(stderr, "%s\n", err.message);
      return 2;
    }
    json_t *said = answer(request);
    char *text = json_dumps(said, JSON_ENCODE_ANY | JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(said);
    json_decref(request);
  }
  free(line);
  return 0;
}
