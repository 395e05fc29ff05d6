/* What cannot reach the output, whatever it holds: layers whose outputs are zero, experts without
 * output or out of the router's reach, neurons and heads that zeros cut off. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/audit.h"

static zh_status memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for findings");
}

static bool is_zero(const zh_grid *u) {
  return u != NULL && (u->zero || u->tiny);
}

static enum zh_level level_of(const zh_grid *u) {
  return u->zero ? ZH_PROVED : ZH_MEASURED;
}

/* --- layers --- */

typedef struct branch {
  size_t outputs, dead;
  bool cut;         /* another matrix on its only way is zero */
  bool constant_on; /* a bias at its output still adds a constant */
  enum zh_level level;
} branch;

typedef struct layer {
  branch attention, ffn;
} layer;

static void worsen(branch *b, const zh_grid *u) {
  if (level_of(u) > b->level) b->level = level_of(u);
}

static bool is_ffn(const zh_grid *u) {
  return u->place.role == ZH_ROLE_FFN || u->place.role == ZH_ROLE_EXPERTS;
}

/* A norm's gain of zero makes its branch's input zero. Gemma's files hold gain - 1. */
static bool gain_is_factor(const zh_auditor *a) {
  return strncmp(a->architecture.family, "gemma", 5) != 0;
}

static void note_unit(const zh_auditor *a, layer *l, const zh_grid *u) {
  branch *b = is_ffn(u) ? &l->ffn : &l->attention;
  zh_part part = u->place.part;
  if (u->place.bias) {
    bool out = part == ZH_PART_ATTN_OUT || part == ZH_PART_DOWN;
    b->constant_on |= out && !u->zero;
    return;
  }
  if (part == ZH_PART_ATTN_OUT || part == ZH_PART_DOWN) {
    b->outputs++;
    b->dead += is_zero(u);
    if (is_zero(u)) worsen(b, u);
  }
  bool dense_way = u->place.role == ZH_ROLE_FFN && (part == ZH_PART_GATE || part == ZH_PART_UP);
  if ((part == ZH_PART_V || dense_way) && is_zero(u)) {
    b->cut = true;
    worsen(b, u);
  }
  if ((part == ZH_PART_ATTN_NORM || part == ZH_PART_FFN_NORM) && u->zero && gain_is_factor(a)) {
    b = part == ZH_PART_ATTN_NORM ? &l->attention : &l->ffn;
    b->cut = true;
    if (b->level == 0) b->level = ZH_PROVED;
  }
}

static bool is_dead(const branch *b) {
  return b->outputs > 0 && !b->constant_on && (b->cut || b->dead == b->outputs);
}

static bool in_branch(const zh_grid *u, int which) {
  zh_part part = u->place.part;
  bool ffn = is_ffn(u) || u->place.role == ZH_ROLE_ROUTER || part == ZH_PART_FFN_NORM;
  bool attention = u->place.role == ZH_ROLE_ATTENTION || part == ZH_PART_ATTN_NORM;
  return which == 0 || (which == 1 ? attention : ffn);
}

/* which: 0 the whole layer, 1 its attention, 2 its FFN. */
static zh_status report_layer(zh_auditor *a, int64_t number, int which, enum zh_level level,
                              zh_error *err) {
  static const char *const variants[] = {NULL, "attention", "ffn"};
  static const char *const words[] = {"", " attention", " ffn"};
  uint64_t parameters = 0;
  for (size_t i = 0; i < a->unit_count; i++)
    if (a->units[i].weights && a->units[i].place.layer == number && in_branch(&a->units[i], which))
      parameters += zh_cover_unit(&a->units[i], level);
  const char *where = zh_arena_printf(a->arena, "layer %lld%s", (long long)number, words[which]);
  if (where == NULL) return memory(err);
  zh_audit_finding *f =
      zh_found(a, ZH_FOUND_identity_layer, where, parameters, level == ZH_PROVED ? 1 : 0.97);
  if (f == NULL) return memory(err);
  f->variant = variants[which];
  return ZH_OK;
}

