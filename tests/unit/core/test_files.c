#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/files.h"
#include "core/manifest.h"
#include "tests/unit/folder.h"

static const char *in_folder(const char *name) {
  static char paths[4][PATH_MAX];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, PATH_MAX, "%s/%s", test_folder(), name);
  return path;
}

static void put(const char *name, const char *text) {
  assert_int_equal(zh_write_file(in_folder(name), text, strlen(text), NULL), ZH_OK);
}

static size_t entries(void) {
  zh_file_list files;
  assert_int_equal(zh_list_files(&files, test_folder(), NULL), ZH_OK);
  size_t count = files.count;
  zh_file_list_free(&files);
  return count;
}

static void files_are_written_read_and_mapped(void **state) {
  (void)state;
  char *text;
  size_t length;
  zh_mapping map;
  put("a", "first");
  put("a", "second");
  assert_int_equal(zh_read_file(&text, &length, in_folder("a"), 6, NULL), ZH_OK);
  assert_string_equal(text, "second");
  assert_int_equal(length, 6);
  free(text);
  assert_int_equal(zh_read_file(&text, &length, in_folder("a"), 5, NULL), ZH_ERR_INPUT);
  assert_null(text);
  assert_int_equal(zh_map_file(&map, in_folder("a"), NULL), ZH_OK);
  assert_int_equal(map.bytes, 6);
  assert_memory_equal(map.data, "second", 6);
  zh_unmap(&map);
  assert_null(map.data);
  put("empty", "");
  assert_int_equal(zh_map_file(&map, in_folder("empty"), NULL), ZH_OK);
  assert_null(map.data);
  zh_unmap(&map);
  zh_unmap(NULL);
  assert_int_equal(entries(), 2);
  assert_int_equal(zh_file_bytes(in_folder("a")), 6);
  assert_int_equal(zh_file_bytes(in_folder("b")), 0);
}

static void what_is_no_file_is_refused_without_waiting(void **state) {
  (void)state;
  zh_mapping map;
  zh_error errors[5] = {ZH_ERROR_INIT, ZH_ERROR_INIT, ZH_ERROR_INIT, ZH_ERROR_INIT, ZH_ERROR_INIT};
  alarm(10); /* a reader that waits on the pipe dies here */
  assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
  assert_int_equal(zh_map_file(&map, in_folder("fifo"), &errors[0]), ZH_ERR_INPUT);
  assert_non_null(strstr(errors[0].message, "is a pipe"));
  assert_int_equal(zh_map_file(&map, test_folder(), &errors[1]), ZH_ERR_INPUT);
  assert_non_null(strstr(errors[1].message, "is a folder"));
  assert_int_equal(zh_map_file(&map, "/dev/zero", &errors[2]), ZH_ERR_INPUT);
  assert_non_null(strstr(errors[2].message, "is a device"));
  assert_int_equal(zh_map_file(&map, in_folder("absent"), &errors[3]), ZH_ERR_INPUT);
  assert_non_null(strstr(errors[3].message, "No such file"));
  assert_int_equal(zh_write_file(in_folder("fifo"), "x", 1, &errors[4]), ZH_ERR_INPUT);
  assert_non_null(strstr(errors[4].message, "is a pipe; it is not replaced"));
  alarm(0);
}

/* The child may write 4096 bytes a file, as on a disk that fills up in the middle. */
static void write_past_the_limit(void) {
  static char bytes[100000];
  char line[6000];
  zh_error err = ZH_ERROR_INIT, line_err = ZH_ERROR_INIT;
  struct rlimit limit = {4096, 4096};
  memset(line, 'x', sizeof line - 1);
  line[sizeof line - 1] = 0;
  signal(SIGXFSZ, SIG_IGN);
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
  if (zh_write_file(in_folder("kept"), bytes, sizeof bytes, &err) != ZH_ERR_IO) _exit(3);
  if (zh_append_line(in_folder("journal"), line, &line_err) != ZH_ERR_IO) _exit(4);
  _exit(err.message[0] != 0 && line_err.message[0] != 0 ? 0 : 5);
}

