"""Conversations through a real model's own chat template, from its file to its answer."""
import json
import os
import pathlib
import subprocess

import gguf
import pytest

import chat_templates
import jinja_environment

MODEL = pathlib.Path(os.environ["ZH_SOURCE_DIR"]) / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
ZHIHENG = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "bin" / "zhiheng"


def run(*words, stdin=None):
    return subprocess.run([ZHIHENG, "model", *map(str, words)], capture_output=True, text=True, input=stdin)


def ask(*words, stdin=None):
    done = run(*words, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def published():
    fields = gguf.GGUFReader(MODEL).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    named = {name: tokens[fields[f"tokenizer.ggml.{key}_token_id"].contents()] for name, key in
             (("bos_token", "bos"), ("eos_token", "eos"))}
    return fields["tokenizer.chat_template"].contents(), named


@pytest.mark.parametrize("title", ["one", "system", "turns", "odd", "empty"])
def test_the_text_is_jinja2s_and_its_tokens_are_the_texts(published, title, tmp_path):
    template, named = published
    messages = chat_templates.CONVERSATIONS[title]
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(messages), encoding="utf-8")
    said = ask("tokenize", MODEL, "--chat", file)
    expected, why = jinja_environment.render(jinja_environment.chat(), template,
                                             {"messages": messages, "add_generation_prompt": True, "tools": None, **named})
    assert why is None and said["text"] == expected
    assert said["tokens"] == ask("tokenize", MODEL, "--text", expected)["tokens"]


def test_an_object_brings_variables_and_standard_input_is_read():
    chat = {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": False}
    said = ask("tokenize", MODEL, "--chat", "-", stdin=json.dumps(chat))
    assert said["text"].endswith("<|im_start|>user\nHi<|im_end|>\n")


def test_a_question_is_answered_and_the_answer_ends():
    said = ask("generate", MODEL, "--message", "What is the capital of France?", "--max-new", 24, "--stop")
    assert said["prompt_tokens"] == ask("tokenize", MODEL, "--message", "What is the capital of France?")["tokens"]
    assert said["text"] == "The capital of France is Paris.<|im_end|>"


@pytest.mark.parametrize("content, words", [
    ("{}", 'expected messages like [{"role"'), ("[]", "expected messages"), ('[{"content": "x"}]', "message 1 has no role"),
    ("[", "not valid JSON"), ('[{"role": "user", "content": 3}]', "the chat template of SmolLM2"),
])
def test_wrong_conversations_are_named(tmp_path, content, words):
    file = tmp_path / "chat.json"
    file.write_text(content)
    done = run("tokenize", MODEL, "--chat", file)
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_options_exclude_each_other():
    done = run("generate", MODEL, "--message", "x", "--prompt", "y")
    assert done.returncode == 2 and "needs one of --tokens 1,2,3, --prompt TEXT, --chat FILE or --message TEXT" in done.stderr
    done = run("tokenize", "zh-0.1b", "--message", "x")
    assert done.returncode == 2 and "has no tokenizer" in done.stderr


def test_tokens_beyond_the_tokenizers_have_no_text(tmp_path):
    """Models have rows more than their tokenizers have tokens; the text is that of the others."""
    family = MODEL.parents[1] / "tests" / "golden" / "families" / "llama2"
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((family / name).read_bytes())
    bytes_alone = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": bytes_alone, "post_processor": None,
        "decoder": bytes_alone, "model": {"type": "BPE", "vocab": {chr(33 + i): i for i in range(60)}, "merges": []}}))
    said = ask("generate", tmp_path, "--tokens", "1,2,3", "--max-new", 20)
    assert len(said["tokens"]) == 20 and max(said["tokens"]) >= 60
    assert said["text"] == "".join(chr(33 + i) for i in said["tokens"] if i < 60)
