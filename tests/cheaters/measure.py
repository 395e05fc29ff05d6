"""Runs `zhiheng audit MODEL --json` over the corpus and says what was found, by kind and strength.

  python tests/cheaters/measure.py                      the whole corpus, a table on standard output
  python tests/cheaters/measure.py --only 'low rank'    cases whose name holds the text
  python tests/cheaters/measure.py --docs --results     also writes docs/audit.md's table and results/corpus.json
  python tests/cheaters/measure.py --keep FOLDER --only …  keeps the models, to look at one
"""
import argparse
import concurrent.futures
import dataclasses
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
import thresholds as limit  # noqa: E402
import weights  # noqa: E402

BINARY = pathlib.Path(os.environ.get("ZH_BINARY_DIR", weights.SOURCE / "build"))
HERE = pathlib.Path(__file__).parent
HEADING = "## What is found, by kind and strength"
PLACE = re.compile(r"(?:blk|layers?|block)s?[ ._]?(\d+)")
SPAN = re.compile(r"(?:blk|layers?|block)s?[ ._]?(\d+) ?(?:-|–|…|\.\.|to) ?(?:blk|layers?)?[ ._]?(\d+)")
EXPERT = re.compile(r"experts?[ ._#]?\[?(\d+)|_exps\.weight\[(\d+)\]")
OUTSIDE = re.compile(r"embd|embed|vocab|output\.weight|lm_head")


@dataclasses.dataclass
class Result:
    name: str
    kind: str
    strength: str
    carrier: str
    rated: bool
    cheats: bool
    found: bool = False          # a finding of a fitting kind at the right place
    named: bool = False          # … of the kind that is its name
    refused: str = ""            # the error with which the audit stopped, if it did
    alarms: list = dataclasses.field(default_factory=list)   # what was said and is not true
    remarks: list = dataclasses.field(default_factory=list)  # what was said of an honest model and is true
    stored: bool | None = None   # agrees to the last scalar
    error: float | None = None   # distance of effective from the truth, as a share of stored
    seconds: float = 0.0


def audit(path, binary=BINARY, timeout=300):
    began = time.monotonic()
    done = subprocess.run([binary / "bin" / "zhiheng", "audit", path, "--json"], capture_output=True, text=True,
                          timeout=timeout)
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
    """Whether a finding points to where something was done. One without a layer speaks of the whole model."""
    where = words_of(finding)
    spans = [range(int(first), int(last) + 1) for first, last in SPAN.findall(where)]
    layers = {int(number) for number in PLACE.findall(where)} | {layer for span in spans for layer in span}
    experts = {int(number) for pair in EXPERT.findall(where) for number in pair if number}
    if layers:
        fits = not truth.experts or not experts or bool(experts & truth.experts)
        return bool(layers & truth.layers) and fits
    return truth.outside or not truth.layers or OUTSIDE.search(where) is None


def distance(value, low, high):
    return max(low - value, value - high, 0)


def judge(case, written, document, refused, seconds):
    truth, result = written.truth, Result(case.name, case.kind, case.strength, str(case.carrier), case.rated,
                                          case.cheats, refused=refused, seconds=seconds)
    fitting = truth.names | truth.also
    for finding in filter(certain, document.get("findings", [])):
        kind = finding["kind"]
        text = f"{kind} @ {words_of(finding)} ({finding.get('parameters')})"
        if kind in fitting and is_at(finding, truth) and (case.cheats or finding.get("parameters", 0) <= truth.most):
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
        result.error = error / written.parameters


def examine(case, binary=BINARY, keep=None):
    """Writes the case's model, audits it and judges the answer."""
    with tempfile.TemporaryDirectory(prefix="zhiheng-corpus-") as temporary:
        folder = pathlib.Path(temporary)
        if keep is not None:
            folder = keep / re.sub(r"\W+", "-", case.name)
            folder.mkdir(parents=True)
        written = case.write(folder)
        return judge(case, written, *audit(written.path, binary))


def all_cases():
    return cheats.cases() + honest.cases()


def quick_cases():
    """One carrier for each kind and rated strength, and every third of the honest models that are small."""
    few = [case for case in cheats.cases() if case.rated and case.variant == 0]
    small = [case for case in honest.cases() if case.carrier.hidden < 576 and "whole" not in case.kind]
    return few + small[::3]


