#include "bench/device_place.h"

#include <stdlib.h>
#include <string.h>

#include "bench/comm_exchange.h"
#include "bench/node_memory.h"
#include "kernels/device.h"

/* A rank's GPU, as the others see it. */
typedef struct choice {
  char uuid[64], name[128];
  int index;
} choice;

static zh_status choose(choice *out, int asked, const zh_node_memory *node, zh_error *err) {
  const zh_device_api *api = NULL;
  zh_device_facts facts;
  int count = 0, first = asked - 1;
  *out = (choice){.index = first};
  ZH_TRY(zh_device_open_module(&api, err));
  ZH_TRY(api->count(&count, err));
  bool shown_one = count == 1 && first == 0; /* CUDA_VISIBLE_DEVICES of this rank's own */
  if (!shown_one) out->index += node->member;
  if (out->index >= count)
    return zh_fail(err, ZH_ERR_LACKING,
                   "%d ranks of one node take a GPU each, from GPU %d on, but rank %d would take "
                   "GPU %d and sees %d, numbered from 0 on; start as many ranks as there are GPUs",
                   node->members, first, node->comm->rank, out->index, count);
  ZH_TRY(api->facts(&facts, out->index, err));
  memcpy(out->uuid, facts.uuid, sizeof out->uuid);
  memcpy(out->name, facts.name, sizeof out->name);
  return ZH_OK;
}

/* By their numbers, which are the same on no two GPUs; what has none is not compared. */
static zh_status refuse_shared(const choice *all, int ranks, zh_error *err) {
  for (int a = 0; a < ranks; ++a)
    for (int b = 0; b < a; ++b)
      if (all[a].uuid[0] && strcmp(all[a].uuid, all[b].uuid) == 0)
        return zh_fail(err, ZH_ERR_LACKING,
                       "ranks %d and %d would share one GPU (%s, %s); give each rank a GPU of its "
                       "own, or start fewer ranks",
                       b, a, all[a].name, all[a].uuid);
  return ZH_OK;
}

static zh_status compare(const choice *mine, const zh_comm *comm, zh_error *err) {
  zh_exchange exchange = zh_comm_exchange(comm);
  choice *all = calloc((size_t)comm->size, sizeof *all);
  zh_status status = all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the ranks");
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = exchange.gather(exchange.context, all, mine, sizeof *mine, err);
  if (status == ZH_OK) status = refuse_shared(all, comm->size, err);
  free(all);
  return status;
}

zh_status zh_device_place(int *out, int asked, const zh_comm *comm, zh_error *err) {
  zh_node_memory node;
  choice mine = {0};
  *out = asked;
  if (asked == 0 || !comm || comm->size == 1) return ZH_OK;
  ZH_TRY(zh_node_memory_find(&node, comm, err));
  zh_status status = choose(&mine, asked, &node, err);
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = compare(&mine, comm, err);
  zh_node_memory_close(&node);
  if (status == ZH_OK) *out = mine.index + 1;
  return status;
}
