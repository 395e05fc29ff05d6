"""Made items: every answer is computed again in Python from the text of the question alone; what checks answers, against Python, too."""
import json
import math
import os
import random
import subprocess
from pathlib import Path

import made_answers as right
import pytest
import yaml
from scipy import optimize, stats

SOURCE = Path(os.environ["ZH_SOURCE_DIR"])
TOOL = Path(os.environ["ZH_BINARY_DIR"]) / "tests/made_tool"
FAMILIES = [*right.ANSWERS, "instructions"]


def ask(requests):
    done = subprocess.run([TOOL], input="".join(json.dumps(request) + "\n" for request in requests), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests)
    return answers


def made(family, language, items=12, split="test", seed=7, levels=5):
    levels = min(levels, 4) if family == "needle" else levels
    return {"made": {"family": family, "language": language, "levels": levels, "items": items, "split": split, "seed": seed}}


@pytest.fixture(scope="module")
def rows():
    keys = [(family, language) for family in FAMILIES for language in ("zh", "en")]
    return dict(zip(keys, ask([made(*key, items=8 if key[0] == "logic" else 12) for key in keys])))


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("family", right.ANSWERS)
def test_every_answer_follows_from_its_question(rows, family, language):
    levels = {}
    for row in rows[family, language]:
        wanted = right.ANSWERS[family](row["question"], language)
        said = json.loads(row["answer"]) if family == "extraction" else row["answer"]
        assert said == wanted, row["question"]
        assert row["family"] == family and row["language"] == language
        levels.setdefault(row["level"], set()).add(row["question"])
    assert list(levels) == list(range(1, len(levels) + 1)) and len(levels) >= 4
    assert all(len(questions) >= 7 for questions in levels.values()), "items of a level are hardly different"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_instruction_can_be_kept(rows, language):
    kinds = set()
    for row in rows["instructions", language]:
        conditions = json.loads(row["checks"])
        assert right.conditions_of(row["question"], language) == conditions, row["question"]
        assert right.keeps(conditions, row["answer"]), (conditions, row["answer"])
        assert "\n" not in row["answer"] and len(conditions) == row["level"]
        kinds |= {c["kind"] for c in conditions}
    assert kinds == set(right.CHECKS)


@pytest.mark.parametrize("family", ["units", "strings", "tracking", "logic", "traces", "extraction", "instructions"])
def test_levels_get_harder(rows, family):
    """What a question asks for gets longer with its level, where length is what makes it hard."""
    def size(row):
        if family == "logic":
            return right.logic_solutions(row["question"], "en")[3]
        return len(row["checks"] if family == "instructions" else row["question"])
    of_level = {}
    for row in rows[family, "en"]:
        of_level.setdefault(row["level"], []).append(size(row))
    means = [sum(sizes) / len(sizes) for sizes in of_level.values()]
    assert means[-1] > 1.5 * means[0] and (family in ("units", "traces") or means == sorted(means)), means


def test_items_are_the_seeds_and_the_languages_alike(rows):
    again, other, more, shots = ask([made("tracking", "zh"), made("tracking", "zh", seed=8), made("tracking", "zh", items=20), made("tracking", "zh", split="fewshot")])
    assert again == rows["tracking", "zh"] == more[:len(again)]
    assert not {row["question"] for row in again} & {row["question"] for row in other}
    assert not {row["question"] for row in again} & {row["question"] for row in shots}
    for family in ("tracking", "traces", "arithmetic", "strings"):
        assert len(rows[family, "zh"]) == len(rows[family, "en"])
    assert [row["answer"] for row in rows["tracking", "zh"]] == [row["answer"] for row in rows["tracking", "en"]]
    assert [row["answer"] for row in rows["traces", "zh"]] == [row["answer"] for row in rows["traces", "en"]]


def test_every_clue_of_a_grid_is_needed(rows):
    for row in rows["logic", "zh"][:4]:
        _, people, kinds, clues, _ = right.logic_parts(row["question"], "zh")
        names = [people, *kinds]
        for left_out in range(len(clues)):
            kept = clues[:left_out] + clues[left_out + 1:]
            assert count_solutions(names, kept) > 1, row["question"]


def count_solutions(names, clues, placed=None):
    """Up to two."""
    from itertools import permutations
    placed = placed or {}
    if not names:
        return 1
    found = 0
    for order in permutations(range(1, len(names[0]) + 1)):
        now = placed | dict(zip(names[0], order))
        if all(holds(now) for about, holds in clues if set(about) <= now.keys()):
            found += count_solutions(names[1:], clues, now)
        if found > 1:
            break
    return found


