"""Writes models of weights.py as GGUF files and as safetensors folders, with the public packages of both formats."""
import json
import re

import gguf
import numpy as np
import safetensors

import formats
from weights import EMBEDDING, HEAD, LAST_NORM, Place

K_TYPES = ("Q6_K", "Q4_K")
PACKED_TYPES = ("FP8", "GPTQ", "AWQ")
GGUF_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
SAFETENSORS_TYPES = ("F32", "F16", "BF16")

HUGGING_FACE = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
                "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
                "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
                "ffn_down": "mlp.down_proj", "router": "mlp.gate", "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
                "ffn_up_shexp": "mlp.shared_expert.up_proj", "ffn_down_shexp": "mlp.shared_expert.down_proj"}
OUTSIDE = {EMBEDDING: "model.embed_tokens", LAST_NORM: "model.norm", HEAD: "lm_head"}


def gguf_name(place):
    if place.layer is None:
        return f"{place.part}.weight"
    if place.part == "router":
        return f"blk.{place.layer}.ffn_gate_inp.weight"
    if place.part == "router_bias":
        return f"blk.{place.layer}.exp_probs_b.bias"
    part, _, bias = place.part.partition(".")
    return f"blk.{place.layer}.{part}{'' if place.expert is None else '_exps'}.{bias or 'weight'}"


def hugging_face_name(place):
    if place.layer is None:
        return OUTSIDE[Place(None, place.part)] + ".weight"
    layer = f"model.layers.{place.layer}."
    if place.part == "router_bias":
        return layer + "mlp.gate.e_score_correction_bias"
    part, _, bias = place.part.partition(".")
    part = HUGGING_FACE[part]
    if place.expert is not None:
        part = part.replace("mlp.", f"mlp.experts.{place.expert}.")
    return f"{layer}{part}.{bias or 'weight'}"


def stacked(model):
    """GGUF keeps the experts of a layer in one tensor: name → array."""
    out, piles = {}, {}
    for place, tensor in model.tensors.items():
        if place.expert is None:
            out[gguf_name(place)] = tensor
        else:
            piles.setdefault(gguf_name(place), []).append((place.expert, tensor))
    for name, pile in piles.items():
        out[name] = np.stack([tensor for _, tensor in sorted(pile, key=lambda entry: entry[0])])
    return out


