#include "model/room.h"
#include "model/tokenizer/tokenizer.h"

#include <string.h>

zh_status zh_tokenizer_create(zh_tokenizer **out, const zh_model *model, zh_error *err) {
  zh_tokenizer *t = NULL;
  bool found = true;
  *out = NULL;
  zh_status status = zh_tokenizer_begin(&t, err);
  if (status == ZH_OK && strcmp(model->format, "gguf") == 0)
    status = zh_tokenizer_from_gguf(t, model, err);
  else if (status == ZH_OK)
    status = zh_tokenizer_from_folder(t, &found, model->path, model->config, err);
  if (status == ZH_OK && found) {
    *out = t;
    return ZH_OK;
  }
  if (status != ZH_OK && err != NULL) zh_error_prefix(err, "%s", model->path);
  zh_tokenizer_free(t);
  return status;
}
