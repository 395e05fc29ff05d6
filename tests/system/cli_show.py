"""show prints what a bundle holds: numbers scaled and rounded right, doubtful runs marked first."""
import json
import os
import subprocess

import pytest

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")

RUN = {"schema": "zhiheng.run/1", "id": "t-1", "suite": {"name": "t", "sm3": ""}, "version": {"kernels": "avx512"},
       "started_utc": "2026-02-28T23:58:30Z", "finished_utc": "2026-03-01T00:01:00Z", "ranks": 1, "threads": 2,
       "models": [], "steps": [], "criteria": [],
       "stability": {"stable": True, "limit": 0.1,
                     "drift": [{"metric": "memory/read_all_cores", "first": 1, "last": 0.98, "relative": -0.02}]},
       "valid": True}
LINE = {"step": "decode@m", "workload": "decode", "model": "m", "metric": "decode_rate", "value": 61.234,
        "unit": "token/s", "n": 5, "ci95": [60.1, 62.0], "more_is_better": True, "when": "main",
        "peak": {"name": "memory/read_all_cores", "value": 2.1e10, "unit": "B/s", "per_unit": 2.4e8, "fraction": 0.7},
        "samples": "samples/x.json", "valid": True}


def show(folder, *lines, run=RUN, words=()):
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "measurements.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return subprocess.run([ZHIHENG, "show", str(folder), *words], capture_output=True, text=True, timeout=60)


def cells(output, figure):
    return next(line for line in output.splitlines() if line.startswith(figure)).split()


def test_a_figure_with_interval_and_fraction(tmp_path):
    done = show(tmp_path, LINE)
    assert done.returncode == 0 and done.stderr == ""
    assert cells(done.stdout, "decode@m/decode_rate") == [
        "decode@m/decode_rate", "61.23", "60.10", "–", "62.00†", "token/s", "5", "70.0", "%", "of",
        "memory/read_all_cores"]
    assert "took 2 min 30 s" in done.stdout and "at most -2.0 %" in done.stdout
    assert "INVALID" not in done.stdout and "UNSTABLE" not in done.stdout
    assert "† fewer than six samples" in done.stdout
    enough = show(tmp_path, {**LINE, "n": 6}).stdout
    assert "62.00  " in enough and "†" not in enough


def test_a_figure_that_was_measured_once_has_no_interval(tmp_path):
    for ci95 in ([61.234, 61.234], None):
        out = show(tmp_path, {**LINE, "n": 1, "ci95": ci95, "peak": None}).stdout
        assert cells(out, "decode@m/decode_rate") == ["decode@m/decode_rate", "61.23", "token/s", "1"] and "†" not in out


@pytest.mark.parametrize("value, unit, shown", [
    (2.1e10, "B/s", ["21.00", "GB/s"]), (9.9994e8, "FLOP/s", ["999.9", "MFLOP/s"]), (1.5e12, "OP/s", ["1.500", "TOP/s"]),
    (12.0, "B/s", ["12.00", "B/s"]), (0.00123456, "s", ["1.235", "ms"]), (4.2e-7, "s", ["420.0", "ns"]),
    (3.0, "s", ["3.000", "s"]), (0.5e-9, "s", ["0.5000", "ns"]), (123456.7, "token/s", ["123457", "token/s"]),
    (0.0, "s", ["0.000", "s"]), (17.25, "", ["17.25"])])
def test_values_are_scaled_for_people(tmp_path, value, unit, shown):
    line = {**LINE, "value": value, "unit": unit, "ci95": None, "peak": None}
    assert cells(show(tmp_path, line).stdout, "decode@m/decode_rate")[1:-1] == shown


def test_an_interval_shares_the_scale_of_its_median(tmp_path):
    line = {**LINE, "value": 1.0e9, "unit": "B/s", "ci95": [9.5e8, 1.1e9], "peak": None}
    assert cells(show(tmp_path, line).stdout, "decode@m")[1:6] == ["1.000", "0.9500", "–", "1.100†", "GB/s"]


def test_an_invalid_run_says_so_before_any_figure(tmp_path):
    run = {**RUN, "valid": False, "steps": [{"step": "decode@m", "status": "failed", "reason": "row 17 is wrong"}]}
    out = show(tmp_path, LINE, run=run).stdout
    assert out.index("INVALID") < out.index("\nfigure") and out.index("row 17 is wrong") < out.index("\nfigure")


def test_an_invalid_figure_is_marked(tmp_path):
    assert "INVALID" in show(tmp_path, {**LINE, "valid": False}).stdout


def test_drift_is_marked_before_any_figure(tmp_path):
    stability = {"stable": False, "limit": 0.1, "drift": [{"metric": "memory/read_all_cores", "relative": -0.3}]}
    out = show(tmp_path, LINE, run={**RUN, "stability": stability}).stdout
    assert out.index("UNSTABLE") < out.index("\nfigure") and "memory/read_all_cores: -30.0 %" in out


def test_a_figure_beyond_its_peak_is_named(tmp_path):
    stability = {"stable": False, "limit": 0.1, "drift": [], "beyond_peak": ["decode/decode_rate"]}
    out = show(tmp_path, LINE, run={**RUN, "stability": stability}).stdout
    assert out.index("decode/decode_rate is faster") < out.index("\nfigure")


def test_closing_peaks_stay_out_of_the_table(tmp_path):
    assert "decode_rate" not in show(tmp_path, {**LINE, "when": "end"}).stdout


def test_json_is_the_files_in_one_document(tmp_path):
    done = show(tmp_path, LINE, words=["--json"])
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"run": RUN, "measurements": [LINE], "times": []}


