"""Makes golden/quality/expected.json: what lm-evaluation-harness says of our own task files and items.

    python tests/oracle/make_quality_golden.py FOLDER-FOR-ITS-RESULTS      # from the root of the tree

Needs lm-eval 0.4.13 with torch, transformers, accelerate and gguf, which the tests need not have."""
import json
import sys
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden/quality"
KEPT = ("doc_id", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash")
WANTED = ("results", "groups", "group_subtasks", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes")
# Tasks, and the positions that the model may use: None is all that it has.
RUNS = {"all": (["common_group", "cloze", "pages", "sums", "words"], None), "short": (["pages"], 24)}


def evaluate(lm, tasks, folder):
    from lm_eval import evaluator
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager
    tracker = EvaluationTracker(output_path=str(folder))
    results = evaluator.simple_evaluate(model=lm, tasks=tasks, task_manager=TaskManager(include_path=str(GOLDEN / "tasks")), batch_size=1,
                                        log_samples=True, evaluation_tracker=tracker)
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)


def condensed(folder):
    results = json.loads(max(folder.rglob("results_*.json")).read_text(encoding="utf-8"))
    samples = {}
    for path in sorted(folder.rglob("samples_*.jsonl")):
        task = path.name[len("samples_"):path.name.rindex("_")]
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        samples[task] = [{key: row[key] for key in KEPT} | {"scores": {name: row[name] for name in row["metrics"]}} for row in rows]
    return {**{key: results[key] for key in WANTED if key in results}, "samples": samples}


def mend_tokenizer(lm):
    """transformers makes of GGUF's pre-tokenizer "smollm" one that does not cut out digits, as the published one does."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    lm.tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)])
    assert len(lm.tokenizer.encode("\n\n2")) == 2


def main(out):
    import lm_eval
    import transformers
    from lm_eval.models.huggingface import HFLM
    lm = HFLM(pretrained=str(Path("models").resolve()), gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", dtype="float32", device="cpu", batch_size=1)
    mend_tokenizer(lm)
    document = {"lm_eval": lm_eval.__version__, "transformers": transformers.__version__}
    for name, (tasks, length) in RUNS.items():
        lm._max_length = length
        evaluate(lm, tasks, out / name)
        document[name] = condensed(out / name)
    text = json.dumps(document, ensure_ascii=False, indent=1)
    (GOLDEN / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
