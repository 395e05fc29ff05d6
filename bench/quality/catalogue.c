/* Which tasks there are, and the tree of those that were asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/quality.h"
#include "core/files.h"
#include "core/text.h"

enum { DEPTH_MAX = 12, TREE_MAX = 20000 };

/* A task file of a folder: what it calls itself. */
typedef struct listed {
  char *path;
  char *task, *group; /* NULL: none */
  json_t *tags;
} listed;

typedef struct catalogue {
  listed *at;
  size_t count, capacity;
  size_t unreadable;
  char first_unreadable[256];
} catalogue;

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (list of tasks)");
}

static char *copy_word(const zh_yaml_node *root, const char *key) {
  const zh_yaml_node *node = zh_yaml_get(root, key);
  const char *word;
  zh_error ignored = ZH_ERROR_INIT;
  if (!node || zh_yaml_node_kind(node) != ZH_YAML_SCALAR) return NULL;
  return zh_yaml_string(&word, node, &ignored) == ZH_OK ? strdup(word) : NULL;
}

static json_t *read_tags(const zh_yaml_node *root, bool of_group) {
  const zh_yaml_node *node = zh_yaml_get(root, "tag");
  zh_error ignored = ZH_ERROR_INIT;
  json_t *tags = NULL;
  if (!node && !of_group) node = zh_yaml_get(root, "group"); /* how tags were written once */
  if (!node || zh_yaml_to_json(&tags, node, &ignored) != ZH_OK) return json_array();
  if (json_is_array(tags)) return tags;
  json_t *list = json_pack("[o]", tags);
  return list;
}

static void note_unreadable(catalogue *c, const zh_error *err) {
  if (c->unreadable++ > 0) return;
  size_t length = strcspn(err->message, "\n");
  snprintf(c->first_unreadable, sizeof c->first_unreadable, "%.*s", (int)length, err->message);
  c->first_unreadable[zh_utf8_valid_prefix(c->first_unreadable, strlen(c->first_unreadable))] = 0;
}

/* Files without a name of their own are there to be included. */
static zh_status list_file(catalogue *c, const char *path, zh_error *err) {
  zh_yaml_doc *doc;
  zh_error problem = ZH_ERROR_INIT;
  if (zh_yaml_load_foreign(&doc, path, &problem) != ZH_OK) {
    note_unreadable(c, &problem);
    return ZH_OK;
  }
  const zh_yaml_node *root = zh_yaml_root(doc), *task = zh_yaml_get(root, "task");
  bool of_group = task && zh_yaml_node_kind(task) == ZH_YAML_LIST;
  listed found = {.path = strdup(path),
                  .task = of_group ? NULL : copy_word(root, "task"),
                  .group = of_group ? copy_word(root, "group") : NULL,
                  .tags = read_tags(root, of_group)};
  zh_yaml_free(doc);
  if (c->count == c->capacity) {
    size_t capacity = c->capacity * 2 + 64;
    listed *grown = realloc(c->at, capacity * sizeof *grown);
    if (grown) c->at = grown;
    if (grown) c->capacity = capacity;
  }
  bool keep = found.path && (found.task || found.group) && c->count < c->capacity;
  if (keep) {
    c->at[c->count++] = found;
    return ZH_OK;
  }
  bool failed = !found.path || c->count == c->capacity;
  free(found.path);
  free(found.task);
  free(found.group);
  json_decref(found.tags);
  return failed ? no_memory(err) : ZH_OK;
}

