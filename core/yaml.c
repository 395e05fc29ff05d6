#include "core/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/arena.h"
#include "core/files.h"
#include "core/text.h"
#include "core/yaml_tree.h"

enum {
  MAX_BYTES = 1 << 20,
  MAX_DEPTH = 32,
  ARENA_BYTES = 256 << 20, /* a node takes about 100 bytes and at least two of the file's */
  MAX_NODES = 1 << 20,     /* with aliases written out */
  MESSAGE_LINE_COLUMNS = 160,
};

/* ---- messages ---- */

/* Bytes of the line break at text[at], 0 where there is none: those that libyaml counts lines by.
 */
static size_t line_break(const char *text, size_t length, size_t at) {
  if (text[at] == '\r') return at + 1 < length && text[at + 1] == '\n' ? 2 : 1;
  if (text[at] == '\n') return 1;
  if (at + 1 < length && memcmp(text + at, "\xC2\x85", 2) == 0) return 2;
  bool separator = at + 2 < length && (memcmp(text + at, "\xE2\x80\xA8", 3) == 0 ||
                                       memcmp(text + at, "\xE2\x80\xA9", 3) == 0);
  return separator ? 3 : 0;
}

/* Bytes [*begin, *end) of a line counted from 0, without its break. */
static void find_line(size_t *begin, size_t *end, const char *text, size_t length, size_t line) {
  size_t at = 0;
  for (; line > 0 && at < length; line--) {
    size_t size = 0;
    while (at < length && (size = line_break(text, length, at)) == 0) at++;
    at += size;
  }
  *begin = at;
  while (at < length && line_break(text, length, at) == 0) at++;
  *end = at;
}

/* Byte of code point `column` of the line that begins at `at`. */
static size_t find_column(const char *text, size_t at, size_t end, size_t column) {
  for (uint32_t point; column > 0 && at < end; column--) {
    int size = zh_utf8_decode(&point, text + at, end - at);
    at += size > 0 ? (size_t)size : 1;
  }
  return at;
}

static void repeat(zh_text *out, char c, int times) {
  for (int i = 0; i < times; i++) zh_text_append(out, &c, 1);
}

/* Tabs stay tabs, so that a terminal moves the caret as far as it moves the text above. */
static void pad_like(zh_text *out, const char *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    size_t plain = 0;
    while (at + plain < length && bytes[at + plain] != '\t') plain++;
    repeat(out, ' ', zh_utf8_columns(bytes + at, plain));
    at += plain;
    if (at < length) zh_text_append(out, "\t", 1), at++;
  }
}

/* At most MESSAGE_LINE_COLUMNS code points of the line, chosen so that the marked place is among
 * them. */
static void write_excerpt(zh_text *out, const char *text, size_t length, zh_yaml_span where) {
  size_t begin, end;
  find_line(&begin, &end, text, length, where.line);
  size_t skip =
      where.column > MESSAGE_LINE_COLUMNS / 2 ? where.column - MESSAGE_LINE_COLUMNS / 2 : 0;
  size_t first = find_column(text, begin, end, skip);
  size_t last = find_column(text, first, end, MESSAGE_LINE_COLUMNS);
  size_t from = find_column(text, first, last, where.column - skip), to = last;
  if (where.end_line == where.line && where.end_column >= where.column)
    to = find_column(text, from, last, where.end_column - where.column);
  const char *before = skip > 0 ? "…" : "", *after = last < end ? "…" : "";
  char number[24];
  int width = snprintf(number, sizeof number, "%zu", where.line + 1);
  zh_text_printf(out, "\n  %s | %s%.*s%s\n  %*s | ", number, before, (int)(last - first),
                 text + first, after, width, "");
  pad_like(out, before, strlen(before));
  pad_like(out, text + first, from - first);
  int columns = zh_utf8_columns(text + from, to - from);
  zh_text_puts(out, "^");
  repeat(out, '~', columns - 1);
}

typedef struct source {
  const char *name, *text;
  size_t length;
} source;

static zh_status fail_at(zh_error *err, const source *src, zh_yaml_span where, const char *file,
                         int line, const char *message) {
  zh_text out = {0};
  zh_text_printf(&out, "%s:%zu:%zu: %s", src->name, where.line + 1, where.column + 1, message);
  write_excerpt(&out, src->text, src->length, where);
  zh_status status =
      zh_error_set(err, ZH_ERR_INPUT, file, line, "%s", out.failed ? message : out.data);
  zh_text_free(&out);
  return status;
}

