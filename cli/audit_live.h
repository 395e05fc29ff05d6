/* zhiheng audit MODEL --live: proof by perturbation, for the audit's document and for people. */
#ifndef ZH_CLI_AUDIT_LIVE_H
#define ZH_CLI_AUDIT_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "core/status.h"
#include "model/model.h"

enum { ZH_AUDIT_PROBES = 3000 };

typedef struct zh_audit_live {
  bool wanted, seed_given;
  uint32_t probes; /* 0: ZH_AUDIT_PROBES */
  uint64_t seed;   /* else drawn from the system */
} zh_audit_live;

/* Adds "live" to the audit's document. */
ZH_MUST_CHECK zh_status zh_audit_live_add(json_t *document, const zh_model *model,
                                          const zh_audit_live *wanted, zh_error *err);
/* zh_run_options.audit: the model's audit, live: a zh_audit_live. */
ZH_MUST_CHECK zh_status zh_audit_for_run(json_t **out, const char *model, void *live,
                                         zh_error *err);
/* Prints the passage; nothing where the document has no "live". */
void zh_audit_live_print(const json_t *document);

#endif
