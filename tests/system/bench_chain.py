"""The model that is counted is the model that runs: files swapped or written to between the audit and the run, or while
it runs, and bundles edited afterwards with a manifest made anew."""
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import gguf
import jsonschema
import pytest
from harness import SOURCE, ZHIHENG, check_whole, journal, run, start, wait_for, write_suite

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracle"))
from test_engine_types import T, write_model  # noqa: E402

# Time to swap the file before the model's step, then a step that lasts some seconds.
SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: before
    workload: compute
    deadline: 60 s
    repeats: 40
    parameters: {metrics: [fp32_fma], milliseconds: 50}
  - step: decode
    workload: decode
    deadline: 60 s
    repeats: %d
    parameters: {prompt: 8, tokens: 40}
"""


def make_model(path):
    return write_model(path, T.Q8_0)


def alter(path):
    """One bit of one weight, in place, size and times kept as far as anyone can keep them."""
    info = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)[0]
        file.seek(-1000, 2)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def swap(path):
    """Another model of the same shape under the same name."""
    other = path.with_suffix(".other")
    shutil.copyfile(path, other)
    alter(other)
    os.replace(other, path)


def same_again(path):
    """The same bytes in another file."""
    other = path.with_suffix(".other")
    shutil.copyfile(path, other)
    os.replace(other, path)


def there_and_back(path):
    alter(path)
    alter(path)


def model_step(run_json):
    return next(step for step in run_json["steps"] if step["workload"] == "decode")


def ask(*words):
    return subprocess.run([ZHIHENG, *map(str, words)], capture_output=True, text=True, timeout=120)


def evaluate(bundle):
    return ask("evaluate", bundle, "--policy", "songjiang-2025-draft", "--out", bundle.parent / "evaluation.json")


@pytest.mark.parametrize("change", [alter, swap], ids=lambda f: f.__name__)
def test_a_file_changed_between_audit_and_run(tmp_path, change):
    model = make_model(tmp_path / "m.gguf")
    out = tmp_path / "bundle"
    supervisor = start(write_suite(tmp_path, SUITE % 2), "--out", out, "--model", model)
    wait_for(lambda: (tmp_path / "bundle.partial/work/001/step.json").exists(), 60, "the step before")
    change(model)
    _, stderr = supervisor.communicate(timeout=60)
    run_json, lines = check_whole(out)
    step = model_step(run_json)
    assert supervisor.returncode == 1 and not run_json["valid"], stderr
    assert step["status"] == "failed" and "is not the one that was counted before the run" in step["reason"]
    assert not [line for line in lines if line["step"] == step["step"]]
    refused = evaluate(out)
    assert refused.returncode == 1 and "but the one that was counted" in refused.stderr
    assert ask("verify", out).returncode == 1


def test_a_part_changed_between_audit_and_run(tmp_path, monkeypatch):
    """A model of several files: the digest is of all of them, in the order of their names."""
    monkeypatch.setattr(gguf, "GGUFWriter", functools.partial(gguf.GGUFWriter, split_max_tensors=8))
    make_model(tmp_path / "m.gguf")
    parts = sorted(tmp_path.glob("m-*.gguf"))
    assert len(parts) == 3
    data = [part.read_bytes() for part in parts]
    out = tmp_path / "bundle"
    suite = write_suite(tmp_path, SUITE % 2)
    supervisor = start(suite, "--out", out, "--model", parts[0])
    wait_for(lambda: (tmp_path / "bundle.partial/work/001/step.json").exists(), 60, "the step before")
    alter(parts[1])
    _, stderr = supervisor.communicate(timeout=60)
    run_json, _ = check_whole(out)
    assert supervisor.returncode == 1 and "is not the one that was counted" in model_step(run_json)["reason"], stderr
    assert run_json["models"][0]["sm3"] == hashlib.new("sm3", b"".join(data)).hexdigest()
    text = "".join(f"file {len(d)}\n{hashlib.new('sm3', d).hexdigest()}\n" for d in data)
    assert run_json["models"][0]["content_sm3"] == hashlib.new("sm3", text.encode()).hexdigest()
    assert evaluate(out).returncode == 1


@pytest.mark.parametrize("change, sentence", [(there_and_back, "was written to"), (swap, "in the model"),
                                              (same_again, "was replaced by another file")],
                         ids=["there and back", "swap", "same again"])
def test_a_file_changed_while_it_runs(tmp_path, change, sentence):
    model = make_model(tmp_path / "m.gguf")
    out = tmp_path / "bundle"
    supervisor = start(write_suite(tmp_path, SUITE % 1500), "--out", out, "--model", model)

    def mapped():
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and b"zhiheng-rank" in (entry / "cmdline").read_bytes().split(b"\0")[0]:
                    if str(model) in (entry / "maps").read_text():
                        return True
            except OSError:
                continue
        return False

    wait_for(mapped, 60, "a rank that has mapped the model")
    wait_for(lambda: (tmp_path / "bundle.partial/work/002/step.json").exists(), 60, "the model's step")
    time.sleep(0.5)  # past the digest that the rank takes when it begins
    assert supervisor.poll() is None
    change(model)
    _, stderr = supervisor.communicate(timeout=90)
    run_json, lines = check_whole(out)
    step = model_step(run_json)
    assert supervisor.returncode == 1 and step["status"] == "failed", stderr
    assert sentence in step["reason"]
    assert not [line for line in lines if line["step"] == step["step"]]


# --- bundles edited afterwards ---


def sign(bundle):
    """A manifest that agrees with what is there, as an attacker makes one."""
    files = sorted(str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file() and p.name != "MANIFEST.sm3")
    digest = lambda name: hashlib.new("sm3", (bundle / name).read_bytes()).hexdigest()
    (bundle / "MANIFEST.sm3").write_text("".join(f"{digest(f)}  {f}\n" for f in sorted(files, key=str.encode)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    model = make_model(folder / "m.gguf")
    suite = write_suite(folder, (SUITE % 2).replace("repeats: 40", "repeats: 2"))
    done = run(suite, "--out", folder / "bundle", "--model", model)
    assert done.returncode == 0, done.stderr
    return folder / "bundle"


def edit(bundle, folder, name, change):
    copy = folder / "bundle"
    shutil.copytree(bundle, copy)
    document = json.loads((copy / name).read_text())
    change(document)
    (copy / name).write_text(json.dumps(document, indent=1, ensure_ascii=False))
    sign(copy)
    return copy


def test_an_honest_bundle_is_taken(bundle):
    done = evaluate(bundle)
    assert done.returncode == 0, done.stderr
    assert ask("verify", bundle).returncode == 0


def test_a_bundle_holds_the_whole_audit(bundle):
    """The weights were looked at: effective parameters are there for the evaluation; how long it took, too."""
    audit = json.loads((bundle / "audit.json").read_text())["models"][0]
    assert audit["parameters"]["unique"] == audit["parameters"]["stored"]
    assert audit["parameters"]["effective"]["low"] <= audit["parameters"]["effective"]["value"]
    begun = next(line for line in journal(bundle) if line["event"] == "begun")
    assert begun["audit_s"]["m.gguf"] > 0
    schema = json.loads((SOURCE / "docs/schemas/journal.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(begun)


def test_the_content_digest_is_what_the_document_says(bundle):
    """Computed here from the definition in docs/metrics.md."""
    run_json = json.loads((bundle / "run.json").read_text())
    data = (bundle.parent / "m.gguf").read_bytes()
    step = 16 << 20
    text = f"file {len(data)}\n" + "".join(
        hashlib.new("sm3", data[at:at + step]).hexdigest() + "\n" for at in range(0, len(data), step))
    expected = hashlib.new("sm3", text.encode()).hexdigest()
    assert run_json["models"][0]["content_sm3"] == expected
    assert model_step(run_json)["facts"]["content_sm3"] == expected


OTHER = "0123456789abcdef" * 4


def set_audit(key, value):
    return lambda d: d["models"][0].__setitem__(key, value)


EDITS = {
    "audit of another file": ("audit.json", set_audit("sm3", OTHER), "audit.json counted the file with SM3"),
    "audit under another name": ("audit.json", set_audit("name", "other.gguf"), "run.json did not run it"),
    "no audit at all": ("audit.json", lambda d: d["models"].clear(), "audit.json does not count it"),
    "run of another file": ("run.json", lambda d: d["models"][0].__setitem__("sm3", OTHER), "but run.json ran"),
    "counted content": ("run.json", lambda d: d["models"][0].__setitem__("content_sm3", OTHER), "but the one that was"),
    "ran content": ("run.json", lambda d: model_step(d)["facts"].__setitem__("content_sm3", OTHER), "but the one that"),
    "no content that ran": ("run.json", lambda d: model_step(d)["facts"].pop("content_sm3"), "does not say by content"),
    "no content that was counted": ("run.json", lambda d: d["models"][0].pop("content_sm3"), "does not say by content"),
    "a model nobody lists": ("run.json", lambda d: model_step(d).__setitem__("model", "x"), "does not list"),
    "a model twice": ("run.json", lambda d: d["models"].append(d["models"][0]), "stands twice"),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edited_bundle_is_refused(bundle, tmp_path, case):
    name, change, sentence = EDITS[case]
    edited = edit(bundle, tmp_path, name, change)
    for done in (evaluate(edited), ask("verify", edited)):
        assert done.returncode in (1, 2), done.stdout
        assert sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "evaluation.json").exists()
