"""A release of the CUDA module is compiled for every architecture that it promises, each file of it: as the preset
cuda-release and scripts/gpu/bundle configure it. Only configured here; compiling takes many minutes."""
import json
import os
import pathlib
import re
import subprocess

import pytest
from harness import SOURCE

BUILD = pathlib.Path(os.environ["ZH_BINARY_DIR"])
CODE = {("compute_80", "sm_80"), ("compute_89", "sm_89"), ("compute_90a", "sm_90a"), ("compute_100", "sm_100"),
        ("compute_100", "compute_100")}


def compiler():
    found = re.search(r"^CMAKE_CUDA_COMPILER:\w+=(.+)$", (BUILD / "CMakeCache.txt").read_text(), re.M)
    return found and not found[1].endswith("NOTFOUND") and found[1]


def code_of(command):
    """(virtual, real) of each -gencode; a real one that begins with compute_ is PTX."""
    return {(arch, each) for arch, codes in re.findall(r"--?generate-code=arch=(\w+),code=\[?([\w,]+)\]?", command)
            for each in codes.split(",")}


@pytest.mark.skipif(not compiler(), reason="no CUDA toolkit here")
def test_each_file_is_compiled_for_each_architecture(tmp_path):
    preset = next(p for p in json.loads((SOURCE / "CMakePresets.json").read_text())["configurePresets"]
                  if p["name"] == "cuda-release")
    words = [f"-D{name}={value}" for name, value in preset["cacheVariables"].items()]
    assert "-DZH_CUDA_ARCHITECTURES=release" in words
    done = subprocess.run(["cmake", "-S", SOURCE, "-B", tmp_path / "b", "-G", "Ninja", *words, "-DZH_TESTS=OFF",
                           "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"], env=os.environ | {"CUDACXX": compiler()},
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    commands = {pathlib.Path(entry["file"]).name: entry["command"]
                for entry in json.loads((tmp_path / "b" / "compile_commands.json").read_text())
                if entry["file"].endswith(".cu")}
    assert set(commands) == {path.name for path in (SOURCE / "kernels" / "cuda").glob("*.cu")}
    for name, command in commands.items():
        assert code_of(command) == CODE, name
