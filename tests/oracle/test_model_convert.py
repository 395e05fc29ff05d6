"""Converted models against PyPI `gguf`, `safetensors` and `tokenizers`: every tensor bit for bit, what the files say of
themselves, the tokenizer, and the logits of both sides."""

import json
import os
import pathlib
import shutil
import subprocess

import families_gguf
import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as T
from safetensors.numpy import load_file, save_file
from test_engine_types import FFN, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, VOCAB, write_model
from tokenizers import Tokenizer

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
BINARY = pathlib.Path(os.environ["ZH_BINARY_DIR"])
SMOLLM2 = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
WORDS = {T.F32: "f32", T.F16: "f16", T.BF16: "bf16", T.Q8_0: "q8_0", T.Q4_0: "q4_0", T.Q4_1: "q4_1", T.Q5_0: "q5_0",
         T.Q5_1: "q5_1"}
LAYER = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
         "output.weight": "lm_head.weight"}
NAMES |= {f"blk.{i}.{a}.weight": f"model.layers.{i}.{b}.weight" for i in range(LAYERS) for a, b in LAYER.items()}


def model(*words, fails=None):
    done = subprocess.run([BINARY / "bin" / "zhiheng", "model", *map(str, words)], capture_output=True, text=True)
    if fails is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2 and fails in done.stderr, done.stderr
    return done


def halves(rows, heads):
    """Rows of GGUF's pairs (2i, 2i + 1) in the order of Hugging Face's (i, i + d/2)."""
    return rows.reshape(heads, HEAD_DIM // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def pairs(rows, heads):
    return rows.reshape(heads, 2, HEAD_DIM // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def turned(name, rows, turn):
    heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(name.split(".")[-2])
    return turn(rows, heads) if heads else rows


def values_of(path):
    """Every tensor of a GGUF file as fp32, in Hugging Face's order and by GGUF's name."""
    tensors = {t.name: t for t in gguf.GGUFReader(path).tensors}
    back = {n: gguf.quants.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1]) for n, t in tensors.items()}
    return {n: turned(n, v, halves) for n, v in back.items()}


def fields_of(path):
    return {k: f.contents() for k, f in gguf.GGUFReader(path).fields.items() if not k.startswith("GGUF.")}


def save_folder(folder, rng, kind=np.float32, **config):
    """A folder as the makers of llama models publish them, with values that rounding to any type changes."""
    shapes = {"token_embd": (VOCAB, HIDDEN), "output": (VOCAB, HIDDEN), "attn_q": (HEADS * HEAD_DIM, HIDDEN),
              "attn_k": (KV_HEADS * HEAD_DIM, HIDDEN), "attn_v": (KV_HEADS * HEAD_DIM, HIDDEN),
              "attn_output": (HIDDEN, HEADS * HEAD_DIM), "ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN),
              "ffn_down": (HIDDEN, FFN)}
    arrays = {}
    for name, other in NAMES.items():
        shape = shapes.get(name.split(".")[-2], (HIDDEN,))
        arrays[other] = (rng.standard_normal(shape) / np.sqrt(shape[-1]) + (len(shape) == 1)).astype(kind)
    folder.mkdir()
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    stated = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "head_dim": HEAD_DIM,
              "intermediate_size": FFN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "vocab_size": VOCAB,
              "num_key_value_heads": KV_HEADS, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 1234.0,
              "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(stated | config))
    return arrays


@pytest.mark.parametrize("kind", WORDS, ids=lambda k: k.name)
def test_safetensors_to_gguf_tensor_for_tensor(kind, tmp_path):
    arrays = save_folder(tmp_path / "from", np.random.default_rng(int(kind)))
    path = tmp_path / "to.gguf"
    model("convert", tmp_path / "from", path, "--type", WORDS[kind])
    reader = gguf.GGUFReader(path)
    assert {t.name for t in reader.tensors} == set(NAMES)
    for t in reader.tensors:
        values = turned(t.name, arrays[NAMES[t.name]], pairs)
        # 96 columns of attn_output divide into blocks of 32; vectors stay as they are
        wanted = kind if values.ndim == 2 else T.F32
        assert t.tensor_type == wanted, t.name
        expected = gguf.quants.quantize(values, wanted)
        assert t.data.view(np.uint8).tobytes() == expected.view(np.uint8).tobytes(), t.name
    stated = fields_of(path)
    assert stated["general.architecture"] == "llama" and stated["tokenizer.ggml.model"] == "no_vocab"
    assert stated["llama.attention.head_count_kv"] == KV_HEADS and stated["llama.rope.freq_base"] == 1234.0
    assert stated["llama.attention.layer_norm_rms_epsilon"] == np.float32(1e-5)
    names = {T.F32: "ALL_F32"}
    assert gguf.LlamaFileType(stated["general.file_type"]).name == names.get(kind, f"MOSTLY_{kind.name}")


