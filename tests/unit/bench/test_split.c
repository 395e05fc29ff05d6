/* A model cut for several ranks: every part holds the right rows and columns of the source, and
 * nothing is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/engine/weights.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

enum { IN_A_LAYER = 9 }; /* weights of a plain layer */

static char path[600];

static int write_files(void **state) {
  (void)state;
  snprintf(path, sizeof path, "%s/model.gguf", test_folder());
  write_tiny_model(path, 0, 0);
  return 0;
}

static void open_part(zh_weights *out, zh_model **model, zh_threads *threads, int index,
                      int parts) {
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_model_open(model, path, &err), ZH_OK);
  assert_int_equal(
      zh_weights_open(out, *model, (zh_part){.index = index, .parts = parts}, threads, &err),
      ZH_OK);
}

/* Element (row, column) of what the engine reads. */
static float element(const zh_weight *w, size_t row, size_t column) {
  float value;
  memcpy(&value,
         (const unsigned char *)w->matrix.data + row * w->matrix.row_bytes + column * sizeof value,
         sizeof value);
  return value;
}

/* The parts of a weight, each at its place, are the whole: every element once, but for key heads
 * that several parts hold. */
static void parts_make_the_whole(void **state) {
  (void)state;
  zh_threads *threads;
  zh_model *model, *whole_model;
  zh_weights whole, part;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_threads_create(&threads, 1, NULL, &err), ZH_OK);
  open_part(&whole, &whole_model, threads, 0, 1);
  for (size_t i = 0; i < zh_weights_count(&whole); ++i) {
    const zh_weight *all = zh_weights_at(&whole, i);
    size_t seen = 0;
    for (int index = 0; index < 2; ++index) {
      open_part(&part, &model, threads, index, 2);
      const zh_weight *w = zh_weights_at(&part, i);
      for (size_t r = 0; r < w->matrix.rows; ++r) {
        const float *source = zh_weight_source_row(w, r, NULL);
        for (size_t c = 0; c < w->matrix.columns; ++c) {
          float expected = element(all, w->first_row + r, w->first_column + c);
          assert_memory_equal(&source[c], &expected, sizeof expected);
          float held = element(w, r, c);
          assert_memory_equal(&held, &expected, sizeof expected);
        }
      }
      if (!w->gain) seen += w->matrix.rows * w->matrix.columns;
      zh_weights_close(&part);
      zh_model_free(model);
    }
    if (!all->gain) assert_int_equal(seen, all->matrix.rows * all->matrix.columns);
  }
  zh_weights_close(&whole);
  zh_model_free(whole_model);
  zh_threads_free(threads);
}

/* A flipped bit of a part is found by the rank that holds it, wherever it lies. */
static void parts_are_held_against_the_file(void **state) {
  (void)state;
  zh_threads *threads;
  zh_model *model;
  zh_weights part;
  char what[128], sm3[2][ZH_DIGEST_HEX];
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_threads_create(&threads, 2, NULL, &err), ZH_OK);
  for (int index = 0; index < 2; ++index) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      open_part(&part, &model, threads, index, 2);
      assert_int_equal(zh_weights_digest(sm3[index], &part, threads, &err), ZH_OK);
      assert_int_equal(zh_weights_verify(&part, threads, seed, &err), ZH_OK);
      assert_int_equal(zh_weights_flip(&part, seed, what, sizeof what, &err), ZH_OK);
      assert_int_equal(zh_weights_verify(&part, threads, seed, &err), ZH_ERR_CHECK);
      zh_weights_close(&part);
      zh_model_free(model);
    }
  }
  assert_string_not_equal(sm3[0], sm3[1]);
  zh_threads_free(threads);
}

/* Ranks beyond the key heads share them; the columns of attn_output follow the query heads. */
static void key_heads_are_shared(void **state) {
  (void)state;
  zh_model *model;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_model_open(&model, "zh-0.1b", &err), ZH_OK);
  zh_weights part; /* 12 query heads over 4 key heads */
  assert_int_equal(zh_weights_describe(&part, model, &err), ZH_OK);
  assert_int_equal(zh_weights_cut(&part, (zh_part){.index = 3, .parts = 4}, &err), ZH_OK);
  assert_int_equal(part.architecture.heads, 3);
  assert_int_equal(part.architecture.kv_heads, 1);
  assert_int_equal(part.layer[ZH_ATTN_K].first_row, 3 * part.architecture.head_dim);
  assert_int_equal(part.layer[ZH_ATTN_OUTPUT].first_column, 9 * part.architecture.head_dim);
  assert_int_equal(part.layer[ZH_FFN_DOWN].first_column, 3 * part.architecture.ffn);
  zh_weights_close(&part);
  assert_int_equal(zh_weights_describe(&part, model, &err), ZH_OK);
  part.architecture.kv_heads = 2; /* as if two key heads served the twelve */
  assert_int_equal(zh_weights_cut(&part, (zh_part){.index = 2, .parts = 4}, &err), ZH_OK);
  assert_int_equal(part.architecture.kv_heads, 1);
  assert_int_equal(part.layer[ZH_ATTN_V].first_row, part.architecture.head_dim);
  zh_weights_close(&part);
  zh_model_free(model);
}

/* Stages follow each other without gap, each with a layer at least; what is looked up lies with the
 * first, what gives logits with the last, and a matrix that is both on both. */
