/* What the packaging says of the model against what the tensors are: shards, config or metadata,
 * names and declared sizes. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/audit.h"

static zh_status memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for findings");
}

/* --- shards and indexes --- */

static zh_status report_defect(zh_auditor *a, const zh_defect *d, zh_error *err) {
  static const struct {
    zh_finding_kind kind;
    const char *variant;
  } findings[] = {[ZH_DEFECT_SHARD_MISSING] = {ZH_FOUND_missing_shard, NULL},
                  [ZH_DEFECT_SHARD_EXTRA] = {ZH_FOUND_extra_shard, NULL},
                  [ZH_DEFECT_SHARD_REPEATED] = {ZH_FOUND_extra_shard, "repeated"},
                  [ZH_DEFECT_INDEX_MISSING] = {ZH_FOUND_config_mismatch, "no_index"},
                  [ZH_DEFECT_INDEX_WRONG] = {ZH_FOUND_config_mismatch, "index"},
                  [ZH_DEFECT_INDEX_AGAIN] = {ZH_FOUND_extra_shard, "index"},
                  [ZH_DEFECT_SIZE] = {ZH_FOUND_declared_mismatch, "size"}};
  zh_audit_finding *f = zh_found(a, findings[d->kind].kind, d->what, 0, 1);
  if (f == NULL) return memory(err);
  f->variant = findings[d->kind].variant;
  zh_found_number(a, f, "tensors", d->tensors);
  zh_found_number(a, f, "stated", d->stated);
  zh_found_number(a, f, "counted", d->counted);
  return ZH_OK;
}

/* --- config and metadata --- */

/* What the tensors are, of each quantity that a config states too; 0 where no tensor tells. */
typedef struct shape_facts {
  uint64_t layers, prediction_layers, hidden, ffn, expert_ffn, vocab, experts, query, kv;
} shape_facts;

static void at_least(uint64_t *fact, uint64_t value) {
  if (value > *fact) *fact = value;
}

static bool is_plain_matrix(const zh_grid *u) {
  return u->weights && !u->place.bias && u->packing == ZH_PACK_NONE && u->value_rows == u->rows &&
         u->columns == u->tensor->shape[u->tensor->dims > 0 ? u->tensor->dims - 1 : 0];
}

static void note_matrix(shape_facts *f, const zh_grid *u) {
  switch (u->place.part) {
  case ZH_PART_EMBEDDING:
    at_least(&f->vocab, u->rows);
    at_least(&f->hidden, u->columns);
    break;
  case ZH_PART_UP:
    if (!u->place.shared_expert) at_least(u->place.expert >= 0 ? &f->expert_ffn : &f->ffn, u->rows);
    break;
  case ZH_PART_Q:
    at_least(&f->query, u->rows);
    break;
  case ZH_PART_K:
    at_least(&f->kv, u->rows);
    break;
  default:
    break;
  }
}

/* What sees or hears has layers of its own, which the text model's config does not count. */
static bool is_of_a_tower(const zh_tensor *t) {
  static const char *const parts[] = {"vision", "visual", "image", "audio",
                                      "speech", "v.blk.", "a.blk."};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    if (strstr(t->name, parts[i]) != NULL) return true;
  return false;
}

static shape_facts facts_of(const zh_auditor *a) {
  shape_facts f = {0};
  for (size_t i = 0; i < a->unit_count; i++) {
    const zh_grid *u = &a->units[i];
    if (!u->weights || is_of_a_tower(u->tensor)) continue;
    if (u->place.layer >= 0) at_least(&f.layers, (uint64_t)u->place.layer + 1);
    if (u->place.expert >= 0) at_least(&f.experts, (uint64_t)u->place.expert + 1);
    if (u->tensor->dims >= 2 && is_plain_matrix(u)) note_matrix(&f, u);
  }
  return f;
}

static zh_status compare(zh_auditor *a, const char *what, uint64_t stated, uint64_t counted,
                         bool larger_only, zh_error *err) {
  if (stated == 0 || counted == 0 || stated == counted) return ZH_OK;
  if (larger_only && stated < counted) return ZH_OK;
  zh_audit_finding *f = zh_found(a, ZH_FOUND_config_mismatch, what, 0, 1);
  if (f == NULL) return memory(err);
  zh_found_number(a, f, "stated", stated);
  zh_found_number(a, f, "counted", counted);
  return ZH_OK;
}

static uint64_t stated(const zh_auditor *a, const char *gguf_key, const char *config_key) {
  uint64_t number = 0;
  return zh_model_stated(&number, a->model, gguf_key, config_key) ? number : 0;
}

/* Layers that predict further tokens are counted apart in some configs, along in others. */
static zh_status compare_layers(zh_auditor *a, const shape_facts *f, zh_error *err) {
  uint64_t layers = stated(a, "block_count", "num_hidden_layers");
  uint64_t more = stated(a, "nextn_predict_layers", "num_nextn_predict_layers");
  if (layers + more == f->layers) return ZH_OK;
  return compare(a, "num_hidden_layers", layers, f->layers, false, err);
}

static uint64_t first_of(uint64_t a, uint64_t b) {
  return a != 0 ? a : b;
}

