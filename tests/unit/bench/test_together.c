/* What ranks do together without MPI's help: groups of them, and the digest of a model's bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>

#include "bench/content.h"
#include "tests/unit/bench/processes.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

enum { BLOCK = 16 << 20, BLOCKS = 3 };

/* --- groups --- */

static bool exchanges(const zh_comm *comm, void *user) {
  (void)user;
  float sum[2] = {(float)comm->rank, 1};
  double largest[2] = {-comm->rank, comm->rank};
  int told = comm->rank == 2 ? 77 : 0, mine = 10 * comm->rank, all[RANKS_MAX] = {0};
  bool good = comm->sum_f32(comm, sum, 2, NULL) == ZH_OK &&
              comm->max_f64(comm, largest, 2, NULL) == ZH_OK &&
              comm->broadcast(comm, &told, sizeof told, 2, NULL) == ZH_OK &&
              comm->gather(comm, &mine, sizeof mine, all, 1, NULL) == ZH_OK &&
              comm->barrier(comm, NULL) == ZH_OK;
  good = good && sum[0] == 3 && sum[1] == 3 && largest[0] == 0 && largest[1] == 2 && told == 77;
  return good && (comm->rank != 1 || (all[0] == 0 && all[1] == 10 && all[2] == 20));
}

static void a_group_exchanges(void **state) {
  (void)state;
  assert_true(on_ranks(3, exchanges, NULL));
}

/* Ranks 3 and 1 of four, in this order, as ranks 0 and 1. */
static bool exchanges_inside(const zh_comm *whole, void *user) {
  static const int members[] = {3, 1};
  (void)user;
  if (whole->rank != 1 && whole->rank != 3) return true;
  zh_comm *comm = NULL;
  float sum = (float)whole->rank;
  int all[2] = {0}, mine = whole->rank;
  bool good = zh_comm_group(&comm, whole, members, 2, NULL) == ZH_OK &&
              comm->rank == (whole->rank == 1) && comm->size == 2 &&
              comm->sum_f32(comm, &sum, 1, NULL) == ZH_OK && sum == 4 &&
              comm->gather(comm, &mine, sizeof mine, all, 0, NULL) == ZH_OK;
  good = good && (comm->rank != 0 || (all[0] == 3 && all[1] == 1));
  zh_comm_finish(comm);
  return good;
}

static void a_group_of_some(void **state) {
  (void)state;
  assert_true(on_ranks(4, exchanges_inside, NULL));
}

static bool agrees(const zh_comm *comm, void *user) {
  zh_error err = ZH_ERROR_INIT;
  zh_status mine =
      comm->rank == 1 ? zh_fail(&err, ZH_ERR_LACKING, "%s", (const char *)user) : ZH_OK;
  return zh_comm_agree(comm, mine, &err) == ZH_ERR_LACKING && strcmp(err.message, user) == 0;
}

static void a_group_agrees(void **state) {
  (void)state;
  char sentence[] = "rank 1 has no memory";
  assert_true(on_ranks(3, agrees, sentence));
}

/* --- digests --- */

typedef struct files {
  char same[600], other[600];
  size_t changed; /* byte of `other` that is different; 0: it is a block longer */
  size_t used;    /* block that both ranks use; BLOCKS: none */
  char expected[ZH_DIGEST_HEX];
  zh_status wanted; /* on all ranks */
} files;

static void write_long(const char *path, size_t changed) {
  write_tiny_model(path, 0, 0);
  int file = open(path, O_RDWR);
  assert_true(file >= 0);
  assert_int_equal(ftruncate(file, (off_t)BLOCK * (BLOCKS + (changed == 0)) - 5), 0);
  if (changed > 1) assert_int_equal(pwrite(file, "x", 1, (off_t)changed), 1);
  close(file);
}

static const unsigned char *first_byte;
static bool uses_block(const void *user, const unsigned char *data, size_t bytes) {
  (void)bytes;
  return (size_t)(data - first_byte) / BLOCK == *(const size_t *)user;
}

static bool digests(const zh_comm *comm, void *user) {
  const files *f = user;
  zh_model *model = NULL;
  zh_threads *threads = NULL;
  char sm3[ZH_DIGEST_HEX] = "";
  size_t bytes = 0;
  const char *path = comm->rank == comm->size - 1 ? f->other : f->same;
  if (zh_threads_create(&threads, 1, NULL, NULL) != ZH_OK ||
      zh_model_open(&model, path, NULL) != ZH_OK ||
      !zh_model_file_at(&first_byte, &bytes, model, 0))
    return false;
  zh_status status =
      zh_content_digest_together(sm3, model, threads, comm, uses_block, &f->used, NULL);
  bool good = status == f->wanted;
  if (status == ZH_OK) good = good && strcmp(sm3, f->expected) == 0;
  zh_model_free(model);
  zh_threads_free(threads);
  return good;
}

static void expect_digest(files *f, const char *path) {
  zh_model *model = NULL;
  zh_threads *threads = NULL;
  assert_int_equal(zh_threads_create(&threads, 2, NULL, NULL), ZH_OK);
  assert_int_equal(zh_model_open(&model, path, NULL), ZH_OK);
  assert_int_equal(zh_content_digest(f->expected, model, threads, NULL), ZH_OK);
  zh_model_free(model);
  zh_threads_free(threads);
}

static files write_files(size_t changed, size_t used) {
  files f = {.changed = changed, .used = used};
  snprintf(f.same, sizeof f.same, "%s/same.gguf", test_folder());
  snprintf(f.other, sizeof f.other, "%s/other.gguf", test_folder());
  write_long(f.same, 1);
  write_long(f.other, changed);
  return f;
}

/* However blocks are used, the digest is that of one rank. */
static void ranks_find_the_digest_of_one(void **state) {
  (void)state;
  for (size_t used = 0; used <= BLOCKS; used++) {
    files f = write_files(1, used);
    expect_digest(&f, f.same);
    for (int ranks = 2; ranks <= RANKS_MAX; ranks++) assert_true(on_ranks(ranks, digests, &f));
  }
}

/* A rank that mapped other bytes than the others is found where both digest them; else its digest
 * is another one, which is what its model was. */
static void a_rank_with_other_bytes_is_found(void **state) {
  (void)state;
  files f = write_files((size_t)BLOCK * 2 + 17, 2);
  f.wanted = ZH_ERR_CHECK;
  assert_true(on_ranks(2, digests, &f));
  f.used = BLOCKS;
  f.wanted = ZH_OK;
  expect_digest(&f, f.other);
  assert_true(on_ranks(3, digests, &f)); /* block 2 is the last rank's alone */
  f = write_files(0, 0);
  f.wanted = ZH_ERR_CHECK;
  assert_true(on_ranks(3, digests, &f));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_group_exchanges),
      cmocka_unit_test(a_group_of_some),
      cmocka_unit_test(a_group_agrees),
      cmocka_unit_test(ranks_find_the_digest_of_one),
      cmocka_unit_test(a_rank_with_other_bytes_is_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