static zh_status find_layers(zh_auditor *a, zh_error *err) {
  int64_t count = 0;
  for (size_t i = 0; i < a->unit_count; i++)
    if (a->units[i].place.layer >= count) count = a->units[i].place.layer + 1;
  if (count == 0 || count > (int64_t)a->unit_count)
    return ZH_OK; /* numbers that skip are no layers */
  layer *layers = calloc((size_t)count, sizeof *layers);
  if (layers == NULL) return memory(err);
  for (size_t i = 0; i < a->unit_count; i++) {
    const zh_grid *u = &a->units[i];
    if (u->place.layer >= 0 && u->weights && u->data != NULL)
      note_unit(a, &layers[u->place.layer], u);
  }
  zh_status status = ZH_OK;
  for (int64_t i = 0; status == ZH_OK && i < count; i++) {
    const branch *x = &layers[i].attention, *y = &layers[i].ffn;
    if (is_dead(x) && is_dead(y))
      status = report_layer(a, i, 0, x->level > y->level ? x->level : y->level, err);
    else if (is_dead(x))
      status = report_layer(a, i, 1, x->level, err);
    else if (is_dead(y))
      status = report_layer(a, i, 2, y->level, err);
  }
  free(layers);
  return status;
}

/* --- experts --- */

/* Covers the matrices of an expert and its row of the router. */
static uint64_t cover_expert(zh_auditor *a, int64_t layer_number, int64_t expert,
                             enum zh_level level) {
  uint64_t parameters = 0;
  size_t count;
  zh_grid **units = zh_grids_of(&count, a, layer_number, expert);
  for (size_t i = 0; i < count; i++)
    if (units[i]->weights) parameters += zh_cover_unit(units[i], level);
  zh_grid *router = zh_grid_find(a, layer_number, ZH_PART_ROUTER, -1, false);
  if (router != NULL && (uint64_t)expert < router->rows)
    parameters += zh_cover_row(router, (uint64_t)expert, level);
  return parameters;
}

static zh_status report_expert(zh_auditor *a, int64_t layer_number, int64_t expert,
                               double confidence, const char *variant, zh_error *err) {
  uint64_t parameters = cover_expert(a, layer_number, expert, zh_level_of(confidence));
  const char *where = zh_arena_printf(a->arena, "layer %lld expert %lld", (long long)layer_number,
                                      (long long)expert);
  if (where == NULL) return memory(err);
  if (parameters == 0) return ZH_OK; /* spoken of already */
  zh_audit_finding *f = zh_found(a, ZH_FOUND_dead_expert, where, parameters, confidence);
  if (f == NULL) return memory(err);
  f->variant = variant;
  return ZH_OK;
}

static int descending(const void *x, const void *y) {
  float a = *(const float *)x, b = *(const float *)y;
  return (a < b) - (a > b);
}

/* A score lies between 0 and 1, so a bias lower by more than 1 than that of as many experts as are
 * picked never wins. Picking by groups first can overrule that: then it is likely, not proved. */
static zh_status judge_bias(zh_auditor *a, const zh_grid *u, zh_error *err) {
  uint64_t experts = u->columns, used = a->architecture.experts_used, groups = 0;
  if (u->rows != 1 || experts < 2 || used == 0 || used >= experts) return ZH_OK;
  (void)zh_model_stated(&groups, a->model, "expert_group_count", "n_group");
  float *bias = malloc(2 * experts * sizeof *bias);
  if (bias == NULL) return memory(err);
  zh_values_row(bias, u, 0);
  memcpy(bias + experts, bias, experts * sizeof *bias);
  qsort(bias + experts, experts, sizeof *bias, descending);
  zh_status status = ZH_OK;
  for (uint64_t e = 0; status == ZH_OK && e < experts; e++)
    if (bias[e] + 1 < bias[experts + used - 1])
      status = report_expert(a, u->place.layer, (int64_t)e, groups > 1 ? 0.9 : 1, "bias", err);
  free(bias);
  return status;
}

