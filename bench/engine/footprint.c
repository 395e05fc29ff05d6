#include "bench/engine/footprint.h"

#include <inttypes.h>
#include <stdio.h>

#include "bench/engine/device_engine.h"
#include "bench/engine/inside.h"

/* Beyond the formula: a twentieth of it, and for the tokenizer, libraries, results, and the ends of
 * big pages (2 MiB each) this many bytes. */
static const uint64_t SLACK = UINT64_C(64) << 20, SHARE_OF_FORMULA = 20;

zh_footprint zh_footprint_now(void) {
  zh_footprint out = {0};
  struct {
    const char *format;
    uint64_t *to;
  } lines[] = {{"RssAnon: %" SCNu64 " kB", &out.anonymous},
               {"RssFile: %" SCNu64 " kB", &out.file},
               {"RssShmem: %" SCNu64 " kB", &out.shared},
               {"VmHWM: %" SCNu64 " kB", &out.peak}};
  enum { LINES = sizeof lines / sizeof lines[0] };
  char line[256];
  size_t found = 0;
  FILE *status = fopen("/proc/self/status", "r");
  if (!status) return out;
  while (fgets(line, sizeof line, status)) {
    for (size_t i = 0; i < LINES; ++i) {
      if (sscanf(line, lines[i].format, lines[i].to) != 1) continue;
      *lines[i].to *= 1024;
      ++found;
    }
  }
  fclose(status);
  out.known = found == LINES;
  return out;
}

zh_footprint_judgement zh_footprint_judge(uint64_t formula, const zh_footprint *before,
                                          const zh_footprint *now) {
  uint64_t was = before->anonymous + before->file, is = now->anonymous + now->file;
  zh_footprint_judgement out = {.formula = formula,
                                .held = is > was ? is - was : 0,
                                .bound = formula / SHARE_OF_FORMULA + SLACK};
  out.passed = out.held <= formula + out.bound;
  return out;
}

static uint64_t shared_by_ranks(const zh_engine *engine) {
  return engine->reduce ? zh_reduce_bytes(engine->reduce) : 0;
}

uint64_t zh_footprint_formula(const zh_engine *engine, uint64_t more) {
  zh_engine_cost cost = zh_engine_cost_of(engine);
  return cost.memory_weights + cost.memory_kv + cost.memory_activations + more -
         shared_by_ranks(engine);
}

json_t *zh_footprint_json(const zh_engine *engine, uint64_t more, const zh_footprint *before,
                          const zh_footprint *now) {
  zh_engine_cost cost = zh_engine_cost_of(engine);
  zh_footprint_judgement found =
      zh_footprint_judge(zh_footprint_formula(engine, more), before, now);
  uint64_t activations = cost.memory_activations + more - shared_by_ranks(engine);
  return json_pack("{s:{s:I,s:I,s:I,s:I},s:{s:I,s:I,s:I,s:I},s:I,s:b}", "formula", "weights",
                   (json_int_t)cost.memory_weights, "kv", (json_int_t)cost.memory_kv, "activations",
                   (json_int_t)activations, "total", (json_int_t)found.formula, "held", "anonymous",
                   (json_int_t)(now->anonymous - before->anonymous), "file",
                   (json_int_t)(now->file - before->file), "total", (json_int_t)found.held, "peak",
                   (json_int_t)now->peak, "bound", (json_int_t)found.bound, "passed", found.passed);
}

void zh_engine_device_footprint(zh_footprint *before, zh_footprint *now, const zh_engine *engine) {
  const zh_device_engine *d = engine->device;
  zh_device_facts facts;
  *before = *now = (zh_footprint){0};
  if (d->facts.free_bytes == 0 || d->api->facts(&facts, d->index, NULL) != ZH_OK) return;
  before->known = now->known = facts.free_bytes > 0;
  if (facts.free_bytes < d->facts.free_bytes)
    now->anonymous = now->peak = d->facts.free_bytes - facts.free_bytes;
}