def add_metadata(writer, model):
    writer.add_name(model.name)
    if model.said("size_label"):
        writer.add_size_label(model.said("size_label"))
    writer.add_block_count(model.said("layers"))
    writer.add_context_length(2048)
    writer.add_embedding_length(model.said("hidden"))
    writer.add_feed_forward_length(model.said("ffn"))
    writer.add_head_count(model.said("heads"))
    writer.add_head_count_kv(model.said("kv_heads"))
    writer.add_key_length(model.head_dim)
    writer.add_value_length(model.head_dim)
    writer.add_rope_dimension_count(model.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(model.claims.get("vocab", len(model.tensors[EMBEDDING])))
    if model.said("experts"):
        writer.add_expert_count(model.said("experts"))
        writer.add_expert_used_count(model.said("used"))
    if "parameter_count" in model.claims:
        writer.add_uint64("general.parameter_count", model.claims["parameter_count"])
    words = model.vocabulary
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    writer.add_token_merges(words.merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def layer_of(name):
    match = re.search(r"(?:blk|layers)\.(\d+)\.", name)
    return int(match.group(1)) if match else None


def write_gguf(model, path, dtype="F16", other=None):
    """Vectors and the router stay F32, as converters leave them; the embedding is Q8_0 where the rest has 4 or 5 bits.

    other: element types of single layers, {layer: type}.
    """
    writer = gguf.GGUFWriter(path, "llama")
    add_metadata(writer, model)
    for name, tensor in stacked(model).items():
        wanted = (other or {}).get(layer_of(name), dtype)
        if tensor.ndim == 1 or "ffn_gate_inp" in name:
            wanted = "F32"
        elif name == "token_embd.weight" and dtype.startswith(("Q4", "Q5")):
            wanted = "Q8_0"
        if wanted in K_TYPES and tensor.shape[-1] % formats.K_BLOCK != 0:
            wanted = "Q8_0"
        kind = gguf.GGMLQuantizationType[wanted]
        if wanted in K_TYPES:
            rows = formats.GGUF_K[wanted](tensor.reshape(-1, tensor.shape[-1]))
            writer.add_tensor(name, rows.reshape(*tensor.shape[:-1], -1), raw_dtype=kind)
        elif wanted == "F32":
            writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32))
        elif wanted == "F16":
            writer.add_tensor(name, tensor.astype(np.float16))
        else:
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def split_halves(tensor, head_dim):
    """Rows of Q and K as Hugging Face orders them: GGUF's pairs (2i, 2i + 1) become (i, i + d/2)."""
    return np.ascontiguousarray(tensor.reshape(-1, head_dim // 2, 2, tensor.shape[1]).swapaxes(1, 2)
                                .reshape(tensor.shape))


WORDS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def plain_bits(tensor, dtype):
    if dtype == "BF16":
        bits = np.ascontiguousarray(tensor, dtype=np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.ascontiguousarray(tensor, dtype={"F32": np.float32, "F16": np.float16}[dtype])


def encode(name, tensor, dtype):
    """{name in the file: (word for its element type, array)}. Packed formats hold the matrices of layers alone; the
    rest is F16 beside GPTQ and AWQ, BF16 beside FP8 and MXFP4, as published."""
    if dtype == "MXFP4" and tensor.ndim == 3:
        return formats.mxfp4(name, tensor)
    if dtype in PACKED_TYPES and "_proj" in name and tensor.ndim == 2:
        return formats.PACKED[dtype](name, tensor)
    plain = {"GPTQ": "F16", "AWQ": "F16", "FP8": "BF16", "MXFP4": "BF16"}.get(dtype, dtype)
    return {name: (WORDS[plain], plain_bits(tensor, plain))}


def encode_all(tensors, dtype, other=None):
    coded = {}
    for name, tensor in tensors.items():
        coded |= encode(name, tensor, (other or {}).get(layer_of(name), dtype))
    return coded


def save_coded(coded, path):
    arrays = {name: (word, np.ascontiguousarray(array)) for name, (word, array) in coded.items()}
    specs = {name: safetensors.TensorSpec(dtype=word, shape=list(array.shape), data_ptr=array.ctypes.data,
                                          data_len=array.nbytes) for name, (word, array) in arrays.items()}
    safetensors.serialize_file(specs, str(path), metadata={"format": "pt"})


def save_shard(tensors, path, dtype):
    """tensors: name → float32 array."""
    save_coded(encode_all(tensors, dtype), path)


def config_of(model, dtype):
    config = {"architectures": ["Qwen3MoeForCausalLM" if model.experts else "LlamaForCausalLM"],
              "model_type": "qwen3_moe" if model.experts else "llama", "hidden_act": "silu",
              "hidden_size": model.said("hidden"), "intermediate_size": model.said("ffn"),
              "num_hidden_layers": model.said("layers"), "num_attention_heads": model.said("heads"),
              "num_key_value_heads": model.said("kv_heads"), "head_dim": model.head_dim,
              "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": model.tied, "bos_token_id": 1, "eos_token_id": 2,
              "torch_dtype": WORDS.get(dtype, "bfloat16"),
              "vocab_size": model.claims.get("vocab", len(model.tensors[EMBEDDING]))}
    if model.said("experts"):
        config |= {"num_experts": model.said("experts"), "num_experts_per_tok": model.said("used"),
                   "moe_intermediate_size": model.said("ffn"), "decoder_sparse_step": 1, "mlp_only_layers": []}
    if dtype in formats.METHODS:
        config["quantization_config"] = formats.METHODS[dtype]
    if dtype == "MXFP4":
        config |= {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss",
                   "num_local_experts": config.pop("num_experts")}
    if "parameter_count" in model.claims:
        config["num_parameters"] = model.claims["parameter_count"]
    return config


def write_tokenizer(words, path):
    special = [i for i, kind in enumerate(words.types) if kind == gguf.TokenType.CONTROL]
    added = [{"id": i, "content": words.tokens[i], "special": True, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False} for i in special]
    vocabulary = {token: i for i, token in enumerate(words.tokens)}
    document = {"version": "1.0", "added_tokens": added,
                "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                                  "use_regex": True},
                "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                "model": {"type": "BPE", "vocab": vocabulary, "merges": [merge.split(" ") for merge in words.merges]}}
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def shard_name(number, count):
    return "model.safetensors" if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def named(model, dtype):
    """name as Hugging Face writes it → array; with MXFP4 the experts of a layer in two piles."""
    tensors, piles = {}, {}
    for place, tensor in model.tensors.items():
        if place.part in ("attn_q", "attn_k"):
            tensor = split_halves(tensor, model.head_dim)
        if dtype == "MXFP4" and place.expert is not None:
            piles.setdefault((place.layer, place.part), {})[place.expert] = tensor
        elif dtype == "MXFP4" and place.part == "router":
            tensors[f"model.layers.{place.layer}.mlp.router.weight"] = tensor
        else:
            tensors[hugging_face_name(place)] = tensor
    whole = {key: np.stack([pile[expert] for expert in sorted(pile)]) for key, pile in piles.items()}
    for layer in sorted({layer for layer, _ in whole}):
        stem = f"model.layers.{layer}.mlp.experts."
        gate, up = whole[layer, "ffn_gate"], whole[layer, "ffn_up"]
        tensors[stem + "gate_up_proj"] = np.stack([gate, up], axis=2).reshape(len(gate), -1, gate.shape[2])
        tensors[stem + "down_proj"] = whole[layer, "ffn_down"]
    return tensors


def write_folder(model, folder, dtype="BF16", shards=1, tokenizer=True, other=None):
    """A folder as Hugging Face keeps models: shards, index (also for one shard when shards is 0), config, tokenizer.

    other: element types of single layers, {layer: type}.
    """
    folder.mkdir()
    coded = encode_all(named(model, dtype), dtype, other)
    names, count = list(coded), max(shards, 1)
    groups = [names[len(names) * i // count:len(names) * (i + 1) // count] for i in range(count)]
    for i, group in enumerate(groups):
        save_coded({name: coded[name] for name in group}, folder / shard_name(i, count))
    if shards != 1:
        size = sum(array.nbytes for _, array in coded.values())
        index = {"metadata": {"total_size": model.claims.get("total_size", size)},
                 "weight_map": {name: shard_name(i, count) for i, group in enumerate(groups) for name in group}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    (folder / "config.json").write_text(json.dumps(config_of(model, dtype), indent=1))
    if tokenizer:
        write_tokenizer(model.vocabulary, folder / "tokenizer.json")
    return folder
