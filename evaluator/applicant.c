#include "evaluator/applicant.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "evaluator/exact.h"
#include "evaluator/policy/read.h"
#include "evaluator/rules/rules.h"

enum { PATH_BYTES = 4096, APPLICANT_BYTES_MAX = 1 << 20 };

static const char *const applicant_keys[] = {
    "applicant", "registration", "project", "dates",    "claims",    "facts", "documents",
    "decisions", "exclusions",   "costs",   "received", "materials", NULL};

/* What reading needs: the policy names the ids, the folder holds the papers (NULL: papers are not
 * opened). */
typedef struct reader {
  zh_applicant *applicant;
  const zh_policy *policy;
  const char *folder;
} reader;

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the applicant's file");
}

static void *take(const reader *r, size_t count, size_t size) {
  return zh_arena_alloc(r->applicant->arena, count == 0 ? 1 : count, size);
}

/* --- papers --- */

/* Papers lie beside or below the applicant's file, so that the folder can be handed on as a whole.
 */
static bool leads_outside(const char *file) {
  if (file[0] == '/') return true;
  for (const char *at = file; at != NULL; at = strchr(at, '/')) {
    at += *at == '/';
    if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0')) return true;
  }
  return false;
}

static zh_status read_digest(char out[ZH_DIGEST_HEX], const zh_yaml_node *node, zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_string(&text, node, err));
  if (strlen(text) != ZH_DIGEST_HEX - 1 ||
      strspn(text, "0123456789abcdefABCDEF") != ZH_DIGEST_HEX - 1) {
    return zh_yaml_fail(err, node, "expected an SM3 digest: 64 hexadecimal digits");
  }
  for (size_t i = 0; i < ZH_DIGEST_HEX; i++) out[i] = (char)tolower((unsigned char)text[i]);
  return ZH_OK;
}

/* The digest of the paper on disk; where the file declares one, both must agree. */
static zh_status check_paper(zh_paper *paper, const char *folder, const zh_yaml_node *file,
                             const char *declared, zh_error *err) {
  char path[PATH_BYTES];
  int length = snprintf(path, sizeof path, "%s/%s", folder, paper->file);
  if (length < 0 || (size_t)length >= sizeof path)
    return zh_yaml_fail(err, file, "this path is too long");
  if (!zh_is_file(path))
    return zh_yaml_fail(err, file, "there is no file '%s' beside this one", paper->file);
  ZH_TRY(zh_digest_file(paper->sm3, ZH_SM3, path, err));
  if (declared[0] == '\0' || strcmp(declared, paper->sm3) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "%s:%d: '%s' is not the file that was declared: its SM3 is %s, not %s",
                 zh_yaml_path(file), zh_yaml_line(file), paper->file, paper->sm3, declared);
}

static zh_status read_paper(zh_paper *paper, const reader *r, const zh_yaml_node *map,
                            zh_error *err) {
  const zh_yaml_node *file = zh_yaml_get(map, "file"), *sm3 = zh_yaml_get(map, "sm3");
  char declared[ZH_DIGEST_HEX] = {0};
  if (file == NULL) {
    return sm3 == NULL ? ZH_OK : zh_yaml_fail(err, sm3, "a digest needs the 'file' it belongs to");
  }
  ZH_TRY(zh_policy_string(&paper->file, map, "file", r->applicant->arena, err));
  if (leads_outside(paper->file)) {
    return zh_yaml_fail(
        err, file,
        "papers lie beside or below this file: expected a path such as papers/licence.pdf");
  }
  if (sm3 != NULL) ZH_TRY(read_digest(declared, sm3, err));
  memcpy(paper->sm3, declared, sizeof declared);
  return r->folder == NULL ? ZH_OK : check_paper(paper, r->folder, file, declared, err);
}

/* The one paper of an entry, where it names one. */
static zh_status read_own_paper(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                                zh_error *err) {
  claim->papers = take(r, 1, sizeof *claim->papers);
  if (claim->papers == NULL) return no_memory(err);
  ZH_TRY(read_paper(claim->papers, r, map, err));
  claim->paper_count = claim->papers[0].file != NULL;
  return ZH_OK;
}

static zh_status require_paper(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                               zh_error *err) {
  const zh_yaml_node *file;
  ZH_TRY(zh_yaml_require(&file, map, "file", err)); /* without its proof it is only a wish */
  return read_own_paper(claim, r, map, err);
}

static zh_status expect_map(const zh_yaml_node *node, const char *const *keys, zh_error *err) {
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a map with 'file'", err));
  return zh_yaml_expect_keys(node, keys, err);
}

