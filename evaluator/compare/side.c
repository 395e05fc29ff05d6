/* Matching answers as a table of scores, with its clusters, and tests of pairs of its rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/compare/contest.h"
#include "evaluator/stats/multiplicity.h"

/* An item on its way into the table: by task, cluster, item. */
typedef struct place {
  size_t task, index; /* index: among the answers of the sheets, which are sorted alike */
  const zh_answer *answer;
} place;

static int by_place(const void *a, const void *b) {
  const place *x = a, *y = b;
  if (x->task != y->task) return x->task < y->task ? -1 : 1;
  int order = strcmp(x->answer->cluster, y->answer->cluster);
  if (order != 0) return order;
  return (x->index > y->index) - (x->index < y->index);
}

typedef struct building {
  zh_side *side;
  const zh_sheet *const *sheets; /* [members][tasks] */
  place *places;
  size_t items;
} building;

static const zh_sheet *sheet_of(const building *b, size_t member, size_t task) {
  return b->sheets[member * b->side->tasks + task];
}

static zh_status lay_out(building *b, zh_error *err) {
  size_t at = 0;
  for (size_t t = 0; t < b->side->tasks; t++) b->items += sheet_of(b, 0, t)->count;
  b->places = calloc(b->items + 1, sizeof *b->places);
  if (b->places == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", b->items);
  for (size_t t = 0; t < b->side->tasks; t++) {
    const zh_sheet *sheet = sheet_of(b, 0, t);
    for (size_t i = 0; i < sheet->count; i++) b->places[at++] = (place){t, i, &sheet->answers[i]};
  }
  qsort(b->places, b->items, sizeof *b->places, by_place);
  return ZH_OK;
}

static zh_status make_groups(building *b, zh_error *err) {
  size_t tasks = b->side->tasks, *first = calloc(tasks + 1, sizeof *first);
  uint32_t *cluster_of = calloc(b->items + 1, sizeof *cluster_of), cluster = 0;
  zh_status status = ZH_OK;
  if (first == NULL || cluster_of == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", b->items);
  for (size_t i = 0; status == ZH_OK && i < b->items; i++) {
    const place *p = &b->places[i], *before = i > 0 ? p - 1 : NULL;
    bool same = before != NULL && before->task == p->task && p->answer->cluster[0] != '\0' &&
                strcmp(before->answer->cluster, p->answer->cluster) == 0;
    cluster += before != NULL && !same;
    cluster_of[i] = cluster;
    if (before == NULL || before->task != p->task) first[p->task] = cluster;
  }
  if (status == ZH_OK) {
    first[tasks] = cluster + 1;
    status = zh_groups_create(&b->side->groups, cluster_of, b->items, first, NULL, tasks, err);
  }
  free(first);
  free(cluster_of);
  return status;
}

/* Of texts a score is bits of the whole text, so scaled that the mean is bits a byte. */
static zh_status weigh_texts(building *b, zh_error *err) {
  double bytes = 0;
  if (!sheet_of(b, 0, 0)->texts) return ZH_OK;
  b->side->share_of = calloc(b->items + 1, sizeof *b->side->share_of);
  if (b->side->share_of == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for texts");
  for (size_t i = 0; i < b->items; i++) bytes += b->places[i].answer->bytes;
  for (size_t i = 0; i < b->items; i++)
    b->side->share_of[i] = b->places[i].answer->bytes * (double)b->items / bytes;
  return ZH_OK;
}

static double oriented(const building *b, size_t member, size_t i) {
  const place *p = &b->places[i];
  const zh_sheet *sheet = sheet_of(b, member, p->task);
  const zh_answer *answer = &sheet->answers[p->index];
  if (sheet->texts) return -answer->score / M_LN2 * b->side->share_of[i] / answer->bytes;
  return sheet->fewer_is_better ? -answer->score : answer->score;
}

static void fill(building *b) {
  zh_side *s = b->side;
  double tasks = (double)s->tasks;
  for (size_t m = 0; m < s->members; m++) {
    double variances[2] = {0}, df[2] = {0};
    for (size_t i = 0; i < b->items; i++) {
      const place *p = &b->places[i];
      s->scores[m * b->items + i] = oriented(b, m, i);
      s->likely[m * b->items + i] = sheet_of(b, m, p->task)->answers[p->index].likely;
    }
    for (size_t t = 0; t < s->tasks; t++) {
      const zh_sheet *sheet = sheet_of(b, m, t);
      const double ones[2] = {1, 1};
      if (sheet->run_variance <= 0) continue;
      variances[1] = sheet->run_variance / (tasks * tasks);
      df[1] = (double)sheet->runs - 1;
      df[0] = zh_welch_satterthwaite(variances, df, ones, 2);
      variances[0] += variances[1];
    }
    s->extra[m] = variances[0];
    s->extra_df[m] = df[0];
  }
}

static zh_status rank(zh_side *s, const zh_contest_options *options, zh_error *err) {
  const zh_field field = {.groups = s->groups, .models = s->members, .scores = s->scores};
  const zh_rank_options how = {.alpha = options->alpha,
                               .claimant = ZH_ALL_PAIRS,
                               .extra = s->extra,
                               .draws = {options->replicates, options->seed, options->threads}};
  return zh_rank_sets(s->ranks, &s->untested, &field, &how, err);
}

zh_status zh_side_create(zh_side *out, const zh_sheet *const *sheets, const size_t *member,
                         size_t members, size_t tasks, const zh_contest_options *options,
                         zh_error *err) {
  building b = {.side = out, .sheets = sheets};
  *out = (zh_side){.members = members, .tasks = tasks};
  memcpy(out->member, member, members * sizeof *member);
  zh_status status = lay_out(&b, err);
  out->scores = calloc(members * b.items + 1, sizeof *out->scores);
  out->likely = calloc(members * b.items + 1, sizeof *out->likely);
  out->extra = calloc(members, sizeof *out->extra);
  out->extra_df = calloc(members, sizeof *out->extra_df);
  out->ranks = calloc(members, sizeof *out->ranks);
  if (status == ZH_OK &&
      (!out->scores || !out->likely || !out->extra || !out->extra_df || !out->ranks))
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", b.items);
  if (status == ZH_OK) status = make_groups(&b, err);
  if (status == ZH_OK) status = weigh_texts(&b, err);
  if (status == ZH_OK) fill(&b);
  if (status == ZH_OK && members > 1) status = rank(out, options, err);
  free(b.places);
  return status;
}

void zh_side_clear(zh_side *side) {
  zh_groups_free(side->groups);
  free(side->scores);
  free(side->share_of);
  free(side->likely);
  free(side->extra);
  free(side->extra_df);
  free(side->ranks);
  *side = (zh_side){.members = 0};
}

/* Of texts the mean is a ratio, sum of bits over sum of bytes: each difference less what its own
 * bytes would have of the whole's, about the whole's. */
static void about_ratio(double *out, const zh_side *side, const double *a, const double *b) {
  double difference = 0;
  size_t items = side->groups->items;
  for (size_t i = 0; i < items; i++) difference += (a[i] - b[i]) / (double)items;
  for (size_t i = 0; i < items; i++) out[i] = a[i] - b[i] + difference * (1 - side->share_of[i]);
}

zh_status zh_side_pair(zh_pair *out, const zh_side *side, size_t first, size_t second,
                       const zh_contest_options *options, zh_error *err) {
  size_t items = side->groups->items;
  zh_pair_question q = {.groups = side->groups,
                        .first = side->scores + first * items,
                        .second = side->scores + second * items,
                        .extra = {side->extra[first], side->extra[second]},
                        .extra_df = {side->extra_df[first], side->extra_df[second]},
                        .alpha = options->alpha,
                        .draws = {options->replicates, options->seed, options->threads}};
  if (side->share_of == NULL) return zh_pair_test(out, &q, err);
  double *ratio = calloc(2 * items + 1, sizeof *ratio);
  if (ratio == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu texts", items);
  about_ratio(ratio, side, q.first, q.second);
  q.size = fmax(zh_largest(q.first, items), zh_largest(q.second, items));
  q.first = ratio;
  q.second = ratio + items; /* noughts */
  zh_status status = zh_pair_test(out, &q, err);
  free(ratio);
  return status;
}

static bool is_binary(const double *values, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (values[i] != 0 && values[i] != 1) return false;
  return true;
}

zh_status zh_side_mean(double *mean, zh_interval *interval, const zh_side *side, size_t row,
                       zh_error *err) {
  size_t items = side->groups->items;
  const double *values = side->scores + row * items;
  zh_estimate estimate;
  *interval = (zh_interval){NAN, NAN};
  double *ratio = calloc(2 * items + 1, sizeof *ratio);
  if (ratio == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
  if (side->share_of != NULL) about_ratio(ratio, side, values, ratio + items);
  zh_status status = zh_estimate_mean(&estimate, side->groups, side->share_of ? ratio : values,
                                      zh_largest(values, items), err);
  free(ratio);
  ZH_TRY(status);
  *mean = estimate.value;
  bool plain = side->tasks == 1 && side->groups->singles && side->extra[row] <= 0;
  if (plain && side->share_of == NULL && is_binary(values, items)) {
    *interval = zh_wilson(estimate.value * (double)items, (double)items, 0.95);
  } else if (estimate.variance > 0) {
    estimate.variance += side->extra[row];
    double half = zh_estimate_half_width(&estimate, 0.95);
    *interval = (zh_interval){estimate.value - half, estimate.value + half};
  }
  return ZH_OK;
}
