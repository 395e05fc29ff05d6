/* Where a tensor sits in the network, from its name as llama.cpp and Hugging Face write it. */
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/audit.h"

/* The number that follows `word` in the name, or -1. */
int64_t zh_number_after(const char *name, const char *word) {
  const char *at = strstr(name, word);
  if (at == NULL) return -1;
  at += strlen(word);
  if (*at < '0' || *at > '9') return -1;
  char *end;
  unsigned long long number = strtoull(at, &end, 10);
  return end - at > 9 ? -1 : (int64_t)number;
}

int64_t zh_layer_of(const char *name) {
  static const char *const words[] = {"blk.", "layers.", "layer.", "blocks.", "block.", ".h."};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    int64_t number = zh_number_after(name, words[i]);
    if (number >= 0) return number;
  }
  return strncmp(name, "h.", 2) == 0 ? zh_number_after(name, "h.") : -1;
}

static zh_part part_of(const char *name, zh_tensor_role role) {
  static const struct {
    zh_tensor_role role;
    const char *word;
    zh_part part;
  } rules[] = {{ZH_ROLE_EMBEDDING, "token_embd", ZH_PART_EMBEDDING},
               {ZH_ROLE_EMBEDDING, "embed_tokens", ZH_PART_EMBEDDING},
               {ZH_ROLE_EMBEDDING, "wte.", ZH_PART_EMBEDDING},
               {ZH_ROLE_EMBEDDING, "word_embeddings", ZH_PART_EMBEDDING},
               {ZH_ROLE_EMBEDDING, "tok_embeddings", ZH_PART_EMBEDDING},
               {ZH_ROLE_HEAD, "", ZH_PART_HEAD},
               {ZH_ROLE_ROUTER, "exp_probs_b", ZH_PART_ROUTER_BIAS},
               {ZH_ROLE_ROUTER, "e_score_correction_bias", ZH_PART_ROUTER_BIAS},
               {ZH_ROLE_ROUTER, "shared_expert_gate", ZH_PART_OTHER},
               {ZH_ROLE_ROUTER, "shexp", ZH_PART_OTHER},
               {ZH_ROLE_ROUTER, "", ZH_PART_ROUTER},
               {ZH_ROLE_NORM, "post_attention_norm", ZH_PART_NORM}, /* GGUF: after, not before */
               {ZH_ROLE_NORM, "post_ffw_norm", ZH_PART_NORM},
               {ZH_ROLE_NORM, "q_norm", ZH_PART_NORM},
               {ZH_ROLE_NORM, "k_norm", ZH_PART_NORM},
               {ZH_ROLE_NORM, "attn_norm", ZH_PART_ATTN_NORM},
               {ZH_ROLE_NORM, "input_layernorm", ZH_PART_ATTN_NORM},
               {ZH_ROLE_NORM, "ffn_norm", ZH_PART_FFN_NORM},
               {ZH_ROLE_NORM, "post_attention_layernorm", ZH_PART_FFN_NORM},
               {ZH_ROLE_NORM, "", ZH_PART_NORM},
               {ZH_ROLE_ATTENTION, "attn_output", ZH_PART_ATTN_OUT},
               {ZH_ROLE_ATTENTION, "o_proj", ZH_PART_ATTN_OUT},
               {ZH_ROLE_ATTENTION, "q_proj", ZH_PART_Q},
               {ZH_ROLE_ATTENTION, "k_proj", ZH_PART_K},
               {ZH_ROLE_ATTENTION, "v_proj", ZH_PART_V},
               {ZH_ROLE_ATTENTION, "attn_q.", ZH_PART_Q},
               {ZH_ROLE_ATTENTION, "attn_k.", ZH_PART_K},
               {ZH_ROLE_ATTENTION, "attn_v.", ZH_PART_V}};
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
    if (rules[i].role == role && strstr(name, rules[i].word) != NULL) return rules[i].part;
  if (role != ZH_ROLE_FFN && role != ZH_ROLE_EXPERTS) return ZH_PART_OTHER;
  if (strstr(name, "gate_up") != NULL) return ZH_PART_OTHER; /* both in one: no table for it */
  if (strstr(name, "down") != NULL || strstr(name, ".w2.") != NULL) return ZH_PART_DOWN;
  if (strstr(name, "ffn_gate") != NULL || strstr(name, "gate_proj") != NULL ||
      strstr(name, ".w1.") != NULL)
    return ZH_PART_GATE;
  if (strstr(name, "_up") != NULL || strstr(name, "up_proj") != NULL ||
      strstr(name, ".w3.") != NULL)
    return ZH_PART_UP;
  return ZH_PART_OTHER;
}

zh_place zh_place_of(const zh_tensor *tensor) {
  const char *name = tensor->name;
  zh_place place = {.role = zh_tensor_role_of(tensor), .layer = zh_layer_of(name)};
  place.part = part_of(name, place.role);
  place.shared_expert = strstr(name, "shexp") != NULL || strstr(name, "shared_expert") != NULL;
  place.expert = place.role == ZH_ROLE_EXPERTS && !place.shared_expert
                     ? zh_number_after(name, "experts.")
                     : -1;
  place.bias = place.part != ZH_PART_ROUTER_BIAS && zh_ends_in(name, "bias");
  place.prediction =
      strstr(name, "nextn") != NULL || strstr(name, "mtp.") != NULL || strstr(name, "mtp_") != NULL;
  return place;
}
