/* The tokenizer that stands beside safetensors: tokenizer.json, else tokenizer.model, else a rank
 * file; with what tokenizer_config.json and config.json say of its special tokens. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"
#include "model/room.h"
#include "model/tokenizer/folder.h"
#include "model/tokenizer/published.h"

enum { FILE_BYTES_MAX = 256 * 1024 * 1024, PATH_BYTES = 4096 };

/* --- added_tokens_decoder: {"151643": {"content": "<|endoftext|>", …}} --- */

static const json_t *added_of(const json_t *config) {
  return json_object_get(config, "added_tokens_decoder");
}

/* -1: not a number of an id. */
static int64_t id_of_key(const char *key) {
  char *end;
  if (key[0] < '0' || key[0] > '9' || strlen(key) > 9) return -1;
  long id = strtol(key, &end, 10);
  return *end == '\0' ? id : -1;
}

zh_status zh_folder_vocab(uint32_t *out, uint32_t vocab, const json_t *config, zh_error *err) {
  const char *key;
  const json_t *item;
  uint64_t most = 2 * (uint64_t)vocab + 65536;
  *out = vocab;
  json_object_foreach((json_t *)(uintptr_t)added_of(config), key, item) {
    int64_t id = id_of_key(key);
    const json_t *content = json_object_get(item, "content");
    if (id < 0 || (uint64_t)id >= most || !json_is_string(content) ||
        json_string_length(content) > ZH_SPECIAL_BYTES)
      return zh_fail(err, ZH_ERR_INPUT,
                     "tokenizer_config.json: added_tokens_decoder must map ids below %llu to "
                     "tokens whose content is a text of at most %d bytes",
                     (unsigned long long)most, ZH_SPECIAL_BYTES);
    if (id >= *out) *out = (uint32_t)id + 1;
  }
  return ZH_OK;
}

static bool flag(const json_t *object, const char *key) {
  return json_is_true(json_object_get(object, key));
}

zh_status zh_folder_put_added(zh_tokenizer *t, const json_t *config, zh_error *err) {
  const char *key;
  const json_t *item;
  json_object_foreach((json_t *)(uintptr_t)added_of(config), key, item) {
    const json_t *content = json_object_get(item, "content");
    int64_t id = id_of_key(key);
    t->texts[id] = zh_tokenizer_keep(t, json_string_value(content), json_string_length(content));
    if (t->texts[id].bytes == NULL) return zh_tokenizer_no_memory(err);
    if (t->kinds[id] != ZH_TOKEN_UNKNOWN)
      t->kinds[id] = flag(item, "special") ? ZH_TOKEN_CONTROL : ZH_TOKEN_NEVER;
  }
  return ZH_OK;
}

zh_status zh_folder_find_added(zh_tokenizer *t, const json_t *config, zh_error *err) {
  const char *key;
  const json_t *item;
  size_t count = 0;
  zh_added_token *all =
      zh_arena_alloc(t->arena, t->vocab + json_object_size(added_of(config)) + 1, sizeof *all);
  if (all == NULL) return zh_tokenizer_no_memory(err);
  json_object_foreach((json_t *)(uintptr_t)added_of(config), key, item) {
    uint32_t id = (uint32_t)id_of_key(key);
    all[count++] = (zh_added_token){.id = id,
                                    .text = t->texts[id],
                                    .special = flag(item, "special"),
                                    .left = flag(item, "lstrip"),
                                    .right = flag(item, "rstrip"),
                                    .single_word = flag(item, "single_word")};
  }
  for (uint32_t id = 0; id < t->vocab; id++)
    if (t->kinds[id] == ZH_TOKEN_CONTROL)
      all[count++] = (zh_added_token){.id = id, .text = t->texts[id], .special = true};
  return zh_tokenizer_add_tokens(t, all, count, err);
}

/* --- special tokens --- */

