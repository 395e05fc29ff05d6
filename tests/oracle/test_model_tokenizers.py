"""Tokenizers of each kind, trained here, against PyPI `tokenizers`, `sentencepiece` and `tiktoken`.

ZH_TOKENIZER_SAMPLES: texts for each (600 where it is not set, which takes seconds; 10000 make over 100,000 in all).
"""

import base64
import io
import json
import os
import pathlib

import gguf
import numpy as np
import pytest
import sentencepiece
import tiktoken
from safetensors.numpy import save_file
from tokenizer_texts import SOURCE, chinese_texts, real_texts, run_tool, samples
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

COUNT = int(os.environ.get("ZH_TOKENIZER_SAMPLES", "600"))
VOCAB = 3000
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
GPT4 = SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*%s"
SIGNS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + TAIL
WIDE = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
             r"""| ?[\p{P}\p{S}]+[\r\n]*|""" + TAIL)
# Written as numbers: some of these characters are not in NFC, and editors would change them.
DEEPSEEK_LETTERS = (
    "\\s?["
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481"
    "\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b"
    "\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b"
    "\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    "\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4"
    "\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    "\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
    "]+")

# By the name in tokenizer.ggml.pre, as each maker's tokenizer.json has it: (patterns, whole words that are tokens).
PUBLISHED = {
    "gpt-2": ([GPT2], False),
    "smollm": ([r"\p{N}", GPT2], False),
    "llama-bpe": ([GPT4 % r"\p{N}{1,3}"], True),
    "qwen2": ([GPT4 % r"\p{N}"], False),
    "qwen35": ([SHORT + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + TAIL], False),
    "deepseek-llm": ([r"[\r\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+$", WIDE, r"\p{N}"], False),
    "deepseek-coder": ([r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", WIDE, r"\p{N}"], False),
    "deepseek-v3": ([r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK3], False),
    "gpt-4o": ([CASED % (SHORT + "?", SHORT + "?") + r"|\p{N}{1,3}" + SIGNS], False),
    "tekken": ([CASED % ("", "") + r"|\p{N}" + SIGNS], True),
    "minicpm5": ([r"\p{N}{1,3}", GPT4 % r"\p{N}+"], False),
}
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]


@pytest.fixture(scope="module")
def corpus():
    real = real_texts()
    return real[:: max(1, len(real) // 4000)] + chinese_texts()


@pytest.fixture(scope="module")
def drawn():
    return samples(COUNT, 20261122)


def folder(path, **files):
    """A model's folder: the least weights there are, and these files."""
    path.mkdir(exist_ok=True)
    save_file({"model.norm.weight": np.ones(8, np.float32)}, path / "model.safetensors")
    for name, content in files.items():
        name = name.replace("__", ".")
        (path / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def agree(model, theirs, texts, decode=None, words=()):
    for text, (tokens, back) in zip(texts, run_tool(model, [t.encode() for t in texts], *words)):
        wanted = theirs(text)
        assert tokens == wanted, f"{text!r}: {tokens} is not {wanted}"
        if decode:
            assert back.decode("utf-8", "replace") == decode(wanted), repr(text)


def agree_json(tmp_path, made, texts, **files):
    path = folder(tmp_path / "json", tokenizer__json=made.to_str().encode(), **files)
    agree(path, lambda t: made.encode(t, add_special_tokens=False).ids, texts,
          lambda ids: made.decode(ids, skip_special_tokens=False))
    return path


# --- byte-level BPE ---


def train_byte_level(corpus, pre, whole):
    made = Tokenizer(models.BPE(ignore_merges=whole))
    made.pre_tokenizer = pre
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return made


def write_gguf(path, kind, pre, tokens, types, merges=None, scores=None, **booleans):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(kind)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if merges is not None:
        writer.add_token_merges(merges)
    if scores is not None:
        writer.add_token_scores(scores)
    for key, value in booleans.items():
        writer.add_bool("tokenizer.ggml." + key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_byte_level(name, corpus, drawn, tmp_path):
    patterns, whole = PUBLISHED[name]
    steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    made = train_byte_level(corpus, pre_tokenizers.Sequence(
        steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), whole)
    agree_json(tmp_path, made, drawn)
    model = json.loads(made.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    path = write_gguf(tmp_path / "made.gguf", "gpt2", name, tokens, [3 if t in SPECIAL else 1 for t in tokens], merges)
    agree(path, lambda t: made.encode(t, add_special_tokens=False).ids, drawn)


def test_byte_level_by_its_own_regex(corpus, drawn, tmp_path):
    """With what tokenizer.json can ask for besides: NFC, digits, a prefix, BOS and EOS, a pattern nobody knows."""
    made = train_byte_level(corpus, pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.Split(Regex(r"[aeiou]\p{Ll}|\s"), "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"\p{Han}"), "merged_with_next"),
        pre_tokenizers.Split("th", "contiguous", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=True)]), False)
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex("[\u2018\u2019]"), "'")])
    made.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 0), ("<|im_end|>", 1)])
    path = agree_json(tmp_path, made, drawn)
    agree(path, lambda t: made.encode(t).ids, drawn[:200], words=["around"])


