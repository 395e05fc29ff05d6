"""Weights in the forms in which makers publish them packed, from random codes, and what they stand for: written from
the formats' descriptions, without the reader's code. Every form gives tensors {end of name: (dtype, array)}, what
config.json says, the values in the type that docs/formats.md names, and that type."""

import json
import struct

import numpy as np

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
         "F8_E8M0": 1}
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # of outputs, from the lowest four bits up


def write_safetensors(path, tensors):
    """tensors: {name: (dtype, array)}; arrays of BF16 and F8 hold their bits."""
    header, data = {}, b""
    for name, (dtype, values) in tensors.items():
        raw = np.ascontiguousarray(values).tobytes()
        assert len(raw) == values.size * SIZES[dtype], name
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def bf16_bits(values):
    """Round to nearest, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(values, kind):
    """fp64 values that are exact products, as a type holds them, in fp32."""
    if kind == "F16":
        return values.astype(np.float16).astype(np.float32)
    if kind == "BF16":
        return from_bf16(bf16_bits(values.astype(np.float32)))
    return values.astype(np.float32)


def pack(codes, bits, axis, order=None):
    """Codes 0 … 2^bits - 1 into 32-bit words along an axis, padded with zeros."""
    codes = np.moveaxis(codes.astype(np.uint32), axis, -1)
    per = 32 // bits
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % per)])
    words = codes.reshape(*codes.shape[:-1], -1, per)[..., order or list(range(per))]
    words = (words << (np.arange(per, dtype=np.uint32) * bits)).sum(axis=-1, dtype=np.uint32)
    return np.ascontiguousarray(np.moveaxis(words, -1, axis)).view(np.int32)


def random_scales(rng, shape, kind):
    values = rng.uniform(0.5, 1.5, shape).astype(np.float32) * 0.02 / 8 * rng.choice([1, 1, 1, 2], shape)
    if kind == "F16":
        bits = values.astype(np.float16)
        return ("F16", bits), bits.astype(np.float64)
    if kind == "BF16":
        return ("BF16", bf16_bits(values)), from_bf16(bf16_bits(values)).astype(np.float64)
    return ("F32", values.astype(np.float32)), values.astype(np.float64)


def groups_of(columns, group):
    size = columns if group == -1 else group
    return np.arange(columns) // size, (columns + size - 1) // size


def gptq(rng, rows, columns, bits=4, group=32, symmetric=False, version=1, act_order=False, kind="F16"):
    of_column, groups = groups_of(columns, group)
    if act_order:
        of_column = rng.permutation(of_column)
    codes = rng.integers(0, 1 << bits, (rows, columns))
    zeros = rng.integers(0, 1 << bits, (groups, rows)) if not symmetric else np.full((groups, rows), 1 << (bits - 1))
    scales, s = random_scales(rng, (groups, rows), kind)
    words = pack(zeros, bits, 1)
    if version == 1:  # less one in each code: subtracted from the word, so that a zero point of 0 borrows
        words = (words.view(np.uint32) - np.uint32(0x11111111 if bits == 4 else 0x01010101)).view(np.int32)
    values = s[of_column].T * (codes - zeros[of_column].T)
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "sym": symmetric, "desc_act": act_order}
    if version == 2:
        config["checkpoint_format"] = "gptq_v2"
    tensors = {"qweight": ("I32", pack(codes.T, bits, 0)), "qzeros": ("I32", words), "scales": scales,
               "g_idx": ("I32", of_column.astype(np.int32))}
    if act_order or (bits == 8 and not symmetric):
        held = kind
    elif bits == 8:
        held = "Q8_0"
    else:
        held = "Q4_0" if symmetric else "Q5_0"
    return tensors, config, values, held


def awq(rng, rows, columns, group=32):
    of_column, groups = groups_of(columns, group)
    codes = rng.integers(0, 16, (rows, columns))
    zeros = rng.integers(0, 16, (groups, rows))
    scales, s = random_scales(rng, (groups, rows), "F16")
    tensors = {"qweight": ("I32", pack(codes.T, 4, 1, AWQ_ORDER)), "qzeros": ("I32", pack(zeros, 4, 1, AWQ_ORDER)),
               "scales": scales}
    config = {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}
    return tensors, config, s[of_column].T * (codes - zeros[of_column].T), "Q5_0"


def compressed_config(form, **weights):
    return {"quant_method": "compressed-tensors", "format": form,
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}, "ignore": ["lm_head"]}


def compressed(rng, rows, columns, bits=4, group=32, symmetric=True, kind="BF16", act_order=False):
    of_column, groups = groups_of(columns, group)
    if act_order:
        of_column = rng.permutation(of_column)
    half = 1 << (bits - 1)
    codes = rng.integers(-half, half, (rows, columns))
    zeros = np.zeros((rows, groups), int) if symmetric else rng.integers(-half, half, (rows, groups))
    scales, s = random_scales(rng, (rows, groups), kind)
    tensors = {"weight_packed": ("I32", pack(codes + half, bits, 1)), "weight_scale": scales,
               "weight_shape": ("I64", np.array([rows, columns], np.int64))}
    if not symmetric:
        tensors["weight_zero_point"] = ("I32", pack(zeros + half, bits, 0))
    if act_order:
        tensors["weight_g_idx"] = ("I32", of_column.astype(np.int32))
    config = compressed_config("pack-quantized", num_bits=bits, type="int", symmetric=symmetric,
                               group_size=None if group == -1 else group,
                               strategy="channel" if group == -1 else "group")
    values = s[:, of_column] * (codes - zeros[:, of_column])
    if act_order or columns % 32 != 0 or (bits == 8 and not symmetric):
        held = kind
    elif kind == "F32":
        held = "BF16" if bits == 4 else "F32"
    else:
        held = ("Q4_0" if symmetric else "Q5_0") if bits == 4 else "Q8_0"
    return tensors, config, values, held


def int8(rng, rows, columns, kind="BF16", symmetric=True):
    codes = rng.integers(-128, 128, (rows, columns))
    zeros = np.zeros((rows, 1), int) if symmetric else rng.integers(-20, 21, (rows, 1))
    scales, s = random_scales(rng, (rows, 1), kind)
    tensors = {"weight": ("I8", codes.astype(np.int8)), "weight_scale": scales}
    if not symmetric:
        tensors["weight_zero_point"] = ("I8", zeros.astype(np.int8))
    config = compressed_config("int-quantized", num_bits=8, type="int", symmetric=symmetric, strategy="channel")
    held = kind if kind == "F32" or not symmetric else "Q8_0"
    return tensors, config, s * (codes - zeros), held


def float_values(kind):
    """All 256 of an OCP 8-bit float, from its bits."""
    bits, bias = (3, 7) if kind == "F8_E4M3" else (2, 15)
    code = np.arange(256)
    exponent, mantissa = (code & 127) >> bits, code & ((1 << bits) - 1)
    small = np.ldexp(mantissa.astype(float), 1 - bias - bits)
    value = np.where(exponent == 0, small, np.ldexp(1 + mantissa / (1 << bits), exponent - bias))
    if bits == 3:
        value[(code & 127) == 127] = np.nan
    else:
        value = np.where(exponent == 31, np.where(mantissa == 0, np.inf, np.nan), value)
    return np.where(code & 128, -value, value)


def random_floats(rng, rows, columns, kind):
    wanted = rng.standard_normal((rows, columns)) * 20
    table = float_values(kind)
    finite = np.flatnonzero(np.isfinite(table) & ~((np.arange(256) == 128)))
    finite = finite[np.argsort(table[finite], kind="stable")]
    at = np.searchsorted(table[finite], wanted).clip(0, len(finite) - 1)
    codes = finite[at].astype(np.uint8)
    return codes, table[codes]


def fp8(rng, rows, columns, kind="F8_E4M3", scales="block", scale_kind="F32"):
    """`block`: DeepSeek's 128 x 128 with the last block cut; else compressed-tensors' one for all or for each row."""
    codes, f = random_floats(rng, rows, columns, kind)
    shape = {"block": (-(-rows // 128), -(-columns // 128)), "row": (rows, 1), "tensor": (1,)}[scales]
    if scale_kind == "F8_E8M0":
        powers = rng.integers(112, 120, shape).astype(np.uint8)
        stored, s = ("F8_E8M0", powers), np.ldexp(1.0, powers.astype(int) - 127)
    else:
        stored, s = random_scales(rng, shape, scale_kind)
    if scales == "block":
        config = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
        s = np.repeat(np.repeat(s, 128, 0), 128, 1)[:rows, :columns]
        name = "weight_scale_inv"
    else:
        config = compressed_config("float-quantized", num_bits=8, type="float", strategy={"row": "channel"}.get(scales, scales))
        name = "weight_scale"
    product = f.astype(np.float32) * np.broadcast_to(s, f.shape).astype(np.float32)  # in fp32, then to BF16
    tensors = {"weight": (kind, codes), name: stored}
    if scales == "tensor":
        tensors["input_scale"] = ("F32", np.array([0.5], np.float32))
    return tensors, config, product.astype(np.float64), "BF16"


def mxfp4(rng, rows, columns):
    """compressed-tensors' form; gpt-oss's is the same bytes as [.., 16] blocks."""
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    codes = rng.integers(0, 16, (rows, columns)).astype(np.uint8)
    powers = rng.integers(117, 123, (rows, columns // 32)).astype(np.uint8)
    f = np.where(codes & 8, -1.0, 1.0) * table[codes & 7]
    values = f * np.repeat(np.ldexp(1.0, powers.astype(int) - 127), 32, axis=1)
    tensors = {"weight_packed": ("U8", codes[:, 0::2] | codes[:, 1::2] << 4), "weight_scale": ("U8", powers)}
    return tensors, compressed_config("mxfp4-pack-quantized", num_bits=4, type="float", group_size=32), values, "MXFP4"


def f64(rng, rows, columns):
    values = rng.standard_normal((rows, columns)) * 0.02
    return {"weight": ("F64", values)}, None, values, "F32"


def form(function, **how):
    return lambda rng, rows, columns: function(rng, rows, columns, **how)


FORMS = {
    "gptq": form(gptq),
    "gptq-sym": form(gptq, symmetric=True, group=64),
    "gptq-v2": form(gptq, version=2),
    "gptq-row": form(gptq, group=-1),
    "gptq-act-order": form(gptq, act_order=True),
    "gptq-8": form(gptq, bits=8),
    "gptq-8-sym": form(gptq, bits=8, symmetric=True),
    "gptq-bf16": form(gptq, kind="BF16"),
    "awq": form(awq),
    "awq-64": form(awq, group=64),
    "ct-4": form(compressed),
    "ct-4-asym": form(compressed, symmetric=False),
    "ct-4-row": form(compressed, group=-1),
    "ct-4-f32": form(compressed, kind="F32"),
    "ct-4-act-order": form(compressed, act_order=True),
    "ct-8": form(compressed, bits=8, group=-1),
    "ct-8-asym": form(compressed, bits=8, symmetric=False),
    "int8": form(int8),
    "int8-f32": form(int8, kind="F32"),
    "int8-asym": form(int8, symmetric=False),
    "fp8-block": form(fp8),
    "fp8-block-e5m2": form(fp8, kind="F8_E5M2"),
    "fp8-block-e8m0": form(fp8, scale_kind="F8_E8M0"),
    "fp8-row": form(fp8, scales="row", scale_kind="BF16"),
    "fp8-tensor": form(fp8, scales="tensor"),
    "mxfp4": form(mxfp4),
    "f64": form(f64),
}
