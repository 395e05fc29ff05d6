"""What ptxas made of the loops that a GPU's peaks are measured by: as many matrix instructions as the rate counts. Of an
instruction that an architecture lacks the compiler makes others, and what does not change from round to round it may
compute once: the sums are right then, and the rate is not."""
import functools
import math
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from harness import SOURCE

BUILD = pathlib.Path(os.environ["ZH_BINARY_DIR"])
CODE = BUILD / "kernels" / "CMakeFiles" / "zhiheng-cuda.dir" / "cuda"
HEADER = (SOURCE / "kernels" / "device_limits.h").read_text()
INSTRUCTION = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*([^;]*)")

# Rows, columns and depth of one product; a round's inner loop has STEPS * COPIES of these.
OF_A_WARP = {"zh_mma_of_bf16": (16, 8, 16), "zh_mma_of_f16": (16, 8, 16), "zh_mma_of_tf32": (16, 8, 8),
             "zh_mma_of_int8": (16, 8, 32), "zh_mma_of_e4m3": (16, 8, 32)}
OF_A_WARPGROUP = {"wgmma_of_bf16": 16, "wgmma_of_f16": 16, "wgmma_of_tf32": 8, "wgmma_of_int8": 32, "wgmma_of_e4m3": 32}


def tool():
    """cuobjdump of the compiler's toolkit, of tests/requirements-cuda.txt, or of the PATH."""
    compiler = re.search(r"^CMAKE_CUDA_COMPILER:\w+=(/.+)$", (BUILD / "CMakeCache.txt").read_text(), re.M)
    folders = [pathlib.Path(compiler[1]).parent] if compiler else []
    folders += SOURCE.glob(".venv/lib/python3*/site-packages/nvidia/*/bin")
    return shutil.which("cuobjdump", path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))


TOOL = tool()
pytestmark = pytest.mark.skipif(not TOOL, reason="no cuobjdump here: tests/requirements-cuda.txt has it")


def enumerator(text, name):
    return int(re.search(rf"\b{name} = (\d+)", text)[1])


@functools.cache
def functions(name):
    """{(architecture, mangled name): [(address, instruction, operands)]} of an object of the module."""
    found, code = {}, None
    done = subprocess.run([TOOL, "-sass", CODE / name], capture_output=True, text=True, check=True, timeout=120,
                          env=os.environ | {"PATH": f"{pathlib.Path(TOOL).parent}{os.pathsep}{os.environ['PATH']}"})
    for line in done.stdout.splitlines():
        if named := re.match(r"\s+code for sm_(\w+)", line):
            arch = named[1]
        elif named := re.match(r"\s+Function : (\w+)", line):
            code = found[arch, named[1]] = []
        elif parts := INSTRUCTION.match(line):
            code.append((int(parts[1], 16), parts[2], parts[3]))
    return found


def work_of(instruction, operands):
    """Multiply-adds of a matrix instruction, of 16816 as of 64x128x32; what goes to no register counts nothing."""
    kind = re.match(r"[HDIQ]G?MMA\.(\d+x\d+x\d+|\d{3,5})\b", instruction)
    if not kind or operands.startswith("RZ"):
        return 0
    if "x" in kind[1]:
        return math.prod(map(int, kind[1].split("x")))
    rows, columns, depth = {"884": (8, 8, 4), "1684": (16, 8, 4), "1688": (16, 8, 8), "16816": (16, 8, 16),
                            "16832": (16, 8, 32)}[kind[1]]
    return rows * columns * depth


def inner_loop(code, counts):
    """Of all loops that have something that counts the shortest one."""
    loops = [(target, address) for address, instruction, operands in code if instruction.startswith("BRA")
             for target in [int(re.search(r"0x([0-9a-f]+)", operands)[1], 16)] if target < address]
    bodies = [[(i, o) for address, i, o in code if first <= address <= last] for first, last in loops]
    return min((body for body in bodies if any(counts(*each) for each in body)), key=len, default=[])


def measured(name):
    """(architecture, what the loop is of, multiply-adds of its inner loop) of each loop of matrix instructions."""
    for (arch, mangled), code in functions(name).items():
        which = re.search("|".join([*OF_A_WARP, *OF_A_WARPGROUP, "mma_f64\\w*?_loop"]), mangled)
        if which:
            yield arch, which[0], sum(work_of(*each) for each in inner_loop(code, work_of))


def number_of(arch):
    return int(re.match(r"\d+", arch)[0])


def is_native(arch, what):
    """As limits_peak.cu offers loops."""
    number = number_of(arch)
    return {"zh_mma_of_e4m3": number == 89 or number >= 120, "mma_f64_large_loop": number >= 90}.get(what, True)


def test_a_warps_loops_do_the_work_that_is_counted():
    text = (SOURCE / "kernels" / "cuda" / "limits_peak.cu").read_text()
    each = {what: math.prod(shape) * enumerator(text, "STEPS") * enumerator(text, "COPIES")
            for what, shape in OF_A_WARP.items()}
    each["mma_f64_loop"] = 8 * 8 * 4 * enumerator(text, "STEPS") * enumerator(text, "COPIES")
    each["mma_f64_large_loop"] = 16 * 8 * 16 * enumerator(text, "LARGE_STEPS") * enumerator(text, "LARGE_COPIES")
    seen = list(measured("limits_peak.cu.o"))
    assert {what for _, what, _ in seen} == set(each)
    for arch, what, work in seen:
        # Where the loop is not offered for it would be wrong; if it were right, it might be offered.
        assert (work == each[what]) == is_native(arch, what), (arch, what, work, each[what])


def test_multiply_adds_are_all_there():
    wanted = 2 * enumerator(HEADER, "ZH_PEAK_CHAINS") * enumerator(HEADER, "ZH_PEAK_REPEATS")
    fused = re.compile(r"[FD]FMA\b")
    loops = {key: inner_loop(code, lambda i, _: bool(fused.match(i))) for key, code in functions("limits_peak.cu.o").items()
             if "fma_loop" in key[1]}
    assert loops
    for key, body in loops.items():
        assert sum(bool(fused.match(i)) for i, _ in body) == wanted, key


def test_a_warpgroups_loops_do_the_work_that_is_counted():
    text = (SOURCE / "kernels" / "cuda" / "limits_wgmma.cu").read_text()
    unrolled = int(re.search(r"#pragma unroll (\d+)", text)[1])
    product = enumerator(text, "ROWS") * enumerator(text, "COLUMNS") * enumerator(text, "STEPS")
    seen = [each for each in measured("limits_wgmma.cu.o") if number_of(each[0]) == 90]
    archs = {arch for arch, _ in functions("limits_peak.cu.o")}
    assert {what for _, what, _ in seen} == (set(OF_A_WARPGROUP) if "90a" in archs else set())
    for arch, what, work in seen:
        assert work == unrolled * product * OF_A_WARPGROUP[what], (arch, what)