static void a_file_in_pieces_appears_when_it_is_whole(void **state) {
  (void)state;
  char *text;
  zh_writer *writer;
  put("kept", "old");
  assert_int_equal(zh_writer_open(&writer, in_folder("kept"), NULL), ZH_OK);
  assert_int_equal(zh_writer_put(writer, "ne", 2, NULL), ZH_OK);
  assert_int_equal(zh_read_file(&text, NULL, in_folder("kept"), 9, NULL), ZH_OK);
  assert_string_equal(text, "old");
  free(text);
  assert_int_equal(zh_writer_put(writer, "w", 1, NULL), ZH_OK);
  assert_int_equal(zh_writer_commit(writer, NULL), ZH_OK);
  assert_int_equal(zh_writer_open(&writer, in_folder("kept"), NULL), ZH_OK);
  assert_int_equal(zh_writer_put(writer, "lost", 4, NULL), ZH_OK);
  zh_writer_abandon(writer);
  zh_writer_abandon(NULL);
  assert_int_equal(entries(), 1);
  assert_int_equal(zh_read_file(&text, NULL, in_folder("kept"), 9, NULL), ZH_OK);
  assert_string_equal(text, "new");
  free(text);
}

static void a_full_disk_leaves_the_old_file_and_no_rubbish(void **state) {
  (void)state;
  char *text;
  int status;
  put("kept", "old");
  assert_int_equal(zh_append_line(in_folder("journal"), "{\"n\":1}", NULL), ZH_OK);
  pid_t child = fork();
  if (child == 0) write_past_the_limit();
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(entries(), 2);
  assert_int_equal(zh_read_file(&text, NULL, in_folder("kept"), 100, NULL), ZH_OK);
  assert_string_equal(text, "old");
  free(text);
  assert_int_equal(zh_append_line(in_folder("journal"), "{\"n\":2}", NULL), ZH_OK);
  assert_int_equal(zh_read_file(&text, NULL, in_folder("journal"), 100, NULL), ZH_OK);
  assert_string_equal(text, "{\"n\":1}\n{\"n\":2}\n");
  free(text);
}

static void a_missing_folder_is_named(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_write_file(in_folder("no/such/file"), "x", 1, &err), ZH_ERR_IO);
  assert_non_null(
      strstr(err.message, "no/such/file: cannot be written: No such file or directory"));
}

static void folders_are_made_listed_and_removed(void **state) {
  (void)state;
  zh_file_list files;
  zh_error err = ZH_ERROR_INIT, made = ZH_ERROR_INIT;
  assert_int_equal(zh_make_dirs(in_folder("x/y//z/"), NULL), ZH_OK);
  assert_int_equal(zh_make_dirs(in_folder("x/y/z"), NULL), ZH_OK);
  put("x/y/z/b", "1");
  put("x/y.a", "2");
  put("x/a", "3");
  put("w", "4");
  assert_int_equal(zh_make_dirs(in_folder("w/v"), &made), ZH_ERR_IO);
  assert_non_null(strstr(made.message, "Not a directory"));
  /* The reason is that of making the folder, not of looking whether it is there. */
  zh_error nowhere = ZH_ERROR_INIT;
  assert_int_equal(symlink("nowhere", in_folder("dangling")), 0);
  assert_int_equal(zh_make_dirs(in_folder("dangling"), &nowhere), ZH_ERR_IO);
  assert_non_null(strstr(nowhere.message, "Not a directory"));
  assert_int_equal(unlink(in_folder("dangling")), 0);
  char slash[PATH_MAX];
  snprintf(slash, sizeof slash, "%s/", test_folder());
  assert_int_equal(zh_list_files(&files, slash, NULL), ZH_OK);
  assert_int_equal(files.count, 4);
  assert_string_equal(files.paths[0], "w");
  assert_string_equal(files.paths[1], "x/a");
  assert_string_equal(files.paths[2], "x/y.a");
  assert_string_equal(files.paths[3], "x/y/z/b");
  zh_file_list_free(&files);
  zh_file_list_free(&files);
  assert_int_equal(symlink("/etc/passwd", in_folder("x/link")), 0);
  assert_int_equal(zh_list_files(&files, test_folder(), &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "x/link: is a symbolic link"));
  assert_null(files.paths);
  assert_int_equal(zh_remove_tree(in_folder("x"), NULL), ZH_OK);
  assert_false(zh_is_dir(in_folder("x")));
  assert_true(zh_is_file("/etc/passwd"));
  assert_int_equal(zh_remove_tree(in_folder("x"), NULL), ZH_OK);
}

static void a_removed_link_leaves_its_target(void **state) {
  (void)state;
  assert_int_equal(zh_make_dirs(in_folder("target"), NULL), ZH_OK);
  put("target/precious", "x");
  assert_int_equal(symlink(in_folder("target"), in_folder("link")), 0);
  assert_int_equal(zh_remove_tree(in_folder("link"), NULL), ZH_OK);
  assert_true(zh_is_file(in_folder("target/precious")));
  assert_false(zh_is_dir(in_folder("link")));
}

