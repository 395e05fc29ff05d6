#include "evaluator/registry/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"

const char *const zh_registry_columns[] = {
    "model",       "developer",   "country",       "release", "kind", "benchmark",
    "metric",      "shots",       "setting",       "score",   "unit", "items",
    "source_repo", "source_path", "source_commit", "note",    NULL};

/* Decimal: strtod alone would take 0x1p-1. */
static double number_of(const char *text) {
  char *end;
  double value = strtod(text, &end);
  bool whole = *text != '\0' && *end == '\0' && strpbrk(text, "xX") == NULL;
  return whole && isfinite(value) ? value : NAN;
}

static zh_status read_entries(zh_registry *r, zh_error *err) {
  size_t columns[ZH_REGISTRY_COLUMNS], room = 0;
  bool more;
  for (int i = 0; i < ZH_REGISTRY_COLUMNS; i++)
    ZH_TRY(zh_csv_require(&columns[i], r->csv, zh_registry_columns[i], err));
  for (;;) {
    ZH_TRY(zh_csv_next(&more, r->csv, err));
    if (!more) return ZH_OK;
    if (r->count == room) {
      room = room > 0 ? 2 * room : 1024;
      zh_entry *entries = realloc(r->entries, room * sizeof *entries);
      if (entries == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the registry");
      r->entries = entries;
    }
    zh_entry *entry = &r->entries[r->count++];
    for (int i = 0; i < ZH_REGISTRY_COLUMNS; i++) entry->text[i] = zh_csv_field(r->csv, columns[i]);
    entry->score = number_of(entry->text[ZH_OF_SCORE]);
    entry->line = zh_csv_line(r->csv);
  }
}

zh_status zh_registry_load(zh_registry *out, const char *file, zh_error *err) {
  char path[4096];
  *out = (zh_registry){.csv = NULL};
  if (file == NULL) {
    ZH_TRY(zh_data_path(path, sizeof path, "evaluator/registry/published-scores.csv", err));
    file = path;
  }
  zh_status status = zh_csv_open(&out->csv, file, NULL, err);
  if (status == ZH_OK) status = read_entries(out, err);
  if (status != ZH_OK) zh_registry_clear(out);
  return status;
}

void zh_registry_clear(zh_registry *registry) {
  zh_csv_free(registry->csv);
  free(registry->entries);
  *registry = (zh_registry){.csv = NULL};
}

int zh_registry_compare(const zh_entry *a, const zh_entry *b) {
  static const int same[] = {ZH_OF_BENCHMARK, ZH_OF_MODEL,   ZH_OF_KIND, ZH_OF_METRIC,
                             ZH_OF_SHOTS,     ZH_OF_SETTING, ZH_OF_UNIT};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    int order = strcmp(a->text[same[i]], b->text[same[i]]);
    if (order != 0) return order;
  }
  return 0;
}
