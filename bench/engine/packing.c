/* Weights rearranged for the kernels, in place of the matrices: one copy, made tensor by tensor,
 * and what was read for it given back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/engine/packed_cache.h"
#include "core/clock.h"

enum { ALIGNMENT = 64 };

/* Embeddings are looked up, not multiplied, unless the head is tied to them; of a head's rows a
 * product begins and ends where packed ones do. */
bool zh_weight_is_packed(const zh_weights *weights, const zh_weight *w) {
  bool is_head = weights->architecture.tied_head && weights->whole[ZH_HEAD].tensor;
  bool only_embedding = w == &weights->whole[ZH_EMBEDDING] && !is_head;
  return !w->gain && !only_embedding && w->head_rows % ZH_PACKED_ROWS == 0 &&
         zh_packs(w->matrix.type);
}

size_t zh_weight_packed_bytes(const zh_weight *w) {
  size_t bytes = zh_packed_bytes(w->matrix.type, w->matrix.rows, w->matrix.columns);
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Whole pages inside [data, data + bytes): of a file's mapping they can be read again, of computed
 * weights nothing is needed any more. */
static void give_back(const void *data, size_t bytes) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data + page - 1,
            end = (uintptr_t)data + bytes;
  begin -= begin % page;
  end -= end % page;
  if (begin < end) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static void give_back_source(const zh_weight *w) {
  const zh_matrix *m = &w->matrix;
  if (m->data) give_back(m->data, (m->rows - 1) * m->row_bytes + zh_weight_row_bytes(w));
}

void zh_weights_leave_source(const zh_weights *weights) {
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    if (w->packed.data && !zh_weight_is_made(w)) give_back_source(w);
  }
}

static void pack_share(void *user, int thread, int threads) {
  const zh_weight *w = user;
  const zh_matrix *m = &w->matrix;
  size_t begin, end;
  zh_share(&begin, &end, m->rows, ZH_PACKED_ROWS, thread, threads);
  if (begin >= end) return;
  unsigned char *out =
      (unsigned char *)(uintptr_t)w->packed.data + zh_packed_bytes(m->type, begin, m->columns);
  zh_pack_rows(out, m->type, (const unsigned char *)m->data + begin * m->row_bytes, end - begin,
               m->row_bytes, m->columns);
}

/* Pages come from the system when they are first touched: by the thread that will use them, and
 * before the rearranging, so that each of the two is timed by itself. Advice: else they come then.
 */
static void claim_share(void *user, int thread, int threads) {
  const zh_weight *w = user;
  const zh_matrix *m = &w->matrix;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  size_t first, last;
  zh_share(&first, &last, m->rows, ZH_PACKED_ROWS, thread, threads);
  uintptr_t begin =
      (uintptr_t)w->packed.data + zh_packed_bytes(m->type, first, m->columns) + page - 1;
  uintptr_t end = (uintptr_t)w->packed.data + zh_packed_bytes(m->type, last, m->columns);
  begin -= begin % page;
  end -= end % page;
  if (begin < end) (void)madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
}

static double seconds_of(zh_threads *threads, zh_task task, void *user) {
  int64_t begun = zh_now_ns();
  zh_threads_run(threads, task, user);
  return (double)(zh_now_ns() - begun) / 1e9;
}

/* Gives each matrix its place, and fills it where there is something to fill. */
static void place_all(zh_weights *weights, zh_threads *threads, bool fill) {
  size_t offset = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    zh_weight *w = zh_weights_at(weights, i);
    if (!zh_weight_is_packed(weights, w)) continue;
    const zh_matrix *m = &w->matrix;
    w->packed = (zh_packed){weights->packed + offset, m->type, m->rows, m->columns};
    offset += zh_weight_packed_bytes(w);
    if (fill) {
      weights->load.memory_s += seconds_of(threads, claim_share, w);
      weights->load.pack_s += seconds_of(threads, pack_share, w);
    }
    give_back_source(w);
    if (zh_weight_is_made(w)) w->matrix.data = NULL;
  }
  zh_weights_tie_head(weights);
}

