/* Libraries that may be there: opened at run time, never linked. */
#ifndef ZH_KERNELS_CUDA_LIBRARY_CUH
#define ZH_KERNELS_CUDA_LIBRARY_CUH

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

struct zh_symbol {
  const char *name;
  void *place; /* of a pointer to the function */
};

/* The name of one that the library lacks; null where it has all. */
template <size_t COUNT> static inline const char *zh_find_symbols(void *library, const zh_symbol (&symbols)[COUNT]) {
  const char *missing = nullptr;
  for (const zh_symbol &symbol : symbols) {
    void *found = dlsym(library, symbol.name);
    memcpy(symbol.place, &found, sizeof found);
    if (!found) missing = symbol.name;
  }
  return missing;
}

#endif