def test_words_of_both_languages_answer_to_each_other():
    words = yaml.safe_load((SOURCE / "bench/quality/made.yaml").read_text(encoding="utf-8"))
    assert set(words["questions"]) == set(FAMILIES)
    zh, en = words["words"]["zh"], words["words"]["en"]
    assert {k: len(v) for k, v in zh.items()} == {k: len(v) for k, v in en.items()}
    for language in (zh, en):
        stock = [text for topic in language["topics"] for text in topic["remarks"] + [pair[1] for pair in topic["words"]]]
        stock += language["openings"] + language["closings"]
        assert not [(text, word) for text in stock for word in language["avoided"] if right.has_word(text, word)]
        for topic in language["topics"]:
            assert all(right.has_word(sentence, word) for word, sentence in topic["words"])
            assert not [(a, b) for a in topic["things"] for b in topic["things"] if a != b and right.has_word(a, b)]


@pytest.mark.parametrize("answer, said, same", [
    ('{"a":1,"b":[{"c":"x"},2]}', ' {"b": [{"c": "x"}, 2.0], "a": 1} ', True),
    ('{"a":1}', '{"a": 1, "b": 2}', False), ('{"a":1,"b":2}', '{"a": 1}', False), ('{"a":1}', '{"a": "1"}', False),
    ("[1,2]", "[2,1]", False), ("[1,2]", "[1,2,3]", False), ('{"a":1}', '{"a":1} and more', False), ('{"a":1}', "", False), ('{"a":1}', '{"a":1', False),
    ('{"a":null}', '{"b":null}', False), ('{"a":1}', '{"a":1,"a":1}', False), ('{"a":true}', '{"a":1}', False), ('{"a":9007199254740993}', '{"a":9007199254740992}', False),
    ('{"名":"王芳"}', '{"\\u540d":"王芳"}', True)])
def test_json_is_compared_by_structure(answer, said, same):
    assert ask([{"same_json": [answer, said]}]) == [same]


SAID = ["One. Two! Three?", "It costs 3.5 yuan. Fine", "他说：“好。”然后走了。", "第一句。第二句！第三句", "", "  ", "...", "Wait... what?! No", "a.b.c", "Say \"yes.\" Now.",
        "thank you for reading.", "Very well, thank you", "The cat; the CAT: category.", "[\"a\", \"b\"]", "[\"a\", \"a\"]", "[\"a\", 1]", "[\"a\", \"\"]", "说起来，天气好。", "说起来天气好",
        "e.g. this (see below.) And that.", "１２３ 和 abc", "well-known Xi'an", "「你好。」「再见。」", "No.5 is here", "末尾没有标点 but mixed English", "...leading. And more", "a?b!c", "\tTabs\tand\u3000spaces。"]
CONDITIONS = ([{"kind": "sentences", "count": n} for n in range(1, 5)] + [{"kind": "at_most", "count": n} for n in (0, 1, 2, 3, 4, 5, 7, 9, 12)] +
              [{"kind": kind, "text": text} for kind in ("include", "exclude") for text in ("cat", "very", "yes", "好", "b", "走了", "5")] +
              [{"kind": "start", "text": text} for text in ("说起来", "One", "thank")] + [{"kind": "end", "text": text} for text in ("reading.", "。", "No")] +
              [{"kind": "list", "count": n} for n in (1, 2)])


def test_conditions_are_checked_as_in_python():
    pairs = [(c, said) for c in CONDITIONS for said in SAID]
    answers = ask([{"conditions": [json.dumps([c]), said]} for c, said in pairs])
    for (condition, said), answer in zip(pairs, answers):
        assert answer == right.keeps([condition], said), (condition, said)
    assert 0.2 < sum(answers) / len(answers) < 0.8
    assert ask([{"conditions": ['[{"kind":"rhyme","text":"x"}]', "x"]}])[0]["error"] == "the condition 'rhyme' of an answer is not known"


