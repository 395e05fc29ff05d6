"""Tokens of text against PyPI `tokenizers`, with the vocabulary and merges that the GGUF file itself holds."""

import time

import gguf
import pytest
from tokenizer_texts import SOURCE, UNICODE, run_tool, texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

MODEL = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

WORDS = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


# As the tokenizer.json of each maker has it.
PRETOKENIZERS = {
    "smollm": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ],
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)],
    "llama-bpe": [isolated(WORDS % r"\p{N}{1,3}"), BYTES],
    "qwen2": [isolated(WORDS % r"\p{N}"), BYTES],
    "default": [
        isolated(r"[\p{P}$+<=>^~|]+"),
        isolated(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
        isolated(r"\p{N}+"),
        isolated(r"[0-9][0-9][0-9]"),
        BYTES,
    ],
}


def reader():
    return gguf.GGUFReader(MODEL)


def oracle(fields, pre):
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    vocab = {t: i for i, t in enumerate(tokens)}
    bpe = models.BPE(vocab=vocab, merges=merges, ignore_merges=pre == "llama-bpe")
    made = Tokenizer(bpe)
    made.pre_tokenizer = pre_tokenizers.Sequence(PRETOKENIZERS[pre])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t, y in zip(tokens, types) if y == 3]
    )
    return made


def compare(model, made, samples):
    ours = run_tool(model, [t.encode() for t in samples])
    for text, (tokens, back) in zip(samples, ours):
        theirs = made.encode(text, add_special_tokens=False).ids
        assert tokens == theirs, f"{text!r}: {tokens} is not {theirs}"
        written = made.decode(theirs, skip_special_tokens=False)
        assert back.decode("utf-8", "replace") == written, repr(text)


def test_smollm2_matches_tokenizers():
    made = oracle(reader().fields, "smollm")
    samples = texts(6000, 20261121)
    assert len(samples) >= 6000
    compare(MODEL, made, samples)


def test_every_character_alone_and_between_letters():
    made = oracle(reader().fields, "smollm")
    compare(MODEL, made, UNICODE[::7])
    compare(MODEL, made, [f"a {c} b{c}c" for c in UNICODE[::11]])


def test_bytes_come_back():
    """Text without the bytes that this vocabulary lacks is restored to the byte."""
    tokens = set(reader().fields["tokenizer.ggml.tokens"].contents())
    alphabet = {a for a in pre_tokenizers.ByteLevel.alphabet() if a not in tokens}
    samples = [t for t in texts(3000, 7) if not alphabet & set("".join(p for p, _ in BYTES.pre_tokenize_str(t)))]
    assert len(samples) > 1500
    for text, (_, back) in zip(samples, run_tool(MODEL, [t.encode() for t in samples])):
        assert back == text.encode()


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2", "default"])
def test_other_pretokenizers(pre, tmp_path):
    """The same vocabulary under another name of pre-tokenizer."""
    fields = reader().fields
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(fields["tokenizer.ggml.tokens"].contents())
    writer.add_token_types(fields["tokenizer.ggml.token_type"].contents())
    writer.add_token_merges(fields["tokenizer.ggml.merges"].contents())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    compare(tmp_path / "other.gguf", oracle(fields, pre), texts(2000, 99))


def test_a_megabyte_without_a_space_is_no_trap():
    samples = [b"ab" * 500_000, "好".encode() * 300_000, b" " * 1_000_000, b"'" * 1_000_000, b"7" * 1_000_000]
    for text in samples:
        begin = time.monotonic()
        ((_, back),) = run_tool(MODEL, [text])
        assert back == text
        assert time.monotonic() - begin < 20