static zh_status list_folder(catalogue *c, const char *folder, zh_error *err) {
  zh_file_list files;
  if (!zh_is_dir(folder))
    return zh_fail(err, ZH_ERR_INPUT, "there is no folder '%s' with task files", folder);
  ZH_TRY(zh_list_files(&files, folder, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    if (!zh_ends_in(files.paths[i], ".yaml") && !zh_ends_in(files.paths[i], ".yml")) continue;
    zh_text path = {0};
    zh_text_printf(&path, "%s/%s", folder, files.paths[i]);
    status = path.failed ? no_memory(err) : list_file(c, path.data, err);
    zh_text_free(&path);
  }
  zh_file_list_free(&files);
  return status;
}

static void drop_catalogue(catalogue *c) {
  for (size_t i = 0; i < c->count; i++) {
    free(c->at[i].path);
    free(c->at[i].task);
    free(c->at[i].group);
    json_decref(c->at[i].tags);
  }
  free(c->at);
}

/* ---- the tree ---- */

typedef struct growing {
  zh_exam *exam;
  const catalogue *known;
  const zh_task_options *options;
  size_t entries;
  const char *path; /* of the file whose group is being read */
  zh_error *err;
} growing;

static zh_entry *new_entry(growing *g, const char *name) {
  zh_entry *entry = zh_arena_alloc(g->exam->arena, 1, sizeof *entry);
  if (!entry || ++g->entries > TREE_MAX) return NULL;
  entry->name = entry->alias = zh_arena_strdup(g->exam->arena, name);
  return entry->name ? entry : NULL;
}

static zh_status add_child(growing *g, zh_entry *parent, zh_entry *child) {
  zh_entry ***list = parent ? &parent->children : &g->exam->entries;
  size_t *count = parent ? &parent->child_count : &g->exam->entry_count;
  if ((*count & (*count - 1)) == 0) { /* full at powers of two */
    zh_entry **grown = zh_arena_alloc(g->exam->arena, *count > 0 ? *count * 2 : 1, sizeof *grown);
    if (!grown) return no_memory(g->err);
    if (*count > 0) memcpy(grown, *list, *count * sizeof *grown);
    *list = grown;
  }
  (*list)[(*count)++] = child;
  return ZH_OK;
}

/* A task is made once, wherever it stands. */
static zh_status take_task(zh_exam_task **out, growing *g, const zh_task_file *file, json_t *config,
                           const char *name) {
  zh_exam *exam = g->exam;
  for (size_t i = 0; i < exam->task_count; i++) {
    *out = exam->tasks[i];
    if (strcmp(exam->tasks[i]->name, name) == 0) return ZH_OK;
  }
  zh_exam_task **grown = realloc(exam->tasks, (exam->task_count + 1) * sizeof *grown);
  if (!grown) return no_memory(g->err);
  exam->tasks = grown;
  ZH_TRY(zh_task_create(out, file, config, name, g->options, g->err));
  exam->tasks[exam->task_count++] = *out;
  return ZH_OK;
}

static zh_status add_task(growing *g, zh_entry *parent, const zh_task_file *file, json_t *config,
                          const char *name) {
  zh_entry *entry = new_entry(g, name);
  if (!entry) return no_memory(g->err);
  ZH_TRY(take_task(&entry->task, g, file, config, name));
  entry->alias = entry->task->alias;
  entry->version = entry->task->version;
  return add_child(g, parent, entry);
}

static zh_status add_named(growing *g, zh_entry *parent, const char *name, const json_t *changes,
                           int depth);

/* OpenCompass: the mean over the members, each of the same weight. */
static zh_status one_group_metric(growing *g, zh_entry *entry) {
  entry->metrics = zh_arena_alloc(g->exam->arena, 1, sizeof *entry->metrics);
  if (!entry->metrics) return no_memory(g->err);
  entry->metrics[0] = (zh_group_metric){.metric = "accuracy"};
  entry->metric_count = 1;
  return ZH_OK;
}

static zh_status read_group_metrics(growing *g, zh_entry *entry, const json_t *config) {
  json_t *list = json_object_get(config, "aggregate_metric_list");
  size_t count = json_is_object(list) ? 1 : json_array_size(list);
  if (g->options->opencompass && count > 0) return one_group_metric(g, entry);
  entry->metrics = zh_arena_alloc(g->exam->arena, count, sizeof *entry->metrics);
  if (count > 0 && !entry->metrics) return no_memory(g->err);
  for (size_t i = 0; i < count; i++) {
    const json_t *m = json_is_object(list) ? list : json_array_get(list, i);
    const char *metric = json_string_value(json_object_get(m, "metric")),
               *how = json_string_value(json_object_get(m, "aggregation")),
               *filter = json_string_value(json_object_get(m, "filter_list"));
    if (!metric)
      return zh_fail(g->err, ZH_ERR_INPUT, "group %s: an aggregated metric has no name",
                     entry->name);
    if (how && strcmp(how, "mean") != 0)
      return zh_fail(g->err, ZH_ERR_INPUT, "group %s: only 'mean' is known for groups, not '%.40s'",
                     entry->name, how);
    const json_t *weighted = json_object_get(m, "weight_by_size");
    entry->metrics[i] =
        (zh_group_metric){.metric = zh_arena_strdup(g->exam->arena, metric),
                          .filter = filter ? zh_arena_strdup(g->exam->arena, filter) : NULL,
                          .weighted = !weighted || json_is_true(weighted)};
    if (!entry->metrics[i].metric) return no_memory(g->err);
  }
  entry->metric_count = count;
  return ZH_OK;
}

static zh_status add_group(growing *g, zh_entry *parent, const json_t *config, const char *name,
                           int depth);

static zh_status add_file(growing *g, zh_entry *parent, const char *path, const json_t *changes,
                          int depth);

/* A task that the group itself describes: what a file beside its own says, with changes. */
static zh_status add_included(growing *g, zh_entry *entry, const json_t *member, int depth) {
  const char *name = json_string_value(json_object_get(member, "include")),
             *slash = strrchr(g->path, '/');
  if (!name)
    return zh_fail(g->err, ZH_ERR_INPUT, "group %s: 'include' of a member must be a file",
                   entry->name);
  char *path =
      zh_arena_printf(g->exam->arena, "%.*s%s",
                      name[0] != '/' && slash ? (int)(slash - g->path) + 1 : 0, g->path, name);
  return path ? add_file(g, entry, path, member, depth) : no_memory(g->err);
}

/* A name, or a map: a group within, or a task with changes. */
static zh_status add_member(growing *g, zh_entry *entry, const json_t *member, int depth) {
  if (json_is_string(member))
    return add_named(g, entry, json_string_value(member), NULL, depth + 1);
  const char *group = json_string_value(json_object_get(member, "group")),
             *task = json_string_value(json_object_get(member, "task"));
  if (json_is_object(member) && group && json_is_array(json_object_get(member, "task"))) {
    char *full = zh_arena_printf(g->exam->arena, "%s::%s", entry->name, group);
    return full ? add_group(g, entry, member, full, depth + 1) : no_memory(g->err);
  }
  if (json_is_object(member) && task && json_object_get(member, "include"))
    return add_included(g, entry, member, depth + 1);
  if (json_is_object(member) && task) return add_named(g, entry, task, member, depth + 1);
  return zh_fail(g->err, ZH_ERR_INPUT, "group %s: a member must be a name, a group or a task",
                 entry->name);
}

static zh_status add_group(growing *g, zh_entry *parent, const json_t *config, const char *name,
                           int depth) {
  zh_entry *entry = new_entry(g, name);
  if (!entry) return no_memory(g->err);
  if (depth > DEPTH_MAX)
    return zh_fail(g->err, ZH_ERR_INPUT, "groups hold each other more than %d deep", DEPTH_MAX);
  const char *alias = json_string_value(json_object_get(config, "group_alias"));
  if (alias) entry->alias = zh_arena_strdup(g->exam->arena, alias);
  /* The config goes; its value stays as long as the tree. */
  entry->version = json_incref(json_object_get(json_object_get(config, "metadata"), "version"));
  ZH_TRY(add_child(g, parent, entry));
  ZH_TRY(read_group_metrics(g, entry, config));
  const json_t *members = json_object_get(config, "task");
  for (size_t i = 0; i < json_array_size(members); i++)
    ZH_TRY(add_member(g, entry, json_array_get(members, i), depth));
  return ZH_OK;
}

/* A task file; changes: of a group's member, over the file's own. */
static zh_status add_file(growing *g, zh_entry *parent, const char *path, const json_t *changes,
                          int depth) {
  zh_task_file file;
  ZH_TRY(zh_task_file_load(&file, path, g->err));
  const json_t *task = json_object_get(file.config, "task");
  const char *name = json_string_value(task),
             *group = json_string_value(json_object_get(file.config, "group"));
  zh_status status;
  if (changes) {
    json_object_update(file.config, (json_t *)(uintptr_t)changes);
    json_object_del(file.config, "include");
    task = json_object_get(file.config, "task");
    name = json_string_value(task);
  }
  if (json_is_array(task)) {
    const char *before = g->path;
    g->path = path;
    status = group ? add_group(g, parent, file.config, group, depth)
                   : zh_fail(g->err, ZH_ERR_INPUT, "%s: 'task' is a list, and no 'group' names it",
                             path);
    g->path = before;
  } else if (name) {
    status = add_task(g, parent, &file, file.config, name);
  } else {
    status =
        zh_fail(g->err, ZH_ERR_INPUT, "%s: it names no 'task'; is it one to be included?", path);
  }
  zh_task_file_close(&file);
  return status;
}

static bool has_tag(const listed *l, const char *tag) {
  for (size_t i = 0; i < json_array_size(l->tags); i++) {
    const char *word = json_string_value(json_array_get(l->tags, i));
    if (word && strcmp(word, tag) == 0) return true;
  }
  return false;
}

static zh_status fail_unknown(const growing *g, const char *name) {
  const catalogue *c = g->known;
  const char **words = calloc(c->count + 1, sizeof *words);
  char guess[ZH_GUESS_BYTES] = "";
  for (size_t i = 0; words && i < c->count; i++)
    words[i] = c->at[i].task ? c->at[i].task : c->at[i].group;
  if (words) zh_did_you_mean(guess, name, words);
  free(words);
  if (c->unreadable > 0)
    return zh_fail(g->err, ZH_ERR_INPUT,
                   "no task, group or tag is called '%.80s'%s; %zu files could not be read, the "
                   "first: %s",
                   name, guess, c->unreadable, c->first_unreadable);
  return zh_fail(g->err, ZH_ERR_INPUT,
                 "no task, group or tag is called '%.80s'%s; 'zhiheng list tasks' lists the "
                 "product's own, --include DIR adds a folder of task files",
                 name, guess);
}

static zh_status add_named(growing *g, zh_entry *parent, const char *name, const json_t *changes,
                           int depth) {
  const catalogue *c = g->known;
  bool tagged = false;
  if (depth > DEPTH_MAX)
    return zh_fail(g->err, ZH_ERR_INPUT, "groups hold each other more than %d deep", DEPTH_MAX);
  if (zh_ends_in(name, ".yaml") || zh_ends_in(name, ".yml"))
    return add_file(g, parent, name, changes, depth);
  for (size_t i = 0; i < c->count; i++) {
    const char *own = c->at[i].task ? c->at[i].task : c->at[i].group;
    if (strcmp(own, name) == 0) return add_file(g, parent, c->at[i].path, changes, depth);
    tagged |= has_tag(&c->at[i], name);
  }
  if (!tagged) return fail_unknown(g, name);
  for (size_t i = 0; i < c->count; i++)
    if (has_tag(&c->at[i], name)) ZH_TRY(add_file(g, parent, c->at[i].path, changes, depth));
  return ZH_OK;
}

/* Whether the word at `at` stands in the list before it, too. */
static bool stands_before(const char *names, const char *at, size_t length) {
  for (const char *word = names; word < at; word += strcspn(word, ",") + 1)
    if (strcspn(word, ",") == length && memcmp(word, at, length) == 0) return true;
  return false;
}

static zh_status add_all(growing *g, const char *names) {
  for (const char *at = names; *at;) {
    size_t length = strcspn(at, ",");
    char *name = strndup(at, length);
    if (!name) return no_memory(g->err);
    bool asked = length > 0 && !stands_before(names, at, length);
    zh_status status = asked ? add_named(g, NULL, name, NULL, 1) : ZH_OK;
    free(name);
    if (status != ZH_OK) return status;
    at += length + (at[length] == ',');
  }
  return g->exam->task_count > 0
             ? ZH_OK
             : zh_fail(g->err, ZH_ERR_USAGE, "no task was named; --tasks NAME,NAME");
}

zh_status zh_exam_open(zh_exam **out, const char *names, const char *const *folders,
                       size_t folder_count, const zh_task_options *options, zh_error *err) {
  catalogue known = {0};
  char own[4096];
  *out = NULL;
  zh_exam *exam = calloc(1, sizeof *exam);
  zh_status status = exam ? zh_arena_create(&exam->arena, 0, err) : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < folder_count; i++)
    status = list_folder(&known, folders[i], err);
  if (status == ZH_OK) status = zh_data_path(own, sizeof own, "bench/quality/tasks", err);
  if (status == ZH_OK && zh_is_dir(own)) status = list_folder(&known, own, err);
  growing g = {.exam = exam, .known = &known, .options = options, .err = err};
  if (status == ZH_OK) status = add_all(&g, names);
  drop_catalogue(&known);
  if (status != ZH_OK) {
    zh_exam_free(exam);
    return status;
  }
  *out = exam;
  return ZH_OK;
}

