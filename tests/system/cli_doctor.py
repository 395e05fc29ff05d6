"""doctor tells the truth about this node, within its schema, and says in words what is missing."""
import json
import os
import pathlib
import subprocess

import jsonschema
import pytest

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
SCHEMAS = pathlib.Path(os.environ["ZH_SOURCE_DIR"]) / "docs" / "schemas"


def doctor(*before, **environment):
    done = subprocess.run([*before, ZHIHENG, "doctor", "--json"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_machine_fits_its_schema():
    schema = json.loads((SCHEMAS / "environment.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(doctor()["machine"])


def test_machine_agrees_with_the_system():
    machine = doctor()["machine"]
    assert machine["hostname"] == os.uname().nodename
    assert machine["system"]["release"] == os.uname().release
    assert machine["cpu"]["allowed_threads"] == len(os.sched_getaffinity(0))
    total = next(line for line in open("/proc/meminfo") if line.startswith("MemTotal:"))
    assert machine["memory"]["bytes"] == int(total.split()[1]) * 1024
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "").split()
    has = machine["cpu"]["features"]
    assert not has["avx2_fma"] or ("avx2" in flags and "fma" in flags)
    assert not has["avx512"] or "avx512f" in flags
    assert not has["avx512_vnni"] or "avx512_vnni" in flags
    assert not has["avx512_bf16"] or "avx512_bf16" in flags


def test_allowed_threads_follow_the_affinity():
    cpu = min(os.sched_getaffinity(0))
    assert doctor("taskset", "-c", str(cpu))["machine"]["cpu"]["allowed_threads"] == 1


def test_what_is_missing_is_said_with_reason_and_remedy(tmp_path):
    """With nothing on the path and no modules, MPI, PDF and fonts are left out."""
    (tmp_path / "sh").symlink_to("/bin/sh")
    document = doctor(PATH=str(tmp_path), ZHIHENG_MODULES=str(tmp_path))
    assert document["machine"]["mpi"] == {"module": False, "mpirun": None, "srun": None}
    assert document["report_tools"] == {"weasyprint": None, "chinese_font": None}
    words = " ".join(item["what"] for item in document["left_out"])
    for what in ("GPU", "rank", "PDF", "Chinese"):
        assert what in words
    assert all(item["why"] and item["how"] for item in document["left_out"])


def test_a_node_without_a_driver_says_so():
    machine = doctor()["machine"]
    if machine["gpus"]:
        pytest.skip("this node has a GPU")
    assert "driver" in machine["gpu_note"]


def test_people_read_the_same():
    done = subprocess.run([ZHIHENG, "doctor"], capture_output=True, text=True, timeout=60)
    document = doctor()
    assert done.returncode == 0 and done.stderr == ""
    assert (document["machine"]["cpu"]["model"] or "unknown") in done.stdout
    for item in document["left_out"]:
        assert item["what"] in done.stdout and item["why"] in done.stdout
