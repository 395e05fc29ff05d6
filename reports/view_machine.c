/* The models as their files say, and the machines that ran them. */
#include <stdio.h>
#include <string.h>

#include "reports/number.h"
#include "reports/view.h"

/* A number or, where the description has null, false. */
static void put_known(zh_view *view, json_t *into, const char *key, const json_t *object,
                      const char *source) {
  const json_t *value = json_object_get(object, source);
  if (json_is_number(value))
    zh_view_fixed(view, into, key, json_number_value(value), 0, 0);
  else
    zh_view_text(view, into, key, zh_view_maybe_text(object, source));
}

static void put_known_binary(zh_view *view, json_t *into, const char *key, const json_t *object,
                             const char *source) {
  const json_t *value = json_object_get(object, source);
  if (json_is_number(value))
    zh_view_binary(view, into, key, json_number_value(value));
  else
    zh_view_text(view, into, key, NULL);
}

/* --- models --- */

static void put_architecture(zh_view *view, json_t *out, const json_t *model) {
  static const char *const counts[] = {"layers", "hidden", "heads",   "kv_heads", "head_dim",
                                       "ffn",    "vocab",  "context", "experts",  "experts_used"};
  const json_t *architecture = json_object_get(model, "architecture");
  zh_view_flag(view, out, "architecture", json_is_object(architecture));
  zh_view_text(view, out, "family", zh_view_maybe_text(architecture, "family"));
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    put_known(view, out, counts[i], architecture, counts[i]);
  zh_view_flag(view, out, "mixture",
               json_number_value(json_object_get(architecture, "experts")) > 0);
  zh_view_flag(view, out, "tied_head", json_is_true(json_object_get(architecture, "tied_head")));
}

static void put_types(zh_view *view, json_t *out, const json_t *model) {
  const json_t *list = zh_view_list_of(view, model, "types", "models");
  json_t *types = zh_view_list(view, out, "types");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *type = json_array_get(list, i);
    json_t *row = zh_view_item(view, types);
    zh_view_text(view, row, "type", zh_view_text_of(view, type, "type", "models.types"));
    zh_view_fixed(view, row, "type_tensors", zh_view_real_of(view, type, "tensors", "models.types"),
                  0, 0);
    zh_view_fixed(view, row, "type_parameters",
                  zh_view_real_of(view, type, "parameters", "models.types"), 0, 0);
    zh_view_bytes(view, row, "type_bytes", zh_view_real_of(view, type, "bytes", "models.types"));
  }
}

static void put_notes(zh_view *view, json_t *out, const json_t *model) {
  const json_t *notes = zh_view_list_of(view, model, "notes", "models");
  json_t *list = zh_view_list(view, out, "notes");
  for (size_t i = 0; i < json_array_size(notes); i++)
    zh_view_text(view, zh_view_item(view, list), "note",
                 zh_view_text_of(view, json_array_get(notes, i), view->language, "models.notes"));
}

static void put_model(zh_view *view, json_t *out, const json_t *model, size_t index,
                      bool is_subject) {
  const char *name = zh_view_text_of(view, model, "name", "models");
  zh_view_text(view, out, "model_name", name);
  zh_view_flag(view, out, "is_subject", is_subject);
  zh_view_word(view, out, "format", "formats", zh_view_text_of(view, model, "format", "models"));
  zh_view_fixed(view, out, "bytes_exact", zh_view_real_of(view, model, "bytes", "models"), 0, 0);
  zh_view_flag(view, out, "has_file", json_number_value(json_object_get(model, "bytes")) > 0);
  put_known(view, out, "tensor_count", model, "tensors");
  put_architecture(view, out, model);
  zh_view_parameters(view, out, model, index);
  put_types(view, out, model);
  put_notes(view, out, model);
  const char *sha256 = zh_view_maybe_text(model, "sha256");
  const char *sm3 = zh_view_maybe_text(model, "sm3"); /* null where the weights were not read */
  zh_view_digest(view, out, "sm3", sm3 ? sm3 : "");
  zh_view_digest(view, out, "sha256", sha256 ? sha256 : "");
}

/* --- machines --- */

static void put_cpu(zh_view *view, json_t *out, const json_t *cpu) {
  const json_t *features = json_object_get(cpu, "features"), *has;
  json_t *list = zh_view_list(view, out, "features");
  const char *name;
  zh_view_text(view, out, "cpu_model", zh_view_maybe_text(cpu, "model"));
  put_known(view, out, "packages", cpu, "packages");
  put_known(view, out, "cores", cpu, "cores");
  put_known(view, out, "threads", cpu, "threads");
  zh_view_flag(view, out, "virtual", json_is_true(json_object_get(cpu, "virtual")));
  json_object_foreach((json_t *)(uintptr_t)features, name, has) {
    if (json_is_true(has))
      zh_view_word(view, zh_view_item(view, list), "feature", "features", name);
  }
}

