"""Weights as makers pack them (packed_weights.py), by the reader: values row by row equal, in the type that is
expected; then whole models, whose logits are those of the same model with its values written out."""

import json
import os
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


def test_scale_that_no_half_holds(tmp_path):
    tensors, config, values, _ = compressed(np.random.default_rng(2), 16, 64, kind="BF16")
    bits = tensors["weight_scale"][1].copy()
    bits[3, 1] = 0x3001  # 2^-31 and a little
    tensors["weight_scale"] = ("BF16", bits)
    kind, _ = read(write_one(tmp_path / "m", tensors, config))
    assert kind == "BF16"


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
