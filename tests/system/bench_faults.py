"""Ranks that die, hang or lie: the supervisor records what happened, gives no number, and goes on."""
import json
import os
import pathlib
import re
import shutil
import signal

import jsonschema
import pytest
from harness import SOURCE, check_whole, kill, processes, run, start, wait_for, write_suite

MODEL_SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
models: [zh-0.1b]
steps:
  - step: prefill
    workload: prefill
    repeats: 2
    parameters: {prompt: 16}
  - step: decode
    workload: decode
    repeats: 2
    parameters: {prompt: 8, tokens: 8}
  - step: liveness
    workload: liveness
    repeats: 1
    parameters: {probes: 20}
"""


def rank_parents(staging):
    """{pid: its parent} of every zhiheng-rank."""
    found = [pid for pid, line in processes(str(staging)).items() if "zhiheng-rank" in line.split(" ")[0]]
    return {pid: int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) for pid in found}


def workers(staging, guarded=False):
    """Ranks that compute: under a launcher, those whose parent is a rank, too."""
    try:
        parents = rank_parents(staging)
    except OSError:  # one ended while we looked
        return []
    return sorted(pid for pid in parents if (parents[pid] in parents if guarded else pid not in parents.values()))


def slow_step(run_json):
    return next(step for step in run_json["steps"] if step["step"] == "slow")


def kill_a_rank(tmp_path, words, number, guard=False):
    suite = write_suite(tmp_path)
    out, staging = tmp_path / "bundle", tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", out, *words)
    wait_for(lambda: (staging / "work" / "001" / "step.json").exists(), what="the slow step")
    ranks = 2 if "--ranks" in words else 1
    found = wait_for(lambda: len(pids := workers(staging / "work" / "001", ranks > 1)) == ranks and pids,
                     what="the ranks")
    if ranks > 1:  # Open MPI's mpirun sometimes hangs over ranks that die while MPI starts
        wait_for(lambda: all("mca_pml" in pathlib.Path(f"/proc/{pid}/maps").read_text() for pid in found), what="MPI")
    kill(rank_parents(staging)[found[-1]] if guard else found[-1], number)
    _, stderr = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 1, stderr
    assert not processes(str(staging))
    return check_whole(out), stderr


@pytest.mark.parametrize("words", [[], ["--ranks", "2"]], ids=["direct", "mpirun"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_rank_is_recorded_as_such(tmp_path, words, number):
    (run_json, lines), stderr = kill_a_rank(tmp_path, words, number)
    step = slow_step(run_json)
    assert step["status"] == "lost" and f"ended by signal {int(number)}" in step["reason"]
    assert int(number) in [rank["signal"] for rank in step["ranks"]]
    assert not run_json["valid"] and "lost" in stderr
    assert [line for line in lines if line["step"] == "slow"] == []
    assert [line for line in lines if line["step"] == "quick"] != []


def test_rank_killed_with_its_guard_is_named(tmp_path):
    """Nobody is left to write down its end; the others, whom the launcher then ends, are not the cause."""
    (run_json, _), _ = kill_a_rank(tmp_path, ["--ranks", "2"], signal.SIGKILL, guard=True)
    assert "ended by signal 9" in slow_step(run_json)["reason"]


def test_killed_launcher_is_named(tmp_path):
    suite = write_suite(tmp_path)
    out, staging = tmp_path / "bundle", tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", out, "--ranks", "2")
    step = staging / "work" / "001"
    wait_for(lambda: (step / "step.json").exists() and len(workers(step, guarded=True)) == 2, what="the ranks")
    kill(next(pid for pid, line in processes(str(step)).items() if line.startswith("mpirun ")))
    assert supervisor.wait(30) == 1
    wait_for(lambda: not processes(str(staging)), 10, "the end of all ranks")
    assert slow_step(check_whole(out)[0])["reason"].startswith("mpirun, which had started the ranks, was ended by")


def test_mpi_catches_no_signal_of_a_dying_rank(tmp_path):
    """Its handlers print a trace and may hang; a rank must end of the signal that it got."""
    suite = write_suite(tmp_path)
    out, staging = tmp_path / "bundle", tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", out, "--ranks", "2")
    step = staging / "work" / "001"
    wait_for(lambda: (step / "step.json").exists() and len(workers(step, guarded=True)) == 2, what="the ranks")
    worker = workers(step, guarded=True)[0]
    wait_for(lambda: "mca_pml" in pathlib.Path(f"/proc/{worker}/maps").read_text(), what="MPI in a rank")
    caught = int(re.search(r"SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{worker}/status").read_text())[1], 16)
    assert not caught & (1 << (signal.SIGSEGV - 1)) and not caught & (1 << (signal.SIGFPE - 1))
    assert supervisor.wait(60) == 0


@pytest.mark.parametrize("words", [[], ["--ranks", "2"]], ids=["direct", "mpirun"])
def test_model_cut_short_while_in_use(tmp_path, words):
    """A mapped file that loses its end raises SIGBUS: one sentence, and a run that can go on once it is back."""
    whole = SOURCE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = tmp_path / "m.gguf"
    shutil.copyfile(whole, model)
    suite = write_suite(tmp_path, MODEL_SUITE.replace("repeats: 2", "repeats: 30"))
    out, staging = tmp_path / "bundle", tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", out, "--model", model, *words)
    wait_for(lambda: any("m.gguf" in pathlib.Path(f"/proc/{pid}/maps").read_text() for pid in workers(staging, bool(words))),
             seconds=120, what="a rank that has mapped the model")  # after the audit, which looks at all weights
    with open(model, "r+b") as file:
        file.truncate(1 << 20)
    stdout, stderr = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 3 and stdout == ""
    assert "became shorter" in stderr and f"--resume {staging}" in stderr and not processes(str(staging))
    refused = run("--resume", staging)
    assert refused.returncode in (1, 2) and "m.gguf" in refused.stderr
    shutil.copyfile(whole, model)
    assert run("--resume", staging, timeout=300).returncode == 0
    assert check_whole(out)[0]["valid"]


@pytest.mark.parametrize("words", [[], ["--ranks", "2"]], ids=["direct", "mpirun"])
def test_deadline(tmp_path, words):
    suite = write_suite(tmp_path, repeats=1000)
    out = tmp_path / "bundle"
    late = run(suite, "--out", out, "--set", "slow.deadline=1.5 s", *words)
    run_json, lines = check_whole(out)
    assert late.returncode == 1
    assert slow_step(run_json)["status"] == "lost" and "deadline of 1.5 s" in slow_step(run_json)["reason"]
    assert slow_step(run_json)["wall_s"] < 12
    assert not processes(str(out)) and all(line["step"] != "slow" for line in lines)


@pytest.mark.parametrize("words", [[], ["--ranks", "2"]], ids=["direct", "mpirun"])
def test_stopped_rank_meets_the_deadline(tmp_path, words):
    suite = write_suite(tmp_path, repeats=200)
    out, staging = tmp_path / "bundle", tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", out, "--set", "slow.deadline=4 s", *words)
    wait_for(lambda: (staging / "work" / "001" / "step.json").exists(), what="the slow step")
    kill(wait_for(lambda: workers(staging / "work" / "001"), what="a rank")[-1], signal.SIGSTOP)
    assert supervisor.wait(60) == 1
    assert slow_step(check_whole(out)[0])["status"] == "lost"
    assert not processes(str(staging))


@pytest.mark.parametrize("fault", ["weight", "token", "activation", "clock"])
def test_every_injected_fault_is_caught(tmp_path, fault):
    suite = write_suite(tmp_path, MODEL_SUITE)
    out = tmp_path / "bundle"
    done = run(suite, "--out", out, "--inject", f"fault={fault}", "--json")
    run_json, lines = check_whole(out)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["error"]["status"] == "ZH_ERR_CHECK"
    failed = [step for step in run_json["steps"] if step["status"] == "failed"]
    assert failed and all(step["reason"] for step in failed)
    assert {step["step"] for step in failed} >= {"decode@zh-0.1b", "liveness@zh-0.1b"}
    names = {step["step"] for step in failed}
    assert not run_json["valid"] and run_json["fault"] == fault
    assert not [line for line in lines if line["step"] in names]


def test_fault_without_a_place_to_go_is_refused(tmp_path):
    suite = write_suite(tmp_path)
    refused = run(suite, "--out", tmp_path / "bundle", "--inject", "fault=weight")
    assert refused.returncode == 2 and "no step with a model" in refused.stderr
    nearly = run(suite, "--out", tmp_path / "bundle", "--inject", "fault=clok")
    assert nearly.returncode == 2 and "did you mean 'clock'" in nearly.stderr
    assert not (tmp_path / "bundle.partial").exists()


def test_missed_criterion_keeps_the_figure_and_fails(tmp_path):
    text = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: "null"
    workload: "null"
    repeats: 5
    criteria:
      - {metric: clock_read, at_most: 1 fs}
"""
    suite = write_suite(tmp_path, text)
    refused = run(suite, "--out", tmp_path / "bundle")
    assert refused.returncode == 2 and "1 fs" in refused.stderr and "^" in refused.stderr
    suite.write_text(text.replace("1 fs", "0.001 ns"))
    missed = run(suite, "--out", tmp_path / "bundle")
    run_json, lines = check_whole(tmp_path / "bundle")
    assert missed.returncode == 1 and not run_json["valid"]
    assert run_json["steps"][0]["status"] == "failed" and "clock_read is" in run_json["steps"][0]["reason"]
    assert run_json["criteria"][0]["passed"] is False and len(lines) == 2
    suite.write_text(text.replace("1 fs", "1 ms"))
    met = run(suite, "--out", tmp_path / "met")
    assert met.returncode == 0 and load_valid(tmp_path / "met")