/* --- sections --- */

static zh_status read_document(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                               zh_error *err) {
  static const char *const keys[] = {"file", "sm3", NULL};
  ZH_TRY(expect_map(map, keys, err));
  return require_paper(claim, r, map, err);
}

static zh_status read_exclusion(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                                zh_error *err) {
  static const char *const keys[] = {"applies", "file", "sm3", NULL};
  const zh_yaml_node *applies;
  ZH_TRY(expect_map(map, keys, err));
  ZH_TRY(zh_yaml_require(&applies, map, "applies", err));
  ZH_TRY(zh_yaml_bool(&claim->yes, applies, err));
  return read_own_paper(claim, r, map, err);
}

static zh_status read_decision(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                               zh_error *err) {
  static const char *const keys[] = {"granted", "file", "sm3", NULL};
  const zh_yaml_node *granted;
  ZH_TRY(expect_map(map, keys, err));
  ZH_TRY(zh_yaml_require(&granted, map, "granted", err));
  ZH_TRY(zh_yaml_bool(&claim->yes, granted, err));
  return require_paper(claim, r, map, err);
}

static zh_status read_material(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                               zh_error *err) {
  static const char *const keys[] = {"file", "sm3", "issued", NULL};
  const zh_yaml_node *issued;
  ZH_TRY(expect_map(map, keys, err));
  claim->issued = ZH_NO_DATE;
  issued = zh_yaml_get(map, "issued");
  if (issued != NULL) ZH_TRY(zh_date_read(&claim->issued, issued, err));
  return require_paper(claim, r, map, err);
}

/* --- costs: one line, or one for each year --- */

static zh_status add_cost(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                          zh_error *err) {
  static const char *const keys[] = {"year", "amount", "file", "sm3", NULL};
  const zh_yaml_node *amount, *file, *year = zh_yaml_get(map, "year");
  int64_t fen, number;
  ZH_TRY(expect_map(map, keys, err));
  if (year != NULL) ZH_TRY(zh_yaml_int(&number, year, 1990, 2200, err));
  ZH_TRY(zh_yaml_require(&amount, map, "amount", err));
  ZH_TRY(zh_money_read(&fen, amount, err));
  if (__builtin_add_overflow(claim->number, fen, &claim->number))
    return zh_yaml_fail(err, amount, "the sum is too big to be computed exactly");
  ZH_TRY(zh_yaml_require(&file, map, "file", err));
  return read_paper(&claim->papers[claim->paper_count++], r, map, err);
}

static zh_status read_cost(zh_claim *claim, const reader *r, const zh_yaml_node *node,
                           zh_error *err) {
  bool list = zh_yaml_node_kind(node) == ZH_YAML_LIST;
  size_t count = list ? zh_yaml_count(node) : 1;
  if (count == 0) return zh_yaml_fail(err, node, "expected at least one amount");
  claim->papers = take(r, count, sizeof *claim->papers);
  if (claim->papers == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++)
    ZH_TRY(add_cost(claim, r, list ? zh_yaml_item(node, i) : node, err));
  return ZH_OK;
}

/* --- facts --- */

static zh_status read_words(zh_claim *claim, const reader *r, const zh_fact *fact,
                            const zh_yaml_node *node, zh_error *err) {
  bool list = zh_yaml_node_kind(node) == ZH_YAML_LIST;
  size_t count = list ? zh_yaml_count(node) : 1, which;
  const char **known = take(r, fact->word_count + 1, sizeof *known);
  claim->words = take(r, count, sizeof *claim->words);
  if (known == NULL || claim->words == NULL) return no_memory(err);
  for (size_t i = 0; i < fact->word_count; i++) known[i] = fact->words[i].id;
  for (size_t i = 0; i < count; i++) {
    ZH_TRY(zh_yaml_word(&which, list ? zh_yaml_item(node, i) : node, known, err));
    for (size_t k = 0; k < claim->word_count; k++) {
      if (strcmp(claim->words[k], known[which]) == 0)
        return zh_yaml_fail(err, node, "'%s' stands twice", known[which]);
    }
    claim->words[claim->word_count++] = known[which];
  }
  return ZH_OK;
}

