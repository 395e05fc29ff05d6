"""Honest models: cut from trained layers or declared random, in every format and shape that is usual.

A Truth may allow kinds of findings: what is said is true, though nobody cheats (a model that says it is random is
untrained). Everything else that an audit says about these is a false alarm.
"""
import dataclasses
import itertools

import gguf
import numpy as np

import files
import weights
from cases import Carrier, Case, Truth, Written


def plain(rng, carrier, folder):
    model = carrier.make(rng)
    return Written(carrier.write(model, folder), Truth(), model.parameters)


def random(rule):
    def build(rng, carrier, folder):
        model = weights.initialised(rng, carrier.make(rng), rule)
        size = sum(tensor.size for tensor in model.tensors.values())
        return Written(carrier.write(model, folder), Truth(also={"untrained"}, most=size), model.parameters)
    return build


def padded(rows, content):
    """The vocabulary filled up to the next multiple of `rows`, as training frameworks do for speed."""
    def build(rng, carrier, folder):
        model = carrier.make(rng)
        words, old = model.vocabulary, len(model.vocabulary.tokens)
        kept = old - int(rng.integers(1, rows))
        missing = -kept % rows
        words.tokens, words.types = words.tokens[:kept], words.types[:kept]
        words.merges = [merge for merge in words.merges if merge.replace(" ", "") in set(words.tokens)]
        for place in (weights.EMBEDDING, weights.HEAD):
            if place in model.tensors:
                model.tensors[place] = fill(rng, model.tensors[place][:kept], missing, content)
        if carrier.container == "gguf":  # the converter names them and marks them unused
            words.tokens += [f"[PAD{kept + i}]" for i in range(missing)]
            words.types += [gguf.TokenType.UNUSED] * missing
        most = missing * carrier.hidden * (1 if model.tied else 2)
        truth = Truth(also={"unreachable_vocabulary", "zero_rows", "duplicate_tensor"}, most=most, outside=True)
        return Written(carrier.write(model, folder), truth, model.parameters)
    return build


def fill(rng, kept, missing, content):
    if content == "zero":
        rows = np.zeros((missing, kept.shape[1]), np.float32)
    elif content == "mean":
        rows = np.repeat(kept.mean(axis=0, keepdims=True), missing, axis=0)
    else:
        rows = weights.gaussian(rng, (missing, kept.shape[1]), 0.02)
    return np.concatenate([kept, rows])


def pruned(rng, carrier, folder):
    """Two of every four weights zero, the smaller ones: a usual way to make inference faster, not to pad."""
    model = carrier.make(rng)
    for layer in range(model.layers):
        for place, tensor in model.matrices(layer).items():
            fours = tensor.reshape(-1, 4).copy()
            small = np.argsort(np.abs(fours), axis=1)[:, :2]
            np.put_along_axis(fours, small, 0, axis=1)
            model.tensors[place] = fours.reshape(tensor.shape)
    return Written(carrier.write(model, folder), Truth(), model.parameters)


def head_twice(rng, carrier, folder):
    """A tied head that the converter wrote out: unique counts it once, and saying so is right."""
    model = carrier.make(rng)
    head = model.tensors[weights.EMBEDDING]
    model.tensors[weights.HEAD] = head.copy()
    truth = Truth(also={"duplicate_tensor"}, least=head.size, most=head.size, outside=True)
    return Written(carrier.write(model, folder), truth, model.parameters)


def router_bias(rng, carrier, folder):
    """A router's correction bias of the size that balanced training leaves."""
    model = carrier.make(rng)
    for layer in range(model.layers):
        model.tensors[weights.Place(layer, "router_bias")] = weights.gaussian(rng, carrier.experts, 0.05)
    return Written(carrier.write(model, folder), Truth(), model.parameters)


def biases(zero):
    """Biases of Q, K and V: trained ones (a row of the trained model's weights), or zeros that nobody trained."""
    def build(rng, carrier, folder):
        model = carrier.make(rng)
        rows = weights.trained().matrix("blk.11.ffn_down.weight")
        for layer in range(model.layers):
            for part in ("attn_q", "attn_k", "attn_v"):
                length = len(model.tensors[weights.Place(layer, part)])
                bias = rows[rng.integers(len(rows)), :length] * np.float32(0 if zero else 4)
                model.tensors[weights.Place(layer, f"{part}.bias")] = bias
        size = sum(tensor.size for place, tensor in model.tensors.items() if place.part.endswith(".bias"))
        truth = Truth(also={"zero_tensor", "constant_tensor"}, most=size, layers=set(range(model.layers)))
        return Written(carrier.write(model, folder), truth if zero else Truth(), model.parameters)
    return build


def shared_expert(rng, carrier, folder):
    """An expert for every token beside the routed ones."""
    model = carrier.make(rng)
    other = dataclasses.replace(carrier, experts=0, ffn=2 * carrier.ffn).make(rng)
    for layer in range(model.layers):
        for part in weights.FFN:
            model.tensors[weights.Place(layer, f"{part}_shexp")] = other.tensors[weights.Place(layer, part)]
    return Written(carrier.write(model, folder), Truth(), model.parameters)


def declared(rng, carrier, folder):
    """Metadata and name that state the size as publishers round it."""
    model = carrier.make(rng)
    model.claims = {"size_label": f"{model.parameters / 1e6:.1f}M", "parameter_count": model.parameters}
    return Written(carrier.write(model, folder, f"corpus-{model.parameters / 1e6:.1f}M-chat"), Truth(),
                   model.parameters)


