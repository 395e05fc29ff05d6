"""Runs on a device, through the module of kernels that is compiled for the host: bundles, certificates that the CPU
checks, faults, and machines without a device."""
import json
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
from test_packed_weights import HIDDEN, LAYERS, VOCAB, header_of, linear_of, write_both  # noqa: E402

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
    parameters: {prompt: 4, tokens: 3, batch: 2%s}
%s"""


def probe(folder, device="    device: gpu\n", more=""):
    path = folder / "probe.yaml"
    path.write_text(SUITE % (more, device))
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


FAMILIES = pathlib.Path(__file__).parent.parent / "golden" / "families"


@pytest.mark.parametrize("name", ["llama3", "gpt-oss", "deepseek-v3"])
def test_keys_and_values_in_eight_bits_are_certified_on_the_cpu(tmp_path, name):
    done = run(probe(tmp_path, more=", kv: e4m3"), "--model", FAMILIES / name, "--out", tmp_path / "bundle",
               "--nonce", "n", env=HERE)
    assert done.returncode == 0, done.stderr
    step = next(s for s in load(tmp_path / "bundle")[0]["steps"] if s["workload"] == "decode")
    config = json.loads((FAMILIES / name / "config.json").read_text())
    rows = ([config["kv_lora_rank"] + config["qk_rope_head_dim"]] if name == "deepseek-v3" else
            2 * config["num_key_value_heads"] * [config["head_dim"]])
    assert step["facts"]["kv"] == "e4m3"
    assert step["facts"]["kv_bytes_per_position"] == config["num_hidden_layers"] * sum(16 + -(-d // 16) * 16 for d in rows)
    assert verify(tmp_path / "bundle")[0] == 0
    lines = lines_of(tmp_path / "bundle")
    for kept in ("bf16", "f32", "q8"):
        lines[0]["kv"] = kept
        put(tmp_path / "bundle", lines)
        assert verify(tmp_path / "bundle")[0] == 1, kept


# what packers made, held on a device in the form that has it as it is
HELD = [("llama3", "fp8-block", "e4m3"), ("llama3", "fp8-row", "e4m3"), ("llama3", "fp8-tensor", "e4m3"),
        ("llama3", "fp8-block-e5m2", "bf16"), ("qwen3-moe", "fp8-block", "e4m3"), ("llama3", "int8", "q8"),
        ("llama3", "ct-4", "q4"), ("qwen3-moe", "gptq", "q8"), ("llama3", "mxfp4", "q8")]


@pytest.mark.parametrize("family, name, form", HELD, ids=lambda word: word)
def test_packed_weights_are_held_as_they_are(tmp_path, family, name, form):
    model, _ = write_both(tmp_path, family, [name])
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", "--nonce", "n", env=HERE)
    assert done.returncode == 0, done.stderr
    step = next(s for s in load(tmp_path / "bundle")[0]["steps"] if s["workload"] == "decode")
    packed = sum(rows * columns for rows, columns in linear_of(family).values()) * LAYERS
    held = step["facts"]["device"]["weights"]
    assert set(held) == {form, "f32"} and held[form] >= packed * {"q4": 0.5, "bf16": 2}.get(form, 1)
    assert verify(tmp_path / "bundle")[0] == 0
    lines = lines_of(tmp_path / "bundle")
    assert lines[0].get("held_e4m3", False) == (form == "e4m3") and "held_bf16" not in lines[0]
    if name == "fp8-block" and family == "llama3":  # its bytes are those of a step, and what it is called matters
        assert step["facts"]["weight_bytes_per_step"] < 1.1 * packed + 4 * (VOCAB + 20) * HIDDEN
        lines[0]["held_e4m3"] = False
        put(tmp_path / "bundle", lines)
        assert verify(tmp_path / "bundle")[0] == 1


PREFILL = """suite: probe
summary: {zh: 试验, en: a probe}
seed: 7
steps:
  - step: prefill
    workload: prefill
    deadline: 110 s
    warmup: 0
    repeats: 1
    parameters: {prompt: 12, batch: 1}
    device: gpu
