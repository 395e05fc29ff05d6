/* Models that contradict themselves: the families' small ones (tests/golden/families), each with a
 * config.json in which one thing cannot be. The refusal is one sentence with file, key and why. */
#include "files.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"

typedef struct lie {
  const char *model, *change, *key, *words;
} lie;

static const lie lies[] = {
    /* counts */
    {"qwen3-moe", "{'num_experts': -7}", "'num_experts'", "is -7; a whole number"},
    {"qwen3-moe", "{'num_experts': 7.5}", "'num_experts'", "is 7.5; a whole number"},
    {"qwen3-moe", "{'num_experts_per_tok': 8}", "'num_experts_per_tok'", "8 of 7 experts"},
    {"qwen3-moe", "{'num_experts_per_tok': 0}", "'num_experts_per_tok'", "0 of 7 experts"},
    {"qwen3-moe", "{'num_attention_heads': true}", "'num_attention_heads'", "not true"},
    {"qwen3-moe", "{'num_attention_heads': -4}", "'num_attention_heads'", "is -4"},
    {"qwen3-moe", "{'num_key_value_heads': 3}", "'num_key_value_heads'", "cannot share 3"},
    {"qwen3-moe", "{'num_key_value_heads': [1, 1, 1]}", "'num_key_value_heads'", "2 layers"},
    {"qwen3-moe", "{'num_hidden_layers': [2]}", "'num_hidden_layers'", "a list of 1 numbers"},
    {"qwen3-moe", "{'num_hidden_layers': 0}", "'num_hidden_layers'", "gives no layers"},
    {"qwen3-moe", "{'head_dim': 17}", "'head_dim'", "17 rotated dimensions"},
    {"qwen2", "{'num_attention_heads': 4}", "'num_attention_heads'", "does not divide into 4"},
    {"qwen2", "{'vocab_size': 102}", "'model.embed_tokens.weight'", "shape [102, 42]"},
    {"qwen2", "{'max_window_layers': -3}", "'max_window_layers'", "is -3"},
    {"deepseek-v2", "{'q_lora_rank': -26}", "'q_lora_rank'", "is -26"},
    {"deepseek-v2", "{'n_shared_experts': -1}", "'n_shared_experts'", "shared_ffn -18"},
    {"deepseek-v2", "{'qk_rope_head_dim': 7}", "'qk_rope_head_dim'", "7 rotated dimensions"},
    {"deepseek-v2", "{'qk_nope_head_dim': -14}", "'qk_nope_head_dim'", "is -14"},
    {"glm4-moe", "{'partial_rotary_factor': 0.3}", "'partial_rotary_factor'", "rope_dims 4.8"},
    {"glm4-moe", "{'partial_rotary_factor': 2}", "'partial_rotary_factor'", "up to the 16"},
    /* yes or no */
    {"qwen3-moe", "{'attention_bias': 2}", "'attention_bias'", "should be true or false"},
    {"qwen3-moe", "{'attention_bias': 'yes'}", "'attention_bias'", "not yes"},
    /* factors, which 0 or less would undo */
    {"deepseek-v2", "{'routed_scaling_factor': 0}", "'routed_scaling_factor'", "over 0"},
    {"gemma3", "{'rope_local_base_freq': -300}", "'rope_local_base_freq'", "over 1"},
    {"gemma3", "{'query_pre_attn_scalar': -14}", "'query_pre_attn_scalar'", "is -14"},
    {"gemma3", "{'query_pre_attn_scalar': 0}", "'query_pre_attn_scalar'", "is 0"},
    {"gpt-oss", "{'swiglu_limit': 0}", "'swiglu_limit'", "over 0"},
    {"granite", "{'attention_multiplier': 0}", "'attention_multiplier'", "over 0"},
    {"granite", "{'logits_scaling': 0}", "'logits_scaling'", "is 0"},
    {"minicpm", "{'scale_depth': 0}", "'scale_depth'", "over 0"},
    {"minicpm", "{'dim_model_base': -20}", "'dim_model_base'", "over 0"},
    /* words */
    {"qwen2", "{'hidden_act': 'clamped'}", "'hidden_act'", "the activation 'clamped'"},
    {"qwen2", "{'hidden_act': ['silu']}", "'hidden_act'", "the activation '?'"},
    {"deepseek-v2", "{'scoring_func': 'softmax_chosen'}", "'scoring_func'", "not among those"},
    {"deepseek-v2", "{'topk_method': 'noaux_tc'}", "'topk_method'", "group_limited_greedy alone"},
    {"deepseek-v2", "{'moe_layer_freq': 2}", "'moe_layer_freq'", "computes 1 alone"},
    {"deepseek-v3", "{'topk_method': 'greedy'}", "'topk_method'", "computes noaux_tc alone"},
    {"glm4-moe", "{'scoring_func': 'softmax'}", "'scoring_func'", "computes sigmoid alone"},
    {"qwen2-moe", "{'use_sliding_window': true}", "'use_sliding_window'", "states"},
    {"qwen3-moe", "{'num_experts': 8}", "mlp.gate.weight'", "shape [8, 40]"},
    {"gemma3", "{'use_bidirectional_attention': true}", "'use_bidirectional_attention'", "states"},
    /* groups of experts */
    {"deepseek-v2", "{'n_group': 4}", "'n_group'", "6 experts in 4 groups"},
    {"deepseek-v2", "{'topk_group': 4}", "'topk_group'", "of which 4 are used"},
    {"deepseek-v2", "{'topk_group': 1}", "'topk_group'", "cannot give 3 experts"},
    {"deepseek-v2", "{'topk_method': 'greedy'}", "'n_group'", "knows no groups"},
    {"glm4-moe", "{'topk_group': 2}", "'topk_group'", "in 1 groups"},
    /* which layers */
    {"gemma3", "{'sliding_window_pattern': 0}", "'sliding_window_pattern'", "over 0"},
    {"gemma3", "{'sliding_window': 0}", "'sliding_window'", "no window is given"},
    {"gpt-oss", "{'sliding_window': -1}", "'sliding_window'", "no window is given"},
    {"gpt-oss", "{'layer_types': ['full_attention']}", "'layer_types'", "a list of 2 words"},
    {"qwen3-moe", "{'layer_types': ['full_attention']}", "'layer_types'", "a list of 2 words"},
    {"qwen3-moe", "{'layer_types': ['sliding_attention', 'full_attention']}", "'layer_types'",
     "no window is given"},
    {"qwen3-moe", "{'layer_types': ['full_attention', 'linear_attention']}", "'layer_types'",
     "layer 1 is 'linear_attention'"},
    {"qwen3-moe", "{'layer_types': ['full_attention', 'a\\u001b[31m']}", "'layer_types'",
     "layer 1 is '?'"},
    {"qwen3-moe", "{'decoder_sparse_step': 0}", "'decoder_sparse_step'", "over 0"},
    {"qwen3-moe", "{'mlp_only_layers': [2]}", "'mlp_only_layers'", "none of the 2"},
    {"qwen3-moe", "{'mlp_only_layers': 1}", "'mlp_only_layers'", "a list of layers"},
    {"qwen3-moe", "{'mlp_layer_types': ['sparse']}", "'mlp_layer_types'", "a list of 2 words"},
    {"qwen2", "{'mlp_layer_types': ['dense', 'sparse', 'dense']}", "'mlp_layer_types'",
     "layer 1 has experts"},
    /* a layer too many is none that predicts */
    {"deepseek-v2", "{'num_hidden_layers': 1}", "'model.layers.1.", "no part"},
    {"deepseek-v3", "{'num_hidden_layers': 1}", "'model.layers.1.", "no part"},
    /* positions */
    {"qwen2", "{'rope_scaling': []}", "rope_type", "should be an object"},
    {"qwen2",
     "{'rope_scaling': {'rope_type': 'llama3', 'factor': 8, 'low_freq_factor': 4, "
     "'high_freq_factor': 1}}",
     "'low_freq_factor'", "the larger one"},
    {"qwen2", "{'rope_scaling': {'rope_type': 'yarn', 'factor': 4, 'attention_factor': 0}}",
     "'attention_factor'", "over 0"},
    {"qwen2",
     "{'rope_scaling': {'rope_type': 'yarn', 'factor': 4, 'original_max_position_embeddings': "
     "-32}}",
     "'original_max_position_embeddings'", "is -32"},
    /* packing */
    {"qwen2", "{'quantization_config': []}", "quantization_config", "should be an object"},
    {"qwen2", "{'quantization_config': 'gptq'}", "quantization_config", "should be an object"},
    {"qwen2", "{'quantization_config': {'quant_method': 4}}", "'quant_method'", "a word"},
    {"qwen2", "{'quantization_config': {'quant_method': 'gptq', 'bits': '4'}}", "'bits'",
     "a whole number over 0"},
    {"qwen2", "{'quantization_config': {'quant_method': 'gptq', 'group_size': -2}}", "'group_size'",
     "a whole number over 0"},
    {"qwen2", "{'quantization_config': {'quant_method': 'fp8', 'weight_block_size': [128]}}",
     "'weight_block_size'", "two whole numbers"},
    {"qwen2", "{'quantization_config': {'config_groups': [4]}}", "'config_groups'", "an object"},
};