def load_valid(bundle):
    run_json, _ = check_whole(bundle)
    return run_json["valid"] and run_json["criteria"][0]["passed"]


def test_mpi_with_two_ranks(tmp_path):
    out = tmp_path / "bundle"
    done = run("mpi", "--out", out, "--set", "thin=100", "--set", "mpi.repeats=2")
    assert done.returncode == 0, done.stderr
    run_json, lines = check_whole(out)
    step = next(step for step in run_json["steps"] if step["step"] == "mpi")
    assert [rank["exit"] for rank in step["ranks"]] == [0, 0] and "Open MPI" in run_json["version"]["mpi"]
    cpus = [set(place["cpus"]) for place in step["placement"]]
    assert len(cpus) == 2
    figures = {line["metric"]: line for line in lines if line["step"] == "mpi"}
    assert figures["latency_8B"]["unit"] == "s" and figures["bandwidth_65536B"]["unit"] == "B/s"
    algbw, busbw = figures["allreduce_algbw_1048576B"], figures["allreduce_busbw_1048576B"]
    for key in ("value", "ci95", "n"):  # 2 (p - 1) / p is 1 for two ranks, and both speak of the same repeats
        assert busbw[key] == algbw[key]


def test_one_rank_is_too_few_for_mpi(tmp_path):
    refused = run("mpi", "--ranks", "1", "--out", tmp_path / "bundle")
    assert refused.returncode == 2 and "needs at least 2 ranks" in refused.stderr


