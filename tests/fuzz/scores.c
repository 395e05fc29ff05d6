/* Tables of scores, as `zhiheng rank` and `zhiheng compare` read them. */
#include "evaluator/compare/entrants.h"
#include "evaluator/leading/scores.h"
#include "fuzz.h"

static const char declared[] = "protocol: p\nlocked: 2026-11-22\nclaimant: a\npeers: [b]\n"
                               "tasks: [t, {task: u, scale: 100, weight: 2}]\n";

static void must(zh_status status, const zh_error *err) {
  if (status == ZH_OK) return;
  fprintf(stderr, "fuzz: %s\n", err->message);
  abort();
}

static zh_protocol *own_protocol(void) {
  zh_error err = ZH_ERROR_INIT;
  zh_protocol *protocol;
  const uint8_t *bytes = (const uint8_t *)declared;
  must(zh_protocol_load(&protocol, fuzz_file(bytes, sizeof declared - 1), &err), &err);
  return protocol;
}

static void rank(const char *path, const zh_protocol *protocol, const zh_words *words) {
  zh_error err = ZH_ERROR_INIT;
  zh_refusals refusals = {words, json_array()};
  zh_scorer scorer;
  if ((zh_scorer_read(&scorer, path, protocol, &refusals, &err) == ZH_OK) != (err.message[0] == 0))
    abort();
  for (size_t i = 0; i < scorer.row_count; i++)
    if (scorer.rows[i].task >= protocol->task_count ||
        !(scorer.rows[i].score == scorer.rows[i].score))
      abort();
  zh_scorer_clear(&scorer);
  json_decref(refusals.list);
}

/* The table beside itself, as two models. */
static void compare(const char *path, const zh_words *words) {
  zh_error err = ZH_ERROR_INIT;
  zh_entrants entrants = {.words = words};
  const char *const inputs[] = {path, path};
  if ((zh_entrants_open(&entrants, inputs, 2, &err) == ZH_OK) != (err.message[0] == 0)) abort();
  zh_entrants_clear(&entrants);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static zh_protocol *protocol;
  static zh_words *words;
  zh_error err = ZH_ERROR_INIT;
  if (protocol == NULL) protocol = own_protocol();
  if (words == NULL) must(zh_words_load(&words, &err), &err);
  if (size > 65536) return 0;
  const char *path = fuzz_file(data, size);
  rank(path, protocol, words);
  compare(path, words);
  return 0;
}
