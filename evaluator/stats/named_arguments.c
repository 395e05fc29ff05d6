#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "evaluator/stats/named.h"

static const size_t FILE_MAX_BYTES = (size_t)256 << 20;

const char *zh_given_text(const zh_given *given, const char *key) {
  size_t length = strlen(key);
  for (size_t i = 0; i < given->count; i++) {
    if (strncmp(given->words[i], key, length) == 0 && given->words[i][length] == '=')
      return given->words[i] + length + 1;
  }
  return NULL;
}

enum { KEYS_MAX = 12, KEY_BYTES = 24 };

typedef struct keys {
  char names[KEYS_MAX][KEY_BYTES];
  bool needed[KEYS_MAX];
  size_t count;
} keys;

static void cut_keys(keys *out, const char *parameters) {
  out->count = 0;
  for (const char *at = parameters; *at != '\0' && out->count < KEYS_MAX;) {
    size_t length = strcspn(at, " ");
    bool optional = *at == '?';
    snprintf(out->names[out->count], KEY_BYTES, "%.*s", (int)length - optional, at + optional);
    out->needed[out->count++] = !optional;
    at += length;
    at += strspn(at, " ");
  }
}

static bool is_key(const keys *k, const char *word, size_t length) {
  for (size_t i = 0; i < k->count; i++) {
    if (strlen(k->names[i]) == length && strncmp(k->names[i], word, length) == 0) return true;
  }
  return false;
}

static zh_status check_word(const zh_given *given, size_t i, const keys *k, zh_error *err) {
  const char *word = given->words[i];
  size_t length = strcspn(word, "=");
  if (word[length] == '\0')
    return zh_fail(err, ZH_ERR_USAGE, "%s: '%.60s' is not key=value", given->method, word);
  if (!is_key(k, word, length)) {
    const char *names[KEYS_MAX + 1] = {NULL};
    char name[KEY_BYTES], guess[ZH_GUESS_BYTES];
    for (size_t n = 0; n < k->count; n++) names[n] = k->names[n];
    snprintf(name, sizeof name, "%.*s", (int)length, word);
    return zh_fail(err, ZH_ERR_USAGE, "%s: unknown key '%s'%s", given->method, name,
                   zh_did_you_mean(guess, name, names));
  }
  for (size_t n = 0; n < i; n++) {
    if (strncmp(given->words[n], word, length + 1) == 0)
      return zh_fail(err, ZH_ERR_USAGE, "%s: '%.*s' is given twice", given->method, (int)length,
                     word);
  }
  return ZH_OK;
}

zh_status zh_given_check(const zh_given *given, const char *parameters, zh_error *err) {
  keys k;
  cut_keys(&k, parameters);
  for (size_t i = 0; i < given->count; i++) ZH_TRY(check_word(given, i, &k, err));
  for (size_t n = 0; n < k.count; n++) {
    if (k.needed[n] && zh_given_text(given, k.names[n]) == NULL)
      return zh_fail(err, ZH_ERR_USAGE, "%s: %s=… is missing", given->method, k.names[n]);
  }
  return ZH_OK;
}

static zh_status refuse_number(const zh_given *given, const char *key, const char *text, double min,
                               double max, zh_error *err) {
  return zh_fail(err, ZH_ERR_USAGE, "%s: %s=%.60s, where a number from %g to %g is expected",
                 given->method, key, text, min, max);
}

zh_status zh_given_real(double *out, const zh_given *given, const char *key, double min, double max,
                        zh_error *err) {
  const char *text = zh_given_text(given, key);
  char *end;
  *out = strtod(text, &end);
  if (*text == '\0' || *end != '\0' || !(*out >= min && *out <= max))
    return refuse_number(given, key, text, min, max, err);
  return ZH_OK;
}