@functools.cache
def cases_by_name():
    return {case.name: case for case in all_cases()}


def examine_named(name, binary, keep):
    """Cases hold functions, which do not travel to another process; names do."""
    return examine(cases_by_name()[name], binary, keep)


def run(cases, jobs=2, binary=BINARY, keep=None):
    """Results in the order of the cases."""
    weights.trained().vocabulary(1024)  # read once, before the processes part
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        pending = [pool.submit(examine_named, case.name, binary, keep) for case in cases]
        for done, future in enumerate(pending):
            future.result()
            if sys.stderr.isatty() and done % 10 == 0:
                print(f"\r{done + 1} of {len(cases)}", end="", file=sys.stderr)
        return [future.result() for future in pending]


# --- figures and tables ---

def share(flags):
    flags = list(flags)
    return sum(flags) / len(flags) if flags else None


def figures(results):
    """What the thresholds are about."""
    rated = [r for r in results if r.cheats and r.rated]
    fair = [r for r in results if not r.cheats]
    errors = sorted(r.error for r in rated if r.found and r.error is not None)
    return {
        "cheats": sum(r.cheats for r in results), "rated": len(rated), "honest": len(fair),
        "kinds": len({r.kind for r in results if r.cheats}),
        "found": share(r.found for r in rated), "named": share(r.named for r in rated),
        "refused": share(bool(r.refused) and not r.found for r in rated),
        "false_alarms": share(bool(r.alarms) for r in fair),
        "elsewhere": share(bool(r.alarms) for r in rated),
        "stored_agrees": share(r.stored for r in results if r.stored is not None),
        "effective_error_95": errors[int(0.95 * (len(errors) - 1))] if errors else None,
        "seconds_median": sorted(r.seconds for r in results)[len(results) // 2] if results else None,
    }


def grouped(results, *keys):
    groups = {}
    for result in results:
        groups.setdefault(tuple(getattr(result, key) for key in keys), []).append(result)
    return groups


def of(flags):
    flags = list(flags)
    return f"{sum(map(bool, flags))}/{len(flags)}"


def worst(results):
    errors = [r.error for r in results if r.error is not None]
    return f"{100 * max(errors):.1f} %" if errors else "–"


def cheat_rows(results):
    yield "| kind | strength | found | by its name | refused | effective off by, at most |"
    yield "|---|---|---|---|---|---|"
    for (kind, strength), group in grouped([r for r in results if r.cheats], "kind", "strength").items():
        mark = "" if group[0].rated else " *"
        yield (f"| {kind} | {strength}{mark} | {of(r.found for r in group)} | {of(r.named for r in group)} | "
               f"{of(r.refused and not r.found for r in group)} | {worst(group)} |")


def honest_rows(results):
    yield "| honest models | number | with a false alarm | with a true remark | effective too low by, at most |"
    yield "|---|---|---|---|---|"
    for (kind,), group in grouped([r for r in results if not r.cheats], "kind").items():
        yield (f"| {kind.removeprefix('honest: ')} | {len(group)} | {sum(bool(r.alarms) for r in group)} | "
               f"{sum(bool(r.remarks) for r in group)} | {worst(group)} |")


def edge_rows(results):
    """Where detection ends: for each kind the strengths at which not every case was found."""
    yield "| kind | found at every carrier | missed at |"
    yield "|---|---|---|"
    for (kind,), group in grouped([r for r in results if r.cheats], "kind").items():
        strengths = grouped(group, "strength")
        missed = [(key[0], cases) for key, cases in strengths.items() if not all(r.found for r in cases)]
        whole = [key[0] for key, cases in strengths.items() if all(r.found for r in cases)]
        lost = "; ".join(f"{key} ({of(r.found for r in cases)})" for key, cases in missed)
        yield f"| {kind} | {'; '.join(whole) or 'none'} | {lost or 'none'} |"


def percent(value):
    return "not measured" if value is None else f"{100 * value:.1f} %"


def document(results):
    f = figures(results)
    lines = [HEADING, "", f"`tests/cheaters/measure.py` made {f['cheats']} cheating models of {f['kinds']} kinds "
             f"({f['rated']} at rated strengths) and {f['honest']} honest ones, and audited each. Seeds come from the "
             "cases' names, so everybody gets the same models.", "",
             f"- Found at rated strengths: {percent(f['found'])} (by the name of the kind: {percent(f['named'])}; "
             f"stopped with an error and not audited: {percent(f['refused'])}). At least "
             f"{percent(limit.FOUND_AT_LEAST)} are asked.",
             f"- Honest models with a false alarm: {percent(f['false_alarms'])}. At most "
             f"{percent(limit.FALSE_ALARMS_AT_MOST)} are allowed.",
             f"- Cheating models in which something sound was accused besides: {percent(f['elsewhere'])}.",
             f"- *stored* is exact in {percent(f['stored_agrees'])} of the models whose packaging is whole. *effective* "
             f"is off by at most {percent(f['effective_error_95'])} of stored in 95 of 100 cheats that were found.",
             "", "Found means: a finding of a fitting kind, at the right place, with a confidence of at least "
             f"{limit.CONFIDENCE_AT_LEAST:g}. Strengths marked * are beyond what the audit is rated for; they count "
             "towards no threshold and show where detection ends.", "",
             "### Where detection ends", "", *edge_rows(results), "", "### Honest models", "", *honest_rows(results), "",
             "### Every kind and strength", "", *cheat_rows(results), ""]
    return "\n".join(lines)


def write_section(path, text):
    """Replaces the section of this heading, or appends it; the rest of the file stays."""
    old = path.read_text(encoding="utf-8") if path.exists() else "# The parameter audit\n"
    before, found, after = old.partition(HEADING + "\n")
    rest = re.search(r"^## ", after, re.MULTILINE) if found else None
    tail = after[rest.start():] if rest else ""
    path.write_text(before.rstrip("\n") + "\n\n" + text.rstrip("\n") + "\n" + ("\n" + tail if tail else ""),
                    encoding="utf-8")


def complaints(results):
    """What misses a threshold, one sentence each."""
    f, out = figures(results), []
    if f["found"] is not None and f["found"] < limit.FOUND_AT_LEAST:
        out.append(f"found {percent(f['found'])} of the rated cheats; {percent(limit.FOUND_AT_LEAST)} are asked")
    if f["false_alarms"] is not None and f["false_alarms"] > limit.FALSE_ALARMS_AT_MOST:
        out.append(f"false alarms on {percent(f['false_alarms'])} of the honest models; "
                   f"{percent(limit.FALSE_ALARMS_AT_MOST)} are allowed")
    if f["stored_agrees"] is not None and f["stored_agrees"] < limit.STORED_MUST_AGREE:
        out.append(f"stored is wrong in {percent(1 - f['stored_agrees'])} of the models")
    if f["effective_error_95"] is None:
        out.append("effective was never measured")
    elif f["effective_error_95"] > limit.EFFECTIVE_ERROR_AT_MOST:
        out.append(f"effective is off by {percent(f['effective_error_95'])} of stored in the worst 5 of 100 cheats; "
                   f"{percent(limit.EFFECTIVE_ERROR_AT_MOST)} are allowed")
    return out


def print_failures(results):
    for r in results:
        if r.alarms and (not r.cheats or r.rated):
            print(f"alarm   {r.name}\n        " + "\n        ".join(r.alarms[:6]))
        if r.cheats and r.rated and not r.found:
            print(f"missed  {r.name}" + (f"\n        refused: {r.refused}" if r.refused else ""))
        if r.stored is False:
            print(f"stored  {r.name}")


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
    given = parser.parse_args()
    cases = [case for case in (quick_cases() if given.quick else all_cases()) if given.only in case.name]
    if not cases:
        parser.error(f"no case's name holds '{given.only}'")
    if given.docs and (given.only or given.quick):
        parser.error("--docs wants the whole corpus")
    results = run(cases, given.jobs, given.binary.resolve(), given.keep)
    text = document(results)
    if given.failures:
        print_failures(results)
    print(text)
    if given.docs:
        write_section(weights.SOURCE / "docs" / "audit.md", text)
    if given.results:
        records = [dataclasses.asdict(r) | {"seconds": round(r.seconds, 3)} for r in results]
        out = HERE / "results" / "corpus.json"
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps({"figures": figures(results), "cases": records}, indent=1, ensure_ascii=False) + "\n",
                       encoding="utf-8")
    missed = complaints(results)
    for sentence in missed:
        print(sentence, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
