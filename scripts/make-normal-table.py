#!/usr/bin/env python3
"""Writes core/normal_table.inc: z with upper tail probability p, at the corners of the cells that
zh_normal_q16 interpolates in.

The tail probability of 32 random bits is p = w / 2^33, w odd and below 2^32. Octave k holds w from
2^(31-k) up to 2^(32-k), cut into 16 equal cells. Entry [k][c] is the corner where cell c begins, at
p = (16 + c) / 16 * 2^(-2-k); entry [k][16] is where the octave ends. Values are z * 2^16, rounded.

    .venv/bin/python scripts/make-normal-table.py > core/normal_table.inc
"""
from scipy.stats import norm

OCTAVES, CELLS = 32, 16

print("/* Made by scripts/make-normal-table.py; do not edit. [octave][cell corner], z * 2^16. */")
for octave in range(OCTAVES):
    corners = [norm.isf((CELLS + cell) / CELLS * 2.0 ** (-2 - octave)) for cell in range(CELLS + 1)]
    values = [round(z * 65536) for z in corners]
    lines = [", ".join(str(v) for v in values[at:at + 9]) for at in (0, 9)]
    print("{" + ",\n ".join(lines) + "},")
