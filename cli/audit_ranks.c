#include "cli/audit_ranks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/comm.h"
#include "bench/launch.h"
#include "core/progress.h"

static int number_in(const char *variable) {
  const char *text = getenv(variable);
  return text != NULL ? atoi(text) : 0;
}

/* Processes of the job that a launcher started us in; 0 outside one. */
static int job_size(void) {
  int size = number_in("OMPI_COMM_WORLD_SIZE");
  if (size == 0) size = number_in("PMI_SIZE");
  if (size == 0 && getenv("PMIX_RANK") != NULL) size = number_in("SLURM_STEP_NUM_TASKS");
  return size;
}

/* --- messages: a length first, then pieces that the module takes --- */

static const size_t piece = (size_t)1 << 28;

static zh_status send(void *user, const void *bytes, size_t length, zh_error *err) {
  const zh_comm *comm = user;
  unsigned char head[8];
  for (int i = 0; i < 8; i++) head[i] = (unsigned char)((uint64_t)length >> (8 * i));
  ZH_TRY(comm->send(comm, head, sizeof head, 0, err));
  for (size_t done = 0, now; done < length; done += now) {
    now = length - done < piece ? length - done : piece;
    ZH_TRY(comm->send(comm, (const char *)bytes + done, now, 0, err));
  }
  return ZH_OK;
}

static zh_status receive(void *user, int from, void **bytes, size_t *length, zh_error *err) {
  const zh_comm *comm = user;
  unsigned char head[8];
  *bytes = NULL;
  *length = 0;
  ZH_TRY(comm->receive(comm, head, sizeof head, from, err));
  for (int i = 0; i < 8; i++) *length |= (size_t)head[i] << (8 * i);
  char *room = *bytes = malloc(*length + 1);
  if (room == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for rank %d's share", from);
  for (size_t done = 0, now; done < *length; done += now) {
    now = *length - done < piece ? *length - done : piece;
    zh_status status = comm->receive(comm, room + done, now, from, err);
    if (status == ZH_OK) continue;
    free(room);
    *bytes = NULL;
    return status;
  }
  return ZH_OK;
}

static zh_status broadcast(void *user, void *bytes, size_t length, zh_error *err) {
  const zh_comm *comm = user;
  return comm->broadcast(comm, bytes, length, 0, err);
}

/* --- starting and joining --- */

static zh_status launch(int ranks, const char *wanted, int argc, char **argv, zh_error *err) {
  zh_launcher launcher;
  const char *words[ZH_LAUNCH_WORDS];
  char text[32];
  size_t count = 0;
  ZH_TRY(zh_launcher_choose(&launcher, wanted, ranks, err));
  zh_launcher_command(words, text, sizeof text, launcher, ranks, zh_machine_allowed_cores(),
                      "/proc/self/exe", "audit");
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  const char **all = calloc(ZH_LAUNCH_WORDS + (size_t)argc + 1, sizeof *all);
  if (length < 0 || all == NULL) {
    free(all);
    return zh_fail(err, ZH_ERR_IO, "this program cannot find itself, to start %d ranks", ranks);
  }
  self[length] = '\0';
  for (; words[count] != NULL; count++)
    all[count] = strcmp(words[count], "/proc/self/exe") == 0 ? self : words[count];
  for (int i = 1; i < argc; i++) all[count++] = argv[i];
  execvp(all[0], (char *const *)(uintptr_t)all);
  zh_status status =
      zh_fail(err, ZH_ERR_IO, "%s could not be started: %s", all[0], strerror(errno));
  free(all);
  return status;
}

zh_status zh_audit_ranks_join(zh_audit_ranks *out, int ranks, const char *launcher, int argc,
                              char **argv, uint64_t *seed, zh_error *err) {
  zh_comm *comm = NULL;
  int size = job_size();
  *out = (zh_audit_ranks){.size = 1};
  if (size < 2 && ranks < 2) return ZH_OK;
  if (size < 2) return launch(ranks, launcher, argc, argv, err);
  if (ranks > 1 && ranks != size)
    return zh_fail(err, ZH_ERR_USAGE, "--ranks %d, but the job has %d processes; leave it out",
                   ranks, size);
  ZH_TRY(zh_comm_open_mpi(&comm, err));
  *out = (zh_audit_ranks){comm->rank, comm->size, comm, send, receive, broadcast};
  if (comm->rank > 0) zh_progress_quiet(true);
  return broadcast(comm, seed, sizeof *seed, err);
}

void zh_audit_ranks_leave(zh_audit_ranks *ranks) {
  if (ranks->size > 1) zh_comm_finish(ranks->user);
}
