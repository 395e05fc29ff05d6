/* zhiheng-rank STEP.json: one rank of one step. Started by the supervisor, directly or through a
 * launcher.
 *
 * Under a launcher two processes make a rank: the worker, which computes, and a small guard, its
 * parent, which lives to write down how the worker ended, because a process killed by a signal
 * cannot. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/gpu_watch.h"
#include "bench/lifeline.h"
#include "bench/measure.h"
#include "bench/placement.h"
#include "core/clock.h"
#include "core/files.h"

enum { STEP_BYTES_MAX = 1 << 20 };

typedef struct rank_record {
  char host[64];
  int rank, pinned, threads, cpus[64]; /* the first 64 */
  int numa_nodes, numa_node[ZH_PLACED_NODES_MAX];
  char near[512]; /* CPUs near its GPU, where it was placed on them; else "" */
} rank_record;

typedef struct rank {
  json_t *step;
  const char *file, *folder;
  zh_comm *comm;
  zh_threads *threads;
  cpu_set_t placed; /* where this thread was before it opened a device */
  rank_record record;
  zh_job job;
} rank;

/* --- what the step file says --- */

static int number(const json_t *object, const char *key) {
  return (int)json_integer_value(json_object_get(object, key));
}

static const char *word(const json_t *object, const char *key) {
  return json_string_value(json_object_get(object, key));
}

static zh_status load_step(rank *r, zh_error *err) {
  const char *required[] = {"workload", "folder", "launcher", "seed", "run_seed", "fault"};
  const char *text = NULL;
  json_t *object = NULL;
  int64_t value = 0;
  ZH_TRY(zh_json_load_file(&r->step, r->file, STEP_BYTES_MAX, err));
  for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
    ZH_TRY(zh_json_string(&text, r->step, required[i], r->file, err));
  ZH_TRY(zh_json_object(&object, r->step, "parameters", r->file, err));
  ZH_TRY(zh_json_object(&object, r->step, "repeats", r->file, err));
  ZH_TRY(zh_json_int(&value, r->step, "ranks", r->file, err));
  ZH_TRY(zh_json_int(&value, r->step, "threads", r->file, err));
  r->folder = word(r->step, "folder");
  if (!zh_workload_find(word(r->step, "workload")))
    return zh_fail(err, ZH_ERR_INPUT, "%s: there is no workload '%s'", r->file,
                   word(r->step, "workload"));
  return ZH_OK;
}

static zh_fault fault_of(const char *name) {
  for (int i = 0; zh_fault_names[i]; i++)
    if (strcmp(name, zh_fault_names[i]) == 0) return (zh_fault)i;
  return ZH_FAULT_NONE;
}

static bool is_direct(const rank *r) {
  return strcmp(word(r->step, "launcher"), "direct") == 0;
}

/* First of these variables that holds a number, else 0: what launchers tell a rank about itself. */
static int from_environment(const char *const *names) {
  for (; *names; names++) {
    const char *text = getenv(*names);
    if (text && *text) return atoi(text);
  }
  return 0;
}

static int launched_rank(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID", NULL};
  return from_environment(names);
}

/* --- joining the job --- */

static zh_status join(rank *r, zh_error *err) {
  int planned = number(r->step, "ranks");
  ZH_TRY(is_direct(r) ? zh_comm_solo(&r->comm, err) : zh_comm_open_mpi(&r->comm, err));
  if (r->comm->size == planned) return ZH_OK;
  return zh_fail(err, ZH_ERR_IO,
                 "the plan has %d ranks, but this job has %d: the launcher started ranks that do "
                 "not know each other; use an mpirun or 'srun --mpi=pmix' of the same Open MPI",
                 planned, r->comm->size);
}

static zh_status start_threads(rank *r, zh_error *err) {
  int threads = number(r->step, "threads");
  zh_placement place;
  if (threads < 1 || threads > ZH_PLACED_CPUS_MAX)
    return zh_fail(err, ZH_ERR_ARG, "a rank has 1 to %d threads, not %d", ZH_PLACED_CPUS_MAX,
                   threads);
  ZH_TRY(zh_place_rank(&place, r->comm, threads, err));
  ZH_TRY(place.count > 0 ? zh_threads_create(&r->threads, threads, place.cpu, err)
                         : zh_threads_create_crowded(&r->threads, threads, err));
  r->record.rank = r->comm->rank;
  r->record.threads = threads;
  r->record.pinned = zh_threads_pinned(r->threads);
  for (int t = 0; t < threads && t < 64; t++)
    r->record.cpus[t] = t < place.count ? place.cpu[t] : -1;
  (void)sched_getaffinity(0, sizeof r->placed, &r->placed);
  r->record.numa_nodes = place.nodes;
  memcpy(r->record.numa_node, place.node, sizeof r->record.numa_node);
  gethostname(r->record.host, sizeof r->record.host - 1);
  return ZH_OK;
}

