#include "cli/audit_live.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "bench/liveness/liveness.h"
#include "core/clock.h"
#include "core/progress.h"
#include "core/text.h"
#include "evaluator/evaluator.h"

static void show_progress(void *user, size_t done, size_t all) {
  const int64_t *began_ns = user;
  double seconds = (double)(zh_now_ns() - *began_ns) / 1e9;
  if (done == 0 || seconds <= 0) return;
  zh_progress_detail("probe %zu of %zu, %.0f s left", done, all,
                     seconds * (double)(all - done) / (double)done);
}

static zh_status choose_seed(uint64_t *out, const zh_audit_live *wanted, zh_error *err) {
  *out = wanted->seed;
  if (wanted->seed_given || getrandom(out, sizeof *out, 0) == (ssize_t)sizeof *out) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "the system gives no random seed: %s", strerror(errno));
}

zh_status zh_audit_live_add(json_t *document, const zh_model *model, const zh_audit_live *wanted,
                            zh_error *err) {
  int64_t began_ns = zh_now_ns();
  json_t *live = NULL;
  zh_liveness_options options = {.probes = wanted->probes ? wanted->probes : ZH_AUDIT_PROBES,
                                 .progress = show_progress,
                                 .progress_user = &began_ns};
  ZH_TRY(choose_seed(&options.seed, wanted, err));
  zh_progress_step(1, 1, "changing %" PRIu32 " weights, one at a time", options.probes);
  zh_status status = zh_liveness_of_model(&live, model, 0, &options, err);
  zh_progress_done("%s", status != ZH_OK ? "failed" : "done");
  ZH_TRY(status);
  if (json_object_set_new(document, "live", live) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the account of the probes");
}

zh_status zh_audit_for_run(json_t **out, const char *model, void *live, zh_error *err) {
  zh_model *opened = NULL;
  const zh_audit_live *wanted = live;
  ZH_TRY(zh_model_open(&opened, model, err));
  zh_status status = zh_audit(out, opened, err);
  if (status == ZH_OK && wanted->wanted) status = zh_audit_live_add(*out, opened, wanted, err);
  zh_model_free(opened);
  return status;
}

static json_int_t number_of(const json_t *object, const char *key) {
  return json_integer_value(json_object_get(object, key));
}

static double real_of(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "-";
}

static void print_strata(const json_t *strata) {
  const json_t *stratum;
  size_t i;
  json_array_foreach(strata, i, stratum) printf(
      "  %-10s %6" JSON_INTEGER_FORMAT " of %6" JSON_INTEGER_FORMAT "   at least %.2f %% of them\n",
      text_of(stratum, "role"), number_of(stratum, "changed"), number_of(stratum, "probes"),
      100 * real_of(stratum, "lower_bound_95"));
}

static void print_experts(const json_t *live) {
  const json_t *experts = json_object_get(live, "experts");
  json_int_t all = number_of(experts, "all"), reached = number_of(experts, "reached");
  if (!json_is_object(experts)) return;
  printf("  experts: tokens were sent to %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
         ", to %" JSON_INTEGER_FORMAT " of them by the two texts\n",
         reached, all, number_of(experts, "reached_by_texts"));
  if (number_of(live, "not_reached") > 0)
    printf("  not reached: %" JSON_INTEGER_FORMAT
           " probes of the others are neither live nor dead, and count as not shown\n",
           number_of(live, "not_reached"));
}

static void print_not_live(const json_t *examples) {
  const json_t *e;
  size_t i;
  if (json_array_size(examples) > 0) printf("  Not live, for example:\n");
  json_array_foreach(examples, i, e) {
    printf("    %s", text_of(e, "tensor"));
    if (json_is_integer(json_object_get(e, "expert")))
      printf(" expert %" JSON_INTEGER_FORMAT, number_of(e, "expert"));
    printf(" row %" JSON_INTEGER_FORMAT " column %" JSON_INTEGER_FORMAT
           ": %.6g to %.6g changes logits by %.3g (%s)\n",
           number_of(e, "row"), number_of(e, "column"), real_of(e, "was"), real_of(e, "is"),
           real_of(e, "change"), text_of(e, "outcome"));
  }
}

void zh_audit_live_print(const json_t *document) {
  const json_t *live = json_object_get(document, "live");
  char population[32];
  if (live == NULL) return;
  printf("\nLive (each probe changes one weight, and looks at the logits)\n");
  if (!json_is_true(json_object_get(live, "measured"))) {
    printf("  not measured: %s\n", text_of(live, "reason"));
    return;
  }
  zh_group_digits(population, sizeof population, (uint64_t)number_of(live, "population"));
  printf("  %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
         " probes changed the logits by more than rounding does (%.3g)\n"
         "  with 95 %% confidence at least %.2f %% of the %s parameters change the output\n",
         number_of(live, "changed"), number_of(live, "probes"), real_of(live, "floor"),
         100 * real_of(live, "lower_bound_95"), population);
  print_experts(live);
  print_strata(json_object_get(live, "strata"));
  print_not_live(json_object_get(live, "not_live"));
  printf("  seed %s, %s kernels, %.1f s\n", text_of(live, "seed"), text_of(live, "kernels"),
         real_of(live, "seconds"));
}
