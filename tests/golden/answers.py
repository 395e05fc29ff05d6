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


def test_money_of_an_unknown_kind_is_asked_about(tmp_path):
    money = {"policy": "区专项", "level": "district", "project": "same", "amount": "300 万元"}
    open_kind = evaluate(tmp_path / "a", claims=["compute_support"], costs={"compute_cost": "4000 万元"}, received=[money])
    text = wanted(open_kind, "compute_support", "higher_without_repetition")
    assert "300 万元" in text["zh"] and "同类" in text["zh"] and "3,000,000 yuan" in text["en"]
    said = evaluate(tmp_path / "b", claims=["compute_support"], costs={"compute_cost": "4000 万元"},
                    received=[{**money, "for": "compute_support"}])
    assert grant(said, "compute_support")["would_take"] == []


def test_a_reading_that_changes_the_sum_alone_decides_something(tmp_path):
    """Each award is certain; one bill under both is a question of their sum."""
    bill = {"amount": "1000 万元", "file": "papers/lease.txt"}
    document = evaluate(tmp_path, claims=["compute_support", "scene_support"], costs={"compute_cost": bill, "project_input": dict(bill)})
    assert grant(document, "compute_support")["up_to_yuan"] and grant(document, "scene_support")["up_to_yuan"]
    decides = {reading["reading"]: reading["decides"] for reading in document["readings"]}
    assert decides["one_bill"] == ["compute_support", "scene_support"]
    assert decides["breakthrough"] == []


@pytest.mark.parametrize("policy", sorted(path.stem for path in policies.POLICIES.glob("*.yaml")))
def test_nothing_is_wanted_twice(policy, tmp_path):
    document = evaluate(tmp_path, policy, {"applicant": "某公司"}, claims="all")
    for award in document["grants"]:
        entries = [(entry["id"], entry["text"]["zh"]) for entry in award["would_take"]]
        assert len(entries) == len(set(entries)), award["id"]
        assert all("{" not in zh and "：。" not in zh and "，。" not in zh for _, zh in entries)


def test_what_is_stated_is_told_in_both_languages(tmp_path):
    document = evaluate(tmp_path, claims=["event_support"])
    values = {finding["id"]: finding.get("value_text") for finding in document["findings"]}
    assert values["event_organiser"] == {"zh": "企业", "en": "enterprise"}
    assert values["event_place"] == {"zh": "是", "en": "yes"}
    assert values["event_recognition"] is None


def test_the_application_papers_stand_in_the_report(tmp_path):
    songjiang = policies.load(policies.SOURCE / "tests/golden/songjiang-2025-draft/cases.yaml")["applicant"]
    credit = {"file": "papers/credit.txt", "issued": "2026-10-01"}
    document = evaluate(tmp_path, "songjiang-2025-draft", songjiang, dates={"application": "2026-11-21"},
                        materials={"credit_report": credit})
    papers = {paper["item"]: paper for paper in document["papers"]}
    assert papers["credit_report"]["status"] == "pass" and papers["credit_report"]["file"] == "papers/credit.txt"
    assert "missing" in {paper["status"] for paper in papers.values()}
    subprocess.run([policies.ZHIHENG, "report", tmp_path / "evaluation.json", "--out", tmp_path / "report", "--no-pdf"], check=True)
    for lang, missing in (("zh", "<td>缺</td>"), ("en", "<td>Missing</td>")):
        page = (tmp_path / f"report/report.{lang}.html").read_text(encoding="utf-8")
        annex = page.split({"zh": "附录 G", "en": "Annex G"}[lang])[1]
        assert all(paper["name"][lang] in annex for paper in papers.values()) and missing in annex
        assert papers["credit_report"]["sm3"][:12] in annex and "2026-10-01" in annex
    without = evaluate(tmp_path / "none", claims=["compute_support"])
    assert "papers" not in without  # Xuhui lists none
