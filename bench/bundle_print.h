/* Numbers and cells as the tables of a bundle print them. Whatever is missing or of the wrong kind
 * prints as "?". */
#ifndef ZH_BENCH_BUNDLE_PRINT_H
#define ZH_BENCH_BUNDLE_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "core/json.h"
#include "core/status.h"

double zh_print_real(const json_t *object, const char *key); /* NaN where there is none */
const char *zh_print_text(const json_t *object, const char *key, const char *otherwise);
/* At least four significant digits, without an exponent where that stays readable: 0.001234, 61.23,
 * 123456. */
void zh_print_number(char out[32], double value);
/* The factor and prefix that bring a value of this unit near one to a thousand. Units that people
 * never prefix (perplexity, ratios) stay. */
double zh_print_scale(char unit[32], double value, const char *base);
/* "98.81 MB": a value of this unit, scaled. */
void zh_print_quantity(char out[64], double value, const char *base);
/* One cell of a row, two columns apart from the next; the last ends the line. */
void zh_print_cell(FILE *out, const char *text, int width, bool right, bool last);

/* Where the time of each model's speed went (docs/metrics.md): an array, made of run.json and the
 * measurements. */
ZH_MUST_CHECK zh_status zh_bundle_times(json_t **out, const json_t *run, const json_t *measurements,
                                        zh_error *err);
/* Those times, and the memory that each step held; nothing where a bundle has neither. */
void zh_print_times(FILE *out, const json_t *times, const char *language);
void zh_print_memory(FILE *out, const json_t *run, const char *language, bool colour);

#endif