/* "bos_token": "<s>", or {"content": "<s>", …}. */
static int64_t named(const zh_tokenizer *t, const json_t *config, const char *key) {
  const json_t *value = json_object_get(config, key);
  if (json_is_object(value)) value = json_object_get(value, "content");
  if (!json_is_string(value)) return -1;
  return zh_tokenizer_find(t, json_string_value(value), json_string_length(value));
}

/* "bos_token_id": 1, or a list of which the first counts. */
static int64_t numbered(const zh_tokenizer *t, const json_t *config, const char *key) {
  const json_t *value = json_object_get(config, key);
  if (json_is_array(value)) value = json_array_get(value, 0);
  if (!json_is_integer(value)) return -1;
  json_int_t id = json_integer_value(value);
  return id >= 0 && id < t->vocab ? id : -1;
}

static void declare(int64_t *id, const zh_tokenizer *t, const json_t *config, const char *name,
                    const json_t *model_config, const char *number) {
  int64_t found = named(t, config, name);
  if (found < 0 && *id < 0) found = numbered(t, model_config, number);
  if (found >= 0) *id = found;
}

static void declare_all(zh_tokenizer *t, const json_t *config, const json_t *model_config) {
  zh_special_tokens *d = &t->declared;
  declare(&d->bos, t, config, "bos_token", model_config, "bos_token_id");
  declare(&d->eos, t, config, "eos_token", model_config, "eos_token_id");
  declare(&d->unknown, t, config, "unk_token", NULL, "");
  declare(&d->padding, t, config, "pad_token", model_config, "pad_token_id");
}

/* --- the files --- */

static bool beside(char path[PATH_BYTES], const char *folder, const char *name) {
  return snprintf(path, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES && zh_is_file(path);
}

/* The first *.tiktoken by name. */
static bool find_rank_file(char path[PATH_BYTES], const char *folder) {
  char best[256] = "";
  DIR *dir = opendir(folder);
  if (dir == NULL) return false;
  for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (zh_ends_in(entry->d_name, ".tiktoken") &&
        (best[0] == '\0' || strcmp(entry->d_name, best) < 0))
      memcpy(best, entry->d_name, strlen(entry->d_name) + 1);
  }
  closedir(dir);
  return best[0] != '\0' && beside(path, folder, best);
}

/* The pattern that a rank file is used with stands in the maker's program, not beside it: known by
 * the class that tokenizer_config.json names, or by the file's own name. */
static const struct rank_family {
  const char *class, *file, *regex;
  bool composed; /* text is brought to NFC first */
} rank_families[] = {
    {"QWenTokenizer", "qwen.tiktoken", ZH_GPT4_WORDS("\\p{N}"), true},
    {"HYTokenizer", "hy.tiktoken", ZH_GPT4_WORDS("\\p{N}"), true},
    {"ChatGLM4Tokenizer", "cl100k_base.tiktoken", ZH_GPT4_WORDS("\\p{N}{1,3}"), false},
    {"", "o200k_base.tiktoken", ZH_O200K_WORDS, false},
};

static const struct rank_family *family_of(const char *path, const json_t *config) {
  const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
  const char *file = strrchr(path, '/') + 1;
  enum { COUNT = sizeof rank_families / sizeof rank_families[0] };
  for (size_t i = 0; class != NULL && i < COUNT; i++)
    if (strcmp(class, rank_families[i].class) == 0) return &rank_families[i];
  for (size_t i = 0; i < COUNT; i++)
    if (strcmp(file, rank_families[i].file) == 0) return &rank_families[i];
  return NULL;
}

