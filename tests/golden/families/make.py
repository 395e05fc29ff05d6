"""Makes the small random models of each family and what the family's own code answers to them.

Needs torch and transformers (tests need neither): python make.py [NAME...]. Each recipe (recipes.py) is a config.json as
the family publishes it. Weights are drawn by their published names, rounded to the published type and stored so; the family's class
loads the folder with from_pretrained, which must find every tensor and miss none, and computes in fp32 on one thread,
with eager attention and eager experts. Beside the model lie logits.npy, [rows][vocab] float32, and golden.json, which
says what the rows are.

What is refused here, so that the tests can hold strict bounds: greedy tokens whose lead is too small; models that a
change of 1e-5 of their embeddings throws off their routes; tensors and heads without influence on the logits."""

import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import zlib

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

import remote_code
from recipes import RECIPES

HERE = pathlib.Path(__file__).parent
LENGTHS = {"short": 5, "ragged": 14, "long": 61}
NEW = 24  # greedy tokens
LEAD = 3e-3  # the least lead of a greedy token, of the largest |logit|
SHAKEN = 1e-3  # what 1e-5 on the embeddings may change, of the largest |logit|
FELT = 1e-3  # what a tensor with each element changed by some 30 % must change


def new_model(folder):
    """The family's class around config.json, with whatever weights."""
    read = AutoConfig.from_pretrained(folder)
    if hasattr(read, "quantization_config"):
        del read.quantization_config
    return AutoModelForCausalLM.from_config(read, attn_implementation="eager", dtype=torch.float32)


def pack_mxfp4(values):
    """[experts][columns][rows] as published: bytes of 32 columns each, [experts][rows][blocks][16], and scales."""
    from transformers.integrations.mxfp4 import FP4_VALUES

    groups = values.transpose(1, 2).reshape(values.shape[0], values.shape[2], -1, 32).float()
    scales = groups.abs().amax(-1, keepdim=True).log2().floor() - 2
    codes = (groups[..., None] / 2 ** scales[..., None] - torch.tensor(FP4_VALUES)).abs().argmin(-1).to(torch.uint8)
    return codes[..., ::2] | codes[..., 1::2] << 4, (scales[..., 0] + 127).to(torch.uint8)


def unpacked(folder, recipe, plain):
    """The same model without packing, in the folder `plain`."""
    from safetensors.torch import load_file
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    weights = load_file(folder / "model.safetensors")
    for name in [n.removesuffix("_blocks") for n in weights if n.endswith("_blocks")]:
        packed = weights.pop(name + "_blocks"), weights.pop(name + "_scales")
        weights[name] = convert_moe_packed_tensors(*packed, dtype=torch.float32)
    config = {k: v for k, v in recipe["config"].items() if k != "quantization_config"}
    (plain / "config.json").write_text(json.dumps(config))
    save_file(weights, plain / "model.safetensors", metadata={"format": "pt"})


def load(folder, recipe):
    if "ours" in recipe:
        return remote_code.load(folder, recipe["ours"], "changed" not in recipe)
    if "mxfp4" in recipe:
        with tempfile.TemporaryDirectory() as plain:
            unpacked(folder, recipe, pathlib.Path(plain))
            return load(plain, {})
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    strange = [n for n in info["unexpected_keys"] if not re.match(recipe.get("unused", "^$"), n)]
    assert not strange and not info["missing_keys"] and not info["mismatched_keys"], info
    if model._can_set_experts_implementation():
        model.set_experts_implementation("eager")
    assert all(p.dtype == torch.float32 for p in model.parameters())
    return model.eval()


def second_token_layer(config, shapes):
    """The layer behind the last that predicts a second token: published, and of no use here."""
    last, hidden, vocab = config["num_hidden_layers"], config["hidden_size"], config["vocab_size"]
    before, here = f"model.layers.{last - 1}.", f"model.layers.{last}."
    like = {name.replace(before, here): shape for name, shape in shapes.items() if name.startswith(before)}
    norms = {here + name: (hidden,) for name in ("enorm.weight", "hnorm.weight", "shared_head.norm.weight")}
    words = {here + name: (vocab, hidden) for name in ("embed_tokens.weight", "shared_head.head.weight")}
    return like | norms | words | {here + "eh_proj.weight": (hidden, 2 * hidden)}


