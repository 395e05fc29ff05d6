/* Ranks under mpirun, each with a device of the shim: every collective at odd sizes, held against
 * what the host knows that it must give. The first word says what is done, the second by which kind
 * of group; exits 0 where all was as it must be. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/comm_exchange.h"

enum { GUARD = 16 }; /* words behind what an operation may write */

static const zh_device_api *api;
static const zh_device_groups *groups;
static zh_comm *comm;
static zh_device *device;
static zh_device_group *group;
static zh_device_group_kind kind;
static int failures;

static void complain(const char *what, const zh_error *err) {
  fprintf(stderr, "rank %d: %s: %s\n", comm ? comm->rank : -1, what, err ? err->message : "");
  failures++;
}
#define MUST(call)                                                                                 \
  do {                                                                                             \
    zh_error err = ZH_ERROR_INIT;                                                                  \
    if ((call) != ZH_OK) complain(#call, &err);                                                    \
  } while (0)

/* --- words that everybody knows --- */

static uint32_t hash(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t x = a * 0x9E3779B1u ^ b * 0x85EBCA77u ^ c * 0xC2B2AE3Du;
  x ^= x >> 15;
  x *= 0x2C1B3C6Du;
  return x ^ x >> 12;
}
/* What rank r brings; sums of NCCL, whose order is its own, must be exact. */
static uint32_t word_of(uint32_t key, int r, size_t i, int sums) {
  uint32_t bits = hash(key, (uint32_t)r, (uint32_t)i);
  float value = kind == ZH_GROUP_PEER ? (float)bits * 1.3e-7f - 200.0f : (float)(bits % 97);
  if (sums) memcpy(&bits, &value, sizeof bits);
  return bits;
}
static uint32_t sum_of(uint32_t key, size_t i) {
  float sum = 0, term;
  for (int r = 0; r < comm->size; r++) {
    uint32_t bits = word_of(key, r, i, 1);
    memcpy(&term, &bits, sizeof term);
    sum = r ? sum + term : term;
  }
  uint32_t bits;
  memcpy(&bits, &sum, sizeof bits);
  return bits;
}

/* --- memory of the device, a word after each other --- */

typedef struct area {
  uint32_t *device, *host;
  size_t words;
  int shift; /* words from an address that is aligned to one that is not */
} area;

static area make(size_t words, int shift) {
  area a = {NULL, NULL, words, shift};
  MUST(api->alloc(device, (void **)&a.device, (words + GUARD + (size_t)shift) * 4, "a test", &err));
  a.host = calloc(words + GUARD, 4);
  for (size_t i = 0; i < words + GUARD; i++) a.host[i] = 0xABABABABu;
  return a;
}
static uint32_t *at(const area *a, size_t word) {
  return a->device + (size_t)a->shift + word;
}
static void put(const area *a) {
  MUST(api->upload(device, at(a, 0), a->host, (a->words + GUARD) * 4, &err));
}
static void get(const area *a) {
  MUST(api->download(device, a->host, at(a, 0), (a->words + GUARD) * 4, &err));
  MUST(groups->wait(group, &err));
}
static void drop(area *a) {
  api->release(device, a->device);
  free(a->host);
}

static void expect(const area *a, size_t i, uint32_t value, const char *what) {
  static int said;
  if (a->host[i] == value || said++ > 8) {
    failures += a->host[i] != value;
    return;
  }
  fprintf(stderr, "rank %d of %d, %s, %zu words, shift %d: word %zu is 0x%08x, must be 0x%08x\n",
          comm->rank, comm->size, what, a->words, a->shift, i, a->host[i], value);
  failures++;
}
static void expect_guard(const area *a, const char *what) {
  for (size_t i = a->words; i < a->words + GUARD; i++) expect(a, i, 0xABABABABu, what);
}

/* --- operations --- */

static void try_all_reduce(size_t count, int shift, uint32_t key) {
  area a = make(count, shift);
  for (size_t i = 0; i < count; i++) a.host[i] = word_of(key, comm->rank, i, 1);
  put(&a);
  MUST(groups->all_reduce(group, (float *)(void *)at(&a, 0), count, &err));
  get(&a);
  for (size_t i = 0; i < count; i++) expect(&a, i, sum_of(key, i), "all_reduce");
  expect_guard(&a, "all_reduce");
  drop(&a);
}

static void try_reduce_scatter(size_t count, int shift, int in_place, uint32_t key) {
  size_t ranks = (size_t)comm->size, mine = (size_t)comm->rank * count;
  area in = make(count * ranks, shift), out = make(count, shift);
  for (size_t i = 0; i < in.words; i++) in.host[i] = word_of(key, comm->rank, i, 1);
  put(&in);
  put(&out);
  float *to = (float *)(void *)(in_place ? at(&in, mine) : at(&out, 0));
  MUST(groups->reduce_scatter(group, to, (float *)(void *)at(&in, 0), count, &err));
  get(&in);
  get(&out);
  for (size_t i = 0; i < count; i++)
    expect(in_place ? &in : &out, (in_place ? mine : 0) + i, sum_of(key, mine + i),
           "reduce_scatter");
  expect_guard(&in, "reduce_scatter");
  expect_guard(&out, "reduce_scatter");
  drop(&in);
  drop(&out);
}

static void try_all_gather(size_t words, int shift, int in_place, uint32_t key) {
  size_t ranks = (size_t)comm->size;
  area all = make(words * ranks, shift), mine = make(words, 0);
  for (size_t i = 0; i < words; i++) {
    mine.host[i] = word_of(key, comm->rank, i, 0);
    if (in_place) all.host[(size_t)comm->rank * words + i] = mine.host[i];
  }
  put(&all);
  put(&mine);
  const void *from = in_place ? at(&all, (size_t)comm->rank * words) : at(&mine, 0);
  MUST(groups->all_gather(group, at(&all, 0), from, words * 4, &err));
  get(&all);
  for (size_t i = 0; i < all.words; i++)
    expect(&all, i, word_of(key, (int)(i / words), i % words, 0), "all_gather");
  expect_guard(&all, "all_gather");
  drop(&all);
  drop(&mine);
}

static void try_all_to_all(size_t words, int shift, uint32_t key) {
  size_t ranks = (size_t)comm->size;
  area in = make(words * ranks, shift), out = make(words * ranks, shift);
  for (size_t i = 0; i < out.words; i++) out.host[i] = word_of(key, comm->rank, i, 0);
  put(&in);
  put(&out);
  MUST(groups->all_to_all(group, at(&in, 0), at(&out, 0), words * 4, &err));
  get(&in);
  for (size_t i = 0; i < in.words; i++)
    expect(&in, i, word_of(key, (int)(i / words), (size_t)comm->rank * words + i % words, 0),
           "all_to_all");
  expect_guard(&in, "all_to_all");
  drop(&in);
  drop(&out);
}

static void try_broadcast(size_t words, int shift, int root, uint32_t key) {
  area a = make(words, shift);
  for (size_t i = 0; i < words; i++) a.host[i] = word_of(key, comm->rank, i, 0);
  put(&a);
  MUST(groups->broadcast(group, at(&a, 0), words * 4, root, &err));
  get(&a);
  for (size_t i = 0; i < words; i++) expect(&a, i, word_of(key, root, i, 0), "broadcast");
  expect_guard(&a, "broadcast");
  drop(&a);
}

/* Around the ring, all at once. */
static void try_ring(size_t words, int shift, uint32_t key) {
  int next = (comm->rank + 1) % comm->size, before = (comm->rank + comm->size - 1) % comm->size;
  area in = make(words, shift), out = make(words, shift);
  for (size_t i = 0; i < words; i++) out.host[i] = word_of(key, comm->rank, i, 0);
  put(&in);
  put(&out);
  zh_device_move work = {at(&out, 0), next, at(&in, 0), before, words * 4};
  MUST(groups->move(group, &work, &err));
  get(&in);
  for (size_t i = 0; i < words; i++) expect(&in, i, word_of(key, before, i, 0), "ring");
  expect_guard(&in, "ring");
  drop(&in);
  drop(&out);
}

/* From the first rank to the last, as stages do; ranks between have no part in it. */
static void try_chain(size_t words, uint32_t key) {
  area a = make(words, 0);
  int last = comm->size - 1, is_end = comm->rank == 0 || comm->rank == last;
  for (int r = 0; is_end && r < 4; r++) {
    for (size_t i = 0; i < words; i++) a.host[i] = word_of(key + (uint32_t)r, 0, i, 0);
    if (comm->rank == last) memset(a.host, 0, words * 4);
    put(&a);
    zh_device_move give = {at(&a, 0), last, NULL, -1, words * 4};
    zh_device_move take = {NULL, -1, at(&a, 0), 0, words * 4};
    MUST(groups->move(group, comm->rank == 0 ? &give : &take, &err));
    if (comm->rank == last) {
      get(&a);
      for (size_t i = 0; i < words; i++)
        expect(&a, i, word_of(key + (uint32_t)r, 0, i, 0), "chain");
    }
    MUST(groups->wait(group, &err));
  }
  drop(&a);
}

/* A graph of an odd number of collectives and a move, launched again and again. */
static void try_graph(uint32_t key) {
  enum { WORDS = 900, LAUNCHES = 5 };
  size_t ranks = (size_t)comm->size;
  int next = (comm->rank + 1) % comm->size, before = (comm->rank + comm->size - 1) % comm->size;
  area a = make(WORDS, 0), all = make(WORDS * ranks, 0), in = make(WORDS, 0);
  zh_device_graph *graph = NULL;
  put(&all);
  MUST(api->begin_graph(device, &err));
  MUST(groups->all_reduce(group, (float *)(void *)at(&a, 0), WORDS, &err));
  MUST(groups->all_gather(group, at(&all, 0), at(&a, 0), WORDS * 4, &err));
  MUST(groups->broadcast(group, at(&a, 0), WORDS * 4, 0, &err));
  zh_device_move work = {at(&a, 0), next, at(&in, 0), before, WORDS * 4};
  MUST(groups->move(group, &work, &err));
  MUST(api->end_graph(device, &graph, &err));
  for (uint32_t n = 0; graph && n < LAUNCHES; n++) {
    for (size_t i = 0; i < WORDS; i++) a.host[i] = word_of(key + n, comm->rank, i, 1);
    put(&a);
    put(&in);
    MUST(api->launch(device, graph, &err));
    get(&all);
    get(&in);
    for (size_t i = 0; i < all.words; i++) expect(&all, i, sum_of(key + n, i % WORDS), "graph");
    for (size_t i = 0; i < WORDS; i++) expect(&in, i, sum_of(key + n, i), "graph's move");
  }
  api->release_graph(device, graph);
  drop(&a);
  drop(&all);
  drop(&in);
}

/* --- ranks --- */

static zh_status open_group(size_t most_bytes, double patience_s, zh_error *err) {
  zh_device_group_plan plan = {kind, zh_comm_exchange(comm), most_bytes, patience_s};
  return groups->open(device, &group, &plan, err);
}

static void try_everything(void) {
  static const size_t sizes[] = {1, 3, 4, 31, 130, 1000, 2603};
  uint32_t key = 1;
  for (int round = 0; round < 2; round++) {
    MUST(open_group(round ? (size_t)1 << 16 : 4096, 60, &err));
    if (!group) return;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
      for (int shift = 0; shift < 2; shift++) {
        try_all_reduce(sizes[s], shift, key++);
        try_reduce_scatter(sizes[s], shift, (int)s % 2, key++);
        try_all_gather(sizes[s], shift, (int)s % 2, key++);
        try_all_to_all(sizes[s], shift, key++);
        try_broadcast(sizes[s], shift, (int)s % comm->size, key++);
        try_ring(sizes[s], shift, key++);
      }
    try_all_reduce(9001, 0, key++);
    try_chain(777, key++);
    try_graph(key += 10);
    groups->close(group);
    group = NULL;
  }
}

/* So large that it goes in two stages, where there are three ranks. */
static void try_large(void) {
  MUST(open_group((size_t)1 << 20, 60, &err));
  if (!group) return;
  try_all_reduce(300001, 0, 7);
  try_broadcast(300001, 1, 1, 8);
  try_broadcast(300000, 0, 2, 9);
  groups->close(group);
}

/* The last rank does not come: the others are told, in time and by its name. */
static void try_late(void) {
  zh_error told = ZH_ERROR_INIT;
  char who[32];
  int last = comm->size - 1;
  MUST(open_group(0, 0.3, &err));
  area a = make(100, 0);
  put(&a);
  MUST(groups->all_reduce(group, (float *)(void *)at(&a, 0), 100, &err));
  MUST(groups->wait(group, &err));
  snprintf(who, sizeof who, "rank %d", last);
  if (comm->rank != last) {
    MUST(groups->all_reduce(group, (float *)(void *)at(&a, 0), 100, &err));
    MUST(groups->all_reduce(group, (float *)(void *)at(&a, 0), 100, &err));
    zh_status status = groups->wait(group, &told);
    if (status != ZH_ERR_IO || !strstr(told.message, "in vain")) complain("late", &told);
    if (kind == ZH_GROUP_PEER && !strstr(told.message, who)) complain("late", &told);
  } else
    sleep(2);
  drop(&a);
  groups->close(group);
}

/* The same where a graph holds the group's work, and lives on until all has been said: a library
 * that waits for its end must not keep the others from hearing of it. */
static void try_late_graph(void) {
  zh_error told = ZH_ERROR_INIT;
  zh_device_graph *graph = NULL;
  alarm(30);
  MUST(open_group(0, 0.3, &err));
  area a = make(100, 0);
  put(&a);
  MUST(api->begin_graph(device, &err));
  MUST(groups->all_reduce(group, (float *)(void *)at(&a, 0), 100, &err));
  MUST(api->end_graph(device, &graph, &err));
  if (comm->rank != comm->size - 1) {
    MUST(api->launch(device, graph, &err));
    MUST(api->launch(device, graph, &err));
    if (groups->wait(group, &told) != ZH_ERR_IO || !strstr(told.message, "in vain"))
      complain("late graph", &told);
  } else
    sleep(1);
  api->release_graph(device, graph);
  drop(&a);
  groups->close(group);
}

/* Work that takes longer than anybody's patience in all, but goes on all the time. */
static void try_steady(void) {
  enum { STEPS = 4 };
  zh_device_event *event[STEPS];
  struct timespec nap = {0, 250000000};
  MUST(open_group(0, 0.6, &err));
  area a = make(100, 0);
  put(&a);
  for (int i = 0; i < STEPS; i++) {
    MUST(api->event(device, &event[i], &err));
    MUST(groups->all_reduce(group, (float *)(void *)at(&a, 0), 100, &err));
    MUST(api->record(device, event[i], &err));
    if (comm->rank != comm->size - 1) continue;
    MUST(groups->wait(group, &err));
    nanosleep(&nap, NULL);
  }
  MUST(groups->wait(group, &err));
  for (int i = 0; i < STEPS; i++) api->release_event(device, event[i]);
  drop(&a);
  groups->close(group);
}

/* The last rank's device is lost in its third launch: it says so, and the others do not wait. */
static void try_lost(void) {
  zh_error told = ZH_ERROR_INIT;
  zh_status status = ZH_OK;
  bool is_last = comm->rank == comm->size - 1;
  if (is_last) setenv("ZH_SHIM_FAIL", "3", 1);
  MUST(open_group(0, 1, &err));
  area a = make(100, 0);
  put(&a);
  for (int i = 0; i < 5 && status == ZH_OK; i++) {
    status = groups->all_reduce(group, (float *)(void *)at(&a, 0), 100, &told);
    if (status == ZH_OK) status = groups->wait(group, &told);
  }
  if (status != ZH_ERR_IO || !strstr(told.message, is_last ? "ECC" : "in vain"))
    complain("lost", &told);
  drop(&a);
  groups->close(group);
}

/* The last rank is slow to let go of the others' memory: they must not have given it back by then.
 */
static void try_leave(void) {
  if (comm->rank == comm->size - 1) setenv("ZH_SHIM_CLOSE_MS", "200", 1);
  MUST(open_group(0, 5, &err));
  area a = make(100, 0);
  put(&a);
  MUST(groups->all_reduce(group, (float *)(void *)at(&a, 0), 100, &err));
  MUST(groups->wait(group, &err));
  drop(&a);
  groups->close(group);
}

/* One rank cannot map what the others have mapped of each other. */
static void try_alone(void) {
  zh_error err = ZH_ERROR_INIT;
  if (comm->rank == 0) setenv("ZH_SHIM_PEERS", "0", 1);
  if (comm->rank == comm->size - 1) setenv("ZH_SHIM_CLOSE_MS", "200", 1);
  zh_status status = open_group(0, 5, &err);
  if (status != ZH_ERR_LACKING || group) complain("alone", &err);
}

/* What keeps a group from being opened: every rank says so, and none hangs. */
static void expect_lacking(const char *words) {
  zh_error err = ZH_ERROR_INIT;
  zh_status status = open_group(0, 5, &err);
  if (status != ZH_ERR_LACKING || group || !strstr(err.message, words)) complain(words, &err);
}

static void open_device(int index) {
  MUST(zh_device_open_module(&api, &err));
  if (!api) exit(1);
  groups = api->groups;
  MUST(api->open(&device, index, &err));
  if (!device || !groups) exit(1);
}

static void show_faults(void) {
  const char *(*report)(void) = NULL;
  *(void **)&report = dlsym(dlopen(getenv("ZH_DEVICE_MODULE"), RTLD_NOW), "zh_shim_report");
  if (!report || !*report()) return;
  fprintf(stderr, "rank %d: %s", comm->rank, report());
  failures++;
}

int main(int count, char **words) {
  zh_error err = ZH_ERROR_INIT;
  if (count < 3 || zh_comm_open_mpi(&comm, &err) != ZH_OK) {
    fprintf(
        stderr,
        "usage: mpirun -n N group_ranks everything|large|late|late-graph|steady|lost|leave|alone|"
        "lacking|shared peer|nccl; %s\n",
        err.message);
    return 2;
  }
  kind = strcmp(words[2], "peer") == 0 ? ZH_GROUP_PEER : ZH_GROUP_NCCL;
  open_device(strcmp(words[1], "shared") == 0 ? 0 : comm->rank);
  if (strcmp(words[1], "everything") == 0) try_everything();
  if (strcmp(words[1], "large") == 0) try_large();
  if (strcmp(words[1], "late") == 0) try_late();
  if (strcmp(words[1], "late-graph") == 0) try_late_graph();
  if (strcmp(words[1], "steady") == 0) try_steady();
  if (strcmp(words[1], "lost") == 0) try_lost();
  if (strcmp(words[1], "leave") == 0) try_leave();
  if (strcmp(words[1], "alone") == 0) try_alone();
  if (strcmp(words[1], "shared") == 0) expect_lacking("share one GPU");
  if (strcmp(words[1], "lacking") == 0) expect_lacking(count > 3 ? words[3] : "");
  show_faults();
  api->close(device);
  zh_status all = zh_comm_agree(comm, failures ? ZH_ERR_CHECK : ZH_OK, &err);
  zh_comm_finish(comm);
  return all == ZH_OK ? 0 : 1;
}
