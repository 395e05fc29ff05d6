/* Answers as links of the token chain. */
#include <string.h>

#include "bench/engine/trial.h"

float zh_answer_logit(const zh_answer *answer) {
  float logit;
  memcpy(&logit, &answer->logit_bits, sizeof logit);
  return logit;
}

static void little_endian(unsigned char *out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t from_little_endian(const unsigned char *at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= (uint64_t)at[i] << (8 * i);
  return value;
}

void zh_answer_bytes(unsigned char out[ZH_LINK_BYTES], const zh_answer *answer) {
  little_endian(out, answer->fed, 4);
  little_endian(out + 4, answer->chosen, 4);
  little_endian(out + 8, answer->logit_bits, 4);
  little_endian(out + 12, answer->position, 4);
  little_endian(out + 16, answer->bits_sum, 8);
}

void zh_answer_read(zh_answer *out, const unsigned char link[ZH_LINK_BYTES]) {
  *out = (zh_answer){.fed = (uint32_t)from_little_endian(link, 4),
                     .chosen = (uint32_t)from_little_endian(link + 4, 4),
                     .logit_bits = (uint32_t)from_little_endian(link + 8, 4),
                     .position = (uint32_t)from_little_endian(link + 12, 4),
                     .bits_sum = from_little_endian(link + 16, 8)};
}

zh_status zh_trial_chain(char out[65], const zh_answer *answers, size_t count, zh_error *err) {
  zh_digest *digest = NULL;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; i < count && status == ZH_OK; ++i) {
    unsigned char link[ZH_LINK_BYTES];
    zh_answer_bytes(link, &answers[i]);
    status = zh_digest_update(digest, link, sizeof link, err);
  }
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}
