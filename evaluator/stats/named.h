/* Private to evaluator/stats/named*.c: each test and interval by its name, for people who want to
 * check one (`zhiheng stats`). */
#ifndef ZH_EVALUATOR_STATS_NAMED_H
#define ZH_EVALUATOR_STATS_NAMED_H

#include "core/json.h"
#include "core/text.h"
#include "evaluator/stats/flips.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What stands behind a name on the command line: key=value words. */
typedef struct zh_given {
  const char *method;
  const char *const *words;
  size_t count;
} zh_given;

typedef zh_status (*zh_method_run)(json_t **out, const zh_given *given, zh_error *err);
typedef struct zh_method {
  const char *name;
  const char *parameters; /* between blanks; "?" before those that may be left out */
  zh_method_run run;
} zh_method;

/* Tables of methods, ended by an empty name. */
extern const zh_method zh_proportion_methods[]; /* named_proportions.c */
extern const zh_method zh_mean_methods[];       /* named_means.c */
extern const zh_method zh_family_methods[];     /* named_families.c */
extern const zh_method zh_arena_methods[];      /* named_arena.c */
extern const zh_method zh_curve_methods[];      /* named_curves.c */
extern const zh_method zh_exchange_methods[];   /* named_exchange.c */

/* --- arguments (named_arguments.c) --- */

/* Every word is key=value with a key of the method, none twice, none missing. */
ZH_MUST_CHECK zh_status zh_given_check(const zh_given *given, const char *parameters,
                                       zh_error *err);
const char *zh_given_text(const zh_given *given, const char *key); /* NULL where left out */
/* A number of that range; left out: unless. */
ZH_MUST_CHECK zh_status zh_given_real(double *out, const zh_given *given, const char *key,
                                      double min, double max, zh_error *err);
ZH_MUST_CHECK zh_status zh_given_real_or(double *out, const zh_given *given, const char *key,
                                         double min, double max, double unless, zh_error *err);
ZH_MUST_CHECK zh_status zh_given_whole(int64_t *out, const zh_given *given, const char *key,
                                       int64_t min, int64_t max, zh_error *err);
ZH_MUST_CHECK zh_status zh_given_whole_or(int64_t *out, const zh_given *given, const char *key,
                                          int64_t min, int64_t max, int64_t unless, zh_error *err);
/* Numbers between commas or blanks, or @FILE that holds such; rows of a table end with ';' or, in a
 * file, with the line, and must have the same length. */
typedef struct zh_numbers {
  double *values; /* [rows][columns] */
  size_t rows, columns;
} zh_numbers;
ZH_MUST_CHECK zh_status zh_given_list(zh_numbers *out, const zh_given *given, const char *key,
                                      zh_error *err);
ZH_MUST_CHECK zh_status zh_given_table(zh_numbers *out, const zh_given *given, const char *key,
                                       zh_error *err);
void zh_numbers_clear(zh_numbers *numbers);
/* `cluster`: equal numbers are one cluster; every item alone where it is left out. */
ZH_MUST_CHECK zh_status zh_given_groups(zh_groups **out, const zh_given *given, size_t items,
                                        zh_error *err);
/* `replicates` and `seed`. */
ZH_MUST_CHECK zh_status zh_given_draws(zh_draws *out, const zh_given *given, zh_error *err);

/* The document that was packed, or that memory is short. */
ZH_MUST_CHECK zh_status zh_named_done(json_t **out, json_t *document, zh_error *err);
json_t *zh_number_list(const double *values, size_t count);
/* Why a mean over clusters has no interval. */
json_t *zh_no_variance_note(const zh_groups *groups);

#ifdef __cplusplus
}
#endif
#endif
