/* One page's HTML; reports.h has the public calls. */
#ifndef ZH_REPORTS_RENDER_H
#define ZH_REPORTS_RENDER_H

#include "core/json.h"
#include "core/status.h"

/* digest: SM3 of evaluation.json as it lies on disk. The caller frees *out. */
ZH_MUST_CHECK zh_status zh_render_html(char **out, const json_t *evaluation, const char *digest,
                                       const char *language, zh_error *err);

/* A file of templates/, without its last newline. The caller frees *out. */
ZH_MUST_CHECK zh_status zh_template_read(char **out, const char *file, zh_error *err);

#endif
