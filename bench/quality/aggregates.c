/* Scores of items made one figure, and how uncertain it is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/quality.h"
#include "bench/quality/text_scores.h"

enum { CHUNKS = 100, CHUNK = 1000, TEXT_DRAWS = 100 };

static const struct {
  const char *metric, *aggregation;
  bool higher;
} metrics[] = {{"acc", "mean", true},
               {"acc_norm", "mean", true},
               {"acc_bytes", "mean", true},
               {"acc_mutual_info", "mean", true},
               {"exact_match", "mean", true},
               {"f1", "f1", true},
               {"mcc", "matthews_corrcoef", true},
               {"brier_score", "brier_score", false},
               {"perplexity", "perplexity", false},
               {"word_perplexity", "weighted_perplexity", false},
               {"byte_perplexity", "weighted_perplexity", false},
               {"bits_per_byte", "bits_per_byte", false},
               {"bleu", "bleu", true},
               {"chrf", "chrf", true},
               {"rouge_l", "mean", true},
               {"token_f1", "mean", true},
               {"bypass", "bypass", true}};

const char *zh_metric_aggregation(const char *metric, bool *higher_is_better) {
  for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
    if (strcmp(metric, metrics[i].metric) != 0) continue;
    *higher_is_better = metrics[i].higher;
    return metrics[i].aggregation;
  }
  return NULL;
}

/* An item as an aggregation sees it; the sums of several make one of a sample. */
typedef union value {
  double number;
  struct {
    double a, b;
  } pair; /* sums; or right answer and the one given */
  zh_bleu bleu;
  zh_chrf chrf;
} value;

/* Of a sample: items by their places. */
typedef double (*aggregate)(const value *items, const uint32_t *places, size_t count);

static double mean_of(const value *items, const uint32_t *places, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += items[places[i]].number;
  return sum / (double)count;
}

static double percent_of(const value *items, const uint32_t *places, size_t count) {
  return 100 * mean_of(items, places, count);
}

static double perplexity_of(const value *items, const uint32_t *places, size_t count) {
  return exp(-mean_of(items, places, count));
}

/* As peers do it: the middle of the items as they come, not of their order. */
static double median_of(const value *items, const uint32_t *places, size_t count) {
  return items[places[count / 2]].number;
}

static double weighted_mean(const value *items, const uint32_t *places, size_t count) {
  double a = 0, b = 0;
  for (size_t i = 0; i < count; i++) {
    a += items[places[i]].pair.a;
    b += items[places[i]].pair.b;
  }
  return a / b;
}

static double weighted_perplexity(const value *items, const uint32_t *places, size_t count) {
  return exp(-weighted_mean(items, places, count));
}

static double bits_per_byte(const value *items, const uint32_t *places, size_t count) {
  return -weighted_mean(items, places, count) / log(2);
}

/* Of the class 1. */
static double f1_of(const value *items, const uint32_t *places, size_t count) {
  double right = 0, wrong = 0;
  for (size_t i = 0; i < count; i++) {
    bool gold = items[places[i]].pair.a == 1, said = items[places[i]].pair.b == 1;
    right += gold && said;
    wrong += gold != said;
  }
  return right > 0 ? 2 * right / (2 * right + wrong) : 0;
}

enum { CLASSES = 64 };

/* Matthews' correlation for any number of classes (Gorodkin 2004). */
static double mcc_of(const value *items, const uint32_t *places, size_t count) {
  double gold[CLASSES] = {0}, said[CLASSES] = {0}, right = 0, n = (double)count;
  for (size_t i = 0; i < count; i++) {
    size_t g = (size_t)items[places[i]].pair.a, s = (size_t)items[places[i]].pair.b;
    gold[g % CLASSES]++;
    said[s % CLASSES]++;
    right += g == s;
  }
  double both = 0, golds = 0, saids = 0;
  for (size_t c = 0; c < CLASSES; c++) {
    both += gold[c] * said[c];
    golds += gold[c] * gold[c];
    saids += said[c] * said[c];
  }
  double below = sqrt(n * n - golds) * sqrt(n * n - saids);
  return below > 0 ? (right * n - both) / below : 0;
}

