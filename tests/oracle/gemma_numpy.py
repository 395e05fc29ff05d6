"""A Gemma 3 forward pass in numpy float64, reading GGUF with PyPI `gguf`: what the engine is compared with.

Written from Gemma 3's report (arXiv:2503.19786) and Gemma 2's (2408.00118), and from nothing of the engine: norms
before and after attention and feed-forward, norms of queries and keys, five layers with a window for each without,
RoPE of two bases over halves, GeGLU in the tanh form, the embedding times the root of its width, a tied head. GGUF
files hold 1 + gain of each norm. Weights are dequantised by `gguf` to float32 and used as float64; the head, two
thirds of the model, a piece at a time."""

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from llama_numpy import logsumexp

LOCAL_BASE = 10000.0  # of the layers with a window; GGUF files of Gemma 3 do not say it
GLOBAL_EVERY = 6
HEAD_ROWS = 16384


class Gemma3:
    def __init__(self, path):
        reader = GGUFReader(path)
        field = lambda name: reader.fields["gemma3." + name].contents()
        self.weights = {}
        for t in reader.tensors:
            shape = tuple(int(n) for n in reversed(t.shape))
            values = dequantize(t.data, t.tensor_type).astype(np.float32).reshape(shape)
            self.weights[t.name] = values if t.name == "token_embd.weight" else values.astype(np.float64)
        self.layers = field("block_count")
        self.heads = field("attention.head_count")
        self.kv_heads = field("attention.head_count_kv")
        self.head_dim = field("attention.key_length")
        self.base = field("rope.freq_base")
        self.window = field("attention.sliding_window")
        self.eps = field("attention.layer_norm_rms_epsilon")

    def times(self, x, name):
        return x @ self.weights[name].T

    def norm(self, x, name):
        return self.weights[name] * x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps)

    def rotate(self, x, base):
        """x [tokens][heads][head_dim]: pairs (i, i + head_dim / 2)."""
        half = self.head_dim // 2
        angles = np.arange(len(x))[:, None] * base ** (-np.arange(half) / half)
        turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)[:, None, :]
        return np.concatenate([turned.real, turned.imag], axis=-1)

    def attention(self, x, layer):
        name = f"blk.{layer}.attn_"
        everywhere = (layer + 1) % GLOBAL_EVERY == 0
        base = self.base if everywhere else LOCAL_BASE
        q = self.times(x, name + "q.weight").reshape(len(x), self.heads, self.head_dim)
        k = self.times(x, name + "k.weight").reshape(len(x), self.kv_heads, self.head_dim)
        v = self.times(x, name + "v.weight").reshape(len(x), self.kv_heads, self.head_dim)
        q = self.rotate(self.norm(q, name + "q_norm.weight"), base)
        k = self.rotate(self.norm(k, name + "k_norm.weight"), base)
        group = self.heads // self.kv_heads
        back = np.arange(len(x))[:, None] - np.arange(len(x))[None, :]
        seen = (back >= 0) & (everywhere | (back < self.window))
        mixed = np.empty_like(q)
        for head in range(self.heads):
            scores = q[:, head] @ k[:, head // group].T / np.sqrt(self.head_dim)
            scores = np.where(seen, scores, -np.inf)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed[:, head] = weights / weights.sum(axis=-1, keepdims=True) @ v[:, head // group]
        return self.times(mixed.reshape(len(x), -1), name + "output.weight")

    def hidden(self, tokens):
        """What goes into the head, [tokens][width]."""
        table = self.weights["token_embd.weight"]
        x = table[list(tokens)].astype(np.float64) * np.sqrt(table.shape[1])
        for layer in range(self.layers):
            name = f"blk.{layer}."
            mixed = self.attention(self.norm(x, name + "attn_norm.weight"), layer)
            x = x + self.norm(mixed, name + "post_attention_norm.weight")
            n = self.norm(x, name + "ffn_norm.weight")
            gate = self.times(n, name + "ffn_gate.weight")
            gate = gate / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
            x = x + self.norm(self.times(gate * self.times(n, name + "ffn_up.weight"), name + "ffn_down.weight"),
                              name + "post_ffw_norm.weight")
        return self.norm(x, "output_norm.weight")

    def head(self, hidden):
        table = self.weights["token_embd.weight"]
        return np.concatenate([hidden @ table[at : at + HEAD_ROWS].astype(np.float64).T
                               for at in range(0, len(table), HEAD_ROWS)], axis=-1)

    def forward(self, tokens, first=0):
        """Logits of the tokens that come next, [tokens - first][vocabulary], from position `first` on."""
        return self.head(self.hidden(tokens)[first:])

    def losses(self, tokens, window):
        """-ln p of each predicted token, and the likeliest tokens. Every window is BOS and the next window - 1 tokens of
        the text: without BOS this family answers at random."""
        bos, *text = tokens
        parts = [[bos] + text[at : at + window - 1] for at in range(0, len(text), window - 1)]
        logits = self.head(np.concatenate([self.hidden(part[:-1]) for part in parts]))
        wanted = np.concatenate([part[1:] for part in parts])
        return logsumexp(logits) - logits[np.arange(len(wanted)), wanted], logits.argmax(axis=-1)