@pytest.mark.parametrize("normalizer", [normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(),
                                        normalizers.Lowercase(), normalizers.Strip()], ids=lambda n: type(n).__name__)
def test_normalizers(normalizer, corpus, drawn, tmp_path):
    made = train_byte_level(corpus[:400], pre_tokenizers.ByteLevel(add_prefix_space=False), False)
    made.normalizer = normalizer
    agree_json(tmp_path, made, drawn)


def test_added_tokens(corpus, drawn, tmp_path):
    made = train_byte_level(corpus[:400], pre_tokenizers.ByteLevel(add_prefix_space=False), False)
    made.normalizer = normalizers.Lowercase()
    made.add_tokens([AddedToken("模型", lstrip=True), AddedToken("The", single_word=True, normalized=False),
                     AddedToken("quick", rstrip=True, lstrip=True, normalized=True), AddedToken("IS", normalized=True),
                     AddedToken("jump", single_word=True), AddedToken("é"), AddedToken("a b", normalized=False)])
    made.add_special_tokens([AddedToken("<tool>", lstrip=True, rstrip=True), AddedToken("<｜tool｜>")])
    own = ["The the THE Then", "a  quick  brown", "jumps jump", " 模型模型", "x <tool> y", "<tool><tool> ", "é<｜tool｜>é", "a bc"]
    agree_json(tmp_path, made, own + drawn)


def test_tiktoken_ranks(corpus, drawn, tmp_path):
    made = train_byte_level(corpus, pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(GPT4 % r"\p{N}{1,3}"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), False)
    ours = {c: b for b, c in bytes_to_characters().items()}
    vocab = json.loads(made.to_str())["model"]["vocab"]
    words = [bytes(ours[c] for c in t) for t in sorted(vocab, key=vocab.get) if t not in SPECIAL]
    ranks = {w: i for i, w in enumerate(words)}
    special = {t: len(ranks) + i for i, t in enumerate(SPECIAL)}
    theirs = tiktoken.Encoding("made", pat_str=GPT4 % r"\p{N}{1,3}", mergeable_ranks=ranks, special_tokens=special)
    lines = b"".join(base64.b64encode(w) + b" %d\n" % i for w, i in ranks.items())
    config = {"tokenizer_class": "ChatGLM4Tokenizer", "eos_token": "<|endoftext|>",
              "added_tokens_decoder": {str(i): {"content": t, "special": True} for t, i in special.items()}}
    for name in ("tokenizer__model", "cl100k_base__tiktoken"):
        path = folder(tmp_path / name, tokenizer_config__json=config, **{name: lines})
        agree(path, lambda t: theirs.encode(t, allowed_special="all"), drawn, theirs.decode)


