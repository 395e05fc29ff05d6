/* Parameters counted from the tensors of the model's own files. Definitions: docs/metrics.md,
 * "Parameters". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/audit/repeated.h"
#include "evaluator/evaluator.h"
#include "evaluator/words.h"

enum { TYPES_MAX = 32, ROLES = ZH_ROLE_OTHER + 1 };

typedef struct tally {
  uint64_t tensors, parameters, bytes;
} tally;

typedef struct census {
  tally roles[ROLES], types[TYPES_MAX];
  zh_dtype type_ids[TYPES_MAX];
  int type_count;
  uint64_t stored, unique;
  uint64_t routed; /* unique parameters of routed experts */
  uint64_t buffers, repeated, repeated_parameters;
  uint64_t integer_tensors; /* weights stored as integers that may pack several values */
} census;

/* Shared experts serve every token; only routed ones are chosen. */
static bool is_routed_expert(const zh_tensor *t) {
  return zh_tensor_role_of(t) == ZH_ROLE_EXPERTS && strstr(t->name, "shexp") == NULL &&
         strstr(t->name, "shared_expert") == NULL;
}

static bool may_be_packed(zh_dtype type) {
  return type == ZH_U8 || type == ZH_I16 || type == ZH_U16 || type == ZH_I32 || type == ZH_U32 ||
         type == ZH_I64 || type == ZH_U64;
}

static tally *tally_of_type(census *c, zh_dtype type) {
  for (int i = 0; i < c->type_count; i++) {
    if (c->type_ids[i] == type) return &c->types[i];
  }
  c->type_ids[c->type_count] = type;
  return &c->types[c->type_count++];
}

/* False where a sum would pass what JSON integers hold; only a file that lies gets there. */
static bool add_tensor(tally *sum, uint64_t parameters, uint64_t bytes) {
  sum->tensors++;
  return !__builtin_add_overflow(sum->parameters, parameters, &sum->parameters) &&
         !__builtin_add_overflow(sum->bytes, bytes, &sum->bytes) && sum->parameters <= INT64_MAX &&
         sum->bytes <= INT64_MAX;
}

static bool count_tensor(census *c, const zh_tensor *t, bool repeated) {
  zh_tensor_role role = zh_tensor_role_of(t);
  uint64_t parameters = role == ZH_ROLE_BUFFER ? 0 : t->elements;
  bool fits = add_tensor(&c->roles[role], parameters, t->bytes) &&
              add_tensor(tally_of_type(c, t->type), parameters, t->bytes) &&
              parameters <= INT64_MAX - c->stored;
  if (!fits) return false;
  c->stored += parameters;
  c->buffers += role == ZH_ROLE_BUFFER;
  c->integer_tensors += role != ZH_ROLE_BUFFER && may_be_packed(t->type);
  if (repeated) {
    c->repeated++;
    c->repeated_parameters += parameters;
    return true;
  }
  c->unique += parameters;
  if (is_routed_expert(t)) c->routed += parameters;
  return true;
}

static zh_status take_census(census *c, const zh_model *model, zh_error *err) {
  size_t count = zh_model_tensor_count(model);
  bool *repeated = calloc(count + 1, sizeof *repeated);
  if (repeated == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a list of %zu tensors", count);
  zh_status status = zh_find_repeated(repeated, model, err);
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    if (count_tensor(c, zh_model_tensor(model, i), repeated[i])) continue;
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s: the sizes of its tensors add up to more than 2^63; the header lies",
                     zh_model_name(model));
  }
  free(repeated);
  return status;
}

/* -1 where the file does not say how many of how many experts a token uses. */
static int64_t active_parameters(const census *c, const zh_architecture *a) {
  if (c->routed == 0) return (int64_t)c->unique;
  if (a->experts == 0 || a->experts_used == 0 || a->experts_used > a->experts) return -1;
  unsigned __int128 used = (unsigned __int128)c->routed * a->experts_used / a->experts;
  return (int64_t)(c->unique - c->routed + (uint64_t)used);
}

static json_t *tally_json(const char *key, const char *name, const tally *t) {
  return json_pack("{s:s, s:I, s:I, s:I}", key, name, "tensors", (json_int_t)t->tensors,
                   "parameters", (json_int_t)t->parameters, "bytes", (json_int_t)t->bytes);
}

static json_t *groups_json(const census *c) {
  json_t *array = json_array();
  for (int role = 0; role < ROLES; role++) {
    if (c->roles[role].tensors == 0) continue;
    json_array_append_new(
        array, tally_json("role", zh_tensor_role_name((zh_tensor_role)role), &c->roles[role]));
  }
  return array;
}

static json_t *types_json(const census *c) {
  json_t *array = json_array();
  for (int i = 0; i < c->type_count; i++) {
    const zh_dtype_info *info = zh_dtype_find(c->type_ids[i]);
    json_array_append_new(array, tally_json("type", info != NULL ? info->name : "?", &c->types[i]));
  }
  return array;
}

static json_t *architecture_json(const zh_architecture *a) {
  if (a == NULL) return json_null();
  return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "family",
                   a->family, "layers", (json_int_t)a->layers, "hidden", (json_int_t)a->hidden,
                   "heads", (json_int_t)a->heads, "kv_heads", (json_int_t)a->kv_heads, "head_dim",
                   (json_int_t)a->head_dim, "ffn", (json_int_t)a->ffn, "vocab",
                   (json_int_t)a->vocab, "context", (json_int_t)a->context, "experts",
                   (json_int_t)a->experts, "experts_used", (json_int_t)a->experts_used, "tied_head",
                   (int)a->tied_head);
}