static zh_status read_value(zh_claim *claim, const reader *r, const zh_fact *fact,
                            const zh_yaml_node *node, zh_error *err) {
  const char *text;
  zh_date date;
  switch (fact->type) {
  case ZH_FACT_MONEY:
    return zh_money_read(&claim->number, node, err);
  case ZH_FACT_COUNT:
    return zh_count_read(&claim->number, fact->unit, node, err);
  case ZH_FACT_DATE:
    ZH_TRY(zh_date_read(&date, node, err));
    claim->number = date;
    return ZH_OK;
  case ZH_FACT_FLAG:
    return zh_yaml_bool(&claim->yes, node, err);
  case ZH_FACT_WORDS:
    return read_words(claim, r, fact, node, err);
  case ZH_FACT_TEXT:
    break;
  }
  ZH_TRY(zh_yaml_string(&text, node, err));
  claim->text = zh_arena_strdup(r->applicant->arena, text);
  return claim->text != NULL ? ZH_OK : no_memory(err);
}

/* The value alone (said, not shown), or {value, file, sm3}. */
static zh_status read_fact(zh_claim *claim, const reader *r, const zh_yaml_node *node,
                           zh_error *err) {
  static const char *const keys[] = {"value", "file", "sm3", NULL};
  const zh_fact *fact = zh_policy_fact(r->policy, claim->id);
  const zh_yaml_node *value;
  if (zh_yaml_node_kind(node) != ZH_YAML_MAP) return read_value(claim, r, fact, node, err);
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_yaml_require(&value, node, "value", err));
  ZH_TRY(read_value(claim, r, fact, value, err));
  return read_own_paper(claim, r, node, err);
}

/* --- all sections alike --- */

typedef zh_status (*claim_reader)(zh_claim *, const reader *, const zh_yaml_node *, zh_error *);

/* "facts:" with nothing below it, as in a file that is still to be filled in. */
static bool is_blank(const zh_yaml_node *node) {
  const char *text;
  zh_error ignored = ZH_ERROR_INIT;
  return zh_yaml_node_kind(node) == ZH_YAML_SCALAR &&
         zh_yaml_string(&text, node, &ignored) != ZH_OK; /* which refuses nothing but the empty */
}

/* Reads the map below `section`: its keys must be among `ids`. Absent sections are empty. */
static zh_status read_claims(zh_claims *out, const reader *r, const zh_yaml_node *root,
                             const char *section, const char *const *ids, claim_reader read,
                             zh_error *err) {
  const zh_yaml_node *map = zh_yaml_get(root, section);
  if (map == NULL || is_blank(map)) return ZH_OK;
  if (ids == NULL) return no_memory(err);
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "entries by name, each with its file", err));
  if (ids[0] == NULL && zh_yaml_count(map) > 0)
    return zh_yaml_fail(err, map, "policy %s asks for nothing under '%s'", r->policy->name,
                        section);
  ZH_TRY(zh_yaml_expect_keys(map, ids, err));
  size_t count = zh_yaml_count(map);
  out->items = take(r, count, sizeof *out->items);
  if (out->items == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) {
    const zh_yaml_node *entry = zh_yaml_item(map, i);
    zh_claim *claim = &out->items[i];
    claim->id = zh_arena_strdup(r->applicant->arena, zh_yaml_key(map, i));
    if (claim->id == NULL) return no_memory(err);
    claim->line = zh_yaml_line(entry);
    ZH_TRY(read(claim, r, entry, err));
  }
  out->count = count;
  return ZH_OK;
}

/* Ids of the policy's leaves of up to two kinds, NULL-terminated, in the arena. */
static const char *const *rule_ids(const reader *r, const zh_rule_kind *a, const zh_rule_kind *b) {
  const char **ids = take(r, r->policy->rule_count + 1, sizeof *ids);
  size_t count = 0;
  for (size_t i = 0; ids != NULL && i < r->policy->rule_count; i++) {
    const zh_rule *rule = r->policy->rules[i];
    if (rule->kind == a || rule->kind == b) ids[count++] = rule->id;
  }
  return ids;
}

static const char *const *fact_ids(const reader *r) {
  const char **ids = take(r, r->policy->fact_count + 1, sizeof *ids);
  for (size_t i = 0; ids != NULL && i < r->policy->fact_count; i++) ids[i] = r->policy->facts[i].id;
  return ids;
}

static const char *const *base_ids(const reader *r) {
  const char **ids = take(r, r->policy->base_count + 1, sizeof *ids);
  for (size_t i = 0; ids != NULL && i < r->policy->base_count; i++) ids[i] = r->policy->bases[i].id;
  return ids;
}

static const char *const *material_ids(const reader *r) {
  const char **ids = take(r, r->policy->material_count + 1, sizeof *ids);
  for (size_t i = 0; ids != NULL && i < r->policy->material_count; i++)
    ids[i] = r->policy->materials[i].id;
  return ids;
}

