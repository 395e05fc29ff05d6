/* What examinations leave in a bundle: quality/<step>/ and scores/<model>.csv (docs/eval.md). */
#ifndef ZH_BENCH_BUNDLE_QUALITY_H
#define ZH_BENCH_BUNDLE_QUALITY_H

#include "bench/bundle.h"

/* Copies the files of the steps that are done, makes the tables, and says in the steps' facts where
 * they are. */
ZH_MUST_CHECK zh_status zh_bundle_quality(const zh_bundle_run *run, zh_error *err);

#endif
