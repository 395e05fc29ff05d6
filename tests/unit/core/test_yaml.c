#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/yaml.h"
#include "tests/unit/folder.h"

static zh_yaml_doc *load(const char *text) {
  zh_error err = ZH_ERROR_INIT;
  zh_yaml_doc *doc;
  if (zh_yaml_load_text(&doc, text, strlen(text), "s.yaml", &err) != ZH_OK)
    fail_msg("%s", err.message);
  return doc;
}

static void refused(const char *text, size_t length, const char *expected) {
  zh_error err = ZH_ERROR_INIT;
  zh_yaml_doc *doc;
  assert_int_equal(zh_yaml_load_text(&doc, text, length, "s.yaml", &err), ZH_ERR_INPUT);
  assert_null(doc);
  if (strncmp(err.message, expected, strlen(expected)) != 0)
    fail_msg("'%s' is not '%s'", err.message, expected);
}

static void the_tree_keeps_order_and_places(void **state) {
  (void)state;
  zh_yaml_doc *doc = load("suite: 智衡\nsteps:\n  - {step: a, n: 3}\n  - step: b\n");
  const zh_yaml_node *root = zh_yaml_root(doc), *steps = zh_yaml_get(root, "steps");
  assert_int_equal(zh_yaml_node_kind(root), ZH_YAML_MAP);
  assert_int_equal(zh_yaml_count(root), 2);
  assert_string_equal(zh_yaml_key(root, 1), "steps");
  assert_int_equal(zh_yaml_count(steps), 2);
  const zh_yaml_node *n = zh_yaml_get(zh_yaml_item(steps, 0), "n");
  assert_int_equal(zh_yaml_line(n), 3);
  assert_int_equal(zh_yaml_column(n), 18);
  assert_string_equal(zh_yaml_path(n), "s.yaml");
  assert_null(zh_yaml_get(root, "nothing"));
  assert_null(zh_yaml_get(n, "nothing"));
  assert_int_equal(zh_yaml_count(n), 0);
  zh_yaml_free(doc);
  zh_yaml_free(NULL);
}

static void an_unknown_key_is_shown_with_a_caret(void **state) {
  (void)state;
  static const char *const keys[] = {"warmup", "repeats", NULL};
  zh_error near = ZH_ERROR_INIT, far = ZH_ERROR_INIT;
  zh_yaml_doc *doc = load("\n    warmpu: 3\n"), *other = load("x: 1\n");
  assert_int_equal(zh_yaml_expect_keys(zh_yaml_root(doc), keys, &near), ZH_ERR_INPUT);
  assert_string_equal(near.message, "s.yaml:2:5: unknown key 'warmpu'; did you mean 'warmup'?\n"
                                    "  2 |     warmpu: 3\n"
                                    "    |     ^~~~~~");
  assert_int_equal(zh_yaml_expect_keys(zh_yaml_root(other), keys, &far), ZH_ERR_INPUT);
  assert_string_equal(far.message, "s.yaml:1:1: unknown key 'x'; expected warmup or repeats\n"
                                   "  1 | x: 1\n"
                                   "    | ^");
  zh_yaml_free(doc);
  zh_yaml_free(other);
}

static void carets_stand_below_wide_characters_and_tabs(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT, tab = ZH_ERROR_INIT;
  int64_t value;
  zh_yaml_doc *doc = load("{模型: 智衡一号, n: 很多}\n"), *tabs = load("{a:\t1,\tb: x}\n");
  assert_int_equal(zh_yaml_int(&value, zh_yaml_get(zh_yaml_root(doc), "n"), 0, 9, &err),
                   ZH_ERR_INPUT);
  assert_string_equal(err.message, "s.yaml:1:15: expected a whole number, found '很多'\n"
                                   "  1 | {模型: 智衡一号, n: 很多}\n"
                                   "    |                     ^~~~");
  assert_int_equal(zh_yaml_int(&value, zh_yaml_get(zh_yaml_root(tabs), "b"), 0, 9, &tab),
                   ZH_ERR_INPUT);
  assert_string_equal(tab.message, "s.yaml:1:11: expected a whole number, found 'x'\n"
                                   "  1 | {a:\t1,\tb: x}\n"
                                   "    |    \t  \t   ^");
  zh_yaml_free(doc);
  zh_yaml_free(tabs);
}

