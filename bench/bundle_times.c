/* Where the time of each model's speed went, and the memory that was held for it, for people and
 * for programs. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "bench/bundle_print.h"
#include "core/text.h"

enum { NAME_COLUMNS = 38, TIME_COLUMNS = 12, SHARE_COLUMNS = 8 };

typedef struct words {
  const char *key, *zh, *en;
} words;

static const words STAGES[] = {
    {"products", "矩阵乘", "products"},
    {"attention", "注意力（含旋转编码与缓存）", "attention, rotation, cache"},
    {"rows", "归一化、加法、激活与舍入", "norms, sums, activations, rounding"},
    {"sums", "进程间求和与传递", "sums and states between ranks"},
    {"waiting", "线程相互等待", "threads waiting for each other"},
    {"choice", "选取词元", "choice of the token"},
    {"check", "计时内的自检", "self-check while timed"},
    {"other", "其余", "the rest"}};
enum { STAGE_COUNT = sizeof STAGES / sizeof STAGES[0] };

static const words TITLE = {"", "时间去向", "where the time goes"};
static const words EACH = {"", "（每个词元，取耗时居中的一次重复）",
                           " (one token, of the repeat with the median time)"};
static const words FLOOR = {"", "下限：", "floor: "};
static const words MEASURED = {"", "实测", "measured"};
static const words MEMORY = {"", "内存", "memory"};
static const words BY_FORMULA = {"", "按公式", "by formula"};
static const words WEIGHTS = {"", "权重", "weights"};
static const words CACHE = {"", "键值缓存", "keys and values"};
static const words ACTIVATIONS = {"", "激活", "activations"};
static const words HELD = {"", "实占", "held"};
static const words ANONYMOUS = {"", "匿名页", "anonymous"};
static const words MAPPED = {"", "映射文件", "mapped files"};
static const words PEAK = {"", "进程峰值", "the process's peak"};
static const words RANK = {"", "进程", "rank"};
static const words EXPERTS = {"", "专家", "experts"};
static const words COLUMNS = {"", "每个专家按列分给各进程", "columns of each on every rank"};
static const words WHOLE = {"", "各进程各持一部分完整的专家", "whole ones, a share of them a rank"};
static const words UNDIVIDED = {"", "未拆分", "undivided"};
static const words FULLEST = {"", "；最忙进程的词元数为平均的 ", "; the fullest rank had "};
static const words TIMES_MEAN = {"", " 倍，最多在第 ",
                                 " times the mean's tokens, at most in layer "};
static const words LAYER = {"", " 层：", ": "};
static const words TIMES = {"", " 倍", ""};
static const words COLON = {"", "：", ": "};
static const words SPACE = {"", " ", " "};
static const words OPEN = {"", "（", " ("};
static const words COMMA = {"", "，", ", "};
static const words CLOSE = {"", "）；", "); "};
static const words BEYOND = {"", "超出公式所允许的范围", "MORE THAN THE FORMULA ALLOWS"};

static const char *say(const words *w, const char *language) {
  return strcmp(language, "zh") == 0 ? w->zh : w->en;
}

/* --- for programs --- */

static const json_t *find_line(const json_t *measurements, const json_t *step) {
  const char *metric =
      zh_print_text(json_object_get(json_object_get(step, "facts"), "time"), "metric", "");
  size_t i;
  json_t *line;
  json_array_foreach(measurements, i, line) {
    if (strcmp(zh_print_text(line, "step", ""), zh_print_text(step, "step", "?")) == 0 &&
        strcmp(zh_print_text(line, "metric", ""), metric) == 0)
      return line;
  }
  return NULL;
}

/* Seconds for `work` units as fast as each limit allows, the longest first. */
static json_t *floors_of(const json_t *line, double work, double seconds) {
  const json_t *limits = json_object_get(line, "limits");
  json_t *list = json_array(), *limit;
  size_t i;
  json_array_foreach(limits, i, limit) {
    double floor = work * zh_print_real(limit, "per_unit") / zh_print_real(limit, "value");
    if (!isfinite(floor)) continue;
    json_array_append_new(list, json_pack("{s:O,s:O,s:O,s:O,s:f,s:o}", "limit",
                                          json_object_get(limit, "name"), "peak",
                                          json_object_get(limit, "value"), "unit",
                                          json_object_get(limit, "unit"), "per_unit",
                                          json_object_get(limit, "per_unit"), "seconds", floor,
                                          "share", zh_json_number(floor / seconds)));
  }
  return list;
}

