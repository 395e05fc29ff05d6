"""Seeds of the fuzz target `packed`: each form once, small. python tests/oracle/make_packed_corpus.py"""

import json
import pathlib

import numpy as np
from packed_weights import FORMS, write_safetensors

FOLDER = pathlib.Path(__file__).parent.parent / "fuzz" / "corpus" / "packed"
FOLDER.mkdir(exist_ok=True)
for name, make in FORMS.items():
    tensors, config, _, _ = make(np.random.default_rng(0), 8, 64)
    path = FOLDER / name
    write_safetensors(path, {f"m.{end}": value for end, value in tensors.items()})
    said = {"quantization_config": config} if config else {}
    path.write_bytes(json.dumps(said, separators=(",", ":")).encode() + b"\n" + path.read_bytes())
