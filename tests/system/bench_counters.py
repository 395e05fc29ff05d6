"""The engine's counters cost less than one per cent of a decode step: marks a step times what a mark costs, over the
fastest step. (The ratio of steps with and without counters says the same on a quiet machine; counter_tool prints it.)"""
import json
import os
import pathlib
import subprocess

import pytest

TOOL = os.path.join(os.environ["ZH_BINARY_DIR"], "tests", "counter_tool")
SMOLLM2 = pathlib.Path(os.environ["ZH_SOURCE_DIR"]) / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize("threads", [1, 2])
def test_counting_costs_less_than_one_per_cent(threads):
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip("fewer CPUs")
    model = str(SMOLLM2) if SMOLLM2.exists() else "zh-0.1b"
    done = subprocess.run([TOOL, model, str(threads), "10"], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    layers = 30 if SMOLLM2.exists() else 10
    assert found["marks"] > 10 * layers  # they are really on
    assert 0 < found["share"] < 0.01, found
