"""Compiles each contract header alone, twice included, as C17 and as C++17, with strict warnings."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("ZH_SOURCE_DIR", Path(__file__).parents[2]))
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Wundef", "-Werror"]
LANGUAGES = {
    "c": [os.environ.get("CC", "cc"), "-x", "c", "-std=c17", "-Wstrict-prototypes", "-Wmissing-prototypes"],
    "c++": [os.environ.get("CXX", "c++"), "-x", "c++", "-std=c++17", "-Wold-style-cast"],
}


def contract_headers():
    """The headers that docs/architecture.md lists after "One contract header a room"."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    paragraph = re.search(r"One contract header a room.*?\n\n", text, re.DOTALL).group(0)
    patterns = re.findall(r"`([\w/*.]+\.h)`", paragraph)
    headers = sorted({path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)})
    assert len(headers) >= len(patterns) > 5, "a contract header is missing"
    return headers


def compile_alone(header, language):
    code = f'#include "{header}"\n#include "{header}"\nextern int not_empty;\n'
    command = LANGUAGES[language] + WARNINGS + ["-D_GNU_SOURCE", "-fsyntax-only", f"-I{ROOT}", "-"]
    return subprocess.run(command, input=code, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("header", contract_headers())
def test_header_stands_alone(header, language):
    result = compile_alone(header, language)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_header_that_leans_on_others_is_caught(tmp_path, language):
    header = tmp_path / "leaning.h"
    header.write_text("size_t leaning(uint8_t x);\n")
    assert compile_alone(header, language).returncode != 0
