/* Writes a model's tensors and architecture as JSON, for the oracles that compare with PyPI `gguf`.
 */
#include <stdio.h>

#include "model/model.h"

static json_t *describe(const zh_tensor *t) {
  json_t *shape = json_array();
  for (int i = 0; i < t->dims; i++)
    json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
  return json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:s}", "name", t->name, "type",
                   zh_dtype_find((uint32_t)t->type)->name, "shape", shape, "elements",
                   (json_int_t)t->elements, "bytes", (json_int_t)t->bytes, "offset",
                   (json_int_t)t->file_offset, "role", zh_tensor_role_name(zh_tensor_role_of(t)));
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  zh_architecture a;
  if (argc != 2 || zh_model_open(&model, argv[1], &err) != ZH_OK) {
    fprintf(stderr, "tensor_tool: %s\n", err.message);
    return 2;
  }
  json_t *tensors = json_array(), *whole = json_pack("{s:o}", "tensors", tensors);
  for (size_t i = 0; i < zh_model_tensor_count(model); i++)
    json_array_append_new(tensors, describe(zh_model_tensor(model, i)));
  if (zh_model_architecture(&a, model, NULL) == ZH_OK)
    json_object_set_new(whole, "architecture",
                        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:s?}",
                                  "family", a.family, "layers", a.layers, "hidden", a.hidden,
                                  "heads", a.heads, "kv_heads", a.kv_heads, "head_dim", a.head_dim,
                                  "ffn", a.ffn, "vocab", a.vocab, "context", a.context, "rope_dims",
                                  a.rope[0].dims, "tied_head", a.tied_head, "declared",
                                  zh_model_declared_size(model)));
  json_dumpf(whole, stdout, 0);
  json_decref(whole);
  zh_model_free(model);
  return 0;
}
