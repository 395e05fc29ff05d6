"""What holds of every applicant under every policy: random ones, drawn from the cases computed by hand.

Three values are ordered by knowledge: what is undetermined may be decided by more papers, and what was decided stays.
Run by ctest (evaluator.policy_properties).
"""
import copy
import itertools
import json
import random
import subprocess
import sys

import pytest
import yaml

import policies
from policy_oracle import worth

SEED = 20261121
SAMPLES = 24
SECTIONS = ("facts", "documents", "decisions", "exclusions", "costs")
GOLDEN = {file.parent.name: policies.load(file) for file in policies.FILES}
NAMES = sorted(GOLDEN)


def clauses_of(policy):
    text = (policies.POLICIES / f"{policy}.yaml").read_text(encoding="utf-8")
    return {clause["id"]: clause for clause in yaml.load(text, Loader=policies.Plain)["clauses"]}


def bases_of(policy):
    text = (policies.POLICIES / f"{policy}.yaml").read_text(encoding="utf-8")
    return sorted(yaml.load(text, Loader=policies.Plain).get("bases", {}))


def fen(yuan):
    whole, fraction = yuan.split(".")
    return int(whole) * 100 + int(fraction)


def draw(random_source, policy):
    """A case of the policy, claiming everything, with costs of random size."""
    golden = GOLDEN[policy]
    case = random_source.choice([case for case in golden["cases"] if "refused" not in case["expect"]])
    applicant = policies.overlay(policies.applicant_of(golden["applicant"], case), {"claims": "all"})
    costs = {base: f"{random_source.randrange(0, 10 ** random_source.randrange(1, 12))} 元" for base in bases_of(policy)}
    applicant["costs"] = {**costs, **(applicant.get("costs") or {})}
    return applicant


KNOWN = {}  # several tests look at the same applicants


def evaluate(policy, applicant, folder):
    key = policy, json.dumps(applicant, sort_keys=True)
    if key not in KNOWN:
        document = policies.run(policy, applicant, folder)
        assert not isinstance(document, subprocess.CompletedProcess), document.stderr
        KNOWN[key] = document
    return KNOWN[key]


def without_some(random_source, applicant):
    """The same applicant with papers and statements missing at random."""
    less = copy.deepcopy(applicant)
    for section in SECTIONS:
        entries = policies.as_map(less.get(section))
        less[section] = {name: value for name, value in entries.items() if random_source.random() < 0.6}
    return less


def samples(policy):
    source = random.Random(f"{SEED} {policy}")
    return [(source, draw(source, policy)) for _ in range(SAMPLES)]


@pytest.mark.parametrize("policy", NAMES)
def test_verdict_and_figure_agree(policy, tmp_path):
    """Undetermined never turns into a number, fail is nothing, and no award exceeds a cap of its clause."""
    for i, (_, applicant) in enumerate(samples(policy)):
        document = evaluate(policy, applicant, tmp_path / str(i))
        for grant in document["grants"]:
            up_to, caps = grant["up_to_yuan"], [fen(cap["yuan"]) for cap in grant["terms"]["caps"]
                                                 if not cap["unless"]]
            assert (grant["verdict"] == "fail") <= (up_to == "0.00")
            assert (grant["verdict"] == "undetermined") <= (up_to is None)
            for figure in (up_to, grant["if_all_hold_yuan"], grant["range"] and grant["range"]["high_yuan"]):
                assert figure is None or all(fen(figure) <= cap for cap in caps)
            if grant["range"]:
                assert fen(grant["range"]["low_yuan"]) <= fen(grant["range"]["high_yuan"])
                assert up_to is None


@pytest.mark.parametrize("policy", NAMES)
def test_the_combination_is_lawful_and_the_best(policy, tmp_path):
    """No two that stand against each other are chosen, the sum is that of the chosen, and no other choice does better."""
    for i, (_, applicant) in enumerate(samples(policy)):
        document = evaluate(policy, applicant, tmp_path / str(i))
        sums = {row["certain"]["up_to_yuan"] for row in document["combination"]["by_reading"]}
        assert document["combination"]["up_to_yuan"] == (sums.pop() if len(sums) == 1 else None)
        for row in document["combination"]["by_reading"]:
            for view in ("certain", "if_all_hold"):
                check_solution(document, row["choices"], row[view])


