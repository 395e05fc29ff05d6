"""What the answer says in words, beside its figures: each sentence complete, in the applicant's numbers.

Run by ctest (evaluator.answers).
"""
import subprocess

import pytest

import policies

XUHUI = policies.load(policies.SOURCE / "tests/golden/xuhui-2023/cases.yaml")["applicant"]


def evaluate(folder, policy="xuhui-2023", base=XUHUI, **changes):
    document = policies.run(policy, policies.overlay(base, changes), folder)
    assert not isinstance(document, subprocess.CompletedProcess), document.stderr
    policies.SCHEMA.validate(document)
    return document


def grant(document, name):
    return next(found for found in document["grants"] if found["id"] == name)


def wanted(document, award, leaf):
    return next(entry["text"] for entry in grant(document, award)["would_take"] if entry["id"] == leaf)


@pytest.mark.parametrize("revenue, zh, en", [
    (None, "要求：超过 20000 万元。", "Wanted: more than 200,000,000 yuan."),
    ("1.5 亿元", "现为“15000 万元”；要求：超过 20000 万元；现在比它少 5000 万元，恰好达到也不够。",
     "it is 50,000,000 yuan below that, and reaching it is not enough"),
])
def test_a_number_that_is_missing_or_too_small(tmp_path, revenue, zh, en):
    document = evaluate(tmp_path, claims=["revenue_200m"], facts={"main_business_revenue": revenue})
    text = wanted(document, "revenue_200m", "revenue_200m")
    assert zh in text["zh"] and en in text["en"], text
    assert "{" not in text["zh"] + text["en"]
