"""Certificates of small models: they hold, and whatever is changed in them, in the bundle or in the model is noticed.
One is also walked through by numpy in fp64, which shares nothing with the program."""
import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import gguf
import numpy as np
import pytest
from harness import ZHIHENG, check_manifest, load, run

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracle"))
from engine_program import probe_suite  # noqa: E402
from llama_numpy import Llama  # noqa: E402
from test_engine_types import FFN, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, T, VOCAB, write_model  # noqa: E402

SUITE = probe_suite("decode", "prompt: 5, tokens: 12, batch: %d, precision: %s")
PREFILL = probe_suite("prefill", "prompt: 12, depth: 4, batch: %d, precision: %s")
NONCE = "松江区科委 2026"


def make(folder, precision="fast", kind=T.Q8_0, nonce=NONCE, batch=3, text=SUITE, kernels=None, model=None):
    folder.mkdir(exist_ok=True)
    suite = folder / "probe.yaml"
    suite.write_text(text % (batch, precision))
    model = model or write_model(folder / "model.gguf", kind)
    asked = ["--nonce", nonce] if nonce else []
    environment = os.environ | ({"ZH_CPU": kernels} if kernels else {})
    done = run(suite, "--model", model, "--out", folder / "bundle", *asked, env=environment)
    assert done.returncode == 0, done.stderr
    return folder / "bundle", model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "bundle")
    return tmp_path / "bundle", made[1]


def verify(bundle, *words, kernels=None):
    environment = os.environ | ({"ZH_CPU": kernels} if kernels else {})
    done = subprocess.run([ZHIHENG, "verify", bundle, "--recompute", *map(str, words), "--json"], capture_output=True,
                          text=True, timeout=60, env=environment)
    return done.returncode, json.loads(done.stdout)


def lines_of(bundle):
    return [json.loads(line) for line in next((bundle / "certificates").iterdir()).read_text().splitlines()]


def sm3(path):
    return hashlib.new("sm3", path.read_bytes()).hexdigest()


def put(bundle, lines=None, change_run=lambda run_json: None):
    """Writes the certificate anew, with all the digests that a forger would mend as well."""
    path = next((bundle / "certificates").iterdir())
    if lines is not None:
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    run_json = json.loads((bundle / "run.json").read_text())
    step = next(step for step in run_json["steps"] if step["facts"].get("certificate_sm3"))
    step["facts"]["certificate_sm3"] = sm3(path)
    change_run(run_json)
    (bundle / "run.json").write_text(json.dumps(run_json, ensure_ascii=False))
    names = sorted(str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file() and p.name != "MANIFEST.sm3")
    (bundle / "MANIFEST.sm3").write_text("".join(f"{sm3(bundle / name)}  {name}\n" for name in names))
    check_manifest(bundle)


def numbers(line, key="values"):
    return np.frombuffer(base64.b64decode(line[key]), "<f4").copy()


def text(values):
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


# Products of packed weights round otherwise from a batch of nine on.
@pytest.mark.parametrize("precision, kind, batch", [("fast", T.Q4_0, 3), ("exact", T.F16, 3), ("fast", T.BF16, 3),
                                                    ("fast", T.Q8_0, 8), ("fast", T.Q8_0, 9), ("fast", T.Q4_1, 12)])
def test_a_certificate_holds(tmp_path, precision, kind, batch):
    bundle, _ = make(tmp_path / "run", precision, kind, batch=batch)
    check_manifest(bundle)
    for _ in range(3):
        code, document = verify(bundle)
        assert code == 0, document
    [result] = document["certificates"]
    assert result["tokens"] == 2 and result["operators"] == 2 * (1 + 15 * LAYERS + 2) and result["nonce"] == NONCE
    assert result["samples"] > 1000 and 0 < result["largest_error_of_bound"] < 1


FAMILIES = pathlib.Path(__file__).parent.parent / "golden" / "families"
# Of a layer of each family what stands beside Llama's fifteen operators.
MORE_OPERATORS = {"qwen3": 2, "hunyuan-dense": 2, "glm4": 2, "gemma2": 2, "gemma3": 4, "qwen2": 0, "phi3-longrope": 0,
                  "minicpm": 0, "baichuan2": 0, "baichuan2-13b": 0, "internlm2": 0}


