"""Tokenizers that conversions carry across, against PyPI `tokenizers`, `sentencepiece` and `tiktoken`: the same tokens in
the other format, and back."""

import base64
import json
import os
import pathlib
import subprocess
import unicodedata

import gguf
import numpy as np
import pytest
import tiktoken
from safetensors.numpy import save_file
from test_model_tokenizers import (GPT4, PIECES, PUBLISHED, SPECIAL, agree, bytes_to_characters, corpus, drawn, load,
                                   pieces, train_byte_level, without_controls)
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

__all__ = ["corpus", "drawn", "pieces"]  # fixtures
BINARY = pathlib.Path(os.environ["ZH_BINARY_DIR"])
VOCAB = 3200  # some more than the tokenizers have


def model(path, **files):
    """A folder with the least model there is, and these files."""
    shapes = {"model.embed_tokens": (VOCAB, 32), "lm_head": (VOCAB, 32), "model.norm": (32,)}
    layer = {"input_layernorm": (32,), "post_attention_layernorm": (32,), "self_attn.q_proj": (32, 32),
             "self_attn.k_proj": (16, 32), "self_attn.v_proj": (16, 32), "self_attn.o_proj": (32, 32),
             "mlp.gate_proj": (32, 32), "mlp.up_proj": (32, 32), "mlp.down_proj": (32, 32)}
    shapes |= {f"model.layers.0.{name}": shape for name, shape in layer.items()}
    path.mkdir()
    save_file({f"{name}.weight": np.ones(shape, np.float16) for name, shape in shapes.items()}, path / "model.safetensors")
    config = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": VOCAB, "max_position_embeddings": 64,
              "rms_norm_eps": 1e-5}
    for name, content in (files | {"config__json": config}).items():
        (path / name.replace("__", ".")).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def convert(there, path):
    done = subprocess.run([BINARY / "bin" / "zhiheng", "model", "convert", there, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return "".join(line for line in done.stderr.splitlines() if "writing" not in line)


def stated(path, key):
    return gguf.GGUFReader(path).fields["tokenizer.ggml." + key].contents()


@pytest.fixture(scope="module")
def byte_level(corpus):
    return train_byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=False), False)


