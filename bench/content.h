/* What binds the model that was counted to the model that ran: a digest of the bytes as they are
 * mapped, that all threads compute. Definition: docs/metrics.md, "Content digest". */
#ifndef ZH_BENCH_CONTENT_H
#define ZH_BENCH_CONTENT_H

#include <stdbool.h>

#include "bench/comm.h"
#include "core/digest.h"
#include "core/status.h"
#include "kernels/kernels.h"
#include "model/model.h"

/* SM3 of a text: for each file, in the order of its digest, "file <bytes>\n", then for every 16 MiB
 * of it the SM3 in hex and "\n". Standard models are no files: zh_model_digest. */
ZH_MUST_CHECK zh_status zh_content_digest(char out[ZH_DIGEST_HEX], zh_model *model,
                                          zh_threads *threads, zh_error *err);
/* The same by ranks that have mapped the same files, each in its own memory: a rank digests what it
 * `uses`, and its share of what nobody may use. Bytes in which two ranks differ are ZH_ERR_CHECK.
 * Collective; all get the digest. */
typedef bool (*zh_content_use)(const void *user, const unsigned char *data, size_t bytes);
ZH_MUST_CHECK zh_status zh_content_digest_together(char out[ZH_DIGEST_HEX], zh_model *model,
                                                   zh_threads *threads, const zh_comm *comm,
                                                   zh_content_use uses, const void *user,
                                                   zh_error *err);

#endif