def published_shapes(folder, recipe):
    """Name and shape of every tensor of a published checkpoint: what save_pretrained writes, then what the recipe says
    that transformers renames."""
    if "ours" in recipe:
        return remote_code.CLASSES[recipe["ours"]].tensors(recipe["config"])
    with tempfile.TemporaryDirectory() as saved:
        new_model(folder).save_pretrained(saved)
        from safetensors import safe_open

        with safe_open(os.path.join(saved, "model.safetensors"), "pt") as f:
            shapes = {name: tuple(f.get_slice(name).get_shape()) for name in f.keys()}
    for old, new in recipe.get("rename", {}).items():
        shapes = {re.sub(old, new, name): shape for name, shape in shapes.items()}
    if recipe["config"].get("tie_word_embeddings", recipe.get("tied")):
        shapes.pop("lm_head.weight", None)
    shapes |= recipe.get("buffers", {})
    if recipe["config"].get("num_nextn_predict_layers"):
        shapes |= second_token_layer(recipe["config"], shapes)
    return shapes


def draw(name, shape, recipe, rng):
    for pattern, how in recipe.get("draw", {}).items():
        if re.search(pattern, name):
            return how(rng, shape)
    if "norm" in name and len(shape) == 1 and name.endswith("weight"):
        return recipe.get("gain", 1.0) + 0.3 * rng.standard_normal(shape)
    if len(shape) == 1:
        return 0.4 * rng.standard_normal(shape)
    if "embed" in name:
        return 0.5 * rng.standard_normal(shape)
    gain = 2.0 if re.search(r"(q|k|qkv|q_b|kv_a|query)_proj|wqkv|W_pack", name) else 1.2
    return gain * rng.standard_normal(shape) / np.sqrt(shape[-1])