@pytest.mark.parametrize("name", PUBLISHED)
def test_byte_level(name, byte_level, drawn, tmp_path):
    """Every pre-tokenizer that GGUF has a name for, by the patterns of its makers' tokenizer.json."""
    patterns, whole = PUBLISHED[name]
    about = json.loads(byte_level.to_str())
    about["model"]["ignore_merges"] = whole
    made = Tokenizer.from_str(json.dumps(about))
    steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    made.pre_tokenizer = pre_tokenizers.Sequence(steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    there = model(tmp_path / "there", tokenizer__json=made.to_str().encode())
    assert convert(there, tmp_path / "made.gguf") == ""
    assert stated(tmp_path / "made.gguf", "pre") == name
    texts = drawn[::4]
    agree(tmp_path / "made.gguf", lambda t: made.encode(t, add_special_tokens=False).ids, texts)
    assert convert(tmp_path / "made.gguf", tmp_path / "back") == ""
    back = Tokenizer.from_file(str(tmp_path / "back" / "tokenizer.json"))
    for text in texts:
        assert back.encode(text, add_special_tokens=False).ids == made.encode(text, add_special_tokens=False).ids, text


def test_what_gguf_cannot_say_of_byte_level(byte_level, tmp_path):
    made = Tokenizer.from_str(byte_level.to_str())
    made.normalizer = normalizers.NFC()
    made.add_tokens([AddedToken("模型", rstrip=True)])
    made.post_processor = processors.TemplateProcessing(
        single="<|im_start|> <|im_end|> $A <|endoftext|>",
        special_tokens=[(t, i) for i, t in enumerate(SPECIAL)])
    about = {"bos_token": "<|im_start|>", "eos_token": "<|endoftext|>"}
    there = model(tmp_path / "there", tokenizer__json=made.to_str().encode(), tokenizer_config__json=about,
                  chat_template__jinja=b"{{ x }}")
    said = convert(there, tmp_path / "made.gguf")
    assert "NFC" in said and "1 added tokens take the spaces" in said and "than BOS and EOS" in said
    path = tmp_path / "made.gguf"
    assert stated(path, "add_bos_token") and stated(path, "add_eos_token")
    assert (stated(path, "bos_token_id"), stated(path, "eos_token_id")) == (0, 2)
    assert gguf.GGUFReader(path).fields["tokenizer.chat_template"].contents() == "{{ x }}"
    convert(path, tmp_path / "back")
    back = Tokenizer.from_file(str(tmp_path / "back" / "tokenizer.json"))
    assert back.encode("a b").ids == [0, *made.encode("a b", add_special_tokens=False).ids, 2]
    made.normalizer = normalizers.Lowercase()
    there = model(tmp_path / "lower", tokenizer__json=made.to_str().encode())
    assert "the tokenizer did not come along" in convert(there, tmp_path / "lower.gguf")
    assert stated(tmp_path / "lower.gguf", "model") == "no_vocab"


@pytest.mark.parametrize("name", PIECES)
def test_sentencepiece(name, pieces, drawn, tmp_path):
    theirs, path = load(pieces[name]), tmp_path / "made.gguf"
    there = model(tmp_path / "there", tokenizer__model=pieces[name], tokenizer_config__json={"add_bos_token": True})
    said = convert(there, path)
    if name == "suffix":
        assert "puts them behind words" in said and stated(path, "model") == "no_vocab"
        return
    assert said == "" and stated(path, "model") == ("t5" if name.startswith("unigram") else "llama")
    texts = without_controls(drawn)[::3]
    agree(path, theirs.encode, texts)
    agree(path, lambda t: [1] + theirs.encode(t), texts[:20], words=["around"])
    assert convert(path, tmp_path / "back") == ""
    back = load((tmp_path / "back" / "tokenizer.model").read_bytes())
    assert [back.id_to_piece(i) for i in range(theirs.get_piece_size())] == [
        theirs.id_to_piece(i) for i in range(theirs.get_piece_size())]
    assert (back.unk_id(), back.bos_id(), back.eos_id(), back.pad_id()) == (
        theirs.unk_id(), theirs.bos_id(), theirs.eos_id(), theirs.pad_id())
    for text in texts:
        assert back.encode(text) == theirs.encode(text), text
    agree(tmp_path / "back", theirs.encode, texts[::4])


def test_merges_of_characters(pieces, drawn, tmp_path):
    """A tokenizer.json made of a sentencepiece model, without the model beside it; not where it merges otherwise."""
    theirs = load(pieces["llama"])
    vocab = {theirs.id_to_piece(i): i for i in range(theirs.get_piece_size())}
    found = [(t[:at], t[at:], i) for t, i in vocab.items() for at in range(1, len(t)) if t[:at] in vocab and t[at:] in vocab]
    found.sort(key=lambda m: (-theirs.get_score(m[2]), vocab[m[0]], vocab[m[1]]))
    merges = [(a, b) for a, b, _ in found]
    mixed = np.random.default_rng(3).permutation(len(merges))
    for number, kept in enumerate((merges, merges[1:], [merges[i] for i in mixed])):
        made = Tokenizer(models.BPE(vocab=vocab, merges=kept, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                          decoders.Strip(" ", 1, 0)])
        made.add_special_tokens(["<s>", "</s>", "<unk>"])
        there = model(tmp_path / f"{number}", tokenizer__json=made.to_str().encode(),
                      tokenizer_config__json={"bos_token": "<s>", "eos_token": "</s>"})
        said = convert(there, tmp_path / f"{number}.gguf")
        if number:
            assert "nor like a sentencepiece model" in said
            continue
        assert said == ""
        agree(tmp_path / f"{number}.gguf", lambda t: made.encode(t, add_special_tokens=False).ids,
              without_controls(drawn)[::3])


def test_ranks(corpus, drawn, tmp_path):
    """tiktoken's ranks as merges; a token that no two others make is named."""
    split = pre_tokenizers.Split(Regex(GPT4 % r"\p{N}"), "isolated")
    made = train_byte_level(corpus, pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), False)
    ours = {c: b for b, c in bytes_to_characters().items()}
    vocab = json.loads(made.to_str())["model"]["vocab"]
    words = [bytes(ours[c] for c in t) for t in sorted(vocab, key=vocab.get) if t not in SPECIAL]
    for extra in ([], [b"\x01\x02\x03\x04"]):
        ranks = {w: i for i, w in enumerate(words + extra)}
        special = {t: len(ranks) + i for i, t in enumerate(SPECIAL)}
        theirs = tiktoken.Encoding("made", pat_str=GPT4 % r"\p{N}", mergeable_ranks=ranks, special_tokens=special)
        lines = b"".join(base64.b64encode(w) + b" %d\n" % i for w, i in ranks.items())
        about = {"tokenizer_class": "QWenTokenizer", "eos_token": "<|endoftext|>",
                 "added_tokens_decoder": {str(i): {"content": t, "special": True} for t, i in special.items()}}
        there = model(tmp_path / f"there{len(extra)}", tokenizer_config__json=about, qwen__tiktoken=lines)
        path = tmp_path / f"made{len(extra)}.gguf"
        said = convert(there, path)
        assert "NFC" in said and ("1 tokens of the rank file are not made" in said) == bool(extra)
        assert (stated(path, "pre"), stated(path, "eos_token_id")) == ("qwen2", special["<|endoftext|>"])
        composed = [t for t in drawn[::2] if t == unicodedata.normalize("NFC", t)]
        agree(path, lambda t: theirs.encode(t, allowed_special="all"), composed)
        convert(path, tmp_path / f"back{len(extra)}")
        back = Tokenizer.from_file(str(tmp_path / f"back{len(extra)}" / "tokenizer.json"))
        for text in composed:
            assert back.encode(text, add_special_tokens=False).ids == theirs.encode(text, allowed_special="all"), text
