"""Gemma 3 270M, real weights in four packed types, by `zhiheng model` against numpy float64.

Bounds as of test_engine_smollm2.py, of the largest |logit| of a position; the error passes through 18 layers instead of
30. Exact 1e-5, measured 3.9e-7; fp32 sums 1e-4, measured 1.4e-6; activations rounded to bytes or bf16 0.05, measured
0.0066. A perplexity's error is a mean of signed errors of single tokens, of which none may reach 1e-5 of some 20 units
of logit: 1e-6 holds for the mean of over 50, measured at most 1.9e-8.

Not here where `scripts/fetch-model gemma3` has not been run."""

import struct

import numpy as np
import pytest
from chat_templates import GEMMA_3
from engine_program import SOURCE, ask, check_choices, ids, largest_error, run
from gemma_numpy import Gemma3

MODEL = SOURCE / "models" / "gemma-3-270m-q4_k_m.gguf"
TEXTS = {
    "english": "The memory of a computer is slower than its processor, which is why caches exist and why",
    "code": "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) +",
    "chinese": "智算中心的性能评测应当说明所用的硬件、软件版本、模型和测量方法，并且",
}
BOUND = {"exact": 1e-5, "whole": 1e-4, "fast": 0.05}
MADE = 12

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="Gemma 3 is not here: run scripts/fetch-model gemma3")


@pytest.fixture(scope="module")
def gemma():
    return Gemma3(MODEL)


def tokens_of(text):
    return ask("tokenize", MODEL, "--text", text)["tokens"]


def measuring_text(language, characters):
    return (SOURCE / "bench" / "suites" / "texts" / f"measuring-{language}.txt").read_text()[:characters]


def check_greedy(prompt, made, logits):
    """`logits`: the oracle's, of the last token of the prompt and of each that was made but the last."""
    second, best = np.sort(logits, axis=-1)[:, -2:].T
    assert (best - second).min() > 1e-3, "the oracle's own choice is too near to call; take another text"
    assert made == logits.argmax(axis=-1).tolist()


@pytest.mark.parametrize("text", TEXTS)
def test_logits_and_greedy_tokens(text, gemma):
    """Each token made is the oracle's choice after the prompt and those before it, which makes all of them its own."""
    prompt = tokens_of(TEXTS[text])
    made = {way: ask("generate", MODEL, "--tokens", ids(prompt), "--max-new", MADE, way=way) for way in ("exact", "whole")}
    whole = prompt + made["exact"]["tokens"][:-1]
    expected = gemma.forward(whole)
    check_greedy(prompt, made["exact"]["tokens"], expected[len(prompt) - 1 :])
    assert made["whole"] == made["exact"]
    assert made["exact"]["text"] == ask("tokenize", MODEL, "--ids", ids(made["exact"]["tokens"]))["text"]
    for way, bound in BOUND.items():
        got = ask("logits", MODEL, "--tokens", ids(whole), "--all", way=way)["positions"]
        assert [p["position"] for p in got] == list(range(len(whole)))
        error = largest_error(got, expected)
        print(f"{text} {way}: largest relative logit error {error:.2e}")
        assert error <= bound
        check_choices(got, expected, bound)


@pytest.mark.parametrize("language, characters", [("en", 300), ("zh", 110)])
def test_perplexity(language, characters, gemma, tmp_path):
    file = tmp_path / f"{language}.txt"
    file.write_text(measuring_text(language, characters))
    losses, likeliest = gemma.losses(tokens_of(file.read_text()), 40)
    got = ask("perplexity", MODEL, "--file", file, "--context", 40)
    value = np.exp(np.mean(losses))
    print(f"{language}: {len(losses)} tokens, perplexity {value:.4f}, relative error {got['perplexity'] / value - 1:.1e}")
    assert got["tokens"] == len(losses) > 50
    assert abs(got["perplexity"] / value - 1) <= 1e-6
    assert np.abs(np.array(got["token_nll"]) - losses).max() <= 1e-4
    assert got["likeliest"] == likeliest.tolist()


def test_past_the_window(gemma):
    """Layers with a window no longer see the beginning, in the prompt and when tokens are made one by one; the oracle
    without windows is another model."""
    prompt = tokens_of(measuring_text("zh", 1008))[:528]
    assert len(prompt) == gemma.window + 16
    made = ask("generate", MODEL, "--tokens", ids(prompt), "--max-new", 4, way="whole")["tokens"]
    hidden = gemma.hidden(prompt + made[:-1])[len(prompt) - 1 :]
    expected = gemma.head(hidden)
    check_greedy(prompt, made, expected)
    (got,) = ask("logits", MODEL, "--tokens", ids(prompt), way="whole")["positions"]
    error = largest_error([got | {"position": 0}], expected)
    print(f"after {len(prompt)} tokens: largest relative logit error {error:.2e}")
    assert error <= BOUND["whole"]
    gemma.window, window = len(prompt), gemma.window
    unlimited = gemma.forward(prompt, len(prompt) - 1)
    gemma.window = window
    assert largest_error([got | {"position": 0}], unlimited) > 10 * BOUND["whole"]


def with_template(source, target, template):
    """The same model with a chat template: a multiple of 32 bytes more of metadata, so that no tensor moves in its block.
    """
    data, key = source.read_bytes(), b"tokenizer.chat_template"
    room = -(8 + len(key) + 4 + 8 + len(template.encode()) + 4) % 32
    text = template.encode() + b"{#" + b" " * room + b"#}"
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(text)) + text
    (count,) = struct.unpack_from("<Q", data, 16)
    target.write_bytes(data[:16] + struct.pack("<Q", count + 1) + entry + data[24:])
    return target


def test_turns_of_a_conversation(tmp_path):
    """The file at hand is of the pretrained model, without a template; with Gemma's own, markers are single tokens."""
    done = run("generate", MODEL, "--message", "Hi")
    assert done.returncode == 2 and "has no chat template" in done.stderr
    model = with_template(MODEL, tmp_path / "chat.gguf", GEMMA_3)
    bos, begin, end, newline, user, answer = 2, 105, 106, 107, 2364, 4368
    said = tokens_of("法国的首都是哪里？")
    assert said[0] == bos
    made = ask("generate", model, "--message", " 法国的首都是哪里？\n", "--max-new", 4)
    assert made["prompt_tokens"] == [bos, begin, user, newline, *said[1:], end, newline, begin, answer, newline]
    assert made == ask("generate", MODEL, "--tokens", ids(made["prompt_tokens"]), "--max-new", 4)
    text = "<start_of_turn>user\n法国的首都是哪里？<end_of_turn>\n<start_of_turn>model\n"
    assert tokens_of(text) == made["prompt_tokens"]