def test_conditions_are_checked_as_in_python_of_any_text(rows):
    """Answers that were made, cut and turned about: some keep the conditions of others, most do not."""
    maker = random.Random(5)
    every = [row for language in ("zh", "en") for row in rows["instructions", language]]
    pairs = []
    for row in every:
        said = maker.choice(every)["answer"] if maker.random() < 0.5 else row["answer"]
        cut = maker.randrange(len(said)) if maker.random() < 0.6 else len(said)
        pairs.append((row["checks"], maker.choice([said[:cut], said[cut:] + said[:cut], said.upper(), said])))
    answers = ask([{"conditions": list(pair)} for pair in pairs])
    assert answers == [right.keeps(json.loads(checks), said) for checks, said in pairs]
    assert 5 < sum(answers) < len(answers) - 5


# ---- curves ----

def falling_fit(shares, weights):
    """The nearest scores that do not rise: by optimisation, not by pooling."""
    shares, weights = list(map(float, shares)), list(map(float, weights))
    found = optimize.minimize(lambda x: sum(w * (a - b)**2 for w, a, b in zip(weights, x, shares)), [sum(shares) / len(shares)] * len(shares),
                              constraints=[{"type": "ineq", "fun": lambda x, i=i: x[i] - x[i + 1]} for i in range(len(shares) - 1)],
                              method="SLSQP", options={"ftol": 1e-15, "maxiter": 1000})
    return list(found.x)


@pytest.mark.parametrize("counts", [[20, 18, 11, 4, 0], [20, 15, 17, 6, 8], [9, 3, 2, 1, 0], [20, 20, 20, 20, 19], [20, 5, 12, 5, 1], [10, 10, 10, 2, 1], [0, 0, 0, 0, 0]])
def test_curves(counts):
    n, levels = 20, [1, 2, 3, 4, 6]
    items = [(level, int(i < k)) for i in range(n) for level, k in zip(levels, counts)]
    curve = ask([{"curve": {"levels": [i[0] for i in items], "scores": [i[1] for i in items]}}])[0]["acc,none"]
    for at, level, k in zip(curve["levels"], levels, counts, strict=True):
        assert (at["level"], at["items"], at["score"]) == (level, n, k / n)
        interval = stats.binomtest(k, n).proportion_ci(method="wilson")
        assert math.isclose(at["low"], interval.low, abs_tol=1e-12) and math.isclose(at["high"], interval.high, abs_tol=1e-12)
    fit = falling_fit([k / n for k in counts], [n] * 5)
    above = [share >= 0.5 - 1e-6 for share in fit]
    if above[0] and not above[-1]:
        last = above.index(False) - 1
        wanted = levels[last] + (fit[last] - 0.5) / (fit[last] - fit[last + 1]) * (levels[last + 1] - levels[last])
        assert curve["half"]["side"] == "within" and abs(curve["half"]["level"] - wanted) < 1e-4
    else:
        assert curve["half"] == {"level": None, "side": "above" if above[0] else "below"}


def test_no_curve_without_levels():
    assert ask([{"curve": {"levels": [1, None], "scores": [1, 0]}}, {"curve": {"levels": [1, 2], "scores": [3.5, 0]}}, {"curve": {"levels": [], "scores": []}}]) == [None] * 3


# ---- scores, against scikit-learn and rouge-score (make_score_golden.py) ----

SCORES = json.loads((SOURCE / "tests/golden/quality/scores.json").read_text(encoding="utf-8"))


def test_scores_of_texts_are_those_of_rouge_score():
    answers = ask([{name: [right_text, said]} for right_text, said, _, _ in SCORES["texts"] for name in ("token_f1", "rouge_l")])
    for (right_text, said, one, longest), bag, order in zip(SCORES["texts"], answers[::2], answers[1::2], strict=True):
        if not right_text.strip() or not said.strip():
            continue  # nothing to compare with: there 0, here alike
        assert math.isclose(bag, one, abs_tol=1e-12), (right_text, said)
        assert math.isclose(order, longest, abs_tol=1e-12), (right_text, said)


def test_f1_and_mcc_are_those_of_scikit_learn():
    quality = [{name: case["pairs"]} for case in SCORES["classes"] for name in ("f1", "matthews_corrcoef")]
    done = subprocess.run([TOOL.with_name("quality_tool")], input="".join(json.dumps(q) + "\n" for q in quality), capture_output=True, text=True, check=True)
    answers = [json.loads(line)[0] for line in done.stdout.splitlines()]
    for case, f1, mcc in zip(SCORES["classes"], answers[::2], answers[1::2], strict=True):
        assert case["f1"] is None or math.isclose(f1, case["f1"], abs_tol=1e-12), case
        assert math.isclose(mcc, case["mcc"], abs_tol=1e-12), case