static zh_status read_sections(const reader *r, const zh_yaml_node *root, zh_error *err) {
  zh_applicant *a = r->applicant;
  ZH_TRY(read_claims(&a->facts, r, root, "facts", fact_ids(r), read_fact, err));
  ZH_TRY(read_claims(&a->documents, r, root, "documents", rule_ids(r, &zh_rule_document, NULL),
                     read_document, err));
  ZH_TRY(read_claims(&a->decisions, r, root, "decisions",
                     rule_ids(r, &zh_rule_judgement, &zh_rule_leadership), read_decision, err));
  ZH_TRY(read_claims(&a->exclusions, r, root, "exclusions", rule_ids(r, &zh_rule_exclusion, NULL),
                     read_exclusion, err));
  ZH_TRY(read_claims(&a->costs, r, root, "costs", base_ids(r), read_cost, err));
  return read_claims(&a->materials, r, root, "materials", material_ids(r), read_material, err);
}

/* --- grants received --- */

/* Whose money it is: this policy's clause, or another policy and its level. */
static zh_status read_origin(zh_grant_received *grant, const reader *r, const zh_yaml_node *map,
                             zh_error *err) {
  const zh_yaml_node *clause = zh_yaml_get(map, "clause"), *level = zh_yaml_get(map, "level");
  size_t which;
  grant->policy = "";
  grant->level = r->policy->level;
  if (clause != NULL && zh_yaml_get(map, "policy") != NULL)
    return zh_yaml_fail(err, map,
                        "expected 'clause' of this policy, or another 'policy', not both");
  if (clause != NULL) {
    ZH_TRY(zh_require_clause(&grant->clause, r->policy, clause, err));
    return grant->clause->kind == ZH_CLAUSE_AMOUNT
               ? ZH_OK
               : zh_yaml_fail(err, clause, "expected a clause of kind 'amount'");
  }
  ZH_TRY(zh_policy_string(&grant->policy, map, "policy", r->applicant->arena, err));
  ZH_TRY(zh_yaml_require(&level, map, "level", err));
  ZH_TRY(zh_yaml_word(&which, level, zh_level_words, err));
  grant->level = 1 << which;
  return ZH_OK;
}

static zh_status read_grant(const reader *r, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"policy", "clause",  "level", "project", "amount",
                                     "date",   "matched", "file",  "sm3",     NULL},
                           *const projects[] = {"same", "other", NULL};
  zh_grant_received *grant = &r->applicant->received[r->applicant->received_count];
  const zh_yaml_node *node;
  size_t which;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a grant received", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(read_origin(grant, r, map, err));
  node = zh_yaml_get(map, "project");
  if (node != NULL) {
    ZH_TRY(zh_yaml_word(&which, node, projects, err));
    grant->project = which == 0 ? ZH_SAME_PROJECT : ZH_OTHER_PROJECT;
  }
  ZH_TRY(zh_yaml_require(&node, map, "amount", err));
  ZH_TRY(zh_money_read(&grant->fen, node, err));
  grant->date = ZH_NO_DATE;
  node = zh_yaml_get(map, "date");
  if (node != NULL) ZH_TRY(zh_date_read(&grant->date, node, err));
  ZH_TRY(zh_read_flag(&grant->matched, map, "matched", err));
  grant->line = zh_yaml_line(map);
  r->applicant->received_count++;
  return read_paper(&grant->paper, r, map, err);
}

static zh_status read_received(const reader *r, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  list = zh_yaml_get(root, "received");
  if (list == NULL || is_blank(list)) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, root, "received", "a list of grants received", err));
  r->applicant->received = take(r, count, sizeof *r->applicant->received);
  if (r->applicant->received == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_grant(r, zh_yaml_item(list, i), err));
  return ZH_OK;
}

/* --- heading --- */

static zh_status read_dates(const reader *r, const zh_yaml_node *root, zh_error *err) {
  static const char *const keys[] = {"application", "policy_issued", NULL};
  const zh_yaml_node *dates = zh_yaml_get(root, "dates"), *node;
  zh_applicant *a = r->applicant;
  a->application = a->policy_issued = ZH_NO_DATE;
  if (dates == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(dates, ZH_YAML_MAP, "dates by name", err));
  ZH_TRY(zh_yaml_expect_keys(dates, keys, err));
  node = zh_yaml_get(dates, "application");
  if (node != NULL) ZH_TRY(zh_date_read(&a->application, node, err));
  node = zh_yaml_get(dates, "policy_issued");
  return node == NULL ? ZH_OK : zh_date_read(&a->policy_issued, node, err);
}

