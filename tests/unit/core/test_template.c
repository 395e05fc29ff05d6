/* What templates refuse, and where they end. What they compute: oracle.template. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/template.h"
#include "core/text.h"

static zh_status render(char **out, const char *source, size_t length,
                        const zh_template_limits *limits, zh_error *err) {
  zh_template *tpl;
  size_t written;
  *out = NULL;
  ZH_TRY(zh_template_parse(&tpl, source, length, &zh_template_chat, err));
  json_t *values = json_pack("{s:[i,i,i], s:s}", "list", 1, 2, 3, "text", "你好");
  zh_status status = zh_template_render(out, &written, tpl, values, limits, err);
  if (status == ZH_OK) assert_int_equal(written, strlen(*out));
  json_decref(values);
  zh_template_free(tpl);
  return status;
}

static void refuses(const char *source, const zh_template_limits *limits, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  char *text;
  zh_status status = render(&text, source, strlen(source), limits, &err);
  if (status != ZH_ERR_INPUT) fail_msg("%s: status %d, '%s'", source, status, text ? text : "");
  assert_null(text);
  if (!strstr(err.message, words)) fail_msg("'%s' does not say '%s'", err.message, words);
}

static void writes(const char *source, const char *expected) {
  zh_error err = ZH_ERROR_INIT;
  char *text;
  if (render(&text, source, strlen(source), NULL, &err) != ZH_OK)
    fail_msg("%s: %s", source, err.message);
  assert_string_equal(text, expected);
  free(text);
}

static void what_is_not_known_is_named_with_its_place(void **state) {
  (void)state;
  refuses("a\n  {{ text | uper }}", NULL,
          "template line 2, column 13: the filter 'uper' is not known to this version; did you "
          "mean 'upper'?");
  refuses("{{ 1 is prime }}", NULL, "column 9: the test 'prime' is not known");
  refuses("{% include 'x' %}", NULL, "column 4: the tag 'include' is not known");
  refuses("{% fro x in list %}{% endfor %}", NULL, "did you mean 'for'?");
  refuses("{% for x in list recursive %}{% endfor %}", NULL, "'recursive' loops");
  refuses("你{{ text.encode() }}", NULL, "column 9: the method 'encode' is not known");
  refuses("{{ list.append(1) }}", NULL, "'append' would change its value");
  refuses("{{ text.__class__ }}", NULL, "Python's inside");
  refuses("{{ nobody() }}", NULL, "'nobody' is undefined");
  refuses("{{ text.nothing.more }}", NULL, "'str' has no attribute or key 'nothing'");
  refuses("{{ list[0] + text }}", NULL, "'+' does not work on values of types 'int' and 'str'");
  refuses("{{ 9223372036854775807 + 1 }}", NULL, "beyond 64 bits");
  refuses("{{ 9223372036854775808 }}", NULL, "beyond 64 bits");
  refuses("{{ ('<'|safe).strip() }}", NULL, "can only be printed");
}

static void what_is_not_closed_is_named(void **state) {
  (void)state;
  refuses("{{ 'x }}", NULL, "has no end");
  refuses("{# x", NULL, "the comment that begins here has no end");
  refuses("{% raw %}{{", NULL, "the raw block that begins here has no end");
  refuses("{{ (1 }}", NULL, "unexpected '}', expected ')'");
  refuses("{{ 1", NULL, "has no end '}}'");
  refuses("{% if 1 %}", NULL, "the template ends before 'endif'");
  refuses("{% endfor %}", NULL, "does not belong to the block that is open");
  refuses("{% for x in list %}{% endif %}", NULL, "does not belong to the block that is open");
  refuses("{% break %}", NULL, "outside of a loop");
  refuses("{{ }}", NULL, "expected an expression");
  refuses("{{ 1 ? 2 }}", NULL, "unexpected character '?'");
}

/* As in Jinja: a template may ask first. */
static void what_is_not_known_may_stand_where_it_is_not_reached(void **state) {
  (void)state;
  writes("{% if 'sparkle' is filter %}{{ text | sparkle }}{% else %}no{% endif %}", "no");
  writes("{% if false and text is shiny %}{% elif true %}yes{% endif %}", "yes");
  refuses("{% if true %}\n{{ text | sparkle }}{% endif %}", NULL,
          "line 2, column 11: the filter 'sparkle' is not known");
  refuses("{% if text is shiny %}{% endif %}", NULL, "the test 'shiny' is not known");
  refuses("{% if true %}{% endif %}{{ text | sparkle }}", NULL, "the filter 'sparkle'");
}