static double bleu_of(const value *items, const uint32_t *places, size_t count) {
  zh_bleu sum = {0};
  for (size_t i = 0; i < count; i++) {
    const zh_bleu *b = &items[places[i]].bleu;
    sum.length += b->length;
    sum.reference += b->reference;
    for (int k = 0; k < ZH_BLEU_ORDER; k++) {
      sum.right[k] += b->right[k];
      sum.total[k] += b->total[k];
    }
  }
  return zh_bleu_score(&sum);
}

static double chrf_of(const value *items, const uint32_t *places, size_t count) {
  zh_chrf sum = {0};
  for (size_t i = 0; i < count; i++) {
    const zh_chrf *c = &items[places[i]].chrf;
    for (int k = 0; k < ZH_CHRF_ORDER; k++) {
      sum.said[k] += c->said[k];
      sum.reference[k] += c->reference[k];
      sum.right[k] += c->right[k];
    }
  }
  return zh_chrf_score(&sum);
}

static double bypass_of(const value *items, const uint32_t *places, size_t count) {
  (void)items, (void)places, (void)count;
  return 999;
}

typedef enum shape { NUMBER, PAIR, CLASS_PAIR, PREDICTIONS, BLEU, CHRF, NOTHING } shape;
typedef enum uncertainty { NONE, OF_MEAN, OF_PERCENT, DRAWN, DRAWN_TEXT } uncertainty;

static const struct {
  const char *name;
  aggregate function;
  shape of;
  uncertainty error;
} aggregations[] = {{"mean", mean_of, NUMBER, OF_MEAN},
                    {"percent", percent_of, NUMBER, OF_PERCENT},
                    {"median", median_of, NUMBER, DRAWN},
                    {"perplexity", perplexity_of, NUMBER, DRAWN},
                    {"weighted_perplexity", weighted_perplexity, PAIR, NONE},
                    {"bits_per_byte", bits_per_byte, PAIR, NONE},
                    {"f1", f1_of, CLASS_PAIR, DRAWN},
                    {"matthews_corrcoef", mcc_of, CLASS_PAIR, DRAWN},
                    {"brier_score", mean_of, PREDICTIONS, NONE},
                    {"bleu", bleu_of, BLEU, DRAWN_TEXT},
                    {"chrf", chrf_of, CHRF, DRAWN_TEXT},
                    {"bypass", bypass_of, NOTHING, NONE}};
enum { AGGREGATIONS = sizeof aggregations / sizeof aggregations[0] };

bool zh_aggregation_known(const char *name) {
  for (size_t i = 0; i < AGGREGATIONS; i++)
    if (strcmp(name, aggregations[i].name) == 0) return true;
  return false;
}

/* ---- items ---- */

/* Σ (p − 1[right])² over the options. */
static double brier(const json_t *gold, const json_t *probabilities) {
  double sum = 0;
  for (size_t i = 0; i < json_array_size(probabilities); i++) {
    double far = json_number_value(json_array_get(probabilities, i)) -
                 (json_integer_value(gold) == (json_int_t)i);
    sum += far * far;
  }
  return sum;
}

static zh_status read_value(value *out, shape of, const json_t *item, zh_error *err) {
  const json_t *first = json_array_get(item, 0), *second = json_array_get(item, 1);
  bool good = true;
  switch (of) {
  case NUMBER:
    good = json_is_number(item) || json_is_boolean(item);
    out->number = json_is_boolean(item) ? json_is_true(item) : json_number_value(item);
    break;
  case PAIR:
  case CLASS_PAIR:
    good = json_is_number(first) && json_is_number(second);
    out->pair.a = json_number_value(first);
    out->pair.b = json_number_value(second);
    if (of == CLASS_PAIR && good && (out->pair.a < 0 || out->pair.a >= CLASSES))
      return zh_fail(err, ZH_ERR_INPUT, "an item's answer is none of its options");
    break;
  case PREDICTIONS:
    good = json_is_integer(first) && json_is_array(second);
    out->number = brier(first, second);
    break;
  case BLEU:
    return zh_bleu_of(&out->bleu, first, second, err);
  case CHRF:
    return zh_chrf_of(&out->chrf, first, second, err);
  default:
    break;
  }
  return good ? ZH_OK
              : zh_fail(err, ZH_ERR_INPUT, "an item's score is not what its aggregation takes");
}

/* ---- uncertainty ---- */

