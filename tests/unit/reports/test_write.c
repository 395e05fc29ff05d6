/* Report folders: whole or absent, ours or untouched; and what verify sees. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/digest.h"
#include "core/files.h"
#include "core/manifest.h"
#include "reports/pdf.h"
#include "reports/reports.h"
#include "tests/unit/folder.h"

static const char *const GOLDEN = ZH_SOURCE_DIR "/tests/golden/report/evaluation.json";

static int enter(void **state) {
  return empty_test_folder(state) == 0 && chdir(test_folder()) == 0 ? 0 : -1;
}

static int leave(void **state) {
  (void)state;
  return chdir("/");
}

static zh_status write_report(const char *evaluation, const char *out, const char *language,
                              bool pdf, zh_report_result *result, zh_error *err) {
  const zh_report_options options = {evaluation, language, out, pdf};
  *err = (zh_error)ZH_ERROR_INIT;
  return zh_report_write(result, &options, err);
}

static void put(const char *path, const char *text) {
  assert_int_equal(zh_write_file(path, text, strlen(text), NULL), ZH_OK);
}

static void test_writes_pages_and_manifest(void **state) {
  (void)state;
  zh_report_result result;
  zh_error err;
  char *what = NULL, before[ZH_DIGEST_HEX], after[ZH_DIGEST_HEX];
  assert_int_equal(write_report(GOLDEN, "r/", NULL, false, &result, &err), ZH_OK);
  assert_string_equal(result.folder, "r");
  assert_false(result.pdf_written);
  assert_true(zh_is_file("r/report.zh.html") && zh_is_file("r/report.en.html"));
  assert_int_equal(zh_digest_file(before, ZH_SM3, GOLDEN, NULL), ZH_OK);
  assert_int_equal(zh_digest_file(after, ZH_SM3, "r/evaluation.json", NULL), ZH_OK);
  assert_string_equal(before, after);
  assert_int_equal(zh_verify(&what, "r", &err), ZH_OK);
  assert_non_null(strstr(what, "not found beside it"));
  free(what);
  char *html = NULL;
  size_t length;
  assert_int_equal(zh_read_file(&html, &length, "r/report.zh.html", 1 << 20, NULL), ZH_OK);
  assert_non_null(strstr(html, before)); /* the page names the digest of the very file */
  free(html);
}

static void test_replaces_only_reports(void **state) {
  (void)state;
  zh_report_result result;
  zh_error err;
  assert_int_equal(write_report(GOLDEN, "r", NULL, false, &result, &err), ZH_OK);
  assert_int_equal(write_report(GOLDEN, "r", "en", false, &result, &err), ZH_OK);
  assert_false(zh_is_file("r/report.zh.html")); /* replaced, not mixed */
  assert_true(zh_is_file("r/report.en.html"));
  put("r/notes.txt", "mine");
  assert_int_equal(write_report(GOLDEN, "r", NULL, false, &result, &err), ZH_ERR_USAGE);
  assert_non_null(strstr(err.message, "notes.txt"));
  assert_true(zh_is_file("r/notes.txt") && !zh_is_file("r/report.zh.html"));
  assert_int_equal(mkdir("other", 0755), 0);
  put("other/evaluation.json", "{}");
  assert_int_equal(write_report(GOLDEN, "other", NULL, false, &result, &err), ZH_ERR_USAGE);
  put("file", "x");
  assert_int_equal(write_report(GOLDEN, "file", NULL, false, &result, &err), ZH_ERR_USAGE);
}

static void test_failure_leaves_nothing(void **state) {
  (void)state;
  zh_report_result result;
  zh_error err;
  zh_file_list list = {0};
  put("evaluation.json", "{\"schema\":\"zhiheng.evaluation/1\"}");
  assert_int_equal(write_report("evaluation.json", NULL, NULL, false, &result, &err), ZH_ERR_INPUT);
  assert_int_equal(write_report("absent.json", "r", NULL, false, &result, &err), ZH_ERR_INPUT);
  assert_int_equal(write_report(GOLDEN, "r", "fr", false, &result, &err), ZH_ERR_USAGE);
  assert_int_equal(zh_list_files(&list, ".", &err), ZH_OK);
  assert_int_equal(list.count, 1); /* the input alone */
  assert_false(zh_is_dir("report") || zh_is_dir("r"));
  zh_file_list_free(&list);
}

static void test_verify_names_the_first_difference(void **state) {
  (void)state;
  zh_report_result result;
  zh_error err;
  char *what = NULL;
  assert_int_equal(write_report(GOLDEN, "r", NULL, false, &result, &err), ZH_OK);
  put("r/report.en.html", "forged");
  assert_int_equal(zh_verify(&what, "r", &err), ZH_ERR_CHECK);
  assert_non_null(strstr(err.message, "report.en.html"));
  assert_null(what);
  err = (zh_error)ZH_ERROR_INIT;
  assert_int_equal(zh_verify(&what, "absent", &err), ZH_ERR_INPUT);
  assert_int_equal(mkdir("empty", 0755), 0);
  err = (zh_error)ZH_ERROR_INIT;
  assert_int_equal(zh_verify(&what, "empty", &err), ZH_ERR_INPUT);
}

