/* Applicants' files, against the policy of the house. Papers are not opened. */
#include <string.h>

#include "evaluator/applicant.h"
#include "fuzz.h"

static const zh_policy *policy(void) {
  static zh_policy *loaded;
  zh_error err = ZH_ERROR_INIT;
  if (loaded == NULL && zh_policy_load(&loaded, "songjiang-2025-draft", &err) != ZH_OK) {
    fprintf(stderr, "fuzz: %s\n", err.message);
    abort();
  }
  return loaded;
}

static void check(const zh_claims *claims) {
  for (size_t i = 0; i < claims->count; i++) {
    const zh_claim *claim = &claims->items[i];
    for (size_t k = 0; k < claim->paper_count; k++) {
      if (claim->papers[k].file == NULL || claim->papers[k].file[0] == '/') abort();
    }
    if (zh_claim_find(claims, claim->id) != claim) abort(); /* an id stands once */
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_applicant *applicant = NULL;
  if (size > 16384) return 0;
  zh_status status =
      zh_applicant_load_text(&applicant, (const char *)data, size, "fuzz.yaml", policy(), &err);
  if (status != ZH_OK) {
    if (err.message[0] == 0 || applicant != NULL) abort();
    return 0;
  }
  check(&applicant->documents);
  check(&applicant->exclusions);
  check(&applicant->costs);
  check(&applicant->facts);
  check(&applicant->decisions);
  check(&applicant->materials);
  for (size_t i = 0; i < applicant->costs.count; i++) {
    if (applicant->costs.items[i].number < 0) abort();
  }
  for (size_t i = 0; i < applicant->received_count; i++) {
    if (applicant->received[i].fen < 0) abort();
  }
  zh_applicant_free(applicant);
  return 0;
}