static json_t *stages_of(const json_t *time, double seconds) {
  json_t *list = json_array();
  for (size_t i = 0; i < STAGE_COUNT; i++) {
    double spent = zh_print_real(json_object_get(time, "stages"), STAGES[i].key);
    if (!isfinite(spent)) continue;
    json_array_append_new(list, json_pack("{s:s,s:f,s:f}", "stage", STAGES[i].key, "seconds", spent,
                                          "share", spent / seconds));
  }
  return list;
}

zh_status zh_bundle_times(json_t **out, const json_t *run, const json_t *measurements,
                          zh_error *err) {
  json_t *list = json_array(), *step;
  size_t i;
  bool whole = list != NULL;
  json_array_foreach(json_object_get(run, "steps"), i, step) {
    const json_t *time = json_object_get(json_object_get(step, "facts"), "time");
    const json_t *line = find_line(measurements, step);
    double seconds = zh_print_real(time, "seconds"), work = zh_print_real(time, "work");
    if (!line || !(seconds > 0) || !(work > 0)) continue;
    json_t *entry =
        json_pack("{s:s,s:s,s:f,s:f,s:o,s:o}", "step", zh_print_text(step, "step", "?"), "metric",
                  zh_print_text(time, "metric", "?"), "work", work, "seconds", seconds, "floors",
                  floors_of(line, work, seconds), "stages", stages_of(time, seconds));
    whole = whole && entry && json_array_append_new(list, entry) == 0;
  }
  *out = whole ? list : NULL;
  if (whole) return ZH_OK;
  json_decref(list);
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for where the time went");
}

/* --- for people --- */

static void print_line(FILE *out, const char *name, double seconds, double share,
                       const char *because) {
  char time[64], percent[32];
  zh_print_quantity(time, seconds, "s");
  snprintf(percent, sizeof percent, "%.1f %%", 100 * share);
  zh_print_cell(out, name, NAME_COLUMNS, false, false);
  zh_print_cell(out, time, TIME_COLUMNS, true, false);
  zh_print_cell(out, percent, SHARE_COLUMNS, true, because[0] == '\0');
  if (because[0] != '\0') fprintf(out, "%s\n", because);
}

/* "floor: memory/read_all_cores  10.98 ms  98.6 %  98.81 MB ÷ 9.002 GB/s" */
static void print_floor(FILE *out, const json_t *floor, double work, const char *language) {
  char name[128], needed[64], peak[64], because[160], base[32];
  const char *unit = zh_print_text(floor, "unit", "");
  snprintf(base, sizeof base, "%.*s", (int)strcspn(unit, "/"), unit);
  snprintf(name, sizeof name, "  %s%s", say(&FLOOR, language), zh_print_text(floor, "limit", "?"));
  zh_print_quantity(needed, zh_print_real(floor, "per_unit"), base);
  zh_print_quantity(peak, zh_print_real(floor, "peak"), unit);
  snprintf(because, sizeof because, "%s ÷ %s", needed, peak);
  print_line(out, name, zh_print_real(floor, "seconds") / work, zh_print_real(floor, "share"),
             because);
}

static const char *stage_words(const char *key, const char *language) {
  for (size_t i = 0; i < STAGE_COUNT; i++)
    if (strcmp(STAGES[i].key, key) == 0) return say(&STAGES[i], language);
  return key;
}

static void print_one(FILE *out, const json_t *entry, const char *language) {
  double work = zh_print_real(entry, "work"), seconds = zh_print_real(entry, "seconds");
  char name[128];
  size_t i;
  json_t *part;
  fprintf(out, "%s  %s/%s%s\n", say(&TITLE, language), zh_print_text(entry, "step", "?"),
          zh_print_text(entry, "metric", "?"), say(&EACH, language));
  json_array_foreach(json_object_get(entry, "floors"), i, part) {
    print_floor(out, part, work, language);
  }
  snprintf(name, sizeof name, "  %s", say(&MEASURED, language));
  print_line(out, name, seconds / work, 1, "");
  json_array_foreach(json_object_get(entry, "stages"), i, part) {
    double spent = zh_print_real(part, "seconds");
    if (spent == 0) continue; /* this run had no such stage */
    snprintf(name, sizeof name, "    %s", stage_words(zh_print_text(part, "stage", "?"), language));
    print_line(out, name, spent / work, zh_print_real(part, "share"), "");
  }
  fprintf(out, "\n");
}

