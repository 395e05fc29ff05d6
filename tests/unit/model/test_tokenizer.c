#include "files.h"

/* A vocabulary small enough to merge by hand. "\xc4\xa0" is the alphabet's letter for a space. */
static const char *const tokens[] = {"a",
                                     "b",
                                     "c",
                                     "\xc4\xa0",
                                     "ab",
                                     "bc",
                                     "abc",
                                     ("\xc4\xa0"
                                      "a"),
                                     "aa",
                                     "aaaa",
                                     "<s>",
                                     "<user>",
                                     "<user>x",
                                     "\xe4\xbd\xa0",
                                     "</s>",
                                     "ca"};
enum { A, B, C, SPACE, AB, BC, ABC, SPACE_A, AA, AAAA, BOS, USER, USER_X, RAW, EOS, CA, TOKENS };
static const int32_t types[TOKENS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 4, 1, 3, 1};
static const char *const merges[] = {"b c", "\xc4\xa0 a", "a b", "a bc", "a a", "aa aa", "ab c"};

typedef struct recipe {
  const char *model, *pre;
  const char *const *merges;
  size_t merge_count;
  const int32_t *types;
  size_t type_count;
  bool add_bos;
  uint32_t bos;
} recipe;

static const recipe sound = {"gpt2", "smollm", merges, 7, types, TOKENS, true, BOS};

static const char *make(const recipe *r) {
  zh_text b = {0};
  put_header(&b, 3, 0, 7 + (r->pre != NULL));
  put_key_string(&b, "general.architecture", "llama");
  put_key_string(&b, "tokenizer.ggml.model", r->model);
  if (r->pre != NULL) put_key_string(&b, "tokenizer.ggml.pre", r->pre);
  put_key_strings(&b, "tokenizer.ggml.tokens", tokens, TOKENS);
  put_key(&b, "tokenizer.ggml.token_type", 9), put_u32(&b, 5), put_u64(&b, r->type_count);
  for (size_t i = 0; i < r->type_count; i++) put_u32(&b, (uint32_t)r->types[i]);
  put_key_strings(&b, "tokenizer.ggml.merges", r->merges, r->merge_count);
  put_key(&b, "tokenizer.ggml.add_bos_token", 7), put_u8(&b, r->add_bos);
  put_key_u32(&b, "tokenizer.ggml.bos_token_id", r->bos);
  const char *path = put_file("tokens.gguf", b.data, b.length);
  zh_text_free(&b);
  return path;
}

static zh_model *model;
static const zh_tokenizer *tokenizer;

static int open_sound(void **state) {
  zh_error err = ZH_ERROR_INIT;
  (void)state;
  model = open_good(make(&sound));
  return zh_model_tokenizer(&tokenizer, model, &err) == ZH_OK ? 0 : -1;
}

static int close_sound(void **state) {
  (void)state;
  zh_model_free(model);
  return 0;
}

static void expect(const char *text, bool add_bos, bool special, const uint32_t *wanted,
                   size_t count) {
  zh_error err = ZH_ERROR_INIT;
  uint32_t *got = NULL;
  size_t got_count = 0;
  zh_status status =
      zh_tokenize(&got, &got_count, tokenizer, text, strlen(text), add_bos, special, &err);
  if (status != ZH_OK) fail_msg("%s", err.message);
  assert_int_equal(got_count, count);
  assert_memory_equal(got, wanted, count * sizeof *wanted);
  free(got);
}
#define EXPECT(text, add_bos, special, ...)                                                        \
  expect(text, add_bos, special, (const uint32_t[]){__VA_ARGS__},                                  \
         sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void test_merges_by_rank(void **state) {
  (void)state;
  EXPECT("ab", false, true, AB);
  EXPECT("abc", false, true, ABC);     /* b c, then a bc: ranks 0 and 3, though a b is at hand */
  EXPECT("cabc", false, true, C, ABC); /* a token that no merge makes is never made */
  EXPECT("a abc b1c", false, true, A, SPACE_A, BC, SPACE, B, C); /* " a" (1) before "a bc" (3) */
}

static void test_special_tokens(void **state) {
  (void)state;
  EXPECT("a<s>b", true, true, BOS, A, BOS, B);
  EXPECT("<s></s>", false, true, BOS, EOS);
  EXPECT("<user>x<user>", false, true, USER_X, USER); /* the longest */
  EXPECT("<user>a", false, false, USER, A);           /* user-defined ones always */
  EXPECT("b<s>b", false, false, B, B); /* "<", "s" and ">" are not in the vocabulary */
  EXPECT("a<s", false, true, A);
}

static void test_leftmost_of_equals(void **state) {
  (void)state;
  EXPECT("aaaaa", false, true, AAAA, A);
  EXPECT("aaa", false, true, AA, A);
  EXPECT("b aa", false, true, B, SPACE_A, A); /* " a" comes before "aa" */
}

static void test_nothing_gives_nothing(void **state) {
  zh_error err = ZH_ERROR_INIT;
  uint32_t *got = NULL;
  size_t count = 9;
  (void)state;
  assert_int_equal(zh_tokenize(&got, &count, tokenizer, "", 0, false, true, &err), ZH_OK);
  assert_int_equal(count, 0);
  free(got);
  assert_int_equal(zh_tokenize(&got, &count, tokenizer, "ab\xff", 3, false, true, &err),
                   ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "byte 2"));
}

