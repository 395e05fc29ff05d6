"""A llama forward pass in numpy float64, reading GGUF with PyPI `gguf`: what the engine is compared with.

Written from the published descriptions (arXiv:2302.13971, 2104.09864, 2305.13245, 1910.07467, 2002.05202) and from
nothing of the engine. Weights are dequantised by `gguf` to float32 and used as float64."""

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


class Llama:
    def __init__(self, path):
        reader = GGUFReader(path)
        field = lambda name, default=None: (
            reader.fields["llama." + name].contents() if "llama." + name in reader.fields else default
        )
        self.weights = {}
        for t in reader.tensors:
            shape = tuple(int(n) for n in reversed(t.shape))
            self.weights[t.name] = dequantize(t.data, t.tensor_type).astype(np.float32).astype(np.float64).reshape(shape)
        self.layers = field("block_count")
        self.heads = field("attention.head_count")
        self.kv_heads = field("attention.head_count_kv", self.heads)
        self.hidden = field("embedding_length")
        self.head_dim = field("attention.key_length", self.hidden // self.heads)
        self.rope_dims = field("rope.dimension_count", self.head_dim)
        self.theta = field("rope.freq_base", 10000.0)
        self.eps = field("attention.layer_norm_rms_epsilon")
        self.reset()

    def reset(self):
        self.cache = [(np.zeros((0, self.kv_heads, self.head_dim)),) * 2 for _ in range(self.layers)]

    def times(self, x, name):
        return x @ self.weights[name].T

    def norm(self, x, name):
        return self.weights[name] * x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps)

    def rotate(self, x, positions):
        """x [tokens][heads][head_dim]; GGUF's llama rotates the pairs (2i, 2i + 1)."""
        pairs = np.arange(self.rope_dims // 2)
        angles = positions[:, None] * self.theta ** (-2.0 * pairs / self.rope_dims)
        turned = (x[..., 0 : self.rope_dims : 2] + 1j * x[..., 1 : self.rope_dims : 2]) * np.exp(1j * angles)[:, None, :]
        out = x.copy()
        out[..., 0 : self.rope_dims : 2], out[..., 1 : self.rope_dims : 2] = turned.real, turned.imag
        return out

    def attention(self, x, layer, positions):
        name = f"blk.{layer}.attn_"
        q = self.times(x, name + "q.weight").reshape(len(x), self.heads, self.head_dim)
        k = self.times(x, name + "k.weight").reshape(len(x), self.kv_heads, self.head_dim)
        v = self.times(x, name + "v.weight").reshape(len(x), self.kv_heads, self.head_dim)
        q, k = self.rotate(q, positions), self.rotate(k, positions)
        keys, values = (np.concatenate(pair) for pair in zip(self.cache[layer], (k, v)))
        self.cache[layer] = (keys, values)
        group = self.heads // self.kv_heads
        keys, values = np.repeat(keys, group, axis=1), np.repeat(values, group, axis=1)
        scores = np.einsum("thd,shd->hts", q, keys) / np.sqrt(self.head_dim)
        scores = np.where(np.arange(len(keys))[None, None, :] <= positions[None, :, None], scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hts,shd->thd", weights, values)
        return self.times(mixed.reshape(len(x), -1), name + "output.weight")

    def ffn(self, n, name):
        gate = self.times(n, name + "ffn_gate.weight")
        return self.times(gate / (1 + np.exp(-gate)) * self.times(n, name + "ffn_up.weight"), name + "ffn_down.weight")

    def forward(self, tokens):
        """Logits [tokens][vocabulary] of the tokens that come next; keys and values are kept."""
        past = len(self.cache[0][0])
        positions = np.arange(past, past + len(tokens))
        x = self.weights["token_embd.weight"][list(tokens)]
        for layer in range(self.layers):
            name = f"blk.{layer}."
            x = x + self.attention(self.norm(x, name + "attn_norm.weight"), layer, positions)
            x = x + self.ffn(self.norm(x, name + "ffn_norm.weight"), name)
        head = "output.weight" if "output.weight" in self.weights else "token_embd.weight"
        return self.times(self.norm(x, "output_norm.weight"), head)

    def greedy(self, prompt, count):
        """Tokens, and the smallest lead of a chosen logit over the second."""
        self.reset()
        made, fed, lead = [], list(prompt), np.inf
        for _ in range(count):
            logits = self.forward(fed)[-1]
            second, best = np.sort(logits)[-2:]
            lead = min(lead, best - second)
            made.append(int(np.argmax(logits)))
            fed = [made[-1]]
        return made, lead

    def perplexity(self, tokens, window):
        """Windows without overlap, each from the beginning; the first token of each is not predicted."""
        nll = []
        for at in range(0, len(tokens), window):
            part = tokens[at : at + window]
            if len(part) < 2:
                continue
            self.reset()
            logits = self.forward(part[:-1])
            nll.extend(logsumexp(logits) - logits[np.arange(len(part) - 1), part[1:]])
        return len(nll), float(np.mean(nll)), float(np.exp(np.mean(nll)))


def logsumexp(logits):
    top = logits.max(axis=-1)
    return top + np.log(np.exp(logits - top[..., None]).sum(axis=-1))
