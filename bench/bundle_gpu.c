#include "bench/bundle_gpu.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bundle_print.h"
#include "core/files.h"
#include "core/text.h"

enum { GPUS_MAX = 64, READINGS_BYTES_MAX = 64 << 20 };

/* --- readings --- */

static zh_status append_step(zh_text *lines, const char *folder, const char *key, int gpu,
                             zh_error *err) {
  char path[PATH_MAX];
  char *text = NULL;
  size_t length = 0;
  snprintf(path, sizeof path, "%s/work/%s/gpu-%d.jsonl", folder, key, gpu);
  if (!zh_is_file(path)) return ZH_OK;
  ZH_TRY(zh_read_file(&text, &length, path, READINGS_BYTES_MAX, err));
  /* A rank that was killed may have left half a line. */
  while (length > 0 && text[length - 1] != '\n') text[--length] = '\0';
  zh_text_printf(lines, "%s", text);
  free(text);
  return ZH_OK;
}

static zh_status write_gpu(const zh_bundle_run *run, int gpu, zh_error *err) {
  char path[PATH_MAX];
  zh_text lines = {0};
  size_t i;
  json_t *step;
  zh_status status = ZH_OK;
  json_array_foreach(json_object_get(run->plan, "steps"), i, step) {
    if (status == ZH_OK)
      status = append_step(&lines, run->folder, zh_print_text(step, "key", ""), gpu, err);
  }
  if (status == ZH_OK && lines.failed)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the readings of GPU %d", gpu);
  snprintf(path, sizeof path, "%s/environment/gpu-%d.jsonl", run->folder, gpu);
  if (status == ZH_OK && lines.length > 0)
    status = zh_write_file(path, zh_text_string(&lines), lines.length, err);
  zh_text_free(&lines);
  return status;
}

zh_status zh_bundle_gpu_readings(const zh_bundle_run *run, zh_error *err) {
  for (int gpu = 0; gpu < GPUS_MAX; gpu++) ZH_TRY(write_gpu(run, gpu, err));
  return ZH_OK;
}

/* --- marks --- */

static json_int_t whole(const json_t *object, const char *key) {
  return json_integer_value(json_object_get(object, key));
}

static json_t *mark_of(const json_t *step, const json_t *gpu, const char *mark) {
  return json_pack("{s:O,s:O,s:O,s:O,s:s}", "step", json_object_get(step, "step"), "when",
                   json_object_get(step, "when"), "rank", json_object_get(gpu, "rank"), "gpu",
                   json_object_get(gpu, "index"), "mark", mark);
}

static void add_marks(json_t *list, const json_t *step, const json_t *gpu) {
  json_t *xids = json_object_get(gpu, "xid");
  if (whole(gpu, "throttled_readings") > 0) {
    json_t *mark = mark_of(step, gpu, "throttled");
    json_object_set(mark, "readings", json_object_get(gpu, "throttled_readings"));
    json_object_set(mark, "of", json_object_get(gpu, "timed_readings"));
    json_object_set(mark, "reasons", json_object_get(gpu, "reasons"));
    json_array_append_new(list, mark);
  }
  if (whole(gpu, "ecc_uncorrected") > 0) {
    json_t *mark = mark_of(step, gpu, "ecc");
    json_object_set(mark, "uncorrected", json_object_get(gpu, "ecc_uncorrected"));
    json_array_append_new(list, mark);
  }
  if (json_array_size(xids) > 0) {
    json_t *mark = mark_of(step, gpu, "xid");
    json_object_set(mark, "xid", xids);
    json_array_append_new(list, mark);
  }
}

json_t *zh_bundle_gpu_marks(const zh_bundle_run *run) {
  json_t *list = NULL;
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    size_t k;
    json_t *gpu, *step = json_array_get(json_object_get(run->plan, "steps"), i);
    const json_t *result = json_object_get(json_array_get(run->outcomes, i), "result");
    const json_t *seen = json_object_get(json_object_get(result, "facts"), "gpu_watch");
    if (seen && !list) list = json_array();
    json_array_foreach(seen, k, gpu) {
      add_marks(list, step, gpu);
    }
  }
  return list;
}

