#include "bench/comm_exchange.h"

static zh_status gather_to_all(void *context, void *all, const void *mine, size_t bytes,
                               zh_error *err) {
  const zh_comm *comm = context;
  ZH_TRY(comm->gather(comm, mine, bytes, all, 0, err));
  return comm->broadcast(comm, all, bytes * (size_t)comm->size, 0, err);
}

zh_exchange zh_comm_exchange(const zh_comm *comm) {
  zh_exchange exchange = {comm->rank, comm->size, NULL, gather_to_all};
  *(const void **)&exchange.context = comm; /* never written through */
  return exchange;
}
