#include "evaluator/leading/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/leading/protocol_values.h"

static const char *const protocol_keys[] = {"protocol", "locked",     "claimant",     "peers",
                                            "tasks",    "required",   "alpha",        "margin",
                                            "seed",     "replicates", "contaminated", NULL};
static const char *const peer_keys[] = {"model", "declared", "top", "sm3", "published", NULL};
static const char *const published_keys[] = {"task", "score", "items", "source", NULL};
static const char *const task_keys[] = {"task",  "modality",  "metric",      "weight", "primary",
                                        "items", "items_sm3", "prompts_sm3", "scale",  NULL};
static const char *const required_keys[] = {"modalities", "tasks", NULL};
static const char *const claimant_keys[] = {"model", "sm3", NULL};

static zh_status out_of_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the protocol");
}

static zh_status need_text(const char **out, const zh_yaml_node *map, const char *key,
                           zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  return zh_protocol_text(out, map, key, arena, err);
}

static zh_asked *task_named(const zh_protocol *p, const char *name) {
  for (size_t t = 0; t < p->task_count; t++)
    if (strcmp(p->tasks[t].task, name) == 0) return &p->tasks[t];
  return NULL;
}

/* A node that names no task, with the nearest that there is. */
static zh_status no_such_task(const zh_protocol *p, const zh_yaml_node *node, const char *name,
                              zh_error *err) {
  char guess[ZH_GUESS_BYTES];
  const char **names = zh_arena_alloc(p->arena, p->task_count + 1, sizeof *names);
  if (names == NULL) return out_of_memory(err);
  for (size_t t = 0; t < p->task_count; t++) names[t] = p->tasks[t].task;
  names[p->task_count] = NULL;
  return zh_yaml_fail(err, node, "no task is called '%s'%s", name,
                      zh_did_you_mean(guess, name, names));
}

static zh_status read_figure(zh_published *figure, const zh_protocol *p, const zh_yaml_node *node,
                             zh_error *err) {
  const zh_yaml_node *value;
  int64_t items = 0;
  bool bare;
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a published score with task, score and items", err));
  ZH_TRY(zh_yaml_expect_keys(node, published_keys, err));
  ZH_TRY(need_text(&figure->task, node, "task", p->arena, err));
  if (task_named(p, figure->task) == NULL)
    return no_such_task(p, zh_yaml_get(node, "task"), figure->task, err);
  ZH_TRY(zh_yaml_require(&value, node, "score", err));
  ZH_TRY(zh_protocol_share(&figure->score, &bare, node, "score", "91.5 % or 0.915", 0, 1, err));
  ZH_TRY(zh_yaml_require(&value, node, "items", err));
  ZH_TRY(zh_protocol_whole(&items, node, "items", 1, INT64_C(1000000000), err));
  figure->items = (double)items;
  return zh_protocol_text(&figure->source, node, "source", p->arena, err);
}

static zh_status read_published(zh_peer *peer, const zh_protocol *p, const zh_yaml_node *list,
                                zh_error *err) {
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of published scores", err));
  peer->published_count = zh_yaml_count(list);
  peer->published = zh_arena_alloc(p->arena, peer->published_count + 1, sizeof *peer->published);
  if (peer->published == NULL) return out_of_memory(err);
  for (size_t i = 0; i < peer->published_count; i++) {
    peer->published[i] = (zh_published){.task = NULL};
    ZH_TRY(read_figure(&peer->published[i], p, zh_yaml_item(list, i), err));
  }
  return ZH_OK;
}

static zh_status read_declared(zh_peer *peer, const zh_protocol *p, const zh_yaml_node *map,
                               zh_error *err) {
  zh_date day = ZH_NO_DATE;
  ZH_TRY(zh_protocol_day(&peer->declared, &day, map, "declared", p->arena, err));
  if (day == ZH_NO_DATE || p->locked_day == ZH_NO_DATE || day <= p->locked_day) return ZH_OK;
  return zh_yaml_fail(err, zh_yaml_get(map, "declared"),
                      "the peer '%s' was declared after the protocol was locked (%s); peers are "
                      "named before",
                      peer->model, p->locked);
}

static zh_status read_peer(zh_peer *peer, const zh_protocol *p, const zh_yaml_node *node,
                           zh_error *err) {
  *peer = (zh_peer){.top = true};
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR)
    return zh_protocol_string(&peer->model, node, p->arena, err);
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a peer with its model", err));
  ZH_TRY(zh_yaml_expect_keys(node, peer_keys, err));
  ZH_TRY(need_text(&peer->model, node, "model", p->arena, err));
  ZH_TRY(read_declared(peer, p, node, err));
  ZH_TRY(zh_protocol_digest(&peer->sm3, node, "sm3", p->arena, err));
  ZH_TRY(zh_protocol_flag(&peer->top, node, "top", err));
  const zh_yaml_node *published = zh_yaml_get(node, "published");
  return published == NULL ? ZH_OK : read_published(peer, p, published, err);
}

