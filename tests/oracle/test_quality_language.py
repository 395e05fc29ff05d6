"""What task files can ask for beyond templates: chat templates, drawn answers, functions by name, aliases."""
import collections
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from llama_numpy import Llama

SOURCE = Path(os.environ["ZH_SOURCE_DIR"])
ZHIHENG = Path(os.environ["ZH_BINARY_DIR"]) / "bin/zhiheng"
MODEL = SOURCE / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
GOLDEN = SOURCE / "tests/golden/quality"
CHAT = json.loads((GOLDEN / "chat.json").read_text(encoding="utf-8"))


def evaluate(out, tasks, *words, include=GOLDEN / "tasks"):
    done = subprocess.run([ZHIHENG, "eval", MODEL, "--tasks", tasks, "--include", include, "--out", out, *words], cwd=SOURCE, capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return {path.name[len("samples_"):path.name.rindex("_")]: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for path in out.rglob("samples_*.jsonl")}


def results(out):
    return json.loads(next(out.rglob("results_*.json")).read_text(encoding="utf-8"))


def refusal(folder, text, name="t.yaml"):
    (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run([ZHIHENG, "data", "check", "--tasks", folder / name], cwd=SOURCE, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("mode", CHAT["modes"])
def test_prompts_by_a_chat_template(tmp_path, mode):
    how = CHAT["modes"][mode]
    words = ["--apply-chat-template"] if how["apply_chat_template"] else []
    if "system_instruction" in how:
        words += ["--system-instruction", how["system_instruction"]]
    if how.get("fewshot_as_multiturn") is False:
        words += ["--fewshot-as-multiturn", "false"]
    tasks = CHAT["prompts"][mode]
    samples = evaluate(tmp_path / "out", ",".join(tasks), "--limit", "2", *words)
    for task, prompts in tasks.items():
        prompts = [prompt for prompt in prompts if prompt[0] < 2]
        filters = {row["filter"] for row in samples[task]}
        mine = [[row["doc_id"], a["arg_0"], a["arg_1"] if isinstance(a["arg_1"], str) else None]
                for row in samples[task] if row["filter"] == min(filters) for a in row["arguments"].values()]
        assert sorted(mine, key=json.dumps) == sorted(prompts, key=json.dumps), task
    said = results(tmp_path / "out")
    assert said["system_instruction"] == how.get("system_instruction")
    assert said["fewshot_as_multiturn"] == how.get("fewshot_as_multiturn", False)
    assert (said["chat_template"] is not None) == how["apply_chat_template"]


DRAWN = """task: drawn
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: "{{answer}}"
repeats: 5
generation_kwargs: {until: ["\\n"], do_sample: true, temperature: 1.5, top_p: 0.9, top_k: 40, max_gen_toks: 6}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
filter_list:
  - {name: first, filter: [{function: take_first}]}
  - {name: vote, filter: [{function: take_first_k, k: 3}, {function: regex, regex_pattern: "([0-9])"}, {function: majority_vote}, {function: take_first}]}
""".replace("DATA", str(GOLDEN / "data/sums.jsonl"))


def test_drawn_answers(tmp_path):
    """Five answers to each prompt: the seed's, whatever stands beside them; the vote is Python's Counter's."""
    (tmp_path / "drawn.yaml").write_text(DRAWN)
    ask = lambda name, *words: evaluate(tmp_path / name, "drawn", "--limit", "3", *words, include=tmp_path)["drawn"]
    first = ask("a", "--seed", "11", "--batch", "1")
    assert ask("b", "--seed", "11", "--batch", "7", "--threads", "1") == first
    assert ask("c", "--seed", "12") != first
    answers = [row["resps"][0] for row in first if row["filter"] == "first"]
    assert all(len(five) == 5 for five in answers) and len({a for five in answers for a in five}) > 8
    for row, five in zip([row for row in first if row["filter"] == "vote"], answers, strict=True):
        found = [next((c for c in answer if c in "0123456789"), "[invalid]") for answer in five[:3]]
        assert row["filtered_resps"] == [collections.Counter(found).most_common(1)[0][0]]
    assert [row["filtered_resps"][0] for row in first if row["filter"] == "first"] == [five[0] for five in answers]
    assert results(tmp_path / "a")["config"]["made_seed"] == 11


ROWS = [{"activity_label": "Removing ice", "ctx_a": "A man sits in a car.", "ctx_b": "then he", "endings": ["opens it.", "leaves [x] now", "sings", "sleeps"], "label": "0", "ind": i} for i in range(3)]
HELLASWAG = """task: t
dataset_path: PATH
test_split: test
process_docs: !function utils.process_docs
output_type: multiple_choice
doc_to_text: "{{query}}"
doc_to_target: "{{label}}"
doc_to_choice: choices
"""


def test_functions_are_those_of_a_known_module(tmp_path):
    """By the data set's name, or by the module's SHA-256; another module of the same name is refused."""
    folder = tmp_path / "data/Rowan/hellaswag"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "t.yaml").write_text(HELLASWAG.replace("PATH", "Rowan/hellaswag"))
    samples = evaluate(tmp_path / "out", "t", "--data", tmp_path / "data", include=tmp_path)["t"]
    assert samples[0]["doc"]["query"] == "Removing ice: A man sits in a car. Then he" and samples[0]["doc"]["choices"][1] == "leaves  now".replace("  ", " ")
    assert results(tmp_path / "out")["functions"]["t"] == ["hellaswag.process_docs (lm-evaluation-harness 0.4.13)"]
    (tmp_path / "utils.py").write_text("def process_docs(rows):\n    return rows\n")
    sha = hashlib.sha256((tmp_path / "utils.py").read_bytes()).hexdigest()
    said = refusal(tmp_path, HELLASWAG.replace("PATH", "Rowan/hellaswag"))
    assert "t.yaml:4:15: 'utils.process_docs' is a function of" in said and f"{tmp_path}/utils.py" in said and sha[:16] in said
    (tmp_path / "utils.py").unlink()
    said = refusal(tmp_path, HELLASWAG.replace("PATH", "someone/else"))
    assert "t.yaml:4:15: 'utils.process_docs' is a function in Python" in said and "someone/else" in said


@pytest.mark.parametrize("change, said", [
    ({"process_docs": "!function zhiheng.hellaswag.process_docs"}, None),
    ({"process_docs": "!function zhiheng.nothing.process_docs"}, "no family of functions is called 'nothing'"),
    ({"process_docs": "!function zhiheng.ifeval.process_results"}, "scores items; it stands where a function that makes items is expected"),
    ({"process_docs": "!function process_docs"}, "MODULE.NAME was expected"),
    ({"process_docs": "'!function zhiheng.hellaswag.process_docs'"}, "is no tag of this file"),
    ({"process_docs": "utils"}, "'process_docs' must be a function"),
    ({"process_results": "utils"}, "'process_results' must be a function"),
    ({"doc_to_decontamination_query": "!function utils.f"}, "below 'doc_to_decontamination_query' none is known"),
    ({"doc_to_text": "!function utils.f"}, "t.yaml:6:14: 'utils.f' is a function in Python"),
    ({"repeats": "2"}, "only generated answers can be repeated"),
    ({"fewshot_config": "{fewshot_indices: [1]}"}, "'fewshot_indices' of fewshot_config is not known"),
    ({"filter_list": "[{name: x, filter: [{function: take_first_k, k: 2}]}]"}, "k must be from 1 to the task's repeats"),
    ({"filter_list": "[{name: x, filter: [{function: custom}]}]"}, "needs filter_fn"),
    ({"metric_list": "[{metric: acc, aggregation: !function utils.mean}]"}, "'utils.mean' is a function in Python"),
])
def test_other_functions_are_refused_by_name_and_line(tmp_path, change, said):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    base = {"task": "t", "dataset_path": "json", "dataset_kwargs": "{data_files: {test: rows.jsonl}}", "test_split": "test", "output_type": "multiple_choice",
            "doc_to_text": '"{{ctx_a}}"', "doc_to_target": '"{{label}}"', "doc_to_choice": "endings"}
    text = "".join(f"{key}: {value}\n" for key, value in {**base, **change}.items())
    if said is None:
        (tmp_path / "t.yaml").write_text(text)
        done = subprocess.run([ZHIHENG, "data", "check", "--tasks", tmp_path / "t.yaml", "--json"], capture_output=True, text=True, check=False)
        assert json.loads(done.stdout)["tasks"][0]["items"] == 3, done.stdout
    else:
        assert said in refusal(tmp_path, text)


def test_aliases_and_merge_keys(tmp_path):
    """As PyYAML reads them; a file that would grow without end is refused."""
    tool = Path(os.environ["ZH_BINARY_DIR"]) / "tests/quality_tool"
    texts = ["a: &x {b: 1, c: [1, 2]}\nd: *x\ne: [*x, *x]\n", "base: &b {k: 1, l: 2}\nown:\n  <<: *b\n  l: 3\n  m: 4\n", "p: &p {a: 1, b: 2}\nq: &q {b: 3, c: 4}\nr: {<<: [*p, *q], c: 9}\n",
             "v: &v no\nw: *v\nx: &u 'two'\ny: *u\n", "l: &l [a, &m b]\nk: *m\nn: *l\n", "o: {'<<': 1}\n"]
    bad = ["a: *nothing\n", "a: &v 1\nb: &v 2\n", "a: &a [*a]\n", "a: &a {<<: [1]}\n", "a: {<<: {b: 1}, <<: {c: 2}}\n"]
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 20))
    deep = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60))
    paths = []
    for i, text in enumerate([*texts, *bad, laughs, deep]):
        paths.append(tmp_path / f"{i}.yaml")
        paths[-1].write_text(text)
    done = subprocess.run([tool], input="".join(json.dumps({"yaml": str(path)}) + "\n" for path in paths), capture_output=True, text=True, timeout=60, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for text, answer in zip(texts, answers):
        assert answer == {"value": yaml.safe_load(text)}, text
    assert all("error" in answer for answer in answers[len(texts):])
    assert "aliases written out" in answers[-2]["error"] and "too deep" in answers[-1]["error"]


def test_definitions_of_opencompass(tmp_path):
    """Options by the mean cross-entropy of the whole text over all its tokens, computed by numpy; answers sign by sign; groups unweighted."""
    samples = evaluate(tmp_path / "out", "common_group,sums", "--limit", "2", "--definitions", "opencompass", "--precision", "unrounded")
    said = results(tmp_path / "out")["results"]
    model = Llama(MODEL)

    def mark(text):
        done = subprocess.run([ZHIHENG, "model", "tokenize", MODEL, "--text", text, "--json"], capture_output=True, text=True, check=True)
        tokens = json.loads(done.stdout)["tokens"]
        predicted, mean, _ = model.perplexity(tokens, len(tokens))
        assert predicted == len(tokens) - 1
        return mean * predicted / len(tokens), len(tokens)

    accuracy = {}
    for task, rows in samples.items():
        for row in rows:
            if task == "sums":
                assert row["accuracy"] == (row["filtered_resps"][0] == row["target"])
                continue
            marks = []
            for argument, (logprob, _, count) in zip(row["arguments"].values(), (answer[0] for answer in row["resps"])):
                marks.append(-float(logprob) / int(count))
                if row["doc_id"] == 0 and task in ("capitals", "common_zh_text"):
                    theirs, tokens = mark(argument["arg_0"] + argument["arg_1"])
                    assert int(count) == tokens and abs(marks[-1] - theirs) < 2e-4, (task, marks, theirs)
            gold = int(row["doc"]["answer"]) - 1 if task == "blanks" else int(row["target"])
            assert row["accuracy"] == (marks.index(min(marks)) == gold), (task, row["doc_id"])
        if task != "sums":
            accuracy[task] = 100 * sum(row["accuracy"] for row in rows) / len(rows)
            assert abs(said[task]["accuracy,none"] - accuracy[task]) < 1e-9
    assert abs(said["common_group"]["accuracy,none"] - sum(accuracy.values()) / len(accuracy)) < 1e-9 and len(accuracy) == 4
    assert refused(tmp_path, "pages") and refused(tmp_path, "cloze")


def refused(folder, task):
    done = subprocess.run([ZHIHENG, "eval", MODEL, "--tasks", task, "--include", GOLDEN / "tasks", "--out", folder / task, "--definitions", "opencompass"], cwd=SOURCE,
                          capture_output=True, text=True, timeout=120, check=False)
    return done.returncode == 2 and "this task needs its own" in done.stdout + done.stderr
