"""How fast text becomes tokens on one core, ours beside PyPI `tokenizers`, each the best of rounds that take turns.

  ZH_SOURCE_DIR=. ZH_BINARY_DIR=build python tests/oracle/bench_tokenizers.py [--megabytes 8] [--vocab 30000]

Vocabularies are trained here on a beginning of the text; what is timed is its second half, so that words come that no
vocabulary has. Chinese is drawn word by word from this project's own, so that clauses do not repeat.
"""

import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from test_model_tokenizers import PUBLISHED, folder  # noqa: E402
from tokenizer_texts import SOURCE, TOOL, chinese_texts, real_texts  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers  # noqa: E402


TRAINED_ON = 400_000  # characters of each language, or training takes minutes


def shuffled(megabytes, real):
    """Paragraphs in any order; of a hundred words three are written backwards, as names that are new."""
    rng, made, length = random.Random(1), [], 0
    while length < megabytes * 1e6:
        made.append(" ".join(w if rng.random() < 0.97 else w[::-1] for w in rng.choice(real).split(" ")))
        length += len(made[-1])
    return "\n\n".join(made)


def english(megabytes):
    files = [p for p in pathlib.Path("/usr/share/common-licenses").glob("*") if p.is_file()]
    files += list(SOURCE.glob("**/*.md"))
    text = "\n\n".join(p.read_text(encoding="utf-8", errors="ignore") for p in sorted(files))
    return shuffled(megabytes, [p for p in re.split("\n\n+", text) if p.isascii() and len(p) > 40])


def code(megabytes):
    return shuffled(megabytes, [t for t in real_texts() if t.isascii()])


def chinese(megabytes):
    """Words of one to four characters, as often as they stand in the real text, in clauses of 5 to 20 characters."""
    rng, made, length = random.Random(2), [], 0
    runs = [r for text in chinese_texts() for r in re.findall("[\u4e00-\u9fff]+", text)]
    while length < megabytes * 1e6 / 3:
        clause = ""
        for _ in range(rng.randrange(3, 9)):
            run = rng.choice(runs)
            at = rng.randrange(len(run))
            clause += run[at : at + rng.randrange(1, 5)]
        made.append(clause + rng.choice("，，，，。。；：、\n") + (str(rng.randrange(3000)) if rng.random() < 0.1 else ""))
        length += len(made[-1])
    return "".join(made)


def byte_level(name, corpus, vocab):
    patterns, whole = PUBLISHED[name]
    made = Tokenizer(models.BPE(ignore_merges=whole))
    steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    made.pre_tokenizer = pre_tokenizers.Sequence(
        steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=vocab, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return made


def sentencepiece_like(corpus, vocab):
    """Spaces as U+2581 and merges over all of the text, as Llama 2's and Gemma's tokenizer.json have it."""
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    listed = ["<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(Regex("▁+[^▁\\n]*|[^▁\\n]+|\\n+"), "isolated")
    made.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=listed, show_progress=False))
    made.pre_tokenizer = None
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return made


def ours(path, text):
    out = subprocess.run([TOOL, path, "bench", text], capture_output=True, text=True, check=True).stdout
    return float(out.split()[0]), int(out.split()[4])


def theirs(made, text):
    begin = time.perf_counter()
    count = len(made.encode(text, add_special_tokens=False).ids)
    return len(text.encode()) / (time.perf_counter() - begin) / 1e6, count


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--megabytes", type=float, default=8)
    words.add_argument("--vocab", type=int, default=20000)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--kinds", default="qwen2,llama-bpe,gpt-4o,deepseek-v3,gpt-2,sentencepiece")
    given = words.parse_args()
    texts = {"English": english(2 * given.megabytes), "Chinese": chinese(2 * given.megabytes),
             "programs": code(2 * given.megabytes)}
    halves = {k: (t[: len(t) // 2], t[len(t) // 2 :]) for k, t in texts.items()}
    corpus = [p for train, _ in halves.values() for p in re.split("\n+", train[: TRAINED_ON])]
    with tempfile.TemporaryDirectory() as place:
        for kind in given.kinds.split(","):
            made = sentencepiece_like(corpus, given.vocab) if kind == "sentencepiece" else byte_level(
                kind, corpus, given.vocab)
            path = folder(pathlib.Path(place) / kind, tokenizer__json=made.to_str().encode())
            for language, (_, text) in halves.items():
                file = pathlib.Path(place) / "text"
                file.write_text(text, encoding="utf-8", newline="")
                rates = [(ours(path, file), theirs(made, text[: 300_000])) for _ in range(given.rounds)]
                mine, other = max(r[0][0] for r in rates), max(r[1][0] for r in rates)
                print(f"{kind:14} {language}: {mine:6.1f} MB/s, tokenizers {other:5.1f} MB/s, {mine / other:4.1f} times; "
                      f"{rates[0][0][1]} tokens", flush=True)


if __name__ == "__main__":
    main()
