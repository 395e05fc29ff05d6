"""Random small policies and applicants against an oracle of its own: every subset of the amounts is tried.

The oracle shares nothing with the program but docs/adding-a-policy.md. What a set of amounts comes to under limits on
their sums is the least of: all limits of some of the groups, and the values of what lies in none of those (the dual of a
flow; held against scipy's linear programming below).
Run by ctest (evaluator.policy_oracle).
"""
import itertools
import json
import random
import subprocess
import sys

import pytest
import scipy.optimize

import policies

SEED = 20261121
SAMPLES = 150
DAY, SAME_YEAR, OTHER_YEAR = "2026-06-30", "2026-02-01", "2025-02-01"
READINGS = {"first": ["a", "b"], "second": ["a", "b"]}
LEVELS = ("state", "city", "district")


def phrase(text):
    return {"zh": text, "en": text}


def by_choice(source, values):
    """One value for all, or one for each choice of a reading."""
    if source.random() < 0.6:
        return source.choice(values)
    reading = source.choice(sorted(READINGS))
    return {"reading": reading, "choices": {choice: source.choice(values) for choice in READINGS[reading]}}


def chosen(value, at):
    return value["choices"][at[value["reading"]]] if isinstance(value, dict) else value


# --- a policy and an applicant at random ---

def draw_amount(source, i, commons):
    clause = {"clause": f"{i}", "id": f"a{i}", "kind": "amount", "heading": phrase(f"a{i}"), "criterion": phrase("x"),
              "test": {"kind": "document", "papers": phrase("x")}}
    words = []
    if source.random() < 0.7:
        rate = source.randrange(1, 101)
        words.append(f"不超过成本{rate}%")
        clause["base"] = by_choice(source, ["b0", "b1", "b2"] + (["unstated"] if source.random() < 0.3 else []))
        clause["rate"] = {"at_most": f"{rate} %", "word": "不超过",
                          "per": source.choice(["award", "project", "year", "lifetime"])}
    if "base" not in clause or source.random() < 0.6:
        cap = source.randrange(1, 400)
        words.append(f"最高{cap}万元")
        clause["caps"] = [{"amount": f"{cap} 万元", "word": "最高",
                           "per": by_choice(source, ["award", "project", "year", "lifetime", "enterprise"])}]
        if source.random() < 0.2:
            clause["caps"][0]["unless"] = "wide"
    common = source.choice([None, *commons])
    if common:
        clause.setdefault("caps", []).append(dict(commons[common], clause=common))
    clause["quote"] = "，".join(words) or "给予补助"
    return clause


def draw_stacking(source, ids):
    some = [name for name in ids if source.random() < 0.5]
    rules = [{"rule": "exclusive", "among": some}] if len(some) > 1 else []
    left = [name for name in ids if source.random() < 0.7]
    source.shuffle(left)
    cut = source.randrange(len(left) + 1)
    for part in (left[:cut], left[cut:]):
        if part:
            rules.append({"rule": "joint_limit", "rate": f"{source.randrange(20, 101)} %", "among": part,
                          "levels": by_choice(source, [["state"], ["city", "district"], ["state", "city"]])})
    if source.random() < 0.5:
        rules.append({"rule": "same_bill", "among": ids, "reading": "first",
                      "choices": {choice: source.choice(["once", "both"]) for choice in READINGS["first"]}})
    if source.random() < 0.4:
        rules.append({"rule": "higher_of", "among": source.sample(ids, 2), "levels": [source.choice(LEVELS)],
                      **({"policies": ["某专项"]} if source.random() < 0.5 else {})})
    return rules


