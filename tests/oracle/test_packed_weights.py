"""Weights as makers pack them (packed_weights.py), by the reader: values row by row equal, in the type that is
expected; then whole models, whose logits are those of the same model with its values written out."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
from packed_weights import FORMS, compressed, fp8, gptq, rounded, write_safetensors

TOOL = os.path.join(os.environ["ZH_BINARY_DIR"], "tests", "coded_tool")


def write_one(folder, tensors, config):
    folder.mkdir(exist_ok=True)
    write_safetensors(folder / "model.safetensors", {f"m.{end}": value for end, value in tensors.items()})
    (folder / "config.json").write_text(json.dumps({"quantization_config": config} if config else {}))
    return folder


def read(folder, name="m.weight", *rows):
    done = subprocess.run([TOOL, folder, name, *map(str, rows)], capture_output=True, timeout=60)
    if done.returncode != 0:
        return None, done.stderr.decode().removeprefix("coded_tool: ").strip()
    line, _, raw = done.stdout.partition(b"\n")
    kind, *shape = line.decode().split()
    values = np.frombuffer(raw, np.float32)
    return kind, values if rows else values.reshape([int(n) for n in shape])


@pytest.mark.parametrize("rows, columns", [(192, 320), (40, 128)])
@pytest.mark.parametrize("name", FORMS)
def test_values(tmp_path, name, rows, columns):
    tensors, config, values, held = FORMS[name](np.random.default_rng(rows), rows, columns)
    folder = write_one(tmp_path / "m", tensors, config)
    kind, read_values = read(folder)
    assert kind == held, read_values
    np.testing.assert_array_equal(read_values, rounded(values, held))
    _, some = read(folder, "m.weight", 7, 3)  # no multiple of a tile
    np.testing.assert_array_equal(some.reshape(3, columns), read_values[7:10])


def test_columns_that_are_no_blocks(tmp_path):
    rng = np.random.default_rng(1)
    for name, (tensors, config, values, held) in {
        "ct": compressed(rng, 20, 44, group=-1), "gptq": gptq(rng, 24, 48, group=16), "fp8": fp8(rng, 130, 44),
    }.items():
        held = "F16" if name == "gptq" else held
        kind, read_values = read(write_one(tmp_path / name, tensors, config))
        assert kind == held
        np.testing.assert_array_equal(read_values, rounded(values, held))


def test_every_fp8_value(tmp_path):
    """Without scales, and with no word of packing: the values themselves."""
    from packed_weights import float_values

    for kind in ("F8_E4M3", "F8_E5M2"):
        folder = write_one(tmp_path / kind, {"weight": (kind, np.arange(256, dtype=np.uint8).reshape(8, 32))}, None)
        _, values = read(folder)
        np.testing.assert_array_equal(values.ravel(), float_values(kind).astype(np.float32))


def test_experts_in_one_tensor(tmp_path):
    """FP8 [experts][outputs][inputs] with scales of blocks: each expert's rows begin a block."""
    rng, made = np.random.default_rng(4), []
    for _ in range(3):
        made.append(fp8(rng, 130, 160))
    tensors = {end: (made[0][0][end][0], np.stack([m[0][end][1] for m in made]))
               for end in ("weight", "weight_scale_inv")}
    kind, read_values = read(write_one(tmp_path / "m", tensors, made[0][1]))
    assert kind == "BF16"
    np.testing.assert_array_equal(read_values, rounded(np.stack([m[2] for m in made]), "BF16"))


def test_scale_that_no_half_holds(tmp_path):
    tensors, config, values, _ = compressed(np.random.default_rng(2), 16, 64, kind="BF16")
    bits = tensors["weight_scale"][1].copy()
    bits[3, 1] = 0x3001  # 2^-31 and a little
    tensors["weight_scale"] = ("BF16", bits)
    kind, _ = read(write_one(tmp_path / "m", tensors, config))
    assert kind == "BF16"


def test_gpt_oss_blocks():
    """Experts in one tensor, [experts][outputs][blocks][16], which keeps its name."""
    folder = pathlib.Path(os.environ["ZH_SOURCE_DIR"]) / "tests" / "golden" / "families" / "gpt-oss-mxfp4"
    raw = (folder / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    data = raw[8 + int.from_bytes(raw[:8], "little") :]
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    for part in ("gate_up_proj", "down_proj"):
        name = f"model.layers.1.mlp.experts.{part}"
        blocks, scales = (np.frombuffer(data[slice(*header[name + end]["data_offsets"])], np.uint8).reshape(
            header[name + end]["shape"]) for end in ("_blocks", "_scales"))
        codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*scales.shape, 32)
        values = np.ldexp(table[codes], scales.astype(int)[..., None] - 127)
        kind, read_values = read(folder, name + "_blocks")
        assert kind == "MXFP4"
        np.testing.assert_array_equal(read_values, values.reshape(*scales.shape[:2], -1))


