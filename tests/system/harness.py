"""What the system tests of the harness share: running it, reading bundles, looking for processes left behind."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])

# A step that is over in a moment, and one that lasts some seconds in repeats of 50 ms.
SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: quick
    workload: "null"
    repeats: 20
  - step: slow
    workload: compute
    deadline: 60 s
    repeats: %d
    parameters: {metrics: [fp32_fma], milliseconds: 50}
"""


def write_suite(folder, text=None, repeats=40):
    path = folder / "probe.yaml"
    path.write_text(text or SUITE % repeats)
    return path


def start(*words, **more):
    return subprocess.Popen([ZHIHENG, "run", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **more)


def run(*words, timeout=120, **more):
    return subprocess.run([ZHIHENG, "run", *map(str, words)], capture_output=True, text=True, timeout=timeout, **more)


def processes(mark):
    """pid and command line of every living process whose command line holds `mark`, but for zhiheng itself."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        line = b" ".join(words).decode(errors="replace")
        if mark in line and state != "Z" and os.path.basename(words[0]) != b"zhiheng":
            found[int(entry.name)] = line
    return found


def wait_for(condition, seconds=20, what="the condition"):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


def journal(folder):
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def steps_in(folder):
    return [(line["step"], line["when"]) for line in journal(folder) if line["event"] == "step"]


def load(bundle):
    run_json = json.loads((bundle / "run.json").read_text())
    lines = [json.loads(line) for line in (bundle / "measurements.jsonl").read_text().splitlines()]
    return run_json, lines


def check_manifest(bundle):
    listed = {}
    for line in (bundle / "MANIFEST.sm3").read_text().splitlines():
        digest, name = line.split("  ", 1)
        listed[name] = digest
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()} - {"MANIFEST.sm3"}
    assert files == set(listed)
    for name, digest in listed.items():
        assert hashlib.new("sm3", (bundle / name).read_bytes()).hexdigest() == digest, name


def check_whole(bundle, killed=False):
    """killed: by SIGKILL at a moment unknown, perhaps between the bundle's rename and the end of its working files."""
    check_manifest(bundle)
    parent = bundle.parent
    assert not (parent / (bundle.name + ".partial")).exists()
    assert killed or not (parent / (bundle.name + ".work")).exists()
    return load(bundle)


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)
