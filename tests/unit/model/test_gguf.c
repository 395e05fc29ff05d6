#include "files.h"

#include <sys/stat.h>
#include <unistd.h>

#include "model/room.h"

/* Two tensors and a value of every kind. The second tensor ends the file. */
static void make_valid(zh_text *b) {
  static const char *const words[] = {"one", "", "drei"};
  put_header(b, 3, 2, 15);
  put_key_string(b, "general.architecture", "llama");
  put_key_string(b, "general.size_label", "7\x01M");
  put_key_u32(b, "general.alignment", 64);
  put_key(b, "t.u8", 0), put_u8(b, 200);
  put_key(b, "t.i8", 1), put_u8(b, 0xff);
  put_key(b, "t.u16", 2), zh_text_append(b, "\x34\x12", 2);
  put_key(b, "t.i16", 3), zh_text_append(b, "\xfe\xff", 2);
  put_key(b, "t.i32", 5), put_u32(b, 0xfffffffd);
  put_key_f32(b, "t.f32", 1.5f);
  put_key(b, "t.bool", 7), put_u8(b, 1);
  put_key(b, "t.u64", 10), put_u64(b, UINT64_C(1) << 40);
  put_key(b, "t.i64", 11), put_u64(b, UINT64_MAX);
  put_key(b, "t.f64", 12), put_u64(b, 0x4004000000000000); /* 2.5 */
  put_key_strings(b, "t.words", words, 3);
  put_key(b, "t.nested", 9), put_u32(b, 9), put_u64(b, 2);
  put_u32(b, 1), put_u64(b, 3), zh_text_append(b, "\x01\x02\x03", 3);
  put_u32(b, 8), put_u64(b, 1), put_string(b, "in");
  put_tensor(b, "blk.0.ffn_up.weight", 3, 64, 3, 0); /* Q4_1: 3 rows of two blocks of 20 bytes */
  put_tensor(b, "output_norm.weight", 0, 8, 0, 128);
  put_padding(b, 64);
  put_data(b, 128 + 32);
}

static void test_reads_values_and_tensors(void **state) {
  zh_text b = {0};
  uint64_t number;
  double real;
  bool yes = false;
  (void)state;
  make_valid(&b);
  zh_model *m = open_good(put_file("valid.gguf", b.data, b.length));
  assert_string_equal(zh_model_format(m), "gguf");
  assert_string_equal(zh_model_name(m), "valid.gguf");
  assert_string_equal(zh_model_declared_size(m), "7?M");
  assert_int_equal(zh_model_file_bytes(m), b.length);
  assert_true(zh_gguf_uint(&number, zh_gguf_find(m, "t.u8")) && number == 200);
  assert_false(zh_gguf_uint(&number, zh_gguf_find(m, "t.i8")));
  assert_true(zh_gguf_uint(&number, zh_gguf_find(m, "t.u16")) && number == 0x1234);
  assert_false(zh_gguf_uint(&number, zh_gguf_find(m, "t.i16")));
  assert_false(zh_gguf_uint(&number, zh_gguf_find(m, "t.i32")));
  assert_true(zh_gguf_uint(&number, zh_gguf_find(m, "t.u64")) && number == UINT64_C(1) << 40);
  assert_false(zh_gguf_uint(&number, zh_gguf_find(m, "t.i64")));
  assert_false(zh_gguf_uint(&number, zh_gguf_find(m, "t.f32")));
  assert_true(zh_gguf_real(&real, zh_gguf_find(m, "t.f32")) && real == 1.5);
  assert_true(zh_gguf_real(&real, zh_gguf_find(m, "t.f64")) && real == 2.5);
  assert_true(zh_gguf_bool(&yes, zh_gguf_find(m, "t.bool")) && yes);
  assert_null(zh_gguf_find(m, "t.none"));
  const unsigned char *at = zh_gguf_find(m, "t.words")->data;
  const char *word;
  size_t length;
  zh_gguf_next_string(&word, &length, &at);
  zh_gguf_next_string(&word, &length, &at);
  assert_int_equal(length, 0);
  zh_gguf_next_string(&word, &length, &at);
  assert_int_equal(length, 4);
  assert_memory_equal(word, "drei", 4);

  assert_int_equal(zh_model_tensor_count(m), 2);
  const zh_tensor *up = zh_model_find(m, "blk.0.ffn_up.weight");
  assert_ptr_equal(up, zh_model_tensor(m, 0));
  assert_int_equal(up->type, ZH_Q4_1);
  assert_int_equal(up->dims, 2);
  assert_int_equal(up->shape[0], 3);
  assert_int_equal(up->shape[1], 64);
  assert_int_equal(up->elements, 192);
  assert_int_equal(up->bytes, 3 * 2 * 20);
  assert_int_equal(up->file_offset % 64, 0);
  assert_memory_equal(up->data, b.data + up->file_offset, up->bytes);
  assert_int_equal(zh_model_tensor(m, 1)->file_offset, up->file_offset + 128);
  assert_null(zh_model_find(m, "output.weight"));
  zh_model_free(m);
  zh_text_free(&b);
}

