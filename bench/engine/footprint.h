/* Memory that the process really holds, against what the formula says (docs/metrics.md,
 * "Memory"). */
#ifndef ZH_BENCH_ENGINE_FOOTPRINT_H
#define ZH_BENCH_ENGINE_FOOTPRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/engine/engine.h"
#include "core/json.h"

/* Bytes in memory, by the system's own books (/proc/self/status); `known` is false where there are
 * none. */
typedef struct zh_footprint {
  bool known;
  uint64_t anonymous, file, shared; /* mapped pages that are in memory */
  uint64_t peak;                    /* the most that the process ever held of all three */
} zh_footprint;
zh_footprint zh_footprint_now(void);

/* How much more the process holds now than before the model was opened, against the formula, and
 * how far it may go beyond. Memory that ranks share is not in it. */
typedef struct zh_footprint_judgement {
  uint64_t formula, held, bound;
  bool passed;
} zh_footprint_judgement;
zh_footprint_judgement zh_footprint_judge(uint64_t formula, const zh_footprint *before,
                                          const zh_footprint *now);
/* The same of the memory of the engine's device, as its driver counts it: before anything was laid there,
 * and now. Not known where the driver does not say. */
void zh_engine_device_footprint(zh_footprint *before, zh_footprint *now, const zh_engine *engine);
/* What the engine holds by formula, and beside it `more` bytes of its user's. */
uint64_t zh_footprint_formula(const zh_engine *engine, uint64_t more);
/* The fact `memory`. */
json_t *zh_footprint_json(const zh_engine *engine, uint64_t more, const zh_footprint *before,
                          const zh_footprint *now);

#endif
