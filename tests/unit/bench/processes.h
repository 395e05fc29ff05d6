/* Ranks as forked processes joined by sockets: a communicator without MPI, for tests. Only messages
 * pass through the sockets; the rest is zh_comm_group's. */
#ifndef ZH_TESTS_PROCESSES_H
#define ZH_TESTS_PROCESSES_H

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/comm.h"

enum { RANKS_MAX = 4 };

typedef struct wires {
  int end[RANKS_MAX][RANKS_MAX]; /* [rank][to] */
} wires;

static zh_status wire_send(const zh_comm *comm, const void *bytes, size_t length, int to,
                           zh_error *err) {
  const wires *w = comm->state;
  for (size_t done = 0; done < length;) {
    ssize_t now = write(w->end[comm->rank][to], (const char *)bytes + done, length - done);
    if (now <= 0) return zh_fail(err, ZH_ERR_IO, "a socket is closed");
    done += (size_t)now;
  }
  return ZH_OK;
}

static zh_status wire_receive(const zh_comm *comm, void *bytes, size_t length, int from,
                              zh_error *err) {
  const wires *w = comm->state;
  for (size_t done = 0; done < length;) {
    ssize_t now = read(w->end[comm->rank][from], (char *)bytes + done, length - done);
    if (now <= 0) return zh_fail(err, ZH_ERR_IO, "a socket is closed");
    done += (size_t)now;
  }
  return ZH_OK;
}

/* What goes between stages is small enough for a socket to take at once. */
static zh_status wire_start_send(const zh_comm *comm, int slot, const void *bytes, size_t length,
                                 int to, zh_error *err) {
  (void)slot;
  return wire_send(comm, bytes, length, to, err);
}

static zh_status wire_finish_send(const zh_comm *comm, int slot, zh_error *err) {
  (void)comm, (void)slot, (void)err;
  return ZH_OK;
}

/* Runs body(comm, user) on every rank, rank 0 here; true where it was true on all. */
static bool on_ranks(int ranks, bool (*body)(const zh_comm *comm, void *user), void *user) {
  static const int everyone[RANKS_MAX] = {0, 1, 2, 3};
  wires w;
  pid_t child[RANKS_MAX];
  int rank = 0;
  for (int a = 0; a < ranks; a++)
    for (int b = 0; b < a; b++) {
      int ends[2];
      if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return false;
      w.end[a][b] = ends[0];
      w.end[b][a] = ends[1];
    }
  for (int i = 1; i < ranks && rank == 0; i++) {
    child[i] = fork();
    if (child[i] == 0) rank = i;
  }
  zh_comm line = {.rank = rank,
                  .size = ranks,
                  .library = "sockets",
                  .state = &w,
                  .send = wire_send,
                  .receive = wire_receive,
                  .start_send = wire_start_send,
                  .finish_send = wire_finish_send};
  zh_comm *comm = NULL;
  bool good = zh_comm_group(&comm, &line, everyone, ranks, NULL) == ZH_OK && body(comm, user);
  zh_comm_finish(comm);
  if (rank > 0) _exit(good ? 0 : 1);
  for (int i = 1; i < ranks; i++) {
    int status = 1;
    good = waitpid(child[i], &status, 0) == child[i] && status == 0 && good;
  }
  for (int a = 0; a < ranks; a++)
    for (int b = 0; b < ranks; b++)
      if (a != b) close(w.end[a][b]);
  return good;
}

#endif
