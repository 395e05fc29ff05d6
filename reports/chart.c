#include "reports/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "reports/number.h"

/* Units of the drawing. */
enum {
  WIDTH = 720,
  HEIGHT = 380,
  LEFT = 62,
  RIGHT = 18,
  TOP = 16,
  BOTTOM = 44,
  LETTER = 5, /* a column of text at the labels' size */
  LINE = 12,
  NEAR = 9, /* of a label to its point */
  RINGS = 6,
  ROW = 17,
  ROW_LABEL = 190,
  MAX_TICKS = 7,
  LABELS = 4096
};

static void put_number(json_t *into, const char *key, double value) {
  char text[64];
  snprintf(text, sizeof text, "%.2f", value);
  json_object_set_new(into, key, json_string(text));
}

static void put_text(json_t *into, const char *key, const char *text) {
  json_object_set_new(into, key, json_string(text != NULL ? text : ""));
}

/* --- scales --- */

typedef struct scale {
  double low, high, step; /* of the values; ticks at whole multiples of the step */
  double from, to;        /* of the drawing */
  const zh_chart_axis *axis;
} scale;

static double place(const scale *s, double value) {
  return s->from + (value - s->low) / (s->high - s->low) * (s->to - s->from);
}

/* 1, 2 or 5 times a power of ten; of dates whole months. */
static double nice_step(double span, bool dates) {
  static const double months[] = {1, 3, 6, 12, 24, 60, 120};
  double rough = span / MAX_TICKS;
  for (size_t i = 0; dates && i < sizeof months / sizeof *months; i++)
    if (months[i] / 12 >= rough) return months[i] / 12;
  double power = pow(10, floor(log10(rough)));
  return rough <= power       ? power
         : rough <= 2 * power ? 2 * power
         : rough <= 5 * power ? 5 * power
                              : 10 * power;
}

static void widen(scale *s, double value) {
  if (!isfinite(value)) return;
  s->low = fmin(s->low, value);
  s->high = fmax(s->high, value);
}

static void finish(scale *s) {
  if (!(s->low <= s->high)) {
    s->low = 0;
    s->high = 1;
  }
  if (s->axis->from_zero && s->low > 0) s->low = 0;
  double span = s->high - s->low;
  if (!(span > 0)) {
    span = s->low != 0 ? fabs(s->low) * 0.1 : 1;
    s->low -= span / 2;
    s->high += span / 2;
  }
  s->step = nice_step(s->high - s->low, s->axis->dates);
  s->low = floor(s->low / s->step + 1e-9) * s->step;
  s->high = ceil(s->high / s->step - 1e-9) * s->step;
}

static scale scale_of(const zh_chart *chart, bool vertical, double from, double to) {
  scale s = {.low = INFINITY,
             .high = -INFINITY,
             .from = from,
             .to = to,
             .axis = vertical ? &chart->y : &chart->x};
  for (size_t i = 0; i < chart->count; i++) {
    const zh_chart_point *p = &chart->points[i];
    widen(&s, vertical ? p->y : p->x);
    widen(&s, vertical ? p->y_low : p->x_low);
    widen(&s, vertical ? p->y_high : p->x_high);
  }
  finish(&s);
  return s;
}

static void tick_text(char out[ZH_NUMBER_CAPACITY], const scale *s, double value) {
  if (s->axis->dates) {
    int months = (int)lround(value * 12);
    snprintf(out, ZH_NUMBER_CAPACITY, "%04d-%02d", months / 12, months % 12 + 1);
    return;
  }
  int decimals = -(int)floor(log10(s->step) + 1e-9) - s->axis->shift;
  zh_number_fixed(out, value, s->axis->shift, decimals > 0 ? decimals : 0);
}

static json_t *ticks_of(const scale *s) {
  json_t *list = json_array();
  double first = ceil(s->low / s->step - 1e-9);
  for (int i = 0; i < 64; i++) {
    double value = (first + i) * s->step;
    char text[ZH_NUMBER_CAPACITY];
    if (value > s->high + s->step * 1e-6) break;
    json_t *tick = json_object();
    tick_text(text, s, value);
    put_number(tick, "at", place(s, value));
    put_text(tick, "tick", text);
    json_array_append_new(list, tick);
  }
  return list;
}

/* --- labels that do not lie on each other --- */

typedef struct box {
  double x, y, width, height;
} box;

static bool meets(const box *a, const box *b) {
  return a->x < b->x + b->width && b->x < a->x + a->width && a->y < b->y + b->height &&
         b->y < a->y + a->height;
}

