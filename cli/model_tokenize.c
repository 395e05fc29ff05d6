/* zhiheng model tokenize */
#include "cli/model_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static zh_status show_decoded(zh_session *s, zh_error *err) {
  char *text = NULL;
  size_t length = 0;
  ZH_TRY(zh_session_need_tokenizer(s, ", and no text stands behind them", err));
  ZH_TRY(zh_session_parse_ids(s, "ids", s->given->value[ZH_KEY_IDS], err));
  ZH_TRY(zh_detokenize(&text, &length, s->tokenizer, s->tokens, s->count, err));
  if (s->given->json) {
    s->document = json_pack("{s:o, s:o}", "tokens", zh_id_list(s->tokens, s->count), "text",
                            zh_valid_text(text, length));
  } else {
    fwrite(text, 1, length, stdout);
    putchar('\n');
  }
  free(text);
  return ZH_OK;
}

zh_status zh_action_tokenize(zh_session *s, zh_error *err) {
  const char *text = s->given->value[ZH_KEY_TEXT], *file = s->given->value[ZH_KEY_FILE],
             *ids = s->given->value[ZH_KEY_IDS];
  if ((text != NULL) + (file != NULL) + (ids != NULL) != 1)
    return zh_fail(err, ZH_ERR_USAGE,
                   "model tokenize needs one of --text TEXT, --file FILE or --ids 1,2,3");
  if (ids) return show_decoded(s, err);
  ZH_TRY(zh_session_need_tokenizer(s, ", and text cannot become any", err));
  if (file) {
    ZH_TRY(zh_session_tokenize_file(s, file, zh_session_asks_for_bos(s), err));
  } else {
    ZH_TRY(zh_session_tokenize_text(s, text, strlen(text), zh_session_asks_for_bos(s), err));
  }
  if (s->given->json) {
    s->document = json_pack("{s:o}", "tokens", zh_id_list(s->tokens, s->count));
  } else {
    zh_print_ids(s->tokens, s->count);
  }
  return ZH_OK;
}
