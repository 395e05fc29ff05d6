"""One model over several ranks: the same answers as on one rank, the same bits on all of them, each holding its part;
numbers of ranks that do not divide are refused, faults and dead ranks are noticed.

Bounds: with kernels that sum in fp64 each partial product is rounded to fp32 once more, and the parts are added in
fp32: some u = 6e-8 a layer, 2e-6 of the logits' scale over 12 layers. Fast kernels that round activations may round
some of them the other way after such a difference, as far as they are from the exact ones anyway: at most twice
that."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from harness import ZHIHENG, check_whole, kill, run, start, wait_for, write_suite

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracle"))
import test_engine_types  # noqa: E402
from bench_faults import processes, workers  # noqa: E402
from test_engine_types import T, write_model  # noqa: E402

BUILD = os.environ["ZH_BINARY_DIR"]
TOOL = os.path.join(BUILD, "tests", "split_tool")
ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
MODULE = os.path.join(BUILD, "lib", "zhiheng", "libzhiheng-mpi.so")
LACKING = shutil.which("mpirun") is None or not os.path.exists(MODULE)
SPARE = 2 * 256  # bytes of a layer's cache, behind its keys and behind its values, on every rank
pytestmark = pytest.mark.skipif(LACKING, reason="no mpirun or no MPI module here: one rank is all there is")

SUITE = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: prefill
    workload: prefill
    deadline: 60 s
    repeats: 2
    parameters: {prompt: 12, batch: 2, parallel: tensor}
  - step: decode
    workload: decode
    deadline: 60 s
    repeats: 2
    parameters: {prompt: 8, tokens: %d, parallel: tensor}
  - step: perplexity
    workload: perplexity
    deadline: 60 s
    repeats: 1
    parameters: {tokens: 40, window: 20, parallel: tensor}
"""


def compute(folder, model, precision, ranks=1, nodes=1, threads=1, tokens=6, split="tensor"):
    """What each rank found; a string where the ranks refused."""
    out = folder / f"{split}-{precision}-{ranks}-{nodes}-{threads}"
    words = [TOOL, model, precision, split, tokens, nodes, threads, out]
    if ranks > 1:
        words = ["mpirun", "-q", "--bind-to", "none", "-n", ranks, *words]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=240,
                          env={**os.environ, **ROOT})
    if done.returncode:
        return done.stderr
    return [json.loads(pathlib.Path(f"{out}.{rank}.json").read_text()) for rank in range(ranks)]


def distance(a, b):
    a, b = np.array(a["values"]), np.array(b["values"])
    return np.abs(a - b).max() / np.abs(b).max()


def check_agreement(found):
    for other in found[1:]:
        assert other["tokens"] == found[0]["tokens"] and other["sums"] == found[0]["sums"]
        assert other["values"] == found[0]["values"]


@pytest.fixture
def eight_heads(monkeypatch):
    """8 query heads over 2 key heads of 32 dimensions: divisible by 4 in whole blocks of 32, key heads then shared."""
    for name, value in {"HEADS": 8, "KV_HEADS": 2, "HEAD_DIM": 32, "FFN": 512}.items():
        monkeypatch.setattr(test_engine_types, name, value)


@pytest.mark.parametrize("kind", [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1], ids=lambda kind: kind.name)
@pytest.mark.parametrize("tied", [False, True], ids=["head", "tied"])
def test_same_answers_as_one_rank(tmp_path, eight_heads, kind, tied):
    model = tmp_path / "m.gguf"
    write_model(model, kind, tied=tied)
    exact, fast = (compute(tmp_path, model, precision)[0] for precision in ("exact", "fast"))
    for ranks in (2, 4):
        found = compute(tmp_path, model, "exact", ranks)
        check_agreement(found)
        assert found[0]["tokens"] == exact["tokens"]
        assert distance(found[0], exact) < 1e-6
        spare = SPARE * test_engine_types.LAYERS
        assert {(rank["held_kv"] - spare) * min(ranks, 2) for rank in found} == {exact["held_kv"] - spare}
        found = compute(tmp_path, model, "fast", ranks)
        check_agreement(found)
        print(kind.name, ranks, distance(found[0], fast), distance(fast, exact), distance(found[0], exact))
        assert distance(found[0], exact) < 2 * distance(fast, exact) + 1e-5