def bytes_to_characters():
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(0x100 + i) for i, b in enumerate(others)}


# --- sentencepiece ---

PIECES = {
    "llama": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                  remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True),
    "gemma": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False,
                  remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True,
                  user_defined_symbols=["\n", "\n\n", "▁▁", "▁▁▁▁", "<table>", "智能"]),
    "bpe": dict(model_type="bpe", normalization_rule_name="nmt_nfkc"),
    "unigram": dict(model_type="unigram", normalization_rule_name="nmt_nfkc"),
    "unigram-cf": dict(model_type="unigram", normalization_rule_name="nmt_nfkc_cf", byte_fallback=True,
                       user_defined_symbols=["<sep>", "模型"]),
    "suffix": dict(model_type="bpe", normalization_rule_name="nfkc", treat_whitespace_as_suffix=True),
}


@pytest.fixture(scope="module")
def pieces(corpus):
    lines = [line for text in corpus for line in text.splitlines() if line.strip()][::4]
    made = {}
    for name, options in PIECES.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, vocab_size=VOCAB, hard_vocab_limit=False,
            character_coverage=0.98, num_threads=2, minloglevel=2, **options)
        made[name] = model.getvalue()
    return made


def load(model):
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def without_controls(drawn):
    """Control pieces are found in our texts, and never in sentencepiece's."""
    return [t for t in drawn if not any(c in t for c in ("<s>", "</s>", "<unk>"))]


@pytest.mark.parametrize("name", PIECES)
def test_sentencepiece(name, pieces, drawn, tmp_path):
    theirs = load(pieces[name])
    drawn = without_controls(drawn)
    path = folder(tmp_path / name, tokenizer__model=pieces[name])
    agree(path, theirs.encode, drawn)
    agree(path, lambda t: [1] + theirs.encode(t), drawn[:50], words=["around"])
    known = [t for t in drawn if 0 not in theirs.encode(t)]
    assert len(known) > len(drawn) // 8
    agree(path, theirs.encode, known, theirs.decode)


@pytest.mark.parametrize("name", ["llama", "gemma"])
def test_sentencepiece_in_gguf(name, pieces, drawn, tmp_path):
    theirs = load(pieces[name])
    count = theirs.get_piece_size()
    types = [2 if theirs.is_unknown(i) else 3 if theirs.is_control(i) else 6 if theirs.is_byte(i) else 1
             for i in range(count)]
    tokens = [theirs.id_to_piece(i) for i in range(count)]
    for i, token in enumerate(tokens):
        if token in PIECES[name].get("user_defined_symbols", []):
            types[i] = 4
    path = write_gguf(tmp_path / "made.gguf", "llama", None, tokens, types,
                      scores=[theirs.get_score(i) for i in range(count)], add_space_prefix=name == "llama")
    drawn = without_controls(drawn)
    agree(path, theirs.encode, drawn, theirs.decode)


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def numbers(**values):
    names = {"model_type": 3, "byte_fallback": 35, "unk": 40, "bos": 41, "eos": 42, "pad": 43, "prefix": 3, "squeeze": 4}
    return b"".join(varint(names[name] << 3) + varint(value) for name, value in values.items())


