"""Makes golden/quality/functions.json: what lm-evaluation-harness's own Python functions say of rows of our own.

    LOCAL_RANK=1 python tests/oracle/make_function_golden.py      # from the root of the tree

Needs lm-eval 0.4.13 with its extra packages for IFEval (langdetect, immutabledict, nltk), which the tests need not have.
Sentences are split by NLTK's Punkt over our own word lists (bench/quality/languages.yaml), because its trained parameters
stand in no package."""
import json
import random
import sys
from functools import partial
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
cases = []


class Rows(list):
    """As much of datasets.Dataset as process_docs uses."""

    def map(self, function):
        return Rows({**row, **function(dict(row))} for row in self)

    def filter(self, function):
        return Rows(row for row in self if function(row))


def plain(value):
    """Tuples are lists, numbers of numpy are numbers."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value.item() if hasattr(value, "item") else value


def add(family, name, function, **given):
    """One call: given holds rows, doc, results, answers and options as the C function gets them."""
    arguments = {"docs": lambda: function(Rows(given["rows"])), "field": lambda: function(given["doc"]),
                 "results": lambda: function(given["doc"], given["results"]), "aggregation": lambda: function(given["values"]),
                 "filter": lambda: function(**given.get("options", {})).apply([given["answers"]], [given["doc"]])[0]}
    kind = ("docs" if "rows" in given else "filter" if "answers" in given else "results" if "results" in given else
            "aggregation" if "values" in given else "field")
    cases.append({"family": family, "name": name, "kind": kind, **given, "said": plain(arguments[kind]())})


def wikitext():
    from lm_eval.tasks.wikitext import preprocess_wikitext as m
    pages = ["", " = Robert = \n\n Robert is a film , television and theatre actor . He had a role in \" The Bill \" . In 2 @,@ 000 , he was 1 @.@ 5 m tall .\n",
             " = = Early life = = \n The ship 's ' first ' crew ( 30 men ) and [ two ] boats { of iron } ; it sank : see N notes ! Really ? 90 ° north\n = = = End = = = \n",
             "没有 英文 的 一 页 。\n\n  第二 段 ( 括号 ) ' 引号 ' 未关 ' 合 \" x", "the boys ' toys @-@ old /' 5/ \t tabs \u00a0and\u2003spaces = = = = four"]
    for page in pages:
        add("wikitext", "wikitext_detokenizer", m.wikitext_detokenizer, doc={"page": page})
        add("wikitext", "process_results", m.process_results, doc={"page": page}, results=[-12.5])


def hellaswag():
    from lm_eval.tasks.hellaswag import utils as m
    rows = [{"activity_label": "Removing ice", "ctx_a": "A man sits in a car. ", "ctx_b": "then he", "endings": ["[substeps] opens  it.", " leaves [title] and runs [x", "a\n[b\nc]", ""],
             "label": "2"},
            {"activity_label": " [header] How to bake", "ctx_a": "[header] Bake [title] Mix it.", "ctx_b": "ÉCLAIR À LA CARTE", "endings": ["一", "[步骤] 二", "c", "d"], "label": "0"},
            {"activity_label": "X", "ctx_a": "", "ctx_b": "", "endings": ["a", "b"], "label": "1"}]
    add("hellaswag", "process_docs", m.process_docs, rows=rows)


def winogrande():
    from lm_eval.tasks.winogrande import preprocess_winogrande as m
    for doc in [{"sentence": "Sarah was better than Maria, so _ always got the easier cases.", "option1": "Sarah", "option2": "Maria", "answer": "2"},
                {"sentence": "_ 跑得快。 ", "option1": "他", "option2": "", "answer": "1"}, {"sentence": "a _ b _ c", "option1": "x_", "option2": "y", "answer": "1"}]:
        for name in ("doc_to_text", "doc_to_target", "doc_to_choice"):
            add("winogrande", name, getattr(m, name), doc=doc)


def mmlu_pro():
    from lm_eval.tasks.mmlu_pro import utils as m
    docs = [{"question": "Which?", "options": [f" option {i}\n" for i in range(n)], "answer": "A", "category": category,
             "cot_content": "A: Let's think step by step. It is so. The answer is (A)."} for n, category in ((0, "law"), (4, "computer science"), (10, "law"), (12, "math"))]
    docs.append({"question": "哪个？\n", "options": ["甲", "乙 "], "answer": "B", "category": "other", "cot_content": "Nothing to drop."})
    for doc in docs:
        for name in ("doc_to_text", "fewshot_to_text", "fewshot_to_target"):
            add("mmlu_pro", name, getattr(m, name), doc=doc)
    for name in ("process_law", "process_computer_science", "process_math", "process_other", "process_biology"):
        add("mmlu_pro", name, getattr(m, name), rows=docs)


def truthfulqa():
    from lm_eval.tasks.truthfulqa import utils as m
    r = random.Random(1)
    for count in (1, 2, 7, 13):
        add("truthfulqa", "process_results_mc2", m.process_results_mc2, results=[[-r.random() * 40, False] for _ in range(count)],
            doc={"mc2_targets": {"labels": [int(i % 3 == 0) for i in range(count)], "choices": [""] * count}})


def drop():
    from lm_eval.tasks.drop import utils as m
    none = {"day": "", "month": "", "year": ""}
    def item(number="", spans=(), date=none, others=()):
        others = list(others)
        return {"query_id": "q", "passage": "p", "question": "?", "answer": {"number": number, "date": date, "spans": list(spans)},
                "validated_answers": {"number": [o.get("number", "") for o in others], "date": [o.get("date", none) for o in others],
                                      "spans": [o.get("spans", []) for o in others]}}
    rows = [item(number="5", others=[{"number": "5"}, {"spans": ["five men"]}]), item(spans=["the Bears", "Green Bay"]), item(date={"day": "3", "month": "May", "year": "1918"}),
            item(spans=["A well-known man", "42"], others=[{"number": "1,000"}]), item(spans=["  "], others=[{"spans": ["x"]}]), item(spans=["an apple a day"]),
            item(number="3.50"), item(spans=["thirty-two (32)"]), item(spans=["inf"]), item(spans=["北京"])]
    add("drop", "process_docs", m.process_docs, rows=rows)
    for row in m.process_docs(Rows(rows)):
        for said in ["5", "5.0", "five men", "Bears", "the Bears and Green Bay", "3 May 1918", "May 3", "well known man 42", "$1,000", "1000", "", "an apple", "3.5", "3.5000!", "32",
                     "thirty two 32", "x", "Infinity", "1e1 nan _1_0", "北京", "北京 。"]:
            add("drop", "process_results", m.process_results, doc=plain(row), results=[said])


def hendrycks_math():
    from lm_eval.tasks.hendrycks_math import utils as m
    solutions = [r"So $\boxed{\frac{1}{2}}$.", r"Thus \boxed{5}.", r"Is $\boxed 7$.", r"two \boxed{1} and \boxed{x^{2}+{y}}.", r"$\boxed{10\%}$", r"$\boxed{3,4}$", r"\boxed{2\text{ cm}}",
                 r"\boxed{k = 3}", r"\boxed{\sqrt3+\frac12}", r"\boxed{0.5}", r"\boxed{-1/2}", r"\boxed{.25}", r"\boxed{90^\circ}", r"\boxed{\$ 18.50}", r"\boxed{\left(1,2\right)}", r"\boxed{\frac1{72}}"]
    rows = [{"problem": "?", "solution": s, "level": "Level 1"} for s in solutions]
    add("hendrycks_math", "process_docs", m.process_docs, rows=rows)
    answers = [r"$\frac12$", r"\frac{1}{2}", "0.5", "1/2", "-1/2", "01/2", "a/b", "5", "$5$", "The answer is $5$ or $5$", "7", r"x^{2}+{y}", r"10\%", "10", "3, 4", "3,4", "2", r"2\text{ m}",
               r"2\text{ a}\text{ b}", "3", "k=3", "abc=3", r"\sqrt{3}+\frac{1}{2}", r"\sqrt 3+\dfrac12", r"\sqrt", r"\frac", r"\frac1", r"\frac1\frac12", "0.25", "90", r"90^{\circ}", r"\$18.50", "18.50",
               r"(1,2)", r"\left( 1, 2 \right)", r"\frac{1}{72}", r"\tfrac1{72}", "", "$", "$$", "1/2/3", "+1/2", "1_0/2", "½", r"\frac½3", "\n1/2"]
    for row in rows:
        for said in answers:
            add("hendrycks_math", "process_results", m.process_results, doc=row, results=[said])


def bbh():
    from lm_eval.tasks.bbh.cot_zeroshot import utils as m
    question = {"input": "Which is sarcastic?\nOptions:\n(A) He is kind.\n(B) Guilty\n(C) Guilty of Romance\n(D) a, b (c)"}
    said = ["The answer is (B).", "(A) or (C)", "he is kind", "guilty of romance!", "GUILTY", "So the answer is: D", "So: B", "nothing", "", "(Z)", "answer: (A", "a, b"]
    for options in ({"regex_pattern": r"(\([A-Z]\))", "group_select": 0, "ignore_case": True, "ignore_punctuation": True},
                    {"regex_pattern": r"(\([A-D]\))", "group_select": -1, "fallback": "[none]"}, {"regex_pattern": r"(\([A-Z]\))|(x)", "regexes_to_ignore": [" of Romance", "\\."]}):
        add("bbh", "MultiChoiceRegexFilter", m.MultiChoiceRegexFilter, answers=said, doc=question, options=options)
        add("bbh", "MultiChoiceRegexFilter", m.MultiChoiceRegexFilter, answers=said, doc={"input": "no options"}, options=options)
    for options in ({"regex_pattern_to_value": {r"\b(Yes|yes)\b": "Yes", r"\b(No|no)\b": "No"}, "group_select": 0},
                    {"regex_pattern_to_value": {"not plausible": "no", "plausible": "yes"}, "group_select": -1, "ignore_case": True, "regexes_to_ignore": ["-"]}):
        add("bbh", "MapRegexFilter", m.MapRegexFilter, answers=["Yes, no", "no", "maybe", "It is NOT plausible", "plau-sible", "Plausible or not plausible", ""], doc={}, options=options)
    for options in ({"regex_pattern": "([-0-9]+)", "group_select": 0}, {"regex_pattern": "([0-9]+)", "group_select": -1, "fallback": "?"}):
        add("bbh", "NumberParseRegexFilter", m.NumberParseRegexFilter, doc={}, options=options,
            answers=["I have 3 apples and 12 pears", "-5", "There are seven fruits, so twenty one", "twelve", "I count Two hundred and forty five.", "one thousand two hundred thirty four",
                     "six", "no number", "", "forty-two", "two million three hundred thousand", "three and four", "nineteen objects or eighty", "fourteen", "ninety nine thousand nine hundred ninety"])
    for words in ("oven costume counterpart", "a.b c c", "syndrome 词 therefrom"):
        add("bbh", "WordSortFilter", m.WordSortFilter, doc={"input": f"Sort the following words alphabetically: List: {words}"},
            answers=["costume counterpart oven", "oven; costume, oven", "nothing", "c axb c", "词 syndrome", "therefrom syndrome 词"])


def punkt():
    import nltk
    from nltk.tokenize import punkt as p
    words = yaml.load((ROOT / "bench/quality/languages.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # `no` is a word
    parameters = p.PunktParameters()
    parameters.abbrev_types = set(words["abbreviations"])
    for word in words["beginnings"]:
        parameters.ortho_context[word] |= p._ORTHO_MID_LC
    tokenizer = p.PunktSentenceTokenizer()
    tokenizer._params = parameters
    tokens = nltk.tokenize.NLTKWordTokenizer()
    return tokenizer, lambda text: [token for sentence in tokenizer.tokenize(text) for token in tokens.tokenize(sentence)]


ANSWERS = [
    "Dear Mr. Smith, thank you. I saw Dr. J. Bach at 5 p.m. The meeting was short! Was it?", "* first\n* second\n- third\n\n**bold** and *light* and ** ** *", "My answer is yes.",
    "SECTION 1\nAbc\nSECTION 2\nDef\nSection 3", "First.\n\n***\n\nSecond!\n***\nThird", "***\nOnly one\n***", "One ****** Two", "******Same******Same", "One****** ******Two",
    "```json\n{\"a\": [1, 2.5, null, true]}\n```", "{\"a\": 1}", "{'a': 1}", "```\n[1]\n```", "nothing", "<<a title>>\nText with [place] and [name] [date]", "<<>> <<<>>>", "\"quoted\"", "\"", " \" q \" ",
    "Hello world... Maybe not. maybe so... no", "P.S. Thanks", "p.p.s. ok\nP. S. x", "ALL CAPITAL LETTERS HERE, DON'T YOU SEE? USA. U.S.A. I'M A-B 3RD", "all lowercase letters here, do you see it?",
    "alpha\n\nbeta, word\n\n'gamma' delta", "Alpha\n\n\n\nBeta", "The keyword, KEYWORD and keywords; e.g. the key-word. Fig. 3 shows it. See p. 5. He left.", "Is there anything else I can help with?",
    "I live in the U.S. and work. He said \"Stop!\" and left. (Really.) Yes. \"No.\" \u201cCurly.\u201d Done",
    "1. First item. 2. Second item.\n3.5 percent? Yes!? No!", "wait...what. . . . then", "5 p.m.\nThe end.) --Next. -- x.y z.", "x" * 30, "12345", "", "  \n ", "*\n*", "a\nb\nc",
    "La ciudad de Lima es muy grande y los niños están en el parque.", "Das ist ein kurzer Satz, und er ist auf Deutsch geschrieben, nicht wahr?", "Это предложение написано на русском языке, и оно не очень длинное.",
    "यह वाक्य हिंदी में लिखा गया है और बहुत लंबा नहीं है।", "ಇದು ಕನ್ನಡ ವಾಕ್ಯ.", "这是一个用中文写的句子，不太长。", "これは日本語で書かれた文です。", "هذه جملة مكتوبة باللغة العربية وهي ليست طويلة جدا في هذا الكتاب.",
    "این یک جمله است که به زبان فارسی نوشته شده است و خیلی بلند نیست.", "C'est une phrase écrite en français, et elle n'est pas très longue pour nous.",
    "Esta é uma frase escrita em português, e não é muito longa para você.", "Questa è una frase scritta in italiano, e non è molto lunga per noi.", "To jest zdanie napisane po polsku i nie jest bardzo długie.",
    "Це речення написано українською мовою, і воно не дуже довге, але є також інші.", "Това е изречение, написано на български език, и не е много дълго, но ще бъде добре.",
    "ఇది తెలుగు వాక్యం.", "இது தமிழ் வாக்கியம்.", "ഇത് മലയാളം വാക്യമാണ്.", "આ ગુજરાતી વાક્ય છે.", "ਇਹ ਪੰਜਾਬੀ ਵਾਕ ਹੈ।", "এটি একটি বাংলা বাক্য।", "นี่คือประโยคภาษาไทย", "이것은 한국어 문장입니다.",
    "זהו משפט בעברית.", "Đây là một câu được viết bằng tiếng Việt và không dài lắm cho các bạn.", "Hii ni sentensi ya Kiswahili na si ndefu sana kwa watu wa nchi hii.",
    "Tämä lause on kirjoitettu suomeksi, ja se ei ole kovin pitkä, mutta se on hyvä.", "हे वाक्य मराठीत लिहिले आहे आणि ते फार मोठे नाही, पण ते आपण वाचू शकता.", "यो वाक्य नेपालीमा लेखिएको छ र धेरै लामो छैन तर राम्रो छ।",
    "یہ جملہ اردو میں لکھا گیا ہے اور یہ بہت لمبا نہیں ہے، لیکن آپ اس کو پڑھ سکتے ہیں۔"]
REPEATED = "Repeat this: the request."
INSTRUCTIONS = [
    ("keywords:existence", {"keywords": ["key", "word"]}), ("keywords:existence", {"keywords": ["no|yes"]}), ("keywords:frequency", {"keyword": " keyword ", "frequency": 2, "relation": "at least"}),
    ("keywords:frequency", {"keyword": "a", "frequency": 3, "relation": "less than"}), ("keywords:forbidden_words", {"forbidden_words": ["the", "no"]}),
    ("keywords:letter_frequency", {"letter": "T", "let_frequency": 3, "let_relation": "at least"}), ("keywords:letter_frequency", {"letter": "i", "let_frequency": 2, "let_relation": "less than"}),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "at least"}), ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}),
    ("length_constraints:number_sentences", {"num_sentences": 4, "relation": "at least"}), ("length_constraints:number_sentences", {"num_sentences": 5, "relation": "at least"}),
    ("length_constraints:number_sentences", {"num_sentences": 6, "relation": "at least"}),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}), ("length_constraints:number_paragraphs", {"num_paragraphs": 1}),
    ("length_constraints:number_words", {"num_words": 9, "relation": "at least"}), ("length_constraints:number_words", {"num_words": 5, "relation": "less than"}),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 3, "nth_paragraph": 3, "first_word": "Gamma"}),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "beta"}),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "my"}),
    ("detectable_content:number_placeholders", {"num_placeholders": 3}), ("detectable_content:postscript", {"postscript_marker": "P.S."}), ("detectable_content:postscript", {"postscript_marker": "P.P.S"}),
    ("detectable_content:postscript", {"postscript_marker": "thanks"}), ("detectable_format:number_bullet_lists", {"num_bullets": 3}), ("detectable_format:number_bullet_lists", {"num_bullets": 2}),
    ("detectable_format:constrained_response", {}), ("detectable_format:number_highlighted_sections", {"num_highlights": 2}), ("detectable_format:number_highlighted_sections", {"num_highlights": 1}),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2}), ("detectable_format:multiple_sections", {"section_spliter": " Section", "num_sections": 1}),
    ("detectable_format:json_format", {}), ("detectable_format:title", {}), ("combination:two_responses", {}), ("combination:repeat_prompt", {"prompt_to_repeat": "one **"}),
    ("startend:end_checker", {"end_phrase": "i can help with? "}), ("startend:quotation", {}), ("punctuation:no_comma", {}),
    ("change_case:capital_word_frequency", {"capital_frequency": 4, "capital_relation": "at least"}), ("change_case:capital_word_frequency", {"capital_frequency": 11, "capital_relation": "at least"}),
    ("change_case:capital_word_frequency", {"capital_frequency": 12, "capital_relation": "at least"}),
    ("change_case:capital_word_frequency", {"capital_frequency": 13, "capital_relation": "less than"}), ("change_case:english_capital", {}), ("change_case:english_lowercase", {}),
    *(("language:response_language", {"language": code}) for code in
      "en es de ru hi kn ja ar fa fr pt it pl uk bg te ta ml gu pa bn th ko he vi sw fi mr ne ur".split())]


def ifeval():
    import langdetect
    from lm_eval.tasks.ifeval import instructions_util, utils as m
    langdetect.DetectorFactory.seed = 0
    sentences, words = punkt()
    instructions_util._get_sentence_tokenizer = lambda: sentences
    instructions_util.nltk.word_tokenize = words
    for said in ANSWERS:
        doc = {"key": 1, "prompt": "?", "instruction_id_list": [name for name, _ in INSTRUCTIONS], "kwargs": [{**kwargs, "unused": None} for _, kwargs in INSTRUCTIONS]}
        add("ifeval", "process_results", m.process_results, doc=doc, results=[said])
    add("ifeval", "agg_inst_level_acc", m.agg_inst_level_acc, values=[[True, False], [True], [False, False, True]])


def sentences():
    """Texts of their own and texts put together at random from what matters."""
    r = random.Random(7)
    tokenizer, _ = punkt()
    pieces = ["Mr.", "J.", "the", "The", "Bach", "e.g.", "5.", "3.5", "...", "..", "!", "?", "?!", ")", "(", "\"", "'", "--", ", ", "\n", "\n\n", " ", " ", " ", "a", "B", "x.y", "well-etc.",
              "U.S.", "I", "\u201c", "\u201d", ".", ". . .", ":", "He", "he", "“No.”", "é.", "É", "1,000.", "p.m.", ";", "]", "end."]
    texts = ANSWERS + ["".join(r.choice(pieces) for _ in range(r.randint(3, 14))) for _ in range(600)]
    return [[text, len(tokenizer.tokenize(text))] for text in texts]


def languages():
    """Where langdetect is sure of one language, whatever its seed."""
    import langdetect
    texts = []
    for text in ANSWERS:
        said = set()
        for seed in range(5):
            langdetect.DetectorFactory.seed = seed
            try:
                guesses = langdetect.detect_langs(text)
            except langdetect.LangDetectException:
                guesses = []
            said.add(guesses[0].lang.split("-")[0] if guesses and guesses[0].prob > 0.99 else None)
        if len(said) == 1 and None not in said and sum(c.isalpha() or ord(c) > 0x300 for c in text) > 9 and len(set(text)) > 6 and "p.p.s" not in text:
            texts.append([text, *said])
    return texts


def in_lines(document):
    """A case a line, so that a difference shows which."""
    def part(value):
        if not isinstance(value, list):
            return json.dumps(value, ensure_ascii=False)
        return "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in value) + "\n]"
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {part(value)}" for key, value in document.items()) + "\n}\n"


def main():
    import lm_eval
    for make in (wikitext, hellaswag, winogrande, mmlu_pro, truthfulqa, drop, hendrycks_math, bbh, ifeval):
        make()
    document = {"lm_eval": lm_eval.__version__, "cases": cases, "sentences": sentences(), "languages": languages()}
    for case in cases:  # what all of IFEval's share stands once
        if case["family"] == "ifeval" and case["kind"] == "results":
            document.setdefault("instructions", case["doc"])
            case["doc"] = "instructions"
    (ROOT / "tests/golden/quality/functions.json").write_text(in_lines(document), encoding="utf-8")
    print(len(cases), "cases")


if __name__ == "__main__":
    sys.exit(main())