FAMILIES = pathlib.Path(__file__).parent.parent / "golden" / "families"


@pytest.mark.parametrize("name", ["qwen3", "glm4", "gemma2", "gemma3-nested", "phi3-window", "internlm2", "baichuan2",
                                  "baichuan2-13b",
                                  "qwen3-moe", "qwen2-moe", "gpt-oss", "ernie4.5-moe"])
def test_families_divided(tmp_path, name):
    """Norms of heads and behind blocks, biases, caps, windows, fused and grouped rows, a normalised head. Layers of
    different kinds go to stages whole."""
    exact = compute(tmp_path, FAMILIES / name, "exact")[0]
    for split in ("tensor", "pipeline"):
        found = compute(tmp_path, FAMILIES / name, "exact", 2, split=split)
        assert isinstance(found, list), found
        check_agreement(found)
        assert found[0]["tokens"] == exact["tokens"]
        assert distance(found[0], exact) < (1e-6 if split == "tensor" else 1e-12)


@pytest.mark.parametrize("ranks, nodes, threads", [(2, 1, 1), (2, 1, 2), (4, 1, 1), (2, 2, 1), (4, 2, 1), (4, 2, 2)])
def test_any_layout_of_a_standard_model(tmp_path, ranks, nodes, threads):
    """Ranks of one node, of two (played), with more threads; each holds its part of the same synthetic weights."""
    one = compute(tmp_path, "zh-0.1b", "exact", tokens=2, threads=2)[0]
    found = compute(tmp_path, "zh-0.1b", "exact", ranks, nodes, threads, tokens=2)
    check_agreement(found)
    assert {rank["nodes"] for rank in found} == {nodes}
    assert found[0]["tokens"] == one["tokens"] and distance(found[0], one) < 2e-6
    spare = SPARE * 12  # layers of zh-0.1b
    assert {(rank["held_kv"] - spare) * ranks for rank in found} == {one["held_kv"] - spare}
    assert max(rank["held_weights"] for rank in found) < one["held_weights"] / ranks * 1.01
    assert {(rank["weights"], rank["flop"]) for rank in found} == {(one["weights"], one["flop"])}


def test_one_thread_or_more_give_the_same_bits(tmp_path):
    a, b = (compute(tmp_path, "zh-0.1b", "fast", 2, 1, threads, tokens=3)[0] for threads in (1, 2))
    assert a["sums"] == b["sums"]


@pytest.mark.parametrize("kind, ranks, sentence", [
    (T.F32, 4, "6 query heads cannot be divided evenly among 4 ranks"),
    (T.F32, 3, "2 key heads and 3 ranks: one of the two numbers must divide the other"),
    (T.Q8_0, 2, "'blk.0.attn_output.weight' cut for 2 ranks would have 48 columns, which are no whole blocks of 32"),
    (T.F32, 6, "512 columns of the feed-forward layer cannot be divided evenly among 6 ranks"),
], ids=["heads", "key heads", "blocks", "ffn"])
def test_numbers_that_do_not_divide_are_refused(tmp_path, kind, ranks, sentence):
    model = tmp_path / "m.gguf"
    write_model(model, kind)
    refused = compute(tmp_path, model, "exact", ranks)
    assert isinstance(refused, str) and sentence in refused


@pytest.mark.parametrize("ranks, threads, nodes", [(2, 1, 1), (3, 1, 1), (2, 3, 1), (4, 2, 2)])
@pytest.mark.parametrize("floats", [1, 17, 1000])
def test_sums(ranks, threads, nodes, floats):
    """Every element of 200 sums of two rows, all places in turn; fewer columns than threads, and odd numbers."""
    words = ["mpirun", "-q", "--bind-to", "none", "-n", ranks, os.path.join(BUILD, "tests", "sum_tool"), floats, threads,
             0, nodes]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **ROOT})
    assert done.returncode == 0, done.stderr