static zh_status read_peers(zh_protocol *p, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  ZH_TRY(zh_yaml_require(&list, root, "peers", err));
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of peers", err));
  p->peer_count = zh_yaml_count(list);
  if (p->peer_count == 0) return zh_yaml_fail(err, list, "name at least one peer");
  p->peers = zh_arena_alloc(p->arena, p->peer_count, sizeof *p->peers);
  if (p->peers == NULL) return out_of_memory(err);
  for (size_t i = 0; i < p->peer_count; i++) {
    ZH_TRY(read_peer(&p->peers[i], p, zh_yaml_item(list, i), err));
    for (size_t k = 0; k < i; k++) {
      if (strcmp(p->peers[k].model, p->peers[i].model) == 0)
        return zh_yaml_fail(err, zh_yaml_item(list, i), "the peer '%s' is named twice",
                            p->peers[i].model);
    }
  }
  return ZH_OK;
}

static zh_status read_task(zh_asked *task, const zh_yaml_node *node, zh_arena *arena,
                           zh_error *err) {
  *task = (zh_asked){.weight = 1, .primary = true, .required = true};
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR)
    return zh_protocol_string(&task->task, node, arena, err);
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a task", err));
  ZH_TRY(zh_yaml_expect_keys(node, task_keys, err));
  ZH_TRY(need_text(&task->task, node, "task", arena, err));
  ZH_TRY(zh_protocol_text(&task->modality, node, "modality", arena, err));
  ZH_TRY(zh_protocol_word(&task->metric, node, "metric", arena, err));
  ZH_TRY(zh_protocol_digest(&task->items_sm3, node, "items_sm3", arena, err));
  ZH_TRY(zh_protocol_digest(&task->prompts_sm3, node, "prompts_sm3", arena, err));
  ZH_TRY(zh_protocol_flag(&task->primary, node, "primary", err));
  ZH_TRY(zh_protocol_whole(&task->items, node, "items", 1, INT64_C(1000000000), err));
  ZH_TRY(zh_protocol_real(&task->scale, node, "scale", 1e-9, 1e9, err));
  return zh_protocol_real(&task->weight, node, "weight", 1e-9, 1e9, err);
}

static zh_status read_tasks(zh_protocol *p, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  ZH_TRY(zh_yaml_require(&list, root, "tasks", err));
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of tasks", err));
  p->task_count = zh_yaml_count(list);
  if (p->task_count == 0) return zh_yaml_fail(err, list, "name at least one task");
  p->tasks = zh_arena_alloc(p->arena, p->task_count, sizeof *p->tasks);
  if (p->tasks == NULL) return out_of_memory(err);
  for (size_t i = 0; i < p->task_count; i++) {
    ZH_TRY(read_task(&p->tasks[i], zh_yaml_item(list, i), p->arena, err));
    for (size_t k = 0; k < i; k++) {
      if (strcmp(p->tasks[k].task, p->tasks[i].task) == 0)
        return zh_yaml_fail(err, zh_yaml_item(list, i), "the task '%s' is named twice",
                            p->tasks[i].task);
    }
  }
  return ZH_OK;
}

static zh_status require_tasks(zh_protocol *p, const zh_yaml_node *list, zh_error *err) {
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of tasks", err));
  for (size_t t = 0; t < p->task_count; t++) p->tasks[t].required = false;
  for (size_t i = 0; i < zh_yaml_count(list); i++) {
    const zh_yaml_node *node = zh_yaml_item(list, i);
    const char *name;
    ZH_TRY(zh_yaml_string(&name, node, err));
    zh_asked *task = task_named(p, name);
    if (task == NULL) return no_such_task(p, node, name, err);
    task->required = true;
  }
  return ZH_OK;
}

static zh_status require_modalities(zh_protocol *p, const zh_yaml_node *list, zh_error *err) {
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of modalities", err));
  p->modality_count = zh_yaml_count(list);
  p->modalities = zh_arena_alloc(p->arena, p->modality_count + 1, sizeof *p->modalities);
  if (p->modalities == NULL) return out_of_memory(err);
  for (size_t i = 0; i < p->modality_count; i++)
    ZH_TRY(zh_protocol_string(&p->modalities[i], zh_yaml_item(list, i), p->arena, err));
  return ZH_OK;
}

