"""Workloads that several ranks' GPUs measure together, on the shim: collectives of both kinds, pairs of copies; wrong
content, ranks without a GPU and ranks that die are noticed."""
import json
import os
import pathlib
import shutil
import signal

import jsonschema
import pytest
from bench_faults import processes, workers
from harness import SOURCE, check_whole, kill, run, start, wait_for, write_suite

BUILD = pathlib.Path(os.environ["ZH_BINARY_DIR"])
LACKING = shutil.which("mpirun") is None or not (BUILD / "lib" / "zhiheng" / "libzhiheng-mpi.so").exists()
pytestmark = pytest.mark.skipif(LACKING, reason="no mpirun or no MPI module here: one rank is all there is")

SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: together
    workload: gpu-collective
    deadline: 60 s
    warmup: 0
    repeats: %d
    parameters: {bytes: [%d], latency_bytes: [1024], count: 3, latency_count: 2, stage_kib: 64, patience_s: 20}
  - step: copies
    workload: gpu-copy
    deadline: 60 s
    warmup: 0
    repeats: 1
    parameters: {kib: 64, count: 2, warmups: 1, directions: [d2d, peer_write, peer_read, peer_write_bidirectional,
      peer_read_bidirectional]}
"""
OPERATIONS = ["all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all", "sendrecv"]


def environment(**more):
    return {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1", "ZH_DEVICE_MODULE": str(BUILD / "lib" / "zhiheng" / "libzhiheng-shim.so"),
            "ZH_NVML": "/nowhere/libnvidia-ml.so", "ZH_NCCL": str(BUILD / "tests" / "fake_nccl.so"), "ZH_SHIM_DEVICES": "3",
            **more}


def measure(folder, *words, code=0, repeats=1, size=6000, **more):
    suite = write_suite(folder, SUITE % (repeats, size))
    done = run(suite, "--out", folder / "bundle", *words, env=environment(**more))
    assert done.returncode == code, done.stderr
    bundle, lines = check_whole(folder / "bundle")
    return {step["step"]: step for step in bundle["steps"]}, {line["step"] + "/" + line["metric"]: line for line in lines}


def test_all_collectives_have_their_figures(tmp_path):
    steps, lines = measure(tmp_path, "--ranks", "3", repeats=2)
    assert steps["together"]["status"] == "done", steps["together"]
    wanted = {f"together/{kind}_{name}_{figure}" for kind in ("peer", "nccl") for name in OPERATIONS
              for figure in ("algbw_6000B", "busbw_6000B", "latency_1024B", "graph_latency_1024B")}
    assert wanted <= set(lines)
    assert steps["together"]["facts"]["groups"] == {"peer": "own, over peer memory", "nccl": "NCCL 2.27.5"}
    jsonschema.Draft202012Validator(json.loads((SOURCE / "docs" / "schemas" / "run.schema.json").read_text())).validate(
        json.loads((tmp_path / "bundle" / "run.json").read_text()))

    def samples(name):
        return json.loads((tmp_path / "bundle" / "samples" / f"together.{name}.json").read_text())
    factors = {"all_reduce": 4 / 3, "all_gather": 2 / 3, "reduce_scatter": 2 / 3, "all_to_all": 2 / 3, "broadcast": 1,
               "sendrecv": 1}
    for name, factor in factors.items():  # of the same times; S is rounded down to three parts of 16 bytes
        bus, whole = samples(f"peer_{name}_busbw_6000B"), samples(f"peer_{name}_algbw_6000B")
        assert bus["samples"] == whole["samples"]
        assert whole["work"] == 3 * 6000 // 48 * 48 // 3 * 3 if factor == 2 / 3 else whole["work"] == 3 * 6000
        assert bus["work"] == pytest.approx(whole["work"] * factor)


def test_pairs_of_all_ranks_are_the_matrix(tmp_path):
    steps, lines = measure(tmp_path, "--ranks", "2")
    pairs = {(i, j) for i in range(2) for j in range(3) if i != j}
    wanted = {f"copies/{way}_{i}_{j}" for i, j in pairs
              for way in ("peer_write", "peer_read", "peer_write_bidirectional", "peer_read_bidirectional")}
    assert {name for name in lines if name.startswith("copies/peer")} == wanted
    work = {name: json.loads((tmp_path / "bundle" / "samples" / f"copies.{name}.json").read_text())["work"]
            for name in ("d2d", "peer_write_0_1")}
    assert work == {"d2d": 2 * 2 * 65536, "peer_write_0_1": 2 * 65536}


def reason(folder, *words, **more):
    steps, lines = measure(folder, *words, **more)
    assert not [name for name in lines if name.startswith("together/")]
    return steps["together"]["status"], steps["together"]["reason"]


@pytest.mark.parametrize("words, more, said", [
    ([], {}, "at least two ranks"),
    (["--ranks", "2"], {"ZH_SHIM_DEVICES": "1"}, "would share one GPU"),
    (["--ranks", "2"], {"ZH_SHIM_PEERS": "0", "ZH_NCCL": "/nowhere/libnccl.so"}, "use NCCL; "),
])
def test_what_is_lacking_skips_the_step_in_one_sentence(tmp_path, words, more, said):
    status, why = reason(tmp_path, *words, **more)
    assert status == "skipped" and said in why and "\n" not in why


def test_without_nccl_own_kernels_are_measured(tmp_path):
    steps, lines = measure(tmp_path, "--ranks", "2", ZH_NCCL="/nowhere/libnccl.so")
    assert "is not found" in steps["together"]["facts"]["groups"]["nccl"]
    assert "together/peer_all_reduce_algbw_6000B" in lines and not [name for name in lines if "/nccl_" in name]


@pytest.mark.parametrize("words, more, kind", [
    (["--inject", "fault=activation"], {}, "peer"),
    ([], {"ZH_FAKE_NCCL": "wrong", "ZH_SHIM_PEERS": "0"}, "nccl"),
])
def test_wrong_content_of_a_rank_is_no_figure(tmp_path, words, more, kind):
    status, why = reason(tmp_path, "--ranks", "2", *words, code=1, **more)
    assert status == "failed" and f"by {kind}" in why and "bound 0" in why


def test_a_rank_that_dies_ends_the_step(tmp_path):
    suite = write_suite(tmp_path, SUITE % (500, 200000))
    staging = tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", tmp_path / "bundle", "--ranks", "2", env=environment())

    def computing():
        """Ranks that have mapped what they share, their own and the other's."""
        found = workers(staging, guarded=True)
        try:
            shared = [pathlib.Path(f"/proc/{pid}/maps").read_text().count("memfd:zh-shim") for pid in found]
        except OSError:
            return []
        return found if len(found) == 2 and min(shared) >= 2 else []
    kill(wait_for(computing, 60, "ranks that share memory")[-1], signal.SIGKILL)
    _, stderr = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 1, stderr
    assert not processes(str(staging))
    bundle, _ = check_whole(tmp_path / "bundle")
    assert {step["step"]: step["status"] for step in bundle["steps"]}["together"] == "lost"
