"""A policy of an invented city, written from docs/adding-a-policy.md alone: it loads, its quotes stand, its sums are right.

Run by ctest (evaluator.invented_city).
"""
import json
import subprocess

import pytest

from policies import SOURCE, ZHIHENG, entry, run

FOLDER = SOURCE / "tests/golden/invented-city"
POLICY = FOLDER / "linjiang-2026.yaml"
APPLICANT = {
    "applicant": "临江某某公司",
    "dates": {"application": "2026-11-21"},
    "claims": "all",
    "facts": {"city": "临江市", "good_credit": True, "entity": "enterprise", "staff": "20 人", "contracts": "100 万元",
              "supplier": ["local"], "bandwidth": "100 Gb/s", "running_since": "2026-06-29", "level_reached": ["state"]},
    "exclusions": {"no_other": False},
    "costs": {"paid": "1000 万元"},
}


def evaluate(folder, facts=None, **changes):
    applicant = {**APPLICANT, **changes, "facts": {**APPLICANT["facts"], **(facts or {})}}
    document = run(POLICY, applicant, folder)
    assert isinstance(document, dict), document.stderr
    return document


def figures(document):
    return {grant["id"]: grant["up_to_yuan"] for grant in document["grants"]}


def test_quotes_stand_in_the_text():
    done = subprocess.run([ZHIHENG, "policy", "check", POLICY, "--source", FOLDER / "published.txt", "--json"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout)["missing"] == []


def test_each_boundary_is_met_exactly(tmp_path):
    document = evaluate(tmp_path)
    assert figures(document) == {
        "subsidy_general": "1500000.00",  # 15 % of 1000 万元
        "subsidy_local": "2000000.00",    # 20 % of it
        "bandwidth_award": "3000000.00",
        "award_province": "500000.00",
        "award_state": "1000000.00"}
    assert document["combination"]["up_to_yuan"] == "6000000.00"  # 200 + 300 + 100 万元


@pytest.mark.parametrize("facts, failing", [
    ({"staff": "19 人"}, {"subsidy_general", "subsidy_local", "bandwidth_award", "award_province", "award_state"}),
    ({"contracts": "999999.99 元"}, {"subsidy_general", "subsidy_local"}),
    ({"bandwidth": "99 Gb/s"}, {"bandwidth_award"}),
    ({"running_since": "2026-07-01"}, {"bandwidth_award"}),
    ({"supplier": ["other"]}, {"subsidy_local"}),
    ({"level_reached": ["province"]}, {"award_state"})])
def test_one_below(facts, failing, tmp_path):
    document = evaluate(tmp_path, facts)
    assert {grant["id"] for grant in document["grants"] if grant["verdict"] == "fail"} == failing


def test_the_day_itself_is_a_question(tmp_path):
    grant = entry(evaluate(tmp_path, {"running_since": "2026-06-30"}), "bandwidth_award")
    assert grant["verdict"] == "undetermined"
    assert [(row["choices"], row["up_to_yuan"]) for row in grant["readings"]] == [
        ({"day_before": "included"}, "3000000.00"), ({"day_before": "excluded"}, "0.00")]


def test_money_of_the_year_of_the_district_and_of_lower_steps_counts(tmp_path):
    received = [{"clause": "subsidy_general", "project": "other", "amount": "50 万元", "date": "2026-02-01"},
                {"policy": "某区专项", "level": "district", "project": "same", "amount": "400 万元", "date": "2026-02-01"},
                {"clause": "award_province", "project": "other", "amount": "50 万元", "date": "2025-02-01"}]
    assert figures(evaluate(tmp_path, received=received)) == {
        "subsidy_general": "1000000.00",  # 150, 200 − 50, 500 − 400 万元: the least
        "subsidy_local": "1000000.00",
        "bandwidth_award": "3000000.00",
        "award_province": "0.00",         # 50 − 50
        "award_state": "500000.00"}       # 100 − 50


def test_money_of_the_state_rules_it_out(tmp_path):
    received = [{"policy": "国家专项", "level": "state", "project": "same", "amount": "1 万元"}]
    assert set(figures(evaluate(tmp_path, received=received)).values()) == {"0.00"}


def test_a_condition_that_nothing_needs_is_refused(tmp_path):
    text = POLICY.read_text(encoding="utf-8").replace("always: [applicant, no_other]", "always: [applicant]")
    (tmp_path / "linjiang-2026.yaml").write_text(text, encoding="utf-8")
    done = subprocess.run([ZHIHENG, "checklist", "--policy", tmp_path / "linjiang-2026.yaml"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 2 and "no amount needs the condition 'no_other'" in done.stderr and "^" in done.stderr