def test_safetensors_to_q4_k(tmp_path):
    """Rows that are no whole blocks of 256 get Q5_0; the error is that of the quantiser's own test."""
    arrays = save_folder(tmp_path / "from", np.random.default_rng(7))
    done = model("convert", tmp_path / "from", tmp_path / "to.gguf", "--type", "q4_k")
    assert "2 tensors become Q5_0, as 'blk.1.attn_output.weight'" in done.stderr
    kinds = {t.name: t.tensor_type for t in gguf.GGUFReader(tmp_path / "to.gguf").tensors}
    assert kinds["blk.0.ffn_down.weight"] == T.Q4_K and kinds["blk.0.attn_output.weight"] == T.Q5_0
    for name, values in values_of(tmp_path / "to.gguf").items():
        exact = arrays[NAMES[name]]
        assert np.sqrt(((values - exact) ** 2).mean()) < 0.075 * np.sqrt((exact**2).mean()), name


@pytest.mark.parametrize("kind", [T.F32, T.BF16, T.Q4_1, T.Q6_K, T.MXFP4], ids=lambda k: k.name)
def test_gguf_to_safetensors(kind, tmp_path):
    path = write_model(tmp_path / "from.gguf", kind, tied=kind == T.BF16)
    model("convert", path, tmp_path / "to", "--type", "f32")
    arrays = load_file(tmp_path / "to" / "model.safetensors")
    expected = values_of(path)
    assert set(arrays) == {NAMES[n] for n in expected}
    for name, values in expected.items():
        got = arrays[NAMES[name]]
        assert got.dtype == np.float32 and got.shape == values.shape and (got == values).all(), name
    config = json.loads((tmp_path / "to" / "config.json").read_text())
    assert config["num_key_value_heads"] == KV_HEADS and config["head_dim"] == HEAD_DIM
    assert config["rms_norm_eps"] == 1e-5 and config["rope_theta"] == 1234.0
    assert config["tie_word_embeddings"] == (kind == T.BF16) and config["torch_dtype"] == "float32"


def test_there_and_back_is_the_same_model(tmp_path):
    """Bits of every tensor, values of every key that was there, and the logits on either side."""
    first = write_model(tmp_path / "first.gguf", T.F16)
    model("convert", first, tmp_path / "middle")
    model("convert", tmp_path / "middle", tmp_path / "last.gguf")
    a, b = (gguf.GGUFReader(tmp_path / name) for name in ("first.gguf", "last.gguf"))
    last = {t.name: t for t in b.tensors}
    for t in a.tensors:
        assert t.data.astype(np.float32).tobytes() == last[t.name].data.astype(np.float32).tobytes(), t.name
        assert last[t.name].tensor_type == (T.F32 if len(t.shape) == 1 else T.F16)
    before, after = fields_of(tmp_path / "first.gguf"), fields_of(tmp_path / "last.gguf")
    assert {k: after.get(k) for k in before} == before
    question = ["--tokens", "1,2,3,200,7", "--all", "--json"]
    answers = [model("logits", tmp_path / n, *question).stdout for n in ("first.gguf", "last.gguf")]
    assert answers[0] == answers[1]
    turned_logits = json.loads(model("logits", tmp_path / "middle", *question).stdout)["positions"]
    for x, y in zip(turned_logits, json.loads(answers[0])["positions"]):
        assert np.abs(np.array(x["logits"]) - y["logits"]).max() < 1e-5 * np.abs(y["logits"]).max()


