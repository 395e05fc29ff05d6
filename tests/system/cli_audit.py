"""audit --sample, --ranks and files of holes: what is told rests on what was looked at, is the same for any number of
ranks, and holes cost nothing."""
import json
import math
import os
import pty
import re
import select
import shutil
import struct
import subprocess

import numpy
import pytest

BUILD = os.environ["ZH_BINARY_DIR"]
ZHIHENG = os.path.join(BUILD, "bin", "zhiheng")
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                   OMPI_MCA_rmaps_base_oversubscribe="1")
ROWS, COLUMNS, LAYERS = 2000, 64, 6


def audit(*words):
    done = subprocess.run([ZHIHENG, "audit", *map(str, words), "--json"], capture_output=True, text=True,
                          timeout=300, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(path, zero_rows, holes=False):
    """F32 matrices, of each of which the given number of rows is zero."""
    generator = numpy.random.default_rng(5)
    names = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(LAYERS)]
    size = 4 * ROWS * COLUMNS
    header = {name: {"dtype": "F32", "shape": [ROWS, COLUMNS], "data_offsets": [i * size, (i + 1) * size]}
              for i, name in enumerate(names)}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        if holes:
            file.truncate(8 + len(text) + LAYERS * size)
            return path
        for _ in names:
            matrix = generator.standard_normal((ROWS, COLUMNS), dtype=numpy.float32)
            matrix[generator.permutation(ROWS)[:zero_rows]] = 0
            file.write(matrix.tobytes())
    return path


def test_a_clean_sample_bounds_what_it_did_not_see(tmp_path):
    document = json.loads(audit("--sample=100", "--seed", "3", write(tmp_path / "m.safetensors", 0)))
    sample, parameters = document["sample"], document["parameters"]
    assert (sample["rows"], sample["of_rows"]) == (100 * LAYERS, ROWS * LAYERS)
    assert sample["unseen"]["parameters"] == math.ceil(-math.log(0.05) * ROWS * COLUMNS / 100)
    assert document["sha256"] is None
    effective = parameters["effective"]
    assert effective["high"] == parameters["stored"]
    assert effective["low"] <= parameters["stored"] - sample["unseen"]["parameters"]
    assert any("95 % confidence" in note["en"] for note in document["notes"])


@pytest.mark.parametrize("zero_rows", [200, 1000])
def test_the_interval_holds_the_true_count(tmp_path, zero_rows):
    path = write(tmp_path / "m.safetensors", zero_rows)
    truth = LAYERS * (ROWS - zero_rows) * COLUMNS
    assert json.loads(audit("--no-digest", path))["parameters"]["effective"]["value"] == truth
    for seed in range(5):
        effective = json.loads(audit("--sample=100", "--seed", seed, path))["parameters"]["effective"]
        assert effective["low"] <= truth <= effective["high"]
        assert abs(effective["value"] - truth) < 0.1 * LAYERS * ROWS * COLUMNS


def test_a_sample_of_all_rows_is_the_whole(tmp_path):
    path = write(tmp_path / "m.safetensors", 100)
    whole, sample = json.loads(audit("--no-digest", path)), json.loads(audit(f"--sample={ROWS}", path))
    assert whole["parameters"]["effective"] == sample["parameters"]["effective"]
    assert sample["sample"]["unseen"]["parameters"] == 0


def test_holes_are_zeros(tmp_path):
    document = json.loads(audit("--no-digest", write(tmp_path / "m.safetensors", 0, holes=True)))
    assert document["parameters"]["effective"]["high"] == 0
    assert [finding["kind"] for finding in document["findings"]].count("zero_tensor") == LAYERS


def write_with_zeros(path, sparse):
    """Matrices with zeros in every way: whole, half, rows that end between pages, columns, twice the same."""
    generator = numpy.random.default_rng(8)

    def random(rows, columns):
        return generator.standard_normal((rows, columns), dtype=numpy.float32)
    half, ends, rows, columns = random(3000, 384), random(3000, 384), random(3000, 100), random(1024, 512)
    half[700:2200], ends[:900], ends[2999:] = 0, 0, 0
    rows[50:2500:1], rows[2600], columns[:, 7], columns[:, 200:300] = 0, 0, 0, 0
    stored = {"gate_proj": half, "up_proj": ends, "down_proj": numpy.zeros((2500, 384), numpy.float32),
              "q_proj": rows, "k_proj": columns, "v_proj": half, "o_proj": numpy.zeros((2500, 384), numpy.float32)}
    header, at = {}, 0
    for name, matrix in stored.items():
        header[f"model.layers.0.mlp.{name}.weight"] = {"dtype": "F32", "shape": matrix.shape,
                                                       "data_offsets": [at, at + matrix.nbytes]}
        at += matrix.nbytes
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + b"".join(m.tobytes() for m in stored.values())
    with open(path, "wb") as file:
        for begin in range(0, len(data), 4096):
            page = data[begin:begin + 4096]
            if sparse and not any(page):
                file.seek(len(page), 1)
            else:
                file.write(page)
        file.truncate(len(data))
    return path


