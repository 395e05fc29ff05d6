"""Runs `zhiheng audit MODEL --json` over the corpus and says what was found, by kind and strength.

  python tests/cheaters/measure.py                      the whole corpus, a table on standard output
  python tests/cheaters/measure.py --only 'low rank'    cases whose name holds the text
  python tests/cheaters/measure.py --docs --results     also writes docs/audit.md's table and results/corpus.json
  python tests/cheaters/measure.py --docs --recorded    writes the table again from results/corpus.json
  python tests/cheaters/measure.py --rates --docs       error rates of the tests for untrained weights, as a table
  python tests/cheaters/measure.py --keep FOLDER --only …  keeps the models, to look at one
"""
import argparse
import concurrent.futures
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each case has a process of its own
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import cheats  # noqa: E402
import honest  # noqa: E402
import rates  # noqa: E402
import table  # noqa: E402
import thresholds as limit  # noqa: E402
import weights  # noqa: E402

BINARY = pathlib.Path(os.environ.get("ZH_BINARY_DIR", weights.SOURCE / "build"))
HERE = pathlib.Path(__file__).parent
PLACE = re.compile(r"(?:blk|layers?|block)s?[ ._]?(\d+)")
SPAN = re.compile(r"(?:blk|layers?|block)s?[ ._]?(\d+) ?(?:-|–|…|\.\.|to) ?(?:blk|layers?)?[ ._]?(\d+)")
EXPERT = re.compile(r"experts?[ ._#]?\[?(\d+)|_exps\.weight\[(\d+)\]")
OUTSIDE = re.compile(r"embd|embed|vocab|output\.weight|lm_head")


def audit(path, binary=BINARY, timeout=300):
    began = time.monotonic()
    program = pathlib.Path(binary) / "bin" / "zhiheng"
    done = subprocess.run([program, "audit", path, "--json"], capture_output=True, text=True, timeout=timeout)
    seconds = time.monotonic() - began
    if done.returncode not in (0, 1, 2, 3):
        raise RuntimeError(f"audit of {path} ended with {done.returncode}: {done.stderr[-2000:]}")
    document = json.loads(done.stdout) if done.stdout.strip() else {}
    complaint = document.get("error", {}).get("message", "") if isinstance(document.get("error"), dict) else ""
    refused = "" if "parameters" in document else complaint or done.stderr.strip() or "no document"
    return document, refused, seconds


def certain(finding):
    confidence = finding.get("confidence", 1.0)
    return not isinstance(confidence, (int, float)) or confidence >= limit.CONFIDENCE_AT_LEAST


def words_of(finding):
    """Where it is, and what it repeats."""
    return "; ".join(str(finding[key]) for key in ("where", "of") if finding.get(key))


def is_at(finding, truth):
    """Whether a finding points to where something was done; a cheat of the packaging is everywhere. A finding without a
    layer speaks of the whole model."""
    where = words_of(finding)
    spans = [range(int(first), int(last) + 1) for first, last in SPAN.findall(where)]
    layers = {int(number) for number in PLACE.findall(where)} | {layer for span in spans for layer in span}
    experts = {int(number) for pair in EXPERT.findall(where) for number in pair if number}
    if not truth.layers and not truth.outside:
        return True
    if layers:
        fits = not truth.experts or not experts or bool(experts & truth.experts)
        return bool(layers & truth.layers) and fits
    return truth.outside or OUTSIDE.search(where) is None


def is_twin(finding, case):
    """Tokens that hardly occurred in training share one embedding in the trained model itself: saying so is right."""
    if case.kind.startswith("honest: random") or finding["kind"] not in ("duplicate_tensor", "unreachable_vocabulary"):
        return False
    tables = 1 if case.carrier.tied else 2
    known = weights.trained().twins(case.carrier.vocab) * case.carrier.hidden * tables
    return OUTSIDE.search(words_of(finding)) is not None and finding.get("parameters", 0) <= known


def distance(value, low, high):
    return max(low - value, value - high, 0)


def judge(case, written, document, refused, seconds):
    truth, result = written.truth, table.Result(case.name, case.rated, case.cheats, refused=refused, seconds=seconds)
    fitting = truth.names | truth.also
    for finding in filter(certain, document.get("findings", [])):
        kind = finding["kind"]
        text = f"{kind} @ {words_of(finding)} ({finding.get('parameters')})"
        if is_twin(finding, case):
            result.remarks.append(text)
        elif kind in fitting and is_at(finding, truth) and (case.cheats or finding.get("parameters", 0) <= truth.most):
            result.found, result.named = True, result.named or kind in truth.names
            if not case.cheats:
                result.remarks.append(text)
        elif not case.cheats or not is_at(finding, truth):
            result.alarms.append(text)
    if refused and not case.cheats:
        result.alarms.append(f"refused: {refused}")
    measure_counts(result, written, document)
    return result


