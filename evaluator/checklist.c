/* The application papers: what the policy asks for, what is there, and whether its dates fit. */
#include <stdio.h>
#include <string.h>

#include "core/files.h"
#include "evaluator/evaluation.h"

enum { PATH_BYTES = 4096, PAPER_BYTES_MAX = 256 << 20 };

/* Pages of a PDF: its page objects. Compressed object streams hide them; -1 then, and for other
 * files. */
static int count_pages(const unsigned char *data, size_t bytes) {
  static const char page[] = "/Type/Page", spaced[] = "/Type /Page", magic[] = "%PDF-";
  int pages = 0;
  if (bytes < sizeof magic || memcmp(data, magic, sizeof magic - 1) != 0) return -1;
  for (size_t i = 0; i + sizeof spaced < bytes; i++) {
    if (data[i] != '/' || memcmp(data + i, "/Type", 5) != 0) continue;
    size_t tight = i + sizeof page - 1, loose = i + sizeof spaced - 1;
    bool is_tight = memcmp(data + i, page, sizeof page - 1) == 0;
    bool is_loose = memcmp(data + i, spaced, sizeof spaced - 1) == 0;
    if (is_tight) pages += data[tight] != 's'; /* not /Pages */
    if (is_loose) pages += data[loose] != 's';
  }
  return pages > 0 ? pages : -1;
}

static json_t *pages_json(const zh_applicant *applicant, const zh_paper *paper) {
  char path[PATH_BYTES];
  zh_mapping map = {0};
  zh_error ignored = ZH_ERROR_INIT;
  if (applicant->folder == NULL) return json_null();
  int length = snprintf(path, sizeof path, "%s/%s", applicant->folder, paper->file);
  if (length < 0 || (size_t)length >= sizeof path || zh_file_bytes(path) > PAPER_BYTES_MAX)
    return json_null();
  if (zh_map_file(&map, path, &ignored) != ZH_OK) return json_null();
  int pages = count_pages(map.data, map.bytes);
  zh_unmap(&map);
  return pages < 0 ? json_null() : json_integer(pages);
}

/* How old a paper may be, and whether it is. */
static zh_word age(char from[ZH_DATE_BYTES], char to[ZH_DATE_BYTES], const zh_applicant *applicant,
                   const zh_material *material, const zh_claim *claim) {
  zh_date application = applicant->application;
  from[0] = to[0] = '\0';
  if (application == ZH_NO_DATE || claim->issued == ZH_NO_DATE) return ZH_WORD_checklist_no_date;
  zh_date earliest = zh_date_shift(application, material->within, -1);
  zh_date_text(from, earliest);
  zh_date_text(to, application);
  if (claim->issued > application) return ZH_WORD_checklist_not_after;
  return claim->issued < earliest ? ZH_WORD_checklist_too_old : ZH_WORD_checklist_fresh;
}

/* One check of a paper; its outcome enters the paper's status. */
static json_t *check_json(const char **status, const zh_words *words, zh_word word, bool open,
                          bool wrong, const zh_slot *slots, size_t count) {
  if (wrong) *status = "fail";
  if (open && strcmp(*status, "pass") == 0) *status = "undetermined";
  return zh_phrase_json(zh_word_of(words, word), slots, count);
}

static json_t *age_json(const char **status, const zh_words *words, const zh_applicant *applicant,
                        const zh_material *material, const zh_claim *claim) {
  char from[ZH_DATE_BYTES], to[ZH_DATE_BYTES];
  if (material->within.count == 0) return json_null();
  zh_word word = age(from, to, applicant, material, claim);
  const zh_slot slots[] = {{"from", from, from}, {"to", to, to}};
  return check_json(status, words, word, word == ZH_WORD_checklist_no_date,
                    word == ZH_WORD_checklist_too_old || word == ZH_WORD_checklist_not_after, slots,
                    2);
}

/* 上一年度: of the year before the application's. */
static json_t *year_json(const char **status, const zh_words *words, const zh_applicant *applicant,
                         const zh_material *material, const zh_claim *claim) {
  char wanted[16] = "", found[16] = "";
  if (material->of_year == NULL) return json_null();
  bool open = applicant->application == ZH_NO_DATE || claim->year == 0;
  int year = applicant->application == ZH_NO_DATE ? 0 : zh_date_year(applicant->application) - 1;
  bool right = !open && claim->year == year;
  snprintf(wanted, sizeof wanted, "%d", year);
  snprintf(found, sizeof found, "%d", claim->year);
  const zh_slot slots[] = {{"words", material->of_year, material->of_year},
                           {"needed", wanted, wanted},
                           {"value", found, found}};
  return check_json(status, words,
                    open    ? ZH_WORD_checklist_no_year
                    : right ? ZH_WORD_checklist_right_year
                            : ZH_WORD_checklist_wrong_year,
                    open, !open && !right, slots, 3);
}

