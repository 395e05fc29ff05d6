/* After the first pass the engine asks the system for nothing: every way to get memory is counted
 * while it computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "bench/engine/engine.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

static atomic_size_t asked;

#if defined(__GLIBC__) && !defined(SANITIZED) /* a sanitizer has functions of its own */
#define COUNTED
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
int posix_memalign(void **out, size_t alignment, size_t bytes);

void *malloc(size_t bytes) {
  atomic_fetch_add(&asked, 1);
  return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
  atomic_fetch_add(&asked, 1);
  return __libc_calloc(count, bytes);
}
void *realloc(void *p, size_t bytes) {
  atomic_fetch_add(&asked, 1);
  return __libc_realloc(p, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) {
  atomic_fetch_add(&asked, 1);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void **out, size_t alignment, size_t bytes) {
  atomic_fetch_add(&asked, 1);
  *out = __libc_memalign(alignment, bytes);
  return *out ? 0 : 12; /* ENOMEM */
}
void *mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
  atomic_fetch_add(&asked, 1);
  return (void *)syscall(SYS_mmap, at, bytes, protection, flags, file, offset);
}
#endif

enum { SEQUENCES = 20, PROMPT = 40 };

static void pass(zh_engine *engine, size_t sequences, size_t each, uint32_t first, float *logits) {
  static uint32_t token[SEQUENCES * PROMPT], position[SEQUENCES * PROMPT],
      sequence[SEQUENCES * PROMPT];
  static bool want[SEQUENCES * PROMPT];
  zh_error err = ZH_ERROR_INIT;
  for (size_t i = 0; i < sequences * each; ++i) {
    token[i] = (uint32_t)(i * 7 % TINY_VOCAB);
    position[i] = first + (uint32_t)(i % each);
    sequence[i] = (uint32_t)(i / each);
    want[i] = i % each + 1 == each;
  }
  assert_int_equal(
      zh_engine_forward(engine, token, position, sequence, sequences * each, want, logits, &err),
      ZH_OK);
}

/* A prompt of 40 tokens of each of so many sequences, then three steps. */
static void generate(zh_engine *engine, size_t sequences, float *logits) {
  for (uint32_t s = 0; s < SEQUENCES; ++s) zh_engine_truncate(engine, s, 0);
  pass(engine, sequences, PROMPT, 0, logits);
  for (uint32_t i = 0; i < 3; ++i) pass(engine, sequences, 1, PROMPT + i, logits);
}

static void computing_asks_for_no_memory(void **state) {
  (void)state;
  static float logits[SEQUENCES * TINY_VOCAB];
  char path[600];
  zh_error err = ZH_ERROR_INIT;
  zh_model *model;
  zh_threads *threads;
  snprintf(path, sizeof path, "%s/model.gguf", test_folder());
  write_tiny_model(path, 1, 0);
  assert_int_equal(zh_model_open(&model, path, &err), ZH_OK);
  assert_int_equal(zh_threads_create(&threads, 2, NULL, &err), ZH_OK);
  for (int precision = ZH_PRECISION_EXACT; precision <= ZH_PRECISION_FAST; ++precision) {
    zh_engine *engine;
    zh_engine_options options = {
        .precision = (zh_precision)precision, .sequences = SEQUENCES, .context = TINY_CONTEXT};
    size_t before = atomic_load(&asked);
    assert_int_equal(zh_engine_create(&engine, model, threads, &options, &err), ZH_OK);
#ifdef COUNTED
    assert_true(atomic_load(&asked) > before); /* or nothing is counted here */
#endif
    generate(engine, SEQUENCES, logits);
    before = atomic_load(&asked);
    generate(engine, 1, logits);
    generate(engine, 5, logits);
    generate(engine, SEQUENCES, logits);
    assert_int_equal(atomic_load(&asked) - before, 0);
    zh_engine_free(engine);
  }
  zh_threads_free(threads);
  zh_model_free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(computing_asks_for_no_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
