"""How often the tests for untrained weights err, by themselves and together: on the corpus' trained matrices and on
random ones of the same shapes and element types."""
import collections
import concurrent.futures
import dataclasses
import json
import pathlib
import subprocess
import tempfile
import zlib

import numpy as np

import cheats
import honest
import weights

TESTS = {"edge": "largest singular value", "row_means": "means of rows", "column_means": "means of columns",
         "row_sizes": "sizes of rows", "column_sizes": "sizes of columns"}
DRAWS = ("normal, 0.02", "uniform, 0.02", "normal, the tensor's size", "trained values, shuffled")
TRAINED = ("honest: dense, trained", "honest: experts, trained", "honest: packed, trained")


def drawn(rng, model, how):
    """Every matrix of the layers anew."""
    tensors = {place: cheats.FRESH[how](rng, tensor) if place.layer is not None and tensor.ndim > 1 else tensor
               for place, tensor in model.tensors.items()}
    return dataclasses.replace(model, tensors=tensors)


def scores_of(path, binary):
    """[(name, layer, expert, cells, {test: score})] of the matrices inside layers, routers left out."""
    told = subprocess.run([binary / "bin" / "zhiheng", "audit", path, "--explain", "*", "--json"], check=True,
                          capture_output=True, text=True).stdout
    found = []
    for tensor in json.loads(told)["tensors"]:
        for matrix in tensor["matrices"]:
            block = (matrix["values"] or {}).get("block")
            if block is not None and matrix["layer"] is not None and tensor["role"] != "router":
                found.append((matrix["matrix"], matrix["layer"], matrix["expert"], block["rows"] * block["columns"],
                              {test: block["scores"][test] for test in TESTS}))
    return found
