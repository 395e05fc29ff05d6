/* Weights rearranged for the kernels, in place of the matrices: one copy, made tensor by tensor,
 * and what was read for it given back. */
#include "bench/engine/weights.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGNMENT = 64 };

/* Embeddings are looked up, not multiplied, unless the head is tied to them. */
static bool to_be_packed(const zh_weights *weights, const zh_weight *w) {
  bool only_embedding = w == &weights->whole[ZH_EMBEDDING] && !weights->architecture.tied_head;
  return !w->gain && !only_embedding && zh_packs(w->matrix.type);
}

static size_t packed_bytes(const zh_weight *w) {
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
    if (w->packed.data && w->tensor->data) give_back_source(w);
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

zh_status zh_weights_pack(zh_weights *weights, zh_threads *threads, zh_error *err) {
  size_t total = 0, offset = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    if (to_be_packed(weights, zh_weights_at(weights, i)))
      total += packed_bytes(zh_weights_at(weights, i));
  if (total == 0) return ZH_OK;
  weights->packed = zh_big_alloc(total);
  if (!weights->packed) {
    return zh_fail(err, ZH_ERR_LACKING,
                   "%s needs %.1f GB of memory for its rearranged weights, and this machine has "
                   "not that much",
                   zh_model_name(weights->model), (double)total / 1e9);
  }
  weights->packed_bytes = total;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    zh_weight *w = zh_weights_at(weights, i);
    if (!to_be_packed(weights, w)) continue;
    const zh_matrix *m = &w->matrix;
    w->packed = (zh_packed){weights->packed + offset, m->type, m->rows, m->columns};
    offset += packed_bytes(w);
    zh_threads_run(threads, pack_share, w);
    give_back_source(w);
    if (weights->generated) w->matrix.data = NULL;
  }
  if (weights->architecture.tied_head) weights->whole[ZH_HEAD] = weights->whole[ZH_EMBEDDING];
  return ZH_OK;
}

const void *zh_weight_row(const zh_weight *w, size_t r, void *buffer) {
  if (!w->packed.data) return (const unsigned char *)w->matrix.data + r * w->matrix.row_bytes;
  zh_unpack_row(buffer, &w->packed, r);
  return buffer;
}

zh_status zh_weight_flip_packed(zh_weight *w, uint64_t byte, unsigned bit, zh_error *err) {
  const zh_matrix *m = &w->matrix;
  size_t row_bytes = zh_weight_row_bytes(w), row = (size_t)(byte / row_bytes),
         first = row / ZH_PACKED_ROWS * ZH_PACKED_ROWS,
         count = m->rows - first < ZH_PACKED_ROWS ? m->rows - first : ZH_PACKED_ROWS;
  unsigned char *rows = malloc(count * row_bytes);
  if (!rows) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the injected fault");
  for (size_t r = 0; r < count; ++r) zh_unpack_row(rows + r * row_bytes, &w->packed, first + r);
  unsigned char *changed = rows + byte - first * row_bytes;
  *changed = (unsigned char)(*changed ^ (1u << bit));
  zh_pack_rows((unsigned char *)(uintptr_t)w->packed.data +
                   zh_packed_bytes(m->type, first, m->columns),
               m->type, rows, count, row_bytes, m->columns);
  free(rows);
  return ZH_OK;
}