static zh_status judge_router(zh_auditor *a, const zh_grid *u, zh_error *err) {
  if (u->zero || u->row_is_zero == NULL) return ZH_OK;
  for (uint64_t e = 0; e < u->rows; e++)
    if (u->row_is_zero[e]) ZH_TRY(report_expert(a, u->place.layer, (int64_t)e, 0.6, "router", err));
  return ZH_OK;
}

static zh_status find_experts(zh_auditor *a, zh_error *err) {
  for (size_t i = 0; i < a->unit_count; i++) {
    const zh_grid *u = &a->units[i];
    if (u->data == NULL || !u->weights) continue;
    if (u->place.expert >= 0 && is_zero(u) && !u->place.bias)
      ZH_TRY(report_expert(a, u->place.layer, u->place.expert, u->zero ? 1 : 0.97, NULL, err));
    if (u->place.part == ZH_PART_ROUTER_BIAS && zh_values_known(u->tensor->type))
      ZH_TRY(judge_bias(a, u, err));
    if (u->place.part == ZH_PART_ROUTER && !u->place.bias) ZH_TRY(judge_router(a, u, err));
  }
  return ZH_OK;
}

/* --- neurons and heads --- */

static bool row_zero(const zh_grid *u, uint64_t row) {
  return u != NULL && (u->zero || (u->row_is_zero != NULL && u->row_is_zero[row]));
}
static bool column_zero(const zh_grid *u, uint64_t column) {
  return u->zero || (u->column_is_zero != NULL && u->column_is_zero[column]);
}

static zh_status report_lines(zh_auditor *a, const zh_grid *u, const char *what,
                              const unsigned char *flags, uint64_t count, uint64_t parameters,
                              zh_error *err) {
  uint64_t dead = 0;
  for (uint64_t i = 0; i < count; i++) dead += flags[i];
  if (dead == 0 || parameters == 0) return ZH_OK;
  zh_text where = {0};
  zh_text_printf(&where, "layer %lld", (long long)u->place.layer);
  if (u->place.expert >= 0) zh_text_printf(&where, " expert %lld", (long long)u->place.expert);
  zh_text_printf(&where, " %s ", what);
  zh_runs_text(&where, flags, count);
  zh_audit_finding *f = zh_found(a, ZH_FOUND_dead_neuron, zh_text_string(&where), parameters, 1);
  zh_text_free(&where);
  if (f == NULL) return memory(err);
  f->variant = what[0] == 'h' ? "head" : NULL;
  zh_found_number(a, f, "count", dead);
  zh_found_number(a, f, "total", count);
  return ZH_OK;
}

/* down: of a dense FFN or of an expert. A neuron without output, or whose gate or input is always
 * zero, adds nothing. A bias beside gate or up would feed it all the same. */
static zh_status find_neurons(zh_auditor *a, zh_grid *down, zh_error *err) {
  int64_t l = down->place.layer, e = down->place.expert;
  zh_grid *gate = zh_grid_find(a, l, ZH_PART_GATE, e, false);
  zh_grid *up = zh_grid_find(a, l, ZH_PART_UP, e, false);
  if (up == NULL || up->rows != down->columns || (gate != NULL && gate->rows != up->rows))
    return ZH_OK;
  bool biased = zh_grid_find(a, l, ZH_PART_UP, e, true) != NULL ||
                zh_grid_find(a, l, ZH_PART_GATE, e, true) != NULL;
  unsigned char *dead = calloc(up->rows, 1);
  if (dead == NULL) return memory(err);
  uint64_t parameters = 0;
  for (uint64_t i = 0; i < up->rows; i++) {
    dead[i] = column_zero(down, i) || (!biased && (row_zero(up, i) || row_zero(gate, i)));
    if (!dead[i]) continue;
    parameters += zh_cover_column(down, i, ZH_PROVED) + zh_cover_row(up, i, ZH_PROVED);
    if (gate != NULL) parameters += zh_cover_row(gate, i, ZH_PROVED);
  }
  zh_status status = report_lines(a, down, "neurons", dead, up->rows, parameters, err);
  free(dead);
  return status;
}

