/* Instructions of a pass that nobody observes, several in one call of the table: products of one
 * input, and a product that is added to the stream. Every number is the one that the instructions
 * give one by one, bit for bit; only where it is kept may differ: products of one input lie behind
 * each other in each row. */
#include "bench/engine/device_engine.h"

enum { MOST = 3 };

static bool is_latent(const zh_device_pass *p) {
  return p->e->architecture.attention == ZH_ATTENTION_LATENT;
}

/* Values that are made together: `in` rows of the first one's place, as wide as all of them. */
static const struct {
  zh_value value[MOST];
  size_t count;
} joined[] = {{{ZH_VALUE_GATE, ZH_VALUE_UP}, 2},
              {{ZH_VALUE_SHARED_GATE, ZH_VALUE_SHARED_UP}, 2},
              {{ZH_VALUE_EXPERT_GATE, ZH_VALUE_EXPERT_UP}, 2},
              {{ZH_VALUE_QUERY, ZH_VALUE_KEY, ZH_VALUE_VALUE}, 3}};
enum { JOINED = sizeof joined / sizeof joined[0] };

/* What attends is wanted by itself: it is joined where there is but one row. */
static bool is_joined(const zh_device_pass *p, size_t set) {
  if (p->e->observer) return false;
  return joined[set].value[0] != ZH_VALUE_QUERY || (p->tokens == 1 && !is_latent(p));
}

static zh_value unturned(zh_value value) {
  return value == ZH_VALUE_FINAL_QUERY ? ZH_VALUE_QUERY
         : value == ZH_VALUE_FINAL_KEY ? ZH_VALUE_KEY
                                       : value;
}

float *zh_device_value_at(const zh_device_pass *p, zh_value value, size_t *stride) {
  const zh_architecture *a = &p->e->architecture;
  zh_value is = is_latent(p) ? value : unturned(value);
  *stride = zh_value_width(a, value);
  for (size_t set = 0; set < JOINED; ++set) {
    size_t before = 0, all = 0;
    bool found = false;
    for (size_t k = 0; k < joined[set].count; ++k) {
      found |= joined[set].value[k] == is;
      if (!found) before += zh_value_width(a, joined[set].value[k]);
      all += zh_value_width(a, joined[set].value[k]);
    }
    if (!found || !is_joined(p, set)) continue;
    *stride = all;
    return p->d->value[joined[set].value[0]] + before;
  }
  return p->d->value[value];
}

/* --- products --- */

/* Products from instruction i on that are made together; 1: it is by itself. */
static size_t count_of(const zh_device_pass *p, size_t i, int layer) {
  const zh_program *program = &p->d->program;
  int other;
  for (size_t set = 0; set < JOINED; ++set) {
    size_t k = 0;
    while (k < joined[set].count) {
      const zh_instruction *is = zh_program_at(program, i + k, &other);
      if (other != layer || is->op != ZH_OP_MATMUL || is->out != joined[set].value[k]) break;
      ++k;
    }
    if (k == joined[set].count && is_joined(p, set)) return k;
  }
  return 1;
}

static const float *values_of(const zh_weight *w) {
  return w && w->tensor ? w->laid->matrix.numbers : NULL;
}

typedef struct products {
  zh_device_matrix matrix[MOST];
  const float *bias[MOST];
  bool biased;
} products;

static void add_product(products *out, size_t k, const zh_weight *w, const zh_weight *bias,
                        size_t experts) {
  out->matrix[k] = w->laid->matrix;
  out->matrix[k].rows *= (uint32_t)experts;
  out->bias[k] = values_of(bias);
  out->biased |= out->bias[k] != NULL;
}

