"""How near multiple choice comes to the engine's own prefill limit, measured in the same run:

    tests/oracle/bench_quality_speed.py build/bin/zhiheng MODEL [ITEMS [ROUNDS]]

Questions of some 90 tokens, put with letters and with texts as options, without examples and with five that all share. Of each:
tokens that had to be computed once (`needed`), over seconds, over the median full pass; of so many rounds, the four in turn, the
median and the range of that ratio."""
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = ("river market window garden letter morning station engine paper mountain bottle winter teacher village question silver "
         "kitchen harbour captain forest library orange bridge doctor island music shadow travel number picture").split()


def sentence(r, words):
    return " ".join(r.choice(WORDS) for _ in range(words)).capitalize() + "."


def row(r):
    return {"text": " ".join(sentence(r, 12) for _ in range(6)), "options": [sentence(r, r.randint(3, 6)) for _ in range(4)], "label": r.randrange(4)}


def task(name, shots, letters):
    options = "\\n".join(f"{letter}. {{{{options[{i}]}}}}" for i, letter in enumerate("ABCD"))
    text = '"{{text}}\\n' + (options + "\\n" if letters else "") + 'Answer:"'
    choice = '["A", "B", "C", "D"]' if letters else "options"
    return (f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: test.jsonl, dev: dev.jsonl}}}}\ntest_split: test\n"
            f"fewshot_split: dev\nfewshot_config: {{sampler: first_n}}\nnum_fewshot: {shots}\noutput_type: multiple_choice\n"
            f"doc_to_text: {text}\ndoc_to_choice: {choice}\ndoc_to_target: label\nmetric_list: [{{metric: acc}}, {{metric: acc_norm}}]\n")


def rate_of(zhiheng, model, folder, name):
    """Tokens a second that had to be computed, and those of a full pass, of one run."""
    subprocess.run([zhiheng, "eval", model, "--tasks", name, "--include", folder, "--out", folder / "out"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = json.loads((folder / "out" / "run.json").read_text())
    speed = next(s["facts"]["quality"] for s in run["steps"] if s["workload"] == "quality")["speed"][0]
    lines = [json.loads(line) for line in (folder / "out" / "measurements.jsonl").read_text().splitlines()]
    shutil.rmtree(folder / "out")
    limit = next(line["peak"]["value"] for line in lines if line["metric"] == "answer_rate")
    return min(speed["needed"], speed["computed"]) / speed["seconds"], limit


def main():
    zhiheng, model = sys.argv[1], sys.argv[2]
    items, rounds = (int(word) if word else default for word, default in zip((sys.argv[3:] + ["", ""])[:2], (500, 5)))
    r = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, count in (("test", items), ("dev", 5)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row(r)) + "\n" for _ in range(count)))
        found = {f"{'letters' if letters else 'texts'}_{shots}": [] for shots in (0, 5) for letters in (True, False)}
        for name in found:
            (folder / f"{name}.yaml").write_text(task(name, int(name[-1]), name.startswith("letters")))
        for _ in range(rounds):
            for name, rates in found.items():
                rates.append(rate_of(zhiheng, model, folder, name))
        for name, rates in found.items():
            ratios = sorted(100 * rate / limit for rate, limit in rates)
            print(f"{name:10} {items} items, {rounds} rounds: {statistics.median(rate for rate, _ in rates):.0f} token/s, "
                  f"{statistics.median(ratios):.1f} % of a full pass ({ratios[0]:.1f} to {ratios[-1]:.1f})", flush=True)


if __name__ == "__main__":
    main()
