#include "bench/engine/ledger.h"

#include <stdlib.h>

#include "bench/engine/inside.h"

zh_status zh_ledger_keep(zh_ledger *ledger, const zh_engine *engine, double ns, zh_error *err) {
  if (ledger->count == ledger->capacity) {
    size_t capacity = ledger->capacity ? 2 * ledger->capacity : 16;
    zh_times *grown = realloc(ledger->times, capacity * sizeof *grown);
    if (!grown) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the times of a repeat");
    ledger->times = grown;
    ledger->capacity = capacity;
  }
  zh_times times = zh_engine_times(engine);
  times.total = ns * 1e-9;
  ledger->times[ledger->count++] = times;
  return ZH_OK;
}

static int by_total(const void *a, const void *b) {
  double left = ((const zh_times *)a)->total, right = ((const zh_times *)b)->total;
  return (left > right) - (left < right);
}

static json_t *times_json(const zh_times *times, const char *metric, double work) {
  json_t *stages = json_object();
  double other = times->total;
  for (int stage = 0; stage < ZH_STAGES; ++stage) {
    json_object_set_new(stages, zh_stage_names[stage], zh_json_number(times->seconds[stage]));
    other -= times->seconds[stage];
  }
  json_object_set_new(stages, "other", zh_json_number(other));
  return json_pack("{s:s,s:o,s:o,s:o}", "metric", metric, "seconds", zh_json_number(times->total),
                   "work", zh_json_number(work), "stages", stages);
}

zh_status zh_ledger_report(zh_ledger *ledger, json_t *facts, const char *metric, double work,
                           zh_error *err) {
  if (ledger->count == 0 || !facts) return ZH_OK;
  qsort(ledger->times, ledger->count, sizeof *ledger->times, by_total);
  json_t *times = times_json(&ledger->times[(ledger->count - 1) / 2], metric, work);
  if (times && json_object_set_new(facts, "time", times) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to record where the time went");
}

void zh_ledger_free(zh_ledger *ledger) {
  free(ledger->times);
  *ledger = (zh_ledger){0};
}