static void long_lines_are_shown_around_the_mistake(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  char text[5000];
  int64_t value;
  memset(text, ' ', sizeof text);
  memcpy(text, "{a: 1,", 6);
  memcpy(text + 3000, "b: x,", 5);
  strcpy(text + sizeof text - 2, "}");
  zh_yaml_doc *doc = load(text);
  assert_int_equal(zh_yaml_int(&value, zh_yaml_get(zh_yaml_root(doc), "b"), 0, 9, &err),
                   ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "s.yaml:1:3004: "));
  assert_non_null(strstr(err.message, "b: x,"));
  assert_true(strlen(err.message) < 600);
  zh_yaml_free(doc);
}

static void what_is_not_one_plain_document_is_refused(void **state) {
  (void)state;
#define REFUSED(text, expected) refused(text, sizeof text - 1, expected)
  REFUSED("", "s.yaml:1:1: the file is empty");
  REFUSED("# only a comment\n", "s.yaml:1:1: the file is empty");
  REFUSED("a: 1\nb: 2\na: 3\n",
          "s.yaml:3:1: the key 'a' stands here again; line 1 has it already\n  3 | a: 3");
  REFUSED("a: &x 1\nb: *x\n",
          "s.yaml:2:4: aliases ('*name') are not used here; write the value again");
  REFUSED("--- a\n--- b\n", "s.yaml:2:1: a second document begins here");
  REFUSED("a: !!int 3\n", "s.yaml:1:4: tags");
  REFUSED("[a]: b\n", "s.yaml:1:1: a key must be a word");
  REFUSED("a: 1\nb: x\xFFy\n", "s.yaml:2:5: byte 0xFF is not valid UTF-8");
  REFUSED("\xFF\xFE"
          "a\0:\0",
          "s.yaml:1:1: byte 0xFF");
  REFUSED("a: \"\\0\"\n", "s.yaml:1:4: text must not hold a NUL character");
  REFUSED("a: [1, 2\n", "s.yaml:");
  REFUSED("a: \0\n", "s.yaml:1:");
  REFUSED("a: 1\n b: 2\n", "s.yaml:2:3: not valid YAML: mapping values are not allowed");
  REFUSED("a: \x1B[31m\n", "s.yaml:");
#undef REFUSED
  zh_yaml_doc *doc = load("\xEF\xBB\xBF"
                          "a: 1\n");
  assert_non_null(zh_yaml_get(zh_yaml_root(doc), "a"));
  zh_yaml_free(doc);
}

static void deep_nesting_is_refused_at_once(void **state) {
  (void)state;
  static const char *const units[] = {"[", "{a: ", "- ", "? "};
  enum { BYTES = 1 << 20 };
  char *text = malloc(BYTES);
  for (size_t u = 0; u < 4; u++) {
    size_t size = strlen(units[u]);
    for (size_t i = 0; i + size <= BYTES; i += size) memcpy(text + i, units[u], size);
    clock_t begin = clock();
    zh_yaml_doc *doc;
    zh_error err = ZH_ERROR_INIT;
    assert_int_equal(zh_yaml_load_text(&doc, text, BYTES / size * size, "s.yaml", &err),
                     ZH_ERR_INPUT);
    assert_true(clock() - begin < 2 * CLOCKS_PER_SEC);
    if (u < 3) assert_non_null(strstr(err.message, "nested deeper than 32 levels"));
  }
  free(text);
}