def draw_policy(source):
    commons = {}
    clauses = [{"clause": "w", "id": "wide", "kind": "condition", "quote": "可以放宽", "heading": phrase("w"),
                "test": {"kind": "flag", "fact": "wide", "is": True}}]
    for i in range(2):
        fen = source.randrange(50, 800)
        name = f"common{i}"
        clauses.append({"clause": name, "id": name, "kind": "procedure", "quote": f"合计不超过{fen}万元",
                        "heading": phrase(name)})
        commons[name] = {"amount": f"{fen} 万元", "word": "不超过",
                         "per": by_choice(source, ["award", "project", "year", "lifetime"])}
        if source.random() < 0.2:
            commons[name]["unless"] = "wide"
    amounts = [draw_amount(source, i, commons) for i in range(source.randrange(3, 8))]
    if not any("unless" in cap for clause in amounts for cap in clause.get("caps", [])):
        clauses = [clause for clause in clauses if clause["id"] != "wide"]  # a condition that nothing needs is refused
    stacking = draw_stacking(source, [clause["id"] for clause in amounts])
    used = repr([clauses, amounts, stacking])  # a reading that nothing depends on is refused
    policy = {
        "policy": "random", "level": "district", "title": phrase("t"), "issuer": phrase("i"), "status": "in_force",
        "validity": phrase("v"), "source": "s", "facts": {"wide": {"type": "flag", **phrase("wide")}},
        "bases": {name: phrase(name) for name in ("b0", "b1", "b2")},
        "readings": [{"reading": name, "question": phrase("?"),
                      "choices": {choice: {"name": phrase(choice), "ground": phrase("g")} for choice in choices}}
                     for name, choices in READINGS.items() if repr(name) in used],
        "clauses": clauses + amounts, "stacking": stacking,
    }
    return {key: value for key, value in policy.items() if key != "readings" or value}


def draw_received(source, ids):
    grant = {"amount": f"{source.randrange(1, 20000)} 元" if source.random() < 0.5 else f"{source.randrange(1, 90)} 万元"}
    if source.random() < 0.6:
        grant["clause"] = source.choice(ids)
    else:
        grant.update(policy=source.choice(["某专项", "另一专项"]), level=source.choice(LEVELS))
        kind = source.choice([None, "other", source.choice(ids), source.choice(ids)])
        grant.update({"for": kind} if kind else {})
    project, date = source.choice(["same", "same", "other", None]), source.choice([SAME_YEAR, SAME_YEAR, OTHER_YEAR, None])
    return {**grant, **({"project": project} if project else {}), **({"date": date} if date else {})}


def draw_applicant(source, policy):
    ids = [clause["id"] for clause in policy["clauses"] if clause["kind"] == "amount"]
    facts = source.choice([{}, {"wide": True}, {"wide": False}, {"wide": {"unproven": True}}])
    costs = {name: f"{source.randrange(1, 9_000_000)}.{source.randrange(100):02} 元" for name in policy["bases"]
             if source.random() < 0.9}
    return {"applicant": "某公司", "claims": "all", "dates": {"application": DAY}, "facts": facts, "costs": costs,
            "documents": [name for name in ids if source.random() < 0.8],
            "received": [draw_received(source, ids) for _ in range(source.choice([0, 0, 1, 2, 4]))]}


# --- the oracle ---

def fen(text):
    number, unit = text.split()
    whole, _, fraction = number.partition(".")
    return (int(whole) * 100 + int((fraction + "00")[:2])) * {"元": 1, "万元": 10_000}[unit]


def both(a, b):
    """True, False or None: not known."""
    return False if a is False or b is False else None if a is None or b is None else True


