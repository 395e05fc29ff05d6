"""Proof by perturbation, against numpy: what one changed scalar does to the logits, and how often the bound on the
share of live parameters holds on models whose dead parts are known."""

import json
import os
import pathlib
import subprocess

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as T
from llama_numpy import Llama
from scipy import stats
from test_engine_types import SCALES, write_model

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
TOOL = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "tests" / "liveness_tool"
LIVE, BELOW_FLOOR, UNCHANGED, ALL_ZERO, STUCK = range(5)
LONE_POSITION = 1


def probe(path, probes, seed=1, seeds=1):
    words = [TOOL, path, probes, seed, seeds]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- the change of the logits ---


def change_in_numpy(llama, plain, probe, texts):
    """The largest change of a logit of the text that the probe names, the same scalar changed, in float64."""
    text = list(texts[probe["text"]])
    if probe["lone"]:
        text[LONE_POSITION] = probe["row"]
    llama.reset()
    before = llama.forward(text) if probe["lone"] else plain[probe["text"]]
    weight = llama.weights[probe["tensor"]]
    at = (probe["row"], probe["column"]) if weight.ndim == 2 else probe["column"]
    assert weight[at] == probe["was"]
    weight[at] = probe["is"]
    llama.reset()
    after = llama.forward(text)
    weight[at] = probe["was"]
    return np.abs(after - before).max()


def compare(path, found, probes):
    llama = Llama(path)
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


def write_small(path, changes):
    """changes: tensor -> values."""
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
    for name, values in (small_weights() | changes).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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
