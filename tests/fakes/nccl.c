/* NCCL's few functions that the module uses, between processes that each have the shim's device:
 * plain copies through one file of memory, in the order of the stream. Tests name it by ZH_NCCL;
 * ZH_FAKE_NCCL is a word:
 *
 *   wrong   the first element of what comes is another one
 *   init    connects no ranks
 *
 * Sums are made from the last rank to the first, an order of its own. Who waits longer than
 * ZH_FAKE_NCCL_SECONDS (20) for others has an asynchronous error. As in NCCL since 2.26,
 * ncclCommAbort does not return while a graph is alive that holds work of the communicator. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* they are found by name */
#define API __attribute__((visibility("default")))
enum { OK = 0, SYSTEM = 2, INVALID = 4, USAGE = 5, REMOTE = 6 };
enum { UINT32 = 3, FLOAT32 = 7, SUM = 0 };
enum { RANKS_MAX = 8, SLOT = 1 << 20, BOX = 1 << 18, GROUP_MAX = 2 * RANKS_MAX };

typedef struct identity {
  char bytes[128];
} identity;
typedef struct named {
  uint32_t magic;
  int process, file;
} named;
enum { MAGIC = 0x4E43434C };

typedef struct box {
  atomic_uint full;
  unsigned char bytes[BOX];
} box;
typedef struct area {
  atomic_uint arrived, generation;
  unsigned char slot[RANKS_MAX][SLOT];
  box boxes[RANKS_MAX][RANKS_MAX]; /* [from][to] */
} area;
typedef struct communicator {
  area *shared;
  int rank, ranks;
  atomic_int trouble;
  atomic_int graphs; /* operations of it that graphs hold */
} communicator;

typedef enum kind { ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, BROADCAST, SEND, RECEIVE } kind;
typedef struct operation {
  kind what;
  const void *from;
  void *to;
  size_t bytes;
  int other; /* root, or the rank at the other end */
  communicator *comm;
} operation;
typedef struct batch {
  operation list[GROUP_MAX];
  int count;
} batch;

static int (*enqueue)(void *stream, void (*work)(void *), void *context, void (*dropped)(void *));
static void *(*contents)(const void *address, size_t bytes);

static int is_word(const char *word) {
  const char *text = getenv("ZH_FAKE_NCCL");
  return text && strcmp(text, word) == 0;
}

/* --- waiting --- */

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int wait_until(communicator *c, atomic_uint *word, unsigned value, int is_equal) {
  const char *text = getenv("ZH_FAKE_NCCL_SECONDS");
  double end = seconds() + (text ? atof(text) : 20);
  struct timespec nap = {0, 50000};
  while ((atomic_load(word) == value) != is_equal) {
    if (seconds() > end) atomic_store(&c->trouble, REMOTE);
    if (atomic_load(&c->trouble) != OK) return 0;
    nanosleep(&nap, NULL);
  }
  return 1;
}

static int barrier(communicator *c) {
  unsigned generation = atomic_load(&c->shared->generation);
  if (atomic_load(&c->trouble) != OK) return 0;
  if (atomic_fetch_add(&c->shared->arrived, 1) + 1 < (unsigned)c->ranks)
    return wait_until(c, &c->shared->generation, generation, 0);
  atomic_store(&c->shared->arrived, 0);
  atomic_fetch_add(&c->shared->generation, 1);
  return 1;
}

/* --- collectives, piece by piece --- */

static void add_up(const communicator *c, float *to, size_t bytes) {
  for (size_t i = 0; i < bytes / 4; i++) {
    float sum = ((const float *)(const void *)c->shared->slot[c->ranks - 1])[i];
    for (int r = c->ranks - 2; r >= 0; r--)
      sum += ((const float *)(const void *)c->shared->slot[r])[i];
    to[i] = sum;
  }
}

