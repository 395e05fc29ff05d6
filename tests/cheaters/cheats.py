"""Cheating models: an honest one, with one thing done to it at one strength.

A cheat of the content returns a Truth after it has changed the model in place. A cheat of the packaging writes the
files itself and returns what was Written. `rated` strengths count towards the thresholds; the others, marked with
`beyond`, show where detection ends. Which is which was chosen before any detector was measured.
"""
import dataclasses
import json
import os
import shutil

import gguf
import numpy as np

import files
import weights
from cases import Carrier, Case, Truth, Written
from weights import ATTENTION, EMBEDDING, FFN, HEAD, Place

DENSE = (Carrier("gguf", "F16"), Carrier("folder", "BF16", 256, 512), Carrier("gguf", "Q8_0", 256, 512),
         Carrier("gguf", "Q4_0", tied=False), Carrier("folder", "F16", shards=3), Carrier("gguf", "F32"),
         Carrier("gguf", "BF16", 192, 384, 4), Carrier("gguf", "Q4_1", 256, 512), Carrier("gguf", "Q4_K", 256, 512),
         Carrier("folder", "FP8", 256, 512), Carrier("folder", "GPTQ", 256, 512))
EXPERTS = (Carrier("gguf", "F16", ffn=96, experts=8), Carrier("folder", "BF16", ffn=96, experts=8),
           Carrier("gguf", "Q8_0", ffn=96, experts=8), Carrier("gguf", "Q4_1", 128, 128, experts=4),
           Carrier("folder", "F16", 256, 96, experts=16, shards=3), Carrier("folder", "FP8", 256, 128, experts=8),
           Carrier("folder", "MXFP4", 256, 128, experts=8))
FOLDERS = tuple(Carrier("folder", dtype, shards=shards) for dtype, shards in (("BF16", 3), ("F16", 2), ("F32", 4)))
EVERY = DENSE[:4] + EXPERTS[:2] + (DENSE[9], EXPERTS[6])

NOTHING = {"zero_tensor", "constant_tensor", "zero_rows", "zero_columns"}
COPY = {"duplicate_tensor", "duplicate_layer", "duplicate_expert", "permuted_duplicate",
        "scaled_duplicate", "near_duplicate"}

registry = []  # (kind, names, also, carriers, strengths, change, packaging)


@dataclasses.dataclass(frozen=True)
class Strength:
    label: str
    value: object
    rated: bool = True


def beyond(label, value):
    return Strength(label, value, False)


def levels(values, form=str, last_rated=None):
    """Strengths in order, rated up to and with `last_rated`."""
    limit = len(values) if last_rated is None else values.index(last_rated) + 1
    return tuple(Strength(form(value), value, i < limit) for i, value in enumerate(values))


def cheat(kind, names, also, carriers, strengths, packaging=False):
    def register(change):
        registry.append((kind, set(names), set(also), carriers, strengths, change, packaging))
        return change
    return register


def percent(share):
    return f"{100 * share:g} %"


def some(rng, model, parts=ATTENTION + FFN):
    """Some matrix of some layer."""
    places = [place for layer in range(model.layers) for place in model.matrices(layer) if place.part in parts]
    return places[int(rng.integers(len(places)))]


def share_of(rng, share, count):
    return rng.choice(count, max(1, round(share * count)), replace=False)


def at(places, least, most=None):
    places = list(places)
    return Truth(least=int(least), most=int(least if most is None else most),
                 layers={place.layer for place in places if place.layer is not None},
                 experts={place.expert for place in places if place.expert is not None},
                 outside=any(place.layer is None for place in places))


def size_of(tensors):
    return sum(tensor.size for tensor in tensors)


def rms(tensor):
    return float(np.sqrt(np.mean(np.square(tensor, dtype=np.float64))))


def noisy(rng, tensor, level):
    """Gaussian noise of `level` times the tensor's own size."""
    return tensor + weights.gaussian(rng, tensor.shape, level * rms(tensor))


# --- nothing there ---

@cheat("zero tensors", {"zero_tensor"}, NOTHING | {"identity_layer", "dead_expert"}, EVERY,
       (Strength("one matrix", "one"), Strength("one matrix, minus zero", "minus"), Strength("a layer's FFN", "ffn"),
        Strength("a whole layer", "layer"), Strength("one matrix, noise of 1e-6", "noise")))
def zero_tensors(rng, model, how):
    place = some(rng, model)
    many = {"ffn": FFN, "layer": FFN + ATTENTION}.get(how)
    places = [place] if many is None else [p for p in model.matrices(place.layer) if p.part in many]
    for each in places:
        tensor = model.tensors[each]
        model.tensors[each] = {"minus": np.full_like(tensor, -0.0), "noise": 1e-6 * noisy(rng, tensor, 1)}.get(
            how, np.zeros_like(tensor))
    least = size_of(model.tensors[each] for each in places)
    # a zero K leaves Q without use, a zero V or O the whole attention, any part of an FFN all of it
    return at(places, least, size_of(model.layer(place.layer).values()))