static void test_truncated_at_every_byte(void **state) {
  zh_text b = {0};
  (void)state;
  make_valid(&b);
  for (size_t length = 0; length < b.length; length++)
    open_bad(put_file("cut.gguf", b.data, length), length == 0 ? "is empty" : "cut.gguf");
  zh_text_free(&b);
}

/* A header of one value, no tensors. */
static void refuse_value(void (*value)(zh_text *), const char *words) {
  zh_text b = {0};
  put_header(&b, 3, 0, 1);
  value(&b);
  put_padding(&b, 32);
  open_bad(put_file("value.gguf", b.data, b.length), words);
  zh_text_free(&b);
}

static void huge_key(zh_text *b) {
  put_u64(b, INT64_MAX), put_u64(b, 0);
}
static void huge_string(zh_text *b) {
  put_key(b, "k", 8), put_u64(b, UINT64_MAX - 3);
}
static void huge_array(zh_text *b) {
  put_key(b, "k", 9), put_u32(b, 4), put_u64(b, UINT64_C(1) << 62);
}
static void huge_strings(zh_text *b) {
  put_key(b, "k", 9), put_u32(b, 8), put_u64(b, INT64_MAX);
}
static void huge_arrays(zh_text *b) {
  put_key(b, "k", 9), put_u32(b, 9), put_u64(b, UINT64_MAX);
}
static void unknown_type(zh_text *b) {
  put_key(b, "k", 13), put_u32(b, 0);
}
static void unknown_item(zh_text *b) {
  put_key(b, "k", 9), put_u32(b, 77), put_u64(b, 0);
}
static void bad_bool(zh_text *b) {
  put_key(b, "k", 7), put_u8(b, 2);
}
static void bad_key(zh_text *b) {
  put_key(b, "k\xff", 7), put_u8(b, 1);
}
static void escape_key(zh_text *b) {
  put_key(b, "k\x1b[31m", 7), put_u8(b, 1);
}
static void empty_key(zh_text *b) {
  put_key(b, "", 7), put_u64(b, 1);
}
static void deep(zh_text *b) {
  put_key(b, "k", 9);
  for (int i = 0; i < 1000; i++) put_u32(b, 9), put_u64(b, 1);
}
static void bad_alignment(zh_text *b) {
  put_key_u32(b, "general.alignment", 48);
}
static void no_alignment(zh_text *b) {
  put_key_u32(b, "general.alignment", 0);
}
static void split_model(zh_text *b) {
  put_key(b, "split.count", 2), put_u8(b, 3), put_u8(b, 0);
}

