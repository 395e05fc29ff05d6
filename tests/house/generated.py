"""Files that a script made equal what the script makes today."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("ZH_SOURCE_DIR", Path(__file__).parents[2]))


@pytest.mark.parametrize("script, made", [
    ("scripts/make-normal-table.py", "core/normal_table.inc"),
    ("scripts/make-statistics-vectors.py", "tests/unit/core/statistics_vectors.inc"),
])
def test_a_generated_file_is_what_its_script_makes(script, made):
    fresh = subprocess.run([sys.executable, ROOT / script], capture_output=True, text=True, check=True).stdout
    assert fresh == (ROOT / made).read_text(encoding="utf-8")