zh_status zh_given_real_or(double *out, const zh_given *given, const char *key, double min,
                           double max, double unless, zh_error *err) {
  *out = unless;
  if (zh_given_text(given, key) == NULL) return ZH_OK;
  return zh_given_real(out, given, key, min, max, err);
}

zh_status zh_given_whole(int64_t *out, const zh_given *given, const char *key, int64_t min,
                         int64_t max, zh_error *err) {
  const char *text = zh_given_text(given, key);
  char *end;
  errno = 0;
  *out = strtoll(text, &end, 10);
  if (*text == '\0' || *end != '\0' || errno != 0 || *out < min || *out > max)
    return zh_fail(err, ZH_ERR_USAGE,
                   "%s: %s=%.60s, where a whole number from %lld to %lld is expected",
                   given->method, key, text, (long long)min, (long long)max);
  return ZH_OK;
}

zh_status zh_given_whole_or(int64_t *out, const zh_given *given, const char *key, int64_t min,
                            int64_t max, int64_t unless, zh_error *err) {
  *out = unless;
  if (zh_given_text(given, key) == NULL) return ZH_OK;
  return zh_given_whole(out, given, key, min, max, err);
}

void zh_numbers_clear(zh_numbers *numbers) {
  free(numbers->values);
  *numbers = (zh_numbers){.values = NULL};
}

/* Cuts numbers one by one; a row ends with any of `ends`. */
typedef struct cutter {
  zh_numbers *out;
  const zh_given *given;
  const char *key, *ends;
  size_t count, in_row;
  bool comma; /* the last thing was one, and no number has followed */
} cutter;

static zh_status refuse_gap(const cutter *c, zh_error *err) {
  char row[40] = "";
  if (c->ends[0] != '\0') snprintf(row, sizeof row, " of row %zu", c->out->rows + 1);
  return zh_fail(err, ZH_ERR_USAGE,
                 "%s: number %zu%s of %s is empty; write a number on either side of each comma",
                 c->given->method, c->in_row + 1, row, c->key);
}

/* At the end of a row, which `end` is. */
static zh_status end_row(cutter *c, char end, zh_error *err) {
  zh_numbers *out = c->out;
  if (c->comma || (c->in_row == 0 && end == ';')) return refuse_gap(c, err);
  if (c->in_row > 0 && out->rows++ > 0 && c->in_row != out->columns)
    return zh_fail(err, ZH_ERR_USAGE, "%s: row %zu of %s has %zu numbers, the first %zu",
                   c->given->method, out->rows, c->key, c->in_row, out->columns);
  if (c->in_row > 0) out->columns = c->in_row;
  c->in_row = 0;
  return ZH_OK;
}

static zh_status cut_number(cutter *c, const char **at, zh_error *err) {
  char *end;
  double value = strtod(*at, &end);
  if (end == *at || (*end != '\0' && strchr(", \t\r\n;", *end) == NULL) || !isfinite(value))
    return zh_fail(
        err, ZH_ERR_USAGE, "%s: number %zu of %s is '%.*s', where a finite number is expected",
        c->given->method, c->count + 1, c->key, (int)(1 + strcspn(*at + 1, ", \t\r\n;")) % 60, *at);
  c->out->values[c->count++] = value;
  c->in_row++;
  c->comma = false;
  *at = end;
  return ZH_OK;
}

