/* Private to core/yaml*.c: the tree's nodes. */
#ifndef ZH_CORE_YAML_TREE_H
#define ZH_CORE_YAML_TREE_H

#include "core/arena.h"
#include "core/yaml.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a node lies in the file: lines and columns from 0, in code points, as libyaml counts. */
typedef struct zh_yaml_span {
  size_t line, column, end_line, end_column;
} zh_yaml_span;

struct zh_yaml_node {
  zh_yaml_kind kind;
  bool plain;    /* scalar without quotes */
  bool function; /* scalar with the tag !function */
  zh_yaml_span where;
  const zh_yaml_doc *doc;
  const char *text;           /* scalar */
  size_t length;              /* of text */
  const zh_yaml_node **items; /* list items, or the values of a map */
  const zh_yaml_node **keys;  /* map */
  size_t count;
  size_t size; /* nodes, itself and those below, aliases written out */
  int height;  /* 1: nothing below */
};

/* A node that `&name` marks. */
typedef struct zh_yaml_anchor {
  const char *name;
  const zh_yaml_node *node;
  struct zh_yaml_anchor *before;
} zh_yaml_anchor;

struct zh_yaml_doc {
  zh_arena *arena;
  const char *name, *text;
  size_t length;
  bool foreign; /* written for PyYAML */
  const zh_yaml_node *root;
  zh_yaml_anchor *anchors; /* the last one first */
  size_t anchor_count;
};

/* yaml_alias.c, for foreign files. */
ZH_MUST_CHECK zh_status zh_yaml_mark(zh_yaml_doc *doc, const char *name, const zh_yaml_node *node,
                                     zh_error *err);
const zh_yaml_node *zh_yaml_marked(const zh_yaml_doc *doc, const char *name); /* NULL: none */
/* Puts the keys of `<<: map` (or of a list of maps) into the map; its own prevail. */
ZH_MUST_CHECK zh_status zh_yaml_merge(zh_yaml_node *map, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
