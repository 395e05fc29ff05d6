/* zhiheng model convert */
#include "cli/model_session.h"

#include <limits.h>
#include <stdio.h>

#include "core/files.h"
#include "core/progress.h"

static void show_written(void *user, uint64_t done, uint64_t all) {
  (void)user;
  zh_progress_detail("%.0f %%", 100 * (double)done / (double)all);
}

zh_status zh_action_convert(zh_session *s, zh_error *err) {
  const char *given = s->given->value[ZH_KEY_OUT];
  char path[PATH_MAX];
  snprintf(path, sizeof path, given ? "%s" : "%s.gguf", given ? given : zh_model_name(s->model));
  zh_progress_step(1, 1, "writing %s", path);
  ZH_TRY(zh_model_write_gguf(path, s->model, show_written, NULL, err));
  zh_progress_done("written");
  if (s->given->json) {
    s->document = json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)zh_file_bytes(path));
  } else {
    printf("%s\n", path);
  }
  return ZH_OK;
}
