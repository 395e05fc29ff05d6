"""What a person meets at the command line: help, mistakes, exit statuses, a closed or full standard output."""
import json
import os
import pty
import re
import subprocess

import pytest

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
COMMANDS = ["doctor", "list", "run", "show", "audit", "model", "data", "eval", "contamination", "stats", "rank", "compare", "registry", "policy", "checklist",
            "evaluate", "report", "verify"]


def zhiheng(*words, **more):
    return subprocess.run([ZHIHENG, *words], capture_output=True, text=True, timeout=60, **more)


def test_help_lists_every_command_with_one_line():
    done = zhiheng("help")
    assert done.returncode == 0 and done.stderr == ""
    listed = re.findall(r"^  ([a-z]+) {2,}\S.*$", done.stdout, re.M)
    assert listed == COMMANDS
    assert zhiheng("--help").stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(command):
    done = zhiheng(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert f"Usage: zhiheng {command}" in done.stdout
    assert re.search(rf"^ +zhiheng {command} ", done.stdout, re.M) or (
        command == "doctor" and re.search(r"^ +zhiheng doctor", done.stdout, re.M)), "no example"
    assert "Example" in done.stdout
    assert zhiheng("help", command).stdout == done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_options_are_bad_usage(command):
    done = zhiheng(command, "--no-such-option")
    assert done.returncode == 2 and done.stdout == ""
    assert "--no-such-option" in done.stderr and f"zhiheng {command}" in done.stderr


@pytest.mark.parametrize("words, meant", [
    (["run", "null", "--modle", "x"], "--model"), (["model", "logits", "m", "--tokns=1"], "--tokens"),
    (["run", "--set", "--jsn=1", "--lancher", "mpirun"], "--launcher"), (["show", "--jsn"], "--json")])
def test_a_mistyped_option_gets_the_nearest(words, meant):
    done = zhiheng(*words)
    assert done.returncode == 2 and done.stdout == "" and f"did you mean '{meant}'?" in done.stderr


def test_values_that_look_like_options_and_beginnings_of_options_are_left_alone():
    assert "unknown option" not in zhiheng("run", "--set", "--x=1", "no-suite").stderr
    assert "unknown option" not in zhiheng("run", "-js", "--x=1", "no-suite").stderr
    assert zhiheng("run", "--hel").returncode == 0


@pytest.mark.parametrize("words", [["show"], ["list"], ["run", "null", "--modle"], ["run", "null", "--ranks", "0"],
                                   ["show", "a", "b"], ["docter"], ["model", "logits"], ["run", "x", "--out"]])
def test_bad_usage_is_one_document_for_programs(words):
    done = zhiheng(*words, "--json") if words[-1] != "--out" else zhiheng(words[0], "--json", *words[1:])
    assert done.returncode == 2 and done.stderr.strip()
    assert json.loads(done.stdout)["error"]["status"] == "ZH_ERR_USAGE"


@pytest.mark.parametrize("words, says", [
    (["compare"], "name the bundles, folders of evaluations or tables of scores to compare"),
    (["compare", "a", "--lang", "fr"], "--lang fr: expected zh or en"),
    (["compare", "a", "--metric"], "option '--metric' needs a value"),
    (["data", "check", "-o"], "option '-o' needs a value"),
    (["run", "null", "--modle", "x"], "unknown option '--modle'; did you mean '--model'?"),
    (["show", "a", "b"], "but got 'b' as well"), (["docter"], "unknown command 'docter'; did you mean 'doctor'?"),
    (["run", "null", "--threads", "0x"], "--threads 0x: expected a whole number"),
    (["show", "--json=1"], "")])
def test_the_document_of_bad_usage_has_the_sentence(words, says):
    done = zhiheng(words[0], "--json", *words[1:])
    message = json.loads(done.stdout)["error"]["message"]
    assert done.returncode == 2 and says in message and says in done.stderr
    assert "\n" not in message and "--help" not in message and not message.startswith("zhiheng")


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "doctor"])
def test_a_command_without_its_argument_is_bad_usage(command):
    done = zhiheng(command)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.strip()


def test_version():
    done = zhiheng("--version")
    assert done.returncode == 0 and re.fullmatch(r"zhiheng \d+\.\d+\.\d+\n", done.stdout)


