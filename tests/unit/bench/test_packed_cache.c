/* Rearranged weights kept in a folder: taken when they are the model's, made anew when anything
 * about them is not, and held against the model like all others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "bench/engine/packed_cache.h"
#include "core/files.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

static char model_path[600], other_path[600], folder[600];
static zh_threads *threads;

static int prepare(void **state) {
  (void)state;
  snprintf(model_path, sizeof model_path, "%s/model.gguf", test_folder());
  snprintf(other_path, sizeof other_path, "%s/other.gguf", test_folder());
  snprintf(folder, sizeof folder, "%s/cache", test_folder());
  write_tiny_model(model_path, 1, 0);
  return zh_threads_create(&threads, 2, NULL, NULL);
}

static int tidy(void **state) {
  (void)state;
  zh_threads_free(threads);
  return 0;
}

typedef struct opened {
  zh_model *model;
  zh_weights weights;
} opened;

static opened open_packed(const char *path, const char *cache) {
  opened o = {0};
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_model_open(&o.model, path, &err), ZH_OK);
  assert_int_equal(zh_weights_open(&o.weights, o.model, (zh_part){.parts = 1}, threads, &err),
                   ZH_OK);
  assert_int_equal(zh_weights_pack(&o.weights, threads, cache, &err), ZH_OK);
  return o;
}

static void close_packed(opened *o) {
  zh_weights_close(&o->weights);
  zh_model_free(o->model);
}

/* Opens, says whether the cache was used, and that what is read is the model's all the same. */
static bool used(const char *path) {
  zh_error err = ZH_ERROR_INIT;
  opened o = open_packed(path, folder);
  bool from_cache = o.weights.cached.data != NULL;
  assert_int_equal(strncmp(o.weights.load.cache, "used", 4) == 0, from_cache);
  assert_int_equal(zh_weights_verify(&o.weights, threads, 1, &err), ZH_OK);
  close_packed(&o);
  return from_cache;
}

static void cache_file(char out[PATH_MAX]) {
  opened o = open_packed(model_path, NULL);
  assert_int_equal(zh_packed_cache_path(out, folder, &o.weights, NULL), ZH_OK);
  close_packed(&o);
}

static void kept_and_taken(void **state) {
  (void)state;
  char path[PATH_MAX];
  assert_false(used(model_path));
  assert_true(used(model_path));
  cache_file(path);
  opened anew = open_packed(model_path, NULL), taken = open_packed(model_path, folder);
  assert_true(zh_is_file(path));
  assert_int_equal(anew.weights.packed_bytes, taken.weights.packed_bytes);
  assert_memory_equal(anew.weights.packed, taken.weights.packed, anew.weights.packed_bytes);
  close_packed(&anew);
  close_packed(&taken);
}

static void overwrite(const char *path, long at, int flip) {
  FILE *f = fopen(path, "r+b");
  assert_non_null(f);
  assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
  int byte = fgetc(f);
  assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
  fputc(byte ^ flip, f);
  assert_int_equal(fclose(f), 0);
}

/* Any bit: of the head, of the first matrix, of the last; each time the file is made anew. */
static void altered_is_made_anew(void **state) {
  (void)state;
  char path[PATH_MAX];
  cache_file(path);
  static const long places[] = {0,    33,   104,
                                4096, 5000, -40}; /* behind the last matrix 32 bytes are empty */
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    (void)used(model_path);
    overwrite(path, places[i], 0x10);
    assert_false(used(model_path));
    assert_true(used(model_path));
  }
}

static void cut_short_is_made_anew(void **state) {
  (void)state;
  char path[PATH_MAX];
  struct stat info;
  cache_file(path);
  (void)used(model_path);
  assert_int_equal(stat(path, &info), 0);
  const off_t lengths[] = {0, 1, 4095, 4096, info.st_size - 1, info.st_size + 1};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    assert_int_equal(truncate(path, lengths[i]), 0);
    assert_false(used(model_path));
    assert_true(used(model_path));
  }
}

/* One weight changed in the middle of a tensor: the name of the file is the same, what lies in it
 * is stale. */
static void stale_is_made_anew(void **state) {
  (void)state;
  opened o = open_packed(model_path, NULL);
  const zh_weight *w = &o.weights.layer[ZH_FFN_UP];
  long at = (long)(w->tensor->file_offset + w->tensor->bytes / 2);
  close_packed(&o);
  (void)used(model_path);
  assert_true(used(model_path));
  overwrite(model_path, at, 1);
  assert_false(used(model_path));
  assert_true(used(model_path));
  overwrite(model_path, at, 1);
  assert_false(used(model_path));
}

static void another_model_has_its_own(void **state) {
  (void)state;
  write_tiny_model(other_path, 0, 0); /* fp32, which may not be rearranged at all */
  (void)used(model_path);
  opened o = open_packed(other_path, folder);
  bool packs = o.weights.packed != NULL;
  close_packed(&o);
  if (packs) assert_true(used(other_path));
  assert_true(used(model_path));
}

/* An injected fault changes the mapping's private copy, is found, and leaves the file alone. */
static void faults_stay_private(void **state) {
  (void)state;
  char what[128];
  zh_error err = ZH_ERROR_INIT;
  (void)used(model_path);
  for (uint64_t seed = 0; seed < 20; seed++) {
    opened o = open_packed(model_path, folder);
    assert_non_null(o.weights.cached.data);
    assert_int_equal(zh_weights_flip(&o.weights, seed, what, sizeof what, &err), ZH_OK);
    assert_int_equal(zh_weights_verify(&o.weights, threads, seed, &err), ZH_ERR_CHECK);
    close_packed(&o);
  }
  assert_true(used(model_path));
}

static void folder_that_cannot_be_used(void **state) {
  (void)state;
  opened o = open_packed(model_path, "/dev/null/nowhere");
  assert_null(o.weights.cached.data);
  assert_non_null(o.weights.packed);
  assert_non_null(strstr(o.weights.load.cache, "/dev/null"));
  close_packed(&o);
}

/* Many weights of many small matrices, and rows that no file holds so. */
static void experts_are_kept(void **state) {
  static const char *const names[] = {"qwen3-moe", "gpt-oss", "gpt-oss-mxfp4", "deepseek-v3"};
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
    char model[512];
    snprintf(model, sizeof model, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, names[i]);
    opened o = open_packed(model, NULL);
    bool kept = o.weights.packed_bytes > 0 && !o.weights.generated;
    close_packed(&o);
    assert_int_equal(kept, i == 0); /* the others hold rows that are put together */
    assert_false(used(model));
    assert_int_equal(used(model), kept);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kept_and_taken),
      cmocka_unit_test(altered_is_made_anew),
      cmocka_unit_test(cut_short_is_made_anew),
      cmocka_unit_test(stale_is_made_anew),
      cmocka_unit_test(another_model_has_its_own),
      cmocka_unit_test(faults_stay_private),
      cmocka_unit_test(experts_are_kept),
      cmocka_unit_test(folder_that_cannot_be_used),
  };
  return cmocka_run_group_tests(tests, prepare, tidy);
}
