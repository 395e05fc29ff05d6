/* What binds the model that was counted to the model that ran: a digest of the bytes as they are
 * mapped, that all threads compute. Definition: docs/metrics.md, "Content digest". */
#ifndef ZH_BENCH_CONTENT_H
#define ZH_BENCH_CONTENT_H

#include "core/digest.h"
#include "core/status.h"
#include "kernels/kernels.h"
#include "model/model.h"

/* SM3 of a text: for each file, in the order of its digest, "file <bytes>\n", then for every 16 MiB
 * of it the SM3 in hex and "\n". Standard models are no files: zh_model_digest. */
ZH_MUST_CHECK zh_status zh_content_digest(char out[ZH_DIGEST_HEX], zh_model *model,
                                          zh_threads *threads, zh_error *err);

#endif
