"""zhiheng audit --live: the passage, the document, and models that cannot be run."""
import json
import os
import pathlib
import subprocess
import sys

import jsonschema
import pytest

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
ZHIHENG = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "bin" / "zhiheng"
sys.path.insert(0, str(SOURCE / "tests" / "oracle"))
from test_engine_types import T, write_model  # noqa: E402


def audit(model, *words):
    return subprocess.run([ZHIHENG, "audit", model, *map(str, words)], capture_output=True, text=True, timeout=300)


def document(model, *words):
    done = audit(model, "--json", *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    schema = json.loads((SOURCE / "docs/schemas/audit.schema.json").read_text())
    jsonschema.Draft202012Validator({**schema, "$ref": "#/$defs/model", "type": "object", "required": [],
                                     "properties": {}, "additionalProperties": True}).validate(found)
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("live") / "m.gguf", T.Q8_0)


def test_the_document(model):
    found = document(model, "--live", "--probes", 40, "--seed", 7)
    live = found["live"]
    assert live["measured"] and live["probes"] == 40 and live["changed"] <= 40
    assert live["population"] == found["parameters"]["stored"]
    assert live["seed"] == "0x0000000000000007"
    assert sum(s["probes"] for s in live["strata"]) == 40
    assert live["changed"] + live["below_floor"] + live["unchanged"] + live["all_zero"] + live["stuck"] == 40
    assert live["experts"] is None and live["not_reached"] == 0
    assert len(live["not_live"]) == 40 - live["changed"]
    if live["changed"] == 40:
        assert live["lower_bound_95"] == pytest.approx(0.05 ** (1 / 40))
    again = document(model, "--live", "--probes", 40, "--seed", 7)["live"]
    del again["seconds"], live["seconds"]
    assert again == live


def test_without_the_option_nothing_is_run(model):
    assert "live" not in document(model)


def test_the_passage(model):
    done = audit(model, "--live", "--probes", 25)
    assert done.returncode == 0
    assert "of 25 probes changed the logits" in done.stdout
    assert "parameters change the output" in done.stdout


def test_a_standard_model():
    live = document("zh-0.1b", "--live", "--probes", 6, "--no-scan")["live"]
    assert live["measured"] and {text["name"] for text in live["texts"]} == {"drawn tokens"}


FAMILIES = SOURCE / "tests" / "golden" / "families"


@pytest.mark.parametrize("name", ["qwen3-moe", "deepseek-v2"])
def test_experts_are_told(name):
    found = document(FAMILIES / name, "--live", "--probes", 400, "--seed", 3)
    live = found["live"]
    assert live["measured"] and live["population"] == found["parameters"]["stored"]
    counts = ("changed", "below_floor", "unchanged", "all_zero", "stuck", "not_reached")
    assert sum(live[key] for key in counts) == 400
    experts = live["experts"]
    assert 0 < experts["reached_by_texts"] <= experts["reached"] <= experts["all"]
    assert live["not_reached"] == 0 or experts["reached"] < experts["all"]
    done = audit(FAMILIES / name, "--live", "--probes", 40)
    assert f"experts: tokens were sent to {experts['reached']} of {experts['all']}" in done.stdout


def test_a_model_that_cannot_be_run_is_audited_all_the_same(model, tmp_path):
    other = tmp_path / "other.gguf"
    data = model.read_bytes()
    at = data.index(b"general.architecture") + len(b"general.architecture") + 4 + 8
    assert data[at:at + 5] == b"llama"
    other.write_bytes(data[:at] + b"lhama" + data[at + 5:])
    found = document(other, "--live")
    assert found["live"]["measured"] is False and "lhama" in found["live"]["reason"]
    assert found["parameters"]["stored"] > 0
    done = audit(other, "--live")
    assert done.returncode == 0 and "not measured: " in done.stdout


@pytest.mark.parametrize("words", [["--probes", "0"], ["--probes", "many"], ["--seed", "-1"], ["--seed", "1x"]])
def test_bad_words_are_refused(model, words):
    done = audit(model, *words)
    assert done.returncode == 2 and words[0] in done.stderr
