"""Proof by perturbation, against numpy: what one changed scalar does to the logits, and how often the bound on the
share of live parameters holds on models whose dead parts are known."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import gguf
import numpy as np
import pytest
from families_gguf import convert
from gguf import GGMLQuantizationType as T
from llama_numpy import Llama
from scipy import stats
from test_engine_types import SCALES, write_model
from test_latent import CONFIG as LATENT
from test_latent import expected as latent_logits
from test_latent import write_model as write_latent

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
TOOLS = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "tests"
FAMILIES = SOURCE / "tests" / "golden" / "families"
LIVE, BELOW_FLOOR, UNCHANGED, ALL_ZERO, STUCK, NOT_REACHED = range(6)
LONE_POSITION = 1


def probe(path, probes, seed=1, seeds=1, *more):
    words = [TOOLS / "liveness_tool", path, probes, seed, seeds, *more]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- the change of the logits ---


def text_of(probe, texts):
    text = list(texts[probe["text"]])
    if probe["lone"]:
        text[LONE_POSITION] = probe["row"]
    return text


def place_of(probe, shape):
    """Experts have the first dimension where they share a tensor; heads are counted with their rows."""
    expert, row, column = probe["expert"], probe["row"], probe["column"]
    if len(shape) == 1:
        return (column,)
    if len(shape) == 2:
        return (row, column) if expert < 0 else (expert, column)
    return (expert, row, column) if expert >= 0 else (row // shape[1], row % shape[1], column)


def change_in_numpy(llama, plain, probe, texts):
    """The largest change of a logit of the text that the probe names, the same scalar changed, in float64."""
    text = text_of(probe, texts)
    llama.reset()
    before = llama.forward(text) if probe["lone"] else plain[probe["text"]]
    weight = llama.weights[probe["tensor"]]
    at = place_of(probe, weight.shape)
    assert weight[at] == probe["was"]
    weight[at] = probe["is"]
    llama.reset()
    after = llama.forward(text)
    weight[at] = probe["was"]
    return np.abs(after - before).max()


def compare(path, found, probes, llama=None):
    llama = llama or Llama(path)
    plain = []
    for text in found["texts"]:
        llama.reset()
        plain.append(llama.forward(text))
    for one in probes:
        expected = change_in_numpy(llama, plain, one, found["texts"])
        assert one["change"] == pytest.approx(expected, rel=1e-3, abs=2 * found["floor"]), one


@pytest.mark.parametrize("tied", [False, True], ids=["separate head", "tied head"])
@pytest.mark.parametrize("kind", [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q4_K, T.Q5_K, T.Q6_K,
                                  T.MXFP4],
                         ids=lambda k: k.name)
def test_changes_are_those_of_numpy(kind, tied, tmp_path):
    path = write_model(tmp_path / "model.gguf", kind, tied=tied)
    found = probe(path, 150)
    # A model of random weights is live throughout, but where the scale of a part of a block of random bits came out
    # as zero; such blocks hold small values, too, which change logits little.
    probes = [p for p in found["probes"] if p["outcome"] == LIVE]
    rest = {p["outcome"] for p in found["probes"]} - {LIVE}
    assert rest <= ({STUCK, BELOW_FLOOR} if kind in SCALES else set())
    assert len(probes) > 0.8 * len(found["probes"])
    # Groups by tensor, so that every kind of tensor is looked at.
    some = {p["tensor"]: p for p in probes}
    compare(path, found, list(some.values()) + probes[::15])


def test_norms_change_as_in_numpy(tmp_path):
    """Norms are few scalars: as many probes as scalars look at each once."""
    path = write_small(tmp_path / "small.gguf", {})
    found = probe(path, 10**6)
    norms = [p for p in found["probes"] if "norm" in p["tensor"]]
    assert len(found["probes"]) == found["population"] and len(norms) == 3 * 2 * 32 + 32
    assert {p["outcome"] for p in norms} == {LIVE}
    compare(path, found, norms[::9])


def test_smollm2_changes_as_in_numpy():
    path = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        pytest.skip("models/SmolLM2-135M-Instruct.Q4_1.gguf is not here")
    found = probe(path, 40)
    assert all(p["outcome"] == LIVE for p in found["probes"])
    compare(path, found, found["probes"][3::8])


# --- the same change in a file ---


def entry_of(path, name):
    """Where a tensor's values stand in a file: offset, numpy type, shape."""
    if path.suffix == ".gguf":
        tensor = next(t for t in gguf.GGUFReader(path).tensors if t.name == name)
        kind = np.dtype({T.F32: "<f4", T.F16: "<f2", T.BF16: "<u2"}[tensor.tensor_type])
        return int(tensor.data_offset), kind, tuple(int(n) for n in reversed(tensor.shape))
    header = int.from_bytes(path.read_bytes()[:8], "little")
    entry = json.loads(path.read_bytes()[8 : 8 + header])[name]
    kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[entry["dtype"]]
    return 8 + header + entry["data_offsets"][0], np.dtype(kind), tuple(entry["shape"])


