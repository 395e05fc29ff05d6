#include "core/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void zh_text_free(zh_text *text) {
  if (text == NULL) return;
  free(text->data);
  *text = (zh_text){0};
}

static bool reserve(zh_text *text, size_t more) {
  size_t needed;
  if (text->failed) return false;
  if (__builtin_add_overflow(text->length, more, &needed) || needed > SIZE_MAX / 2) {
    text->failed = true;
    return false;
  }
  if (text->capacity > needed) return true;
  size_t capacity = needed < 64 ? 128 : needed * 2;
  char *data = realloc(text->data, capacity);
  if (data == NULL) {
    text->failed = true;
    return false;
  }
  text->data = data;
  text->capacity = capacity;
  return true;
}

void zh_text_append(zh_text *text, const char *bytes, size_t length) {
  if (!reserve(text, length)) return;
  if (length > 0) memcpy(text->data + text->length, bytes, length);
  text->length += length;
  text->data[text->length] = 0;
}

void zh_text_puts(zh_text *text, const char *string) {
  zh_text_append(text, string, strlen(string));
}

void zh_text_printf(zh_text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (length < 0) text->failed = true;
  if (length < 0 || !reserve(text, (size_t)length)) return;
  va_start(args, format);
  vsnprintf(text->data + text->length, (size_t)length + 1, format, args);
  va_end(args);
  text->length += (size_t)length;
}

const char *zh_text_string(const zh_text *text) {
  return text->data ? text->data : "";
}

bool zh_ends_in(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

int zh_by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lead byte to length, least code point of that length, and the bits the lead byte gives. */
static int sequence_shape(unsigned char lead, uint32_t *least, uint32_t *bits) {
  if (lead < 0x80) return *least = 0, *bits = lead, 1;
  if (lead >= 0xC2 && lead < 0xE0) return *least = 0x80, *bits = lead & 0x1Fu, 2;
  if (lead >= 0xE0 && lead < 0xF0) return *least = 0x800, *bits = lead & 0x0Fu, 3;
  if (lead >= 0xF0 && lead < 0xF5) return *least = 0x10000, *bits = lead & 0x07u, 4;
  return 0;
}

int zh_utf8_decode(uint32_t *out, const char *bytes, size_t length) {
  uint32_t least, point;
  if (length == 0) return 0;
  int size = sequence_shape((unsigned char)bytes[0], &least, &point);
  if (size == 0 || (size_t)size > length) return 0;
  for (int i = 1; i < size; i++) {
    unsigned char next = (unsigned char)bytes[i];
    if ((next & 0xC0) != 0x80) return 0;
    point = point << 6 | (next & 0x3Fu);
  }
  if (point < least || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return 0;
  *out = point;
  return size;
}

/* Three bytes that are the same in every valid text, and no surrogate: most of Chinese. */
static bool is_plain_three(const unsigned char *b) {
  return b[0] >= 0xE1 && b[0] <= 0xEC && (b[1] & 0xC0) == 0x80 && (b[2] & 0xC0) == 0x80;
}

size_t zh_utf8_valid_prefix(const char *bytes, size_t length) {
  size_t at = 0;
  while (at < length) {
    uint64_t word;
    while (length - at >= sizeof word) {
      memcpy(&word, bytes + at, sizeof word);
      if (word & UINT64_C(0x8080808080808080)) break;
      at += sizeof word;
    }
    while (length - at >= 3 && is_plain_three((const unsigned char *)bytes + at)) at += 3;
    uint32_t point;
    int size = zh_utf8_decode(&point, bytes + at, length - at);
    if (size == 0) break;
    at += (size_t)size;
  }
  return at;
}

size_t zh_utf8_mark(const char *bytes, size_t length) {
  return length >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

int zh_utf8_encode(char out[4], uint32_t code_point) {
  if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) return 0;
  if (code_point < 0x80) {
    out[0] = (char)code_point;
    return 1;
  }
  int size = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
  for (int i = size - 1; i > 0; i--, code_point >>= 6) out[i] = (char)(0x80 | (code_point & 0x3F));
  static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  out[0] = (char)(lead[size] | code_point);
  return size;
}

typedef struct point_range {
  uint32_t first, last;
} point_range;

/* Unicode 15, East_Asian_Width W and F, joined where only unassigned points lie between. */
static const point_range wide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},
    {0x23F0, 0x23F0},   {0x23F3, 0x23F3},   {0x25FD, 0x25FE},   {0x2614, 0x2615},
    {0x2648, 0x2653},   {0x267F, 0x267F},   {0x2693, 0x2693},   {0x26A1, 0x26A1},
    {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},   {0x26CE, 0x26CE},
    {0x26D4, 0x26D4},   {0x26EA, 0x26EA},   {0x26F2, 0x26F3},   {0x26F5, 0x26F5},
    {0x26FA, 0x26FA},   {0x26FD, 0x26FD},   {0x2705, 0x2705},   {0x270A, 0x270B},
    {0x2728, 0x2728},   {0x274C, 0x274C},   {0x274E, 0x274E},   {0x2753, 0x2755},
    {0x2757, 0x2757},   {0x2795, 0x2797},   {0x27B0, 0x27B0},   {0x27BF, 0x27BF},
    {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},   {0x2B55, 0x2B55},   {0x2E80, 0x303E},
    {0x3041, 0x4DBF},   {0x4E00, 0xA4C6},   {0xA960, 0xA97C},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE10, 0xFE19},   {0xFE30, 0xFE6B},   {0xFF01, 0xFF60},
    {0xFFE0, 0xFFE6},   {0x16FE0, 0x1B2FB}, {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF},
    {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A}, {0x1F200, 0x1F320}, {0x1F32D, 0x1F335},
    {0x1F337, 0x1F37C}, {0x1F37E, 0x1F393}, {0x1F3A0, 0x1F3CA}, {0x1F3CF, 0x1F3D3},
    {0x1F3E0, 0x1F3F0}, {0x1F3F4, 0x1F3F4}, {0x1F3F8, 0x1F43E}, {0x1F440, 0x1F440},
    {0x1F442, 0x1F4FC}, {0x1F4FF, 0x1F53D}, {0x1F54B, 0x1F54E}, {0x1F550, 0x1F567},
    {0x1F57A, 0x1F57A}, {0x1F595, 0x1F596}, {0x1F5A4, 0x1F5A4}, {0x1F5FB, 0x1F64F},
    {0x1F680, 0x1F6C5}, {0x1F6CC, 0x1F6CC}, {0x1F6D0, 0x1F6D2}, {0x1F6D5, 0x1F6DF},
    {0x1F6EB, 0x1F6EC}, {0x1F6F4, 0x1F6FC}, {0x1F7E0, 0x1F7F0}, {0x1F90C, 0x1F93A},
    {0x1F93C, 0x1F945}, {0x1F947, 0x1F9FF}, {0x1FA70, 0x1FAF8}, {0x20000, 0x3FFFD},
};

