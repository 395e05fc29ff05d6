/* The table of a bundle, for people and for programs. Marks that make a run doubtful come first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
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
  json_t *run = NULL, *lines = json_array();
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
  if (status == ZH_OK) {
    *out = json_pack("{s:O, s:O}", "run", run, "measurements", lines);
    if (*out == NULL) status = zh_fail(err, ZH_ERR_MEMORY, "%s: out of memory", bundle);
  }
  json_decref(run);
  json_decref(lines);
  return status;
}

/* --- numbers for people --- */

/* The factor and prefix that bring a value of this unit near one to a thousand. Units that people
 * never prefix (perplexity, ratios) stay. */
static double scale_of(char unit[32], double value, const char *base) {
  static const struct {
    const char *prefix;
    double factor;
  } large[] = {{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}},
    small[] = {{"", 1}, {"m", 1e-3}, {"µ", 1e-6}, {"n", 1e-9}};
  double size = fabs(value);
  snprintf(unit, 32, "%s", strcmp(base, "1") == 0 ? "" : base); /* a ratio */
  if (strcmp(base, "B/s") == 0 || strcmp(base, "FLOP/s") == 0 || strcmp(base, "OP/s") == 0) {
    for (size_t i = 0; i < 4; i++) {
      if (size < large[i].factor) continue;
      snprintf(unit, 32, "%s%s", large[i].prefix, base);
      return large[i].factor;
    }
  } else if (strcmp(base, "s") == 0 && size > 0) {
    for (size_t i = 0; i < 4; i++) {
      if (size < small[i].factor && i < 3) continue;
      snprintf(unit, 32, "%ss", small[i].prefix);
      return small[i].factor;
    }
  }
  return 1;
}

/* At least four significant digits, without an exponent where that stays readable: 0.001234, 61.23,
 * 123456. */
static void print_number(char out[32], double value) {
  double size = fabs(value);
  if (!isfinite(value)) {
    snprintf(out, 32, "%s", isnan(value) ? "?" : value > 0 ? "inf" : "-inf");
  } else if (size >= 1e15 || (size > 0 && size < 1e-4)) {
    snprintf(out, 32, "%.3e", value);
  } else {
    int decimals = size > 0 ? 3 - (int)floor(log10(size)) : 3;
    snprintf(out, 32, "%.*f", decimals > 0 ? decimals : 0, value);
  }
}

static double number_of(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text_of(const json_t *object, const char *key, const char *otherwise) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : otherwise;
}

/* --- the table --- */

typedef struct row {
  char cells[CELLS][CELL_BYTES]; /* figure, median, 95 % interval, unit, n, of peak */
  bool valid;
} row;

/* Fewer than six samples have no interval of 95 % (docs/metrics.md): theirs is the whole range. */
static bool few_samples(const json_t *line) {
  return number_of(line, "n") < 6;
}

static void fill_row(row *out, const json_t *line) {
  char unit[32], low[32], high[32];
  double value = number_of(line, "value");
  double factor = scale_of(unit, value, text_of(line, "unit", ""));
  const json_t *interval = json_object_get(line, "ci95");
  const json_t *peak = json_object_get(line, "peak");
  memset(out, 0, sizeof *out);
  out->valid = json_is_true(json_object_get(line, "valid"));
  snprintf(out->cells[0], CELL_BYTES, "%s/%s%s", text_of(line, "step", "?"),
           text_of(line, "metric", "?"), out->valid ? "" : "  INVALID");
  print_number(out->cells[1], value / factor);
  if (json_array_size(interval) == 2) {
    print_number(low, json_number_value(json_array_get(interval, 0)) / factor);
    print_number(high, json_number_value(json_array_get(interval, 1)) / factor);
    snprintf(out->cells[2], CELL_BYTES, "%s – %s%s", low, high, few_samples(line) ? "†" : " ");
  }
  snprintf(out->cells[3], CELL_BYTES, "%s", unit);
  snprintf(out->cells[4], CELL_BYTES, "%lld",
           (long long)json_integer_value(json_object_get(line, "n")));
  if (json_is_object(peak)) {
    snprintf(out->cells[5], CELL_BYTES, "%.1f %% of %s", 100 * number_of(peak, "fraction"),
             text_of(peak, "name", "?"));
  }
}

