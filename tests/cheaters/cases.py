"""What a case of the corpus is: a model to write, how it is written, and what is true of it."""
import dataclasses
import zlib
from collections.abc import Callable

import numpy as np

import files
import weights


@dataclasses.dataclass
class Truth:
    """What an audit should say. Padding lies between `least` and `most` parameters: the content itself, and what it
    makes useless besides (a neuron whose output is zero takes its two input rows along). None: not of the content."""
    names: set = dataclasses.field(default_factory=set)  # kinds of finding that name the case rightly
    also: set = dataclasses.field(default_factory=set)   # kinds that point to it by another of its properties
    least: int | None = 0
    most: int | None = 0
    layers: set = dataclasses.field(default_factory=set)
    experts: set = dataclasses.field(default_factory=set)
    outside: bool = False  # embedding or head


@dataclasses.dataclass
class Written:
    path: object      # of the file or folder to audit
    truth: Truth
    parameters: int | None = None  # scalars in weight tensors; None where the packaging leaves it open


@dataclasses.dataclass(frozen=True)
class Carrier:
    """How an honest model of the corpus looks before anything is done to it."""
    container: str = "gguf"
    dtype: str = "F16"
    hidden: int = 128
    ffn: int = 256
    layers: int = 3
    vocab: int = 1024
    groups: int = 1
    tied: bool = True
    experts: int = 0
    shards: int = 1

    def __str__(self):
        shape = f"{self.layers}x{self.hidden}" + (f"-e{self.experts}" if self.experts else "")
        shards = f"-s{self.shards}" if self.container != "gguf" else ""
        return f"{self.container}{shards}-{self.dtype}-{shape}{'' if self.tied else '-untied'}"

    def make(self, rng):
        chosen = np.sort(rng.choice(weights.LAYERS, self.layers, replace=False))
        model = weights.cut(rng, [int(i) for i in chosen], self.hidden, self.ffn, self.vocab, self.groups, self.tied,
                            self.experts)
        model.name = "corpus"
        return model

    def write(self, model, folder, name="model", **more):
        """more: other={layer: type}, for some layers of another element type."""
        if self.container == "gguf":
            return files.write_gguf(model, folder / f"{name}.gguf", self.dtype, **more)
        return files.write_folder(model, folder / name, self.dtype, self.shards, **more)


@dataclasses.dataclass(frozen=True)
class Case:
    kind: str        # "honest: dense …" or the kind of cheat
    strength: str
    rated: bool      # counts towards the thresholds; else it shows where detection ends
    carrier: Carrier
    build: Callable  # (rng, carrier, folder) → Written
    cheats: bool
    variant: int = 0

    @property
    def name(self):
        return f"{self.kind} | {self.strength} | {self.carrier} | {self.variant}"

    def write(self, folder):
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return self.build(rng, self.carrier, folder)