def put_value(path, probe, value):
    at, kind, shape = entry_of(path, probe["tensor"])
    bits = np.array(value, "<f4").view("<u4") >> 16 if kind == np.dtype("<u2") else value
    with open(path, "r+b") as file:
        file.seek(at + int(np.ravel_multi_index(place_of(probe, shape), shape)) * kind.itemsize)
        file.write(np.array(bits).astype(kind).tobytes())


def logits_of(path, text):
    words = [TOOLS / "families_tool", path, "exact", 0, len(text), 1, ",".join(map(str, text))]
    done = subprocess.run(list(map(str, words)), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return np.frombuffer(done.stdout, np.float32)


KINDS = {  # tensors that were refused before, of which one of each must be among the probes
    "qwen2-moe": ["mlp.gate", "experts.#.gate_proj", "experts.#.up_proj", "experts.#.down_proj", "shared_expert.gate_proj",
                  "shared_expert.down_proj", "shared_expert_gate"],
    "mixtral": ["block_sparse_moe.gate", "experts.#.w"],
    "gpt-oss": ["sinks", "router.weight", "router.bias", "gate_up_proj", "gate_up_proj_bias", "down_proj", "down_proj_bias"],
    "deepseek-v2": ["q_a_proj", "q_a_layernorm", "q_b_proj", "kv_a_proj", "kv_a_layernorm", "kv_b_proj", "o_proj"],
    "deepseek-v3": ["kv_b_proj", "e_score_correction_bias", "shared_experts.up_proj"],
    "ernie4.5-moe": ["e_score_correction_bias", "shared_experts.down_proj"],
    "baichuan2": ["lm_head", "W_pack", "o_proj"],
}


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
@pytest.mark.parametrize("name", KINDS)
def test_a_probe_is_a_changed_file(name, form, tmp_path):
    """Bit for bit, at the place in the file that the probe names."""
    if form == "gguf":
        path = model = convert(FAMILIES / name, tmp_path / "model.gguf", False)
    else:
        model = shutil.copytree(FAMILIES / name, tmp_path / "model")
        path = model / "model.safetensors"
    found = probe(model, (10000 if name == "gpt-oss" else 2500) if form == "safetensors" else 1000, 1, 1, "exact")
    by_kind = {}
    for one in found["probes"]:
        if one["outcome"] in (LIVE, UNCHANGED, BELOW_FLOOR):
            by_kind.setdefault((re.sub(r"\d+", "#", one["tensor"]), one["outcome"] == LIVE), one)
    kinds = {kind for kind, live in by_kind if live}
    for wanted in KINDS[name] if form == "safetensors" else []:
        assert any(wanted in kind for kind in kinds), (wanted, kinds)
    for one in by_kind.values():
        text = text_of(one, found["texts"])
        before = logits_of(model, text)
        put_value(path, one, one["is"])
        after = logits_of(model, text)
        put_value(path, one, one["was"])
        assert np.abs(after - before).max() == np.float32(one["change"]), one


# --- models with known dead parts ---

SMALL = dict(layers=3, hidden=32, heads=4, kv_heads=2, head_dim=8, ffn=96, vocab=40)
SHAPES = {
    "attn_norm": (32,), "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32),
    "ffn_norm": (32,), "ffn_gate": (96, 32), "ffn_up": (96, 32), "ffn_down": (32, 96),
}


def small_weights(seed=5):
    rng = np.random.default_rng(seed)
    draw = lambda shape: (rng.standard_normal(shape) / np.sqrt(shape[-1]) * 1.5 if len(shape) == 2
                          else 1 + 0.1 * rng.standard_normal(shape)).astype(np.float32)
    weights = {"token_embd.weight": draw((SMALL["vocab"], 32)), "output_norm.weight": draw((32,)),
               "output.weight": draw((SMALL["vocab"], 32))}
    for layer in range(SMALL["layers"]):
        for name, shape in SHAPES.items():
            weights[f"blk.{layer}.{name}.weight"] = draw(shape)
    return weights


def write_small(path, changes, used=None):
    """changes: tensor -> values. used: experts of a token, where the layers have any."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(SMALL["layers"])
    writer.add_context_length(64)
    writer.add_embedding_length(SMALL["hidden"])
    writer.add_feed_forward_length(SMALL["ffn"])
    writer.add_head_count(SMALL["heads"])
    writer.add_head_count_kv(SMALL["kv_heads"])
    writer.add_rope_dimension_count(SMALL["head_dim"])
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(SMALL["vocab"])
    if used:
        writer.add_expert_count(EXPERTS)
        writer.add_expert_used_count(used)
        writer.add_expert_feed_forward_length(WIDTH)
    for name, values in ((small_experts() if used else small_weights()) | changes).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


EXPERTS, WIDTH = 4, 16


def small_experts():
    """The same model with experts, in the form of Mixtral's: softmax over the chosen ones."""
    weights = {name: values for name, values in small_weights().items()
               if "ffn_" not in name or "norm" in name}
    rng = np.random.default_rng(6)
    shapes = {"gate_inp": (EXPERTS, 32), "gate_exps": (EXPERTS, WIDTH, 32), "up_exps": (EXPERTS, WIDTH, 32),
              "down_exps": (EXPERTS, 32, WIDTH)}
    for layer in range(SMALL["layers"]):
        for name, shape in shapes.items():
            values = rng.standard_normal(shape) / np.sqrt(shape[-1]) * 2
            weights[f"blk.{layer}.ffn_{name}.weight"] = values.astype(np.float32)
    return weights


class Mixtral(Llama):
    """used of the experts, the best by the router's logits, weighed by softmax over these (arXiv:2401.04088)."""

    used = 2

    def ffn(self, n, name):
        scores, out = self.times(n, name + "ffn_gate_inp.weight"), np.zeros_like(n)
        for t, row in enumerate(scores):
            best = np.argsort(-row, kind="stable")[: self.used]
            for e, weight in zip(best, np.exp(row[best] - row.max()) / np.exp(row[best] - row.max()).sum()):
                gate, up, down = (self.weights[f"{name}ffn_{part}_exps.weight"][e] for part in ("gate", "up", "down"))
                a = gate @ n[t]
                out[t] += weight * (down @ (a / (1 + np.exp(-a)) * (up @ n[t])))
        return out


def test_experts_change_as_in_numpy(tmp_path):
    path = write_small(tmp_path / "experts.gguf", {}, used=Mixtral.used)
    found = probe(path, 2000)
    assert found["experts"]["reached"] == found["experts"]["all"] == EXPERTS * SMALL["layers"]
    some = {(one["tensor"], one["expert"]): one for one in found["probes"] if one["outcome"] == LIVE}
    assert {expert for name, expert in some if "exps" in name} == set(range(EXPERTS))
    compare(path, found, list(some.values()), Mixtral(path))


def test_latent_attention_changes_as_in_numpy(tmp_path):
    """By the published form, in which nothing is absorbed: k_up stands turned in one matrix with v_up."""
    values = write_latent(tmp_path / "model")
    found = probe(tmp_path / "model", 3000)
    some = {re.sub(r"\d+", "#", one["tensor"]): one for one in found["probes"] if one["outcome"] == LIVE}
    up = [one for one in found["probes"] if "kv_b_proj" in one["tensor"] and one["outcome"] == LIVE]
    each = LATENT["qk_nope_head_dim"] + LATENT["v_head_dim"]
    assert {one["row"] % each < LATENT["qk_nope_head_dim"] for one in up} == {True, False}
    assert {"model.layers.#.self_attn.q_a_layernorm.weight", "model.layers.#.self_attn.kv_a_layernorm.weight"} <= set(some)
    for one in [*some.values(), *up[::40]]:
        text, weight = text_of(one, found["texts"]), values[one["tensor"]]
        before = latent_logits(values, LATENT, text)
        at = place_of(one, weight.shape)
        assert weight[at] == one["was"]
        weight[at] = one["is"]
        change = np.abs(latent_logits(values, LATENT, text) - before).max()
        weight[at] = one["was"]
        assert one["change"] == pytest.approx(change, rel=1e-3, abs=2 * found["floor"]), one


def experts_of_known_fate():
    """Of each layer expert 3 is never chosen, for its router's row is that of expert 1, the first of equal ones; expert 2
    gives nothing; expert 3 of layer 1 is all zeros besides."""
    changes = {}
    for layer in range(SMALL["layers"]):
        weights = small_experts()
        router, down = (weights[f"blk.{layer}.ffn_{name}.weight"] for name in ("gate_inp", "down_exps"))
        router[3] = router[1]
        down[2] = 0
        changes |= {f"blk.{layer}.ffn_gate_inp.weight": router, f"blk.{layer}.ffn_down_exps.weight": down}
    gate = small_experts()["blk.1.ffn_gate_exps.weight"]
    gate[3] = 0
    return changes | {"blk.1.ffn_gate_exps.weight": gate}


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    path = write_small(tmp_path_factory.mktemp("fates") / "m.gguf", experts_of_known_fate(), used=1)
    return path, probe(path, 10**6)


def test_every_scalar_of_experts_is_judged_rightly(fates):
    _, found = fates
    layers = SMALL["layers"]
    assert found["runs"][0]["probes"] == found["population"]
    assert found["experts"]["all"] == EXPERTS * layers and found["experts"]["reached"] == (EXPERTS - 1) * layers
    assert found["experts"]["drawn"] > 0
    for one in found["probes"]:
        name, expert = one["tensor"], one["expert"]
        if "exps" not in name:
            assert expert == -1 and one["outcome"] in (LIVE, UNCHANGED, NOT_REACHED), one
            assert one["outcome"] == LIVE or "gate_inp" in name, one
            assert one["outcome"] != NOT_REACHED or one["row"] == one["belongs_to"] == 3
            continue
        wanted = LIVE
        if expert == 3:
            wanted = ALL_ZERO if name == "blk.1.ffn_gate_exps.weight" else NOT_REACHED
        elif expert == 2:
            wanted = ALL_ZERO if "down" in name else UNCHANGED
        assert one["outcome"] == wanted and one["belongs_to"] == expert, one


def test_the_bound_holds_for_experts(fates):
    """It is of the share of all that can be shown to be live: what was not reached is no part of that."""
    path, whole = fates
    share, seeds, probes = whole["runs"][0]["live"] / whole["population"], 200, 80
    assert 0.3 < share < 0.8
    runs = probe(path, probes, 1000, seeds)["runs"]
    broken = sum(run["lower_bound_95"] > share for run in runs)
    assert broken <= stats.binom.isf(1e-3, seeds, 0.05), (broken, share)
    mean = np.mean([run["live"] / run["probes"] for run in runs])
    assert abs(mean - share) <= 4 * np.sqrt(share * (1 - share) / (probes * seeds)), (mean, share)


def dead_columns(weights):
    """The last 32 or 64 neurons of each layer reach nothing: their rows of gate and up are dead, and their columns of
    down, all zeros, have no size to change by."""
    out, dead = {}, 0
    for layer, first in enumerate((64, 32, 64)):
        name = f"blk.{layer}.ffn_down.weight"
        out[name] = weights[name].copy()
        out[name][:, first:] = 0
        dead += (96 - first) * 32 * 3
    return out, dead


def scattered_neurons(weights):
    """Every second neuron, drawn, reaches nothing: its rows of gate and up are dead, but a zero of down among other
    values is a value. Dead scalars lie everywhere, so that the draw's slices take little from chance."""
    rng, out, dead = np.random.default_rng(8), {}, 0
    for layer in range(SMALL["layers"]):
        name = f"blk.{layer}.ffn_down.weight"
        out[name] = weights[name].copy()
        out[name][:, rng.permutation(96)[:48]] = 0
        dead += 48 * 32 * 2
    return out, dead


def identity_layer(weights):
    """Layer 1 adds nothing: all of it is dead."""
    names = [f"blk.1.{name}.weight" for name in ("attn_output", "ffn_down")]
    return {n: np.zeros_like(weights[n]) for n in names}, sum(int(np.prod(s)) for s in SHAPES.values())


def repeated_layer(weights):
    """A layer that stands twice and is used twice is live twice."""
    return {n.replace("blk.0", "blk.2"): v for n, v in weights.items() if n.startswith("blk.0")}, 0


def too_small(weights):
    """Values so small that rounding hides them, though they are not zero: layer 1 adds next to nothing."""
    names = [f"blk.1.{name}.weight" for name in ("attn_output", "ffn_down")]
    return {n: weights[n] * np.float32(1e-12) for n in names}, sum(int(np.prod(s)) for s in SHAPES.values())


CASES = [dead_columns, scattered_neurons, identity_layer, repeated_layer, too_small]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_every_scalar_is_judged_rightly(case, tmp_path):
    """As many probes as scalars: the share is no estimate then."""
    changes, dead = case(small_weights())
    found = probe(write_small(tmp_path / "m.gguf", changes), 10**6)
    assert found["runs"][0]["probes"] == found["population"]
    assert found["runs"][0]["live"] == found["population"] - dead, {
        p["tensor"]: p["outcome"] for p in found["probes"] if p["outcome"] != LIVE
    }


@pytest.mark.parametrize("case, probes", [(dead_columns, 60), (dead_columns, 300), (scattered_neurons, 40),
                                          (scattered_neurons, 300), (identity_layer, 60),
                                          (identity_layer, 200), (repeated_layer, 100)],
                         ids=lambda v: getattr(v, "__name__", str(v)))
def test_the_bound_holds_as_often_as_it_says(case, probes, tmp_path):
    seeds = 200
    changes, dead = case(small_weights())
    found = probe(write_small(tmp_path / "m.gguf", changes), probes, seed=1000, seeds=seeds)
    share = 1 - dead / found["population"]
    runs = found["runs"]
    broken = sum(run["lower_bound_95"] > share for run in runs)
    # 95 % is the least: more breaches than a binomial of 5 % gives once in 1000 would show a bound that lies.
    assert broken <= stats.binom.isf(1e-3, seeds, 0.05), (broken, share)
    mean = np.mean([run["live"] / run["probes"] for run in runs])
    error = np.sqrt(max(share * (1 - share), 1e-9) / (probes * seeds))
    assert abs(mean - share) <= 4 * error, (mean, share)


def test_clopper_pearson(tmp_path):
    """The bound itself, against scipy."""
    for case, probes in ((dead_columns, 37), (identity_layer, 211), (repeated_layer, 1000)):
        changes, _ = case(small_weights())
        found = probe(write_small(tmp_path / f"{case.__name__}.gguf", changes), probes, seeds=3)
        for run in found["runs"]:
            exact = stats.beta.ppf(0.05, run["live"], run["probes"] - run["live"] + 1)
            assert run["lower_bound_95"] == pytest.approx(exact, rel=1e-9)


def test_the_seed_decides(tmp_path):
    path = write_small(tmp_path / "m.gguf", {})
    assert probe(path, 50, seed=3)["probes"] == probe(path, 50, seed=3)["probes"]
    assert probe(path, 50, seed=3)["probes"] != probe(path, 50, seed=4)["probes"]
