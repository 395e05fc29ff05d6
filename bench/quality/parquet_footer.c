/* What a Parquet file says of itself: schema, row groups, where columns lie. */
#include <string.h>

#include "bench/quality/parquet_parts.h"
#include "core/text.h"

enum { NODES_MAX = 10000, PATH_MAX_BYTES = 1024, TAIL = 8 };
enum { CONVERTED_LIST = 3, LOGICAL_LIST = 3, LOGICAL_INTEGER = 10 };
enum { CONVERTED_UINT_8 = 11, CONVERTED_UINT_64 = 14 };

typedef struct reading {
  zh_parquet_file *file;
  zh_thrift thrift;
  zh_parquet_node *flat; /* the schema, parents before their children */
  size_t flat_count, taken;
  int64_t rows;
  zh_error *err;
} reading;

static zh_status no_memory(const reading *r) {
  return zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (%s)", r->file->name);
}

static zh_status broken(const reading *r, const char *what) {
  return zh_fail(r->err, ZH_ERR_INPUT, "%s: not a sound Parquet file: %s", r->file->name, what);
}

/* ---- the schema, as it stands in the file ---- */

/* A union: which of its members is there. */
static int read_logical(zh_thrift *t, const zh_thrift_field *of, bool *is_unsigned) {
  zh_thrift_field member = {0, 0}, inner = {0, 0};
  int which = -1;
  if (!zh_thrift_enter(t, of)) return which;
  while (zh_thrift_next(t, &member)) {
    which = member.id;
    if (which != LOGICAL_INTEGER || !zh_thrift_enter(t, &member)) {
      zh_thrift_skip(t, &member);
      continue;
    }
    while (zh_thrift_next(t, &inner))
      if (inner.id == 2)
        *is_unsigned = !zh_thrift_truth(t, &inner);
      else
        zh_thrift_skip(t, &inner);
    zh_thrift_leave(t);
  }
  zh_thrift_leave(t);
  return which;
}

static const char *read_name(reading *r, const zh_thrift_field *field) {
  size_t length;
  const char *bytes = zh_thrift_bytes(&r->thrift, field, &length);
  if (length >= PATH_MAX_BYTES || zh_utf8_valid_prefix(bytes, length) != length ||
      memchr(bytes, 0, length)) {
    r->thrift.failed = true;
    length = 0;
  }
  char *name = zh_arena_alloc(r->file->arena, length + 1, 1);
  if (!name) return NULL;
  memcpy(name, bytes, length);
  name[length] = 0;
  return name;
}

/* children_count is kept in child_count until the tree is made. */
static zh_status read_node(reading *r, zh_parquet_node *out, const zh_thrift_field *element) {
  zh_thrift *t = &r->thrift;
  zh_thrift_field field = {0, 0};
  *out = (zh_parquet_node){.name = "", .type = ZH_PARQUET_GROUP, .converted = -1, .logical = -1};
  if (!zh_thrift_enter(t, element)) return ZH_OK;
  while (zh_thrift_next(t, &field)) {
    int64_t number = 0;
    if (field.id == 1 || field.id == 3 || field.id == 5 || field.id == 6)
      number = zh_thrift_whole(t, &field);
    switch (field.id) {
    case 1:
      if (number < ZH_PARQUET_BOOLEAN || number > ZH_PARQUET_FIXED) t->failed = true;
      out->type = (zh_parquet_type)number;
      break;
    case 3:
      if (number < ZH_PARQUET_REQUIRED || number > ZH_PARQUET_REPEATED) t->failed = true;
      out->repetition = (zh_parquet_repetition)number;
      break;
    case 4:
      out->name = read_name(r, &field);
      if (!out->name) return no_memory(r);
      break;
    case 5:
      if (number < 0 || number > NODES_MAX) t->failed = true;
      out->child_count = t->failed ? 0 : (size_t)number;
      break;
    case 6:
      out->converted = number >= 0 && number < 100 ? (int)number : 99;
      break;
    case 10:
      out->logical = read_logical(t, &field, &out->is_unsigned);
      break;
    default:
      zh_thrift_skip(t, &field);
    }
  }
  zh_thrift_leave(t);
  out->is_unsigned |= out->converted >= CONVERTED_UINT_8 && out->converted <= CONVERTED_UINT_64;
  return ZH_OK;
}

static zh_status read_schema(reading *r, const zh_thrift_field *field) {
  zh_thrift_field element;
  size_t count = zh_thrift_list(&r->thrift, field, &element);
  if (r->flat || count > NODES_MAX) return broken(r, "its schema has too many columns");
  r->flat = zh_arena_alloc(r->file->arena, count + 1, sizeof *r->flat);
  if (!r->flat) return no_memory(r);
  for (; r->flat_count < count && !r->thrift.failed; r->flat_count++)
    ZH_TRY(read_node(r, &r->flat[r->flat_count], &element));
  return ZH_OK;
}

