"""Inputs of products in E4M3, a scale for a token's group of 128 columns (docs/metrics.md, "Self-check"), in numpy, and a
llama that computes with them. Written from the definitions alone: OCP's E4M3 (four bits of exponent, three of fraction, no
infinities, at most 448), the largest magnitude / 448 up to the next bf16 as scale."""

import numpy as np
from llama_numpy import Llama

GROUP, BLOCK, LARGEST = 128, 128, 448


def e4m3(x):
    """To the nearest number, even fractions where two are as near."""
    size = np.abs(x.astype(np.float64))
    exponent = np.clip(np.floor(np.log2(np.where(size == 0, 1, size))), -6, 8)
    step = np.exp2(exponent - 3)
    return (np.sign(x) * np.minimum(np.rint(size / step) * step, LARGEST)).astype(np.float32)


def bf16_upwards(x):
    return ((x.astype(np.float32).view(np.uint32) + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)).view(np.float32)


def inputs(x):
    """x [...][columns], each group of columns by itself."""
    x = np.ascontiguousarray(x, np.float32)
    out = np.zeros_like(x)
    for first in range(0, x.shape[-1], GROUP):
        part = x[..., first : first + GROUP]
        scale = bf16_upwards(np.abs(part).max(axis=-1, keepdims=True) / np.float32(LARGEST))
        safe = np.where(scale == 0, np.float32(1), scale)
        out[..., first : first + GROUP] = np.where(scale == 0, np.float32(0), e4m3(part / safe) * scale)
    return out


def weights(w):
    """A matrix in E4M3 with a scale for a block of 128 x 128, as published models in FP8 have them."""
    out = np.empty(w.shape)
    for r in range(0, w.shape[0], BLOCK):
        for c in range(0, w.shape[1], BLOCK):
            part = w[r : r + BLOCK, c : c + BLOCK]
            scale = np.abs(part).max() / LARGEST or 1.0
            out[r : r + BLOCK, c : c + BLOCK] = e4m3(part / scale).astype(np.float64) * scale
    return out


class Fp8Llama(Llama):
    """Matrices of layers in E4M3; embedding and head as they were. round_inputs: what inputs of those products become."""

    def __init__(self, path, round_inputs=None):
        super().__init__(path)
        self.round_inputs = round_inputs
        for name, w in self.weights.items():
            if w.ndim == 2 and name.startswith("blk."):
                self.weights[name] = weights(w)

    def times(self, x, name):
        if self.round_inputs is not None and name.startswith("blk."):
            x = self.round_inputs(x).astype(np.float64)
        return super().times(x, name)