@cheat("constant tensors", {"constant_tensor"}, NOTHING | {"low_rank"}, EVERY,
       (Strength("one value", 0), Strength("a value for each row", "rows"), Strength("noise of 1e-3", 1e-3),
        beyond("noise of 0.1", 0.1), beyond("noise of 1", 1.0)))
def constant_tensors(rng, model, how):
    place = some(rng, model)
    tensor = model.tensors[place]
    value = rms(tensor) * (1 if how != "rows" else rng.standard_normal((len(tensor), 1), dtype=np.float32))
    model.tensors[place] = np.broadcast_to(np.float32(value), tensor.shape).copy()
    if how not in (0, "rows"):
        model.tensors[place] = noisy(rng, model.tensors[place], how)
    return at([place], tensor.size - sum(tensor.shape), tensor.size)


@cheat("zero rows", {"zero_rows"}, NOTHING | {"dead_neuron"}, EVERY, levels([0.5, 0.25, 0.05, 0.01], percent))
def zero_rows(rng, model, share):
    place = some(rng, model)
    tensor = model.tensors[place] = model.tensors[place].copy()
    rows = share_of(rng, share, len(tensor))
    tensor[rows] = 0
    return at([place], len(rows) * tensor.shape[1], 4 * len(rows) * max(tensor.shape))


@cheat("zero columns", {"zero_columns"}, NOTHING | {"dead_neuron"}, EVERY, levels([0.5, 0.25, 0.05, 0.01], percent))
def zero_columns(rng, model, share):
    place = some(rng, model)
    tensor = model.tensors[place] = model.tensors[place].copy()
    columns = share_of(rng, share, tensor.shape[1])
    tensor[:, columns] = 0
    return at([place], len(columns) * len(tensor), 4 * len(columns) * max(tensor.shape))


@cheat("constant rows", {"constant_tensor"}, NOTHING | {"low_rank", "duplicate_tensor"}, DENSE[:6],
       levels([0.5, 0.25, 0.05], percent))
def constant_rows(rng, model, share):
    place = some(rng, model)
    tensor = model.tensors[place] = model.tensors[place].copy()
    rows = share_of(rng, share, len(tensor))
    tensor[rows] = rms(tensor) * rng.standard_normal((len(rows), 1), dtype=np.float32)
    return at([place], len(rows) * (tensor.shape[1] - 1), 4 * len(rows) * max(tensor.shape))


# --- the same again ---

@cheat("copied tensors", {"duplicate_tensor"}, COPY, EVERY,
       (Strength("one matrix", 1), Strength("two matrices", 2), Strength("gate as up", "gate")))
def copied_tensors(rng, model, how):
    first, second = (int(i) for i in rng.choice(model.layers, 2, replace=False))
    if how == "gate":
        targets = {place: place._replace(part="ffn_up") for place in model.layer(second) if place.part == "ffn_gate"}
    else:
        whole = [place for place in model.matrices(first) if place.part not in ("attn_k", "attn_v")]
        targets = {whole[i]._replace(layer=second): whole[i] for i in rng.choice(len(whole), how, replace=False)}
    for target, source in targets.items():
        model.tensors[target] = model.tensors[source].copy()
    return at([*targets, *targets.values()], size_of(model.tensors[target] for target in targets))


def repeat_layer(rng, model, times, change):
    source = int(rng.integers(model.layers))
    added = [model.append_layer(source, change) for _ in range(times)]
    matrices = size_of(size for layer in added for size in model.matrices(layer).values())
    whole = size_of(size for layer in added for size in model.layer(layer).values())
    return at([Place(layer, "") for layer in (source, *added)], matrices, whole)


@cheat("copied layers", {"duplicate_layer"}, COPY, EVERY, levels([3, 2, 1], "{} appended".format))
def copied_layers(rng, model, times):
    return repeat_layer(rng, model, times, lambda place, tensor: tensor.copy())


@cheat("copied experts", {"duplicate_expert"}, COPY, EXPERTS, levels([0.5, 0.25, 0.01], lambda share:
       f"{percent(share)} of a layer's" if share > 0.01 else "one"))
def copied_experts(rng, model, share):
    return change_experts(rng, model, share, lambda part, tensor: tensor.copy())