def test_within_a_format(tmp_path):
    """Other types, no other names, orders or keys: also of an architecture that does not run."""
    path = write_model(tmp_path / "from.gguf", T.F32)
    raw = path.read_bytes().replace(b"llama", b"mamba")
    path.write_bytes(raw)
    model("convert", path, tmp_path / "to.gguf", "--type", "q8_0")
    a, b = fields_of(path), fields_of(tmp_path / "to.gguf")
    assert {k: b[k] for k in a} == a and set(b) - set(a) == {"general.file_type", "general.quantization_version"}
    plain = {t.name: t for t in gguf.GGUFReader(path).tensors}
    for t in gguf.GGUFReader(tmp_path / "to.gguf").tensors:
        kind = T.Q8_0 if len(t.shape) == 2 else T.F32
        expected = gguf.quants.quantize(plain[t.name].data, kind)
        assert t.tensor_type == kind and t.data.tobytes() == expected.tobytes()

    arrays = save_folder(tmp_path / "folder", np.random.default_rng(3), extra="kept")
    (tmp_path / "folder" / "tokenizer.json").write_text('{"model": 1}')
    model("convert", tmp_path / "folder", tmp_path / "half", "--type", "f16")
    half = load_file(tmp_path / "half" / "model.safetensors")
    for name, values in arrays.items():
        assert (half[name] == (values.astype(np.float16) if values.ndim == 2 else values)).all()
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["extra"] == "kept" and config["torch_dtype"] == "float16"
    assert (tmp_path / "half" / "tokenizer.json").read_text() == '{"model": 1}'


def test_a_standard_model_as_safetensors_is_the_same_model(tmp_path):
    model("convert", "zh-0.1b", tmp_path / "folder")
    question = ["--tokens", "1,2,3,32767", "--json"]
    a, b = (json.loads(model("logits", m, *question).stdout)["positions"] for m in ("zh-0.1b", tmp_path / "folder"))
    assert np.abs(np.array(a[0]["logits"]) - b[0]["logits"]).max() < 1e-4 and a[0]["argmax"] == b[0]["argmax"]


@pytest.mark.parametrize("name", ["zh-0.6b", "zh-moe-3b", "zh-mla-2b"])
def test_standard_models_can_be_said_as_gguf(name, tmp_path):
    """Their layers and turned dimensions, which no file states."""
    model("convert", name, tmp_path / "m.gguf", "--type", "q4_0", "--dry-run")
    assert not list(tmp_path.iterdir())


TOKENS = 4000
TEXTS = ["Hello, world! 1234567 tokens", "你好，世界：智衡。", "  \t\n\n  x = 3.14e-10;\r\n", "naïve café 👩‍👩‍👧 e\u0301",
         "<|im_start|>user\nhi<|im_end|>", "don't WON'T I'll  we've", ""]


@pytest.fixture(scope="module")
def smollm2():
    """The beginning of a real vocabulary, with the merges that make it."""
    if not SMOLLM2.exists():
        pytest.skip("models/SmolLM2-135M-Instruct.Q4_1.gguf is not here")
    fields = gguf.GGUFReader(SMOLLM2).fields
    text = {k: fields[f"tokenizer.ggml.{k}"] for k in ("tokens", "merges")}
    tokens, merges = ([bytes(f.parts[i]).decode() for i in f.data[:TOKENS]] for f in text.values())
    made = set(tokens)
    types = [int(fields["tokenizer.ggml.token_type"].parts[i][0]) for i in fields["tokenizer.ggml.token_type"].data[:TOKENS]]
    return tokens, types, [m for m in merges if m.replace(" ", "") in made]


