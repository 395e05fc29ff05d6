/* A model cut for several ranks: every part holds the right rows and columns of the source, and
 * nothing is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/engine/expert_shares.h"
#include "core/philox.h"
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

static void refused_as(zh_weights *w, int parts, zh_expert_split experts, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  zh_part part = {.parts = parts, .experts = experts};
  assert_int_equal(zh_weights_cut(w, part, &err), ZH_ERR_INPUT);
  if (!strstr(err.message, words)) fail_msg("%s", err.message);
}

static void refused(zh_weights *w, int parts, const char *words) {
  refused_as(w, parts, ZH_EXPERTS_COLUMNS, words);
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

static zh_model *open_experts(const char *family) {
  char model_path[512];
  zh_model *model;
  zh_error err = ZH_ERROR_INIT;
  snprintf(model_path, sizeof model_path, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, family);
  assert_int_equal(zh_model_open(&model, model_path, &err), ZH_OK);
  return model;
}

/* Columns of experts and of what they share are divided as a dense layer's. */
static void experts_are_divided(void **state) {
  (void)state;
  zh_model *model = open_experts("qwen2-moe");
  zh_weights w;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_weights_describe(&w, model, &err), ZH_OK);
  uint32_t ffn = w.architecture.expert_ffn, shared = w.architecture.shared_ffn;
  zh_part part = {.index = 1, .parts = 2, .experts = ZH_EXPERTS_COLUMNS};
  assert_int_equal(zh_weights_cut(&w, part, &err), ZH_OK);
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

static uint64_t bytes_here(const zh_weights *w) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < zh_weights_count(w); ++i) bytes += zh_weight_bytes(zh_weights_at(w, i));
  return bytes;
}

/* Every expert is on one rank, whole, and all that is not an expert is divided as ever. */
static void whole_experts_are_shared_out(void **state) {
  (void)state;
  zh_model *model = open_experts("qwen3-moe"); /* 4 heads, 7 experts of 22 columns */
  zh_weights whole, w;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_weights_describe(&whole, model, &err), ZH_OK);
  uint32_t experts = whole.architecture.experts;
  for (int parts = 2; parts <= 4; parts += 2) {
    uint32_t next = 0;
    uint64_t bytes = 0;
    for (int index = 0; index < parts; ++index) {
      zh_part part = {.index = index, .parts = parts, .experts = ZH_EXPERTS_WHOLE};
      assert_int_equal(zh_weights_describe(&w, model, &err), ZH_OK);
      assert_int_equal(zh_weights_cut(&w, part, &err), ZH_OK);
      assert_true(w.whole_experts);
      assert_int_equal(w.first_expert, next);
      assert_in_range(w.experts_here, experts / (uint32_t)parts,
                      (experts + (uint32_t)parts - 1) / (uint32_t)parts);
      next += w.experts_here;
      assert_int_equal(w.architecture.experts, experts);
      assert_int_equal(w.architecture.expert_ffn, whole.architecture.expert_ffn);
      assert_int_equal(zh_weights_layer(&w, 0)[ZH_ROUTER].matrix.rows, experts);
      for (uint32_t e = 0; e < experts; ++e) {
        const zh_weight *is = zh_weights_expert(&w, 1, e), *was = zh_weights_expert(&whole, 1, e);
        bool here = zh_weights_have_expert(&w, e);
        assert_int_equal(here, e >= w.first_expert && e < next);
        assert_int_equal(is[ZH_EXPERT_DOWN].tensor != NULL, here);
        if (!here) continue;
        assert_int_equal(is[ZH_EXPERT_DOWN].matrix.columns, was[ZH_EXPERT_DOWN].matrix.columns);
        assert_int_equal(is[ZH_EXPERT_UP].matrix.rows, was[ZH_EXPERT_UP].matrix.rows);
        assert_ptr_equal(is[ZH_EXPERT_GATE].matrix.data,
                         zh_weight_source_row(&is[ZH_EXPERT_GATE], 0, NULL));
      }
      for (uint32_t e = w.first_expert; e < next; ++e)
        for (int slot = 0; slot < ZH_EXPERT_SLOTS; ++slot) {
          const zh_weight *is = &zh_weights_expert(&w, 0, e)[slot];
          if (is->tensor) bytes += zh_weight_bytes(is);
        }
      zh_weights_close(&w);
    }
    assert_int_equal(next, experts);
    assert_int_equal(bytes * whole.architecture.layers, whole.total.expert_bytes);
  }
  assert_true(bytes_here(&whole) > whole.total.expert_bytes);
  whole.architecture.heads = whole.architecture.ffn = 40; /* as if eight ranks divided the rest */
  whole.architecture.vocab = 1024;
  refused_as(&whole, 8, ZH_EXPERTS_WHOLE, "7 experts cannot be shared out whole among 8 ranks");
  zh_weights_close(&whole);
  zh_model_free(model);
}

