/* The whole in one verdict and one sentence. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/evaluation.h"
#include "evaluator/exact.h"

void zh_count_verdicts(size_t counts[ZH_VERDICTS], const json_t *findings) {
  json_t *finding;
  size_t i;
  json_array_foreach(findings, i, finding) {
    const char *verdict = json_string_value(json_object_get(finding, "verdict"));
    for (int v = 0; v < ZH_VERDICTS; v++) counts[v] += strcmp(verdict, zh_verdict_names[v]) == 0;
  }
}

/* Statements of the findings that fail, "a、b" or "a, b". */
static void failed_statements(zh_text *out, const json_t *findings, const char *language,
                              const char *comma) {
  json_t *finding;
  size_t i;
  json_array_foreach(findings, i, finding) {
    if (strcmp(json_string_value(json_object_get(finding, "verdict")), "fail") != 0) continue;
    const json_t *text = json_object_get(json_object_get(finding, "statement"), language);
    zh_text_printf(out, "%s%s", out->length > 0 ? comma : "", json_string_value(text));
  }
}

/* Several amounts: how each stands, and what they come to together. */
static json_t *summary_of_several(const zh_case *c, const zh_outcome *outcomes, size_t count,
                                  const zh_sums *sums) {
  char numbers[ZH_VERDICTS][24], all[24], sure[2][40] = {"", ""}, may[2][40] = {"", ""};
  size_t counts[ZH_VERDICTS] = {0};
  for (size_t i = 0; i < count; i++) counts[outcomes[i].verdict]++;
  for (int v = 0; v < ZH_VERDICTS; v++) snprintf(numbers[v], sizeof numbers[v], "%zu", counts[v]);
  snprintf(all, sizeof all, "%zu", count);
  bool settled = sums->certain >= 0 && sums->possible >= 0;
  if (settled) {
    zh_wan_yuan_text(sure[0], sizeof sure[0], sums->certain);
    zh_yuan_text(sure[1], sizeof sure[1], sums->certain);
    zh_wan_yuan_text(may[0], sizeof may[0], sums->possible);
    zh_yuan_text(may[1], sizeof may[1], sums->possible);
  }
  const zh_slot slots[] = {{"count", all, all},
                           {"pass", numbers[ZH_PASS], numbers[ZH_PASS]},
                           {"fail", numbers[ZH_FAIL], numbers[ZH_FAIL]},
                           {"undetermined", numbers[ZH_UNDETERMINED], numbers[ZH_UNDETERMINED]},
                           {"up_to", sure[0], sure[1]},
                           {"limit", may[0], may[1]}};
  return zh_phrase_json(
      zh_word_of(c->words, settled ? ZH_WORD_summary_several : ZH_WORD_summary_several_open), slots,
      sizeof slots / sizeof slots[0]);
}

static json_t *summary_of_one(const zh_case *c, zh_verdict verdict,
                              const size_t counts[ZH_VERDICTS]) {
  zh_word word = ZH_WORD_summary_pass + (zh_word)verdict;
  if (verdict == ZH_UNDETERMINED && counts[ZH_FAIL] > 0 && c->subject_count > 1)
    word = ZH_WORD_summary_undecided;
  char numbers[ZH_VERDICTS][24];
  for (int v = 0; v < ZH_VERDICTS; v++) snprintf(numbers[v], sizeof numbers[v], "%zu", counts[v]);
  zh_text zh = {0}, en = {0};
  failed_statements(&zh, c->findings, "zh", "、");
  failed_statements(&en, c->findings, "en", "; ");
  const zh_slot slots[] = {{"pass", numbers[ZH_PASS], numbers[ZH_PASS]},
                           {"fail", numbers[ZH_FAIL], numbers[ZH_FAIL]},
                           {"undetermined", numbers[ZH_UNDETERMINED], numbers[ZH_UNDETERMINED]},
                           {"failed", zh_text_string(&zh), zh_text_string(&en)}};
  json_t *text = zh_phrase_json(zh_word_of(c->words, word), slots, sizeof slots / sizeof slots[0]);
  zh_text_free(&zh);
  zh_text_free(&en);
  return text;
}

/* One amount that can be given is enough for a pass; all must fail for a fail. */
static zh_verdict overall(const zh_outcome *outcomes, size_t count) {
  zh_verdict verdict = ZH_FAIL;
  for (size_t i = 0; i < count; i++) {
    if (outcomes[i].verdict == ZH_PASS) return ZH_PASS;
    if (outcomes[i].verdict == ZH_UNDETERMINED) verdict = ZH_UNDETERMINED;
  }
  return verdict;
}

json_t *zh_summary_json(const zh_case *c, const zh_outcome *outcomes, size_t count,
                        const zh_sums *sums, const size_t counts[ZH_VERDICTS]) {
  zh_verdict verdict = overall(outcomes, count);
  json_t *text = count == 1 ? summary_of_one(c, verdict, counts)
                            : summary_of_several(c, outcomes, count, sums);
  json_t *summary = json_pack("{s:s, s:O, s:O}", "verdict", zh_verdict_names[verdict], "zh",
                              json_object_get(text, "zh"), "en", json_object_get(text, "en"));
  json_decref(text);
  return summary;
}

/* The grant that a report shows: the one looked at, or the highest of those that can be given. */
size_t zh_principal_grant(const zh_outcome *outcomes, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++) {
    bool possible = outcomes[i].verdict != ZH_FAIL;
    bool was = outcomes[best].verdict != ZH_FAIL;
    int64_t now = outcomes[i].settled ? outcomes[i].high : 0,
            then = outcomes[best].settled ? outcomes[best].high : 0;
    if (possible && (!was || now > then)) best = i;
  }
  return best;
}