zh_status zh_yaml_error_set(zh_error *err, const zh_yaml_node *node, const char *file, int line,
                            const char *format, ...) {
  char message[512];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  message[zh_utf8_valid_prefix(message, strlen(message))] = 0;
  source src = {node->doc->name, node->doc->text, node->doc->length};
  return fail_at(err, &src, node->where, file, line, message);
}

/* ---- reading ---- */

typedef struct reader {
  yaml_parser_t parser;
  yaml_event_t event; /* the current one; owned */
  bool has_event;
  zh_yaml_doc *doc;
  zh_error *err;
} reader;

static zh_yaml_span span_of(const yaml_event_t *event) {
  return (zh_yaml_span){event->start_mark.line, event->start_mark.column, event->end_mark.line,
                        event->end_mark.column};
}

static zh_status reader_fail(reader *r, zh_yaml_span where, const char *message) {
  source src = {r->doc->name, r->doc->text, r->doc->length};
  return fail_at(r->err, &src, where, __FILE__, __LINE__, message);
}

static zh_status out_of_memory(const reader *r) {
  return zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (%s)", r->doc->name);
}

/* Punctuation of a Chinese keyboard that YAML does not read as its own. */
static const char *const full_width[][2] = {{"，", ","}, {"：", ":"}, {"｛", "{"}, {"｝", "}"},
                                            {"［", "["}, {"］", "]"}, {"　", " "}};

static const char *line_start(const source *src, size_t line) {
  const char *at = src->text, *end = src->text + src->length;
  for (; line > 0 && at < end; at++) line -= *at == '\n';
  return at;
}

/* "; line 4 has a full-width '：' …" where the line of a mistake, or the one before it, has one. */
static void append_full_width(char *message, size_t capacity, const source *src, size_t line) {
  for (size_t back = 0; back < 2 && back <= line; back++) {
    const char *at = line_start(src, line - back), *end = src->text + src->length;
    for (; at < end && *at != '\n' && *at != '#'; at++) {
      for (size_t i = 0; i < sizeof full_width / sizeof full_width[0]; i++) {
        size_t bytes = strlen(full_width[i][0]), used = strlen(message);
        if ((size_t)(end - at) < bytes || memcmp(at, full_width[i][0], bytes) != 0) continue;
        snprintf(message + used, capacity - used,
                 "; line %zu has a full-width '%s', YAML reads '%s'", line - back + 1,
                 full_width[i][0], full_width[i][1]);
        return;
      }
    }
  }
}

static zh_status next_event(reader *r) {
  if (r->has_event) yaml_event_delete(&r->event);
  r->has_event = false;
  if (yaml_parser_parse(&r->parser, &r->event) != 0) {
    r->has_event = true;
    return ZH_OK;
  }
  const yaml_parser_t *p = &r->parser;
  if (p->error == YAML_MEMORY_ERROR) return out_of_memory(r);
  yaml_mark_t mark = p->error == YAML_READER_ERROR ? p->mark : p->problem_mark;
  char message[256];
  snprintf(message, sizeof message, "not valid YAML: %s%s%s", p->context != NULL ? p->context : "",
           p->context != NULL ? ", " : "", p->problem != NULL ? p->problem : "unknown problem");
  source src = {r->doc->name, r->doc->text, r->doc->length};
  append_full_width(message, sizeof message, &src, mark.line);
  return reader_fail(r, (zh_yaml_span){mark.line, mark.column, mark.line, mark.column + 1},
                     message);
}

static zh_yaml_node *new_node(reader *r, zh_yaml_kind kind) {
  zh_yaml_node *node = zh_arena_alloc(r->doc->arena, 1, sizeof *node);
  if (node != NULL)
    *node = (zh_yaml_node){
        .kind = kind, .where = span_of(&r->event), .doc = r->doc, .size = 1, .height = 1};
  return node;
}

static bool is_function(const reader *r, const yaml_char_t *tag) {
  return r->doc->foreign && tag != NULL && strcmp((const char *)tag, "!function") == 0;
}

static zh_status refuse_tag(reader *r, const yaml_char_t *tag) {
  return tag == NULL
             ? ZH_OK
             : reader_fail(r, span_of(&r->event), "tags ('!…') are not used here; remove it");
}