@pytest.mark.parametrize("pre, bos", [("smollm", False), ("gpt-2", True), ("llama-bpe", True), ("qwen2", False)])
def test_the_tokenizer_comes_along(pre, bos, smollm2, tmp_path):
    """Under each pre-tokenizer: there, `tokenizers` reads it; back, it is as it was."""
    tokens, types, merges = smollm2
    writer = gguf.GGUFWriter(tmp_path / "from.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(bos)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    writer.add_name("folder")
    sizes = {"block_count": 1, "context_length": 64, "embedding_length": 32, "feed_forward_length": 32, "head_count": 2,
             "head_count_kv": 1, "vocab_size": TOKENS, "key_length": 16, "value_length": 16, "rope_dimension_count": 16}
    for key, value in sizes.items():
        getattr(writer, f"add_{key}")(value)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    shapes = {"token_embd": (TOKENS, 32), "output_norm": (32,), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,),
              "blk.0.attn_q": (32, 32), "blk.0.attn_k": (16, 32), "blk.0.attn_v": (16, 32), "blk.0.attn_output": (32, 32),
              "blk.0.ffn_gate": (32, 32), "blk.0.ffn_up": (32, 32), "blk.0.ffn_down": (32, 32)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.ones(shape, np.float16 if len(shape) == 2 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    model("convert", tmp_path / "from.gguf", tmp_path / "folder")
    theirs = Tokenizer.from_file(str(tmp_path / "folder" / "tokenizer.json"))
    for text in TEXTS:
        mine = json.loads(model("tokenize", tmp_path / "from.gguf", "--text", text, "--json").stdout)["tokens"]
        assert theirs.encode(text).ids == mine, text
    about = json.loads((tmp_path / "folder" / "tokenizer_config.json").read_text())
    assert about["bos_token"] == "<|im_start|>" and "messages" in about["chat_template"]

    model("convert", tmp_path / "folder", tmp_path / "to.gguf")
    before, after = fields_of(tmp_path / "from.gguf"), fields_of(tmp_path / "to.gguf")
    assert {k: after.get(k) for k in before} == before


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def sentencepiece_model(pieces):
    """As sentencepiece writes them: field << 3 | wire type; pieces, then trainer (BPE) and normalizer specifications."""
    data = b""
    for text, score, kind in pieces:
        raw = text.encode()
        body = b"\x0a" + varint(len(raw)) + raw + b"\x15" + np.float32(score).tobytes()
        body += b"\x18" + varint(kind) if kind != 1 else b""
        data += b"\x0a" + varint(len(body)) + body
    return data + b"\x12\x02\x18\x02" + b"\x1a\x04\x18\x01\x20\x00"


def test_a_sentencepiece_tokenizer_comes_along(tmp_path):
    pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), *((f"<0x{i:02X}>", 0, 6) for i in range(100)),
              *((f"▁词{i}" * (i % 40 + 1), -i / 7, 1) for i in range(90))]
    save_folder(tmp_path / "from", np.random.default_rng(1), bos_token_id=1, eos_token_id=[2, 3])
    (tmp_path / "from" / "tokenizer.model").write_bytes(sentencepiece_model(pieces))
    added = {"195": {"content": "<|end|>", "special": True}, "196": {"content": "<x>", "special": False}}
    about = {"added_tokens_decoder": added, "add_bos_token": True, "chat_template": "{{ x }}"}
    (tmp_path / "from" / "tokenizer_config.json").write_text(json.dumps(about))
    model("convert", tmp_path / "from", tmp_path / "to.gguf")
    stated = {k.removeprefix("tokenizer.ggml."): v for k, v in fields_of(tmp_path / "to.gguf").items()}
    assert stated["model"] == "llama" and stated["tokenizer.chat_template"] == "{{ x }}"
    assert stated["tokens"][:193] == [p[0] for p in pieces] and len(stated["tokens"]) == VOCAB
    assert stated["scores"][:193] == [float(np.float32(p[1])) for p in pieces]
    assert stated["token_type"][:198] == [p[2] for p in pieces] + [5, 5, 3, 4, 5]
    assert stated["tokens"][195:197] == ["<|end|>", "<x>"]
    assert (stated["bos_token_id"], stated["eos_token_id"]) == (1, 2)
    assert stated["add_bos_token"] is True and stated["add_space_prefix"] is True
    assert stated["remove_extra_whitespaces"] is False

    # the pieces are the bytes that they were; test_convert_tokenizers.py lets sentencepiece read the whole
    model("convert", tmp_path / "to.gguf", tmp_path / "back")
    whole = list(zip(stated["tokens"], stated["scores"], stated["token_type"]))
    assert (tmp_path / "back" / "tokenizer.model").read_bytes().startswith(sentencepiece_model(whole)[:-10])
    (tmp_path / "from" / "tokenizer.model").write_bytes(sentencepiece_model(pieces)[:-3])
    model("convert", tmp_path / "from", tmp_path / "cut.gguf", fails="is no sentencepiece model")
    (tmp_path / "from" / "tokenizer.model").write_bytes(sentencepiece_model(pieces * 2))
    model("convert", tmp_path / "from", tmp_path / "cut.gguf", fails=f"up to {VOCAB} tokens")