def change_experts(rng, model, share, change):
    """Some experts of a layer become changed copies of another. change(part, tensor) → tensor."""
    layer = int(rng.integers(model.layers))
    order = rng.permutation(model.experts_of(layer)).tolist()
    copies = order[1:1 + max(1, round(share * (len(order) - 1)))]
    for expert in copies:
        parts = {part: model.tensors[Place(layer, part, order[0])] for part in FFN}
        for part, tensor in change_whole(change, parts).items():
            model.tensors[Place(layer, part, expert)] = tensor
    size = size_of(model.tensors[Place(layer, part, expert)] for expert in copies for part in FFN)
    return at([Place(layer, "", expert) for expert in (order[0], *copies)], size)


def change_whole(change, parts):
    """A change of single tensors, or of an FFN as a whole ({part: tensor} → {part: tensor})."""
    if getattr(change, "whole", False):
        return change(parts)
    return {part: change(part, tensor) for part, tensor in parts.items()}


def permute_neurons(rng):
    def change(parts):
        order = rng.permutation(len(parts["ffn_up"]))
        return {"ffn_gate": parts["ffn_gate"][order], "ffn_up": parts["ffn_up"][order],
                "ffn_down": np.ascontiguousarray(parts["ffn_down"][:, order])}
    change.whole = True
    return change


@cheat("copied layers in another element type", {"duplicate_layer", "near_duplicate"}, COPY,
       (Carrier("gguf", "F16"), Carrier("gguf", "F32"), Carrier("gguf", "Q8_0"), Carrier("folder", "F32")),
       (Strength("BF16", "BF16"), Strength("F16", "F16"), Strength("Q8_0", "Q8_0"), Strength("Q4_0", "Q4_0")),
       packaging=True)
def copied_in_another_type(rng, carrier, folder, dtype):
    model = carrier.make(rng)
    truth = repeat_layer(rng, model, 1, lambda place, tensor: tensor.copy())
    dtype = dtype if carrier.container == "gguf" or dtype in files.SAFETENSORS_TYPES else "BF16"
    dtype = "F32" if dtype == carrier.dtype else dtype
    path = carrier.write(model, folder, other={max(truth.layers): dtype})
    return Written(path, truth, model.parameters)


@cheat("permuted layers", {"permuted_duplicate"}, COPY, DENSE,
       (Strength("neurons", "neurons"), Strength("heads", "heads"), Strength("neurons and heads", "both"),
        Strength("rows of every matrix", "rows"), Strength("columns of every matrix", "columns"),
        Strength("rows and columns of every matrix", "cells")))
def permuted_layers(rng, model, how):
    neurons, heads = rng.permutation(model.ffn), weights.rows_of_heads(rng.permutation(model.heads), 1)

    def change(place, tensor):
        if tensor.ndim == 1:
            return tensor.copy()
        if how in ("rows", "cells"):
            tensor = tensor[rng.permutation(len(tensor))]
        if how in ("columns", "cells"):
            tensor = tensor[:, rng.permutation(tensor.shape[1])]
        if how in ("neurons", "both") and place.part in ("ffn_gate", "ffn_up"):
            tensor = tensor[neurons]
        if how in ("neurons", "both") and place.part == "ffn_down":
            tensor = tensor[:, neurons]
        if how in ("heads", "both") and place.part == "attn_q":
            tensor = tensor[heads]
        if how in ("heads", "both") and place.part == "attn_output":
            tensor = tensor[:, heads]
        return np.ascontiguousarray(tensor)
    return repeat_layer(rng, model, 1, change)


@cheat("permuted experts", {"permuted_duplicate"}, COPY, EXPERTS,
       levels([0.5, 0.25, 0.01], lambda share: f"{percent(share)} of a layer's" if share > 0.01 else "one"))
def permuted_experts(rng, model, share):
    return change_experts(rng, model, share, permute_neurons(rng))


def scale_of(rng, how, shape):
    """Factors by which a copy differs: one number, or one for each row."""
    if how == "rows":
        return rng.uniform(0.5, 2, (shape[0], 1)).astype(np.float32)
    if how == "row signs":
        return rng.choice(np.float32([-1, 1]), (shape[0], 1))
    return np.float32(rng.uniform(0.3, 3) if how == "tensors" else how)


SCALES = (Strength("by 2", 2.0), Strength("by 1.37", 1.37), Strength("by -1", -1.0),
          Strength("each tensor by its own", "tensors"), Strength("signs of rows", "row signs"),
          Strength("each row by its own", "rows"))


@cheat("scaled layers", {"scaled_duplicate"}, COPY, DENSE, SCALES)
def scaled_layers(rng, model, how):
    return repeat_layer(rng, model, 1, lambda place, tensor: tensor.copy() if tensor.ndim == 1 else
                        tensor * scale_of(rng, how, tensor.shape))


