/* IFEval: how many of an item's instructions an answer follows; strictly as it stands, or loosely
 * where it does so without its first line, its last line or its stars. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/instructions.h"
#include "bench/quality/python_values.h"

enum { VARIANTS = 8 };

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (instructions)");
}

static json_t *without_stars(const json_t *text) {
  zh_text out = {0};
  for (const char *c = json_string_value(text); c && *c; c++)
    if (*c != '*') zh_text_append(&out, c, 1);
  return zh_rewritten(&out);
}

static json_t *stripped(const char *begin, const char *end) {
  size_t length = end > begin ? (size_t)(end - begin) : 0;
  zh_python_strip(&begin, &length);
  return json_stringn(begin, length);
}

/* The answer; without its first line, its last, both; each of these without stars. */
static bool make_variants(json_t *variants[VARIANTS], const char *said) {
  const char *first = strchr(said, '\n'), *last = strrchr(said, '\n'), *end = said + strlen(said);
  variants[0] = json_string(said);
  variants[1] = stripped(first ? first + 1 : end, end);
  variants[2] = stripped(said, last ? last : said);
  variants[3] = stripped(first ? first + 1 : end, last ? last : said);
  bool whole = true;
  for (int i = 0; i < VARIANTS / 2; i++) variants[VARIANTS / 2 + i] = without_stars(variants[i]);
  for (int i = 0; i < VARIANTS; i++) whole &= variants[i] != NULL;
  return whole;
}

static bool is_blank(const json_t *text) {
  size_t length = json_string_length(text);
  return zh_python_lstrip(json_string_value(text), length) == length;
}

/* One instruction, by the first `count` of the variants. */
static zh_status is_followed(bool *out, const char *id, const json_t *kwargs,
                             json_t *const variants[VARIANTS], int count, zh_error *err) {
  *out = false;
  for (int i = 0; i < count && !*out; i++)
    if (!is_blank(variants[i])) ZH_TRY(zh_instruction_followed(out, id, kwargs, variants[i], err));
  return ZH_OK;
}

static zh_status look_at_all(json_t *lists[2], const json_t *ids, const json_t *kwargs,
                             json_t *const variants[VARIANTS], zh_error *err) {
  for (size_t i = 0; i < json_array_size(ids); i++) {
    const char *id = json_string_value(json_array_get(ids, i));
    if (!id) return zh_fail(err, ZH_ERR_INPUT, "instruction_id_list must be a list of texts");
    for (int loose = 0; loose < 2; loose++) {
      bool followed;
      ZH_TRY(is_followed(&followed, id, json_array_get(kwargs, i), variants, loose ? VARIANTS : 1,
                         err));
      if (json_array_append_new(lists[loose], json_boolean(followed)) != 0) return no_memory(err);
    }
  }
  return ZH_OK;
}

static bool all_true(const json_t *list) {
  for (size_t i = 0; i < json_array_size(list); i++)
    if (!json_is_true(json_array_get(list, i))) return false;
  return true;
}

static zh_status score(json_t **out, const zh_function_call *call, const json_t *doc,
                       const json_t *results, zh_error *err) {
  const json_t *ids = json_object_get(doc, "instruction_id_list"),
               *kwargs = json_object_get(doc, "kwargs");
  const char *said = json_string_value(json_array_get(results, 0));
  json_t *variants[VARIANTS] = {NULL}, *lists[2] = {json_array(), json_array()};
  (void)call;
  zh_status status = lists[0] && lists[1] ? ZH_OK : no_memory(err);
  if (!said || !json_is_array(ids) || json_array_size(ids) != json_array_size(kwargs))
    status = zh_fail(err, ZH_ERR_INPUT,
                     "the item needs instruction_id_list and kwargs, two lists of one length");
  if (status == ZH_OK && !make_variants(variants, said)) status = no_memory(err);
  if (status == ZH_OK) status = look_at_all(lists, ids, kwargs, variants, err);
  if (status == ZH_OK) {
    *out = json_pack("{s:b, s:O, s:b, s:O}", "prompt_level_strict_acc", (int)all_true(lists[0]),
                     "inst_level_strict_acc", lists[0], "prompt_level_loose_acc",
                     (int)all_true(lists[1]), "inst_level_loose_acc", lists[1]);
    if (!*out) status = no_memory(err);
  }
  for (int i = 0; i < VARIANTS; i++) json_decref(variants[i]);
  json_decref(lists[0]);
  json_decref(lists[1]);
  return status;
}

/* The part of all instructions of all items. */
static zh_status mean_of_instructions(double *out, const zh_function_call *call,
                                      const json_t *values, zh_error *err) {
  size_t count = 0, followed = 0;
  (void)call;
  for (size_t i = 0; i < json_array_size(values); i++) {
    const json_t *list = json_array_get(values, i);
    for (size_t k = 0; k < json_array_size(list); k++, count++)
      followed += json_is_true(json_array_get(list, k));
  }
  if (count == 0) return zh_fail(err, ZH_ERR_INPUT, "no item has an instruction");
  *out = (double)followed / (double)count;
  return ZH_OK;
}

static const zh_function functions[] = {
    {.name = "process_results", .kind = ZH_FUNCTION_RESULTS, .body.results = score},
    {.name = "agg_inst_level_acc",
     .kind = ZH_FUNCTION_AGGREGATION,
     .body.aggregation = mean_of_instructions}};
static const char *const datasets[] = {"google/IFEval", NULL};
static const char *const digests[] = {
    "1ab8f14808c826f93f2364883487ed63cf4267980bf4761fda8053899c013632", NULL};

const zh_function_family zh_functions_ifeval = {.name = "ifeval",
                                                .module = "utils",
                                                .datasets = datasets,
                                                .digests = digests,
                                                .source = "lm-evaluation-harness 0.4.13",
                                                .functions = functions,
                                                .count = sizeof functions / sizeof functions[0]};
