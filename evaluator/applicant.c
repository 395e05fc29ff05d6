#include "evaluator/applicant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "evaluator/applicant_reader.h"
#include "evaluator/policy/read.h"

enum { PATH_BYTES = 4096, APPLICANT_BYTES_MAX = 1 << 20 };

static const char *const applicant_keys[] = {
    "applicant", "registration", "project", "dates",    "claims",    "facts", "documents",
    "decisions", "exclusions",   "costs",   "received", "materials", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the applicant's file");
}

void *zh_reader_take(const zh_reader *r, size_t count, size_t size) {
  return zh_arena_alloc(r->applicant->arena, count == 0 ? 1 : count, size);
}

bool zh_section_is_blank(const zh_yaml_node *node) {
  const char *text;
  zh_error ignored = ZH_ERROR_INIT;
  return zh_yaml_node_kind(node) == ZH_YAML_SCALAR &&
         zh_yaml_string(&text, node, &ignored) != ZH_OK; /* which refuses nothing but the empty */
}

/* --- heading --- */

static zh_status read_dates(const zh_reader *r, const zh_yaml_node *root, zh_error *err) {
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

/* One word that is not 'all': an id that lacks its brackets, or a slip. */
static zh_status refuse_word(const zh_policy *policy, const zh_yaml_node *node, zh_error *err) {
  const char *word;
  ZH_TRY(zh_yaml_string(&word, node, err));
  const zh_clause *clause = zh_policy_clause(policy, word);
  bool amount = clause != NULL && clause->kind == ZH_CLAUSE_AMOUNT;
  for (size_t i = 0; !amount && i < policy->clause_count; i++) {
    if (policy->clauses[i].kind == ZH_CLAUSE_AMOUNT)
      return zh_yaml_fail(err, node, "expected a list such as [%s], or all", policy->clauses[i].id);
  }
  return zh_yaml_fail(err, node, "expected a list such as [%s], or all", word);
}

static zh_status read_claimed(const zh_reader *r, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(root, "claims");
  const char *word;
  if (node == NULL || zh_section_is_blank(node)) return ZH_OK;
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR) {
    ZH_TRY(zh_yaml_string(&word, node, err));
    r->applicant->claims_all = strcmp(word, "all") == 0;
    return r->applicant->claims_all ? ZH_OK : refuse_word(r->policy, node, err);
  }
  return zh_read_clause_list(&r->applicant->claimed, &r->applicant->claimed_count,
                             r->applicant->arena, r->policy, root, "claims", ZH_CLAUSE_AMOUNT, err);
}

static zh_status read_optional(const char **out, const zh_reader *r, const zh_yaml_node *root,
                               const char *key, zh_error *err) {
  *out = "";
  if (zh_yaml_get(root, key) == NULL) return ZH_OK;
  return zh_policy_string(out, root, key, r->applicant->arena, err);
}

static zh_status read_applicant(const zh_reader *r, const zh_yaml_node *root, zh_error *err) {
  zh_applicant *applicant = r->applicant;
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "an applicant", err));
  ZH_TRY(zh_yaml_expect_keys(root, applicant_keys, err));
  ZH_TRY(zh_policy_string(&applicant->name, root, "applicant", applicant->arena, err));
  ZH_TRY(read_optional(&applicant->registration, r, root, "registration", err));
  ZH_TRY(read_optional(&applicant->project, r, root, "project", err));
  ZH_TRY(read_dates(r, root, err));
  ZH_TRY(read_claimed(r, root, err));
  ZH_TRY(zh_read_sections(r, root, err));
  return zh_read_received(r, root, err);
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
  zh_reader r = {applicant, policy, folder};
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