@pytest.mark.parametrize("name", MORE_OPERATORS)
@pytest.mark.parametrize("text", [SUITE, PREFILL], ids=["decode", "prefill"])
def test_a_certificate_of_every_family_holds(tmp_path, name, text):
    bundle, _ = make(tmp_path / "run", text=text, model=FAMILIES / name)
    code, document = verify(bundle)
    assert code == 0, document
    [result] = document["certificates"]
    layers = json.loads((FAMILIES / name / "config.json").read_text())["num_hidden_layers"]
    each = 1 + (15 + MORE_OPERATORS[name]) * layers
    assert result["operators"] == (2 * (each + 2) if text == SUITE else 3 * each + 2)
    assert 0 < result["largest_error_of_bound"] < 1


@pytest.mark.parametrize("name", ["qwen2-moe", "gpt-oss-mxfp4", "deepseek-v2", "deepseek-v3"])
@pytest.mark.parametrize("text", [SUITE, PREFILL], ids=["decode", "prefill"])
def test_a_certificate_of_experts_holds(tmp_path, name, text):
    bundle, _ = make(tmp_path / "run", text=text, model=FAMILIES / name)
    code, document = verify(bundle)
    assert code == 0, document
    names = {line["name"] for line in lines_of(bundle)[1:]}
    assert {"router", "route", "expert gate", "expert up", "expert activation", "expert down", "experts"} <= names
    assert 0 < document["certificates"][0]["largest_error_of_bound"] < 1


@pytest.mark.parametrize("kernels", ["amx", "vnni", "avx512"])
def test_a_machine_with_other_kernels_verifies_it(tmp_path, kernels):
    """What was rounded to what stands in the certificate; batches of three and of nine round differently."""
    for kind, batch in (T.Q4_1, 3), (T.Q4_1, 9), (T.BF16, 3), (T.Q6_K, 9):
        bundle, _ = make(tmp_path / f"{kind.name}-{batch}", kind=kind, batch=batch, kernels=kernels)
        code, document = verify(bundle, kernels="ref")
        assert code == 0, document


def test_roundings_other_than_the_run_had_are_noticed(copy):
    lines = lines_of(copy[0])
    if lines[0]["rounds"]["few"] != "bytes":
        pytest.skip("this processor's kernels do not round")
    had = lines[0]["rounds"]
    others = [{**had, "few": "none"}, {**had, "bf16": "bytes"}, {**had, "fine": "bytes"},
              {key: had[key] for key in had if key != "fine"}, True]
    for rounds in others:
        lines[0]["rounds"] = rounds
        put(copy[0], lines)
        assert verify(copy[0])[0] != 0, rounds


def test_products_other_than_those_of_the_run_are_noticed(copy):
    """Values take two bytes where the kernels round to bytes; keys do not."""
    lines = lines_of(copy[0])
    if lines[0]["rounds"]["few"] != "bytes":
        pytest.skip("this processor's kernels do not round")
    assert lines[0]["fine"] == ["v"] and lines[0]["rounds"]["fine"] == "bytes2"
    for fine in [], ["v", "k"], ["v", "v"], ["v", "silu"], ["w"], "v", None:
        lines[0]["fine"] = fine
        put(copy[0], lines)
        assert verify(copy[0])[0] != 0, fine


def test_the_commitment_is_published(made):
    run_json, _ = load(made[0])
    assert run_json["nonce_commitment"] == hashlib.new("sm3", f"zhiheng nonce\n{NONCE}".encode()).hexdigest()


def test_the_nonce_decides_which_tokens_are_shown(tmp_path):
    shown = set()
    for nonce in ("a", "b", "c"):
        lines = lines_of(make(tmp_path / nonce, nonce=nonce)[0])
        shown.add(next(line["keys"] for line in lines[1:] if line["name"] == "attention"))
    assert len(shown) > 1


