#include "bench/quality/sharing.h"

#include <stdlib.h>

/* A generated token reads all weights for few; how many there will be nobody knows. Both are
 * guesses, which move items between ranks and nothing else. */
enum { GENERATED_COST = 8, GENERATED_GUESS = 64 };

double zh_group_cost(const zh_asks *asks, size_t group, size_t before, const zh_exam_task *task) {
  double cost = 1 + (double)zh_asks_needed(asks, group, before);
  if (task->output != ZH_OUTPUT_GENERATE) return cost;
  uint64_t made = task->max_new < GENERATED_GUESS ? task->max_new : GENERATED_GUESS;
  return cost + GENERATED_COST * (double)made;
}

typedef struct costed {
  double cost;
  size_t item;
} costed;

static int dearer_first(const void *a, const void *b) {
  const costed *x = a, *y = b;
  if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
  return x->item < y->item ? -1 : x->item > y->item;
}

zh_status zh_share_items(int *rank_of, const double *cost, size_t items, int ranks, zh_error *err) {
  costed *order = malloc((items + 1) * sizeof *order);
  double *load = calloc((size_t)ranks, sizeof *load);
  zh_status status =
      order && load ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (shares of ranks)");
  for (size_t i = 0; status == ZH_OK && i < items; i++) order[i] = (costed){cost[i], i};
  if (status == ZH_OK) qsort(order, items, sizeof *order, dearer_first);
  for (size_t i = 0; status == ZH_OK && i < items; i++) {
    int least = 0;
    for (int r = 1; r < ranks; r++)
      if (load[r] < load[least]) least = r;
    rank_of[order[i].item] = least;
    load[least] += order[i].cost;
  }
  free(order);
  free(load);
  return status;
}

static zh_status make_room(zh_text *text, uint64_t length, zh_error *err) {
  char *grown = realloc(text->data, text->length + (size_t)length + 1);
  if (!grown) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for answers of other ranks");
  text->data = grown;
  text->capacity = text->length + (size_t)length + 1;
  return ZH_OK;
}

zh_status zh_share_text(zh_text *text, const zh_comm *comm, zh_error *err) {
  uint64_t length = text->length;
  if (comm->size == 1) return ZH_OK;
  ZH_TRY(comm->broadcast(comm, &length, sizeof length, 0, err));
  zh_status status = ZH_OK;
  if (comm->rank > 0) {
    text->length = 0;
    status = make_room(text, length, err);
  }
  ZH_TRY(zh_comm_agree(comm, status, err));
  if (length > 0) ZH_TRY(comm->broadcast(comm, text->data, (size_t)length, 0, err));
  text->length = (size_t)length;
  if (text->data) text->data[length] = '\0';
  return ZH_OK;
}

static zh_status receive_text(zh_text *text, const zh_comm *comm, int from, zh_error *err) {
  uint64_t length = 0;
  ZH_TRY(comm->receive(comm, &length, sizeof length, from, err));
  if (length == 0) return ZH_OK;
  ZH_TRY(make_room(text, length, err));
  ZH_TRY(comm->receive(comm, text->data + text->length, (size_t)length, from, err));
  text->length += (size_t)length;
  text->data[text->length] = '\0';
  return ZH_OK;
}

zh_status zh_collect_texts(zh_text *text, const zh_comm *comm, zh_error *err) {
  uint64_t length = text->length;
  if (comm->rank > 0) {
    ZH_TRY(comm->send(comm, &length, sizeof length, 0, err));
    return length > 0 ? comm->send(comm, text->data, text->length, 0, err) : ZH_OK;
  }
  for (int r = 1; r < comm->size; r++) ZH_TRY(receive_text(text, comm, r, err));
  return ZH_OK;
}
