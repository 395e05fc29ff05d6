"""`zhiheng contamination`: words in common against a plain statement of the rule in Python, tests against scipy and exact
enumeration, and a real model that knows some orders and cannot know others."""
import bz2
import csv
import gzip
import itertools
import json
import math
import os
import random
import re
import subprocess
import unicodedata
from pathlib import Path

import numpy
import pytest
from scipy import stats as scipy_stats

SOURCE = Path(os.environ["ZH_SOURCE_DIR"])
ZHIHENG = Path(os.environ["ZH_BINARY_DIR"]) / "bin/zhiheng"
MODEL = SOURCE / "models/SmolLM2-135M-Instruct.Q4_1.gguf"


def zhiheng(*words, status=(0, 1), **environment):
    done = subprocess.run([ZHIHENG, *map(str, words)], capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    assert done.returncode in status, done.stderr
    return done


def ask(name, **given):
    return json.loads(zhiheng("stats", name, *(f"{key}={value}" for key, value in given.items()), "--json").stdout)


def row(values):
    return ",".join(repr(float(value)) for value in values)


# --- tests by name ---

def test_mann_whitney_against_scipy():
    draw = numpy.random.default_rng(3)
    for nx, ny, ties in ((5, 7, False), (8, 60, False), (90, 3, False), (1, 1, False), (9, 9, False), (8, 400, False), (6, 5, True),
                         (40, 33, True), (200, 150, True)):
        x, y = draw.normal(0.3, 1, nx), draw.normal(0, 1, ny)
        if ties:
            x, y = x.round(1), y.round(1)
        got = ask("mann-whitney", x=row(x), y=row(y))
        method = "exact" if not ties and min(nx, ny) <= 8 and math.comb(nx + ny, nx) < 2**53 else "asymptotic"
        assert got["method"] == method
        for key, side in (("p_greater", "greater"), ("p_two_sided", "two-sided")):
            want = scipy_stats.mannwhitneyu(x, y, alternative=side, method=method, use_continuity=False)
            assert got[key] == pytest.approx(want.pvalue, rel=1e-10)
        want = scipy_stats.mannwhitneyu(x, y).statistic
        assert got["auc"] == pytest.approx(want / nx / ny, rel=1e-12)


def test_poisson_binomial_against_enumeration_and_scipy():
    chances = [0.5, 1 / 6, 1 / 24, 1 / 24, 0.9, 0.25]
    exact = [0.0] * 7
    for hits in itertools.product((0, 1), repeat=6):
        exact[sum(hits)] += float(numpy.prod([p if hit else 1 - p for p, hit in zip(chances, hits)]))
    for k in range(8):
        assert ask("poisson-binomial", k=k, p=row(chances))["p_at_least"] == pytest.approx(sum(exact[k:]), abs=1e-14)
    for k in (1, 30, 60, 120):
        want = scipy_stats.binom.sf(k - 1, 1000, 1 / 24)
        assert ask("poisson-binomial", k=k, p=row([1 / 24] * 1000))["p_at_least"] == pytest.approx(want, rel=1e-9)


def test_order_against_scipy_and_enumeration():
    draw = numpy.random.default_rng(5)
    table = draw.normal(-400, 3, (6, 4))
    table[:, 0] += 2
    got = ask("order", rows=";".join(map(row, table)), replicates=100000)
    differences = table[:, 0] - table[:, 1:].mean(axis=1)
    want = scipy_stats.ttest_1samp(differences, 0, alternative="greater")
    assert got["difference"] == pytest.approx(differences.mean(), rel=1e-12)
    assert (got["t"], got["p_t"]) == (pytest.approx(want.statistic, rel=1e-9), pytest.approx(want.pvalue, rel=1e-9))
    sums = [sum(table[r][c] for r, c in enumerate(choice)) for choice in itertools.product(range(4), repeat=6)]
    exact = numpy.mean(numpy.array(sums) >= table[:, 0].sum() - 1e-9)
    assert got["p_exact"] == pytest.approx(exact, abs=4 * (exact / 1e5) ** 0.5 + 1e-4)


def test_order_is_exact_where_nothing_was_seen():
    """Of worlds without a preferred order no more than alpha are called seen."""
    draw = numpy.random.default_rng(11)
    below = sum(ask("order", rows=";".join(map(row, draw.normal(0, 1, (5, 10)))), replicates=199, seed=i)["p_exact"] <= 0.1
                for i in range(200))
    assert below <= scipy_stats.binom.ppf(0.999, 200, 0.1)


def test_conformal():
    assert ask("conformal", x="3,0,1", y="1,2,0.5,1")["p"] == pytest.approx([1 / 5, 1, 4 / 5])


# --- words in common ---

def words_of(text):
    """Letters, marks and digits in runs; Han and Kana one by one; case and width do not count."""
    out, current = [], ""
    for c in text + " ":
        wide = chr(ord(c) - 0xFEE0) if 0xFF01 <= ord(c) <= 0xFF5E else c
        alone = any(low <= ord(c) <= high for low, high in
                    ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)))
        part = unicodedata.category(c)[0] in "LMN"
        if part and not alone:
            current += wide.lower()
            continue
        if current:
            out.append(current)
        current = ""
        if part:
            out.append(c)
    return out


