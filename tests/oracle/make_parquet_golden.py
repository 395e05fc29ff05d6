"""Makes golden/parquet: small tables as pyarrow writes them, and what it reads of them.

    python tests/oracle/make_parquet_golden.py      # from the root of the tree; needs pyarrow, which the tests need not have

Each way of writing is its own file; expected.json has the tables, and which of them each file holds. What is refused stands there with a part of the message."""
import datetime
import decimal
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

GOLDEN = Path(__file__).parents[1] / "golden/parquet"


def questions(count, seed=1):
    """As data sets of questions are published: text, options, the number of the right one."""
    r = random.Random(seed)
    words = ["水", "火", "one", "two words", "", "Ω≈ç", "😀", "a\nb", '"quoted"']
    return pa.table({
        "question": pa.array([f"第 {i} 题：{r.choice(words)}？" for i in range(count)]),
        "choices": pa.array([None if i % 7 == 3 else [r.choice(words) for _ in range(r.randrange(5))] for i in range(count)], pa.list_(pa.string())),
        "answer": pa.array([r.randrange(4) for _ in range(count)], pa.int64()),
        "subject": pa.array([r.choice(["数学", "history", None]) for _ in range(count)], pa.string()),
        "score": pa.array([None if i % 5 == 0 else r.uniform(-1, 1) for i in range(count)], pa.float64()),
        "right": pa.array([None if i % 6 == 0 else r.random() < 0.5 for i in range(count)], pa.bool_()),
    })


def nested():
    """SQuAD's answers, ARC's choices, and deeper."""
    rows = [
        {"answers": {"text": ["a", "b"], "answer_start": [1, 2]}, "turns": [{"role": "user", "content": "x"}, {"role": "tool", "content": None}], "deep": [[1], [], None, [2, 3]]},
        {"answers": {"text": [], "answer_start": []}, "turns": [], "deep": []},
        {"answers": None, "turns": None, "deep": None},
        {"answers": {"text": None, "answer_start": [5]}, "turns": [None, {"role": "user", "content": ""}], "deep": [[None]]},
    ]
    schema = pa.schema([
        ("answers", pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])),
        ("turns", pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())]))),
        ("deep", pa.list_(pa.list_(pa.int16()))),
    ])
    return pa.Table.from_pylist(rows * 3, schema)


def numbers():
    return pa.table({
        "i8": pa.array([-128, 127, None], pa.int8()), "u8": pa.array([0, 255, None], pa.uint8()), "i16": pa.array([-2**15, 2**15 - 1, 0], pa.int16()),
        "u16": pa.array([0, 2**16 - 1, 1], pa.uint16()), "i32": pa.array([-2**31, 2**31 - 1, 0], pa.int32()), "u32": pa.array([0, 2**32 - 1, 1], pa.uint32()),
        "i64": pa.array([-2**63, 2**63 - 1, None], pa.int64()), "u64": pa.array([0, 2**63 - 1, 5], pa.uint64()), "f32": pa.array([0.1, -1.5e30, None], pa.float32()),
        "f64": pa.array([0.1, 5e-324, 1.7976931348623157e308], pa.float64()), "nothing": pa.nulls(3)})


def truths():
    r = random.Random(4)
    return pa.table({"right": pa.array([r.random() < 0.9 for _ in range(300)], pa.bool_()), "maybe": pa.array([r.choice([True, None]) for _ in range(300)], pa.bool_())})


def required():
    schema = pa.schema([pa.field("q", pa.string(), nullable=False), pa.field("n", pa.int64(), nullable=False),
                        pa.field("o", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False)])
    return pa.Table.from_pylist([{"q": f"q{i}", "n": i * i, "o": ["x"] * (i % 3)} for i in range(20)], schema)


