"""The workloads of GPUs on the kernels compiled for the host, tiny: every result is checked by the harness itself. A
management library that plays a script stands beside them, and a library of matrix products that multiplies plainly."""
import json
import os
import pathlib
import subprocess

import jsonschema
import pytest

from harness import SOURCE, ZHIHENG, check_whole, run, write_suite

BUILD = pathlib.Path(os.environ["ZH_BINARY_DIR"])
SHIM = BUILD / "lib" / "zhiheng" / "libzhiheng-shim.so"

SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: gpu-memory
    workload: gpu-memory
    warmup: 0
    repeats: 2
    parameters: {array_mib: 1, sizes_kib: [5, 9216], launches: 2}
  - step: gpu-compute
    workload: gpu-compute
    warmup: 0
    repeats: 2
    parameters: {milliseconds: 1, blocks: 1}
  - step: defaults
    workload: gpu-memory
    warmup: 0
    repeats: 1
    parameters: {array_mib: 1, operations: [read]}
  - step: plainest
    workload: gpu-compute
    warmup: 0
    repeats: 1
    parameters: {milliseconds: 1, blocks: 1, instructions: plainest, metrics: [fp64_tensor]}
  - step: gpu-copy
    workload: gpu-copy
    warmup: 0
    repeats: 2
    parameters: {kib: 64, count: 2, warmups: 1}
  - step: gpu-launch
    workload: gpu-launch
    warmup: 0
    repeats: 2
    parameters: {kernels: 4, trips: 2, allocate_mib: [1]}
  - step: gpu-gemm
    workload: gpu-gemm
    warmup: 0
    repeats: 2
    parameters: {shapes: [16x32x48, 48x16x64], launches: 1}
"""
GEMM = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: gpu-gemm
    workload: gpu-gemm
    warmup: 0
    repeats: 1
    parameters: {shapes: [16x32x48], types: [bf16], launches: 1, zeros: "no"}
"""
COPY = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: gpu-copy
    workload: gpu-copy
    warmup: 0
    repeats: 1
    parameters: {kib: 4, count: 1, warmups: 0, directions: [d2d]}
"""
COMPUTE = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: gpu-compute
    workload: gpu-compute
    warmup: 0
    repeats: 4
    parameters: {milliseconds: 60, blocks: 1, metrics: [bf16_tensor]}
"""


def environment(nvml="", **more):
    return {**os.environ, "ZH_DEVICE_MODULE": str(SHIM), "ZH_NVML": str(BUILD / "tests" / "fake_nvml.so"),
            "ZH_FAKE_NVML": nvml, "ZH_CUBLASLT": str(BUILD / "tests" / "fake_cublaslt.so"),
            "ZH_NCCL": str(BUILD / "tests" / "fake_nccl.so"), "ZH_PCI": "/nowhere", **more}


def measure(folder, suite, env, code=0):
    done = run(write_suite(folder, suite), "--out", folder / "bundle", env=env)
    assert done.returncode == code, done.stderr
    return check_whole(folder / "bundle")


def show(bundle):
    return subprocess.run([ZHIHENG, "show", bundle], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("honest")
    return folder / "bundle", measure(folder, SUITE, environment("power=350 temperature=71"))


def test_every_step_is_done_and_has_its_figures(honest):
    _, (bundle, lines) = honest
    assert {step["step"]: step["status"] for step in bundle["steps"]} == dict.fromkeys(
        ["null", "gpu-memory", "gpu-compute", "defaults", "plainest", "gpu-copy", "gpu-launch", "gpu-gemm"], "done")
    names = {line["step"] + "/" + line["metric"] for line in lines}
    memory = {f"gpu-memory/{flow}{size}" for flow in ("read", "write", "copy", "triad") for size in ("", "_9MiB")}
    memory.add("gpu-memory/read_5KiB")
    compute = {f"gpu-compute/{loop}" for loop in ("fp64_fma", "fp32_fma", "fp64_tensor", "tf32_tensor", "bf16_tensor",
                                                  "fp16_tensor", "fp8_tensor", "int8_tensor")}
    copies = {f"gpu-copy/{way}" for way in ("h2d", "d2h", "h2d_bidirectional", "d2h_bidirectional", "d2d")}
    launches = {f"gpu-launch/{what}" for what in ("launch_call", "launch_round_trip", "boundary_in_stream",
                                                  "boundary_in_graph", "boundary_in_kernel", "graph_round_trip",
                                                  "allocate_1MiB")}
    types = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "fp8_fast", "int8")
    products = {f"gpu-gemm/{kind}_{shape}" for kind in types for shape in ("16x32x48", "48x16x64")}
    ratios = {f"gpu-gemm/zeros_ratio_{kind}" for kind in types}
    assert memory | compute | copies | launches | products | ratios <= names
    # The device's cache has 2 MiB: what is written to so little memory may not get there.
    assert {name for name in names if name.startswith("gpu-memory/")} == memory


