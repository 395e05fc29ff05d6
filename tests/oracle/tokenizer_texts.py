"""Texts to compare tokenizers on, and our side of the comparison: what the others share."""

import os
import pathlib
import random
import struct
import subprocess
import unicodedata

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
BINARY = pathlib.Path(os.environ["ZH_BINARY_DIR"])
TOOL = BINARY / "tests" / "tokenize_tool"


def run_tool(model, texts, *words):
    stdin = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    out = subprocess.run([TOOL, model, *words], input=stdin, capture_output=True, check=True).stdout
    at, answers = 0, []
    for _ in texts:
        (count,) = struct.unpack_from("<I", out, at)
        tokens = list(struct.unpack_from(f"<{count}I", out, at + 4))
        at += 4 + 4 * count
        (length,) = struct.unpack_from("<I", out, at)
        answers.append((tokens, out[at + 4 : at + 4 + length]))
        at += 4 + length
    assert at == len(out)
    return answers


# Characters that all versions of Unicode since 12 treat alike: the oracle's tables are newer than PCRE2's.
UNICODE = [
    chr(c)
    for c in range(0x110000)
    if not 0xD800 <= c < 0xE000 and unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"
    and unicodedata.ucd_3_2_0.category(chr(c)) == unicodedata.category(chr(c))
]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u2009", "\u0085", "\u180e", "\u200b"]
ENGLISH = "The quick brown fox isn't what he'd've WE'LL I'm SHE'S jumping over 1234567890 lazy dogs; O\u2019Neill's co-op. ".split(" ")
CODE = ["def f(x):\n    return x**2\n", "for (int i=0;i<n;++i) {\n\t\ta[i] += b[i]*3.14e-10f;\n}\n", "x != y && z <= 0x1F", "#include <stdio.h>\n", "    \n        pass\n", "SELECT * FROM t WHERE id = 42;\r\n"]
CHINESE = ["智能计算中心", "测评报告，", "参数量超过千亿", "2025年3月5日", "（一）", "100%", "模型", "。\n", "龘", "𠮷野家"]
EMOJI = ["😀", "👩‍💻", "🇨🇳", "👍🏽", "🏳️‍🌈", "1️⃣", "☺️"]
COMBINING = ["e\u0301", "a\u0308\u0323", "क्षि", "ก็", "한", "\u1112\u1161\u11ab", "ſ", "K", "İ", "²", "½", "Ⅷ", "٣", "〇"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<reponame>", "<|im_", "im_end|>", "<|im_start", "<file_sep><filename>"]


def texts(count, seed):
    rng = random.Random(seed)
    pools = [ENGLISH, CODE, CHINESE, EMOJI, SPACES, COMBINING, SPECIAL, UNICODE]
    made = [""] + [s for pool in pools[:-1] for s in pool]
    while len(made) < count:
        kind = rng.randrange(4)
        if kind == 0:  # one pool
            pool = rng.choice(pools)
            text = "".join(rng.choice(pool) for _ in range(rng.randrange(1, 30)))
        elif kind == 1:  # all of them, with white space between
            text = "".join(
                rng.choice(rng.choice(pools)) + rng.choice(["", " ", rng.choice(SPACES)])
                for _ in range(rng.randrange(1, 30))
            )
        elif kind == 2:  # random bytes, those that are UTF-8
            text = rng.randbytes(rng.randrange(1, 200)).decode("utf-8", "ignore")
        else:  # ASCII noise
            text = "".join(chr(rng.randrange(128)) for _ in range(rng.randrange(1, 80)))
        made.append(text)
    return made


def real_texts():
    """Paragraphs that people wrote: licences, programs, and this project's own Chinese."""
    files = [p for p in sorted(pathlib.Path("/usr/share/common-licenses").glob("*")) if p.is_file()]
    files += sorted(pathlib.Path(os.__file__).parent.glob("[a-f]*.py"))
    files += sorted(SOURCE.glob("evaluator/policies/*.yaml")) + sorted(SOURCE.glob("**/*.zh.md"))
    files += sorted(SOURCE.glob("model/*.c"))
    made = []
    for path in files:
        made += [p for p in path.read_text(encoding="utf-8", errors="ignore").split("\n\n") if p.strip()]
    return made


def chinese_texts():
    files = sorted(SOURCE.glob("evaluator/policies/*.yaml")) + sorted(SOURCE.glob("**/*.zh.md"))
    return [line for p in files for line in p.read_text(encoding="utf-8").splitlines()
            if sum("\u4e00" <= c <= "\u9fff" for c in line) * 2 > len(line)]


def samples(count, seed):
    """Half of them random, half real ones cut at random places."""
    rng, real = random.Random(seed), real_texts()
    made = texts(count // 2, seed)
    while len(made) < count:
        text = rng.choice(real)
        begin = rng.randrange(len(text))
        made.append(text[begin : begin + rng.randrange(1, 300)])
    return made