static void test_refuses_lies_in_metadata(void **state) {
  (void)state;
  refuse_value(huge_key, "claims 9223372036854775807 bytes");
  refuse_value(huge_string, "claims 18446744073709551612 bytes");
  refuse_value(huge_array, "claims 4611686018427387904 values");
  refuse_value(huge_strings, "claims 9223372036854775807 items");
  refuse_value(huge_arrays, "claims 18446744073709551615 items");
  refuse_value(unknown_type, "value type 13");
  refuse_value(unknown_item, "value type 77");
  refuse_value(bad_bool, "only 0 or 1");
  refuse_value(bad_key, "not UTF-8");
  refuse_value(escape_key, "control characters");
  refuse_value(empty_key, "is empty");
  refuse_value(deep, "nests arrays deeper");
  refuse_value(bad_alignment, "general.alignment must be a power of two");
  refuse_value(no_alignment, "general.alignment must be a power of two");
  refuse_value(split_model, "one of 3 parts");
}

typedef struct lie {
  const char *name;
  uint64_t rows, columns;
  uint32_t type;
  uint64_t offset;
  const char *words;
} lie;

static void test_refuses_lies_about_tensors(void **state) {
  static const lie lies[] = {
      {"b", 4, UINT64_C(1) << 62, 0, 64, "overflow"},
      {"b", UINT64_C(1) << 32, UINT64_C(1) << 32, 0, 64, "overflow"},
      {"b", UINT64_C(1) << 31, UINT64_C(1) << 31, 0, 64,
       "overflow"}, /* 2^62 elements, 2^64 bytes */
      {"b", 1, INT64_MAX, 8, 64, "overflow"},
      {"b", 2, 0, 0, 64, "dimension of 0"},
      {"b", 2, 33, 2, 64, "whole number of blocks"},
      {"b", 1, 16, 39, 64, "blocks of 32 elements (MXFP4)"},
      {"b", 1, 256, 17, 64, "reaches past the end"}, /* IQ2_XS has a size, for counting */
      {"b", 1, 32, 9, 64, "has the type Q8_1, which this version does not compute"},
      {"b", 1, 32, 36, 64, "has the type IQ4_NL_4_4, which this version does not compute"},
      {"b", 1, 16, 3000, 64, "element type 3000"},
      {"b", 1, 16, 42, 64, "element type 42"},
      {"b", 1, 16, 1000, 64, "element type 1000"},
      {"b", 1, 16, UINT32_MAX, 64, "element type 4294967295"},
      {"b", 1, 16, 0, 65, "no multiple of the alignment 32"},
      {"b", 1, 16, 0, UINT64_MAX - 31, "reaches past the end"},
      {"b", 1, 16, 0, 96, "reaches past the end"},
      {"b", 1, 4096, 0, 64, "reaches past the end"},
      {"b", 1, 16, 0, 0, "overlap"},
      {"b", 1, 16, 0, 32, "overlap"},
      {"a", 1, 16, 0, 64, "stands twice"},
      {"\xc3", 1, 16, 0, 64, "not UTF-8"},
      {"b\xc2\x9b", 1, 16, 0, 64, "control characters"},
      {"", 1, 16, 0, 64, "is empty"},
      {"b", 1, 16, 0, 64, NULL}, /* the truth */
  };
  (void)state;
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    zh_text b = {0};
    put_header(&b, 3, 2, 0);
    put_tensor(&b, "a", 1, 16, 0, 0);
    put_tensor(&b, lies[i].name, lies[i].rows, lies[i].columns, lies[i].type, lies[i].offset);
    put_padding(&b, 32);
    put_data(&b, 128);
    const char *path = put_file("lie.gguf", b.data, b.length);
    if (lies[i].words != NULL)
      open_bad(path, lies[i].words);
    else
      zh_model_free(open_good(path));
    zh_text_free(&b);
  }
}

