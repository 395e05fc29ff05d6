"""Families that transformers does not have: InternLM2, MiniCPM and Baichuan2, whose makers publish code beside the
weights. Written from their published formulas (arXiv:2403.17297, 2404.06395, 2309.10305) in plain torch, and held
against transformers' Llama: each of them is a Llama whose weights are arranged or scaled otherwise (as_llama)."""

import json
import math
import types

import torch
from safetensors.torch import load_file
from torch import nn


class Decoder(nn.Module):
    """Weights by their published names; config is config.json. A subclass says where they are and how they differ."""

    embedding_scale = residual_scale = logit_scale = 1.0
    near = 1e-5  # the Llama that it should be, of the largest |logit|
    names = {}  # ours: published

    def __init__(self, config, weights):
        super().__init__()
        self.c = types.SimpleNamespace(**config)
        self.c.kv = config.get("num_key_value_heads", config["num_attention_heads"])
        self.c.head = config["hidden_size"] // config["num_attention_heads"]
        self.w = nn.ParameterDict({n.replace(".", "/"): nn.Parameter(t, requires_grad=False) for n, t in weights.items()})
        self.embedding = nn.Embedding(1, 1)
        self.embedding.weight = self.w[self.names["embedding"].replace(".", "/")]

    def get_input_embeddings(self):
        return self.embedding

    def at(self, name, layer=None):
        return self.w[self.names[name].format(layer).replace(".", "/")]

    @classmethod
    def tensors(cls, config):
        """Name: shape."""
        hidden, ffn, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
        heads = config["num_attention_heads"]
        rows = (heads + 2 * config.get("num_key_value_heads", heads)) * (hidden // heads)
        shapes = {"embedding": (vocab, hidden), "norm": (hidden,), "head": (vocab, hidden)}
        layered = {"attn_norm": (hidden,), "ffn_norm": (hidden,), "qkv": (rows, hidden), "o": (hidden, hidden),
                   "gate": (ffn, hidden), "up": (ffn, hidden), "down": (hidden, ffn)} | cls.own_shapes(config)
        shapes = {cls.names[k]: v for k, v in shapes.items() if k in cls.names}
        for layer in range(config["num_hidden_layers"]):
            shapes |= {cls.names[k].format(layer): v for k, v in layered.items() if k in cls.names}
        return shapes

    @classmethod
    def own_shapes(cls, config):
        return {}

    def norm(self, x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.c.rms_norm_eps) * weight

    def frequencies(self, length):
        base, dims = getattr(self.c, "rope_theta", 10000.0), self.c.head
        scaling = getattr(self.c, "rope_scaling", None)
        if scaling and length > self.c.max_position_embeddings:
            assert scaling["type"] == "dynamic"
            stretched = scaling["factor"] * length / self.c.max_position_embeddings - (scaling["factor"] - 1)
            base = base * stretched ** (dims / (dims - 2))
        return base ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)

    def rotate(self, x, positions, length):
        """x [heads][tokens][head], by halves."""
        angles = positions[:, None].double() * self.frequencies(length)[None]
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)

    def bias(self, keys, positions):
        """What is added to scores [heads][queries][keys]."""
        return 0.0

    def attention(self, x, layer, positions, length, past):
        q, k, v = self.qkv(x, layer)  # [heads][tokens][head]
        q, k = self.rotate(q, positions, length), self.rotate(k, positions, length)
        if past is not None:
            if layer in past:
                k, v = torch.cat((past[layer][0], k), 1), torch.cat((past[layer][1], v), 1)
            past[layer] = (k, v)
        group = self.c.num_attention_heads // self.c.kv
        k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
        scores = q @ k.transpose(1, 2) / math.sqrt(self.c.head) + self.bias(torch.arange(k.shape[1]), positions)
        seen = torch.arange(k.shape[1])[None] <= positions[:, None]
        mixed = scores.masked_fill(~seen, -math.inf).softmax(-1) @ v
        return mixed.transpose(0, 1).reshape(len(x), -1) @ self.at("o", layer).T

    def head_weight(self):
        return self.at("head")

    def forward(self, input_ids, past_key_values=None, use_cache=False):
        past = past_key_values if past_key_values is not None else ({} if use_cache else None)
        first = past[0][0].shape[1] if past else 0
        positions = torch.arange(first, first + input_ids.shape[1])
        length = first + input_ids.shape[1]
        x = self.embedding(input_ids)[0] * self.embedding_scale
        for layer in range(self.c.num_hidden_layers):
            normed = self.norm(x, self.at("attn_norm", layer))
            x = x + self.attention(normed, layer, positions, length, past) * self.residual_scale
            normed = self.norm(x, self.at("ffn_norm", layer))
            inner = nn.functional.silu(normed @ self.at("gate", layer).T) * (normed @ self.at("up", layer).T)
            x = x + inner @ self.at("down", layer).T * self.residual_scale
        logits = self.norm(x, self.at("norm")) * self.logit_scale @ self.head_weight().T
        return types.SimpleNamespace(logits=logits[None], past_key_values=past)

    def as_llama(self):
        """The same as transformers' Llama: what the module says of itself, folded into the weights."""
        from transformers import LlamaConfig, LlamaForCausalLM

        c = self.c
        llama = LlamaForCausalLM(LlamaConfig(
            vocab_size=c.vocab_size, hidden_size=c.hidden_size, intermediate_size=c.intermediate_size,
            num_hidden_layers=c.num_hidden_layers, num_attention_heads=c.num_attention_heads, num_key_value_heads=c.kv,
            max_position_embeddings=c.max_position_embeddings, rms_norm_eps=c.rms_norm_eps,
            rope_theta=getattr(c, "rope_theta", 10000.0), rope_scaling=getattr(c, "rope_scaling", None),
            attn_implementation="eager",
        )).eval()
        eye = torch.eye(c.hidden_size)
        weights = {"model.embed_tokens.weight": self.embedding.weight * self.embedding_scale,
                   "model.norm.weight": self.at("norm"), "lm_head.weight": self.head_weight() * self.logit_scale}
        for i in range(c.num_hidden_layers):
            at = f"model.layers.{i}."
            for part, matrix in zip("qkv", self.qkv(eye, i)):  # of the unit vectors: columns
                weights[at + f"self_attn.{part}_proj.weight"] = matrix.transpose(1, 2).reshape(-1, c.hidden_size)
            weights[at + "self_attn.o_proj.weight"] = self.at("o", i) * self.residual_scale
            weights[at + "mlp.gate_proj.weight"] = self.at("gate", i)
            weights[at + "mlp.up_proj.weight"] = self.at("up", i)
            weights[at + "mlp.down_proj.weight"] = self.at("down", i) * self.residual_scale
            weights[at + "input_layernorm.weight"] = self.at("attn_norm", i)
            weights[at + "post_attention_layernorm.weight"] = self.at("ffn_norm", i)
        llama.load_state_dict(weights)
        return llama

    def asked(self, llama, tokens):
        return llama(tokens, use_cache=False).logits


