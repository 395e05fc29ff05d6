"""Worlds whose truth is known (tests/leading/worlds.c): errors stay below what chance allows, leads are found."""
import json
import os
import subprocess
from pathlib import Path

import pytest

TOOL = Path(os.environ["ZH_BINARY_DIR"]) / "tests" / "leading_worlds"
WORLDS = 200
# 4.5 standard deviations of a share of 5 % in so many worlds: among the dozens of shares looked at here, an honest
# program passes one of them once in thousands of runs, and the numbers are the same in every run.
LIMIT = 0.05 + 4.5 * (0.05 * 0.95 / WORLDS) ** 0.5


@pytest.fixture(scope="module")
def found():
    done = subprocess.run([TOOL, str(WORLDS), "500", "2"], capture_output=True, text=True, timeout=500, check=True)
    return json.loads(done.stdout)


def test_rank_sets_cover(found):
    for world in found:
        assert world["joint_missed"] <= LIMIT and world["own_missed"] <= LIMIT, world


def test_nobody_is_called_the_leader_who_is_not(found):
    for world in found:
        if world["lead"] <= 0:
            assert world["leading"] <= LIMIT, world
        if world["lead"] >= 0:
            assert world["not_leading"] <= LIMIT, world


def test_nobody_is_called_tied_who_lies_the_margin_behind(found):
    """At -1 point, the margin itself, a claim of not being inferior is wrong; the settings must have been there."""
    behind = [world for world in found if world["lead"] == -1]
    assert len(behind) == 6
    for world in behind:
        assert world["tied"] <= LIMIT, world


def test_leads_are_found(found):
    six = [world for world in found if world["setting"].startswith("lead of 6 points, 11 models, 1000")]
    assert len(six) == 1 and six[0]["leading"] > 0.5
    behind = [world for world in found if world["lead"] < 0]
    assert all(world["leading"] <= 0.01 for world in behind)


def test_the_largest_score_misleads_where_this_does_not(found):
    """Two equal models at the top: the largest score calls one of them the leader in every second world."""
    two = [world for world in found if "20 points ahead" in world["setting"]]
    assert len(two) == 1 and two[0]["largest_score"] > 0.4 and two[0]["leading"] <= LIMIT