def write_probe(tmp_path, tokens=8):
    model = tmp_path / "m.gguf"
    write_model(model, T.Q8_0)
    return write_suite(tmp_path, SUITE % tokens), model


def measure(tmp_path, *words, tokens=8):
    suite, model = write_probe(tmp_path, tokens)
    out = tmp_path / "bundle"
    done = run(suite, "--model", model, "--out", out, "--ranks", 2, "--threads", 1, *words)
    return done, *check_whole(out)


def model_steps(run_json):
    return {step["workload"]: step for step in run_json["steps"] if step["model"]}


def test_measured_as_one_model(tmp_path, eight_heads):
    done, run_json, lines = measure(tmp_path)
    assert done.returncode == 0, done.stderr
    for step in model_steps(run_json).values():
        assert step["status"] == "done" and step["facts"]["ranks_of_one_model"] == 2
        assert [check["passed"] for check in step["checks"] if check["check"] == "ranks"] == [True]
        sums = [check for check in step["checks"] if check.get("operator") in ("attention sum", "ffn sum")]
        assert len(sums) == 2 and all(check["passed"] and check["samples"] > 0 for check in sums)
    assert {line["metric"] for line in lines} >= {"prefill_rate", "decode_rate", "perplexity"}


@pytest.mark.parametrize("fault", ["weight", "token", "activation"])
def test_a_fault_on_one_rank_is_caught(tmp_path, eight_heads, fault):
    done, run_json, lines = measure(tmp_path, "--inject", f"fault={fault}")
    assert done.returncode == 1, done.stderr
    steps = model_steps(run_json)
    assert {step["status"] for step in steps.values()} == {"failed"}, {n: s["reason"] for n, s in steps.items()}
    assert not [line for line in lines if line["workload"] in steps]


def refuse(tmp_path, *words):
    suite, model = write_probe(tmp_path)
    done = run(suite, "--model", model, "--out", tmp_path / "bundle", "--ranks", 2, "--threads", 1, *words)
    assert done.returncode == 2 and not (tmp_path / "bundle").exists()
    return done.stderr


def test_a_run_that_does_not_divide_is_refused(tmp_path):
    assert "no whole blocks of 32 of its type Q8_0" in refuse(tmp_path)


def mend(bundle, path, lines, change_run=lambda run_json: None):
    """Writes a certificate anew, with all the digests that a forger would mend as well."""
    def sm3(file):
        return hashlib.new("sm3", file.read_bytes()).hexdigest()
    run_json = json.loads((bundle / "run.json").read_text())
    step = next(step for step in run_json["steps"] if step["facts"].get("certificate_sm3") == sm3(path))
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    step["facts"]["certificate_sm3"] = sm3(path)
    change_run(run_json)
    (bundle / "run.json").write_text(json.dumps(run_json, ensure_ascii=False))
    names = sorted(str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file() and p.name != "MANIFEST.sm3")
    (bundle / "MANIFEST.sm3").write_text("".join(f"{sm3(bundle / name)}  {name}\n" for name in names))


def certificates(bundle, *words):
    done = subprocess.run([ZHIHENG, "verify", bundle, "--recompute", *map(str, words), "--json"], capture_output=True,
                          text=True, timeout=60)
    return done.returncode, json.loads(done.stdout)


def certify(tmp_path, ranks, nonce="three words here", model=None, text=SUITE):
    tmp_path.mkdir(exist_ok=True)
    suite, dense = write_probe(tmp_path)
    suite.write_text(text % 8)
    done = run(suite, "--model", model or dense, "--out", tmp_path / "bundle", "--ranks", ranks, "--threads", 1,
               "--nonce", nonce, env=os.environ | ROOT)
    assert done.returncode == 0, done.stderr
    return tmp_path / "bundle"


