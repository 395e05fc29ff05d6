#include "core/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "core/files.h"

struct zh_digest {
  EVP_MD_CTX *context;
};

zh_status zh_digest_create(zh_digest **out, zh_digest_kind kind, zh_error *err) {
  const EVP_MD *method = kind == ZH_SM3 ? EVP_sm3() : EVP_sha256();
  *out = NULL;
  zh_digest *digest = calloc(1, sizeof *digest);
  if (digest == NULL || (digest->context = EVP_MD_CTX_new()) == NULL) {
    zh_digest_free(digest);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (digest)");
  }
  if (method == NULL || EVP_DigestInit_ex(digest->context, method, NULL) != 1) {
    zh_digest_free(digest);
    return zh_fail(err, ZH_ERR_LACKING,
                   "this machine's OpenSSL offers no %s; install Debian's libssl3",
                   kind == ZH_SM3 ? "SM3" : "SHA-256");
  }
  *out = digest;
  return ZH_OK;
}

zh_status zh_digest_update(zh_digest *digest, const void *bytes, size_t length, zh_error *err) {
  if (length > 0 && EVP_DigestUpdate(digest->context, bytes, length) != 1)
    return zh_fail(err, ZH_ERR_LACKING, "OpenSSL refused to digest %zu bytes", length);
  return ZH_OK;
}

zh_status zh_digest_final(char out[ZH_DIGEST_HEX], zh_digest *digest, zh_error *err) {
  static const char hex[] = "0123456789abcdef";
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_DigestFinal_ex(digest->context, bytes, &length) != 1 || length != ZH_DIGEST_BYTES)
    return zh_fail(err, ZH_ERR_LACKING, "OpenSSL refused to finish a digest");
  for (unsigned int i = 0; i < length; i++) {
    out[2 * i] = hex[bytes[i] >> 4];
    out[2 * i + 1] = hex[bytes[i] & 15];
  }
  out[2 * ZH_DIGEST_BYTES] = 0;
  return ZH_OK;
}

void zh_digest_free(zh_digest *digest) {
  if (digest == NULL) return;
  EVP_MD_CTX_free(digest->context);
  free(digest);
}

zh_status zh_digest_bytes(char out[ZH_DIGEST_HEX], zh_digest_kind kind, const void *bytes,
                          size_t length, zh_error *err) {
  zh_digest *digest;
  ZH_TRY(zh_digest_create(&digest, kind, err));
  zh_status status = zh_digest_update(digest, bytes, length, err);
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}

zh_status zh_digest_file(char out[ZH_DIGEST_HEX], zh_digest_kind kind, const char *path,
                         zh_error *err) {
  zh_mapping file;
  ZH_TRY(zh_map_file(&file, path, err));
  zh_status status = zh_digest_bytes(out, kind, file.data, file.bytes, err);
  zh_unmap(&file);
  return status;
}
