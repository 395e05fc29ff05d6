/* Memory that several processes reach (cudaIpc…): an allocation's contents lie in a file of memory,
 * which others map by its owner's /proc. Behind them lies who touched each word last, of which
 * process and in which epoch; an epoch ends with each store by zh_store_release_system, which
 * leaves what its process knows of the others' epochs at its word, where zh_load_acquire_system
 * finds it. Two touches of a word, one of them a write, that neither order is a race (vector
 * clocks, as Flanagan and Freund, "FastTrack", 2009). Within a process all is taken to be in order:
 * races between its own threads are watch.cc's. */
#include <algorithm>
#include <errno.h>
#include <fcntl.h>
#include <map>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <unordered_map>

#include "engine.h"

namespace zh_shim {

enum { PROCESSES_MAX = 8, TOLD_MAX = 8192 };
enum : uint64_t { MAGIC = 0x5A485348494D3031u, IS_ATOMIC = (uint64_t)1 << 55, SLOT_SHIFT = 56 };
enum : size_t { PAGE_BYTES = 4096 };

struct known_epoch {
  uint32_t process, epoch;
};
struct told { /* by the last release store of a word */
  uint32_t word_and_1, count;
  known_epoch known[PROCESSES_MAX];
};
struct touched {
  uint64_t writer; /* slot << 56 | whether atomic | epoch; 0: nobody */
  uint32_t reader[PROCESSES_MAX];
};
/* The beginning of the file; contents and `touched` follow, each on pages of its own. */
struct region {
  uint64_t magic, bytes;
  pthread_mutex_t mutex;
  uint32_t freed, mapped;          /* mapped: by how many others */
  uint32_t process[PROCESSES_MAX]; /* [slot] */
  told tells[TOLD_MAX];
};
struct shared_part {
  region *all;
  size_t mapped;
  int file; /* -1: another process's */
  uint32_t slot;
};

static std::map<uint32_t, uint32_t> &known = *new std::map<uint32_t, uint32_t>(); /* epochs */

static uint32_t this_process() {
  uint32_t me = (uint32_t)getpid();
  if (known[me] == 0) known[me] = 1;
  return me;
}

static size_t on_pages(size_t bytes) {
  return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}
static size_t region_bytes(size_t bytes) {
  return on_pages(sizeof(region)) + on_pages(bytes) + (bytes + 3) / 4 * sizeof(touched);
}
static unsigned char *contents_of(region *r) {
  return reinterpret_cast<unsigned char *>(r) + on_pages(sizeof(region));
}
static touched *touches_of(region *r) {
  return reinterpret_cast<touched *>(contents_of(r) + on_pages(r->bytes));
}

/* A process that was killed may have held it. */
struct hold {
  region *r;
  explicit hold(region *of) : r(of) {
    if (pthread_mutex_lock(&r->mutex) == EOWNERDEAD) pthread_mutex_consistent(&r->mutex);
  }
  ~hold() { pthread_mutex_unlock(&r->mutex); }
};

/* UINT32_MAX: there are too many. */
static uint32_t take_slot(region *r) {
  uint32_t me = this_process();
  hold one(r);
  for (uint32_t slot = 0; slot < PROCESSES_MAX; slot++) {
    if (r->process[slot] == 0) r->process[slot] = me;
    if (r->process[slot] == me) return slot;
  }
  return UINT32_MAX;
}

/* --- making and joining --- */

static void make_mutex(pthread_mutex_t *mutex) {
  pthread_mutexattr_t how;
  pthread_mutexattr_init(&how);
  pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(mutex, &how);
  pthread_mutexattr_destroy(&how);
}

static region *map_file(int file, size_t bytes) {
  void *all = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  return all == MAP_FAILED ? nullptr : static_cast<region *>(all);
}

/* Moves the contents to where others find them. */
static bool share(memory *m) {
  size_t bytes = region_bytes(m->size);
  int file = memfd_create("zh-shim", MFD_CLOEXEC);
  region *r = file >= 0 && ftruncate(file, (off_t)bytes) == 0 ? map_file(file, bytes) : nullptr;
  if (!r) {
    if (file >= 0) close(file);
    return false;
  }
  r->bytes = m->size;
  make_mutex(&r->mutex);
  memcpy(contents_of(r), m->bytes, m->size);
  m->shared = new shared_part{r, bytes, file, 0};
  m->shared->slot = take_slot(r);
  free(m->bytes);
  m->bytes = contents_of(r);
  __atomic_store_n(&r->magic, (uint64_t)MAGIC, __ATOMIC_RELEASE);
  return true;
}

static memory *join(int process, int file_there) {
  char path[64];
  struct stat facts;
  snprintf(path, sizeof path, "/proc/%d/fd/%d", process, file_there);
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return nullptr;
  size_t bytes = fstat(file, &facts) == 0 ? (size_t)facts.st_size : 0;
  region *r = bytes > sizeof(region) ? map_file(file, bytes) : nullptr;
  close(file);
  if (r && (r->magic != MAGIC || region_bytes(r->bytes) != bytes)) {
    munmap(r, bytes);
    r = nullptr;
  }
  uint32_t slot = r ? take_slot(r) : UINT32_MAX;
  memory *m = slot == UINT32_MAX ? nullptr : memory_of_others(contents_of(r), r->bytes);
  if (m) m->shared = new shared_part{r, bytes, -1, slot};
  if (m) __atomic_fetch_add(&r->mapped, 1u, __ATOMIC_RELEASE);
  if (r && !m) munmap(r, bytes);
  return m;
}

void shared_release(memory *m) {
  shared_part *part = m->shared;
  if (part->file >= 0) {
    if (__atomic_load_n(&part->all->mapped, __ATOMIC_ACQUIRE))
      fault_of_call("memory is given back that other processes still have open");
    __atomic_store_n(&part->all->freed, 1u, __ATOMIC_RELEASE);
    close(part->file);
  } else
    __atomic_fetch_sub(&part->all->mapped, 1u, __ATOMIC_RELEASE);
  munmap(part->all, part->mapped);
  delete part;
  m->shared = nullptr;
}

bool is_of_others(const memory *m) {
  return m->shared && m->shared->file < 0;
}

/* --- judging --- */

static bool is_before(uint32_t process, uint32_t epoch) {
  if (process == this_process()) return true;
  auto found = known.find(process);
  return found != known.end() && found->second >= epoch;
}

static void report(const region *r, uint32_t slot, bool wrote, access kind, size_t byte,
                   const site &where) {
  static const char *const does[] = {"reads", "writes", "changes by an atomic"};
  fault(wrote ? "race with a writer" : "race with a reader", where,
        "race: %s byte %zu of memory that processes share, which process %u %s with nothing to "
        "order them",
        does[kind], byte, r->process[slot], wrote ? "wrote" : "read");
}

static void judge(region *r, uint32_t slot, size_t word, access kind, bool loads,
                  const site &where) {
  touched *t = touches_of(r) + word;
  uint32_t writer = (uint32_t)(t->writer >> SLOT_SHIFT), epoch = (uint32_t)t->writer;
  bool both_atomic = kind == ATOMIC && (t->writer & IS_ATOMIC);
  if (t->writer && !both_atomic && !is_before(r->process[writer], epoch))
    report(r, writer, true, kind, word * 4, where);
  if (kind == READ) {
    t->reader[slot] = known[this_process()];
    return;
  }
  if (loads) return;
  for (uint32_t i = 0; i < PROCESSES_MAX; i++)
    if (t->reader[i] && !is_before(r->process[i], t->reader[i]))
      report(r, i, false, kind, word * 4, where);
  t->writer = (uint64_t)slot << SLOT_SHIFT | (kind == ATOMIC ? (uint64_t)IS_ATOMIC : 0) |
              known[this_process()];
}

static bool is_in_order; /* the access that is judged is one that orders others */

bool allowed_among_processes(const memory *of, const unsigned char *at, size_t bytes, access kind,
                             const site &where) {
  const shared_part *part = of->shared;
  region *r = part->all;
  size_t begin = (size_t)(at - of->bytes);
  if (__atomic_load_n(&r->freed, __ATOMIC_ACQUIRE)) {
    fault("freed", where, "touches memory of another process, which has given it back");
    return false;
  }
  if (is_in_order) return true;
  hold one(r);
  for (size_t word = begin / 4; word < (begin + bytes + 3) / 4; word++)
    judge(r, part->slot, word, kind, false, where);
  return true;
}

/* --- what one tells and another hears --- */

static void allowed_in_order(const memory *of, const unsigned char *at, const site &where) {
  is_in_order = true;
  allowed_global(of, at, sizeof(uint32_t), sizeof(uint32_t), ATOMIC, where);
  is_in_order = false;
}

static told *told_at(region *r, size_t word, bool make) {
  size_t at = (word * 2654435761u) % TOLD_MAX;
  for (size_t i = 0; i < TOLD_MAX; i++, at = (at + 1) % TOLD_MAX) {
    told *t = &r->tells[at];
    if (t->word_and_1 == word + 1) return t;
    if (t->word_and_1) continue;
    if (make) t->word_and_1 = (uint32_t)word + 1;
    return make ? t : nullptr;
  }
  perror("shim: too many words that order processes");
  abort();
}

static void tell(told *t) {
  uint32_t me = this_process();
  t->count = 0;
  t->known[t->count++] = known_epoch{me, known[me]};
  for (const auto &k : known)
    if (k.first != me && t->count < PROCESSES_MAX)
      t->known[t->count++] = known_epoch{k.first, k.second};
  known[me]++;
}

static void hear(const told *t) {
  for (uint32_t i = 0; t && i < t->count; i++) {
    uint32_t &mine = known[t->known[i].process];
    mine = std::max(mine, t->known[i].epoch);
  }
}

/* Who finds nothing new lets other threads go on first, and after a while the processor, too. */
static void wait_a_little(const unsigned char *at, uint32_t value) {
  struct look {
    uint64_t launch;
    uint32_t value;
    unsigned times;
  };
  static std::unordered_map<const unsigned char *, look> &looks =
      *new std::unordered_map<const unsigned char *, look>();
  look &last = looks[at];
  bool is_new = last.launch != now.launch || last.value != value;
  last = look{now.launch, value, is_new ? 0 : last.times + 1};
  if (is_new) return;
  if (last.times > 200) {
    timespec nap = {0, 100000};
    nanosleep(&nap, nullptr);
  } else
    sched_yield();
  give_way();
}

static uint32_t load_and_hear(const memory *of, const unsigned char *at, const site &where) {
  uint32_t value;
  region *r = of->shared->all;
  size_t word = (size_t)(at - of->bytes) / 4;
  hold one(r);
  judge(r, of->shared->slot, word, ATOMIC, true, where);
  hear(told_at(r, word, false));
  memcpy(&value, at, sizeof value);
  return value;
}

uint32_t load_acquire_system(const memory *of, const unsigned char *at, const site &where) {
  uint32_t value = 0;
  allowed_in_order(of, at, where);
  if (!of->shared) {
    memcpy(&value, at, sizeof value);
    return value;
  }
  value = load_and_hear(of, at, where);
  wait_a_little(at, value);
  return value;
}

void store_release_system(const memory *of, unsigned char *at, uint32_t value, const site &where) {
  allowed_in_order(of, at, where);
  if (!of->shared) {
    memcpy(at, &value, sizeof value);
    return;
  }
  region *r = of->shared->all;
  size_t word = (size_t)(at - of->bytes) / 4;
  hold one(r);
  judge(r, of->shared->slot, word, ATOMIC, false, where);
  tell(told_at(r, word, true));
  memcpy(at, &value, sizeof value);
}

} // namespace zh_shim