static zh_status read_scalar(const zh_yaml_node **out, reader *r) {
  bool function = is_function(r, r->event.data.scalar.tag);
  if (!function) ZH_TRY(refuse_tag(r, r->event.data.scalar.tag));
  zh_yaml_node *node = new_node(r, ZH_YAML_SCALAR);
  if (node == NULL) return out_of_memory(r);
  node->function = function;
  node->length = r->event.data.scalar.length;
  node->plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  node->text =
      zh_arena_strndup(r->doc->arena, (const char *)r->event.data.scalar.value, node->length);
  if (node->text == NULL) return out_of_memory(r);
  if (strlen(node->text) != node->length)
    return reader_fail(r, node->where, "text must not hold a NUL character");
  *out = node;
  return ZH_OK;
}

/* A growing list of nodes, moved into the arena when its length is known. */
typedef struct node_list {
  const zh_yaml_node **nodes;
  size_t count, capacity;
} node_list;

static bool push(node_list *list, const zh_yaml_node *node) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity > 0 ? list->capacity * 2 : 8;
    const zh_yaml_node **nodes = realloc(list->nodes, capacity * sizeof *nodes);
    if (nodes == NULL) return false;
    list->nodes = nodes;
    list->capacity = capacity;
  }
  list->nodes[list->count++] = node;
  return true;
}

static int by_text_then_place(const void *a, const void *b) {
  const zh_yaml_node *x = *(const zh_yaml_node *const *)a, *y = *(const zh_yaml_node *const *)b;
  int order = strcmp(x->text, y->text);
  if (order != 0) return order;
  if (x->where.line != y->where.line) return x->where.line < y->where.line ? -1 : 1;
  return x->where.column < y->where.column ? -1 : x->where.column > y->where.column;
}

/* By sorting: comparing each with each would let a file of 1 MiB keep us busy for minutes. */
static zh_status refuse_duplicates(reader *r, const zh_yaml_node *map) {
  size_t count = map->count;
  const zh_yaml_node **sorted = zh_arena_alloc(r->doc->arena, count, sizeof *sorted);
  if (sorted == NULL) return out_of_memory(r);
  if (count > 0) memcpy(sorted, map->keys, count * sizeof *sorted);
  if (count > 1) qsort(sorted, count, sizeof *sorted, by_text_then_place);
  for (size_t i = 1; i < count; i++) {
    if (strcmp(sorted[i - 1]->text, sorted[i]->text) != 0) continue;
    return zh_yaml_fail(r->err, sorted[i],
                        "the key '%s' stands here again; line %zu has it already", sorted[i]->text,
                        sorted[i - 1]->where.line + 1);
  }
  return ZH_OK;
}

static zh_status read_node(const zh_yaml_node **out, reader *r, int depth);

static zh_status read_key(const zh_yaml_node **out, reader *r) {
  if (r->event.type != YAML_SCALAR_EVENT)
    return reader_fail(r, span_of(&r->event), "a key must be a word, not a list, map or alias");
  return read_scalar(out, r);
}

/* Reads items until the end event; for maps, keys and values in turn. */
static zh_status read_items(reader *r, zh_yaml_node *node, node_list lists[2], int depth) {
  bool map = node->kind == ZH_YAML_MAP;
  yaml_event_type_t end = map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
  for (;;) {
    const zh_yaml_node *item;
    ZH_TRY(next_event(r));
    if (r->event.type == end) return ZH_OK;
    if (map) {
      ZH_TRY(read_key(&item, r));
      if (!push(&lists[1], item)) return out_of_memory(r);
      ZH_TRY(next_event(r));
    }
    ZH_TRY(read_node(&item, r, depth + 1));
    if (!push(&lists[0], item)) return out_of_memory(r);
  }
}

static const zh_yaml_node **keep(zh_arena *arena, const node_list *list) {
  const zh_yaml_node **nodes = zh_arena_alloc(arena, list->count, sizeof *nodes);
  if (nodes != NULL && list->count > 0) memcpy(nodes, list->nodes, list->count * sizeof *nodes);
  return nodes;
}

/* How large it would be with its aliases written out, which a small file can make endless. */
static zh_status measure(reader *r, zh_yaml_node *node) {
  for (size_t i = 0; i < node->count; i++) {
    node->size += node->items[i]->size;
    if (node->items[i]->height >= node->height) node->height = node->items[i]->height + 1;
    if (node->size > MAX_NODES)
      return zh_yaml_fail(r->err, node, "with its aliases written out this has more than %d values",
                          MAX_NODES);
  }
  return ZH_OK;
}

