"""Calls `zhiheng model …` and compares its logits with the float64 oracle's."""

import json
import os
import pathlib
import subprocess

import numpy as np
from llama_numpy import logsumexp

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
PROGRAM = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "bin" / "zhiheng"


# Ways to compute, and how to ask for them. whole: the best kernels that multiply activations as they are; fast: the
# best ones there are, which round them to bf16 or bytes on CPUs with tiles.
WAYS = {"exact": ("exact", None), "whole": ("fast", "avx512"), "fast": ("fast", None)}


def probe_suite(workload, parameters, seed=7):
    """A suite of one step of a model, repeated twice."""
    return f"""suite: probe
summary: {{zh: 试验, en: a probe}}
seed: {seed}
steps:
  - step: {workload}
    workload: {workload}
    deadline: 60 s
    warmup: 1
    repeats: 2
    parameters: {{{parameters}}}
"""


def run(*words, isa=None):
    environment = os.environ | ({"ZH_CPU": isa} if isa else {})
    return subprocess.run(
        [PROGRAM, "model", *map(str, words)], capture_output=True, text=True, timeout=300, env=environment
    )


def ask(*words, way=None):
    precision, isa = WAYS[way] if way else (None, None)
    asked = ["--precision", precision] if way else []
    if precision == "fast" and words[0] != "tokenize":
        asked += ["--kv", "f32"]  # what keys and values in fewer bits cost is another question
    done = run(*words, *asked, "--json", isa=isa)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ids(tokens):
    return ",".join(map(str, tokens))


def largest_error(positions, expected):
    """The largest error of any logit shown, log-sum or top-5 logit, relative to the largest |logit| of its position."""
    worst = 0.0
    for entry in positions:
        logits = expected[entry["position"]]
        scale = np.abs(logits).max()
        shown = np.abs(np.array(entry["logits"]) - logits[: len(entry["logits"])])
        top = [abs(value - logits[i]) for i, value in entry["top"]]
        worst = max(worst, shown.max() / scale, max(top) / scale, abs(entry["logsumexp"] - logsumexp(logits)) / scale)
    return worst


def check_choices(positions, expected, bound):
    """The largest five and their order, where the oracle's are further apart than the bound: the token in each place has
    a logit that the oracle's in that place cannot be told from."""
    for entry in positions:
        logits = expected[entry["position"]]
        largest = -np.sort(-np.partition(logits, -len(entry["top"]))[-len(entry["top"]) :])
        scale = np.abs(logits).max()
        assert entry["argmax"] == entry["top"][0][0]
        assert [v for _, v in entry["top"]] == sorted((v for _, v in entry["top"]), reverse=True)
        for place, (token, _) in enumerate(entry["top"]):
            assert abs(logits[token] - largest[place]) <= 2 * bound * scale, (entry["position"], place, token)
