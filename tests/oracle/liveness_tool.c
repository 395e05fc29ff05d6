/* liveness_tool MODEL PROBES FIRST_SEED SEEDS [exact]: probes a model with each seed, as JSON: the
 * texts up to the last that a probe names, the floor, the outcome of each seed, and every probe of
 * the last one, by where the file has it. exact: with the reference kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/liveness/liveness.h"

static json_t *texts_json(const zh_liveness *l, uint32_t vocab) {
  json_t *list = json_array();
  uint32_t token[ZH_LIVENESS_LENGTH], count = ZH_LIVENESS_TEXTS;
  for (size_t i = 0; i < l->count; i++)
    if (l->probes[i].text >= count) count = l->probes[i].text + 1;
  for (uint32_t t = 0; t < count; t++) {
    json_t *text = json_array();
    zh_liveness_text(token, &l->texts, t, vocab);
    for (uint32_t i = 0; i < l->texts.length; i++)
      json_array_append_new(text, json_integer(token[i]));
    json_array_append_new(list, text);
  }
  return list;
}

static json_t *probes_json(const zh_liveness *l) {
  json_t *list = json_array();
  for (size_t i = 0; i < l->count; i++) {
    const zh_probe *p = &l->probes[i];
    zh_probe_place at = zh_probe_place_of(p);
    json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:i,s:b,s:i,s:I}", "tensor",
                                          p->weight->tensor->name, "expert", (json_int_t)at.expert,
                                          "row", (json_int_t)at.row, "column",
                                          (json_int_t)at.column, "was", (double)p->was, "is",
                                          (double)p->is, "change", (double)p->change, "text",
                                          (int)p->text, "lone", p->lone, "outcome", (int)p->outcome,
                                          "belongs_to", (json_int_t)p->expert));
  }
  return list;
}

typedef struct subject {
  zh_model *model;
  zh_threads *threads;
  zh_engine *engine;
  zh_architecture architecture;
  zh_liveness_texts texts;
} subject;

static zh_status open_subject(subject *s, const char *path, zh_precision precision, zh_error *err) {
  ZH_TRY(zh_model_open(&s->model, path, err));
  ZH_TRY(zh_model_architecture(&s->architecture, s->model, err));
  ZH_TRY(zh_threads_create(&s->threads, 2, NULL, err));
  zh_engine_options options = zh_liveness_engine(precision, &s->architecture);
  ZH_TRY(zh_engine_create(&s->engine, s->model, s->threads, &options, err));
  return zh_liveness_read_texts(&s->texts, s->model, &s->architecture, err);
}

static zh_status probe(json_t *whole, subject *s, uint32_t probes, uint64_t seed, zh_error *err) {
  zh_liveness l;
  zh_liveness_options options = {.seed = seed, .probes = probes};
  ZH_TRY(zh_liveness_measure(&l, s->engine, s->threads, &s->texts, &options, err));
  json_object_set_new(whole, "population", json_integer((json_int_t)l.population));
  json_object_set_new(whole, "floor", json_real((double)l.floor));
  json_object_set_new(whole, "probes", probes_json(&l));
  json_object_set_new(whole, "texts", texts_json(&l, s->architecture.vocab));
  json_object_set_new(whole, "experts",
                      json_pack("{s:I,s:I,s:I,s:I}", "all", (json_int_t)l.experts.all, "reached",
                                (json_int_t)l.experts.reached, "by_texts",
                                (json_int_t)l.experts.by_texts, "drawn",
                                (json_int_t)l.experts.drawn));
  json_array_append_new(json_object_get(whole, "runs"),
                        json_pack("{s:I,s:I,s:f}", "probes", (json_int_t)l.count, "live",
                                  (json_int_t)l.live, "lower_bound_95", l.lower_bound_95));
  zh_liveness_free(&l);
  return ZH_OK;
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  subject s = {0};
  bool exact = argc == 6 && strcmp(argv[5], "exact") == 0, usable = argc == 5 || exact;
  zh_precision precision = exact ? ZH_PRECISION_EXACT : ZH_PRECISION_FAST;
  zh_status status = usable ? open_subject(&s, argv[1], precision, &err) : ZH_ERR_USAGE;
  json_t *whole = json_pack("{s:[]}", "runs");
  unsigned long first = usable ? strtoul(argv[3], NULL, 0) : 0,
                seeds = usable ? strtoul(argv[4], NULL, 0) : 0;
  for (unsigned long i = 0; i < seeds && status == ZH_OK; i++)
    status = probe(whole, &s, (uint32_t)strtoul(argv[2], NULL, 0), first + i, &err);
  if (status == ZH_OK) {
    json_dumpf(whole, stdout, 0);
  } else {
    fprintf(stderr, "liveness_tool: %s\n", err.message);
  }
  json_decref(whole);
  zh_engine_free(s.engine);
  zh_threads_free(s.threads);
  zh_model_free(s.model);
  return status == ZH_OK ? 0 : 2;
}