/* ---- the schema as a tree ---- */

static zh_status join_path(reading *r, zh_parquet_node *node, const zh_parquet_node *parent) {
  char path[PATH_MAX_BYTES];
  bool below_root = parent->path[0] == 0;
  int length =
      snprintf(path, sizeof path, "%s%s%s", parent->path, below_root ? "" : ".", node->name);
  if (length < 0 || length >= (int)sizeof path) return broken(r, "a column's name is too long");
  node->path = zh_arena_strdup(r->file->arena, path);
  return node->path ? ZH_OK : no_memory(r);
}

/* What a leaf's annotation means, when it is not what is read: NULL where it is. */
static const char *strange_leaf(const zh_parquet_node *n) {
  static const char *const logical[] = {
      [5] = "decimal numbers", [6] = "dates",  [7] = "times of day", [8] = "times",
      [13] = "BSON",           [14] = "UUIDs", [15] = "fp16 numbers"};
  static const char *const converted[] = {
      [5] = "decimal numbers", [6] = "dates",  [7] = "times of day", [8] = "times of day",
      [9] = "times",           [10] = "times", [20] = "BSON",        [21] = "intervals"};
  if (n->type == ZH_PARQUET_INT96) return "INT96 values";
  if (n->logical >= 0 && n->logical < 16 && logical[n->logical]) return logical[n->logical];
  if (n->converted >= 0 && n->converted < 22 && converted[n->converted])
    return converted[n->converted];
  if (n->type == ZH_PARQUET_FIXED) return "values of fixed length";
  bool is_text = n->converted == 0 || n->converted == 4 || n->converted == 19 || n->logical == 1 ||
                 n->logical == 4 || n->logical == 12;
  return n->type == ZH_PARQUET_BYTES && !is_text ? "bytes, not text" : NULL;
}

static zh_status refuse(const reading *r, const zh_parquet_node *n, const char *what) {
  return zh_fail(r->err, ZH_ERR_INPUT,
                 "%s: the column '%s' holds %s, which are not read; write it as text or numbers",
                 r->file->name, n->path, what);
}

/* Lists of three levels: the list, its repeated group, one element. */
static zh_status check_shape(const reading *r, const zh_parquet_node *n,
                             const zh_parquet_node *parent) {
  if (n->type != ZH_PARQUET_GROUP && n->child_count > 0)
    return broken(r, "a column of values has columns below it");
  if (n->type == ZH_PARQUET_GROUP && n->child_count == 0) return refuse(r, n, "structs of nothing");
  if ((n->repetition == ZH_PARQUET_REPEATED) != parent->is_list)
    return refuse(r, n, "repeated values that are no lists of three levels");
  if (parent->is_list && (n->type != ZH_PARQUET_GROUP || n->child_count != 1))
    return refuse(r, n, "lists of two levels");
  if (n->is_list && n->child_count != 1) return broken(r, "a list of several columns");
  if (n->type == ZH_PARQUET_GROUP && !n->is_list && (n->converted >= 0 || n->logical >= 0))
    return refuse(r, n, "maps");
  const char *strange = n->type == ZH_PARQUET_GROUP ? NULL : strange_leaf(n);
  return strange ? refuse(r, n, strange) : ZH_OK;
}

static zh_status hang_children(reading *r, zh_parquet_node *node, int depth);

static zh_status hang(reading *r, zh_parquet_node *node, const zh_parquet_node *parent, int depth) {
  zh_parquet_file *f = r->file;
  node->is_list = node->type == ZH_PARQUET_GROUP && node->repetition != ZH_PARQUET_REPEATED &&
                  (node->converted == CONVERTED_LIST || node->logical == LOGICAL_LIST);
  node->definition = parent->definition + (node->repetition != ZH_PARQUET_REQUIRED);
  node->repeats = parent->repeats + (node->repetition == ZH_PARQUET_REPEATED);
  ZH_TRY(join_path(r, node, parent));
  ZH_TRY(check_shape(r, node, parent));
  node->first_leaf = f->leaf_count;
  if (node->type != ZH_PARQUET_GROUP) {
    node->leaf_count = 1;
    f->leaves[f->leaf_count++] = node;
    return ZH_OK;
  }
  ZH_TRY(hang_children(r, node, depth));
  node->leaf_count = f->leaf_count - node->first_leaf;
  return ZH_OK;
}

