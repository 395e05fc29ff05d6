/* Base64 (RFC 4648, with padding) by OpenSSL. */
#ifndef ZH_CORE_BASE64_H
#define ZH_CORE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

void zh_base64_append(zh_text *out, const void *bytes, size_t length);
/* True when the text is the base64 of exactly `length` bytes, which then stand in `out`. */
bool zh_base64_decode(void *out, size_t length, const char *text);

#ifdef __cplusplus
}
#endif
#endif