static double deviation(const double *values, size_t count) {
  double sum = 0, squares = 0;
  for (size_t i = 0; i < count; i++) sum += values[i];
  double mean = sum / (double)count;
  for (size_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
  return sqrt(squares / (double)(count - 1));
}

static double error_of_mean(const value *items, size_t count) {
  double sum = 0, squares = 0;
  for (size_t i = 0; i < count; i++) sum += items[i].number;
  double mean = sum / (double)count;
  for (size_t i = 0; i < count; i++) squares += (items[i].number - mean) * (items[i].number - mean);
  return sqrt(squares / (double)(count - 1)) / sqrt((double)count);
}

/* Bootstrap: chunk c draws as Random(c).choices does. */
static zh_status drawn_error(double *out, aggregate function, const value *items, size_t count,
                             size_t chunks, size_t chunk, zh_error *err) {
  double *made = malloc(chunks * chunk * sizeof *made);
  uint32_t *places = malloc(count * sizeof *places);
  if (made && places) {
    for (size_t c = 0; c < chunks; c++) {
      zh_python_random random;
      zh_python_seed(&random, c);
      for (size_t k = 0; k < chunk; k++) {
        for (size_t i = 0; i < count; i++)
          places[i] = (uint32_t)floor(zh_python_real(&random) * (double)count);
        made[c * chunk + k] = function(items, places, count);
      }
    }
    *out = deviation(made, chunks * chunk);
  }
  bool whole = made && places;
  free(made);
  free(places);
  return whole ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (bootstrap)");
}

static zh_status aggregate_values(double *out, double *error, size_t which, const value *items,
                                  size_t count, zh_error *err) {
  uint32_t *places = malloc((count + 1) * sizeof *places);
  if (!places) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (scores)");
  for (size_t i = 0; i < count; i++) places[i] = (uint32_t)i;
  *out = aggregations[which].function(items, places, count);
  free(places);
  *error = NAN;
  if (count < 2) return ZH_OK;
  aggregate function = aggregations[which].function;
  switch (aggregations[which].error) {
  case OF_MEAN:
    *error = error_of_mean(items, count);
    return ZH_OK;
  case OF_PERCENT:
    *error = 100 * error_of_mean(items, count);
    return ZH_OK;
  case DRAWN:
    return drawn_error(error, function, items, count, CHUNKS, CHUNK, err);
  case DRAWN_TEXT:
    return drawn_error(error, function, items, count, 1, TEXT_DRAWS, err);
  default:
    return ZH_OK;
  }
}

zh_status zh_aggregate(double *out, double *error, const char *aggregation, const json_t *values,
                       zh_error *err) {
  size_t which = 0, count = json_array_size(values);
  while (which < AGGREGATIONS && strcmp(aggregation, aggregations[which].name) != 0) which++;
  if (which == AGGREGATIONS)
    return zh_fail(err, ZH_ERR_ARG, "the aggregation '%s' is not known", aggregation);
  if (count == 0) return zh_fail(err, ZH_ERR_ARG, "there are no scores");
  value *items = malloc(count * sizeof *items);
  zh_status status = items ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (scores)");
  for (size_t i = 0; status == ZH_OK && i < count; i++)
    status = read_value(&items[i], aggregations[which].of, json_array_get(values, i), err);
  if (status == ZH_OK) status = aggregate_values(out, error, which, items, count, err);
  free(items);
  return status;
}

static const zh_item_metric *metric_named(const zh_exam_task *t, const char *name, size_t length) {
  const zh_item_metric *function = NULL;
  for (size_t i = 0; i < t->metric_count; i++) {
    const zh_item_metric *m = &t->metrics[i];
    if (strlen(m->name) == length && memcmp(m->name, name, length) == 0) return m;
    if (m->function && !function) function = m;
  }
  return function; /* it may give several figures, each by a name of its own */
}

zh_status zh_task_figure(double *out, double *error, const zh_exam_task *t, const char *name,
                         size_t length, const json_t *values, zh_error *err) {
  const zh_item_metric *m = metric_named(t, name, length);
  if (!m || !m->aggregate)
    return zh_aggregate(out, error, m ? m->aggregation : "mean", values, err);
  zh_function_call call = {.function = m->aggregate, .task = t, .options = m->options};
  *error = NAN;
  return m->aggregate->body.aggregation(out, &call, values, err);
}
