#include "reports/paper.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "reports/chart.h"
#include "reports/glossary.h"
#include "reports/mustache_shim.h"
#include "reports/render.h"

zh_status zh_paper_begin(zh_paper *out, const char *subject, const char *language, zh_error *err) {
  *out = (zh_paper){.language = language, .subject = subject};
  if (strcmp(language, "zh") != 0 && strcmp(language, "en") != 0)
    return zh_fail(err, ZH_ERR_USAGE, "reports are written in zh or en, not '%.32s'", language);
  ZH_TRY(zh_glossary_load(&out->words, language, err));
  out->root =
      json_pack("{s:s, s:s, s:[]}", "language", strcmp(language, "zh") == 0 ? "zh-CN" : "en",
                "title", zh_paper_word(out, "title"), "sections");
  return out->root != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for a page");
}

void zh_paper_clear(zh_paper *paper) {
  json_decref(paper->words);
  json_decref(paper->root);
  *paper = (zh_paper){.language = NULL};
}

/* Words made of a pattern live as long as the paper. */
const char *zh_paper_word(zh_paper *paper, const char *key) {
  json_t *word = zh_glossary_word(paper->words, paper->subject, key);
  json_t *kept = json_object_get(paper->words, "kept words");
  if (kept == NULL) json_object_set_new(paper->words, "kept words", kept = json_array());
  json_array_append_new(kept, word);
  const char *text = json_string_value(word);
  return text != NULL ? text : "";
}

const char *zh_paper_word_of(zh_paper *paper, const char *format, ...) {
  char key[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(key, sizeof key, format, arguments);
  va_end(arguments);
  key[zh_utf8_valid_prefix(key, strlen(key))] = '\0';
  return zh_paper_word(paper, key);
}

void zh_paper_section(zh_paper *paper, const char *title) {
  json_t *sections = json_object_get(paper->root, "sections");
  json_array_append_new(sections, json_pack("{s:s, s:[], s:[], s:[]}", "heading", title,
                                            "sentences", "tables", "charts"));
  paper->section = json_array_get(sections, json_array_size(sections) - 1);
  paper->table = paper->row = NULL;
}

void zh_paper_sentence(zh_paper *paper, const char *text) {
  json_array_append_new(json_object_get(paper->section, "sentences"),
                        json_pack("{s:s}", "sentence", text));
}

void zh_paper_table(zh_paper *paper, const char *columns, const char *keys) {
  json_t *tables = json_object_get(paper->section, "tables"), *head = json_array();
  const char *column = columns;
  for (const char *at = keys; *at != '\0' && *column != '\0'; column++) {
    char key[64];
    size_t length = strcspn(at, "|");
    snprintf(key, sizeof key, "%.*s", (int)length, at);
    json_array_append_new(head, json_pack("{s:s, s:b}", "text", zh_paper_word(paper, key),
                                          "is_number", *column == 'n'));
    at += length + (at[length] == '|');
  }
  json_array_append_new(tables, json_pack("{s:o, s:[]}", "head", head, "rows"));
  paper->table = json_array_get(tables, json_array_size(tables) - 1);
  paper->columns = columns;
  paper->row = NULL;
}

void zh_paper_row(zh_paper *paper) {
  json_t *rows = json_object_get(paper->table, "rows");
  json_array_append_new(rows, json_pack("{s:[]}", "cells"));
  paper->row = json_object_get(json_array_get(rows, json_array_size(rows) - 1), "cells");
}

void zh_paper_cell(zh_paper *paper, const char *text) {
  size_t at = json_array_size(paper->row);
  bool number = at < strlen(paper->columns) && paper->columns[at] == 'n';
  json_array_append_new(
      paper->row, json_pack("{s:s, s:b}", "text", text != NULL ? text : "—", "is_number", number));
}

void zh_paper_chart(zh_paper *paper, const char *kind, const char *caption, json_t *model) {
  static const char *const kinds[] = {"scatter", "rows", "heat"};
  json_t *chart = json_object();
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char flag[32];
    snprintf(flag, sizeof flag, "is_%s", kinds[i]);
    json_object_set_new(chart, flag, json_boolean(strcmp(kinds[i], kind) == 0));
  }
  json_object_set_new(chart, "caption", json_string(caption));
  json_object_update(chart, model);
  json_decref(model);
  json_array_append_new(json_object_get(paper->section, "charts"), chart);
}

/* --- by templates --- */

