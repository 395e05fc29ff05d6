/* What the files of the Parquet reader share. */
#ifndef ZH_BENCH_QUALITY_PARQUET_PARTS_H
#define ZH_BENCH_QUALITY_PARQUET_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/json.h"

/* --- thrift (parquet_thrift.c) --- */

/* Compact protocol, from a bounded piece of memory. The first mistake sets `failed`, and all that
 * is read behind it is zero. */
typedef struct zh_thrift {
  const unsigned char *at, *end;
  int depth;
  bool failed;
} zh_thrift;
typedef struct zh_thrift_field {
  int id, type; /* id 0 before the first */
} zh_thrift_field;

/* The next field of a struct; false at its end. Every field must be read or skipped. */
bool zh_thrift_next(zh_thrift *t, zh_thrift_field *field);
int64_t zh_thrift_whole(zh_thrift *t, const zh_thrift_field *field);
bool zh_thrift_truth(zh_thrift *t, const zh_thrift_field *field);
/* Borrowed from the piece; *length 0 after a mistake. */
const char *zh_thrift_bytes(zh_thrift *t, const zh_thrift_field *field, size_t *length);
/* Elements of a list; each is then read with *element as its field. At most as many as there are
 * bytes left. */
size_t zh_thrift_list(zh_thrift *t, const zh_thrift_field *field, zh_thrift_field *element);
/* Steps into a struct: true once; its fields follow. */
bool zh_thrift_enter(zh_thrift *t, const zh_thrift_field *field);
void zh_thrift_leave(zh_thrift *t);
void zh_thrift_skip(zh_thrift *t, const zh_thrift_field *field);

/* --- footer (parquet_footer.c) --- */

enum { ZH_PARQUET_DEPTH = 24 };

typedef enum zh_parquet_type {
  ZH_PARQUET_BOOLEAN,
  ZH_PARQUET_INT32,
  ZH_PARQUET_INT64,
  ZH_PARQUET_INT96,
  ZH_PARQUET_FLOAT,
  ZH_PARQUET_DOUBLE,
  ZH_PARQUET_BYTES,
  ZH_PARQUET_FIXED,
  ZH_PARQUET_GROUP /* has children, no values */
} zh_parquet_type;

typedef enum zh_parquet_repetition {
  ZH_PARQUET_REQUIRED,
  ZH_PARQUET_OPTIONAL,
  ZH_PARQUET_REPEATED
} zh_parquet_repetition;

typedef struct zh_parquet_node {
  const char *name, *path; /* path: names from below the root, with points between */
  zh_parquet_type type;
  zh_parquet_repetition repetition;
  int converted, logical; /* numbers of the annotations; -1: none */
  bool is_list;           /* children[0] is repeated, and holds the element */
  bool is_unsigned;
  int definition, repeats; /* levels at which the node is there */
  struct zh_parquet_node **children;
  size_t child_count;
  size_t first_leaf, leaf_count; /* below the node, or itself */
} zh_parquet_node;

typedef struct zh_parquet_chunk {
  const char *path;
  int64_t values; /* with what is null */
  int codec;
  uint64_t begin, bytes;
} zh_parquet_chunk;

typedef struct zh_parquet_group {
  zh_parquet_chunk *chunks; /* [leaf_count] */
  int64_t rows;
} zh_parquet_group;

typedef struct zh_parquet_file {
  const char *name;
  const unsigned char *bytes;
  size_t length, footer; /* footer: where it begins */
  zh_arena *arena;
  zh_parquet_node *root;
  const zh_parquet_node **leaves;
  size_t leaf_count;
  zh_parquet_group *groups;
  size_t group_count;
} zh_parquet_file;

/* name, bytes, length and arena are set. */
ZH_MUST_CHECK zh_status zh_parquet_footer(zh_parquet_file *file, zh_error *err);

/* --- pages (parquet_pages.c, parquet_codec.c) --- */

/* A column of a row group, taken apart: an entry for each value and each null. */
typedef struct zh_parquet_column {
  const zh_parquet_node *leaf;
  uint8_t *repeats, *definitions; /* [count] */
  size_t count;
  json_t **values; /* [value_count], of entries that are there */
  size_t value_count;
} zh_parquet_column;

ZH_MUST_CHECK zh_status zh_parquet_column_read(zh_parquet_column *out, const zh_parquet_file *file,
                                               const zh_parquet_node *leaf,
                                               const zh_parquet_chunk *chunk, zh_error *err);
void zh_parquet_column_free(zh_parquet_column *column);

/* Fills out with exactly `size` bytes. where: for messages. */
ZH_MUST_CHECK zh_status zh_parquet_decompress(unsigned char *out, size_t size, int codec,
                                              const unsigned char *in, size_t length,
                                              const char *where, zh_error *err);

#endif
