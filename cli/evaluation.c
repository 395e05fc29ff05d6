/* An evaluation as people read it on a terminal: each amount with its figure, the conditions that
 * are not met, the questions for the authority, and what it would take. The file has the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/text.h"
#include "evaluator/exact.h"

enum { LINES_MAX = 24, READINGS_MAX = 8, VERDICT_COLUMNS = 15, CLAUSE_COLUMNS = 12 };

typedef struct page {
  const json_t *evaluation;
  const char *language;
  bool zh;
} page;

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static const char *phrase_of(const page *p, const json_t *object, const char *key) {
  return text_of(json_object_get(object, key), p->language);
}

static const char *either(const page *p, const char *zh, const char *en) {
  return p->zh ? zh : en;
}

static const char *verdict_of(const page *p, const json_t *object) {
  static const char *const words[][3] = {{"pass", "符合", "pass"},
                                         {"fail", "不符合", "FAIL"},
                                         {"undetermined", "不能判定", "undetermined"},
                                         {"not_applicable", "不适用", "not applicable"}};
  const char *verdict = text_of(object, "verdict");
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp(words[i][0], verdict) == 0) return words[i][p->zh ? 1 : 2];
  }
  return verdict;
}

static bool is(const json_t *object, const char *key, const char *word) {
  return strcmp(text_of(object, key), word) == 0;
}

/* With a blank behind what fills its columns. */
static void print_padded(const char *text, int columns) {
  zh_cli_put_padded(text, columns - 1);
  putchar(' ');
}

static void print_title(const page *p, const char *zh, const char *en) {
  printf("\n%s\n", either(p, zh, en));
}

/* --- money --- */

/* "16400050.00", as evaluation.json writes it, in 分. */
static int64_t fen_of(const char *yuan) {
  char *end;
  int64_t whole = strtoll(yuan, &end, 10);
  return whole * 100 + (*end == '.' ? strtoll(end + 1, NULL, 10) : 0);
}

static void print_money(const page *p, const char *yuan) {
  char text[48];
  if (p->zh)
    printf("%s 万元", zh_wan_yuan_text(text, sizeof text, fen_of(yuan)));
  else
    printf("%s yuan", zh_yuan_text(text, sizeof text, fen_of(yuan)));
}

/* The figure of an amount or of one reading of it; "—" where there is none. */
static void print_figure(const page *p, const json_t *amount) {
  const json_t *range = json_object_get(amount, "range");
  if (json_is_string(json_object_get(amount, "up_to_yuan"))) {
    printf("%s", either(p, "最多 ", "up to "));
    print_money(p, text_of(amount, "up_to_yuan"));
  } else if (json_is_string(json_object_get(range, "high_yuan"))) {
    print_money(p, text_of(range, "low_yuan"));
    printf("%s", either(p, " 至 ", " to "));
    print_money(p, text_of(range, "high_yuan"));
  } else {
    printf("—");
  }
}

/* --- amounts --- */

static const json_t *reading_of(const page *p, const char *id) {
  const json_t *reading;
  size_t i;
  json_array_foreach(json_object_get(p->evaluation, "readings"), i, reading) {
    if (is(reading, "reading", id)) return reading;
  }
  return NULL;
}

static const char *choice_name(const page *p, const char *reading, const char *choice) {
  const json_t *entry;
  size_t i;
  json_array_foreach(json_object_get(reading_of(p, reading), "choices"), i, entry) {
    if (is(entry, "choice", choice)) return phrase_of(p, entry, "name");
  }
  return choice;
}

/* "总参数量；只算牵头单位" */
static void print_choices(const page *p, const json_t *choices) {
  const char *reading, *before = "";
  const json_t *choice;
  json_object_foreach((json_t *)choices, reading, choice) {
    printf("%s%s", before, choice_name(p, reading, json_string_value(choice)));
    before = either(p, "；", "; ");
  }
}

static void print_readings(const page *p, const json_t *rows) {
  const json_t *row;
  size_t i;
  json_array_foreach(rows, i, row) {
    if (json_object_size(json_object_get(row, "choices")) == 0) return;
    if (i == READINGS_MAX) {
      printf(either(p, "    … 其余 %zu 种读法见文件\n", "    … %zu more readings in the file\n"),
             json_array_size(rows) - i);
      return;
    }
    printf("    %s", either(p, "读作：", "if read as: "));
    print_choices(p, json_object_get(row, "choices"));
    printf("%s%s", either(p, "：", ": "), verdict_of(p, row));
    if (!is(row, "verdict", "fail")) {
      printf("%s", either(p, "，", ", "));
      print_figure(p, row);
    }
    printf("\n");
  }
}