@cheat("scaled experts", {"scaled_duplicate"}, COPY, EXPERTS, SCALES)
def scaled_experts(rng, model, how):
    return change_experts(rng, model, 0.25, lambda part, tensor: tensor * scale_of(rng, how, tensor.shape))


NOISES = levels([1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0], lambda level: f"noise of {level:g}", 0.1)


@cheat("nearly copied layers", {"near_duplicate"}, COPY, DENSE, NOISES)
def near_layers(rng, model, level):
    return repeat_layer(rng, model, 1, lambda place, tensor: noisy(rng, tensor, level))


@cheat("nearly copied experts", {"near_duplicate"}, COPY, EXPERTS, NOISES)
def near_experts(rng, model, level):
    return change_experts(rng, model, 0.25, lambda part, tensor: noisy(rng, tensor, level))


@cheat("permuted experts with noise", {"permuted_duplicate", "near_duplicate"}, COPY, EXPERTS,
       levels([1e-3, 1e-2, 0.1, 0.3, 1.0], lambda level: f"noise of {level:g}", 0.1))
def permuted_noisy_experts(rng, model, level):
    permute = permute_neurons(rng)

    def change(parts):
        return {part: noisy(rng, tensor, level) for part, tensor in permute(parts).items()}
    change.whole = True
    return change_experts(rng, model, 0.25, change)


@cheat("permuted and scaled layers with noise", {"permuted_duplicate", "scaled_duplicate", "near_duplicate"}, COPY,
       DENSE, levels([1e-3, 1e-2, 0.1, 0.3, 1.0], lambda level: f"noise of {level:g}", 0.1))
def disguised_layers(rng, model, level):
    order, factor = rng.permutation(model.ffn), np.float32(rng.uniform(0.5, 2))

    def change(place, tensor):
        if place.part in ("ffn_gate", "ffn_up"):
            tensor = tensor[order]
        elif place.part == "ffn_down":
            tensor = tensor[:, order]
        return noisy(rng, np.ascontiguousarray(tensor) * (factor if tensor.ndim > 1 else 1), level)
    return repeat_layer(rng, model, 1, change)


@cheat("repeated neurons", {"duplicate_tensor", "near_duplicate"}, COPY | {"low_rank"}, DENSE[:6],
       (Strength("50 %", (0.5, 0)), Strength("25 %", (0.25, 0)), Strength("10 %", (0.1, 0)),
        Strength("25 %, noise of 0.01", (0.25, 0.01)), beyond("25 %, noise of 0.1", (0.25, 0.1))))
def repeated_neurons(rng, model, how):
    """An FFN widened with its own neurons."""
    share, level = how
    layer, count = int(rng.integers(model.layers)), round(share * model.ffn)
    order = rng.permutation(model.ffn)
    targets, sources = order[:count], rng.choice(order[count:], count)
    for part in FFN:
        tensor = model.tensors[Place(layer, part)].copy()
        view = tensor.T if part == "ffn_down" else tensor
        view[targets] = noisy(rng, view[sources], level) if level else view[sources]
        model.tensors[Place(layer, part)] = tensor
    return at([Place(layer, "")], 3 * count * model.hidden)


# --- less than it seems ---

@cheat("low rank", {"low_rank"}, NOTHING, EVERY,
       (Strength("1", (1, 0)), Strength("4", (4, 0)), Strength("1/16 of full", (1 / 16, 0)),
        Strength("1/8 of full", (1 / 8, 0)), Strength("1/16 of full, noise of 1e-3", (1 / 16, 1e-3)),
        Strength("1/16 of full, noise of 0.01", (1 / 16, 0.01)), beyond("1/4 of full", (1 / 4, 0)),
        beyond("1/2 of full", (1 / 2, 0)), beyond("1/16 of full, noise of 0.1", (1 / 16, 0.1))))
def low_rank(rng, model, how):
    return truncate(rng, model, *how, lambda tensor: np.linalg.svd(tensor, full_matrices=False))


@cheat("product of two small random matrices", {"low_rank"}, NOTHING | {"untrained"}, EVERY,
       (Strength("1/16 of full", (1 / 16, 0)), Strength("1/8 of full", (1 / 8, 0)), beyond("1/4 of full", (1 / 4, 0)),
        beyond("1/2 of full", (1 / 2, 0))))
def random_product(rng, model, how):
    def draw(tensor):
        rows, columns = tensor.shape
        short = min(rows, columns)
        return (rng.standard_normal((rows, short)), np.full(short, rms(tensor)), rng.standard_normal((short, columns)))
    return truncate(rng, model, *how, draw)


