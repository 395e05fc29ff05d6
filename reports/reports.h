/* From evaluation.json to pages. Every word a reader sees lives in templates/; this room renders,
 * draws and verifies. Depends on core/ alone. */
#ifndef ZH_REPORTS_REPORTS_H
#define ZH_REPORTS_REPORTS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/json.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_report_options {
  const char *evaluation; /* path of evaluation.json */
  const char *language;   /* "zh", "en", or NULL for both */
  const char *out;        /* folder to make; NULL: "report" beside the evaluation */
  bool pdf;               /* also PDF, where WeasyPrint is */
} zh_report_options;

typedef struct zh_report_result {
  char folder[4096];
  bool pdf_written;
  char pdf_reason[256]; /* why there is no PDF, "" otherwise */
} zh_report_result;

/* Writes report.<lang>.html, report.<lang>.pdf, evaluation.json (the same bytes), MANIFEST.sm3:
 * staged, then renamed. */
ZH_MUST_CHECK zh_status zh_report_write(zh_report_result *out, const zh_report_options *options,
                                        zh_error *err);

/* The HTML of one language; the caller frees. */
ZH_MUST_CHECK zh_status zh_report_html(char **out, const json_t *evaluation, const char *language,
                                       zh_error *err);

/* --- pages of other documents --- */
typedef enum zh_page_form { ZH_PAGE_HTML, ZH_PAGE_MARKDOWN, ZH_PAGE_TERMINAL } zh_page_form;

/* comparison: of `zhiheng compare` (docs/schemas/compare.schema.json). The caller frees *out. */
ZH_MUST_CHECK zh_status zh_comparison_page(char **out, const json_t *comparison,
                                           const char *language, zh_page_form form, zh_error *err);

/* report: of one task, of zh_data_check; its findings get "what", {"zh","en"}. */
ZH_MUST_CHECK zh_status zh_data_check_explain(json_t *report, zh_error *err);
/* document: {"tasks": [report]}, explained; as text for a terminal. The caller frees *out. */
ZH_MUST_CHECK zh_status zh_data_check_page(char **out, const json_t *document, const char *language,
                                           zh_error *err);

/* Published scores (what `zhiheng registry` prints as JSON) as an SVG: over the models' release
 * dates, or a row a model (a row a benchmark where one model was asked for). Figures that contradict
 * each other are joined, and listed below with the source of each. The caller frees *out. */
ZH_MUST_CHECK zh_status zh_registry_svg(char **out, const json_t *scores, bool over_time,
                                        const char *language, zh_error *err);

/* Recomputes every digest of a bundle or report folder, or of the bundle and report an evaluation
 * names; names the first difference (ZH_ERR_CHECK). *what describes in words what was verified; the
 * caller frees. */
ZH_MUST_CHECK zh_status zh_verify(char **what, const char *path, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