"""


@pytest.mark.parametrize("shared", ["0", "232448"], ids=["mma", "wgmma"])
@pytest.mark.parametrize("family, name", [("llama3", "fp8-block"), ("llama3", "fp8-row"), ("qwen3-moe", "fp8-block")],
                         ids=lambda word: word)
def test_inputs_in_e4m3_are_certified_on_the_cpu(tmp_path, family, name, shared):
    """What they were rounded to stands in the certificate, and without that word the products are not those."""
    model, _ = write_both(tmp_path, family, [name])
    suite = tmp_path / "probe.yaml"
    suite.write_text(PREFILL)
    environment = HERE | {"ZH_GPU_PRODUCT": "e4m3"} | ({"ZH_SHIM_SHARED": shared} if shared != "0" else {})
    done = run(suite, "--model", model, "--out", tmp_path / "bundle", "--nonce", "n", env=environment)
    assert done.returncode == 0, done.stderr
    step = next(s for s in load(tmp_path / "bundle")[0]["steps"] if s["workload"] == "prefill")
    assert step["facts"]["device"]["products"] == ("mma-e4m3" if shared == "0" else "wgmma-e4m3")
    lines = lines_of(tmp_path / "bundle")
    assert lines[0]["rounds"]["e4m3"] == "e4m3-inputs"
    assert verify(tmp_path / "bundle")[0] == 0
    for rounds in (None, "bf16", "none", 7):
        lines[0]["rounds"].pop("e4m3", None)
        if rounds is not None:
            lines[0]["rounds"]["e4m3"] = rounds
        put(tmp_path / "bundle", lines)
        assert verify(tmp_path / "bundle")[0] != 0, rounds


def test_experts_that_are_packed_otherwise_than_their_neighbours(tmp_path):
    """All of a slot are one matrix there: in bytes where those hold all of them, else the CPU has to do it."""
    model, _ = write_both(tmp_path, "qwen3-moe", ["ct-4", "ct-4-asym"])
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", "--nonce", "n", env=HERE)
    assert done.returncode == 0, done.stderr
    step = next(s for s in load(tmp_path / "bundle")[0]["steps"] if s["workload"] == "decode")
    held, shapes = step["facts"]["device"]["weights"], linear_of("qwen3-moe")
    assert set(held) == {"q4", "q8", "f32"}
    assert held["q8"] >= LAYERS * sum(rows * columns for name, (rows, columns) in shapes.items() if "experts" in name)
    assert verify(tmp_path / "bundle")[0] == 0
    (tmp_path / "other").mkdir()
    model, _ = write_both(tmp_path / "other", "qwen3-moe", ["fp8-row", "int8"])
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "refused", env=HERE)
    step = next(s for s in load(tmp_path / "refused")[0]["steps"] if s["workload"] == "decode")
    assert step["status"] == "skipped" and "packed in different ways" in step["reason"], done.stderr


def test_a_byte_that_is_no_number_is_refused(tmp_path):
    model, _ = write_both(tmp_path, "llama3", ["fp8-block"])
    path = model / "model.safetensors"
    raw = bytearray(path.read_bytes())
    said = json.loads(header_of(path))["model.layers.1.mlp.up_proj.weight"]["data_offsets"]
    raw[8 + int.from_bytes(raw[:8], "little") + said[0] + 3 * HIDDEN + 5] = 0xFF
    path.write_bytes(raw)
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", env=HERE)
    assert done.returncode != 0 and "up_proj.weight': row 3 holds a byte that is no number" in done.stderr


def test_eight_bits_are_no_choice_of_the_cpu(tmp_path):
    model = write_model(tmp_path / "model.gguf", T.Q8_0)
    done = run(probe(tmp_path, "", ", kv: e4m3"), "--model", model, "--out", tmp_path / "bundle", env=NOWHERE)
    step = next(s for s in load(tmp_path / "bundle")[0]["steps"] if s["workload"] == "decode")
    assert step["status"] == "skipped" and "e4m3" in step["reason"] and "GPU" in step["reason"], done.stderr
    said = subprocess.run([ZHIHENG, "model", "generate", model, "--tokens", "1,2", "--precision", "fast", "--kv", "e4m3"],
                          capture_output=True, text=True, timeout=60)
    assert said.returncode != 0 and len(said.stderr.strip().splitlines()) == 1 and "e4m3" in said.stderr


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


@pytest.mark.parametrize("fault", ["weight", "token", "activation", "cache", "stale", "layer", "layers", "swap", "precision", "tile"])
def test_faults_on_a_device_are_caught(tmp_path, fault):
    model = write_model(tmp_path / "model.gguf", T.Q8_0)
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", "--inject", f"fault={fault}", env=HERE)
    assert done.returncode == 1, done.stderr
    lines = (tmp_path / "bundle" / "measurements.jsonl").read_text()
    assert "decode_rate" not in lines


# Harm that the shim does to a product's own blocks and sums, which no engine knows of.
@pytest.mark.parametrize("harm, found", [
    ({"ZH_SHIM_SUMS": "bf16"}, "over the bound"),
    ({"ZH_SHIM_SUMS": "f16"}, "over the bound"),
    ({"ZH_SHIM_SUMS": "bf16", "ZH_SHIM_SHARED": "232448"}, "over the bound"),
    ({"ZH_SHIM_SKIP": "kernel"}, "are not numbers"),
    ({"ZH_SHIM_SKIP": "150"}, "operator"),
    ({"ZH_SHIM_SKIP": "260", "ZH_GPU_DECODE": "graph"}, "chain"),
    ({"ZH_SHIM_SKIP": "400", "ZH_GPU_DECODE": "graph"}, "replay"),
])
def test_blocks_that_do_not_run_and_short_sums_are_caught(tmp_path, harm, found):
    model = write_model(tmp_path / "model.gguf", T.Q8_0)
    done = run(probe(tmp_path), "--model", model, "--out", tmp_path / "bundle", env=HERE | harm)
    assert done.returncode == 1, done.stderr
    assert step_of(tmp_path / "bundle")["status"] == "failed" and found in step_of(tmp_path / "bundle")["reason"]
    assert "decode_rate" not in (tmp_path / "bundle" / "measurements.jsonl").read_text()


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
@pytest.mark.parametrize("name, parallel", [("qwen3", "tensor"), ("qwen3", "pipeline"),
                                            ("qwen3-moe", "tensor, experts: columns"),
                                            ("qwen3-moe", "tensor, experts: whole"),
                                            ("deepseek-v3", "tensor, experts: columns")])
def test_one_model_over_two_devices(tmp_path, name, parallel):
    """Tokens of one device's run, and a certificate that the CPU checks."""
    model = FAMILIES / name
    done = run(divided(tmp_path, parallel), "--model", model, "--out", tmp_path / "two", "--ranks", 2, "--threads", 1,
               "--nonce", "n", env=TWO)
    assert done.returncode == 0, done.stderr
    step = step_of(tmp_path / "two")
    facts = step["facts"]
    assert step["status"] == "done" and facts["ranks_of_one_model"] == 2
    assert facts["group"]["stages" if parallel == "pipeline" else "parts"]["kind"] == "peer"
    assert [part["gpu"]["index"] for part in facts["parts"]] == [0, 1]
    assert run(probe(tmp_path), "--model", model, "--out", tmp_path / "one", env=HERE).returncode == 0
    one = step_of(tmp_path / "one")["facts"]
    assert facts["first_tokens"] == one["first_tokens"]
    if parallel == "pipeline":
        assert facts["chain_sm3"] == one["chain_sm3"]
    held = {key: sum(part[f"memory_{key}_bytes"] for part in facts["parts"]) for key in ("weights", "kv")}
    assert one["memory_weights_bytes"] <= held["weights"] < 1.3 * one["memory_weights_bytes"]
    if "whole" in parallel:  # the one that read most in a layer stands for both
        said = facts["experts"]
        assert [(rank["first"], rank["count"]) for rank in said["ranks"]] == [(0, 4), (4, 3)]
        assert sum(rank["choices"] for rank in said["ranks"]) == 2 * 3 * 2 * 3  # layers, of a token, sequences, steps
        assert 1 <= said["imbalance"] <= said["imbalance_most"] <= 2
        assert facts["weight_bytes_per_step"] >= one["weight_bytes_per_step"]
    checked = subprocess.run([ZHIHENG, "verify", tmp_path / "two", "--recompute", "--model", model],
                             capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_bytes_of_a_step_are_those_of_timed_steps(tmp_path):
    """A token alone reads three of seven experts in each layer; what checks compute afterwards reads more."""
    said = []
    for prompt in (2, 60):
        (tmp_path / str(prompt)).mkdir()
        path = probe(tmp_path / str(prompt), "")
        path.write_text(path.read_text().replace("prompt: 4, tokens: 3, batch: 2", f"prompt: {prompt}, tokens: 3, batch: 1"))
        done = run(path, "--model", FAMILIES / "qwen3-moe", "--out", tmp_path / f"bundle-{prompt}", env=NOWHERE)
        assert done.returncode == 0, done.stderr
        said.append(step_of(tmp_path / f"bundle-{prompt}")["facts"]["weight_bytes_per_step"])
    assert said[0] == said[1]


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


def generated(model, *words):
    done = subprocess.run([ZHIHENG, "model", "generate", model, "--device", "gpu", "--tokens", "1,2,3", "--max-new", "20",
                           "--json", *words], capture_output=True, text=True, timeout=100, env=HERE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["tokens"]


def test_tokens_are_drawn_on_the_device(tmp_path):
    """In batches: one of sixteen, and what is left. The likeliest alone are the greedy ones; a seed draws the same again."""
    model = write_model(tmp_path / "model.gguf", T.Q8_0)
    greedy = generated(model)
    assert len(greedy) == 20 and generated(model, "--temperature", "2", "--top-k", "1") == greedy
    warm = ["--temperature", "9", "--top-k", "30", "--top-p", "0.99", "--min-p", "0.001", "--seed", "5"]
    assert generated(model, *warm) == generated(model, *warm) != generated(model, *warm[:-1], "6")
    for words in (["--top-p", "1.5"], ["--min-p", "-1"], ["--temperature", "nan"], ["--top-k", "x"]):
        done = subprocess.run([ZHIHENG, "model", "generate", model, "--tokens", "1", *words], capture_output=True, text=True)
        assert done.returncode == 2 and words[0] in done.stderr


@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_tokens_are_written_as_they_come(tmp_path, device):
    """In pieces, together what the JSON has."""
    model = write_model(tmp_path / "model.gguf", T.Q8_0)
    words = [ZHIHENG, "model", "generate", model, "--device", device, "--tokens", "1,2,3", "--max-new", "60"]
    pieces = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=HERE) as writer:
        while piece := os.read(writer.stdout.fileno(), 4096):
            pieces.append(piece.decode())
    whole = subprocess.run([*words, "--json"], capture_output=True, text=True, env=HERE, check=True)
    assert "".join(pieces) == ",".join(map(str, json.loads(whole.stdout)["tokens"])) + "\n"
    assert device == "cpu" or len(pieces) > 2  # a busy reader finds several at once