def test_what_cannot_be_converted_is_said(tmp_path):
    path = write_model(tmp_path / "m.gguf", T.Q8_0)
    out = tmp_path / "out"
    model("convert", path, fails="say where to")
    model("convert", path, out, fails="safetensors folders hold no Q8_0; say --type")
    model("convert", path, out, "--type", "q4_0", fails="safetensors folders hold no Q4_0")
    model("convert", path, out, "--type", "q4_m", fails="did you mean 'q4_0'?")
    model("convert", path, tmp_path / "out.safetensors", "--type", "f32", fails="name a folder")
    assert not out.exists() and len(list(tmp_path.iterdir())) == 1
    save_folder(tmp_path / "big", np.random.default_rng(1))
    arrays = load_file(tmp_path / "big" / "model.safetensors")
    arrays["model.layers.1.mlp.up_proj.weight"][300, 7] = 1e5
    arrays["model.layers.0.mlp.up_proj.weight"][:, 0] = 7
    save_file(arrays, tmp_path / "big" / "model.safetensors")
    refused = "row 300 of the tensor 'blk.1.ffn_up.weight' holds what F16 cannot"
    model("convert", tmp_path / "big", tmp_path / "big.gguf", "--type", "f16", fails=refused)
    arrays["model.layers.1.mlp.up_proj.weight"][300, 7] = np.nan
    save_file(arrays, tmp_path / "big" / "model.safetensors")
    model("convert", tmp_path / "big", tmp_path / "big.gguf", "--type", "q5_1", fails="holds what Q5_1 cannot: no number")
    model("convert", tmp_path / "big", tmp_path / "big", "--type", "f16", fails="holds .safetensors files already")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big", "m.gguf"]
    assert {p.name for p in (tmp_path / "big").iterdir()} == {"config.json", "model.safetensors"}
    raw = path.read_bytes().replace(b"llama", b"mamba")
    path.write_bytes(raw)
    model("convert", path, out, "--type", "f32", fails="mamba")


FAMILIES = SOURCE / "tests" / "golden" / "families"
REFUSED = {"internlm2-dynamic": "positions (rope)", "qwen2-window": "(window)"}
# GGUF keeps the head's rows divided by their length, which config.json says instead.
OTHERWISE = {"baichuan2": "lm_head.weight", "baichuan2-13b": "lm_head.weight"}


def answers(path):
    """Logits of some tokens, past windows and original contexts."""
    tokens = ",".join(str(i * 7 % 80 + 1) for i in range(40))
    document = json.loads(model("logits", path, "--tokens", tokens, "--all", "--json").stdout)
    return np.array([p["logits"] for p in document["positions"]])


def close(got, expected, bound=1e-5):
    return np.abs(got - expected).max() <= bound * np.abs(expected).max()


@pytest.mark.parametrize("family", sorted(p.name for p in FAMILIES.iterdir() if (p / "config.json").exists()))
def test_families(family, tmp_path):
    """Small models of each family that runs, to GGUF as PyPI `gguf` writes its conventional form, and back as they were."""
    there, path, back = FAMILIES / family, tmp_path / "to.gguf", tmp_path / "back"
    if family in REFUSED:
        model("convert", there, path, fails=REFUSED[family])
        assert not list(tmp_path.iterdir())
        return
    done = model("convert", there, path)
    left = family in ("deepseek-v3", "gemma3-nested", "glm4-moe", "llama2")
    assert left == ("numbers stay behind" in done.stderr), done.stderr
    check_conventional(there, path, tmp_path / "theirs.gguf")
    expected = answers(there)
    bound = 1e-2 if family in OTHERWISE else 1e-5  # of bf16
    assert close(answers(path), expected, bound)
    if family in OTHERWISE:
        model("convert", there, tmp_path / "exact.gguf", "--type", "f32")
        assert close(answers(tmp_path / "exact.gguf"), expected)

    assert "stay behind" not in model("convert", path, back).stderr
    assert close(answers(back), expected, bound)
    first, last = load_all(there), load_all(back)
    first = {n: v for n, v in first.items() if not is_left(n, there)}
    assert set(last) == set(first)
    for name in set(last) - {OTHERWISE.get(family)}:
        assert np.array_equal(first[name], last[name]), name
    theirs, ours = (json.loads((p / "config.json").read_text()) for p in (there, back))
    if "text_config" not in theirs:
        assert ours["model_type"] == theirs["model_type"] and ours["architectures"] == theirs["architectures"]
        assert {k: ours[k] for k in ours if theirs.get(k) != ours[k]}.keys() <= DEFAULTS | {"rope_scaling", "rope_theta"}