static void refuse_header(const char *magic, uint32_t version, uint64_t tensors, uint64_t values,
                          const char *words) {
  zh_text b = {0};
  put_header(&b, version, tensors, values);
  memcpy(b.data, magic, 4);
  put_data(&b, 200);
  open_bad(put_file("header.gguf", b.data, b.length), words);
  zh_text_free(&b);
}

static void test_refuses_headers(void **state) {
  (void)state;
  refuse_header("GGML", 3, 0, 0, "does not begin with 'GGUF'");
  refuse_header("GGUF", 1, 0, 0, "version 1, whose counts have 32 bits");
  refuse_header("GGUF", 0x02000000, 0, 0, "big-endian");
  refuse_header("GGUF", 4, 0, 0, "version 4");
  refuse_header("GGUF", 0, 0, 0, "version 0");
  refuse_header("GGUF", 0x03000000, 0, 0, "big-endian");
  refuse_header("GGUF", 3, INT64_MAX, 0, "cannot fit");
  refuse_header("GGUF", 3, 0, UINT64_MAX, "cannot fit");
  refuse_header("GGUF", 3, UINT64_C(1) << 60, UINT64_C(1) << 60, "cannot fit");
}

static void test_refuses_duplicate_keys_and_many_dimensions(void **state) {
  zh_text b = {0};
  (void)state;
  put_header(&b, 3, 0, 2);
  put_key_u32(&b, "k", 1);
  put_key_u32(&b, "k", 2);
  open_bad(put_file("twice.gguf", b.data, b.length), "'k' stands twice");
  zh_text_free(&b);
  put_header(&b, 2, 1, 0);
  put_string(&b, "many");
  put_u32(&b, 5);
  put_data(&b, 100);
  open_bad(put_file("many.gguf", b.data, b.length), "5 dimensions");
  zh_text_free(&b);
}

static void test_version_2_reads_alike(void **state) {
  zh_text b = {0};
  (void)state;
  make_valid(&b);
  b.data[4] = 2;
  zh_model_free(open_good(put_file("two.gguf", b.data, b.length)));
  zh_text_free(&b);
}

/* --- splits --- */

static const char *part_file(const char *stem, unsigned number, unsigned of) {
  static char name[128];
  snprintf(name, sizeof name, "%s-%05u-of-%05u.gguf", stem, number, of);
  return name;
}

/* One tensor, "t<no>"; values below 0 are left out. */
static const char *put_part(const char *name, int no, int count, int tensors) {
  zh_text b = {0};
  char tensor[16];
  put_header(&b, 3, 1, (uint64_t)(no >= 0) + (count >= 0) + (tensors >= 0));
  if (no >= 0) put_key(&b, "split.no", 2), put_u8(&b, (unsigned)no), put_u8(&b, 0);
  if (count >= 0) put_key(&b, "split.count", 2), put_u8(&b, (unsigned)count), put_u8(&b, 0);
  if (tensors >= 0) put_key(&b, "split.tensors.count", 5), put_u32(&b, (uint32_t)tensors);
  snprintf(tensor, sizeof tensor, "t%d", no);
  put_tensor(&b, tensor, 1, 16, 0, 0);
  put_padding(&b, 32);
  put_data(&b, 64);
  const char *path = put_file(name, b.data, b.length);
  zh_text_free(&b);
  return path;
}

static void put_three(const char *stem) {
  for (unsigned i = 1; i <= 3; i++) put_part(part_file(stem, i, 3), (int)i - 1, 3, 3);
}

static void test_any_part_opens_all(void **state) {
  char path[1024];
  (void)state;
  put_three("whole");
  for (unsigned i = 1; i <= 3; i++) {
    snprintf(path, sizeof path, "%s/%s", test_folder(), part_file("whole", i, 3));
    zh_model *m = open_good(path);
    assert_int_equal(zh_model_tensor_count(m), 3);
    assert_string_equal(zh_model_tensor(m, 2)->name, "t2");
    zh_model_free(m);
  }
}

