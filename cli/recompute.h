#ifndef ZH_CLI_RECOMPUTE_H
#define ZH_CLI_RECOMPUTE_H

#include "core/json.h"
#include "core/status.h"

typedef struct zh_recompute_options {
  const char *model; /* of the certificates; NULL: where the run found it */
  uint64_t seed;     /* draws the rows */
  size_t rows;       /* of each product */
} zh_recompute_options;

/* [{"step","model","nonce","tokens","operators","samples","largest_error_of_bound","where"}] */
ZH_MUST_CHECK zh_status zh_recompute(json_t **out, const char *bundle,
                                     const zh_recompute_options *options, zh_error *err);

#endif