/* "group of …" or the tags. */
static json_t *described(const listed *l) {
  zh_text tags = {0};
  for (size_t i = 0; i < json_array_size(l->tags); i++) {
    const char *tag = json_string_value(json_array_get(l->tags, i));
    zh_text_printf(&tags, "%s%s", i > 0 ? ", " : "tags: ", tag ? tag : "");
  }
  json_t *item = json_pack("{s:s, s:s}", "name", l->task ? l->task : l->group, "summary",
                           l->task ? zh_text_string(&tags) : "a group");
  zh_text_free(&tags);
  return item;
}

zh_status zh_exam_list(json_t *items, zh_error *err) {
  catalogue known = {0};
  char own[4096];
  ZH_TRY(zh_data_path(own, sizeof own, "bench/quality/tasks", err));
  zh_status status = list_folder(&known, own, err);
  for (size_t i = 0; status == ZH_OK && i < known.count; i++)
    json_array_append_new(items, described(&known.at[i]));
  drop_catalogue(&known);
  return status;
}

static void drop_versions(zh_entry *entry) {
  if (!entry->task) json_decref(entry->version);
  for (size_t i = 0; i < entry->child_count; i++) drop_versions(entry->children[i]);
}

void zh_exam_free(zh_exam *exam) {
  if (!exam) return;
  for (size_t i = 0; i < exam->entry_count; i++) drop_versions(exam->entries[i]);
  for (size_t i = 0; i < exam->task_count; i++) zh_task_free(exam->tasks[i]);
  free(exam->tasks);
  zh_arena_free(exam->arena);
  free(exam);
}
