/* The table of a bundle, for people and for programs. Marks that make a run doubtful come first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "bench/bundle_gpu.h"
#include "bench/bundle_print.h"
#include "core/files.h"
#include "core/text.h"

enum { RUN_FILE_BYTES = 16 << 20, CELLS = 6, CELL_BYTES = 160 };

/* --- reading --- */

static zh_status keep_line(void *user, size_t line, json_t *value, zh_error *err) {
  json_t *lines = user;
  if (!json_is_object(value)) {
    return zh_fail(err, ZH_ERR_INPUT, "measurements.jsonl:%zu: expected one object a line", line);
  }
  json_array_append(lines, value);
  return ZH_OK;
}

static zh_status bundle_path(char *out, size_t capacity, const char *bundle, const char *file,
                             zh_error *err) {
  int length = snprintf(out, capacity, "%s/%s", bundle, file);
  if (length < 0 || (size_t)length >= capacity) {
    return zh_fail(err, ZH_ERR_INPUT, "%s: the path is too long", bundle);
  }
  return ZH_OK;
}

zh_status zh_bundle_json(json_t **out, const char *bundle, zh_error *err) {
  char path[4096];
  json_t *run = NULL, *times = NULL, *lines = json_array();
  *out = NULL;
  zh_status status = bundle_path(path, sizeof path, bundle, "run.json", err);
  if (status == ZH_OK && !zh_is_file(path)) {
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s: not a bundle: it has no run.json; name the folder that 'zhiheng run' "
                     "printed",
                     bundle);
  }
  if (status == ZH_OK) status = zh_json_load_file(&run, path, RUN_FILE_BYTES, err);
  if (status == ZH_OK && !json_is_object(run)) {
    status = zh_fail(err, ZH_ERR_INPUT, "%s: expected an object", path);
  }
  if (status == ZH_OK) status = bundle_path(path, sizeof path, bundle, "measurements.jsonl", err);
  if (status == ZH_OK) status = zh_jsonl_read(path, keep_line, lines, err);
  if (status == ZH_OK) status = zh_bundle_times(&times, run, lines, err);
  if (status == ZH_OK) {
    *out = json_pack("{s:O, s:O, s:O}", "run", run, "measurements", lines, "times", times);
    if (*out == NULL) status = zh_fail(err, ZH_ERR_MEMORY, "%s: out of memory", bundle);
  }
  json_decref(run);
  json_decref(lines);
  json_decref(times);
  return status;
}

/* --- the table --- */

typedef struct row {
  char cells[CELLS][CELL_BYTES]; /* figure, median, 95 % interval, unit, n, of peak */
  bool valid;
} row;

/* What was measured once has no interval, whatever the line says. */
static bool has_interval(const json_t *line) {
  return !(zh_print_real(line, "n") < 2) && json_array_size(json_object_get(line, "ci95")) == 2;
}

/* Fewer than six samples have no interval of 95 % (docs/metrics.md): theirs is the whole range. */
static bool few_samples(const json_t *line) {
  return has_interval(line) && zh_print_real(line, "n") < 6;
}

static void fill_row(row *out, const json_t *line) {
  char unit[32], low[32], high[32];
  double value = zh_print_real(line, "value");
  double factor = zh_print_scale(unit, value, zh_print_text(line, "unit", ""));
  const json_t *interval = json_object_get(line, "ci95");
  const json_t *peak = json_object_get(line, "peak");
  memset(out, 0, sizeof *out);
  out->valid = json_is_true(json_object_get(line, "valid"));
  snprintf(out->cells[0], CELL_BYTES, "%s/%s%s", zh_print_text(line, "step", "?"),
           zh_print_text(line, "metric", "?"), out->valid ? "" : "  INVALID");
  zh_print_number(out->cells[1], value / factor);
  if (has_interval(line)) {
    zh_print_number(low, json_number_value(json_array_get(interval, 0)) / factor);
    zh_print_number(high, json_number_value(json_array_get(interval, 1)) / factor);
    snprintf(out->cells[2], CELL_BYTES, "%s – %s%s", low, high, few_samples(line) ? "†" : " ");
  }
  snprintf(out->cells[3], CELL_BYTES, "%s", unit);
  snprintf(out->cells[4], CELL_BYTES, "%lld",
           (long long)json_integer_value(json_object_get(line, "n")));
  if (json_is_object(peak)) {
    snprintf(out->cells[5], CELL_BYTES, "%.1f %% of %s", 100 * zh_print_real(peak, "fraction"),
             zh_print_text(peak, "name", "?"));
  }
}

static void print_rows(FILE *out, const row *rows, size_t count, bool colour) {
  static const bool right[CELLS] = {false, true, true, false, true, false};
  int widths[CELLS] = {0};
  for (size_t i = 0; i < count; i++) {
    for (int c = 0; c < CELLS; c++) {
      int columns = zh_utf8_columns(rows[i].cells[c], strlen(rows[i].cells[c]));
      if (columns > widths[c]) widths[c] = columns;
    }
  }
  for (size_t i = 0; i < count; i++) {
    const char *paint = !colour ? "" : i == 0 ? "\033[1m" : rows[i].valid ? "" : "\033[31m";
    fputs(paint, out);
    int last = rows[i].cells[CELLS - 1][0] != '\0' ? CELLS - 1 : CELLS - 2;
    for (int c = 0; c <= last; c++) {
      zh_print_cell(out, rows[i].cells[c], widths[c], right[c], c == last);
    }
    if (paint[0] != '\0') fputs("\033[0m", out);
  }
}

