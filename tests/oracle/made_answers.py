"""What made items' answers must be, from the text of the question alone: an independent statement of every family."""
import contextlib
import functools
import io
import itertools
import json
import re
from datetime import date, timedelta

NUMBER = r"(\d+)"


def arithmetic(question, _language):
    a, sign, b = re.search(r"(\d+) ([-+×]) (\d+) = $", question).groups()
    return str({"+": int(a) + int(b), "-": int(a) - int(b), "×": int(a) * int(b)}[sign])


def sorting(question, _language):
    return ", ".join(sorted(re.findall(r"\d+", question), key=int))


def lookup(question, language):
    lines = question.split("\n")
    rows = {cells[1]: cells for cells in ([c.strip() for c in line.split("|")] for line in lines[2:-1])}
    code = re.search(r"编号 (\d+)" if language == "zh" else r"code (\d+)\?", lines[-1]).group(1)
    return rows[code][3 if ("入库" if language == "zh" else "'received'") in lines[-1] else 4]


def calendar(question, _language):
    year, month, day = map(int, re.search(r"(\d{4})-(\d\d)-(\d\d)(?!。|\. *$|-)", question.replace("2020-01-31", "")).groups())
    days = int(re.search(r"第 (\d+) 天|is (\d+) days", question).group(1) or re.search(r"is (\d+) days", question).group(1))
    back = "之前" in question or " before " in question
    return (date(year, month, day) + timedelta(-days if back else days)).isoformat()


def needle(question, language):
    codes = dict(re.findall(r"(\d+) 号箱的密码是 (\d+)" if language == "zh" else r"code of box (\d+) is (\d+)", question))
    return codes[re.search(r"(\d+) 号箱的密码是多少" if language == "zh" else r"code of box (\d+)\?", question).group(1)]


SIZES = {  # of each kind of quantity in its smallest unit here
    "毫米": 1, "厘米": 10, "米": 1000, "公里": 10**6, "秒": 1, "分钟": 60, "小时": 3600, "天": 86400, "周": 604800, "毫克": 1, "克": 10**3,
    "千克": 10**6, "吨": 10**9, "两": 50 * 10**3, "斤": 500 * 10**3, "寸": 1, "尺": 10, "丈": 100, "平方厘米": 1, "平方米": 10**4,
    "公顷": 10**8, "毫升": 1, "升": 1000, "立方米": 10**6,
    "millimetres": 1, "centimetres": 10, "metres": 1000, "kilometres": 10**6, "seconds": 1, "minutes": 60, "hours": 3600, "days": 86400,
    "weeks": 604800, "milligrams": 1, "grams": 1000, "kilograms": 10**6, "tonnes": 10**9, "inches": 1, "feet": 12, "yards": 36,
    "miles": 63360, "ounces": 1, "pounds": 16, "stone": 224, "square centimetres": 1, "square metres": 10**4, "hectares": 10**8,
    "millilitres": 1, "litres": 1000, "cubic metres": 10**6}
UNIT = "|".join(sorted(SIZES, key=len, reverse=True))