static zh_status cut_numbers(zh_numbers *out, const zh_given *given, const char *key,
                             const char *text, const char *ends, zh_error *err) {
  cutter c = {.out = out, .given = given, .key = key, .ends = ends};
  size_t room = 1;
  for (const char *at = text; *at != '\0'; at++) room += strchr(", \t\r\n;", *at) != NULL;
  out->values = calloc(room, sizeof *out->values);
  if (out->values == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu numbers", room);
  for (const char *at = text;;) {
    at += strspn(at, strchr(ends, '\n') != NULL ? " \t\r" : " \t\r\n");
    if (*at == ',') {
      if (c.comma || c.in_row == 0) return refuse_gap(&c, err);
      c.comma = true;
      at++;
    } else if (*at == '\0' || strchr(ends, *at) != NULL) {
      ZH_TRY(end_row(&c, *at, err));
      if (*at == '\0') break;
      at++;
    } else {
      ZH_TRY(cut_number(&c, &at, err));
    }
  }
  if (c.count > 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "%s: %s has no numbers", given->method, key);
}

static zh_status read_numbers(zh_numbers *out, const zh_given *given, const char *key, bool table,
                              zh_error *err) {
  const char *text = zh_given_text(given, key);
  char *file = NULL;
  size_t length;
  *out = (zh_numbers){.values = NULL};
  bool from_file = text[0] == '@';
  if (from_file) ZH_TRY(zh_read_file(&file, &length, text + 1, FILE_MAX_BYTES, err));
  zh_status status = cut_numbers(out, given, key, from_file ? file : text,
                                 !table      ? ""
                                 : from_file ? ";\n"
                                             : ";",
                                 err);
  free(file);
  if (status != ZH_OK) zh_numbers_clear(out);
  return status;
}

zh_status zh_given_list(zh_numbers *out, const zh_given *given, const char *key, zh_error *err) {
  return read_numbers(out, given, key, false, err);
}

zh_status zh_given_table(zh_numbers *out, const zh_given *given, const char *key, zh_error *err) {
  return read_numbers(out, given, key, true, err);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Numbers clusters from 0 by the order of their values. */
static zh_status number_clusters(zh_groups **out, const double *labels, size_t items,
                                 zh_error *err) {
  double *sorted = calloc(items, sizeof *sorted);
  uint32_t *cluster_of = calloc(items, sizeof *cluster_of);
  zh_status status = ZH_OK;
  size_t clusters = 0;
  if (sorted == NULL || cluster_of == NULL) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
    goto done;
  }
  memcpy(sorted, labels, items * sizeof *sorted);
  qsort(sorted, items, sizeof *sorted, by_value);
  for (size_t i = 0; i < items; i++) {
    if (clusters == 0 || sorted[clusters - 1] != sorted[i]) sorted[clusters++] = sorted[i];
  }
  for (size_t i = 0; i < items; i++) {
    const double *at = bsearch(&labels[i], sorted, clusters, sizeof *sorted, by_value);
    cluster_of[i] = (uint32_t)(at - sorted);
  }
  status = zh_groups_plain(out, cluster_of, items, clusters, err);
done:
  free(sorted);
  free(cluster_of);
  return status;
}

zh_status zh_given_groups(zh_groups **out, const zh_given *given, size_t items, zh_error *err) {
  *out = NULL;
  if (zh_given_text(given, "cluster") == NULL) return zh_groups_plain(out, NULL, items, 0, err);
  zh_numbers labels;
  ZH_TRY(zh_given_list(&labels, given, "cluster", err));
  zh_status status = labels.columns != items
                         ? zh_fail(err, ZH_ERR_USAGE, "%s: cluster has %zu numbers for %zu items",
                                   given->method, labels.columns, items)
                         : number_clusters(out, labels.values, items, err);
  zh_numbers_clear(&labels);
  return status;
}

zh_status zh_given_draws(zh_draws *out, const zh_given *given, zh_error *err) {
  int64_t replicates, seed;
  ZH_TRY(zh_given_whole_or(&replicates, given, "replicates", 1, 10000000, 10000, err));
  ZH_TRY(zh_given_whole_or(&seed, given, "seed", 0, INT64_MAX, 1, err));
  *out = (zh_draws){.replicates = (size_t)replicates, .seed = (uint64_t)seed};
  return ZH_OK;
}

zh_status zh_named_done(json_t **out, json_t *document, zh_error *err) {
  *out = document;
  return document != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the result");
}

json_t *zh_number_list(const double *values, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, zh_json_number(values[i]));
  return list;
}