@pytest.mark.parametrize("words", [[], ["--sample=300", "--seed", "1"]])
def test_holes_change_nothing_but_the_sentence(tmp_path, words):
    """The same bytes, written and left out, give the same document."""
    documents = []
    for folder, sparse in [("dense", False), ("sparse", True)]:
        (tmp_path / folder).mkdir()
        path = write_with_zeros(tmp_path / folder / "m.safetensors", sparse)
        about = os.stat(path)
        if sparse and about.st_blocks * 512 >= about.st_size:
            pytest.skip("no holes on this file system")
        documents.append(json.loads(audit(*words, path)))
    assert (tmp_path / "dense/m.safetensors").read_bytes() == (tmp_path / "sparse/m.safetensors").read_bytes()
    if words:  # a matrix that is one hole is known whole; of the other some rows are
        assert documents[1]["parameters"]["effective"]["value"] <= documents[0]["parameters"]["effective"]["value"]
        return
    kinds = [finding["kind"] for finding in documents[0]["findings"]]
    assert kinds.count("zero_tensor") == 2 and {"zero_rows", "zero_columns", "duplicate_tensor"} <= set(kinds)
    for document in documents:
        for finding in document["findings"]:
            if finding["kind"] == "zero_tensor":
                del finding["text"]
    assert documents[0] == documents[1]


def write_large(path, filled, holes, rows=2048, columns=3584):
    """F32 matrices of 29 MB, some of draws, the others holes."""
    generator = numpy.random.default_rng(11)
    size = 4 * rows * columns
    header = {f"model.layers.{i}.mlp.up_proj.weight": {"dtype": "F32", "shape": [rows, columns],
                                                       "data_offsets": [i * size, (i + 1) * size]}
              for i in range(filled + holes)}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(filled):
            file.write(generator.standard_normal((rows, columns), dtype=numpy.float32).tobytes())
        file.truncate(8 + len(text) + (filled + holes) * size)
    return path


def watch(*words, output):
    """What it wrote to a terminal as standard error, and the most memory it held that is no page of a file."""
    ours, theirs = pty.openpty()
    told, most = b"", 0
    with open(output, "wb") as out:
        child = subprocess.Popen([ZHIHENG, "audit", *map(str, words), "--json"], stdout=out, stderr=theirs,
                                 env=dict(ENVIRONMENT, TERM="xterm"))
        os.close(theirs)
        while True:
            if select.select([ours], [], [], 0.005)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                told += piece
            with open(f"/proc/{child.pid}/status") as status:
                held = re.search(r"^RssAnon:\s+(\d+) kB$", status.read(), re.M)
            most = max(most, 1024 * int(held.group(1)) if held else 0)
        assert child.wait(timeout=60) == 0
    os.close(ours)
    return told.decode(), most


def test_memory_is_bounded_and_progress_runs_from_start_to_end(tmp_path):
    path = write_large(tmp_path / "m.safetensors", filled=10, holes=14)
    assert os.stat(path).st_size > 600e6
    told, most = watch(path, output=tmp_path / "out.json")
    assert 1e6 < most < 256e6
    shares = {}
    for stage, share in re.findall(r"(\w+) (\d+) %, ", told):
        shares.setdefault(stage, []).append(int(share))
    assert list(shares) == ["scan", "values", "digests"]
    for stage, list_of_shares in shares.items():
        assert list_of_shares == sorted(list_of_shares) and list_of_shares[-1] == 100, stage
    assert len(shares["digests"]) > 3
    document = json.loads((tmp_path / "out.json").read_text())
    assert [finding["kind"] for finding in document["findings"]].count("zero_tensor") == 14


def test_any_number_of_ranks_gives_the_same_json(tmp_path):
    if shutil.which("mpirun") is None or not os.path.exists(os.path.join(BUILD, "lib", "zhiheng", "libzhiheng-mpi.so")):
        pytest.skip("no mpirun or no MPI module here")
    path = write(tmp_path / "m.safetensors", 100)
    for words in (["--no-digest"], ["--sample=64", "--seed", "9"]):
        alone = audit(*words, path)
        assert alone == audit(*words, "--ranks", 2, path) == audit(*words, "--ranks", 3, path)