typedef struct heads {
  zh_grid *q, *k, *v, *out;
  uint64_t count, groups, dim;
} heads;

static bool range_is_zero(const zh_grid *u, bool columns, uint64_t first, uint64_t count) {
  for (uint64_t i = first; i < first + count; i++)
    if (columns ? !column_zero(u, i) : !row_zero(u, i)) return false;
  return true;
}

static uint64_t cover_rows(zh_grid *u, uint64_t first, uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t i = first; i < first + count; i++) sum += zh_cover_row(u, i, ZH_PROVED);
  return sum;
}

static uint64_t cover_head(const heads *h, uint64_t head) {
  uint64_t sum = cover_rows(h->q, head * h->dim, h->dim);
  for (uint64_t i = head * h->dim; i < (head + 1) * h->dim; i++)
    sum += zh_cover_column(h->out, i, ZH_PROVED);
  return sum;
}

/* Marks heads without output; a group whose heads are all dead takes its keys and values along. */
static uint64_t find_dead_heads(unsigned char *dead, const heads *h) {
  uint64_t parameters = 0, share = h->count / h->groups;
  for (uint64_t g = 0; g < h->groups; g++) {
    bool silent = range_is_zero(h->v, false, g * h->dim, h->dim);
    uint64_t gone = 0;
    for (uint64_t i = g * share; i < (g + 1) * share; i++) {
      dead[i] = silent || range_is_zero(h->out, true, i * h->dim, h->dim);
      gone += dead[i];
      if (dead[i]) parameters += cover_head(h, i);
    }
    if (gone == share)
      parameters += cover_rows(h->k, g * h->dim, h->dim) + cover_rows(h->v, g * h->dim, h->dim);
  }
  return parameters;
}

static zh_status find_heads(zh_auditor *a, zh_grid *out, zh_error *err) {
  int64_t l = out->place.layer;
  const zh_architecture *arch = &a->architecture;
  heads h = {.q = zh_grid_find(a, l, ZH_PART_Q, -1, false),
             .k = zh_grid_find(a, l, ZH_PART_K, -1, false),
             .v = zh_grid_find(a, l, ZH_PART_V, -1, false),
             .out = out,
             .count = arch->heads,
             .groups = arch->kv_heads};
  if (h.q == NULL || h.k == NULL || h.v == NULL || h.count == 0 || h.groups == 0) return ZH_OK;
  h.dim = out->columns / h.count;
  bool fits = h.dim * h.count == out->columns && h.q->rows == out->columns &&
              h.count % h.groups == 0 && h.v->rows == h.groups * h.dim && h.k->rows == h.v->rows;
  if (!fits || zh_grid_find(a, l, ZH_PART_V, -1, true) != NULL) return ZH_OK;
  unsigned char *dead = calloc(h.count, 1);
  if (dead == NULL) return memory(err);
  uint64_t parameters = find_dead_heads(dead, &h);
  zh_status status = report_lines(a, out, "heads", dead, h.count, parameters, err);
  free(dead);
  return status;
}

zh_status zh_find_cut_off(zh_auditor *a, zh_error *err) {
  ZH_TRY(find_layers(a, err));
  ZH_TRY(find_experts(a, err));
  for (size_t i = 0; i < a->unit_count; i++) {
    zh_grid *u = &a->units[i];
    if (u->data == NULL || u->place.bias || u->place.shared_expert || u->rows == 0) continue;
    if (u->packing != ZH_PACK_NONE) continue; /* its rows and columns are those of the packing */
    if (u->place.part == ZH_PART_DOWN) ZH_TRY(find_neurons(a, u, err));
    if (u->place.part == ZH_PART_ATTN_OUT) ZH_TRY(find_heads(a, u, err));
  }
  return ZH_OK;
}