def units(question, language):
    if language == "zh":
        text, wanted = re.fullmatch(f"(.*)等于多少({UNIT})？", question).groups()
        parts = re.split("(减去|加上)", text)
    else:
        wanted, text = re.fullmatch(rf"How many ({UNIT}) are (.*)\?", question).groups()
        parts = re.split(" (minus|plus) ", text)
    values = [sum(int(n) * SIZES[unit] for n, unit in re.findall(f"{NUMBER} ({UNIT})", part)) for part in parts[::2]]
    total = values[0]
    for sign, value in zip(parts[1::2], values[1:], strict=True):
        total += value if sign in ("加上", "plus") else -value
    assert total > 0 and total % SIZES[wanted] == 0, question
    return str(total // SIZES[wanted])


def strings(question, language):
    text = re.search(r"“(.+?)”" if language == "zh" else r'"(.+?)"', question).group(1)
    quoted = re.compile(r"“(.)”" if language == "zh" else r'"(.)"')
    steps = re.findall(r"（\d+）(.+?)[；。]" if language == "zh" else r"\(\d+\) (.+?)[;.]", question)
    for step in steps:
        letters = quoted.findall(step)
        if step in ("颠倒顺序", "reverse it"):
            text = text[::-1]
        elif step.startswith(("把每个", "replace")):
            text = text.replace(*letters)
        elif step.startswith(("去掉", "remove")):
            text = text.replace(letters[0], "")
        elif step.startswith(("把开头的", "move")):
            count = int(re.search(r"\d+", step).group())
            text = text[count:] + text[:count]
        else:
            assert step in ("把第一个字和最后一个字对调", "swap the first and the last letter"), step
            text = text[-1] + text[1:-1] + text[0]
    assert steps
    return text


def tracking(question, language):
    if language == "zh":
        box, held = "([甲乙丙丁戊]箱)", rf"([甲乙丙丁戊]箱)里有 {NUMBER} "
        put, take = rf"往{box}里又放进 {NUMBER} ", rf"从{box}里拿走 {NUMBER} "
        carry, pour, swap = rf"从{box}里拿出 {NUMBER} \w+?放进{box}", rf"把{box}里的东西全部倒进{box}", rf"把{box}和{box}里的东西对调"
        double, wanted = rf"{box}里的东西增加到原来的两倍", rf"现在{box}里有多少"
        sentences = question.split("。")
    else:
        box, held = "([Bb]ox [A-E])", rf"([Bb]ox [A-E]) holds {NUMBER} "
        put, take = rf"Another {NUMBER} \w+ are put into {box}", rf"{NUMBER} \w+ are taken away from {box}"
        carry, pour = rf"{NUMBER} \w+ are moved from {box} to {box}", rf"Everything in {box} is poured into {box}"
        swap, double = rf"The contents of {box} and {box} are swapped", rf"{box} is filled up to twice"
        wanted = rf"are in {box} now"
        sentences = question.split(". ")

    def two(match):  # in whatever order the language has them
        one, other = match.groups()
        return (one, int(other)) if other.isdigit() else (other, int(one))
    name = str.lower
    boxes = {name(b): int(n) for b, n in re.findall(held, sentences[0])}
    moves = 0
    for s in sentences[1:]:
        moves += 1
        if m := re.match(put, s):
            b, n = two(m)
            boxes[name(b)] += n
        elif m := re.match(take, s):
            b, n = two(m)
            boxes[name(b)] -= n
        elif m := re.match(carry, s):
            n = int(next(g for g in m.groups() if g.isdigit()))
            source, to = (name(g) for g in m.groups() if not g.isdigit())
            boxes[source] -= n
            boxes[to] += n
        elif m := re.match(pour, s):
            source, to = map(name, m.groups())
            boxes[to], boxes[source] = boxes[to] + boxes[source], 0
        elif m := re.match(swap, s):
            a, b = map(name, m.groups())
            boxes[a], boxes[b] = boxes[b], boxes[a]
        elif m := re.match(double, s):
            boxes[name(m.group(1))] *= 2
        else:
            moves -= 1
            assert re.search(wanted, question), s
        assert min(boxes.values()) >= 0, question
    assert moves >= 3
    return str(boxes[name(re.search(wanted, question).group(1))])


def logic_parts(question, language):
    """(seats, people, traits of each kind, clues as functions of {who or what: seat}, what is asked)"""
    if language == "zh":
        seats = int(re.match(r"(\d+) 个人坐成一排", question).group(1))
        people = re.search("他们是(.+?)（不分先后）", question).group(1).split("、")
        listed, said = re.search(r"（不分先后）。(.*?)已知：(.*)谁", question).groups()
        kinds = [[t.removeprefix("一人") for t in row.split("，")] for row in listed.split("。") if row]
        clues = re.findall(r"（\d+）(.+?)[；。]", said)
        asked = re.search(r"谁([^谁]+)？只写名字。$", question).group(1)
    else:
        seats = int(re.match(r"(\d+) people sit in a row", question).group(1))
        people = re.search(r"order they are (.+?)\. ", question).group(1).split(", ")
        listed, said = re.search(r"order they are .+?\. (.*?)What is known: (.*) Who ", question).groups()
        kinds = [[re.sub("^[Oo]ne ", "", t) for t in row.split(", ")] for row in listed.split(". ") if row]
        clues = re.findall(r"\(\d+\) (.+?)\.", said)
        asked = re.search(r"Who ([^?]+)\? Write the name alone\.$", question).group(1)
    return seats, people, kinds, [logic_clue(c, people, kinds, language) for c in clues], asked


def logic_clue(text, people, kinds, language):
    traits = [t for kind in kinds for t in kind]
    if language == "zh":
        subjects = {p: p for p in people} | {t + "的人": t for t in traits}
        denied = {"不" + t: t for t in traits}
        forms = (r"坐在 (\d+) 号座位", r"不坐 (\d+) 号座位", "紧挨着坐在(.+)的左边", "坐在(.+)左边的某个座位")
    else:
        subjects = {p: p for p in people} | {"the one who " + t: t for t in traits}
        denied = {re.sub(r"^(\w+)s ", r"does not \1 ", t): t for t in traits}
        forms = (r"sits in seat (\d+)", r"does not sit in seat (\d+)", "sits directly to the left of (.+)", "sits somewhere to the left of (.+)")
        text = text[0].lower() + text[1:] if text.startswith("The one") else text
    subject = max((s for s in subjects if text.startswith(s)), key=len)
    a, rest = subjects[subject], text[len(subject):].strip()
    if m := re.fullmatch(forms[0], rest):
        return (a,), lambda s, k=int(m.group(1)): s[a] == k
    if m := re.fullmatch(forms[1], rest):
        return (a,), lambda s, k=int(m.group(1)): s[a] != k
    if m := re.fullmatch(forms[2], rest):
        b = subjects[m.group(1)]
        return (a, b), lambda s: s[a] + 1 == s[b]
    if m := re.fullmatch(forms[3], rest):
        b = subjects[m.group(1)]
        return (a, b), lambda s: s[a] < s[b]
    if rest in denied:
        b = denied[rest]
        return (a, b), lambda s: s[a] != s[b]
    assert rest in traits, text
    return (a, rest), lambda s: s[a] == s[rest]


@functools.cache
def logic_solutions(question, language):
    """All ways to seat everybody, row by row."""
    count, people, kinds, clues, asked = logic_parts(question, language)
    assert len(people) == count and all(len(kind) == count for kind in kinds)
    found = [{}]
    for kind in [people, *kinds]:
        own = []
        for order in itertools.permutations(range(1, count + 1)):
            placed = dict(zip(kind, order))
            if all(holds(placed) for names, holds in clues if set(names) <= placed.keys()):
                own.append(placed)
        known = found[0].keys() | set(kind) if found else set()
        joint = [holds for names, holds in clues if set(names) & set(kind) and set(names) <= known and not set(names) <= set(kind)]
        merged = (old | placed for old in found for placed in own)
        found = [seats for seats in merged if all(holds(seats) for holds in joint)]
    return found, people, asked, len(clues)


def logic(question, language):
    found, people, asked, _ = logic_solutions(question, language)
    assert len(found) == 1, f"{len(found)} solutions of {question}"
    return next(p for p in people if found[0][p] == found[0][asked])


def traces(question, _language):
    program = re.search(r"```python\n(.*)\n```", question, re.DOTALL).group(1)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "item", "exec"), {"__builtins__": {"range": range, "print": print}})  # noqa: S102 our own programs
    return out.getvalue().rstrip("\n")


MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]


def orders_of(text, language):
    if language == "zh":
        day = r"(?P<year>\d+)年(?P<month>\d+)月(?P<day>\d+)日"
        goods = r"(?P<count>\d+) 件(?P<item>\w+?)"
        forms = (rf"{day}，(?P<city>\w\w)的(?P<name>\w+?)买了 {goods}，每件 (?P<price>\d+) 元",
                 rf"(?P<name>\w+?)从(?P<city>\w+?)打来电话，订购 {goods}，单价 (?P<price>\d+) 元，下单日期是{day}",
                 rf"{day}有 {goods}卖给了(?P<name>\w+?)，单价 (?P<price>\d+) 元，寄往(?P<city>\w+)")
        sentences = text.split("。")
    else:
        first, second = r"(?P<month>[A-Z]\w+) (?P<day>\d+), (?P<year>\d+)", r"(?P<day>\d+) (?P<month>[A-Z]\w+) (?P<year>\d+)"
        goods, name, city = r"(?P<count>\d+) (?P<item>[a-z ]+?)", r"(?P<name>[A-Z]\w+ [A-Z]\w+)", r"(?P<city>[A-Z][\w']+)"
        forms = (rf"On {first}, {name} from {city} bought {goods} at (?P<price>\d+) yuan each",
                 rf"{name} called from {city} and ordered {goods} at (?P<price>\d+) yuan each; the date of the order is {second}",
                 rf"On {second}, {goods} were sold to {name} at (?P<price>\d+) yuan each and sent to {city}")
        sentences = text.split(". ")
    for sentence in sentences:
        for form in forms:
            if m := re.fullmatch(form, sentence.strip()):
                part = m.groupdict()
                month = int(part["month"]) if language == "zh" else MONTHS.index(part["month"]) + 1
                yield {"name": part["name"], "city": part["city"], "item": part["item"], "count": int(part["count"]), "price": int(part["price"]),
                       "date": date(int(part["year"]), month, int(part["day"])).isoformat()}
                break


