"""What evaluation.json says of parameters, amounts, readings and conditions stands on the pages, and nothing else does."""
import decimal
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from test_pages import GOLDEN, ZHIHENG, Page  # noqa: E402

LANGUAGES = ("zh", "en")


def load():
    return json.loads(GOLDEN.read_text("utf-8"))


def render(folder, document, *options):
    source = folder / "evaluation.json"
    source.write_text(json.dumps(document, ensure_ascii=False, indent=2), "utf-8")
    done = subprocess.run([ZHIHENG, "report", source, "--out", folder / "report", "--no-pdf", *options],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {lang: (folder / f"report/report.{lang}.html").read_text("utf-8") for lang in LANGUAGES}


def shown(page):
    return re.sub(r"\s+", " ", "".join(Page(page).text))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return render(tmp_path_factory.mktemp("parts"), load())


def leaves(node):
    if node["kind"] == "leaf":
        yield node
    for child in node.get("of", []):
        yield from leaves(child)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_amount_condition_reading_and_clause_appears(pages, lang):
    document, text = load(), shown(pages[lang])
    for grant in document["grants"]:
        for sentence in (grant["title"], grant["statement"]):
            assert sentence[lang] in text
        assert grant["clause"]["quote"] in text
        if grant["verdict"] != "fail":
            assert all(step["text"][lang] in text for step in grant["calculation"])
            assert all(person[lang] in text for person in grant["people"])
        for entry in grant["would_take"]:  # a question to the authority stands in its own table
            asked = [r for r in document["readings"] if r["question"][lang] in entry["text"][lang]]
            assert entry["text"][lang] in text or asked, entry
        for proof in grant["proof"]:
            assert all(leaf["statement"][lang] in text for leaf in leaves(proof))
    for reading in document["readings"]:
        assert reading["question"][lang] in text
        for choice in reading["choices"]:
            assert choice["name"][lang] in text and choice["ground"][lang] in text
    for clause in document["clauses"]:
        assert clause["heading"][lang] in text


def money(page, lang):
    """Every amount of money on the page, in yuan."""
    pattern = r'class="money">([\d,.]+) 万元<' if lang == "zh" else r'class="money">CNY ([\d,.]+)<'
    scale = 10_000 if lang == "zh" else 1
    return [decimal.Decimal(found.replace(",", "")) * scale for found in re.findall(pattern, page)]


def amounts_of(node):
    """Every amount that the document has."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and (key.endswith("_yuan") or key == "yuan"):
                yield decimal.Decimal(value)
            else:
                yield from amounts_of(value)
    if isinstance(node, list):
        for value in node:
            yield from amounts_of(value)


def test_both_languages_have_the_same_figures_and_they_are_the_documents(pages):
    document = load()
    zh, en = money(pages["zh"], "zh"), money(pages["en"], "en")
    assert zh == en and len(zh) > 20
    assert set(zh) <= set(amounts_of(document))
    for grant in document["grants"]:
        for figure in (grant["up_to_yuan"], grant["if_all_hold_yuan"]):
            assert figure is None or grant["verdict"] == "fail" or decimal.Decimal(figure) in zh
    badges = [re.findall(r'class="(?:badge|mini)[^"]* ?(pass|fail|undetermined|not_applicable)"', pages[lang])
              for lang in LANGUAGES]
    assert badges[0] == badges[1]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_amount_is_a_bound(pages, lang):
    """In the table of amounts nothing is promised: every figure has 'up to' before it."""
    heading = {"zh": "支持事项与最高额度", "en": "Amounts"}[lang]
    table = pages[lang].split(heading, 1)[1].split("</table>", 1)[0]
    cells = re.findall(r"<td>((?:(?!<td>).)*?class=\"money\".*?)</td>", table, re.S)
    assert cells
    for cell in cells:
        assert re.search({"zh": "最高|至", "en": "up to"}[lang], cell), cell


def cheater():
    """The sample's model, with what an audit of a padded one would say."""
    document = load()
    model = document["models"][0]
    kinds = ["zero_tensor", "duplicate_layer", "untrained"]
    model["findings"] = [{
        "kind": kinds[i % 3], "where": f"blk.{i}.<b>weight</b>", "of": None if i % 2 else f"blk.{i + 40}",
        "parameters": 1_000_003 + i * 17, "confidence": 1.0 if i % 2 else 0.975,
        "text": {"zh": f"第 {i} 处。", "en": f"Place {i}."}} for i in range(14)]
    model["parameters"]["effective"] = {"value": 120_515_008, "low": 110_515_008, "high": 130_515_008}
    model["parameters"]["readings"] = [{"reading": "file_elements", "parameters": 67_257_504}]
    return document, model


@pytest.mark.parametrize("lang", LANGUAGES)
def test_findings_of_the_audit(tmp_path, lang):
    document, model = cheater()
    page = render(tmp_path, document)[lang]
    text = shown(page)
    order = [page.index(f"blk.{i}.&lt;b&gt;weight") for i in range(13, 3, -1)]
    assert order == sorted(order), "the largest first"
    assert "blk.3.&lt;b&gt;" not in page, "ten are shown"
    assert {"zh": "另有 4 项未列", "en": "left out: 4"}[lang] in text
    assert "models[0].findings" in text
    for kind, word in {"zh": ("全零张量", "重复的层", "未训练"),
                       "en": ("Tensor of zeros", "Repeated layer", "Untrained")}.items():
        if kind == lang:
            assert all(w in text for w in word)
    of_kind = sum(f["parameters"] for f in model["findings"] if f["kind"] == "zero_tensor")
    assert f"{of_kind:,}" in text
    for count in (134_515_008, 120_515_008, 110_515_008, 130_515_008, 67_257_504, 100_000_000_000):
        assert f"{count:,}" in text
    assert "97.5" in text and {"zh": "已证实", "en": "proved"}[lang] in text
    assert {"zh": "扰动检验", "en": "Perturbation"}[lang] not in text


def test_the_proof_by_perturbation_shows_where_it_is(tmp_path):
    document, model = cheater()
    model["live"] = {"measured": True, "probes": 400, "changed": 396, "lower_bound_95": 0.97449}
    pages = render(tmp_path, document)
    assert "随机抽取 400 个权重逐一改动，其中 396 个使输出发生变化" in shown(pages["zh"])
    assert "至少 97.4% 的参数" in shown(pages["zh"])
    assert "at least 97.4 % of the parameters" in shown(pages["en"])
    assert "没有任何词元选中" not in shown(pages["zh"])
    model["live"]["not_reached"] = 3
    pages = render(tmp_path, document)
    assert "其余权重中有 3 个属于没有任何词元选中的专家" in shown(pages["zh"])
    assert "3 belong to experts that no token was sent to" in shown(pages["en"])
    model["live"]["lower_bound_95"] = 0.97499  # a lower bound is never rounded up
    assert "97.4" in shown(render(tmp_path, document)["zh"]).split("扰动检验")[1][:120]


def test_counts_that_an_audit_without_weights_leaves_open(tmp_path):
    document = load()
    model = document["models"][0]
    model.update(sm3=None, sha256=None)
    model["parameters"].update(unique=None, effective=None, active=None, active_parts=None)
    pages = render(tmp_path, document)
    assert "未读取权重" in shown(pages["zh"]) and "weights not read" in shown(pages["en"])
    assert "134,515,008" in shown(pages["zh"])


def test_what_an_amount_waits_for_twice_is_named_once(tmp_path):
    document = load()
    grant = document["grants"][3]
    grant["would_take"] = [{"id": "a", "verdict": "fail", "text": {"zh": "补交甲。", "en": "Hand in A."}}] * 2
    cell = render(tmp_path, document)["en"].split("Hand in A.", 1)[1].split("</tr>", 1)[0]
    assert re.findall(r'class="item">(\d+)<', cell) == ["4"]


def test_the_limit_is_strict_and_not_ours_to_interpret(pages):
    assert "恰好等于不算超过" in shown(pages["zh"]) and "exactly as many is not more" in shown(pages["en"])
    assert "取哪一种不由本报告决定" in shown(pages["zh"])
    assert "That is not for this report to decide" in shown(pages["en"])


def test_checks_near_their_bound_have_a_footnote(tmp_path):
    document = load()
    steps = document["bundle"][0]["run"]["steps"]
    check = next(c for step in steps for c in step["checks"] if c["bound"])
    for other in (c for step in steps for c in step["checks"] if c["bound"]):
        other["error"] = other["bound"] * 0.1
    assert "‡" not in shown(render(tmp_path, document)["zh"])
    check["error"] = check["bound"] * 0.99999
    pages = render(tmp_path, document)
    assert "99.999%‡" in shown(pages["zh"]) and "‡ Bounds are derived" in shown(pages["en"])


def test_readings_that_matter_get_a_row_each(tmp_path):
    """Of the readings of an amount only those that change it are told apart."""
    document = load()
    grant = document["grants"][1]
    ids = [reading["reading"] for reading in document["readings"][:2]]
    choices = [[c["choice"] for c in reading["choices"]] for reading in document["readings"][:2]]
    grant["readings"] = [
        {"choices": {ids[0]: a, ids[1]: b}, "verdict": "pass", "up_to_yuan": f"{7777 + i}.00", "range": None}
        for i, a in enumerate(choices[0]) for b in choices[1]]
    page = render(tmp_path, document)["en"]
    block = page.split("By reading", 1)[1].split("</table>", 1)[0]
    assert [f"{7777 + i:,}" for i in range(len(choices[0]))] == re.findall(r"CNY ([\d,]+)", block)
    assert "Question 1" in block and "Question 2" not in block


def test_evidence_of_a_condition_stands_in_its_proof(pages):
    document = load()
    for lang in LANGUAGES:
        annex = pages[lang].split({"zh": "附录 D", "en": "Annex D"}[lang] + "</span>", 1)[1]
        for finding in document["findings"]:
            for evidence in finding["evidence"]:
                assert evidence["sm3"][:12] in annex, (finding["id"], lang)


@pytest.mark.skipif(not (shutil.which("weasyprint") and shutil.which("pdftotext")), reason="no WeasyPrint or pdftotext")
def test_no_line_leaves_its_page(tmp_path):
    document, model = cheater()
    document["models"][0]["findings"][0]["where"] = "model.layers." + "x" * 200
    document["applicant"]["name"] = "某" * 120
    long = "50 % of the approved contract amount of the corpus bought in the year, and of what belongs to it, 30,000,000 yuan"
    for grant in document["grants"]:
        grant["calculation"] = [{"text": {"zh": "某项费用" * 40, "en": long}, "left_yuan": "123456789012.34"}] * 2
        grant["title"] = {"zh": "支持事项" * 20, "en": "support " * 20 + "x" * 90}
    source = tmp_path / "evaluation.json"
    source.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    done = subprocess.run([ZHIHENG, "report", source, "--out", tmp_path / "report"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    right = 595.28 - 19 / 25.4 * 72 + 1
    for lang in LANGUAGES:
        pdf = tmp_path / f"report/report.{lang}.pdf"
        boxes = subprocess.run(["pdftotext", "-bbox", pdf, "-"], capture_output=True, text=True, check=True).stdout
        words = re.findall(r'<word xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)" yMax="[\d.]+">(.*?)</word>', boxes)
        assert words
        assert [w for w in words if float(w[1]) > right] == [], lang


def with_quality(document, curves):
    quality = {"figures": [{"name": "made_zh", "alias": "made_zh", "group": True, "depth": 0, "metric": "exact_match", "filter": "none", "value": 0.5, "stderr": 0.1,
                            "items": 60, "higher_is_better": True, "deciding": True}], "seed": 5, "sources": [], "curves": curves}
    step = document["bundle"][0]["run"]["steps"][0]
    step.setdefault("facts", {})["quality"] = quality
    return document


@pytest.mark.parametrize("error", [{"stderr": None, "alike": True}, {"stderr": 0.0}], ids=["as it is written", "as older bundles have it"])
def test_items_that_all_score_alike_have_no_error(tmp_path, error):
    document = with_quality(load(), [])
    document["bundle"][0]["run"]["steps"][0]["facts"]["quality"]["figures"][0].update(error)
    pages = render(tmp_path, document)
    for lang, said in (("zh", "各题得分全同"), ("en", "all items alike")):
        assert said in shown(pages[lang]) and "0.0000" not in shown(pages[lang])


def test_curves_are_drawn_and_told(tmp_path):
    points = [{"level": n + 1, "items": 20, "value": share, "low": share / 2, "high": (1 + share) / 2} for n, share in enumerate((1.0, 0.75, 0.25, 0.0))]
    curves = [{"task": "made_units_zh", "points": points, "half": {"level": 2.5, "side": "within"}},
              {"task": "made_logic_zh", "points": points[2:], "half": {"level": None, "side": "below"}}]
    pages = render(tmp_path, with_quality(load(), curves))
    for lang, half, below in (("zh", "答对一半之处：2.5 级。", "最低一级已不足一半。"), ("en", "Half are right at level 2.5.", "Fewer than half are right at the first.")):
        text = shown(pages[lang])
        assert half in text and below in text and re.search(r"2(: | 级 )75 % ?[(（]38–88[)）]", text)
        drawings = re.findall(r'<svg class="curve".*?</svg>', pages[lang])
        assert len(drawings) == 2
        assert 'points="25.0,0.0 75.0,15.0 125.0,45.0 175.0,60.0"' in drawings[0]
        assert '<line x1="75.0" y1="7.5" x2="75.0" y2="37.5"' in drawings[0]  # from 88 % to 38 %
        assert drawings[0].count("<circle") == 4 and drawings[1].count("<circle") == 2
