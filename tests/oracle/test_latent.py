"""Latent attention (MLA) in sizes that the golden models of test_families.py do not have: heads whose rows are packed for
the kernels, tiles, every type of cache, several threads, prompts in pieces. A random model of DeepSeek-V3's form, and the
same numbers by the published formulas, not absorbed, in float64."""

import json
import os
import subprocess

import gguf
import numpy as np
import pytest
from engine_program import PROGRAM, ids, probe_suite
from families_gguf import OlderDeepSeek, convert
from test_families import ISA, TOOL

CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_act": "silu", "hidden_size": 96,
    "intermediate_size": 144, "num_attention_heads": 6, "num_key_value_heads": 6, "num_hidden_layers": 2, "q_lora_rank": 48,
    "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 32, "v_head_dim": 48, "vocab_size": 120,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-2, "rope_theta": 10000.0, "tie_word_embeddings": False,
}  # fmt: skip
LAYER = "model.layers.{}.self_attn."


def shapes(c):
    hidden, heads, q, kv = (c[k] for k in ("hidden_size", "num_attention_heads", "q_lora_rank", "kv_lora_rank"))
    nope, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    yield "model.embed_tokens.weight", (c["vocab_size"], hidden)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (c["vocab_size"], hidden)
    for i in range(c["num_hidden_layers"]):
        at = LAYER.format(i)
        yield at + "q_a_proj.weight", (q, hidden)
        yield at + "q_a_layernorm.weight", (q,)
        yield at + "q_b_proj.weight", (heads * (nope + rope), q)
        yield at + "kv_a_proj_with_mqa.weight", (kv + rope, hidden)
        yield at + "kv_a_layernorm.weight", (kv,)
        yield at + "kv_b_proj.weight", (heads * (nope + value), kv)
        yield at + "o_proj.weight", (hidden, heads * value)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{i}.{norm}.weight", (hidden,)
        for name, shape in (("gate", (c["intermediate_size"], hidden)), ("up", (c["intermediate_size"], hidden))):
            yield f"model.layers.{i}.mlp.{name}_proj.weight", shape
        yield f"model.layers.{i}.mlp.down_proj.weight", (hidden, c["intermediate_size"])


def write_model(folder, config=CONFIG, **changes):
    """bf16 values, and the same in float64."""
    random, at, header, data, values = np.random.default_rng(5), 0, {}, [], {}
    for name, shape in shapes(config):
        drawn = random.standard_normal(shape)
        drawn = 1 + 0.3 * drawn if len(shape) == 1 else drawn * 2 / shape[1] ** 0.5
        bits = (drawn.astype("<f4").view("<u4") >> 16).astype("<u2")
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + bits.nbytes]}
        at += bits.nbytes
        data.append(bits.tobytes())
        values[name] = (bits.astype("<u4") << 16).view("<f4").astype(np.float64)
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "model.safetensors").write_bytes(len(words).to_bytes(8, "little") + words + b"".join(data))
    return values


def norm(x, gain, eps):
    return gain * x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)


def turn(x, base):
    """Pairs (2i, 2i + 1) of the last axis, by the first axis's positions."""
    dims = x.shape[-1]
    angle = np.arange(x.shape[0])[:, None] * base ** (-np.arange(0, dims, 2) / dims)
    angle = angle.reshape(x.shape[0], *(1,) * (x.ndim - 2), -1)
    even, odd = x[..., ::2], x[..., 1::2]
    turned = even * np.cos(angle) - odd * np.sin(angle), even * np.sin(angle) + odd * np.cos(angle)
    return np.stack(turned, -1).reshape(x.shape)


