#include "model/expression.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

typedef struct reader {
  const char *at;
  int depth;
  zh_name_value value_of;
  void *user;
} reader;

static double comparison(reader *r);

static bool take(reader *r, char c) {
  while (*r->at == ' ') r->at++;
  if (*r->at != c) return false;
  r->at++;
  return true;
}

static double closed(reader *r) {
  double value = ++r->depth > DEPTH_MAX ? NAN : comparison(r);
  r->depth--;
  return take(r, ')') ? value : NAN;
}

static double factor(reader *r) {
  if (take(r, '(')) return closed(r);
  if (isdigit((unsigned char)*r->at)) {
    char *end;
    double value = strtod(r->at, &end);
    r->at = end;
    return value;
  }
  const char *name = r->at;
  while (isalnum((unsigned char)*r->at) || *r->at == '_') r->at++;
  int length = (int)(r->at - name);
  if (length == 0) return NAN;
  if (length == 4 && strncmp(name, "sqrt", 4) == 0) return take(r, '(') ? sqrt(closed(r)) : NAN;
  return r->value_of(r->user, name, length);
}

static double product(reader *r) {
  double value = factor(r);
  for (;;) {
    if (take(r, '*'))
      value *= factor(r);
    else if (take(r, '/'))
      value /= factor(r);
    else
      return value;
  }
}

static double sum(reader *r) {
  double value = product(r);
  for (;;) {
    if (take(r, '+'))
      value += product(r);
    else if (take(r, '-'))
      value -= product(r);
    else
      return value;
  }
}

static double comparison(reader *r) {
  double value = sum(r);
  if (!take(r, '=')) return value;
  double other = sum(r);
  return isnan(value) || isnan(other) ? NAN : value == other;
}

double zh_expression(const char *text, zh_name_value value_of, void *user) {
  reader r = {.at = text, .value_of = value_of, .user = user};
  double value = comparison(&r);
  return take(&r, '\0') ? value : NAN;
}
