"""Holds the directions between rooms: who may include whom stands in the table of docs/architecture.md."""
import os
import re
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("ZH_SOURCE_DIR", Path(__file__).parents[2]))
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
SOURCES = {".c", ".h", ".cc", ".cpp", ".cu", ".cuh", ".inc"}
# Where a machine's libraries may enter. Nothing else sees them, so that the rest runs on a laptop.
ONLY_IN = {"mpi.h": {"bench/comm_mpi.c"}}
NEVER_IN = {"evaluator": ("mpi", "cuda", "hip", "nccl"), "reports": ("mpi", "cuda", "hip", "nccl")}


def rooms_of(architecture):
    """{room: rooms it may use} from the rows "| `core/` | … | — |"; "all" means every room."""
    rows = re.findall(r"^\| `(\w+)/` \|.*\| ([^|]+) \|$", architecture, re.MULTILINE)
    names = {name for name, _ in rows}
    rooms = {}
    for name, uses in rows:
        words = {word.strip() for word in uses.split(",")}
        rooms[name] = names if words == {"all"} else words - {"—"}
        assert rooms[name] <= names, f"{name}/ may use {rooms[name] - names}, which are no rooms"
    return rooms


def target_of(root, source, path):
    """The file in the tree that a quoted include means, as a path from the root, or None."""
    for base in (source.parent, root):
        candidate = Path(os.path.normpath(base / path))
        if candidate.is_file() and candidate.is_relative_to(root):
            return candidate.relative_to(root)
    return None


def mistakes(root, rooms):
    found = []
    for room, allowed in rooms.items():
        if room == "tests":
            continue
        for source in sorted((root / room).rglob("*")):
            if source.suffix not in SOURCES or not source.is_file():
                continue
            name = source.relative_to(root).as_posix()
            for quote, path in INCLUDE.findall(source.read_text(encoding="utf-8")):
                found += judge(root, source, name, room, allowed, quote, path)
    return found


def judge(root, source, name, room, allowed, quote, path):
    if path in ONLY_IN and name not in ONLY_IN[path]:
        yield f"{name}: includes {path}, which belongs into {', '.join(ONLY_IN[path])} alone"
    if Path(path).name.lower().startswith(NEVER_IN.get(room, ("\0",))):
        yield f"{name}: includes {path}; {room}/ runs where there is neither MPI nor a GPU"
    target = target_of(root, source, path) if quote == '"' else None
    used = target.parts[0] if target else Path(path).parts[0] if "/" in path else None
    if used in rooms_of_root(root) and used != room and used not in allowed:
        yield f"{name}: includes {path}; {room}/ may use {', '.join(sorted(allowed)) or 'no other room'}"


def rooms_of_root(root):
    return {path.name for path in root.iterdir() if path.is_dir()}


@pytest.fixture(scope="module")
def rooms():
    return rooms_of((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))


def test_the_table_names_the_rooms(rooms):
    assert set(rooms) == {"core", "model", "kernels", "bench", "evaluator", "reports", "cli", "tests"}
    assert rooms["core"] == set()
    for reader in ("evaluator", "reports"):
        assert not rooms[reader] & {"bench", "cli"}
    assert "kernels" not in rooms["reports"]


def test_every_include_follows_the_table(rooms):
    counted = sum(1 for room in rooms for path in (ROOT / room).rglob("*.c"))
    assert counted > 20, "the sources were not found"
    assert mistakes(ROOT, rooms) == []


@pytest.mark.parametrize("path, text", [
    ("core/a.c", '#include "model/model.h"'),
    ("kernels/gemm/a.c", '#include "../../model/model.h"'),
    ("kernels/a.c", '  #  include "model/model.h"'),
    ("evaluator/a.c", '#include "bench/bench.h"'),
    ("evaluator/a.c", "#include <mpi.h>"),
    ("reports/a.cc", "#include <cuda_runtime.h>"),
    ("reports/a.c", "#include <bench/bench.h>"),
    ("bench/run.c", "#include <mpi.h>"),
    ("model/a.h", '#include "cli/cli.h"'),
])
def test_a_planted_violation_is_caught(tmp_path, rooms, path, text):
    for header in ("model/model.h", "bench/bench.h", "cli/cli.h"):
        (tmp_path / header).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / header).write_text("")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(f"#include <stdio.h>\n{text}\n")
    found = mistakes(tmp_path, rooms)
    assert len(found) >= 1 and all(line.startswith(path) for line in found)


def test_what_the_table_allows_passes(tmp_path, rooms):
    for name, text in {"model/model.h": '#include "core/status.h"', "core/status.h": "",
                       "bench/comm_mpi.c": "#include <mpi.h>", "bench/engine/a.c": '#include "../b.h"',
                       "bench/b.h": '#include "model/model.h"', "cli/a.c": '#include "bench/b.h"'}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert mistakes(tmp_path, rooms) == []
