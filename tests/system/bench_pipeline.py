"""A model's layers over several ranks: the very bits that one rank computes, because nothing is added in another order;
each rank holds its layers alone. Layers over nodes and heads inside them: the bits of the heads divided on one node."""

import json
import pathlib
import signal
import subprocess

import pytest
from bench_faults import processes, workers
from bench_tensor_parallel import LACKING, T, check_agreement, compute, model_steps, test_engine_types, write_model
from harness import SOURCE, ZHIHENG, check_whole, kill, run, start, wait_for, write_suite

pytestmark = pytest.mark.skipif(LACKING, reason="no mpirun or no MPI module here: one rank is all there is")
SMOLLM2 = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
seed: 11
steps:
  - step: prefill
    workload: prefill
    deadline: 60 s
    repeats: 2
    parameters: {prompt: 12, batch: 2, parallel: WORD}
  - step: decode
    workload: decode
    deadline: 60 s
    repeats: 2
    parameters: {prompt: 8, batch: 2, tokens: 8, parallel: WORD}
  - step: perplexity
    workload: perplexity
    deadline: 60 s
    repeats: 1
    parameters: {tokens: 40, window: 20, parallel: WORD}
"""


@pytest.fixture
def five_layers(monkeypatch):
    """5 layers of 8 query heads over 2 key heads of 32 dimensions."""
    for name, value in {"LAYERS": 5, "HEADS": 8, "KV_HEADS": 2, "HEAD_DIM": 32}.items():
        monkeypatch.setattr(test_engine_types, name, value)


def check_same_bits(found, one):
    check_agreement(found)
    assert found[0]["tokens"] == one["tokens"] and found[0]["sums"] == one["sums"]
    assert found[0]["values"] == one["values"]
    assert sum(rank["layers"] for rank in found) == one["layers"]
    assert sum(rank["held_kv"] for rank in found) == one["held_kv"]
    assert {(rank["weights"], rank["flop"]) for rank in found} == {(one["weights"], one["flop"])}


@pytest.mark.parametrize("kind", [T.F32, T.BF16, T.Q8_0, T.Q4_0, T.Q6_K], ids=lambda kind: kind.name)
@pytest.mark.parametrize("tied", [False, True], ids=["head", "tied"])
def test_same_bits_as_one_rank(tmp_path, five_layers, kind, tied):
    model = tmp_path / "m.gguf"
    write_model(model, kind, tied=tied)
    for precision in ("exact", "fast"):
        one = compute(tmp_path, model, precision)[0]
        for ranks in (2, 3, 5):
            found = compute(tmp_path, model, precision, ranks, split="pipeline")
            check_same_bits(found, one)
            extra = sum(rank["held_weights"] for rank in found) - one["held_weights"]
            assert (extra > 0) == tied  # the first rank looks up what the last one multiplies


@pytest.mark.parametrize("ranks, nodes, threads", [(2, 1, 1), (3, 1, 1), (2, 2, 2), (3, 3, 1)])
def test_uneven_layers_of_a_standard_model(tmp_path, ranks, nodes, threads):
    """12 layers: the stage with the head has fewer; nodes make no difference; weights are the same for every split."""
    one = compute(tmp_path, "zh-0.1b", "fast", tokens=3, threads=2)[0]
    found = compute(tmp_path, "zh-0.1b", "fast", ranks, nodes, threads, tokens=3, split="pipeline")
    check_same_bits(found, one)
    assert {rank["nodes"] for rank in found} == {nodes}
    assert found[-1]["layers"] < 12 / ranks < found[0]["layers"]


def test_a_long_prompt_goes_in_parts(tmp_path):
    """300 tokens are three micro-batches, on which two stages work at the same time: the answers of one rank."""
    suite = write_suite(tmp_path, """suite: probe
summary: {zh: 试验, en: a probe}
seed: 5
models: [zh-0.1b]
steps:
  - step: prefill
    workload: prefill
    deadline: 120 s
    repeats: 1
    parameters: {prompt: 300, parallel: pipeline}