static zh_status run_together(zh_device_pass *p, size_t i, size_t count, zh_error *err) {
  const zh_weights *weights = &p->e->weights;
  const zh_architecture *a = &p->e->architecture;
  int layer;
  const zh_instruction *first = zh_program_at(&p->d->program, i, &layer);
  bool choices = zh_value_is_of_choices(first->out);
  products all = {.biased = false};
  size_t y_stride, x_stride;
  float *y = zh_device_value_at(p, first->out, &y_stride);
  const float *x = zh_device_value_at(p, first->in, &x_stride);
  const zh_weight *expert = choices ? zh_weights_own_experts(weights, (uint32_t)layer) : NULL;
  for (size_t k = 0; k < count; ++k) {
    const zh_instruction *is = zh_program_at(&p->d->program, i + k, &layer);
    if (choices)
      add_product(&all, k, &expert[ZH_EXPERT_GATE + k], &expert[ZH_EXPERT_GATE_BIAS + k],
                  weights->experts_here);
    else
      add_product(&all, k, zh_order_weight(is, layer, weights), zh_order_bias(is, layer, weights),
                  1);
  }
  p->d->api->mark(p->d->device, first->name, zh_device_layer_of_model(p, layer));
  if (choices) {
    zh_device_grouped work = {.y = y,
                              .y_stride = y_stride,
                              .matrices = all.matrix,
                              .biases = all.biased ? all.bias : NULL,
                              .count = count,
                              .x = x,
                              .x_stride = x_stride,
                              .spread = true,
                              .tokens = p->tokens,
                              .experts = weights->experts_here,
                              .used = a->experts_used,
                              .lists = p->d->lists,
                              .way = p->expert_way};
    return p->d->api->grouped(p->d->device, &work, err);
  }
  zh_device_product work = {.y = y,
                            .y_stride = y_stride,
                            .matrices = all.matrix,
                            .biases = all.biased ? all.bias : NULL,
                            .count = count,
                            .x = x,
                            .x_stride = x_stride,
                            .tokens = p->tokens,
                            .factor = 1,
                            .way = p->way};
  return p->d->api->product(p->d->device, &work, err);
}

/* --- a product and its addition --- */

static bool is_added(const zh_device_pass *p, size_t i, int layer) {
  int other;
  if (p->d->tied) return false; /* what is added is the sum over the ranks */
  if (p->e->tamper.kind == ZH_TAMPER_TILE) return false; /* is struck between them */
  const zh_instruction *is = zh_program_at(&p->d->program, i, &other),
                       *next = zh_program_at(&p->d->program, i + 1, &other);
  return is->op == ZH_OP_MATMUL && is->out == ZH_VALUE_DELTA && next->op == ZH_OP_ADD &&
         next->second == ZH_VALUE_DELTA && other == layer;
}

static zh_status run_added(zh_device_pass *p, const zh_instruction *is, int layer, zh_error *err) {
  const zh_weights *weights = &p->e->weights;
  const zh_weight *w = zh_order_weight(is, layer, weights);
  const float *bias = values_of(zh_order_bias(is, layer, weights));
  size_t x_stride;
  const float *x = zh_device_value_at(p, is->in, &x_stride);
  zh_device_product work = {.y = p->d->value[ZH_VALUE_X],
                            .y_stride = p->e->architecture.hidden,
                            .matrices = &w->laid->matrix,
                            .biases = bias ? &bias : NULL,
                            .count = 1,
                            .x = x,
                            .x_stride = x_stride,
                            .tokens = p->tokens,
                            .adds = true,
                            .factor = zh_factor(p->e->architecture.residual_scale),
                            .way = p->way};
  p->d->api->mark(p->d->device, is->name, zh_device_layer_of_model(p, layer));
  return p->d->api->product(p->d->device, &work, err);
}

zh_status zh_device_run_joined(zh_device_pass *p, size_t i, size_t *taken, zh_error *err) {
  int layer;
  const zh_instruction *is = zh_program_at(&p->d->program, i, &layer);
  *taken = 1;
  if (layer < 0 || is->op != ZH_OP_MATMUL) return zh_device_run_instruction(p, is, layer, err);
  size_t count = count_of(p, i, layer);
  if (count > 1) {
    *taken = count;
    return run_together(p, i, count, err);
  }
  if (!is_added(p, i, layer)) return zh_device_run_instruction(p, is, layer, err);
  *taken = 2;
  return run_added(p, is, layer, err);
}
