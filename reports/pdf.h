/* HTML to PDF by WeasyPrint, a program of its own that may be missing. */
#ifndef ZH_REPORTS_PDF_H
#define ZH_REPORTS_PDF_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { ZH_PDF_TIMEOUT_SECONDS = 180 };

/* Prints `html` (a path) to `pdf`, with `attachment` inside, dated `epoch` (UTC seconds), so that
 * the same HTML gives the same bytes. ZH_ERR_LACKING, with the reason in words, where WeasyPrint is
 * missing, fails or takes too long; then no `pdf` is left. */
ZH_MUST_CHECK zh_status zh_pdf_print(const char *pdf, const char *html, const char *attachment,
                                     int64_t epoch, int timeout_seconds, zh_error *err);

#endif
