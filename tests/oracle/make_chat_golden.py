"""Makes golden/quality/chat.json: the prompts that lm-evaluation-harness 0.4.13 makes of our tasks by a model's chat template.

    python tests/oracle/make_chat_golden.py      # from the root of the tree; needs lm-eval, torch and transformers"""
import json
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/quality"
TASKS = ("capitals", "blanks", "cloze", "sums", "chatty", "common_zh")
MODES = {"turns": {"apply_chat_template": True, "fewshot_as_multiturn": True},
         "one message": {"apply_chat_template": True, "fewshot_as_multiturn": False, "system_instruction": "You are brief."},
         "no template": {"apply_chat_template": False, "system_instruction": "You are brief.\n"}}


def template(tokenizer, history, add_generation_prompt=True):
    return tokenizer.apply_chat_template(history, tokenize=False, add_generation_prompt=add_generation_prompt,
                                         continue_final_message=not add_generation_prompt)


def main():
    import lm_eval
    import transformers
    from lm_eval.tasks import TaskManager
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(ROOT / "models"), gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    manager = TaskManager(include_path=str(GOLDEN / "tasks"))
    document = {"lm_eval": lm_eval.__version__, "transformers": transformers.__version__, "modes": MODES, "prompts": {}}
    for mode, how in MODES.items():
        for name in TASKS:
            task = manager.load([name])["tasks"][name]
            task.set_fewshot_seed(seed=1234)
            task.build_all_requests(limit=3, rank=0, world_size=1, chat_template=partial(template, tokenizer) if how["apply_chat_template"] else None, **how)
            document["prompts"].setdefault(mode, {})[name] = [[i.doc_id, i.args[0], i.args[1] if isinstance(i.args[1], str) else None] for i in task.instances]
    (GOLDEN / "chat.json").write_text(json.dumps(document, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
