"""Golden evaluations: small bundles made here, evaluated by the program, compared with tests/golden/expected/.

Run by ctest (evaluator.golden). `evaluations.py --accept` writes what the program gives now as expected; read the
difference before committing it.
"""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import jsonschema
import pytest
import yaml

SOURCE = pathlib.Path(os.environ.get("ZH_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("ZH_BINARY_DIR", SOURCE / "build"))
ZHIHENG = BUILD / "bin" / "zhiheng"
EXPECTED = SOURCE / "tests/golden/expected"
APPLICANT = SOURCE / "tests/golden/applicant/applicant.yaml"
POLICY = "songjiang-2025-draft"


def sm3(data):
    return hashlib.new("sm3", data).hexdigest()


def audit(name, counts, form="gguf"):
    """One model of audit.json. counts: stored, unique, active."""
    stored, unique, active = counts
    note = {"zh": "测试用。", "en": "For tests."}
    return {
        "name": name, "format": form, "bytes": 4096, "sm3": sm3(name.encode()),
        "sha256": None if form == "standard" else hashlib.sha256(name.encode()).hexdigest(),
        "architecture": {"family": "llama", "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "head_dim": 16,
                         "ffn": 128, "vocab": 512, "context": 2048, "experts": 0, "experts_used": 0,
                         "tied_head": True},
        "parameters": {"declared": None, "stored": stored, "unique": unique,
                       "effective": {"value": unique, "low": unique, "high": unique}, "active": active,
                       "active_parts": {"shared": active, "routed": 0, "embedding": 0, "head": 0}, "readings": []},
        "threshold": {"limit": HUNDRED_BILLION, "comparison": ">",
                      "total": "pass" if unique > HUNDRED_BILLION else "fail",
                      "active": "pass" if active > HUNDRED_BILLION else "fail"},
        "groups": [{"role": "embedding", "tensors": 1, "parameters": stored, "bytes": 4096}],
        "layers": [{"layer": None, "parameters": stored, "unique": unique, "effective": unique, "active": active}],
        "types": [{"type": "BF16", "tensors": 1, "parameters": stored, "bytes": 4096}],
        "tensors": 1, "buffers": 0, "findings": [], "notes": [note]}


def run_json(models, valid, stable):
    return {
        "schema": "zhiheng.run/1", "id": "golden", "suite": {"name": "null", "sm3": sm3(b"suite")},
        "plan_sm3": sm3(b"plan"), "seed": "0x1", "command": ["zhiheng", "run", "null"],
        "version": {"zhiheng": "0.1.0", "compiler": "gcc 12.2.0", "kernels": "ref", "mpi": None},
        "started_utc": "2026-11-21T10:08:12Z", "finished_utc": "2026-11-21T10:08:20Z", "ranks": 1, "threads": 1,
        "models": [{"name": m["name"], "format": m["format"], "path": "", "bytes": m["bytes"], "sm3": m["sm3"],
                    "sha256": m["sha256"]} for m in models],
        "steps": [{"step": "null", "workload": "null", "model": None, "when": "main", "status": "done", "reason": "",
                   "wall_s": 0.1, "ranks": [{"rank": 0, "exit": 0, "signal": 0}], "facts": {}, "checks": []}],
        "criteria": [], "stability": {"stable": stable, "limit": 0.1, "drift": []}, "valid": valid}


def write_bundle(folder, models, valid=True, stable=True):
    """A finished bundle, as `zhiheng run` leaves one."""
    measurement = {"step": "null", "workload": "null", "model": None, "metric": "overhead", "value": 1.5e-06,
                   "unit": "s", "n": 3, "ci95": [1e-06, 2e-06], "more_is_better": False, "when": "main",
                   "peak": None, "samples": "samples/null.overhead.json", "valid": True}
    files = {
        "suite.yaml": "suite: null\n",
        "run.json": json.dumps(run_json(models, valid, stable), indent=2) + "\n",
        "audit.json": json.dumps({"schema": "zhiheng.audit/1", "models": models}, indent=2, ensure_ascii=False) + "\n",
        "environment/machine.json": "{}\n",
        "measurements.jsonl": json.dumps(measurement) + "\n",
        "samples/null.overhead.json": "[]\n",
        "journal.jsonl": "",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    lines = [f"{sm3(files[name].encode())}  {name}\n" for name in sorted(files, key=str.encode)]
    (folder / "MANIFEST.sm3").write_text("".join(lines))
    return folder


HUNDRED_BILLION = 10**11
CASES = {
    "small-model": dict(models=[audit("small.gguf", (134515008,) * 3)], applicant=False),
    "at-the-limit": dict(models=[audit("limit.gguf", (HUNDRED_BILLION,) * 3)], applicant=True),
    "over-the-limit": dict(models=[audit("over.gguf", (HUNDRED_BILLION + 1,) * 3)], applicant=True),
    "experts": dict(models=[audit("experts.gguf", (671_000_000_000, 671_000_000_000, 37_000_000_000))],
                    applicant=True),
    "padded": dict(models=[audit("padded.gguf", (HUNDRED_BILLION + 1, 50_000_000_000, 50_000_000_000))],
                   applicant=False),
    "standard-unstable": dict(models=[audit("zh-1b", (1000,) * 3, "standard")], applicant=False, valid=False,
                              stable=False),
}


def evaluate(bundle, out, *options):
    command = [ZHIHENG, "evaluate", bundle, "--policy", POLICY, "--out", out, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def evaluate_case(name, folder):
    case = CASES[name]
    bundle = write_bundle(folder / name, case["models"], case.get("valid", True), case.get("stable", True))
    out = folder / f"{name}.json"
    done = evaluate(bundle, out, *(["--applicant", APPLICANT] if case["applicant"] else []))
    assert done.returncode == 0, done.stderr
    return out.read_text(encoding="utf-8")


def schema(name):
    return json.loads((SOURCE / f"docs/schemas/{name}.schema.json").read_text(encoding="utf-8"))


def validate(document, name):
    jsonschema.Draft202012Validator.check_schema(schema(name))
    jsonschema.Draft202012Validator(schema(name)).validate(document)


WHOLE = "experts"  # the one that is kept whole; the others without what only repeats the policy


def kept(name, text):
    """What tests/golden/expected/ holds of an evaluation."""
    if name == WHOLE:
        return text
    document = json.loads(text)
    for key in ("grants", "clauses", "readings"):
        del document[key]
    del document["grant"]["proof"]
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_golden(name, tmp_path):
    text = evaluate_case(name, tmp_path)
    document = json.loads(text)
    validate(document, "evaluation")
    assert kept(name, text) == (EXPECTED / f"{name}.json").read_text(encoding="utf-8")
    keeps_its_promises(document)


def keeps_its_promises(document):
    verdicts = [finding["verdict"] for finding in document["findings"]]
    assert document["counts"] == {v: verdicts.count(v) for v in ("pass", "fail", "undetermined", "not_applicable")}
    assert document["policy"]["status"] == "draft" and any("征求意见稿" in mark["zh"] for mark in document["marks"])
    policy = (SOURCE / "evaluator/policies/songjiang-2025-draft.yaml").read_text(encoding="utf-8")
    for finding in document["findings"] + document["grants"]:
        assert finding["clause"]["quote"] in policy
    assert document["grant"] in document["grants"]


def test_audits_validate():
    for case in CASES.values():
        validate({"schema": "zhiheng.audit/1", "models": case["models"]}, "audit")


@pytest.mark.parametrize("change", [
    lambda d: d["findings"][0].update(extra=1),
    lambda d: d["findings"][0].update(verdict="maybe"),
    lambda d: d["findings"][0].pop("reason"),
    lambda d: next(f for f in d["findings"] if f["criterion"]["op"])["criterion"].update(boundary_word=None),
    lambda d: d["grant"].update(up_to_wan_yuan=5, verdict="fail"),
    lambda d: d["grant"].update(up_to_yuan="1e7"),
    lambda d: d["grant"].pop("proof"),
    lambda d: d["grants"][0]["proof"][0].update(kind="some"),
    lambda d: d["combination"].pop("by_reading"),
    lambda d: d["readings"][0].pop("question"),
    lambda d: d["clauses"][0].update(kind="hint"),
    lambda d: d["models"][0]["parameters"].update(stored=1.5),
    lambda d: d["policy"].update(status="law"),
    lambda d: d["bundle"][0].update(path="/somewhere/else"),
])
def test_the_schema_refuses(change):
    document = json.loads((EXPECTED / f"{WHOLE}.json").read_text(encoding="utf-8"))
    validate(document, "evaluation")
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        validate(document, "evaluation")


@pytest.mark.parametrize("model", ["zh-0.1b", "models/SmolLM2-135M-Instruct.Q4_1.gguf"])
def test_real_audits_validate(model):
    path = SOURCE / model
    if "/" in model and not path.exists():
        pytest.skip("the sample model is not here; scripts/quickstart fetches it")
    done = subprocess.run([ZHIHENG, "audit", str(path) if "/" in model else model, "--json"], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.Draft202012Validator({**schema("audit"), "$ref": "#/$defs/model", "properties": {}, "required": [],
                                     "additionalProperties": True}).validate(document)
    validate({"schema": "zhiheng.audit/1", "models": [document]}, "audit")
    if "/" in model:
        counted = document["parameters"]
        assert counted["declared"] == "135M"
        remark, = document["findings"]  # eleven rows of tokens that training never met are alike
        assert (remark["kind"], remark["parameters"], remark["confidence"]) == ("unreachable_vocabulary", 11 * 576, 0.4)
        effective = counted["effective"]
        assert {counted["stored"], counted["unique"], counted["active"], effective["value"], effective["high"]} == {
            134515008} and effective["low"] == 134515008 - 11 * 576


def test_a_changed_bundle_is_refused_and_nothing_is_written(tmp_path):
    bundle = write_bundle(tmp_path / "b", CASES["small-model"]["models"])
    text = (bundle / "audit.json").read_text().replace("134515008", "999999999999")
    (bundle / "audit.json").write_text(text)
    done = evaluate(bundle, tmp_path / "out.json")
    assert done.returncode == 1 and "audit.json" in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_a_truncated_bundle_file_is_refused(tmp_path):
    """Every document cut short, with a manifest that agrees: one sentence, status 2, no output."""
    for name in ("run.json", "audit.json", "measurements.jsonl", "environment/machine.json"):
        bundle = write_bundle(tmp_path / name.replace("/", "-"), CASES["small-model"]["models"])
        data = (bundle / name).read_bytes()
        for cut in sorted({0, 1, len(data) // 2, len(data) - 3}):
            if name == "measurements.jsonl" and cut == 0:
                continue  # no figures at all is a bundle that measured nothing
            (bundle / name).write_bytes(data[:cut])
            files = sorted(str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file())
            files.remove("MANIFEST.sm3")
            (bundle / "MANIFEST.sm3").write_text(
                "".join(f"{sm3((bundle / f).read_bytes())}  {f}\n" for f in sorted(files, key=str.encode)))
            done = evaluate(bundle, tmp_path / "out.json")
            assert done.returncode == 2, (name, cut, done)
            assert done.stderr.startswith("zhiheng: ") and not (tmp_path / "out.json").exists()


def test_a_paper_of_another_content_is_refused(tmp_path):
    bundle = write_bundle(tmp_path / "b", CASES["small-model"]["models"])
    shutil.copytree(APPLICANT.parent, tmp_path / "applicant")
    (tmp_path / "applicant/papers/licence.txt").write_text("another\n")
    done = evaluate(bundle, tmp_path / "out.json", "--applicant", tmp_path / "applicant/applicant.yaml")
    assert done.returncode == 1 and "papers/licence.txt" in done.stderr


def test_usage(tmp_path):
    def code(*words):
        return subprocess.run([ZHIHENG, *words], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert code("evaluate").returncode == 2
    assert code("evaluate", "--policy", POLICY).returncode == 2  # neither bundle nor applicant
    assert code("evaluate", ".").returncode == 2  # no policy
    wrong = code("evaluate", "nowhere", "--policy", "songjiang-2025-drat")
    assert wrong.returncode == 2 and "did you mean 'songjiang-2025-draft'" in wrong.stderr
    wrong = code("evaluate", "nowhere", "--policy", POLICY, "--json")
    assert wrong.returncode == 2 and json.loads(wrong.stdout)["error"]["status"] == "ZH_ERR_INPUT"
    assert code("audit").returncode == 2
    assert "Example" in code("audit", "--help").stdout and "Example" in code("evaluate", "--help").stdout


def checklist(*options):
    done = subprocess.run([ZHIHENG, "checklist", "--policy", POLICY, "--json", *options], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, json.loads(done.stdout)


def test_the_checklist_names_ten_items():
    code, document = checklist()
    assert code == 0 and len(document["items"]) == 10
    assert [item["clause"]["id"] for item in document["items"]] == [f"六({n})" for n in "一二三四五六七八九十"]
    assert {item["item"] for item in document["items"] if item["filled_by"]} == {"project_report", "proof_of_conditions"}


def test_the_checklist_says_what_is_there_and_what_is_missing():
    code, document = checklist("--applicant", APPLICANT)
    status = {item["item"]: item["status"] for item in document["items"]}
    assert code == 1
    assert status == {"application_form": "missing", "business_licence": "pass", "town_approval": "pass",
                      "credit_report": "pass", "annual_accounts": "pass", "project_report": "pass",
                      "cost_account": "missing", "honours": "not_applicable", "proof_of_conditions": "missing",
                      "other": "not_applicable"}
    licence = next(item for item in document["items"] if item["item"] == "business_licence")
    assert licence["sm3"] == sm3((APPLICANT.parent / "papers/licence.txt").read_bytes()) and licence["pages"] is None


@pytest.mark.parametrize("issued, status", [
    ("2024-11-20", "fail"), ("2024-11-21", "pass"), ("2026-11-21", "pass"), ("2026-11-22", "fail"), (None, "undetermined")])
def test_a_credit_report_covers_two_years(issued, status, tmp_path):
    """Two years before 2026-11-21 begin on 2024-11-21."""
    shutil.copytree(APPLICANT.parent, tmp_path / "a")
    path = tmp_path / "a/applicant.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(", issued: 2026-10-01",
                                                             f", issued: {issued}" if issued else ""), encoding="utf-8")
    _, document = checklist("--applicant", path)
    assert next(item for item in document["items"] if item["item"] == "credit_report")["status"] == status


@pytest.mark.parametrize("year, status", [(2025, "pass"), (2024, "fail"), (2026, "fail"), (None, "undetermined")])
def test_accounts_are_of_the_year_before(year, status, tmp_path):
    """上一年度 of an application on 2026-11-21 is 2025."""
    item = item_with(tmp_path, "annual_accounts", {"year": year})
    assert (item["status"], item["year"]) == (status, year) and len(item["checks"]) == 1


@pytest.mark.parametrize("more, status, checks", [
    ({"valid_until": "2026-11-20"}, "fail", 1), ({"valid_until": "2026-11-21"}, "pass", 1),
    ({"issued": "2026-11-21"}, "pass", 0), ({"issued": "2026-11-22"}, "fail", 1), ({}, "pass", 0)])
def test_a_paper_is_valid_on_the_day_of_application(more, status, checks, tmp_path):
    item = item_with(tmp_path, "business_licence", more)
    assert item["status"] == status and len(item["checks"]) == checks
    assert item["valid_until"] == more.get("valid_until")


def item_with(folder, name, more):
    """The paper as the checklist shows it, with these keys in the applicant's file."""
    shutil.copytree(APPLICANT.parent, folder / "a")
    path = folder / "a/applicant.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    file = content["materials"][name]["file"]
    content["materials"][name] = {"file": file, **{key: value for key, value in more.items() if value}}
    path.write_text(yaml.safe_dump(content, allow_unicode=True).replace("'", ""), encoding="utf-8")
    _, document = checklist("--applicant", path)
    return next(item for item in document["items"] if item["item"] == name)


def test_pages_of_a_pdf_are_counted(tmp_path):
    shutil.copytree(APPLICANT.parent, tmp_path / "a")
    pages = b"".join(b"%d 0 obj <</Type /Page /Parent 1 0 R>> endobj\n" % n for n in range(2, 5))
    (tmp_path / "a/papers/project.txt").write_bytes(b"%PDF-1.4\n1 0 obj <</Type /Pages /Count 3>> endobj\n" + pages)
    _, document = checklist("--applicant", tmp_path / "a/applicant.yaml")
    assert next(item for item in document["items"] if item["item"] == "project_report")["pages"] == 3


def test_policy_check(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("参数量超过千亿", encoding="utf-8")
    done = subprocess.run([ZHIHENG, "policy", "check", POLICY, "--source", text, "--json"], capture_output=True, text=True,
                          timeout=60)
    document = json.loads(done.stdout)
    assert done.returncode == 1 and document["found"] == 0 and len(document["missing"]) == document["clauses"]
    assert subprocess.run([ZHIHENG, "policy", "check", POLICY], capture_output=True, timeout=60).returncode == 2
    assert subprocess.run([ZHIHENG, "policy", "check", POLICY, "--source", tmp_path / "no"], capture_output=True,
                          timeout=60).returncode == 2


if __name__ == "__main__":
    import tempfile
    if sys.argv[1:] != ["--accept"]:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as made:
        for case_name in CASES:
            found = evaluate_case(case_name, pathlib.Path(made))
            (EXPECTED / f"{case_name}.json").write_text(kept(case_name, found), encoding="utf-8")
