"""Functions of task files against what lm-evaluation-harness's own say of the same rows (golden/quality/functions.json)."""
import json
import os
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ["ZH_SOURCE_DIR"])
TOOL = Path(os.environ["ZH_BINARY_DIR"]) / "tests/quality_tool"
GOLDEN = json.loads((SOURCE / "tests/golden/quality/functions.json").read_text(encoding="utf-8"))
FAMILIES = sorted({case["family"] for case in GOLDEN["cases"]})
BY_LANGUAGE = ("language:response_language", "change_case:english_capital", "change_case:english_lowercase")


def ask(cases):
    lines = "".join(json.dumps({"function": case}) + "\n" for case in cases)
    done = subprocess.run([TOOL], input=lines, capture_output=True, text=True, timeout=120, check=True, cwd=SOURCE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def cases_of(family):
    cases = [dict(case) for case in GOLDEN["cases"] if case["family"] == family]
    for case in cases:
        case["doc"] = GOLDEN["instructions"] if case.get("doc") == "instructions" else case.get("doc")
    return cases


def alike(mine, theirs):
    """Numbers to the last place but few, all else exactly; 1 is True, as a score."""
    if isinstance(theirs, dict):
        return isinstance(mine, dict) and list(mine) == list(theirs) and all(alike(mine[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list):
        return isinstance(mine, list) and len(mine) == len(theirs) and all(map(alike, mine, theirs))
    if isinstance(theirs, float):
        return isinstance(mine, (int, float)) and abs(mine - theirs) <= 1e-12 * max(1, abs(theirs))
    return mine == theirs


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "ifeval"])
def test_every_function(family):
    cases = cases_of(family)
    for case, mine in zip(cases, ask(cases), strict=True):
        where = json.dumps({k: v for k, v in case.items() if k != "said"}, ensure_ascii=False)[:2000]
        assert alike(mine, case["said"]), f"{mine}\nnot {case['said']}\n{where}"


def test_every_instruction():
    """Each of the 25 kinds, on answers that follow and that do not."""
    cases = cases_of("ifeval")
    ids, kwargs = GOLDEN["instructions"]["instruction_id_list"], GOLDEN["instructions"]["kwargs"]
    seen = {}
    for case, mine in zip(cases, ask(cases), strict=True):
        if case["kind"] != "results":
            assert alike(mine, case["said"])
            continue
        assert list(mine) == list(case["said"]), mine
        for level in ("strict", "loose"):
            for name, given, ours, theirs in zip(ids, kwargs, mine[f"inst_level_{level}_acc"], case["said"][f"inst_level_{level}_acc"], strict=True):
                seen.setdefault(name, set()).add(theirs)
                if name in BY_LANGUAGE and (level == "loose" or len(case["results"][0]) < 40):
                    continue  # of a few letters langdetect says whatever comes; test_languages has the others
                assert ours == theirs, f"{name} {given}, {level}: {case['results']}"
    assert len(seen) == 25
    assert all(answers == {True, False} for answers in seen.values()), seen


def test_languages():
    """Sentences in 30 languages, and the English of the other answers: as langdetect tells them."""
    texts = GOLDEN["languages"]
    lines = "".join(json.dumps({"language": text}) + "\n" for text, _ in texts)
    done = subprocess.run([TOOL], input=lines, capture_output=True, text=True, timeout=60, check=True, cwd=SOURCE)
    wrong = [(text, code, json.loads(mine)) for (text, code), mine in zip(texts, done.stdout.splitlines(), strict=True) if json.loads(mine) != code]
    assert len({code for _, code in texts}) >= 30 and not wrong, wrong


def test_sentences():
    """Punkt as NLTK runs it over our word lists, on texts of points, signs, initials and numbers in every order."""
    texts = GOLDEN["sentences"]
    lines = "".join(json.dumps({"sentences": text}) + "\n" for text, _ in texts)
    done = subprocess.run([TOOL], input=lines, capture_output=True, text=True, timeout=60, check=True, cwd=SOURCE)
    wrong = [(text, count, int(mine)) for (text, count), mine in zip(texts, done.stdout.split(), strict=True) if int(mine) != count]
    assert not wrong, wrong[:5]
