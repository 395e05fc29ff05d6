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
};

struct zh_yaml_doc {
  zh_arena *arena;
  const char *name, *text;
  size_t length;
  bool foreign; /* written for PyYAML */
  const zh_yaml_node *root;
};

#ifdef __cplusplus
}
#endif
#endif