static void put_caches(zh_view *view, json_t *out, const json_t *machine) {
  const json_t *caches = json_object_get(machine, "caches");
  json_t *list = zh_view_list(view, out, "caches");
  for (size_t i = 0; i < json_array_size(caches); i++) {
    const json_t *cache = json_array_get(caches, i);
    json_t *row = zh_view_item(view, list);
    const char *kind = zh_view_maybe_text(cache, "kind");
    put_known(view, row, "cache_level", cache, "level");
    zh_view_word(view, row, "cache_kind", "caches", kind ? kind : "unified");
    put_known_binary(view, row, "cache_bytes", cache, "bytes");
    put_known(view, row, "cache_count", cache, "count");
  }
}

static void put_gpus(zh_view *view, json_t *out, const json_t *machine) {
  const json_t *gpus = json_object_get(machine, "gpus");
  json_t *list = zh_view_list(view, out, "gpus");
  for (size_t i = 0; i < json_array_size(gpus); i++) {
    const json_t *gpu = json_array_get(gpus, i);
    json_t *row = zh_view_item(view, list);
    zh_view_text(view, row, "gpu_name", zh_view_text_of(view, gpu, "name", "machine.gpus"));
    put_known_binary(view, row, "gpu_memory", gpu, "memory_bytes");
    zh_view_text(view, row, "gpu_driver", zh_view_maybe_text(gpu, "driver"));
  }
}

static void put_machine(zh_view *view, json_t *out, const json_t *machine) {
  const json_t *system = json_object_get(machine, "system");
  const json_t *huge = json_object_get(machine, "huge_pages");
  zh_view_text(view, out, "hostname", zh_view_maybe_text(machine, "hostname"));
  put_cpu(view, out, json_object_get(machine, "cpu"));
  put_caches(view, out, machine);
  put_gpus(view, out, machine);
  put_known_binary(view, out, "memory", json_object_get(machine, "memory"), "bytes");
  char nodes[24];
  snprintf(nodes, sizeof nodes, "%zu", json_array_size(json_object_get(machine, "numa")));
  zh_view_text(view, out, "numa_nodes", nodes);
  put_known_binary(view, out, "huge_page", huge, "size_bytes");
  zh_view_text(view, out, "huge_mode", zh_view_maybe_text(huge, "transparent"));
  zh_view_text(view, out, "distribution", zh_view_maybe_text(system, "distribution"));
  zh_view_text(view, out, "kernel", zh_view_maybe_text(system, "kernel"));
  zh_view_text(view, out, "kernel_release", zh_view_maybe_text(system, "release"));
  zh_view_text(view, out, "machine_architecture", zh_view_maybe_text(system, "architecture"));
}

static bool is_submitted(const json_t *evaluation, const char *name) {
  const json_t *names = json_object_get(json_object_get(evaluation, "subject"), "models");
  for (size_t i = 0; name && i < json_array_size(names); i++) {
    const char *subject = json_string_value(json_array_get(names, i));
    if (subject && strcmp(subject, name) == 0) return true;
  }
  return false;
}

/* models: those that were submitted; other_models: those that were measured for comparison. */
void zh_view_machine(zh_view *view) {
  const json_t *models = zh_view_list_of(view, view->evaluation, "models", "evaluation.json");
  const json_t *bundles = zh_view_list_of(view, view->evaluation, "bundle", "evaluation.json");
  json_t *submitted = zh_view_list(view, view->root, "models");
  json_t *others = zh_view_list(view, view->root, "other_models");
  for (size_t i = 0; i < json_array_size(models); i++) {
    const json_t *model = json_array_get(models, i);
    bool is_subject = is_submitted(view->evaluation, zh_view_maybe_text(model, "name"));
    put_model(view, zh_view_item(view, is_subject ? submitted : others), model, i, is_subject);
  }
  zh_view_flag(view, view->root, "has_models", json_array_size(models) > 0);
  zh_view_flag(view, view->root, "has_submitted", json_array_size(submitted) > 0);
  zh_view_flag(view, view->root, "has_other_models", json_array_size(others) > 0);
  json_t *list = zh_view_list(view, view->root, "machines");
  for (size_t i = 0; i < json_array_size(bundles); i++)
    put_machine(view, zh_view_item(view, list),
                zh_view_object_of(view, json_array_get(bundles, i), "machine", "bundle"));
}
