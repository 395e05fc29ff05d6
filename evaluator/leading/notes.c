#include "evaluator/leading/notes.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/registry/registry.h"

/* What sentences quote of names that somebody else chose. */
enum { QUOTED_BYTES = 240 };

static void note_dates(json_t *notes, const zh_words *words, const zh_protocol *p) {
  zh_text names = {0};
  for (size_t i = 0; i < p->peer_count; i++) {
    if (p->peers[i].declared != NULL) continue;
    if (names.length > 0) zh_text_puts(&names, ", ");
    zh_text_puts(&names, p->peers[i].model);
  }
  if (names.length > 0)
    json_array_append_new(notes, zh_say(words, "not_dated", ZH_WORD_leading_not_dated, "peer",
                                        zh_text_string(&names), NULL));
  zh_text_free(&names);
}

static void note_columns(json_t *notes, const zh_words *words, const zh_scorer *s) {
  const json_t *name;
  zh_text names = {0};
  size_t i;
  json_array_foreach(s->not_read, i, name) {
    if (i > 0) zh_text_puts(&names, ", ");
    zh_text_puts(&names, json_string_value(name));
  }
  size_t length = zh_utf8_valid_prefix(zh_text_string(&names),
                                       names.length < QUOTED_BYTES ? names.length : QUOTED_BYTES);
  if (length < names.length) names.data[length] = '\0';
  if (i > 0)
    json_array_append_new(notes, zh_say(words, "columns_not_read", ZH_WORD_leading_columns_not_read,
                                        "file", s->file, "columns", zh_text_string(&names), NULL));
  zh_text_free(&names);
}

void zh_note_input(json_t *notes, const zh_words *words, const zh_protocol *protocol,
                   const zh_scorer *scorers, size_t count) {
  note_dates(notes, words, protocol);
  if (protocol->locked == NULL)
    json_array_append_new(notes, zh_say(words, "not_locked", ZH_WORD_leading_not_locked, NULL));
  for (size_t i = 0; i < count; i++) note_columns(notes, words, &scorers[i]);
}

static void add_foreign(zh_text *list, const zh_registry *registry, const char *model) {
  const zh_entry *entry = zh_registry_model(registry, model);
  if (entry == NULL || strcmp(entry->text[ZH_OF_COUNTRY], "CN") == 0) return;
  zh_text_printf(list, "%s%s (%s, %s)", list->length > 0 ? ", " : "", model,
                 entry->text[ZH_OF_DEVELOPER], entry->text[ZH_OF_COUNTRY]);
}

zh_status zh_note_countries(json_t *notes, const zh_words *words, const zh_protocol *p,
                            zh_error *err) {
  zh_registry registry;
  zh_text list = {0};
  ZH_TRY(zh_registry_load(&registry, NULL, err));
  add_foreign(&list, &registry, p->claimant);
  for (size_t i = 0; i < p->peer_count; i++) add_foreign(&list, &registry, p->peers[i].model);
  if (list.length > 0)
    json_array_append_new(notes, zh_say(words, "not_domestic", ZH_WORD_leading_not_domestic, "peer",
                                        zh_text_string(&list), NULL));
  zh_text_free(&list);
  zh_registry_clear(&registry);
  return ZH_OK;
}

void zh_note_seen(json_t *notes, const zh_words *words, const zh_seen *seen) {
  if (seen->not_found > 0) {
    char *item = strndup(seen->example != NULL ? seen->example : "", QUOTED_BYTES);
    if (item != NULL) item[zh_utf8_valid_prefix(item, strlen(item))] = '\0';
    json_array_append_new(notes, zh_say(words, "seen_not_found", ZH_WORD_leading_seen_not_found,
                                        "count", zh_count_text(seen->not_found).text, "total",
                                        zh_count_text(seen->listed).text, "item",
                                        item != NULL ? item : "", NULL));
    free(item);
  }
  if (seen->elsewhere > 0)
    json_array_append_new(notes, zh_say(words, "seen_other_tasks", ZH_WORD_leading_seen_other_tasks,
                                        "count", zh_count_text(seen->elsewhere).text, "total",
                                        zh_count_text(seen->listed).text, NULL));
}

void zh_note_rank_set(json_t *notes, const zh_words *words, const char *unit, size_t high) {
  json_array_append_new(notes, zh_say(words, "two_sided_set", ZH_WORD_leading_two_sided_set,
                                      "endpoint", unit, "rank", zh_count_text(high).text, NULL));
}
