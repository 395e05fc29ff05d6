/* SM3 (GB/T 32905-2016) and SHA-256 by OpenSSL. SM3 is our evidence; SHA-256 is what publishers
 * print. */
#ifndef ZH_CORE_DIGEST_H
#define ZH_CORE_DIGEST_H

#include <stddef.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_digest_kind { ZH_SM3, ZH_SHA256 } zh_digest_kind;
enum { ZH_DIGEST_BYTES = 32, ZH_DIGEST_HEX = 65 /* with NUL */ };

typedef struct zh_digest zh_digest;
ZH_MUST_CHECK zh_status zh_digest_create(zh_digest **out, zh_digest_kind kind, zh_error *err);
ZH_MUST_CHECK zh_status zh_digest_update(zh_digest *digest, const void *bytes, size_t length,
                                         zh_error *err);
/* Lower-case hex of what was fed; the handle is spent and must still be freed. */
ZH_MUST_CHECK zh_status zh_digest_final(char out[ZH_DIGEST_HEX], zh_digest *digest, zh_error *err);
void zh_digest_free(zh_digest *digest);

ZH_MUST_CHECK zh_status zh_digest_bytes(char out[ZH_DIGEST_HEX], zh_digest_kind kind,
                                        const void *bytes, size_t length, zh_error *err);
ZH_MUST_CHECK zh_status zh_digest_file(char out[ZH_DIGEST_HEX], zh_digest_kind kind,
                                       const char *path, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
