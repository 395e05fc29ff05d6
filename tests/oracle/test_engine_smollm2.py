"""SmolLM2-135M-Instruct by `zhiheng model` against numpy float64.

Bounds. The exact path keeps fp32 values and sums in fp64: each of the some 300 roundings on a token's way is 2^-24
relative, errors add at random and pass through 30 layers that neither grow nor shrink them much, so 1e-5 of the logits'
scale is expected to hold with room; measured 1.0e-6 (printed by the test with -s). The fast path sums in fp32 too:
1e-4, measured 2.3e-6. Where it rounds activations to bytes: 0.05, measured 0.032."""

import numpy as np
import pytest
from engine_program import SOURCE, ask, check_choices, ids, largest_error, run
from llama_numpy import Llama

MODEL = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
TEXTS = {
    "english": "The memory of a computer is slower than its processor, which is why caches exist and why",
    "code": "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) +",
    "chinese": "智算中心的性能评测应当说明所用的硬件、软件版本、模型和测量方法，并且",
}
BOUND = {"exact": 1e-5, "whole": 1e-4, "fast": 0.05}


@pytest.fixture(scope="module")
def llama():
    return Llama(MODEL)


@pytest.fixture(scope="module")
def tokens():
    return {name: ask("tokenize", MODEL, "--text", text)["tokens"] for name, text in TEXTS.items()}


@pytest.fixture(scope="module")
def expected(llama, tokens):
    out = {}
    for name, list_of_ids in tokens.items():
        llama.reset()
        out[name] = llama.forward(list_of_ids)
    return out


@pytest.mark.parametrize("way", BOUND)
@pytest.mark.parametrize("text", TEXTS)
def test_logits_of_every_position(text, way, tokens, expected):
    got = ask("logits", MODEL, "--tokens", ids(tokens[text]), "--all", way=way)["positions"]
    assert [p["position"] for p in got] == list(range(len(tokens[text])))
    assert all(len(p["logits"]) == 16 and len(p["top"]) == 5 for p in got)
    error = largest_error(got, expected[text])
    print(f"{text} {way}: largest relative logit error {error:.2e}")
    assert error <= BOUND[way]
    check_choices(got, expected[text], BOUND[way])


def test_last_position_is_the_same_alone(tokens):
    some = ids(tokens["code"])
    last = ask("logits", MODEL, "--tokens", some)["positions"]
    assert last == ask("logits", MODEL, "--tokens", some, "--all")["positions"][-1:]
    assert last == ask("logits", MODEL, "--tokens", some, "--threads", 1)["positions"]


@pytest.mark.parametrize("text", TEXTS)
def test_greedy_tokens(text, llama, tokens):
    made, lead = llama.greedy(tokens[text], 32)
    assert lead > 1e-4, "the oracle's own choice is too near to call; take another text"
    for way in ("exact", "whole"):
        got = ask("generate", MODEL, "--tokens", ids(tokens[text]), "--max-new", 32, way=way)
        assert got["prompt_tokens"] == tokens[text]
        assert got["tokens"] == made
    assert got["text"] == ask("tokenize", MODEL, "--ids", ids(made))["text"]


def test_prompt_is_tokens(tokens):
    by_text = ask("generate", MODEL, "--prompt", TEXTS["english"], "--max-new", 4)
    assert by_text == ask("generate", MODEL, "--tokens", ids(tokens["english"]), "--max-new", 4)


@pytest.mark.parametrize("name, characters", [("measuring-en.txt", 700), ("measuring-zh.txt", 110)])
def test_perplexity(name, characters, llama, tmp_path):
    text = (SOURCE / "bench" / "suites" / "texts" / name).read_text()[:characters]
    (tmp_path / name).write_text(text)
    tokens = ask("tokenize", MODEL, "--file", tmp_path / name)["tokens"]
    n, nll, value = llama.perplexity(tokens, 64)
    got = ask("perplexity", MODEL, "--file", tmp_path / name, "--context", 64)
    print(f"{name}: {n} tokens, perplexity {value:.4f}, relative error {abs(got['perplexity'] / value - 1):.1e}")
    assert got["tokens"] == n
    assert abs(got["nll"] - nll) <= 1e-5 * nll
    assert abs(got["perplexity"] - value) <= 1e-5 * value
    assert len(got["token_nll"]) == len(got["likeliest"]) == n
    assert abs(np.mean(got["token_nll"]) - got["nll"]) <= 1e-12 * nll
    llama.reset()
    assert got["likeliest"][: 63] == llama.forward(tokens[:63]).argmax(axis=-1).tolist()