def test_without_a_nonce_there_is_none(tmp_path):
    bundle, _ = make(tmp_path / "run", nonce=None)
    assert not (bundle / "certificates").exists() and load(bundle)[0]["nonce_commitment"] is None
    code, document = verify(bundle)
    assert code == 2 and "--nonce" in document["error"]["message"]


def test_every_value_agrees_with_numpy(tmp_path):
    """The followed tokens' products, norms and logits in fp64 from the file as PyPI `gguf` reads it."""
    bundle, path = make(tmp_path / "run", "exact")
    lines = lines_of(bundle)
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(np.float64) for t in gguf.GGUFReader(path).tensors}
    links = np.frombuffer(base64.b64decode(lines[0]["links"]), "<u4").reshape(-1, 6)
    slots = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "attention output": "attn_output", "gate": "ffn_gate",
             "up": "ffn_up", "down": "ffn_down"}
    for token in (0, 1):
        state = {}
        for line in (line for line in lines[1:] if line["token"] == token):
            name, layer, values = line["name"], line["layer"], numbers(line).astype(np.float64)
            expected = None
            if name == "embedding":
                fed = [i for i in links[:, 0] if np.allclose(tensors["token_embd.weight"][i], values, rtol=1e-6)]
                assert fed
            elif name in slots:
                source = {"attention output": "attention", "gate": "norm", "up": "norm", "down": "silu"}.get(name, "norm")
                expected = tensors[f"blk.{layer}.{slots[name]}.weight"] @ state[source]
            elif name == "head":
                expected = tensors["output.weight"] @ state["norm"]
            elif name.endswith("norm"):
                key = "output_norm.weight" if layer < 0 else f"blk.{layer}.{'attn' if name[0] == 'a' else 'ffn'}_norm.weight"
                expected = tensors[key].ravel() * state["x"] / np.sqrt(np.mean(state["x"] ** 2) + 1e-5)
            elif name.endswith("residual"):
                expected = state["x"] + state["delta"]
            elif name == "silu":
                expected = state["gate"] / (1 + np.exp(-state["gate"])) * state["up"]
            if expected is not None:
                assert np.abs(values - expected).max() <= 2e-5 * np.abs(expected).max(), (name, layer)
            kept = ("x" if name.endswith("residual") or name == "embedding" else "norm" if name.endswith("norm") else
                    "delta" if name in ("attention output", "down") else name)
            state[kept] = values
        chosen = int(np.argmax(state["head"]))
        assert chosen in links[:, 1]


def test_its_answers_are_those_of_the_model(made):
    """The first sequence's chain: each token fed gives the next, by the fp64 oracle."""
    bundle, path = made
    lines = lines_of(bundle)
    links = np.frombuffer(base64.b64decode(lines[0]["links"]), "<u4").reshape(12, 3, 6)
    assert (links[1:, :, 0] == links[:-1, :, 1]).all()
    assert (links[:, :, 3] == np.arange(5, 17)[:, None]).all()
    assert Llama(path).forward([1, 2]).shape == (2, VOCAB)


def change(lines, name, how, layer=1, key="values"):
    line = next(line for line in lines[1:] if line["name"] == name and line["layer"] in (layer, -1))
    values = numbers(line, key)
    how(values)
    line[key] = text(values)


def scale(values):
    values *= 1.001


@pytest.mark.parametrize("name", ["embedding", "attention norm", "q", "k", "v", "rope q", "rope k", "attention",
                                  "attention output", "attention residual", "ffn norm", "gate", "up", "silu", "down",
                                  "ffn residual", "output norm", "head"])
def test_another_output_of_an_operator_is_noticed(copy, name):
    bundle, _ = copy
    lines = lines_of(bundle)
    change(lines, name, scale)
    put(bundle, lines)
    code, document = verify(bundle, "--rows", 64)
    assert code == 1, document


@pytest.fixture(scope="module")
def made_of_experts(tmp_path_factory):
    return make(tmp_path_factory.mktemp("experts") / "run", "exact", model=FAMILIES / "qwen2-moe")[0]


EXPERTS, USED = (json.loads((FAMILIES / "qwen2-moe" / "config.json").read_text())[key]
                 for key in ("num_experts", "num_experts_per_tok"))