def measure_counts(result, written, document):
    parameters, truth = document.get("parameters"), written.truth
    if parameters is None or written.parameters is None:
        return
    result.stored = parameters["stored"] == written.parameters
    effective = parameters.get("effective")
    if effective is not None and truth.least is not None:
        value = effective["value"] if isinstance(effective, dict) else effective
        error = distance(value, written.parameters - truth.most, written.parameters - truth.least)
        result.error = round(error / written.parameters, 5)


def examine(case, binary=BINARY, keep=None):
    """Writes the case's model, audits it and judges the answer."""
    with tempfile.TemporaryDirectory(prefix="zhiheng-corpus-") as temporary:
        folder = pathlib.Path(temporary)
        if keep is not None:
            folder = keep / re.sub(r"\W+", "-", case.name)
            folder.mkdir(parents=True)
        written = case.write(folder)
        document, refused, seconds = audit(written.path, binary)
        return judge(case, written, document, refused.replace(f"{folder}/", ""), seconds)


def all_cases():
    return cheats.cases() + honest.cases()


def quick_cases():
    """One carrier for each kind and rated strength, and every fourth of the honest models that are small."""
    few = [case for case in cheats.cases() if case.rated and case.variant == 0]
    small = [case for case in honest.cases() if case.carrier.hidden < 576]
    return few + small[::4]


@functools.cache
def cases_by_name():
    return {case.name: case for case in all_cases()}


def examine_named(name, binary, keep):
    """Cases hold functions, which do not travel to another process; names do."""
    return examine(cases_by_name()[name], binary, keep)


def run(cases, jobs=2, binary=BINARY, keep=None):
    """Results in the order of the cases."""
    for case in cases:  # read once, before the processes part
        weights.trained().vocabulary(case.carrier.vocab), weights.trained().twins(case.carrier.vocab)
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        pending = [pool.submit(examine_named, case.name, binary, keep) for case in cases]
        for done, future in enumerate(pending):
            future.result()
            if sys.stderr.isatty() and done % 10 == 0:
                print(f"\r{done + 1} of {len(cases)}", end="", file=sys.stderr)
        return [future.result() for future in pending]


def print_failures(results):
    for r in results:
        if r.alarms and (not r.cheats or r.rated):
            print(f"alarm   {r.name}\n        " + "\n        ".join(r.alarms[:6]))
        if r.cheats and r.rated and not r.found:
            print(f"missed  {r.name}" + (f"\n        refused: {r.refused}" if r.refused else ""))
        if r.stored is False:
            print(f"stored  {r.name}")


def measure_rates(given):
    recorded = HERE / "results" / "rates.json"
    found = (json.loads(recorded.read_text(encoding="utf-8")) if given.recorded else
             rates.summary(rates.measure(given.binary.resolve(), given.jobs)))
    print(rates.document(found))
    if given.docs:
        table.write_section(weights.SOURCE / "docs" / "audit.md", rates.document(found), rates.HEADING)
        recorded.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--quick", action="store_true", help="the subset that ctest runs")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY, help="the build folder")
    parser.add_argument("--keep", type=pathlib.Path, help="keeps the models under this folder")
    parser.add_argument("--docs", action="store_true", help="writes the section of docs/audit.md")
    parser.add_argument("--results", action="store_true", help="writes results/corpus.json beside this file")
    parser.add_argument("--failures", action="store_true", help="prints each case that was missed or falsely accused")
    parser.add_argument("--recorded", action="store_true", help="takes results/corpus.json in place of measuring")
    parser.add_argument("--rates", action="store_true", help="error rates of the tests for untrained weights")
    given = parser.parse_args()
    if given.rates:
        return measure_rates(given)
    cases = [case for case in (quick_cases() if given.quick else all_cases()) if given.only in case.name]
    if not cases:
        parser.error(f"no case's name holds '{given.only}'")
    if given.docs and (given.only or given.quick):
        parser.error("--docs wants the whole corpus")
    recorded = HERE / "results" / "corpus.json"
    results = (table.read_results(recorded) if given.recorded else
               run(cases, given.jobs, given.binary.resolve(), given.keep))
    text = table.document(results)
    if given.failures:
        print_failures(results)
    print(text)
    if given.docs:
        table.write_section(weights.SOURCE / "docs" / "audit.md", text)
    if given.results:
        table.write_results(recorded, results)
    missed = table.complaints(results)
    for sentence in missed:
        print(sentence, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
