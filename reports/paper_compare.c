/* A comparison of models (docs/schemas/compare.schema.json) as a page. */
#include "reports/paper_compare.h"

#include <stdio.h>
#include <string.h>

#include "reports/reports.h"

enum { NAMES_SHOWN = 4 };

static void put_models(zh_compare_page *g) {
  const json_t *model, *source, *note;
  size_t i, k;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "models"));
  json_array_foreach(g->models, i, model) {
    json_array_foreach(json_object_get(model, "notes"), k, note)
        zh_paper_sentence(&g->p, zh_page_text(note, g->p.language));
  }
  zh_paper_table(&g->p, "ttnnt", "model|type|parameters|bytes|sources");
  json_array_foreach(g->models, i, model) {
    zh_text sources = {0};
    char size[64];
    double bytes = zh_page_number(model, "bytes");
    json_array_foreach(json_object_get(model, "sources"), k, source)
        zh_page_append(&sources, zh_page_text(source, "path"), "; ");
    zh_paper_row(&g->p);
    zh_paper_cell(&g->p, zh_page_text(model, "label"));
    zh_paper_cell(&g->p, json_string_value(json_object_get(model, "type")));
    zh_paper_cell(&g->p, zh_page_whole(json_object_get(model, "parameters")).text);
    zh_paper_cell(&g->p, bytes > 0 ? zh_human_bytes(size, sizeof size, bytes) : NULL);
    zh_paper_cell(&g->p, zh_text_string(&sources));
    zh_text_free(&sources);
  }
}

/* Models that state the same stand together: "2: a, b; 4: c". */
static void join_values(zh_text *out, const zh_compare_page *g, const json_t *values) {
  for (size_t i = 0; i < json_array_size(values); i++) {
    const char *value = json_string_value(json_array_get(values, i));
    zh_text names = {0};
    size_t same = 0;
    bool told = false;
    for (size_t k = 0; k < json_array_size(values) && value != NULL; k++) {
      const char *other = json_string_value(json_array_get(values, k));
      if (other == NULL || strcmp(other, value) != 0) continue;
      told |= k < i;
      if (same++ < NAMES_SHOWN) zh_page_append(&names, zh_page_label(g, (json_int_t)k), ", ");
    }
    if (value != NULL && !told) {
      zh_page_append(out, value, "; ");
      zh_text_printf(out, " (%s", zh_text_string(&names));
      if (same > NAMES_SHOWN) zh_text_printf(out, ", … %zu", same);
      zh_text_puts(out, ")");
    }
    zh_text_free(&names);
  }
}

static void put_conditions(zh_compare_page *g) {
  const json_t *protocol = json_object_get(g->doc, "protocol"),
               *list = json_object_get(protocol, "differences"), *entry;
  size_t i;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "conditions"));
  zh_paper_sentence(&g->p, zh_page_text(json_object_get(protocol, "scores"), g->p.language));
  zh_paper_sentence(&g->p, zh_page_text(json_object_get(protocol, "speeds"), g->p.language));
  if (json_array_size(list) == 0) return;
  zh_paper_table(&g->p, "tttt", "field|about|breaks|values");
  json_array_foreach(list, i, entry) {
    zh_text values = {0};
    join_values(&values, g, json_object_get(entry, "values"));
    zh_paper_row(&g->p);
    zh_paper_cell(&g->p, zh_paper_word_of(&g->p, "field %s", zh_page_text(entry, "field")));
    zh_paper_cell(&g->p, zh_paper_word_of(&g->p, "about %s", zh_page_text(entry, "of")));
    zh_paper_cell(&g->p, zh_paper_word(&g->p, zh_page_flag(entry, "breaks") ? "yes" : "no"));
    zh_paper_cell(&g->p, zh_text_string(&values));
    zh_text_free(&values);
  }
}

static void lay_out(zh_compare_page *g) {
  const json_t *front;
  size_t i;
  put_models(g);
  put_conditions(g);
  zh_page_speeds(g);
  zh_page_scores(g);
  zh_page_pairs(g);
  json_array_foreach(json_object_get(g->doc, "fronts"), i, front) zh_page_front(g, front);
  zh_page_damage(g);
}

zh_status zh_comparison_page(char **out, const json_t *comparison, const char *language,
                             zh_page_form form, zh_error *err) {
  zh_compare_page g = {.doc = comparison, .models = json_object_get(comparison, "models")};
  *out = NULL;
  if (strcmp(zh_page_text(comparison, "schema"), "zhiheng.compare/1") != 0)
    return zh_fail(err, ZH_ERR_INPUT, "a comparison must have the schema zhiheng.compare/1");
  zh_status status = zh_paper_begin(&g.p, "compare", language, err);
  if (status == ZH_OK) {
    lay_out(&g);
    status = form == ZH_PAGE_HTML       ? zh_paper_html(out, &g.p, err)
             : form == ZH_PAGE_MARKDOWN ? zh_paper_markdown(out, &g.p, err)
                                        : zh_paper_terminal(out, &g.p, err);
  }
  zh_paper_clear(&g.p);
  return status;
}
