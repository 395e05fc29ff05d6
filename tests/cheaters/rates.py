"""How often the tests for untrained weights err, by themselves and together: on the corpus' trained matrices and on
random ones of the same shapes and element types."""
import collections
import concurrent.futures
import dataclasses
import functools
import json
import pathlib
import subprocess
import tempfile
import textwrap
import zlib

import numpy as np

import cheats
import honest

TESTS = {"edge": "largest singular value", "row_means": "means of rows", "column_means": "means of columns",
         "row_sizes": "sizes of rows", "column_sizes": "sizes of columns"}
HEADING = "## How often the tests for untrained weights err"
LARGEST, MEAN = 6, 0.8  # evaluator/audit/training.c: departure_max, mean_max
CUT = 50                # portrait.h: a score counts as this much at most in the mean
DRAWS = ("normal, 0.02", "uniform, 0.02", "normal, the tensor's size", "trained values, shuffled")
TRAINED = ("honest: dense, trained", "honest: experts, trained", "honest: packed, trained")


def drawn(rng, model, how):
    """Every matrix of the layers anew."""
    tensors = {place: cheats.FRESH[how](rng, tensor) if place.layer is not None and tensor.ndim > 1 else tensor
               for place, tensor in model.tensors.items()}
    return dataclasses.replace(model, tensors=tensors)


def scores_of(path, binary):
    """[(name, layer, expert, cells, {test: score})] of the matrices inside layers, routers left out."""
    told = subprocess.run([binary / "bin" / "zhiheng", "audit", path, "--explain", "*", "--json"], check=True,
                          capture_output=True, text=True).stdout
    found = []
    for tensor in json.loads(told)["tensors"]:
        for matrix in tensor["matrices"]:
            block = (matrix["values"] or {}).get("block")
            if block is not None and matrix["layer"] is not None and tensor["role"] != "router":
                found.append((matrix["matrix"], matrix["layer"], matrix["expert"], block["rows"] * block["columns"],
                              {test: block["scores"][test] for test in TESTS}))
    return found


@functools.cache
def cases_by_name():
    return {case.name: case for case in honest.cases()}


def measure_one(name, how, binary):
    case, rng = cases_by_name()[name], np.random.default_rng(zlib.crc32(f"{name} | {how}".encode()))
    with tempfile.TemporaryDirectory(prefix="zhiheng-rates-") as folder:
        model = case.carrier.make(rng)
        model = drawn(rng, model, how) if how in DRAWS else model
        return how, scores_of(case.carrier.write(model, pathlib.Path(folder)), binary)


def measure(binary, jobs):
    """[(how, [matrix …])], each carrier once trained and once drawn, the ways of drawing in turn."""
    names = [case.name for case in honest.cases() if case.kind in TRAINED]
    work = [(name, "trained") for name in names] + [(name, DRAWS[i % len(DRAWS)]) for i, name in enumerate(names)]
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(measure_one, *zip(*work), [binary] * len(work)))


def groups_of(matrices):
    """What is judged together, an expert or the rest of a layer: (values looked at, scores)."""
    groups = collections.defaultdict(list)
    for _, layer, expert, cells, scores in matrices:
        groups[layer, expert].append((cells, list(scores.values())))
    return [(sum(cells for cells, _ in group), np.array([scores for _, scores in group], dtype=float))
            for group in groups.values()]


def looks_drawn(scores):
    return bool(scores.max() <= LARGEST and np.minimum(scores, CUT).mean() <= MEAN)


def summary(measured):
    """What the tables show; kept in results/rates.json."""
    kinds = {"trained": [m for how, m in measured if how == "trained"],
             "drawn": [m for how, m in measured if how != "trained"]}
    out = {}
    for kind, models in kinds.items():
        every = [matrix for matrices in models for matrix in matrices]
        groups = [group for matrices in models for group in groups_of(matrices)]
        out[kind] = {"models": len(models), "matrices": len(every), "groups": len(groups),
                     "above": {test: sum(scores[test] > LARGEST for *_, scores in every) for test in TESTS},
                     "alike": sum(max(scores.values()) <= LARGEST for *_, scores in every),
                     "groups_alike": sum(looks_drawn(scores) for _, scores in groups)}
    return out


def share(count, of):
    return f"{100 * count / of:.2f} % ({count:,} of {of:,})"


def document(rates):
    trained, fresh = rates["trained"], rates["drawn"]
    rows = [f"| {words} | {share(trained['matrices'] - trained['above'][test], trained['matrices'])} | "
            f"{share(fresh['above'][test], fresh['matrices'])} |" for test, words in TESTS.items()]
    rows += [f"| all five, one matrix | {share(trained['alike'], trained['matrices'])} | "
             f"{share(fresh['matrices'] - fresh['alike'], fresh['matrices'])} |",
             f"| the rule: all five, a group | {share(trained['groups_alike'], trained['groups'])} | "
             f"{share(fresh['groups'] - fresh['groups_alike'], fresh['groups'])} |"]
    text = (f"`tests/cheaters/measure.py --rates` audited {trained['models']} honest trained models of the corpus, of "
            f"every element type and format, and as many of the same shapes whose layers were drawn anew (normal and "
            f"uniform, in a framework's size and in the trained matrix's own; trained values shuffled). A trained "
            f"matrix on which a test stays at {LARGEST} or below looks drawn to that test: its false alarm. A drawn one "
            f"above {LARGEST} looks trained: its miss. No test is enough by itself; the rule takes all of them, on all "
            f"matrices of a group.")
    return "\n".join([HEADING, "", textwrap.fill(text, 120), "", "| test | trained, looks drawn (false alarm) | drawn, looks "
                      "trained (miss) |", "|---|---|---|", *rows]) + "\n"
