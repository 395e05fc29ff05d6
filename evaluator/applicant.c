#include "evaluator/applicant.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "evaluator/exact.h"
#include "evaluator/rules/rules.h"

enum { PATH_BYTES = 4096, APPLICANT_BYTES_MAX = 1 << 20 };

static const char *const applicant_keys[] = {"applicant",  "registration", "documents",
                                             "exclusions", "costs",        NULL};
static const char *const document_keys[] = {"file", "sm3", NULL};
static const char *const exclusion_keys[] = {"applies", "file", "sm3", NULL};
static const char *const cost_keys[] = {"amount", "file", "sm3", NULL};

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

static zh_status read_document(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                               zh_error *err) {
  const zh_yaml_node *file;
  ZH_TRY(zh_yaml_expect_keys(map, document_keys, err));
  ZH_TRY(zh_yaml_require(&file, map, "file", err));
  return read_paper(&claim->paper, r, map, err);
}

static zh_status read_exclusion(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                                zh_error *err) {
  const zh_yaml_node *applies;
  ZH_TRY(zh_yaml_expect_keys(map, exclusion_keys, err));
  ZH_TRY(zh_yaml_require(&applies, map, "applies", err));
  ZH_TRY(zh_yaml_bool(&claim->applies, applies, err));
  return read_paper(&claim->paper, r, map, err);
}

static zh_status read_cost(zh_claim *claim, const reader *r, const zh_yaml_node *map,
                           zh_error *err) {
  const zh_yaml_node *amount, *file;
  ZH_TRY(zh_yaml_expect_keys(map, cost_keys, err));
  ZH_TRY(zh_yaml_require(&amount, map, "amount", err));
  ZH_TRY(zh_money_read(&claim->fen, amount, err));
  ZH_TRY(zh_yaml_require(&file, map, "file", err)); /* an amount without its proof is only a wish */
  return read_paper(&claim->paper, r, map, err);
}

typedef zh_status (*claim_reader)(zh_claim *, const reader *, const zh_yaml_node *, zh_error *);

/* Reads the map below `section`: its keys must be among `ids`. Absent sections are empty. */
static zh_status read_claims(zh_claims *out, const reader *r, const zh_yaml_node *root,
                             const char *section, const char *const *ids, claim_reader read,
                             zh_error *err) {
  const zh_yaml_node *map = zh_yaml_get(root, section);
  if (map == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "entries by name, each with its file", err));
  ZH_TRY(zh_yaml_expect_keys(map, ids, err));
  size_t count = zh_yaml_count(map);
  out->items = zh_arena_alloc(r->applicant->arena, count, sizeof *out->items);
  if (out->items == NULL && count > 0) return no_memory(err);
  for (size_t i = 0; i < count; i++) {
    const zh_yaml_node *entry = zh_yaml_item(map, i);
    zh_claim *claim = &out->items[i];
    claim->id = zh_arena_strdup(r->applicant->arena, zh_yaml_key(map, i));
    if (claim->id == NULL) return no_memory(err);
    claim->line = zh_yaml_line(entry);
    ZH_TRY(zh_yaml_expect(entry, ZH_YAML_MAP, "a map with 'file'", err));
    ZH_TRY(read(claim, r, entry, err));
  }
  out->count = count;
  return ZH_OK;
}

/* Ids of the policy's rules of one kind, NULL-terminated, in the arena. */
static const char *const *rule_ids(const reader *r, const zh_rule_kind *kind) {
  const char **ids = zh_arena_alloc(r->applicant->arena, r->policy->rule_count + 1, sizeof *ids);
  size_t count = 0;
  for (size_t i = 0; ids != NULL && i < r->policy->rule_count; i++) {
    if (r->policy->rules[i].kind == kind) ids[count++] = r->policy->rules[i].id;
  }
  return ids;
}

static zh_status read_applicant(reader *r, const zh_yaml_node *root, zh_error *err) {
  zh_applicant *applicant = r->applicant;
  const char *const *documents = rule_ids(r, &zh_rule_document), *const *exclusions = rule_ids(
                                                                     r, &zh_rule_exclusion);
  const char *const bases[] = {r->policy->grant->base_id, NULL};
  if (documents == NULL || exclusions == NULL) return no_memory(err);
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "an applicant", err));
  ZH_TRY(zh_yaml_expect_keys(root, applicant_keys, err));
  ZH_TRY(zh_policy_string(&applicant->name, root, "applicant", applicant->arena, err));
  applicant->registration = "";
  if (zh_yaml_get(root, "registration") != NULL) {
    ZH_TRY(zh_policy_string(&applicant->registration, root, "registration", applicant->arena, err));
  }
  ZH_TRY(read_claims(&applicant->documents, r, root, "documents", documents, read_document, err));
  ZH_TRY(
      read_claims(&applicant->exclusions, r, root, "exclusions", exclusions, read_exclusion, err));
  return read_claims(&applicant->costs, r, root, "costs", bases, read_cost, err);
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
  if (status == ZH_OK) {
    const char *slash = strrchr(name, '/');
    applicant->file = zh_arena_strdup(applicant->arena, slash == NULL ? name : slash + 1);
    if (applicant->file == NULL) status = no_memory(err);
  }
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
