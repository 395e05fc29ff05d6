/* Findings and their sentences, from evaluator/policies/common/audit.yaml. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"
#include "evaluator/audit/audit.h"
#include "evaluator/words.h"

enum { SHOWN_OF_A_KIND = 200 }; /* the largest; the rest in one line */

static const char rest_of_a_kind[] = "rest";
static const char *const kind_names[] = {
#define ENTRY(name) #name,
    ZH_FINDING_LIST(ENTRY)
#undef ENTRY
};

zh_audit_finding *zh_found(zh_auditor *a, zh_finding_kind kind, const char *where,
                           uint64_t parameters, double confidence) {
  if (a->finding_count == a->finding_capacity) {
    size_t capacity = a->finding_capacity == 0 ? 64 : 2 * a->finding_capacity;
    zh_audit_finding *grown = realloc(a->findings, capacity * sizeof *grown);
    if (grown == NULL) return NULL;
    a->findings = grown;
    a->finding_capacity = capacity;
  }
  zh_audit_finding *f = &a->findings[a->finding_count];
  *f = (zh_audit_finding){.kind = kind, .parameters = parameters, .confidence = confidence};
  f->where = zh_arena_strdup(a->arena, where);
  if (f->where == NULL) return NULL;
  a->finding_count++;
  return f;
}

void zh_found_slot(zh_audit_finding *finding, const char *name, const char *text) {
  for (size_t i = 0; finding != NULL && i < ZH_FINDING_SLOTS; i++) {
    if (finding->slots[i].name != NULL) continue;
    finding->slots[i].name = name;
    finding->slots[i].text = text != NULL ? text : "?";
    return;
  }
}

void zh_found_number(zh_auditor *a, zh_audit_finding *finding, const char *name, uint64_t value) {
  char digits[32];
  zh_group_digits(digits, sizeof digits, value);
  zh_found_slot(finding, name, zh_arena_strdup(a->arena, digits));
}

void zh_found_real(zh_auditor *a, zh_audit_finding *finding, const char *name, int decimals,
                   double value) {
  zh_found_slot(finding, name, zh_arena_printf(a->arena, "%.*f", decimals, value));
}

/* --- sentences --- */

typedef struct sentences {
  zh_yaml_doc *doc;
  zh_arena *arena;
} sentences;

static zh_status load(sentences *s, zh_error *err) {
  char path[4096];
  ZH_TRY(zh_data_path(path, sizeof path, "evaluator/policies/common/audit.yaml", err));
  ZH_TRY(zh_yaml_load_file(&s->doc, path, err));
  ZH_TRY(zh_yaml_expect(zh_yaml_root(s->doc), ZH_YAML_MAP, "sentences by kind of finding", err));
  return zh_arena_create(&s->arena, 0, err);
}

static zh_status text_json(json_t **out, sentences *s, const zh_audit_finding *f, zh_error *err) {
  char key[96], parameters[32];
  zh_phrase phrase;
  snprintf(key, sizeof key, "%s%s%s", kind_names[f->kind], f->variant != NULL ? "_" : "",
           f->variant != NULL ? f->variant : "");
  if (f->variant == rest_of_a_kind) snprintf(key, sizeof key, "%s", rest_of_a_kind);
  ZH_TRY(zh_phrase_require(&phrase, zh_yaml_root(s->doc), key, s->arena, err));
  zh_group_digits(parameters, sizeof parameters, f->parameters);
  zh_slot slots[3 + ZH_FINDING_SLOTS] = {
      {"where", f->where, f->where}, {"parameters", parameters, parameters}, {"of", f->of, f->of}};
  size_t count = f->of != NULL ? 3 : 2;
  for (size_t i = 0; i < ZH_FINDING_SLOTS && f->slots[i].name != NULL; i++)
    slots[count++] = (zh_slot){f->slots[i].name, f->slots[i].text, f->slots[i].text};
  *out = zh_phrase_json(&phrase, slots, count);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for findings");
}

static zh_status append(json_t *array, sentences *s, const zh_audit_finding *f, zh_error *err) {
  json_t *text = NULL;
  ZH_TRY(text_json(&text, s, f, err));
  json_t *of = f->of != NULL ? json_string(f->of) : json_null();
  json_t *finding = json_pack("{s:s, s:s, s:o, s:I, s:f, s:o}", "kind", kind_names[f->kind],
                              "where", f->where, "of", of, "parameters", (json_int_t)f->parameters,
                              "confidence", f->confidence, "text", text);
  return json_array_append_new(array, finding) == 0
             ? ZH_OK
             : zh_fail(err, ZH_ERR_MEMORY, "out of memory for findings");
}

/* By kind, in the order of the list; the largest first. */
static int by_weight(const void *x, const void *y) {
  const zh_audit_finding *a = x, *b = y;
  if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
  if (a->parameters != b->parameters) return a->parameters > b->parameters ? -1 : 1;
  return strcmp(a->where, b->where);
}

static zh_status append_rest(json_t *array, sentences *s, zh_auditor *a,
                             const zh_audit_finding *first, size_t count, zh_error *err) {
  zh_audit_finding rest = {.kind = first->kind, .variant = rest_of_a_kind, .confidence = 1};
  char places[32];
  for (size_t i = 0; i < count; i++) {
    rest.parameters += first[i].parameters;
    if (first[i].confidence < rest.confidence) rest.confidence = first[i].confidence;
  }
  snprintf(places, sizeof places, "+%zu", count);
  rest.where = places;
  zh_found_number(a, &rest, "count", count);
  return append(array, s, &rest, err);
}

zh_status zh_findings_json(json_t **out, zh_auditor *a, zh_error *err) {
  sentences s = {0};
  *out = json_array();
  zh_status status = load(&s, err);
  if (a->finding_count > 0) qsort(a->findings, a->finding_count, sizeof *a->findings, by_weight);
  for (size_t i = 0, end; status == ZH_OK && i < a->finding_count; i = end) {
    for (end = i; end < a->finding_count && a->findings[end].kind == a->findings[i].kind;) end++;
    size_t shown = end - i > SHOWN_OF_A_KIND ? SHOWN_OF_A_KIND : end - i;
    for (size_t k = 0; status == ZH_OK && k < shown; k++)
      status = append(*out, &s, &a->findings[i + k], err);
    if (status == ZH_OK && shown < end - i)
      status = append_rest(*out, &s, a, &a->findings[i + shown], end - i - shown, err);
  }
  zh_yaml_free(s.doc);
  zh_arena_free(s.arena);
  if (status != ZH_OK) {
    json_decref(*out);
    *out = NULL;
  }
  return status;
}