/* Marks that sit on the character before them, joiners, and the byte-order mark. */
static const point_range zero_width[] = {
    {0x0300, 0x036F}, {0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x2064},
    {0x20D0, 0x20F0}, {0x302A, 0x302D},   {0xFE00, 0xFE0F},   {0xFE20, 0xFE2F},
    {0xFEFF, 0xFEFF}, {0x1F3FB, 0x1F3FF}, {0xE0001, 0xE01EF},
};

static bool in_ranges(uint32_t point, const point_range *ranges, size_t count) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (point > ranges[middle].last) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && point >= ranges[low].first;
}

static int point_columns(uint32_t point) {
  if (point < 0x300) return 1;
  if (in_ranges(point, zero_width, sizeof zero_width / sizeof *zero_width)) return 0;
  return in_ranges(point, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

int zh_utf8_columns(const char *bytes, size_t length) {
  int columns = 0;
  for (size_t at = 0; at < length;) {
    uint32_t point = 0;
    int size = zh_utf8_decode(&point, bytes + at, length - at);
    columns += size > 0 ? point_columns(point) : 1;
    at += size > 0 ? (size_t)size : 1;
  }
  return columns;
}

enum { NEAREST_MAX = 64 }; /* longer words are not typing mistakes of ours */

static int least_of(int a, int b) {
  return a < b ? a : b;
}

/* Optimal string alignment distance: insert, delete, replace, or swap two neighbours, each costs
 * one. */
static int edit_distance(const char *a, size_t na, const char *b, size_t nb) {
  int rows[3][NEAREST_MAX + 1];
  int *before = rows[0], *last = rows[1], *now = rows[2];
  for (size_t j = 0; j <= nb; j++) last[j] = (int)j;
  for (size_t i = 1; i <= na; i++) {
    now[0] = (int)i;
    for (size_t j = 1; j <= nb; j++) {
      int replace = last[j - 1] + (a[i - 1] != b[j - 1]);
      now[j] = least_of(replace, least_of(last[j], now[j - 1]) + 1);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = least_of(now[j], before[j - 2] + 1);
    }
    int *oldest = before;
    before = last;
    last = now;
    now = oldest;
  }
  return last[nb];
}

const char *zh_nearest_word(const char *word, const char *const *words) {
  size_t length = strlen(word);
  if (length == 0 || length > NEAREST_MAX) return NULL;
  int limit = length / 3 > 1 ? (int)(length / 3) : 1, best = limit + 1;
  const char *nearest = NULL;
  for (; *words != NULL; words++) {
    size_t other = strlen(*words);
    if (other > NEAREST_MAX) continue;
    int distance = edit_distance(word, length, *words, other);
    if (distance < best) best = distance, nearest = *words;
  }
  return nearest;
}

const char *zh_did_you_mean(char out[ZH_GUESS_BYTES], const char *word, const char *const *words) {
  const char *near = zh_nearest_word(word, words);
  out[0] = '\0';
  if (near != NULL) snprintf(out, ZH_GUESS_BYTES, "; did you mean '%s'?", near);
  return out;
}

char *zh_group_digits(char *out, size_t capacity, uint64_t value) {
  char digits[24], grouped[32];
  int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value), at = 0;
  for (int i = 0; i < count; i++) {
    if (i > 0 && (count - i) % 3 == 0) grouped[at++] = ',';
    grouped[at++] = digits[i];
  }
  grouped[at] = 0;
  if (capacity > 0) snprintf(out, capacity, "%s", grouped);
  return out;
}

char *zh_human_bytes(char *out, size_t capacity, double bytes) {
  static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < sizeof units / sizeof *units) bytes /= 1000, unit++;
  int decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  if (capacity > 0) snprintf(out, capacity, "%.*f %s", decimals, bytes, units[unit]);
  return out;
}
