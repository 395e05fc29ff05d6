#include "core/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024, ALIGNMENT = 16 };

typedef struct block {
  struct block *next;
  size_t used, capacity;
  _Alignas(ALIGNMENT) unsigned char bytes[];
} block;

struct zh_arena {
  block *first;
  size_t handed_out, limit;
};

zh_status zh_arena_create(zh_arena **out, size_t limit_bytes, zh_error *err) {
  *out = calloc(1, sizeof **out);
  if (*out == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (arena)");
  (*out)->limit = limit_bytes;
  return ZH_OK;
}

void zh_arena_free(zh_arena *arena) {
  if (arena == NULL) return;
  for (block *b = arena->first, *next; b != NULL; b = next) {
    next = b->next;
    free(b);
  }
  free(arena);
}

static block *block_with_room(zh_arena *arena, size_t bytes) {
  block *b = arena->first;
  if (b != NULL && b->capacity - b->used >= bytes) return b;
  size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
  b = malloc(sizeof *b + capacity);
  if (b == NULL) return NULL;
  *b = (block){.next = arena->first, .capacity = capacity};
  arena->first = b;
  return b;
}

void *zh_arena_alloc(zh_arena *arena, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
  bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (arena->limit != 0 && bytes > arena->limit - arena->handed_out) return NULL;
  block *b = block_with_room(arena, bytes);
  if (b == NULL) return NULL;
  void *p = b->bytes + b->used;
  b->used += bytes;
  arena->handed_out += bytes;
  return memset(p, 0, bytes);
}

char *zh_arena_strndup(zh_arena *arena, const char *text, size_t length) {
  char *copy = length < SIZE_MAX ? zh_arena_alloc(arena, length + 1, 1) : NULL;
  if (copy != NULL && length > 0) memcpy(copy, text, length);
  return copy;
}

char *zh_arena_strdup(zh_arena *arena, const char *text) {
  return zh_arena_strndup(arena, text, strlen(text));
}

char *zh_arena_printf(zh_arena *arena, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (length < 0) return NULL;
  char *copy = zh_arena_alloc(arena, (size_t)length + 1, 1);
  if (copy == NULL) return NULL;
  va_start(args, format);
  vsnprintf(copy, (size_t)length + 1, format, args);
  va_end(args);
  return copy;
}
