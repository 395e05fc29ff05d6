"""What the language of policies can say of amounts, each with its result computed by hand: language/language.yaml.

Run by ctest (evaluator.policy_language).
"""
import subprocess
import sys

import pytest

import policies

POLICY = policies.SOURCE / "tests/golden/language/language.yaml"
BEFORE, AFTER = "2024-06-30", "2026-06-30"  # the two years of the trial end on 2025-12-15


def evaluate(folder, claims, date=BEFORE, **sections):
    applicant = {"applicant": "某公司", "claims": claims, "dates": {"application": date}, **sections}
    document = policies.run(POLICY, applicant, folder)
    assert not isinstance(document, subprocess.CompletedProcess), document.stderr
    policies.SCHEMA.validate(document)
    policies.APPLICANTS.validate(policies.load(folder / "applicant.yaml"))
    return document


def grant(document, name):
    return next(found for found in document["grants"] if found["id"] == name)


def by_choice(found, reading):
    return {row["choices"][reading]: row["up_to_yuan"] for row in found["readings"]}


def received(amount, **more):
    return {"amount": amount, "project": "same", "date": BEFORE, **more}


@pytest.mark.parametrize("wide, rent, up_to, limits", [
    (False, "2000 万元", "6000000.00", None),                                 # 30 % of 20 million
    (False, "3000 万元", "8000000.00", None),                                 # the cap
    (True, "2000 万元", "6000000.00", None),                                  # below the cap it does not matter
    (True, "3000 万元", None, ("8000000.00", "9000000.00")),                  # 30 % of 30 million is all that is left
    ({"unproven": True}, "3000 万元", None, ("8000000.00", "9000000.00")),    # open: it may be lifted
])
def test_a_condition_lifts_the_cap(tmp_path, wide, rent, up_to, limits):
    found = grant(evaluate(tmp_path, ["capped_rent"], facts={"wide": wide}, costs={"rent": rent}), "capped_rent")
    assert found["verdict"] == "pass" and found["up_to_yuan"] == up_to
    assert found["range"] == (limits and {"low_yuan": limits[0], "high_yuan": limits[1]})
    assert found["terms"]["caps"][0]["unless"] == "wide"


@pytest.mark.parametrize("got, rent, total", [
    (None, "1000 万元", "8000000.00"),  # 3 + 6 million, at most 8
    (None, "600 万元", "7800000.00"),   # 1.8 + 6 million
    ("capped_rent", "1000 万元", "5000000.00"),   # 3 of the 8 million were received under one,
    ("capped_award", "1000 万元", "5000000.00"),  # or under the other
])
def test_a_shared_cap_bounds_the_sum(tmp_path, got, rent, total):
    before = {"received": [received("300 万元", clause=got)]} if got else {}
    document = evaluate(tmp_path, ["capped_rent", "capped_award"], facts={"wide": False}, costs={"rent": rent}, **before)
    assert document["combination"]["up_to_yuan"] == total
    row = document["combination"]["by_reading"][0]["certain"]
    assert sum(policies_fen(share["up_to_yuan"]) for share in row["shares"]) == policies_fen(total)
    assert sorted(row["limits"][0]["among"]) == ["capped_award", "capped_rent"]


def policies_fen(yuan):
    return int(yuan.replace(".", ""))


def test_a_sum_is_open_while_it_is_not_known_what_was_received(tmp_path):
    """Each alone is certain; together they are 6 or 8 million, by the year of what was received."""
    document = evaluate(tmp_path, ["capped_rent", "capped_award"], facts={"wide": False}, costs={"rent": "1000 万元"},
                        received=[{"clause": "capped_rent", "amount": "200 万元"}])
    assert [grant(document, name)["up_to_yuan"] for name in ("capped_rent", "capped_award")] == ["3000000.00", "6000000.00"]
    assert document["combination"]["up_to_yuan"] is None


def test_how_often_a_cap_counts_is_a_reading(tmp_path):
    document = evaluate(tmp_path, ["often"], received=[received("30 万元", clause="often")])
    assert by_choice(grant(document, "often"), "how_often") == {"each": "1000000.00", "year": "700000.00"}
    assert grant(document, "often")["up_to_yuan"] is None
    assert grant(document, "often")["terms"]["caps"][0]["per_reading"] == "how_often"


@pytest.mark.parametrize("research, got, up_to", [
    ("500 万元", "50 万元", "1000000.00"),   # 30 % of 5 million, less 0.5 million
    ("500 万元", "150 万元", "0.00"),        # all of the share was received
    ("1000 万元", "50 万元", "1500000.00"),  # 2 million in all, less 0.5
])
def test_a_share_of_cumulated_costs(tmp_path, research, got, up_to):
    document = evaluate(tmp_path, ["cumulated"], costs={"research": research},
                        received=[received(got, clause="cumulated", date="2023-12-20")])
    assert grant(document, "cumulated")["up_to_yuan"] == up_to