def test_no_command_is_bad_usage_and_shows_help():
    done = zhiheng()
    assert done.returncode == 2 and done.stdout == "" and "doctor" in done.stderr


@pytest.mark.parametrize("words, meant", [(["docter"], "doctor"), (["evalute", "x"], "evaluate"),
                                          (["help", "verfy"], "verify"), (["list", "suits"], "suites")])
def test_a_mistyped_word_gets_the_nearest(words, meant):
    done = zhiheng(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert f"did you mean '{meant}'?" in done.stderr


def test_a_word_near_nothing_gets_no_guess():
    done = zhiheng("xylophone")
    assert done.returncode == 2 and "did you mean" not in done.stderr and "xylophone" in done.stderr


@pytest.mark.parametrize("kind", ["suites", "workloads", "backends", "models", "policies", "tasks"])
def test_lists_for_people_and_for_programs_name_the_same(kind):
    people = zhiheng("list", kind)
    assert people.returncode == 0 and people.stderr == ""
    document = json.loads(zhiheng("list", kind, "--json").stdout)
    assert list(document) == [kind] and document[kind]
    names = [line.split()[0] for line in people.stdout.splitlines()]
    assert names == [item["name"] for item in document[kind]]
    assert all(item["summary"].strip() for item in document[kind])


def test_backends_say_that_cuda_is_not_here():
    backends = {b["name"]: b for b in json.loads(zhiheng("list", "backends", "--json").stdout)["backends"]}
    assert backends["cpu"]["present"] is True
    assert backends["cuda"]["present"] is False and "not here" in backends["cuda"]["summary"]


def test_the_chosen_kernels_follow_the_environment():
    document = json.loads(zhiheng("list", "backends", "--json", env={**os.environ, "ZH_CPU": "ref"}).stdout)
    assert document["backends"][0]["kernels"] == "ref"


def test_kernels_that_do_not_exist_are_refused_by_name():
    done = zhiheng("list", "backends", env={**os.environ, "ZH_CPU": "avx521"})
    assert done.returncode == 2 and done.stdout == ""
    assert "ZH_CPU" in done.stderr and "'avx521'; did you mean 'avx512'?" in done.stderr and "portable" in done.stderr


@pytest.mark.parametrize("words", [["show", "/nonexistent", "--json"], ["list", "nothing", "--json"],
                                   ["audit", "/nonexistent.gguf", "--json"], ["verify", "/nonexistent", "--json"]])
def test_errors_with_json_are_one_document(words):
    done = zhiheng(*words)
    assert done.returncode == 2 and done.stderr.startswith("zhiheng: ")
    error = json.loads(done.stdout)["error"]
    assert error["status"].startswith("ZH_ERR_") and error["message"] in done.stderr


@pytest.mark.parametrize("words", [["help"], ["--help"], ["--version"], ["doctor"], ["doctor", "--json"],
                                   ["list", "workloads"], ["run", "--help"]])
def test_a_full_disk_is_said_and_is_status_3(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([ZHIHENG, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 3
    assert "standard output" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["help"], ["doctor", "--json"], ["list", "workloads", "--json"]])
def test_a_closed_pipe_is_said_and_is_status_3(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([ZHIHENG, *words], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert done.returncode == 3 and "standard output" in done.stderr


def test_a_standard_output_that_was_never_open_is_status_3():
    done = subprocess.run(["sh", "-c", f"exec '{ZHIHENG}' list backends >&-"], stderr=subprocess.PIPE, text=True,
                          timeout=60)
    assert done.returncode == 3 and "standard output" in done.stderr


def terminal_output(words, **environment):
    """What a command writes when standard output is a terminal."""
    leader, follower = pty.openpty()
    child = subprocess.Popen([ZHIHENG, *words], stdout=follower, stderr=subprocess.DEVNULL,
                             env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm",
                                  **environment})
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    assert child.wait(timeout=60) == 0
    return seen


def test_colours_on_a_terminal_only_and_never_with_no_color(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"id": "x", "valid": False, "steps": [], "stability": {}}))
    (tmp_path / "measurements.jsonl").write_text("")
    words = ["show", str(tmp_path)]
    assert b"\033[" in terminal_output(words)
    assert b"\033[" not in terminal_output(words, NO_COLOR="1")
    assert "\033[" not in zhiheng(*words).stdout
