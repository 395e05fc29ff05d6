"""Quantised rows: the legacy types bit for bit as PyPI gguf gives them, Q4_K by how much it errs."""

import os
import pathlib
import subprocess

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as T

TOOL = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "tests" / "quantize_stdin"
LEGACY = [T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1]


def quantized(values, kind):
    done = subprocess.run([TOOL, kind.name, str(values.shape[-1])], input=values.tobytes(), stdout=subprocess.PIPE)
    assert done.returncode in (0, 4), done
    return np.frombuffer(done.stdout, np.uint8) if done.returncode == 0 else None


def rows(what, rng, count=300, columns=256):
    normal = rng.standard_normal((count, columns)).astype(np.float32)
    if what == "normal":
        return normal * np.float32(0.03)
    if what == "heavy tails":
        return np.clip((normal**3 * np.exp(rng.standard_normal((count, 1)) * 3)).astype(np.float32), -60000, 60000)
    if what == "ties":  # quanta that lie half way, and blocks whose largest magnitude stands twice
        return (rng.integers(-16, 17, (count, columns)) * 0.125).astype(np.float32)
    if what == "small":  # scales that are subnormal as f16, or nothing
        return normal * np.exp2(rng.integers(-30, -14, (count, 1))).astype(np.float32)
    values = normal.copy()  # "sparse"
    values[rng.random(values.shape) < 0.97] = 0
    return np.where(rng.random((count, 1)) < 0.8, values, np.float32(0))  # no -0: numpy's least of both signs varies


@pytest.mark.parametrize("what", ["normal", "heavy tails", "ties", "small", "sparse"])
@pytest.mark.parametrize("kind", LEGACY, ids=lambda k: k.name)
def test_legacy_types_are_those_of_gguf(kind, what):
    values = rows(what, np.random.default_rng(int(kind)))
    mine = quantized(values, kind)
    expected = gguf.quants.quantize(values, kind).view(np.uint8).reshape(-1)
    assert np.array_equal(mine, expected)


@pytest.mark.parametrize("kind", [T.F16, *LEGACY[2:], T.Q4_K], ids=lambda k: k.name)
def test_what_does_not_fit_is_said(kind):
    assert quantized(np.full((1, 256), 3e38, np.float32), kind) is None
    if kind != T.F16:
        for value in (np.nan, np.inf, -np.inf):
            row = np.ones((1, 256), np.float32)
            row[0, 77] = value
            assert quantized(row, kind) is None


def relative_error(values, kind):
    back = gguf.quants.dequantize(quantized(values, kind).reshape(len(values), -1), kind)
    return np.sqrt(((back - values).astype(np.float64) ** 2).mean() / (values.astype(np.float64) ** 2).mean())


def test_q4_k_errs_little():
    """RMS error of normal weights: 0.0694 of their size; ggml's own quantiser gives 0.0712 on the same weights (outside the
    tests: ggml_quantize_chunk of llama.cpp), Q4_1 0.0781, Q4_0 0.0857."""
    values = rows("normal", np.random.default_rng(5), 400, 1024)
    error = relative_error(values, T.Q4_K)
    print(f"Q4_K {error:.5f}, Q4_0 {relative_error(values, T.Q4_0):.5f}, Q4_1 {relative_error(values, T.Q4_1):.5f}")
    assert error < 0.07
    assert error < relative_error(values, T.Q4_1)


@pytest.mark.parametrize("what", ["heavy tails", "ties", "small", "sparse"])
def test_q4_k_of_uneven_weights(what):
    """All weights are within one step of their run's scale; zeros and blocks of one value come back."""
    values = rows(what, np.random.default_rng(6))
    back = gguf.quants.dequantize(quantized(values, T.Q4_K).reshape(len(values), -1), T.Q4_K)
    runs, got = values.reshape(-1, 32), back.reshape(-1, 32)
    whole = np.abs(values).max(axis=1, keepdims=True).repeat(8, axis=0).reshape(-1, 1)
    reach = np.maximum(runs.max(axis=1), 0) - np.minimum(runs.min(axis=1), 0)
    steps = 2**-25 * (63 * 15 + 63)  # where f16 has d and dmin in steps of 2^-24
    assert (np.abs(got - runs) <= reach[:, None] / 15 + whole / 63 + steps).all()
    assert (got[(runs == 0).all(axis=1)] == 0).all()
