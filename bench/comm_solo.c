/* One rank alone: every exchange is with itself, so there is nothing to do. */
#include <string.h>

#include "bench/comm.h"

static zh_status solo_barrier(const zh_comm *comm, zh_error *err) {
  (void)comm, (void)err;
  return ZH_OK;
}

static zh_status solo_sum_f32(const zh_comm *comm, float *values, size_t count, zh_error *err) {
  (void)comm, (void)values, (void)count, (void)err;
  return ZH_OK;
}

static zh_status solo_max_f64(const zh_comm *comm, double *values, size_t count, zh_error *err) {
  (void)comm, (void)values, (void)count, (void)err;
  return ZH_OK;
}

static zh_status solo_broadcast(const zh_comm *comm, void *bytes, size_t length, int root,
                                zh_error *err) {
  (void)comm, (void)bytes, (void)length, (void)root, (void)err;
  return ZH_OK;
}

static zh_status solo_gather(const zh_comm *comm, const void *mine, size_t length, void *to_all,
                             int root, zh_error *err) {
  (void)comm, (void)root, (void)err;
  memcpy(to_all, mine, length);
  return ZH_OK;
}

static zh_status no_peer(zh_error *err) {
  return zh_fail(err, ZH_ERR_LACKING, "one rank alone has nobody to send to; give --ranks 2");
}

static zh_status solo_send(const zh_comm *comm, const void *bytes, size_t length, int to,
                           zh_error *err) {
  (void)comm, (void)bytes, (void)length, (void)to;
  return no_peer(err);
}

static zh_status solo_receive(const zh_comm *comm, void *bytes, size_t length, int from,
                              zh_error *err) {
  (void)comm, (void)bytes, (void)length, (void)from;
  return no_peer(err);
}

static zh_status solo_start_send(const zh_comm *comm, int slot, const void *bytes, size_t length,
                                 int to, zh_error *err) {
  (void)comm, (void)slot, (void)bytes, (void)length, (void)to;
  return no_peer(err);
}

static zh_status solo_finish_send(const zh_comm *comm, int slot, zh_error *err) {
  (void)comm, (void)slot;
  return no_peer(err);
}

static zh_status solo_send_window(const zh_comm *comm, const void *bytes, size_t length, int window,
                                  int to, zh_error *err) {
  (void)comm, (void)bytes, (void)length, (void)window, (void)to;
  return no_peer(err);
}

static zh_status solo_receive_window(const zh_comm *comm, void *bytes, size_t length, int window,
                                     int from, zh_error *err) {
  (void)comm, (void)bytes, (void)length, (void)window, (void)from;
  return no_peer(err);
}

static void solo_finish(zh_comm *comm) {
  (void)comm;
}

zh_status zh_comm_solo(zh_comm **out, zh_error *err) {
  static zh_comm solo = {.abi = ZH_COMM_ABI,
                         .rank = 0,
                         .size = 1,
                         .library = "solo",
                         .barrier = solo_barrier,
                         .sum_f32 = solo_sum_f32,
                         .max_f64 = solo_max_f64,
                         .broadcast = solo_broadcast,
                         .gather = solo_gather,
                         .send = solo_send,
                         .receive = solo_receive,
                         .start_send = solo_start_send,
                         .finish_send = solo_finish_send,
                         .send_window = solo_send_window,
                         .receive_window = solo_receive_window,
                         .finish = solo_finish};
  (void)err;
  *out = &solo;
  return ZH_OK;
}

void zh_comm_finish(zh_comm *comm) {
  if (comm) comm->finish(comm);
}
