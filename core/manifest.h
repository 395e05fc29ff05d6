/* MANIFEST.sm3: one line a file, "<64 hex>  <relative path>\n", sorted by path, covering every
 * regular file of a folder but itself. `sm3sum -c` style, so other tools can check it too. */
#ifndef ZH_CORE_MANIFEST_H
#define ZH_CORE_MANIFEST_H

#include "core/digest.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ZH_MANIFEST_NAME "MANIFEST.sm3"

ZH_MUST_CHECK zh_status zh_manifest_write(const char *dir, zh_error *err);
/* ZH_ERR_CHECK naming the first difference (changed, missing or extra file); ZH_ERR_INPUT when the
 * manifest is unreadable. `digest`, where not NULL, receives the SM3 of MANIFEST.sm3 itself: the
 * bundle's identity. */
ZH_MUST_CHECK zh_status zh_manifest_verify(const char *dir, char digest[ZH_DIGEST_HEX],
                                           zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
