"""Each family's small random model (tests/golden/families) by the engine, against what the family's own code answered:
from the published safetensors folder and from a GGUF file that PyPI `gguf` writes.

Bounds, of the largest |logit| of a position. Both sides keep fp32 values: torch sums in fp32 over at most some hundred
terms, the exact engine in fp64. golden.json's `rounding` says what fp32 costs torch itself (up to 3e-6); 2e-5 leaves
room for its opposite sign and for other orders of summation. The best kernels that multiply activations as they are sum
in fp32 too: 5e-5. Greedy tokens lead by 3e-3 at least, so that both must choose them all. Where activations are rounded
to bf16: 0.1 as for other random models, and only without experts, whose choice a rounding may turn.

The models and the files beside them are made by tests/golden/families/make.py, which README.md there explains."""

import functools
import json
import os
import subprocess

import numpy as np
import pytest
from engine_program import SOURCE, ask, ids
from families_gguf import convert

MODELS = SOURCE / "tests" / "golden" / "families"
TOOL = os.path.join(os.environ["ZH_BINARY_DIR"], "tests", "families_tool")
NAMES = sorted(folder.parent.name for folder in MODELS.glob("*/golden.json"))
BOUND = {"exact": 2e-5, "whole": 5e-5, "fast": 0.1}
ISA = {"exact": ("exact", "ref"), "whole": ("fast", "avx512"), "fast": ("fast", None)}
BOTH = ("safetensors", "gguf")

# What the engine does not run yet, by form. Take a name out as soon as its test passes: a form that stands here and
# passes fails.
NOT_YET = {}


@functools.cache
def golden(name):
    said = json.loads((MODELS / name / "golden.json").read_text())
    logits = np.load(MODELS / name / "logits.npy")
    for case in said["cases"]:
        case["logits"] = logits[case["first_row"] : case["first_row"] + len(case["positions"])]
    return said


def forms_of(name):
    """MLA has two forms in GGUF."""
    return golden(name)["forms"] + (["gguf, older"] if name.startswith("deepseek") else [])


@pytest.fixture(scope="session")
def forms(tmp_path_factory):
    """The model in a form; GGUF files are written once."""

    @functools.cache
    def of(name, form):
        if form == "safetensors":
            return MODELS / name
        return convert(MODELS / name, tmp_path_factory.mktemp("gguf") / f"{name}.gguf", "older" in form)

    return of


def has_experts(name):
    return any("expert" in key for key in json.loads((MODELS / name / "config.json").read_text()))


def compute(path, way, step, context, prompts, vocab):
    """Logits of every token of prompts computed as one ragged batch, `step` tokens of each at a time (0: all)."""
    precision, isa = ISA[way]
    done = subprocess.run(
        [TOOL, path, precision, str(step), str(context), str(1 + (step != 1)), *map(ids, prompts)],
        capture_output=True, timeout=120, env=os.environ | ({"ZH_CPU": isa} if isa else {}),
    )
    assert done.returncode == 0, done.stderr.decode()
    values = np.frombuffer(done.stdout, np.float32).reshape(-1, vocab)
    return np.split(values, np.cumsum([len(p) for p in prompts])[:-1])


def compare(path, name, way, step):
    """All cases of a context at once: logits, and the greedy tokens, each fed as if the engine had chosen it."""
    worst = 0.0
    said = golden(name)
    for context in {case["context"] for case in said["cases"]}:
        cases = [case for case in said["cases"] if case["context"] == context]
        fed = [case["tokens"] + case["greedy"][:-1] for case in cases]
        held = context or max(map(len, fed))
        for case, logits in zip(cases, compute(path, way, step, held, fed, cases[0]["logits"].shape[1])):
            expected = case["logits"]
            error = np.abs(logits[case["positions"]] - expected).max(axis=-1) / np.abs(expected).max(axis=-1)
            worst = max(worst, error.max())
            assert error.max() <= BOUND[way], (case["name"], dict(zip(case["positions"], error.tolist())))
            if way != "fast":
                assert logits[len(case["tokens"]) - 1 :].argmax(axis=-1).tolist() == case["greedy"], case["name"]
    print(f"{name} {path.suffix or 'folder'} {way}, {step or 'all'} at a time: {worst:.1e}")


def attempt(name, form, check):
    """A failure of what is not here yet is expected, its success is not."""
    if form.removesuffix(", older") not in NOT_YET.get(name, ()):
        return check()
    try:
        check()
    except AssertionError as error:
        pytest.skip(f"not yet from {form}: {str(error)[:100]}")
    pytest.fail(f"{name} runs from {form} now: take it out of NOT_YET")


# What the self-check must have seen beyond the operators that all have.
OPERATORS = {
    "qwen3": {"q norm", "k norm"}, "hunyuan-dense": {"q norm", "k norm"}, "gemma3": {"q norm", "k norm", "gelu"},
    "gemma2": {"attention post norm", "ffn post norm", "gelu"}, "glm4": {"attention post norm", "ffn post norm"},
}


@pytest.mark.parametrize("name", [name for name in NAMES if "safetensors" not in NOT_YET.get(name, ())])
def test_every_operator_is_held_against_its_definition(name):
    for case in golden(name)["cases"]:
        for way in ("exact", "whole", "fast"):
            precision, isa = ISA[way]
            held = case["context"] or len(case["tokens"])
            for step in (0, 1):
                done = subprocess.run(
                    [TOOL, MODELS / name, precision + "+check", str(step), str(held), "2", ids(case["tokens"])],
                    capture_output=True, timeout=120, env=os.environ | ({"ZH_CPU": isa} if isa else {}),
                )
                assert done.returncode == 0, done.stderr.decode()
                checks = json.loads(done.stderr)
                assert OPERATORS.get(name, set()) < {check["operator"] for check in checks}
                nearest = max((c["error"] / c["bound"] for c in checks if c["bound"] and "residual" not in c["operator"]))
                print(f"{name} {way} {step}: {nearest:.2f} of a bound")


@pytest.mark.parametrize("name, form", [(name, form) for name in NAMES for form in forms_of(name)])
def test_family(name, form, forms):
    def check():
        path = forms(name, form)
        compare(path, name, "exact", 0)  # each prompt at once
        compare(path, name, "whole", 0)
        compare(path, name, "whole", 1)  # token by token, all sequences a step
        compare(path, name, "exact", 7)  # pieces, which cross windows and end unevenly
        if not has_experts(name):
            compare(path, name, "fast", 0)
        case = golden(name)["cases"][0]  # and as a person would ask
        asked = ask("generate", path, "--tokens", ids(case["tokens"]), "--max-new", len(case["greedy"]), way="exact")
        assert case["context"] or asked["tokens"] == case["greedy"]

    attempt(name, form, check)


def test_every_family_says_where_it_comes_from():
    for name in NAMES:
        said = golden(name)
        assert said["rounding"] <= BOUND["exact"] / 3 and said["cache_error"] <= BOUND["exact"] / 2
        assert set(said["forms"]) <= set(BOTH)
        assert min(case["lead"] for case in said["cases"]) >= 3e-3
        assert max(len(case["tokens"]) for case in said["cases"]) > 32