/* A folder with the weights of one of the models and its config.json, changed. ' stands for ". */
static zh_model *open_changed(const char *name, const char *change) {
  char text[512], from[1024], folder[400], path[500];
  json_t *config = NULL, *changes = NULL;
  zh_error err = ZH_ERROR_INIT;
  snprintf(text, sizeof text, "%s", change);
  for (char *at = text; *at != '\0'; at++)
    if (*at == '\'') *at = '"';
  if (zh_json_load_text(&changes, text, strlen(text), change, &err) != ZH_OK)
    fail_msg("%s", err.message);
  snprintf(from, sizeof from, "%s/tests/golden/families/%s/config.json", ZH_SOURCE_DIR, name);
  assert_int_equal(zh_json_load_file(&config, from, 0, &err), ZH_OK);
  assert_int_equal(json_object_update(config, changes), 0);
  char *changed = json_dumps(config, 0);
  assert_non_null(changed);
  snprintf(folder, sizeof folder, "%s/changed", test_folder());
  assert_int_equal(zh_remove_tree(folder, &err), ZH_OK);
  assert_int_equal(mkdir(folder, 0700), 0);
  snprintf(from, sizeof from, "%s/tests/golden/families/%s/model.safetensors", ZH_SOURCE_DIR, name);
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  assert_int_equal(symlink(from, path), 0);
  put_file("changed/config.json", changed, strlen(changed));
  free(changed);
  json_decref(config);
  json_decref(changes);
  return open_good(folder);
}

