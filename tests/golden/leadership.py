"""The clause "国内领先" from a comparison among the applicant's papers: the verdict is made anew from its scores."""
import json
import pathlib
import sys

import numpy
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from evaluations import HUNDRED_BILLION, audit, evaluate, sm3, write_bundle  # noqa: E402

MODEL = audit("led.gguf", (HUNDRED_BILLION + 1,) * 3)


def answers(shares, items=1200, seed=1, shared=0.5):
    rng = numpy.random.default_rng(seed)
    common, own = rng.random(items), rng.random((len(shares), items))
    luck = numpy.where(rng.random((len(shares), items)) < shared, common, own)
    return (luck < numpy.array(shares)[:, None]).astype(int)


def apply(folder, shares, digest=MODEL["sm3"], items=1200, shared=0.5, spoil=None, states=True):
    """The leadership finding of an application whose claimant and one peer have these shares of right answers."""
    papers = folder / "papers"
    papers.mkdir(parents=True)
    claimant = "ours" if digest is None else "{model: ours, sm3: %s}" % digest
    (papers / "protocol.yaml").write_text(f"claimant: {claimant}\npeers: [peer]\ntasks: [{{task: a, modality: text}}]\n")
    for model, line in zip(("ours", "peer"), answers(shares, items, shared=shared)):
        rows = "".join(f"i{i},,a,text,{score}\n" for i, score in enumerate(line))
        first = f"# model_sm3: {(digest or MODEL['sm3']).upper()}\n" if states and model == "ours" else ""
        (papers / f"{model}.csv").write_text(first + "item,cluster,task,modality,score\n" + rows)
    declared = sm3((papers / "peer.csv").read_bytes())
    if spoil:
        spoil(papers)
    (folder / "applicant.yaml").write_text(
        "applicant: 某某公司\ndecisions:\n  leadership:\n    protocol: {file: papers/protocol.yaml}\n"
        f"    scores: [{{file: papers/ours.csv}}, {{file: papers/peer.csv, sm3: {declared}}}]\n")
    done = evaluate(write_bundle(folder / "bundle", [MODEL]), folder / "out.json", "--applicant", folder / "applicant.yaml")
    if done.returncode != 0:
        return done
    findings = json.loads((folder / "out.json").read_text())["findings"]
    (finding,) = [finding for finding in findings if finding["id"] == "leadership"]
    return finding


@pytest.mark.parametrize("shares, verdict, value", [((0.9, 0.8), "pass", "leading"), ((0.8, 0.9), "fail", "not_leading")])
def test_the_verdict_decides_the_clause(tmp_path, shares, verdict, value):
    finding = apply(tmp_path, shares)
    assert (finding["verdict"], finding["value"]) == (verdict, value)
    assert [paper["file"] for paper in finding["evidence"]] == ["papers/protocol.yaml", "papers/ours.csv", "papers/peer.csv"]
    assert "ours" in finding["reason"]["zh"] and "peer" in finding["reason"]["en"]


@pytest.mark.parametrize("more, value, said", [
    (dict(shares=(0.8, 0.79), items=60), "insufficient", "insufficient evidence"),
    (dict(shares=(0.8, 0.8), items=20000, shared=0.98), "tied", "the authority must be asked"),
    (dict(shares=(0.9, 0.8), digest=64 * "0"), "leading", "cannot be used"),
    (dict(shares=(0.9, 0.8), digest=None), "leading", "cannot be used"),
    (dict(shares=(0.9, 0.8), digest=None, states=False), "leading", "cannot be used"),
    (dict(shares=(0.9, 0.8), states=False), "insufficient", "cannot be used")])
def test_what_does_not_decide_it(tmp_path, more, value, said):
    finding = apply(tmp_path, **more)
    assert (finding["verdict"], finding["value"]) == ("undetermined", value)
    assert said in finding["reason"]["en"] and finding["would_take"]["zh"]


def test_scores_that_are_not_those_declared_are_refused(tmp_path):
    def spoil(papers):
        table = papers / "peer.csv"
        table.write_text(table.read_text().replace(",1\n", ",0\n", 5))
    done = apply(tmp_path, (0.8, 0.9), spoil=spoil)
    assert done.returncode == 1 and "is not the file that was declared" in done.stderr


def test_a_comparison_needs_both_parts(tmp_path):
    (tmp_path / "applicant.yaml").write_text("applicant: a\ndecisions: {leadership: {scores: [{file: a.csv}]}}\n")
    done = evaluate(write_bundle(tmp_path / "bundle", [MODEL]), tmp_path / "out.json", "--applicant", tmp_path / "applicant.yaml")
    assert done.returncode == 2 and "protocol" in done.stderr
