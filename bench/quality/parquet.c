/* Rows put together from the columns of Parquet: the record assembly of S. Melnik et al., "Dremel:
 * Interactive Analysis of Web-Scale Datasets" (VLDB 2010), read from the schema down. */
#include "bench/quality/parquet.h"

#include <stdlib.h>

#include "bench/quality/parquet_parts.h"
#include "core/files.h"

enum { FILE_BYTES = 1 << 30, CELLS_LEAST = 1 << 20, CELLS_PER_BYTE = 16 };

/* A column, and how far it is used. */
typedef struct cursor {
  zh_parquet_column column;
  size_t at, value;
} cursor;

typedef struct assembly {
  const zh_parquet_file *file;
  cursor *leaves;
  zh_error *err;
} assembly;

static zh_status no_memory(const assembly *a) {
  return zh_fail(a->err, ZH_ERR_MEMORY, "out of memory (%s)", a->file->name);
}

static zh_status out_of_step(const assembly *a, const zh_parquet_node *n) {
  return zh_fail(a->err, ZH_ERR_INPUT, "%s: the column '%s' does not fit those beside it",
                 a->file->name, n->path);
}

static const cursor *first_of(const assembly *a, const zh_parquet_node *n) {
  return &a->leaves[n->first_leaf];
}

/* Level of the entry at hand; -1: there is none. */
static int definition_at(const cursor *c) {
  return c->at < c->column.count ? c->column.definitions[c->at] : -1;
}

/* What is null, or an empty list, has one entry in each leaf below it. */
static zh_status pass_over(assembly *a, const zh_parquet_node *n) {
  for (size_t i = n->first_leaf; i < n->first_leaf + n->leaf_count; i++) {
    cursor *c = &a->leaves[i];
    int level = definition_at(c);
    if (level < 0 || level >= c->column.leaf->definition) return out_of_step(a, n);
    c->at++;
  }
  return ZH_OK;
}

static zh_status take_leaf(json_t **out, assembly *a, const zh_parquet_node *n) {
  cursor *c = &a->leaves[n->first_leaf];
  if (definition_at(c) != n->definition || c->value >= c->column.value_count)
    return out_of_step(a, n);
  *out = json_incref(c->column.values[c->value++]);
  c->at++;
  return ZH_OK;
}

static zh_status assemble(json_t **out, assembly *a, const zh_parquet_node *n);

static zh_status take_struct(json_t **out, assembly *a, const zh_parquet_node *n) {
  json_t *object = json_object();
  zh_status status = object ? ZH_OK : no_memory(a);
  for (size_t i = 0; status == ZH_OK && i < n->child_count; i++) {
    json_t *value = NULL;
    status = assemble(&value, a, n->children[i]);
    if (status == ZH_OK && json_object_set_new(object, n->children[i]->name, value) != 0)
      status = no_memory(a);
  }
  *out = object;
  return status;
}

/* An element more for every entry that repeats at the list's own level. */
static zh_status take_list(json_t **out, assembly *a, const zh_parquet_node *n) {
  const zh_parquet_node *repeated = n->children[0];
  const cursor *first = first_of(a, n);
  json_t *list = *out = json_array();
  zh_status status = list ? ZH_OK : no_memory(a);
  if (status == ZH_OK && definition_at(first) < repeated->definition) return pass_over(a, n);
  bool more = true;
  while (status == ZH_OK && more) {
    json_t *element = NULL;
    status = assemble(&element, a, repeated->children[0]);
    if (status == ZH_OK && json_array_append_new(list, element) != 0) status = no_memory(a);
    more = definition_at(first) >= 0 && first->column.repeats[first->at] == repeated->repeats;
  }
  return status;
}