typedef struct labels {
  box taken[LABELS]; /* dots and labels */
  box bars[LABELS];  /* of errors: labels keep off them while there is room elsewhere */
  size_t count, bar_count;
} labels;

static bool meets_any(const box *b, const box *others, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (meets(b, &others[i])) return true;
  return false;
}

static bool is_free(const box *b, const labels *l, bool off_bars) {
  bool inside = b->x >= LEFT && b->x + b->width <= WIDTH - RIGHT + 8 && b->y >= 2 &&
                b->y + b->height <= HEIGHT - BOTTOM;
  return inside && l->count < LABELS && !meets_any(b, l->taken, l->count) &&
         !(off_bars && meets_any(b, l->bars, l->bar_count));
}

/* Right or left of the point, above or below the middle, in rings farther and farther off. */
static bool find_place(box *out, labels *l, double x, double y, double width) {
  for (int n = 0; n < 2 * RINGS; n++) {
    double off = n % RINGS, right = x + 4 + 4 * off, left = x - 4 - 4 * off - width,
           above = y - 2 - LINE - LINE * off, below = y + 2 + LINE * off;
    const box candidates[] = {
        {right, above, width, LINE},        {right, below, width, LINE},
        {left, above, width, LINE},         {left, below, width, LINE},
        {right, y - LINE / 2, width, LINE}, {left, y - LINE / 2, width, LINE}};
    for (size_t c = 0; c < sizeof candidates / sizeof *candidates; c++) {
      if (!is_free(&candidates[c], l, n < RINGS)) continue;
      *out = l->taken[l->count++] = candidates[c];
      return true;
    }
  }
  return false;
}

static void take_bar(labels *l, double x1, double y1, double x2, double y2) {
  if (l->bar_count < LABELS)
    l->bars[l->bar_count++] =
        (box){fmin(x1, x2) - 1, fmin(y1, y2) - 1, fabs(x2 - x1) + 2, fabs(y2 - y1) + 2};
}

static void take_dot(labels *l, double x, double y) {
  if (l->count < LABELS) l->taken[l->count++] = (box){x - 4, y - 4, 8, 8};
}

static void add_line(json_t *list, double x1, double y1, double x2, double y2) {
  json_t *line = json_object();
  put_number(line, "x1", x1);
  put_number(line, "y1", y1);
  put_number(line, "x2", x2);
  put_number(line, "y2", y2);
  json_array_append_new(list, line);
}

/* The label, and a line to it where it could not stand beside its point. */
static void put_label(json_t *into, labels *l, const zh_chart_point *p, double x, double y) {
  box at;
  const char *text = p->label != NULL ? p->label : "";
  double width = (double)(zh_utf8_columns(text, strlen(text)) * LETTER + 2);
  json_t *shown = json_array(), *leaders = json_array();
  json_object_set_new(into, "labels", shown);
  json_object_set_new(into, "leaders", leaders);
  if (text[0] == '\0' || !find_place(&at, l, x, y, width)) return;
  json_t *label = json_object();
  put_text(label, "label", text);
  put_number(label, "label_x", at.x);
  put_number(label, "label_y", at.y + LINE - 3);
  json_array_append_new(shown, label);
  double to_x = fmin(fmax(x, at.x), at.x + at.width), to_y = fmin(fmax(y, at.y), at.y + at.height);
  if (hypot(to_x - x, to_y - y) >= NEAR) add_line(leaders, x, y, to_x, to_y);
}

/* --- a scatter --- */

static void add_bar(json_t *list, labels *l, double x1, double y1, double x2, double y2) {
  add_line(list, x1, y1, x2, y2);
  take_bar(l, x1, y1, x2, y2);
}

static void add_errors(json_t *list, labels *l, const scale *x, const scale *y,
                       const zh_chart_point *p) {
  if (isfinite(p->x_low) && isfinite(p->x_high))
    add_bar(list, l, place(x, p->x_low), place(y, p->y), place(x, p->x_high), place(y, p->y));
  if (isfinite(p->y_low) && isfinite(p->y_high))
    add_bar(list, l, place(x, p->x), place(y, p->y_low), place(x, p->x), place(y, p->y_high));
}

