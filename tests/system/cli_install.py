"""What `cmake --install` leaves works from its new place, without the source tree's data."""
import json
import os
import pathlib
import subprocess

import pytest

BUILD = os.environ["ZH_BINARY_DIR"]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    done = subprocess.run(["cmake", "--install", BUILD, "--prefix", str(folder)], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def installed(prefix, *words):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ZH")}
    return subprocess.run([str(prefix / "bin" / "zhiheng"), *words], capture_output=True, text=True, timeout=120,
                          env=clean, cwd="/")


def test_files_are_where_people_expect_them(prefix):
    for path in ("bin/zhiheng", "bin/zhiheng-rank", "share/zhiheng/bench/suites/quickstart.yaml",
                 "share/zhiheng/model/classes.yaml", "share/zhiheng/evaluator/policies/songjiang-2025-draft.yaml",
                 "share/zhiheng/reports/templates", "share/bash-completion/completions/zhiheng",
                 "share/doc/zhiheng/LICENSE", "share/doc/zhiheng/README.zh.md"):
        assert (prefix / path).exists(), path


def test_doctor_and_lists_work(prefix):
    doctor = json.loads(installed(prefix, "doctor", "--json").stdout)
    assert doctor["machine"]["mpi"]["module"] is (prefix / "lib/zhiheng/libzhiheng-mpi.so").exists()
    for kind, known in (("suites", "quickstart"), ("models", "zh-0.1b"), ("policies", "songjiang-2025-draft"), ("tasks", "made_zh")):
        done = installed(prefix, "list", kind)
        assert done.returncode == 0 and known in done.stdout, done.stderr


def test_data_come_from_the_prefix(prefix):
    """Without them it says which folder is missing instead of looking into a source tree."""
    data, away = prefix / "share" / "zhiheng", prefix / "share" / "away"
    data.rename(away)
    try:
        done = installed(prefix, "list", "suites")
    finally:
        away.rename(data)
    assert done.returncode == 3 and "share/zhiheng" in done.stderr


def test_a_small_run_from_the_prefix(prefix, tmp_path):
    bundle = tmp_path / "bundle"
    done = installed(prefix, "run", "null", "--out", str(bundle))
    assert done.returncode == 0, done.stderr
    assert (bundle / "MANIFEST.sm3").exists()


def test_the_manual_page_names_every_command(prefix):
    page = prefix / "share" / "man" / "man1" / "zhiheng.1"
    text = page.read_text()
    for command in ("doctor", "list", "run", "show", "audit", "model", "evaluate", "report", "verify"):
        assert f"\\fB{command}" in text, command