static zh_status pack_anew(zh_weights *weights, size_t bytes, zh_threads *threads, zh_error *err) {
  weights->packed = zh_big_alloc(bytes);
  if (!weights->packed) {
    return zh_fail(err, ZH_ERR_LACKING,
                   "%s needs %.1f GB of memory for its rearranged weights, and this machine has "
                   "not that much",
                   zh_model_name(weights->model), (double)bytes / 1e9);
  }
  weights->packed_bytes = bytes;
  place_all(weights, threads, true);
  return ZH_OK;
}

/* Whether the cache had them; else *path is where they are to be kept, and load.cache says why. */
static bool take_from_cache(char path[PATH_MAX], zh_weights *weights, size_t bytes,
                            zh_threads *threads, const char *cache) {
  zh_error err = ZH_ERROR_INIT;
  char *note = weights->load.cache;
  enum { NOTE_BYTES = sizeof weights->load.cache };
  if (weights->generated) {
    path[0] = '\0';
    snprintf(note, NOTE_BYTES,
             "not used: weights are computed or put together, not read as they are");
    return false;
  }
  int64_t begun = zh_now_ns();
  zh_status status = zh_packed_cache_path(path, cache, weights, &err);
  if (status != ZH_OK) path[0] = '\0';
  bool there = status == ZH_OK && zh_is_file(path);
  if (there) status = zh_packed_cache_take(weights, path, bytes, threads, &err);
  if (there && status == ZH_OK) {
    weights->load.pack_s = (double)(zh_now_ns() - begun) / 1e9;
    place_all(weights, threads, false);
    snprintf(note, NOTE_BYTES, "used: every byte compared with the model");
    return true;
  }
  snprintf(note, NOTE_BYTES, "%s%.200s",
           status == ZH_OK ? "made anew" : "made anew: ", status == ZH_OK ? "" : err.message);
  return false;
}

zh_status zh_weights_pack(zh_weights *weights, zh_threads *threads, const char *cache,
                          zh_error *err) {
  char path[PATH_MAX];
  zh_error keeping = ZH_ERROR_INIT;
  size_t total = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    if (zh_weight_is_packed(weights, zh_weights_at(weights, i)))
      total += zh_weight_packed_bytes(zh_weights_at(weights, i));
  if (total == 0) return ZH_OK;
  weights->load.packed_bytes = total;
  if (cache && take_from_cache(path, weights, total, threads, cache)) return ZH_OK;
  ZH_TRY(pack_anew(weights, total, threads, err));
  if (!cache || path[0] == '\0') return ZH_OK;
  /* A folder that cannot be written costs time at the next start, and nothing now. */
  if (zh_packed_cache_keep(weights, path, &keeping) != ZH_OK)
    snprintf(weights->load.cache, sizeof weights->load.cache, "not kept: %.200s", keeping.message);
  return ZH_OK;
}

const void *zh_weight_row(const zh_weight *w, size_t r, void *buffer) {
  if (!w->packed.data) return (const unsigned char *)w->matrix.data + r * w->matrix.row_bytes;
  zh_unpack_row(buffer, &w->packed, r);
  return buffer;
}

bool zh_weight_packed_as(const zh_weight *w, size_t first, size_t count, const void *rows,
                         void *buffer) {
  const zh_matrix *m = &w->matrix;
  size_t row_bytes = zh_weight_row_bytes(w), at = zh_packed_bytes(m->type, first, m->columns),
         bytes = zh_packed_bytes(m->type, count, m->columns);
  memset(buffer, 0, bytes);
  zh_pack_rows(buffer, m->type, rows, count, row_bytes, m->columns);
  return memcmp((const unsigned char *)w->packed.data + at, buffer, bytes) == 0;
}

zh_status zh_packed_writable(zh_weights *weights, zh_error *err) {
  if (!weights->cached.data || mprotect((void *)(uintptr_t)weights->cached.data,
                                        weights->cached.bytes, PROT_READ | PROT_WRITE) == 0)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "the mapped weights cannot be changed for the fault");
}
