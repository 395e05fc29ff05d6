#include "bench/quality/language.h"

#include <pthread.h>
#include <string.h>

#include "bench/quality/python_values.h"
#include "core/files.h"
#include "core/yaml.h"

/* ---- words, read once ---- */

static json_t *lists;
static zh_error reading = ZH_ERROR_INIT;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Words as they are written: `no` is one, not a value. */
static zh_status add_words(json_t *set, const zh_yaml_node *list, zh_error *err) {
  for (size_t i = 0; i < zh_yaml_count(list); i++) {
    const char *word;
    ZH_TRY(zh_yaml_string(&word, zh_yaml_item(list, i), err));
    if (json_object_set_new(set, word, json_true()) != 0)
      return zh_fail(err, ZH_ERR_MEMORY, "out of memory (words of languages)");
  }
  return ZH_OK;
}

/* Lists become sets, maps stay maps. */
static zh_status read_node(json_t *out, const zh_yaml_node *node, zh_error *err) {
  if (zh_yaml_node_kind(node) == ZH_YAML_LIST) return add_words(out, node, err);
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a map or a list", err));
  for (size_t i = 0; i < zh_yaml_count(node); i++) {
    json_t *inner = json_object();
    if (!inner || json_object_set_new(out, zh_yaml_key(node, i), inner) != 0)
      return zh_fail(err, ZH_ERR_MEMORY, "out of memory (words of languages)");
    ZH_TRY(read_node(inner, zh_yaml_item(node, i), err));
  }
  return ZH_OK;
}

static void read_words(void) {
  char path[4096];
  zh_yaml_doc *doc;
  lists = json_object();
  if (zh_data_path(path, sizeof path, "bench/quality/languages.yaml", &reading) != ZH_OK) return;
  if (zh_yaml_load_file(&doc, path, &reading) != ZH_OK) return;
  zh_status status = read_node(lists, zh_yaml_root(doc), &reading);
  (void)status; /* the error says it */
  zh_yaml_free(doc);
}

zh_status zh_language_words(const json_t **out, const char *key, zh_error *err) {
  pthread_once(&once, read_words);
  *out = json_object_get(lists, key);
  if (reading.status != ZH_OK) return zh_fail(err, reading.status, "%s", reading.message);
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_INPUT, "languages.yaml has no '%s'", key);
}

/* ---- writings ---- */

static const struct {
  const char *name;
  uint32_t first, last;
} blocks[] = {{"latin", 'A', 'Z'},          {"latin", 'a', 'z'},         {"latin", 0xC0, 0x24F},
              {"latin", 0x1E00, 0x1EFF},    {"greek", 0x370, 0x3FF},     {"greek", 0x1F00, 0x1FFF},
              {"cyrillic", 0x400, 0x52F},   {"hebrew", 0x590, 0x5FF},    {"arabic", 0x600, 0x6FF},
              {"arabic", 0x750, 0x77F},     {"arabic", 0xFB50, 0xFDFF},  {"arabic", 0xFE70, 0xFEFE},
              {"devanagari", 0x900, 0x97F}, {"bengali", 0x980, 0x9FF},   {"gurmukhi", 0xA00, 0xA7F},
              {"gujarati", 0xA80, 0xAFF},   {"tamil", 0xB80, 0xBFF},     {"telugu", 0xC00, 0xC7F},
              {"kannada", 0xC80, 0xCFF},    {"malayalam", 0xD00, 0xD7F}, {"thai", 0xE00, 0xE7F},
              {"hangul", 0x1100, 0x11FF},   {"hangul", 0xAC00, 0xD7AF},  {"kana", 0x3040, 0x30FF},
              {"han", 0x3400, 0x4DBF},      {"han", 0x4E00, 0x9FFF},     {"han", 0x20000, 0x323AF}};
enum { BLOCKS = sizeof blocks / sizeof blocks[0], HAN_BEFORE = BLOCKS - 4 };

static int block_of(uint32_t point) {
  for (int i = 0; i < BLOCKS; i++)
    if (point >= blocks[i].first && point <= blocks[i].last) return i;
  return -1;
}

