#include "bench/engine/reduce.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  LINE = 128,         /* bytes that two ranks never share: CPUs fetch cache lines in pairs */
  UNIT = 16,          /* floats of a cache line */
  SPINS = 20000,      /* pauses before sleeping: some 0.2 to 1 ms */
  GATHERED_ROWS = 16, /* at a time */
  PLACES = 2          /* for gathered rows, used in turn */
};

/* A rank's number of meetings; others wait for it. Sleepers are counted so that nobody is woken in
 * vain (kernels/threads.c has the same reasoning). */
typedef struct post {
  _Alignas(LINE) _Atomic uint32_t number;
  _Atomic uint32_t sleepers;
} post;

/* How the first rank of a node offers its shared memory to the others there. */
typedef struct offer {
  int64_t pid;
  int file;
} offer;

typedef struct home {
  char node[128];
} home;

struct zh_reduce {
  const zh_comm *comm;
  int *node;   /* [ranks]: number of each rank's node, in order of their first ranks */
  int *leader; /* [nodes]: first rank */
  int nodes, members, member; /* of this rank's node, this rank's place in it */
  int file, spins;
  uint32_t meetings;
  size_t floats, width;
  unsigned char *shared;
  size_t shared_bytes;
  post *posts;    /* [members] */
  float *parts;   /* [slots][members][floats] */
  float *total;   /* [floats]: over the nodes */
  float *rows;    /* [PLACES][GATHERED_ROWS][width] */
  float *inbox;   /* [floats] or [GATHERED_ROWS][width]: from another node */
  zh_error error; /* of thread 0 */
};

/* --- who shares memory with whom --- */

/* The running kernel and the name space of process numbers: within both, memory can be handed
 * over. */
static void describe_home(home *out) {
  *out = (home){0};
  char boot[64] = "";
  FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
  if (f) {
    if (!fgets(boot, sizeof boot, f)) boot[0] = '\0';
    fclose(f);
  }
  boot[strcspn(boot, "\n")] = '\0';
  struct stat space = {0};
  (void)stat("/proc/self/ns/pid", &space);
  const char *test = getenv("ZHIHENG_NODE");
  snprintf(out->node, sizeof out->node, "%s %" PRIu64 " %.16s", boot, (uint64_t)space.st_ino,
           test ? test : "");
}

/* What each rank has, to all of them. */
static zh_status share_with_all(const zh_comm *comm, const void *mine, size_t length, void *all,
                                zh_error *err) {
  ZH_TRY(comm->gather(comm, mine, length, all, 0, err));
  return comm->broadcast(comm, all, length * (size_t)comm->size, 0, err);
}

static void number_nodes(zh_reduce *r, const home *homes) {
  for (int i = 0; i < r->comm->size; ++i) {
    int first = 0;
    while (strcmp(homes[first].node, homes[i].node) != 0) ++first;
    if (first == i) r->leader[r->nodes] = i;
    r->node[i] = first == i ? r->nodes++ : r->node[first];
  }
  for (int i = 0; i < r->comm->size; ++i) {
    if (r->node[i] != r->node[r->comm->rank]) continue;
    if (i == r->comm->rank) r->member = r->members;
    ++r->members;
  }
}

static zh_status find_nodes(zh_reduce *r, zh_error *err) {
  size_t size = (size_t)r->comm->size;
  home mine, *homes = calloc(size, sizeof *homes);
  r->node = calloc(size, sizeof *r->node);
  r->leader = calloc(size, sizeof *r->leader);
  zh_status status = homes && r->node && r->leader
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu ranks", size);
  status = zh_comm_agree(r->comm, status, err);
  describe_home(&mine);
  if (status == ZH_OK) status = share_with_all(r->comm, &mine, sizeof mine, homes, err);
  if (status == ZH_OK) number_nodes(r, homes);
  free(homes);
  return status;
}

/* --- the shared memory --- */

static size_t padded(size_t floats) {
  return (floats + UNIT - 1) / UNIT * UNIT;
}

static size_t layout(zh_reduce *r) {
  size_t members = (size_t)r->members, at = members * sizeof(post);
  size_t floats =
      ZH_REDUCE_SLOTS * members * r->floats + r->floats + (size_t)PLACES * GATHERED_ROWS * r->width;
  if (r->shared) {
    r->posts = (post *)(void *)r->shared;
    r->parts = (float *)(void *)(r->shared + at);
    r->total = r->parts + ZH_REDUCE_SLOTS * members * r->floats;
    r->rows = r->total + r->floats;
  }
  return at + floats * sizeof(float);
}

static bool leads(const zh_reduce *r) {
  return r->member == 0;
}

static zh_status make_memory(zh_reduce *r, zh_error *err) {
  r->file = memfd_create("zhiheng ranks", MFD_CLOEXEC);
  if (r->file >= 0 && ftruncate(r->file, (off_t)r->shared_bytes) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "%.1f MB of memory shared by the ranks cannot be had: %s",
                 (double)r->shared_bytes / 1e6, strerror(errno));
}

