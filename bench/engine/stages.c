#include "bench/engine/stages.h"

#include <stdlib.h>
#include <string.h>

#include "bench/node_memory.h"
#include "kernels/kernels.h"

/* Nodes are stages; the ranks of a node share its layers. */
static zh_status stage_of_node(zh_stages *s, const zh_node_memory *m, zh_error *err) {
  int rank = s->comm->rank, node = m->node[rank], *members;
  s->part = (zh_part){.index = m->member, .parts = m->members, .stage = node, .stages = m->nodes};
  s->head = m->leader[m->nodes - 1];
  for (int n = 0; n < m->nodes; ++n) {
    int count = 0;
    for (int i = 0; i < s->comm->size; ++i) count += m->node[i] == n;
    if (count != m->members)
      return zh_fail(err, ZH_ERR_INPUT,
                     "parallel: nodes wants the same number of ranks on each node, but node %d has "
                     "%d and node %d has %d",
                     node, m->members, n, count);
  }
  members = calloc((size_t)m->members, sizeof *members);
  if (!members) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the ranks of a node");
  for (int i = 0, seen[3] = {0}; i < s->comm->size; ++i) {
    int beside = m->node[i] - node + 1;
    if (beside < 0 || beside > 2) continue;
    if (beside == 1) members[seen[1]] = i;
    if (beside == 0 && seen[0] == m->member) s->before = i;
    if (beside == 2 && seen[2] == m->member) s->after = i;
    ++seen[beside];
  }
  zh_status status = ZH_OK;
  if (m->members > 1 && m->nodes > 1)
    status = zh_comm_group(&s->tied, s->comm, members, m->members, err);
  free(members);
  return status;
}

static zh_status find_nodes(zh_stages *s, bool are_stages, zh_error *err) {
  zh_node_memory nodes;
  ZH_TRY(zh_node_memory_find(&nodes, s->comm, err));
  s->nodes = nodes.nodes;
  zh_status status = are_stages ? stage_of_node(s, &nodes, err) : ZH_OK;
  status = zh_comm_agree(s->comm, status, err);
  zh_node_memory_close(&nodes);
  return status;
}

static zh_status find_place(zh_stages *out, const zh_ranks *ranks, zh_error *err) {
  const zh_comm *comm = ranks->comm;
  *out = (zh_stages){.comm = comm, .part = {.parts = 1}, .before = -1, .after = -1, .nodes = 1};
  if (!comm || comm->size == 1) {
    out->comm = NULL;
    return ZH_OK;
  }
  ZH_TRY(find_nodes(out, ranks->split == ZH_SPLIT_NODES, err));
  if (ranks->split == ZH_SPLIT_NODES) return ZH_OK;
  if (ranks->split == ZH_SPLIT_TENSOR) {
    out->part = (zh_part){.index = comm->rank, .parts = comm->size};
    return ZH_OK;
  }
  out->part = (zh_part){.parts = 1, .stage = comm->rank, .stages = comm->size};
  out->before = comm->rank - 1;
  out->after = comm->rank + 1 < comm->size ? comm->rank + 1 : -1;
  out->head = comm->size - 1;
  return ZH_OK;
}

zh_status zh_stages_find(zh_stages *out, const zh_ranks *ranks, zh_error *err) {
  ZH_TRY(find_place(out, ranks, err));
  out->part.experts = ranks->experts;
  out->part.tokens = ranks->tokens;
  return ZH_OK;
}

zh_status zh_stages_reserve(zh_stages *s, size_t floats, zh_error *err) {
  if (s->after < 0) return ZH_OK;
  s->on_their_way = zh_big_alloc(ZH_COMM_SENDS * floats * sizeof(float));
  if (!s->on_their_way)
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for hidden states on their way");
  s->floats = floats;
  return ZH_OK;
}

void zh_stages_close(zh_stages *s) {
  zh_comm_finish(s->tied);
  zh_big_free(s->on_their_way, ZH_COMM_SENDS * s->floats * sizeof(float));
  *s = (zh_stages){.part = {.parts = 1}, .before = -1, .after = -1};
}

const zh_comm *zh_stages_tied(const zh_stages *s) {
  if (s->part.parts == 1) return NULL;
  return s->tied ? s->tied : s->comm;
}

zh_status zh_stages_take(zh_stages *s, float *x, size_t floats, zh_error *err) {
  if (s->before < 0) return ZH_OK;
  return s->comm->receive(s->comm, x, floats * sizeof *x, s->before, err);
}

static zh_status wait_for(zh_stages *s, int slot, zh_error *err) {
  if (!s->sending[slot]) return ZH_OK;
  s->sending[slot] = false;
  return s->comm->finish_send(s->comm, slot, err);
}

zh_status zh_stages_give(zh_stages *s, const float *x, size_t floats, zh_error *err) {
  if (s->after < 0) return ZH_OK;
  int slot = s->turn;
  float *place = s->on_their_way + (size_t)slot * s->floats;
  s->turn = (slot + 1) % ZH_COMM_SENDS;
  ZH_TRY(wait_for(s, slot, err));
  memcpy(place, x, floats * sizeof *x);
  s->sending[slot] = true;
  return s->comm->start_send(s->comm, slot, place, floats * sizeof *x, s->after, err);
}

zh_status zh_stages_settle(zh_stages *s, zh_error *err) {
  for (int slot = 0; slot < ZH_COMM_SENDS; ++slot) ZH_TRY(wait_for(s, slot, err));
  return ZH_OK;
}
