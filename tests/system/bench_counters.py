"""Where the time goes and what memory is held, in real runs; and how often the engine's counters read the clock."""
import json
import os
import pathlib
import subprocess
import sys

import pytest
from harness import ZHIHENG, check_whole, run, write_suite

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracle"))
from test_engine_types import T, write_model  # noqa: E402

SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: memory
    workload: memory
    deadline: 120 s
    repeats: 2
    parameters: {operations: [read], scopes: [all_cores]}
  - step: compute
    workload: compute
    deadline: 60 s
    repeats: 2
    parameters: {milliseconds: 20}
  - step: prefill
    workload: prefill
    deadline: 60 s
    repeats: 4
    parameters: {prompt: 40, batch: 2}
  - step: decode
    workload: decode
    deadline: 60 s
    repeats: 3
    parameters: {prompt: 8, tokens: 20, batch: 3}
"""

TOOL = os.path.join(os.environ["ZH_BINARY_DIR"], "tests", "counter_tool")
LAYERS = 12  # of zh-0.1b


@pytest.mark.parametrize("threads", [1, 2])
def test_a_thread_marks_each_stage_of_a_layer_once(threads):
    """What a mark costs is read from the clock by counter_tool (docs/metrics.md); how many are made is known before."""
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip("fewer CPUs")
    done = subprocess.run([TOOL, "zh-0.1b", str(threads), "1"], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert 10 * LAYERS < json.loads(done.stdout)["marks"] <= 20 * LAYERS


def test_a_run_tells_floors_stages_and_memory(tmp_path):
    bundle = tmp_path / "bundle"
    model = write_model(tmp_path / "m.gguf", T.Q8_0)
    done = run(write_suite(tmp_path, SUITE), "--model", model, "--out", bundle, timeout=300)
    assert done.returncode == 0, done.stderr
    report, lines = check_whole(bundle)
    shown = json.loads(subprocess.run([ZHIHENG, "show", str(bundle), "--json"], capture_output=True, text=True).stdout)
    for workload, metric, work in [("prefill", "prefill_rate", 80), ("decode", "decode_rate", 60)]:
        step = next(s for s in report["steps"] if s["workload"] == workload)
        time, memory = step["facts"]["time"], step["facts"]["memory"]
        samples = json.loads(next((bundle / "samples").glob(f"*{metric}.json")).read_text())["samples"]
        assert time["metric"] == metric and time["work"] == work
        assert time["seconds"] == pytest.approx(sorted(samples)[(len(samples) - 1) // 2] * 1e-9)
        assert sum(time["stages"].values()) == pytest.approx(time["seconds"])
        assert all(time["stages"][stage] > 0 for stage in ("products", "attention", "rows", "choice", "check"))
        assert memory["passed"] and memory["formula"]["total"] == sum(
            memory["formula"][part] for part in ("weights", "kv", "activations"))
        assert next(check for check in step["checks"] if check["check"] == "memory")["passed"]
        line = next(line for line in lines if line["metric"] == metric)
        assert {limit["name"].split("/")[0] for limit in line["limits"]} == {"memory", "compute"}
        assert line["peak"] == max(line["limits"], key=lambda limit: limit["fraction"])
        entry = next(entry for entry in shown["times"] if entry["metric"] == metric)
        assert [floor["share"] for floor in entry["floors"]] == pytest.approx(
            [limit["fraction"] * time["work"] / time["seconds"] / line["value"] for limit in line["limits"]], rel=1e-6)