def value_under(grant, choices, view):
    """The grant's figure under the choices; None where it has none."""
    rows = [r for r in grant["readings"] if all(choices.get(name) == choice for name, choice in r["choices"].items())]
    assert len(rows) == 1 or not grant["readings"]
    verdict, up_to = (rows[0]["verdict"], rows[0]["up_to_yuan"]) if rows else (grant["verdict"], grant["up_to_yuan"])
    if view == "certain":
        return fen(up_to) if verdict == "pass" and up_to else 0
    if verdict == "undetermined" and not rows:
        up_to = grant["if_all_hold_yuan"]
    return None if verdict == "undetermined" and rows else fen(up_to) if up_to and verdict != "fail" else 0


def check_solution(document, choices, solution):
    view = "certain" if any(row["certain"] is solution for row in document["combination"]["by_reading"]) else "if_all_hold"
    chosen, against = set(solution["chosen"]), {frozenset((c["a"], c["b"])) for c in solution["conflicts"]}
    assert not any(frozenset(pair) in against for pair in itertools.combinations(sorted(chosen), 2))
    if solution["alternative"]:
        assert fen(solution["alternative"]["up_to_yuan"]) <= fen(solution["up_to_yuan"])
    values = {grant["id"]: value_under(grant, choices, view) for grant in document["grants"]}
    if None in values.values():
        return  # the grant's table does not say what the figure would be
    limits = [(fen(limit["up_to_yuan"]), set(limit["among"])) for limit in solution["limits"]]
    shares = {share["id"]: fen(share["up_to_yuan"]) for share in solution["shares"]}
    assert set(shares) == chosen and sum(shares.values()) == fen(solution["up_to_yuan"])
    assert all(0 < share <= values[name] for name, share in shares.items())
    assert all(sum(shares.get(name, 0) for name in among) <= limit for limit, among in limits)
    assert fen(solution["up_to_yuan"]) == best_sum(values, against, limits)


def best_sum(values, against, limits):
    """By trying everything among those that stand against each other or share a limit."""
    free = [name for name in values if values[name] > 0]
    touch = against | {frozenset(pair) for _, among in limits for pair in itertools.combinations(sorted(among), 2)}
    total = 0
    while free:
        component, edge = {free[0]}, [free[0]]
        while edge:
            here = edge.pop()
            for name in free:
                if name not in component and frozenset((here, name)) in touch:
                    component.add(name)
                    edge.append(name)
        free = [name for name in free if name not in component]
        total += max(worth(values, limits, some) for size in range(1, len(component) + 1)
                     for some in itertools.combinations(sorted(component), size)
                     if not any(frozenset(pair) in against for pair in itertools.combinations(some, 2)))
    return total


@pytest.mark.parametrize("policy", NAMES)
def test_more_cost_never_lowers_an_award(policy, tmp_path):
    for i, (source, applicant) in enumerate(samples(policy)):
        costs = applicant["costs"]
        plain = [name for name, value in costs.items() if isinstance(value, str) and value.endswith(" 元")
                 and "." not in value]
        if not plain:
            continue
        more = copy.deepcopy(applicant)
        for name in plain:
            more["costs"][name] = f"{int(costs[name].split()[0]) + source.randrange(1, 10 ** 9)} 元"
        before = evaluate(policy, applicant, tmp_path / f"{i}-before")["grants"]
        after = evaluate(policy, more, tmp_path / f"{i}-after")["grants"]
        for a, b in zip(before, after):
            assert a["verdict"] == b["verdict"]
            if a["up_to_yuan"] and b["up_to_yuan"]:
                assert fen(a["up_to_yuan"]) <= fen(b["up_to_yuan"]), a["id"]


@pytest.mark.parametrize("policy", NAMES)
def test_more_evidence_never_undoes_a_verdict(policy, tmp_path):
    """Pass and fail stay as they are when papers are added that contradict nothing."""
    for i, (source, applicant) in enumerate(samples(policy)):
        less = evaluate(policy, without_some(source, applicant), tmp_path / f"{i}-less")
        whole = evaluate(policy, applicant, tmp_path / f"{i}-whole")
        for part in ("grants", "clauses"):
            for a, b in zip(less[part], whole[part]):
                assert a["id"] == b["id"]
                assert a["verdict"] in ("undetermined", b["verdict"]), (a["id"], a["verdict"], b["verdict"])


@pytest.mark.parametrize("policy", NAMES)
def test_silence_passes_nothing(policy, tmp_path):
    """An applicant that says nothing gets nothing, and is refused nothing but by a time that is over."""
    document = evaluate(policy, {"applicant": "某公司", "claims": "all"}, tmp_path)
    for grant in document["grants"]:
        assert grant["verdict"] == "undetermined" and grant["up_to_yuan"] is None
        assert grant["would_take"]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
