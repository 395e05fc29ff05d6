/* An answer computed again from an empty cache, in other batches than the timed one. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"
#include "bench/engine/trial.h"

enum { STREAM_CUT = 1001 };

/* How far a replayed logit may lie from the timed one, relative to the largest of the logits: where
 * kernels sum in fp32, one token and many tokens may be summed in different orders.
 * docs/metrics.md, "Self-check". */
static const double REPLAY_RELATIVE = 1e-3;

/* Where kernels sum in fp64, batches do not change the bits. */
static double replay_bound(const zh_trial *trial) {
  if (zh_engine_arithmetic(trial->engine).fp64_sums) return 0;
  double largest = 0;
  for (size_t i = 0; i < trial->vocab; ++i) largest = fmax(largest, fabs((double)trial->logits[i]));
  return REPLAY_RELATIVE * largest;
}

zh_status zh_trial_judge_replay(zh_trial *trial, uint32_t token, float timed, uint32_t position,
                                uint32_t sequence, zh_error *err) {
  double again = trial->logits[token], error = fabs((double)timed - again);
  double bound = replay_bound(trial);
  bool passed = error <= bound;
  char what[128];
  snprintf(what, sizeof what, "position %" PRIu32 " of sequence %" PRIu32 " from an empty cache",
           position, sequence);
  ZH_TRY(zh_trial_record(trial, "replay", what, bound, error, passed, err));
  if (passed) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "replay: %s gives token %" PRIu32
                 " a logit of %.9g, the timed run gave %.9g; the error %.3g is over the bound %.3g",
                 what, token, again, (double)timed, error, bound);
}

/* Tokens [first, last) of the feed, as in a call of `as` tokens. */
static zh_status recompute_part(zh_trial *trial, const zh_feed *feed, size_t first, size_t last,
                                size_t as, zh_error *err) {
  zh_engine *engine = trial->engine;
  if (first >= last) return ZH_OK;
  engine->way_is_set = true;
  engine->way = zh_way_of(as);
  engine->expert_way = zh_expert_way(&engine->weights.total.architecture, as);
  zh_status status =
      zh_engine_forward(engine, feed->token + first, feed->position + first, feed->sequence + first,
                        last - first, NULL, trial->logits, err);
  engine->way_is_set = false;
  return status;
}

/* The same, in two parts where `cut` lies inside. */
static zh_status recompute_parts(zh_trial *trial, const zh_feed *feed, size_t first, size_t last,
                                 size_t cut, size_t as, zh_error *err) {
  if (cut <= first || cut >= last) return recompute_part(trial, feed, first, last, as, err);
  ZH_TRY(recompute_part(trial, feed, first, cut, as, err));
  return recompute_part(trial, feed, cut, last, as, err);
}

zh_status zh_trial_share_logits(zh_trial *trial, zh_error *err) {
  return zh_engine_share(trial->engine, trial->logits, trial->vocab * sizeof *trial->logits, err);
}

zh_status zh_trial_recompute(zh_trial *trial, const uint32_t *tokens, size_t length,
                             uint32_t sequence, zh_ways ways, zh_error *err) {
  zh_feed feed;
  size_t cut = length > 1 ? 1 + zh_trial_draw(trial, STREAM_CUT) % (length - 1) : length,
         lead = ways.lead < length ? ways.lead : length;
  ZH_TRY(zh_feed_create(&feed, tokens, 1, length, 0, length, err));
  for (size_t i = 0; i < length; ++i) feed.sequence[i] = sequence;
  zh_engine_poison(trial->engine, sequence, 0);
  zh_status status = recompute_parts(trial, &feed, 0, lead, cut, ways.before, err);
  if (status == ZH_OK) status = recompute_parts(trial, &feed, lead, length, cut, ways.after, err);
  zh_feed_free(&feed);
  return status == ZH_OK ? zh_trial_share_logits(trial, err) : status;
}

zh_status zh_trial_replay(zh_trial *trial, const uint32_t *tokens, size_t length, uint32_t sequence,
                          zh_ways ways, const zh_answer *expected, zh_error *err) {
  zh_answer again = {0};
  uint32_t position = (uint32_t)length - 1;
  ZH_TRY(zh_trial_recompute(trial, tokens, length, sequence, ways, err));
  ZH_TRY(zh_trial_answer(&again, trial, trial->logits, tokens[position], position, err));
  ZH_TRY(zh_trial_judge_replay(trial, expected->chosen, zh_answer_logit(expected), position,
                               sequence, err));
  double lead = (double)zh_answer_logit(&again) - trial->logits[expected->chosen];
  if (again.chosen == expected->chosen || lead <= replay_bound(trial)) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "replay: position %" PRIu32 " of sequence %" PRIu32 " chose token %" PRIu32
                 ", the timed run %" PRIu32 "; their logits differ by %.3g",
                 position, sequence, again.chosen, expected->chosen, lead);
}
