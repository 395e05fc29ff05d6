"""Element types and packed formats that the public packages read but do not write: K-quants of GGUF; FP8 with block
scales, GPTQ, AWQ and MXFP4 of safetensors. Rounding is plain, not searched for; only the layout must be right."""
import numpy as np

E4M3 = np.array([(1 + m / 8) * 2.0 ** (e - 7) if e else m / 8 * 2.0 ** -6 for e in range(16) for m in range(8)][:127],
                np.float32)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
K_BLOCK, FP8_BLOCK, GROUP, MX_BLOCK = 256, 128, 64, 32


def nearest(table, values):
    """Codes of the nearest entries of an ascending table of magnitudes, with the sign in the bit above."""
    magnitude = np.abs(values)
    codes = np.searchsorted((table[1:] + table[:-1]) / 2, magnitude).astype(np.uint8)
    bit = 1 << int(np.ceil(np.log2(len(table))))
    return codes | np.where(np.signbit(values), np.uint8(bit), np.uint8(0))


def divided(values, by):
    """values / by, 0 where by is 0."""
    return np.divide(values, by, out=np.zeros(np.broadcast_shapes(values.shape, by.shape), np.float32), where=by != 0)


def half(values):
    return values.astype(np.float16)


def bytes_of(*arrays):
    """Arrays [blocks][…] side by side, as bytes."""
    return np.concatenate([np.ascontiguousarray(a).view(np.uint8).reshape(len(a), -1) for a in arrays], axis=1)


def q6_k(tensor):
    """Rows of blocks of 210 bytes: low four bits, high two bits, 16 scales, d."""
    blocks = tensor.reshape(-1, 16, 16).astype(np.float32)
    scale = np.abs(blocks).max(axis=2) / 31
    d = half(scale.max(axis=1, keepdims=True) / 127)
    steps = np.round(divided(scale, d.astype(np.float32))).clip(0, 127).astype(np.int8)
    unit = (d.astype(np.float32) * steps)[:, :, None]
    codes = (np.round(divided(blocks, unit)).clip(-32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.stack([codes[:, :, 0] & 15 | (codes[:, :, 2] & 15) << 4, codes[:, :, 1] & 15 | (codes[:, :, 3] & 15) << 4],
                   axis=2)
    high = sum((codes[:, :, i] >> 4) << (2 * i) for i in range(4)).astype(np.uint8)
    return bytes_of(low.reshape(len(low), -1), high.reshape(len(high), -1), steps, d).reshape(len(tensor), -1)


def q4_k(tensor):
    """Rows of blocks of 144 bytes: d, dmin, eight scales and minima of six bits, four-bit codes."""
    blocks = tensor.reshape(-1, 8, 32).astype(np.float32)
    low = np.minimum(blocks.min(axis=2), 0)
    scale = (blocks.max(axis=2) - low) / 15
    d, dmin = half(scale.max(axis=1, keepdims=True) / 63), half(-low.min(axis=1, keepdims=True) / 63)
    steps = np.round(divided(scale, d.astype(np.float32))).clip(0, 63).astype(np.uint8)
    minima = np.round(divided(-low, dmin.astype(np.float32))).clip(0, 63).astype(np.uint8)
    unit, shift = (d.astype(np.float32) * steps)[:, :, None], (dmin.astype(np.float32) * minima)[:, :, None]
    codes = np.round(divided(blocks + shift, unit)).clip(0, 15).astype(np.uint8).reshape(-1, 4, 2, 32)
    packed = np.concatenate([steps[:, :4] & 63 | (steps[:, 4:] >> 4) << 6,
                             minima[:, :4] & 63 | (minima[:, 4:] >> 4) << 6,
                             steps[:, 4:] & 15 | (minima[:, 4:] & 15) << 4], axis=1).astype(np.uint8)
    return bytes_of(d, dmin, packed, codes[:, :, 0] | codes[:, :, 1] << 4).reshape(len(tensor), -1)


GGUF_K = {"Q6_K": q6_k, "Q4_K": q4_k}


def by_blocks(tensor, size):
    """Each element's block's largest magnitude, and the same once a block, for square blocks of `size`."""
    rows, columns = (-(-length // size) for length in tensor.shape)
    largest = np.zeros((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            largest[i, j] = np.abs(tensor[i * size:(i + 1) * size, j * size:(j + 1) * size]).max()
    spread = largest.repeat(size, axis=0).repeat(size, axis=1)[:tensor.shape[0], :tensor.shape[1]]
    return spread, largest


def fp8(name, tensor):
    spread, largest = by_blocks(tensor, FP8_BLOCK)
    return {name: ("float8_e4m3fn", nearest(E4M3, divided(tensor, spread / np.float32(448)))),
            name + "_scale_inv": ("float32", largest / np.float32(448))}


def pack(codes, axis):
    """Eight four-bit codes along an axis in one 32-bit word, the first lowest."""
    codes = np.moveaxis(codes, axis, -1).astype(np.uint32)
    words = codes.reshape(*codes.shape[:-1], -1, 8)
    return np.ascontiguousarray(np.moveaxis((words << (4 * np.arange(8, dtype=np.uint32))).sum(
        axis=-1, dtype=np.uint32), -1, axis)).view(np.int32)


def four_bits(tensor):
    """Codes [inputs][outputs], zero points and scales [groups][outputs]."""
    turned = np.ascontiguousarray(tensor.T)
    groups = turned.reshape(-1, GROUP, turned.shape[1])
    low, high = np.minimum(groups.min(axis=1), 0), np.maximum(groups.max(axis=1), 0)
    scale = (high - low) / 15
    zero = np.round(divided(-low, scale)).clip(0, 15)
    codes = (np.round(divided(groups, scale[:, None])) + zero[:, None]).clip(0, 15)
    return codes.reshape(turned.shape), zero, half(scale)


def gptq(name, tensor):
    codes, zero, scale = four_bits(tensor)
    stem = name.removesuffix("weight")
    return {stem + "qweight": ("int32", pack(codes, 0)), stem + "qzeros": ("int32", pack(zero, 1)),
            stem + "scales": ("float16", scale),
            stem + "g_idx": ("int32", (np.arange(len(codes)) // GROUP).astype(np.int32))}


def awq(name, tensor):
    codes, zero, scale = four_bits(tensor)
    order = np.array([0, 2, 4, 6, 1, 3, 5, 7])
    turn = lambda array: array.reshape(len(array), -1, 8)[:, :, order].reshape(array.shape)
    stem = name.removesuffix("weight")
    return {stem + "qweight": ("int32", pack(turn(codes), 1)), stem + "qzeros": ("int32", pack(turn(zero), 1)),
            stem + "scales": ("float16", scale)}


def mxfp4(name, tensor):
    """tensor [experts][rows][columns] → blocks of 16 bytes with 32 codes, and a power of two for each."""
    blocks = tensor.reshape(*tensor.shape[:-1], -1, MX_BLOCK)
    largest = np.abs(blocks).max(axis=-1, keepdims=True)
    power = np.floor(np.log2(np.where(largest > 0, largest, 1))) - 2
    codes = nearest(E2M1, blocks / np.exp2(power))
    packed = codes[..., 0::2] | codes[..., 1::2] << 4
    return {name + "_blocks": ("uint8", packed.astype(np.uint8)),
            name + "_scales": ("uint8", (power[..., 0] + 127).astype(np.uint8))}


PACKED = {"FP8": fp8, "GPTQ": gptq, "AWQ": awq}
METHODS = {"FP8": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
           "GPTQ": {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": False},
           "AWQ": {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True},
           "MXFP4": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}}
