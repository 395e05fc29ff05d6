"""Mistakes that people make in applicants' and policy files: each gets line, column, caret, and what was expected.

Run by ctest (evaluator.mistakes).
"""
import re
import shutil
import subprocess

import pytest

from policies import POLICIES, SOURCE, ZHIHENG

APPLICANT = SOURCE / "tests/golden/applicant"
PLACE = re.compile(r"^zhiheng: \S+\.yaml:(\d+):(\d+): ")

# What stands in the file, what somebody writes instead, what the answer says.
IN_APPLICANT = {
    "tab": ("  entity:", "\tentity:", "not valid YAML"),
    "no_unit": ("amount: 1280 万元", "amount: 12800000", "has no unit"),
    "no_space": ("amount: 1280 万元", "amount: 1280万元", "no space before its unit"),
    "grouped": ("amount: 1280 万元", "amount: 1,280 万元", "text with a comma needs quotes"),
    "grouped_in_quotes": ("amount: 1280 万元", 'amount: "1,280 万元"', "plain digits"),
    "full_width_digits": ("amount: 1280 万元", "amount: １２８０ 万元", "plain digits"),
    "another_currency": ("amount: 1280 万元", "amount: 1280 RMB", "unknown unit 'RMB'"),
    "negative": ("amount: 1280 万元", "amount: -5 万元", "plain digits"),
    "finer_than_a_fen": ("amount: 1280 万元", "amount: 0.0000001 万元", "more decimals"),
    "full_width_comma": ("{year: 2025, amount", "{year: 2025，amount", "full-width '，'"),
    "full_width_colon": ("project: 某某", "project：某某", "full-width '：'"),
    "yes": ("value: true", "value: yes", "true or false"),
    "a_word_not_in_the_list": ("value: enterprise", "value: 企业", "expected enterprise"),
    "a_misspelt_base": ("r_and_d_cost:", "rnd_cost:", "r_and_d_cost"),
    "a_misspelt_section": ("documents:", "document:", "did you mean 'documents'"),
    "a_misspelt_claim": ("[development_support]", "[developement_support]", "did you mean 'development_support'"),
    "a_condition_claimed": ("[development_support]", "[parameters]", "expected one of kind amount"),
    "slashes": ("application: 2026-11-21", "application: 2026/11/21", "such as 2025-03-05"),
    "no_such_day": ("application: 2026-11-21", "application: 2026-02-30", "a day of the calendar"),
    "no_such_paper": ("papers/agreement.txt", "papers/agrement.txt", "there is no file"),
    "a_paper_elsewhere": ("papers/agreement.txt", "../agreement.txt", "beside or below"),
    "half_a_digest": ("sm3: 96a66e2da7cacdfc", "sm3: ", "64 hexadecimal digits"),
    "a_key_twice": ("project: 某某通用大模型", "project: a\nproject: b", "line 4 has it already"),
    "a_cost_without_proof": ("amount: 1280 万元, file: papers/accounts.txt", "amount: 1280 万元", "'file' is missing"),
    "a_path_alone": ("{file: papers/agreement.txt}", "papers/agreement.txt", "a map with 'file'"),
    "a_grant_of_no_level": ("materials:", "received:\n  - {policy: x, amount: 1 万元}\nmaterials:", "'level' is missing"),
    "a_claim_without_a_list": ("claims: [development_support]", "claims: development_support",
                               "a list such as [development_support], or all"),
    "a_document_under_facts": ("facts:\n", "facts:\n  third_party: {file: papers/licence.txt}\n",
                               "'third_party' belongs under 'documents'"),
    "a_base_under_documents": ("documents:\n", "documents:\n  r_and_d_cost: {file: papers/licence.txt}\n",
                               "'r_and_d_cost' belongs under 'costs'"),
    "a_grant_like_two_awards": ("materials:", "received:\n  - {policy: x, level: city, amount: 1 万元, "
                                "for: [development_support]}\nmaterials:", "several entries, each with its share"),
    "a_grant_like_a_condition": ("materials:", "received:\n  - {policy: x, level: city, amount: 1 万元, "
                                 "for: parameters}\nmaterials:", "of kind 'amount', or other"),
    "own_money_like_another": ("materials:", "received:\n  - {clause: security_support, amount: 1 万元, "
                               "for: other}\nmaterials:", "belongs to another policy's"),
    "no_name": ("applicant: 上海某某智算科技有限公司", "", "'applicant' is missing"),
}
IN_POLICY = {
    "no_quote": ("    quote: 鼓励企业主导或参与大模型和生成式人工智能国际标准、国家标准的制修订\n", "", "'quote' is missing"),
    "a_quote_of_commas": ("quote: 徐科委规〔2023〕1号", "quote: '，。'", "expected words of the text"),
    "a_cap_mistyped": ("{amount: 600 万元, word: 最高}", "{amount: 60 万元, word: 最高}", "does not stand in the quote"),
    "another_boundary_word": ("{amount: 600 万元, word: 最高}", "{amount: 600 万元, word: 不超过}", "boundary word"),
    "a_rate_as_a_fraction": ("{at_most: 30 %, word: 最高}", "{at_most: 0.3, word: 最高}", "such as '50 %'"),
    "a_rate_above_all": ("{at_most: 30 %, word: 最高}", "{at_most: 300 %, word: 最高}", "at most 100 %"),
    "a_base_misspelt": ("base: compute_cost", "base: computecost", "did you mean 'compute_cost'"),
    "a_fact_misspelt": ("fact: model_work", "fact: model_wrk", "did you mean 'model_work'"),
    "a_kind_unknown": ("kind: encouragement", "kind: encourage", "expected condition, amount"),
    "a_choice_left_out": ("{strict: '>', inclusive: '>='}", "{strict: '>'}", "'inclusive' is missing"),
    "a_condition_misspelt": ("requires: [revenue_applicant]", "requires: [revenue_aplicant]", "did you mean"),
    "an_id_twice": ("id: data_support", "id: compute_support", "stands twice"),
    "one_language": ("{zh: 文号, en: Number of the document}", "{zh: 文号}", "'en' is missing"),
    "another_day": ("from: 2023-12-16", "from: 2023-12-17", "stands in the quote"),
    "status_in_chinese": ("status: trial", "status: 试行", "expected draft, trial"),
    "a_leaf_quoting_another_clause": ("quote: 登记注册在本区\n", "quote: 登记注册于本区\n", "quote of clause 一"),
    "no_criterion": ("    criterion: {zh: 最高 1000 万元, en: up to 10 million yuan}\n", "", "'criterion' is missing"),
    "a_term_of_another_length": ("{to: 5 年, written: 五年}", "{to: 4 年, written: 五年}", "not the figure"),
    "a_rule_misspelt": ("rule: higher_of", "rule: highest_of", "did you mean 'higher_of'"),
    "a_period_unknown": ("per: lifetime", "per: life", "expected award"),
    "a_comma_in_a_phrase": ("en: 'up to 500,000 yuan a year'", "en: up to 500,000 yuan a year", "needs quotes"),
    "a_reading_that_nothing_uses": ("readings:\n", "readings:\n  - reading: idle\n    question: {zh: 问, en: q}\n    choices:\n"
                                    "      one: {name: {zh: 一, en: o}, ground: {zh: 据, en: g}}\n"
                                    "      two: {name: {zh: 二, en: t}, ground: {zh: 据, en: g}}\n",
                                    "nothing depends on the reading 'idle'"),
    "a_clause_below": ("- clause: settlement\n", "- clause: listing_award\n", "a clause above this one"),
}