def sentencepiece_of(path):
    """The sentencepiece model that a GGUF file's metadata was written from."""
    fields = gguf.GGUFReader(path).fields
    tokens, scores, types = (fields["tokenizer.ggml." + name].contents() for name in ("tokens", "scores", "token_type"))
    ids = {name: fields[f"tokenizer.ggml.{long}_token_id"].contents()
           for name, long in (("unk", "unknown"), ("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}
    model = b"".join(
        field(1, field(1, t.encode()) + b"\x15" + np.float32(s).tobytes() + b"\x18" + bytes([2 if i == ids["unk"] else y]))
        for i, (t, s, y) in enumerate(zip(tokens, scores, types)))
    model += field(2, numbers(model_type=2, byte_fallback=1, **ids)) + field(3, numbers(prefix=0, squeeze=0))
    return load(model), [t for t, y in zip(tokens, types) if y == 3]


GEMMA = pathlib.Path(os.environ.get("ZH_GEMMA", SOURCE / "models" / "gemma-3-270m-q4_k_m.gguf"))


@pytest.mark.skipif(not GEMMA.exists(), reason="Gemma 3 is not here: run scripts/fetch-model gemma3")
def test_gemma(drawn):
    theirs, controls = sentencepiece_of(GEMMA)
    drawn = [t for t in drawn if not any(c in t for c in controls)]
    assert len(drawn) > COUNT // 2
    agree(GEMMA, theirs.encode, drawn)
    for text, (_, back) in zip(drawn, run_tool(GEMMA, [t.encode() for t in drawn])):
        assert back == text.replace("▁", " ").encode()  # which stands for a space there


def test_sentencepiece_as_tokenizer_json(pieces, drawn, tmp_path):
    """The same vocabulary as makers publish it in tokenizer.json: merges listed, spaces by normalizers."""
    theirs = load(pieces["llama"])
    vocab = {theirs.id_to_piece(i): i for i in range(theirs.get_piece_size())}
    found = [(t[:at], t[at:], i) for t, i in vocab.items() for at in range(1, len(t))
             if t[:at] in vocab and t[at:] in vocab]
    found.sort(key=lambda m: (-theirs.get_score(m[2]), vocab[m[0]], vocab[m[1]]))
    made = Tokenizer(models.BPE(vocab=vocab, merges=[(a, b) for a, b, _ in found], byte_fallback=True, fuse_unk=True,
                                unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                      decoders.Strip(" ", 1, 0)])
    made.add_special_tokens(["<s>", "</s>", "<unk>"])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    path = agree_json(tmp_path, made, drawn, tokenizer_config__json={"bos_token": "<s>", "eos_token": "</s>"})
    agree(path, lambda t: made.encode(t).ids, drawn[:100], words=["around"])
    made.normalizer = None
    for scheme in ("first", "always", "never"):
        for split in (True, False):
            made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
            made.decoder = decoders.Metaspace(prepend_scheme=scheme, split=split)
            agree_json(tmp_path, made, ["<s>a b", " a", "▁a b", "a<s> b"] + drawn[:: 6])


def test_bpe_without_fallback(corpus, drawn, tmp_path):
    for fuse in (False, True):
        made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse))
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                      pre_tokenizers.CharDelimiterSplit("-")])
        made.train_from_iterator(corpus[:300], trainers.BpeTrainer(
            vocab_size=1000, special_tokens=["<unk>"], limit_alphabet=200, show_progress=False))
        agree_json(tmp_path, made, drawn[:: 2])
    made = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    agree_json(tmp_path, made, ["ab", "axb", "xx", "aéb ab"])


@pytest.mark.parametrize("fallback", [False, True])
def test_unigram(fallback, pieces, drawn, tmp_path):
    theirs = load(pieces["unigram-cf" if fallback else "unigram"])
    vocab = [(theirs.id_to_piece(i), theirs.get_score(i)) for i in range(theirs.get_piece_size())]
    made = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=fallback))
    charsmap = charsmap_of(pieces["unigram"])
    made.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap),
                                            normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    agree_json(tmp_path, made, drawn)


def charsmap_of(model):
    """Field 2 of the normalizer (field 3 of the model)."""
    def varint(data, at):
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                return value, at

    def fields(data):
        at = 0
        while at < len(data):
            key, at = varint(data, at)
            if key & 7 == 2:
                length, at = varint(data, at)
                yield key >> 3, data[at : at + length]
                at += length
            else:
                at = varint(data, at)[1] if key & 7 == 0 else at + {1: 8, 5: 4}[key & 7]

    normalizer = next(value for number, value in fields(model) if number == 3)
    return next(value for number, value in fields(normalizer) if number == 2)
