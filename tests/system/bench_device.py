"""Runs on a device, through the module of kernels that is compiled for the host: bundles, certificates that the CPU
checks, faults, and machines without a device."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from bench_certificate import lines_of, put, verify  # noqa: E402
from harness import SOURCE, ZHIHENG, check_manifest, journal, load, run

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracle"))
from test_engine_types import T, write_model  # noqa: E402

SHIM = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "lib" / "zhiheng" / "libzhiheng-shim.so"
HERE = os.environ | {"ZH_DEVICE_MODULE": str(SHIM)}
NOWHERE = os.environ | {"ZH_DEVICE_MODULE": "/nowhere/libnothing.so"}
SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
seed: 7
steps:
  - step: decode
    workload: decode
    deadline: 110 s
    warmup: 0
    repeats: 1
    parameters: {prompt: 4, tokens: 3, batch: 2}
%s"""


def probe(folder, device="    device: gpu\n"):
    path = folder / "probe.yaml"
    path.write_text(SUITE % device)
    return path


@pytest.mark.parametrize("kind", [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q4_K, T.Q5_0, T.Q6_K, T.Q2_K],
                         ids=lambda kind: kind.name)
def test_runs_are_certified_on_the_cpu(tmp_path, kind):
    model = write_model(tmp_path / "model.gguf", kind)
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", "--nonce", "n", env=HERE)
    assert done.returncode == 0, done.stderr
    check_manifest(tmp_path / "bundle")
    step = next(s for s in load(tmp_path / "bundle")[0]["steps"] if s["workload"] == "decode")
    assert step["status"] == "done"
    assert step["facts"]["device"]["kind"] == "gpu" and step["facts"]["device"]["backend"] == "shim"
    assert step["facts"]["kernels"] == "shim"
    checked = subprocess.run([ZHIHENG, "verify", tmp_path / "bundle", "--recompute", "--model", model],
                             capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_a_device_holds_otherwise_is_part_of_the_certificate(tmp_path):
    """Weights of Q6_K become bf16 there: without that word the products are not those of the model."""
    model = write_model(tmp_path / "model.gguf", T.Q6_K)
    assert run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", "--nonce", "n", env=HERE).returncode == 0
    lines = lines_of(tmp_path / "bundle")
    assert lines[0]["held_bf16"] == ["Q6_K"]
    put(tmp_path / "bundle", lines)
    assert verify(tmp_path / "bundle")[0] == 0
    for held in (None, [], 7):
        lines[0]["held_bf16"] = held
        put(tmp_path / "bundle", lines)
        assert verify(tmp_path / "bundle")[0] != 0


@pytest.mark.parametrize("fault", ["weight", "token", "activation", "cache", "stale", "layer", "layers", "swap", "precision"])
def test_faults_on_a_device_are_caught(tmp_path, fault):
    model = write_model(tmp_path / "model.gguf", T.Q8_0)
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", "--inject", f"fault={fault}", env=HERE)
    assert done.returncode == 1, done.stderr
    lines = (tmp_path / "bundle" / "measurements.jsonl").read_text()
    assert "decode_rate" not in lines


def test_without_a_device(tmp_path):
    model = write_model(tmp_path / "model.gguf", T.Q8_0)
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "suite", env=NOWHERE)
    assert done.returncode == 0, done.stderr
    step = next(s for s in load(tmp_path / "suite")[0]["steps"] if s["workload"] == "decode")
    assert step["status"] == "skipped" and "no accelerator is used" in step["reason"]
    for words in [["--device", "gpu"], ["--device", "gpu:1"]]:
        done = run(probe(tmp_path, ""), "--model", model, "--out", tmp_path / "asked", *words, env=NOWHERE)
        assert done.returncode == 3 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    done = run(probe(tmp_path, ""), "--model", model, "--out", tmp_path / "auto", "--device", "auto", env=NOWHERE)
    assert done.returncode == 0, done.stderr
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "cpu", "--device", "cpu", env=NOWHERE)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("launch", [2, 40, 75])
def test_a_device_lost_on_the_way_leaves_a_run_that_goes_on(tmp_path, launch):
    """While weights are laid, in a pass, in a step of the graph: the run stops, says where, and is resumed."""
    model, out = write_model(tmp_path / "model.gguf", T.Q8_0), tmp_path / "bundle"
    done = run(probe(tmp_path), "--model", model, "--out", out, "--nonce", "n", env=HERE | {"ZH_SHIM_FAIL": str(launch)})
    staging = tmp_path / "bundle.partial"
    assert done.returncode == 3 and f"zhiheng run --resume {staging}" in done.stderr, done.stderr
    assert "GPU 0" in done.stderr.strip().splitlines()[-1]
    assert not out.exists()
    stopped = journal(staging)[-1]
    assert stopped["event"] == "stopped" and "GPU 0" in stopped["reason"]
    done = run("--resume", staging, "--nonce", "n", env=HERE)
    assert done.returncode == 0, done.stderr
    check_manifest(out)
    assert "resumed" in [line["event"] for line in journal(out)]
    step = next(s for s in load(out)[0]["steps"] if s["workload"] == "decode")
    assert step["status"] == "done"
    assert subprocess.run([ZHIHENG, "verify", out, "--recompute", "--model", model], timeout=60).returncode == 0