# 64 tokens in 0.8 s, 12.5 ms each; by bandwidth 240 MB / 24 GB/s = 10 ms, by operations 0.3 GOP / 3 TOP/s = 0.1 ms.
LIMITS = [{"name": "memory/read_all_cores", "value": 2.4e10, "unit": "B/s", "per_unit": 2.4e8, "fraction": 0.8},
          {"name": "compute/int8_dot_all_cores", "value": 3e12, "unit": "OP/s", "per_unit": 3e8, "fraction": 0.008}]
STAGES = {"products": 0.68, "attention": 0.04, "rows": 0.016, "sums": 0.0, "waiting": 0.048, "choice": 0.008,
          "check": 0.004, "other": 0.004}
TIME = {"metric": "decode_rate", "seconds": 0.8, "work": 64, "stages": STAGES}
MEMORY = {"formula": {"weights": 2e8, "kv": 3e6, "activations": 4e6, "total": 207000000},
          "held": {"anonymous": 2.1e8, "file": 8e6, "total": 218000000, "peak": 4.1e8}, "bound": 77000000, "passed": True}


def run_with(**facts):
    return {**RUN, "steps": [{"step": "decode@m", "status": "done", "reason": "", "facts": facts}]}


def test_where_the_time_goes_is_told_with_its_floors(tmp_path):
    out = show(tmp_path, {**LINE, "limits": LIMITS}, run=run_with(time=TIME)).stdout
    assert "where the time goes  decode@m/decode_rate" in out
    lines = [line.split() for line in out[out.index("where the time"):].splitlines()]
    assert ["floor:", "memory/read_all_cores", "10.00", "ms", "80.0", "%", "240.0", "MB", "÷", "24.00", "GB/s"] in lines
    assert ["floor:", "compute/int8_dot_all_cores", "100.0", "µs", "0.8", "%", "300.0", "MOP", "÷", "3.000", "TOP/s"] in lines
    assert ["measured", "12.50", "ms", "100.0", "%"] in lines
    assert ["products", "10.62", "ms", "85.0", "%"] in lines or ["products", "10.63", "ms", "85.0", "%"] in lines
    assert ["threads", "waiting", "for", "each", "other", "750.0", "µs", "6.0", "%"] in lines
    assert "between ranks" not in out  # one rank has none


def test_where_the_time_goes_is_told_in_chinese(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(run_with(time=TIME, memory=MEMORY)))
    (tmp_path / "measurements.jsonl").write_text(json.dumps({**LINE, "limits": LIMITS}) + "\n")
    out = subprocess.run([ZHIHENG, "show", str(tmp_path)], capture_output=True, text=True, timeout=60,
                         env={**os.environ, "LC_ALL": "zh_CN.UTF-8"}).stdout
    assert "时间去向  decode@m/decode_rate（每个词元" in out and "矩阵乘" in out and "下限：memory/read_all_cores" in out
    assert "内存  decode@m：按公式 207.0 MB（权重 200.0 MB" in out


def test_times_for_programs_add_up(tmp_path):
    done = show(tmp_path, {**LINE, "limits": LIMITS}, run=run_with(time=TIME), words=["--json"])
    entry, = json.loads(done.stdout)["times"]
    assert abs(sum(stage["seconds"] for stage in entry["stages"]) - entry["seconds"]) < 1e-12
    assert [round(floor["share"], 6) for floor in entry["floors"]] == [0.8, 0.008]
    assert abs(entry["floors"][0]["seconds"] - 0.64) < 1e-12


def test_memory_is_told_and_marked_where_it_is_too_much(tmp_path):
    out = show(tmp_path, LINE, run=run_with(memory=MEMORY)).stdout
    assert "by formula 207.0 MB (weights 200.0 MB, keys and values 3.000 MB, activations 4.000 MB); held 218.0 MB" in out
    assert "MORE THAN" not in out
    assert "MORE THAN" in show(tmp_path, LINE, run=run_with(memory={**MEMORY, "passed": False})).stdout


@pytest.mark.parametrize("run_text, lines_text, word", [
    ("", "", "run.json"), ("[]", "", "run.json"), ("{}", "{\n", "measurements.jsonl"), ("{}", "[1]\n", "object"),
    ('{"id": 1, "id": 2}', "", "run.json"), ("{}", '{"value": 1}\nnull\n', "measurements.jsonl:2")])
def test_damaged_bundles_are_bad_input(tmp_path, run_text, lines_text, word):
    (tmp_path / "run.json").write_text(run_text)
    (tmp_path / "measurements.jsonl").write_text(lines_text)
    done = subprocess.run([ZHIHENG, "show", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and word in done.stderr and done.stdout == ""


def test_wrong_types_inside_do_not_break_the_table(tmp_path):
    line = {"step": 3, "metric": None, "value": "many", "unit": [], "n": "x", "ci95": [None, {}], "peak": {}}
    run = {"steps": {}, "stability": [], "criteria": 7, "version": "x", "suite": None, "started_utc": 5}
    done = show(tmp_path, line, run=run)
    assert done.returncode == 0 and "?" in done.stdout
    facts = {"time": {"metric": "decode_rate", "seconds": 1, "work": "x", "stages": []}, "memory": {"formula": 5, "held": None}}
    done = show(tmp_path, {**LINE, "limits": [3, {"value": 0}]}, run=run_with(**facts))
    assert done.returncode == 0 and "by formula ?" in done.stdout
    facts["time"]["work"] = 2
    assert show(tmp_path, {**LINE, "limits": [3, {"value": 0}]}, run=run_with(**facts)).returncode == 0


def test_a_folder_that_is_no_bundle_says_so(tmp_path):
    done = subprocess.run([ZHIHENG, "show", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "not a bundle" in done.stderr
