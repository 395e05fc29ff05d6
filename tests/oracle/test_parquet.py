"""Parquet as pyarrow wrote it (golden/parquet, by make_parquet_golden.py), and broken on purpose."""
import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ["ZH_SOURCE_DIR"])
TOOL = Path(os.environ["ZH_BINARY_DIR"]) / "tests/made_tool"
ZHIHENG = Path(os.environ["ZH_BINARY_DIR"]) / "bin/zhiheng"
GOLDEN = SOURCE / "tests/golden/parquet"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
LACKING = "which this program was built without"


def read(*paths):
    done = subprocess.run([TOOL], input="".join(json.dumps({"rows": str(path)}) + "\n" for path in paths), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", EXPECTED["rows"])
def test_every_way_of_writing(name):
    rows = read(GOLDEN / f"{name}.parquet")[0]
    if isinstance(rows, dict) and LACKING in rows["error"]:
        pytest.skip(rows["error"])
    wanted = EXPECTED["tables"][EXPECTED["rows"][name]]
    assert rows == wanted
    assert [list(row) for row in rows] == [list(row) for row in wanted]  # keys in the schema's order
    assert json.dumps(rows) == json.dumps(wanted)  # 1 is not 1.0, nor true


@pytest.mark.parametrize("name", EXPECTED["refused"])
def test_what_is_refused_is_named(name):
    answer = read(GOLDEN / f"{name}.parquet")[0]
    assert EXPECTED["refused"][name] in answer["error"], answer


def broken_copies(folder, data, count, r):
    for i in range(count):
        bytes_ = bytearray(data)
        for _ in range(r.choice([1, 1, 2, 8])):
            bytes_[r.randrange(len(bytes_))] = r.choice([0, 1, 0x7F, 0x80, 0xFF, r.randrange(256)])
        if r.random() < 0.2:
            del bytes_[r.randrange(4, len(bytes_) - 8)]
        path = folder / f"{i}.parquet"
        path.write_bytes(bytes_)
        yield path


@pytest.mark.parametrize("name", ["plain_v1", "nested", "snappy_v2", "many_pages", "truths_v2", "zstd"])
def test_broken_files_are_refused_or_read_but_nothing_else(tmp_path, name):
    """A byte of a value may be another value; a crash, a message without a file's name or an endless loop may not be."""
    data = (GOLDEN / f"{name}.parquet").read_bytes()
    answers = read(*broken_copies(tmp_path, data, 300, random.Random(name)))
    refused = [a["error"] for a in answers if isinstance(a, dict)]
    assert len(refused) > 30 and all(".parquet: " in message for message in refused)



@pytest.mark.parametrize("data, said", [
    (b"", "begins and ends with PAR1"), (b"PAR1", "begins and ends with PAR1"), (b"PAR1" + b"\0" * 4 + b"PARE", "encrypted"),
    (b"PAR1\xff\xff\xff\x7fPAR1", "its footer is longer than the file"), (b"PAR1\0" + struct.pack("<I", 1) + b"PAR1", "lacks schema or row groups"),
    (b"PAR1" + b"\x1c" * 60 + struct.pack("<I", 60) + b"PAR1", "its footer cannot be read"),  # structs within structs
    (b"PAR1\x19\xfc\xff\xff\xff\xff\x07" + struct.pack("<I", 7) + b"PAR1", "not a sound Parquet file"),  # a list of 2^31 elements
    (b"PAR1\x29\xfc\xff\xff\xff\xff\x07" + struct.pack("<I", 7) + b"PAR1", "not a sound Parquet file"),
])
def test_hostile_footers(tmp_path, data, said):
    path = tmp_path / "x.parquet"
    path.write_bytes(data)
    assert said in read(path)[0]["error"]


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def whole(value):
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def one_column(page, values, rows, value_type=2):
    """A file of one required column 'n' and one page, by hand: independent of any library."""
    schema = b"\x48\x01r\x15\x02\x00" + b"\x15" + whole(value_type) + b"\x25\x00\x18\x01n\x00"
    body = b"PAR1" + page
    facts = (b"\x15" + whole(value_type) + b"\x19\x15\x00" + b"\x19\x18\x01n" + b"\x15\x00" + b"\x16" + whole(values) + b"\x16" + whole(len(page)) + b"\x16" +
             whole(len(page)) + b"\x26" + whole(4) + b"\x00")
    group = b"\x19\x1c" + b"\x26\x00" + b"\x1c" + facts + b"\x00" + b"\x16\x00" + b"\x16" + whole(rows) + b"\x00"
    footer = b"\x15\x02" + b"\x19\x2c" + schema + b"\x16" + whole(rows) + b"\x19\x1c" + group + b"\x00"
    return body + footer + struct.pack("<I", len(footer)) + b"PAR1"


def data_page(body, values, encoding, stated=None):
    size = len(body) if stated is None else stated
    return b"\x15\x00\x15" + whole(size) + b"\x15" + whole(len(body)) + b"\x2c\x15" + whole(values) + b"\x15" + whole(encoding) + b"\x15\x06\x15\x06\x00\x00" + body


def test_a_table_written_by_hand(tmp_path):
    path = tmp_path / "x.parquet"
    values = [1, -1, 2**40, -2**63]
    path.write_bytes(one_column(data_page(struct.pack("<4q", *values), 4, 0), 4, 4))
    assert read(path)[0] == [{"n": value} for value in values]


@pytest.mark.parametrize("page, values, rows, said", [
    (data_page(b"\0" * 8, 2, 0), 2, 2, "values are too few"),
    (data_page(b"\0" * 16, 2, 0), 2, 3, "does not fit those beside it"),
    (data_page(b"\0" * 16, 2, 0), 2, 1, "does not fit those beside it"),
    (data_page(b"\0" * 16, 2, 0), 3, 3, "it ends early"),
    (data_page(b"\0" * 16, 2, 0), 1, 1, "it has too many values"),
    (data_page(b"\0" * 16, 2, 0), 2**40, 2, "states more values than a file of"),
    (data_page(b"\0" * 16, 2, 0), -2, 2, "lies outside the file"),
    (data_page(b"\0" * 16, 2, 0, stated=2**31 - 1), 2, 2, "is larger than 256 MiB"),
    (data_page(b"\0" * 16, 2, 0, stated=15), 2, 2, "a page's length is wrong"),
    (data_page(b"\x21\0", 1, 8), 1, 1, "dictionary's numbers are too wide"),
    (data_page(b"\x01\x02\0", 1, 8), 1, 1, "a value is not in its dictionary"),
    (data_page(b"\0" * 8, 1, 77), 1, 1, "is encoded as something unknown"),
    (b"\x15\x00\x15\x10\x15\xfe\x01", 1, 1, "a page's header is wrong"),
])
def test_hostile_pages(tmp_path, page, values, rows, said):
    path = tmp_path / "x.parquet"
    path.write_bytes(one_column(page, values, rows))
    assert said in read(path)[0]["error"]


def test_a_small_file_cannot_fill_the_memory(tmp_path):
    """Runs of one value: a million in five bytes are read, sixteen million are not."""
    path = tmp_path / "x.parquet"
    path.write_bytes(one_column(data_page(struct.pack("<I", 5) + varint(2**20 << 1) + b"\1", 2**20, 3), 2**20, 2**20, value_type=0))
    rows = read(path)[0]
    assert len(rows) == 2**20 and rows[-1] == {"n": True}
    path.write_bytes(one_column(data_page(struct.pack("<I", 5) + varint(2**24 << 1) + b"\1", 2**24, 3), 2**24, 2**24, value_type=0))
    assert "states more values than a file of" in read(path)[0]["error"]


@pytest.mark.parametrize("place", ["all/test-00000-of-00001.parquet", "test.parquet"])
def test_a_task_of_a_hub(tmp_path, place):
    """ARC's and MMLU's shape, in a folder as hubs lay it out."""
    wanted = EXPECTED["tables"][EXPECTED["rows"]["dictionary_v1"]]
    path = tmp_path / "data/some/set" / place
    path.parent.mkdir(parents=True)
    shutil.copy(GOLDEN / "dictionary_v1.parquet", path)
    name = "dataset_name: all\n" if "/" in place else ""
    (tmp_path / "t.yaml").write_text(f"task: t\ndataset_path: some/set\n{name}test_split: test\noutput_type: generate_until\ndoc_to_text: question\ndoc_to_target: '{{{{answer}}}}'\n")
    words = [ZHIHENG, "data", "check", "--tasks", tmp_path / "t.yaml", "--data", tmp_path / "data", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)["tasks"][0]
    assert report["items"] == len(wanted) and report["files"][0]["path"].endswith(place), done.stderr
    assert report["findings"] == []


def test_a_split_in_parts_and_a_missing_part(tmp_path):
    folder = tmp_path / "data/some/set"
    folder.mkdir(parents=True)
    for part in range(2):
        shutil.copy(GOLDEN / "required.parquet", folder / f"test-0000{part}-of-00002.parquet")
    (tmp_path / "t.yaml").write_text("task: t\ndataset_path: some/set\ntest_split: test\noutput_type: generate_until\ndoc_to_text: q\ndoc_to_target: n\n")
    words = [ZHIHENG, "data", "check", "--tasks", tmp_path / "t.yaml", "--data", tmp_path / "data", "--json"]
    report = json.loads(subprocess.run(words, capture_output=True, text=True, check=False).stdout)["tasks"][0]
    assert report["items"] == 40 and len(report["files"]) == 2
    (folder / "test-00001-of-00002.parquet").unlink()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "test-00001-of-00002.parquet: this part of the split is missing" in done.stdout + done.stderr
