/* Anchors, aliases and merge keys, as PyYAML reads them. A node that is named twice stands in the
 * tree twice; what that could grow to is bounded where collections are read (yaml.c). */
#include <string.h>

#include "core/yaml_tree.h"

/* Both are looked through one by one. */
enum { MERGED_MAX = 512, ANCHORS_MAX = 1000 };

zh_status zh_yaml_mark(zh_yaml_doc *doc, const char *name, const zh_yaml_node *node,
                       zh_error *err) {
  if (zh_yaml_marked(doc, name) != NULL)
    return zh_yaml_fail(err, node, "the name '&%.60s' stands for another value already", name);
  if (doc->anchor_count++ == ANCHORS_MAX)
    return zh_yaml_fail(err, node, "more than %d values are named ('&name')", ANCHORS_MAX);
  zh_yaml_anchor *anchor = zh_arena_alloc(doc->arena, 1, sizeof *anchor);
  if (anchor == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", doc->name);
  *anchor = (zh_yaml_anchor){.name = name, .node = node, .before = doc->anchors};
  doc->anchors = anchor;
  return ZH_OK;
}

const zh_yaml_node *zh_yaml_marked(const zh_yaml_doc *doc, const char *name) {
  for (const zh_yaml_anchor *a = doc->anchors; a != NULL; a = a->before)
    if (strcmp(a->name, name) == 0) return a->node;
  return NULL;
}

static bool is_merge(const zh_yaml_node *key) {
  return key->plain && strcmp(key->text, "<<") == 0;
}

/* Pairs in the order in which their keys first came, each with the last value. */
typedef struct pairs {
  const zh_yaml_node **keys, **items;
  size_t count;
} pairs;

static void put(pairs *p, const zh_yaml_node *key, const zh_yaml_node *item) {
  size_t i = 0;
  while (i < p->count && strcmp(p->keys[i]->text, key->text) != 0) i++;
  p->count += i == p->count;
  p->keys[i] = key;
  p->items[i] = item;
}

static void put_map(pairs *p, const zh_yaml_node *map) {
  for (size_t i = 0; i < map->count; i++)
    if (!is_merge(map->keys[i])) put(p, map->keys[i], map->items[i]);
}

/* How many pairs a value of `<<` has; fails where it is no map, nor a list of maps. */
static zh_status count_pairs(size_t *room, const zh_yaml_node *value, zh_error *err) {
  const zh_yaml_node *const *maps = value->kind == ZH_YAML_LIST ? value->items : &value;
  size_t count = value->kind == ZH_YAML_LIST ? value->count : 1;
  for (size_t i = 0; i < count; i++) {
    if (maps[i]->kind != ZH_YAML_MAP)
      return zh_yaml_fail(err, value, "'<<' takes a map, or a list of maps");
    *room += maps[i]->count;
  }
  if (*room <= MERGED_MAX) return ZH_OK;
  return zh_yaml_fail(err, value, "more than %d keys are merged", MERGED_MAX);
}

zh_status zh_yaml_merge(zh_yaml_node *map, zh_error *err) {
  size_t room = map->count, merges = 0;
  for (size_t i = 0; i < map->count; i++) {
    if (!is_merge(map->keys[i])) continue;
    merges++;
    ZH_TRY(count_pairs(&room, map->items[i], err));
  }
  if (merges == 0) return ZH_OK;
  pairs all = {.keys = zh_arena_alloc(map->doc->arena, room, sizeof *all.keys),
               .items = zh_arena_alloc(map->doc->arena, room, sizeof *all.items)};
  if (all.keys == NULL || all.items == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", map->doc->name);
  for (size_t i = 0; i < map->count; i++) {
    const zh_yaml_node *value = map->items[i];
    if (!is_merge(map->keys[i])) continue;
    if (value->kind == ZH_YAML_MAP) put_map(&all, value);
    for (size_t k = value->kind == ZH_YAML_LIST ? value->count : 0; k-- > 0;)
      put_map(&all, value->items[k]); /* the first of the list prevails */
  }
  put_map(&all, map);
  map->keys = all.keys;
  map->items = all.items;
  map->count = all.count;
  return ZH_OK;
}
