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
    """Name: (float32 or uint8 values, whether they were bf16)."""
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
            values = np.frombuffer(raw[begin:end], {"F32": "<f4", "U8": "u1"}[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def turned(values, heads):
    """Rows of a head from halves (i, i + d/2) to pairs (2i, 2i + 1)."""
    shape = values.shape
    return values.reshape(heads, 2, shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(shape)


def add_common(w, c):
    w.add_block_count(c["num_hidden_layers"])
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c.get("num_key_value_heads", c["num_attention_heads"]))
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c.get("rope_theta", 10000.0))
    w.add_vocab_size(c["vocab_size"])
    if c.get("head_dim"):
        w.add_key_length(c["head_dim"])
        w.add_value_length(c["head_dim"])
    head = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    w.add_rope_dimension_count(int(head * c.get("partial_rotary_factor", 1)))


def llama3_factors(c, scaling):
    """What each frequency is divided by (Llama 3.1's scaling), as the tensor that GGUF keeps."""
    dims = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    waves = 2 * np.pi * c["rope_theta"] ** (np.arange(0, dims, 2) / dims)
    low = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
    high = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
    smooth = (scaling["original_max_position_embeddings"] / waves - scaling["low_freq_factor"]) / (
        scaling["high_freq_factor"] - scaling["low_freq_factor"]
    )
    factor = scaling["factor"]
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(waves < high, 1, np.where(waves > low, factor, between)).astype(np.float32)


def add_scaling(w, c):
    """Keys of scaled rotations; returns the tensors that some kinds have instead."""
    scaling = c.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(scaling["factor"])
    if kind == "llama3":
        return {"rope_freqs.weight": llama3_factors(c, scaling)}
    return {}


class Family:
    """Llama, and what other families change of it."""

    arch = gguf.MODEL_ARCH.LLAMA
    turns = True

    def __init__(self, config):
        self.c = config

    def keys(self, w):
        add_common(w, self.c)

    def tensors(self, published):
        """(published name, values) after renaming, cutting and joining."""
        for name, values in published.items():
            heads = {"q": "num_attention_heads", "k": "num_key_value_heads"}.get("".join(re.findall(r"\.([qk])_proj\.", name)))
            yield name, turned(values, self.c[heads]) if heads and self.turns else values


class Mistral(Family):
    def keys(self, w):
        super().keys(w)
        if self.c.get("sliding_window"):  # llama.cpp's own converter leaves it out, and sees everything
            w.add_sliding_window(self.c["sliding_window"])


class Qwen3(Family):
    arch = gguf.MODEL_ARCH.QWEN3
    turns = False


FAMILIES = {"llama": Family, "mistral": Mistral, "qwen3": Qwen3}


def convert(folder, path):
    config = json.loads((folder / "config.json").read_text())
    family = FAMILIES[config["model_type"]](config)
    w = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[family.arch])
    w.add_tokenizer_model("no_vocab")
    family.keys(w)
    names = gguf.get_tensor_name_map(family.arch, config["num_hidden_layers"])
    tensors = add_scaling(w, config)
    for name, values in family.tensors(read_safetensors(folder / "model.safetensors")):
        renamed = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert renamed and renamed not in tensors, f"GGUF has no name for {name}"
        tensors[renamed] = values
    for name, values in tensors.items():
        if values.ndim == 1:
            w.add_tensor(name, np.ascontiguousarray(values, np.float32))
        else:
            bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
            assert not (bits & 0xFFFF).any(), f"{name} is no bf16"
            w.add_tensor(name, (bits >> 16).astype(np.uint16).view(np.uint8), raw_dtype=T.BF16)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path
