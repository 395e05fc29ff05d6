"""Groups of GPUs (kernels/device_group.h) between ranks under mpirun, each with a device of the shim: every collective
of both kinds word for word, and what is said where a group cannot be, or a rank does not come."""
import os
import pathlib
import shutil
import subprocess

import pytest

BUILD = pathlib.Path(os.environ["ZH_BINARY_DIR"])
TOOL = BUILD / "tests" / "group_ranks"
LACKING = shutil.which("mpirun") is None or not (BUILD / "lib" / "zhiheng" / "libzhiheng-mpi.so").exists()
pytestmark = pytest.mark.skipif(LACKING, reason="no mpirun or no MPI module here")


def ranks(count, *words, **more):
    env = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
           "OMPI_MCA_rmaps_base_oversubscribe": "1", "ZH_SHIM_DEVICES": "4",
           "ZH_DEVICE_MODULE": str(BUILD / "lib" / "zhiheng" / "libzhiheng-shim.so"),
           "ZH_NCCL": str(BUILD / "tests" / "fake_nccl.so"), **more}
    done = subprocess.run(["mpirun", "-n", str(count), TOOL, *words], capture_output=True, text=True, timeout=120, env=env)
    return done.returncode, done.stderr


@pytest.mark.parametrize("kind", ["peer", "nccl"])
@pytest.mark.parametrize("count", [2, 3])
def test_every_collective_is_right(count, kind):
    code, said = ranks(count, "everything", kind, ZH_SHIM_SEED=str(count))
    assert code == 0, said


def test_large_sums_go_in_two_stages():
    code, said = ranks(3, "large", "peer")
    assert code == 0, said


@pytest.mark.parametrize("kind", ["peer", "nccl"])
def test_a_rank_that_does_not_come_is_named_in_time(kind):
    code, said = ranks(3, "late", kind, ZH_FAKE_NCCL_SECONDS="0.4")
    assert code == 0, said


@pytest.mark.parametrize("kind", ["peer", "nccl"])
def test_a_graph_that_lives_on_keeps_nobody_waiting(kind):
    code, said = ranks(3, "late-graph", kind, ZH_FAKE_NCCL_SECONDS="0.4")
    assert code == 0, said


@pytest.mark.parametrize("kind", ["peer", "nccl"])
def test_patience_is_with_what_does_not_go_on(kind):
    code, said = ranks(2, "steady", kind)
    assert code == 0, said


def test_a_rank_whose_device_is_lost_leaves_no_other_waiting():
    code, said = ranks(3, "lost", "peer")
    assert code == 0, said


@pytest.mark.parametrize("word", ["leave", "alone"])
def test_nobody_gives_back_what_others_still_have_open(word):
    code, said = ranks(3, word, "peer")
    assert code == 0, said


@pytest.mark.parametrize("kind", ["peer", "nccl"])
def test_two_ranks_of_one_gpu_are_refused(kind):
    code, said = ranks(2, "shared", kind)
    assert code == 0, said


@pytest.mark.parametrize("kind, words, more", [
    ("peer", "does not reach the memory", {"ZH_SHIM_PEERS": "0"}),
    ("nccl", "is not found", {"ZH_NCCL": "/nowhere/libnccl.so"}),
    ("nccl", "does not connect", {"ZH_FAKE_NCCL": "init"}),
])
def test_what_is_lacking_is_one_sentence(kind, words, more):
    code, said = ranks(3, "lacking", kind, words, **more)
    assert code == 0, said


def test_wrong_content_would_be_found():
    code, said = ranks(2, "everything", "nccl", ZH_FAKE_NCCL="wrong")
    assert code != 0 and "must be" in said