static void print_cell(FILE *out, const char *text, int width, bool right, bool last) {
  int pad = width - zh_utf8_columns(text, strlen(text));
  if (right) fprintf(out, "%*s", pad > 0 ? pad : 0, "");
  fputs(text, out);
  if (!right && !last) fprintf(out, "%*s", pad > 0 ? pad : 0, "");
  fputs(last ? "\n" : "  ", out);
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
      print_cell(out, rows[i].cells[c], widths[c], right[c], c == last);
    }
    if (paint[0] != '\0') fputs("\033[0m", out);
  }
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
    if (strcmp(text_of(line, "when", "main"), "end") == 0) continue;
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
  if (strptime(text_of(run, "started_utc", ""), "%Y-%m-%dT%H:%M:%SZ", &begin) == NULL ||
      strptime(text_of(run, "finished_utc", ""), "%Y-%m-%dT%H:%M:%SZ", &end) == NULL) {
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
  zh_human_bytes(memory, sizeof memory, number_of(json_object_get(machine, "memory"), "bytes"));
  fprintf(out, "machine    %s, %lld cores, %s; threads %lld, ranks %lld, kernels %s\n",
          text_of(cpu, "model", "unknown processor"),
          (long long)json_integer_value(json_object_get(cpu, "cores")), memory,
          (long long)json_integer_value(json_object_get(run, "threads")),
          (long long)json_integer_value(json_object_get(run, "ranks")),
          text_of(json_object_get(run, "version"), "kernels", "unknown"));
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
    const char *status = text_of(item, "status", "?");
    if (strcmp(status, "done") == 0) continue;
    fprintf(out, "%s%-10s%s %s: %s\n", strcmp(status, "skipped") == 0 ? "" : red, status, plain,
            text_of(item, "step", "?"), text_of(item, "reason", "no reason was recorded"));
  }
  if (json_is_false(json_object_get(stability, "stable"))) {
    fprintf(out,
            "%sUNSTABLE%s   the machine's peaks drifted by more than %.0f %% between beginning and "
            "end, or a figure went beyond its peak\n",
            red, plain, 100 * number_of(stability, "limit"));
  }
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
  double limit = number_of(stability, "limit");
  size_t i;
  json_t *item, *worst = NULL;
  json_array_foreach(json_object_get(stability, "drift"), i, item) {
    double relative = number_of(item, "relative");
    if (worst == NULL || fabs(relative) > fabs(number_of(worst, "relative"))) worst = item;
    if (fabs(relative) > limit) {
      fprintf(out, "drift      %s: %+.1f %%\n", text_of(item, "metric", "?"), 100 * relative);
    }
  }
  if (worst != NULL && fabs(number_of(worst, "relative")) <= limit) {
    fprintf(out, "drift      at most %+.1f %% (%s); the limit is %.0f %%\n",
            100 * number_of(worst, "relative"), text_of(worst, "metric", "?"), 100 * limit);
  }
}

static void print_criteria(FILE *out, const json_t *run) {
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(run, "criteria"), i, item) {
    char threshold[32], value[32];
    print_number(threshold, number_of(item, "threshold"));
    print_number(value, number_of(item, "value"));
    fprintf(out, "criterion  %s: %s/%s %s %s %s; measured %s\n",
            json_is_true(json_object_get(item, "passed")) ? "met" : "NOT MET",
            text_of(item, "step", "?"), text_of(item, "metric", "?"),
            strcmp(text_of(item, "op", ""), "at_most") == 0 ? "at most" : "at least", threshold,
            text_of(item, "unit", ""), value);
  }
}

/* "load       decode@m.gguf: 0.41 s, of it memory 0.12 s, rearranging 1.1 GiB 0.15 s (15 GB/s read
 * and written); digests 3.4 s" */
static void print_load(FILE *out, const json_t *run) {
  size_t i;
  json_t *step;
  json_array_foreach(json_object_get(run, "steps"), i, step) {
    const json_t *load = json_object_get(json_object_get(step, "facts"), "load");
    const char *cache = text_of(load, "packed_cache", "");
    char bytes[32];
    if (!load) continue;
    fprintf(out, "load       %s: %.2f s", text_of(step, "step", "?"), number_of(load, "load_s"));
    if (number_of(load, "generate_s") > 0)
      fprintf(out, ", of it computing the weights %.2f s", number_of(load, "generate_s"));
    if (number_of(load, "pack_rate") > 0) {
      zh_human_bytes(bytes, sizeof bytes, number_of(load, "packed_bytes"));
      fprintf(out, ", of it memory %.2f s, rearranging %s %.2f s (%.1f GB/s read and written)",
              number_of(load, "memory_s"), bytes, number_of(load, "pack_s"),
              number_of(load, "pack_rate") / 1e9);
    }
    fprintf(out, "; digests %.2f s%s%s\n",
            number_of(load, "content_digest_s") + number_of(load, "weights_digest_s"),
            cache[0] ? "; cache " : "", cache);
  }
}

zh_status zh_bundle_table(void *out_file, const char *bundle, bool colour, zh_error *err) {
  FILE *out = out_file;
  json_t *document = NULL;
  ZH_TRY(zh_bundle_json(&document, bundle, err));
  const json_t *run = json_object_get(document, "run");
  fprintf(out, "run        %s, suite %s, %s", text_of(run, "id", "?"),
          text_of(json_object_get(run, "suite"), "name", "?"), text_of(run, "started_utc", "?"));
  print_duration(out, run);
  fprintf(out, "\n");
  print_machine(out, bundle, run);
  print_marks(out, run, colour);
  fprintf(out, "\n");
  zh_status status = print_table(out, json_object_get(document, "measurements"), colour, err);
  if (status == ZH_OK) {
    fprintf(out, "\n");
    print_load(out, run);
    print_drift(out, run);
    print_criteria(out, run);
  }
  json_decref(document);
  return status;
}
