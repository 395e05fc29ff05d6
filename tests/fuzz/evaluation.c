/* An evaluation from anywhere becomes a page or a sentence; its text never becomes markup. */
#include <string.h>

#include "core/json.h"
#include "fuzz.h"
#include "reports/reports.h"

/* Templates hold no script, image or link; a page that does got it from the input. */
static void check_page(const char *html) {
  static const char *const foreign[] = {"<script", "<img", "<a ", "<iframe", "<link", "\x1b"};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
    if (strstr(html, foreign[i]) != NULL) abort();
  if (strstr(html, "</html>") == NULL) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  json_t *evaluation;
  if (zh_json_load_text(&evaluation, (const char *)data, size, "fuzz.json", &err) != ZH_OK)
    return 0;
  for (int i = 0; i < 2; i++) {
    zh_error page_err = ZH_ERROR_INIT;
    char *html;
    zh_status status = zh_report_html(&html, evaluation, i ? "zh" : "en", &page_err);
    if ((status == ZH_OK) != (html != NULL) || (status == ZH_OK) != (page_err.message[0] == 0))
      abort();
    if (html != NULL) check_page(html);
    free(html);
  }
  json_decref(evaluation);
  return 0;
}
