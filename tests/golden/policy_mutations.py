"""Every figure of every policy file, changed by the least that it can be: some golden case must notice.

The figure is changed in the clause's quote, too, where it stands there as written: a slip in the file alone is what the
loader refuses, and that counts as noticed.
Run by ctest (evaluator.policy_mutations).
"""
import datetime
import re
import subprocess
import sys

import pytest
import yaml

import policies

NUMBER = re.compile(r"^(\d[\d,]*)(?:\.\d+)? ?(.*)$")


def following(text):
    """The nearest other values: a day earlier and later, or one less and one more in the figure's own unit."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        day = datetime.date.fromisoformat(text)
        return [str(day + datetime.timedelta(days=step)) for step in (-1, 1)]
    if text in (">", ">="):
        return [">=" if text == ">" else ">"]
    if text in ("year", "lifetime", "project", "enterprise"):
        return ["award"]
    found = NUMBER.match(text)
    if not found:
        return []
    number, unit = int(found[1]), found[2]
    return [f"{number + step} {unit}".rstrip() for step in (-1, 1) if number + step > 0]


def scalars(node, path=()):
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from scalars(value, path + (key.value,))
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield from scalars(value, path + (i,))
    else:
        yield path, node


FIGURES = {"amount", "at_most", "exactly", "threshold", "on", "per", "rate"}


def is_figure(path):
    named = path[-1] in FIGURES and path[0] in ("clauses", "stacking")
    boundary = ("boundary" in path or "per" in path) and "choices" in path
    validity = path[0] == "valid" and (path[-1] in ("from", "until", "term") or "choices" in path)
    return named or boundary or validity


def in_quote(text, old, new):
    """The quote with the new figure: 1000万元, or 1000万 alone."""
    was, now = NUMBER.match(old), NUMBER.match(new)
    if not was or not now or "-" in old:
        return text
    number = re.escape(was[1])
    for unit in (was[2], was[2].removesuffix("元")):
        changed, times = re.subn(rf"(?<![\d.]){number}(\s*{re.escape(unit)})", rf"{now[1]}\1", text, count=1)
        if times:
            return changed
    return text


def spliced(text, edits):
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def mutants(policy):
    text = (policies.SOURCE / f"evaluator/policies/{policy}.yaml").read_text(encoding="utf-8")
    found = dict(scalars(yaml.compose(text, Loader=policies.Plain)))
    for path, node in found.items():
        if not is_figure(path):
            continue
        clause = path[:2] if path[0] == "clauses" else None
        base = found.get(clause + ("base",)) if clause else None
        if "rate" in path and base is not None and base.value == "unstated":
            continue  # a share of nothing that is named: it enters no amount
        quote = found.get(clause + ("quote",)) if clause else None
        for new in following(node.value):
            written = f"'{new}'" if new in (">", ">=") else new
            edits = [(node.start_mark.index, node.end_mark.index, written)]
            if quote is not None:
                start, end = quote.start_mark.index, quote.end_mark.index
                edits.append((start, end, in_quote(text[start:end], node.value, new)))
            of = found[clause + ("id",)].value if clause else None
            yield f"{policy}-{of or path[0]}-{path[-1]}-{node.start_mark.line + 1}-{new}", of, spliced(text, edits)


def ordered(cases, clause):
    """Those that name the clause first: the first case that notices is enough."""
    return sorted(cases, key=lambda case: clause not in case["expect"])


def notices(golden, case, file, folder):
    document = policies.run(file, policies.applicant_of(golden["applicant"], case), folder)
    if isinstance(document, subprocess.CompletedProcess):
        return "refused" not in case["expect"]
    return bool(policies.differences(document, case["expect"]))


def all_mutants():
    for file in policies.FILES:
        for name, clause, text in mutants(file.parent.name):
            yield pytest.param(file.parent.name, clause, text, id=name)


@pytest.mark.parametrize("policy, clause, text", list(all_mutants()))
def test_mutant(policy, clause, text, tmp_path):
    golden = policies.load(policies.SOURCE / f"tests/golden/{policy}/cases.yaml")
    cases = [case for case in golden["cases"] if "model" not in case]
    file = tmp_path / f"{policy}.yaml"
    file.write_text(text, encoding="utf-8")
    for i, case in enumerate(ordered(cases, clause)):
        if notices(golden, case, file, tmp_path / str(i)):
            return
    pytest.fail("no golden case noticed the change")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