/* A bundle whose files are what the sample quotes. */
static void make_bundle(json_t *evaluation) {
  json_t *entry = json_array_get(json_object_get(evaluation, "bundle"), 0);
  json_t *lines = json_object_get(evaluation, "measurements");
  assert_int_equal(zh_make_dirs("sample/environment", NULL), ZH_OK);
  assert_int_equal(zh_json_write_file(json_object_get(entry, "run"), "sample/run.json", NULL),
                   ZH_OK);
  assert_int_equal(zh_json_write_file(json_object_get(entry, "machine"),
                                      "sample/environment/machine.json", NULL),
                   ZH_OK);
  json_t *audit = json_pack("{s:s, s:O}", "schema", "zhiheng.audit/1", "models",
                            json_object_get(evaluation, "models"));
  assert_int_equal(zh_json_write_file(audit, "sample/audit.json", NULL), ZH_OK);
  json_decref(audit);
  for (size_t i = 0; i < json_array_size(lines); i++) {
    json_t *line = json_copy(json_array_get(lines, i));
    char *text = NULL;
    json_object_del(line, "bundle");
    json_object_del(line, "line");
    assert_int_equal(zh_json_dump_line(&text, line, NULL), ZH_OK);
    assert_int_equal(zh_append_line("sample/measurements.jsonl", text, NULL), ZH_OK);
    free(text);
    json_decref(line);
  }
}

/* The evaluation with the digests of that bundle. */
static void write_evaluation(json_t *evaluation) {
  char digest[ZH_DIGEST_HEX];
  json_t *finding;
  size_t i, j;
  assert_int_equal(zh_manifest_write("sample", NULL), ZH_OK);
  assert_int_equal(zh_manifest_verify("sample", digest, NULL), ZH_OK);
  json_object_set_new(json_array_get(json_object_get(evaluation, "bundle"), 0), "manifest_sm3",
                      json_string(digest));
  json_array_foreach(json_object_get(evaluation, "findings"), i, finding) {
    json_t *evidence;
    json_array_foreach(json_object_get(finding, "evidence"), j, evidence) {
      char path[256];
      if (!json_is_integer(json_object_get(evidence, "bundle"))) continue; /* a paper */
      snprintf(path, sizeof path, "sample/%s",
               json_string_value(json_object_get(evidence, "file")));
      assert_int_equal(zh_digest_file(digest, ZH_SM3, path, NULL), ZH_OK);
      json_object_set_new(evidence, "sm3", json_string(digest));
    }
  }
  assert_int_equal(zh_json_write_file(evaluation, "evaluation.json", NULL), ZH_OK);
}

static json_t *sample_with_bundle(void) {
  json_t *evaluation = NULL;
  assert_int_equal(zh_json_load_file(&evaluation, GOLDEN, 0, NULL), ZH_OK);
  make_bundle(evaluation);
  write_evaluation(evaluation);
  return evaluation;
}

static void expect_difference(const char *word) {
  zh_error err = ZH_ERROR_INIT;
  char *what = NULL;
  assert_int_equal(zh_verify(&what, "evaluation.json", &err), ZH_ERR_CHECK);
  assert_non_null(strstr(err.message, word));
}

static void test_an_evaluation_must_quote_its_bundle(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_report_result result;
  char *what = NULL;
  json_t *evaluation = sample_with_bundle();
  assert_int_equal(zh_verify(&what, "evaluation.json", &err), ZH_OK);
  assert_non_null(strstr(what, "quotes it as it is"));
  free(what);
  assert_int_equal(write_report("evaluation.json", NULL, "en", false, &result, &err), ZH_OK);
  assert_int_equal(zh_verify(&what, "report", &err),
                   ZH_OK); /* the bundle is found from the report too */
  assert_non_null(strstr(what, "quotes it as it is"));
  free(what);

  json_t *line = json_array_get(json_object_get(evaluation, "measurements"), 3);
  json_t *value = json_incref(json_object_get(line, "value"));
  json_object_set_new(line, "value", json_real(1e15));
  assert_int_equal(zh_json_write_file(evaluation, "evaluation.json", NULL), ZH_OK);
  expect_difference("measurements.jsonl line 4");
  json_object_set_new(line, "value", value);
  json_object_set_new(line, "line", json_integer(999));
  assert_int_equal(zh_json_write_file(evaluation, "evaluation.json", NULL), ZH_OK);
  expect_difference("of which");
  json_object_set_new(line, "line", json_integer(4));

  json_t *parameters =
      json_object_get(json_array_get(json_object_get(evaluation, "models"), 0), "parameters");
  json_object_set_new(parameters, "unique", json_integer(200000000000));
  assert_int_equal(zh_json_write_file(evaluation, "evaluation.json", NULL), ZH_OK);
  expect_difference("audit");
  json_object_set_new(parameters, "unique", json_integer(134515008));

  json_t *run = json_object_get(json_array_get(json_object_get(evaluation, "bundle"), 0), "run");
  json_object_set_new(run, "ranks", json_integer(8));
  assert_int_equal(zh_json_write_file(evaluation, "evaluation.json", NULL), ZH_OK);
  expect_difference("run.json");
  json_decref(evaluation);
}

