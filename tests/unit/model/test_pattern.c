#include "files.h"

#include "model/tokenizer/pattern.h"

/* Characters of every class that the patterns tell apart, all older than both Unicode tables. */
static const char *const characters[] = {"a",       "z",        "S",      "T",    "'",
                                         "'s",      "'LL",      "'re",    "'d",   "\u017f",
                                         "'\u017f", " ",        "  ",     "\t",   "\n",
                                         "\r",      "\r\n",     "/",      ".",    "#",
                                         "$",       "<",        "1",      "23",   "4567",
                                         "\u00b2",  "Ⅷ",        "٣",      "é",    "e\u0301",
                                         "Ǆ",       "ǅ",        "ʰ",      "ж",    "Ж",
                                         "中",      "文字",     "の",     "カ",   "한",
                                         "\u3000",  "，",       "。",     "😀",    "\xc2\xa0",
                                         "\u2028",  "\u180e",   "\u200b", "\x01", "\u0e01\u0e47",
                                         "क्षि",     "\xc2\x85", "_",      "ª",    "〇"};
enum { CHARACTERS = sizeof characters / sizeof characters[0] };

static uint32_t draw(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*state >> 33);
}

/* "begin-end" of every match. */
static void spans_of(zh_text *out, const zh_pattern *pattern, const zh_text *text) {
  zh_error err = ZH_ERROR_INIT;
  zh_pattern_walk walk;
  zh_span span;
  bool more = true;
  const char *bytes = zh_text_string(text);
  assert_int_equal(zh_pattern_begin(&walk, pattern, bytes, text->length, &err), ZH_OK);
  while (zh_pattern_next(&span, &more, &walk, &err) == ZH_OK && more)
    zh_text_printf(out, "%zu-%zu ", span.begin, span.end);
  zh_pattern_end(&walk);
  assert_string_equal(err.message, "");
}

static void compare(const char *regex, uint64_t seed) {
  zh_error err = ZH_ERROR_INIT;
  zh_pattern *hand, *pcre;
  enum { TEXTS = 3000 };
  assert_int_equal(zh_pattern_create(&hand, regex, strlen(regex), true, &err), ZH_OK);
  if (zh_pattern_create(&pcre, regex, strlen(regex), false, &err) != ZH_OK)
    fail_msg("%s", err.message);
  assert_non_null(zh_pattern_by_hand(hand));
  assert_null(zh_pattern_by_hand(pcre));
  for (int i = 0; i < TEXTS; i++) {
    zh_text text = {0}, ours = {0}, theirs = {0};
    for (uint32_t n = draw(&seed) % 12; n > 0; n--)
      zh_text_puts(&text, characters[draw(&seed) % CHARACTERS]);
    spans_of(&ours, hand, &text);
    spans_of(&theirs, pcre, &text);
    if (strcmp(zh_text_string(&ours), zh_text_string(&theirs)) != 0)
      fail_msg("%s cuts '%s' at %s instead of %s", regex, zh_text_string(&text),
               zh_text_string(&ours), zh_text_string(&theirs));
    zh_text_free(&text);
    zh_text_free(&ours);
    zh_text_free(&theirs);
  }
  zh_pattern_free(hand);
  zh_pattern_free(pcre);
}

static void test_hand_cuts_as_the_regex_says(void **state) {
  size_t count = 0;
  (void)state;
  for (const char *regex; (regex = zh_pattern_known(count)) != NULL; count++) compare(regex, count);
  assert_true(count >= 17);
}

static void test_what_pcre2_reads_differently_is_refused(void **state) {
  static const char *const refused[] = {"\\w+", "\\bfoo", "[\\p{L}&&[^a]]+", "\\h", "a\\Kb"};
  (void)state;
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    zh_error err = ZH_ERROR_INIT;
    zh_pattern *none = (zh_pattern *)&err;
    assert_int_equal(zh_pattern_create(&none, refused[i], strlen(refused[i]), true, &err),
                     ZH_ERR_INPUT);
    assert_null(none);
    assert_non_null(strstr(err.message, refused[i]));
  }
}

/* A pattern that tries all ways is stopped instead of running for years. */
static void test_a_slow_pattern_ends(void **state) {
  zh_error err = ZH_ERROR_INIT;
  zh_pattern *slow;
  zh_pattern_walk walk;
  zh_span span;
  bool more;
  const char *text = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
  (void)state;
  assert_int_equal(zh_pattern_create(&slow, "(a|aa)+$", 8, true, &err), ZH_OK);
  assert_int_equal(zh_pattern_begin(&walk, slow, text, strlen(text), &err), ZH_OK);
  assert_int_equal(zh_pattern_next(&span, &more, &walk, &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "cannot be split"));
  zh_pattern_end(&walk);
  zh_pattern_free(slow);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hand_cuts_as_the_regex_says),
      cmocka_unit_test(test_what_pcre2_reads_differently_is_refused),
      cmocka_unit_test(test_a_slow_pattern_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
