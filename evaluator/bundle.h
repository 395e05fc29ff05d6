/* A finished bundle, verified and read: what the rules may look at. */
#ifndef ZH_EVALUATOR_BUNDLE_H
#define ZH_EVALUATOR_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/digest.h"
#include "core/json.h"
#include "core/status.h"
#include "evaluator/policy/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One model of audit.json. Strings are borrowed from the bundle. */
typedef struct zh_audited {
  const char *name, *format, *sm3;
  /* By zh_count_kind; -1 where the file says null. `low` and `high` differ where a count is known
   * within bounds alone (effective). */
  int64_t counts[ZH_COUNTS], low[ZH_COUNTS], high[ZH_COUNTS];
  int lines[ZH_COUNTS]; /* of audit.json, where each count stands; 1 where it could not be found */
  int bundle;           /* index */
  json_t *json;         /* the audit, borrowed */
} zh_audited;

typedef struct zh_bundle {
  char name[256]; /* the folder's name */
  char manifest_sm3[ZH_DIGEST_HEX];
  char audit_sm3[ZH_DIGEST_HEX]; /* of audit.json */
  bool valid, stable;
  json_t *run, *machine, *audit, *measurements;
  zh_audited *models;
  size_t model_count;
} zh_bundle;

/* Verifies MANIFEST.sm3 first: ZH_ERR_CHECK names the file that differs. An unfinished bundle is
 * ZH_ERR_INPUT. */
ZH_MUST_CHECK zh_status zh_bundle_read(zh_bundle *out, const char *folder, int index,
                                       zh_error *err);
/* The same from documents in memory (references are taken): checks their shape, and that each audit
 * is of the file that ran. audit_text may be NULL. */
ZH_MUST_CHECK zh_status zh_bundle_accept(zh_bundle *out, json_t *run, json_t *machine,
                                         json_t *audit, const char *audit_text, int index,
                                         zh_error *err);
void zh_bundle_clear(zh_bundle *bundle);

#ifdef __cplusplus
}
#endif
#endif