class InternLM2(Decoder):
    """wqkv holds, for each head of keys, the queries that share it, then that key, then that value."""

    layer = "model.layers.{}."
    names = {
        "embedding": "model.tok_embeddings.weight", "norm": "model.norm.weight", "head": "output.weight",
        "attn_norm": layer + "attention_norm.weight", "ffn_norm": layer + "ffn_norm.weight",
        "qkv": layer + "attention.wqkv.weight", "o": layer + "attention.wo.weight",
        "gate": layer + "feed_forward.w1.weight", "up": layer + "feed_forward.w3.weight",
        "down": layer + "feed_forward.w2.weight",
    }

    def qkv(self, x, layer):
        shared = self.c.num_attention_heads // self.c.kv
        out = (x @ self.at("qkv", layer).T).view(len(x), self.c.kv, shared + 2, self.c.head)
        q = out[:, :, :shared].reshape(len(x), -1, self.c.head)
        return (part.transpose(0, 1) for part in (q, out[:, :, -2], out[:, :, -1]))


HUGGING = "model.layers.{}."
COMMON = {
    "embedding": "model.embed_tokens.weight", "norm": "model.norm.weight",
    "attn_norm": HUGGING + "input_layernorm.weight", "ffn_norm": HUGGING + "post_attention_layernorm.weight",
    "o": HUGGING + "self_attn.o_proj.weight", "gate": HUGGING + "mlp.gate_proj.weight",
    "up": HUGGING + "mlp.up_proj.weight", "down": HUGGING + "mlp.down_proj.weight",
}


