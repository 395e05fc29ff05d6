"""Makes golden/quality/scores.json: what scikit-learn and rouge-score say of classes and texts drawn at random.

    python tests/oracle/make_score_golden.py      # from the root of the tree; needs scikit-learn and rouge-score, which the tests need not have

rouge-score gets a tokenizer that does what docs/metrics.md says; what is counted of the tokens is its own."""
import json
import random
import re
from importlib.metadata import version
from pathlib import Path

from rouge_score import rouge_scorer, tokenizers
from sklearn.metrics import f1_score, matthews_corrcoef

OUT = Path(__file__).parents[1] / "golden/quality/scores.json"
CJK = r"\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"


class Tokens(tokenizers.Tokenizer):
    """Words between blanks and each character of Chinese, Japanese and Korean, ASCII in lower case and without punctuation."""
    def tokenize(self, text):
        text = re.sub(r"[!-/:-@\[-`{-~]", "", text)
        text = re.sub(rf"([{CJK}])", r" \1 ", text)
        return "".join(c.lower() if c.isascii() else c for c in text).split()


WORDS = ["the", "The", "cat", "sat", "on", "a", "mat.", "mat", "well-known", "北京", "大学", "在", "海淀", "。", "，", "3.5", "35", "naïve", "Ärger", "ｶﾀ", "한국", "\u3000", "it's",
         "(yes)", "no!", "𠀀", "\n", "\t"]


def text(r):
    return "".join(word + r.choice(["", " ", " "]) for word in r.choices(WORDS, k=r.randrange(14)))


def classes(r, kinds, count, accuracy):
    gold = [r.randrange(kinds) for _ in range(count)]
    return [[g, g if r.random() < accuracy else r.randrange(kinds)] for g in gold]


def main():
    r = random.Random(11)
    scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"], tokenizer=Tokens())
    texts = []
    for _ in range(150):
        right = text(r)
        said = r.choice([text(r), right, " ".join(r.sample(right.split(), len(right.split()))), right + text(r)])
        scores = scorer.score(right, said)
        texts.append([right, said, scores["rouge1"].fmeasure, scores["rougeL"].fmeasure])
    samples = [classes(r, kinds, count, accuracy) for kinds in (2, 3, 5) for count in (1, 2, 7, 30) for accuracy in (0, 0.6, 1)]
    samples += [[[0, 0]] * 5, [[1, 1]] * 5, [[0, 1]] * 5, [[1, 0]] * 5, [[0, 1], [1, 1], [1, 1]]]
    figures = []
    for pairs in samples:
        gold, said = zip(*pairs)
        two = set(gold) | set(said) <= {0, 1}
        figures.append({"pairs": pairs, "mcc": float(matthews_corrcoef(gold, said)), "f1": float(f1_score(gold, said, zero_division=0)) if two else None})
    document = {"scikit-learn": version("scikit-learn"), "rouge-score": version("rouge-score"), "texts": texts, "classes": figures}
    OUT.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