def truncate(rng, model, rank, level, decompose):
    """The FFN of a layer, or one expert's, with only `rank` directions (a number, or a share of the full rank)."""
    place = some(rng, model, FFN)
    least = most = 0
    for part in FFN:
        tensor = model.tensors[place._replace(part=part)]
        rows, columns = tensor.shape
        kept = rank if rank >= 1 else max(1, round(rank * min(rows, columns)))
        u, s, v = decompose(tensor)
        low = ((u[:, :kept] * s[:kept]) @ v[:kept]).astype(np.float32)
        model.tensors[place._replace(part=part)] = noisy(rng, low, level) if level else low
        least += max(0, tensor.size - kept * (rows + columns))
        most += tensor.size - kept * (rows + columns - kept)
    return at([place], least, most)


def balanced(rng, tensor):
    """Gaussian, with the norms of the rows and the columns of `tensor`."""
    out = rng.standard_normal(tensor.shape)
    rows, columns = (np.square(tensor, dtype=np.float64).sum(axis=axis, keepdims=True) for axis in (1, 0))
    for _ in range(30):
        out *= np.sqrt(rows / np.square(out).sum(axis=1, keepdims=True))
        out *= np.sqrt(columns / np.square(out).sum(axis=0, keepdims=True))
    return out.astype(np.float32)


def respun(rng, tensor):
    """The singular values of `tensor` with random directions."""
    u, s, v = np.linalg.svd(rng.standard_normal(tensor.shape), full_matrices=False)
    return ((u * np.linalg.svd(tensor, compute_uv=False)) @ v).astype(np.float32)


FRESH = {
    "normal, 0.02": lambda rng, tensor: weights.gaussian(rng, tensor.shape, 0.02),
    "uniform, 0.02": lambda rng, tensor: weights.uniform(rng, tensor.shape, 0.02),
    "normal, the tensor's size": lambda rng, tensor: weights.gaussian(rng, tensor.shape, rms(tensor)),
    "uniform, the tensor's size": lambda rng, tensor: weights.uniform(rng, tensor.shape, rms(tensor)),
    "trained values, shuffled": lambda rng, tensor: rng.permutation(tensor.ravel()).reshape(tensor.shape),
    "normal, norms of the rows": lambda rng, tensor: rng.standard_normal(tensor.shape, dtype=np.float32)
    * np.sqrt(np.square(tensor).mean(axis=1, keepdims=True)),
    "normal, norms of rows and columns": balanced,
    "random directions, trained spectrum": respun,
}
UNTRAINED = tuple(Strength(label, label, i < 5) for i, label in enumerate(FRESH))


@cheat("untrained layers", {"untrained"}, {"low_rank"}, DENSE, UNTRAINED)
def untrained_layers(rng, model, how):
    """Appended to trained ones, with the norms' gains of a trained layer."""
    truth = repeat_layer(rng, model, 1, lambda place, tensor: tensor.copy() if tensor.ndim == 1 else
                         FRESH[how](rng, tensor))
    return dataclasses.replace(truth, layers={max(truth.layers)})


@cheat("untrained experts", {"untrained"}, {"low_rank"}, EXPERTS, UNTRAINED)
def untrained_experts(rng, model, how):
    return change_experts(rng, model, 0.5, lambda part, tensor: FRESH[how](rng, tensor))


@cheat("one untrained matrix", {"untrained"}, {"low_rank"}, DENSE,
       (beyond("normal, the tensor's size", "normal, the tensor's size"),
        beyond("trained values, shuffled", "trained values, shuffled")))
def untrained_matrix(rng, model, how):
    place = some(rng, model)
    model.tensors[place] = FRESH[how](rng, model.tensors[place])
    return at([place], model.tensors[place].size)


# --- nothing reaches the output ---

@cheat("identity layers", {"identity_layer"}, NOTHING, EVERY,
       (Strength("zero outputs", 0.0), Strength("zero gains of the norms", "norms"), Strength("outputs by 1e-6", 1e-6),
        Strength("outputs by 1e-4", 1e-4), beyond("outputs by 0.01", 0.01), beyond("outputs by 0.1", 0.1)))
def identity_layers(rng, model, how):
    """The layer's other weights are an honest layer's, so only its outputs tell."""
    layer, outputs = int(rng.integers(model.layers)), 0
    for place, tensor in model.layer(layer).items():
        if how == "norms" and place.part in weights.NORMS:
            model.tensors[place] = np.zeros_like(tensor)
        elif how != "norms" and place.part in ("attn_output", "ffn_down"):
            model.tensors[place] = tensor * np.float32(how)
            outputs += tensor.size
    whole = size_of(model.layer(layer).values())
    return at([Place(layer, "")], outputs if how == 0.0 else whole - size_of(
        tensor for place, tensor in model.layer(layer).items() if tensor.ndim == 1 or place.part == "router"), whole)