/* --- the work --- */

/* A device has this thread run near it: what is, not what was meant. */
static void note_place(rank *r) {
  cpu_set_t now;
  if (sched_getaffinity(0, sizeof now, &now) == 0 && !CPU_EQUAL(&now, &r->placed))
    zh_cpu_list(r->record.near, sizeof r->record.near, &now);
}

/* What was seen of the GPUs goes into the facts of a failed step, too: it may be the reason. */
static zh_status keep_watch(rank *r, zh_status status, zh_error *err) {
  json_t *seen = NULL;
  zh_status finished = zh_gpu_watch_finish(&seen, r->job.watch, r->comm, err);
  if (seen) json_object_set_new(r->job.facts, "gpu_watch", seen);
  zh_gpu_watch_free(r->job.watch);
  r->job.watch = NULL;
  return status != ZH_OK ? status : finished;
}

static zh_status measure(rank *r, json_t **measurements, zh_error *err) {
  const json_t *repeats = json_object_get(r->step, "repeats");
  zh_measure_rules rules = {
      .warmup = number(r->step, "warmup"),
      .repeats = {number(repeats, "min"), number(repeats, "max"),
                  json_number_value(json_object_get(repeats, "relative_stdev"))},
      .deadline_s = json_number_value(json_object_get(r->step, "deadline_s"))};
  r->job.parameters = json_object_get(r->step, "parameters");
  r->job.model = word(r->step, "source");
  r->job.model_sm3 = word(r->step, "model_sm3");
  r->job.content_sm3 = word(r->step, "content_sm3");
  r->job.seed = strtoull(word(r->step, "seed"), NULL, 16);
  r->job.run_seed = strtoull(word(r->step, "run_seed"), NULL, 16);
  r->job.threads = r->threads;
  r->job.comm = r->comm;
  r->job.fault = fault_of(word(r->step, "fault"));
  r->job.step = word(r->step, "step");
  r->job.nonce = word(r->step, "nonce");
  r->job.packed_cache = word(r->step, "packed_cache");
  r->job.device = number(r->step, "device");
  r->job.folder = r->folder;
  ZH_TRY(zh_gpu_watch_new(&r->job.watch, r->folder, r->job.step, r->comm->rank, err));
  zh_status status =
      zh_measure(measurements, &rules, zh_workload_find(word(r->step, "workload")), &r->job, err);
  note_place(r);
  return keep_watch(r, status, err);
}

static json_t *records_json(const rank_record *records, int count) {
  json_t *list = json_array();
  for (int i = 0; i < count; i++) {
    const rank_record *record = &records[i];
    json_t *cpus = json_array(), *nodes = json_array();
    for (int t = 0; t < record->threads && t < 64 && record->cpus[t] >= 0; t++)
      json_array_append_new(cpus, json_integer(record->cpus[t]));
    for (int n = 0; n < record->numa_nodes; n++)
      json_array_append_new(nodes, json_integer(record->numa_node[n]));
    json_array_append_new(list, json_pack("{s:i,s:s,s:b,s:i,s:o,s:o,s:s*}", "rank", record->rank,
                                          "host", record->host, "pinned", record->pinned, "threads",
                                          record->threads, "cpus", cpus, "numa_nodes", nodes,
                                          "device_cpus", record->near[0] ? record->near : NULL));
  }
  return list;
}

