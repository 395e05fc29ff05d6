/* A page of sections, each with sentences, a table and drawings: laid out once, and written as
 * HTML, Markdown or text for a terminal. Words come from one section of templates/glossary.yaml. */
#ifndef ZH_REPORTS_PAPER_H
#define ZH_REPORTS_PAPER_H

#include <stdbool.h>

#include "core/json.h"
#include "core/status.h"

typedef struct zh_paper {
  const char *language, *subject; /* subject: the section of the glossary */
  json_t *words, *root;
  json_t *section, *table, *row; /* under way; borrowed */
  const char *columns;
} zh_paper;

ZH_MUST_CHECK zh_status zh_paper_begin(zh_paper *out, const char *subject, const char *language,
                                       zh_error *err);
void zh_paper_clear(zh_paper *paper);

/* The word for a key; "prefix rest" finds "prefix *". Borrowed until the paper is cleared. */
const char *zh_paper_word(zh_paper *paper, const char *key);
const char *zh_paper_word_of(zh_paper *paper, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void zh_paper_section(zh_paper *paper, const char *title);
void zh_paper_sentence(zh_paper *paper, const char *text);
/* keys: words of the head, between '|'; columns: a letter each, 't' text, 'n' number. */
void zh_paper_table(zh_paper *paper, const char *columns, const char *keys);
void zh_paper_row(zh_paper *paper);
void zh_paper_cell(zh_paper *paper, const char *text); /* NULL: a dash */
/* kind: "scatter", "rows" or "heat"; model: of chart.h; stolen. Forms without drawings leave the
 * caption out, too. */
void zh_paper_chart(zh_paper *paper, const char *kind, const char *caption, json_t *model);

/* The caller frees *out. */
ZH_MUST_CHECK zh_status zh_paper_html(char **out, const zh_paper *paper, zh_error *err);
ZH_MUST_CHECK zh_status zh_paper_markdown(char **out, const zh_paper *paper, zh_error *err);
ZH_MUST_CHECK zh_status zh_paper_terminal(char **out, const zh_paper *paper, zh_error *err);

#endif