/* The last day that the paper itself names. */
static json_t *validity_json(const char **status, const zh_words *words,
                             const zh_applicant *applicant, const zh_claim *claim) {
  char day[ZH_DATE_BYTES];
  if (claim->valid_until == ZH_NO_DATE) return json_null();
  zh_date_text(day, claim->valid_until);
  bool open = applicant->application == ZH_NO_DATE;
  bool over = !open && claim->valid_until < applicant->application;
  const zh_slot slot = {"to", day, day};
  return check_json(status, words,
                    open   ? ZH_WORD_checklist_no_application
                    : over ? ZH_WORD_checklist_lapsed
                           : ZH_WORD_checklist_in_force,
                    open, over, &slot, 1);
}

/* A paper may not be younger than the application that it belongs to. */
static json_t *future_json(const char **status, const zh_words *words,
                           const zh_applicant *applicant, const zh_material *material,
                           const zh_claim *claim) {
  bool known = applicant->application != ZH_NO_DATE && claim->issued != ZH_NO_DATE;
  if (material->within.count > 0 || !known || claim->issued <= applicant->application)
    return json_null();
  return check_json(status, words, ZH_WORD_checklist_not_after, false, true, NULL, 0);
}

static json_t *day_json(zh_date date) {
  char day[ZH_DATE_BYTES];
  return date == ZH_NO_DATE ? json_null() : json_string(zh_date_text(day, date));
}

static void put_paper(json_t *item, const zh_words *words, const zh_applicant *applicant,
                      const zh_material *material, const zh_claim *claim) {
  const char *status = "pass";
  const zh_paper *paper = &claim->papers[0];
  json_t *checks[] = {age_json(&status, words, applicant, material, claim),
                      year_json(&status, words, applicant, material, claim),
                      validity_json(&status, words, applicant, claim),
                      future_json(&status, words, applicant, material, claim)};
  json_object_set_new(item, "status", json_string(status));
  json_object_set_new(item, "file", json_string(paper->file));
  json_object_set_new(item, "sm3", json_string(paper->sm3));
  json_object_set_new(item, "pages", pages_json(applicant, paper));
  json_object_set_new(item, "issued", day_json(claim->issued));
  json_object_set_new(item, "valid_until", day_json(claim->valid_until));
  json_object_set_new(item, "year", claim->year == 0 ? json_null() : json_integer(claim->year));
  json_object_set(item, "age", checks[0]);
  json_t *list = json_array();
  for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
    if (json_is_null(checks[i])) continue;
    json_array_append_new(list, checks[i]);
  }
  json_object_set_new(item, "checks", list);
}

static json_t *item_json(const zh_words *words, const zh_applicant *applicant,
                         const zh_material *material) {
  const zh_claim *claim =
      applicant == NULL ? NULL : zh_claim_find(&applicant->materials, material->id);
  json_t *item = json_pack(
      "{s:s, s:o, s:o, s:b, s:o}", "item", material->id, "clause",
      zh_clause_json(material->clause, material->clause->quote), "name",
      zh_plain_phrase(&material->name), "optional", (int)material->optional, "filled_by",
      material->filled_by.zh == NULL ? json_null() : zh_plain_phrase(&material->filled_by));
  if (claim != NULL)
    put_paper(item, words, applicant, material, claim);
  else
    json_object_set_new(item, "status",
                        json_string(material->optional ? "not_applicable" : "missing"));
  return item;
}

json_t *zh_papers_json(const zh_policy *policy, const zh_applicant *applicant,
                       const zh_words *words) {
  json_t *items = json_array();
  for (size_t i = 0; i < policy->material_count; i++)
    json_array_append_new(items, item_json(words, applicant, &policy->materials[i]));
  return items;
}

static zh_status compose(json_t **out, const zh_policy *policy, const zh_applicant *applicant,
                         const zh_words *words, zh_error *err) {
  json_t *items = zh_papers_json(policy, applicant, words);
  *out = json_pack("{s:s, s:s, s:s, s:o, s:o}", "schema", "zhiheng.checklist/1", "policy",
                   policy->name, "status", policy->status, "applicant",
                   applicant == NULL ? json_null() : json_string(applicant->name), "items", items);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the checklist");
}

zh_status zh_checklist(json_t **out, const char *policy_name, const char *applicant_path,
                       zh_error *err) {
  zh_policy *policy = NULL;
  zh_applicant *applicant = NULL;
  zh_words *words = NULL;
  *out = NULL;
  ZH_TRY(zh_words_load(&words, err));
  zh_status status = zh_policy_load(&policy, policy_name, err);
  if (status == ZH_OK && policy->material_count == 0)
    status = zh_fail(err, ZH_ERR_INPUT, "policy %s lists no application papers", policy->name);
  if (status == ZH_OK && applicant_path != NULL)
    status = zh_applicant_load(&applicant, applicant_path, policy, err);
  if (status == ZH_OK) status = compose(out, policy, applicant, words, err);
  zh_applicant_free(applicant);
  zh_policy_free(policy);
  zh_words_free(words);
  return status;
}