static void test_decodes(void **state) {
  zh_error err = ZH_ERROR_INIT;
  const uint32_t ids[] = {BOS, SPACE_A, BC, RAW, USER_X}, outside[] = {A, TOKENS};
  char *text;
  size_t length;
  (void)state;
  assert_int_equal(zh_detokenize(&text, &length, tokenizer, ids, 5, &err), ZH_OK);
  assert_string_equal(text, "<s> abc\xe4\xbd\xa0<user>x");
  assert_int_equal(length, strlen(text));
  free(text);
  assert_int_equal(zh_detokenize(&text, &length, tokenizer, ids, 0, &err), ZH_OK);
  assert_string_equal(text, "");
  free(text);
  assert_int_equal(zh_detokenize(&text, &length, tokenizer, outside, 2, &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "token 16 is outside the vocabulary of 16"));
}

static void test_declared_tokens(void **state) {
  (void)state;
  zh_special_tokens special = zh_tokenizer_special(tokenizer);
  assert_int_equal(zh_tokenizer_vocab(tokenizer), TOKENS);
  assert_int_equal(special.bos, BOS);
  assert_int_equal(special.eos, -1);
  assert_true(special.add_bos);
}

static void refuse(const recipe *r, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  const zh_tokenizer *none = tokenizer;
  zh_model *m = open_good(make(r));
  if (zh_model_tokenizer(&none, m, &err) != ZH_ERR_INPUT) fail_msg("'%s' was accepted", words);
  assert_null(none);
  if (strstr(err.message, words) == NULL) fail_msg("'%s' does not say '%s'", err.message, words);
  zh_model_free(m);
}

#define REFUSE(words, ...)                                                                         \
  do {                                                                                             \
    recipe r = sound;                                                                              \
    __VA_ARGS__;                                                                                   \
    refuse(&r, words);                                                                             \
  } while (0)

static void test_refuses_lies(void **state) {
  static const char *const twice[] = {"a b", "b c", "a b"}, *const unknown[] = {"a b", "c c"},
                           *const spaceless[] = {"ab"}, *const empty[] = {""},
                           *const absent[] = {"z b"};
  (void)state;
  REFUSE("the tokenizer 'bert' is not supported yet", r.model = "bert");
  REFUSE("tokenizer.ggml.scores must be a list of 16 numbers", r.model = "llama");
  REFUSE("the pre-tokenizer 'kimi-k2' is not supported yet; this version has gpt-2, smollm",
         r.pre = "kimi-k2");
  REFUSE("must be a short text", r.pre = "\x1b[31m");
  REFUSE("merges 0 and 2", r.merges = twice, r.merge_count = 3);
  REFUSE("merge 1 in", r.merges = unknown, r.merge_count = 2);
  REFUSE("merge 0 in", r.merges = spaceless, r.merge_count = 1);
  REFUSE("merge 0 in", r.merges = empty, r.merge_count = 1);
  REFUSE("merge 0 in", r.merges = absent, r.merge_count = 1);
  REFUSE("15 entries for 16 tokens", r.type_count = TOKENS - 1);
  REFUSE("bos_token_id names no token", r.bos = TOKENS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_merges_by_rank),
      cmocka_unit_test(test_special_tokens),
      cmocka_unit_test(test_leftmost_of_equals),
      cmocka_unit_test(test_nothing_gives_nothing),
      cmocka_unit_test(test_decodes),
      cmocka_unit_test(test_declared_tokens),
      cmocka_unit_test(test_refuses_lies),
  };
  return cmocka_run_group_tests(tests, open_sound, close_sound);
}