/* Of an examination: they have a table of their own. */
static bool is_score(const json_t *line) {
  return strcmp(zh_print_text(line, "workload", ""), "quality") == 0 &&
         strcmp(zh_print_text(line, "unit", ""), "1") == 0;
}

static zh_status print_table(FILE *out, const json_t *lines, bool colour, zh_error *err) {
  static const row heading = {
      {"figure", "median", "95 % interval ", "unit", "n", "fraction of the peak"}, true};
  row *rows = calloc(json_array_size(lines) + 1, sizeof *rows);
  if (rows == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the table");
  bool few = false;
  size_t count = 0, i;
  json_t *line;
  rows[count++] = heading;
  json_array_foreach(lines, i, line) {
    if (strcmp(zh_print_text(line, "when", "main"), "end") == 0 || is_score(line)) continue;
    fill_row(&rows[count++], line);
    few = few || few_samples(line);
  }
  if (count > 1) print_rows(out, rows, count, colour);
  if (count == 1) fprintf(out, "This run gave no figure.\n");
  if (few) {
    fprintf(
        out,
        "† fewer than six samples: the smallest and the largest, which cover less than 95 %%\n");
  }
  free(rows);
  return ZH_OK;
}

/* --- above and below the table --- */

static void print_duration(FILE *out, const json_t *run) {
  struct tm begin = {0}, end = {0};
  if (strptime(zh_print_text(run, "started_utc", ""), "%Y-%m-%dT%H:%M:%SZ", &begin) == NULL ||
      strptime(zh_print_text(run, "finished_utc", ""), "%Y-%m-%dT%H:%M:%SZ", &end) == NULL) {
    return;
  }
  long wall = (long)difftime(timegm(&end), timegm(&begin));
  if (wall >= 60)
    fprintf(out, ", took %ld min %ld s", wall / 60, wall % 60);
  else if (wall >= 0)
    fprintf(out, ", took %ld s", wall);
}

/* "machine    AMD EPYC …, 2 cores, 8.2 GB; threads 2, ranks 1, kernels avx512" */
static void print_machine(FILE *out, const char *bundle, const json_t *run) {
  char path[4096], memory[32] = "";
  json_t *machine = NULL;
  if (bundle_path(path, sizeof path, bundle, "environment/machine.json", NULL) != ZH_OK ||
      zh_json_load_file(&machine, path, RUN_FILE_BYTES, NULL) != ZH_OK) {
    return;
  }
  const json_t *cpu = json_object_get(machine, "cpu");
  zh_human_bytes(memory, sizeof memory, zh_print_real(json_object_get(machine, "memory"), "bytes"));
  fprintf(out, "machine    %s, %lld cores, %s; threads %lld, ranks %lld, kernels %s\n",
          zh_print_text(cpu, "model", "unknown processor"),
          (long long)json_integer_value(json_object_get(cpu, "cores")), memory,
          (long long)json_integer_value(json_object_get(run, "threads")),
          (long long)json_integer_value(json_object_get(run, "ranks")),
          zh_print_text(json_object_get(run, "version"), "kernels", "unknown"));
  json_decref(machine);
}

static void print_marks(FILE *out, const json_t *run, bool colour) {
  const char *red = colour ? "\033[1;31m" : "", *plain = colour ? "\033[0m" : "";
  const json_t *stability = json_object_get(run, "stability");
  size_t i;
  json_t *item;
  if (!json_is_true(json_object_get(run, "valid"))) {
    fprintf(out, "%sINVALID%s    this run failed; its figures prove nothing until it is mended\n",
            red, plain);
  }
  json_array_foreach(json_object_get(run, "steps"), i, item) {
    const char *status = zh_print_text(item, "status", "?");
    if (strcmp(status, "done") == 0) continue;
    fprintf(out, "%s%-10s%s %s: %s\n", strcmp(status, "skipped") == 0 ? "" : red, status, plain,
            zh_print_text(item, "step", "?"),
            zh_print_text(item, "reason", "no reason was recorded"));
  }
  if (json_is_false(json_object_get(stability, "stable"))) {
    fprintf(out,
            "%sUNSTABLE%s   the machine's peaks drifted by more than %.0f %% between beginning and "
            "end, or a figure went beyond its peak\n",
            red, plain, 100 * zh_print_real(stability, "limit"));
  }
  zh_print_gpu_marks(out, run, colour);
  json_array_foreach(json_object_get(stability, "beyond_peak"), i, item) {
    fprintf(out, "beyond     %s is faster than its measured peak: something slowed the peak down\n",
            json_is_string(item) ? json_string_value(item) : "?");
  }
  json_array_foreach(json_object_get(stability, "in_cache"), i, item) {
    fprintf(out,
            "in cache   %s is faster than memory: the weights fit into the last-level caches\n",
            json_is_string(item) ? json_string_value(item) : "?");
  }
}

static void print_drift(FILE *out, const json_t *run) {
  const json_t *stability = json_object_get(run, "stability");
  double limit = zh_print_real(stability, "limit");
  size_t i;
  json_t *item, *worst = NULL;
  json_array_foreach(json_object_get(stability, "drift"), i, item) {
    double relative = zh_print_real(item, "relative");
    if (worst == NULL || fabs(relative) > fabs(zh_print_real(worst, "relative"))) worst = item;
    if (fabs(relative) > limit) {
      fprintf(out, "drift      %s: %+.1f %%\n", zh_print_text(item, "metric", "?"), 100 * relative);
    }
  }
  if (worst != NULL && fabs(zh_print_real(worst, "relative")) <= limit) {
    fprintf(out, "drift      at most %+.1f %% (%s); the limit is %.0f %%\n",
            100 * zh_print_real(worst, "relative"), zh_print_text(worst, "metric", "?"),
            100 * limit);
  }
}

static void print_criteria(FILE *out, const json_t *run) {
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(run, "criteria"), i, item) {
    char threshold[32], value[32];
    zh_print_number(threshold, zh_print_real(item, "threshold"));
    zh_print_number(value, zh_print_real(item, "value"));
    fprintf(out, "criterion  %s: %s/%s %s %s %s; measured %s\n",
            json_is_true(json_object_get(item, "passed")) ? "met" : "NOT MET",
            zh_print_text(item, "step", "?"), zh_print_text(item, "metric", "?"),
            strcmp(zh_print_text(item, "op", ""), "at_most") == 0 ? "at most" : "at least",
            threshold, zh_print_text(item, "unit", ""), value);
  }
}

