"""Runs on a device, through the module of kernels that is compiled for the host: bundles, certificates that the CPU
checks, faults, and machines without a device."""
import os
import pathlib
import subprocess
import sys

import pytest
from bench_certificate import lines_of, put, verify  # noqa: E402
from harness import ZHIHENG, check_manifest, load, run

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
    device = step["facts"]["device"]
    assert device["kind"] == "gpu" and device["backend"] == "shim" and device["products"] == "mma"
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