def test_work_is_counted_as_documented(honest):
    folder, _ = honest
    def work(name):
        return json.loads((folder / "samples" / f"{name}.json").read_text())["work"]
    mib = 1 << 20
    assert [work(f"gpu-memory.{flow}") for flow in ("read", "write", "copy", "triad")] == [2 * mib, 2 * mib, 4 * mib, 6 * mib]
    assert work("gpu-copy.h2d") == work("gpu-copy.d2d") == 2 * 65536
    assert work("gpu-gemm.bf16_16x32x48") == 2 * 16 * 32 * 48


def test_figures_stand_against_the_peaks_of_the_run(honest):
    _, (_, lines) = honest
    peaks = {line["metric"]: (line["peak"] or {}).get("name") for line in lines if line["step"] == "gpu-gemm"}
    assert peaks["bf16_16x32x48"] == "gpu-compute/bf16_tensor"
    assert peaks["fp32_16x32x48"] == "gpu-compute/fp32_fma"


def test_the_gpu_and_its_library_are_recorded(honest):
    _, (bundle, _) = honest
    facts = {step["step"]: step["facts"] for step in bundle["steps"]}
    assert facts["gpu-memory"]["gpu"]["backend"] == "shim"
    assert facts["gpu-gemm"]["library"] == "cuBLASLt 13.1.0"
    assert facts["gpu-gemm"]["bf16_16x32x48"]["algorithms_tried"] == 3
    assert facts["gpu-compute"]["bf16_tensor"]["variant"] == "mma.m16n8k16"
    assert facts["gpu-compute"]["fp64_tensor"]["variant"] == "mma.m16n8k16"
    assert facts["plainest"]["fp64_tensor"]["variant"] == "mma.m8n8k4"


@pytest.mark.parametrize("capability, words", [("80", "no units for FP8"), ("100", "tcgen05")])
def test_a_peak_that_is_not_reached_is_named_and_not_measured(tmp_path, capability, words):
    """Neither sm_80 nor sm_100 has FP8 by mma.sync; of what the compiler makes of it on the latter a rate would be wrong."""
    suite = COMPUTE.replace("milliseconds: 60", "milliseconds: 1")
    both = suite.replace("[bf16_tensor]", "[bf16_tensor, fp8_tensor]")
    bundle, lines = measure(tmp_path, both, environment(ZH_SHIM_CAPABILITY=capability))
    facts = next(step for step in bundle["steps"] if step["step"] == "gpu-compute")["facts"]
    assert words in facts["fp8_tensor"]["lacking"] and facts["bf16_tensor"]["variant"] == "mma.m16n8k16"
    assert {line["metric"] for line in lines if line["step"] == "gpu-compute"} >= {"bf16_tensor"}
    assert not any(line["metric"].startswith("fp8") for line in lines)
    (tmp_path / "alone").mkdir()
    bundle, _ = measure(tmp_path / "alone", suite.replace("[bf16_tensor]", "[fp8_tensor]"),
                        environment(ZH_SHIM_CAPABILITY=capability))
    step = next(step for step in bundle["steps"] if step["step"] == "gpu-compute")
    assert step["status"] == "skipped" and words in step["reason"]


def test_energy_is_power_over_rate(tmp_path):
    bundle, lines = measure(tmp_path, COMPUTE, environment("power=350"))
    figures = {line["metric"]: line for line in lines if line["step"] == "gpu-compute"}
    rate = json.loads((tmp_path / "bundle" / "samples" / "gpu-compute.bf16_tensor.json").read_text())
    joules = json.loads((tmp_path / "bundle" / "samples" / "gpu-compute.bf16_tensor_energy.json").read_text())
    rates = [rate["work"] / ns * 1e9 for ns in rate["samples"]]
    assert figures["bf16_tensor_energy"]["unit"] == "J/FLOP"
    for sample in joules["samples"]:
        assert any(abs(sample * each / 350 - 1) < 1e-9 for each in rates)
    seen = next(step for step in bundle["steps"] if step["step"] == "gpu-compute")["facts"]["gpu_watch"][0]
    assert joules["samples"] and seen["timed_readings"] >= 2 and seen["power_w"]["mean"] == 350