/* "device     decode@m.gguf: gpu 0, NVIDIA H200 (cuda 90a, driver 13.0)" */
static void print_device(FILE *out, const json_t *step) {
  const json_t *device = json_object_get(json_object_get(step, "facts"), "device");
  if (!json_is_object(device)) return;
  fprintf(out, "device     %s: %s %.0f, %s (%s %s, driver %s)\n", zh_print_text(step, "step", "?"),
          zh_print_text(device, "kind", "?"), zh_print_real(device, "index"),
          zh_print_text(device, "name", "?"), zh_print_text(device, "backend", "?"),
          zh_print_text(device, "build", "?"), zh_print_text(device, "driver", "?"));
}

/* "load       decode@m.gguf: 0.41 s, of it memory 0.12 s, rearranging 1.1 GiB 0.15 s (15 GB/s read
 * and written); digests 3.4 s" */
static void print_load(FILE *out, const json_t *run) {
  size_t i;
  json_t *step;
  json_array_foreach(json_object_get(run, "steps"), i, step) {
    const json_t *load = json_object_get(json_object_get(step, "facts"), "load");
    const char *cache = zh_print_text(load, "packed_cache", "");
    char bytes[32];
    print_device(out, step);
    if (!load) continue;
    fprintf(out, "load       %s: %.2f s", zh_print_text(step, "step", "?"),
            zh_print_real(load, "load_s"));
    if (zh_print_real(load, "generate_s") > 0)
      fprintf(out, ", of it computing the weights %.2f s", zh_print_real(load, "generate_s"));
    if (zh_print_real(load, "pack_rate") > 0) {
      zh_human_bytes(bytes, sizeof bytes, zh_print_real(load, "packed_bytes"));
      fprintf(out, ", of it memory %.2f s, rearranging %s %.2f s (%.1f GB/s read and written)",
              zh_print_real(load, "memory_s"), bytes, zh_print_real(load, "pack_s"),
              zh_print_real(load, "pack_rate") / 1e9);
    }
    fprintf(out, "; digests %.2f s%s%s\n",
            zh_print_real(load, "content_digest_s") + zh_print_real(load, "weights_digest_s"),
            cache[0] ? "; cache " : "", cache);
  }
}

zh_status zh_bundle_table(void *out_file, const char *bundle, bool colour, const char *language,
                          zh_error *err) {
  FILE *out = out_file;
  json_t *document = NULL;
  ZH_TRY(zh_bundle_json(&document, bundle, err));
  const json_t *run = json_object_get(document, "run");
  fprintf(out, "run        %s, suite %s, %s", zh_print_text(run, "id", "?"),
          zh_print_text(json_object_get(run, "suite"), "name", "?"),
          zh_print_text(run, "started_utc", "?"));
  print_duration(out, run);
  fprintf(out, "\n");
  print_machine(out, bundle, run);
  print_marks(out, run, colour);
  fprintf(out, "\n");
  zh_status status = print_table(out, json_object_get(document, "measurements"), colour, err);
  if (status == ZH_OK) {
    zh_bundle_scores(out, run, language);
    fprintf(out, "\n");
    zh_print_times(out, json_object_get(document, "times"), language);
    zh_print_memory(out, run, language, colour);
    print_load(out, run);
    zh_print_gpus(out, run);
    print_drift(out, run);
    print_criteria(out, run);
  }
  json_decref(document);
  return status;
}