# --- contradictions, each one sentence with the tensor's name ---


def without(key):
    return lambda t, c: t.pop(key)


def cut(key, columns=False):
    return lambda t, c: t.update({key: (t[key][0], t[key][1][:, :-1] if columns else t[key][1][:-1])})


def stated(key, value):
    return lambda t, c: c.update({key: value})


def set_item(key, at, value):
    def change(t, c):
        t[key][1].flat[at] = value

    return change


MISTAKES = [
    ("gptq", without("scales"), "'m.qweight' is packed, but its scales are missing"),
    ("gptq", without("qzeros"), "'m.qweight' is packed, but its zero points (qzeros) are missing"),
    ("gptq", without("qweight"), "'m.qzeros' is there, but no packed weight"),
    ("gptq", cut("scales"), "m.scales"),
    ("gptq", cut("scales", True), "m.qzeros"),
    ("gptq", cut("qzeros"), "m.qzeros"),
    ("gptq", cut("g_idx"), "m.g_idx"),
    ("gptq", set_item("g_idx", 5, 99), "'m.g_idx': column 5 is said to be of group 99"),
    ("gptq", set_item("g_idx", 5, -1), "'m.g_idx': column 5 is said to be of group -1"),
    ("gptq", stated("bits", 8), "config.json says 8"),
    ("gptq", stated("group_size", 128), "m.scales"),
    ("gptq", stated("quant_method", "awq"), "'m.qweight' is packed as GPTQ, and config.json says awq"),
    ("gptq", stated("modules_to_not_convert", ["m"]), "m.qweight' is packed, and config.json lists"),
    ("gptq", stated("checkpoint_format", "marlin"), "Marlin"),
    ("awq", stated("quant_method", "gptq"), "'m.qweight' is packed as AWQ, and config.json says gptq"),
    ("awq", stated("version", "gemv"), "AWQ's gemv form"),
    ("ct-4", without("weight_shape"), "shape (weight_shape) is missing"),
    ("ct-4", without("weight_scale"), "scales (weight_scale) are missing"),
    ("ct-4", set_item("weight_shape", 1, 3), "'m.weight_packed' does not fit its weight_shape"),
    ("ct-4", set_item("weight_shape", 0, -3), "'m.weight_shape' states a shape without elements"),
    ("ct-4", cut("weight_scale"), "m.weight_scale"),
    ("ct-4-asym", cut("weight_zero_point"), "m.weight_zero_point"),
    ("ct-4", stated("sparsity_config", {"format": "sparse-24-bitmask"}), "compressed-tensors' sparse form"),
    ("int8", without("weight_scale"), "scales (weight_scale) are missing"),
    ("fp8-block", without("weight_scale_inv"), "'m.weight' is packed, but its scales are missing"),
    ("fp8-block", without("weight"), "'m.weight_scale_inv' is there, but no packed weight"),
    ("fp8-block", cut("weight_scale_inv"), "m.weight_scale_inv"),
    ("fp8-block", stated("weight_block_size", [64, 128]), "m.weight_scale_inv"),
    ("mxfp4", set_item("weight_scale", 2, 255), "'m.weight_scale' holds a scale that is no number"),
    ("mxfp4", cut("weight_scale"), "m.weight_scale"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_contradictions(tmp_path, number):
    name, change, sentence = MISTAKES[number]
    tensors, config, _, _ = FORMS[name](np.random.default_rng(3), 192, 320)
    change(tensors, config)
    kind, message = read(write_one(tmp_path / "m", tensors, config))
    assert kind is None and sentence in message and message.count("\n") == 0, message


@pytest.mark.parametrize("method, name", [
    ("bitsandbytes", "bitsandbytes"), ("hqq", "HQQ"), ("exl2", "EXL2"), ("aqlm", "AQLM"), ("quip", "QuIP#"),
    ("fp_quant", "FP-Quant"), ("torchao", "TorchAO"), ("my-own", "my-own"),
])
def test_refused_by_config(tmp_path, method, name):
    tensors = {"weight": ("F32", np.zeros((4, 32), np.float32))}
    _, message = read(write_one(tmp_path / "m", tensors, {"quant_method": method}))
    assert f"packed by {name}, which" in message or f"packed by '{name}'" in message, message


@pytest.mark.parametrize("end, name", [
    ("weight.absmax", "bitsandbytes"), ("weight.quant_state.bitsandbytes__nf4", "bitsandbytes"), ("SCB", "bitsandbytes"),
    ("W_q", "HQQ"), ("q_weight", "EXL2"), ("codebooks", "AQLM"), ("Qidxs", "QuIP#"), ("dqweight", "FP-Quant"),
])
def test_refused_by_tensors(tmp_path, end, name):
    _, message = read(write_one(tmp_path / "m", {end: ("U8", np.zeros(32, np.uint8))}, None))
    assert f"packed by {name}, which this version does not read" in message, message


def test_nothing_packed(tmp_path):
    tensors = {"weight": ("F32", np.zeros((4, 32), np.float32))}
    _, message = read(write_one(tmp_path / "m", tensors, {"quant_method": "gptq", "bits": 4}))
    assert "says that weights are packed (gptq), and no tensor is" in message


# --- whole models: the logits are those of the same model with its values written out in F32 ---

FAMILIES = pathlib.Path(os.environ["ZH_SOURCE_DIR"]) / "tests" / "golden" / "families"
LOGITS = os.path.join(os.environ["ZH_BINARY_DIR"], "tests", "families_tool")
LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 2, 128, 192, 5, 1, 32, 150
EXPERTS = 3
LINEAR = {"self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN), "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
          "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN), "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
          "mlp.gate_proj": (FFN, HIDDEN), "mlp.up_proj": (FFN, HIDDEN), "mlp.down_proj": (HIDDEN, FFN)}


def linear_of(family):
    """Names and shapes of what is packed in a layer."""
    if family != "qwen3-moe":
        return LINEAR
    size = config_of(family)["moe_intermediate_size"]
    experts = {"gate_proj": (size, HIDDEN), "up_proj": (size, HIDDEN), "down_proj": (HIDDEN, size)}
    return {name: shape for name, shape in LINEAR.items() if "mlp" not in name} | {
        f"mlp.experts.{e}.{name}": shape for e in range(EXPERTS) for name, shape in experts.items()}


def config_of(family):
    config = json.loads((FAMILIES / family / "config.json").read_text())
    if family == "qwen3-moe":
        config |= {"num_experts": EXPERTS, "num_experts_per_tok": 2, "moe_intermediate_size": 96,
                   "mlp_only_layers": [], "decoder_sparse_step": 1}
    return config | {"hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": LAYERS, "head_dim": HEAD_DIM,
                     "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": VOCAB,
                     "tie_word_embeddings": False}


def plain_parts(rng, family):
    """What no packer packs."""
    tensors = {"model.embed_tokens.weight": rng.standard_normal((VOCAB, HIDDEN)),
               "lm_head.weight": rng.standard_normal((VOCAB, HIDDEN)), "model.norm.weight": 1 + rng.random(HIDDEN)}
    for layer in range(LAYERS):
        norms = {"input_layernorm": HIDDEN, "post_attention_layernorm": HIDDEN}
        if family == "qwen3-moe":
            tensors[f"model.layers.{layer}.mlp.gate.weight"] = rng.standard_normal((EXPERTS, HIDDEN))
        if family.startswith("qwen3"):
            norms |= {"self_attn.q_norm": HEAD_DIM, "self_attn.k_norm": HEAD_DIM}
        for name, size in norms.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = 1 + rng.random(size)
    return {name: ("F32", values.astype(np.float32)) for name, values in tensors.items()}


def write_both(folder, family, forms, shards=1):
    """The model packed, its layers in turn by `forms`, and the same written out. Returns their folders."""
    rng = np.random.default_rng(len(forms[0]))
    packed, plain = plain_parts(rng, family), None
    plain, config, said = dict(packed), config_of(family), None
    for layer in range(LAYERS):
        for i, (name, shape) in enumerate(linear_of(family).items()):
            tensors, said_here, values, held = FORMS[forms[(layer + i) % len(forms)]](rng, *shape)
            said = said or said_here
            begin = f"model.layers.{layer}.{name}."
            packed |= {begin + end: value for end, value in tensors.items()}
            plain[begin + "weight"] = ("F32", rounded(values, held))
    for where, tensors in (("packed", packed), ("plain", plain)):
        path = folder / where
        path.mkdir()
        says = {"quantization_config": said} if where == "packed" and said else {}
        (path / "config.json").write_text(json.dumps(config | says))
        if shards == 1 or where == "plain":
            write_safetensors(path / "model.safetensors", tensors)
            continue
        names, place = sorted(tensors), {}
        for k in range(shards):  # so that codes and their scales lie in different files
            file = f"model-{k + 1:05}-of-{shards:05}.safetensors"
            write_safetensors(path / file, {name: tensors[name] for name in names[k::shards]})
            place |= dict.fromkeys(names[k::shards], file)
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
    return folder / "packed", folder / "plain"


def logits_of(path, precision="exact"):
    prompts = ["3,1,4,1,5,9,2,6,5,3,5,8,9,7", "149,0,71"]
    done = subprocess.run([LOGITS, path, precision, "0", "64", "2", *prompts], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    values = np.frombuffer(done.stdout, np.float32).reshape(-1, VOCAB)
    assert np.isfinite(values).all() and np.ptp(values) > 0.1
    return values


@pytest.mark.parametrize("family, name", [("llama3", name) for name in FORMS] + [
    ("qwen3", name) for name in ("gptq", "awq", "ct-4-asym", "fp8-block", "mxfp4")] + [
    ("qwen3-moe", name) for name in ("gptq", "ct-4", "fp8-block")])
def test_models(tmp_path, family, name):
    packed, plain = write_both(tmp_path, family, [name])
    np.testing.assert_array_equal(logits_of(packed), logits_of(plain))
    fast, expected = logits_of(packed, "fast"), logits_of(plain)
    assert np.abs(fast - expected).max() <= 0.1 * np.abs(expected).max()


def test_shards_and_mixed_forms(tmp_path):
    """compressed-tensors allows several forms in one model; what each tensor is, the tensors say."""
    packed, plain = write_both(tmp_path, "llama3", ["fp8-row", "int8", "fp8-tensor"], shards=3)
    np.testing.assert_array_equal(logits_of(packed), logits_of(plain))


def test_zero_biases(tmp_path):
    """Older writers of GPTQ give every packed layer a bias; one that is not zero is no part of the model."""
    packed, plain = write_both(tmp_path, "llama3", ["gptq"])
    expected = logits_of(plain)
    for value, accepted in ((0, True), (1, False)):
        extra = np.zeros(HIDDEN, np.float16)
        extra[7] = value
        write_safetensors(packed / "model-2.safetensors", {"model.layers.1.self_attn.o_proj.bias": ("F16", extra)})
        names = {"model-2.safetensors": ["model.layers.1.self_attn.o_proj.bias"]}
        names["model.safetensors"] = list(json.loads(header_of(packed / "model.safetensors")))
        place = {name: file for file, all_of in names.items() for name in all_of}
        (packed / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
        if accepted:
            np.testing.assert_array_equal(logits_of(packed), expected)
        else:
            done = subprocess.run([LOGITS, packed, "exact", "0", "64", "2", "1"], capture_output=True, text=True)
            assert done.returncode != 0 and "o_proj.bias' is no part of a llama model" in done.stderr


def header_of(path):
    raw = path.read_bytes()
    return raw[8 : 8 + int.from_bytes(raw[:8], "little")]


def test_one_part_missing(tmp_path):
    """Names the layer that lacks it; and what a model does not use is no part of it."""
    packed, _ = write_both(tmp_path, "llama3", ["awq"])
    tensors = json.loads(header_of(packed / "model.safetensors"))
    raw = (packed / "model.safetensors").read_bytes()
    data = raw[8 + int.from_bytes(raw[:8], "little") :]
    kept = {}
    for name, said in tensors.items():
        begin, end = said["data_offsets"]
        kept[name] = (said["dtype"], np.frombuffer(data[begin:end], np.uint8).reshape(said["shape"] + [-1]))
    del kept["model.layers.1.mlp.up_proj.qzeros"]
    (packed / "model.safetensors").write_bytes(raw_file(kept, tensors))
    done = subprocess.run([LOGITS, packed, "exact", "0", "64", "2", "1"], capture_output=True, text=True)
    assert "'model.layers.1.mlp.up_proj.qweight' is packed, but its zero points (qzeros) are missing" in done.stderr


def raw_file(kept, said):
    header, data = {}, b""
    for name, (dtype, values) in kept.items():
        raw = values.tobytes()
        header[name] = said[name] | {"data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data