static void test_nothing_is_wrong_unchanged(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    zh_architecture a;
    zh_error err = ZH_ERROR_INIT;
    if (i > 0 && strcmp(lies[i].model, lies[i - 1].model) == 0) continue;
    zh_model *m = open_changed(lies[i].model, "{}");
    if (zh_model_architecture(&a, m, &err) != ZH_OK) fail_msg("%s", err.message);
    zh_model_free(m);
  }
}

static void test_each_is_named(void **state) {
  size_t wrong = 0;
  (void)state;
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    const lie *l = &lies[i];
    zh_architecture a;
    zh_error err = ZH_ERROR_INIT;
    zh_model *m = open_changed(l->model, l->change);
    zh_status status = zh_model_architecture(&a, m, &err);
    if (status != ZH_ERR_INPUT || strstr(err.message, zh_model_path(m)) != err.message ||
        strstr(err.message, l->key) == NULL || strstr(err.message, l->words) == NULL ||
        strpbrk(err.message, "\n\x1b") != NULL) {
      print_message("%s %s: %s\n", l->model, l->change,
                    status == ZH_OK ? "was accepted" : err.message);
      wrong++;
    }
    zh_model_free(m);
  }
  assert_int_equal(wrong, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_is_wrong_unchanged),
      cmocka_unit_test(test_each_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
