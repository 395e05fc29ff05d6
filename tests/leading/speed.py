"""Beside tests/leading/speed.c: the same work by numpy, the fastest ways that were found. Minimum of REPEATS.

    OPENBLAS_NUM_THREADS=2 .venv/bin/python tests/leading/speed.py build/tests/leading_speed [REPEATS]
"""
import json
import subprocess
import sys
import time

import numpy

MODELS, ITEMS, REPLICATES, CHUNK = 50, 14_000, 10_000, 500


def flips(packed, rng):
    """Bits of signs against bits of scores, counted by numpy.bitwise_count."""
    out = numpy.empty((MODELS, REPLICATES))
    for at in range(0, REPLICATES, CHUNK):
        signs = rng.integers(0, 2**64, (CHUNK, packed.shape[1]), dtype=numpy.uint64)
        for model in range(MODELS):
            out[model, at:at + CHUNK] = numpy.bitwise_count(signs & packed[model]).sum(axis=1, dtype=numpy.uint32)
    return out


def bootstrap(scores, rng):
    """Counts of a multinomial times scores, as a product of matrices."""
    out = numpy.empty((MODELS, REPLICATES))
    for at in range(0, REPLICATES, CHUNK):
        weights = rng.multinomial(ITEMS, numpy.full(ITEMS, 1 / ITEMS), CHUNK).astype(numpy.float32)
        out[:, at:at + CHUNK] = scores @ weights.T
    return out


def shortest(work, repeats):
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def main():
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rng = numpy.random.default_rng(1)
    right = rng.random((MODELS, ITEMS)) < 0.75
    padded = numpy.zeros((MODELS, -(-ITEMS // 64) * 64), bool)
    padded[:, :ITEMS] = right
    packed = numpy.packbits(padded, axis=1, bitorder="little").view(numpy.uint64)
    scores = right.astype(numpy.float32)
    ours = json.loads(subprocess.run([sys.argv[1], "2", str(repeats)], capture_output=True, check=True).stdout)
    ours["numpy_sign_flips_s"] = round(shortest(lambda: flips(packed, rng), repeats), 4)
    ours["numpy_bootstrap_s"] = round(shortest(lambda: bootstrap(scores, rng), repeats), 4)
    print(json.dumps(ours))


if __name__ == "__main__":
    main()
