/* YAML as a tree whose every node knows its line and column, and readers that answer a mistake with
 *
 *   suites/x.yaml:12:14: unknown key 'warmpu'; did you mean 'warmup'?
 *     12 |     warmpu: 3
 *        |     ^~~~~~
 *
 * The tree borrows nothing: it owns its text. Files over 1 MiB, nesting over 32, duplicate keys,
 * aliases, more than one document and invalid UTF-8 are refused (of foreign files aliases are
 * read). Built on libyaml. */
#ifndef ZH_CORE_YAML_H
#define ZH_CORE_YAML_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_yaml_kind { ZH_YAML_SCALAR, ZH_YAML_LIST, ZH_YAML_MAP } zh_yaml_kind;

typedef struct zh_yaml_doc zh_yaml_doc;
typedef struct zh_yaml_node zh_yaml_node; /* owned by its document */

ZH_MUST_CHECK zh_status zh_yaml_load_file(zh_yaml_doc **out, const char *path, zh_error *err);
/* Files that others wrote for PyYAML: scalars may have the tag !function, which names a piece of
 * Python; aliases and `<<` are read. */
ZH_MUST_CHECK zh_status zh_yaml_load_foreign(zh_yaml_doc **out, const char *path, zh_error *err);
/* name stands where the path would in messages; text need not end in NUL. */
ZH_MUST_CHECK zh_status zh_yaml_load_text(zh_yaml_doc **out, const char *text, size_t length,
                                          const char *name, zh_error *err);
void zh_yaml_free(zh_yaml_doc *doc); /* NULL is safe */

const zh_yaml_node *zh_yaml_root(const zh_yaml_doc *doc);
zh_yaml_kind zh_yaml_node_kind(const zh_yaml_node *node);
int zh_yaml_line(const zh_yaml_node *node);         /* from 1 */
int zh_yaml_column(const zh_yaml_node *node);       /* from 1, in code points */
const char *zh_yaml_path(const zh_yaml_node *node); /* the file's name, as messages show it */

/* Maps keep the file's order. */
/* Items of a list, pairs of a map, 0 for a scalar. */
size_t zh_yaml_count(const zh_yaml_node *node);
/* List item, or value of pair i. */
const zh_yaml_node *zh_yaml_item(const zh_yaml_node *node, size_t i);
const char *zh_yaml_key(const zh_yaml_node *map, size_t i);
const zh_yaml_node *zh_yaml_get(const zh_yaml_node *map, const char *key); /* NULL when absent */
/* "utils.process_docs" of `!function utils.process_docs`; NULL where there is no such tag. */
const char *zh_yaml_function(const zh_yaml_node *node);
/* The value as PyYAML reads it (YAML 1.1: `no` is false, `012` ten, `1e3` text); functions become
 * the text "!function NAME". New reference. */
ZH_MUST_CHECK zh_status zh_yaml_to_json(json_t **out, const zh_yaml_node *node, zh_error *err);

/* What the value must be; each failure is ZH_ERR_INPUT with position, line, caret and what was
 * expected. */
ZH_MUST_CHECK zh_status zh_yaml_expect(const zh_yaml_node *node, zh_yaml_kind kind,
                                       const char *what, zh_error *err);
/* Every key of the map must be in `keys` (NULL-terminated); an unknown one is named with the
 * nearest. */
ZH_MUST_CHECK zh_status zh_yaml_expect_keys(const zh_yaml_node *map, const char *const *keys,
                                            zh_error *err);
/* Finds a key that must be there. */
ZH_MUST_CHECK zh_status zh_yaml_require(const zh_yaml_node **out, const zh_yaml_node *map,
                                        const char *key, zh_error *err);

/* Not empty; borrowed. */
ZH_MUST_CHECK zh_status zh_yaml_string(const char **out, const zh_yaml_node *node, zh_error *err);
ZH_MUST_CHECK zh_status zh_yaml_int(int64_t *out, const zh_yaml_node *node, int64_t min,
                                    int64_t max, zh_error *err);
ZH_MUST_CHECK zh_status zh_yaml_real(double *out, const zh_yaml_node *node, double min, double max,
                                     zh_error *err);
/* The words true or false, nothing else. */
ZH_MUST_CHECK zh_status zh_yaml_bool(bool *out, const zh_yaml_node *node, zh_error *err);
/* One of `words` (NULL-terminated); *out is its index. */
ZH_MUST_CHECK zh_status zh_yaml_word(size_t *out, const zh_yaml_node *node,
                                     const char *const *words, zh_error *err);
/* "300 s", "10 %", "50 GB/s": a number, a space, a unit that must be one of `units`; a bare number
 * is an error that names the units. *unit is the index. */
ZH_MUST_CHECK zh_status zh_yaml_quantity(double *out, size_t *unit, const zh_yaml_node *node,
                                         const char *const *units, zh_error *err);

/* For rules of the caller's own: position, line and caret at `node`, then the message. Returns
 * ZH_ERR_INPUT. */
#define zh_yaml_fail(err, node, ...)                                                               \
  zh_status_of(ZH_ERR_INPUT, zh_yaml_error_set((err), (node), __FILE__, __LINE__, __VA_ARGS__))
zh_status zh_yaml_error_set(zh_error *err, const zh_yaml_node *node, const char *file, int line,
                            const char *format, ...) __attribute__((format(printf, 5, 6)));

#ifdef __cplusplus
}
#endif
#endif