# What config.json may say, though it would be understood without, or does in another word.
DEFAULTS = {"head_dim", "torch_dtype", "attention_bias", "mlp_bias", "bias", "use_bias", "hidden_act", "rms_norm_eps",
            "num_key_value_heads", "sliding_window", "rope_interleave", "moe_intermediate_size", "norm_topk_prob",
            "partial_rotary_factor", "max_position_embeddings", "quantization_config", "tie_word_embeddings",
            "num_shared_expert", "moe_topk", "first_k_dense_replace", "n_group", "topk_group", "use_qk_norm",
            "scoring_func", "use_sliding_window", "max_window_layers", "decoder_sparse_step", "hidden_activation"}


def is_left(name, there):
    """Parts of a model that answers are not computed with."""
    layers = json.loads((there / "config.json").read_text()).get("num_hidden_layers")
    return name.endswith("inv_freq") or f".layers.{layers}." in name or "vision" in name or "projector" in name


def check_conventional(there, path, other):
    """Each tensor and each key as another program writes them."""
    theirs = gguf.GGUFReader(families_gguf.convert(there, other))
    ours = gguf.GGUFReader(path)
    wanted, found = ({t.name: t for t in r.tensors} for r in (theirs, ours))
    wanted = {n: t for n, t in wanted.items() if n in found or not (n.startswith("blk.2.") and "glm4-moe" in str(there))}
    assert set(found) == set(wanted)  # of GLM-4.5 the layer that predicts further tokens stays behind
    for name, t in wanted.items():
        mine = found[name]
        assert list(mine.shape) == list(t.shape), name
        a, b = (gguf.quants.dequantize(x.data, x.tensor_type) for x in (t, mine))
        if "13b" in str(there) and name.endswith(("attn_q.weight", "attn_k.weight")):
            a, b = (x[np.lexsort(x.T)] for x in (a, b))  # no RoPE: the order of a head's rows says nothing
        assert np.allclose(a, b, rtol=0 if "factor" not in name and name != "output.weight" else 1e-2, atol=0), name
    keys = {k: f.contents() for k, f in theirs.fields.items() if not k.startswith(("GGUF.", "general.", "tokenizer."))}
    for key, value in keys.items():
        mine = ours.fields[key].contents() if key in ours.fields else None
        same = mine == value or (isinstance(value, float) and mine is not None and abs(mine - value) <= 1e-6 * abs(value))
        assert same or key.split(".", 1)[1] in UNSAID | ({"block_count"} if "nextn" in str(keys) else set()), (key, value, mine)
        assert mine is None or ours.fields[key].types == theirs.fields[key].types, key


UNSAID = {"expert_shared_count", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length",
          "nextn_predict_layers", "expert_gating_func"}  # what follows from other keys, or says that there is nothing to say


