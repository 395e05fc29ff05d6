#include "bench/node_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct home {
  char node[128];
} home;

/* How the first rank of a node offers its memory to the others there. */
typedef struct offer {
  int64_t pid;
  int file;
} offer;

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

static void number_nodes(zh_node_memory *m, const home *homes) {
  for (int i = 0; i < m->comm->size; ++i) {
    int first = 0;
    while (strcmp(homes[first].node, homes[i].node) != 0) ++first;
    if (first == i) m->leader[m->nodes] = i;
    m->node[i] = first == i ? m->nodes++ : m->node[first];
  }
  for (int i = 0; i < m->comm->size; ++i) {
    if (m->node[i] != m->node[m->comm->rank]) continue;
    if (i == m->comm->rank) m->member = m->members;
    ++m->members;
  }
}

zh_status zh_node_memory_find(zh_node_memory *out, const zh_comm *comm, zh_error *err) {
  size_t size = (size_t)comm->size;
  home mine, *homes = calloc(size, sizeof *homes);
  *out = (zh_node_memory){.comm = comm,
                          .node = calloc(size, sizeof *out->node),
                          .leader = calloc(size, sizeof *out->leader),
                          .file = -1};
  zh_status status = homes && out->node && out->leader
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu ranks", size);
  status = zh_comm_agree(comm, status, err);
  describe_home(&mine);
  if (status == ZH_OK) status = share_with_all(comm, &mine, sizeof mine, homes, err);
  if (status == ZH_OK) number_nodes(out, homes);
  free(homes);
  if (status != ZH_OK) zh_node_memory_close(out);
  return status;
}

static zh_status make_memory(zh_node_memory *m, zh_error *err) {
  m->file = memfd_create("zhiheng ranks", MFD_CLOEXEC);
  if (m->file >= 0 && ftruncate(m->file, (off_t)m->bytes) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "%.1f MB of memory shared by the ranks cannot be had: %s",
                 (double)m->bytes / 1e6, strerror(errno));
}

static zh_status map_memory(zh_node_memory *m, const offer *from, zh_error *err) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%" PRId64 "/fd/%d", from->pid, from->file);
  bool leads = m->member == 0;
  int file = leads ? m->file : open(path, O_RDWR | O_CLOEXEC), failure = errno;
  void *p = MAP_FAILED;
  if (file >= 0) {
    p = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    failure = errno;
  }
  if (!leads && file >= 0) close(file);
  if (p != MAP_FAILED) {
    m->at = p;
    return ZH_OK;
  }
  return zh_fail(err, ZH_ERR_LACKING, "the ranks of this node cannot share memory (%s: %s)", path,
                 strerror(failure));
}

zh_status zh_node_memory_share(zh_node_memory *m, size_t bytes, zh_error *err) {
  offer mine = {.pid = (int64_t)getpid(), .file = -1};
  offer *offers = calloc((size_t)m->comm->size, sizeof *offers);
  zh_status status =
      offers ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the ranks");
  m->bytes = bytes;
  if (status == ZH_OK && m->member == 0) status = make_memory(m, err);
  mine.file = m->file;
  status = zh_comm_agree(m->comm, status, err);
  if (status == ZH_OK) status = share_with_all(m->comm, &mine, sizeof mine, offers, err);
  if (status == ZH_OK) status = map_memory(m, &offers[m->leader[m->node[m->comm->rank]]], err);
  free(offers);
  return zh_comm_agree(m->comm, status, err);
}

void zh_node_memory_close(zh_node_memory *m) {
  if (m->at) munmap(m->at, m->bytes);
  if (m->file >= 0) close(m->file);
  free(m->node);
  free(m->leader);
  *m = (zh_node_memory){.file = -1};
}
