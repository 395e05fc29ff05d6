"""scripts/gpu as on the day when a GPU is there: an archive, validated and measured on a node that has nothing but the C
library and the usual small tools, and tables made of what it left. The module in the archive is the one that is compiled
for the host, and the suites are the tree's own with small numbers."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from harness import SOURCE, load

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracle"))
from test_engine_types import T, write_model  # noqa: E402

BUILD = pathlib.Path(os.environ["ZH_BINARY_DIR"])
SHIM = BUILD / "lib" / "zhiheng" / "libzhiheng-shim.so"
SCRIPTS = SOURCE / "scripts" / "gpu"
FAMILIES = SOURCE / "tests" / "golden" / "families"
TOOLS = ["sh", "cat", "date", "dirname", "grep", "mkdir", "mktemp", "mv", "rm", "sed", "tail", "timeout", "tr", "unshare"]
OWN = re.compile(r"^(ld-linux|libc|libm|libdl|librt|libpthread|libresolv|linux-vdso)[-.]")
SMALL = {
    "gpu-memory": {"array_mib": 1, "sizes_kib": [5], "launches": 1},
    "gpu-compute": {"milliseconds": 1, "blocks": 1},
    "gpu-gemm": {"shapes": ["16x32x48", "16x16x16"], "launches": 1},
    "gpu-copy": {"kib": 64, "count": 2, "warmups": 1},
    "gpu-launch": {"kernels": 4, "trips": 2, "allocate_mib": [1]},
    "gpu-collective": {"bytes": [4112], "latency_bytes": [1024], "count": 2, "latency_count": 2, "patience_s": 20},
    "prefill": {"prompt": 12},
    "decode": {"prompt": 3, "tokens": 3},
}
NODE = {"ZH_NVML": str(BUILD / "tests" / "fake_nvml.so"), "ZH_CUBLASLT": str(BUILD / "tests" / "fake_cublaslt.so"),
        "ZH_NCCL": str(BUILD / "tests" / "fake_nccl.so"), "ZH_FAKE_NVML": "power=350"}


def shortened(step):
    """The same step with small numbers, but for words that say what it does."""
    small = {"warmup": 0, "repeats": 1, "deadline": "300 s", "parameters": step.get("parameters", {}) | SMALL[step["workload"]]}
    if "batch" in small["parameters"]:
        small["parameters"]["batch"] = min(3, small["parameters"]["batch"])
    if "depth" in small["parameters"]:
        small["parameters"]["depth"] = 9
    return step | small


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A folder with a model and the suites."""
    folder = tmp_path_factory.mktemp("short")
    write_model(folder / "model.gguf", T.Q8_0)
    for path in sorted((SOURCE / "bench" / "suites").glob("gpu*.yaml")):
        suite = yaml.safe_load(path.read_text())
        suite["steps"] = [shortened(step) for step in suite["steps"]]
        if "models" in suite:
            suite["models"] = [str(folder / "model.gguf")]
        plain = json.loads(json.dumps(suite))  # what is there twice is written twice
        (folder / path.name).write_text(yaml.safe_dump(plain, allow_unicode=True))
    return folder


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """What the archive unpacks to, and the few programs that a bare node has."""
    folder = tmp_path_factory.mktemp("node")
    done = subprocess.run([SCRIPTS / "bundle", "--build", BUILD, "--module", SHIM, "--out", folder / "all.tar.gz"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.strip() == str(folder / "all.tar.gz"), done.stderr
    assert (folder / "all.tar.gz").stat().st_size <= 60 << 20
    subprocess.run(["tar", "xzf", "all.tar.gz"], cwd=folder, check=True)
    (folder / "bare").mkdir()
    for tool in TOOLS:
        if shutil.which(tool):
            (folder / "bare" / tool).symlink_to(shutil.which(tool))
    return folder


def no_network(environment):
    """Words that take the network away, where this machine lets them."""
    words = ["unshare", "-rn"]
    try:
        return words if subprocess.run([*words, "cat", "/dev/null"], env=environment, capture_output=True).returncode == 0 else []
    except OSError:
        return []


def on_node(node, script, *words, code=0, **more):
    environment = {"PATH": str(node / "bare"), "HOME": "/", "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
                   "ZH_FAKE_MODULE": str(node / "zhiheng-gpu" / "lib" / "zhiheng" / "libzhiheng-cuda.so")} | NODE | more
    done = subprocess.run([*no_network(environment), node / "zhiheng-gpu" / script, *map(str, words)], cwd=node, text=True,
                          env=environment, capture_output=True, timeout=900)
    log = node / "gpu-results" / "validate.log"
    assert done.returncode == code, done.stderr + (log.read_text()[-3000:] if log.exists() else "")
    return done.stderr


@pytest.mark.parametrize("toolkit, driver", [("12.9", "R525"), ("13.0", "R580")])
def test_the_driver_that_an_archive_needs_is_said(tmp_path, toolkit, driver):
    for name, path in (("cmake_install.cmake", BUILD / "cmake_install.cmake"), ("lib/zhiheng/libzhiheng-cuda.so", SHIM),
                       ("tests/zhiheng-kernelcheck", BUILD / "tests" / "zhiheng-kernelcheck")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(path)
    (tmp_path / "CMakeCache.txt").write_text(f"CMAKE_CUDA_COMPILER:FILEPATH={tmp_path}/nvcc\n")
    (tmp_path / "nvcc").write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {toolkit}, V{toolkit}.86'\n")
    (tmp_path / "nvcc").chmod(0o755)
    done = subprocess.run([SCRIPTS / "bundle", "--build", tmp_path, "--out", tmp_path / "all.tar.gz"], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0 and f"by CUDA {toolkit}: for drivers from {driver} on" in done.stderr, done.stderr


def parts_of(*names):
    return [word for name in names for word in ("--part", name)]


def test_the_archive_brings_all_that_it_needs(node):
    home = node / "zhiheng-gpu"
    for path in ("validate", "measure", "node.sh", "COMMIT", "bin/zhiheng", "bin/zhiheng-rank", "bin/zhiheng-kernelcheck",
                 "lib/zhiheng/libzhiheng-cuda.so", "share/zhiheng/bench/suites/gpu.yaml"):
        assert (home / path).exists(), path
    assert not (home / "lib/zhiheng/libzhiheng-mpi.so").exists()
    for file in [*(home / "bin").iterdir(), *(home / "lib/zhiheng").iterdir()]:
        listed = subprocess.run(["ldd", file], env={"LD_LIBRARY_PATH": str(home / "lib/beside"), "PATH": "/usr/bin:/bin"},
                                capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            name, _, place = line.strip().partition(" => ")
            inside = place.startswith(str(home / "lib/beside"))
            assert inside or OWN.match(pathlib.Path(name.split(" ")[0]).name), line


@pytest.fixture(scope="module")
def results(node, short):
    """validate and measure, its parts cut short by a device that is lost."""
    words = ["--suites", short, "--model", FAMILIES / "qwen3", "--model", FAMILIES / "qwen3-moe"]
    said = on_node(node, "validate", *words, *parts_of("doctor", "limits", "qwen3", "qwen3-moe"))
    said += on_node(node, "validate", *words, *parts_of("kernels rows", "kernels head_product", "fault"))
    parts = parts_of("limits", short / "model.gguf", "long") + ["--suites", short]
    lost = on_node(node, "measure", *parts, code=1, ZH_SHIM_FAIL="4")  # in each process anew
    for name in ("limits", "model.gguf", "long"):
        assert f"{name} ended with 3" in lost and (node / "gpu-results" / f"{name}.partial").exists()
    on_node(node, "measure", *parts)
    again = on_node(node, "measure", *parts)
    assert all(f"measure: {name} is there" in again for name in ("limits", "model.gguf", "long"))
    return said


def test_validate_passes_each_part_and_says_which(node, results):
    found = json.loads((node / "gpu-results" / "validate.json").read_text())
    assert found["schema"] == "zhiheng.gpu-validation/1" and found["passed"] and not found["complete"]
    assert found["commit"] == (node / "zhiheng-gpu" / "COMMIT").read_text().strip() and "sm_" in found["gpu"]
    assert {part["part"] for part in found["parts"]} >= {"doctor", "kernels rows", "kernels head_product mma",
                                                         "kernels head_product mma-e4m3", "limits", "qwen3 engine", "qwen3 verify",
                                                         "qwen3 graph", "qwen3-moe engine", "qwen3-moe verify"}
    caught = {part["part"].split()[1] for part in found["parts"] if part["part"].startswith("fault ")}
    assert caught == {"weight", "token", "activation", "cache", "stale", "layer", "layers", "swap", "precision", "tile"}
    assert "FAILED" not in results and (node / "gpu-results" / "validate.log").read_text().count("=== ") == len(found["parts"])


def test_validate_fails_where_a_part_does(node, short, tmp_path):
    said = on_node(node, "validate", "--suites", short, "--model", tmp_path / "none.gguf", *parts_of("none.gguf", "doctor"),
                   "--out", tmp_path / "v.json", code=1)
    found = json.loads((tmp_path / "v.json").read_text())
    assert not found["passed"] and not found["complete"] and "FAILED" in said
    assert {part["part"]: part["passed"] for part in found["parts"]} == {
        "doctor": True, "none.gguf engine": False, "none.gguf verify": False, "none.gguf graph": False}


def test_a_part_that_does_not_exist_is_said(node, tmp_path):
    assert "no part is named 'kernel'" in on_node(node, "validate", "--part", "kernel", "--out", tmp_path / "v.json", code=2)
    assert not (tmp_path / "v.json").exists()


def test_the_nodes_own_programs_take_their_own_libraries(node, tmp_path):
    (tmp_path / "grep").write_text(f'#!/bin/sh\necho "<${{LD_LIBRARY_PATH:-}}>" >>{tmp_path}/seen\n'
                                   f'exec {shutil.which("grep")} "$@"\n')
    (tmp_path / "grep").chmod(0o755)
    on_node(node, "validate", "--part", "doctor", "--out", tmp_path / "v.json", PATH=f"{tmp_path}:{node / 'bare'}")
    assert set((tmp_path / "seen").read_text().split()) == {"<>"}


def test_the_archive_starts_no_ranks(node, tmp_path):
    (tmp_path / "mpirun").symlink_to(shutil.which("true"))
    said = on_node(node, "validate", "--part", "ranks", "--out", tmp_path / "v.json", code=2, ZH_SHIM_DEVICES="2",
                   PATH=f"{tmp_path}:{node / 'bare'}")
    assert "no part is named 'ranks'" in said


@pytest.fixture
def tree(tmp_path):
    """A build folder whose programs are ours behind a word of shell: tree(program, words)."""
    for program in ("bin/zhiheng", "tests/zhiheng-kernelcheck"):
        (tmp_path / program).parent.mkdir()
        (tmp_path / program).symlink_to(BUILD / program)

    def before(program, words):
        (tmp_path / program).unlink()
        (tmp_path / program).write_text(f'#!/bin/sh\n{words}\nexec "{BUILD / program}" "$@"\n')
        (tmp_path / program).chmod(0o755)
        return tmp_path
    return before


def in_tree(tree, script, *words, code=0, **more):
    environment = os.environ | NODE | {"ZH_DEVICE_MODULE": str(SHIM), "ZH_BINARY_DIR": str(tree)} | more
    done = subprocess.run([SCRIPTS / script, *map(str, words)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_a_whole_run_has_each_operator_and_each_variant(tree, tmp_path):
    """The programs are asked for their lists alone."""
    tree("bin/zhiheng", '[ "$1" = doctor ] || exit 1')
    home = tree("tests/zhiheng-kernelcheck", '[ "$1" = --help ] || exit 0')
    in_tree(home, "validate", "--out", tmp_path / "v.json", code=1)
    found = json.loads((tmp_path / "v.json").read_text())
    said = subprocess.run([BUILD / "tests" / "zhiheng-kernelcheck", "--help"], capture_output=True, text=True, check=True).stdout
    operators = set(said.split("of accelerators: ")[1].split())
    by_variant = {"product": {"mma", "cublaslt", "mma-e4m3"}} | dict.fromkeys(("head_product", "grouped"), {"mma", "mma-e4m3"})
    expected = {f"kernels {name}" for name in operators - set(by_variant)}
    expected |= {f"kernels {name} {variant}" for name, variants in by_variant.items() for variant in variants}
    assert {part["part"] for part in found["parts"] if part["part"].startswith("kernels")} == expected
    assert found["complete"] and not found["passed"]


def test_a_part_that_hangs_fails_and_the_others_are_run(tree, tmp_path):
    home = tree("tests/zhiheng-kernelcheck", '[ "$2" != norm ] || exec sleep 60')
    in_tree(home, "validate", "--limit", 2, *parts_of("kernels norm", "kernels rows"), "--out", tmp_path / "v.json", code=1)
    found = json.loads((tmp_path / "v.json").read_text())
    assert {part["part"]: part["status"] for part in found["parts"]} == {"kernels norm": 124, "kernels rows": 0}


def test_validate_that_is_killed_leaves_what_it_had(tree, tmp_path):
    home = tree("tests/zhiheng-kernelcheck", f'[ "$1" = --help ] || kill -9 $(cat {tmp_path}/pid)')
    words = ["sh", "-c", f'echo $$ >{tmp_path}/pid; exec "$@"', "sh", SCRIPTS / "validate", "--out", tmp_path / "v.json"]
    done = subprocess.run(list(map(str, words)), env=os.environ | NODE | {"ZH_DEVICE_MODULE": str(SHIM), "ZH_BINARY_DIR": str(home)},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == -9
    found = json.loads((tmp_path / "v.json").read_text())
    assert [part["part"] for part in found["parts"]] == ["doctor"] and not found["complete"]


@pytest.mark.parametrize("script", ["validate", "measure"])
def test_without_a_gpu_one_sentence(node, script):
    said = on_node(node, script, code=3, ZH_DEVICE_MODULE="/nowhere/libzhiheng-cuda.so")
    assert "could not be opened" in said


def test_libraries_in_wheels_of_python_are_found(tree, tmp_path):
    """Those of the system are none here: files of their names that are no libraries come first."""
    home, broken, wheels = tmp_path, tmp_path / "broken", tmp_path / "wheels" / "nvidia"
    broken.mkdir()
    for name in ("libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so", "libnccl.so.2", "libnccl.so"):
        (broken / name).touch()
    for name, fake in (("cublas/lib/libcublasLt.so.12", "fake_cublaslt.so"), ("nccl/lib/libnccl.so.2", "fake_nccl.so")):
        (wheels / name).parent.mkdir(parents=True)
        shutil.copy(BUILD / "tests" / fake, wheels / name)
    bare = {"ZH_CUBLASLT": "", "ZH_NCCL": "", "LD_LIBRARY_PATH": str(broken)}
    for words, found in (({}, False), ({"PYTHONPATH": str(wheels.parent)}, True)):
        said = in_tree(home, "validate", "--part", "doctor", "--out", tmp_path / "v.json", **bare, **words)
        assert ("cuBLASLt: absent; NCCL: absent" in said) is not found and ("; NCCL: NCCL " in said) is found, said


def test_measure_stops_where_the_gpu_is_lost_for_good(tree, short, tmp_path):
    lost = tmp_path / "lost"
    home = tree("bin/zhiheng", f'[ "$1" != run ] || {{ touch {lost}; exit 3; }}\n'
                               f'[ ! -e {lost} ] || export ZH_DEVICE_MODULE=/nowhere/libzhiheng-cuda.so')
    said = in_tree(home, "measure", *parts_of("limits", "long"), "--suites", short, "--out", tmp_path / "out", code=3)
    assert "limits ended with 3" in said and "long" not in said


def collect(*words, code=0):
    done = subprocess.run([sys.executable, SCRIPTS / "collect", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return done


def test_tables_are_made_of_what_was_measured(node, results, tmp_path):
    docs, before = tmp_path / "performance.md", (SOURCE / "docs" / "performance.md").read_text()
    docs.write_text(before)
    collect(node / "gpu-results", "--out", tmp_path / "results.json", "--docs", docs)
    kept = json.loads((tmp_path / "results.json").read_text())
    text = docs.read_text()
    assert kept["schema"] == "zhiheng.gpu-results/1" and kept["validation"]["passed"] and kept["device"]["backend"] == "shim"
    assert [bundle["name"] for bundle in kept["bundles"]] == ["limits", "model.gguf", "long"]
    for bundle in kept["bundles"]:
        _, lines = load(node / "gpu-results" / bundle["name"])
        lines = [line for line in lines if line["when"] == "main" and line["workload"] != "null"]
        assert bundle["measurements"] == lines and lines
        for line in lines:
            assert f"| {line['step']} | {line['metric']} | " in text
        for step in bundle["steps"].values():
            assert step["status"] == "done", (bundle["name"], step)
    decode = next(step for name, step in kept["bundles"][1]["steps"].items() if name.startswith("decode@"))
    assert decode["decode"] == "persistent" and decode["products"] and 0 <= decode["check_share_of_repeats"] <= 1
    assert kept["bundles"][1]["steps"]["gpu-compute"]["gpus"][0]["power_w"]["mean"] == 350
    assert re.search(r"\| zeros_ratio_bf16 \| ", text) and "self-check, of the samples" in text
    assert "parts passed; others were not run." in text and text.split("<!-- gpu: end -->")[1] == before.split("<!-- gpu: end -->")[1]
    (tmp_path / "again.md").write_text(before)
    collect(tmp_path / "results.json", "--docs", tmp_path / "again.md")
    assert (tmp_path / "again.md").read_text() == text


def test_what_is_no_result_is_refused(tmp_path):
    (tmp_path / "docs.md").write_text("x")
    assert "no bundle" in collect(tmp_path, "--docs", tmp_path / "docs.md", code=2).stderr
    (tmp_path / "broken.json").write_text("{")
    collect(tmp_path / "broken.json", "--docs", tmp_path / "docs.md", code=3)


MPI = BUILD / "lib" / "zhiheng" / "libzhiheng-mpi.so"


@pytest.mark.skipif(shutil.which("mpirun") is None or not MPI.exists(), reason="no mpirun or no MPI module here")
def test_several_gpus_from_the_source_tree(short, tmp_path):
    environment = os.environ | NODE | {"ZH_DEVICE_MODULE": str(SHIM), "ZH_SHIM_DEVICES": "2", "OMPI_ALLOW_RUN_AS_ROOT": "1",
                                       "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
    done = subprocess.run([SCRIPTS / "measure", "--part", "ranks@2", "--part", f"{FAMILIES}/qwen3@2", "--suites", short,
                           "--out", tmp_path / "out"], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([SCRIPTS / "validate", "--part", "ranks 2", "--suites", short, "--out", tmp_path / "v.json"],
                          env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "ranks 2 together" in done.stderr, done.stderr
    for name in ("ranks@2", "qwen3@2"):
        run, lines = load(tmp_path / "out" / name)
        assert run["valid"] and {step["status"] for step in run["steps"]} == {"done"} and lines