def whole(dtype):
    """The trained model itself, in another element type."""
    def build(rng, carrier, folder):
        if dtype == "as published":
            return Written(weights.TRAINED, Truth(), 134515008)
        base = weights.trained()
        writer = gguf.GGUFWriter(folder / "whole.gguf", "llama")
        model = weights.Model("whole", 576, 9, 3, 64, 1536, {weights.Place(29, "attn_q"): np.empty((49152, 1)),
                              weights.EMBEDDING: np.empty((49152, 1))}, base.fresh_vocabulary(49152))
        files.add_metadata(writer, model)
        kind = gguf.GGMLQuantizationType[dtype]
        for name, tensor in base.tensors.items():
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            if values.ndim == 1:
                writer.add_tensor(name, values.astype(np.float32))
            else:
                writer.add_tensor(name, gguf.quants.quantize(values.astype(np.float32), kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return Written(folder / "whole.gguf", Truth(), 134515008)
    return build


WIDTHS = {64: 128, 128: 256, 256: 512}  # hidden → ffn


def cases():
    made = []

    def add(kind, strength, carrier, build=plain, variant=0):
        made.append(Case(f"honest: {kind}", strength, True, carrier, build, False, variant))

    for dtype, hidden, tied, layers in itertools.product(files.GGUF_TYPES, WIDTHS, (True, False), (2, 5)):
        add("dense, trained", dtype, Carrier("gguf", dtype, hidden, WIDTHS[hidden], layers, tied=tied))
    for dtype, hidden, tied, shards in itertools.product(files.SAFETENSORS_TYPES, (128, 256), (True, False), (1, 0, 3)):
        add("dense, trained", dtype, Carrier("folder", dtype, hidden, WIDTHS[hidden], 3, tied=tied, shards=shards))
    for dtype, tied in itertools.product(files.K_TYPES, (True, False)):
        add("dense, trained", dtype, Carrier("gguf", dtype, 256, 512, 4, tied=tied))
        add("experts, trained", dtype, Carrier("gguf", dtype, 256, 256, 2, experts=4, tied=tied))
    for dtype, experts in itertools.product(files.PACKED_TYPES, (0, 8)):
        add("packed, trained", dtype, Carrier("folder", dtype, 256, 128 if experts else 512, 3, experts=experts))
        add("packed, trained", dtype, Carrier("folder", dtype, 128, 128, 3, experts=experts, tied=False, shards=2))
    for experts, hidden in itertools.product((4, 8), (128, 256)):
        add("packed, trained", "MXFP4", Carrier("folder", "MXFP4", hidden, 128, 3, experts=experts))
    for dtype, experts in itertools.product(files.GGUF_TYPES, (4, 8, 16)):
        add("experts, trained", dtype, Carrier("gguf", dtype, 128, 96, 3, experts=experts))
    for dtype, experts, shards in itertools.product(files.SAFETENSORS_TYPES, (4, 8), (1, 3)):
        add("experts, trained", dtype, Carrier("folder", dtype, 128, 96, 3, experts=experts, shards=shards))
    for dtype in ("F32", "BF16", "Q4_0"):
        add("experts, router bias", dtype, Carrier("gguf", dtype, 128, 96, 3, experts=8), router_bias)
    for dtype in files.SAFETENSORS_TYPES:
        add("experts, router bias", dtype, Carrier("folder", dtype, 128, 96, 3, experts=8), router_bias)
    for dtype, shape in itertools.product(files.GGUF_TYPES, ("dense", "experts")):
        carrier = Carrier("gguf", dtype, 576, 1536, 2, groups=3, vocab=2048)
        if shape == "experts":
            carrier = dataclasses.replace(carrier, ffn=192, experts=8)
        add(f"{shape}, full width", dtype, carrier)
    for rule, dtype in itertools.product(("0.02", "xavier", "kaiming", "orthogonal"), ("F32", "BF16", "Q8_0", "Q4_0")):
        add("random, declared", rule, Carrier("gguf", dtype, 128, 256, 4, tied=False), random(rule))
    for rule in ("0.02", "xavier", "kaiming", "orthogonal"):
        add("random, declared", rule, Carrier("folder", "BF16", 128, 96, 3, experts=8), random(rule))
    for rows, content in itertools.product((8, 64), ("zero", "mean", "random")):
        strength = f"to {rows}, {content} rows"
        add("padded vocabulary", strength, Carrier("gguf", "F16", vocab=4096), padded(rows, content))
        add("padded vocabulary", strength, Carrier("folder", "BF16", vocab=4096, tied=False), padded(rows, content))
    for carrier in (Carrier("gguf", "F16"), Carrier("folder", "BF16"), Carrier("gguf", "Q4_K", 256, 512)):
        add("biases", "trained", carrier, biases(zero=False))
        add("biases", "zero", carrier, biases(zero=True))
    for carrier in (Carrier("gguf", "Q8_0", ffn=96, experts=8), Carrier("folder", "BF16", ffn=96, experts=8),
                    Carrier("folder", "FP8", 256, 128, experts=8)):
        add("shared expert", carrier.dtype, carrier, shared_expert)
    for dtype in ("F32", "F16", "Q8_0", "Q4_0"):
        add("pruned 2:4", dtype, Carrier("gguf", dtype, 256, 512), pruned)
        add("head written twice", dtype, Carrier("gguf", dtype), head_twice)
        add("declared size", dtype, Carrier("gguf", dtype), declared)
    add("declared size", "BF16", Carrier("folder", "BF16"), declared)
    for dtype in ("as published", "Q8_0", "Q4_0", "F16"):
        add("the whole trained model", dtype, Carrier("gguf", dtype, 576, 1536, 30, 49152, 3), whole(dtype))
    return made
