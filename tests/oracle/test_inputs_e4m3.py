"""Inputs of products in E4M3: bit for bit what numpy makes of them by definition, and what they cost SmolLM2.

`ZH_SOURCE_DIR=. ZH_BINARY_DIR=build python tests/oracle/test_inputs_e4m3.py` measures the cost on the texts of the suite, in
some minutes (docs/performance.md has what it said)."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from engine_program import SOURCE, ask
from inputs_e4m3 import Fp8Llama, e4m3, inputs
from llama_numpy import logsumexp

TOOL = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "tests" / "round_stdin"
MODEL = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
TEXTS = ("measuring-en.txt", "measuring-zh.txt")


def rounded(x, rounding="e4m3-inputs"):
    done = subprocess.run([TOOL, rounding, str(x.shape[-1])], input=x.tobytes(), stdout=subprocess.PIPE)
    assert done.returncode == 0
    return np.frombuffer(done.stdout, np.float32).reshape(x.shape)


def rows(what, rng, columns):
    x = rng.standard_normal((40, columns)).astype(np.float32)
    if what == "all sizes":
        x *= np.exp2(rng.integers(-30, 12, x.shape)).astype(np.float32)
    if what == "ties":  # half way between two numbers, where the largest makes the scale 1
        x = (rng.integers(1, 32, x.shape) * np.exp2(rng.integers(-12, 4, x.shape))).astype(np.float32)
        x[:, ::64] = 448
    if what == "next to nothing":  # scales that are subnormal, or zero
        x *= np.float32(1e-40)
    if what == "zeros":
        x[rng.random(x.shape) < 0.99] = 0
    return x


@pytest.mark.parametrize("columns", [1, 100, 128, 576])
@pytest.mark.parametrize("what", ["normal", "all sizes", "ties", "next to nothing", "zeros"])
def test_inputs_are_those_of_the_definition(what, columns):
    x = rows(what, np.random.default_rng(columns), columns)
    assert np.array_equal(rounded(x), inputs(x))


def test_numbers_that_are_none_stay_none():
    x = np.ones((1, 200), np.float32)
    x[0, 7] = np.nan
    got = rounded(x)
    assert np.isnan(got[0, :128]).all() and np.array_equal(got[0, 128:], inputs(x[0, 128:]))


def test_every_number_of_e4m3_is_itself():
    sizes = [n * 2.0**-9 for n in range(8)] + [(8 + m) * 2.0 ** (e - 10) for e in range(1, 16) for m in range(8)][:-1]
    every = np.array(sizes, np.float32)
    assert every[-1] == 448 and len(every) == 127
    assert np.array_equal(e4m3(every), every)
    middles = (every[1:] + every[:-1]) / 2
    assert np.array_equal(e4m3(middles), np.where(np.arange(126) % 2 == 0, every[:-1], every[1:]))  # the even ones


def costs(plain, tokens, window):
    """Of inputs in E4M3: the change of the mean of -ln p with its standard error, the divergence from the distribution
    without, and the share of positions whose likeliest token is the same."""
    change, divergence, same = [], [], []
    for at in range(0, len(tokens), window):
        part = tokens[at : at + window]
        if len(part) < 2:
            continue
        logits = []
        for how in (None, inputs):
            plain.round_inputs = how
            plain.reset()
            logits.append(plain.forward(part[:-1]))
        p, q = (z - logsumexp(z)[:, None] for z in logits)
        row = np.arange(len(part) - 1)
        change.extend(p[row, part[1:]] - q[row, part[1:]])
        divergence.extend((np.exp(p) * (p - q)).sum(axis=-1))
        same.extend(p.argmax(axis=-1) == q.argmax(axis=-1))
    return {"tokens": len(change), "change": np.mean(change), "error": np.std(change, ddof=1) / len(change) ** 0.5,
            "divergence": np.mean(divergence), "divergence_error": np.std(divergence, ddof=1) / len(change) ** 0.5,
            "same": np.mean(same)}


@pytest.fixture(scope="module")
def plain():
    return Fp8Llama(MODEL)


def tokens_of(path):
    return ask("tokenize", MODEL, "--file", path)["tokens"]


@pytest.mark.parametrize("name, characters", [("measuring-en.txt", 500), ("measuring-zh.txt", 100)])
def test_what_they_cost(name, characters, plain, tmp_path):
    """Measured on the whole texts: see docs/performance.md. Here the divergence alone, which needs few tokens."""
    (tmp_path / name).write_text((SOURCE / "bench" / "suites" / "texts" / name).read_text()[:characters])
    got = costs(plain, tokens_of(tmp_path / name), 64)
    print(f"{name}: {got}")
    assert 0 < got["divergence"] < 0.05


if __name__ == "__main__":
    model = Fp8Llama(MODEL)
    for text in TEXTS:
        got = costs(model, tokens_of(SOURCE / "bench" / "suites" / "texts" / text), 128)
        print(f"{text}: {got['tokens']} tokens, perplexity {100 * (np.exp(got['change']) - 1):+.2f} "
              f"± {100 * got['error']:.2f} %, divergence {1e3 * got['divergence']:.2f} "
              f"± {1e3 * got['divergence_error']:.2f} 10^-3 nat, likeliest token the same {100 * got['same']:.1f} %")
        sys.stdout.flush()
