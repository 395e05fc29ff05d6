"""Counts of files whose figures were added up by hand, written with the formats' public packages."""
import json
import os
import pathlib
import subprocess
import sys

import gguf
import jsonschema
import numpy as np
import pytest
import safetensors.numpy

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import files  # noqa: E402
import formats  # noqa: E402

SOURCE = pathlib.Path(os.environ.get("ZH_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
PROGRAM = pathlib.Path(os.environ.get("ZH_BINARY_DIR", SOURCE / "build")) / "bin" / "zhiheng"
SCHEMA = json.loads((SOURCE / "docs" / "schemas" / "audit.schema.json").read_text(encoding="utf-8"))


def noise(shape, dtype=np.float32, seed=[0]):
    seed[0] += 1
    rng = np.random.default_rng(seed[0])
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    return (rng.standard_t(4, shape) / 30).astype(dtype)


def folder(path, tensors, config):
    path.mkdir(exist_ok=True)
    safetensors.numpy.save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(config))
    return path


def audit(path):
    told = subprocess.run([PROGRAM, "audit", path, "--json"], capture_output=True, text=True, check=True)
    shown = subprocess.run([PROGRAM, "audit", path], capture_output=True, text=True, check=True).stdout
    document = json.loads(told.stdout)
    jsonschema.validate(document, SCHEMA | {"$ref": "#/$defs/model", "type": "object", "properties": {},
                                            "required": [], "additionalProperties": True})
    return document, shown


def reading(document, name):
    return {entry["reading"]: entry["parameters"] for entry in document["parameters"]["readings"]}.get(name)


# Two experts of [64][32] twice, a router of [2][32], an embedding of [128][32].
LOGICAL = 2 * 64 * 32 + 2 * 32 * 64 + 2 * 32 + 128 * 32
ELSE = {"model.embed_tokens.weight": noise((128, 32)), "model.layers.0.mlp.router.weight": noise((2, 32))}
EXPERTS = {"model_type": "gpt_oss", "num_local_experts": 2, "num_experts_per_tok": 1}


def blocks(name, rows, columns, ending="_blocks", scale="_scales", expert=True):
    lead = (2,) if expert else ()
    return {name + ending: noise((*lead, rows, columns // 32, 16), np.uint8),
            name + scale: noise((*lead, rows, columns // 32), np.uint8)}


MXFP4 = {
    "piles of blocks": blocks("model.layers.0.mlp.experts.up_proj", 64, 32)
    | blocks("model.layers.0.mlp.experts.down_proj", 32, 64),
    "piles by short names": blocks("model.layers.0.mlp.experts.w3", 64, 32)
    | blocks("model.layers.0.mlp.experts.w2", 32, 64),
    "an expert a tensor": {
        key: value for expert in (0, 1) for key, value in (
            blocks(f"model.layers.0.mlp.experts.{expert}.up_proj.weight", 64, 32, expert=False)
            | blocks(f"model.layers.0.mlp.experts.{expert}.down_proj.weight", 32, 64, expert=False)).items()},
    "bytes under the weight's name": {
        key: value for expert in (0, 1) for part, rows, columns in (("up_proj", 64, 32), ("down_proj", 32, 64))
        for key, value in {
            f"model.layers.0.mlp.experts.{expert}.{part}.weight": noise((rows, columns // 2), np.uint8),
            f"model.layers.0.mlp.experts.{expert}.{part}.weight_scale": noise((rows, columns // 32), np.uint8)}.items()},
    "packed by compressed-tensors": {
        key: value for expert in (0, 1) for part, rows, columns in (("up_proj", 64, 32), ("down_proj", 32, 64))
        for key, value in {
            f"model.layers.0.mlp.experts.{expert}.{part}.weight_packed": noise((rows, columns // 2), np.uint8),
            f"model.layers.0.mlp.experts.{expert}.{part}.weight_scale": noise((rows, columns // 32), np.uint8)}.items()},
}


@pytest.mark.parametrize("layout", MXFP4)
def test_four_bit_floats_count_unpacked_and_both_figures_stand_there(tmp_path, layout):
    document, shown = audit(folder(tmp_path / "m", ELSE | MXFP4[layout], EXPERTS))
    assert document["parameters"]["stored"] == LOGICAL
    # 4-bit values two a byte, a scale for each 32 of them, and what is not packed
    elements = (2 * 64 * 32 + 2 * 32 * 64) // 2 + (2 * 64 * 32 + 2 * 32 * 64) // 32 + 2 * 32 + 128 * 32
    assert reading(document, "file_elements") == elements
    assert f"{elements:,}" in shown and f"{LOGICAL:,}" in shown
    experts = next(group for group in document["groups"] if group["role"] == "experts")
    assert experts["parameters"] == 2 * 64 * 32 + 2 * 32 * 64


def test_scales_of_fused_fp8_experts_are_no_parameters(tmp_path):
    tensors = ELSE | {"model.layers.0.mlp.experts.gate_up_proj": noise((2, 64, 32), np.int8),
                      "model.layers.0.mlp.experts.gate_up_proj_scale_inv": noise((2, 1, 1))}
    document, _ = audit(folder(tmp_path / "m", tensors, EXPERTS))
    assert document["parameters"]["stored"] == 2 * 64 * 32 + 2 * 32 + 128 * 32
    assert document["buffers"] == 1


def test_a_learned_scale_is_a_parameter(tmp_path):
    tensors = ELSE | {"model.layers.0.self_attn.q_proj.weight": noise((32, 32)), "model.layers.0.layer_scale":
                      noise((32,)), "model.layers.0.self_attn.q_proj.scale": noise((1,))}
    document, _ = audit(folder(tmp_path / "m", tensors, EXPERTS))
    assert document["parameters"]["stored"] == 128 * 32 + 2 * 32 + 32 * 32 + 32 + 1


def test_a_file_without_packing_has_one_count(tmp_path):
    document, shown = audit(folder(tmp_path / "m", {"model.embed_tokens.weight": noise((128, 32))}, {}))
    assert document["parameters"]["readings"] == [] and "Two counts" not in shown


def layer(number, experts=2):
    stem = f"model.layers.{number}."
    return {stem + "self_attn.o_proj.weight": noise((32, 32)), stem + "mlp.gate.weight": noise((experts, 32)),
            stem + "mlp.gate.e_score_correction_bias": noise((experts,))} | {
            f"{stem}mlp.experts.{i}.up_proj.weight": noise((16, 32)) for i in range(experts)}


def test_router_biases_and_prediction_layers_show_both_figures(tmp_path):
    """DeepSeek's way: the layer that predicts further tokens is one more in the row, known by its number alone."""
    tensors = {"model.embed_tokens.weight": noise((128, 32))} | layer(0) | layer(1) | layer(2)
    config = {"model_type": "deepseek_v3", "num_hidden_layers": 2, "num_nextn_predict_layers": 1, "n_routed_experts": 2,
              "num_experts_per_tok": 1}
    document, shown = audit(folder(tmp_path / "m", tensors, config))
    of_layer = 32 * 32 + 2 * 32 + 2 + 2 * 16 * 32
    stored = 128 * 32 + 3 * of_layer
    assert document["parameters"]["stored"] == stored
    assert reading(document, "without_router_bias") == stored - 3 * 2
    assert reading(document, "without_prediction_layers") == stored - of_layer
    for figure in (stored, stored - 6, stored - of_layer):
        assert f"{figure:,}" in shown
    assert not [finding for finding in document["findings"] if finding["kind"] == "config_mismatch"]


def test_prediction_layers_of_gguf_are_among_its_blocks(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "deepseek2")
    writer.add_block_count(3)
    writer.add_uint32("deepseek2.nextn_predict_layers", 1)
    writer.add_tensor("token_embd.weight", noise((128, 32)))
    for number in range(3):
        writer.add_tensor(f"blk.{number}.attn_output.weight", noise((32, 32)))
        writer.add_tensor(f"blk.{number}.exp_probs_b.bias", noise((4,)))
    writer.add_tensor("rope_freqs.weight", noise((16,)))
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    document, shown = audit(tmp_path / "m.gguf")
    stored = 128 * 32 + 3 * (32 * 32 + 4)
    assert document["parameters"]["stored"] == stored and document["buffers"] == 1
    assert reading(document, "file_elements") == stored + 16
    assert reading(document, "without_router_bias") == stored - 12
    assert reading(document, "without_prediction_layers") == stored - 32 * 32 - 4
    assert f"{stored - 32 * 32 - 4:,}" in shown


def test_the_published_four_bit_file_of_a_117_b_model(tmp_path):
    """gpt-oss-120b by its shapes, in a file of holes: 116.8 B parameters, and the 63 B elements that its page shows."""
    sizes, shapes = {"BF16": 2, "U8": 1}, {}
    for number in range(36):
        stem = f"model.layers.{number}."
        for part, rows in (("gate_up_proj", 5760), ("down_proj", 2880)):
            shapes |= {f"{stem}mlp.experts.{part}_blocks": ("U8", [128, rows, 90, 16]),
                       f"{stem}mlp.experts.{part}_scales": ("U8", [128, rows, 90]),
                       f"{stem}mlp.experts.{part}_bias": ("BF16", [128, rows])}
        shapes |= {f"{stem}self_attn.{part}_proj.weight": ("BF16", shape) for part, shape in (
            ("q", [4096, 2880]), ("k", [512, 2880]), ("v", [512, 2880]), ("o", [2880, 4096]))}
        shapes |= {f"{stem}self_attn.{part}_proj.bias": ("BF16", [length]) for part, length in (
            ("q", 4096), ("k", 512), ("v", 512), ("o", 2880))}
        shapes |= {f"{stem}self_attn.sinks": ("BF16", [64]), f"{stem}mlp.router.weight": ("BF16", [128, 2880]),
                   f"{stem}mlp.router.bias": ("BF16", [128]), f"{stem}input_layernorm.weight": ("BF16", [2880]),
                   f"{stem}post_attention_layernorm.weight": ("BF16", [2880])}
    shapes |= {"model.embed_tokens.weight": ("BF16", [201088, 2880]), "lm_head.weight": ("BF16", [201088, 2880]),
               "model.norm.weight": ("BF16", [2880])}
    header, end = {}, 0
    for name, (dtype, shape) in shapes.items():
        length = sizes[dtype] * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + length]}
        end += length
    text = json.dumps(header).encode()
    path = tmp_path / "gpt-oss-120b.safetensors"
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    document = json.loads(subprocess.run([PROGRAM, "audit", path, "--json", "--no-scan"], capture_output=True,
                                         check=True).stdout)
    attention = 2 * 4096 * 2880 + 2 * 512 * 2880 + 4096 + 2 * 512 + 2880 + 64
    expert = 5760 * 2880 + 2880 * 2880
    rest = 2 * 201088 * 2880 + 36 * (attention + 128 * 2880 + 128 + 128 * 8640 + 2 * 2880) + 2880
    assert document["parameters"]["stored"] == 36 * 128 * expert + rest == 116_829_156_672
    elements = reading(document, "file_elements")
    assert elements == 36 * 128 * (expert // 2 + expert // 32) + rest and round(elements / 1e9) == 63


# --- config against tensors, where honest models differ ---

def mismatches(document):
    return [finding["where"] for finding in document["findings"] if finding["kind"] == "config_mismatch"]


TEXT = {"model.embed_tokens.weight": noise((128, 32)), "model.layers.0.self_attn.o_proj.weight": noise((32, 32)),
        "model.layers.1.self_attn.o_proj.weight": noise((32, 32)), "model.layers.0.mlp.up_proj.weight": noise((64, 32))}
PLAIN = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 128}


@pytest.mark.parametrize("tower", ["visual.blocks.7.attn.q_proj.weight", "vision_tower.layers.7.self_attn.q_proj.weight",
                                   "audio_tower.layers.7.mlp.up_proj.weight",
                                   "model.vision_model.encoder.layers.7.mlp.up_proj.weight"])
def test_layers_of_a_tower_for_images_or_sound_are_not_the_text_models(tmp_path, tower):
    document, _ = audit(folder(tmp_path / "m", TEXT | {tower: noise((640, 320))}, {"text_config": PLAIN}))
    assert mismatches(document) == []


def test_dense_layers_may_be_wider_than_the_size_stated_for_experts(tmp_path):
    """Llama 4 states intermediate_size for its experts and intermediate_size_mlp for the dense layers."""
    document, _ = audit(folder(tmp_path / "m", TEXT, PLAIN | {"intermediate_size": 32, "intermediate_size_mlp": 64}))
    assert mismatches(document) == []


@pytest.mark.parametrize("key, value", [("num_hidden_layers", 3), ("num_hidden_layers", 1), ("hidden_size", 33),
                                        ("intermediate_size", 65), ("vocab_size", 129)])
def test_a_config_that_states_more_is_a_mismatch(tmp_path, key, value):
    document, _ = audit(folder(tmp_path / "m", TEXT, PLAIN | {key: value}))
    assert mismatches(document) == [key]


def test_a_config_that_agrees_is_none(tmp_path):
    assert mismatches(audit(folder(tmp_path / "m", TEXT, PLAIN))[0]) == []


# --- values behind packed formats, against numpy ---

def explained(path, name):
    told = subprocess.run([PROGRAM, "audit", path, "--explain", name, "--json"], capture_output=True, check=True)
    return json.loads(told.stdout)["tensors"][0]["matrices"][0]


@pytest.mark.parametrize("rows, columns", [(192, 128), (576, 320), (128, 128), (130, 96)])
def test_fp8_blocks_that_end_early_get_their_own_scale(tmp_path, rows, columns):
    """The last block of rows holds values a hundred times as large as the others."""
    values = noise((rows, columns))
    values[(rows - 1) // 128 * 128:] *= 100
    codes, scales = (array for _, array in formats.fp8("x", values).values())
    plain = np.where(codes & 128, -1, 1) * formats.E4M3[codes & 127] * scales.repeat(128, 0)[:rows].repeat(
        128, 1)[:, :columns]
    name = "model.layers.0.self_attn.q_proj.weight"
    files.save_coded({name: ("float8_e4m3fn", codes), name + "_scale_inv": ("float32", scales)},
                     tmp_path / "m.safetensors")
    assert explained(tmp_path / "m.safetensors", name)["values"]["rms"] == pytest.approx(
        np.sqrt(np.mean(np.square(plain, dtype=float))), rel=1e-5)


def test_explain_takes_patterns_and_guesses_at_names(tmp_path):
    path = folder(tmp_path / "m", ELSE | {"model.layers.0.self_attn.q_proj.weight": noise((64, 32)),
                                          "model.layers.0.self_attn.k_proj.weight": noise((64, 32))}, {})
    ask = lambda *words: subprocess.run([PROGRAM, "audit", path, "--explain", *words], capture_output=True, text=True)
    assert [tensor["tensor"][-13:] for tensor in json.loads(ask("*_proj.weight", "--json").stdout)["tensors"]] == [
        "k_proj.weight", "q_proj.weight"]
    shown = ask("model.layers.0.self_attn.q_proj.weight")
    assert shown.returncode == 0 and "largest singular value" in shown.stdout and "64 rows of 32" in shown.stdout
    wrong = ask("model.layers.0.self_attn.q_prj.weight")
    assert wrong.returncode == 2 and "did you mean 'model.layers.0.self_attn.q_proj.weight'?" in wrong.stderr


def test_the_five_scores_are_those_of_their_definitions(tmp_path):
    """Against numpy, on a block that is the whole matrix: wide and high, so that rows and columns are not mistaken."""
    for shape in ((96, 192), (192, 96)):
        values = noise(shape) * (1 + 0.05 * np.arange(shape[0], dtype=np.float32))[:, None]
        path = folder(tmp_path / f"m{shape[0]}", {"model.layers.0.mlp.up_proj.weight": values}, {})
        scores = explained(path, "model.layers.0.mlp.up_proj.weight")["values"]["block"]["scores"]
        y = values - values.mean(dtype=float)
        for _ in range(3):
            edge = 3 * np.sqrt(np.mean(np.square(y)))
            y = y.clip(-edge, edge)
        y = y - y.mean()
        for power, names in ((1, ("row_means", "column_means")), (2, ("row_sizes", "column_sizes"))):
            for axis, name in ((1, names[0]), (0, names[1])):
                lines = (y ** power).mean(axis=axis)
                ratio = lines.var(ddof=1) / ((y ** power).var() / shape[axis])
                assert scores[name] == pytest.approx((ratio - 1) / np.sqrt(2 / (len(lines) - 1)), rel=0.02, abs=0.05)
        assert scores["row_sizes"] > 6 > scores["column_sizes"]