def covered(item, documents, run):
    seen = {tuple(document[i:i + run]) for document in documents for i in range(len(document) - run + 1)}
    hit = set()
    for i in range(len(item) - run + 1):
        if tuple(item[i:i + run]) in seen:
            hit.update(range(i, i + run))
    return len(hit)


def task(folder, name, rows, **keys):
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    lines = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
             "test_split": "test", "output_type": "generate_until", "doc_to_text": "q", "doc_to_target": "a", **keys}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(lines, ensure_ascii=False), encoding="utf-8")
    return path


WORDS = "the water 水 of a river 河流 RUNS to ＡＢＣ sea, 12 naïve 海。 and — back".split(" ")


def test_overlap_is_what_the_rule_says(tmp_path):
    draw = random.Random(7)
    texts = [" ".join(draw.choices(WORDS, k=draw.randrange(1, 40))) for _ in range(60)]
    corpus = [" ".join(draw.choices(WORDS, k=400)) for _ in range(5)]
    corpus[0] += " " + texts[3].upper() + " " + texts[8][: len(texts[8]) // 2]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/a.txt").write_text(corpus[0], encoding="utf-8")
    (tmp_path / "corpus/b.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in corpus[1:]), encoding="utf-8")
    path = task(tmp_path, "rivers", [{"q": text, "a": "sea"} for text in texts])
    documents = [words_of(text) for text in corpus]
    for run in (2, 3, 5, 11):
        out = tmp_path / f"seen{run}.csv"
        got = json.loads(zhiheng("contamination", "--tasks", path, "--corpus", tmp_path / "corpus", "--run", run, "--json", "--out", out).stdout)
        items = [words_of(f"{text}\nsea") for text in texts]
        shares = [covered(item, documents, run) / len(item) for item in items]
        want = [i for i, share in enumerate(shares) if share >= 0.2]
        listed = got["tasks"][0]["listed"]
        assert [int(entry["item"].split("-")[0]) for entry in listed] == want
        assert got["tasks"][0]["overlap"]["dirty"] == sum(share >= 0.8 for share in shares)
        assert got["tasks"][0]["overlap"]["too_short"] == sum(len(item) < run for item in items)
        assert got["corpus"]["words"] == sum(map(len, documents))
        assert [r["item"] for r in csv.DictReader(out.open(encoding="utf-8"))] == [entry["item"] for entry in listed]
        assert 3 in want


@pytest.mark.parametrize("line, says", [('{"body": "x"}', "no text 'text'"), ("{", "line 1"), ('{"text": 3}', "no text 'text'")])
def test_a_corpus_that_cannot_be_read(tmp_path, line, says):
    path = task(tmp_path, "one", [{"q": "what?", "a": "that"}])
    (tmp_path / "c.jsonl").write_text(line + "\n")
    done = zhiheng("contamination", "--tasks", path, "--corpus", tmp_path / "c.jsonl", status=(2,))
    assert says in done.stderr and "c.jsonl" in done.stderr


CHINESE = "下列关于水的说法中正确的是哪一项请从四个选项里选出最合适的一个答案"


def spoilt(kind):
    """{file: bytes} of a corpus that cannot be looked through, and what is said of it."""
    text = (CHINESE + "\n").encode()
    return {
        "empty folder": ({}, "the folder holds no file"),
        "empty file": ({"a.txt": b""}, "a.txt: there is no word in its 0 bytes"),
        "no words": ({"a.txt": b" ,.\n--"}, "a.txt: there is no word in its 6 bytes"),
        "lines without words": ({"a.jsonl": b'{"text": ""}\n\n'}, "a.jsonl: there is no word"),
        "one of several": ({"a.txt": text, "b.txt": b"\n"}, "b.txt: there is no word in its 1 bytes"),
        "gzip": ({"a.txt": text, "c.txt.gz": gzip.compress(text)}, "c.txt.gz: bytes 0 to 1 are the signature of gzip"),
        "bzip2": ({"c.txt": bz2.compress(text)}, "are the signature of bzip2"),
        "xz": ({"c.jsonl": b"\xfd7zXZ\x00\x00\x04"}, "are the signature of xz"),
        "zstd": ({"c": b"\x28\xb5\x2f\xfd\x24\x00"}, "are the signature of zstd"),
        "zip": ({"c.zip": b"PK\x03\x04\x14\x00"}, "are the signature of zip"),
        "parquet": ({"c.parquet": b"PAR1\x15\x04\x15\x10PAR1"}, "are the signature of Parquet"),
        "UTF-16": ({"u.txt": CHINESE.encode("utf-16")}, "iconv -f UTF-16"),
        "UTF-16 without a mark": ({"u.txt": "plain words".encode("utf-16-le")}, "u.txt: byte 1 is 0"),
        "GBK": ({"g.txt": b"plain " + CHINESE.encode("gbk")}, "g.txt: byte 6 (0xCF) is not valid UTF-8; convert the file first (of Chinese in GBK: iconv -f GBK"),
        "GBK in lines": ({"g.jsonl": b'{"text": "a b"}\n{"text": "' + CHINESE.encode("gbk") + b'"}\n'}, "g.jsonl: byte 26 (0xCF)"),
        "a late byte": ({"l.txt": text * 1000 + b"\xff"}, f"l.txt: byte {len(text) * 1000} (0xFF)"),
    }[kind]


@pytest.mark.parametrize("kind", ["empty folder", "empty file", "no words", "lines without words", "one of several", "gzip", "bzip2", "xz", "zstd", "zip",
                                  "parquet", "UTF-16", "UTF-16 without a mark", "GBK", "GBK in lines", "a late byte"])
def test_a_corpus_that_was_not_read_is_no_clean_one(tmp_path, kind):
    path = task(tmp_path, "one", [{"q": CHINESE, "a": ""}])
    files, says = spoilt(kind)
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    done = zhiheng("contamination", "--tasks", path, "--corpus", folder, "--out", tmp_path / "seen.csv", status=(2,))
    assert says in done.stderr and str(folder) in done.stderr, done.stderr
    assert done.stdout == "" and not (tmp_path / "seen.csv").exists()


def test_what_was_read_is_told_in_both_languages(tmp_path):
    path = task(tmp_path, "one", [{"q": CHINESE, "a": ""}, {"q": "what?", "a": "that"}])
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + CHINESE.encode())
    (tmp_path / "b.jsonl").write_bytes(b"\xef\xbb\xbf" + b'{"text": "two words"}\n{"text": "three more words"}\n')
    words = ("contamination", "--tasks", path, "--corpus", tmp_path / "a.txt", "--corpus", tmp_path / "b.jsonl")
    got = json.loads(zhiheng(*words, "--json").stdout)
    assert got["corpus"]["documents"] == 3 and got["corpus"]["words"] == len(CHINESE) + 5
    chinese, english = (zhiheng(*words, LC_ALL=f"{language}_XX.UTF-8").stdout for language in ("zh", "en"))
    assert english.startswith(f"Corpus read: documents 3, words {len(CHINESE) + 5}, bytes {got['corpus']['bytes']}.\n")
    assert chinese.startswith(f"语料：已读 3 篇，共 {len(CHINESE) + 5} 个词、{got['corpus']['bytes']} 字节。\n")
    assert "one: 1 of 2 items listed" in english and "one：2 题，列出 1 题" in chinese and not re.search("[一-龥]", english)


# --- a model ---

NUMBERS = ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
           "nineteen twenty").split() + [f"twenty-{unit}" for unit in "one two three four five six seven eight nine".split()]