static void stages_make_the_whole(void **state) {
  (void)state;
  zh_model *model;
  zh_weights whole, stage;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_model_open(&model, "zh-0.1b", &err), ZH_OK);
  assert_int_equal(zh_weights_describe(&whole, model, &err), ZH_OK);
  const uint32_t layers = whole.architecture.layers;
  for (int stages = 1; stages <= (int)layers; ++stages) {
    uint32_t next = 0;
    for (int i = 0; i < stages; ++i) {
      zh_part part = {.parts = 1, .stage = i, .stages = stages};
      assert_int_equal(zh_weights_describe(&stage, model, &err), ZH_OK);
      assert_int_equal(zh_weights_cut(&stage, part, &err), ZH_OK);
      uint32_t count = stage.architecture.layers;
      bool first = i == 0, last = i + 1 == stages;
      assert_int_equal(stage.first_layer, next);
      assert_true(count >= 1);
      for (size_t w = 0; w < (size_t)count * ZH_LAYER_SLOTS; ++w) {
        const zh_source *is = stage.layer[w].source,
                        *was = whole.layer[(size_t)next * ZH_LAYER_SLOTS + w].source;
        assert_ptr_equal(is ? is->stored : NULL, was ? was->stored : NULL);
      }
      assert_int_equal(stage.whole[ZH_EMBEDDING].tensor != NULL, first);
      assert_int_equal(stage.whole[ZH_OUTPUT_NORM].tensor != NULL, last);
      assert_int_equal(stage.whole[ZH_HEAD].tensor != NULL, last);
      bool tied = stage.architecture.tied_head && first && last;
      size_t apart = (size_t)first + 2 * (size_t)last - (size_t)tied;
      assert_int_equal(zh_weights_count(&stage), (size_t)count * IN_A_LAYER + apart);
      for (size_t w = 0; w < zh_weights_count(&stage); ++w)
        assert_non_null(zh_weights_at(&stage, w)->tensor);
      assert_int_equal(stage.total.step_bytes, whole.total.step_bytes);
      assert_int_equal(stage.total.layers, layers);
      next += count;
      zh_weights_close(&stage);
    }
    assert_int_equal(next, layers);
  }
  zh_part many = {.parts = 1, .stages = (int)layers + 1};
  assert_int_equal(zh_weights_cut(&whole, many, &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "12 layers cannot be divided among 13 stages"));
  zh_weights_close(&whole);
  zh_model_free(model);
}

static void refused(zh_weights *w, int parts, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_weights_cut(w, (zh_part){.parts = parts}, &err), ZH_ERR_INPUT);
  if (!strstr(err.message, words)) fail_msg("%s", err.message);
}

static void what_does_not_divide_is_refused(void **state) {
  (void)state;
  zh_model *model;
  zh_weights whole;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_model_open(&model, path, &err), ZH_OK);
  assert_int_equal(zh_weights_describe(&whole, model, &err), ZH_OK);
  refused(&whole, 4, "6 query heads cannot be divided evenly among 4 ranks");
  refused(&whole, 3, "2 key heads and 3 ranks");
  refused(&whole, 6, "160 columns of the feed-forward layer");
  assert_int_equal(whole.architecture.heads, TINY_HEADS);
  zh_weights_close(&whole);
  zh_model_free(model);
}

/* Columns of experts and of what they share are divided as a dense layer's. */
static void experts_are_divided(void **state) {
  (void)state;
  char model_path[512];
  zh_model *model;
  zh_weights w;
  zh_error err = ZH_ERROR_INIT;
  snprintf(model_path, sizeof model_path, "%s/tests/golden/families/qwen2-moe", ZH_SOURCE_DIR);
  assert_int_equal(zh_model_open(&model, model_path, &err), ZH_OK);
  assert_int_equal(zh_weights_describe(&w, model, &err), ZH_OK);
  uint32_t ffn = w.architecture.expert_ffn, shared = w.architecture.shared_ffn;
  assert_int_equal(zh_weights_cut(&w, (zh_part){.index = 1, .parts = 2}, &err), ZH_OK);
  uint32_t layer = 0;
  while (!zh_layer_is(&w.architecture, layer, ZH_LAYER_EXPERTS)) ++layer;
  const zh_weight *expert = zh_weights_expert(&w, layer, 1),
                  *of_layer = zh_weights_layer(&w, layer);
  assert_int_equal(expert[ZH_EXPERT_GATE].matrix.rows, ffn / 2);
  assert_int_equal(expert[ZH_EXPERT_UP].first_row, ffn / 2);
  assert_int_equal(expert[ZH_EXPERT_DOWN].first_column, ffn / 2);
  assert_int_equal(of_layer[ZH_SHARED_DOWN].matrix.columns, shared / 2);
  assert_int_equal(of_layer[ZH_ROUTER].matrix.rows, w.architecture.experts);
  zh_weights_close(&w);
  assert_int_equal(zh_weights_describe(&w, model, &err), ZH_OK);
  w.architecture.expert_ffn = 7;
  refused(&w, 2, "7 columns of each expert");
  w.architecture.expert_ffn = ffn;
  zh_weights_close(&w);
  zh_model_free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parts_make_the_whole),
      cmocka_unit_test(parts_are_held_against_the_file),
      cmocka_unit_test(key_heads_are_shared),
      cmocka_unit_test(stages_make_the_whole),
      cmocka_unit_test(what_does_not_divide_is_refused),
      cmocka_unit_test(experts_are_divided),
  };
  return cmocka_run_group_tests(tests, write_files, NULL);
}