static void places_are_found_from_a_build_tree(void **state) {
  (void)state;
  char path[PATH_MAX];
  unsetenv("ZHIHENG_DATA");
  unsetenv("ZHIHENG_MODULES");
  assert_int_equal(zh_data_path(path, sizeof path, "core/files.h", NULL), ZH_OK);
  assert_true(zh_is_file(path));
  assert_int_equal(zh_data_path(path, 5, "core/files.h", NULL), ZH_ERR_INPUT);
  setenv("ZHIHENG_DATA", test_folder(), 1);
  assert_int_equal(zh_data_path(path, sizeof path, "a/b", NULL), ZH_OK);
  assert_string_equal(path, in_folder("a/b"));
  setenv("ZHIHENG_DATA", "/no/such/folder", 1);
  assert_int_equal(zh_data_path(path, sizeof path, "a/b", NULL), ZH_ERR_LACKING);
  unsetenv("ZHIHENG_DATA");
  setenv("ZHIHENG_MODULES", "/opt/modules", 1);
  assert_int_equal(zh_module_path(path, sizeof path, "x.so", NULL), ZH_OK);
  assert_string_equal(path, "/opt/modules/x.so");
  unsetenv("ZHIHENG_MODULES");
  assert_int_equal(zh_program_path(path, sizeof path, "core_test_files", NULL), ZH_OK);
  assert_int_equal(path[0], '/');
  assert_int_equal(zh_program_path(path, sizeof path, "no-such-program", NULL), ZH_ERR_LACKING);
}

static void expect_verdict(zh_status wanted, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  char digest[ZH_DIGEST_HEX];
  assert_int_equal(zh_manifest_verify(test_folder(), digest, &err), wanted);
  if (words != NULL && strstr(err.message, words) == NULL)
    fail_msg("'%s' lacks '%s'", err.message, words);
}

static void a_manifest_finds_every_difference(void **state) {
  (void)state;
  char *text;
  expect_verdict(ZH_ERR_INPUT, "MANIFEST.sm3: cannot be read");
  assert_int_equal(zh_make_dirs(in_folder("b"), NULL), ZH_OK);
  put("b/c", "abc");
  put("Z", "abc");
  put("empty", "");
  assert_int_equal(zh_manifest_write(test_folder(), NULL), ZH_OK);
  assert_int_equal(zh_read_file(&text, NULL, in_folder(ZH_MANIFEST_NAME), 1000, NULL), ZH_OK);
  assert_string_equal(text,
                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0  Z\n"
                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0  b/c\n"
                      "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b  empty\n");
  free(text);
  expect_verdict(ZH_OK, NULL);
  put("b/c", "abd");
  expect_verdict(ZH_ERR_CHECK, "b/c: has changed");
  put("b/c", "abc");
  put("b/d", "abc");
  expect_verdict(ZH_ERR_CHECK, "b/d: is not in the manifest");
  remove(in_folder("b/d"));
  remove(in_folder("Z"));
  expect_verdict(ZH_ERR_CHECK, "Z: is missing");
  put("Z", "abc");
  expect_verdict(ZH_OK, NULL);
  put(ZH_MANIFEST_NAME, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0  ../Z\n");
  expect_verdict(ZH_ERR_INPUT, "MANIFEST.sm3:1: expected 64 lower-case hex digits");
  put(ZH_MANIFEST_NAME, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0  Z");
  expect_verdict(ZH_ERR_INPUT, "the last line is cut off");
}

static void forged_names_are_refused(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  put("a\nb", "x");
  assert_int_equal(zh_manifest_write(test_folder(), &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "control character"));
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup(f, empty_test_folder)
  const struct CMUnitTest tests[] = {
      TEST(files_are_written_read_and_mapped),
      TEST(what_is_no_file_is_refused_without_waiting),
      TEST(a_file_in_pieces_appears_when_it_is_whole),
      TEST(a_full_disk_leaves_the_old_file_and_no_rubbish),
      TEST(a_missing_folder_is_named),
      TEST(folders_are_made_listed_and_removed),
      TEST(a_removed_link_leaves_its_target),
      TEST(places_are_found_from_a_build_tree),
      TEST(a_manifest_finds_every_difference),
      TEST(forged_names_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