def another_expert(values):
    """The last choice goes to one that was not chosen."""
    values[-1] = next(e for e in range(EXPERTS) if e not in values[USED:])


def no_expert(values):
    values[-1] = EXPERTS


def one_fewer(values):
    values[USED - 1] = 0


@pytest.mark.parametrize("name, how", [
    *((name, scale) for name in ("router", "expert gate", "expert up", "expert activation", "expert down", "experts",
                                 "shared gate", "shared up", "shared activation", "shared down", "shared score")),
    ("route", another_expert), ("route", no_expert), ("route", one_fewer)],
    ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_another_output_of_experts_is_noticed(made_of_experts, tmp_path, name, how):
    bundle = tmp_path / "bundle"
    shutil.copytree(made_of_experts, bundle)
    lines = lines_of(bundle)
    change(lines, name, how)
    put(bundle, lines)
    code, document = verify(bundle, "--rows", 64)
    assert code == 1, document


def nudge(values):
    values[3] = np.nextafter(values[3], np.float32(np.inf))


@pytest.mark.parametrize("key", ["keys", "cached_values"])
def test_a_cache_of_other_values_is_noticed(copy, key):
    bundle, _ = copy
    lines = lines_of(bundle)
    change(lines, "attention", lambda values: values.__setitem__(slice(None), np.roll(values, HEAD_DIM)), key=key)
    put(bundle, lines)
    code, document = verify(bundle)
    assert code == 1, document


def test_one_bit_of_a_logit_is_noticed(copy):
    bundle, _ = copy
    lines = lines_of(bundle)
    change(lines, "head", nudge)
    put(bundle, lines)
    code, document = verify(bundle)
    assert code == 1 and "not those of the timed run" in document["error"]["message"]


def drop_layer(lines):
    lines[1:] = [line for line in lines[1:] if line["layer"] != LAYERS - 1]


def swap(lines):
    lines[2], lines[3] = lines[3], lines[2]


def cut(lines):
    del lines[-1]


def repeat(lines):
    lines.append(lines[-1])


def another_nonce(lines):
    lines[0]["nonce"] = "another"


def another_chain(lines):
    links = np.frombuffer(base64.b64decode(lines[0]["links"]), "<u4").copy()
    links[1] ^= 1
    lines[0]["links"] = base64.b64encode(links.tobytes()).decode()


def foreign_token(lines):
    links = np.frombuffer(base64.b64decode(lines[0]["links"]), "<u4").copy()
    links[0] = VOCAB
    lines[0]["links"] = base64.b64encode(links.tobytes()).decode()


def not_finite(lines):
    change(lines, "gate", lambda values: values.fill(np.nan))


@pytest.mark.parametrize("how", [drop_layer, swap, cut, repeat, another_nonce, another_chain, foreign_token, not_finite],
                         ids=lambda how: how.__name__)
def test_a_file_put_together_otherwise_is_noticed(copy, how):
    bundle, _ = copy
    lines = lines_of(bundle)
    how(lines)
    put(bundle, lines)
    code, document = verify(bundle)
    assert code == 1, document


@pytest.mark.parametrize("how", [lambda line: line.pop("values"), lambda line: line.__setitem__("values", "AAA"),
                                 lambda line: line.__setitem__("token", 99), lambda line: line.__setitem__("layer", "x")])
def test_a_damaged_file_is_refused_in_words(copy, how):
    bundle, _ = copy
    lines = lines_of(bundle)
    how(lines[4])
    put(bundle, lines)
    code, document = verify(bundle)
    assert code in (1, 2) and "line 5" in document["error"]["message"]


def test_other_weights_than_declared_are_noticed(copy, tmp_path):
    """The timed model's down projection of one layer is off by a thousandth from the model that is declared."""
    bundle, path = copy
    declared = tmp_path / "model.gguf"
    shutil.copy(path, declared)
    tensor = next(t for t in gguf.GGUFReader(declared, "r+").tensors if t.name == "blk.1.ffn_down.weight")
    blocks = tensor.data.reshape(-1, 34)  # Q8_0: an fp16 scale, then 32 bytes
    blocks[:, :2] = (blocks[:, :2].copy().view("<f2") * np.float16(1.002)).view(np.uint8)
    tensor.data.flush()
    new = sm3(declared)
    lines = lines_of(bundle)
    lines[0]["model_sm3"] = new
    audit = json.loads((bundle / "audit.json").read_text())
    audit["models"][0]["sm3"] = new
    (bundle / "audit.json").write_text(json.dumps(audit, ensure_ascii=False))
    put(bundle, lines, lambda run_json: run_json["models"][0].update(sm3=new))
    code, document = verify(bundle, "--model", declared)
    assert code == 1 and "ffn_down" in document["error"]["message"], document


@pytest.mark.parametrize("altered", [1, 2, 4])
def test_altered_rows_are_missed_as_often_as_stated(copy, altered):
    """Rows of V in a head that is not shown: nothing but the drawn rows of the product can tell. (1 - f)^(r t)."""
    bundle, _ = copy
    lines = lines_of(bundle)
    head = 0
    for token in (0, 1):
        own = [line for line in lines[1:] if line["token"] == token and line["layer"] == 1]
        value = next(line for line in own if line["name"] == "v")
        values = numbers(value).reshape(KV_HEADS, HEAD_DIM)
        attention = next(line for line in own if line["name"] == "attention")
        cached = numbers(attention, "cached_values").reshape(-1, HEAD_DIM)
        shown = int(np.argmin([np.abs(values[h] - cached[-1]).max() for h in range(KV_HEADS)]))
        head = (shown + 1) % KV_HEADS
        values[head, :altered] *= 1.01
        value["values"] = text(values.ravel())
    put(bundle, lines)
    rows, trials, fraction = 4, 80, altered / (KV_HEADS * HEAD_DIM)
    missed = sum(verify(bundle, "--rows", rows, "--seed", seed)[0] == 0 for seed in range(trials))
    expected = (1 - fraction) ** (rows * 2)
    assert abs(missed / trials - expected) < 4 * np.sqrt(expected * (1 - expected) / trials), (missed, expected)


# --- prompts ---


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    return make(tmp_path_factory.mktemp("read") / "run", batch=2, text=PREFILL)


@pytest.fixture
def prompt(read, tmp_path):
    shutil.copytree(read[0], tmp_path / "bundle")
    return tmp_path / "bundle", read[1]


@pytest.mark.parametrize("precision, kind, batch", [("fast", T.Q4_0, 1), ("exact", T.F16, 2), ("fast", T.BF16, 3)])
def test_a_certificate_of_a_prompt_holds(tmp_path, precision, kind, batch):
    bundle, _ = make(tmp_path / "run", precision, kind, batch=batch, text=PREFILL)
    for _ in range(3):
        code, document = verify(bundle)
        assert code == 0, document
    [result] = document["certificates"]
    # Two drawn tokens up to the last layer's end, and the last one up to its logits.
    assert result["tokens"] == 3 and result["operators"] == 3 * (1 + 15 * LAYERS) + 2
    assert 0 < result["largest_error_of_bound"] < 1


def test_a_prompt_of_two_tokens_shows_both(tmp_path):
    bundle, _ = make(tmp_path / "run", batch=1, text=PREFILL.replace("prompt: 12", "prompt: 2"))
    code, document = verify(bundle)
    assert code == 0 and document["certificates"][0]["tokens"] == 2, document


def test_the_followed_tokens_are_those_of_the_oracle(read):
    """numpy computes the whole prompt in fp64: hidden states of each followed token, and the logits of the last."""
    bundle, path = read
    lines = lines_of(bundle)
    model = Llama(path)
    table = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}["token_embd.weight"]
    fed = {}
    for token in range(3):
        own = [line for line in lines[1:] if line["token"] == token]
        row = numbers(own[0])
        fed[token] = int(np.argmin(np.abs(table - row).sum(axis=1)))
        assert np.array_equal(table[fed[token]].astype("<f4"), row)
    links = np.frombuffer(base64.b64decode(lines[0]["links"]), "<u4").reshape(2, 6)
    assert fed[2] in links[:, 0] and len(base64.b64decode(lines[0]["marks"])) == 8 * 2 * 12
    assert (links[:, 3] == 15).all() and model.forward([fed[0]]).shape[1] == VOCAB


