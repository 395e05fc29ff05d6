/* The times of a step's kept repeats by stage, for the fact `time` (docs/metrics.md, "Where the
 * time goes"). */
#ifndef ZH_BENCH_ENGINE_LEDGER_H
#define ZH_BENCH_ENGINE_LEDGER_H

#include "bench/engine/engine.h"
#include "bench/engine/spent.h"
#include "core/json.h"

typedef struct zh_ledger {
  zh_times *times; /* [count] */
  size_t count, capacity;
} zh_ledger;

/* What the engine counted since zh_engine_restart_count, of a repeat that took `ns`. */
ZH_MUST_CHECK zh_status zh_ledger_keep(zh_ledger *ledger, const zh_engine *engine, double ns,
                                       zh_error *err);
/* Sets the fact `time`, of the repeat with the median time (of an even number the faster of the two
 * in the middle): {"metric","seconds","work","stages":{…,"other"}}. Nothing where nothing was kept.
 */
ZH_MUST_CHECK zh_status zh_ledger_report(zh_ledger *ledger, json_t *facts, const char *metric,
                                         double work, zh_error *err);
void zh_ledger_free(zh_ledger *ledger);

#endif
