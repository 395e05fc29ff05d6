"""Random templates and values for them: most compute something, some are mistakes."""
import random

TEXTS = ["", " ", "a", "abc", "Hello, World", "你好，世界", " 两边 有 空格 \n", "line one\nline two\r\nline three\n",
         "<think>算一下</think>答案是 42", "naïve café", "日本語テキスト", "emoji 😀👍🏽 end", "tab\there", "it's \"quoted\"",
         "a,b,,c", "  leading", "x" * 40, "ÀÉÎ", "1", "-7", " 12 ", "3.5", "1e3", "0x1f", "１２", "\u3000全角\u3000",
         "{\"k\": [1, 2]}", "back\\slash", "zero\u200bwidth", "MixedCase Words-here (and [there])", "\x7f\u00a0"]
NUMBERS = [0, 1, -1, 2, 3, 7, -5, 10, 100, 2**31, 0.0, 0.5, 1.0, -2.5, 3.14159, 1e16, 1e-5, 123456.789, 1e300]
VARIABLES = {
    "s": "Hello 世界", "t": "a-b-c", "empty": "", "blank": "  \n", "n": 5, "neg": -3, "f": 2.75, "yes": True, "no": False,
    "nothing": None, "words": ["b", "A", "c", "a"], "nums": [3, 1, 2, 1], "mixed": [1, "x", None, True, 2.5, [1], {"k": 1}],
    "pairs": [[1, "a"], [2, "b"]], "d": {"name": "Lì", "age": 30, "tags": ["x", "y"], "items": 1, "nested": {"z": [1, {"q": "w"}]}},
    "people": [{"name": "Bob", "age": 3, "role": "user"}, {"name": "alice", "age": 2, "role": "system"},
               {"name": "王五", "age": 2}, {"name": "bob", "age": None, "role": "user", "tool_calls": []}],
    "messages": [{"role": "system", "content": "你是助手。"}, {"role": "user", "content": " Hi <b>there</b> & co\n"},
                 {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1, "y": ["é"]}}}]},
                 {"role": "tool", "content": "结果"}, {"role": "assistant", "content": "<think>hm</think>\n\nok "}],
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True, "e": [], "o": {},
}


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = list(VARIABLES) + ["missing", "i", "ns", "loop", "x", "y"]

    def pick(self, *values):
        return self.r.choice(values)

    def quote(self, text):
        mark = self.pick("'", '"')
        out = text.replace("\\", "\\\\").replace(mark, "\\" + mark).replace("\n", "\\n").replace("\r", "\\r")
        return mark + out + mark

    def literal(self):
        kind = self.r.randrange(10)
        if kind < 4:
            return self.quote(self.r.choice(TEXTS))
        if kind < 8:
            return repr(self.r.choice(NUMBERS)).replace("e+", "e")
        return self.pick("true", "false", "none", "True", "[]", "{}", "()", "1_000")

    def text(self, depth):
        """Mostly text."""
        kind = self.r.randrange(12)
        if kind < 3 or depth <= 0:
            return self.quote(self.r.choice(TEXTS)) if self.r.random() < 0.5 else self.pick("s", "t", "blank", "d.name", "messages[0].content")
        if kind < 5:
            return f"({self.text(depth - 1)} {self.pick('+', '~')} {self.text(depth - 1)})"
        if kind < 9:
            return self.method(self.text(depth - 1), depth)
        if kind < 11:
            return f"({self.text(depth - 1)}|{self.text_filter(depth)})"
        return f"{self.text(depth - 1)}[{self.slice(depth)}]"

    def slice(self, depth):
        part = lambda: self.pick("", "", "0", "1", "-1", "2", "-3", "100", "-100")
        step = self.pick("", "", ":", ":-1", ":2", ":-2", ":1")
        return part() + ":" + part() + step

    def method(self, subject, depth):
        t = lambda: self.text(depth - 2)
        n = lambda: str(self.r.randrange(-3, 8))
        forms = [".strip()", ".lstrip()", ".rstrip()", f".strip({t()})", f".lstrip({t()})", f".rstrip('\\n')", f".split({t()})[0]",
                 f".split({t()})|join('|')", f".split()|list", f".split({t()}, {n()})|tojson", f".rsplit({t()}, 1)[-1]",
                 f".startswith({t()})", f".endswith({t()})", f".replace({t()}, {t()})", f".replace({t()}, {t()}, {n()})", ".upper()",
                 ".lower()", ".title()", ".capitalize()", f".find({t()})", f".rfind({t()})", f".count({t()})", f".index({t()})",
                 f".join(words)", ".splitlines()|tojson", f".partition({t()})|list", f".rpartition({t()})|list", f".removeprefix({t()})",
                 f".removesuffix({t()})", f".center({n()})", f".ljust({n()}, '*')", f".rjust({n()})", f".zfill({n()})", ".isdigit()",
                 ".isalpha()", ".isspace()", ".isupper()", ".islower()", ".isalnum()", f".find({t()}, {n()})", f".startswith({t()}, {n()})",
                 f".rsplit(None, {n()})|list", f".split(none, {n()})|list", f".splitlines(true)|list", f".count({t()}, {n()}, {n()})"]
        return f"({subject}){self.r.choice(forms)}"

    def text_filter(self, depth):
        t = lambda: self.text(depth - 2)
        return self.pick("trim", "upper", "lower", "length", "string", "title", "capitalize", f"replace({t()}, {t()})", f"default({t()})",
                         f"replace('a', {t()}, 1)", "list", "first", "last", "reverse", "tojson", "int", "float", f"trim({t()})",
                         f"indent({self.r.randrange(6)})", "indent(2, true)", "indent(3, first=true, blank=true)", "indent('> ')",
                         f"truncate({self.r.randrange(3, 30)})", "truncate(9, true, '…', 0)", "center(20)", "sort|join", "unique|join('.')",
                         f"default({t()}, true)", "length|string", "map('upper')|join('-')", "count", "e", "safe", "e", "safe", "wordcount")

    def sequence(self, depth):
        kind = self.r.randrange(9)
        if kind < 4 or depth <= 0:
            return self.pick("words", "nums", "mixed", "pairs", "people", "messages", "d", "d.tags", "e", "range(4)", "range(1, 9, 3)",
                             "range(5, 0, -2)", "d.items()", "d.keys()", "d|dictsort", "'abc'", "(1, 2, 3)", "[1, [2, 3]]", "d.values()")
        if kind < 5:
            return f"[{', '.join(self.expression(depth - 1) for _ in range(self.r.randrange(4)))}]"
        if kind < 6:
            return f"{self.sequence(depth - 1)}[{self.slice(depth)}]"
        if kind < 7:
            return f"({self.sequence(depth - 1)} + {self.sequence(depth - 1)})"
        return f"({self.sequence(depth - 1)}|{self.list_filter(depth)})"

    def list_filter(self, depth):
        return self.pick("list", "reverse|list", "sort", "sort(reverse=true)", "sort(attribute='age')", "sort(attribute='name', case_sensitive=true)",
                         "unique|list", "select|list", "reject('none')|list", "select('string')|list", "map('string')|list",
                         "selectattr('role')|list", "selectattr('role', 'equalto', 'user')|list", "rejectattr('role', 'undefined')|list",
                         "selectattr('role', 'defined')|map(attribute='name')|list", "map(attribute='name')|join(', ')",
                         "map(attribute='role', default='none')|list", "map('upper')|join", "rejectattr('age', 'none')|map(attribute='age')|list",
                         "selectattr('role', 'in', ['user', 'tool'])|list", "select('gt', 1)|list", "map('tojson')|join(' ')",
                         "sort(attribute='age,name')", "map('first')|list", "items|list", "map('length')|list", "select('odd')|list",
                         "first", "last", "length", "join", "join('; ')", "sum", "min", "max", "tojson", "tojson(indent=2)",
                         "join(', ', attribute='name')", "sum(attribute='age')", "max(attribute='age')", "string", "count", "list|tojson(indent=1)",
                         "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))", "tojson(sort_keys=true)", "unique(attribute='age')|list",
                         "dictsort", "dictsort(by='value')", "dictsort(reverse=true)|list", "map('int')|sum", "map('abs')|list", "random_filter"
                         if self.r.random() < 0.02 else "list")

    def number(self, depth):
        kind = self.r.randrange(8)
        if kind < 3 or depth <= 0:
            return self.pick("n", "neg", "f", "1", "2", "0", "-4", "10", "0.5", "nums[0]", "words|length", "7", "3.0", "loop.index")
        if kind < 7:
            return f"({self.number(depth - 1)} {self.pick('+', '-', '*', '/', '//', '%', '**')} {self.number(depth - 1)})"
        return f"({self.number(depth - 1)}|{self.pick('int', 'float', 'abs', 'round', 'round(1)', 'round(0, chr)', 'string', 'round(2, %sfloor%s)' % (chr(39), chr(39)))})"

    def test(self, depth):
        subject = self.expression(depth - 1)
        word = self.pick("defined", "undefined", "none", "string", "number", "mapping", "iterable", "sequence", "boolean", "integer", "float",
                         "true", "false", "callable", "in words", "in [1, 'a', none]", "equalto 'a'", "eq(1)", "ne 2", "gt 1", "le(2)", "odd", "even",
                         "divisibleby 2", "divisibleby(3)", "upper", "lower", "sameas none", "sameas true")
        return f"({subject} is {self.pick('', '', 'not ')}{word})"

    def comparison(self, depth):
        sign = self.pick("==", "!=", "<", ">", "<=", ">=", "in", "not in")
        kind = self.r.randrange(4)
        make = [self.number, self.text, self.sequence, self.expression][kind]
        other = self.sequence if sign.endswith("in") and kind != 1 else make
        chain = f" {self.pick('==', '<', '!=')} {make(depth - 2)}" if self.r.random() < 0.15 else ""
        return f"({make(depth - 1)} {sign} {other(depth - 1)}{chain})"

    def access(self, depth):
        base = self.pick("d", "people[0]", "messages[1]", "messages[2].tool_calls[0].function", "loop", "ns", "people", "missing", "s", "d.nested")
        step = self.pick(".name", "['name']", ".role", ".missing", "[0]", "[-1]", ".items", "['items']", ".z", ".z[1].q", ".get('name')",
                         ".get('zz', 3)", ".get('zz')", ".index", ".first", ".last", ".length", ".x", "['x']", ".keys()|list", ".content",
                         ".arguments|tojson", ".arguments.y", "[99]", ".0", ".index(1)", ".previtem", ".nextitem", ".values()|list",
                         ".items()|list", ".revindex", ".cycle('p', 'q')", ".changed(n)", ".append(1)", ".pop()", ".0.name", ".copy()")
        return base + step

    def expression(self, depth):
        if depth <= 0:
            return self.literal() if self.r.random() < 0.5 else self.r.choice(self.names)
        make = self.r.choice([self.text, self.text, self.sequence, self.sequence, self.number, self.test, self.comparison, self.access,
                              self.logic, self.choice, self.dictionary, self.call])
        return make(depth - 1)

    def logic(self, depth):
        if self.r.random() < 0.3:
            return f"(not {self.expression(depth)})"
        return f"({self.expression(depth)} {self.pick('and', 'or')} {self.expression(depth)})"

    def choice(self, depth):
        tail = f" else {self.expression(depth)}" if self.r.random() < 0.8 else ""
        return f"({self.expression(depth)} if {self.expression(depth)}{tail})"

    def dictionary(self, depth):
        pairs = ", ".join(f"{self.literal()}: {self.expression(depth - 1)}" for _ in range(self.r.randrange(3)))
        return f"{{{pairs}}}" + self.pick("", "|tojson", "|length", "|list", ".items()|list")

    def call(self, depth):
        return self.pick(f"dict(a={self.expression(depth)})", "dict(pairs)", f"'%s=%s'|format({self.expression(depth)}, {self.number(depth)})",
                         f"('%d %5.2f|%-6s|%r' % ({self.number(1)}, {self.number(1)}, {self.text(1)}, {self.literal()}))",
                         f"'{{}} {{}}'.format({self.text(depth)}, {self.number(1)})", f"'{{0}}{{a}}'.format(1, a={self.literal()})",
                         f"m({self.expression(depth)})", f"m(1, b={self.expression(depth)})", "m()", "m(1, 2, 3)", "joiner('/')()", f"range({self.number(0)})",
                         "missing()", "cycler(1, 2).next()")

    # --- statements ---

    def tag(self, inner):
        return "{%" + self.pick("", "", "-", "+", "-") + " " + inner + " " + self.pick("", "", "-", "-", "+") + "%}"

    def show(self, inner):
        return "{{" + self.pick("", "", "-") + " " + inner + " " + self.pick("", "", "-") + "}}"

    def data(self):
        return self.pick("", "\n", "  ", " \n  ", "text", "你好\n", "\n\n", "<|im_start|>", "a { b } c", "\t", "x\n    ", "  y", "}}", "% }")

    def body(self, depth, loops):
        return "".join(self.data() + self.statement(depth, loops) for _ in range(self.r.choice([1, 1, 2]))) + self.data()

    def statement(self, depth, loops):
        kind = self.r.randrange(20)
        if depth <= 0 or kind < 8:
            return self.show(self.expression(3))
        inside = lambda more=0: self.body(depth - 1, loops + more)
        if kind < 10:
            middle = (self.tag(f"elif {self.expression(2)}") + inside()) if self.r.random() < 0.4 else ""
            other = (self.tag("else") + inside()) if self.r.random() < 0.5 else ""
            return self.tag(f"if {self.expression(2)}") + inside() + middle + other + self.tag("endif")
        if kind < 13:
            target = self.pick("i", "x", "k, v", "message", "(x, y)")
            where = f" if {self.expression(2)}" if self.r.random() < 0.25 else ""
            jump = self.tag(f"if {self.expression(2)}") + self.tag(self.pick("break", "continue")) + self.tag("endif") if self.r.random() < 0.2 else ""
            other = (self.tag("else") + inside()) if self.r.random() < 0.2 else ""
            return self.tag(f"for {target} in {self.sequence(2)}{where}") + inside(1) + jump + inside(1) + other + self.tag("endfor")
        if kind < 15:
            return self.tag(f"set {self.pick('x', 'y', 'z', 'i', 'a, b')} = {self.expression(3)}")
        if kind < 16:
            return self.tag("set ns = namespace(x=1, name='q')") + inside() + self.tag(f"set ns.x = {self.expression(2)}")
        more = self.r.randrange(8)
        if more == 0:
            return self.tag(f"macro m(a, b={self.literal()})") + inside() + self.show("a ~ b") + self.tag("endmacro") + self.show("m(1)")
        if more == 1:
            return self.tag(f"set {self.pick('x', 'y')}{self.pick('', '|trim', '|upper')}") + inside() + self.tag("endset") + self.show("x")
        if more == 2:
            return self.tag(f"filter {self.pick('upper', 'trim', 'replace(%s)' % chr(34) if False else 'indent(2)', 'trim|lower')}") + inside() + self.tag("endfilter")
        if more == 3:
            return self.tag(f"with x = {self.expression(2)}, y = {self.expression(1)}") + inside() + self.tag("endwith")
        if more == 4:
            return "{#" + self.pick("", "-") + " note }} " + self.pick("", "-", "+") + "#}"
        if more == 5:
            return self.tag("raw") + "{{ not " + self.data() + " %} {# }" + self.tag("endraw")
        if more == 6:
            return (self.tag("macro box(t='q')") + "[" + self.show("caller(t)") + "]" + self.tag("endmacro")
                    + self.tag(f"call(v) box({self.literal()})") + inside() + self.show("v") + self.tag("endcall"))
        return self.tag("generation") + inside() + self.tag("endgeneration")

    def template(self):
        if self.r.random() < 0.5:
            return self.show(self.expression(4))
        return self.body(self.r.choice([1, 2, 2, 3]), 0)
