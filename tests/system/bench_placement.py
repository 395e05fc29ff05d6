"""Where the ranks of a run are placed on this machine: CPUs of their own as long as there are any, nothing pinned and
nobody spinning where there are not."""
import json
import os
import subprocess
import sys

import pytest
from bench_tensor_parallel import LACKING
from harness import SOURCE, check_whole, run, write_suite

pytestmark = pytest.mark.skipif(LACKING, reason="no mpirun or no MPI module here: one rank is all there is")
CPUS = sorted(os.sched_getaffinity(0))

SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
models: [zh-0.1b]
steps:
  - step: decode
    workload: decode
    deadline: 200 s
    warmup: 0
    repeats: 2
    parameters: {prompt: 4, tokens: 6, parallel: tensor}
"""


def measure(tmp_path, ranks, threads, **more):
    out = tmp_path / f"bundle-{ranks}-{threads}"
    done = run(write_suite(tmp_path, SUITE), "--out", out, "--ranks", ranks, "--threads", threads, timeout=400, **more)
    assert done.returncode == 0, done.stderr
    run_json, lines = check_whole(out)
    step = next(step for step in run_json["steps"] if step["model"])
    return step["placement"], next(line["value"] for line in lines if line["metric"] == "decode_rate")


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU")
def test_ranks_have_cpus_of_their_own(tmp_path):
    placement, _ = measure(tmp_path, 2, 1)
    assert [rank["pinned"] for rank in placement] == [True, True]
    cpus = [cpu for rank in placement for cpu in rank["cpus"]]
    assert len(cpus) == len(set(cpus)) == 2 and set(cpus) <= set(CPUS)
    assert all(isinstance(node, int) for rank in placement for node in rank["numa_nodes"])


def test_more_threads_than_cpus_are_not_pinned(tmp_path):
    placement, _ = measure(tmp_path, 2, len(CPUS))
    assert [(rank["pinned"], rank["cpus"], rank["threads"]) for rank in placement] == [(False, [], len(CPUS))] * 2


def test_ranks_that_share_a_cpu_do_not_wait_for_ever(tmp_path):
    """Two ranks that meet some 50 times a token on one CPU: a rank that spun would hold the other up each time."""
    def confine():
        os.sched_setaffinity(0, {CPUS[0]})

    placement, alone = measure(tmp_path, 1, 1, preexec_fn=confine)
    assert [rank["cpus"] for rank in placement] == [[CPUS[0]]]
    placement, shared = measure(tmp_path, 2, 1, preexec_fn=confine)
    assert [rank["pinned"] for rank in placement] == [False, False]
    print(alone, shared)
    assert shared > alone / 4


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU")
def test_bench_ranks_writes_down_what_it_measured(tmp_path):
    out = tmp_path / "ranks.json"
    done = subprocess.run([sys.executable, SOURCE / "scripts" / "bench-ranks", "zh-0.1b", "--rounds", "2", "--tokens", "4",
                           "--out", out], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert (found["ranks"], found["threads"], found["rounds"], found["parallel"]) == (2, 2, 2, "tensor")
    [result] = found["results"]
    ratios = [many / one for one, many in zip(result["rates"]["1"], result["rates"]["2"])]
    assert result["ratio"]["smallest"] == min(ratios) and len(ratios) == 2
    assert result["ratio"]["median"] == pytest.approx(sum(ratios) / 2)
    assert len(set(sum(result["cpus"]["2"], []))) == 2
