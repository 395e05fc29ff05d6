"""Writes routing.json: which experts the families' own routers choose, and with what weights.

Needs torch and transformers (5.23.0 wrote the file that stands here); the test that reads it needs neither.
Run from anywhere: python tests/golden/routing/make.py
"""
import json
import pathlib
from types import SimpleNamespace

import torch
import transformers
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2TopkRouter
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter
from transformers.models.ernie4_5_moe.modeling_ernie4_5_moe import Ernie4_5_MoeTopKRouter
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssTopKRouter
from transformers.models.mixtral.modeling_mixtral import MixtralTopKRouter
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeTopKRouter

TOKENS = 4
HERE = pathlib.Path(__file__).resolve().parent


def config(experts, used, **more):
    return SimpleNamespace(hidden_size=experts, num_experts=experts, num_local_experts=experts, n_routed_experts=experts,
                           num_experts_per_tok=used, routed_scaling_factor=more.pop("scale", 1.0), **more)


def cases():
    """Name, module, our words for it. The router's matrix is the identity, so its input is its logits."""
    yield ("mixtral", MixtralTopKRouter(config(8, 2)), dict(experts=8, used=2, score="softmax", renormalise=True))
    for norm in (False, True):
        yield (f"qwen2moe {norm}", Qwen2MoeTopKRouter(config(60, 4, norm_topk_prob=norm)),
               dict(experts=60, used=4, score="softmax", renormalise=norm))
    yield ("deepseek2 greedy", DeepseekV2TopkRouter(config(64, 6, topk_method="greedy", n_group=1, topk_group=1)),
           dict(experts=64, used=6, score="softmax"))
    yield ("deepseek2 groups", DeepseekV2TopkRouter(config(
        160, 6, topk_method="group_limited_greedy", n_group=8, topk_group=3, scale=16.0)),
        dict(experts=160, used=6, score="softmax", groups=8, groups_used=3, group_score="max", scale=16.0))
    yield ("deepseek3", DeepseekV3TopkRouter(config(256, 8, norm_topk_prob=True, n_group=8, topk_group=4, scale=2.5)),
           dict(experts=256, used=8, score="sigmoid", renormalise=True, groups=8, groups_used=4,
                group_score="best two", scale=2.5))
    yield ("glm4moe", DeepseekV3TopkRouter(config(21, 5, norm_topk_prob=False, n_group=1, topk_group=1, scale=1.5)),
           dict(experts=21, used=5, score="sigmoid", scale=1.5))
    yield ("ernie4_5", Ernie4_5_MoeTopKRouter(config(
        64, 6, moe_num_experts=64, moe_k=6, moe_norm_min=1e-12)),
        dict(experts=64, used=6, score="softmax", renormalise=True))
    yield ("gpt-oss", GptOssTopKRouter(config(32, 4)), dict(experts=32, used=4, score="softmax chosen"))


def run(name, module, words):
    experts = words["experts"]
    module = module.float().eval()
    with torch.no_grad():
        module.weight.copy_(torch.eye(experts))
        for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if key == "weight":
                continue
            tensor.copy_(torch.randn(tensor.shape) * (0.05 if "correction" in key else 0.5))
            words["bias" if key == "bias" else "selection_bias"] = [float(v) for v in tensor.flatten()]
        logits = torch.randn(TOKENS, experts) * 1.5
        weights, chosen = module(logits)[1:]
    order = torch.argsort(chosen, dim=-1)  # modules differ in their order; what is chosen counts
    return dict(name=name, **words, tokens=[
        dict(logits=[float(v) for v in logits[t]], experts=chosen[t][order[t]].tolist(),
             weights=[float(v) for v in weights[t][order[t]]]) for t in range(TOKENS)])


def main():
    torch.manual_seed(20261121)
    found = dict(transformers=transformers.__version__, torch=torch.__version__.split("+")[0],
                 cases=[run(*case) for case in cases()])
    (HERE / "routing.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