def write_model(folder, recipe, seed):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(recipe["config"], indent=2) + "\n")
    shapes = published_shapes(folder, recipe)
    for pattern in recipe["tensors"]:
        assert any(re.fullmatch(pattern, n) for n in shapes), f"no tensor {pattern}: {sorted(shapes)}"
    strange = [n for n in shapes if not any(re.fullmatch(p, n) for p in recipe["tensors"])]
    assert not strange, f"names that no published checkpoint has: {strange}"
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in sorted(shapes.items()):
        stored = torch.float32 if re.search(recipe.get("fp32", "^$"), name) else getattr(torch, recipe["config"].get("torch_dtype", "bfloat16"))
        weights[name] = torch.tensor(draw(name, shape, recipe, rng), dtype=torch.float32).to(stored)
    for name in [n for n in weights if "mxfp4" in recipe and re.search(recipe["mxfp4"], n)]:
        weights[name + "_blocks"], weights[name + "_scales"] = pack_mxfp4(weights.pop(name))
    save_file({n: t.contiguous() for n, t in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)


@torch.no_grad()
def logits_of(model, tokens, context=None):
    """[tokens][vocab] in one pass without a cache. context: positions that the model is told of; what lies behind the
    tokens cannot be seen by them, but the tables of rotations that grow with the context are those of its length."""
    fed = list(tokens) + [0] * ((context or len(tokens)) - len(tokens))
    return model(input_ids=torch.tensor([fed]), use_cache=False).logits[0, : len(tokens)].float().numpy()


@torch.no_grad()
def cached_logits(model, tokens):
    """The same, one token at a time."""
    past, rows = None, []
    for t in tokens:
        out = model(input_ids=torch.tensor([[t]]), past_key_values=past, use_cache=True)
        past = out.past_key_values
        rows.append(out.logits[0, 0].float().numpy())
    return np.stack(rows)


def greedy(model, prompt, context):
    made, lead = [], np.inf
    for _ in range(NEW):
        row = logits_of(model, prompt + made, context)[-1]
        second, best = np.sort(row)[-2:]
        lead = min(lead, float(best - second) / np.abs(row).max())
        made.append(int(row.argmax()))
    return made, lead


def change_of(model, prompt, before, context):
    return float(np.abs(logits_of(model, prompt, context) - before).max() / np.abs(before).max())


def check_shaken(model, prompt, before, context):
    def shake(_, __, out):
        return out * (1 + 1e-5 * torch.randn(out.shape, generator=torch.Generator().manual_seed(1)))

    hook = model.get_input_embeddings().register_forward_hook(shake)
    changed = change_of(model, prompt, before, context)
    hook.remove()
    return changed


@torch.no_grad()
def check_felt(model, prompt, before, context, unfelt):
    for name, p in model.state_dict().items():
        if re.search(unfelt, name):
            continue
        parts = list(p) if p.dim() == 3 or (p.dim() == 2 and "experts" in name) else [p]
        for i, part in enumerate(parts):
            kept = part.clone()
            part.mul_(1 + 0.3 * torch.randn(part.shape, generator=torch.Generator().manual_seed(i)))
            changed = change_of(model, prompt, before, context)
            part.copy_(kept)
            assert changed > FELT, f"{name}[{i}] has no influence: {changed:.1e}"


# Numbers of config.json that must matter, and what they are changed to.
KEYS = {
    "rms_norm_eps": lambda v: 20 * v, "rope_theta": lambda v: 1.5 * v, "rope_local_base_freq": lambda v: 1.5 * v,
    "sliding_window": lambda v: v + 3, "partial_rotary_factor": lambda v: 1.0, "sliding_window_pattern": lambda v: 3,
    "attn_logit_softcapping": lambda v: 1.3 * v, "final_logit_softcapping": lambda v: 1.3 * v,
    "query_pre_attn_scalar": lambda v: 2 * v, "routed_scaling_factor": lambda v: 1.2 * v,
    "num_experts_per_tok": lambda v: v - 1, "moe_k": lambda v: v - 1, "topk_group": lambda v: v + 1,
    "moe_topk": lambda v: [n - 1 for n in v], "norm_topk_prob": lambda v: not v, "swiglu_limit": lambda v: 0.8 * v,
    "use_sliding_window": lambda v: not v, "scale_emb": lambda v: 1.5 * v, "scale_depth": lambda v: 1.5 * v,
    "dim_model_base": lambda v: 1.5 * v, "topk_method": lambda v: "greedy", "factor": lambda v: 1.5 * v,
    "original_max_position_embeddings": lambda v: v // 2, "low_freq_factor": lambda v: 1.5 * v,
    "high_freq_factor": lambda v: 1.5 * v, "beta_slow": lambda v: 0.6 * v, "beta_fast": lambda v: 4 * v,
    "mscale": lambda v: 1.5 * v, "mscale_all_dim": lambda v: 1.5 * v, "truncate": lambda v: not v,
    "alpha": lambda v: 2 * v, "long_factor": lambda v: v[::-1], "short_factor": lambda v: v[::-1],
    "hidden_act": lambda v: "gelu", "hidden_activation": lambda v: "silu", "rope_interleave": lambda v: not v,
    "max_position_embeddings": lambda v: v * 2, "max_window_layers": lambda v: v + 1,
}


def keys_felt(folder, recipe, cases):
    """Which of them change the answers to any case, and which do not."""
    felt, unfelt = [], []
    config = json.loads((folder / "config.json").read_text())
    before = [logits_of(load(folder, recipe), c["tokens"], c["context"]) for c in cases]

    def try_keys(part, path):
        for key, value in list(part.items()):
            if isinstance(value, dict):
                try_keys(value, path + key + ".")
            if key not in KEYS or value is None:
                continue
            part[key] = KEYS[key](value)
            (folder / "config.json").write_text(json.dumps(config))
            try:
                model = load(folder, recipe | {"changed": True, "config": config})
                changed = max(change_of(model, c["tokens"], b, c["context"]) for c, b in zip(cases, before))
            except Exception as error:  # a contradiction is felt by somebody else
                changed = f"{type(error).__name__}"
            part[key] = value
            strong = isinstance(changed, float) and changed > FELT
            (felt if strong else unfelt).append(path + key if strong else f"{path}{key} ({changed})")

    try_keys(config, "")
    (folder / "config.json").write_text(json.dumps(recipe["config"], indent=2) + "\n")
    return felt, unfelt


def make_cases(model, recipe, seed):
    """Prompts whose greedy tokens lead by far; other draws where they do not."""
    vocab = recipe.get("vocab") or recipe["config"].get("vocab_size")
    cases = []
    for name, length in recipe.get("lengths", LENGTHS).items():
        context = recipe.get("contexts", {}).get(name)
        for attempt in range(40):
            rng = np.random.default_rng([seed, length, attempt])
            prompt = [int(t) for t in rng.integers(0, vocab, length)]
            made, lead = greedy(model, prompt, context)
            if lead >= LEAD and len(set(made)) >= 6:
                break
        else:
            raise SystemExit(f"{name}: no prompt with clear answers")
        cases.append({"name": name, "tokens": prompt, "context": context, "greedy": made, "lead": float(f"{lead:.3g}")})
    return cases


def shown(length):
    return sorted({*range(0, length, max(1, length // 12)), length - 1})


def make(name, recipe, seed):
    torch.manual_seed(0)
    folder = HERE / name
    write_model(folder, recipe, seed)
    model = load(folder, recipe)
    cases = make_cases(model, recipe, seed)
    rows, cache_error, rounding = [], 0.0, 0.0
    for case in cases:
        full = logits_of(model, case["tokens"], case["context"])
        scale = np.abs(full).max()
        assert full.std() > 0.2 and np.isfinite(full).all(), full.std()
        if not case["context"]:
            cache_error = max(cache_error, float(np.abs(cached_logits(model, case["tokens"]) - full).max() / scale))
        case["positions"] = shown(len(case["tokens"]))
        case["first_row"] = sum(len(r) for r in rows)
        rows.append(full[case["positions"]])
        whole = case["tokens"] + case["greedy"]
        changed = check_shaken(model, whole, logits_of(model, whole, case["context"]), case["context"])
        assert changed < SHAKEN, f"{case['name']}: 1e-5 on the embeddings changes {changed:.1e}"
    check_felt(model, cases[-1]["tokens"], full, cases[-1]["context"], recipe.get("unfelt", "^$"))
    assert cache_error < 1e-5, f"with a cache the family's code answers otherwise: {cache_error:.1e}"
    felt, unfelt = keys_felt(folder, recipe, cases)
    print(f"{name}: without influence {unfelt}")
    model.double()
    for case, held in zip(cases, rows):
        again = logits_of(model, case["tokens"], case["context"])[case["positions"]]
        rounding = max(rounding, float(np.abs(again - held).max() / np.abs(held).max()))
    np.save(folder / "logits.npy", np.concatenate(rows).astype(np.float32))
    ours = f"tests/golden/families/remote_code.py, written from published formulas, on torch {torch.__version__}"
    golden = {
        "class": recipe.get("ours") or type(model).__name__,
        "by": ours if "ours" in recipe else f"transformers {transformers.__version__} on torch {torch.__version__}",
        "computed": "fp32, eager attention, weights as stored",
        "seed": seed,
        "notes": recipe.get("notes", []),
        "forms": recipe.get("forms", ["safetensors", "gguf"]),
        "keys_felt": felt,
        "cache_error": float(f"{cache_error:.2g}"),
        "rounding": float(f"{rounding:.2g}"),
        "cases": cases,
    }
    text = json.dumps(golden, indent=1)
    text = re.sub(r"\[\s+([^\[\]{}\"]*?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m.group(1)) + "]", text)
    (folder / "golden.json").write_text(text + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {golden['class']}, {size // 1000} kB, leads {[c['lead'] for c in cases]}, with a cache {cache_error:.1e}, rounding {rounding:.1e}")


def main():
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in sys.argv[1:] or RECIPES:
        recipe = RECIPES[name]
        make(name, recipe, recipe.get("seed", zlib.crc32(name.encode()) % 1000))


if __name__ == "__main__":
    main()
