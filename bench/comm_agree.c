/* Ranks agreeing whether to go on: one that failed must not leave the others waiting. */
#include "bench/comm.h"

zh_status zh_comm_agree(const zh_comm *comm, zh_status mine, zh_error *err) {
  if (comm->size == 1) return mine;
  double failed = mine == ZH_OK ? 0 : (double)(comm->size - comm->rank);
  ZH_TRY(comm->max_f64(comm, &failed, 1, err));
  if (failed == 0) return ZH_OK;
  zh_error shared = err ? *err : (zh_error)ZH_ERROR_INIT;
  shared.status = mine;
  int root = comm->size - (int)failed;
  shared.rank = comm->rank;
  ZH_TRY(comm->broadcast(comm, &shared, sizeof shared, root, err));
  if (err) *err = shared;
  return shared.status;
}