/* --- what CUDA calls it --- */

using namespace zh_shim;
typedef std::lock_guard<std::recursive_mutex> locked;

struct handle_contents {
  uint64_t magic;
  int process, file;
};

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *out, void *address) {
  locked lock(gate);
  if (lost() != cudaSuccess) return failed(lost());
  if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  drain_all();
  memory *m = memory_exact(reinterpret_cast<uintptr_t>(address));
  if (!m || m->pinned || is_of_others(m))
    return complain(cudaErrorInvalidValue, "a handle of an address that is no allocation's begin");
  if (!m->shared && !share(m)) return failed(cudaErrorMemoryAllocation);
  handle_contents contents = {MAGIC, (int)getpid(), m->shared->file};
  static_assert(sizeof contents <= sizeof *out, "a handle has 64 bytes");
  memset(out, 0, sizeof *out);
  memcpy(out, &contents, sizeof contents);
  return failed(lost());
}

cudaError_t cudaIpcOpenMemHandle(void **out, cudaIpcMemHandle_t handle, unsigned) {
  locked lock(gate);
  handle_contents contents;
  int able = 0;
  memcpy(&contents, &handle, sizeof contents);
  *out = nullptr;
  if (lost() != cudaSuccess) return failed(lost());
  if (contents.magic != MAGIC || contents.process == (int)getpid())
    return complain(cudaErrorInvalidValue, "a handle that is none, or of the same process");
  cudaDeviceCanAccessPeer(&able, 0, 1);
  if (!able) return complain(cudaErrorPeerAccessUnsupported, "peer access is not supported");
  memory *m = join(contents.process, contents.file);
  if (!m)
    return complain(cudaErrorMapBufferObjectFailed, "memory of process %d could not be mapped",
                    contents.process);
  *out = reinterpret_cast<void *>(m->address);
  return cudaSuccess;
}

/* ZH_SHIM_CLOSE_MS: as slow as it may be. */
cudaError_t cudaIpcCloseMemHandle(void *address) {
  const char *slow = getenv("ZH_SHIM_CLOSE_MS");
  if (slow) usleep((useconds_t)(atoi(slow) * 1000));
  locked lock(gate);
  if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  drain_all();
  memory *m = memory_exact(reinterpret_cast<uintptr_t>(address));
  if (!m || !is_of_others(m))
    return complain(cudaErrorInvalidValue, "an address closed that was not opened by a handle");
  memory_free(m);
  return failed(lost());
}