static zh_status read_claimed(const reader *r, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(root, "claims");
  static const char *const all[] = {"all", NULL};
  size_t which;
  if (node == NULL || is_blank(node)) return ZH_OK;
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR) {
    r->applicant->claims_all = true;
    return zh_yaml_word(&which, node, all, err);
  }
  return zh_read_clause_list(&r->applicant->claimed, &r->applicant->claimed_count,
                             r->applicant->arena, r->policy, root, "claims", ZH_CLAUSE_AMOUNT, err);
}

static zh_status read_optional(const char **out, const reader *r, const zh_yaml_node *root,
                               const char *key, zh_error *err) {
  *out = "";
  if (zh_yaml_get(root, key) == NULL) return ZH_OK;
  return zh_policy_string(out, root, key, r->applicant->arena, err);
}

static zh_status read_applicant(const reader *r, const zh_yaml_node *root, zh_error *err) {
  zh_applicant *applicant = r->applicant;
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "an applicant", err));
  ZH_TRY(zh_yaml_expect_keys(root, applicant_keys, err));
  ZH_TRY(zh_policy_string(&applicant->name, root, "applicant", applicant->arena, err));
  ZH_TRY(read_optional(&applicant->registration, r, root, "registration", err));
  ZH_TRY(read_optional(&applicant->project, r, root, "project", err));
  ZH_TRY(read_dates(r, root, err));
  ZH_TRY(read_claimed(r, root, err));
  ZH_TRY(read_sections(r, root, err));
  return read_received(r, root, err);
}

static zh_status keep_names(zh_applicant *applicant, const char *name, const char *folder,
                            zh_error *err) {
  const char *slash = strrchr(name, '/');
  applicant->file = zh_arena_strdup(applicant->arena, slash == NULL ? name : slash + 1);
  if (folder != NULL) applicant->folder = zh_arena_strdup(applicant->arena, folder);
  bool lost = applicant->file == NULL || (folder != NULL && applicant->folder == NULL);
  return lost ? no_memory(err) : ZH_OK;
}

static zh_status load(zh_applicant **out, const char *text, size_t length, const char *name,
                      const char *folder, const zh_policy *policy, zh_error *err) {
  zh_yaml_doc *doc = NULL;
  *out = NULL;
  zh_applicant *applicant = calloc(1, sizeof *applicant);
  if (applicant == NULL) return no_memory(err);
  reader r = {applicant, policy, folder};
  zh_status status = zh_arena_create(&applicant->arena, 0, err);
  if (status == ZH_OK) status = zh_yaml_load_text(&doc, text, length, name, err);
  if (status == ZH_OK) status = read_applicant(&r, zh_yaml_root(doc), err);
  if (status == ZH_OK) status = zh_digest_bytes(applicant->sm3, ZH_SM3, text, length, err);
  if (status == ZH_OK) status = keep_names(applicant, name, folder, err);
  zh_yaml_free(doc);
  if (status == ZH_OK)
    *out = applicant;
  else
    zh_applicant_free(applicant);
  return status;
}

zh_status zh_applicant_load_text(zh_applicant **out, const char *text, size_t length,
                                 const char *name, const zh_policy *policy, zh_error *err) {
  return load(out, text, length, name, NULL, policy, err);
}

zh_status zh_applicant_load(zh_applicant **out, const char *path, const zh_policy *policy,
                            zh_error *err) {
  char folder[PATH_BYTES];
  char *text = NULL;
  size_t length = 0;
  *out = NULL;
  if (strlen(path) >= sizeof folder)
    return zh_fail(err, ZH_ERR_INPUT, "the applicant's path is too long");
  snprintf(folder, sizeof folder, "%s", path);
  char *slash = strrchr(folder, '/');
  if (slash == NULL)
    snprintf(folder, sizeof folder, ".");
  else
    slash[slash == folder] = '\0';
  ZH_TRY(zh_read_file(&text, &length, path, APPLICANT_BYTES_MAX, err));
  zh_status status = load(out, text, length, path, folder, policy, err);
  free(text);
  return status;
}

void zh_applicant_free(zh_applicant *applicant) {
  if (applicant == NULL) return;
  zh_arena_free(applicant->arena);
  free(applicant);
}

const zh_claim *zh_claim_find(const zh_claims *claims, const char *id) {
  for (size_t i = 0; i < claims->count; i++) {
    if (strcmp(claims->items[i].id, id) == 0) return &claims->items[i];
  }
  return NULL;
}

bool zh_claim_has_paper(const zh_claim *claim) {
  return claim != NULL && claim->paper_count > 0;
}
