"""What task files need of Python: its random numbers, literals, regular expressions, JSON; against Python itself."""
import ast
import json
import os
import random
import re
import statistics
import subprocess
from pathlib import Path

import yaml

TOOL = Path(os.environ.get("ZH_BINARY_DIR", "build")) / "tests/quality_tool"


def ask(requests):
    done = subprocess.run([TOOL], input="".join(json.dumps(request) + "\n" for request in requests), capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests)
    return answers


def test_samples_are_those_of_cpython():
    """Both ways of drawing: from a pool and by a set."""
    maker = random.Random(7)
    requests, wanted = [], []
    for seed in (0, 1, 1234, 2**31, 2**32 + 5, 2**40 + 3):
        draws = []
        for _ in range(60):
            count = maker.choice([1, 2, 5, 20, 21, 22, 85, 86, 500, 14042, 100000])
            draws.append([count, maker.randint(0, min(count, 30))])
        requests.append({"sample": [seed, draws]})
        r = random.Random(seed)
        wanted.append([r.sample(range(count), k) for count, k in draws])
    assert ask(requests) == wanted


def test_real_numbers_are_those_of_cpython():
    r = random.Random(99)
    assert ask([{"real": [99, 2000]}])[0] == [r.random() for _ in range(2000)]


def test_literals():
    texts = ["[1, 2]", "['a', \"b\"]", "('x', 'y')", "('x')", "{'a': 1, 'b': [True, None]}", "'it\\'s\\n\\u4e2d\\x41'",
             "[ 'a' 'b',\n 'c' ]", "-3", "1.5e3", "-0.25", "[]", "()", "{}", "'''a\n\"b'''", "r'\\d'", "[['a'], ['b']]", "0", "00",
             "007", "1_000", "[1, 2", "a", "[a]", "__import__('os')", "[1 2]", "'a", "1 + 1", "[1,,2]", "", "[,]", "{'a'}",
             "['中文', '答案']", "'\\N{BULLET}'", "b'x'", "\"\\101\\q\"", "True", "None", "[False]"]
    def lists(value):
        return [lists(v) for v in value] if isinstance(value, (list, tuple)) else value
    for text, answer in zip(texts, ask([{"literal": text} for text in texts])):
        try:
            value = lists(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            value = None
            assert "error" in answer, text
        if isinstance(value, (bytes, set)) or text in ("1_000", "'\\N{BULLET}'", "1 + 1"):
            assert "error" in answer, f"{text}: refused, and never guessed"
        elif "error" not in answer:
            assert answer["value"] == value, text
        else:
            assert text == "None" or value is None, text


def test_plain_words_of_yaml(tmp_path):
    words = ["yes", "No", "true", "off", "~", "null", "", "12", "-7", "+3", "012", "0x1F", "0b101", "1_000", "1.5", "-.5", ".5",
             "1.", "1e3", "1.0e+3", "1.5e3", "6.02E-23", "text", "'12'", '"yes"', "y", "n", "1.2.3", "0o17", "- x", "0.0", "!x", "1,000",
             "[a, 1, no]", "{k: 1, 2: b}"]
    usable = []
    for word in words:
        try:
            yaml.safe_load(f"key: {word}")
            usable.append(word)
        except yaml.YAMLError:
            continue
    text = "".join(f"k{i}: {word}\n" for i, word in enumerate(usable))
    path = tmp_path / "words.yaml"
    path.write_text(text)
    wanted = json.loads(json.dumps(yaml.safe_load(text)))
    answer = ask([{"yaml": str(path)}])[0]
    assert answer == {"value": wanted}
    assert len(usable) > 30
    path.write_text("process: !function utils.process\n")
    assert ask([{"yaml": str(path)}])[0] == {"value": {"process": "!function utils.process"}}


PATTERNS = [r"#### (\-?[0-9\.\,]+)", r"(-?[$0-9.,]{2,})|(-?[0-9]+)", r"\d+", r"(?i)answer is \(?([A-D])\)?", r"x*", r"(a)(b)?", r"答案是?[：:]\s*([A-D])",
            r"\w+", r"^\s*$", r"(?P<n>[0-9]+)%", r"[\[\]]", r"[^\]a]+", r"a{,2}", r"end\Z", r"\s+", r".$", r"(?m)^.", r"(?s)a.b", r"[A-Z]\.?$", r"\W", r"[\w-]+", r"[^\w]"]
TEXTS = ["", "#### 42 and #### -1,000.5", "The answer is (B).", "costs $3.50, or 12%", "答案是：C。答案: D", "aab abb\naXb", "  \n", "[x] ]y[", "the end\n",
         "x yxx", "A.\nB", "１２ ab_c é中", "a\r\nb", "12%34%", "ಇದು ಕನ್ನಡ ವಾಕ್ಯ é e\u0301 ½ ②"]


def test_regular_expressions():
    requests = [{"findall": [p, t]} for p in PATTERNS for t in TEXTS]
    wanted = [[[m.group(0), *m.groups()] for m in re.finditer(p, t)] for p in PATTERNS for t in TEXTS]
    assert ask(requests) == wanted
    subs = [(p, by, t, n) for p in PATTERNS for t in TEXTS for by in ("", "-", r"<\g<0>>", r"\\n\n") for n in (0, 1)]
    assert ask([{"sub": list(s)} for s in subs]) == [re.sub(p, by, t, count=n) for p, by, t, n in subs]
    bad = ask([{"findall": ["(", "x"]}, {"sub": ["a", r"\3", "a", 0]}])
    assert all("error" in answer for answer in bad)


def test_json_as_python_writes_it():
    values = [{"a": 1, "b": [1.0, 1e-05, 1e22, 0.1, -2.5e-300, True, None], "中": "引号\" \\ \n\t\x01 é 中 😀"}, [], {}, [[], {}], "x", {"e": {"f": []}}]
    for value, (line, indented) in zip(values, ask([{"dumps": value} for value in values])):
        assert line == json.dumps(value, ensure_ascii=False)
        assert indented == json.dumps(value, ensure_ascii=False, indent=2)


def test_uncertainty_of_a_mean():
    r = random.Random(3)
    numbers = [r.random() for _ in range(57)]
    figure, error = ask([{"mean": numbers}])[0]
    assert abs(figure - statistics.fmean(numbers)) < 1e-15
    assert abs(error - statistics.stdev(numbers) / 57**0.5) < 1e-15
    assert ask([{"mean": [1.0]}])[0] == [1.0, None]


def test_uncertainty_by_drawing():
    """The 100 chunks of 1,000 draws of `Random(chunk).choices`."""
    numbers = [-1.5, -0.25, -3.0, -0.5]
    import math
    made = []
    for chunk in range(100):
        r = random.Random(chunk)
        made += [math.exp(-sum(r.choices(numbers, k=4)) / 4) for _ in range(1000)]
    figure, error = ask([{"perplexity": numbers}])[0]
    assert abs(figure - math.exp(5.25 / 4)) < 1e-12
    assert abs(error - statistics.stdev(made)) < 1e-9