class Oracle:
    def __init__(self, policy, applicant):
        self.policy, self.applicant = policy, applicant
        self.amounts = {clause["id"]: clause for clause in policy["clauses"] if clause["kind"] == "amount"}
        wide = applicant["facts"].get("wide")
        self.may_be_wide = wide is not False

    def received(self, wanted, strict):
        """The sum of those for which wanted() is True; with those for which it is None where strict."""
        return sum(fen(grant["amount"]) for grant in self.applicant["received"]
                   if wanted(grant) or strict and wanted(grant) is None)

    @staticmethod
    def same_project(grant):
        return {"same": True, "other": False}.get(grant.get("project"))

    def in_time(self, grant, per):
        if per == "project":
            return self.same_project(grant)
        if per == "year":
            return None if "date" not in grant else grant["date"] == SAME_YEAR
        return per in ("lifetime", "enterprise")

    def under(self, names, per, strict):
        return self.received(lambda grant: grant.get("clause") in names and self.in_time(grant, per), strict)

    @staticmethod
    def same_kind(grant, rule, award):
        if award is None or "policies" in rule and len(rule["among"]) == 1:
            return award is None or grant.get("for", award) == award
        return grant["for"] == award if "for" in grant else None

    def elsewhere(self, rule, at, strict, award=None):
        levels, named = chosen(rule.get("levels", list(LEVELS)), at), rule.get("policies")
        return self.received(lambda grant: "level" in grant and grant["level"] in levels
                             and (not named or grant["policy"] in named)
                             and both(self.same_project(grant), self.same_kind(grant, rule, award)), strict)

    def jointly(self, rule, at, strict):
        own = self.received(lambda grant: grant.get("clause") in rule["among"] and self.same_project(grant), strict)
        return own + self.elsewhere(rule, at, strict)

    def rules(self, kind, name):
        return [rule for rule in self.policy["stacking"] if rule["rule"] == kind and name in rule["among"]]

    def sharing(self, common):
        return {name for name, clause in self.amounts.items() for cap in clause.get("caps", []) if cap.get("clause") == common}

    def cost(self, name, at):
        base = chosen(self.amounts[name].get("base"), at)
        value = self.applicant["costs"].get(base)
        return None if value is None else fen(value)

    def cap_left(self, name, cap, at, strict):
        if not strict and "unless" in cap and self.may_be_wide:
            return None
        names = {name} | (self.sharing(cap["clause"]) if "clause" in cap else set())
        return max(0, fen(cap["amount"]) - self.under(names, chosen(cap["per"], at), strict))

    def bound(self, name, at, strict):
        clause, bounds, cost = self.amounts[name], [], self.cost(name, at)
        if "rate" in clause and cost is not None:
            share = cost * int(clause["rate"]["at_most"].split()[0]) // 100
            bounds.append(max(0, share - self.under({name}, clause["rate"]["per"], strict)))
        bounds += [self.cap_left(name, cap, at, strict) for cap in clause.get("caps", [])]
        value = min((bound for bound in bounds if bound is not None), default=None)
        for rule in self.policy["stacking"]:
            if name not in rule["among"]:
                continue
            if rule["rule"] == "higher_of" and value is not None:
                value = max(0, value - self.elsewhere(rule, at, strict, name))
            if rule["rule"] == "joint_limit" and cost is not None:
                limit = max(0, cost * int(rule["rate"].split()[0]) // 100 - self.jointly(rule, at, strict))
                value = limit if value is None else min(value, limit)
        return value

    def figure(self, name, at):
        """The one figure of an award, None where there is none."""
        clause = self.amounts[name]
        if "base" in clause and self.cost(name, at) is None:
            return None
        low, high = self.bound(name, at, True), self.bound(name, at, False)
        limited = "rate" in clause or any(self.cap_left(name, cap, at, False) is not None for cap in clause.get("caps", []))
        return high if low == high and limited else None

    def unsettled(self, at, possible):
        """Whether one that counts lies between two figures."""
        for name, clause in self.amounts.items():
            known = "base" not in clause or self.cost(name, at) is not None
            limited = "rate" in clause or any(self.cap_left(name, cap, at, False) is not None for cap in clause.get("caps", []))
            if known and limited and self.figure(name, at) is None and (possible or self.holds(name, at)):
                return True
        return False

    def holds(self, name, at):
        base = chosen(self.amounts[name].get("base"), at)
        return name in self.applicant["documents"] and (base in (None, "unstated") or self.cost(name, at) is not None)

    def against(self, a, b, at):
        bases = [chosen(self.amounts[name].get("base"), at) for name in (a, b)]
        for rule in self.policy["stacking"]:
            if a not in rule["among"] or b not in rule["among"]:
                continue
            same = bases[0] == bases[1] and bases[0] not in (None, "unstated")
            if rule["rule"] == "exclusive" or rule["rule"] == "same_bill" and rule["choices"][at["first"]] == "once" and same:
                return True
        return False

    def groups(self, at, strict):
        """[(limit, names)]: what several awards may come to together."""
        found = {}
        for name, clause in self.amounts.items():
            for cap in clause.get("caps", []):
                sums = chosen(cap["per"], at) != "award" and "clause" in cap
                if sums and (left := self.cap_left(name, cap, at, strict)) is not None:
                    found.setdefault(("cap", cap["clause"]), [left, set()])[1].add(name)
            for rule in self.rules("joint_limit", name):
                if (cost := self.cost(name, at)) is not None:
                    key = "joint", id(rule), chosen(clause.get("base"), at)
                    limit = max(0, cost * int(rule["rate"].split()[0]) // 100 - self.jointly(rule, at, strict))
                    found.setdefault(key, [limit, set()])[1].add(name)
        return [(limit, names) for limit, names in found.values()]

    def best(self, at, possible, strict):
        values = {}
        for name in self.amounts:
            figure = self.figure(name, at)
            values[name] = figure if figure is not None and (possible or self.holds(name, at)) else 0
        groups = self.groups(at, strict)
        return max(worth(values, groups, some) for size in range(len(values) + 1)
                   for some in itertools.combinations(values, size)
                   if not any(self.against(a, b, at) for a, b in itertools.combinations(some, 2)))


def worth(values, groups, some):
    return min(sum(limit for limit, _ in full)
               + sum(values[name] for name in some if not any(name in names for _, names in full))
               for size in range(len(groups) + 1) for full in itertools.combinations(groups, size))


def test_the_oracle_is_linear_programming():
    source = random.Random(SEED)
    for _ in range(300):
        names = [f"a{i}" for i in range(source.randrange(1, 8))]
        values = {name: source.randrange(0, 1000) for name in names}
        groups = []
        for _ in range(2):  # two kinds of limits, each a partition
            parts = {}
            for name in names:
                parts.setdefault(source.randrange(3), set()).add(name)
            groups += [(source.randrange(0, 1500), part) for key, part in parts.items() if key]
        rows = [[1 if name in part else 0 for name in names] for _, part in groups] or None
        solved = scipy.optimize.linprog([-1] * len(names), A_ub=rows, b_ub=[limit for limit, _ in groups] or None,
                                        bounds=[(0, values[name]) for name in names])
        assert round(-solved.fun) == worth(values, groups, names)


def assignments(row):
    """Every choice of the readings that the row leaves open."""
    free = [name for name in READINGS if name not in row["choices"]]
    for choices in itertools.product(*(READINGS[name] for name in free)):
        yield {**row["choices"], **dict(zip(free, choices))}


def yuan(value):
    return f"{value // 100}.{value % 100:02}"


def check_sum(oracle, rows, shown, possible):
    for row in rows:
        for at in assignments(row):
            assert row["if_all_hold" if possible else "certain"]["up_to_yuan"] == yuan(oracle.best(at, possible, False))
    sums = {oracle.best(at, possible, strict) for row in rows for at in assignments(row) for strict in (False, True)}
    open_one = any(oracle.unsettled(at, possible) for row in rows for at in assignments(row))
    assert shown == (yuan(sums.pop()) if len(sums) == 1 and not open_one else None)


def check_solution(oracle, at, solution):
    names = solution["chosen"]
    assert not any(oracle.against(a, b, at) for a, b in itertools.combinations(names, 2))
    shares = {share["id"]: fen(share["up_to_yuan"] + " 元") for share in solution["shares"]}
    assert sorted(shares) == sorted(names) and sum(shares.values()) == fen(solution["up_to_yuan"] + " 元")
    for name, share in shares.items():
        assert 0 < share <= oracle.figure(name, at)
    for limit, among in oracle.groups(at, False):
        assert sum(shares.get(name, 0) for name in among) <= limit


@pytest.mark.parametrize("i", range(SAMPLES))
def test_random_policy(i, tmp_path):
    source = random.Random(f"{SEED} {i}")
    policy = draw_policy(source)
    applicant = draw_applicant(source, policy)
    file = tmp_path / "random.yaml"
    file.write_text(json.dumps(policy, ensure_ascii=False, indent=1), encoding="utf-8")  # JSON is YAML
    document = policies.run(file, {key: value for key, value in applicant.items() if value}, tmp_path / "applicant")
    assert not isinstance(document, subprocess.CompletedProcess), document.stderr
    policies.SCHEMA.validate(document)
    oracle, combination = Oracle(policy, applicant), document["combination"]
    check_sum(oracle, combination["by_reading"], combination["up_to_yuan"], False)
    check_sum(oracle, combination["by_reading"], combination["if_all_hold_yuan"], True)
    for row in combination["by_reading"]:
        for at in assignments(row):
            check_solution(oracle, at, row["certain"])
            check_solution(oracle, at, row["if_all_hold"])
    for grant in document["grants"]:
        figures = {oracle.figure(grant["id"], at) if oracle.holds(grant["id"], at) else None
                   for at in assignments({"choices": {}})}
        only = figures.pop() if len(figures) == 1 else None
        assert grant["up_to_yuan"] == (None if only is None else yuan(only))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
