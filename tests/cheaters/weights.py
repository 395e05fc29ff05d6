"""Small models in memory: cut from a trained one, or drawn at random.

A model is a dictionary from places to float32 matrices. A place is (layer, part, expert); layer is None outside the
layers, expert is None outside routed experts. Matrices are [rows][columns] = [outputs][inputs], as both formats print
them; rows of Q and K lie in GGUF's order (pairs interleaved).
"""
import dataclasses
import functools
import os
import pathlib
from typing import NamedTuple

import gguf
import numpy as np

SOURCE = pathlib.Path(os.environ.get("ZH_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
TRAINED = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
FFN = ("ffn_gate", "ffn_up", "ffn_down")
NORMS = ("attn_norm", "ffn_norm")


class Place(NamedTuple):
    layer: int | None
    part: str
    expert: int | None = None


EMBEDDING = Place(None, "token_embd")
HEAD = Place(None, "output")
LAST_NORM = Place(None, "output_norm")


@dataclasses.dataclass
class Vocabulary:
    tokens: list
    types: list
    merges: list


@dataclasses.dataclass
class Model:
    name: str
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    tensors: dict
    vocabulary: Vocabulary
    experts: int = 0
    used: int = 0
    claims: dict = dataclasses.field(default_factory=dict)  # what metadata says in place of the truth

    @property
    def layers(self):
        return 1 + max(place.layer for place in self.tensors if place.layer is not None)

    @property
    def tied(self):
        return HEAD not in self.tensors

    @property
    def parameters(self):
        return sum(tensor.size for tensor in self.tensors.values())

    def said(self, key):
        """What config or metadata states: the truth, but for what a cheater claims."""
        return self.claims.get(key, getattr(self, key, None))

    def layer(self, number):
        return {place: tensor for place, tensor in self.tensors.items() if place.layer == number}

    def matrices(self, number):
        """Matrices of a layer that hold most of it: attention, FFN or experts, without norms and router."""
        return {place: tensor for place, tensor in self.layer(number).items()
                if place.part in ATTENTION or place.part in FFN}

    def experts_of(self, number):
        return sorted({place.expert for place in self.layer(number) if place.expert is not None})

    def append_layer(self, source, change=lambda place, tensor: tensor.copy()):
        """A new last layer, made from the layer `source` tensor by tensor; its number."""
        number = self.layers
        for place, tensor in self.layer(source).items():
            self.tensors[place._replace(layer=number)] = change(place, tensor)
        return number


class Trained:
    """The trained model's tensors as float32, read once each."""

    def __init__(self, path=TRAINED):
        reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.fields = reader.fields

    @functools.lru_cache(maxsize=None)
    def matrix(self, name, rows=None):
        tensor = self.tensors[name]
        data = tensor.data if rows is None else tensor.data[:rows]
        return np.ascontiguousarray(gguf.quants.dequantize(data, tensor.tensor_type), dtype=np.float32)

    def value(self, key):
        return self.fields[key].contents()

    @functools.lru_cache(maxsize=None)
    def vocabulary(self, size):
        tokens = self.value("tokenizer.ggml.tokens")[:size]
        types = self.value("tokenizer.ggml.token_type")[:size]
        known = set(tokens)
        merges = [merge for merge in self.value("tokenizer.ggml.merges")
                  if "".join(merge.split(" ")) in known and set(merge.split(" ")) <= known]
        return Vocabulary(tokens, types, merges)

    @functools.lru_cache(maxsize=None)
    def twins(self, size):
        """How many of the first rows of the embedding have a cosine above 0.95 with an earlier row."""
        rows = self.matrix("token_embd.weight", size)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        count = 0
        for start in range(0, size, 1024):
            likeness = np.tril(rows[start:start + 1024] @ rows.T, start - 1)
            count += int((likeness.max(axis=1) > 0.95).sum())
        return count

    def fresh_vocabulary(self, size):
        kept = self.vocabulary(size)
        return Vocabulary(list(kept.tokens), list(kept.types), list(kept.merges))


@functools.lru_cache(maxsize=None)
def trained():
    return Trained()


WIDTH, NEURONS, LAYERS, HEAD_DIM, GROUPS, HEADS_IN_GROUP, TOKENS_APART = 576, 1536, 30, 64, 3, 3, 5000


def pick(rng, count, whole):
    return np.sort(rng.choice(whole, count, replace=False))


def rows_of_heads(groups, heads_in_group):
    heads = np.concatenate([np.arange(group * heads_in_group, (group + 1) * heads_in_group) for group in groups])
    return (heads[:, None] * HEAD_DIM + np.arange(HEAD_DIM)).ravel()


def cut(rng, layers, hidden=128, ffn=256, vocab=1024, groups=1, tied=True, experts=0, used=2):
    """A model of some channels, heads, neurons and tokens of the trained one, the same channels in every layer.

    Experts of a layer take neurons that no other expert has. `layers`: numbers of the trained model's layers.
    """
    base, channels = trained(), pick(rng, hidden, WIDTH)
    chosen = pick(rng, groups, GROUPS)
    query, key = rows_of_heads(chosen, HEADS_IN_GROUP), rows_of_heads(chosen, 1)
    tensors = {EMBEDDING: base.matrix("token_embd.weight", vocab)[:, channels]}
    for number, source in enumerate(layers):
        read = lambda part: base.matrix(f"blk.{source}.{part}.weight")
        layer = {"attn_norm": read("attn_norm")[channels], "ffn_norm": read("ffn_norm")[channels],
                 "attn_q": read("attn_q")[np.ix_(query, channels)], "attn_k": read("attn_k")[np.ix_(key, channels)],
                 "attn_v": read("attn_v")[np.ix_(key, channels)],
                 "attn_output": read("attn_output")[np.ix_(channels, query)]}
        tensors |= {Place(number, part): tensor for part, tensor in layer.items()}
        neurons = rng.permutation(NEURONS)
        for expert in range(experts or 1):
            mine = np.sort(neurons[expert * ffn:(expert + 1) * ffn])
            assert len(mine) == ffn, "more neurons than the trained model has"
            which = expert if experts else None
            tensors[Place(number, "ffn_gate", which)] = read("ffn_gate")[np.ix_(mine, channels)]
            tensors[Place(number, "ffn_up", which)] = read("ffn_up")[np.ix_(mine, channels)]
            tensors[Place(number, "ffn_down", which)] = read("ffn_down")[np.ix_(channels, mine)]
        if experts:  # a router must look trained too: tokens' rows that the vocabulary of no case reaches
            rows = TOKENS_APART + number * 64 + pick(rng, experts, 64)
            tensors[Place(number, "router")] = base.matrix("token_embd.weight", 8192)[np.ix_(rows, channels)]
    tensors[LAST_NORM] = base.matrix("output_norm.weight")[channels]
    if not tied:  # the trained model is tied; a head of its own comes from channels that the embedding does not use
        others = np.setdiff1d(np.arange(WIDTH), channels)
        spare = others if len(others) >= hidden else np.arange(WIDTH)[::-1]
        tensors[HEAD] = base.matrix("token_embd.weight", vocab)[:, spare[:hidden]]
    return Model("cut", hidden, groups * HEADS_IN_GROUP, groups, HEAD_DIM, ffn,
                 {place: np.ascontiguousarray(tensor) for place, tensor in tensors.items()},
                 base.fresh_vocabulary(vocab), experts, used if experts else 0)


def gaussian(rng, shape, deviation):
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)


def uniform(rng, shape, deviation):
    edge = deviation * 3 ** 0.5
    return rng.uniform(-edge, edge, shape).astype(np.float32)


def initialised(rng, like, rule="0.02"):
    """The shape of `like` as frameworks initialise it: "0.02" (GPT-2), "xavier", "kaiming" or "orthogonal"."""
    tensors = {}
    for place, tensor in like.tensors.items():
        if tensor.ndim == 1:
            tensors[place] = np.ones_like(tensor)
            continue
        rows, columns = tensor.shape
        if rule == "orthogonal":
            long, short = max(rows, columns), min(rows, columns)
            q = np.linalg.qr(rng.standard_normal((long, short)))[0].astype(np.float32)
            tensors[place] = np.ascontiguousarray(q if rows >= columns else q.T)
        elif rule == "kaiming":
            tensors[place] = uniform(rng, tensor.shape, (3 * columns) ** -0.5)
        else:
            deviation = 0.02 if rule == "0.02" else (2 / (rows + columns)) ** 0.5
            tensors[place] = gaussian(rng, tensor.shape, deviation)
    return dataclasses.replace(like, name=f"random-{rule}", tensors=tensors)