@pytest.mark.parametrize("name", ["embedding", "q", "v", "rope k", "attention", "down", "ffn residual", "output norm", "head"])
def test_another_output_at_a_prompt_is_noticed(prompt, name):
    bundle, _ = prompt
    lines = lines_of(bundle)
    change(lines, name, scale)
    put(bundle, lines)
    code, document = verify(bundle, "--rows", 64)
    assert code == 1, document


def another_mark(lines):
    marks = np.frombuffer(base64.b64decode(lines[0]["marks"]), "<u8").copy()
    marks[3] ^= 1
    lines[0]["marks"] = base64.b64encode(marks.tobytes()).decode()


def swap_of_one(lines):
    at = [i for i, line in enumerate(lines) if line.get("token") == 1]
    lines[at[2]], lines[at[3]] = lines[at[3]], lines[at[2]]


def no_marks(lines):
    lines[0]["marks"] = ""


def other_work(lines):
    lines[0]["workload"] = "decode"


def more_ranks(lines):
    lines[0]["ranks"] = 1 << 25


def ranks_that_do_not_divide(lines):
    lines[0]["ranks"] = HEADS + 1


@pytest.mark.parametrize("how", [drop_layer, swap_of_one, cut, repeat, another_nonce, another_mark, no_marks, other_work,
                                 more_ranks, ranks_that_do_not_divide], ids=lambda how: how.__name__)