typedef struct note_writer {
  json_t *array;
  const zh_words *words;
  const zh_slot *slots;
  size_t slot_count;
} note_writer;

static void note(note_writer *w, zh_word word) {
  json_array_append_new(w->array,
                        zh_phrase_json(zh_word_of(w->words, word), w->slots, w->slot_count));
}

/* What the counts hold and leave out, in words. a: NULL where the architecture is unknown. */
static json_t *notes_json(const census *c, const zh_architecture *a, int64_t active, bool standard,
                          const zh_words *words) {
  char buffers[32], tensors[32], parameters[32], experts[32], used[32];
  zh_group_digits(buffers, sizeof buffers, c->buffers);
  zh_group_digits(tensors, sizeof tensors, c->repeated);
  zh_group_digits(parameters, sizeof parameters, c->repeated_parameters);
  zh_group_digits(experts, sizeof experts, a != NULL ? a->experts : 0);
  zh_group_digits(used, sizeof used, a != NULL ? a->experts_used : 0);
  zh_slot slots[] = {{"buffers", buffers, buffers},
                     {"tensors", tensors, tensors},
                     {"parameters", parameters, parameters},
                     {"experts", experts, experts},
                     {"used", used, used}};
  note_writer w = {json_array(), words, slots, sizeof slots / sizeof slots[0]};
  if (standard) note(&w, ZH_WORD_audit_standard);
  note(&w, ZH_WORD_audit_counted);
  note(&w, ZH_WORD_audit_not_counted);
  if (a != NULL && a->tied_head) note(&w, ZH_WORD_audit_tied_head);
  if (c->repeated > 0) note(&w, ZH_WORD_audit_repeated);
  note(&w, ZH_WORD_audit_small_not_compared);
  if (active < 0)
    note(&w, ZH_WORD_audit_active_unknown);
  else
    note(&w, c->routed > 0 ? ZH_WORD_audit_active_experts : ZH_WORD_audit_active_dense);
  if (a == NULL) note(&w, ZH_WORD_audit_architecture_unknown);
  zh_group_digits(tensors, sizeof tensors, c->integer_tensors);
  if (c->integer_tensors > 0) note(&w, ZH_WORD_audit_integer_weights);
  return w.array;
}

/* Publishers print SHA-256 of files; a standard model is no file. */
static zh_status take_digests(char sm3[ZH_DIGEST_HEX], char sha256[ZH_DIGEST_HEX], zh_model *model,
                              bool standard, zh_error *err) {
  ZH_TRY(zh_model_digest(sm3, model, ZH_SM3, err));
  return standard ? ZH_OK : zh_model_digest(sha256, model, ZH_SHA256, err);
}

zh_status zh_audit(json_t **out, zh_model *model, zh_error *err) {
  char sm3[ZH_DIGEST_HEX] = {0}, sha256[ZH_DIGEST_HEX] = {0};
  zh_words *words = NULL;
  zh_architecture architecture = {0};
  zh_error refused = ZH_ERROR_INIT; /* what cannot be run is described and counted all the same */
  census c = {0};
  bool standard = strcmp(zh_model_format(model), "standard") == 0;
  *out = NULL;
  if (zh_utf8_valid_prefix(zh_model_name(model), strlen(zh_model_name(model))) !=
      strlen(zh_model_name(model))) {
    return zh_fail(err, ZH_ERR_INPUT, "the model's file name is not UTF-8; rename the file");
  }
  if (zh_model_architecture(&architecture, model, &refused) == ZH_ERR_MEMORY) {
    return zh_fail(err, ZH_ERR_MEMORY, "%s", refused.message);
  }
  const zh_architecture *a = architecture.family[0] != '\0' ? &architecture : NULL;
  zh_status status = take_census(&c, model, err);
  if (status == ZH_OK) status = zh_words_load(&words, err);
  if (status == ZH_OK) status = take_digests(sm3, sha256, model, standard, err);
  if (status != ZH_OK) goto done;
  int64_t active = active_parameters(&c, &architecture);
  *out = json_pack(
      "{s:s, s:s, s:I, s:s, s:s?, s:o, s:{s:s?, s:I, s:I, s:o}, s:o, s:o, s:I, s:I, s:o}", "name",
      zh_model_name(model), "format", zh_model_format(model), "bytes",
      (json_int_t)zh_model_file_bytes(model), "sm3", sm3, "sha256", standard ? NULL : sha256,
      "architecture", architecture_json(a), "parameters", "declared", zh_model_declared_size(model),
      "stored", (json_int_t)c.stored, "unique", (json_int_t)c.unique, "active",
      active < 0 ? json_null() : json_integer(active), "groups", groups_json(&c), "types",
      types_json(&c), "tensors", (json_int_t)zh_model_tensor_count(model), "buffers",
      (json_int_t)c.buffers, "notes", notes_json(&c, a, active, standard, words));
  if (*out == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the audit of %s", zh_model_name(model));
done:
  zh_words_free(words);
  return status;
}
