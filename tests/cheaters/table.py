"""Results of the corpus: one a case, what the thresholds are about, and the tables of docs/audit.md."""
import dataclasses
import json
import re
import textwrap

import thresholds as limit

HEADING = "## What is found, by kind and strength"


@dataclasses.dataclass
class Result:
    """What became of one case. Its name is "kind | strength | carrier | variant"."""
    name: str
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

    @property
    def kind(self):
        return self.name.split(" | ")[0]

    @property
    def strength(self):
        return self.name.split(" | ")[1]


def write_results(path, results):
    """One case a line; what is as in a Result that nobody touched is left out."""
    untouched = dataclasses.asdict(Result("", False, False))
    lines = []
    for result in results:
        record = dataclasses.asdict(result) | {"alarms": result.alarms[:3], "remarks": result.remarks[:3]}
        del record["seconds"]  # of the machine, not of the model
        lines.append(json.dumps({key: value for key, value in record.items() if untouched[key] != value},
                                ensure_ascii=False))
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"cases": [\n  ' + ",\n  ".join(lines) + "\n]}\n", encoding="utf-8")


def read_results(path):
    untouched = dataclasses.asdict(Result("", False, False))
    return [Result(**(untouched | record)) for record in json.loads(path.read_text(encoding="utf-8"))["cases"]]


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
    yield "| honest models | number | with a false alarm | with a true remark | effective off by, at most |"
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


def wrong_rows(results):
    """Every rated cheat that was missed and every honest model with a false alarm, by name."""
    yield "| case | what went wrong |"
    yield "|---|---|"
    for r in results:
        name = r.name.replace(" | ", ", ")
        if r.cheats and r.rated and not r.found:
            yield f"| {name} | {'stopped: ' + r.refused.splitlines()[0] if r.refused else 'not found'} |"
        elif not r.cheats and r.alarms:
            yield f"| {name} | false alarm: {r.alarms[0].splitlines()[0]} |"


def document(results):
    """The section of docs/audit.md."""
    f = figures(results)
    paragraphs = [
        f"`tests/cheaters/measure.py` made {f['cheats']} cheating models of {f['kinds']} kinds ({f['rated']} at rated "
        f"strengths) and {f['honest']} honest ones, and audited each. Seeds come from the cases' names, so everybody "
        "gets the same models.",
        f"- Found at rated strengths: {percent(f['found'])} (by the name of the kind: {percent(f['named'])}; stopped "
        f"with an error and not audited: {percent(f['refused'])}). At least {percent(limit.FOUND_AT_LEAST)} are asked.",
        f"- Honest models with a false alarm: {percent(f['false_alarms'])}. At most "
        f"{percent(limit.FALSE_ALARMS_AT_MOST)} are allowed.",
        f"- Cheating models in which something sound was accused besides: {percent(f['elsewhere'])}.",
        f"- *stored* is exact in {percent(f['stored_agrees'])} of the models whose packaging is whole. *effective* is "
        f"off by at most {percent(f['effective_error_95'])} of stored in 95 of 100 cheats that were found.",
        "The models are cut from a trained one: a few of its layers, and of each some channels, heads and neurons, 64 "
        "to 576 wide, so that their weights have a trained model's statistics at the size of a test. A cheat does one "
        "thing to such a model at one strength. *Found* means: a finding of a fitting kind, at the right place, with a "
        f"confidence of at least {limit.CONFIDENCE_AT_LEAST:g}. Strengths marked * were set beyond the audit's claim "
        "before any detector was measured; they count towards no threshold and show where detection ends. Noise is "
        "Gaussian and given relative to the root mean square of the weights it falls on. Random models say that they "
        "are random: that they are untrained is a true remark about them, not an alarm.",
    ]
    lines = [HEADING]
    for paragraph in paragraphs:
        item = paragraph.startswith("- ")
        if not (item and lines[-1].startswith(("- ", "  "))):
            lines.append("")
        lines += textwrap.wrap(paragraph, 120, subsequent_indent="  " if item else "", break_on_hyphens=False)
    for title, rows in (("Where detection ends", edge_rows), ("Honest models", honest_rows),
                        ("Missed at a rated strength, or falsely accused", wrong_rows), ("Every kind and strength", cheat_rows)):
        lines += ["", f"### {title}", "", *rows(results)]
    return "\n".join(lines) + "\n"


def write_section(path, text, heading=HEADING):
    """Replaces the section of this heading, or appends it; the rest of the file stays."""
    old = path.read_text(encoding="utf-8") if path.exists() else "# The parameter audit\n"
    before, found, after = old.partition(heading + "\n")
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