static void test_another_bundle_under_the_name_is_seen(void **state) {
  (void)state;
  json_t *evaluation = sample_with_bundle();
  put("sample/suite.yaml", "suite: other\n");
  expect_difference("suite.yaml"); /* not in its manifest */
  assert_int_equal(zh_manifest_write("sample", NULL), ZH_OK);
  expect_difference("MANIFEST.sm3"); /* whole, but not the one evaluated */
  json_decref(evaluation);
}

/* A WeasyPrint of our own on PATH. */
static void fake_weasyprint(const char *script) {
  assert_int_equal(zh_make_dirs("bin", NULL), ZH_OK);
  put("bin/weasyprint", script);
  assert_int_equal(chmod("bin/weasyprint", 0755), 0);
  char path[300];
  snprintf(path, sizeof path, "%s/bin:/usr/bin:/bin", test_folder());
  assert_int_equal(setenv("PATH", path, 1), 0);
}

static void expect_no_pdf(int timeout, const char *word) {
  zh_error err = ZH_ERROR_INIT;
  put("in.html", "<p>x</p>");
  assert_int_equal(zh_pdf_print("out.pdf", "in.html", "in.html", 0, timeout, &err), ZH_ERR_LACKING);
  assert_non_null(strstr(err.message, word));
  assert_false(zh_is_file("out.pdf") || zh_is_file("out.pdf.log"));
}

static void test_a_failing_weasyprint_is_named(void **state) {
  (void)state;
  char *path = strdup(getenv("PATH"));
  fake_weasyprint("#!/bin/sh\necho started; echo 'no such font' >&2\nexit 7\n");
  expect_no_pdf(10, "status 7: no such font");
  fake_weasyprint("#!/bin/sh\nexit 0\n");
  expect_no_pdf(10, "left no PDF");
  fake_weasyprint("#!/bin/sh\nkill -9 $$\n");
  expect_no_pdf(10, "signal 9");
  fake_weasyprint("#!/bin/sh\nfor last; do :; done\necho partial > \"$last\"\nsleep 60 & wait\n");
  time_t begin = time(NULL);
  expect_no_pdf(1, "longer than 1 s");
  assert_true(time(NULL) - begin < 20);
  assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
  expect_no_pdf(1, "not installed");
  assert_int_equal(setenv("PATH", path, 1), 0);
  free(path);
}

static void test_html_stands_without_weasyprint(void **state) {
  (void)state;
  zh_report_result result;
  zh_error err;
  char *path = strdup(getenv("PATH"));
  assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
  assert_int_equal(write_report(GOLDEN, "r", NULL, true, &result, &err), ZH_OK);
  assert_false(result.pdf_written);
  assert_non_null(strstr(result.pdf_reason, "not installed"));
  assert_true(zh_is_file("r/report.zh.html"));
  assert_int_equal(setenv("PATH", path, 1), 0);
  free(path);
}

/* The child is told the date of the run and the evaluation to attach. */
static void test_pdf_is_dated_by_the_run(void **state) {
  (void)state;
  zh_report_result result;
  zh_error err;
  char *path = strdup(getenv("PATH")), *text = NULL;
  size_t length;
  fake_weasyprint("#!/bin/sh\nfor last; do :; done\nprintf '%%PDF-1.7 %s %s' "
                  "\"$SOURCE_DATE_EPOCH\" \"$*\" > \"$last\"\n");
  assert_int_equal(write_report(GOLDEN, "r", "en", true, &result, &err), ZH_OK);
  assert_true(result.pdf_written);
  assert_int_equal(zh_read_file(&text, &length, "r/report.en.pdf", 1 << 16, NULL), ZH_OK);
  assert_non_null(strstr(text, "%PDF-1.7 1795255847 ")); /* 2026-11-21T10:10:47Z */
  assert_non_null(strstr(text, "evaluation.json"));
  free(text);
  assert_int_equal(setenv("PATH", path, 1), 0);
  free(path);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)
  const struct CMUnitTest tests[] = {
      IN_FOLDER(test_writes_pages_and_manifest),
      IN_FOLDER(test_replaces_only_reports),
      IN_FOLDER(test_failure_leaves_nothing),
      IN_FOLDER(test_verify_names_the_first_difference),
      IN_FOLDER(test_an_evaluation_must_quote_its_bundle),
      IN_FOLDER(test_another_bundle_under_the_name_is_seen),
      IN_FOLDER(test_a_failing_weasyprint_is_named),
      IN_FOLDER(test_html_stands_without_weasyprint),
      IN_FOLDER(test_pdf_is_dated_by_the_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
