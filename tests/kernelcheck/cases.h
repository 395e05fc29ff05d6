/* The one list of what there is to check, to time and to support. */
#ifndef ZH_TESTS_KERNELCHECK_CASES_H
#define ZH_TESTS_KERNELCHECK_CASES_H

#include "kernels/kernels.h"

enum { CASE_TYPES = 20 };
typedef struct kernel_case {
  const char *name, *about;
  const char *types[CASE_TYPES]; /* NULL-terminated: what TYPE may be */
  /* Of a table of kernels, or of what stands outside of them. */
  void (*check_table)(const zh_kernels *kernels);
  void (*check)(void);
  /* only_type: NULL for all. */
  void (*time)(const char *name, const char *only_type, int threads);
  size_t member; /* of zh_kernels: where its function stands; SIZE_MAX outside of tables */
  /* Outside of tables: variant i that runs here for a type, NULL after the last. */
  const char *(*variant)(const char *type, size_t i);
} kernel_case;
extern const kernel_case kernel_cases[];
extern const size_t kernel_case_count;
const kernel_case *kernel_case_find(const char *name); /* NULL: there is no such */

/* A table: what runs each operator and type with each table of kernels. */
void print_support(bool json);

#endif
