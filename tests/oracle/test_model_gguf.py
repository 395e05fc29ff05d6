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


def write_typed(path, kinds):
    """One matrix of two blocks of each type."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    for kind in kinds:
        blocks = rng.integers(0, 256, (2, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        writer.add_tensor(f"{kind.name}.weight", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# Blocks of sums in flight, which no file has.
KINDS = [k for k in gguf.GGMLQuantizationType if k.name not in ("Q8_1", "Q8_K") and gguf.GGML_QUANT_SIZES[k][0] > 1]


def test_every_type_is_known_by_size(tmp_path):
    write_typed(tmp_path / "all.gguf", KINDS)
    theirs = {t.name: t for t in gguf.GGUFReader(tmp_path / "all.gguf").tensors}
    for t in ours(tmp_path / "all.gguf")["tensors"]:
        b = theirs[t["name"]]
        assert (t["type"], t["bytes"], t["offset"]) == (b.tensor_type.name, b.n_bytes, b.data_offset)
    assert len(theirs) == len(KINDS) > 20


def test_version_2_is_read_as_gguf_reads_it(tmp_path):
    write_typed(tmp_path / "three.gguf", KINDS)
    raw = bytearray((tmp_path / "three.gguf").read_bytes())
    raw[4] = 2
    (tmp_path / "two.gguf").write_bytes(raw)
    theirs = gguf.GGUFReader(tmp_path / "two.gguf")
    assert theirs.fields["GGUF.version"].contents() == 2
    assert [t["offset"] for t in ours(tmp_path / "two.gguf")["tensors"]] == [t.data_offset for t in theirs.tensors]


def test_types_that_are_only_counted(tmp_path):
    """An audit counts them; what would run them is refused by name."""
    kind = gguf.GGMLQuantizationType.IQ2_XS
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    for key, value in {"block_count": 1, "context_length": 8, "embedding_length": 256, "feed_forward_length": 256,
                       "head_count": 4, "head_count_kv": 4, "vocab_size": 8, "key_length": 64, "value_length": 64,
                       "rope_dimension_count": 64}.items():
        getattr(writer, f"add_{key}")(value)
    writer.add_layer_norm_rms_eps(1e-5)
    matrices = {"token_embd": 8, "blk.0.attn_q": 256, "blk.0.attn_k": 256, "blk.0.attn_v": 256, "blk.0.attn_output": 256,
                "blk.0.ffn_gate": 256, "blk.0.ffn_up": 256, "blk.0.ffn_down": 256}
    for name, rows in matrices.items():
        writer.add_tensor(f"{name}.weight", np.zeros((rows, 74), np.uint8), raw_dtype=kind)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(256, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    refused = zhiheng("model", "logits", tmp_path / "m.gguf", "--tokens", "1")
    assert refused.returncode == 2
    assert "'token_embd.weight' has the type IQ2_XS, which this version does not compute" in refused.stderr
    counted = zhiheng("audit", tmp_path / "m.gguf", "--json")
    assert counted.returncode == 0, counted.stderr
    total = json.loads(counted.stdout)["parameters"]["stored"]
    assert total == sum(matrices.values()) * 256 + 3 * 256


def test_a_split_model_is_one_model(tmp_path):
    """Parts as PyPI `gguf` writes them, opened by the second."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    arrays = {f"blk.{i}.ffn_up.weight": np.full((3, 4), i, np.float32) for i in range(5)}
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parts = sorted(tmp_path.glob("m-*.gguf"))
    assert len(parts) == 3
    for path in [*parts, tmp_path]:
        assert [t["name"] for t in ours(path)["tensors"]] == list(arrays)
