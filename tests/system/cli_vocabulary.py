"""A tokenizer and an embedding of different sizes: a note, and a refusal only of tokens that the embedding lacks."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
MODEL = pathlib.Path(os.environ["ZH_SOURCE_DIR"]) / "tests" / "golden" / "families" / "qwen2"
ROWS = 101


def model(*words):
    return subprocess.run([ZHIHENG, "model", *words], capture_output=True, text=True, timeout=60)


def folder(place, last):
    """The family's small model with a tokenizer of two letters, the second of which has the id `last`."""
    place.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(MODEL / name, place / name)
    tokenizer = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
                 "post_processor": None, "decoder": None,
                 "model": {"type": "BPE", "vocab": {"a": 0, "b": last}, "merges": []}}
    (place / "tokenizer.json").write_text(json.dumps(tokenizer))
    return place


@pytest.mark.parametrize("last, said", [
    (ROWS, "the tokenizer has 102 tokens, the embedding 101 rows: tokens from id 101 on cannot be computed"),
    (ROWS - 1, ""), (1, "the tokenizer has 2 tokens, the embedding 101 rows: no text leads to ids from 2 on")])
def test_different_sizes_are_noted(tmp_path, last, said):
    done = model("tokenize", folder(tmp_path / "m", last), "--text", "ab")
    assert (done.returncode, done.stdout) == (0, f"0,{last}\n")
    assert said in done.stderr and bool(said) == bool(done.stderr)


def test_only_a_token_without_a_row_is_refused(tmp_path):
    place = folder(tmp_path / "m", ROWS)
    assert model("logits", place, "--prompt", "aaa").returncode == 0
    done = model("logits", place, "--prompt", "aba")
    assert done.returncode != 0 and done.stdout == ""
    assert f"{place}: the tokenizer makes the token 101 of the text, and the embedding has only 101 rows" in done.stderr