def test_a_prompt_put_together_otherwise_is_noticed(prompt, how):
    bundle, _ = prompt
    lines = lines_of(bundle)
    how(lines)
    put(bundle, lines)
    code, document = verify(bundle)
    assert code in (1, 2), document


def test_other_keys_than_the_timed_ones_are_noticed(prompt):
    """One key of one followed token, of a head that is not shown, in the last layer: only its mark tells."""
    bundle, _ = prompt
    lines = lines_of(bundle)
    changed = 0
    for head in range(KV_HEADS):
        again = [dict(line) for line in lines]
        line = next(line for line in again[1:] if line["name"] == "rope k" and line["layer"] == LAYERS - 1)
        values = numbers(line)
        values[head * HEAD_DIM] *= 1.02  # more than a step of bf16, in which the cache keeps it
        line["values"] = text(values)
        put(bundle, again)
        code, document = verify(bundle)
        assert code == 1, document
        changed += "are not those of the timed run" in document["error"]["message"]
    assert changed >= 1


def test_a_prompt_that_was_not_drawn_is_noticed(prompt):
    """Another seed than the run says: the tokens that were read are not the ones that it gives."""
    bundle, _ = prompt
    put(bundle, None, lambda run_json: run_json.update(seed="0x0000000000000008"))
    code, document = verify(bundle)
    assert code == 1 and "does not follow from the prompt" in document["error"]["message"], document


def test_another_file_is_not_the_model(made, tmp_path):
    other = write_model(tmp_path / "model.gguf", T.F32)
    code, document = verify(made[0], "--model", other)
    assert code == 1 and "not the model that ran" in document["error"]["message"]


def test_a_run_with_a_nonce_is_resumed_with_it(tmp_path):
    from harness import SUITE as SLOW
    from harness import processes, start, wait_for
    suite = tmp_path / "probe.yaml"
    suite.write_text(SLOW % 40)
    staging = tmp_path / "bundle.partial"
    supervisor = start(suite, "--out", tmp_path / "bundle", "--nonce", "n")
    wait_for(lambda: (staging / "work" / "001" / "step.json").exists(), what="the slow step")
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not processes(str(staging)), 20, "the end of all ranks")
    assert not any(b'"n"' in path.read_bytes() for path in [staging / "work" / "plan.json"])
    refused = run("--resume", staging)
    assert refused.returncode == 2 and "--nonce" in refused.stderr
    refused = run("--resume", staging, "--nonce", "m")
    assert refused.returncode == 2
    done = run("--resume", staging, "--nonce", "n")
    assert done.returncode == 0, done.stderr