@pytest.mark.parametrize("ranks", [2, 4])  # of 2 key heads: with 4 ranks two share one
def test_certificates_of_a_divided_model(tmp_path, eight_heads, ranks):
    """Of one form, whatever the number of ranks: every operator is there whole, and agrees with the model."""
    bundle = certify(tmp_path / "divided", ranks)
    code, document = certificates(bundle, "--rows", 200)
    assert code == 0, document
    found = {result["step"].split("@")[0]: result for result in document["certificates"]}
    each = 1 + 15 * test_engine_types.LAYERS
    assert found["decode"]["operators"] == 2 * (each + 2) and found["prefill"]["operators"] == 3 * each + 2
    assert 0 < found["decode"]["largest_error_of_bound"] < 1
    for path in (bundle / "certificates").iterdir():
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines[0]["ranks"] == ranks
        lengths = {line["name"]: len(line["values"]) * 3 // 16 for line in lines[1:]}  # base64 of fp32
        assert lengths["attention"] == pytest.approx(256, abs=1) and lengths["up"] == pytest.approx(512, abs=1)
        assert lengths["k"] == pytest.approx(64, abs=1) and lengths["head"] == pytest.approx(test_engine_types.VOCAB, abs=1)


def change(bundle, copy, name, how, layer=None):
    """A copy of the bundle in whose decode certificate `how` has changed the values of an operator."""
    shutil.copytree(bundle, copy)
    path = next(path for path in (copy / "certificates").iterdir() if path.name.startswith("decode"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    line = next(line for line in lines[1:] if line["name"] == name and layer in (None, line["layer"]))
    values = np.frombuffer(base64.b64decode(line["values"]), "<f4").copy()
    how(values)
    line["values"] = base64.b64encode(values.tobytes()).decode()
    mend(copy, path, lines)
    return copy


def second_half(values):
    """Half of the values is moved by a thousandth: of a product with one row a token what the second rank gave."""
    values[len(values) // 2:] *= 1.001


def test_a_wrong_part_of_one_rank_is_noticed(tmp_path, eight_heads):
    bundle = certify(tmp_path / "divided", 2)
    for name in ("v", "attention output"):
        code, document = certificates(change(bundle, tmp_path / name.replace(" ", "-"), name, second_half), "--rows", 256)
        assert code == 1, document


# Of experts with biases, shared ones (gated or not), latent attention, dense layers first.
DIVIDED = [("qwen3-moe", "columns"), ("qwen2-moe", "columns"), ("gpt-oss", "columns"), ("ernie4.5-moe", "columns"),
           ("deepseek-v3", "columns"), ("qwen3-moe", "whole"), ("qwen2-moe", "whole"), ("gpt-oss", "whole")]


def lengths_of(path):
    """Of the first followed token's operators, in their order."""
    lines = map(json.loads, path.read_text().splitlines()[1:])
    return [(line["layer"], line["name"], len(line["values"])) for line in lines if line["token"] == 0]


def with_experts(text, how):
    return text.replace("parallel: tensor", f"parallel: tensor, experts: {how}")


@pytest.mark.parametrize("name, how", DIVIDED)
def test_certificates_of_divided_experts(tmp_path, name, how):
    """Each rank has some columns of every expert, or some whole ones: what the experts give is shown summed, all before
    it by choice."""
    bundle = certify(tmp_path / "divided", 2, model=FAMILIES / name, text=with_experts(SUITE, how))
    alone = certify(tmp_path / "alone", 1, model=FAMILIES / name)
    for step in model_steps(json.loads((bundle / "run.json").read_text())).values():
        said = step["facts"]["experts"]
        assert said["held"] == said["asked"] == how and ("imbalance" in said) == (how == "whole")
    for _ in range(3):
        code, document = certificates(bundle, "--rows", 200)
        assert code == 0, document
    for result in document["certificates"]:
        assert 0 < result["largest_error_of_bound"] < 1
    for path in (bundle / "certificates").iterdir():
        found, whole = lengths_of(path), lengths_of(alone / "certificates" / path.name)
        assert found == [line for line in whole if line[1] not in ("expert down", "shared down")]
        assert {"route", "expert gate", "expert up", "expert activation", "experts"} <= {line[1] for line in found}
        assert json.loads(path.read_text().splitlines()[0])["ranks"] == 2


@pytest.fixture(scope="module", params=["columns", "whole"])
def divided_experts(tmp_path_factory, request):
    exact = SUITE.replace("parallel: tensor}", "parallel: tensor, precision: exact}").replace("steps:", "seed: 7\nsteps:")
    return certify(tmp_path_factory.mktemp("experts") / "divided", 2, model=FAMILIES / "qwen2-moe",
                   text=with_experts(exact, request.param))


def one_column(values):
    """The largest of the last numbers: of the last choice, in the second rank's columns. Small ones may change nothing."""
    at = len(values) - 8 + np.argmax(np.abs(values[-8:]))
    values[at] *= 1.01


def one_expert_fewer(values):
    values[len(values) // 2 - 1] = 0


def all_of_it(values):
    values *= 1.001


@pytest.mark.parametrize("name, how", [
    *((name, how) for name in ("expert gate", "expert up", "expert activation", "shared gate", "shared activation")
      for how in (second_half, one_column)),
    ("experts", all_of_it), ("experts", one_column), ("route", one_expert_fewer), ("shared score", all_of_it)],
    ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_another_part_of_divided_experts_is_noticed(divided_experts, tmp_path, name, how):
    code, document = certificates(change(divided_experts, tmp_path / "copy", name, how), "--rows", 1000)
    assert code == 1, document


def test_other_experts_than_declared_are_noticed(divided_experts, tmp_path):
    """The matrix that leads out of one expert that a followed token went to is off by a two-hundredth in the model."""
    bundle, model = shutil.copytree(divided_experts, tmp_path / "copy"), shutil.copytree(FAMILIES / "qwen2-moe", tmp_path / "model")
    path = next(path for path in (bundle / "certificates").iterdir() if path.name.startswith("decode"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    route = next(line for line in lines[1:] if line["name"] == "route")
    chosen = np.frombuffer(base64.b64decode(route["values"]), "<f4")
    name = f"model.layers.{route['layer']}.mlp.experts.{int(chosen[len(chosen) // 2])}.down_proj.weight"
    file = model / "model.safetensors"
    raw = bytearray(file.read_bytes())
    header = int.from_bytes(raw[:8], "little")
    entry = json.loads(raw[8:8 + header])[name]
    begin, end = (8 + header + at for at in entry["data_offsets"])
    kind = {"F32": "<f4", "BF16": "<u2"}[entry["dtype"]]
    values = np.frombuffer(raw[begin:end], kind)
    raw[begin:end] = (values + 1 if kind == "<u2" else values * np.float32(1.005)).astype(kind).tobytes()
    file.write_bytes(raw)
    told = subprocess.run([ZHIHENG, "audit", model, "--json"], capture_output=True, text=True, timeout=60)
    new = json.loads(told.stdout)["sm3"]
    lines[0]["model_sm3"] = new
    audit = json.loads((bundle / "audit.json").read_text())
    audit["models"][0]["sm3"] = new
    (bundle / "audit.json").write_text(json.dumps(audit, ensure_ascii=False))
    mend(bundle, path, lines, lambda run_json: run_json["models"][0].update(sm3=new))
    code, document = certificates(bundle, "--rows", 400, "--model", model)
    assert code == 1 and "experts" in document["error"]["message"], document


LAYERS_OF_EXPERTS = 2  # of qwen3-moe


def test_shares_of_experts_are_counted_and_shown(tmp_path):
    """7 experts over two ranks: the choices of every timed token fell on one of them, and how evenly is told."""
    suite, _ = write_probe(tmp_path)
    suite.write_text(with_experts(SUITE % 8, "whole"))
    out = tmp_path / "bundle"
    done = run(suite, "--model", FAMILIES / "qwen3-moe", "--out", out, "--ranks", 2, "--threads", 1, env=os.environ | ROOT)
    assert done.returncode == 0, done.stderr
    steps = model_steps(check_whole(out)[0])
    for workload, tokens in (("prefill", 24), ("decode", 8)):
        said = steps[workload]["facts"]["experts"]
        assert [(rank["first"], rank["count"]) for rank in said["ranks"]] == [(0, 4), (4, 3)]
        assert sum(rank["choices"] for rank in said["ranks"]) == LAYERS_OF_EXPERTS * 3 * tokens
        fullest = max(rank["choices"] for rank in said["ranks"]) / (LAYERS_OF_EXPERTS * 3 * tokens / 2)
        assert fullest <= said["imbalance"] <= said["imbalance_most"] <= 2 and said["imbalance_most_layer"] in (0, 1)
    for language, words in (("en", "the fullest rank had"), ("zh", "最忙进程的词元数为平均的")):
        shown = subprocess.run([ZHIHENG, "show", out], capture_output=True, text=True, timeout=60,
                               env=os.environ | {"LC_ALL": f"{language}_"})
        assert shown.returncode == 0 and words in shown.stdout, shown.stdout


def test_the_way_is_chosen_by_what_moves_fewer_bytes(tmp_path):
    """Of 24 tokens whole experts; of one columns, for its experts might be on one rank."""
    suite, _ = write_probe(tmp_path)
    out = tmp_path / "bundle"
    done = run(suite, "--model", FAMILIES / "qwen3-moe", "--out", out, "--ranks", 2, "--threads", 1, env=os.environ | ROOT)
    assert done.returncode == 0, done.stderr
    steps = model_steps(check_whole(out)[0])
    held = {workload: step["facts"]["experts"]["held"] for workload, step in steps.items()}
    assert held["prefill"] == "whole" and held["decode"] == "columns"
    assert {step["facts"]["experts"]["asked"] for step in steps.values()} == {"auto"}


@pytest.mark.parametrize("fault", ["weight", "expert", "experts", "swap", "activation", "layer"])
def test_faults_of_whole_experts_are_caught(tmp_path, fault):
    suite, _ = write_probe(tmp_path)
    suite.write_text(with_experts(SUITE % 8, "whole"))
    out = tmp_path / "bundle"
    done = run(suite, "--model", FAMILIES / "qwen3-moe", "--out", out, "--ranks", 2, "--threads", 1, "--inject",
               f"fault={fault}", env=os.environ | ROOT)
    assert done.returncode == 1, done.stderr
    run_json, lines = check_whole(out)
    steps = model_steps(run_json)
    assert {step["status"] for step in steps.values()} == {"failed"}, {n: s["reason"] for n, s in steps.items()}
    assert not [line for line in lines if line["workload"] in steps]


def test_stages_have_all_experts_of_their_layers(tmp_path):
    suite, _ = write_probe(tmp_path)
    suite.write_text(with_experts(SUITE % 8, "whole").replace("parallel: tensor", "parallel: pipeline"))
    out = tmp_path / "bundle"
    done = run(suite, "--model", FAMILIES / "qwen3-moe", "--out", out, "--ranks", 2, "--threads", 1, env=os.environ | ROOT)
    assert done.returncode == 0, done.stderr
    for step in model_steps(check_whole(out)[0]).values():
        assert step["facts"]["experts"] == {"held": "undivided", "asked": "whole"}


def test_a_killed_rank_ends_the_others(tmp_path):
    suite = write_suite(tmp_path, """suite: probe
summary: {zh: 试验, en: a probe}
models: [zh-0.1b]
steps:
  - step: decode
    workload: decode
    deadline: 120 s
    repeats: 1000
    parameters: {prompt: 4, tokens: 60, parallel: tensor}
""")
    out, staging = tmp_path / "bundle", tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", out, "--ranks", 2, "--threads", 1)

    def computing():
        """Ranks that have mapped the memory which they share."""
        found = workers(staging, guarded=True)
        try:
            shared = ["zhiheng ranks" in pathlib.Path(f"/proc/{pid}/maps").read_text() for pid in found]
        except OSError:
            return []
        return found if len(found) == 2 and all(shared) else []

    kill(wait_for(computing, 60, "ranks that share memory")[-1], signal.SIGKILL)
    _, stderr = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 1, stderr
    assert not processes(str(staging))
    run_json, lines = check_whole(out)
    step = model_steps(run_json)["decode"]
    assert step["status"] == "lost" and "ended by signal 9" in step["reason"]
    assert not [line for line in lines if line["workload"] == "decode"]
