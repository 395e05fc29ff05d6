/* Drawings as models of templates/{scatter,heat,rows}.svg.mustache: scales, ticks and places are
 * computed here, shapes and colours stand in the templates. */
#ifndef ZH_REPORTS_CHART_H
#define ZH_REPORTS_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "core/json.h"
#include "core/status.h"

typedef struct zh_chart_axis {
  const char *title;
  bool dates; /* values are years: 2025.5 is 2025-07 */
  bool from_zero;
  int shift; /* ticks are shown times 10^shift: 2 for percent */
} zh_chart_axis;

typedef struct zh_chart_point {
  double x, y;
  double x_low, x_high, y_low, y_high; /* errors; NAN: none is drawn */
  const char *label, *title;           /* beside it; what it says of itself */
  const char *kind; /* "plain", "weak" (dominated), "other": a class of the style */
  bool linked;      /* to the point before it: figures that contradict each other */
} zh_chart_point;

typedef struct zh_chart {
  const char *title;
  zh_chart_axis x, y;
  const zh_chart_point *points;
  size_t count;
  const size_t *front; /* points joined by a line, in its order; NULL: none */
  size_t front_count;
  const char *const *remarks; /* lines below */
  size_t remark_count;
} zh_chart;
json_t *zh_chart_scatter(const zh_chart *chart);
/* The same points, each label a row, its y the place along the axis y; rows in the order that
 * labels come up. */
json_t *zh_chart_rows(const zh_chart *chart);

/* A table of coloured fields. */
typedef struct zh_heat_field {
  const char *text, *title; /* text "" draws none */
  double heat;              /* -1 red to 1 blue; NAN: no figure, hatched */
} zh_heat_field;
typedef struct zh_heat {
  const char *title;
  const char *const *rows, *const *columns;
  size_t row_count, column_count;
  const zh_heat_field *fields; /* [rows][columns] */
} zh_heat;
json_t *zh_chart_heat(const zh_heat *heat);

/* An SVG by itself. template: "scatter", "rows" or "heat". The caller frees *out. */
ZH_MUST_CHECK zh_status zh_chart_svg(char **out, const char *template_name, const json_t *model,
                                     zh_error *err);

#endif
