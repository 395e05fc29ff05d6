/* Published scores of named models, with their sources. */
#ifndef ZH_EVALUATOR_REGISTRY_REGISTRY_H
#define ZH_EVALUATOR_REGISTRY_REGISTRY_H

#include "core/csv.h"

#ifdef __cplusplus
extern "C" {
#endif

enum zh_registry_column {
  ZH_OF_MODEL,
  ZH_OF_DEVELOPER,
  ZH_OF_COUNTRY,
  ZH_OF_RELEASE,
  ZH_OF_KIND,
  ZH_OF_BENCHMARK,
  ZH_OF_METRIC,
  ZH_OF_SHOTS,
  ZH_OF_SETTING,
  ZH_OF_SCORE,
  ZH_OF_UNIT,
  ZH_OF_ITEMS,
  ZH_OF_SOURCE_REPO,
  ZH_OF_SOURCE_PATH,
  ZH_OF_SOURCE_COMMIT,
  ZH_OF_NOTE,
  ZH_REGISTRY_COLUMNS
};
extern const char *const zh_registry_columns[]; /* their names; NULL-terminated */

typedef struct zh_entry {
  const char *text[ZH_REGISTRY_COLUMNS];
  double score; /* NAN where it is no number */
  size_t line;
} zh_entry;

typedef struct zh_registry {
  zh_csv *csv;
  zh_entry *entries;
  size_t count;
} zh_registry;

/* file: NULL for the registry that comes with the program. */
ZH_MUST_CHECK zh_status zh_registry_load(zh_registry *out, const char *file, zh_error *err);
void zh_registry_clear(zh_registry *registry);

/* The first row of a model, NULL where there is none; case does not count. */
const zh_entry *zh_registry_model(const zh_registry *registry, const char *model);

/* Equal in all that makes two scores comparable: model, kind, benchmark, metric, shots, setting,
 * unit. */
int zh_registry_compare(const zh_entry *a, const zh_entry *b);

#ifdef __cplusplus
}
#endif
#endif