def attention(w, c, n, at):
    """Keys and values of every head by themselves."""
    heads, nope, value, rank = (c[k] for k in ("num_attention_heads", "qk_nope_head_dim", "v_head_dim", "kv_lora_rank"))
    q = norm(n @ w[at + "q_a_proj.weight"].T, w[at + "q_a_layernorm.weight"], 1e-6) @ w[at + "q_b_proj.weight"].T
    q = q.reshape(len(n), heads, -1)
    down = n @ w[at + "kv_a_proj_with_mqa.weight"].T
    up = norm(down[:, :rank], w[at + "kv_a_layernorm.weight"], 1e-6) @ w[at + "kv_b_proj.weight"].T
    up = up.reshape(len(n), heads, nope + value)
    turned = np.broadcast_to(turn(down[:, None, rank:], c["rope_theta"]), (*q.shape[:2], c["qk_rope_head_dim"]))
    k = np.concatenate((up[..., :nope], turned), axis=-1)
    q = np.concatenate((q[..., :nope], turn(q[..., nope:], c["rope_theta"])), axis=-1)
    scores = np.einsum("thd,shd->hts", q, k) / q.shape[-1] ** 0.5
    scores[:, np.triu(np.ones(scores.shape[1:], bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("hts,shd->thd", weights, up[..., nope:]).reshape(len(n), -1) @ w[at + "o_proj.weight"].T


def expected(w, c, tokens):
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        x = x + attention(w, c, norm(x, w[layer + "input_layernorm.weight"], c["rms_norm_eps"]), LAYER.format(i))
        n = norm(x, w[layer + "post_attention_layernorm.weight"], c["rms_norm_eps"])
        gate, up = (n @ w[f"{layer}mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[layer + "mlp.down_proj.weight"].T
    return norm(x, w["model.norm.weight"], c["rms_norm_eps"]) @ w["lm_head.weight"].T


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent") / "model"
    values = write_model(folder)
    random = np.random.default_rng(7)
    prompts = [random.integers(0, CONFIG["vocab_size"], length).tolist() for length in (300, 37)]
    return folder, prompts, [expected(values, CONFIG, prompt) for prompt in prompts]


def call(folder, words, step, threads, prompts, isa=None, context=320):
    return subprocess.run(
        [TOOL, folder, words, str(step), str(context), str(threads), *map(ids, prompts)],
        capture_output=True, timeout=300, env=os.environ | ({"ZH_CPU": isa} if isa else {}),
    )  # fmt: skip


def logits_of(done, prompts):
    assert done.returncode == 0, done.stderr.decode()
    values = np.frombuffer(done.stdout, np.float32).reshape(-1, CONFIG["vocab_size"])
    return np.split(values, np.cumsum([len(p) for p in prompts])[:-1])


# Of the largest |logit|: fp32 sums, in the absorbed order; what bf16 and bytes cost, of weights that a model so random
# has nothing to make good by. An error of the form is of the size of the logits.
BOUND = {"exact": 2e-5, "whole": 1e-4, "fast": 0.1}


@pytest.mark.parametrize("way", BOUND)
@pytest.mark.parametrize("step, threads", [(0, 1), (0, 3), (1, 2), (23, 7)])
def test_absorbed_equals_the_published_form(model, way, step, threads):
    folder, prompts, wanted = model
    precision, isa = ISA[way]
    for found, right in zip(logits_of(call(folder, precision, step, threads, prompts, isa), prompts), wanted):
        error = (np.abs(found - right).max(axis=-1) / np.abs(right).max(axis=-1)).max()
        print(f"{way}, {step or 'all'} at a time: {error:.1e}")
        assert error <= BOUND[way]


@pytest.mark.parametrize("kv", ["", "+bf16", "+q8"])
@pytest.mark.parametrize("way", BOUND)
def test_every_operator_with_every_cache(model, way, kv):
    folder, prompts, _ = model
    precision, isa = ISA[way]
    for step, threads in ((0, 3), (1, 1), (40, 2)):
        done = call(folder, precision + kv + "+check", step, threads, prompts[1:] if step == 1 else prompts, isa)
        assert done.returncode == 0, done.stderr.decode()
        seen = {check["operator"]: check for check in json.loads(done.stderr)}
        assert {"q down", "kv down", "q latent norm", "kv latent norm", "q up", "latent query", "latent value"} <= set(seen)
        assert all(check["passed"] for check in seen.values())


def test_threads_change_no_bit(model):
    folder, prompts, _ = model
    one = call(folder, "fast+bf16", 0, 1, prompts).stdout
    assert one and all(call(folder, "fast+bf16", 0, threads, prompts).stdout == one for threads in (2, 5, 9))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"kv_lora_rank": 60}, "'model.layers.0.self_attn.kv_a_proj_with_mqa.weight' should have the shape [92, 96]"),
        ({"kv_lora_rank": None}, "latent attention of rank 0"),
        ({"v_head_dim": 40}, "should have the shape"),
        ({"qk_rope_head_dim": 0}, "rotated dimensions"),
        ({"qk_nope_head_dim": 0}, "0 of them not turned"),
        ({"attention_bias": True}, "the file states 'attention_bias'"),
        ({"num_attention_heads": 5}, "should have the shape"),
        ({"q_lora_rank": None}, "'model.layers.0.self_attn.q_proj.weight' is missing"),
        (
            {"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32, "mscale_all_dim": 1e300}},
            "YaRN's mscale makes the attention scale infinite",
        ),
        ({"scoring_func": "tanh"}, "the router_score 'tanh' is not among those that this version computes"),
    ],
)
def test_contradictions_are_named(tmp_path, change, said):
    write_model(tmp_path / "model", **change)
    done = call(tmp_path / "model", "exact", 0, 1, [[1, 2, 3]], context=3)
    assert done.returncode != 0 and said in done.stderr.decode(), done.stderr.decode()


SUITE = probe_suite("decode", "prompt: 40, tokens: 12, batch: 3, kv: %s, parallel: %s", seed=8)


def run_suite(folder, model, kv, *words, parallel="none"):
    (folder / "probe.yaml").write_text(SUITE % (kv, parallel))
    return subprocess.run(
        [PROGRAM, "run", folder / "probe.yaml", "--model", model, "--out", folder / "bundle", *map(str, words)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


# Bytes of kv_rank + rope dims = 96 numbers, once, of 2 layers; q8 has a scale of 2 bytes for all of them.
@pytest.mark.parametrize("kv, bytes_each", [("f32", 2 * 96 * 4), ("bf16", 2 * 96 * 2), ("q8", 2 * 98)])
def test_decoding_is_measured(model, tmp_path, kv, bytes_each):
    done = run_suite(tmp_path, model[0], kv)
    assert done.returncode == 0, done.stderr
    step = decode_of(tmp_path)
    assert step["facts"]["memory"]["passed"]
    assert step["facts"]["kv_bytes_per_position"] == bytes_each


def decode_of(folder):
    said = json.loads((folder / "bundle" / "run.json").read_text())
    (step,) = [step for step in said["steps"] if step["workload"] == "decode"]
    return step


def test_stages_give_the_same_answers(model, tmp_path):
    answers = []
    for parallel, words in (("none", ()), ("pipeline", ("--ranks", "2"))):
        folder = tmp_path / parallel
        folder.mkdir()
        done = run_suite(folder, model[0], "bf16", *words, parallel=parallel)
        assert done.returncode == 0, done.stderr
        answers.append(decode_of(folder)["facts"]["chain_sm3"])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("kv, ranks", [("f32", 2), ("q8", 3)])
def test_ranks_divide_heads(model, tmp_path, kv, ranks):
    done = run_suite(tmp_path, model[0], kv, "--ranks", ranks, parallel="tensor")
    assert done.returncode == 0, done.stderr
    alone = tmp_path / "alone"
    alone.mkdir()
    assert run_suite(alone, model[0], kv).returncode == 0
    assert decode_of(tmp_path)["facts"]["first_tokens"] == decode_of(alone)["facts"]["first_tokens"]


def test_heads_that_do_not_divide(model, tmp_path):
    done = run_suite(tmp_path, model[0], "bf16", "--ranks", "4", parallel="tensor")
    assert done.returncode != 0 and "6 query heads cannot be divided evenly among 4 ranks" in done.stderr


@pytest.mark.parametrize("kv, parallel, words", [("bf16", "none", ()), ("q8", "none", ()), ("f32", "tensor", ("--ranks", 2))])
def test_a_certificate_holds(model, tmp_path, kv, parallel, words):
    done = run_suite(tmp_path, model[0], kv, "--nonce", "words", *words, parallel=parallel)
    assert done.returncode == 0, done.stderr
    found = subprocess.run([PROGRAM, "verify", tmp_path / "bundle", "--recompute", "--json"], capture_output=True,
                           text=True, timeout=60)  # fmt: skip
    assert found.returncode == 0, found.stdout
    [result] = json.loads(found.stdout)["certificates"]
    assert result["tokens"] == 2 and 0 < result["largest_error_of_bound"] < 1


@pytest.mark.parametrize("fault", ["swap", "weight", "activation", "cache", "stale", "layer", "layers", "precision"])
def test_faults_are_caught(model, tmp_path, fault):
    done = run_suite(tmp_path, model[0], "bf16", "--inject", f"fault={fault}")
    assert done.returncode == 1, done.stderr
    assert decode_of(tmp_path)["status"] == "failed" and decode_of(tmp_path)["reason"]


# --- files that hold kv_b whole, in blocks ---

class Dense(OlderDeepSeek):
    def rotation_keys(self, w):
        w.add_rope_freq_base(float(self.c["rope_theta"]))
        w.add_rope_dimension_count(self.c["qk_rope_head_dim"])

    def expert_keys(self, w):
        pass


def random_blocks(kind, values, numbers):
    """K types, which PyPI gguf reads but does not write: any quanta and scales of blocks, with factors of fitting size."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    rows = np.random.default_rng(3).integers(0, 256, (values.shape[0], values.shape[1] // elements, size), np.uint8)
    for at, number in numbers.items():
        rows[:, :, at : at + 2] = np.frombuffer(np.float16(number).tobytes(), np.uint8)
    return rows.reshape(values.shape[0], -1)


T = gguf.GGMLQuantizationType
BLOCKS = {
    "Q8_0": (64, lambda values: gguf.quants.quantize(values, T.Q8_0)),
    "Q4_0": (64, lambda values: gguf.quants.quantize(values, T.Q4_0)),
    "Q5_1": (64, lambda values: gguf.quants.quantize(values, T.Q5_1)),
    "Q4_K": (256, lambda values: random_blocks(T.Q4_K, values, {0: 4e-4, 2: 1e-3})),
    "Q6_K": (512, lambda values: random_blocks(T.Q6_K, values, {208: 1e-4})),
}


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """A file, prompts, and the logits by the values that its blocks stand for."""
    made = {}

    def of(kind):
        if kind in made:
            return made[kind]
        rank, rows = BLOCKS[kind]
        config = CONFIG | {"kv_lora_rank": rank}
        folder = tmp_path_factory.mktemp("older")
        values = write_model(folder / "model", config)
        path = convert(folder / "model", folder / "older.gguf", family=Dense,
                       packed={"attn_kv_b.weight": (T[kind], rows)})  # fmt: skip
        for name in [name for name in values if "kv_b_proj" in name]:
            values[name] = gguf.quants.dequantize(rows(values[name].astype(np.float32)), T[kind]).astype(np.float64)
        prompts = [np.random.default_rng(9).integers(0, CONFIG["vocab_size"], n).tolist() for n in (40, 9)]
        made[kind] = path, prompts, [expected(values, config, prompt) for prompt in prompts]
        return made[kind]

    return of


@pytest.mark.parametrize("way", BOUND)
@pytest.mark.parametrize("kind", BLOCKS)
def test_keys_in_blocks_are_turned_by_their_values(older, kind, way):
    path, prompts, wanted = older(kind)
    precision, isa = ISA[way]
    for found, right in zip(logits_of(call(path, precision, 0, 2, prompts, isa), prompts), wanted):
        error = (np.abs(found - right).max(axis=-1) / np.abs(right).max(axis=-1)).max()
        print(f"{kind} {way}: {error:.1e}")
        assert error <= BOUND[way]
    done = call(path, precision + "+check", 0, 2, prompts, isa)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_K"])
def test_keys_in_blocks_are_held_against_the_file(older, tmp_path, kind, ranks):
    words = ("--ranks", str(ranks), "--nonce", "words")
    done = run_suite(tmp_path, older(kind)[0], "bf16", *words, parallel="none" if ranks == 1 else "tensor")
    assert done.returncode == 0, done.stderr
    found = subprocess.run([PROGRAM, "verify", tmp_path / "bundle", "--recompute"], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout + found.stderr