static void many_keys_are_checked_quickly(void **state) {
  (void)state;
  char *text = malloc(1 << 20), *at = text;
  for (int i = 0; at < text + (1 << 20) - 16; i++) at += sprintf(at, "k%x:\n", (unsigned)i);
  clock_t begin = clock();
  zh_yaml_doc *doc = load(text);
  assert_true(clock() - begin < 5 * CLOCKS_PER_SEC);
  assert_true(zh_yaml_count(zh_yaml_root(doc)) > 100000);
  zh_yaml_free(doc);
  free(text);
}

static void values_are_read_by_type(void **state) {
  (void)state;
  static const char *const words[] = {"at_least", "at_most", NULL}, *const units[] = {"s", "ms",
                                                                                      "%", NULL};
  zh_yaml_doc *doc = load("{i: -3, r: 2.5e-1, b: true, w: at_most, q: 300 s, p: 1 %, s: \"x y\"}");
  const zh_yaml_node *root = zh_yaml_root(doc);
  int64_t whole;
  double real;
  bool yes;
  size_t index;
  const char *text;
  assert_int_equal(zh_yaml_int(&whole, zh_yaml_get(root, "i"), -3, 9, NULL), ZH_OK);
  assert_int_equal(whole, -3);
  assert_int_equal(zh_yaml_real(&real, zh_yaml_get(root, "r"), 0, 1, NULL), ZH_OK);
  assert_true(real == 0.25);
  assert_int_equal(zh_yaml_bool(&yes, zh_yaml_get(root, "b"), NULL), ZH_OK);
  assert_true(yes);
  assert_int_equal(zh_yaml_word(&index, zh_yaml_get(root, "w"), words, NULL), ZH_OK);
  assert_int_equal(index, 1);
  assert_int_equal(zh_yaml_quantity(&real, &index, zh_yaml_get(root, "q"), units, NULL), ZH_OK);
  assert_true(real == 300 && index == 0);
  assert_int_equal(zh_yaml_quantity(&real, &index, zh_yaml_get(root, "p"), units, NULL), ZH_OK);
  assert_true(real == 1 && index == 2);
  assert_int_equal(zh_yaml_string(&text, zh_yaml_get(root, "s"), NULL), ZH_OK);
  assert_string_equal(text, "x y");
  assert_int_equal(zh_yaml_require(&root, root, "nope", NULL), ZH_ERR_INPUT);
  zh_yaml_free(doc);
}

typedef zh_status check(const zh_yaml_node *node, zh_error *err);

static zh_status as_int(const zh_yaml_node *node, zh_error *err) {
  int64_t value;
  return zh_yaml_int(&value, node, 1, 10, err);
}
static zh_status as_real(const zh_yaml_node *node, zh_error *err) {
  double value;
  return zh_yaml_real(&value, node, 0, 1, err);
}
static zh_status as_bool(const zh_yaml_node *node, zh_error *err) {
  bool value;
  return zh_yaml_bool(&value, node, err);
}
static zh_status as_text(const zh_yaml_node *node, zh_error *err) {
  const char *value;
  return zh_yaml_string(&value, node, err);
}
static zh_status as_word(const zh_yaml_node *node, zh_error *err) {
  static const char *const words[] = {"at_least", "at_most", NULL};
  size_t index;
  return zh_yaml_word(&index, node, words, err);
}
static zh_status as_seconds(const zh_yaml_node *node, zh_error *err) {
  static const char *const units[] = {"s", "ms", NULL};
  double value;
  size_t index;
  return zh_yaml_quantity(&value, &index, node, units, err);
}
static zh_status as_list(const zh_yaml_node *node, zh_error *err) {
  return zh_yaml_expect(node, ZH_YAML_LIST, "steps", err);
}