void zh_print_times(FILE *out, const json_t *times, const char *language) {
  size_t i;
  json_t *entry;
  json_array_foreach(times, i, entry) {
    print_one(out, entry, language);
  }
}

static void print_bytes(FILE *out, const words *before, const words *name, const json_t *object,
                        const char *key, const char *language) {
  char bytes[64];
  zh_print_quantity(bytes, zh_print_real(object, key), "B");
  fprintf(out, "%s%s %s", say(before, language), say(name, language), bytes);
}

static void print_held(FILE *out, const char *step, const json_t *memory, const char *language) {
  const json_t *formula = json_object_get(memory, "formula"),
               *held = json_object_get(memory, "held");
  fprintf(out, "%s  %s", say(&MEMORY, language), step);
  print_bytes(out, &COLON, &BY_FORMULA, formula, "total", language);
  print_bytes(out, &OPEN, &WEIGHTS, formula, "weights", language);
  print_bytes(out, &COMMA, &CACHE, formula, "kv", language);
  print_bytes(out, &COMMA, &ACTIVATIONS, formula, "activations", language);
  print_bytes(out, &CLOSE, &HELD, held, "total", language);
  print_bytes(out, &OPEN, &ANONYMOUS, held, "anonymous", language);
  print_bytes(out, &COMMA, &MAPPED, held, "file", language);
  print_bytes(out, &CLOSE, &PEAK, held, "peak", language);
}

/* "  rank 1, GPU 1: by formula weights 84.1 GB, keys and values 281 MB, activations 790 MB" */
static void print_parts(FILE *out, const json_t *parts, const char *language) {
  size_t i;
  json_t *part;
  json_array_foreach(parts, i, part) {
    const json_t *gpu = json_object_get(part, "gpu");
    fprintf(out, "  %s %.0f", say(&RANK, language), zh_print_real(part, "rank"));
    if (json_is_object(gpu))
      fprintf(out, "%sGPU %.0f", say(&COMMA, language), zh_print_real(gpu, "index"));
    fprintf(out, "%s%s", say(&COLON, language), say(&BY_FORMULA, language));
    print_bytes(out, &SPACE, &WEIGHTS, part, "memory_weights_bytes", language);
    print_bytes(out, &COMMA, &CACHE, part, "memory_kv_bytes", language);
    print_bytes(out, &COMMA, &ACTIVATIONS, part, "memory_activations_bytes", language);
    fprintf(out, "\n");
  }
}

/* "experts  decode@m: whole ones, a share of them a rank; the fullest rank had 1.31 times the
 * mean's tokens, at most in layer 5: 1.90" */
static void print_experts(FILE *out, const char *step, const json_t *fact, const char *language) {
  const char *held = zh_print_text(fact, "held", "");
  const words *how = strcmp(held, "whole") == 0     ? &WHOLE
                     : strcmp(held, "columns") == 0 ? &COLUMNS
                                                    : &UNDIVIDED;
  if (!json_is_object(fact)) return;
  fprintf(out, "%s  %s%s%s", say(&EXPERTS, language), step, say(&COLON, language),
          say(how, language));
  if (json_is_number(json_object_get(fact, "imbalance")))
    fprintf(out, "%s%.2f%s%.0f%s%.2f%s", say(&FULLEST, language), zh_print_real(fact, "imbalance"),
            say(&TIMES_MEAN, language), zh_print_real(fact, "imbalance_most_layer"),
            say(&LAYER, language), zh_print_real(fact, "imbalance_most"), say(&TIMES, language));
  fprintf(out, "\n");
}

void zh_print_memory(FILE *out, const json_t *run, const char *language, bool colour) {
  size_t i;
  json_t *step;
  bool any = false;
  json_array_foreach(json_object_get(run, "steps"), i, step) {
    const json_t *facts = json_object_get(step, "facts"),
                 *memory = json_object_get(facts, "memory"),
                 *experts = json_object_get(facts, "experts");
    any |= json_is_object(memory) || json_is_object(experts);
    if (json_is_object(memory)) {
      print_held(out, zh_print_text(step, "step", "?"), memory, language);
      if (json_is_false(json_object_get(memory, "passed")))
        fprintf(out, "  %s%s%s", colour ? "\033[1;31m" : "", say(&BEYOND, language),
                colour ? "\033[0m" : "");
      fprintf(out, "\n");
      print_parts(out, json_object_get(facts, "parts"), language);
    }
    print_experts(out, zh_print_text(step, "step", "?"), experts, language);
  }
  if (any) fprintf(out, "\n");
}