def read(path, *words):
    return json.loads(zhiheng("contamination", MODEL, "--tasks", path, "--json", *words).stdout)["tasks"][0]


def test_a_known_order_is_found_and_a_drawn_one_is_not(tmp_path):
    known = task(tmp_path, "numbers", [{"q": name, "a": ""} for name in NUMBERS])
    got = read(known, "--signs", "order", "--orders", "19", "--window", "64")
    assert got["order"]["p"] <= 0.01 and got["listed_whole"] and len(got["listed"]) == len(NUMBERS)
    drawn = NUMBERS[:]
    random.Random(2).shuffle(drawn)
    got = read(task(tmp_path, "drawn", [{"q": name, "a": ""} for name in drawn]), "--signs", "order", "--orders", "19", "--window", "64")
    assert got["order"]["p"] > 0.05 and not got["listed_whole"]


def test_known_options_are_found(tmp_path):
    """Days, months, directions as everybody says them; then the same in drawn orders."""
    lists = ["Monday Tuesday Wednesday Thursday", "January February March April", "North East South West", "red orange yellow green",
             "spring summer autumn winter", "one two three four", "first second third fourth", "alpha beta gamma delta",
             "Mercury Venus Earth Mars", "Matthew Mark Luke John", "do re mi fa", "earth water air fire"]
    for drawn in (False, True):
        rows = []
        for number, line in enumerate(lists):
            options = line.split()
            if drawn:
                random.Random(number).shuffle(options)
            rows.append({"q": "Which one is it?", "options": options, "a": 0})
        path = task(tmp_path, f"lists{drawn}", rows, output_type="multiple_choice", doc_to_choice="options")
        got = read(path, "--signs", "options")
        assert got["options"]["items"] == len(lists) and got["options"]["expected"] == pytest.approx(len(lists) / 24)
        assert (got["options"]["p"] < 0.001) is not drawn
        assert bool(got["listed"]) is not drawn


