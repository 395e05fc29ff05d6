/* Methods that cut text into pieces. */
#include <string.h>

#include "core/template_parts.h"

#define METHOD(name)                                                                               \
  static zh_status name(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,      \
                        const tpl_arguments *args)
#define UNUSED (void)given, (void)args, (void)self

/* Pieces that a split found, before there is a list of them. */
typedef struct pieces {
  tpl_value *items;
  size_t count, capacity;
} pieces;

static zh_status add_piece(pieces *list, tpl_run *run, const char *bytes, size_t length) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity * 2 + 8;
    tpl_value *grown;
    ZH_TRY(tpl_alloc(&grown, run, capacity, sizeof *grown));
    if (list->count > 0) memcpy(grown, list->items, list->count * sizeof *grown);
    list->items = grown;
    list->capacity = capacity;
  }
  return tpl_borrow_string(&list->items[list->count++], run, bytes, length);
}

static zh_status finish(tpl_value *out, tpl_run *run, const pieces *list, bool reversed) {
  ZH_TRY(tpl_new_list(out, run, list->count, TPL_LIST_FORM));
  for (size_t i = 0; i < list->count; i++)
    out->as.list->items[i] = list->items[reversed ? list->count - 1 - i : i];
  return ZH_OK;
}

/* At most `most` cuts at blanks, from the left. */
static zh_status split_blanks(pieces *list, tpl_run *run, const char *bytes, size_t length,
                              uint64_t most) {
  for (;;) {
    tpl_strip(&bytes, &length, NULL, true, false);
    if (length == 0) return ZH_OK;
    if (list->count == most) {
      tpl_strip(&bytes, &length, NULL, false, true);
      return add_piece(list, run, bytes, length);
    }
    size_t end = 0;
    while (end < length && tpl_space_at(bytes + end, length - end) == 0) end++;
    ZH_TRY(add_piece(list, run, bytes, end));
    bytes += end;
    length -= end;
  }
}

/* The same from the right; the pieces come in that order. */
static zh_status rsplit_blanks(pieces *list, tpl_run *run, const char *bytes, size_t length,
                               uint64_t most) {
  for (;;) {
    tpl_strip(&bytes, &length, NULL, false, true);
    if (length == 0) return ZH_OK;
    if (list->count == most) {
      tpl_strip(&bytes, &length, NULL, true, false);
      return add_piece(list, run, bytes, length);
    }
    size_t from = length;
    while (from > 0 && tpl_space_before(bytes, from) == 0) from--;
    ZH_TRY(add_piece(list, run, bytes + from, length - from));
    length = from;
  }
}

static zh_status split_at(pieces *list, tpl_run *run, const char *bytes, size_t length,
                          const tpl_string *separator, uint64_t most, bool right) {
  for (;;) {
    size_t found = list->count == most ? SIZE_MAX
                   : right             ? tpl_find_last(bytes, length, separator)
                                       : tpl_find(bytes, length, separator);
    if (found == SIZE_MAX) return add_piece(list, run, bytes, length);
    size_t past = found + separator->length;
    if (right) {
      ZH_TRY(add_piece(list, run, bytes + past, length - past));
      length = found;
    } else {
      ZH_TRY(add_piece(list, run, bytes, found));
      bytes += past;
      length -= past;
    }
  }
}

static zh_status split(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                       bool right) {
  const tpl_string *s = self.as.string;
  tpl_string *separator = NULL;
  int64_t most = -1;
  pieces list = {0};
  if (given[0].kind != TPL_MISSING && given[0].kind != TPL_NONE)
    ZH_TRY(tpl_want_string(&separator, run, given[0], "the separator of 'split'"));
  if (given[1].kind != TPL_MISSING)
    ZH_TRY(tpl_want_int(&most, run, given[1], "the number of cuts"));
  if (separator && separator->length == 0)
    return tpl_fail(run, "%s", "the separator of 'split' is empty");
  uint64_t cuts = most < 0 ? UINT64_MAX : (uint64_t)most;
  ZH_TRY(tpl_charge(run, s->length * (separator && right ? separator->length : 1)));
  if (separator) {
    ZH_TRY(split_at(&list, run, s->bytes, s->length, separator, cuts, right));
  } else if (right) {
    ZH_TRY(rsplit_blanks(&list, run, s->bytes, s->length, cuts));
  } else {
    ZH_TRY(split_blanks(&list, run, s->bytes, s->length, cuts));
  }
  return finish(out, run, &list, right);
}
METHOD(run_split) {
  UNUSED;
  return split(out, run, self, given, false);
}
METHOD(run_rsplit) {
  UNUSED;
  return split(out, run, self, given, true);
}

METHOD(run_splitlines) {
  UNUSED;
  const char *bytes = self.as.string->bytes;
  size_t left = self.as.string->length;
  bool keep = false;
  pieces list = {0};
  if (given[0].kind != TPL_MISSING) ZH_TRY(tpl_truth(&keep, run, given[0]));
  ZH_TRY(tpl_charge(run, left * 4));
  while (left > 0) {
    size_t body, end;
    tpl_line(&body, &end, bytes, left);
    ZH_TRY(add_piece(&list, run, bytes, keep ? body + end : body));
    bytes += body + end;
    left -= body + end;
  }
  return finish(out, run, &list, false);
}

static zh_status partition(tpl_value *out, tpl_run *run, tpl_value self, tpl_value by, bool right) {
  const tpl_string *s = self.as.string;
  tpl_string *separator;
  ZH_TRY(tpl_want_string(&separator, run, by, "the separator of 'partition'"));
  if (separator->length == 0) return tpl_fail(run, "%s", "the separator of 'partition' is empty");
  ZH_TRY(tpl_charge(run, s->length * (right ? separator->length : 1)));
  size_t at = right ? tpl_find_last(s->bytes, s->length, separator)
                    : tpl_find(s->bytes, s->length, separator);
  bool found = at != SIZE_MAX;
  size_t head = found ? at : right ? 0 : s->length, middle = found ? separator->length : 0;
  size_t tail = head + middle;
  ZH_TRY(tpl_new_list(out, run, 3, TPL_TUPLE));
  tpl_value *items = out->as.list->items;
  ZH_TRY(tpl_borrow_string(&items[0], run, s->bytes, head));
  ZH_TRY(tpl_borrow_string(&items[1], run, s->bytes + head, middle));
  return tpl_borrow_string(&items[2], run, s->bytes + tail, s->length - tail);
}
METHOD(run_partition) {
  UNUSED;
  return partition(out, run, self, given[0], false);
}
METHOD(run_rpartition) {
  UNUSED;
  return partition(out, run, self, given[0], true);
}

const tpl_builtin tpl_split_methods[] = {
    {"split", run_split, "?sep ?maxsplit"},      {"rsplit", run_rsplit, "?sep ?maxsplit"},
    {"splitlines", run_splitlines, "?keepends"}, {"partition", run_partition, "sep"},
    {"rpartition", run_rpartition, "sep"},       {NULL, NULL, NULL}};