/* Of an amount that fails: what failed, and what would have to be otherwise. */
static void print_failures(const page *p, const json_t *wanted) {
  const json_t *entry;
  size_t i;
  json_array_foreach(wanted, i, entry) {
    if (is(entry, "verdict", "fail")) printf("    %s\n", phrase_of(p, entry, "text"));
  }
}

static void print_amount(const page *p, const json_t *amount) {
  const json_t *clause = json_object_get(amount, "clause");
  printf("  ");
  print_padded(verdict_of(p, amount), VERDICT_COLUMNS);
  print_padded(text_of(clause, "id"), CLAUSE_COLUMNS);
  printf("%s\n", phrase_of(p, amount, "title"));
  if (is(amount, "verdict", "fail")) {
    print_failures(p, json_object_get(amount, "would_take"));
    return;
  }
  printf("    %s\n", phrase_of(p, amount, "statement"));
  print_readings(p, json_object_get(amount, "readings"));
}

/* --- conditions --- */

/* Whether a finding shows that some amount needs this clause. */
static bool is_needed(const page *p, const json_t *clause) {
  const json_t *finding;
  size_t i;
  json_array_foreach(json_object_get(p->evaluation, "findings"), i, finding) {
    const json_t *of = json_object_get(finding, "clause");
    if (strcmp(text_of(of, "id"), text_of(clause, "clause")) == 0 &&
        strcmp(phrase_of(p, of, "heading"), phrase_of(p, clause, "heading")) == 0)
      return true;
  }
  return false;
}

/* Counts of a model, each under the reading that it belongs to. */
static void print_counts(const page *p) {
  const json_t *finding;
  size_t i;
  json_array_foreach(json_object_get(p->evaluation, "findings"), i, finding) {
    const json_t *value = json_object_get(finding, "value");
    char digits[32];
    if (!json_is_integer(value) || !json_is_string(json_object_get(finding, "model"))) continue;
    printf("  ");
    print_padded(verdict_of(p, finding), VERDICT_COLUMNS);
    print_padded(text_of(json_object_get(finding, "clause"), "id"), CLAUSE_COLUMNS);
    printf("%s  %s  %s\n", text_of(finding, "model"), phrase_of(p, finding, "statement"),
           zh_group_digits(digits, sizeof digits, (uint64_t)json_integer_value(value)));
  }
}

static void print_conditions(const page *p) {
  const json_t *clause;
  size_t i;
  print_title(p, "条件（按条款）", "Conditions, by clause");
  json_array_foreach(json_object_get(p->evaluation, "clauses"), i, clause) {
    if (!is(clause, "kind", "condition") || !is_needed(p, clause)) continue;
    printf("  ");
    print_padded(verdict_of(p, clause), VERDICT_COLUMNS);
    print_padded(text_of(clause, "clause"), CLAUSE_COLUMNS);
    printf("%s\n", phrase_of(p, clause, "heading"));
  }
  json_array_foreach(json_object_get(p->evaluation, "findings"), i, clause) {
    if (!is(clause, "id", "validity")) continue;
    printf("  ");
    print_padded(verdict_of(p, clause), VERDICT_COLUMNS);
    print_padded(text_of(json_object_get(clause, "clause"), "id"), CLAUSE_COLUMNS);
    printf("%s\n", phrase_of(p, clause, "statement"));
  }
  print_counts(p);
}

/* --- the lawful combination --- */

static void print_names(const page *p, const json_t *ids) {
  const json_t *id, *grant;
  size_t i, k;
  json_array_foreach(ids, i, id) {
    json_array_foreach(json_object_get(p->evaluation, "grants"), k, grant) {
      if (is(grant, "id", json_string_value(id)))
        printf("%s%s", i > 0 ? either(p, "＋", " + ") : "", phrase_of(p, grant, "title"));
    }
  }
}

static void print_solution(const page *p, const json_t *solution) {
  print_names(p, json_object_get(solution, "chosen"));
  printf("%s", either(p, "，最多 ", ": up to "));
  print_money(p, text_of(solution, "up_to_yuan"));
}

