/* Ranks talking to each other: a table of functions, so that MPI stays a module opened at run time.
 * comm_solo.c is one rank without MPI; comm_mpi.c becomes libzhiheng-mpi.so. */
#ifndef ZH_BENCH_COMM_H
#define ZH_BENCH_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_COMM_ABI = 2, ZH_COMM_SENDS = 2 };

typedef struct zh_comm zh_comm;
struct zh_comm {
  uint32_t abi;
  int rank, size;
  const char *library; /* "solo", "Open MPI v4.1.4, …" */
  void *state;
  zh_status (*barrier)(const zh_comm *comm, zh_error *err);
  /* In place, over all ranks; the sum's order is MPI's. */
  zh_status (*sum_f32)(const zh_comm *comm, float *values, size_t count, zh_error *err);
  zh_status (*max_f64)(const zh_comm *comm, double *values, size_t count, zh_error *err);
  zh_status (*broadcast)(const zh_comm *comm, void *bytes, size_t length, int root, zh_error *err);
  /* to_all holds size * length bytes on rank `root`; elsewhere it may be NULL. */
  zh_status (*gather)(const zh_comm *comm, const void *mine, size_t length, void *to_all, int root, zh_error *err);
  zh_status (*send)(const zh_comm *comm, const void *bytes, size_t length, int to, zh_error *err);
  zh_status (*receive)(const zh_comm *comm, void *bytes, size_t length, int from, zh_error *err);
  /* A send that goes on meanwhile: `bytes` stays as it is until finish_send of the same slot, one of
   * ZH_COMM_SENDS. */
  zh_status (*start_send)(const zh_comm *comm, int slot, const void *bytes, size_t length, int to, zh_error *err);
  zh_status (*finish_send)(const zh_comm *comm, int slot, zh_error *err);
  /* OSU's bandwidth pattern: `window` messages in flight, then one short answer. The receiver's buffer holds
   * window * length bytes, one message after the other. */
  zh_status (*send_window)(const zh_comm *comm, const void *bytes, size_t length, int window, int to, zh_error *err);
  zh_status (*receive_window)(const zh_comm *comm, void *bytes, size_t length, int window, int from, zh_error *err);
  void (*finish)(zh_comm *comm);
};

/* One rank, no library. */
ZH_MUST_CHECK zh_status zh_comm_solo(zh_comm **out, zh_error *err);
/* The ranks members[count] of `whole`, of which this rank is one; `whole` outlives it. For messages that are few. */
ZH_MUST_CHECK zh_status zh_comm_group(zh_comm **out, const zh_comm *whole, const int *members, int count, zh_error *err);
/* Opens libzhiheng-mpi.so (zh_module_path) and joins the job; ZH_ERR_LACKING with one sentence where there is none. */
ZH_MUST_CHECK zh_status zh_comm_open_mpi(zh_comm **out, zh_error *err);
/* Every rank learns whether any failed, and of which; the lowest failed rank's error becomes everybody's. */
ZH_MUST_CHECK zh_status zh_comm_agree(const zh_comm *comm, zh_status mine, zh_error *err);
void zh_comm_finish(zh_comm *comm); /* NULL is safe */

#ifdef __cplusplus
}
#endif
#endif