@pytest.mark.parametrize("family", ["deepseek-v2-lite", "deepseek-v3"])
def test_latent_attention_in_other_forms(family, tmp_path):
    """GGUF with kv_b whole, as older files have it; rounded; and pairs of RoPE that config.json puts otherwise."""
    there = FAMILIES / family
    expected = answers(there)
    families_gguf.convert(there, tmp_path / "older.gguf", True)
    model("convert", tmp_path / "older.gguf", tmp_path / "back")
    first, last = load_all(there), load_all(tmp_path / "back")
    assert close(answers(tmp_path / "back"), expected) and all(np.array_equal(last[n], first[n]) for n in last)
    model("convert", there, tmp_path / "rounded.gguf", "--type", "q8_0")
    model("convert", tmp_path / "rounded.gguf", tmp_path / "rounded", "--type", "f32")
    assert close(answers(tmp_path / "rounded"), answers(tmp_path / "rounded.gguf"))
    shutil.copytree(there, tmp_path / "halves")
    config = json.loads((there / "config.json").read_text()) | {"rope_interleave": False}
    (tmp_path / "halves" / "config.json").write_text(json.dumps(config))
    expected, other = answers(tmp_path / "halves"), expected
    assert not close(expected, other, 1e-3)
    model("convert", tmp_path / "halves", tmp_path / "pairs.gguf")
    model("convert", tmp_path / "pairs.gguf", tmp_path / "pairs")
    assert close(answers(tmp_path / "pairs.gguf"), expected) and close(answers(tmp_path / "pairs"), expected)


UNSAYABLE = {"gpt-oss": ({"swiglu_limit": 5.0}, "(activation_limit)"),
             "gemma3": ({"layer_types": ["full_attention"] * 3 + ["sliding_attention"] * 4}, "(pattern of layers)"),
             "deepseek-v3": ({"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32,
                                               "mscale": 1.0, "mscale_all_dim": 0.5}}, "(positions (rope))")}


@pytest.mark.parametrize("family", UNSAYABLE)
def test_what_gguf_has_no_word_for(family, tmp_path):
    change, said = UNSAYABLE[family]
    shutil.copytree(FAMILIES / family, tmp_path / "from")
    config = json.loads((tmp_path / "from" / "config.json").read_text()) | change
    (tmp_path / "from" / "config.json").write_text(json.dumps(config))
    model("convert", tmp_path / "from", tmp_path / "to.gguf", fails=f"cannot become GGUF: what it says of itself would not "
          f"say the same there {said}")
    assert [p.name for p in tmp_path.iterdir()] == ["from"]


def test_dry_run(tmp_path):
    """What would be written, and nothing is; what would be refused is."""
    save_folder(tmp_path / "from", np.random.default_rng(5))
    words = ["convert", tmp_path / "from", tmp_path / "to.gguf", "--type", "q8_0"]
    plan = json.loads(model(*words, "--dry-run", "--json").stdout)
    assert [p.name for p in tmp_path.iterdir()] == ["from"]
    model(*words)
    found = gguf.GGUFReader(tmp_path / "to.gguf").tensors
    kinds = {kind.name: [t.n_bytes for t in found if t.tensor_type == kind] for kind in {t.tensor_type for t in found}}
    assert {t["type"]: (t["tensors"], t["bytes"]) for t in plan["types"]} == {k: (len(b), sum(b)) for k, b in kinds.items()}
    assert plan["tensors"] == len(found) and plan["tensor_bytes"] == sum(t.n_bytes for t in found)
    model("convert", FAMILIES / "qwen2-window", tmp_path / "no.gguf", "--dry-run", fails="(window)")


def test_a_refused_conversion_leaves_the_file_that_was_there(tmp_path):
    old = tmp_path / "to.gguf"
    old.write_bytes(b"what was there before")
    done = subprocess.run([BINARY / "bin" / "zhiheng", "model", "convert", FAMILIES / "internlm2-dynamic", old],
                          capture_output=True, text=True)
    assert done.returncode == 2 and "cannot become GGUF" in done.stderr, done.stderr
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("to.gguf", b"what was there before")]


def load_all(folder):
    """By hand: numpy has no bfloat16. A text model within another has its names with a word more."""
    arrays = {}
    for path in folder.glob("*.safetensors"):
        raw = path.read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        for name, about in json.loads(raw[8:start]).items():
            if name == "__metadata__" or about["dtype"] not in ("F32", "F16", "BF16"):
                continue
            begin, end = (start + n for n in about["data_offsets"])
            bits = np.frombuffer(raw[begin:end], {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}[about["dtype"]])
            values = (bits.astype(np.uint32) << 16).view(np.float32) if about["dtype"] == "BF16" else bits.astype(np.float32)
            arrays[name.replace("language_model.", "")] = values.reshape(about["shape"])
    return arrays