static zh_status read_collection(const zh_yaml_node **out, reader *r, zh_yaml_kind kind,
                                 int depth) {
  if (depth > MAX_DEPTH) {
    char message[64];
    snprintf(message, sizeof message, "nested deeper than %d levels", MAX_DEPTH);
    return reader_fail(r, span_of(&r->event), message);
  }
  bool map = kind == ZH_YAML_MAP;
  ZH_TRY(refuse_tag(r, map ? r->event.data.mapping_start.tag : r->event.data.sequence_start.tag));
  zh_yaml_node *node = new_node(r, kind);
  if (node == NULL) return out_of_memory(r);
  node_list lists[2] = {{0}};
  zh_status status = read_items(r, node, lists, depth);
  if (status == ZH_OK) {
    node->where.end_line = r->event.end_mark.line;
    node->where.end_column = r->event.end_mark.column;
    node->count = lists[0].count;
    node->items = keep(r->doc->arena, &lists[0]);
    node->keys = keep(r->doc->arena, &lists[1]);
    if (node->items == NULL || node->keys == NULL) status = out_of_memory(r);
  }
  free(lists[0].nodes);
  free(lists[1].nodes);
  if (status == ZH_OK && map) status = refuse_duplicates(r, node);
  if (status == ZH_OK && map && r->doc->foreign) status = zh_yaml_merge(node, r->err);
  if (status == ZH_OK) status = measure(r, node);
  *out = node;
  return status;
}

static zh_status read_alias(const zh_yaml_node **out, reader *r, int depth) {
  const char *name = (const char *)r->event.data.alias.anchor;
  if (!r->doc->foreign)
    return reader_fail(r, span_of(&r->event),
                       "aliases ('*name') are not used here; write the value again");
  *out = zh_yaml_marked(r->doc, name);
  if (*out == NULL)
    return reader_fail(r, span_of(&r->event), "no value before this one has that name ('&name')");
  return depth + (*out)->height - 1 <= MAX_DEPTH
             ? ZH_OK
             : reader_fail(r, span_of(&r->event), "with its aliases written out this is too deep");
}

/* `&name` of a value; NULL: none. */
static const yaml_char_t *anchor_of(const yaml_event_t *event) {
  switch (event->type) {
  case YAML_SCALAR_EVENT:
    return event->data.scalar.anchor;
  case YAML_SEQUENCE_START_EVENT:
    return event->data.sequence_start.anchor;
  case YAML_MAPPING_START_EVENT:
    return event->data.mapping_start.anchor;
  default:
    return NULL;
  }
}

static zh_status read_node(const zh_yaml_node **out, reader *r, int depth) {
  const yaml_char_t *anchor = r->doc->foreign ? anchor_of(&r->event) : NULL;
  const char *name = NULL;
  if (anchor != NULL) {
    name = zh_arena_strdup(r->doc->arena, (const char *)anchor);
    if (name == NULL) return out_of_memory(r);
  }
  if (r->event.type == YAML_SCALAR_EVENT)
    ZH_TRY(read_scalar(out, r));
  else if (r->event.type == YAML_SEQUENCE_START_EVENT)
    ZH_TRY(read_collection(out, r, ZH_YAML_LIST, depth));
  else if (r->event.type == YAML_MAPPING_START_EVENT)
    ZH_TRY(read_collection(out, r, ZH_YAML_MAP, depth));
  else
    ZH_TRY(read_alias(out, r, depth));
  return name != NULL ? zh_yaml_mark(r->doc, name, *out, r->err) : ZH_OK;
}

static zh_status read_document(reader *r) {
  zh_yaml_span start = {0, 0, 0, 1};
  ZH_TRY(next_event(r)); /* stream start */
  ZH_TRY(next_event(r));
  if (r->event.type != YAML_DOCUMENT_START_EVENT) return reader_fail(r, start, "the file is empty");
  ZH_TRY(next_event(r));
  ZH_TRY(read_node(&r->doc->root, r, 1));
  ZH_TRY(next_event(r)); /* document end */
  ZH_TRY(next_event(r));
  if (r->event.type != YAML_STREAM_END_EVENT)
    return reader_fail(r, span_of(&r->event), "a second document begins here; one file holds one");
  return ZH_OK;
}

