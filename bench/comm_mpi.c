/* libzhiheng-mpi.so: the communicator over MPI. Only thread 0 of a rank calls it. */
#include <mpi.h>
#include <stdlib.h>

#include "bench/comm.h"

enum { TAG_DATA = 1, TAG_ANSWER = 2, WINDOW_MAX = 1024 };
/* MPI counts are int; longer messages go in pieces of this many bytes. */
static const size_t PIECE = (size_t)1 << 30;

zh_status zh_comm_mpi_join(zh_comm **out, zh_error *err);

static zh_status check(int code, const char *what, zh_error *err) {
  if (code == MPI_SUCCESS) return ZH_OK;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return zh_fail(err, ZH_ERR_IO, "MPI %s failed: %s", what, text);
}

static size_t piece(size_t left) {
  return left < PIECE ? left : PIECE;
}

static zh_status mpi_barrier(const zh_comm *comm, zh_error *err) {
  (void)comm;
  return check(MPI_Barrier(MPI_COMM_WORLD), "barrier", err);
}

static zh_status mpi_sum_f32(const zh_comm *comm, float *values, size_t count, zh_error *err) {
  (void)comm;
  for (size_t done = 0; done < count;) {
    size_t now = piece(count - done);
    ZH_TRY(check(
        MPI_Allreduce(MPI_IN_PLACE, values + done, (int)now, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD),
        "all-reduce", err));
    done += now;
  }
  return ZH_OK;
}

static zh_status mpi_max_f64(const zh_comm *comm, double *values, size_t count, zh_error *err) {
  (void)comm;
  if (count > PIECE) return zh_fail(err, ZH_ERR_ARG, "too many values for one maximum");
  return check(MPI_Allreduce(MPI_IN_PLACE, values, (int)count, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD),
               "all-reduce", err);
}

static zh_status mpi_broadcast(const zh_comm *comm, void *bytes, size_t length, int root,
                               zh_error *err) {
  (void)comm;
  for (size_t done = 0; done < length;) {
    size_t now = piece(length - done);
    ZH_TRY(check(MPI_Bcast((char *)bytes + done, (int)now, MPI_BYTE, root, MPI_COMM_WORLD),
                 "broadcast", err));
    done += now;
  }
  return ZH_OK;
}

static zh_status mpi_gather(const zh_comm *comm, const void *mine, size_t length, void *to_all,
                            int root, zh_error *err) {
  (void)comm;
  if (length > PIECE) return zh_fail(err, ZH_ERR_ARG, "too many bytes for one gather");
  return check(
      MPI_Gather(mine, (int)length, MPI_BYTE, to_all, (int)length, MPI_BYTE, root, MPI_COMM_WORLD),
      "gather", err);
}

static zh_status mpi_send(const zh_comm *comm, const void *bytes, size_t length, int to,
                          zh_error *err) {
  (void)comm;
  if (length > PIECE) return zh_fail(err, ZH_ERR_ARG, "messages are at most 1 GiB");
  return check(MPI_Send(bytes, (int)length, MPI_BYTE, to, TAG_DATA, MPI_COMM_WORLD), "send", err);
}

static zh_status mpi_receive(const zh_comm *comm, void *bytes, size_t length, int from,
                             zh_error *err) {
  (void)comm;
  if (length > PIECE) return zh_fail(err, ZH_ERR_ARG, "messages are at most 1 GiB");
  return check(
      MPI_Recv(bytes, (int)length, MPI_BYTE, from, TAG_DATA, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
      "receive", err);
}

static MPI_Request sending[ZH_COMM_SENDS];

static zh_status mpi_start_send(const zh_comm *comm, int slot, const void *bytes, size_t length,
                                int to, zh_error *err) {
  (void)comm;
  if (length > PIECE) return zh_fail(err, ZH_ERR_ARG, "messages are at most 1 GiB");
  return check(
      MPI_Isend(bytes, (int)length, MPI_BYTE, to, TAG_DATA, MPI_COMM_WORLD, &sending[slot]), "send",
      err);
}

static zh_status mpi_finish_send(const zh_comm *comm, int slot, zh_error *err) {
  (void)comm;
  return check(MPI_Wait(&sending[slot], MPI_STATUS_IGNORE), "wait", err);
}

static zh_status check_window(size_t length, int window, zh_error *err) {
  if (length > PIECE || window < 1 || window > WINDOW_MAX)
    return zh_fail(err, ZH_ERR_ARG, "a window holds 1 to %d messages of at most 1 GiB", WINDOW_MAX);
  return ZH_OK;
}

static zh_status mpi_send_window(const zh_comm *comm, const void *bytes, size_t length, int window,
                                 int to, zh_error *err) {
  (void)comm;
  MPI_Request request[WINDOW_MAX];
  ZH_TRY(check_window(length, window, err));
  for (int i = 0; i < window; i++)
    ZH_TRY(check(MPI_Isend(bytes, (int)length, MPI_BYTE, to, TAG_DATA, MPI_COMM_WORLD, &request[i]),
                 "send", err));
  ZH_TRY(check(MPI_Waitall(window, request, MPI_STATUSES_IGNORE), "wait", err));
  int answer = 0;
  return check(MPI_Recv(&answer, 1, MPI_INT, to, TAG_ANSWER, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
               "receive", err);
}

static zh_status mpi_receive_window(const zh_comm *comm, void *bytes, size_t length, int window,
                                    int from, zh_error *err) {
  (void)comm;
  MPI_Request request[WINDOW_MAX];
  ZH_TRY(check_window(length, window, err));
  /* `window` messages of `length` bytes lie one after the other: MPI forbids overlapping receives.
   */
  for (int i = 0; i < window; i++)
    ZH_TRY(check(MPI_Irecv((char *)bytes + (size_t)i * length, (int)length, MPI_BYTE, from,
                           TAG_DATA, MPI_COMM_WORLD, &request[i]),
                 "receive", err));
  ZH_TRY(check(MPI_Waitall(window, request, MPI_STATUSES_IGNORE), "wait", err));
  int answer = 1;
  return check(MPI_Send(&answer, 1, MPI_INT, from, TAG_ANSWER, MPI_COMM_WORLD), "send", err);
}

static void mpi_finish(zh_comm *comm) {
  (void)comm;
  MPI_Finalize();
}

zh_status zh_comm_mpi_join(zh_comm **out, zh_error *err) {
  static char library[MPI_MAX_LIBRARY_VERSION_STRING];
  static zh_comm world = {.abi = ZH_COMM_ABI,
                          .library = library,
                          .barrier = mpi_barrier,
                          .sum_f32 = mpi_sum_f32,
                          .max_f64 = mpi_max_f64,
                          .broadcast = mpi_broadcast,
                          .gather = mpi_gather,
                          .send = mpi_send,
                          .receive = mpi_receive,
                          .start_send = mpi_start_send,
                          .finish_send = mpi_finish_send,
                          .send_window = mpi_send_window,
                          .receive_window = mpi_receive_window,
                          .finish = mpi_finish};
  int provided = 0, length = 0;
  /* Open MPI would catch SIGSEGV, SIGBUS and the like to print a trace, which can wait for ever for
   * a lock that the faulty code holds; the guard tells how a rank ended. */
  setenv("OMPI_MCA_opal_signal", "", 0);
  ZH_TRY(check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "start", err));
  if (provided < MPI_THREAD_FUNNELED)
    return zh_fail(err, ZH_ERR_LACKING, "this MPI library cannot run beside threads");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &world.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world.size);
  MPI_Get_library_version(library, &length);
  *out = &world;
  return ZH_OK;
}
