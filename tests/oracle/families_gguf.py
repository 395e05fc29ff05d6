"""Published safetensors folders as GGUF files in their conventional form, by PyPI `gguf`: its names of tensors and keys,
and what the convention changes of the values (rows of q and k turned for pairs (2i, 2i + 1), 1 added to Gemma's gains,
experts in one tensor, fused matrices cut). Shares nothing with the program's own reading of either form."""

import json
import re
import struct

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T


def read_safetensors(path):
    """Name: values, in float32 where they are bf16."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + at for at in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            bits = np.frombuffer(raw[begin:end], "<u2").astype(np.uint32) << 16
            values = bits.view(np.float32)
        else:
            values = np.frombuffer(raw[begin:end], {"F32": "<f4", "F16": "<f2", "U8": "u1"}[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def turned(values, heads):
    """Rows of a head from halves (i, i + d/2) to pairs (2i, 2i + 1)."""
    shape = values.shape
    return values.reshape(heads, 2, shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(shape)


def head_of(c):
    return c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]


def llama3_factors(c, scaling):
    """What each frequency is divided by (Llama 3.1's scaling), as the tensor that GGUF keeps."""
    waves = 2 * np.pi * c["rope_theta"] ** (np.arange(0, head_of(c), 2) / head_of(c))
    original, low, high = (scaling[k] for k in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
    smooth = (original / waves - low) / (high - low)
    between = 1 / ((1 - smooth) / scaling["factor"] + smooth)
    return np.where(waves < original / high, 1, np.where(waves > original / low, scaling["factor"], between))


def add_yarn(w, scaling):
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    w.add_rope_scaling_factor(scaling["factor"])
    w.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    for key, add in (("beta_fast", w.add_rope_scaling_yarn_beta_fast), ("beta_slow", w.add_rope_scaling_yarn_beta_slow)):
        if key in scaling:
            add(float(scaling[key]))
    if "mscale_all_dim" in scaling:  # a tenth of it, for the sake of older files
        w.add_rope_scaling_yarn_log_mul(0.1 * scaling["mscale_all_dim"])


class Family:
    """Llama, Mistral and Mixtral, and what other families change of them."""

    arch = gguf.MODEL_ARCH.LLAMA
    turns = True  # q and k

    def __init__(self, config):
        self.c = config

    def context(self):
        scaling = self.c.get("rope_scaling") or {}
        if scaling.get("type") == "yarn":
            return int(scaling["factor"] * scaling["original_max_position_embeddings"])
        return self.c["max_position_embeddings"]

    def layers(self):
        return self.c["num_hidden_layers"]

    def keys(self, w):
        c = self.c
        w.add_block_count(self.layers())
        w.add_context_length(self.context())
        w.add_embedding_length(c["hidden_size"])
        w.add_feed_forward_length(c["intermediate_size"])
        w.add_head_count(c["num_attention_heads"])
        w.add_layer_norm_rms_eps(c.get("rms_norm_eps", 1e-6))
        w.add_vocab_size(c["vocab_size"])
        self.attention_keys(w)
        self.rotation_keys(w)
        self.expert_keys(w)

    def attention_keys(self, w):
        w.add_head_count_kv(self.c["num_key_value_heads"])
        if self.c.get("head_dim"):
            w.add_key_length(self.c["head_dim"])
            w.add_value_length(self.c["head_dim"])
        if self.c.get("sliding_window") and self.c["model_type"] in ("mistral", "gemma2", "gemma3_text", "phi3", "gpt_oss"):
            w.add_sliding_window(self.c["sliding_window"])  # Mistral's is left out by llama.cpp's own converter

    def rotation_keys(self, w):
        w.add_rope_freq_base(float(self.c.get("rope_theta", 10000.0)))
        w.add_rope_dimension_count(int(head_of(self.c) * self.c.get("partial_rotary_factor", 1)))
        scaling = self.c.get("rope_scaling") or {}
        kind = scaling.get("rope_type", scaling.get("type"))
        if kind == "linear":
            w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            w.add_rope_scaling_factor(scaling["factor"])
        if kind == "yarn":
            add_yarn(w, scaling)

    def expert_keys(self, w):
        if "num_local_experts" in self.c:
            w.add_expert_count(self.c["num_local_experts"])
            w.add_expert_used_count(self.c["num_experts_per_tok"])

    def extra(self):
        """Tensors that are numbers of config.json."""
        scaling = self.c.get("rope_scaling") or {}
        return {"rope_freqs.weight": llama3_factors(self.c, scaling)} if scaling.get("rope_type") == "llama3" else {}

    def change(self, name, values):
        """(name that gguf knows, values) of one published tensor; nothing for those that GGUF has not."""
        if name.endswith("inv_freq"):
            return
        heads = re.search(r"\.([qk])_proj\.", name) if self.turns else None
        if heads:
            values = turned(values, self.c["num_attention_heads" if heads.group(1) == "q" else "num_key_value_heads"])
        yield name, values

    def tensors(self, published):
        """(name, values), experts of a layer joined into one tensor."""
        experts = {}
        for name, values in published.items():
            for renamed, changed in self.change(name, values):
                if expert := re.fullmatch(r"(.*\.experts)\.(\d+)\.(.*)", renamed):
                    experts.setdefault(f"{expert[1]}.{expert[3]}", {})[int(expert[2])] = changed
                else:
                    yield renamed, changed
        for name, parts in experts.items():
            yield name, np.stack([parts[i] for i in range(len(parts))])


class Halves(Family):
    """Rotated as published, by halves (llama.cpp calls it NeoX) or in pairs, as the architecture says."""

    turns = False


class Qwen2(Halves):
    arch = gguf.MODEL_ARCH.QWEN2


class Qwen3(Halves):
    arch = gguf.MODEL_ARCH.QWEN3


class QwenMoe(Halves):
    def __init__(self, config):
        super().__init__(config)
        self.arch = gguf.MODEL_ARCH.QWEN3MOE if config["model_type"] == "qwen3_moe" else gguf.MODEL_ARCH.QWEN2MOE

    def expert_keys(self, w):
        w.add_expert_count(self.c["num_experts"])
        w.add_expert_used_count(self.c["num_experts_per_tok"])
        w.add_expert_feed_forward_length(self.c["moe_intermediate_size"])
        if "shared_expert_intermediate_size" in self.c:
            w.add_expert_shared_feed_forward_length(self.c["shared_expert_intermediate_size"])

    def change(self, name, values):
        yield name, values.reshape(-1) if name.endswith("shared_expert_gate.weight") else values


class Glm(Halves):
    arch = gguf.MODEL_ARCH.CHATGLM


class Glm4(Halves):
    arch = gguf.MODEL_ARCH.GLM4


class Gemma(Halves):
    def __init__(self, config):
        super().__init__(config)
        self.arch = gguf.MODEL_ARCH.GEMMA2 if config["model_type"] == "gemma2" else gguf.MODEL_ARCH.GEMMA3

    def attention_keys(self, w):
        super().attention_keys(w)
        if self.c.get("attn_logit_softcapping"):
            w.add_attn_logit_softcapping(self.c["attn_logit_softcapping"])
        if self.c.get("final_logit_softcapping"):
            w.add_final_logit_softcapping(self.c["final_logit_softcapping"])
        if self.c.get("query_pre_attn_scalar", 256) != head_of(self.c):  # by the number of layers in llama.cpp
            w.add_attention_scale(self.c.get("query_pre_attn_scalar", 256) ** -0.5)

    def rotation_keys(self, w):
        super().rotation_keys(w)
        if self.arch == gguf.MODEL_ARCH.GEMMA3:
            w.add_rope_freq_base_swa(float(self.c.get("rope_local_base_freq", 10000.0)))

    def change(self, name, values):
        yield name, values + 1 if name.endswith("norm.weight") else values


class Gemma3Nested(Gemma):
    def __init__(self, config):
        super().__init__({"rope_theta": 1e6} | config["text_config"])

    def change(self, name, values):
        if name.startswith("language_model."):
            yield from super().change(name.removeprefix("language_model."), values)


class InternLM2(Family):
    arch = gguf.MODEL_ARCH.INTERNLM2

    def change(self, name, values):
        if not name.endswith("wqkv.weight"):
            yield name, values
            return
        heads, groups = self.c["num_attention_heads"], self.c["num_key_value_heads"]
        parts = values.reshape(groups, heads // groups + 2, head_of(self.c), -1)
        for part, rows, count in (("q", parts[:, :-2], heads), ("k", parts[:, -2], groups), ("v", parts[:, -1], 0)):
            rows = rows.reshape(-1, values.shape[1])
            yield name.replace("wqkv", f"w{part}"), turned(rows, count) if count else rows


class MiniCPM(Family):
    arch = gguf.MODEL_ARCH.MINICPM

    def keys(self, w):
        super().keys(w)
        w.add_embedding_scale(float(self.c["scale_emb"]))
        w.add_residual_scale(self.c["scale_depth"] / self.c["num_hidden_layers"] ** 0.5)
        w.add_logit_scale(self.c["hidden_size"] / self.c["dim_model_base"])


class Granite(Family):
    arch = gguf.MODEL_ARCH.GRANITE

    def keys(self, w):
        super().keys(w)
        w.add_attention_scale(self.c["attention_multiplier"])
        w.add_embedding_scale(self.c["embedding_multiplier"])
        w.add_residual_scale(self.c["residual_multiplier"])
        w.add_logit_scale(self.c["logits_scaling"])


class Baichuan2(Family):
    arch = gguf.MODEL_ARCH.BAICHUAN

    def __init__(self, config):
        super().__init__(config | {"num_key_value_heads": config["num_attention_heads"]})

    def change(self, name, values):
        if name == "lm_head.weight":
            yield name, values / np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
        elif name.endswith("W_pack.weight"):
            for part, rows in zip("qkv", np.split(values, 3)):
                yield from super().change(name.replace("W_pack", f"{part}_proj"), rows)
        else:
            yield name, values


class Phi3(Halves):
    arch = gguf.MODEL_ARCH.PHI3

    def rotation_keys(self, w):
        super().rotation_keys(w)
        w.add_rope_scaling_orig_ctx_len(self.c["original_max_position_embeddings"])
        if self.c["rope_scaling"]:
            longer = self.c["max_position_embeddings"] / self.c["original_max_position_embeddings"]
            w.add_rope_scaling_attn_factors(np.sqrt(1 + np.log(longer) / np.log(self.c["original_max_position_embeddings"])))

    def extra(self):
        scaling = self.c["rope_scaling"] or {}
        return {f"rope_factors_{k}.weight": np.array(scaling[f"{k}_factor"]) for k in ("long", "short") if scaling}


class DeepSeek(Halves):
    """The form with k and v of kv_b apart, that of k turned for absorbed decoding; in older files it is whole."""

    arch = gguf.MODEL_ARCH.DEEPSEEK2
    older = False

    def attention_keys(self, w):
        c = self.c
        nope, rope, value, rank = (c[k] for k in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"))
        if c["q_lora_rank"]:
            w.add_q_lora_rank(c["q_lora_rank"])
        w.add_kv_lora_rank(rank)
        w.add_head_count_kv(c["num_attention_heads"] if self.older else 1)
        w.add_key_length(nope + rope if self.older else rank + rope)
        w.add_value_length(value if self.older else rank)
        if not self.older:
            w.add_key_length_mla(nope + rope)
            w.add_value_length_mla(value)

    def rotation_keys(self, w):
        w.add_rope_freq_base(float(self.c["rope_theta"]))
        w.add_rope_dimension_count(self.c["qk_rope_head_dim"])
        add_yarn(w, self.c["rope_scaling"])

    def expert_keys(self, w):
        c = self.c
        w.add_leading_dense_block_count(c["first_k_dense_replace"])
        w.add_expert_count(c["n_routed_experts"])
        w.add_expert_used_count(c["num_experts_per_tok"])
        w.add_expert_shared_count(c["n_shared_experts"])
        w.add_expert_feed_forward_length(c["moe_intermediate_size"])
        w.add_expert_weights_scale(c["routed_scaling_factor"])
        if c["norm_topk_prob"]:
            w.add_expert_weights_norm(True)
        if c["n_group"] > 1:
            w.add_expert_group_count(c["n_group"])
            w.add_expert_group_used_count(c["topk_group"])
        sigmoid = c.get("scoring_func", "sigmoid") == "sigmoid"
        w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID if sigmoid else gguf.ExpertGatingFuncType.SOFTMAX)

    def change(self, name, values):
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
        if name.startswith(f"model.layers.{self.c['num_hidden_layers']}."):
            return  # left out, as its kind of file always does
        if not name.endswith("kv_b_proj.weight") or self.older:
            yield name, values
            return
        keys = self.c["qk_nope_head_dim"]
        parts = values.reshape(self.c["num_attention_heads"], keys + self.c["v_head_dim"], -1)
        yield name.replace("kv_b", "k_b"), parts[:, :keys].swapaxes(1, 2)
        yield name.replace("kv_b", "v_b"), parts[:, keys:]


class OlderDeepSeek(DeepSeek):
    older = True


class Glm4Moe(DeepSeek):
    arch = gguf.MODEL_ARCH.GLM4_MOE
    attention_keys = Family.attention_keys
    rotation_keys = Family.rotation_keys

    def layers(self):
        return self.c["num_hidden_layers"] + self.c["num_nextn_predict_layers"]

    def expert_keys(self, w):
        super().expert_keys(w)
        w.add_nextn_predict_layers(self.c["num_nextn_predict_layers"])

    def change(self, name, values):
        yield name.replace("e_score_correction_bias", "e_score_correction.bias"), values


class Hunyuan(Halves):
    """alpha becomes part of the base."""

    def __init__(self, config):
        super().__init__(config)
        self.arch = gguf.MODEL_ARCH.HUNYUAN_MOE if "num_experts" in config else gguf.MODEL_ARCH.HUNYUAN_DENSE

    def rotation_keys(self, w):
        dims = head_of(self.c)
        w.add_rope_freq_base(self.c["rope_theta"] * self.c["rope_scaling"]["alpha"] ** (dims / (dims - 2)))
        w.add_rope_dimension_count(dims)
        w.add_rope_scaling_type(gguf.RopeScalingType.NONE)
        w.add_rope_scaling_factor(1)
        w.add_rope_scaling_orig_ctx_len(self.c["max_position_embeddings"])

    def expert_keys(self, w):
        if "num_experts" in self.c:
            w.add_expert_count(self.c["num_experts"])
            w.add_expert_used_count(self.c["moe_topk"][0])
            w.add_expert_shared_count(self.c["num_shared_expert"][0])
            w.add_expert_feed_forward_length(self.c["moe_intermediate_size"][0])
            w.add_expert_shared_feed_forward_length(self.c["intermediate_size"] * self.c["num_shared_expert"][0])


class Ernie(Halves):
    def __init__(self, config):
        super().__init__(config)
        self.arch = gguf.MODEL_ARCH.ERNIE4_5_MOE if "moe_k" in config else gguf.MODEL_ARCH.ERNIE4_5

    def expert_keys(self, w):
        c = self.c
        if "moe_k" in c:
            w.add_expert_count(c["moe_num_experts"])
            w.add_expert_used_count(c["moe_k"])
            w.add_interleave_moe_layer_step(c["moe_layer_interval"])
            w.add_leading_dense_block_count(c["moe_layer_start_index"])
            w.add_expert_feed_forward_length(c["moe_intermediate_size"])
            w.add_expert_shared_count(c["moe_num_shared_experts"])
            w.add_expert_shared_feed_forward_length(c["moe_intermediate_size"] * c["moe_num_shared_experts"])

    def change(self, name, values):
        bias = name.endswith("e_score_correction_bias")
        yield (name.replace("e_score_correction_bias", "e_score_correction.bias"), values.reshape(-1)) if bias else (name, values)


def ggml_mxfp4(blocks, scales):
    """Published bytes hold neighbours, ggml's elements i and i + 16; the scale comes before its block."""
    codes = np.stack((blocks & 15, blocks >> 4), axis=-1).reshape(*blocks.shape[:-1], 32)
    packed = np.concatenate((scales[..., None], codes[..., :16] | codes[..., 16:] << 4), axis=-1)
    return packed.reshape(*packed.shape[:2], -1)


class GptOss(Halves):
    arch = gguf.MODEL_ARCH.GPT_OSS

    def tensors(self, published):
        for name in [n.removesuffix("_blocks") for n in published if n.endswith("_blocks")]:
            packed = ggml_mxfp4(published.pop(name + "_blocks"), published.pop(name + "_scales"))
            published[name] = packed.swapaxes(1, 2)  # as weights that are not packed lie
        return super().tensors(published)

    def expert_keys(self, w):
        super().expert_keys(w)
        w.add_expert_feed_forward_length(self.c["intermediate_size"])

    def change(self, name, values):
        if name.endswith("sinks"):
            name += ".weight"
        if not (fused := re.fullmatch(r"(.*experts\.)(gate_up|down)_proj(_bias)?", name)):
            yield name, values
            return
        kind = ".bias" if fused[3] else ".weight"
        rows = values if fused[3] else values.swapaxes(1, 2)
        if fused[2] == "down":
            yield fused[1] + "down_proj" + kind, rows
        else:  # gate and up take turns
            yield fused[1] + "gate_proj" + kind, rows[:, ::2]
            yield fused[1] + "up_proj" + kind, rows[:, 1::2]


FAMILIES = {
    "llama": Family, "mistral": Family, "mixtral": Family, "qwen2": Qwen2, "qwen3": Qwen3, "qwen2_moe": QwenMoe,
    "qwen3_moe": QwenMoe, "glm": Glm, "glm4": Glm4, "glm4_moe": Glm4Moe, "gemma2": Gemma, "gemma3_text": Gemma,
    "gemma3": Gemma3Nested, "phi3": Phi3, "deepseek_v2": DeepSeek, "deepseek_v3": DeepSeek,
    "hunyuan_v1_dense": Hunyuan, "hunyuan_v1_moe": Hunyuan, "ernie4_5": Ernie, "ernie4_5_moe": Ernie, "gpt_oss": GptOss,
    "internlm2": InternLM2, "minicpm": MiniCPM, "baichuan": Baichuan2, "granite": Granite,
}


def add_tensor(w, name, values, packed):
    """Matrices as the bf16 or MXFP4 that they are, or of a type that `packed` has for the end of their name; what has one
    dimension, and routers, in fp32."""
    for end, (kind, rows) in packed.items():
        if name.endswith(end):
            w.add_tensor(name, rows(values), raw_dtype=kind)
            return
    if values.dtype == np.uint8:
        w.add_tensor(name, np.ascontiguousarray(values), raw_dtype=T.MXFP4)
        return
    if values.dtype == np.float16 and values.ndim > 1:
        w.add_tensor(name, np.ascontiguousarray(values))
        return
    values = np.ascontiguousarray(values, np.float32)
    bits = values.view(np.uint32)
    if values.ndim == 1 or "_inp" in name or name.endswith(".bias") or (bits & 0xFFFF).any():
        w.add_tensor(name, values)
        return
    w.add_tensor(name, (bits >> 16).astype(np.uint16).view(np.uint8), raw_dtype=T.BF16)


def convert(folder, path, older=False, family=None, packed=None):
    """family: a class instead of the usual one; packed: end of a name -> (type, function that gives its bytes)."""
    config = json.loads((folder / "config.json").read_text())
    family = (family or (OlderDeepSeek if older else FAMILIES[config["model_type"]]))(config)
    w = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[family.arch])
    w.add_tokenizer_model("no_vocab")
    family.keys(w)
    names = gguf.get_tensor_name_map(family.arch, family.layers())
    tensors = family.extra()
    for name, values in family.tensors(read_safetensors(folder / "model.safetensors")):
        renamed = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert renamed and renamed not in tensors, f"GGUF has no name for {name}"
        tensors[renamed] = values
    for name, values in tensors.items():
        add_tensor(w, name, values, packed or {})
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path
