#include "evaluator/leading/comparison.h"

#include <stdlib.h>
#include <string.h>

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the applicant's comparison");
}

static zh_status read_paper(zh_paper *paper, const zh_reader *r, const zh_yaml_node *node,
                            zh_error *err) {
  static const char *const keys[] = {"file", "sm3", NULL};
  const zh_yaml_node *file;
  ZH_TRY(zh_expect_entry(node, keys, err));
  ZH_TRY(zh_yaml_require(&file, node, "file", err));
  return zh_read_paper(paper, r, node, err);
}

static zh_status read_papers(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                             zh_error *err) {
  static const char *const keys[] = {"protocol", "scores", NULL};
  const zh_yaml_node *protocol, *scores;
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_yaml_require(&protocol, map, "protocol", err));
  ZH_TRY(zh_yaml_require(&scores, map, "scores", err));
  ZH_TRY(zh_yaml_expect(scores, ZH_YAML_LIST, "a list of tables, each {file: …}", err));
  size_t count = zh_yaml_count(scores);
  if (count == 0) return zh_yaml_fail(err, scores, "name the tables of scores");
  claim->papers = zh_reader_take(r, count + 1, sizeof *claim->papers);
  if (claim->papers == NULL) return no_memory(err);
  ZH_TRY(read_paper(&claim->papers[0], r, protocol, err));
  for (size_t i = 0; i < count; i++)
    ZH_TRY(read_paper(&claim->papers[i + 1], r, zh_yaml_item(scores, i), err));
  claim->paper_count = count + 1;
  return ZH_OK;
}

/* All sentences of a list, in one language. */
static const char *join(const json_t *list, const char *language, zh_arena *arena) {
  const char *all = "";
  const json_t *entry;
  size_t i;
  json_array_foreach(list, i, entry) {
    const char *text = json_string_value(json_object_get(entry, language));
    if (all == NULL || text == NULL) continue;
    all = zh_arena_printf(arena, "%s%s%s", all, i > 0 && language[0] == 'e' ? " " : "", text);
  }
  return all;
}

/* Of the claimant's files, where the protocol names them and the table does so as well (they agree,
 * or the comparison was refused). */
static const char *stated_sm3(const json_t *result) {
  const json_t *model;
  size_t i;
  if (!json_is_string(json_object_get(json_object_get(result, "protocol"), "claimant_sm3")))
    return NULL;
  json_array_foreach(json_object_get(result, "models"), i, model) {
    if (json_is_true(json_object_get(model, "claimant")))
      return json_string_value(json_object_get(model, "model_sm3"));
  }
  return NULL;
}

static zh_status keep(zh_claim *claim, const zh_reader *r, const json_t *result, zh_error *err) {
  zh_arena *arena = r->applicant->arena;
  zh_comparison *c = zh_reader_take(r, 1, sizeof *c);
  const char *verdict, *claimant, *zh, *en;
  const json_t *protocol = json_object_get(result, "protocol"),
               *decided = json_object_get(result, "decided_by");
  if (c == NULL) return no_memory(err);
  ZH_TRY(zh_json_string(&verdict, result, "verdict_id", "comparison", err));
  ZH_TRY(zh_json_string(&zh, result, "verdict", "comparison", err));
  ZH_TRY(zh_json_string(&en, result, "verdict_en", "comparison", err));
  ZH_TRY(zh_json_string(&claimant, protocol, "claimant", "comparison", err));
  const char *sm3 = stated_sm3(result);
  *c = (zh_comparison){.verdict = zh_arena_strdup(arena, verdict),
                       .claimant = zh_arena_strdup(arena, claimant),
                       .model_sm3 = sm3 == NULL ? NULL : zh_arena_strdup(arena, sm3),
                       .name = {zh_arena_strdup(arena, zh), zh_arena_strdup(arena, en)},
                       .decided_by = {join(decided, "zh", arena), join(decided, "en", arena)}};
  claim->comparison = c;
  bool whole = c->verdict && c->claimant && (sm3 == NULL || c->model_sm3) && c->name.zh &&
               c->name.en && c->decided_by.zh && c->decided_by.en;
  return whole ? ZH_OK : no_memory(err);
}

static zh_status compare(zh_claim *claim, const zh_reader *r, zh_error *err) {
  json_t *result = NULL;
  const char **paths = zh_reader_take(r, claim->paper_count, sizeof *paths);
  if (paths == NULL) return no_memory(err);
  for (size_t i = 0; i < claim->paper_count; i++) {
    paths[i] = zh_arena_printf(r->applicant->arena, "%s/%s", r->folder, claim->papers[i].file);
    if (paths[i] == NULL) return no_memory(err);
  }
  ZH_TRY(zh_rank(&result, paths[0], paths + 1, claim->paper_count - 1, 0, err));
  zh_status status = keep(claim, r, result, err);
  json_decref(result);
  return status;
}

zh_status zh_read_comparison(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                             zh_error *err) {
  ZH_TRY(read_papers(claim, r, map, err));
  return r->folder == NULL ? ZH_OK : compare(claim, r, err);
}