/* Depth is bounded by the schema's. Every call uses up an entry at least. */
static zh_status assemble(json_t **out, assembly *a, const zh_parquet_node *n) {
  int level = definition_at(first_of(a, n));
  zh_status status;
  *out = NULL;
  if (level < 0) return out_of_step(a, n);
  if (n->repetition == ZH_PARQUET_OPTIONAL && level < n->definition) {
    *out = json_null();
    return pass_over(a, n);
  }
  if (n->type != ZH_PARQUET_GROUP)
    status = take_leaf(out, a, n);
  else if (n->is_list)
    status = take_list(out, a, n);
  else
    status = take_struct(out, a, n);
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}

static zh_status take_row(json_t *rows, assembly *a) {
  const zh_parquet_file *f = a->file;
  json_t *row = NULL;
  for (size_t i = 0; i < f->leaf_count; i++) {
    const cursor *c = &a->leaves[i];
    if (definition_at(c) < 0 || c->column.repeats[c->at] != 0) return out_of_step(a, f->leaves[i]);
  }
  zh_status status = take_struct(&row, a, f->root);
  if (status != ZH_OK)
    json_decref(row);
  else if (json_array_append_new(rows, row) != 0)
    status = no_memory(a);
  return status;
}

static zh_status take_group(json_t *rows, assembly *a, const zh_parquet_group *g) {
  const zh_parquet_file *f = a->file;
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < f->leaf_count; i++)
    status = zh_parquet_column_read(&a->leaves[i].column, f, f->leaves[i], &g->chunks[i], a->err);
  for (int64_t row = 0; status == ZH_OK && row < g->rows; row++) status = take_row(rows, a);
  for (size_t i = 0; status == ZH_OK && i < f->leaf_count; i++)
    if (definition_at(&a->leaves[i]) >= 0) status = out_of_step(a, f->leaves[i]);
  for (size_t i = 0; i < f->leaf_count; i++) {
    zh_parquet_column_free(&a->leaves[i].column);
    a->leaves[i] = (cursor){.at = 0};
  }
  return status;
}

/* Runs of equal values take next to no room in a file, so that a small one could fill all memory.
 */
static zh_status check_cells(const zh_parquet_file *f, zh_error *err) {
  uint64_t most = (uint64_t)f->length * CELLS_PER_BYTE, cells = 0;
  if (most < CELLS_LEAST) most = CELLS_LEAST;
  for (size_t g = 0; g < f->group_count; g++) {
    for (size_t i = 0; i < f->leaf_count; i++) {
      uint64_t values = (uint64_t)f->groups[g].chunks[i].values;
      if (values > most || (cells += values) > most)
        return zh_fail(err, ZH_ERR_INPUT,
                       "%s: it states more values than a file of %zu bytes may have here (%llu)",
                       f->name, f->length, (unsigned long long)most);
    }
  }
  return ZH_OK;
}

static zh_status read_rows(json_t *rows, zh_parquet_file *f, zh_error *err) {
  assembly a = {.file = f, .err = err};
  ZH_TRY(zh_parquet_footer(f, err));
  ZH_TRY(check_cells(f, err));
  a.leaves = calloc(f->leaf_count, sizeof *a.leaves);
  if (!a.leaves) return no_memory(&a);
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < f->group_count; i++)
    status = take_group(rows, &a, &f->groups[i]);
  free(a.leaves);
  return status;
}

zh_status zh_parquet_parse(json_t *rows, const unsigned char *bytes, size_t length,
                           const char *name, zh_error *err) {
  zh_parquet_file file = {.name = name, .bytes = bytes, .length = length};
  if (length > FILE_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "%s: larger than %d MiB", name, FILE_BYTES >> 20);
  ZH_TRY(zh_arena_create(&file.arena, 0, err));
  zh_status status = read_rows(rows, &file, err);
  zh_arena_free(file.arena);
  return status;
}

zh_status zh_parquet_read(json_t *rows, const char *path, zh_error *err) {
  zh_mapping file;
  ZH_TRY(zh_map_file(&file, path, err));
  zh_status status = zh_parquet_parse(rows, file.data, file.bytes, path, err);
  zh_unmap(&file);
  return status;
}
