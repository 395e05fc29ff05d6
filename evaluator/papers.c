/* Papers that an applicant's file names: where they may lie, and whether they are what it declares.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/files.h"
#include "evaluator/applicant_reader.h"
#include "evaluator/policy/read.h"

enum { PATH_BYTES = 4096 };

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
                             const zh_yaml_node *sm3, const char *declared, zh_error *err) {
  char path[PATH_BYTES];
  int length = snprintf(path, sizeof path, "%s/%s", folder, paper->file);
  if (length < 0 || (size_t)length >= sizeof path)
    return zh_yaml_fail(err, file, "this path is too long");
  if (!zh_is_file(path))
    return zh_yaml_fail(err, file, "there is no file '%s' beside this one", paper->file);
  ZH_TRY(zh_digest_file(paper->sm3, ZH_SM3, path, err));
  if (declared[0] == '\0' || strcmp(declared, paper->sm3) == 0) return ZH_OK;
  (void)zh_yaml_fail(err, sm3, "'%.200s' is not the file that was declared: its SM3 is %s, not %s",
                     paper->file, paper->sm3, declared);
  if (err != NULL) err->status = ZH_ERR_CHECK; /* no slip of the pen: another file */
  return ZH_ERR_CHECK;
}

zh_status zh_read_paper(zh_paper *paper, const zh_reader *r, const zh_yaml_node *map,
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
  return r->folder == NULL ? ZH_OK : check_paper(paper, r->folder, file, sm3, declared, err);
}

/* The one paper of an entry, where it names one. */
zh_status zh_read_own_paper(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                            zh_error *err) {
  claim->papers = zh_reader_take(r, 1, sizeof *claim->papers);
  if (claim->papers == NULL) return no_memory(err);
  ZH_TRY(zh_read_paper(claim->papers, r, map, err));
  claim->paper_count = claim->papers[0].file != NULL;
  return ZH_OK;
}

zh_status zh_require_paper(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                           zh_error *err) {
  const zh_yaml_node *file;
  ZH_TRY(zh_yaml_require(&file, map, "file", err)); /* without its proof it is only a wish */
  return zh_read_own_paper(claim, r, map, err);
}

zh_status zh_expect_entry(const zh_yaml_node *node, const char *const *keys, zh_error *err) {
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a map with 'file'", err));
  return zh_yaml_expect_keys(node, keys, err);
}