static zh_status read_required(zh_protocol *p, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *map = zh_yaml_get(root, "required");
  if (map == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "required modalities and tasks", err));
  ZH_TRY(zh_yaml_expect_keys(map, required_keys, err));
  const zh_yaml_node *modalities = zh_yaml_get(map, "modalities"),
                     *tasks = zh_yaml_get(map, "tasks");
  if (modalities != NULL) ZH_TRY(require_modalities(p, modalities, err));
  return tasks == NULL ? ZH_OK : require_tasks(p, tasks, err);
}

static zh_status read_claimant(zh_protocol *p, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *node;
  ZH_TRY(zh_yaml_require(&node, root, "claimant", err));
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR)
    return need_text(&p->claimant, root, "claimant", p->arena, err);
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "the model that claims to lead", err));
  ZH_TRY(zh_yaml_expect_keys(node, claimant_keys, err));
  ZH_TRY(need_text(&p->claimant, node, "model", p->arena, err));
  return zh_protocol_digest(&p->claimant_sm3, node, "sm3", p->arena, err);
}

/* A path beside the protocol. */
static zh_status read_contaminated(zh_protocol *p, const zh_yaml_node *root, zh_error *err) {
  const char *file = NULL, *slash = strrchr(p->path, '/');
  ZH_TRY(zh_protocol_text(&file, root, "contaminated", p->arena, err));
  if (file == NULL) return ZH_OK;
  bool beside = file[0] != '/' && slash != NULL;
  p->contaminated =
      zh_arena_printf(p->arena, "%.*s%s", beside ? (int)(slash - p->path) + 1 : 0, p->path, file);
  return p->contaminated != NULL ? ZH_OK : out_of_memory(err);
}

/* Tasks before peers, whose published scores are of them. */
static zh_status read_root(zh_protocol *p, const zh_yaml_node *root, zh_error *err) {
  bool bare;
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "a protocol with claimant, peers and tasks", err));
  ZH_TRY(zh_yaml_expect_keys(root, protocol_keys, err));
  ZH_TRY(zh_protocol_text(&p->name, root, "protocol", p->arena, err));
  ZH_TRY(zh_protocol_day(&p->locked, &p->locked_day, root, "locked", p->arena, err));
  ZH_TRY(read_claimant(p, root, err));
  ZH_TRY(read_tasks(p, root, err));
  ZH_TRY(read_peers(p, root, err));
  ZH_TRY(read_required(p, root, err));
  ZH_TRY(zh_protocol_share(&p->alpha, &bare, root, "alpha", "0.05 or 5 %", 1e-6, 0.5, err));
  ZH_TRY(zh_protocol_share(&p->margin, &p->margin_is_bare, root, "margin", "'1 point', 1 % or 0.01",
                           0, 1e6, err));
  ZH_TRY(zh_protocol_text(&p->margin_written, root, "margin", p->arena, err));
  ZH_TRY(zh_protocol_whole(&p->replicates, root, "replicates", 100, 1000000, err));
  ZH_TRY(zh_protocol_whole(&p->seed, root, "seed", 0, INT64_MAX, err));
  return read_contaminated(p, root, err);
}

zh_status zh_protocol_load(zh_protocol **out, const char *path, zh_error *err) {
  zh_yaml_doc *doc = NULL;
  zh_protocol *p = calloc(1, sizeof *p);
  *out = NULL;
  zh_status status = p == NULL ? out_of_memory(err) : zh_arena_create(&p->arena, 0, err);
  if (status == ZH_OK) {
    p->alpha = 0.05;
    p->margin = 0.01;
    p->replicates = 10000;
    p->seed = 1;
    p->locked_day = ZH_NO_DATE;
    p->name = "";
    p->path = zh_arena_strdup(p->arena, path);
    status = p->path == NULL ? out_of_memory(err) : zh_yaml_load_file(&doc, path, err);
  }
  if (status == ZH_OK) status = zh_digest_file(p->sm3, ZH_SM3, path, err);
  if (status == ZH_OK) status = read_root(p, zh_yaml_root(doc), err);
  zh_yaml_free(doc);
  if (status == ZH_OK)
    *out = p;
  else
    zh_protocol_free(p);
  return status;
}

void zh_protocol_free(zh_protocol *protocol) {
  if (protocol == NULL) return;
  zh_arena_free(protocol->arena);
  free(protocol);
}

const char *zh_protocol_model_sm3(const zh_protocol *p, const char *model) {
  if (strcmp(model, p->claimant) == 0) return p->claimant_sm3;
  for (size_t i = 0; i < p->peer_count; i++)
    if (strcmp(p->peers[i].model, model) == 0) return p->peers[i].sm3;
  return NULL;
}