static json_t *front_of(const zh_chart *chart, const scale *x, const scale *y) {
  zh_text points = {0};
  json_t *list = json_array();
  for (size_t i = 0; i < chart->front_count; i++) {
    const zh_chart_point *p = &chart->points[chart->front[i]];
    zh_text_printf(&points, "%s%.2f,%.2f", i > 0 ? " " : "", place(x, p->x), place(y, p->y));
  }
  if (chart->front_count > 1)
    json_array_append_new(list, json_pack("{s:s}", "way", zh_text_string(&points)));
  zh_text_free(&points);
  return list;
}

static json_t *remarks_of(const zh_chart *chart, double from) {
  json_t *list = json_array();
  for (size_t i = 0; i < chart->remark_count; i++) {
    json_t *line = json_object();
    put_text(line, "remark", chart->remarks[i]);
    put_number(line, "remark_y", from + (double)(i + 1) * LINE);
    json_array_append_new(list, line);
  }
  return list;
}

static json_t *frame(const zh_chart *chart, double width, double height, double left, double top) {
  json_t *root = json_object();
  double below = height + (double)chart->remark_count * LINE;
  put_text(root, "chart_title", chart->title);
  put_text(root, "x_title", chart->x.title);
  put_text(root, "y_title", chart->y.title);
  put_number(root, "width", width);
  put_number(root, "height", below + (chart->remark_count > 0 ? LINE : 0));
  put_number(root, "left", left);
  put_number(root, "right", width - RIGHT);
  put_number(root, "top", top);
  put_number(root, "bottom", height - BOTTOM);
  put_number(root, "tick_y", height - BOTTOM + 13);
  put_number(root, "title_y", height - BOTTOM + 32);
  put_number(root, "middle_x", (left + width - RIGHT) / 2);
  put_number(root, "plot_width", width - RIGHT - left);
  put_number(root, "plot_height", height - BOTTOM - top);
  json_object_set_new(root, "remarks", remarks_of(chart, height));
  return root;
}

static void add_point(json_t *list, labels *l, const zh_chart_point *p, double x, double y) {
  json_t *dot = json_object();
  put_number(dot, "dot_x", x);
  put_number(dot, "dot_y", y);
  put_text(dot, "dot_title", p->title);
  put_text(dot, "dot_kind", p->kind);
  if (l != NULL) put_label(dot, l, p, x, y);
  json_array_append_new(list, dot);
}

json_t *zh_chart_scatter(const zh_chart *chart) {
  scale x = scale_of(chart, false, LEFT, WIDTH - RIGHT),
        y = scale_of(chart, true, HEIGHT - BOTTOM, TOP);
  json_t *root = frame(chart, WIDTH, HEIGHT, LEFT, TOP), *dots = json_array(),
         *errors = json_array(), *links = json_array();
  labels *l = calloc(1, sizeof *l);
  for (size_t i = 0; l != NULL && i < chart->count; i++) {
    take_dot(l, place(&x, chart->points[i].x), place(&y, chart->points[i].y));
    add_errors(errors, l, &x, &y, &chart->points[i]);
  }
  for (size_t i = 0; l != NULL && i < chart->count; i++) {
    const zh_chart_point *p = &chart->points[i], *before = i > 0 ? p - 1 : NULL;
    if (p->linked && before != NULL)
      add_line(links, place(&x, before->x), place(&y, before->y), place(&x, p->x), place(&y, p->y));
    add_point(dots, l, p, place(&x, p->x), place(&y, p->y));
  }
  free(l);
  json_object_set_new(root, "x_ticks", ticks_of(&x));
  json_object_set_new(root, "y_ticks", ticks_of(&y));
  json_object_set_new(root, "front", front_of(chart, &x, &y));
  json_object_set_new(root, "errors", errors);
  json_object_set_new(root, "links", links);
  json_object_set_new(root, "dots", dots);
  return root;
}

/* --- rows --- */

json_t *zh_chart_rows(const zh_chart *chart) {
  json_t *rows = json_array(), *dots = json_array(), *links = json_array();
  scale value = scale_of(chart, true, ROW_LABEL, WIDTH - RIGHT);
  double at = TOP;
  for (size_t i = 0; i < chart->count; i++) {
    const zh_chart_point *p = &chart->points[i], *before = i > 0 ? p - 1 : NULL;
    bool same = before != NULL && strcmp(before->label, p->label) == 0;
    if (!same) {
      json_t *row = json_object();
      put_text(row, "row_label", p->label);
      put_number(row, "row_y", at + ROW / 2.0);
      put_number(row, "row_text_y", at + ROW / 2.0 + 3);
      json_array_append_new(rows, row);
      at += ROW;
    }
    double y = at - ROW / 2.0;
    if (p->linked && same) add_line(links, place(&value, before->y), y, place(&value, p->y), y);
    add_point(dots, NULL, p, place(&value, p->y), y);
  }
  json_t *root = frame(chart, WIDTH, at + BOTTOM, ROW_LABEL, TOP);
  json_object_set_new(root, "ticks", ticks_of(&value));
  json_object_set_new(root, "rows", rows);
  json_object_set_new(root, "links", links);
  json_object_set_new(root, "dots", dots);
  return root;
}