static void one_piece(const operation *o, const unsigned char *from, unsigned char *to, size_t at,
                      size_t bytes, int part) {
  communicator *c = o->comm;
  if (o->what != BROADCAST || c->rank == o->other)
    memcpy(c->shared->slot[c->rank], from + (size_t)part * o->bytes + at, bytes);
  if (!barrier(c)) return;
  if (o->what == ALL_REDUCE || (o->what == REDUCE_SCATTER && part == c->rank))
    add_up(c, (float *)(void *)(to + at), bytes);
  if (o->what == BROADCAST) memcpy(to + at, c->shared->slot[o->other], bytes);
  for (int r = 0; o->what == ALL_GATHER && r < c->ranks; r++)
    memcpy(to + (size_t)r * o->bytes + at, c->shared->slot[r], bytes);
  barrier(c);
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

static void collective(const operation *o) {
  communicator *c = o->comm;
  int parts = o->what == REDUCE_SCATTER ? c->ranks : 1;
  unsigned char *from = contents(o->from, o->bytes * (size_t)parts);
  unsigned char *to = contents(o->to, o->bytes * (size_t)(o->what == ALL_GATHER ? c->ranks : 1));
  if (!from || !to) {
    atomic_store(&c->trouble, INVALID);
    return;
  }
  /* Sums may go where the input lies: nobody reads it after its part has been made. */
  for (int part = 0; part < parts; part++)
    for (size_t at = 0; at < o->bytes; at += SLOT)
      one_piece(o, from, to, at, least(SLOT, o->bytes - at), part);
  if (is_word("wrong")) to[0] ^= 1;
}

/* --- between two ranks --- */

static void send_piece(const operation *o, size_t at) {
  communicator *c = o->comm;
  box *b = &c->shared->boxes[c->rank][o->other];
  unsigned char *from = contents(o->from, o->bytes);
  if (!from) atomic_store(&c->trouble, INVALID);
  if (!from || at >= o->bytes || !wait_until(c, &b->full, 0, 1)) return;
  memcpy(b->bytes, from + at, least(BOX, o->bytes - at));
  atomic_store(&b->full, 1);
}

static void receive_piece(const operation *o, size_t at) {
  communicator *c = o->comm;
  box *b = &c->shared->boxes[o->other][c->rank];
  unsigned char *to = contents(o->to, o->bytes);
  if (!to) atomic_store(&c->trouble, INVALID);
  if (!to || at >= o->bytes || !wait_until(c, &b->full, 1, 1)) return;
  memcpy(to + at, b->bytes, least(BOX, o->bytes - at));
  if (is_word("wrong") && at == 0) to[0] ^= 1;
  atomic_store(&b->full, 0);
}

static void run(void *context) {
  const batch *b = context;
  size_t most = 0;
  for (int i = 0; i < b->count; i++) {
    if (b->list[i].what < SEND)
      collective(&b->list[i]);
    else if (b->list[i].bytes > most)
      most = b->list[i].bytes;
  }
  for (size_t at = 0; at < most; at += BOX) {
    for (int i = 0; i < b->count; i++)
      if (b->list[i].what == SEND) send_piece(&b->list[i], at);
    for (int i = 0; i < b->count; i++)
      if (b->list[i].what == RECEIVE) receive_piece(&b->list[i], at);
  }
}

/* --- what is called --- */

static void forget(void *context) {
  atomic_fetch_sub(&((batch *)context)->list[0].comm->graphs, 1);
}

static int enqueue_batch(void *stream, batch *b) {
  communicator *c = b->list[0].comm;
  atomic_fetch_add(&c->graphs, 1);
  int status = enqueue(stream, run, b, forget);
  if (status <= 0) atomic_fetch_sub(&c->graphs, 1); /* nothing holds it but the stream */
  return status >= 0 ? OK : SYSTEM;
}

static batch *open_batch; /* between ncclGroupStart and ncclGroupEnd */
static void *batch_stream;
static int depth;

static int add(operation o, void *stream) {
  batch *b = depth ? open_batch : calloc(1, sizeof *b); /* kept: a graph may run it again */
  if (!b || b->count == GROUP_MAX) return SYSTEM;
  b->list[b->count++] = o;
  batch_stream = stream;
  return depth ? OK : enqueue_batch(stream, b);
}

API int ncclGroupStart(void) {
  if (depth++ == 0) open_batch = calloc(1, sizeof *open_batch);
  return OK;
}
API int ncclGroupEnd(void) {
  if (depth == 0) return USAGE;
  if (--depth > 0 || open_batch->count == 0) return OK;
  return enqueue_batch(batch_stream, open_batch);
}

API int ncclGetVersion(int *out) {
  *out = 22705;
  return OK;
}
API const char *ncclGetErrorString(int status) {
  static const char *const names[] = {
      "no error",       "unhandled cuda error", "unhandled system error",
      "internal error", "invalid argument",     "invalid usage",
      "remote error"};
  return status >= 0 && status <= REMOTE ? names[status] : "unknown result code";
}

API int ncclGetUniqueId(identity *out) {
  int file = memfd_create("fake-nccl", MFD_CLOEXEC);
  named n = {MAGIC, (int)getpid(), file};
  if (file < 0 || ftruncate(file, sizeof(area)) != 0) return SYSTEM;
  memset(out, 0, sizeof *out);
  memcpy(out, &n, sizeof n);
  return OK;
}

static void find_shim(void) {
  const char *path = getenv("ZH_DEVICE_MODULE"); /* else where an archive has it */
  void *module = dlopen(path ? path : getenv("ZH_FAKE_MODULE"), RTLD_NOW);
  void *symbols[] = {module ? dlsym(module, "zh_shim_enqueue") : NULL,
                     module ? dlsym(module, "zh_shim_contents") : NULL};
  memcpy(&enqueue, &symbols[0], sizeof enqueue);
  memcpy(&contents, &symbols[1], sizeof contents);
}

API int ncclCommInitRank(void **out, int ranks, identity id, int rank) {
  char path[64];
  named n;
  memcpy(&n, &id, sizeof n);
  find_shim();
  *out = NULL;
  if (is_word("init") || !enqueue || !contents) return SYSTEM;
  if (n.magic != MAGIC || ranks < 1 || ranks > RANKS_MAX || rank < 0 || rank >= ranks)
    return INVALID;
  snprintf(path, sizeof path, "/proc/%d/fd/%d", n.process, n.file);
  int file = open(path, O_RDWR | O_CLOEXEC);
  void *all =
      file < 0 ? MAP_FAILED : mmap(NULL, sizeof(area), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  communicator *c = calloc(1, sizeof *c);
  if (file >= 0) close(file);
  if (all == MAP_FAILED || !c) return SYSTEM;
  c->shared = all;
  c->rank = rank;
  c->ranks = ranks;
  *out = c;
  return barrier(c) ? OK : REMOTE; /* all have opened the file */
}
API int ncclCommAbort(communicator *c) {
  struct timespec nap = {0, 50000};
  atomic_store(&c->trouble, REMOTE); /* first: what waits for others ends */
  while (atomic_load(&c->graphs) > 0) nanosleep(&nap, NULL);
  return OK; /* kept: who comes late may still look at it */
}
API int ncclCommGetAsyncError(communicator *c, int *out) {
  *out = atomic_load(&c->trouble);
  return OK;
}

static int is_word_type(int type) {
  return type == UINT32 || type == FLOAT32;
}

API int ncclAllReduce(const void *from, void *to, size_t count, int type, int what, communicator *c,
                      void *stream) {
  if (type != FLOAT32 || what != SUM) return INVALID;
  return add((operation){ALL_REDUCE, from, to, count * 4, 0, c}, stream);
}
API int ncclReduceScatter(const void *from, void *to, size_t count, int type, int what,
                          communicator *c, void *stream) {
  if (type != FLOAT32 || what != SUM) return INVALID;
  return add((operation){REDUCE_SCATTER, from, to, count * 4, 0, c}, stream);
}
API int ncclAllGather(const void *from, void *to, size_t count, int type, communicator *c,
                      void *stream) {
  if (!is_word_type(type)) return INVALID;
  return add((operation){ALL_GATHER, from, to, count * 4, 0, c}, stream);
}
API int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, communicator *c,
                      void *stream) {
  if (!is_word_type(type) || root < 0 || root >= c->ranks) return INVALID;
  return add((operation){BROADCAST, from, to, count * 4, root, c}, stream);
}
API int ncclSend(const void *from, size_t count, int type, int to, communicator *c, void *stream) {
  if (!is_word_type(type) || to < 0 || to >= c->ranks) return INVALID;
  return add((operation){SEND, from, NULL, count * 4, to, c}, stream);
}
API int ncclRecv(void *to, size_t count, int type, int from, communicator *c, void *stream) {
  if (!is_word_type(type) || from < 0 || from >= c->ranks) return INVALID;
  return add((operation){RECEIVE, NULL, to, count * 4, from, c}, stream);
}
