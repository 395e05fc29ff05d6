/* Private to the page of a comparison: its document, its figures in words, its parts. */
#ifndef ZH_REPORTS_PAPER_COMPARE_H
#define ZH_REPORTS_PAPER_COMPARE_H

#include <stdbool.h>

#include "core/text.h"
#include "reports/paper.h"

enum { ZH_SHOWN = 512 };

typedef struct zh_compare_page {
  zh_paper p;
  const json_t *doc, *models;
} zh_compare_page;

typedef struct zh_shown {
  char text[ZH_SHOWN];
} zh_shown;

/* How figures of a task are written: shares in percent, differences of them in points. */
typedef struct zh_manner {
  bool shares, texts;
} zh_manner;

const char *zh_page_text(const json_t *object, const char *key);
double zh_page_number(const json_t *object, const char *key);
bool zh_page_flag(const json_t *object, const char *key);
const char *zh_page_label(const zh_compare_page *g, json_int_t model);
const char *zh_page_label_at(const zh_compare_page *g, const json_t *object, const char *key);
void zh_page_append(zh_text *out, const char *text, const char *between);
/* Sentences of a list in the language of the page. */
void zh_page_join(zh_text *out, const zh_compare_page *g, const json_t *list);
const char *zh_page_task_name(zh_compare_page *g, const json_t *task);
const json_t *zh_page_task_named(const zh_compare_page *g, const char *name);

zh_manner zh_page_manner(const json_t *task);
zh_shown zh_page_figure(double value, zh_manner m, bool difference);
zh_shown zh_page_between(double low, double high, zh_manner m, bool difference);
zh_shown zh_page_chance(double p);
zh_shown zh_page_whole(const json_t *value);
/* With its unit; digits follow the value. */
zh_shown zh_page_speed(double value, const char *unit);

/* --- parts --- */
void zh_page_speeds(zh_compare_page *g);
void zh_page_scores(zh_compare_page *g);
void zh_page_pairs(zh_compare_page *g);
void zh_page_front(zh_compare_page *g, const json_t *front);
void zh_page_damage(zh_compare_page *g);

#endif