static zh_status render(char **out, const char *file, const json_t *model, zh_escape escape,
                        zh_error *err) {
  static const struct {
    const char *name, *file;
  } files[] = {{"style", "style.css"},
               {"scatter", "scatter.svg.mustache"},
               {"rows_chart", "rows.svg.mustache"},
               {"heat", "heat.svg.mustache"}};
  enum { FILES = sizeof files / sizeof *files };
  char *page = NULL, *texts[FILES] = {0};
  zh_partial partials[FILES];
  zh_status status = zh_template_read(&page, file, err);
  for (size_t i = 0; status == ZH_OK && i < FILES; i++) {
    status = zh_template_read(&texts[i], files[i].file, err);
    partials[i] = (zh_partial){files[i].name, texts[i]};
  }
  if (status == ZH_OK)
    status = zh_mustache_render_as(out, escape, file, page, model, partials, FILES, err);
  free(page);
  for (size_t i = 0; i < FILES; i++) free(texts[i]);
  return status;
}

zh_status zh_paper_html(char **out, const zh_paper *paper, zh_error *err) {
  return render(out, "paper.html.mustache", paper->root, ZH_ESCAPE_HTML, err);
}

zh_status zh_paper_markdown(char **out, const zh_paper *paper, zh_error *err) {
  return render(out, "paper.md.mustache", paper->root, ZH_ESCAPE_MARKDOWN, err);
}

zh_status zh_chart_svg(char **out, const char *template_name, const json_t *model, zh_error *err) {
  char file[64], *text = NULL;
  snprintf(file, sizeof file, "%.20s.svg.mustache", template_name);
  ZH_TRY(zh_template_read(&text, file, err));
  zh_status status = zh_mustache_render(out, file, text, model, NULL, 0, err);
  free(text);
  return status;
}

/* --- for a terminal --- */

enum { COLUMNS = 16, WIDEST = 60 };

static const char *text_of(const json_t *cell) {
  const char *text = json_string_value(json_object_get(cell, "text"));
  return text != NULL ? text : "";
}

static int width_of(const char *text) {
  return zh_utf8_columns(text, strlen(text));
}

static void measure(int widths[COLUMNS], const json_t *cells) {
  const json_t *cell;
  size_t c;
  json_array_foreach(cells, c, cell) {
    int width = width_of(text_of(cell));
    if (c < COLUMNS && width > widths[c]) widths[c] = width < WIDEST ? width : WIDEST;
  }
}

/* Names that others chose must not move the cursor. */
static void put_plain(zh_text *out, const char *text) {
  for (const char *at = text; *at != '\0'; at++) {
    bool plain = (unsigned char)*at >= 0x20 && *at != 0x7f;
    zh_text_append(out, plain ? at : "?", 1);
  }
}

static void put_cells(zh_text *out, const json_t *cells, const int widths[COLUMNS]) {
  const json_t *cell;
  size_t c, last = json_array_size(cells) - 1;
  json_array_foreach(cells, c, cell) {
    const char *text = text_of(cell);
    int gap = c < COLUMNS ? widths[c] - width_of(text) : 0;
    bool number = json_is_true(json_object_get(cell, "is_number"));
    if (number && gap > 0) zh_text_printf(out, "%*s", gap, "");
    put_plain(out, text);
    if (!number && gap > 0 && c < last) zh_text_printf(out, "%*s", gap, "");
    zh_text_puts(out, c < last ? "  " : "\n");
  }
}

static void put_table(zh_text *out, const json_t *table) {
  int widths[COLUMNS] = {0};
  const json_t *row;
  size_t i;
  measure(widths, json_object_get(table, "head"));
  json_array_foreach(json_object_get(table, "rows"), i, row)
      measure(widths, json_object_get(row, "cells"));
  put_cells(out, json_object_get(table, "head"), widths);
  json_array_foreach(json_object_get(table, "rows"), i, row)
      put_cells(out, json_object_get(row, "cells"), widths);
}

zh_status zh_paper_terminal(char **out, const zh_paper *paper, zh_error *err) {
  const json_t *section, *entry;
  zh_text text = {0};
  size_t s, i;
  json_array_foreach(json_object_get(paper->root, "sections"), s, section) {
    zh_text_puts(&text, s > 0 ? "\n" : "");
    put_plain(&text, json_string_value(json_object_get(section, "heading")));
    zh_text_puts(&text, "\n");
    json_array_foreach(json_object_get(section, "sentences"), i, entry) {
      put_plain(&text, json_string_value(json_object_get(entry, "sentence")));
      zh_text_puts(&text, "\n");
    }
    json_array_foreach(json_object_get(section, "tables"), i, entry) put_table(&text, entry);
  }
  *out = text.failed ? NULL : strdup(zh_text_string(&text));
  zh_text_free(&text);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for a page");
}
