"""Dequantised weights, bit for bit, against PyPI gguf: random blocks, with ordinary, subnormal and extreme scales."""

import os
import pathlib
import subprocess

import gguf
import numpy
import pytest

TOOL = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "tests" / "dequantize_stdin"
# Where the f16 scales of a block lie.
SCALES = {"F32": [], "F16": [], "BF16": [], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0],
          "MXFP4": []}
BLOCKS = 600


def scales(kind, rng, count):
    if kind == "ordinary":
        return (rng.standard_normal(count) * 0.02).astype(numpy.float16)
    bits = {
        "subnormal": rng.integers(0, 1 << 10, count) | rng.integers(0, 2, count) << 15,
        "extreme": rng.choice([0x7BFF, 0xFBFF, 0x0001, 0x8001, 0x0400, 0x0000, 0x8000], count),
        "any finite": rng.integers(0, 0x7C00, count) | rng.integers(0, 2, count) << 15,
        "no number": rng.choice([0x7C00, 0xFC00, 0x7E00, 0xFFFF, 0x7C01, 0x3C00], count),
    }[kind]
    return bits.astype(numpy.uint16).view(numpy.float16)


@pytest.mark.parametrize("kind", ["ordinary", "subnormal", "extreme", "any finite", "no number"])
@pytest.mark.parametrize("name", list(SCALES))
def test_equals_gguf(name, kind):
    rng = numpy.random.default_rng(3)
    type_ = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[type_]
    blocks = rng.integers(0, 256, (BLOCKS, size), dtype=numpy.uint8)
    for at in SCALES[name]:
        blocks[:, at : at + 2] = scales(kind, rng, BLOCKS).view(numpy.uint8).reshape(BLOCKS, 2)
    if name == "F16":
        blocks = scales(kind, rng, BLOCKS).view(numpy.uint8).reshape(BLOCKS, 2)
    expected = gguf.quants.dequantize(blocks, type_).astype(numpy.float32).reshape(-1)
    done = subprocess.run([TOOL, name], input=blocks.tobytes(), stdout=subprocess.PIPE, check=True)
    mine = numpy.frombuffer(done.stdout, dtype=numpy.float32)
    assert mine.size == BLOCKS * elements
    same = (mine.view(numpy.uint32) == expected.view(numpy.uint32)) | (numpy.isnan(mine) & numpy.isnan(expected))
    # gguf may add a minimum to a product in another order of zeros: 0 and -0 are the same weight.
    same |= (mine == 0) & (expected == 0)
    assert same.all(), f"{name}: element {same.argmin()} is {mine[same.argmin()]}, gguf says {expected[same.argmin()]}"