static zh_status map_memory(zh_reduce *r, const offer *from, zh_error *err) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%" PRId64 "/fd/%d", from->pid, from->file);
  int file = leads(r) ? r->file : open(path, O_RDWR | O_CLOEXEC);
  void *p = MAP_FAILED;
  if (file >= 0) p = mmap(NULL, r->shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  int failure = errno;
  if (!leads(r) && file >= 0) close(file);
  if (p == MAP_FAILED)
    return zh_fail(err, ZH_ERR_LACKING, "the ranks of this node cannot share memory (%s: %s)", path,
                   strerror(failure));
  r->shared = p;
  (void)layout(r);
  return ZH_OK;
}

static zh_status share_memory(zh_reduce *r, zh_error *err) {
  offer mine = {.pid = (int64_t)getpid(), .file = -1};
  offer *offers = calloc((size_t)r->comm->size, sizeof *offers);
  zh_status status =
      offers ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the ranks");
  r->shared_bytes = layout(r);
  if (status == ZH_OK && leads(r)) status = make_memory(r, err);
  mine.file = r->file;
  status = zh_comm_agree(r->comm, status, err);
  if (status == ZH_OK) status = share_with_all(r->comm, &mine, sizeof mine, offers, err);
  if (status == ZH_OK) status = map_memory(r, &offers[r->leader[r->node[r->comm->rank]]], err);
  free(offers);
  return zh_comm_agree(r->comm, status, err);
}

zh_status zh_reduce_create(zh_reduce **out, const zh_comm *comm, size_t floats, size_t width,
                           int threads, zh_error *err) {
  zh_reduce *r = calloc(1, sizeof *r);
  zh_status status = r ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the ranks");
  status = zh_comm_agree(comm, status, err);
  if (status != ZH_OK) {
    free(r);
    return status;
  }
  *r = (zh_reduce){
      .comm = comm, .file = -1, .floats = padded(floats), .width = width, .error = ZH_ERROR_INIT};
  status = find_nodes(r, err);
  if (status == ZH_OK) {
    r->spins = r->members * threads <= sysconf(_SC_NPROCESSORS_ONLN) ? SPINS : 0;
    size_t rows = padded((size_t)GATHERED_ROWS * width);
    if (r->nodes > 1) r->inbox = malloc((r->floats > rows ? r->floats : rows) * sizeof(float));
    if (r->nodes > 1 && !r->inbox)
      status = zh_fail(err, ZH_ERR_MEMORY, "not enough memory for another node's sums");
    status = zh_comm_agree(comm, status, err);
  }
  if (status == ZH_OK) status = share_memory(r, err);
  if (status != ZH_OK) {
    zh_reduce_free(r);
    return status;
  }
  *out = r;
  return ZH_OK;
}

void zh_reduce_free(zh_reduce *r) {
  if (!r) return;
  if (r->shared) munmap(r->shared, r->shared_bytes);
  if (r->file >= 0) close(r->file);
  free(r->node);
  free(r->leader);
  free(r->inbox);
  free(r);
}

static float *part_of(const zh_reduce *r, zh_reduce_slot slot, int member) {
  return r->parts + ((size_t)slot * (size_t)r->members + (size_t)member) * r->floats;
}

float *zh_reduce_mine(const zh_reduce *r, zh_reduce_slot slot) {
  return part_of(r, slot, r->member);
}

const float *zh_reduce_parts(const zh_reduce *r, zh_reduce_slot slot, size_t *stride) {
  *stride = r->floats;
  return r->nodes == 1 ? part_of(r, slot, 0) : NULL;
}

size_t zh_reduce_bytes(const zh_reduce *r) {
  return r->shared_bytes / (size_t)r->members;
}

int zh_reduce_nodes(const zh_reduce *r) {
  return r->nodes;
}

zh_status zh_reduce_error(zh_reduce *r, zh_error *err) {
  if (r->error.status == ZH_OK) return ZH_OK;
  zh_status status = zh_fail(err, r->error.status, "%s", r->error.message);
  r->error = (zh_error)ZH_ERROR_INIT;
  return status;
}

/* --- meeting --- */

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static bool reached(post *p, uint32_t number) {
  return (int32_t)(atomic_load(&p->number) - number) >= 0;
}

static void wait_for(post *p, uint32_t number, int spins) {
  for (int i = 0; i < spins; i++) {
    if (reached(p, number)) return;
    relax();
  }
  atomic_fetch_add(&p->sleepers, 1);
  for (uint32_t seen = atomic_load(&p->number); (int32_t)(seen - number) < 0;
       seen = atomic_load(&p->number))
    (void)syscall(SYS_futex, &p->number, FUTEX_WAIT, seen, NULL, NULL, 0);
  atomic_fetch_sub(&p->sleepers, 1);
}