def test_a_kernel_that_fails_is_named_with_operator_layer_and_shape(tmp_path):
    model = write_model(tmp_path / "model.gguf", T.Q8_0)
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle",
               env=HERE | {"ZH_SHIM_FAIL": "30", "CUDA_LAUNCH_BLOCKING": "1"})
    assert done.returncode == 3
    assert re.search(r"\d+ tokens from position \d+ on: .+, \d+ rows of \d+ numbers to \d+: GPU 0: .+ failed in '.+' of layer "
                     r"\d+: uncorrectable ECC error", done.stderr), done.stderr


def test_alibi_is_computed_and_certified(tmp_path):
    """Baichuan's 13 B as GGUF, whose head's rows were divided by their lengths when it was converted."""
    model, fixture = tmp_path / "model.gguf", SOURCE / "tests" / "golden" / "families" / "baichuan2-13b"
    subprocess.run([ZHIHENG, "model", "convert", fixture, model], check=True, capture_output=True, timeout=60)
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", "--nonce", "n", env=HERE)
    assert done.returncode == 0, done.stderr
    step = next(s for s in load(tmp_path / "bundle")[0]["steps"] if s["workload"] == "decode")
    assert step["status"] == "done" and step["facts"]["device"]["kind"] == "gpu"
    checked = subprocess.run([ZHIHENG, "verify", tmp_path / "bundle", "--recompute", "--model", model],
                             capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# One model over the devices of two ranks.
ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
TWO = HERE | ROOT | {"ZH_SHIM_DEVICES": "2"}
FAMILIES = pathlib.Path(__file__).parent.parent / "golden" / "families"
MPI = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "lib" / "zhiheng" / "libzhiheng-mpi.so"
with_ranks = pytest.mark.skipif(shutil.which("mpirun") is None or not MPI.exists(), reason="no mpirun or no MPI module here")


def divided(folder, parallel):
    path = probe(folder)
    path.write_text(path.read_text().replace("batch: 2}", f"batch: 2, parallel: {parallel}}}"))
    return path


def step_of(bundle):
    return next(s for s in load(bundle)[0]["steps"] if s["workload"] == "decode")


@with_ranks
@pytest.mark.parametrize("name, parallel", [("qwen3", "tensor"), ("qwen3", "pipeline"), ("qwen3-moe", "tensor"),
                                            ("deepseek-v3", "tensor")])
def test_one_model_over_two_devices(tmp_path, name, parallel):
    """Tokens of one device's run, and a certificate that the CPU checks."""
    model = FAMILIES / name
    done = run(divided(tmp_path, parallel), "--model", model, "--out", tmp_path / "two", "--ranks", 2, "--threads", 1,
               "--nonce", "n", env=TWO)
    assert done.returncode == 0, done.stderr
    step = step_of(tmp_path / "two")
    facts = step["facts"]
    assert step["status"] == "done" and facts["ranks_of_one_model"] == 2
    assert facts["group"]["parts" if parallel == "tensor" else "stages"]["kind"] == "peer"
    assert [part["gpu"]["index"] for part in facts["parts"]] == [0, 1]
    assert run(probe(tmp_path), "--model", model, "--out", tmp_path / "one", env=HERE).returncode == 0
    one = step_of(tmp_path / "one")["facts"]
    assert facts["first_tokens"] == one["first_tokens"]
    if parallel == "pipeline":
        assert facts["chain_sm3"] == one["chain_sm3"]
    held = {key: sum(part[f"memory_{key}_bytes"] for part in facts["parts"]) for key in ("weights", "kv")}
    assert one["memory_weights_bytes"] <= held["weights"] < 1.3 * one["memory_weights_bytes"]
    checked = subprocess.run([ZHIHENG, "verify", tmp_path / "two", "--recompute", "--model", model],
                             capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@with_ranks
@pytest.mark.parametrize("fault", ["weight", "token", "activation", "stale"])
def test_faults_on_one_of_two_devices_are_caught(tmp_path, fault):
    done = run(divided(tmp_path, "tensor"), "--model", FAMILIES / "qwen3", "--out", tmp_path / "bundle", "--ranks", 2,
               "--threads", 1, "--inject", f"fault={fault}", env=TWO)
    assert done.returncode == 1, done.stderr
    assert step_of(tmp_path / "bundle")["status"] == "failed"
    assert "decode_rate" not in (tmp_path / "bundle" / "measurements.jsonl").read_text()


@with_ranks
@pytest.mark.parametrize("environment, sentence", [({"ZH_SHIM_DEVICES": "1"}, "would share one GPU"),
                                                   ({"ZH_SHIM_PEERS": "0", "ZH_NCCL": "/nowhere/libnccl.so"}, "NCCL")])
def test_what_two_ranks_lack_is_said(tmp_path, environment, sentence):
    done = run(divided(tmp_path, "tensor"), "--model", FAMILIES / "qwen3", "--out", tmp_path / "bundle", "--ranks", 2,
               "--threads", 1, env=TWO | environment)
    step = step_of(tmp_path / "bundle")
    assert step["status"] == "skipped" and sentence in step["reason"], (done.stderr, step)
