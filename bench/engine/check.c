#include "bench/engine/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/check_inside.h"

enum { TOKENS = 2, ROWS = 4 };

/* One choice by itself. */
static zh_operation of_choice(const zh_operation *o, size_t i) {
  zh_operation one = *o;
  one.weight = o->each[i];
  one.bias = o->each_bias ? o->each_bias[i] : NULL;
  one.input = zh_operation_input(o, i);
  one.second = o->second ? zh_operation_second(o, i) : NULL;
  one.output = zh_operation_output(o, i);
  one.each = NULL;
  one.spread = false;
  return one;
}

static void check_token(zh_check *check, const zh_operation *o, size_t t) {
  static zh_checker *const checkers[ZH_OPERATORS] = {
      [ZH_OP_EMBEDDING] = zh_check_embedding,
      [ZH_OP_RMSNORM] = zh_check_norm,
      [ZH_OP_HEAD_NORM] = zh_check_head_norm,
      [ZH_OP_MATMUL] = zh_check_product,
      [ZH_OP_ROPE] = zh_check_rope,
      [ZH_OP_ATTENTION] = zh_check_attention,
      [ZH_OP_ACTIVATION] = zh_check_activation,
      [ZH_OP_ADD] = zh_check_addition,
      [ZH_OP_SUM] = zh_check_sum,
      [ZH_OP_ROUTE] = zh_check_route,
      [ZH_OP_COMBINE] = zh_check_combination,
      [ZH_OP_LATENT_NORM] = zh_check_latent_norm,
      [ZH_OP_HEAD_MATMUL] = zh_check_head_product,
  };
  if (o->each) {
    zh_operation one = of_choice(o, t);
    checkers[o->op](check, &one, 0);
  } else {
    checkers[o->op](check, o, t);
  }
}

static void observe(void *user, const zh_operation *o) {
  zh_check *check = user;
  if (!check->failed)
    check->failed = !zh_order_visit(check->order, o, check->failure, sizeof check->failure);
  for (int i = 0; i < TOKENS; ++i) {
    size_t t = zh_check_draw_token(check, o);
    if (t < o->tokens) check_token(check, o, t);
  }
  zh_check_whole_product(check, o);
}

void zh_check_operation(zh_check *check, const zh_operation *operation) {
  for (size_t t = 0; t < operation->tokens; ++t) check_token(check, operation, t);
}

static bool set_slopes(zh_check *check, const zh_weights *weights) {
  uint32_t heads = weights->total.architecture.heads;
  if (!check->architecture.alibi) return true;
  check->slopes = malloc(heads * sizeof *check->slopes);
  if (check->slopes) zh_alibi_slopes(check->slopes, heads);
  return check->slopes != NULL;
}

zh_status zh_check_create_for(zh_check **out, const zh_weights *weights, zh_arithmetic arithmetic,
                              size_t context, size_t rows, uint64_t seed, zh_error *err) {
  zh_check *check = calloc(1, sizeof *check);
  if (!check) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the self-check");
  check->architecture = weights->architecture;
  check->first_layer = weights->first_layer;
  check->weights = weights;
  check->arithmetic = arithmetic;
  check->rows = rows;
  check->seed = seed;
  size_t longest = 1, bytes = 1;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_matrix *m = &zh_weights_at(weights, i)->matrix;
    if (m->columns > longest) longest = m->columns;
    size_t row_bytes = zh_weight_whole_row_bytes(zh_weights_at(weights, i));
    if (row_bytes > bytes) bytes = row_bytes;
  }
  check->row = malloc(longest * sizeof *check->row);
  check->rounded = malloc(longest * sizeof *check->rounded);
  check->source = malloc(bytes);
  check->weighted = malloc((2 * (size_t)check->architecture.experts_used + 1) * sizeof(double));
  check->router = malloc((2 * (size_t)check->architecture.experts + 1) * sizeof(float));
  check->score = malloc(context * sizeof *check->score);
  check->keys = malloc(context * zh_key_dim(&weights->architecture) * sizeof *check->keys);
  check->values = malloc(context * zh_key_dim(&weights->architecture) * sizeof *check->values);
  bool turns = set_slopes(check, weights);
  for (int i = 0; i < 2; ++i) {
    const zh_rope *rope = &check->architecture.rope[i];
    check->frequency[i] = calloc(rope->dims / 2 + 1, sizeof *check->frequency[i]);
    turns = turns && check->frequency[i];
    if (check->frequency[i]) zh_rope_frequencies(check->frequency[i], rope, arithmetic.context);
  }
  if (!turns || !check->weighted || !check->router || !check->row || !check->rounded ||
      !check->source || !check->score || !check->keys || !check->values) {
    zh_check_free(check);
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the self-check");
  }
  *out = check;
  return ZH_OK;
}

