/* What a bundle says of the GPUs that its steps computed on: their readings, and marks on what
 * makes a run doubtful. */
#ifndef ZH_BENCH_BUNDLE_GPU_H
#define ZH_BENCH_BUNDLE_GPU_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/bundle.h"

/* The steps' gpu-<index>.jsonl, one behind the other, as environment/gpu-<index>.jsonl. */
ZH_MUST_CHECK zh_status zh_bundle_gpu_readings(const zh_bundle_run *run, zh_error *err);

/* "gpu_marks" of run.json: [{"step","when","rank","gpu","mark",…}], mark "throttled", "ecc" or
 * "xid"; NULL where no GPU was watched. */
json_t *zh_bundle_gpu_marks(const zh_bundle_run *run);

/* A line for each mark of run.json. */
void zh_print_gpu_marks(FILE *out, const json_t *run, bool colour);
/* "GPU        gpu-compute: Fake GPU 0, 612 W (most 700), …" for each GPU of each step. */
void zh_print_gpus(FILE *out, const json_t *run);

#endif
