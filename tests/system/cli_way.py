"""The whole way as a person goes it: run, show, evaluate, report, verify, and the lines quickstart ends with."""
import json
import os
import pathlib
import resource
import subprocess
import sys

import pytest

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
SUMMARY = os.path.join(os.environ["ZH_SOURCE_DIR"], "scripts", "summary")
SUITE = """suite: way
summary: {zh: 测试, en: for a test}
seed: 7
models: [zh-0.1b]
peaks: [compute]
steps:
  - step: compute
    workload: compute
    deadline: 60 s
    warmup: 0
    repeats: 3
    parameters: {milliseconds: 10}
  - step: decode
    workload: decode
    deadline: 120 s
    warmup: 0
    repeats: 2
    parameters: {prompt: 4, tokens: 4}
"""


def run(*words):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def way(tmp_path_factory):
    folder = tmp_path_factory.mktemp("way")
    (folder / "way.yaml").write_text(SUITE)
    for words in ([ZHIHENG, "run", folder / "way.yaml", "--out", folder / "bundle"],
                  [ZHIHENG, "evaluate", folder / "bundle", "--policy", "songjiang-2025-draft", "--out",
                   folder / "evaluation.json"],
                  [ZHIHENG, "report", folder / "evaluation.json", "--out", folder / "report", "--no-pdf"]):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    return folder


def test_show_quotes_the_bundle(way):
    document = json.loads(run(ZHIHENG, "show", way / "bundle", "--json").stdout)
    lines = (way / "bundle" / "measurements.jsonl").read_text().splitlines()
    assert document["measurements"] == [json.loads(line) for line in lines]
    assert document["run"] == json.loads((way / "bundle" / "run.json").read_text())
    table = run(ZHIHENG, "show", way / "bundle").stdout
    assert "decode@zh-0.1b/decode_rate" in table and "compute/fp32_fma_all_cores" in table


def test_bundle_and_report_verify(way):
    for path in (way / "bundle", way / "report"):
        done = run(ZHIHENG, "verify", path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("limit", [0, 1000, 20000])
@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_limit_on_the_size_of_files_is_said_and_leaves_nothing(way, tmp_path, command, limit):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    words = {"evaluate": ["evaluate", way / "bundle", "--policy", "songjiang-2025-draft", "--out", tmp_path / "e.json"],
             "report": ["report", way / "evaluation.json", "--out", tmp_path / "report"]}[command]
    done = subprocess.run([ZHIHENG, *map(str, words)], capture_output=True, text=True, preexec_fn=small_files)
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "too large" in done.stderr.lower(), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_summary_names_machine_models_verdict_and_report(way):
    done = run(sys.executable, SUMMARY, way / "bundle", way / "evaluation.json", way / "report")
    assert done.returncode == 0, done.stderr
    rate = next(m for m in map(json.loads, (way / "bundle" / "measurements.jsonl").read_text().splitlines())
                if m["metric"] == "decode_rate")
    assert f"writes {rate['value']:.4g} token/s" in done.stdout
    evaluation = json.loads((way / "evaluation.json").read_text())
    assert f"{evaluation['models'][0]['parameters']['unique']:,} parameters" in done.stdout
    assert evaluation["summary"]["verdict"] in done.stdout and str(way / "report") in done.stdout
    assert 8 <= len(done.stdout.splitlines()) <= 16


def test_one_changed_byte_is_found(way, tmp_path):
    import shutil
    copy = pathlib.Path(shutil.copytree(way / "bundle", tmp_path / "bundle"))
    text = (copy / "measurements.jsonl").read_text()
    (copy / "measurements.jsonl").write_text(text.replace('"valid":true', '"valid":tru ', 1))
    done = run(ZHIHENG, "verify", copy)
    assert done.returncode == 1 and "measurements.jsonl" in done.stderr
    refused = run(ZHIHENG, "evaluate", copy, "--policy", "songjiang-2025-draft", "--out", tmp_path / "e.json")
    assert refused.returncode == 1 and not (tmp_path / "e.json").exists()
