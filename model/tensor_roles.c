/* Roles of tensors, from their names as llama.cpp and Hugging Face write them. */
#include <string.h>

#include "model/model.h"

typedef struct role_rule {
  const char *part; /* found anywhere in the name */
  zh_tensor_role role;
} role_rule;

/* The first rule that matches decides, so what must not be mistaken comes first: buffers before the
 * layers they serve, norms before the attention or FFN they belong to, experts and routers before
 * FFN. */
static const role_rule rules[] = {
    {"rope_freqs", ZH_ROLE_BUFFER},
    {"rope_factors", ZH_ROLE_BUFFER},
    {"inv_freq", ZH_ROLE_BUFFER},
    {"rotary_emb", ZH_ROLE_BUFFER},
    {"weight_scale", ZH_ROLE_BUFFER},
    {"input_scale", ZH_ROLE_BUFFER},
    {"input_global_scale", ZH_ROLE_BUFFER},
    {"input_zero_point", ZH_ROLE_BUFFER},
    {".k_scale", ZH_ROLE_BUFFER},
    {".v_scale", ZH_ROLE_BUFFER},
    {"activation_scale", ZH_ROLE_BUFFER},
    {"weight_zero_point", ZH_ROLE_BUFFER},
    {"weight_shape", ZH_ROLE_BUFFER},
    {"weight_g_idx", ZH_ROLE_BUFFER},
    {".scales", ZH_ROLE_BUFFER},
    {"_proj_scales", ZH_ROLE_BUFFER},
    {".absmax", ZH_ROLE_BUFFER},
    {".quant_map", ZH_ROLE_BUFFER},
    {".quant_state", ZH_ROLE_BUFFER},
    {".nested_", ZH_ROLE_BUFFER},
    {"qzeros", ZH_ROLE_BUFFER},
    {"g_idx", ZH_ROLE_BUFFER},
    {"masked_bias", ZH_ROLE_BUFFER},
    {"attn.bias", ZH_ROLE_BUFFER},
    {"attention.bias", ZH_ROLE_BUFFER},
    {"position_ids", ZH_ROLE_BUFFER},
    {"norm", ZH_ROLE_NORM},
    {"ln_f.", ZH_ROLE_NORM},
    {"ln_1.", ZH_ROLE_NORM},
    {"ln_2.", ZH_ROLE_NORM},
    {"ffn_gate_inp", ZH_ROLE_ROUTER},
    {"exp_probs_b", ZH_ROLE_ROUTER},
    {"mlp.gate.", ZH_ROLE_ROUTER},
    {"mlp.router", ZH_ROLE_ROUTER},
    {"block_sparse_moe.gate.", ZH_ROLE_ROUTER},
    {"shared_expert_gate", ZH_ROLE_ROUTER},
    {"e_score_correction_bias", ZH_ROLE_ROUTER},
    {"_exps", ZH_ROLE_EXPERTS},
    {"_shexp", ZH_ROLE_EXPERTS},
    {".experts", ZH_ROLE_EXPERTS},
    {"shared_expert", ZH_ROLE_EXPERTS},
    {"attn", ZH_ROLE_ATTENTION},
    {"attention", ZH_ROLE_ATTENTION},
    {"ffn", ZH_ROLE_FFN},
    {"mlp.", ZH_ROLE_FFN},
    {"feed_forward", ZH_ROLE_FFN},
    {"token_embd", ZH_ROLE_EMBEDDING},
    {"embed_tokens", ZH_ROLE_EMBEDDING},
    {"token_types", ZH_ROLE_EMBEDDING},
    {"position_embd", ZH_ROLE_EMBEDDING},
    {"word_embeddings", ZH_ROLE_EMBEDDING},
    {"tok_embeddings", ZH_ROLE_EMBEDDING},
    {"wte.", ZH_ROLE_EMBEDDING},
    {"wpe.", ZH_ROLE_EMBEDDING},
    {"lm_head", ZH_ROLE_HEAD},
    {"output.weight", ZH_ROLE_HEAD},
    {"output.bias", ZH_ROLE_HEAD},
    {"output_layer", ZH_ROLE_HEAD},
};

zh_tensor_role zh_tensor_role_of(const zh_tensor *tensor) {
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
    if (strstr(tensor->name, rules[i].part) != NULL) return rules[i].role;
  return ZH_ROLE_OTHER;
}

const char *zh_tensor_role_name(zh_tensor_role role) {
  static const char *const names[] = {[ZH_ROLE_EMBEDDING] = "embedding",
                                      [ZH_ROLE_ATTENTION] = "attention",
                                      [ZH_ROLE_FFN] = "ffn",
                                      [ZH_ROLE_EXPERTS] = "experts",
                                      [ZH_ROLE_ROUTER] = "router",
                                      [ZH_ROLE_NORM] = "norm",
                                      [ZH_ROLE_HEAD] = "head",
                                      [ZH_ROLE_BUFFER] = "buffer",
                                      [ZH_ROLE_OTHER] = "other"};
  return names[role];
}