static void test_parts_must_agree(void **state) {
  char path[1024];
  (void)state;
  put_three("hole");
  snprintf(path, sizeof path, "%s/%s", test_folder(), part_file("hole", 2, 3));
  assert_int_equal(remove(path), 0);
  snprintf(path, sizeof path, "%s/%s", test_folder(), part_file("hole", 3, 3));
  open_bad(path, "1 of 3 are not beside it");

  put_three("extra");
  put_part(part_file("extra", 4, 3), 3, 3, 4);
  snprintf(path, sizeof path, "%s/%s", test_folder(), part_file("extra", 1, 3));
  open_bad(path, "whose name counts only 3 parts; remove it");

  put_three("renamed");
  put_part(part_file("renamed", 2, 3), 2, 3, 3);
  snprintf(path, sizeof path, "%s/%s", test_folder(), part_file("renamed", 1, 3));
  open_bad(path, "split.no in it (from 0) is 2");

  put_three("other");
  put_part(part_file("other", 3, 3), 2, 4, 3);
  snprintf(path, sizeof path, "%s/%s", test_folder(), part_file("other", 1, 3));
  open_bad(path, "split.count in it is 4");

  put_three("silent");
  open_bad(put_part(part_file("silent", 2, 3), 1, -1, 3), "split.count in it is 1");

  put_three("short");
  open_bad(put_part(part_file("short", 1, 3), 0, 3, 5), "split.tensors.count is 5");
}

static void test_a_folder_of_one_model(void **state) {
  char folder[512], path[1024];
  (void)state;
  snprintf(folder, sizeof folder, "%s/folder", test_folder());
  assert_int_equal(mkdir(folder, 0700), 0);
  for (unsigned i = 1; i <= 2; i++) {
    snprintf(path, sizeof path, "folder/%s", part_file("m", i, 2));
    put_part(path, (int)i - 1, 2, 2);
  }
  zh_model *m = open_good(folder);
  assert_int_equal(zh_model_tensor_count(m), 2);
  assert_string_equal(zh_model_format(m), "gguf");
  assert_string_equal(zh_model_name(m), "folder");
  zh_model_free(m);
  put_part("folder/another.gguf", -1, -1, -1);
  open_bad(folder, "holds more than one model: another.gguf and m-0000");
}

static void test_refuses_what_is_no_file(void **state) {
  char path[300];
  (void)state;
  open_bad("/nowhere/at/all.gguf", "no such file");
  snprintf(path, sizeof path, "%s/empty", test_folder());
  assert_int_equal(mkdir(path, 0700), 0);
  open_bad(path, "no .safetensors and no GGUF file");
  snprintf(path, sizeof path, "%s/fifo.gguf", test_folder());
  assert_int_equal(mkfifo(path, 0600), 0);
  open_bad(path, "fifo.gguf");
  open_bad(put_file("text.txt", "hello, world", 12), "is no model file");
  open_bad(put_file("some.gguf", "hello, world", 12), "does not begin with 'GGUF'");
  if (geteuid() != 0) {
    const char *secret = put_file("secret.gguf", "GGUF", 4);
    assert_int_equal(chmod(secret, 0), 0);
    open_bad(secret, "secret.gguf");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reads_values_and_tensors),
      cmocka_unit_test(test_truncated_at_every_byte),
      cmocka_unit_test(test_refuses_lies_in_metadata),
      cmocka_unit_test(test_refuses_lies_about_tensors),
      cmocka_unit_test(test_refuses_headers),
      cmocka_unit_test(test_refuses_duplicate_keys_and_many_dimensions),
      cmocka_unit_test(test_version_2_reads_alike),
      cmocka_unit_test(test_any_part_opens_all),
      cmocka_unit_test(test_parts_must_agree),
      cmocka_unit_test(test_a_folder_of_one_model),
      cmocka_unit_test(test_refuses_what_is_no_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