/* Rank 0 writes what all of them found; every rank takes part in the gathering. */
static zh_status write_result(rank *r, json_t *measurements, const zh_error *failed,
                              zh_error *err) {
  rank_record *records = calloc((size_t)r->comm->size, sizeof *records);
  char path[PATH_MAX];
  if (!records) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the ranks' records");
  zh_status status = r->comm->gather(r->comm, &r->record, sizeof r->record, records, 0, err);
  if (status == ZH_OK && r->comm->rank == 0) {
    json_t *error = failed->status == ZH_OK
                        ? json_null()
                        : json_pack("{s:s,s:s,s:i}", "status", zh_status_name(failed->status),
                                    "message", failed->message, "rank", failed->rank);
    json_t *result =
        json_pack("{s:s,s:o,s:O,s:O,s:o,s:o,s:{s:s,s:s?}}", "schema", "zhiheng.result/1", "error",
                  error, "facts", r->job.facts, "checks", r->job.checks, "measurements",
                  measurements ? json_incref(measurements) : json_array(), "ranks",
                  records_json(records, r->comm->size), "version", "kernels",
                  zh_kernels_best()->name, "mpi", is_direct(r) ? NULL : r->comm->library);
    snprintf(path, sizeof path, "%s/result.json", r->folder);
    status = result ? zh_json_write_file(result, path, err)
                    : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the result");
    json_decref(result);
  }
  free(records);
  return status;
}

/* Joins, measures, reports. The outcome is in the result file and in the exit status. */
static zh_status work(rank *r, zh_error *err) {
  json_t *measurements = NULL;
  ZH_TRY(join(r, err));
  ZH_TRY(start_threads(r, err));
  r->job.facts = json_object();
  r->job.checks = json_array();
  r->job.series = json_array();
  zh_status status = measure(r, &measurements, err);
  /* A number from a run that failed is no number: the result then holds none. */
  zh_error writing = ZH_ERROR_INIT;
  zh_status written = write_result(r, measurements, err, &writing);
  if (written != ZH_OK) {
    *err = writing;
    status = written;
  }
  json_decref(measurements);
  json_decref(r->job.facts);
  json_decref(r->job.checks);
  json_decref(r->job.series);
  zh_threads_free(r->threads);
  zh_comm_finish(r->comm);
  return status;
}

static int run_worker(rank *r, pid_t parent) {
  zh_error err = ZH_ERROR_INIT;
  zh_status status = zh_lifeline_hold(json_object_get(r->step, "supervisor"), parent, &err);
  if (status == ZH_OK) status = work(r, &err);
  if (status != ZH_OK) fprintf(stderr, "zhiheng-rank: %s\n", err.message);
  json_decref(r->step);
  return zh_status_exit_code(status);
}

/* --- the guard --- */

static volatile sig_atomic_t worker_pid;

static void pass_on(int number_of_signal) {
  if (worker_pid > 0) kill((pid_t)worker_pid, number_of_signal);
}

static void record_end(const rank *r, int wait_status) {
  char path[PATH_MAX];
  struct timespec now;
  zh_error err = ZH_ERROR_INIT;
  clock_gettime(CLOCK_REALTIME, &now);
  json_t *record = json_pack("{s:i,s:i,s:i,s:I}", "rank", launched_rank(), "exit",
                             WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1, "signal",
                             WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0, "ended_unix_ns",
                             (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec);
  snprintf(path, sizeof path, "%s/rank-%d.json", r->folder, launched_rank());
  if (zh_json_write_file(record, path, &err) != ZH_OK)
    fprintf(stderr, "zhiheng-rank: %s\n", err.message);
  json_decref(record);
}

static int run_guarded(rank *r) {
  struct sigaction action = {.sa_handler = pass_on};
  pid_t guard = getpid(), launcher = getppid();
  int wait_status = 0;
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  pid_t worker = fork();
  if (worker < 0) {
    fprintf(stderr, "zhiheng-rank: cannot start a process: %s\n", strerror(errno));
    return 3;
  }
  if (worker == 0) {
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != guard) raise(SIGKILL);
    return run_worker(r, launcher);
  }
  worker_pid = worker;
  while (waitpid(worker, &wait_status, 0) < 0 && errno == EINTR) continue;
  record_end(r, wait_status);
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  rank r = {.file = argc == 2 ? argv[1] : NULL};
  if (!r.file) {
    fprintf(stderr, "zhiheng-rank: this program is started by 'zhiheng run'\n");
    return 2;
  }
  signal(SIGXFSZ, SIG_IGN); /* a full quota is an error of write(), told in words */
  signal(SIGPIPE, SIG_IGN);
  zh_end_on_lost_mapping(
      "zhiheng-rank: the model's file became shorter while it was in use, or its "
      "disk failed\n");
  const char *missing;
  if (load_step(&r, &err) != ZH_OK || zh_kernels_asked(&missing, &err) != ZH_OK) {
    fprintf(stderr, "zhiheng-rank: %s\n", err.message);
    return zh_status_exit_code(err.status);
  }
  return is_direct(&r) ? run_worker(&r, 0) : run_guarded(&r);
}
