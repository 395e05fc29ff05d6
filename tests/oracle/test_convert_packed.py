"""Conversions of packed models (GPTQ, AWQ, compressed-tensors, FP8, MXFP4): what they stand for, bit for bit, read back by
PyPI `gguf` and `safetensors`; and MXFP4 as gpt-oss publishes it, kept, unpacked, and packed again."""

import json
import os
import pathlib
import subprocess

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as T
from packed_weights import FORMS, bf16_bits, fp8, from_bf16, write_safetensors
from safetensors import safe_open
from test_model_convert import FAMILIES, answers, close, fields_of, load_all, model
from test_packed_weights import HIDDEN, header_of, logits_of, write_both

WORDS = {"f32": T.F32, "f16": T.F16, "bf16": T.BF16, "q8_0": T.Q8_0, "q4_0": T.Q4_0}


def tensors_of(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def same_gguf(a, b):
    """Every tensor, bit for bit, but for the sign of nothing."""
    first, second = tensors_of(a), tensors_of(b)
    assert set(first) == set(second)
    for name, t in first.items():
        assert t.tensor_type == second[name].tensor_type and np.array_equal(t.data, second[name].data), name


def bytes_of(folder):
    """Raw tensors: type, shape and bytes, as PyPI `safetensors` finds them."""
    raw = (folder / "model.safetensors").read_bytes()
    with safe_open(folder / "model.safetensors", "numpy") as file:
        names = set(file.keys())
    header = json.loads(header_of(folder / "model.safetensors"))
    assert set(header) - {"__metadata__"} == names
    start = 8 + int.from_bytes(raw[:8], "little")
    return {n: (header[n]["dtype"], header[n]["shape"], raw[start + header[n]["data_offsets"][0] :
                                                            start + header[n]["data_offsets"][1]]) for n in names}


@pytest.mark.parametrize("family, name", [("llama3", name) for name in FORMS] + [
    ("qwen3-moe", name) for name in ("gptq", "ct-4", "fp8-block")])
def test_what_packed_weights_stand_for(family, name, tmp_path):
    packed, plain = write_both(tmp_path, family, [name])
    for there, out in ((packed, "packed"), (plain, "plain")):
        model("convert", there, tmp_path / f"{out}.gguf", "--type", "f32")
        model("convert", there, tmp_path / f"{out}-folder", "--type", "f32")
    same_gguf(tmp_path / "packed.gguf", tmp_path / "plain.gguf")
    first, second = load_all(tmp_path / "packed-folder"), load_all(tmp_path / "plain-folder")
    assert set(first) == set(second) and all(np.array_equal(first[n], second[n]) for n in first)
    assert "quantization_config" not in json.loads((tmp_path / "packed-folder" / "config.json").read_text())
    np.testing.assert_array_equal(logits_of(tmp_path / "packed-folder"), logits_of(packed))

    model("convert", packed, tmp_path / "held.gguf")  # in the types that hold what they stand for
    model("convert", tmp_path / "held.gguf", tmp_path / "wide.gguf", "--type", "f32")
    same_gguf(tmp_path / "wide.gguf", tmp_path / "plain.gguf")
    model("convert", packed, tmp_path / "copy")  # as they are
    assert bytes_of(tmp_path / "copy") == bytes_of(packed)
    assert json.loads((tmp_path / "copy" / "config.json").read_text()) == json.loads((packed / "config.json").read_text())


@pytest.mark.parametrize("word", WORDS)
def test_packed_weights_in_other_types(word, tmp_path):
    """As PyPI `gguf` rounds the values; Q4_K by the bound of its own test."""
    packed, plain = write_both(tmp_path, "llama3", ["gptq", "awq", "fp8-block", "mxfp4"][:1])
    for there, out in ((packed, "packed"), (plain, "plain")):
        model("convert", there, tmp_path / f"{out}.gguf", "--type", word)
    same_gguf(tmp_path / "packed.gguf", tmp_path / "plain.gguf")
    kinds = {t.tensor_type for t in tensors_of(tmp_path / "packed.gguf").values() if len(t.shape) > 1}
    assert kinds == {WORDS[word]}
    model("convert", tmp_path / "packed.gguf", tmp_path / "q4.gguf", "--type", "q4_k")


def test_biases_of_zeros_stay_behind(tmp_path):
    packed, plain = write_both(tmp_path, "llama3", ["gptq"])
    header = json.loads(header_of(packed / "model.safetensors"))
    names = [n for n in header if n != "__metadata__"]
    raw = (packed / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    kinds = {"F32": np.float32, "F16": np.float16, "I32": np.int32}
    tensors = {n: (header[n]["dtype"], np.frombuffer(raw[start + header[n]["data_offsets"][0] : start + header[n]["data_offsets"][1]],
                                                     kinds[header[n]["dtype"]]).reshape(header[n]["shape"])) for n in names}
    tensors["model.layers.1.self_attn.o_proj.bias"] = ("F16", np.zeros(HIDDEN, np.float16))
    write_safetensors(packed / "model.safetensors", tensors)
    for out in ("out.gguf", "out"):
        said = model("convert", packed, tmp_path / out, "--type", "f32").stderr
        assert "stay behind" not in said
        assert close(logits_of(tmp_path / out), logits_of(plain))
    assert not any(n.endswith(".bias") for n in bytes_of(tmp_path / "out"))


def test_latent_attention_in_fp8(tmp_path):
    """DeepSeek-V3 as it is published: kv_b_proj too is in FP8 with scales of blocks, and its keys are turned round."""
    rng = np.random.default_rng(5)
    there = FAMILIES / "deepseek-v3"
    plain, packed = {}, {}
    for name, values in load_all(there).items():
        if values.ndim == 2 and name.endswith("_proj.weight") or name.endswith("with_mqa.weight"):
            tensors, said, exact, held = fp8(rng, *values.shape)
            packed |= {name.removesuffix("weight") + end: value for end, value in tensors.items()}
            plain[name] = ("F32", from_bf16(bf16_bits(exact.astype(np.float32))))
        else:
            plain[name] = packed[name] = ("F32", values)
    config = json.loads((there / "config.json").read_text())
    for where, tensors, says in (("packed", packed, {"quantization_config": said}), ("plain", plain, {})):
        (tmp_path / where).mkdir()
        write_safetensors(tmp_path / where / "model.safetensors", tensors)
        (tmp_path / where / "config.json").write_text(json.dumps(config | says))
        model("convert", tmp_path / where, tmp_path / f"{where}.gguf", "--type", "f32")
    np.testing.assert_array_equal(answers(tmp_path / "packed"), answers(tmp_path / "plain"))
    same_gguf(tmp_path / "packed.gguf", tmp_path / "plain.gguf")
    assert close(answers(tmp_path / "packed.gguf"), answers(tmp_path / "packed"))


def test_mxfp4(tmp_path):
    """gpt-oss: to GGUF and back the same bytes; unpacked, the same values turned round."""
    there = FAMILIES / "gpt-oss-mxfp4"
    expected = answers(there)
    model("convert", there, tmp_path / "kept.gguf")
    kinds = {n: t.tensor_type for n, t in tensors_of(tmp_path / "kept.gguf").items()}
    assert kinds["blk.1.ffn_gate_exps.weight"] == T.MXFP4 and kinds["blk.1.attn_q.weight"] == T.BF16
    assert fields_of(tmp_path / "kept.gguf")["general.architecture"] == "gpt-oss"
    assert np.array_equal(answers(tmp_path / "kept.gguf"), expected)
    model("convert", tmp_path / "kept.gguf", tmp_path / "back")
    first, last = bytes_of(there), bytes_of(tmp_path / "back")
    packed = {n for n in first if n.endswith(("_blocks", "_scales"))}
    assert packed and {n: last[n] for n in packed} == {n: first[n] for n in packed} and set(first) == set(last)
    says = json.loads((tmp_path / "back" / "config.json").read_text())["quantization_config"]
    assert says == json.loads((there / "config.json").read_text())["quantization_config"]
    assert np.array_equal(answers(tmp_path / "back"), expected)

    model("convert", there, tmp_path / "plain", "--type", "bf16")
    model("convert", tmp_path / "kept.gguf", tmp_path / "other", "--type", "bf16")
    plain, other = load_all(tmp_path / "plain"), load_all(tmp_path / "other")
    assert set(plain) == set(other) and all(np.array_equal(plain[n], other[n]) for n in plain)
    assert plain["model.layers.0.mlp.experts.gate_up_proj"].shape == (4, 64, 64)
    assert plain["model.layers.0.mlp.experts.down_proj"].shape == (4, 32, 64)
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())
    values = gguf.quants.dequantize(*[getattr(tensors_of(tmp_path / "kept.gguf")["blk.0.ffn_up_exps.weight"], k)
                                      for k in ("data", "tensor_type")])
    assert np.array_equal(plain["model.layers.0.mlp.experts.gate_up_proj"][:, :, 1::2], values.swapaxes(1, 2))
    assert np.array_equal(answers(tmp_path / "plain"), expected)
    assert np.array_equal(answers(tmp_path / "other"), expected)

    model("convert", there, tmp_path / "again", "--type", "mxfp4")
    again = bytes_of(tmp_path / "again")
    assert {n: again[n] for n in packed} == {n: first[n] for n in packed}
    assert np.array_equal(answers(tmp_path / "again"), expected)
    model("convert", tmp_path / "kept.gguf", tmp_path / "again.gguf", "--type", "mxfp4")
    assert np.array_equal(answers(tmp_path / "again.gguf"), expected)
    refused = "holds no MXFP4 weights to be kept"
    model("convert", FAMILIES / "gpt-oss", tmp_path / "none.gguf", "--type", "mxfp4", fails=refused)
    model("convert", there, tmp_path / "q.gguf", "--type", "q8_0")
    model("convert", tmp_path / "q.gguf", tmp_path / "q", fails="safetensors folders hold no Q8_0")