class MiniCPM(Decoder):
    """Scaled embeddings, halves of layers and hidden states; the head is the embedding, as it is."""

    names = COMMON | {p: HUGGING + f"self_attn.{p}_proj.weight" for p in "qkv"}
    names.pop("qkv", None)

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.embedding_scale = config["scale_emb"]
        self.residual_scale = config["scale_depth"] / math.sqrt(config["num_hidden_layers"])
        self.logit_scale = config["dim_model_base"] / config["hidden_size"]

    @classmethod
    def own_shapes(cls, config):
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        kv = config["num_key_value_heads"] * hidden // heads
        return {"q": (hidden, hidden), "k": (kv, hidden), "v": (kv, hidden)}

    def qkv(self, x, layer):
        return ((x @ self.at(p, layer).T).view(len(x), -1, self.c.head).transpose(0, 1) for p in "qkv")

    def head_weight(self):
        return self.embedding.weight


class Baichuan2(Decoder):
    """q, k and v below each other; rows of the head are divided by their length."""

    names = COMMON | {"qkv": HUGGING + "self_attn.W_pack.weight", "head": "lm_head.weight"}

    def qkv(self, x, layer):
        parts = (x @ self.at("qkv", layer).T).chunk(3, dim=-1)
        return (part.view(len(x), -1, self.c.head).transpose(0, 1) for part in parts)

    def head_weight(self):
        head = self.at("head")
        return head / head.norm(dim=1, keepdim=True)


def alibi_slopes(heads):
    """arXiv:2108.12409: of n heads, n a power of two, 2^(-8 i / n); beyond the largest such n every second slope of 2 n."""
    n = 2 ** int(math.log2(heads))
    between = [2.0 ** (-8 * i / (2 * n)) for i in range(1, 2 * n, 2)]
    return torch.tensor([2.0 ** (-8 * i / n) for i in range(1, n + 1)] + between[: heads - n], dtype=torch.float64)


class Baichuan2Alibi(Baichuan2):
    """The 13B: nothing is turned; a key scores less the further it lies back."""

    near = 1e-4  # Bloom's bias grows with the position and rounds in fp32, in 40 layers

    def rotate(self, x, positions, length):
        return x

    def bias(self, keys, positions):
        back = (positions[:, None] - keys[None]).clamp(min=0)
        return -(alibi_slopes(self.c.num_attention_heads)[:, None, None] * back).to(self.embedding.weight.dtype)

    def asked(self, llama, tokens):
        """Llama at position 0 alone, with Bloom's bias, which counts from the first position, as its mask."""
        from transformers.models.bloom.modeling_bloom import build_alibi_tensor

        length, heads = tokens.shape[1], self.c.num_attention_heads
        bias = build_alibi_tensor(torch.ones(1, length, dtype=torch.long), heads, torch.float32).view(1, heads, 1, length)
        hidden = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)
        where = torch.zeros(1, length, dtype=torch.long)
        return llama(tokens, attention_mask=bias + hidden, position_ids=where, use_cache=False).logits


CLASSES = {"InternLM2": InternLM2, "MiniCPM": MiniCPM, "Baichuan2": Baichuan2, "Baichuan2Alibi": Baichuan2Alibi}


@torch.no_grad()
def load(folder, name, check=True):
    weights = {n: t.float() for n, t in load_file(folder / "model.safetensors").items()}
    model = CLASSES[name](json.loads((folder / "config.json").read_text()), weights).eval()
    llama = model.as_llama() if check else None
    for length in (7, 61) if check else ():  # within and past the original context of those that have scaling
        tokens = torch.arange(length)[None] * 31 % model.c.vocab_size
        ours, theirs = model(tokens).logits, model.asked(llama, tokens)
        assert (ours - theirs).abs().max() < model.near * theirs.abs().max(), "not the Llama that it should be"
    return model
