/* The YAML reader, and every accessor on every node of what it accepts. */
#include "core/yaml.h"
#include "fuzz.h"

static void visit(const zh_yaml_node *node) {
  static const char *const words[] = {"memory", "compute", "decode", NULL};
  static const char *const units[] = {"s", "%", "GB/s", NULL};
  zh_error errors[8];
  for (int i = 0; i < 8; i++) errors[i] = (zh_error)ZH_ERROR_INIT;
  const char *text;
  int64_t whole;
  double real;
  bool yes;
  size_t index;
  zh_status status = zh_yaml_string(&text, node, &errors[0]);
  status |= zh_yaml_int(&whole, node, -10, 1000, &errors[1]);
  status |= zh_yaml_real(&real, node, -1, 1e9, &errors[2]);
  status |= zh_yaml_bool(&yes, node, &errors[3]);
  status |= zh_yaml_word(&index, node, words, &errors[4]);
  status |= zh_yaml_quantity(&real, &index, node, units, &errors[5]);
  status |= zh_yaml_expect_keys(node, words, &errors[6]);
  status |= zh_yaml_fail(&errors[7], node, "line %d, column %d", zh_yaml_line(node),
                         zh_yaml_column(node));
  if (status == ZH_OK) abort(); /* the last one always fails */
  for (size_t i = 0; i < zh_yaml_count(node); i++) {
    if (zh_yaml_node_kind(node) == ZH_YAML_MAP &&
        zh_yaml_get(node, zh_yaml_key(node, i)) != zh_yaml_item(node, i))
      abort();
    visit(zh_yaml_item(node, i));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_yaml_doc *doc;
  if (size > 4096) return 0; /* zh_yaml_get is linear: big maps would only show that */
  if (zh_yaml_load_text(&doc, (const char *)data, size, "fuzz.yaml", &err) == ZH_OK) {
    visit(zh_yaml_root(doc));
  } else if (err.message[0] == 0) {
    abort(); /* refused without a word */
  }
  zh_yaml_free(doc);
  return 0;
}