static void wrong_values_say_what_was_expected(void **state) {
  (void)state;
  static const struct {
    const char *value, *expected;
    check *read;
  } cases[] = {
      {"3.5", "expected a whole number, found '3.5'", as_int},
      {"11", "expected a whole number from 1 to 10, found 11", as_int},
      {"99999999999999999999", "expected a whole number from 1 to 10", as_int},
      {"--1", "expected a whole number, found '--1'", as_int},
      {"\"3\"", "expected a whole number, found text in quotes; remove the quotes", as_int},
      {"[3]", "expected a whole number, found a list", as_int},
      {"", "expected a whole number, found nothing", as_int},
      {"inf", "expected a number, found 'inf'", as_real},
      {"nan", "expected a number, found 'nan'", as_real},
      {"0x1p-1", "expected a number, found '0x1p-1'", as_real},
      {"1e999", "expected a number, found '1e999'", as_real},
      {"1.5", "expected a number from 0 to 1, found 1.5", as_real},
      {"yes", "expected true or false, found 'yes'", as_bool},
      {"", "expected text, found nothing", as_text},
      {"''", "expected text, found nothing between the quotes", as_text},
      {"at_mots", "unknown word 'at_mots'; did you mean 'at_most'?", as_word},
      {"never", "unknown word 'never'; expected at_least or at_most", as_word},
      {"300", "the unit is missing: write '300 s'; units here are s or ms", as_seconds},
      {"300s", "expected a space between number and unit, found '300s'", as_seconds},
      {"300 hours", "unknown unit 'hours'; expected s or ms", as_seconds},
      {"soon", "expected a number, a space and a unit, as in '10 s', found 'soon'", as_seconds},
      {"x", "expected steps (a list), found a single value", as_list},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[100], expected[200];
    zh_error err = ZH_ERROR_INIT;
    snprintf(text, sizeof text, "v: %s\n", cases[i].value);
    snprintf(expected, sizeof expected, ": %s", cases[i].expected);
    zh_yaml_doc *doc = load(text);
    assert_int_equal(cases[i].read(zh_yaml_get(zh_yaml_root(doc), "v"), &err), ZH_ERR_INPUT);
    if (strstr(err.message, expected) == NULL) fail_msg("'%s' lacks '%s'", err.message, expected);
    assert_non_null(strstr(err.message, "\n  1 | v:"));
    assert_non_null(strstr(err.message, "^"));
    zh_yaml_free(doc);
  }
}

static void files_that_are_no_files_are_refused(void **state) {
  (void)state;
  const char *folder = test_folder();
  char path[600];
  zh_yaml_doc *doc;
  zh_error a = ZH_ERROR_INIT, b = ZH_ERROR_INIT, c = ZH_ERROR_INIT;
  snprintf(path, sizeof path, "%s/fifo", folder);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(zh_yaml_load_file(&doc, path, &a), ZH_ERR_INPUT);
  assert_non_null(strstr(a.message, "is a pipe; a file was expected"));
  assert_int_equal(zh_yaml_load_file(&doc, folder, &b), ZH_ERR_INPUT);
  assert_non_null(strstr(b.message, "is a folder"));
  remove(path);
  assert_int_equal(zh_yaml_load_file(&doc, path, &c), ZH_ERR_INPUT);
  assert_non_null(strstr(c.message, "No such file"));
  assert_null(doc);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_tree_keeps_order_and_places),
      cmocka_unit_test(an_unknown_key_is_shown_with_a_caret),
      cmocka_unit_test(carets_stand_below_wide_characters_and_tabs),
      cmocka_unit_test(long_lines_are_shown_around_the_mistake),
      cmocka_unit_test(what_is_not_one_plain_document_is_refused),
      cmocka_unit_test(deep_nesting_is_refused_at_once),
      cmocka_unit_test(many_keys_are_checked_quickly),
      cmocka_unit_test(values_are_read_by_type),
      cmocka_unit_test(wrong_values_say_what_was_expected),
      cmocka_unit_test(files_that_are_no_files_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
