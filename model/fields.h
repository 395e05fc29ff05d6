/* The table of an architecture's fields, which fields*.c and difference.c go through. */
#ifndef ZH_MODEL_FIELDS_H
#define ZH_MODEL_FIELDS_H

#include "model/family.h"

typedef struct zh_field {
  const char *name;
  zh_field_kind kind;
  size_t at; /* in zh_described */
  const char *const *words;
  bool positive; /* of us 0 says that there is none, of files that all is multiplied by it */
} zh_field;

const zh_field *zh_field_at(size_t i); /* NULL past the last */
const zh_field *zh_field_named(const char *name, size_t length);
/* Words by their number. */
double zh_field_number(const zh_described *described, const zh_field *field);
bool zh_find_word(int *out, const char *const *words, const char *text);

/* Arithmetic on fields, the file's "embedding_rows" and x; NaN where it means nothing. */
double zh_field_arithmetic(const char *text, const zh_described *described, const zh_model *model,
                           double x);

#endif
