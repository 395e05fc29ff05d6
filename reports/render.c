#include "reports/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "core/files.h"
#include "reports/glossary.h"
#include "reports/mustache_shim.h"
#include "reports/reports.h"
#include "reports/view.h"

enum { TEMPLATE_MAX_BYTES = 1 << 20 };

/* Partials that both languages share, and those with words. */
static const struct {
  const char *name, *file;
  bool per_language;
} PARTIALS[] = {
    {"style", "style.css", false},
    {"bar", "bar.svg.mustache", false},
    {"curve", "curve.svg.mustache", false},
    {"figures", "figures.%s.html.mustache", true},
    {"quality", "quality.%s.html.mustache", true},
    {"quantity", "quantity.%s.mustache", true},
    {"money", "money.%s.mustache", true},
    {"between", "between.%s.mustache", true},
    {"amount", "amount.%s.mustache", true},
    {"choices", "choices.%s.mustache", true},
    {"evidence", "evidence.%s.mustache", true},
    {"summary", "summary.%s.html.mustache", true},
    {"parameters", "parameters.%s.html.mustache", true},
    {"conditions", "conditions.%s.html.mustache", true},
    {"amounts", "amounts.%s.html.mustache", true},
    {"readings", "readings.%s.html.mustache", true},
    {"proofs", "proofs.%s.html.mustache", true},
    {"clauses", "clauses.%s.html.mustache", true},
    {"papers", "papers.%s.html.mustache", true},
};
enum { PARTIAL_COUNT = sizeof PARTIALS / sizeof *PARTIALS };

zh_status zh_template_read(char **out, const char *file, zh_error *err) {
  char relative[256], path[4096];
  size_t length;
  snprintf(relative, sizeof relative, "reports/templates/%s", file);
  ZH_TRY(zh_data_path(path, sizeof path, relative, err));
  ZH_TRY(zh_read_file(out, &length, path, TEMPLATE_MAX_BYTES, err));
  if (length > 0 && (*out)[length - 1] == '\n')
    (*out)[length - 1] = '\0'; /* partials stand inside a line */
  return ZH_OK;
}

static zh_status render_page(char **out, const json_t *model, const char *language, zh_error *err) {
  char file[128], *page = NULL, *texts[PARTIAL_COUNT] = {0};
  zh_partial partials[PARTIAL_COUNT];
  zh_status status = ZH_OK;
  for (size_t i = 0; i < PARTIAL_COUNT && status == ZH_OK; i++) {
    const char *gap = PARTIALS[i].per_language ? strstr(PARTIALS[i].file, "%s") : NULL;
    if (gap)
      snprintf(file, sizeof file, "%.*s%s%s", (int)(gap - PARTIALS[i].file), PARTIALS[i].file,
               language, gap + 2);
    else
      snprintf(file, sizeof file, "%s", PARTIALS[i].file);
    status = zh_template_read(&texts[i], file, err);
    partials[i] = (zh_partial){.name = PARTIALS[i].name, .text = texts[i]};
  }
  snprintf(file, sizeof file, "report.%s.html.mustache", language);
  if (status == ZH_OK) status = zh_template_read(&page, file, err);
  if (status == ZH_OK)
    status = zh_mustache_render(out, file, page, model, partials, PARTIAL_COUNT, err);
  free(page);
  for (size_t i = 0; i < PARTIAL_COUNT; i++) free(texts[i]);
  return status;
}

zh_status zh_render_html(char **out, const json_t *evaluation, const char *digest,
                         const char *language, zh_error *err) {
  json_t *words = NULL, *model = NULL;
  *out = NULL;
  if (strcmp(language, "zh") != 0 && strcmp(language, "en") != 0)
    return zh_fail(err, ZH_ERR_USAGE, "reports are written in zh or en, not '%.32s'", language);
  zh_status status = zh_glossary_load(&words, language, err);
  if (status == ZH_OK) status = zh_view_build(&model, evaluation, digest, language, words, err);
  if (status == ZH_OK) status = render_page(out, model, language, err);
  json_decref(words);
  json_decref(model);
  return status;
}

zh_status zh_report_html(char **out, const json_t *evaluation, const char *language,
                         zh_error *err) {
  char digest[ZH_DIGEST_HEX], *text = NULL;
  *out = NULL;
  ZH_TRY(zh_json_dump(&text, evaluation, err));
  zh_status status = zh_digest_bytes(digest, ZH_SM3, text, strlen(text), err);
  free(text);
  return status == ZH_OK ? zh_render_html(out, evaluation, digest, language, err) : status;
}