/* What is impossible one way goes the other; else what moves fewer bytes on the busiest rank. */
static void which_way_is_chosen_by_formula(void **state) {
  (void)state;
  zh_model *model = open_experts("qwen3-moe");
  zh_weights w;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_weights_describe(&w, model, &err), ZH_OK);
  zh_part part = {.parts = 2, .tokens = 1};
  assert_false(zh_experts_lie_whole(&w, part)); /* one token's experts may be all on one rank */
  part.tokens = 4096;
  assert_true(zh_experts_lie_whole(&w, part)); /* all experts are read anyway, and fewer rows go */
  part.experts = ZH_EXPERTS_COLUMNS;
  assert_false(zh_experts_lie_whole(&w, part));
  part = (zh_part){.parts = 4, .tokens = 1}; /* of 22 columns */
  assert_true(zh_experts_lie_whole(&w, part));
  part.parts = 8; /* nor 7 experts */
  assert_false(zh_experts_lie_whole(&w, part));
  part = (zh_part){.parts = 1, .experts = ZH_EXPERTS_WHOLE};
  assert_false(zh_experts_lie_whole(&w, part));
  zh_weights_close(&w);
  zh_model_free(model);
}

/* Against draws by lot. */
static void the_busiest_rank_is_foretold(void **state) {
  (void)state;
  enum { EXPERTS = 256, USED = 8, RANKS = 8, TRIALS = 400 };
  static const size_t tokens[] = {1, 4, 16, 64, 256};
  for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; ++i) {
    double busy = 0, busiest = 0;
    for (uint64_t trial = 0, at = 0; trial < TRIALS; ++trial) {
      bool has[EXPERTS] = {false};
      for (size_t t = 0; t < tokens[i]; ++t) {
        bool own[EXPERTS] = {false};
        for (int k = 0; k < USED;) {
          uint32_t bits;
          zh_random_fill(&bits, 1, 5, i, at++);
          if (own[bits % EXPERTS]) continue;
          own[bits % EXPERTS] = has[bits % EXPERTS] = true;
          ++k;
        }
      }
      uint32_t most = 0, all = 0;
      for (int rank = 0; rank < RANKS; ++rank) {
        zh_expert_share share = zh_expert_share_of(EXPERTS, rank, RANKS);
        uint32_t its = 0;
        for (uint32_t e = share.first; e < share.first + share.count; ++e) its += has[e];
        if (its > most) most = its;
        all += its;
      }
      busy += (double)all / TRIALS;
      busiest += (double)most / TRIALS;
    }
    double told = zh_experts_busy(EXPERTS, USED, (double)tokens[i]);
    assert_true(told > 0.98 * busy && told < 1.02 * busy);
    double most = zh_experts_busiest(EXPERTS, RANKS, told);
    print_message("%zu tokens: %.1f experts busy, %.2f on one rank, foretold %.2f\n", tokens[i],
                  busy, busiest, most);
    assert_true(most > 0.9 * busiest && most < 1.25 * busiest);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parts_make_the_whole),
      cmocka_unit_test(parts_are_held_against_the_file),
      cmocka_unit_test(key_heads_are_shared),
      cmocka_unit_test(stages_make_the_whole),
      cmocka_unit_test(what_does_not_divide_is_refused),
      cmocka_unit_test(experts_are_divided),
      cmocka_unit_test(whole_experts_are_shared_out),
      cmocka_unit_test(which_way_is_chosen_by_formula),
      cmocka_unit_test(the_busiest_rank_is_foretold),
  };
  return cmocka_run_group_tests(tests, write_files, NULL);
}
