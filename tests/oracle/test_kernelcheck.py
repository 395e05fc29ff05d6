"""zhiheng-kernelcheck's words: one list of operators for check, time and support; sentences for what is wrong."""

import json
import os
import pathlib
import subprocess

PROGRAM = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "tests" / "zhiheng-kernelcheck"
SHIM = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "lib" / "zhiheng" / "libzhiheng-shim.so"


def ask(*words, cpu=None):
    environment = os.environ | ({"ZH_CPU": cpu} if cpu else {})
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=300, env=environment)


def support(cpu=None):
    done = ask("--support", "--json", cpu=cpu)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "zhiheng.kernelcheck-support/1"
    return document


def operators():
    return {line["operator"] for line in support()["support"]}


def test_help_names_every_operator_of_the_list():
    text = ask("--help").stdout
    assert all(f"\n  {name} " in text for name in operators())


def test_support_says_what_falls_back_to_what():
    document = support()
    lines = {(line["operator"], line["type"]): line["by"] for line in document["support"]}
    assert lines["multiply", "Q4_K"]["ref"] == "by matmul"
    assert lines["multiply", "Q4_K"]["portable"] == "own bytes/none"
    assert lines["matmul", "Q4_K"]["ref"] == "own"
    assert lines["multiply", "BF16"]["portable"] == "own none/none"
    assert document["kernels"] in lines["multiply", "Q4_K"]
    assert support(cpu="portable")["kernels"] == "portable"
    assert {line["by"][0] for line in support(cpu="portable")["support"] if line["operator"] == "dequantize"} == {"ref"}


def test_check_of_one_operator_checks_that_alone():
    done = ask("add")
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()[1:-1]} == {"add"}
    assert "0 failed" in done.stdout


def test_times_add_up():
    done = ask("--bench", "peak", "fp32_fma", "--json", cpu="portable")
    document = json.loads(done.stdout)
    assert document["schema"] == "zhiheng.kernelcheck-times/1" and document["kernels"] == "portable"
    (line,) = document["times"]
    assert line["operator"] == "peak" and line["type"] == "fp32_fma"
    assert abs(line["operations"] / line["seconds_least"] / line["peak"]["operations_per_second"] - 1) < 1e-4
    assert abs(line["share_of_limit_least"] - 1) < 1e-4
    gemm = json.loads(ask("--bench", "gemm", "int8", "--json", cpu="portable").stdout)["times"]
    assert {each["type"] for each in gemm} == {"int8"}
    for each in gemm:
        speed = each["operations"] / each["seconds_least"]
        assert abs(speed / each["peak"]["operations_per_second"] / each["share_of_limit_least"] - 1) < 1e-3


def test_what_is_wrong_is_said_in_a_sentence():
    for words, expected in [
        (["rmsnrom"], "no operator 'rmsnrom'; did you mean 'rmsnorm'"),
        (["--bench", "multiply", "Q4_Z"], "no type 'Q4_Z'"),
        (["--bench", "multiply", "Q4_K", "0"], "from 1 to 4096"),
        (["--bench", "multiply", "Q4_K", "2x"], "not '2x'"),
        (["--bench", "multiply", "Q4_K", "1", "1"], "one word too many"),
        (["--suport"], "did you mean '--support'"),
        (["--bench", "--support"], "exclude each other"),
        (["--json"], "--json goes with either"),
        (["add", "F32"], "one word too many"),
    ]:
        done = ask(*words)
        assert done.returncode == 2 and expected in done.stderr and not done.stdout, words
    assert ask("add", cpu="avx521").returncode == 2


def test_words_of_accelerators():
    done = ask("--device", "--module", SHIM, "advance")
    assert done.returncode == 2 and "no operator 'advance'" in done.stderr
    done = ask("--device", "--module", SHIM, "embed")
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()[1:-1]} == {"embed"}
    assert ask("--module", SHIM).returncode == 2
    none = ask("--device", "--module", "/nowhere.so")
    assert none.returncode == 1 and "could not be opened" in none.stderr


def test_one_variant_of_products_alone(monkeypatch):
    monkeypatch.setenv("ZH_SHIM_SHARED", "232448")
    ways = {}
    for asked in ["", "mma"]:
        monkeypatch.setenv("ZH_GPU_PRODUCT", asked)
        done = ask("--device", "--module", SHIM, "head_product")
        assert done.returncode == 0, done.stderr
        ways[asked] = {line.split(",")[-1].split()[0] for line in done.stdout.splitlines()[1:-1]}
    assert ways == {"": {"few", "wgmma", "mma", "wgmma-e4m3", "mma-e4m3"}, "mma": {"few", "mma"}}


def test_each_line_is_written_when_it_is_known():
    with subprocess.Popen([PROGRAM, "--device", "--module", SHIM, "product"], stdout=subprocess.PIPE) as running:
        first = os.read(running.stdout.fileno(), 65536)
        running.kill()
    assert first.startswith(b"shim: ") and first.count(b"\n") <= 2
