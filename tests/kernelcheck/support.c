/* --support: who computes each operator and type with each table of kernels that this processor can
 * run. A table that has no function of its own uses that of a simpler one. */
#include "tests/kernelcheck/cases.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_function(const kernel_case *c, const zh_kernels *a, const zh_kernels *b) {
  return memcmp((const char *)a + c->member, (const char *)b + c->member, sizeof(void (*)(void))) ==
         0;
}

static bool has_function(const kernel_case *c, const zh_kernels *k) {
  static const zh_kernels nothing;
  return !same_function(c, k, &nothing);
}

/* The simplest table with the same function. NULL: this table has none. */
static const char *origin(const kernel_case *c, const zh_kernels *k) {
  if (!has_function(c, k)) return NULL;
  for (const zh_kernels *const *table = zh_kernels_all(); *table; table++)
    if (same_function(c, *table, k)) return (*table)->name;
  return NULL;
}

/* "own", "as portable", or what is used instead. */
static void describe(char *out, size_t capacity, const kernel_case *c, const char *type,
                     const zh_kernels *k) {
  const char *from = origin(c, k);
  bool product = strcmp(c->name, "multiply") == 0;
  const zh_dtype_info *info = product ? zh_dtype_by_name(type) : NULL;
  if (!from || (info && !zh_packs(info->type)))
    snprintf(out, capacity, "by matmul");
  else if (info && strcmp(from, k->name) == 0)
    snprintf(out, capacity, "own %s/%s",
             zh_rounding_name(zh_rounding_of(&k->rounds, info->type, ZH_FEW)),
             zh_rounding_name(zh_rounding_of(&k->rounds, info->type, ZH_MANY)));
  else
    snprintf(out, capacity, "%s%s", strcmp(from, k->name) == 0 ? "own" : "as ",
             strcmp(from, k->name) == 0 ? "" : from);
}

static void print_tables(void) {
  printf("%-12s %-6s", "operator", "type");
  for (const zh_kernels *const *k = zh_kernels_all(); *k; k++) printf(" %-16s", (*k)->name);
  printf("\n");
  for (size_t i = 0; i < kernel_case_count; i++) {
    const kernel_case *c = &kernel_cases[i];
    for (size_t t = 0; c->member != SIZE_MAX && c->types[t]; t++) {
      printf("%-12s %-6s", c->name, c->types[t]);
      for (const zh_kernels *const *k = zh_kernels_all(); *k; k++) {
        char cell[48];
        describe(cell, sizeof cell, c, c->types[t], *k);
        printf(" %-16s", cell);
      }
      printf("\n");
    }
  }
}

static void print_others(void) {
  printf("\noutside of tables: what runs here\n");
  for (size_t i = 0; i < kernel_case_count; i++) {
    const kernel_case *c = &kernel_cases[i];
    for (size_t t = 0; c->variant && c->types[t]; t++) {
      printf("%-12s %-10s", c->name, c->types[t]);
      for (size_t v = 0; c->variant(c->types[t], v); v++) printf(" %s", c->variant(c->types[t], v));
      printf("\n");
    }
  }
}

static json_t *line_of(const kernel_case *c, const char *type) {
  json_t *line = json_pack("{s:s, s:s}", "operator", c->name, "type", type);
  json_t *by = c->variant ? json_array() : json_object();
  for (size_t v = 0; c->variant && c->variant(type, v); v++)
    if (json_array_append_new(by, json_string(c->variant(type, v))) != 0) exit(3);
  for (const zh_kernels *const *k = zh_kernels_all(); !c->variant && *k; k++) {
    char cell[48];
    describe(cell, sizeof cell, c, type, *k);
    if (json_object_set_new(by, (*k)->name, json_string(cell)) != 0) exit(3);
  }
  if (!line || !by || json_object_set_new(line, "by", by) != 0) exit(3);
  return line;
}

static void print_json(void) {
  json_t *lines = json_array();
  for (size_t i = 0; i < kernel_case_count; i++)
    for (size_t t = 0; kernel_cases[i].types[t]; t++)
      if (json_array_append_new(lines, line_of(&kernel_cases[i], kernel_cases[i].types[t])) != 0)
        exit(3);
  json_t *all = json_pack("{s:s, s:s, s:o}", "schema", "zhiheng.kernelcheck-support/1", "kernels",
                          zh_kernels_best()->name, "support", lines);
  if (!all || json_dumpf(all, stdout, JSON_INDENT(1)) != 0) exit(3);
  puts("");
  json_decref(all);
}

void print_support(bool json) {
  if (json) {
    print_json();
    return;
  }
  printf("kernels in use: %s. own: a function of its own (products: what few/many tokens' operands "
         "are rounded to);\nas X: that of table X; by matmul: weights are not packed.\n\n",
         zh_kernels_best()->name);
  print_tables();
  print_others();
}