/* The writing that most letters are of; NULL: there are none. One part in ten of kana makes Chinese
 * characters Japanese. */
static const char *writing_of(const char *text, size_t length) {
  size_t counts[BLOCKS] = {0}, best = 0, most = 0;
  uint32_t point;
  for (size_t at = 0; at < length;) {
    int size = zh_utf8_decode(&point, text + at, length - at), block;
    at += size > 0 ? (size_t)size : 1;
    if (size <= 0 || (block = block_of(point)) < 0) continue;
    size_t first = (size_t)block; /* a writing counts where its first block stands */
    while (first > 0 && strcmp(blocks[first - 1].name, blocks[block].name) == 0) first--;
    counts[first]++;
  }
  size_t *kana = &counts[HAN_BEFORE], *han = &counts[HAN_BEFORE + 1];
  if (*kana * 10 >= *kana + *han && *kana > 0) *kana += *han, *han = 0;
  for (size_t i = 0; i < BLOCKS; i++)
    if (counts[i] > most) most = counts[best = i];
  return most > 0 ? blocks[best].name : NULL;
}

/* ---- words ---- */

static bool is_of_word(uint32_t point) {
  if (point < 0x80)
    return (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z') || point == '\'' ||
           point == '-';
  bool mark = point == 0xA1 || point == 0xAB || point == 0xBB || point == 0xBF || point == 0x60C ||
              point == 0x61B || point == 0x61F || point == 0x6D4 || point == 0x964 ||
              point == 0x965 || point == 0xA0 || (point >= 0x2000 && point <= 0x206F) ||
              (point >= 0x3000 && point <= 0x303F);
  return !mark;
}

/* The next word of *text, which moves behind it; 0 bytes: there is none. */
static size_t next_word(const char **word, const char **text, const char *end) {
  uint32_t point;
  *word = NULL;
  while (*text < end) {
    int size = zh_utf8_decode(&point, *text, (size_t)(end - *text));
    bool inside = size > 0 && is_of_word(point);
    if (inside && !*word) *word = *text;
    if (!inside && *word) break;
    *text += size > 0 ? size : 1;
  }
  return *word ? (size_t)(*text - *word) : 0;
}

enum { LANGUAGES_MAX = 32, WORD_MAX = 64 };

/* A word counts one for the only language that has it, and less the more have it. */
static void count_word(double scores[LANGUAGES_MAX], const json_t *languages, const char *word,
                       size_t length) {
  char held[WORD_MAX];
  bool has[LANGUAGES_MAX] = {false};
  size_t i = 0, count = 0;
  const char *name;
  json_t *words;
  if (length >= sizeof held) return;
  memcpy(held, word, length);
  held[length] = 0;
  json_object_foreach((json_t *)(uintptr_t)languages, name, words) {
    if (i == LANGUAGES_MAX) break;
    has[i] = json_object_get(words, held) != NULL;
    count += has[i++];
  }
  for (size_t k = 0; k < i; k++)
    if (has[k]) scores[k] += 1 / (double)count;
}

static const char *by_words(const json_t *languages, const json_t *lower) {
  double scores[LANGUAGES_MAX] = {0}, most = 0;
  const char *at = json_string_value(lower), *end = at + json_string_length(lower), *word, *name,
             *best = NULL;
  json_t *words;
  size_t i = 0;
  for (size_t length; (length = next_word(&word, &at, end)) > 0;)
    count_word(scores, languages, word, length);
  json_object_foreach((json_t *)(uintptr_t)languages, name, words) {
    if (i < LANGUAGES_MAX && (!best || scores[i] > most)) {
      best = name;
      most = scores[i];
    }
    i++;
  }
  return best ? best : "";
}

zh_status zh_language_of(const char **out, const json_t *text, zh_error *err) {
  const json_t *all;
  json_t *lower;
  *out = "";
  const char *writing = writing_of(json_string_value(text), json_string_length(text));
  if (!writing) return ZH_OK;
  ZH_TRY(zh_language_words(&all, "languages", err));
  ZH_TRY(zh_python_case(&lower, text, false, err));
  *out = by_words(json_object_get(all, writing), lower);
  json_decref(lower);
  return ZH_OK;
}
