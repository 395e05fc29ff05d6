/* A certificate against a small model, with a bundle that claims whatever its first line says, so
 * that the lines behind it are reached. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/engine/certificate.h"
#include "core/base64.h"
#include "fuzz.h"

static const char *word(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

/* SM3 of the links as they stand: zh_trial_chain takes it over the same bytes. */
static void chain_of(char out[ZH_DIGEST_HEX], const char *links) {
  unsigned char bytes[1024];
  size_t length = strlen(links) / 4 * 3;
  if (length > sizeof bytes || !zh_base64_decode(bytes, length, links)) length = 0;
  if (zh_digest_bytes(out, ZH_SM3, bytes, length, NULL) != ZH_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static zh_model *model;
  char chain[ZH_DIGEST_HEX], marks[ZH_DIGEST_HEX], commitment[ZH_DIGEST_HEX], path[64];
  zh_error err = ZH_ERROR_INIT;
  json_t *header = NULL;
  const uint8_t *end = memchr(data, '\n', size);
  size_t length = end != NULL ? (size_t)(end - data) : size;
  if (model == NULL && zh_model_open(&model, ZH_FUZZ_MODEL, &err) != ZH_OK) abort();
  if (size > 65536 || zh_json_load_text(&header, (const char *)data, length, "fuzz", NULL) != ZH_OK)
    return 0;
  int file = memfd_create("certificate", 0);
  if (file < 0 || write(file, data, size) != (ssize_t)size) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  chain_of(chain, word(header, "links"));
  chain_of(marks, word(header, "marks")); /* SM3 of the bytes, as well */
  if (zh_nonce_commitment(commitment, word(header, "nonce"), NULL) != ZH_OK) abort();
  zh_certificate_claim claim = {.path = path,
                                .step = word(header, "step"),
                                .workload = word(header, "workload"),
                                .marks_sm3 = marks,
                                .chain_sm3 = chain,
                                .model_sm3 = word(header, "model_sm3"),
                                .commitment = commitment,
                                .model = model};
  zh_recheck found;
  if (zh_certificate_recheck(&found, &claim, 1, 4, &err) != ZH_OK && err.message[0] == 0) abort();
  close(file);
  json_decref(header);
  return 0;
}