/* Under the first readings; where the sum differs between readings, the file has each. */
static void print_combination(const page *p) {
  const json_t *all = json_object_get(p->evaluation, "combination"),
               *first = json_array_get(json_object_get(all, "by_reading"), 0);
  bool open = !json_is_string(json_object_get(all, "up_to_yuan"));
  const json_t *best = json_object_get(first, "certain"), *second;
  if (json_array_size(json_object_get(p->evaluation, "grants")) < 2) return;
  if (json_array_size(json_object_get(best, "chosen")) == 0)
    best = json_object_get(first, "if_all_hold");
  if (json_array_size(json_object_get(best, "chosen")) == 0) return;
  bool sure = best == json_object_get(first, "certain");
  print_title(p, sure ? "合法组合中金额最高的" : "条件若全部成立，合法组合中金额最高的",
              sure ? "Best lawful combination" : "Best lawful combination if every condition held");
  printf("  ");
  print_solution(p, best);
  printf("\n");
  second = json_object_get(best, "alternative");
  if (json_is_object(second)) {
    printf("  %s", either(p, "其次：", "next: "));
    print_solution(p, second);
    printf("\n");
  }
  if (open)
    printf("  %s\n", either(p, "合计取决于读法，或取决于尚未明确的事项；各种读法下的组合见文件。",
                            "The sum depends on the reading, or on what is not settled; the file "
                            "has all of them."));
}

/* --- questions, and what it would take --- */

static void print_questions(const page *p) {
  const json_t *reading, *choice;
  size_t i, k, shown = 0;
  json_array_foreach(json_object_get(p->evaluation, "readings"), i, reading) {
    if (json_array_size(json_object_get(reading, "decides")) == 0) continue;
    if (shown++ == 0) print_title(p, "须向主管部门询问", "Questions for the authority");
    printf("  %zu. %s\n", shown, phrase_of(p, reading, "question"));
    json_array_foreach(json_object_get(reading, "choices"), k, choice)
        printf("     - %s%s%s\n", phrase_of(p, choice, "name"), either(p, "：", ": "),
               phrase_of(p, choice, "ground"));
  }
}

/* What is wanted for amounts that are still possible, each once; questions stand above. */
static json_t *collect_wanted(const page *p) {
  json_t *wanted = json_object();
  const json_t *grant, *entry;
  size_t i, k;
  json_array_foreach(json_object_get(p->evaluation, "grants"), i, grant) {
    if (is(grant, "verdict", "fail")) continue;
    json_array_foreach(json_object_get(grant, "would_take"), k, entry) {
      if (reading_of(p, text_of(entry, "id")) != NULL) continue;
      json_object_set(wanted, phrase_of(p, entry, "text"), (json_t *)entry);
    }
  }
  return wanted;
}

static void print_wanted(const page *p) {
  json_t *wanted = collect_wanted(p);
  const char *text;
  const json_t *entry;
  size_t shown = 0, count = json_object_size(wanted);
  if (count > 0) print_title(p, "还差什么", "What it would take");
  json_object_foreach(wanted, text, entry) {
    if (shown == LINES_MAX) {
      printf(either(p, "  … 其余 %zu 项见文件\n", "  … %zu more in the file\n"), count - shown);
      break;
    }
    printf("  - %s\n", text);
    shown++;
  }
  json_decref(wanted);
}

/* --- the whole --- */

static void print_head(const page *p) {
  const json_t *evaluation = p->evaluation, *mark;
  const char *applicant = text_of(json_object_get(evaluation, "applicant"), "name"),
             *model = text_of(json_object_get(evaluation, "subject"), "model");
  size_t i;
  printf("%s\n", phrase_of(p, json_object_get(evaluation, "policy"), "title"));
  if (applicant[0] != '\0' || model[0] != '\0')
    printf("%s%s%s\n", applicant, applicant[0] != '\0' && model[0] != '\0' ? "  " : "", model);
  json_array_foreach(json_object_get(evaluation, "marks"), i, mark)
      printf("! %s\n", text_of(mark, p->language));
}

void zh_cli_print_evaluation(const json_t *evaluation, const char *file) {
  page p = {.evaluation = evaluation, .language = zh_cli_language()};
  const json_t *amount;
  size_t i;
  p.zh = strcmp(p.language, "zh") == 0;
  print_head(&p);
  print_title(&p, "支持项目", "Amounts");
  json_array_foreach(json_object_get(evaluation, "grants"), i, amount) print_amount(&p, amount);
  print_conditions(&p);
  print_combination(&p);
  print_questions(&p);
  print_wanted(&p);
  printf("\n%s\n%s%s\n", phrase_of(&p, evaluation, "summary"),
         either(&p, "依据、摘要与推理过程：", "Evidence, digests and the reasoning: "), file);
}
