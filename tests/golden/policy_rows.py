"""Every row of policy_rows.tsv, written from the published texts and not from the policy files, is a clause.

Run by ctest (evaluator.policy_rows).
"""
import collections
import pathlib
import re

import yaml

HERE = pathlib.Path(__file__).parent
POLICIES = HERE.parents[1] / "evaluator/policies"
ROWS = [tuple(line.split("\t")) for line in (HERE / "policy_rows.tsv").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")]


def plain(text):
    """As quotes are compared: letters, digits, CJK characters and % alone."""
    return re.sub(r"[^0-9A-Za-z\u4e00-\u9fff%]", "", text)


def clauses(policy):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((POLICIES / f"{policy}.yaml").read_text(encoding="utf-8"), Loader=loader)["clauses"]


def test_every_row_is_a_clause():
    files = {policy: clauses(policy) for policy, _, _ in ROWS}
    missing = []
    for (policy, number, quote), wanted in collections.Counter(ROWS).items():
        found = [clause for clause in files[policy]
                 if str(clause["clause"]) == number and plain(quote) in plain(clause["quote"])]
        if len(found) < wanted:
            missing.append((policy, number, quote, f"{len(found)} of {wanted}"))
    assert not missing


def test_the_rows_are_all_there():
    assert len(ROWS) == 155
    counts = collections.Counter(policy for policy, _, _ in ROWS)
    assert counts == {"xuhui-2023": 29, "shanghai-2023": 18, "songjiang-2025-draft": 44, "shanghai-2025": 25,
                      "shangcheng-draft": 39}