def refusal(folder, *words, code=2):
    done = subprocess.run([ZHIHENG, *words], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == code and done.stdout == ""
    return done.stderr


def changed(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


def holds(message, text, said):
    place = PLACE.match(message)
    assert place and said in message, message
    line = int(place[1])
    assert f"\n  {line} | " in message and re.search(r"^ +\| *\^", message, re.MULTILINE), message
    assert 1 <= line <= text.count("\n") + 1


@pytest.mark.parametrize("mistake", IN_APPLICANT)
def test_in_an_applicants_file(mistake, tmp_path):
    old, new, said = IN_APPLICANT[mistake]
    text = changed((APPLICANT / "applicant.yaml").read_text(encoding="utf-8"), old, new)
    shutil.copytree(APPLICANT / "papers", tmp_path / "papers")
    (tmp_path / "applicant.yaml").write_text(text, encoding="utf-8")
    holds(refusal(tmp_path, "evaluate", "--policy", "songjiang-2025-draft", "--applicant", "applicant.yaml"), text, said)
    assert not (tmp_path / "evaluation.json").exists()


def test_another_paper_than_the_one_declared(tmp_path):
    text = (APPLICANT / "applicant.yaml").read_text(encoding="utf-8")
    text = changed(text, "sm3: 96a66e2da7cacdfc", "sm3: 06a66e2da7cacdfc")
    shutil.copytree(APPLICANT / "papers", tmp_path / "papers")
    (tmp_path / "applicant.yaml").write_text(text, encoding="utf-8")
    said = refusal(tmp_path, "evaluate", "--policy", "songjiang-2025-draft", "--applicant", "applicant.yaml", code=1)
    holds(said, text, "is not the file that was declared")
    assert "its SM3 is 96a66e2da7cacdfc" in said


@pytest.mark.parametrize("mistake", IN_POLICY)
def test_in_a_policy_file(mistake, tmp_path):
    old, new, said = IN_POLICY[mistake]
    text = changed((POLICIES / "xuhui-2023.yaml").read_text(encoding="utf-8"), old, new)
    (tmp_path / "xuhui-2023.yaml").write_text(text, encoding="utf-8")
    holds(refusal(tmp_path, "checklist", "--policy", "xuhui-2023.yaml"), text, said)


def test_a_quote_that_the_text_does_not_have(tmp_path):
    text = changed((POLICIES / "xuhui-2023.yaml").read_text(encoding="utf-8"), "鼓励企业主导或参与大模型", "鼓励企业参与大模型")
    (tmp_path / "xuhui-2023.yaml").write_text(text, encoding="utf-8")
    published = "".join(re.findall(r"quote: (?:>-\s+)?(.*)", text)).replace("鼓励企业参与大模型", "鼓励企业主导或参与大模型")
    (tmp_path / "published.txt").write_text(published, encoding="utf-8")
    done = subprocess.run([ZHIHENG, "policy", "check", "xuhui-2023.yaml", "--source", "published.txt"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    line = text[:text.index("鼓励企业参与大模型")].count("\n") + 1
    assert done.returncode == 1
    assert f"\nxuhui-2023.yaml:{line}:12: the quote of clause 二.6 (standards) does not stand in" in done.stdout
    assert "^~~" in done.stdout and done.stdout.count("does not stand") == 1