PLAIN = {"compression": "none"}
GOOD = {
    "plain_v1": (questions(40), {**PLAIN, "use_dictionary": False, "data_page_version": "1.0"}),
    "dictionary_v1": (questions(40), {**PLAIN, "data_page_version": "1.0"}),
    "plain_v2": (questions(40), {**PLAIN, "use_dictionary": False, "data_page_version": "2.0"}),
    "snappy": (questions(60, 2), {"compression": "snappy"}),
    "snappy_v2": (questions(60, 2), {"compression": "snappy", "data_page_version": "2.0"}),
    "gzip": (questions(60, 3), {"compression": "gzip"}),
    "zstd": (questions(60, 3), {"compression": "zstd", "data_page_version": "2.0"}),
    "many_pages": (questions(60, 3), {"compression": "snappy", "data_page_size": 64, "write_batch_size": 16, "dictionary_pagesize_limit": 64}),
    "row_groups": (questions(50, 6), {"compression": "zstd", "row_group_size": 7, "write_page_index": True, "write_page_checksum": True}),
    "nested": (nested(), PLAIN),
    "nested_v2": (nested(), {"compression": "snappy", "data_page_version": "2.0"}),
    "old_names": (nested(), {**PLAIN, "use_compliant_nested_type": False}),
    "numbers": (numbers(), {**PLAIN, "version": "2.6"}),
    "numbers_plain": (numbers(), {**PLAIN, "version": "2.4", "use_dictionary": False}),
    "truths": (truths(), PLAIN),
    "truths_v2": (truths(), {**PLAIN, "data_page_version": "2.0"}),
    "required": (required(), PLAIN),
    "no_rows": (questions(0), PLAIN),
    "one_value": (pa.table({"same": ["equal"] * 500, "nulls": pa.array([None] * 500, pa.int64())}), {"compression": "snappy"}),
    "codes": (pa.table({"subject": pa.array(["甲", "乙", "甲", None] * 10).dictionary_encode()}), {"compression": "snappy"}),
}
REFUSED = {
    "dates": (pa.table({"when": pa.array([datetime.date(2024, 1, 2)])}), PLAIN, "the column 'when' holds dates"),
    "times": (pa.table({"at": pa.array([datetime.datetime(2024, 1, 2)], pa.timestamp("us"))}), PLAIN, "the column 'at' holds times"),
    "decimals": (pa.table({"price": pa.array([decimal.Decimal("1.50")], pa.decimal128(9, 2))}), PLAIN, "the column 'price' holds decimal numbers"),
    "bytes": (pa.table({"image": pa.array([{"bytes": b"\x89PNG", "path": "a.png"}])}), PLAIN, "the column 'image.bytes' holds bytes, not text"),
    "maps": (pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}), PLAIN, "the column 'm' holds maps"),
    "fixed": (pa.table({"f": pa.array([b"abcd"], pa.binary(4))}), PLAIN, "the column 'f' holds values of fixed length"),
    "half": (pa.table({"h": pa.array([1.5], pa.float16())}), PLAIN, "the column 'h' holds fp16 numbers"),
    "brotli": (questions(5), {"compression": "brotli"}, "compressed by Brotli, which is not read"),
    "lz4": (questions(5), {"compression": "lz4"}, "compressed by LZ4, which is not read"),
    "delta": (pa.table({"n": pa.array(range(50), pa.int64())}), {**PLAIN, "use_dictionary": False, "column_encoding": "DELTA_BINARY_PACKED"},
              "the column 'n' is encoded as DELTA_BINARY_PACKED"),
    "split": (pa.table({"x": pa.array([0.5] * 5, pa.float32())}), {**PLAIN, "use_dictionary": False, "column_encoding": "BYTE_STREAM_SPLIT"},
              "the column 'x' is encoded as BYTE_STREAM_SPLIT"),
    "not_a_number": (pa.table({"x": pa.array([1.0, float("nan")])}), PLAIN, "a value that is no number"),
    "huge": (pa.table({"u": pa.array([2**63], pa.uint64())}), PLAIN, "numbers above 2^63 - 1"),
    "int96": (pa.table({"at": pa.array([datetime.datetime(2024, 1, 2)], pa.timestamp("ns"))}), {**PLAIN, "use_deprecated_int96_timestamps": True}, "the column 'at' holds"),
}


def write(name, table, options):
    path = GOLDEN / f"{name}.parquet"
    # Without the writer's own copy of the schema, which says in other words what Parquet's says.
    pq.write_table(table.replace_schema_metadata(None), path, store_schema=False, **options)
    return path


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.parquet"):
        old.unlink()
    expected = {"pyarrow": pa.__version__, "tables": [], "rows": {}, "refused": {}}
    for name, (table, options) in GOOD.items():
        rows = pq.read_table(write(name, table, options)).to_pylist()
        if rows not in expected["tables"]:
            expected["tables"].append(rows)
        expected["rows"][name] = expected["tables"].index(rows)
    for name, (table, options, said) in REFUSED.items():
        write(name, table, options)
        expected["refused"][name] = said
    (GOLDEN / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
