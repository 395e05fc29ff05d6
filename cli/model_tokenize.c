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

static zh_status show_tokens(zh_session *s, json_t *text) {
  if (!s->given->json) {
    zh_print_ids(s->tokens, s->count);
    return ZH_OK;
  }
  s->document = json_pack("{s:o, s:o*}", "tokens", zh_id_list(s->tokens, s->count), "text", text);
  return ZH_OK;
}

/* With --json also the text that the chat template made. */
static zh_status tokenize_chat(zh_session *s, zh_error *err) {
  char *text;
  size_t length;
  ZH_TRY(zh_session_render_chat(&text, &length, s, err));
  zh_status status = zh_session_tokenize_text(s, text, length, false, err);
  if (status == ZH_OK) status = show_tokens(s, s->given->json ? json_stringn(text, length) : NULL);
  free(text);
  return status;
}

zh_status zh_action_tokenize(zh_session *s, zh_error *err) {
  const char *text = s->given->value[ZH_KEY_TEXT], *file = s->given->value[ZH_KEY_FILE],
             *ids = s->given->value[ZH_KEY_IDS];
  if ((text != NULL) + (file != NULL) + (ids != NULL) + zh_session_has_chat(s) != 1)
    return zh_fail(err, ZH_ERR_USAGE,
                   "model tokenize needs one of --text TEXT, --file FILE, --chat FILE, --message "
                   "TEXT or --ids 1,2,3");
  if (ids) return show_decoded(s, err);
  ZH_TRY(zh_session_need_tokenizer(s, ", and text cannot become any", err));
  if (zh_session_has_chat(s)) return tokenize_chat(s, err);
  if (file) {
    ZH_TRY(zh_session_tokenize_file(s, file, zh_session_asks_for_bos(s), err));
  } else {
    ZH_TRY(zh_session_tokenize_text(s, text, strlen(text), zh_session_asks_for_bos(s), err));
  }
  return show_tokens(s, NULL);
}