""")
    chains = []
    for ranks in (1, 2):
        out = tmp_path / f"bundle-{ranks}"
        done = run(suite, "--out", out, "--ranks", ranks, "--threads", 1)
        assert done.returncode == 0, done.stderr
        chains.append(model_steps(check_whole(out)[0])["prefill"]["facts"]["chain_sm3"])
    assert chains[0] == chains[1]


@pytest.mark.skipif(not SMOLLM2.exists(), reason="scripts/fetch-model has not been run")
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_published_model(tmp_path, ranks):
    one = compute(tmp_path, SMOLLM2, "fast", tokens=4)[0]
    found = compute(tmp_path, SMOLLM2, "fast", ranks, tokens=4, split="pipeline")
    check_same_bits(found, one)
    assert sum(rank["layers"] for rank in found) == 30


def test_nodes_with_divided_heads(tmp_path):
    """Two nodes of two ranks: the bits of two ranks that divide heads alone, because layers only move."""
    heads = compute(tmp_path, "zh-0.1b", "fast", 2, tokens=3)[0]
    found = compute(tmp_path, "zh-0.1b", "fast", 4, 2, tokens=3, split="nodes")
    check_agreement(found)
    assert found[0]["sums"] == heads["sums"] and found[0]["values"] == heads["values"]
    assert [rank["layers"] for rank in found] == [8, 8, 4, 4]
    assert {rank["held_weights"] < heads["held_weights"] for rank in found} == {True}


@pytest.mark.parametrize("split, ranks, nodes, sentence", [
    ("pipeline", 3, 1, "2 layers cannot be divided among 3 stages; take 2 or fewer"),
    ("nodes", 3, 2, "wants the same number of ranks on each node"),
    ("nodes", 4, 1, "6 query heads cannot be divided evenly among 4 ranks"),
], ids=["layers", "nodes", "heads"])
def test_what_cannot_be_divided_is_refused(tmp_path, split, ranks, nodes, sentence):
    model = tmp_path / "m.gguf"
    write_model(model, T.F32)
    refused = compute(tmp_path, model, "exact", ranks, nodes, split=split)
    assert isinstance(refused, str) and sentence in refused


def measure(tmp_path, *words, ranks=2, parallel="pipeline"):
    model = tmp_path / "m.gguf"
    write_model(model, T.Q8_0)
    out = tmp_path / f"bundle-{ranks}-{parallel}"
    done = run(write_suite(tmp_path, SUITE.replace("WORD", parallel)), "--model", model, "--out", out, "--ranks", ranks,
               "--threads", 1, *words)
    return done, out


def test_measured_as_one_model(tmp_path, five_layers):
    """The chains are those of one rank, and every operator was watched on the rank that has it."""
    chains = []
    for ranks in (1, 3):
        done, out = measure(tmp_path, ranks=ranks)
        assert done.returncode == 0, done.stderr
        run_json, lines = check_whole(out)
        steps = model_steps(run_json)
        chains.append({name: step["facts"]["chain_sm3"] for name, step in steps.items()})
        operators = {check["operator"]: check for check in steps["decode"]["checks"] if "operator" in check}
        assert {"embedding", "q", "attention", "down", "output norm", "head"} <= set(operators)
        assert all(check["passed"] and check["samples"] > 0 for check in operators.values())
        assert {line["metric"] for line in lines} >= {"prefill_rate", "decode_rate", "perplexity"}
    assert chains[0] == chains[1]
    for step in steps.values():
        parts = step["facts"]["parts"]
        assert [part["rank"] for part in parts] == [0, 1, 2] and step["facts"]["ranks_of_one_model"] == 3
        assert parts[0]["first_layer"] == 0 and sum(part["layers"] for part in parts) == 5
        assert parts[1]["first_layer"] == parts[0]["layers"]
        assert len({part["weights_sm3"] for part in parts}) == 3
        assert [check["passed"] for check in step["checks"] if check["check"] == "ranks"] == [True]


@pytest.mark.parametrize("fault", ["weight", "token", "activation"])
def test_a_fault_on_one_rank_is_caught(tmp_path, five_layers, fault):
    done, out = measure(tmp_path, "--inject", f"fault={fault}")
    assert done.returncode == 1, done.stderr
    run_json, lines = check_whole(out)
    steps = model_steps(run_json)
    assert {step["status"] for step in steps.values()} == {"failed"}, {n: s["reason"] for n, s in steps.items()}
    assert not [line for line in lines if line["workload"] in steps]


def test_a_run_of_too_few_layers_is_refused(tmp_path):
    done, out = measure(tmp_path, ranks=3)
    assert done.returncode == 2 and not out.exists()
    assert "2 layers cannot be divided among 3 stages" in done.stderr


def test_certificates_are_those_of_one_rank(tmp_path, five_layers):
    """The bits of every operator of every followed token, whichever rank computed them."""
    shown = []
    for ranks in (1, 2, 3):
        done, out = measure(tmp_path, "--nonce", "three words here", ranks=ranks)
        assert done.returncode == 0, done.stderr
        verified = subprocess.run([ZHIHENG, "verify", out, "--recompute"], capture_output=True, text=True, timeout=60)
        assert verified.returncode == 0, verified.stderr
        steps = {}
        for path in (out / "certificates").iterdir():
            lines = path.read_text().splitlines()
            assert json.loads(lines[0])["ranks"] == 1  # no product is divided
            steps[path.name] = sorted(lines[1:])
        shown.append(steps)
    assert len(shown[0]) == 2 and shown[0] == shown[1] == shown[2]


def test_a_killed_rank_ends_the_others(tmp_path):
    suite = write_suite(tmp_path, """suite: probe
summary: {zh: 试验, en: a probe}
models: [zh-0.1b]
steps:
  - step: decode
    workload: decode
    deadline: 120 s
    repeats: 1000
    parameters: {prompt: 4, tokens: 60, parallel: pipeline}
""")
    out, staging = tmp_path / "bundle", tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", out, "--ranks", 2, "--threads", 1)

    def computing():
        """Ranks that have used a second of processor time: past starting, into the passes."""
        found = workers(staging, guarded=True)
        try:
            used = [sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
                    for pid in found]
        except OSError:
            return []
        return found if len(found) == 2 and min(used) > 100 else []

    kill(wait_for(computing, 60, "ranks that compute")[-1], signal.SIGKILL)
    _, stderr = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 1, stderr
    assert not processes(str(staging))
    run_json, lines = check_whole(out)
    step = model_steps(run_json)["decode"]
    assert step["status"] == "lost" and "ended by signal 9" in step["reason"]
    assert not [line for line in lines if line["workload"] == "decode"]