/* --- for people --- */

static void print_reasons(FILE *out, const json_t *reasons) {
  const char *name;
  json_t *count;
  bool any = false;
  json_object_foreach((json_t *)(uintptr_t)reasons, name, count) {
    fprintf(out, "%s%s %lld", any ? ", " : ": ", name, (long long)json_integer_value(count));
    any = true;
  }
}

static void print_mark(FILE *out, const json_t *mark) {
  const char *kind = zh_print_text(mark, "mark", "?");
  size_t i;
  json_t *xid;
  fprintf(out, " %s: GPU %lld ", zh_print_text(mark, "step", "?"), (long long)whole(mark, "gpu"));
  if (strcmp(kind, "throttled") == 0) {
    fprintf(out, "was slowed down in %lld of %lld timed readings",
            (long long)whole(mark, "readings"), (long long)whole(mark, "of"));
    print_reasons(out, json_object_get(mark, "reasons"));
  } else if (strcmp(kind, "ecc") == 0) {
    fprintf(out, "had %lld memory errors that ECC could not correct",
            (long long)whole(mark, "uncorrected"));
  } else {
    fprintf(out, "reported Xid");
    json_array_foreach(json_object_get(mark, "xid"), i, xid) {
      fprintf(out, "%s %lld", i ? "," : "", (long long)json_integer_value(xid));
    }
  }
  fprintf(out, "\n");
}

void zh_print_gpu_marks(FILE *out, const json_t *run, bool colour) {
  static const char *const words[][2] = {
      {"throttled", "THROTTLED"}, {"ecc", "ECC"}, {"xid", "XID"}};
  size_t i;
  json_t *mark;
  json_array_foreach(json_object_get(run, "gpu_marks"), i, mark) {
    const char *word = "?";
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
      if (strcmp(words[k][0], zh_print_text(mark, "mark", "")) == 0) word = words[k][1];
    fprintf(out, "%s%-10s%s", colour ? "\033[1;31m" : "", word, colour ? "\033[0m" : "");
    print_mark(out, mark);
  }
}

/* " 612 W (at most 700 W)" */
static void print_spread(FILE *out, const json_t *gpu, const char *key, const char *unit) {
  const json_t *spread = json_object_get(gpu, key);
  double mean = zh_print_real(spread, "mean"), most = zh_print_real(spread, "most");
  if (isnan(mean)) return;
  fprintf(out, ", %.0f %s (at most %.0f)", mean, unit, most);
}

static void print_gpu(FILE *out, const json_t *step, const json_t *gpu) {
  double energy = zh_print_real(gpu, "energy_j");
  const char *note = zh_print_text(gpu, "note", "");
  char index[24] = "";
  if (whole(gpu, "index") >= 0)
    snprintf(index, sizeof index, "%lld", (long long)whole(gpu, "index"));
  fprintf(out, "GPU %-6s %s: %s", index, zh_print_text(step, "step", "?"),
          json_is_true(json_object_get(gpu, "watched")) ? zh_print_text(gpu, "name", "?")
                                                        : "not watched");
  print_spread(out, gpu, "power_w", "W");
  print_spread(out, gpu, "sm_mhz", "MHz");
  print_spread(out, gpu, "temperature_c", "°C");
  if (!isnan(energy)) fprintf(out, ", %.4g J in timed regions", energy);
  if (whole(gpu, "ecc_corrected") > 0)
    fprintf(out, ", %lld corrected ECC errors", (long long)whole(gpu, "ecc_corrected"));
  fprintf(out, "%s%s\n", note[0] ? "; " : "", note);
}

void zh_print_gpus(FILE *out, const json_t *run) {
  size_t i, k;
  json_t *step, *gpu;
  json_array_foreach(json_object_get(run, "steps"), i, step) {
    if (strcmp(zh_print_text(step, "when", "main"), "end") == 0) continue;
    json_array_foreach(json_object_get(json_object_get(step, "facts"), "gpu_watch"), k, gpu) {
      print_gpu(out, step, gpu);
    }
  }
}