static zh_status hang_children(reading *r, zh_parquet_node *node, int depth) {
  size_t count = node->child_count;
  if (depth >= ZH_PARQUET_DEPTH) return broken(r, "its schema is too deep");
  if (count > r->flat_count - r->taken) return broken(r, "its schema ends early");
  node->children = zh_arena_alloc(r->file->arena, count + 1, sizeof(zh_parquet_node *));
  if (!node->children) return no_memory(r);
  for (size_t i = 0; i < count; i++) {
    if (r->taken == r->flat_count) return broken(r, "its schema ends early");
    node->children[i] = &r->flat[r->taken++];
    for (size_t k = 0; k < i; k++)
      if (strcmp(node->children[k]->name, node->children[i]->name) == 0)
        return zh_fail(r->err, ZH_ERR_INPUT, "%s: two columns are called '%s'", r->file->name,
                       node->children[i]->name);
    ZH_TRY(hang(r, node->children[i], node, depth + 1));
  }
  return ZH_OK;
}

static zh_status make_tree(reading *r) {
  zh_parquet_file *f = r->file;
  if (r->flat_count == 0) return broken(r, "it has no schema");
  f->leaves = zh_arena_alloc(f->arena, r->flat_count, sizeof *f->leaves);
  if (!f->leaves) return no_memory(r);
  f->root = &r->flat[r->taken++];
  f->root->path = "";
  f->root->type = ZH_PARQUET_GROUP;
  f->root->repetition = ZH_PARQUET_REQUIRED;
  f->root->is_list = false;
  ZH_TRY(hang_children(r, f->root, 0));
  f->root->leaf_count = f->leaf_count;
  if (r->taken != r->flat_count) return broken(r, "its schema has columns outside the table");
  return f->leaf_count > 0 ? ZH_OK : broken(r, "it has no columns");
}

/* ---- row groups ---- */

static const char *read_path(reading *r, const zh_thrift_field *field) {
  zh_thrift_field part;
  zh_text path = {0};
  size_t count = zh_thrift_list(&r->thrift, field, &part);
  for (size_t i = 0; i < count && !r->thrift.failed; i++) {
    size_t length;
    const char *bytes = zh_thrift_bytes(&r->thrift, &part, &length);
    if (i > 0) zh_text_puts(&path, ".");
    zh_text_append(&path, bytes, length);
  }
  const char *held = path.failed ? NULL : zh_arena_strdup(r->file->arena, zh_text_string(&path));
  zh_text_free(&path);
  return held;
}

static zh_status read_chunk_facts(reading *r, zh_parquet_chunk *out, const zh_thrift_field *of) {
  zh_thrift *t = &r->thrift;
  zh_thrift_field field = {0, 0};
  int64_t pages = 0, dictionary = 0, bytes = 0, codec = 0;
  if (!zh_thrift_enter(t, of)) return ZH_OK;
  while (zh_thrift_next(t, &field)) {
    if (field.id == 3) {
      out->path = read_path(r, &field);
      if (!out->path) return no_memory(r);
    } else if (field.id == 4) {
      codec = zh_thrift_whole(t, &field);
    } else if (field.id == 5) {
      out->values = zh_thrift_whole(t, &field);
    } else if (field.id == 7) {
      bytes = zh_thrift_whole(t, &field);
    } else if (field.id == 9) {
      pages = zh_thrift_whole(t, &field);
    } else if (field.id == 11) {
      dictionary = zh_thrift_whole(t, &field);
    } else {
      zh_thrift_skip(t, &field);
    }
  }
  zh_thrift_leave(t);
  int64_t begin = dictionary > 0 && dictionary < pages ? dictionary : pages;
  int64_t end = (int64_t)r->file->footer;
  if (!t->failed && out->values == 0) return ZH_OK; /* no pages either */
  if (t->failed || begin < 4 || bytes < 0 || begin > end || bytes > end - begin || out->values < 0)
    return broken(r, "a column lies outside the file");
  out->codec = codec >= 0 && codec < 100 ? (int)codec : 99;
  out->begin = (uint64_t)begin;
  out->bytes = (uint64_t)bytes;
  return ZH_OK;
}

static zh_status read_chunk(reading *r, zh_parquet_chunk *out, const zh_thrift_field *element) {
  zh_thrift *t = &r->thrift;
  zh_thrift_field field = {0, 0};
  *out = (zh_parquet_chunk){.path = NULL};
  if (!zh_thrift_enter(t, element)) return ZH_OK;
  while (zh_thrift_next(t, &field)) {
    if (field.id == 1 || field.id == 8)
      return zh_fail(r->err, ZH_ERR_INPUT, "%s: %s", r->file->name,
                     field.id == 1 ? "columns that lie in other files are not read"
                                   : "encrypted columns are not read");
    if (field.id == 3)
      ZH_TRY(read_chunk_facts(r, out, &field));
    else
      zh_thrift_skip(t, &field);
  }
  zh_thrift_leave(t);
  return ZH_OK;
}

