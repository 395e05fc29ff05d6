"""However a run is interrupted, its bundle is either whole or can be resumed, and no process stays behind."""
import resource
import shutil
import signal

import pytest
from harness import (check_whole, journal, kill, load, processes, run, start, steps_in, wait_for, write_suite)


def in_slow_step(folder):
    return lambda: folder.exists() and (folder / "journal.jsonl").exists() and ("quick", "main") in steps_in(folder) \
        and (folder / "work" / "001" / "step.json").exists()


def resume(folder):
    done = run("--resume", folder)
    assert done.returncode == 0, done.stderr
    return done


def begin(tmp_path, *words, repeats=40):
    suite = write_suite(tmp_path, repeats=repeats)
    out = tmp_path / "bundle"
    supervisor = start(suite, "--out", out, *words)
    staging = tmp_path / "bundle.partial"
    wait_for(in_slow_step(staging), what="the slow step")
    wait_for(lambda: processes(str(staging)), what="a rank")
    return supervisor, out, staging


@pytest.mark.parametrize("words", [[], ["--ranks", "2"]], ids=["direct", "mpirun"])
def test_killed_supervisor_leaves_no_process_and_a_resumable_run(tmp_path, words):
    supervisor, out, staging = begin(tmp_path, *words)
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not processes(str(staging)), 10, "the end of all ranks")
    before = steps_in(staging)
    assert before == [("quick", "main")]
    # What a death in the middle of writing a file leaves does not reach the bundle.
    torn = staging / "samples" / "quick.json.123-0.tmp"
    torn.parent.mkdir(exist_ok=True)
    torn.write_text("{")
    resume(staging)
    check_whole(out)
    assert not list(out.rglob("*.tmp"))
    # Only what was missing was done: the finished step has one line, not two.
    assert steps_in(out) == [("quick", "main"), ("slow", "main")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [[], ["--ranks", "2"]], ids=["direct", "mpirun"])
def test_signal_ends_the_run_with_the_command_to_resume(tmp_path, number, words):
    supervisor, out, staging = begin(tmp_path, *words)
    supervisor.send_signal(number)
    stdout, stderr = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 3, stderr
    assert f"zhiheng run --resume {staging}" in stderr
    assert stdout == "" and not processes(str(staging))
    assert journal(staging)[-1]["event"] == "stopped"
    resume(staging)
    check_whole(out)


def test_killed_at_any_moment(tmp_path):
    suite = write_suite(tmp_path, repeats=2)
    for attempt in range(12):
        out, staging = tmp_path / f"b{attempt}", tmp_path / f"b{attempt}.partial"
        supervisor = start(suite, "--out", out)
        try:
            supervisor.wait(0.01 * 1.6 ** attempt)
        except Exception:
            supervisor.kill()
            supervisor.wait()
        if not out.exists() and (staging / "journal.jsonl").exists():
            resume(staging)
        if out.exists():
            check_whole(out, killed=True)
        else:  # killed before there was anything to resume: only a folder that says so
            refused = run("--resume", staging)
            assert refused.returncode == 2, refused.stderr


def test_another_plan_is_refused(tmp_path):
    supervisor, out, staging = begin(tmp_path)
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not processes(str(staging)), 10)
    other = run(tmp_path / "probe.yaml", "--resume", staging, "--set", "slow.milliseconds=51")
    assert other.returncode == 2
    assert "another plan" in other.stderr and "milliseconds was 50 and is now 51" in other.stderr
    same = run(tmp_path / "probe.yaml", "--resume", staging)
    assert same.returncode == 0, same.stderr
    check_whole(out)


def test_two_supervisors_do_not_share_a_folder(tmp_path):
    supervisor, out, staging = begin(tmp_path)
    second = run("--resume", staging)
    assert second.returncode == 2 and "another run" in second.stderr
    assert supervisor.wait(60) == 0
    check_whole(out)


def test_cut_journal_is_mended(tmp_path):
    supervisor, out, staging = begin(tmp_path)
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not processes(str(staging)), 10)
    with open(staging / "journal.jsonl", "a") as file:
        file.write('{"utc":"2026-')
    resume(staging)
    check_whole(out)


def test_changed_outcome_is_measured_again(tmp_path):
    supervisor, out, staging = begin(tmp_path)
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not processes(str(staging)), 10)
    outcome = staging / "work" / "000" / "outcome.json"
    outcome.write_text(outcome.read_text().replace('"n": 20', '"n": 21'))
    resume(staging)
    assert steps_in(out) == [("quick", "main"), ("quick", "main"), ("slow", "main")]
    assert all(line["n"] == 20 for line in load(out)[1] if line["step"] == "quick")


def test_full_disk_is_one_sentence_and_resumable(tmp_path):
    suite = write_suite(tmp_path, repeats=2)
    out, staging = tmp_path / "bundle", tmp_path / "bundle.partial"

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))

    # 20000 samples take more than the limit, the rest takes less.
    stopped = run(suite, "--out", out, "--set", "quick.repeats=20000", preexec_fn=small_files)
    assert stopped.returncode == 3, stopped.stderr
    assert "too large" in stopped.stderr.lower() and f"--resume {staging}" in stopped.stderr
    assert not processes(str(staging)) and not out.exists()
    resume(staging)
    run_json, lines = check_whole(out)
    assert run_json["valid"] and {line["n"] for line in lines if line["step"] == "quick"} == {20000}


def test_no_room_at_all_leaves_nothing(tmp_path):
    suite = write_suite(tmp_path)

    def tiny_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    stopped = run(suite, "--out", tmp_path / "bundle", preexec_fn=tiny_files)
    assert stopped.returncode == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["probe.yaml"]


def test_unwritable_folder_and_existing_bundle(tmp_path):
    suite = write_suite(tmp_path, repeats=1)
    (tmp_path / "file").write_text("")
    assert run(suite, "--out", tmp_path / "file" / "bundle").returncode in (2, 3)
    assert run(suite, "--out", tmp_path / "bundle").returncode == 0
    again = run(suite, "--out", tmp_path / "bundle")
    assert again.returncode == 2 and "already there" in again.stderr


def test_folder_that_moved_can_be_resumed(tmp_path):
    supervisor, out, staging = begin(tmp_path)
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not processes(str(staging)), 10)
    (tmp_path / "elsewhere").mkdir()
    shutil.move(staging, tmp_path / "elsewhere")
    resume(tmp_path / "elsewhere" / "bundle.partial")
    check_whole(tmp_path / "elsewhere" / "bundle")