/* Thread 0 of each rank of the node: what any wrote before, all see after. */
static void meet(zh_reduce *r) {
  uint32_t number = ++r->meetings;
  post *mine = &r->posts[r->member];
  atomic_store(&mine->number, number);
  if (atomic_load(&mine->sleepers) > 0)
    (void)syscall(SYS_futex, &mine->number, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  for (int i = 0; i < r->members; ++i)
    if (i != r->member) wait_for(&r->posts[i], number, r->spins);
}

static void meet_with_threads(zh_reduce *r, zh_threads *threads, int thread) {
  zh_threads_barrier(threads);
  if (thread == 0) meet(r);
  zh_threads_barrier(threads);
}

/* --- sums --- */

static void add_parts(const zh_reduce *r, zh_reduce_slot slot, float *out, size_t begin,
                      size_t end) {
  const float *first = part_of(r, slot, 0);
  for (size_t i = begin; i < end; ++i) out[i] = first[i];
  for (int member = 1; member < r->members; ++member) {
    const float *part = part_of(r, slot, member);
    for (size_t i = begin; i < end; ++i) out[i] += part[i];
  }
}

/* The first node adds up what the others send, in their order, and sends it back. */
static zh_status exchange(zh_reduce *r, size_t floats, zh_error *err) {
  const zh_comm *comm = r->comm;
  size_t bytes = floats * sizeof(float);
  if (comm->rank != r->leader[0]) {
    ZH_TRY(comm->send(comm, r->total, bytes, r->leader[0], err));
    return comm->receive(comm, r->total, bytes, r->leader[0], err);
  }
  for (int node = 1; node < r->nodes; ++node) {
    ZH_TRY(comm->receive(comm, r->inbox, bytes, r->leader[node], err));
    for (size_t i = 0; i < floats; ++i) r->total[i] += r->inbox[i];
  }
  for (int node = 1; node < r->nodes; ++node)
    ZH_TRY(comm->send(comm, r->total, bytes, r->leader[node], err));
  return ZH_OK;
}

void zh_reduce_sum(zh_reduce *r, zh_threads *threads, int thread, zh_reduce_slot slot, float *out,
                   size_t floats) {
  size_t begin, end;
  meet_with_threads(r, threads, thread);
  zh_share(&begin, &end, floats, UNIT, thread, zh_threads_count(threads));
  if (r->nodes == 1) {
    add_parts(r, slot, out, begin, end);
  } else {
    if (thread == 0 && leads(r)) {
      add_parts(r, slot, r->total, 0, floats);
      if (r->error.status == ZH_OK) (void)exchange(r, floats, &r->error);
    }
    meet_with_threads(r, threads, thread);
    if (begin < end) memcpy(out + begin, r->total + begin, (end - begin) * sizeof *out);
  }
  zh_threads_barrier(threads);
}

/* --- rows --- */

static void columns_of(const zh_reduce *r, int rank, size_t *begin, size_t *end) {
  zh_share(begin, end, r->width, ZH_PACKED_ROWS, rank, r->comm->size);
}

static void copy_columns(float *to, const float *from, size_t width, size_t count, size_t begin,
                         size_t end) {
  for (size_t t = 0; begin < end && t < count; ++t)
    memcpy(to + t * width + begin, from + t * width + begin, (end - begin) * sizeof *to);
}

static void gather_in_node(zh_reduce *r, zh_threads *threads, int thread, float *rows, size_t count,
                           float *place) {
  size_t begin, end, mine_begin, mine_end;
  columns_of(r, r->comm->rank, &mine_begin, &mine_end);
  zh_share(&begin, &end, mine_end - mine_begin, UNIT, thread, zh_threads_count(threads));
  copy_columns(place, rows, r->width, count, mine_begin + begin, mine_begin + end);
  meet_with_threads(r, threads, thread);
  zh_share(&begin, &end, r->width, UNIT, thread, zh_threads_count(threads));
  copy_columns(rows, place, r->width, count, begin, end);
}

/* Thread 0: each rank in turn gives its columns to all. */
static zh_status gather_between_nodes(zh_reduce *r, float *rows, size_t count, zh_error *err) {
  for (int rank = 0; rank < r->comm->size; ++rank) {
    size_t begin, end;
    columns_of(r, rank, &begin, &end);
    size_t width = end - begin;
    for (size_t t = 0; t < count; ++t)
      memcpy(r->inbox + t * width, rows + t * r->width + begin, width * sizeof *rows);
    ZH_TRY(r->comm->broadcast(r->comm, r->inbox, count * width * sizeof *rows, rank, err));
    for (size_t t = 0; t < count; ++t)
      memcpy(rows + t * r->width + begin, r->inbox + t * width, width * sizeof *rows);
  }
  return ZH_OK;
}

void zh_reduce_gather(zh_reduce *r, zh_threads *threads, int thread, float *rows, size_t count) {
  zh_threads_barrier(threads);
  for (size_t first = 0, turn = 0; first < count; first += GATHERED_ROWS, ++turn) {
    size_t now = count - first < GATHERED_ROWS ? count - first : GATHERED_ROWS;
    float *at = rows + first * r->width;
    if (r->nodes == 1)
      gather_in_node(r, threads, thread, at, now,
                     r->rows + turn % PLACES * GATHERED_ROWS * r->width);
    else if (thread == 0 && r->error.status == ZH_OK)
      (void)gather_between_nodes(r, at, now, &r->error);
  }
  zh_threads_barrier(threads);
}
