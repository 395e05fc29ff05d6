"""The pages as a browser and an archivist see them: well-formed, self-contained, wordless code behind them."""
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess

import jsonschema
import pytest

ROOT = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
ZHIHENG = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "bin" / "zhiheng"
GOLDEN = ROOT / "tests/golden/report/evaluation.json"
VOID = {"meta", "br", "rect", "img", "link", "hr", "input"}


class Page(html.parser.HTMLParser):
    """Checks nesting and collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.attributes, self.tags, self.text = [], [], set(), []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def report(tmp_path, *arguments, evaluation=GOLDEN):
    out = tmp_path / "report"
    done = subprocess.run([ZHIHENG, "report", evaluation, "--out", out, *arguments], capture_output=True, text=True)
    return done, out


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    done, out = report(tmp_path_factory.mktemp("pages"), "--no-pdf", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pdf"] is False
    return {lang: (out / f"report.{lang}.html").read_text("utf-8") for lang in ("zh", "en")}


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_well_formed_and_self_contained(pages, lang):
    page = Page(pages[lang])
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base"})
    for tag, name, value in page.attributes:
        assert name not in {"src", "srcset", "href", "xlink:href", "data", "action", "style"}, (tag, name)
        assert not name.startswith("on"), (tag, name)
        assert "http" not in value
    style = re.search(r"<style>(.*?)</style>", pages[lang], re.S).group(1)
    assert "url(" not in style and "@import" not in style
    assert "{{" not in pages[lang] and "}}" not in pages[lang]


def test_evaluation_appears(pages):
    evaluation = json.loads(GOLDEN.read_text("utf-8"))
    for lang, text in pages.items():
        shown = "".join(Page(text).text)
        for finding in evaluation["findings"]:
            assert finding["statement"][lang] in shown
            assert finding["clause"]["quote"] in shown
            assert finding["reason"][lang] in shown
            for evidence in finding["evidence"]:
                assert evidence["sm3"] in shown
        for sentence in evaluation["not_tested"] + evaluation["marks"]:
            assert sentence[lang] in shown
        for digest in (evaluation["policy"]["sm3"], evaluation["bundle"][0]["manifest_sm3"],
                       evaluation["models"][0]["sm3"], evaluation["models"][0]["sha256"]):
            assert digest in shown


def test_chinese_page_holds_no_english_labels(pages):
    """What is not an identifier, a unit or a quotation is Chinese."""
    shown = " ".join(Page(pages["zh"]).text)
    for word in ("Measured", "Verdict", "Evidence", "undetermined", "Undetermined", "Required", "Page "):
        assert word not in shown


def test_golden_follows_the_schema():
    schema = json.loads((ROOT / "docs/schemas/evaluation.schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads(GOLDEN.read_text("utf-8")), schema)


def test_code_holds_no_words():
    """Readers' words are in templates; C of the rendering path has no Chinese and no sentence to show."""
    for source in sorted((ROOT / "reports").glob("view*.c")) + [ROOT / "reports/render.c"]:
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", source.read_text("utf-8"), flags=re.S)
        assert not re.search(r"[\u4e00-\u9fff]", code), source
    glossary = (ROOT / "reports/templates/glossary.yaml").read_text("utf-8")
    assert "decode_rate" in glossary


def test_glossary_knows_every_metric_of_the_workloads():
    glossary = (ROOT / "reports/templates/glossary.yaml").read_text("utf-8")
    known = set(re.findall(r"^  ([a-z0-9_]+\*?):", glossary, re.M))
    for source in sorted((ROOT / "bench/workloads").glob("*.c")):
        for table in re.findall(r"zh_metric \w+\[\] = \{(.*?)\};", source.read_text("utf-8"), re.S):
            for metric in re.findall(r'\{"([a-z0-9_]+)",', table):
                prefixes = [word[:-1] for word in known if word.endswith("*")]
                assert metric in known or any(metric.startswith(p) for p in prefixes), (source.name, metric)


def test_same_bytes_again(tmp_path, pages):
    done, out = report(tmp_path, "--no-pdf")
    assert done.returncode == 0
    for lang, text in pages.items():
        assert (out / f"report.{lang}.html").read_text("utf-8") == text


def test_bad_input_has_status_2(tmp_path):
    for name, text in (("empty", ""), ("cut", GOLDEN.read_text("utf-8")[:9000]), ("array", "[]"),
                       ("deep", "[" * 100_000), ("nul", "{\"schema\":\"\\u0000\"}")):
        bad = tmp_path / f"{name}.json"
        bad.write_text(text, "utf-8")
        done, out = report(tmp_path, "--no-pdf", evaluation=bad)
        assert done.returncode == 2 and done.stderr.startswith("zhiheng: "), (name, done)
        assert not out.exists()
    done, _ = report(tmp_path, "--lang", "fr")
    assert done.returncode == 2
    done, _ = report(tmp_path, evaluation=tmp_path)
    assert done.returncode == 2
    os.mkfifo(tmp_path / "fifo")
    done, _ = report(tmp_path, evaluation=tmp_path / "fifo")
    assert done.returncode == 2


def test_verify_command(tmp_path):
    done, out = report(tmp_path, "--no-pdf")
    assert done.returncode == 0
    good = subprocess.run([ZHIHENG, "verify", out, "--json"], capture_output=True, text=True)
    assert good.returncode == 0 and json.loads(good.stdout)["verified"] is True
    (out / "report.zh.html").write_text("forged")
    bad = subprocess.run([ZHIHENG, "verify", out], capture_output=True, text=True)
    assert bad.returncode == 1 and "report.zh.html" in bad.stderr


@pytest.mark.skipif(shutil.which("weasyprint") is None, reason="WeasyPrint is not installed here")
def test_pdf_is_reproducible_and_carries_the_evaluation(tmp_path):
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        done, out = report(tmp_path / name, "--lang", "en", "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["pdf"] is True, done.stderr + done.stdout
        digests.append((out / "report.en.pdf").read_bytes())
    assert digests[0] == digests[1]
    if shutil.which("pdftotext"):
        pdf = tmp_path / "a/report/report.en.pdf"
        text = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout
        sheets = text.split("\f")[:-1]
        assert 3 < len(sheets) <= 18  # 47 conditions, five amounts, six readings
        for number, sheet in enumerate(sheets, 1):
            assert f"Page {number} of {len(sheets)}" in sheet
            assert "DRAFT POLICY" in sheet and "SAMPLE" in sheet
        listed = subprocess.run(["pdfdetach", "-list", pdf], capture_output=True, text=True, check=True).stdout
        assert "evaluation.json" in listed
