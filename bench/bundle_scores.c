/* The scores of a bundle's examinations, for people. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/bundle_print.h"

typedef struct words {
  const char *task, *filter, *metric, *value, *no_error, *computed, *asked, *seconds, *seed,
      *protocol, *curves, *below, *above;
} words;
static const words IN_ENGLISH = {"task",
                                 "filter",
                                 "metric",
                                 "value",
                                 "all items alike: no error can be told",
                                 "tokens computed",
                                 "asked",
                                 "seconds",
                                 "seed of made items",
                                 "protocol",
                                 "% right at each level (Wilson's 95 % interval), and the level at "
                                 "which half is right",
                                 "below the first",
                                 "above the last"};
static const words IN_CHINESE = {"任务",
                                 "过滤器",
                                 "指标",
                                 "值",
                                 "各题得分全同，无法估计误差",
                                 "计算词元",
                                 "提问词元",
                                 "秒数",
                                 "现场出题的种子",
                                 "评测协议",
                                 "各难度级的正确率 %（Wilson 95% 区间），及正确率达到一半的级别",
                                 "低于最低一级",
                                 "高于最高一级"};

enum { TASK_WIDTH = 34, FILTER_WIDTH = 18, METRIC_WIDTH = 20, VALUE_WIDTH = 10, CURVE_WIDTH = 26 };

static void print_heading(FILE *out, const words *w) {
  zh_print_cell(out, w->task, TASK_WIDTH, false, false);
  zh_print_cell(out, w->filter, FILTER_WIDTH, false, false);
  zh_print_cell(out, w->metric, METRIC_WIDTH, false, false);
  zh_print_cell(out, w->value, VALUE_WIDTH, true, true);
}

static void print_figure(FILE *out, const json_t *figure, bool same, const words *w) {
  char name[160], value[64];
  int depth = (int)json_integer_value(json_object_get(figure, "depth"));
  double number = zh_print_real(figure, "value"), error = zh_print_real(figure, "stderr");
  snprintf(name, sizeof name, "%*s%.120s", depth < 0 || depth > 16 ? 0 : 2 * depth, "",
           same ? "" : zh_print_text(figure, "alias", "?"));
  zh_print_cell(out, name, TASK_WIDTH, false, false);
  zh_print_cell(out, zh_print_text(figure, "filter", "?"), FILTER_WIDTH, false, false);
  zh_print_cell(out, zh_print_text(figure, "metric", "?"), METRIC_WIDTH, false, false);
  snprintf(value, sizeof value, "%.4f", number);
  if (isnan(number)) snprintf(value, sizeof value, "?");
  bool told = error > 0, alike = json_is_true(json_object_get(figure, "alike")) || error == 0;
  zh_print_cell(out, value, VALUE_WIDTH, true, !told && !alike);
  if (told) fprintf(out, "± %.4f\n", error);
  if (alike) fprintf(out, "%s\n", w->no_error);
}

/* What others have to say of the data sets: {"zh","en"} each. */
static void print_sources(FILE *out, const json_t *quality, const char *language) {
  size_t i;
  json_t *source;
  json_array_foreach(json_object_get(quality, "sources"), i, source) {
    fprintf(out, "%s\n", zh_print_text(source, language, "?"));
  }
}

/* "1.7", or on which side of all levels. */
static void print_half(FILE *out, const json_t *half, const words *w) {
  double level = zh_print_real(half, "level");
  if (!isnan(level))
    fprintf(out, "%.1f\n", level);
  else
    fprintf(out, "%s\n",
            strcmp(zh_print_text(half, "side", ""), "below") == 0 ? w->below : w->above);
}

/* Of made items: the share of right answers at each level, with Wilson's interval. */
static void print_curves(FILE *out, const json_t *curves, const words *w) {
  size_t i, k;
  json_t *curve, *at;
  if (json_array_size(curves) > 0) fprintf(out, "\n%s\n", w->curves);
  json_array_foreach(curves, i, curve) {
    zh_print_cell(out, zh_print_text(curve, "task", "?"), CURVE_WIDTH, false, false);
    json_array_foreach(json_object_get(curve, "points"), k, at) {
      char shown[40];
      snprintf(shown, sizeof shown, "%.0f (%.0f-%.0f)", 100 * zh_print_real(at, "value"),
               100 * zh_print_real(at, "low"), 100 * zh_print_real(at, "high"));
      zh_print_cell(out, shown, VALUE_WIDTH + 2, true, false);
    }
    fprintf(out, "  ");
    print_half(out, json_object_get(curve, "half"), w);
  }
}

static void print_step(FILE *out, const json_t *step, const json_t *quality, const char *language) {
  const words *w = strcmp(language, "zh") == 0 ? &IN_CHINESE : &IN_ENGLISH;
  const json_t *tokens = json_object_get(quality, "tokens"), *before = NULL;
  const char *protocol = zh_print_text(json_object_get(quality, "protocol"), "sm3", "");
  size_t i;
  json_t *figure;
  fprintf(out, "%s\n", zh_print_text(step, "step", "?"));
  print_heading(out, w);
  json_array_foreach(json_object_get(quality, "figures"), i, figure) {
    bool same = before &&
                strcmp(zh_print_text(before, "name", ""), zh_print_text(figure, "name", "?")) == 0;
    print_figure(out, figure, same, w);
    before = figure;
  }
  fprintf(out, "%s %.0f, %s %.0f, %s %.1f, %s %lld\n", w->computed,
          zh_print_real(tokens, "computed"), w->asked, zh_print_real(tokens, "asked"), w->seconds,
          zh_print_real(quality, "seconds"), w->seed,
          (long long)json_integer_value(json_object_get(quality, "seed")));
  if (protocol[0]) fprintf(out, "%s SM3 %s\n", w->protocol, protocol);
  print_sources(out, quality, language);
  print_curves(out, json_object_get(quality, "curves"), w);
}

void zh_bundle_scores(void *out_file, const json_t *run, const char *language) {
  size_t i;
  json_t *step;
  json_array_foreach(json_object_get(run, "steps"), i, step) {
    const json_t *quality = json_object_get(json_object_get(step, "facts"), "quality");
    if (json_is_object(quality) && strcmp(zh_print_text(step, "status", ""), "done") == 0)
      print_step(out_file, step, quality, language);
  }
}