/* --- heat --- */

/* From white to the colour of that side. */
static void put_colour(json_t *into, double heat) {
  static const int red[3] = {0xb5, 0x4a, 0x44}, blue[3] = {0x2f, 0x6a, 0xa3};
  const int *full = heat < 0 ? red : blue;
  double strength = fmin(fabs(heat), 1);
  char text[8];
  int part[3];
  for (int i = 0; i < 3; i++) part[i] = (int)lround(255 + (full[i] - 255) * strength);
  snprintf(text, sizeof text, "#%02x%02x%02x", part[0], part[1], part[2]);
  put_text(into, "colour", text);
  put_text(into, "ink", strength > 0.6 ? "#ffffff" : "#1b2430");
}

static double longest(const char *const *texts, size_t count) {
  int most = 0;
  for (size_t i = 0; i < count; i++) {
    int columns = zh_utf8_columns(texts[i], strlen(texts[i]));
    if (columns > most) most = columns;
  }
  return fmin(most, 40) * LETTER + 8;
}

typedef struct grid {
  double left, top, width, height; /* of a field */
  bool upright;                    /* names of columns stand upright */
} grid;

static grid grid_of(const zh_heat *h) {
  double columns = (double)h->column_count, name = longest(h->columns, h->column_count);
  grid g = {.left = longest(h->rows, h->row_count), .height = 20};
  g.width = fmin(110, (WIDTH - g.left - 4) / columns);
  g.upright = name > g.width;
  g.top = g.upright ? name : 18;
  return g;
}

static void add_column_name(json_t *list, const grid *g, const char *text, size_t c) {
  json_t *name = json_object();
  double x = g->left + ((double)c + 0.5) * g->width;
  put_text(name, "name", text);
  put_number(name, "name_x", g->upright ? x + 3 : x);
  put_number(name, "name_y", g->top - 5);
  json_object_set_new(name, "upright", json_boolean(g->upright));
  json_array_append_new(list, name);
}

static void add_field(json_t *list, const grid *g, const zh_heat_field *f, size_t r, size_t c) {
  json_t *field = json_object();
  double x = g->left + (double)c * g->width, y = g->top + (double)r * g->height;
  double room = g->width / LETTER;
  bool fits = zh_utf8_columns(f->text, strlen(f->text)) <= room;
  put_number(field, "field_x", x);
  put_number(field, "field_y", y);
  put_number(field, "text_x", x + g->width / 2);
  put_number(field, "text_y", y + 14);
  put_text(field, "field_text", fits ? f->text : "");
  put_text(field, "field_title", f->title);
  put_colour(field, isfinite(f->heat) ? f->heat : 0);
  json_object_set_new(field, "hatched", json_boolean(!isfinite(f->heat)));
  json_array_append_new(list, field);
}

json_t *zh_chart_heat(const zh_heat *h) {
  grid g = grid_of(h);
  json_t *root = json_object(), *names = json_array(), *rows = json_array(), *fields = json_array();
  put_text(root, "chart_title", h->title);
  put_number(root, "width", WIDTH);
  put_number(root, "height", g.top + (double)h->row_count * g.height + 4);
  put_number(root, "field_width", g.width);
  put_number(root, "field_height", g.height);
  for (size_t c = 0; c < h->column_count; c++) add_column_name(names, &g, h->columns[c], c);
  for (size_t r = 0; r < h->row_count; r++) {
    json_t *row = json_object();
    put_text(row, "row_name", h->rows[r]);
    put_number(row, "row_x", g.left - 6);
    put_number(row, "row_y", g.top + (double)r * g.height + 14);
    json_array_append_new(rows, row);
    for (size_t c = 0; c < h->column_count; c++)
      add_field(fields, &g, &h->fields[r * h->column_count + c], r, c);
  }
  json_object_set_new(root, "names", names);
  json_object_set_new(root, "row_names", rows);
  json_object_set_new(root, "fields", fields);
  return root;
}
