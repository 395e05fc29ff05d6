"""Small random llama models, written by PyPI `gguf`, in each weight type, against numpy float64: uneven head counts,
rotated pairs of a part of the head, tied and separate heads.

Bounds: 2 layers of fp32 with sums in fp64 give 1e-6 of the logits' scale; fast kernels sum in fp32: 1e-5.
Where activations are rounded to bytes, each by half a step of 1/127 of its block's largest, random models give up to
0.05 (printed with -s), bf16 0.011: 0.1."""

import gguf
import numpy as np
import pytest
from engine_program import ask, check_choices, ids, largest_error, run
from gguf import GGMLQuantizationType as T
from gguf.quants import quantize
from llama_numpy import Llama

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 2, 256, 6, 2, 16, 512, 211
# place and number of fp16 scales, and their size
SCALES = {T.Q4_K: (0, 2, 5e-5), T.Q5_K: (0, 2, 5e-5), T.Q6_K: (208, 1, 5e-5), T.Q2_K: (80, 2, 4e-3), T.Q3_K: (108, 1, 1e-3),
          T.IQ4_XS: (0, 1, 5e-5), T.IQ4_NL: (0, 1, 1e-3)}
TYPES = [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q4_K, T.Q5_K, T.Q6_K,
         T.Q2_K, T.Q3_K, T.IQ4_XS, T.IQ4_NL, T.MXFP4]
BOUND = {"exact": 1e-6, "whole": 1e-5, "fast": 0.1}


def random_blocks(rng, rows, columns, kind):
    """Types that `gguf` reads but does not write: random bits with scales that keep the values small."""
    (at, scales, scale), (elements, size) = SCALES[kind], gguf.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (rows, columns // elements, size), dtype=np.uint8)
    values = rng.uniform(0.5, 1.0, (rows, columns // elements, scales)) * scale
    raw[:, :, at : at + 2 * scales] = values.astype(np.float16).view(np.uint8)
    return raw.reshape(rows, -1)


def add(writer, rng, name, rows, columns, kind):
    if columns % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = T.Q8_0
    if kind in SCALES:
        writer.add_tensor(name, random_blocks(rng, rows, columns, kind), raw_dtype=kind)
        return
    values = (rng.standard_normal((rows, columns)) / np.sqrt(columns) * 1.5).astype(np.float32)
    if kind == T.F32:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)


def write_model(path, kind, tied=False, rope_dims=HEAD_DIM, drop=None, wrong=None, extra=None):
    rng = np.random.default_rng(int(kind) + 100 * tied)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_dimension_count(rope_dims)
    writer.add_rope_freq_base(1234.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    shapes = {"token_embd.weight": (VOCAB, HIDDEN)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.{name}.weight": shape
            for name, shape in {
                "attn_norm": (HIDDEN,), "attn_q": (HEADS * HEAD_DIM, HIDDEN), "attn_k": (KV_HEADS * HEAD_DIM, HIDDEN),
                "attn_v": (KV_HEADS * HEAD_DIM, HIDDEN), "attn_output": (HIDDEN, HEADS * HEAD_DIM),
                "ffn_norm": (HIDDEN,), "ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN), "ffn_down": (HIDDEN, FFN),
            }.items()
        }
    shapes["output_norm.weight"] = (HIDDEN,)
    if not tied:
        shapes["output.weight"] = (VOCAB, HIDDEN)
    if drop:
        del shapes[drop]
    shapes |= wrong or {}
    shapes |= extra or {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            gain = (1 + 0.1 * rng.standard_normal(shape)).astype(np.float16 if kind == T.F16 else np.float32)
            writer.add_tensor(name, gain)
        else:
            add(writer, rng, name, *shape, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def compare(path):
    llama = Llama(path)
    tokens = [int(t) for t in np.random.default_rng(1).integers(0, VOCAB, 40)]
    expected = llama.forward(tokens)
    for way, bound in BOUND.items():
        got = ask("logits", path, "--tokens", ids(tokens), "--all", way=way)["positions"]
        error = largest_error(got, expected)
        print(f"{path.name} {way}: {error:.2e}")
        assert error <= bound
        check_choices(got, expected, bound)
    spread = expected.std()
    assert spread > 1e-3 and np.isfinite(spread), "a model whose logits say nothing tests nothing"


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.name)
def test_weight_types(kind, tmp_path):
    compare(write_model(tmp_path / f"{kind.name}.gguf", kind))


@pytest.mark.parametrize("kind", [T.F32, T.Q8_0, T.Q6_K], ids=lambda k: k.name)
def test_tied_head(kind, tmp_path):
    compare(write_model(tmp_path / f"tied-{kind.name}.gguf", kind, tied=True))


def test_part_of_the_head_is_rotated(tmp_path):
    compare(write_model(tmp_path / "partial.gguf", T.F32, rope_dims=8))


def test_perplexity_of_tokens(tmp_path):
    path = write_model(tmp_path / "p.gguf", T.F32)
    tokens = [int(t) for t in np.random.default_rng(2).integers(0, VOCAB, 100)]
    for window in (2, 7, 33, 64):
        n, nll, value = Llama(path).perplexity(tokens, window)
        got = ask("perplexity", path, "--tokens", ids(tokens), "--context", window)
        assert got["tokens"] == n
        assert abs(got["perplexity"] - value) <= 1e-5 * value


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"drop": "blk.1.ffn_up.weight"}, "'blk.1.ffn_up.weight' is missing"),
        ({"drop": "output_norm.weight"}, "'output_norm.weight' is missing"),
        ({"wrong": {"blk.0.attn_q.weight": (HEADS * HEAD_DIM - 1, HIDDEN)}}, "'blk.0.attn_q.weight' should have"),
        ({"wrong": {"blk.1.attn_norm.weight": (HIDDEN - 1,)}}, "'blk.1.attn_norm.weight' should have"),
        ({"extra": {"blk.0.attn_q.bias": (HEADS * HEAD_DIM,)}}, "'blk.0.attn_k.bias' is missing"),
    ],
)
def test_models_that_do_not_fit(change, sentence, tmp_path):
    done = run("logits", write_model(tmp_path / "bad.gguf", T.F32, **change), "--tokens", "1,2")
    assert done.returncode == 2
    assert sentence in done.stderr, done.stderr
