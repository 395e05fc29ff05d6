"""One config.json of each family, as published but small: heads and sizes deliberately uneven, constants deliberately
not the usual ones, so that nothing holds by chance or by default. tensors: the published names, all of them."""

N = r"\d+"
L = rf"model\.layers\.{N}\."
ENDS = [r"model\.embed_tokens\.weight", r"model\.norm\.weight"]
HEAD = [r"lm_head\.weight"]
NORMS = [L + r"(input|post_attention)_layernorm\.weight"]
QKVO = [L + rf"self_attn\.{p}_proj\.weight" for p in "qkvo"]
QKV_BIAS = [L + rf"self_attn\.{p}_proj\.bias" for p in "qkv"]
QK_NORM = [L + rf"self_attn\.{p}_norm\.weight" for p in "qk"]
MLP = [L + rf"mlp\.{p}_proj\.weight" for p in ("gate", "up", "down")]
LLAMA = ENDS + NORMS + QKVO + MLP

RECIPES = {}

RECIPES["llama2"] = {
    "config": {
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 60,
        "initializer_range": 0.02,
        "intermediate_size": 76,
        "max_position_embeddings": 128,
        "model_type": "llama",
        "num_attention_heads": 5,
        "num_hidden_layers": 2,
        "num_key_value_heads": 5,
        "pretraining_tp": 1,
        "rms_norm_eps": 0.0004,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.31.0.dev0",
        "use_cache": True,
        "vocab_size": 103,
    },
    "tensors": LLAMA + HEAD + [L + r"self_attn\.rotary_emb\.inv_freq"],
    "buffers": {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": (6,) for i in range(2)},
    "draw": {"inv_freq": lambda rng, shape: [10000.0 ** (-i / shape[0]) for i in range(shape[0])]},
    "fp32": "inv_freq",
    "unused": r".*inv_freq",
    "unfelt": "inv_freq",
    "notes": ["Llama 2's form: as many heads of keys as of queries, no head_dim and no rope_theta (10000) in config.json,",
              "and frequencies beside the weights, which nobody reads"],
}

RECIPES["llama2-linear"] = {
    "config": RECIPES["llama2"]["config"] | {
        "num_key_value_heads": 1,
        "rope_scaling": {"factor": 4.0, "type": "linear"},
        "rope_theta": 300.0,
        "vocab_size": 107,
    },
    "tensors": LLAMA + HEAD,
    "notes": ["linear scaling in the older spelling (type); max_position_embeddings is the longer context, as in DeepSeek-Coder"],
}

RECIPES["smollm2"] = {
    "config": {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 54,
        "initializer_range": 0.041666666666666664,
        "intermediate_size": 90,
        "is_llama_config": True,
        "max_position_embeddings": 128,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 9,
        "num_hidden_layers": 3,
        "num_key_value_heads": 3,
        "pretraining_tp": 1,
        "rms_norm_eps": 0.0001,
        "rope_interleaved": False,
        "rope_scaling": None,
        "rope_theta": 2000,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
        "transformers_version": "4.42.3",
        "use_cache": True,
        "vocab_size": 113,
    },
    "tensors": LLAMA,
}

RECIPES["mistral"] = {
    "config": {
        "architectures": ["MistralForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 48,
        "initializer_range": 0.02,
        "intermediate_size": 84,
        "max_position_embeddings": 128,
        "model_type": "mistral",
        "num_attention_heads": 6,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "rms_norm_eps": 0.0002,
        "rope_theta": 1000.0,
        "sliding_window": 11,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.34.0.dev0",
        "use_cache": True,
        "vocab_size": 109,
    },
    "tensors": LLAMA + HEAD,
    "notes": ["Mistral 0.1's form: each token sees itself and the 10 before it, in all layers"],
}

RECIPES["llama3"] = {
    "config": {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": 24,
        "hidden_act": "silu",
        "hidden_size": 40,
        "intermediate_size": 76,
        "max_position_embeddings": 128,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 5,
        "num_hidden_layers": 3,
        "num_key_value_heads": 1,
        "rms_norm_eps": 0.0003,
        "rope_scaling": {
            "factor": 4.0,
            "high_freq_factor": 3.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 32,
            "rope_type": "llama3",
        },
        "rope_theta": 500.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": 131,
    },
    "tensors": LLAMA,
    "notes": ["Llama 3.2's form: tied head, llama3 scaling; the long prompt is past the original context of 32"],
}

RECIPES["qwen3"] = {
    "config": {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": 24,
        "hidden_act": "silu",
        "hidden_size": 44,
        "initializer_range": 0.02,
        "intermediate_size": 78,
        "max_position_embeddings": 128,
        "max_window_layers": 3,
        "model_type": "qwen3",
        "num_attention_heads": 6,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "rms_norm_eps": 0.0002,
        "rope_scaling": None,
        "rope_theta": 3000,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 127,
    },
    "tensors": LLAMA + HEAD + QK_NORM,
}

# --- dense families ---


def config_of(architecture, kind, **values):
    """Keys that nearly all published files share, then the family's own."""
    return {
        "architectures": [architecture],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 128,
        "model_type": kind,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
    } | values


RECIPES["qwen2"] = {
    "config": config_of(
        "Qwen2ForCausalLM", "qwen2", attention_dropout=0.0, hidden_size=42, intermediate_size=74, max_window_layers=1,
        num_attention_heads=3, num_hidden_layers=3, num_key_value_heads=1, rms_norm_eps=3e-4, rope_theta=2000.0,
        sliding_window=9, tie_word_embeddings=True, use_sliding_window=False, vocab_size=101,
    ),
    "tensors": LLAMA + QKV_BIAS,
    "notes": ["sliding_window stands in config.json and means nothing: use_sliding_window is false"],
}

RECIPES["qwen2-window"] = {
    "config": RECIPES["qwen2"]["config"] | {"hidden_size": 36, "use_sliding_window": True, "vocab_size": 97},
    "tensors": LLAMA + QKV_BIAS,
    "forms": ["safetensors"],
    "notes": ["layers from max_window_layers (1) on have the window; GGUF's qwen2 has no word for it"],
}

RECIPES["qwen2.5-yarn"] = {
    "config": config_of(
        "Qwen2ForCausalLM", "qwen2", attention_dropout=0.0, hidden_size=48, intermediate_size=70,
        max_position_embeddings=32, max_window_layers=2, num_attention_heads=3, num_hidden_layers=2,
        num_key_value_heads=1, rms_norm_eps=2e-4, rope_theta=200.0, sliding_window=128, use_sliding_window=False,
        rope_scaling={"factor": 4.0, "original_max_position_embeddings": 32, "type": "yarn"}, vocab_size=109,
    ),
    "tensors": LLAMA + QKV_BIAS + HEAD,
    "notes": ["as Qwen2.5's model cards say: max_position_embeddings stays, the factor lengthens it"],
}

GLM_MLP = [L + r"mlp\.(gate_up|down)_proj\.weight"]
RECIPES["glm"] = {
    "config": config_of(
        "GlmForCausalLM", "glm", attention_bias=True, attention_dropout=0.0, head_dim=12, hidden_size=48,
        intermediate_size=62, num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2, pad_token_id=0,
        partial_rotary_factor=0.5, rms_norm_eps=2.5e-4, rope_theta=900.0, vocab_size=107,
    ),
    "tensors": ENDS + HEAD + NORMS + QKVO + QKV_BIAS + GLM_MLP,
    "notes": ["half of each head is rotated, in pairs (2i, 2i + 1); gate and up are one matrix"],
}

RECIPES["glm4"] = {
    "config": config_of(
        "Glm4ForCausalLM", "glm4", attention_bias=True, attention_dropout=0.0, head_dim=20, hidden_size=44,
        intermediate_size=58, num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=1, pad_token_id=0,
        partial_rotary_factor=0.5, rms_norm_eps=1.5e-4, rope_theta=1100.0, vocab_size=103,
    ),
    "tensors": ENDS + HEAD + NORMS + QKVO + QKV_BIAS + GLM_MLP + [L + r"post_(self_attn|mlp)_layernorm\.weight"],
    "notes": ["norms before and after both halves of a layer"],
}

GEMMA_NORMS = [L + r"(input|post_attention|pre_feedforward|post_feedforward)_layernorm\.weight"]
SMALL = {"embed_tokens": lambda rng, shape: 0.08 * rng.standard_normal(shape)}  # sqrt(hidden_size) enlarges it
UNROUNDED = "fp32 run: the embedding is scaled by sqrt(hidden_size) in fp32, not rounded to bf16 as in a bf16 run"
RECIPES["gemma2"] = {
    "config": config_of(
        "Gemma2ForCausalLM", "gemma2", attention_bias=False, attention_dropout=0.0, attn_logit_softcapping=3.0,
        final_logit_softcapping=1.5, head_dim=14, hidden_act="gelu_pytorch_tanh",
        hidden_activation="gelu_pytorch_tanh", hidden_size=40, intermediate_size=54, num_attention_heads=4,
        num_hidden_layers=4, num_key_value_heads=2, pad_token_id=0, query_pre_attn_scalar=14, rms_norm_eps=2e-4,
        rope_theta=1500.0, sliding_window=9, cache_implementation="hybrid", vocab_size=97,
    ) | {"tie_word_embeddings": True},
    "tensors": ENDS + GEMMA_NORMS + QKVO + MLP,
    "gain": 0.0,
    "draw": SMALL,
    "notes": [UNROUNDED, "sliding and full attention take turns, sliding first"],
}

RECIPES["gemma3"] = {
    "config": {
        "architectures": ["Gemma3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "attn_logit_softcapping": None, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 106],
        "final_logit_softcapping": None, "head_dim": 14, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 36,
        "initializer_range": 0.02, "intermediate_size": 46, "max_position_embeddings": 128,
        "model_type": "gemma3_text", "num_attention_heads": 3, "num_hidden_layers": 7, "num_key_value_heads": 1,
        "pad_token_id": 0, "query_pre_attn_scalar": 14, "rms_norm_eps": 1e-4, "rope_local_base_freq": 300,
        "rope_scaling": None, "rope_theta": 5000, "sliding_window": 10, "sliding_window_pattern": 6,
        "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": 103,
    },
    "tensors": ENDS + GEMMA_NORMS + QKVO + QK_NORM + MLP,
    "tied": True,
    "gain": 0.0,
    "draw": SMALL,
    "notes": [UNROUNDED, "every sixth layer sees everything and has the other base; the head is tied without a word"],
}

RECIPES["gemma3-nested"] = {
    "config": {
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999, "eoi_token_index": 256000,
        "eos_token_id": [1, 106], "image_token_index": 262144, "initializer_range": 0.02, "mm_tokens_per_image": 4,
        "model_type": "gemma3",
        "text_config": {
            "head_dim": 10, "hidden_size": 32, "intermediate_size": 44, "max_position_embeddings": 128,
            "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 7, "num_key_value_heads": 2,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 12, "vocab_size": 89,
        },
        "torch_dtype": "bfloat16",
        "vision_config": {
            "hidden_size": 8, "image_size": 16, "intermediate_size": 12, "model_type": "siglip_vision_model",
            "num_attention_heads": 2, "num_hidden_layers": 1, "patch_size": 4, "vision_use_head": False,
        },
    },
    "vocab": 89,
    "tensors": [r"language_model\." + p for p in ENDS + GEMMA_NORMS + QKVO + QK_NORM + MLP]
    + [r"vision_tower\.vision_model\..*", r"multi_modal_projector\..*"],
    "rename": {r"^model\.language_model\.": "language_model.model.", r"^(model\.)?vision_tower\.": "vision_tower.vision_model.",
               r"^model\.multi": "multi",
               r"^language_model\.(?!model)": "language_model.model."},
    "tied": True,
    "gain": 0.0,
    "draw": SMALL,
    "unfelt": "vision|multi_modal",
    "notes": [UNROUNDED, "what config.json leaves out is Gemma 3's own: bases 1e6 and 1e4, pattern 6, eps 1e-6, "
              "query_pre_attn_scalar 256; the linear scaling is that of layers that see everything",
              "the vision tower is there and stays unused"],
}

FUSED = ENDS + NORMS + [L + r"self_attn\.(qkv|o)_proj\.weight", L + r"mlp\.(gate_up|down)_proj\.weight"]
RECIPES["phi3-longrope"] = {
    "config": config_of(
        "Phi3ForCausalLM", "phi3", attention_bias=False, attention_dropout=0.0, embd_pdrop=0.0, hidden_size=48,
        intermediate_size=66, num_attention_heads=3, num_hidden_layers=2, num_key_value_heads=1,
        original_max_position_embeddings=32, pad_token_id=0, partial_rotary_factor=0.75, resid_pdrop=0.0,
        rms_norm_eps=3e-4, rope_theta=800.0, sliding_window=262144, tie_word_embeddings=True, vocab_size=103,
        rope_scaling={
            "long_factor": [1.0, 1.25, 1.75, 2.5, 3.5, 4.0], "short_factor": [1.0, 1.05, 1.1, 1.2, 1.3, 1.5],
            "type": "longrope",
        },
    ),
    "tensors": FUSED,
    "contexts": {"short": 32, "ragged": 128, "long": 128},
    "lengths": {"short": 7, "ragged": 14, "long": 61},
    "notes": ["Phi-4-mini's form; factors are chosen by the length that is prepared for (context): 32 has the short "
              "ones, 128 the long ones at every position"],
}

RECIPES["phi3-window"] = {
    "config": config_of(
        "Phi3ForCausalLM", "phi3", attention_bias=False, attention_dropout=0.0, embd_pdrop=0.0, hidden_size=48,
        intermediate_size=62, num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=4,
        original_max_position_embeddings=128, pad_token_id=0, resid_pdrop=0.0, rms_norm_eps=2e-4, rope_scaling=None,
        rope_theta=1200.0, sliding_window=13, vocab_size=97,
    ),
    "tensors": FUSED + HEAD,
    "notes": ["Phi-3-mini-4k's form"],
}

HUNYUAN_NORM = [L + r"self_attn\.(query|key)_layernorm\.weight"]
RECIPES["hunyuan-dense"] = {
    "config": config_of(
        "HunYuanDenseV1ForCausalLM", "hunyuan_v1_dense", attention_bias=False, attention_dropout=0.0, head_dim=16,
        hidden_size=44, intermediate_size=70, max_position_embeddings=256, num_attention_heads=5, num_hidden_layers=2,
        num_key_value_heads=1, pad_token_id=0, rms_norm_eps=2e-4, rope_theta=400.0, tie_word_embeddings=True,
        use_qk_norm=True, vocab_size=107,
        rope_scaling={"alpha": 50.0, "beta_fast": 32, "beta_slow": 1, "factor": 1.0, "mscale": 1.0,
                      "mscale_all_dim": 1.0, "type": "dynamic"},
    ),
    "tensors": LLAMA + HUNYUAN_NORM,
    "notes": ["q and k are normalised after the rotation; alpha stretches the base at every length"],
}

RECIPES["ernie4.5"] = {
    "config": config_of(
        "Ernie4_5ForCausalLM", "ernie4_5", head_dim=18, hidden_size=40, intermediate_size=74, num_attention_heads=3,
        num_hidden_layers=2, num_key_value_heads=1, pad_token_id=0, rms_norm_eps=3e-4, rope_theta=2500.0,
        tie_word_embeddings=True, use_bias=False, vocab_size=109,
    ),
    "tensors": LLAMA,
    "notes": ["rotated in pairs (2i, 2i + 1), in the published file too"],
}

# --- mixtures of experts ---

EXPERTS = [L + rf"mlp\.experts\.{N}\.(gate|up|down)_proj\.weight"]
GATE = [L + r"mlp\.gate\.weight"]
SHARED = [L + r"mlp\.shared_experts\.(gate|up|down)_proj\.weight"]
BIAS = [L + r"mlp\.gate\.e_score_correction_bias"]
SECOND_TOKEN = [L + r"(eh_proj|enorm|hnorm|embed_tokens|shared_head\.(head|norm))\.weight"]
# Experts far apart in choice; selection biases that change it, and weights that do not have them.
DRAW = {
    r"gate\.weight$|router\.weight$|gate\.wg\.weight$": lambda rng, shape: 2.5 * rng.standard_normal(shape) / shape[1] ** 0.5,
    r"e_score_correction_bias": lambda rng, shape: 0.15 * rng.standard_normal(shape),
}

RECIPES["mixtral"] = {
    "config": config_of(
        "MixtralForCausalLM", "mixtral", attention_dropout=0.0, hidden_size=40, intermediate_size=34,
        num_attention_heads=4, num_experts_per_tok=2, num_hidden_layers=2, num_key_value_heads=2, num_local_experts=5,
        output_router_logits=False, rms_norm_eps=2e-4, rope_theta=3000.0, router_aux_loss_coef=0.02,
        sliding_window=None, vocab_size=101,
    ),
    "tensors": ENDS + HEAD + NORMS + QKVO
    + [L + rf"block_sparse_moe\.experts\.{N}\.w[123]\.weight", L + r"block_sparse_moe\.gate\.weight"],
    "draw": DRAW,
}

RECIPES["qwen2-moe"] = {
    "config": config_of(
        "Qwen2MoeForCausalLM", "qwen2_moe", attention_dropout=0.0, decoder_sparse_step=1, hidden_size=40,
        intermediate_size=76, max_window_layers=2, moe_intermediate_size=22, norm_topk_prob=False,
        num_attention_heads=4, num_experts=6, num_experts_per_tok=3, num_hidden_layers=2, num_key_value_heads=2,
        output_router_logits=False, rms_norm_eps=2e-4, rope_theta=2200.0, router_aux_loss_coef=0.001,
        shared_expert_intermediate_size=42, sliding_window=128, use_sliding_window=False, vocab_size=103,
    ),
    "tensors": ENDS + HEAD + NORMS + QKVO + QKV_BIAS + EXPERTS + GATE
    + [L + r"mlp\.shared_expert\.(gate|up|down)_proj\.weight", L + r"mlp\.shared_expert_gate\.weight"],
    "draw": DRAW,
    "notes": ["the shared expert has a gate of its own; weights of experts are not divided by their sum"],
}

RECIPES["qwen3-moe"] = {
    "config": config_of(
        "Qwen3MoeForCausalLM", "qwen3_moe", attention_bias=False, attention_dropout=0.0, decoder_sparse_step=1,
        head_dim=18, hidden_size=40, intermediate_size=76, max_window_layers=2, mlp_only_layers=[],
        moe_intermediate_size=22, norm_topk_prob=True, num_attention_heads=4, num_experts=7, num_experts_per_tok=3,
        num_hidden_layers=2, num_key_value_heads=1, output_router_logits=False, rms_norm_eps=2e-4, rope_scaling=None,
        rope_theta=4000.0, router_aux_loss_coef=0.001, sliding_window=None, use_sliding_window=False, vocab_size=107,
    ),
    "tensors": ENDS + HEAD + NORMS + QKVO + QK_NORM + EXPERTS + GATE,
    "draw": DRAW,
}

MLA = [L + r"self_attn\.(kv_a_proj_with_mqa|kv_b_proj|kv_a_layernorm|o_proj)\.weight"]
MLA_Q = [L + r"self_attn\.(q_a_proj|q_b_proj|q_a_layernorm)\.weight"]
EPS = "rms_norm_eps is the published 1e-6: norms within MLA have that one whatever config.json says"


def yarn(factor, original, mscale):
    return {"beta_fast": 32, "beta_slow": 1, "factor": factor, "mscale": mscale, "mscale_all_dim": mscale,
            "original_max_position_embeddings": original, "type": "yarn"}


DEEPSEEK2 = config_of(
    "DeepseekV2ForCausalLM", "deepseek_v2", attention_bias=False, attention_dropout=0.0, aux_loss_alpha=0.001,
    ep_size=1, first_k_dense_replace=1, hidden_size=40, intermediate_size=50, kv_lora_rank=22, moe_intermediate_size=18,
    moe_layer_freq=1, n_group=1, n_routed_experts=6, n_shared_experts=2, norm_topk_prob=False, num_attention_heads=5,
    num_experts_per_tok=3, num_hidden_layers=3, num_key_value_heads=5, pretraining_tp=1, q_lora_rank=None,
    qk_nope_head_dim=14, qk_rope_head_dim=8, rms_norm_eps=1e-6, rope_scaling=yarn(4, 32, 0.707), rope_theta=600,
    routed_scaling_factor=1.0, scoring_func="softmax", seq_aux=True, topk_group=1, topk_method="greedy",
    v_head_dim=10, vocab_size=97,
)
RECIPES["deepseek-v2-lite"] = {
    "config": DEEPSEEK2,
    "tensors": ENDS + HEAD + NORMS + MLA + [L + r"self_attn\.q_proj\.weight"] + MLP + EXPERTS + GATE + SHARED,
    "draw": DRAW,
    "notes": [EPS],
}

RECIPES["deepseek-v2"] = {
    "config": DEEPSEEK2 | {
        "n_group": 3, "n_shared_experts": 1, "q_lora_rank": 26, "routed_scaling_factor": 1.75, "topk_group": 2,
        "topk_method": "group_limited_greedy", "num_hidden_layers": 2, "vocab_size": 101,
        "rope_scaling": yarn(4, 32, 0.707) | {"beta_fast": 1, "beta_slow": 0.25},
    },
    "tensors": ENDS + HEAD + NORMS + MLA + MLA_Q + MLP + EXPERTS + GATE + SHARED,
    "draw": DRAW,
    "notes": [EPS],
}

RECIPES["deepseek-v3"] = {
    "config": config_of(
        "DeepseekV3ForCausalLM", "deepseek_v3", attention_bias=False, attention_dropout=0.0, ep_size=1,
        first_k_dense_replace=1, hidden_size=40, intermediate_size=46, kv_lora_rank=20, moe_intermediate_size=14,
        moe_layer_freq=1, n_group=4, n_routed_experts=8, n_shared_experts=1, norm_topk_prob=True,
        num_attention_heads=4, num_experts_per_tok=3, num_hidden_layers=2, num_key_value_heads=4,
        num_nextn_predict_layers=1, q_lora_rank=24, qk_nope_head_dim=12, qk_rope_head_dim=8, rms_norm_eps=1e-6,
        rope_scaling=yarn(4, 32, 1.0), rope_theta=300, routed_scaling_factor=2.5, scoring_func="sigmoid",
        topk_group=2, topk_method="noaux_tc", v_head_dim=10, vocab_size=103,
    ),
    "tensors": ENDS + HEAD + NORMS + MLA + MLA_Q + MLP + EXPERTS + GATE + BIAS + SHARED + SECOND_TOKEN,
    "unused": r"model\.layers\.2\.",
    "fp32": "e_score_correction_bias",
    "draw": DRAW,
    "notes": [EPS, "the third layer, which predicts a second token, stays unused"],
}

RECIPES["glm4-moe"] = {
    "config": config_of(
        "Glm4MoeForCausalLM", "glm4_moe", attention_bias=True, attention_dropout=0.0, first_k_dense_replace=1,
        head_dim=16, hidden_size=40, intermediate_size=46, moe_intermediate_size=14, n_group=1, n_routed_experts=7,
        n_shared_experts=1, norm_topk_prob=True, num_attention_heads=6, num_experts_per_tok=3, num_hidden_layers=2,
        num_key_value_heads=2, num_nextn_predict_layers=1, pad_token_id=0, partial_rotary_factor=0.5,
        rms_norm_eps=2e-4, rope_scaling=None, rope_theta=1300, routed_scaling_factor=1.7, topk_group=1,
        use_qk_norm=True, vocab_size=101,
    ),
    "tensors": ENDS + HEAD + NORMS + QKVO + QKV_BIAS + QK_NORM + MLP + EXPERTS + GATE + BIAS + SHARED + SECOND_TOKEN,
    "unused": r"model\.layers\.2\.",
    "fp32": "e_score_correction_bias",
    "draw": DRAW,
    "notes": ["half of each head is rotated, by halves (i, i + d/4)", "the third layer, which predicts a second token, stays unused"],
}

RECIPES["hunyuan-moe"] = {
    "config": config_of(
        "HunYuanMoEV1ForCausalLM", "hunyuan_v1_moe", attention_bias=False, attention_dropout=0.0, head_dim=14,
        hidden_size=38, intermediate_size=24, max_position_embeddings=256, moe_intermediate_size=[24, 24],
        moe_layer_num_skipped=0, moe_topk=[2, 2], num_attention_heads=4, num_experts=5, num_hidden_layers=2,
        num_key_value_heads=2, num_shared_expert=[1, 1], pad_token_id=0, rms_norm_eps=2e-4, rope_theta=500.0,
        tie_word_embeddings=True, use_mixed_mlp_moe=True, use_qk_norm=True, vocab_size=97,
        rope_scaling={"alpha": 20.0, "beta_fast": 32, "beta_slow": 1, "factor": 1.0, "mscale": 1.0,
                      "mscale_all_dim": 1.0, "type": "dynamic"},
    ),
    "tensors": ENDS + NORMS + QKVO + HUNYUAN_NORM + EXPERTS
    + [L + r"mlp\.gate\.wg\.weight", L + r"mlp\.shared_mlp\.(gate|up|down)_proj\.weight"],
    "fp32": r"gate\.wg\.weight",
    "draw": DRAW,
}

RECIPES["ernie4.5-moe"] = {
    "config": config_of(
        "Ernie4_5_MoeForCausalLM", "ernie4_5_moe", hidden_size=40, intermediate_size=54, moe_capacity=[64, 64, 64],
        moe_gate="topk", moe_intermediate_size=16, moe_k=2, moe_layer_end_index=2, moe_layer_interval=1,
        moe_layer_start_index=1, moe_num_experts=6, moe_num_shared_experts=2, moe_use_aux_free=True,
        num_attention_heads=4, num_hidden_layers=3, num_key_value_heads=2, pad_token_id=0, rms_norm_eps=2e-4,
        rope_scaling=None, rope_theta=1700.0, tie_word_embeddings=True, use_bias=False, vocab_size=101,
    ),
    "tensors": ENDS + NORMS + QKVO + MLP + EXPERTS + GATE + SHARED + [L + r"mlp\.moe_statics\.e_score_correction_bias"],
    "rename": {r"mlp\.gate\.moe_statics": "mlp.moe_statics"},
    "fp32": r"mlp\.gate\.weight|moe_statics",
    "draw": DRAW,
}

GPT_OSS = config_of(
    "GptOssForCausalLM", "gpt_oss", attention_bias=True, attention_dropout=0.0, experts_per_token=2, head_dim=12,
    hidden_size=64, initial_context_length=32, intermediate_size=32,
    layer_types=["sliding_attention", "full_attention"], num_attention_heads=6,
    num_experts_per_tok=2, num_hidden_layers=2, num_key_value_heads=2, num_local_experts=4, output_router_logits=False,
    pad_token_id=0, rms_norm_eps=2e-4, rope_theta=1000, router_aux_loss_coef=0.9, sliding_window=12, swiglu_limit=7.0,
    rope_scaling={"beta_fast": 32.0, "beta_slow": 1.0, "factor": 4.0, "original_max_position_embeddings": 32,
                  "rope_type": "yarn", "truncate": False},
    vocab_size=101,
)
GPT_OSS_TENSORS = ENDS + HEAD + NORMS + QKVO + [L + rf"self_attn\.{p}_proj\.bias" for p in "qkvo"] + [
    L + r"self_attn\.sinks", L + r"mlp\.router\.(weight|bias)", L + r"mlp\.experts\.(gate_up|down)_proj_bias",
]
# [experts][columns][rows], unlike all other weights.
TURNED = {
    r"experts\.gate_up_proj$": lambda rng, shape: 3.5 * rng.standard_normal(shape) / shape[1] ** 0.5,
    r"experts\.down_proj$": lambda rng, shape: 0.3 * rng.standard_normal(shape) / shape[1] ** 0.5,
}
RECIPES["gpt-oss"] = {
    "config": GPT_OSS,
    "tensors": GPT_OSS_TENSORS + [L + r"mlp\.experts\.(gate_up|down)_proj"],
    "draw": DRAW | TURNED,
    "notes": ["weights of gate and up are large, so that swiglu_limit cuts some of what they give"],
}

RECIPES["gpt-oss-mxfp4"] = {
    "config": GPT_OSS | {
        "quantization_config": {
            "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
            "quant_method": "mxfp4",
        },
        "vocab_size": 97,
    },
    "tensors": GPT_OSS_TENSORS + [L + r"mlp\.experts\.(gate_up|down)_proj"],
    "draw": DRAW | TURNED,
    "mxfp4": r"experts\.(gate_up|down)_proj$",
    "notes": ["experts as published: blocks of 32 with scales 2^(byte - 127), the lower half of a byte first; computed "
              "in fp32 from what transformers' own convert_moe_packed_tensors makes of them"],
}

# --- families whose code lies beside the weights (remote_code.py) ---

INTERNLM2 = config_of(
    "InternLM2ForCausalLM", "internlm2", bias=False, hidden_size=48, intermediate_size=70, num_attention_heads=6,
    num_hidden_layers=2, num_key_value_heads=2, pad_token_id=2, rms_norm_eps=3e-4, rope_scaling=None, rope_theta=1500,
    vocab_size=103,
)
INTERNLM2_TENSORS = [
    r"model\.tok_embeddings\.weight", r"model\.norm\.weight", r"output\.weight", L + r"(attention|ffn)_norm\.weight",
    L + r"attention\.(wqkv|wo)\.weight", L + r"feed_forward\.w[123]\.weight",
]
RECIPES["internlm2"] = {"ours": "InternLM2", "config": INTERNLM2, "tensors": INTERNLM2_TENSORS}

RECIPES["internlm2-dynamic"] = {
    "ours": "InternLM2",
    "config": INTERNLM2 | {
        "max_position_embeddings": 32, "rope_scaling": {"factor": 4.0, "type": "dynamic"}, "vocab_size": 97,
    },
    "tensors": INTERNLM2_TENSORS,
    "contexts": {"short": 32, "ragged": 128, "long": 128},
    "lengths": {"short": 7, "ragged": 14, "long": 61},
    "forms": ["safetensors"],
    "notes": ["the base grows with the length that is prepared for (context): that of 128 at every position",
              "GGUF has no word for dynamic scaling"],
}

RECIPES["minicpm"] = {
    "ours": "MiniCPM",
    "config": config_of(
        "MiniCPMForCausalLM", "minicpm", dim_model_base=20, hidden_size=48, intermediate_size=66, num_attention_heads=6,
        num_hidden_layers=3, num_key_value_heads=3, rms_norm_eps=2e-4, rope_scaling=None, scale_depth=1.4, scale_emb=9,
        vocab_size=103,
    ) | {"tie_word_embeddings": True},
    "tensors": ENDS + NORMS + QKVO + MLP,
    "draw": {"embed_tokens": lambda rng, shape: 0.4 * rng.standard_normal(shape) / 4},
}

RECIPES["granite"] = {
    "config": config_of(
        "GraniteForCausalLM", "granite", attention_bias=False, attention_multiplier=0.3, embedding_multiplier=3.0,
        hidden_size=48, intermediate_size=58, logits_scaling=2.5, mlp_bias=False, num_attention_heads=6,
        num_hidden_layers=2, num_key_value_heads=2, residual_multiplier=0.8, rms_norm_eps=2e-4, rope_scaling=None,
        rope_theta=1400.0, vocab_size=101,
    ),
    "tensors": LLAMA + HEAD,
    "notes": ["the family that docs/adding-a-model-family.md adds"],
}

RECIPES["baichuan2"] = {
    "ours": "Baichuan2",
    "config": config_of(
        "BaichuanForCausalLM", "baichuan", hidden_size=48, intermediate_size=66, model_max_length=128,
        num_attention_heads=4, num_hidden_layers=2, pad_token_id=0, rms_norm_eps=2e-4, vocab_size=109, z_loss_weight=0,
    ),
    "tensors": ENDS + HEAD + NORMS + MLP + [L + r"self_attn\.(W_pack|o_proj)\.weight"],
    "notes": ["the 7B's form, with rotations; published ones are told from Baichuan 1, whose head is not divided, by "
              "125696 tokens, this one by z_loss_weight",
              "GGUF files hold the divided head"],
}

RECIPES["baichuan2-13b"] = {
    "ours": "Baichuan2Alibi",
    "config": config_of(
        "BaichuanForCausalLM", "baichuan", hidden_size=24, intermediate_size=20, model_max_length=128,
        num_attention_heads=6, num_hidden_layers=40, pad_token_id=0, rms_norm_eps=2e-4, vocab_size=109, z_loss_weight=0,
    ),
    "draw": {  # quiet enough that 40 layers do not throw the answers about
        "W_pack": lambda rng, shape: 1.2 * rng.standard_normal(shape) / shape[1] ** 0.5,
        "o_proj|down_proj": lambda rng, shape: 0.5 * rng.standard_normal(shape) / shape[1] ** 0.5,
    },
    "tensors": ENDS + HEAD + NORMS + MLP + [L + r"self_attn\.(W_pack|o_proj)\.weight"],
    "notes": ["the 13B's form, with ALiBi, told by its 40 layers; by z_loss_weight as baichuan2",
              "held against transformers' Llama at one position, with Bloom's bias of positions",
              "GGUF files hold the divided head"],
}