static void everything_is_bounded(void **state) {
  (void)state;
  const zh_template_limits few = {.steps = 10000, .memory_bytes = 1 << 20, .output_bytes = 1000};
  refuses("{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}", &few,
          "more steps");
  refuses("{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
          "{% endfor %}",
          NULL, "more");
  refuses("{{ 'x' * 1001 }}", &few, "more text");
  refuses("{% set x = 'x' * 2000000 %}", &few, "more");
  refuses("{{ 'x' * 99999999999 }}", NULL, "more");
  refuses("{{ range(1000000) }}", NULL, "100000 numbers at most");
  refuses("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", NULL, "deeper than they may");
  refuses("{% set x %}{% for i in range(9) %}{{ 'x' * 200 }}{% endfor %}{% endset %}", &few,
          "more text");
  refuses("{{ ('a' * 1000)|replace('', 'b' * 1000000) }}", NULL, "too long");
  refuses("{{ '%999999999s' % 1 }}", NULL, "wide");
  refuses("{{ 2 ** 99999999999 }}", NULL, "beyond 64 bits");
}

static void nesting_ends_in_a_sentence(void **state) {
  static const char *const parts[][2] = {
      {"(", ")"},     {"[", "]"},    {"{1:", "}"},     {"not ", ""}, {"-", ""},
      {"text[", "]"}, {"1 if ", ""}, {"text.x(", ")"}, {"1+", ""},   {"1|default(", ")"}};
  (void)state;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    zh_text source = {0};
    zh_error err = ZH_ERROR_INIT;
    char *text;
    zh_text_puts(&source, "{{ ");
    for (int k = 0; k < 5000; k++) zh_text_puts(&source, parts[i][0]);
    zh_text_puts(&source, "1");
    for (int k = 0; k < 5000; k++) zh_text_puts(&source, parts[i][1]);
    zh_text_puts(&source, " }}");
    assert_int_equal(render(&text, source.data, source.length, NULL, &err), ZH_ERR_INPUT);
    assert_non_null(strstr(err.message, "nested deeper"));
    zh_text_free(&source);
  }
  zh_text source = {0};
  zh_error err = ZH_ERROR_INIT;
  char *text;
  for (int k = 0; k < 5000; k++) zh_text_puts(&source, "{% if 1 %}");
  assert_int_equal(render(&text, source.data, source.length, NULL, &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "nested deeper"));
  zh_text_free(&source);
}

static void bytes_that_are_no_text_are_refused(void **state) {
  zh_error err = ZH_ERROR_INIT;
  char *text;
  (void)state;
  assert_int_equal(render(&text, "ab\xFF", 3, NULL, &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "not valid UTF-8 from byte 2 on"));
  char *large = calloc((1 << 20) + 1, 1);
  err = (zh_error)ZH_ERROR_INIT;
  assert_int_equal(render(&text, large, (1 << 20) + 1, NULL, &err), ZH_ERR_INPUT);
  free(large);
}

static void one_template_is_rendered_again(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_template *tpl;
  const char *source = "{% set ns = namespace(n=0) %}{% for x in '智衡' %}{% set ns.n = ns.n + 1 %}"
                       "{{ x }}{% endfor %}{{ ns.n }}{{ x }}";
  assert_int_equal(zh_template_parse(&tpl, source, strlen(source), &zh_template_chat, &err), ZH_OK);
  for (int i = 0; i < 3; i++) {
    char *text;
    size_t length;
    assert_int_equal(zh_template_render(&text, &length, tpl, NULL, NULL, &err), ZH_OK);
    assert_string_equal(text, "智衡2");
    free(text);
  }
  zh_template_free(tpl);
  zh_template_free(NULL);
}

static void empty_templates_write_nothing(void **state) {
  (void)state;
  writes("", "");
  writes("{# x #}", "");
  writes("\n", "");
  writes("{{ text[::-1] }} {{ list|sum }}", "好你 6");
}

static void the_clock_is_the_callers(void **state) {
  (void)state;
  setenv("TZ", "UTC", 1);
  tzset();
  zh_error err = ZH_ERROR_INIT;
  char *text;
  const zh_template_limits limits = {.now = 1700000000};
  const char *source = "{{ strftime_now('%Y-%m-%d') }}{{ strftime_now('') }}";
  assert_int_equal(render(&text, source, strlen(source), &limits, &err), ZH_OK);
  assert_string_equal(text, "2023-11-14");
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_not_known_is_named_with_its_place),
      cmocka_unit_test(what_is_not_closed_is_named),
      cmocka_unit_test(what_is_not_known_may_stand_where_it_is_not_reached),
      cmocka_unit_test(everything_is_bounded),
      cmocka_unit_test(nesting_ends_in_a_sentence),
      cmocka_unit_test(bytes_that_are_no_text_are_refused),
      cmocka_unit_test(one_template_is_rendered_again),
      cmocka_unit_test(empty_templates_write_nothing),
      cmocka_unit_test(the_clock_is_the_callers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
