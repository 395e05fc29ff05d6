"""The tensors of the real file against PyPI `gguf`, and of a safetensors file against PyPI `safetensors`."""

import json
import os
import pathlib
import subprocess

import gguf
import numpy as np
from safetensors.numpy import save_file

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
TOOL = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "tests" / "tensor_tool"
MODEL = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def ours(path):
    """[name, type, shape, elements, bytes, offset, role] of every tensor, and what the architecture is."""
    out = subprocess.run([TOOL, path], capture_output=True, check=True, text=True).stdout
    return json.loads(out)


def test_every_tensor_of_the_real_file():
    theirs = gguf.GGUFReader(MODEL).tensors
    tensors = ours(MODEL)["tensors"]
    assert len(tensors) == len(theirs) == 272
    for a, b in zip(tensors, theirs):
        assert a["name"] == b.name
        assert a["type"] == b.tensor_type.name
        assert a["shape"] == [int(n) for n in reversed(b.shape)]
        assert a["elements"] == b.n_elements
        assert a["bytes"] == b.n_bytes
        assert a["offset"] == b.data_offset


def test_smollm2_counts():
    whole = ours(MODEL)
    assert sum(t["elements"] for t in whole["tensors"]) == 134_515_008
    by_role = {}
    for t in whole["tensors"]:
        by_role[t["role"]] = by_role.get(t["role"], 0) + t["elements"]
    layer = {"attention": 2 * 576 * 576 + 2 * 192 * 576, "ffn": 3 * 576 * 1536, "norm": 2 * 576}
    assert by_role == {
        "embedding": 49152 * 576,
        "attention": 30 * layer["attention"],
        "ffn": 30 * layer["ffn"],
        "norm": 30 * layer["norm"] + 576,
    }
    assert whole["architecture"] == {
        "family": "llama", "layers": 30, "hidden": 576, "heads": 9, "kv_heads": 3, "head_dim": 64,
        "ffn": 1536, "vocab": 49152, "context": 8192, "rope_dims": 64, "tied_head": True,
        "declared": "135M",
    }  # fmt: skip


def test_safetensors_as_its_own_library_writes_them(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {
        "model.embed_tokens.weight": rng.standard_normal((7, 5)).astype(np.float32),
        "model.layers.0.mlp.up_proj.weight": rng.standard_normal((3, 5)).astype(np.float16),
        "ids": np.arange(9, dtype=np.int64),
        "flags": np.array([True, False]),
        "scalar": np.array(3.0),
        "empty": np.zeros((0, 4), np.uint8),
    }
    path = tmp_path / "model.safetensors"
    save_file(arrays, path)
    raw = path.read_bytes()
    tensors = {t["name"]: t for t in ours(path)["tensors"]}
    names = {"f4": "F32", "f2": "F16", "i8": "I64", "b1": "BOOL", "f8": "F64", "u1": "U8"}
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        t = tensors[name]
        assert t["shape"] == list(array.shape)
        assert t["type"] == names[array.dtype.str[1:]]
        assert raw[t["offset"] : t["offset"] + t["bytes"]] == array.tobytes()


def zhiheng(*arguments):
    program = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "bin" / "zhiheng"
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def test_a_standard_model_written_as_gguf_is_the_same_model(tmp_path):
    path = tmp_path / "model.gguf"
    written = zhiheng("model", "convert", "zh-0.1b", "--out", path)
    assert written.returncode == 0 and written.stdout == f"{path}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["model.gguf"]
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t for t in reader.tensors}
    assert len(tensors) == 1 + 12 * 9 + 1
    assert sum(t.n_elements for t in tensors.values()) == 100_682_496
    assert reader.get_field("llama.block_count").contents() == 12
    assert reader.get_field("llama.attention.head_count_kv").contents() == 4
    assert reader.get_field("tokenizer.ggml.model").contents() == "no_vocab"
    down = tensors["blk.11.ffn_down.weight"]
    assert down.tensor_type.name == "BF16" and list(down.shape) == [2048, 768]
    values = (np.ascontiguousarray(down.data).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    assert abs(values.std() * np.sqrt(2048) - 1) < 0.005 and abs(values.mean()) * np.sqrt(2048) < 0.005
    assert np.all(tensors["output_norm.weight"].data == 1)
    question = ["--tokens", "1,2,3,32767", "--json"]
    assert zhiheng("model", "logits", path, *question).stdout == zhiheng("model", "logits", "zh-0.1b", *question).stdout