static zh_status refuse_bad_bytes(const zh_yaml_doc *doc, zh_error *err) {
  if (doc->length > MAX_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "%s: has %zu bytes; at most %d are read", doc->name,
                   doc->length, MAX_BYTES);
  size_t valid = zh_utf8_valid_prefix(doc->text, doc->length), line = 1, column = 1;
  if (valid == doc->length) return ZH_OK;
  for (size_t i = 0; i < valid; i++) {
    column += (doc->text[i] & 0xC0) != 0x80;
    if (doc->text[i] == '\n') line++, column = 1;
  }
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s:%zu:%zu: byte 0x%02X is not valid UTF-8; save the file as UTF-8", doc->name,
                 line, column, (unsigned char)doc->text[valid]);
}

static zh_status parse(zh_yaml_doc *doc, zh_error *err) {
  reader r = {.doc = doc, .err = err};
  ZH_TRY(refuse_bad_bytes(doc, err));
  if (yaml_parser_initialize(&r.parser) == 0) return out_of_memory(&r);
  yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r.parser, (const unsigned char *)doc->text, doc->length);
  zh_status status = read_document(&r);
  if (r.has_event) yaml_event_delete(&r.event);
  yaml_parser_delete(&r.parser);
  return status;
}

static zh_status load_text(zh_yaml_doc **out, const char *text, size_t length, const char *name,
                           bool foreign, zh_error *err) {
  *out = NULL;
  zh_yaml_doc *doc = calloc(1, sizeof *doc);
  if (doc == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", name);
  zh_status status = zh_arena_create(&doc->arena, ARENA_BYTES, err);
  if (status == ZH_OK) {
    doc->name = zh_arena_strdup(doc->arena, name);
    doc->text = zh_arena_strndup(doc->arena, text, length);
    doc->length = length;
    doc->foreign = foreign;
    status = doc->name != NULL && doc->text != NULL
                 ? parse(doc, err)
                 : zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", name);
  }
  if (status != ZH_OK) {
    zh_yaml_free(doc);
    return status;
  }
  *out = doc;
  return ZH_OK;
}

zh_status zh_yaml_load_text(zh_yaml_doc **out, const char *text, size_t length, const char *name,
                            zh_error *err) {
  return load_text(out, text, length, name, false, err);
}

static zh_status load_file(zh_yaml_doc **out, const char *path, bool foreign, zh_error *err) {
  char *text;
  size_t length;
  *out = NULL;
  ZH_TRY(zh_read_file(&text, &length, path, MAX_BYTES, err));
  zh_status status = load_text(out, text, length, path, foreign, err);
  free(text);
  return status;
}

zh_status zh_yaml_load_file(zh_yaml_doc **out, const char *path, zh_error *err) {
  return load_file(out, path, false, err);
}

zh_status zh_yaml_load_foreign(zh_yaml_doc **out, const char *path, zh_error *err) {
  return load_file(out, path, true, err);
}

void zh_yaml_free(zh_yaml_doc *doc) {
  if (doc == NULL) return;
  zh_arena_free(doc->arena);
  free(doc);
}

/* ---- the tree ---- */

const zh_yaml_node *zh_yaml_root(const zh_yaml_doc *doc) {
  return doc->root;
}
zh_yaml_kind zh_yaml_node_kind(const zh_yaml_node *node) {
  return node->kind;
}
int zh_yaml_line(const zh_yaml_node *node) {
  return (int)node->where.line + 1;
}
int zh_yaml_column(const zh_yaml_node *node) {
  return (int)node->where.column + 1;
}
const char *zh_yaml_path(const zh_yaml_node *node) {
  return node->doc->name;
}
size_t zh_yaml_count(const zh_yaml_node *node) {
  return node->count;
}
const zh_yaml_node *zh_yaml_item(const zh_yaml_node *node, size_t i) {
  return node->items[i];
}
const char *zh_yaml_key(const zh_yaml_node *map, size_t i) {
  return map->keys[i]->text;
}

const zh_yaml_node *zh_yaml_get(const zh_yaml_node *map, const char *key) {
  if (map->kind != ZH_YAML_MAP) return NULL;
  for (size_t i = 0; i < map->count; i++)
    if (strcmp(map->keys[i]->text, key) == 0) return map->items[i];
  return NULL;
}