def test_readings_are_in_the_bundle_and_fit_their_schema(honest):
    folder, (bundle, _) = honest
    schema = json.loads((SOURCE / "docs" / "schemas" / "gpu.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line) for line in (folder / "environment" / "gpu-0.jsonl").read_text().splitlines()]
    for line in lines:
        check.validate(line)
    assert {line["step"] for line in lines} == {
        "gpu-memory", "gpu-compute", "defaults", "plainest", "gpu-copy", "gpu-launch", "gpu-gemm"}
    for step in bundle["steps"]:
        mine = [line for line in lines if line["step"] == step["step"]]
        assert len(mine) == sum(seen["readings"] for seen in step["facts"].get("gpu_watch", []))
    assert any(line["timed"] for line in lines) and bundle["gpu_marks"] == []
    jsonschema.Draft202012Validator(json.loads((SOURCE / "docs" / "schemas" / "run.schema.json").read_text())).validate(bundle)


def test_a_throttled_and_failing_gpu_marks_the_run_and_keeps_it(tmp_path):
    bundle, lines = measure(tmp_path, COMPUTE, environment("reasons=0x24 uncorrected=1 corrected=2 xid=79"))
    marks = {mark["mark"]: mark for mark in bundle["gpu_marks"]}
    assert set(marks) == {"throttled", "ecc", "xid"} and bundle["valid"]
    assert set(marks["throttled"]["reasons"]) == {"power_cap", "thermal_slowdown"}
    assert marks["xid"]["xid"] == [79] and marks["ecc"]["uncorrected"] == 1
    assert any(line["metric"] == "bf16_tensor" for line in lines)
    words = show(tmp_path / "bundle")
    for word in ("THROTTLED", "power_cap", "could not correct", "Xid 79"):
        assert word in words
    jsonschema.Draft202012Validator(json.loads((SOURCE / "docs" / "schemas" / "run.schema.json").read_text())).validate(bundle)


def test_a_lost_device_stops_the_run_which_goes_on_later(tmp_path):
    suite = write_suite(tmp_path, COMPUTE.replace("milliseconds: 60", "milliseconds: 1"))
    done = run(suite, "--out", tmp_path / "bundle", env=environment(ZH_SHIM_FAIL="4"))
    assert done.returncode == 3 and "--resume" in done.stderr
    assert not (tmp_path / "bundle").exists()
    done = run("--resume", tmp_path / "bundle.partial", env=environment())
    assert done.returncode == 0, done.stderr
    bundle, _ = check_whole(tmp_path / "bundle")
    assert [step["status"] for step in bundle["steps"]] == ["done", "done"]


def test_who_drives_a_gpu_runs_near_it(tmp_path):
    near, cpus = tmp_path / "pci" / "0000:00:00.0", sorted(os.sched_getaffinity(0))
    near.mkdir(parents=True)
    (near / "local_cpulist").write_text(f"0-{cpus[-1]},1000\n")
    bundle, _ = measure(tmp_path, COPY, environment(ZH_PCI=str(near.parent)))
    jsonschema.Draft202012Validator(json.loads((SOURCE / "docs" / "schemas" / "run.schema.json").read_text())).validate(bundle)
    null, copy = (step["placement"][0].get("device_cpus") for step in bundle["steps"])
    listed = [range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1) for part in copy.split(",")] if copy else []
    assert null is None and [cpu for part in listed for cpu in part] == (cpus if len(cpus) > 1 else [])


def test_copies_that_wait_for_themselves_stop_the_run(tmp_path):
    suite = write_suite(tmp_path, COPY)
    done = run(suite, "--out", tmp_path / "bundle", env=environment(CUDA_LAUNCH_BLOCKING="1"), timeout=60)
    assert done.returncode == 3 and "to be enqueued in vain" in done.stderr and "--resume" in done.stderr


@pytest.mark.parametrize("count, warmups", [(201, 0), (1, 51)])
def test_more_copies_than_a_stream_has_room_for_are_refused(tmp_path, count, warmups):
    suite = write_suite(tmp_path, COPY.replace("count: 1, warmups: 0", f"count: {count}, warmups: {warmups}"))
    assert run(suite, "--out", tmp_path / "bundle", env=environment()).returncode == 2


@pytest.mark.parametrize("word, code, words", [("tired", 3, "status 13"), ("memory", 3, "status 3")])
def test_a_product_that_fails_in_the_middle_stops_the_run(tmp_path, word, code, words):
    suite = write_suite(tmp_path, GEMM)
    done = run(suite, "--out", tmp_path / "bundle", env=environment(ZH_FAKE_CUBLASLT=word))
    assert done.returncode == code and words in done.stderr and "--resume" in done.stderr


def test_a_product_that_cannot_be_chosen_fails_alone(tmp_path):
    bundle, lines = measure(tmp_path, GEMM + COPY.partition("steps:\n")[2], environment(ZH_FAKE_CUBLASLT="busy"), code=1)
    steps = {step["step"]: step for step in bundle["steps"]}
    assert steps["gpu-gemm"]["status"] == "failed" and "status 14" in steps["gpu-gemm"]["reason"]
    assert steps["gpu-copy"]["status"] == "done" and [line for line in lines if line["step"] == "gpu-copy"]


def test_a_wrong_product_is_no_figure(tmp_path):
    bundle, lines = measure(tmp_path, GEMM, environment(ZH_FAKE_CUBLASLT="wrong"), code=1)
    step = next(step for step in bundle["steps"] if step["step"] == "gpu-gemm")
    assert step["status"] == "failed" and "bound" in step["reason"]
    assert not [line for line in lines if line["step"] == "gpu-gemm"]


@pytest.mark.parametrize("more, words", [
    ({"ZH_FAKE_CUBLASLT": "none"}, "does not support it"),
    ({"ZH_CUBLASLT": "/nowhere/libcublasLt.so"}, "not found"),
    ({"ZH_DEVICE_MODULE": "/nowhere/libzhiheng-cuda.so"}, "no accelerator is used"),
])
def test_what_is_lacking_skips_the_step_in_one_sentence(tmp_path, more, words):
    bundle, lines = measure(tmp_path, GEMM, environment(**more))
    step = next(step for step in bundle["steps"] if step["step"] == "gpu-gemm")
    assert step["status"] == "skipped" and words in step["reason"]
    assert "\n" not in step["reason"] and step["reason"] in show(tmp_path / "bundle")


def test_a_rank_without_a_gpu_leaves_no_other_waiting(tmp_path):
    done = run(write_suite(tmp_path, COMPUTE), "--ranks", "2", "--out", tmp_path / "bundle", env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    step = check_whole(tmp_path / "bundle")[0]["steps"][1]
    assert step["status"] == "skipped" and "ranks 0 and 1 would share one GPU" in step["reason"]


def test_ranks_that_are_shown_one_gpu_each_take_it(tmp_path):
    env = environment(ZH_SHIM_SHOWN="own", ZH_FAKE_NVML="gpus=2")
    done = run(write_suite(tmp_path, COMPUTE.replace("60", "1")), "--ranks", "2", "--out", tmp_path / "bundle", env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    step = check_whole(tmp_path / "bundle")[0]["steps"][1]
    assert step["status"] == "done", step
    assert [seen["bus"] for seen in step["facts"]["gpu_watch"]] == ["0000:00:00.0", "0000:01:00.0"]


def test_an_algorithm_that_does_not_run_is_passed_over(tmp_path):
    bundle, _ = measure(tmp_path, GEMM, environment(ZH_FAKE_CUBLASLT="broken"))
    facts = next(step for step in bundle["steps"] if step["step"] == "gpu-gemm")["facts"]["bf16_16x32x48"]
    assert facts["algorithms_tried"] == 1 and facts["chosen"] == 2


# --- doctor ---

def doctor(env):
    done = subprocess.run([ZHIHENG, "doctor", "--json"], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    plain = subprocess.run([ZHIHENG, "doctor"], capture_output=True, text=True, timeout=60, env=env).stdout
    return json.loads(done.stdout), plain


def gpu_item(document):
    return next(item for item in document["left_out"] if "GPU" in item["what"])


def test_doctor_shows_what_a_module_finds():
    document, plain = doctor(environment("power=350 busy"))
    found = document["accelerators"]
    assert found["module"]["backend"] == "shim" and found["cublaslt"] == "cuBLASLt 13.1.0"
    assert found["nccl"] == "NCCL 2.27.5"
    assert found["devices"][0]["usable"] and "it is busy: 1 process computes on it" in found["devices"][0]["notes"][0]
    assert "it is busy" in plain and "cuBLASLt 13.1.0" in plain
    assert found["devices"][0]["products"] == ["mma", "cublaslt", "mma-e4m3"]
    assert "products of many tokens by mma cublaslt mma-e4m3\n" in plain
    assert document["machine"]["gpus"][0]["processes"] == 1
    assert not any("every measurement on a GPU" in item["what"] for item in document["left_out"])


def test_backends_name_the_gpu():
    done = subprocess.run([ZHIHENG, "list", "backends", "--json"], capture_output=True, text=True, check=True,
                          env=environment())
    cuda = next(item for item in json.loads(done.stdout)["backends"] if item["name"] == "cuda")
    assert cuda["present"] and cuda["summary"].startswith("1 GPU, the first: ")


def test_doctor_says_that_there_is_no_module():
    document, plain = doctor(environment(ZH_DEVICE_MODULE="/nowhere/libzhiheng-cuda.so"))
    assert document["accelerators"]["module"] is None
    assert "could not be opened" in gpu_item(document)["why"] and "could not be opened" in plain


@pytest.mark.parametrize("script, words", [("init=9", "no driver answers"), ("gpus=0", "shows no GPU")])
def test_doctor_says_why_there_is_no_gpu(script, words):
    document, _ = doctor(environment(script, ZH_DEVICE_MODULE="/nowhere/libzhiheng-cuda.so"))
    assert words in document["machine"]["gpu_note"] and words in gpu_item(document)["why"]


def test_doctor_says_that_the_vendors_library_is_missing():
    document, _ = doctor(environment(ZH_CUBLASLT="/nowhere/libcublasLt.so", ZH_NCCL="/nowhere/libnccl.so"))
    assert document["accelerators"]["cublaslt"] is None and document["accelerators"]["nccl"] is None
    assert any("gpu-gemm" in item["what"] for item in document["left_out"])
    assert not any("NCCL" in item["what"] for item in document["left_out"])
    several, _ = doctor(environment(ZH_NCCL="/nowhere/libnccl.so", ZH_SHIM_DEVICES="2"))
    assert any("by NCCL" in item["what"] for item in several["left_out"])


@pytest.mark.parametrize("words, reason", [
    ("abi=99", "built for another version"),
    ("count", "too old for CUDA"),
    ("open", "no code"),
    ("mig", "MIG slice"),
])
def test_doctor_says_what_a_module_complains_of(words, reason):
    document, plain = doctor(environment(ZH_DEVICE_MODULE=str(BUILD / "tests" / "fake_device.so"), ZH_FAKE_DEVICE=words))
    assert reason in plain
    notes = json.dumps(document["accelerators"]) + json.dumps(document["left_out"])
    assert reason in notes


# What the module itself says of a driver and a device that it cannot use, through doctor, a step and a command.
STATES = [({"ZH_SHIM_STATE": "driver"}, "there is no NVIDIA driver; this build needs R580 or newer"),
          ({"ZH_SHIM_STATE": "old"}, "its driver is of CUDA 12.4, and this build needs one of 13.0 (R580 or newer)"),
          ({"ZH_SHIM_DEVICES": "0"}, "the driver shows none to this process"),
          ({"ZH_SHIM_STATE": "busy"}, "is busy: another process holds it alone"),
          ({"ZH_SHIM_STATE": "mps"}, "is shared by MPS, whose server does not answer"),
          ({"ZH_SHIM_STATE": "ptx"}, "is of architecture sm_89, for which this module has no code; it was built for host"),
          ({"ZH_SHIM_STATE": "code"}, "is of architecture sm_89, for which this module has no code; it was built for host")]


@pytest.mark.parametrize("state, sentence", STATES)
def test_a_device_that_cannot_be_used_is_one_sentence(tmp_path, state, sentence):
    document, plain = doctor(environment(**state))
    assert sentence in plain and sentence in gpu_item(document)["why"]
    assert not any(device["usable"] for device in document["accelerators"]["devices"])
    bundle, _ = measure(tmp_path, COMPUTE, environment(**state))
    step = next(step for step in bundle["steps"] if step["step"] == "gpu-compute")
    assert step["status"] == "skipped" and sentence in step["reason"]
    words = [ZHIHENG, "model", "generate", SOURCE / "tests" / "golden" / "families" / "qwen3", "--tokens", "1", "--max-new", "1"]
    asked = subprocess.run([*words, "--device", "gpu"], capture_output=True, text=True, env=environment(**state))
    assert asked.returncode == 3 and sentence in asked.stderr and len(asked.stderr.strip().splitlines()) == 1
    assert subprocess.run(words, capture_output=True, env=environment(**state)).returncode == 0


def test_a_slice_is_used_and_named():
    document, plain = doctor(environment(ZH_SHIM_STATE="mig"))
    device = document["accelerators"]["devices"][0]
    assert device["mig"] and device["usable"] and "MIG slice" in device["notes"][0] and "MIG slice" in plain