static zh_status read_chunks(reading *r, zh_parquet_group *out, const zh_thrift_field *field) {
  zh_parquet_file *f = r->file;
  zh_thrift_field element;
  size_t count = zh_thrift_list(&r->thrift, field, &element);
  if (count != f->leaf_count) return broken(r, "a row group has other columns than the schema");
  out->chunks = zh_arena_alloc(f->arena, count, sizeof *out->chunks);
  if (!out->chunks) return no_memory(r);
  for (size_t i = 0; i < count && !r->thrift.failed; i++) {
    ZH_TRY(read_chunk(r, &out->chunks[i], &element));
    const char *path = out->chunks[i].path;
    if (!path || strcmp(path, f->leaves[i]->path) != 0)
      return broken(r, "a row group's columns are not in the schema's order");
  }
  return ZH_OK;
}

static zh_status read_group(reading *r, zh_parquet_group *out, const zh_thrift_field *element) {
  zh_thrift *t = &r->thrift;
  zh_thrift_field field = {0, 0};
  *out = (zh_parquet_group){.rows = -1};
  if (!zh_thrift_enter(t, element)) return ZH_OK;
  while (zh_thrift_next(t, &field)) {
    if (field.id == 1)
      ZH_TRY(read_chunks(r, out, &field));
    else if (field.id == 3)
      out->rows = zh_thrift_whole(t, &field);
    else
      zh_thrift_skip(t, &field);
  }
  zh_thrift_leave(t);
  return t->failed || (out->chunks && out->rows >= 0) ? ZH_OK
                                                      : broken(r, "a row group lacks its columns");
}

/* The schema stands before the row groups in every file that is written field by field. */
static zh_status read_groups(reading *r, const zh_thrift_field *field) {
  zh_parquet_file *f = r->file;
  zh_thrift_field element;
  if (!r->flat || f->groups) return broken(r, "its row groups come before its schema");
  ZH_TRY(make_tree(r));
  size_t count = zh_thrift_list(&r->thrift, field, &element);
  f->groups = zh_arena_alloc(f->arena, count + 1, sizeof *f->groups);
  if (!f->groups) return no_memory(r);
  for (; f->group_count < count && !r->thrift.failed; f->group_count++)
    ZH_TRY(read_group(r, &f->groups[f->group_count], &element));
  return ZH_OK;
}

/* ---- all of it ---- */

static zh_status find_footer(reading *r) {
  zh_parquet_file *f = r->file;
  const unsigned char *end = f->bytes + f->length;
  if (f->length >= 12 && memcmp(end - 4, "PARE", 4) == 0)
    return zh_fail(r->err, ZH_ERR_INPUT, "%s: encrypted Parquet is not read", f->name);
  if (f->length < 12 || memcmp(f->bytes, "PAR1", 4) != 0 || memcmp(end - 4, "PAR1", 4) != 0)
    return zh_fail(r->err, ZH_ERR_INPUT,
                   "%s: a Parquet file begins and ends with PAR1; this one was cut off or is "
                   "another format",
                   f->name);
  size_t size = end[-8] | (size_t)end[-7] << 8 | (size_t)end[-6] << 16 | (size_t)end[-5] << 24;
  if (size > f->length - TAIL - 4) return broken(r, "its footer is longer than the file");
  f->footer = f->length - TAIL - size;
  r->thrift = (zh_thrift){.at = f->bytes + f->footer, .end = end - TAIL};
  return ZH_OK;
}

zh_status zh_parquet_footer(zh_parquet_file *file, zh_error *err) {
  reading r = {.file = file, .rows = -1, .err = err};
  zh_thrift_field field = {0, 0};
  ZH_TRY(find_footer(&r));
  while (zh_thrift_next(&r.thrift, &field)) {
    if (field.id == 2)
      ZH_TRY(read_schema(&r, &field));
    else if (field.id == 3)
      r.rows = zh_thrift_whole(&r.thrift, &field);
    else if (field.id == 4)
      ZH_TRY(read_groups(&r, &field));
    else
      zh_thrift_skip(&r.thrift, &field);
  }
  if (r.thrift.failed) return broken(&r, "its footer cannot be read");
  if (!file->root) return broken(&r, "its footer lacks schema or row groups");
  int64_t rows = 0;
  for (size_t i = 0; i < file->group_count; i++)
    if (file->groups[i].rows > INT32_MAX || (rows += file->groups[i].rows) > INT32_MAX)
      return broken(&r, "it has too many rows");
  return rows == r.rows ? ZH_OK : broken(&r, "its row groups have other rows than the file");
}