CHINESE_KEYS = {"姓名": "name", "城市": "city", "商品": "item", "数量": "count", "单价": "price", "日期": "date"}


def filled(shape, orders):
    """The shape with each sign replaced by what its key names."""
    if isinstance(shape, list):
        return [filled(shape[0], [order]) for order in orders]
    return {key: filled(value, orders) if isinstance(value, (dict, list)) else orders[0][CHINESE_KEYS.get(key, key)] for key, value in shape.items()}


def extraction(question, language):
    text, task = question.split("\n\n")
    orders = list(orders_of(text, language))
    whose = re.match(r"把(\w+?)的订单写成" if language == "zh" else r"Write the order of ([A-Z]\w+ [A-Z]\w+) as", task)
    if whose and whose.group(1) != "上面":
        orders = [o for o in orders if o["name"] == whose.group(1)]
        assert len(orders) == 1, question
    return filled(json.loads(re.search(r"([\[{].*[\]}])。?$", task).group(1)), orders)


# ---- conditions ----

CHARACTER = r"\u3040-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
PUNCTUATION = r"!\"#$%&()*+,./:;<=>?@\[\\\]^_`{|}~\u2010-\u205e\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
COVERS = "\"'()[]‘’‚‛“”„‟〈〉《》「」『』【】（）"


def sentences_of(text):
    text = re.sub(rf"[{re.escape(COVERS)}]", "\x00", text)  # they may stand between a mark and what follows
    text = re.sub(r"\.(?=[^\s\x00.!?。！？])", "·", text)
    return sum(bool(re.search(r"[^\s\x00.·]", piece)) for piece in re.split(r"[.!?。！？]", text))


def has_word(text, word):
    if re.match(r"[A-Za-z0-9]", word):
        return re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", text, re.IGNORECASE | re.ASCII) is not None
    return word in text


def words_of(text):
    return len(re.findall(rf"[{CHARACTER}]|[^\s{CHARACTER}{PUNCTUATION}]+", text))


def is_list(text, count):
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, list) and len(value) == count == len({str(v) for v in value}) and all(isinstance(v, str) and v for v in value)


CHECKS = {"sentences": lambda t, c: sentences_of(t) == c["count"], "at_most": lambda t, c: words_of(t) <= c["count"],
          "include": lambda t, c: has_word(t, c["text"]), "exclude": lambda t, c: not has_word(t, c["text"]),
          "start": lambda t, c: t.startswith(c["text"]), "end": lambda t, c: t.endswith(c["text"]), "list": lambda t, c: is_list(t, c["count"])}


def keeps(conditions, said):
    text = said.strip()
    return bool(text) and all(CHECKS[c["kind"]](text, c) for c in conditions)


FORMS = {
    "zh": {"sentences": r"正好 (\d+) 句话", "include": r"必须出现“(.+)”", "exclude": r"不得出现“(.+)”", "start": r"以“(.+)”开头", "end": r"以“(.+)”结尾",
           "at_most": r"不超过 (\d+) 个字（标点不算）", "list": r"列表里正好有 (\d+) 个互不相同的词"},
    "en": {"sentences": r"exactly (\d+) sentences", "include": r'it must have the word "(.+)"', "exclude": r'it must not have the word "(.+)"',
           "start": r'it must begin with "(.+)"', "end": r'it must end with "(.+)"', "at_most": r"at most (\d+) words",
           "list": r"exactly (\d+) different texts in the list"}}


def conditions_of(question, language):
    said = question.split("要求：" if language == "zh" else "Conditions: ")[1]
    found = []
    for text in re.split(r"；?（\d+）" if language == "zh" else r"(?:; )?\(\d+\) ", said.removesuffix("。").removesuffix("."))[1:]:
        for kind, form in FORMS[language].items():
            if m := re.fullmatch(form, text):
                value = m.group(1)
                found.append({"kind": kind, "count": int(value)} if kind in ("sentences", "at_most", "list") else {"kind": kind, "text": value})
                break
        else:
            raise AssertionError(text)
    return found


ANSWERS = {f.__name__: f for f in (arithmetic, sorting, lookup, calendar, needle, units, strings, tracking, logic, traces, extraction)}