static zh_status read_rank_file(zh_tokenizer *t, const zh_mapping *file, const char *path,
                                const json_t *config, zh_error *err) {
  const char *stated = json_string_value(json_object_get(config, "pat_str"));
  const struct rank_family *family = family_of(path, config);
  if (stated == NULL && family == NULL)
    return zh_fail(err, ZH_ERR_INPUT,
                   "which pattern cuts text for this rank file is not known; tokenizer_config.json "
                   "can state it as \"pat_str\"");
  if (family != NULL && family->composed)
    t->normalizer.steps[t->normalizer.count++] = (zh_normal_step){.kind = ZH_NORMAL_NFC};
  return zh_tokenizer_from_ranks(t, (const char *)file->data, file->bytes,
                                 stated != NULL ? stated : family->regex, config, err);
}

/* Some makers call a rank file tokenizer.model. */
static bool looks_like_ranks(const zh_mapping *file) {
  size_t at = 0;
  while (at < file->bytes && at < 64 && file->data[at] > ' ' && file->data[at] < 0x7f) at++;
  return at > 0 && at + 1 < file->bytes && file->data[at] == ' ' && file->data[at + 1] >= '0' &&
         file->data[at + 1] <= '9';
}

/* transformers adds BOS to sentencepiece's models unless the file says otherwise. */
static bool asks_for(const json_t *config, const char *key, bool otherwise) {
  const json_t *value = json_object_get(config, key);
  return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static zh_status read_model_file(zh_tokenizer *t, const char *path, const json_t *config,
                                 bool *sentencepiece, zh_error *err) {
  zh_mapping file;
  ZH_TRY(zh_map_file(&file, path, err));
  zh_status status = ZH_OK;
  *sentencepiece = false;
  if (file.bytes > FILE_BYTES_MAX) {
    status = zh_fail(err, ZH_ERR_INPUT, "the file is larger than 256 MiB");
  } else if (looks_like_ranks(&file)) {
    status = read_rank_file(t, &file, path, config, err);
  } else {
    *sentencepiece = true;
    status = zh_tokenizer_from_sentencepiece(t, file.data, file.bytes, config, err);
  }
  zh_unmap(&file);
  if (status != ZH_OK && err != NULL) zh_error_prefix(err, "%s", strrchr(path, '/') + 1);
  return status;
}

static zh_status read_json_file(zh_tokenizer *t, const char *path, zh_error *err) {
  json_t *root = NULL;
  ZH_TRY(zh_json_load_file(&root, path, FILE_BYTES_MAX, err));
  zh_status status = zh_tokenizer_from_json(t, root, err);
  json_decref(root);
  return status;
}

static zh_status read_folder(zh_tokenizer *t, bool *found, const char *folder, const json_t *config,
                             const json_t *model_config, zh_error *err) {
  char path[PATH_BYTES];
  bool sentencepiece = false;
  if (beside(path, folder, "tokenizer.json")) {
    ZH_TRY(read_json_file(t, path, err));
  } else if (beside(path, folder, "tokenizer.model") || find_rank_file(path, folder)) {
    ZH_TRY(read_model_file(t, path, config, &sentencepiece, err));
  } else {
    *found = false;
    return ZH_OK;
  }
  declare_all(t, config, model_config);
  bool from_json = t->before_count + t->after_count > 0;
  if (!from_json)
    zh_tokenizer_put_around(t, asks_for(config, "add_bos_token", sentencepiece),
                            asks_for(config, "add_eos_token", false));
  if (t->declared.bos < 0 && t->before_count > 0) t->declared.bos = t->before[0];
  t->declared.add_bos = t->before_count > 0;
  t->declared.add_eos = t->after_count > 0;
  return ZH_OK;
}

zh_status zh_tokenizer_from_folder(zh_tokenizer *t, bool *found, const char *folder,
                                   const json_t *model_config, zh_error *err) {
  char path[PATH_BYTES];
  json_t *config = NULL;
  *found = true;
  if (beside(path, folder, "tokenizer_config.json"))
    ZH_TRY(zh_json_load_file(&config, path, FILE_BYTES_MAX, err));
  zh_status status = read_folder(t, found, folder, config, model_config, err);
  json_decref(config);
  return status;
}