def test_options_that_have_their_place_are_left_out(tmp_path):
    rows = [{"q": "?", "options": options, "a": 0} for options in
            (["1", "2", "3"], ["30", "20"], ["a cat", "a cat"], ["a cat", "none of the above"], ["猫", "以上都不是"], ["a cat", "a dog"])]
    got = read(task(tmp_path, "places", rows, output_type="multiple_choice", doc_to_choice="options"), "--signs", "options")
    assert (got["options"]["items"], got["options"]["left_out"]) == (1, 5)


def least_likely(folder, text):
    """Mean of the lowest fifth of a text's tokens, each from the log-likelihoods of two beginnings of it (`zhiheng eval`)."""
    tokens = json.loads(zhiheng("model", "tokenize", MODEL, "--text", text, "--json").stdout)["tokens"]
    beginnings = [json.loads(zhiheng("model", "tokenize", MODEL, "--ids", ",".join(map(str, tokens[:n])), "--json").stdout)["text"]
                  for n in range(1, len(tokens) + 1)]
    path = task(folder, "beginnings", [{"q": "", "a": part} for part in beginnings], output_type="loglikelihood")
    out = folder / "beginnings"
    zhiheng("eval", MODEL, "--tasks", path, "--out", out)
    lines = [json.loads(line) for line in next(out.rglob("samples_*.jsonl")).read_text(encoding="utf-8").splitlines()]
    sums = [float(line["resps"][0][0][0] if isinstance(line["resps"][0][0], list) else line["resps"][0][0]) for line in lines]
    each = numpy.diff([0.0, *sums])
    return numpy.sort(each)[: -(-len(each) // 5)].mean()


def test_min_k_against_the_likelihoods_of_beginnings(tmp_path):
    """Mean of the lowest fifth of the tokens' log-probabilities, from `zhiheng model logits`' own softmax; known text stands out."""
    known = ["We hold these truths to be self-evident, that all men are created equal, that they are endowed by their Creator",
             "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty",
             "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness",
             "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer the slings and arrows"]
    draw = random.Random(9)
    vocabulary = sorted({word for text in known for word in text.split()})
    unseen = [" ".join(draw.choices(vocabulary, k=20)) for _ in range(40)]
    a = task(tmp_path, "known", [{"q": text, "a": ""} for text in known])
    b = task(tmp_path, "unseen", [{"q": text, "a": ""} for text in unseen])
    got = read(a, "--signs", "least", "--reference", b)
    assert got["least"]["auc"] == 1 and got["least"]["p"] < 0.001 and got["least"]["flagged"] == 4
    alone = read(a, "--signs", "least")
    one = read(task(tmp_path, "one", [{"q": known[3], "a": ""}]), "--signs", "least")
    assert one["least"]["mean"] == pytest.approx(least_likely(tmp_path, known[3]), rel=1e-6)
    assert alone["least"]["p"] is None and alone["listed"] == []


def test_the_list_names_items_as_tables_of_scores_do(tmp_path):
    path = task(tmp_path, "rivers", [{"q": f"The {i}th river is called", "a": "Po"} for i in range(3)], metric_list=[{"metric": "exact_match"}])
    zhiheng("eval", MODEL, "--tasks", path, "--out", tmp_path / "bundle")
    table = next((tmp_path / "bundle" / "scores").glob("*.csv")).read_text(encoding="utf-8").splitlines()
    names = [line.split(",")[0] for line in table if line[0].isdigit()]
    (tmp_path / "c.txt").write_text("the 0th river is called Po; the 1th river is called Po; the 2th river is called Po")
    zhiheng("contamination", "--tasks", path, "--corpus", tmp_path / "c.txt", "--run", "3", "--out", tmp_path / "seen.csv")
    assert [r["item"] for r in csv.DictReader((tmp_path / "seen.csv").open())] == names and len(names) == 3


def test_the_number_of_an_item_is_part_of_its_run(tmp_path):
    rows = [{"q": f"The {i}th river of the land runs from the hills of the north to the sea of the south", "a": ""} for i in range(40)]
    path = task(tmp_path, "rivers", rows)
    (tmp_path / "corpus.txt").write_text("\n".join(r["q"] for r in rows[:20]))
    # Runs of numbers: the 11 words behind the number are everybody's, so the number must be in the run.
    zhiheng("contamination", "--tasks", path, "--corpus", tmp_path / "corpus.txt", "--run", "18", "--out", tmp_path / "seen.csv")
    seen = {r["item"] for r in csv.DictReader((tmp_path / "seen.csv").open())}
    assert {int(name.split("-")[0]) for name in seen} == set(range(20))