static zh_status watch_engine(zh_check *check, zh_engine *engine, uint64_t seed, zh_error *err) {
  size_t longest = 1;
  uint64_t elements = 0;
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_matrix *m = &zh_weights_at(&engine->weights, i)->matrix;
    if (m->columns > longest) longest = m->columns;
    elements += (uint64_t)m->rows * m->columns;
  }
  check->engine = engine;
  ZH_TRY(zh_order_create(&check->order, engine, err));
  return zh_whole_create(&check->whole, longest, elements, seed, err);
}

zh_status zh_check_create(zh_check **out, zh_engine *engine, uint64_t seed, zh_error *err) {
  ZH_TRY(zh_check_create_for(out, &engine->weights, zh_engine_arithmetic(engine), engine->context,
                             ROWS, seed, err));
  zh_status status = watch_engine(*out, engine, seed, err);
  if (status == ZH_OK) return ZH_OK;
  zh_check_free(*out);
  *out = NULL;
  return status;
}

void zh_check_free(zh_check *check) {
  if (!check) return;
  zh_order_free(check->order);
  zh_whole_free(check->whole);
  for (int i = 0; i < 2; ++i) free(check->frequency[i]);
  free(check->slopes);
  free(check->row);
  free(check->rounded);
  free(check->source);
  free(check->weighted);
  free(check->router);
  free(check->score);
  free(check->keys);
  free(check->values);
  free(check);
}

zh_status zh_check_attach(zh_check *check, zh_error *err) {
  return zh_engine_observe(check->engine, observe, check, err);
}

void zh_check_detach(zh_check *check) {
  check->engine->observer = NULL;
  check->engine->observer_user = NULL;
  zh_weights_leave_source(&check->engine->weights);
}

/* Of one operator what a rank found, and the first failure of all ranks. */
typedef struct sighting {
  char name[32];
  zh_check_kind found;
} sighting;

static void add_sighting(zh_check *check, const sighting *s) {
  zh_check_kind *k = NULL;
  for (size_t i = 0; i < check->kind_count && !k; ++i)
    if (strcmp(check->kinds[i].name, s->name) == 0) k = &check->kinds[i];
  if (!k && check->kind_count < ZH_CHECK_KINDS) {
    snprintf(check->name[check->kind_count], sizeof check->name[0], "%s", s->name);
    k = zh_check_kind_of(check, check->name[check->kind_count]);
  }
  if (!k) return;
  uint64_t samples = k->samples + s->found.samples;
  const char *name = k->name;
  if (s->found.ratio > k->ratio) *k = s->found;
  k->name = name;
  k->samples = samples;
  check->samples += s->found.samples;
}

zh_status zh_check_join(zh_check *check, const zh_comm *comm, zh_error *err) {
  sighting mine[ZH_CHECK_KINDS] = {0}, *all = calloc((size_t)comm->size, sizeof mine);
  for (size_t i = 0; i < check->kind_count; ++i) {
    snprintf(mine[i].name, sizeof mine[i].name, "%s", check->kinds[i].name);
    mine[i].found = check->kinds[i];
    mine[i].found.name = NULL;
  }
  zh_status status =
      all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for what the ranks saw");
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->gather(comm, mine, sizeof mine, all, 0, err);
  for (size_t i = ZH_CHECK_KINDS;
       status == ZH_OK && comm->rank == 0 && i < ZH_CHECK_KINDS * (size_t)comm->size; ++i)
    if (all[i].name[0]) add_sighting(check, &all[i]);
  free(all);
  return status;
}

uint64_t zh_check_samples(const zh_check *check) {
  return check->samples;
}

zh_status zh_check_report(const zh_check *check, json_t *checks, zh_error *err) {
  for (size_t i = 0; checks && i < check->kind_count; ++i) {
    const zh_check_kind *k = &check->kinds[i];
    json_t *entry = json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:b}", "check", "operators",
                              "operator", k->name, "what", k->what, "bound",
                              zh_json_number(k->bound), "error", zh_json_number(k->error),
                              "samples", (json_int_t)k->samples, "passed", k->ratio <= 1);
    if (!entry || json_array_append_new(checks, entry) != 0)
      return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to record the self-check");
  }
  if (check->failed) return zh_fail(err, ZH_ERR_CHECK, "%s", check->failure);
  if (check->samples == 0) return zh_fail(err, ZH_ERR_CHECK, "the self-check saw no operator");
  if (check->order && !zh_order_ended(check->order))
    return zh_fail(err, ZH_ERR_CHECK, "order: the last pass ended before its last operator");
  return ZH_OK;
}