@cheat("experts never picked", {"dead_expert"}, NOTHING, EXPERTS,
       (Strength("router bias -1e9", -1e9), Strength("router bias -100", -100.0),
        Strength("router rows zero, bias -10", "rows"), beyond("router bias -10", -10.0),
        beyond("router bias -2", -2.0)))
def never_picked(rng, model, bias):
    layer = int(rng.integers(model.layers))
    experts = model.experts_of(layer)
    dead = rng.choice(experts, len(experts) // 2, replace=False).tolist()
    for number in range(model.layers):
        model.tensors[Place(number, "router_bias")] = weights.gaussian(rng, len(experts), 0.05)
    model.tensors[Place(layer, "router_bias")][dead] = -10 if bias == "rows" else bias
    if bias == "rows":
        router = model.tensors[Place(layer, "router")] = model.tensors[Place(layer, "router")].copy()
        router[dead] = 0
    return dead_experts(model, layer, dead)


def dead_experts(model, layer, dead):
    size = size_of(model.tensors[Place(layer, part, expert)] for expert in dead for part in FFN)
    return at([Place(layer, "", expert) for expert in dead], size, size + len(dead) * (model.hidden + 1))


@cheat("experts without output", {"dead_expert"}, NOTHING, EXPERTS,
       (Strength("down zero", "ffn_down"), Strength("gate zero", "ffn_gate"), Strength("all zero", "all"),
        Strength("router rows zero", "router")))
def expert_without_output(rng, model, how):
    """Half of a layer's experts. A zero row of the router gives them the score 0 whatever the token is."""
    layer = int(rng.integers(model.layers))
    experts = model.experts_of(layer)
    dead = rng.choice(experts, len(experts) // 2, replace=False).tolist()
    for expert in dead:
        for part in FFN if how == "all" else (how,):
            if part == "router":
                model.tensors[Place(layer, part)] = model.tensors[Place(layer, part)].copy()
                model.tensors[Place(layer, part)][expert] = 0
            else:
                model.tensors[Place(layer, part, expert)] = np.zeros_like(model.tensors[Place(layer, part, expert)])
    truth = dead_experts(model, layer, dead)
    truth.least = 0 if how == "router" else truth.least // (1 if how == "all" else 3)
    return truth


@cheat("dead neurons", {"dead_neuron"}, NOTHING, DENSE,
       (Strength("50 %, down zero", (0.5, "ffn_down")), Strength("50 %, gate zero", (0.5, "ffn_gate")),
        Strength("5 %, down zero", (0.05, "ffn_down")), Strength("5 %, up zero", (0.05, "ffn_up")),
        beyond("50 %, down by 1e-4", (0.5, "small"))))
def dead_neurons(rng, model, how):
    share, part = how
    layer, neurons = int(rng.integers(model.layers)), share_of(rng, share, model.ffn)
    place = Place(layer, "ffn_down" if part == "small" else part)
    tensor = model.tensors[place] = model.tensors[place].copy()
    view = tensor.T if place.part == "ffn_down" else tensor
    view[neurons] *= np.float32(1e-4 if part == "small" else 0)
    return at([place], len(neurons) * model.hidden, 3 * len(neurons) * model.hidden)


@cheat("dead heads", {"dead_neuron"}, NOTHING, (Carrier("gguf", "F16", 256, 512, groups=3, tied=False),
       Carrier("folder", "BF16", 256, 512, groups=2), Carrier("gguf", "Q8_0", 192, 384, groups=2)),
       (Strength("one head's outputs zero", "attn_output"), Strength("one group's values zero", "attn_v")))
def dead_heads(rng, model, part):
    layer = int(rng.integers(model.layers))
    tensor = model.tensors[Place(layer, part)] = model.tensors[Place(layer, part)].copy()
    view = tensor.T if part == "attn_output" else tensor
    head = int(rng.integers(len(view) // weights.HEAD_DIM))
    view[head * weights.HEAD_DIM:(head + 1) * weights.HEAD_DIM] = 0
    size = weights.HEAD_DIM * model.hidden
    return at([Place(layer, part)], size, 8 * size)


@cheat("vocabulary without tokens", {"unreachable_vocabulary"}, NOTHING | COPY | {"untrained"},
       (Carrier("gguf", "F16"), Carrier("folder", "BF16", tied=False), Carrier("gguf", "Q8_0", tied=False)),
       tuple(Strength(f"{percent(share)} more rows, {how}", (share, how), share >= 0.1)
             for share in (1.0, 0.5, 0.1, 0.02) for how in ("past the tokenizer", "unused", "no merge")))
def vocabulary_without_tokens(rng, model, how):
    """Rows past the tokenizer's last token; of tokens marked unused; of tokens that no merge makes. (A folder's
    tokenizer marks nothing as unused: there they are plain words without a merge.)"""
    share, way = how
    words = model.vocabulary
    old = len(words.tokens)
    count, size = round(share * old), 0
    for place in (EMBEDDING, HEAD):
        if place in model.tensors:
            kept = model.tensors[place]
            rows = kept[rng.integers(0, old, count)] if share < 1 else weights.gaussian(rng, (count, kept.shape[1]),
                                                                                       rms(kept))
            model.tensors[place] = np.concatenate([kept, noisy(rng, rows, 0.5)])
            size += rows.size
    if way != "past the tokenizer":
        words.tokens += [f"<unused{i}>" if way == "unused" else f"Zqx{i:05d}Ġvj" for i in range(count)]
        words.types += [gguf.TokenType.UNUSED if way == "unused" else gguf.TokenType.NORMAL] * count
    return at([EMBEDDING], size)


# --- packaging ---

def reclaim(rng, carrier, claims):
    model = carrier.make(rng)
    model.claims = claims(model)
    return model


@cheat("config larger than the tensors", {"config_mismatch"}, {"declared_mismatch"},
       (Carrier("folder", "BF16", shards=2), Carrier("gguf", "F16"), Carrier("folder", "F16", ffn=96, experts=8),
        Carrier("gguf", "Q8_0", ffn=96, experts=8)),
       tuple(Strength(f"{key}, {label}", (key, factor)) for key in ("layers", "hidden", "ffn", "vocab", "experts")
             for label, factor in (("twice", 2), ("a little more", 0))), packaging=True)
def config_larger(rng, carrier, folder, how):
    key, factor = how
    if key == "experts" and not carrier.experts:
        carrier = Carrier(carrier.container, carrier.dtype, ffn=96, experts=4, shards=carrier.shards)

    def claims(model):
        true = len(model.tensors[EMBEDDING]) if key == "vocab" else getattr(model, key)
        return {key: true * factor if factor else true + {"hidden": 64, "ffn": 32, "vocab": 64}.get(key, 1)}
    model = reclaim(rng, carrier, claims)
    return Written(carrier.write(model, folder), Truth(least=0, most=0), model.parameters)


@cheat("declared size too large", {"declared_mismatch"}, {"config_mismatch"},
       (Carrier("gguf", "F16"), Carrier("folder", "BF16", shards=2)),
       tuple(Strength(f"{where}, times {factor:g}", (where, factor), factor > 1.05)
             for where in ("metadata", "file name") for factor in (1000, 10, 2, 1.2, 1.05))
       + (Strength("index's total_size, times 2", ("index", 2)),), packaging=True)
def declared_too_large(rng, carrier, folder, how):
    where, factor = how
    if where == "index":
        carrier = FOLDERS[0]
    model, name = carrier.make(rng), "model"
    claimed = round(model.parameters * factor)
    label = f"{claimed / 1e9:.3g}B" if claimed >= 1e9 else f"{claimed / 1e6:.3g}M"
    if where == "metadata":
        model.claims = {"parameter_count": claimed, "size_label": label}
    elif where == "index":
        model.claims = {"total_size": model.parameters * 4 * factor}
    else:
        name = f"Great-{label}-chat"
    return Written(carrier.write(model, folder, name), Truth(), model.parameters)


def shards_of(folder):
    return sorted(folder.glob("*.safetensors"))


@cheat("shards missing", {"missing_shard"}, {"config_mismatch"}, FOLDERS,
       (Strength("the last", -1), Strength("the first", 0), Strength("the last, index shortened", "index")),
       packaging=True)
def shards_missing(rng, carrier, folder, which):
    """With a shortened index only the names ("of 00003") and the config tell."""
    path = carrier.write(carrier.make(rng), folder)
    gone = shards_of(path)[-1 if which == "index" else which]
    gone.unlink()
    if which == "index":
        edit_index(path, lambda index: index.update(weight_map={
            tensor: shard for tensor, shard in index["weight_map"].items() if shard != gone.name}))
    return Written(path, Truth(least=None, most=None))


def edit_index(folder, change, name="model.safetensors.index.json"):
    source = folder / "model.safetensors.index.json"
    index = json.loads(source.read_text())
    change(index)
    (folder / name).write_text(json.dumps(index, indent=1))


@cheat("shards too many", {"extra_shard"}, {"config_mismatch"}, FOLDERS,
       (Strength("not in the index", "alone"), Strength("in the index", "index"), Strength("one tensor", "one")),
       packaging=True)
def shards_too_many(rng, carrier, folder, how):
    """A shard of layers that config.json does not know."""
    model = carrier.make(rng)
    path = carrier.write(model, folder)
    added = {files.hugging_face_name(place._replace(layer=model.layers)): weights.gaussian(rng, tensor.shape, 0.02)
             for place, tensor in model.layer(0).items()}
    if how == "one":
        added = {"model.extra.weight": weights.gaussian(rng, (256, 256), 0.02)}
    name = f"model-{carrier.shards + 1:05d}-of-{carrier.shards:05d}.safetensors"
    files.save_shard(added, path / name, carrier.dtype)
    if how == "index":
        edit_index(path, lambda index: index["weight_map"].update({tensor: name for tensor in added}))
    return Written(path, Truth(least=None, most=None))


@cheat("one shard under two names", {"extra_shard"}, COPY | {"config_mismatch"}, FOLDERS,
       (Strength("copied", "copy"), Strength("symbolic link", "symlink"), Strength("hard link", "link"),
        Strength("copied, tensors renamed, in the index", "renamed")), packaging=True)
def shard_twice(rng, carrier, folder, how):
    model = carrier.make(rng)
    path = carrier.write(model, folder)
    source = shards_of(path)[0]
    name = f"model-{carrier.shards + 1:05d}-of-{carrier.shards + 1:05d}.safetensors"
    if how == "renamed":
        again = {files.hugging_face_name(place._replace(layer=place.layer + model.layers)): tensor
                 for place, tensor in model.tensors.items() if place.layer is not None and place.layer < 1}
        files.save_shard(again, path / name, carrier.dtype)
        edit_index(path, lambda index: index["weight_map"].update({tensor: name for tensor in again}))
    else:
        {"copy": shutil.copy, "symlink": lambda old, new: os.symlink(old.name, new), "link": os.link}[how](
            source, path / name)
    return Written(path, Truth(least=None, most=None))


@cheat("two indexes", {"config_mismatch", "extra_shard"}, {"declared_mismatch", "missing_shard"}, FOLDERS,
       (Strength("the same twice", "same"), Strength("the second names more", "more"),
        Strength("the second names a larger size", "size")), packaging=True)
def two_indexes(rng, carrier, folder, how):
    path = carrier.write(carrier.make(rng), folder)

    def change(index):
        if how == "more":
            index["weight_map"] |= {f"{name}.more": shard for name, shard in index["weight_map"].items()}
        if how == "size":
            index["metadata"]["total_size"] *= 10
    edit_index(path, change, rng.choice(["model.safetensors.index.large.json", "model.safetensors.index.fp16.json",
                                         "whole.safetensors.index.json"]))
    return Written(path, Truth(least=None, most=None))


def punch(path):
    """The same bytes with holes where whole pages are zero."""
    data = path.read_bytes()
    with open(path, "wb") as out:
        for start in range(0, len(data), 4096):
            page = data[start:start + 4096]
            if page.count(0) != len(page):
                out.seek(start)
                out.write(page)
        out.truncate(len(data))


@cheat("holes in the file", {"zero_tensor"}, NOTHING | {"identity_layer"},
       (Carrier("gguf", "F16", 256, 512), Carrier("folder", "BF16", 256, 512), Carrier("gguf", "F32", 128, 256)),
       levels([16, 4, 1], "{} MiB and more".format), packaging=True)
def holes(rng, carrier, folder, megabytes):
    model = carrier.make(rng)
    grown, layers = 0, []
    while grown * (4 if carrier.dtype == "F32" else 2) < megabytes << 20:
        layers.append(model.append_layer(0, lambda place, tensor: np.zeros_like(tensor) if tensor.ndim > 1 else
                                         tensor.copy()))
        grown += size_of(model.matrices(layers[-1]).values())
    path = carrier.write(model, folder)
    for file in [path] if path.is_file() else shards_of(path):
        punch(file)
    whole = size_of(size for layer in layers for size in model.layer(layer).values())
    return Written(path, at([Place(layer, "") for layer in layers], grown, whole), model.parameters)


# --- the list of all ---

def content(change, value, names, also):
    def build(rng, carrier, folder):
        model = carrier.make(rng)
        truth = change(rng, model, value)
        truth.names, truth.also = names, also
        return Written(carrier.write(model, folder), truth, model.parameters)
    return build


def packed(change, value, names, also):
    def build(rng, carrier, folder):
        written = change(rng, carrier, folder, value)
        written.truth.names, written.truth.also = names, also
        return written
    return build


def cases(variants=3):
    """`variants` carriers for each kind and strength, taken in turn so that all of a kind's carriers appear."""
    made = []
    for kind, names, also, carriers, strengths, change, packaging in registry:
        for i, strength in enumerate(strengths):
            build = (packed if packaging else content)(change, strength.value, names, also)
            for j in range(variants):
                carrier = carriers[(i * variants + j) % len(carriers)]
                made.append(Case(kind, strength.label, strength.rated, carrier, build, True, j))
    return made