def test_ranks_that_do_not_know_each_other_are_refused(tmp_path):
    """A launcher that starts strangers (srun without pmix does): the size of the world is asserted."""
    fake = tmp_path / "mpirun"
    fake.write_text('#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do case $1 in -n|--bind-to) shift;; esac; shift; done\n'
                    '"$@" & "$@"; code=$?; wait; exit $code\n')
    fake.chmod(0o755)
    suite = write_suite(tmp_path)
    alone = run(suite, "--ranks", "2", "--out", tmp_path / "bundle",
                env=dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}"))
    assert alone.returncode == 3
    assert "the plan has 2 ranks, but this job has 1" in alone.stderr


def test_bundles_follow_their_schemas(tmp_path):
    suite = write_suite(tmp_path, MODEL_SUITE.replace("steps:", """peaks: [memory]
steps:
  - step: memory
    workload: memory
    repeats: 2
    parameters: {array_mib: 4}
  - step: gemm
    workload: gemm
    repeats: 2
    parameters: {shapes: [33x17x65]}
    criteria:
      - {metric: fp32_33x17x65, at_least: 1 kFLOP/s}""", 1))
    out = tmp_path / "bundle"
    done = run(suite, "--out", out)
    assert done.returncode == 0, done.stderr
    run_json, lines = check_whole(out)

    def schema(name):
        return jsonschema.Draft202012Validator(json.loads((SOURCE / "docs/schemas" / f"{name}.schema.json").read_text()))

    schema("run").validate(run_json)
    for line in lines:
        schema("measurement").validate(line)
        samples = json.loads((out / line["samples"]).read_text())
        schema("samples").validate(samples)
        assert len(samples["samples"]) == line["n"]
        if samples["kind"] == "rate":
            values = sorted(samples["work"] / (ns * 1e-9) for ns in samples["samples"])
            assert line["value"] == pytest.approx((values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2)
    for line in (out / "journal.jsonl").read_text().splitlines():
        schema("journal").validate(json.loads(line))
    audits = json.loads((out / "audit.json").read_text())["models"]
    assert [m["sm3"] for m in audits] == [m["sm3"] for m in run_json["models"]]
    assert {line["when"] for line in lines if line["step"] == "memory"} == {"main", "end"}
    assert run_json["harness"]["per_repeat_s"] > 0
    peaks = [line["peak"] for line in lines if line["peak"]]
    assert peaks and all(p["fraction"] > 0 for p in peaks)