def test_a_base_may_be_unstated_under_one_reading(tmp_path):
    found = grant(evaluate(tmp_path, ["of_what"], costs={"rent": "1000 万元"},
                           received=[received("100 万元", clause="of_what", date="2023-12-20")]), "of_what")
    assert by_choice(found, "of_what") == {"rent": "5000000.00", "nothing": None}
    assert found["range"] == {"low_yuan": "0.00", "high_yuan": "8000000.00"}  # 9 million an enterprise, less 1


@pytest.mark.parametrize("research, money, counts, apart", [
    ("100 万元", [], "1000000.00", "1000000.00"),                                             # 80 % + 40 %, at most all
    ("100 万元", [("30 万元", "state")], "700000.00", "1000000.00"),
    ("100 万元", [("30 万元", "city"), ("30 万元", "state")], "400000.00", "700000.00"),
])
def test_a_joint_limit_bounds_the_sum_and_depends_on_a_reading(tmp_path, research, money, counts, apart):
    given = [received(amount, policy="某专项", level=level) for amount, level in money]
    document = evaluate(tmp_path, ["joint", "joint_more"], costs={"research": research},
                        **({"received": given} if given else {}))
    rows = {row["choices"]["state_money"]: row["certain"]["up_to_yuan"] for row in document["combination"]["by_reading"]}
    assert rows == {"counts": counts, "apart": apart}


def test_money_received_under_a_joined_clause_counts(tmp_path):
    document = evaluate(tmp_path, ["joint_more"], costs={"research": "100 万元"},
                        received=[received("75 万元", clause="joint")])
    assert grant(document, "joint_more")["up_to_yuan"] == "250000.00"


@pytest.mark.parametrize("earlier, got, paid, steps", [
    ("1 亿元", None, "3000000.00", "3000000.00"),            # both steps at once
    ("5 亿元", None, "3000000.00", "2000000.00"),            # the lower step before there was a policy
    ("5 亿元", "100 万元", "2000000.00", "2000000.00"),      # and it was paid
    ("5 亿元", "40 万元", "2600000.00", "2000000.00"),       # in part
    ("2 亿元", None, "3000000.00", "3000000.00"),            # 突破 is strict: the lower step was not reached
])
def test_what_a_difference_subtracts_is_a_reading(tmp_path, earlier, got, paid, steps):
    before = {"received": [received(got, clause="step_low", date="2023-12-20")]} if got else {}
    found = grant(evaluate(tmp_path, ["step_high"], facts={"revenue": "12 亿元", "earlier": earlier}, **before), "step_high")
    if paid == steps:
        assert found["up_to_yuan"] == paid
    else:
        assert found["up_to_yuan"] is None and by_choice(found, "step_paid") == {"paid": paid, "steps": steps}


@pytest.mark.parametrize("policy, level, up_to", [
    ("city-2025", "city", "300000.00"), ("city-2025", "state", "500000.00"), ("other", "city", "500000.00")])
def test_a_newer_policy_comes_first(tmp_path, policy, level, up_to):
    found = grant(evaluate(tmp_path, ["newer"], received=[received("20 万元", policy=policy, level=level)]), "newer")
    assert found["up_to_yuan"] == up_to
    other = next(entry for entry in found["alternatives"] if entry["kind"] == "yields_to")
    assert other["policies"] == ["city-2025"] and "以哪一份为准" in other["text"]["zh"] and other["clause"]["id"] == "十"


@pytest.mark.parametrize("policy, up_to", [("kindred", "500000.00"), ("another", "700000.00")])
def test_only_named_policies_are_of_the_kind(tmp_path, policy, up_to):
    document = evaluate(tmp_path, ["same_kind"], received=[received("20 万元", policy=policy, level="city")])
    assert grant(document, "same_kind")["up_to_yuan"] == up_to


@pytest.mark.parametrize("date, verdict", [("2025-12-15", "pass"), ("2025-12-16", "undetermined"), (AFTER, "undetermined")])
def test_a_rule_outside_the_text_may_end_it(tmp_path, date, verdict):
    document = evaluate(tmp_path, ["often"], date=date)
    assert grant(document, "often")["verdict"] == verdict
    reading = next(entry for entry in document["readings"] if entry["reading"] == "trial_end")
    assert ["outside" in choice for choice in reading["choices"]] == [False, True]
    if verdict == "undetermined":
        rows = grant(document, "often")["readings"]
        assert {row["choices"]["trial_end"]: row["verdict"] for row in rows} == {"open": "pass", "two_years": "fail"}


def test_technical_figures_are_shown_with_their_clause(tmp_path):
    document = evaluate(tmp_path, ["often"])
    figures = {clause["id"]: clause["figures"] for clause in document["clauses"]}
    assert figures.pop("network") == [{"id": "bandwidth", "name": {"zh": "带宽", "en": "bandwidth"}, "boundary": "不低于",
                                       "op": ">=", "value": 100, "unit": "Gb/s"}]
    assert not any(figures.values())


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