/* A table may have more rows than tokens, for speed; fewer it cannot. */
static zh_status compare_config(zh_auditor *a, zh_error *err) {
  const shape_facts f = facts_of(a);
  uint64_t ffn = stated(a, "feed_forward_length", "intermediate_size");
  uint64_t expert_ffn =
      first_of(stated(a, "expert_feed_forward_length", "moe_intermediate_size"), ffn);
  uint64_t experts = first_of(stated(a, "expert_count", "num_experts"),
                              first_of(stated(a, "expert_count", "n_routed_experts"),
                                       stated(a, "expert_count", "num_local_experts")));
  uint64_t heads = stated(a, "attention.head_count", "num_attention_heads");
  uint64_t kv_heads = stated(a, "attention.head_count_kv", "num_key_value_heads");
  uint64_t dim = stated(a, "attention.key_length", "head_dim");
  ZH_TRY(compare_layers(a, &f, err));
  ZH_TRY(compare(a, "hidden_size", stated(a, "embedding_length", "hidden_size"), f.hidden, false,
                 err));
  ZH_TRY(compare(a, "vocab_size", stated(a, "vocab_size", "vocab_size"), f.vocab, true, err));
  ZH_TRY(compare(a, "intermediate_size", ffn, f.ffn, true, err)); /* some state the experts' here */
  ZH_TRY(compare(a, "moe_intermediate_size", expert_ffn, f.expert_ffn, false, err));
  ZH_TRY(compare(a, "num_experts", experts, f.experts, false, err));
  ZH_TRY(compare(a, "num_attention_heads × head_dim", heads * dim, f.query, true, err));
  return compare(a, "num_key_value_heads × head_dim", kv_heads * dim, f.kv, true, err);
}

/* --- declared sizes --- */

typedef struct claim {
  double value, half_unit; /* of its last digit */
} claim;

/* "7B", "135M", "1.5B", "2T" that stand by themselves; not "A3B" (active) nor "8x7B" (nominal). */
static bool take_claim(claim *out, const char *text, const char *at) {
  static const struct {
    char letter;
    double size;
  } units[] = {{'M', 1e6}, {'B', 1e9}, {'T', 1e12}};
  if (at > text && (isalnum((unsigned char)at[-1]) || at[-1] == '.')) return false;
  char *end;
  double number = strtod(at, &end), half = 0.5;
  if (!isdigit((unsigned char)*at) || end - at > 12 || isalnum((unsigned char)end[0]) == 0)
    return false;
  const char *dot = memchr(at, '.', (size_t)(end - at));
  for (const char *p = dot; p != NULL && p + 1 < end; p++) half /= 10;
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
    if (toupper((unsigned char)*end) != units[i].letter || isalnum((unsigned char)end[1])) continue;
    *out = (claim){number * units[i].size, half * units[i].size};
    return isfinite(out->value);
  }
  return false;
}

static bool largest_claim(claim *out, const char *text) {
  bool any = false;
  for (const char *at = text; *at != '\0'; at++) {
    claim c = {0};
    if (!take_claim(&c, text, at) || (any && c.value <= out->value)) continue;
    *out = c;
    any = true;
  }
  return any;
}

/* Sizes are rounded and some count without embeddings: a tenth more than there is passes. */
static zh_status judge_claim(zh_auditor *a, const char *where, const char *text, const claim *c,
                             uint64_t stored, zh_error *err) {
  if (c->value - c->half_unit <= 1.1 * (double)stored) return ZH_OK;
  zh_audit_finding *f = zh_found(a, ZH_FOUND_declared_mismatch, where, 0, 1);
  if (f == NULL) return memory(err);
  zh_found_slot(f, "stated", zh_arena_strdup(a->arena, text));
  zh_found_number(a, f, "counted", stored);
  return ZH_OK;
}

static zh_status judge_text(zh_auditor *a, const char *where, const char *text, uint64_t stored,
                            zh_error *err) {
  claim c = {0};
  if (text == NULL || !largest_claim(&c, text)) return ZH_OK;
  return judge_claim(a, where, text, &c, stored, err);
}

static zh_status judge_number(zh_auditor *a, uint64_t stored, zh_error *err) {
  uint64_t number = 0;
  if (!zh_model_stated(&number, a->model, "general.parameter_count", "num_parameters"))
    return ZH_OK;
  const claim c = {(double)number, 0};
  char digits[32];
  zh_group_digits(digits, sizeof digits, number);
  return judge_claim(a, "parameter_count", digits, &c, stored, err);
}

zh_status zh_find_packaging(zh_auditor *a, uint64_t stored, zh_error *err) {
  if (strcmp(zh_model_format(a->model), "standard") == 0) return ZH_OK;
  for (size_t i = 0; i < zh_model_defect_count(a->model); i++)
    ZH_TRY(report_defect(a, zh_model_defect(a->model, i), err));
  ZH_TRY(compare_config(a, err));
  ZH_TRY(judge_text(a, "size_label", zh_model_declared_size(a->model), stored, err));
  ZH_TRY(judge_text(a, "name", zh_model_name(a->model), stored, err));
  return judge_number(a, stored, err);
}