def test_ways_of_a_perplexity(tokens):
    """Each way rounds otherwise, and none by much."""
    some = ids((tokens["english"] + tokens["code"])[:40])
    exact = ask("perplexity", MODEL, "--tokens", some)["perplexity"]
    for way in ("few", "many"):
        got = ask("perplexity", MODEL, "--tokens", some, "--precision", "fast", "--way", way)["perplexity"]
        assert abs(got / exact - 1) <= 0.03


def test_sampling_repeats_and_spreads():
    one = ask("generate", MODEL, "--prompt", "Once", "--max-new", 8, "--temperature", 1, "--seed", 5, "--precision", "fast")
    same = ask("generate", MODEL, "--prompt", "Once", "--max-new", 8, "--temperature", 1, "--seed", 5, "--precision", "fast")
    assert one == same
    others = {
        tuple(ask("generate", MODEL, "--prompt", "Once", "--max-new", 8, "--temperature", 1, "--seed", seed,
                  "--precision", "fast")["tokens"])
        for seed in range(4)
    }
    assert len(others) == 4


@pytest.mark.parametrize(
    "words, status, sentence",
    [
        (["logits", MODEL, "--tokens", "1,49152"], 2, "outside the vocabulary"),
        (["logits", MODEL, "--tokens", "1,,2"], 2, "is not a token id"),
        (["logits", MODEL, "--tokens", "1,-2"], 2, "is not a token id"),
        (["logits", MODEL, "--tokens", "99999999999999999999999"], 2, "is not a token id"),
        (["logits", MODEL], 2, "--tokens 1,2,3, --prompt"),
        (["logits", MODEL, "--tokens", "1", "--max-new", "3"], 2, "has no use for --max-new"),
        (["generate", MODEL, "--prompt", ""], 2, "empty"),
        (["generate", MODEL, "--tokens", "1", "--max-new", "8192"], 2, "the context holds 8192"),
        (["generate", MODEL, "--tokens", "1,2,3", "--context", "4", "--max-new", "2"], 2, "the context holds 4"),
        (["generate", MODEL, "--tokens", "1", "--context", "8193"], 2, "at most 8192"),
        (["generate", MODEL, "--tokens", "1", "--temperature", "hot"], 2, "--temperature"),
        (["generate", MODEL, "--tokens", "1", "--precision", "best"], 2, "exact or fast"),
        (["generate", "zh-0.1b", "--prompt", "hello"], 2, "has no tokenizer"),
        (["tokenize", "zh-0.1b", "--text", "hello"], 2, "has no tokenizer"),
        (["tokenize", MODEL, "--ids", "50000"], 2, "outside the vocabulary"),
        (["perplexity", MODEL, "--file", "/nonexistent"], 2, "nonexistent"),
        (["perplexity", MODEL, "--file", "/dev/null"], 2, "null"),
        (["perplexity", MODEL, "--tokens", "1,2", "--way", "both"], 2, "few or many"),
        (["logits", MODEL, "--tokens", "1", "--way", "few"], 2, "has no use for --way"),
        (["generat", MODEL, "--tokens", "1"], 2, "did you mean 'generate'"),
    ],
)
def test_errors(words, status, sentence):
    done = run(*words)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr, done.stderr
    assert done.stdout == ""


def test_short_texts(tmp_path):
    (tmp_path / "one.txt").write_text("a")
    done = run("perplexity", MODEL, "--file", tmp_path / "one.txt")
    assert done.returncode == 2 and "predicts nothing" in done.stderr
    (tmp_path / "empty.txt").write_text("")
    done = run("perplexity", MODEL, "--file", tmp_path / "empty.txt")
    assert done.returncode == 2 and "predicts nothing" in done.stderr
    (tmp_path / "bad.txt").write_bytes(b"a\xff")
    done = run("perplexity", MODEL, "--file", tmp_path / "bad.txt")
    assert done.returncode == 2 and "UTF-8" in done.stderr
