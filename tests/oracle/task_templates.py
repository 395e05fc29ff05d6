"""Templates in the manner of task files of evaluation harnesses, and rows for them: undefined names fail, line ends and
blanks stay, lists are indexed."""
TEMPLATES = [
    "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nAnswer:",
    "Question: {{ question }}\nAnswer:\n",
    "{{['A','B','C','D'][answer]}}", "{{answer}}", "{{choices.index(target)}}", "{{choices}}",
    "{{premise}}\n问题：{{hypothesis}} 对吗？\n答案：",
    "{% if context %}{{context}}\n{% endif %}Q: {{question}}",
    "{% for choice in choices %}\n{{ 'ABCD'[loop.index0] }}. {{ choice }}\n{%- endfor %}\nAnswer:",
    "{{ question|trim|replace('?', '？') }} {{ number|int + 1 }} {{ '%.2f' % number }}",
    "{{question.split(' ')|length}}|{{ choices|join(', ') }}|{{ choices|map('upper')|list }}",
    "{% set names = ['a', 'b'] %}{{ names[label] }}{{ choices[-1][:3] }}", "{{missing}}", "{{ missing is defined }}{{ missing|default('none') }}",
    "{% if missing %}x{% endif %}", "{{ doc_nested.text[0] }} {{ doc_nested['text']|tojson }} {{ doc_nested }}",
    "{{ question.lower().capitalize() }}{{ question.rstrip('?').lstrip('W') }}", "{{choices|string}} {{ choices | length }}",
    "{{ (answer == 0) | string }}{{ 'yes' if label == 1 else 'no' }}", "  {% if true %}\n  x\n  {% endif %}\n", "{{ missing == 1 }}",
    "{% for n in range(1, 1100) %}{{ 2.0 ** -n }} {{ (2.0 ** n)|round(1) if n < 1000 }} {{ 3.0 ** -n }} {{ n / 7 }}\n{% endfor %}",
    "{{ 9007199254740993.0 }} {{ 5e-324 }} {{ 1e22 }} {{ 1e23 }} {{ 1e16 }} {{ 123456789012345680.0 }} {{ 0.1 + 0.2 }}", "{{题目}}{{ 答案_é|upper }}",
    "{{ '' ~ answer ~ ' ' ~ choices[answer].strip() }}", "{{ doc_nested.missing }}", "{{ doc_nested.text }}{{ [question, answer] | tojson }}",
]
ROWS = [
    {"question": " What is it? ", "choices": ["cat", "dog's", "鸟", "d"], "answer": 2, "target": "鸟", "label": 1, "premise": "天下雨。",
     "hypothesis": "地湿了", "context": "", "number": "3", "题目": "一", "答案_é": "b", "doc_nested": {"text": ["a & b", "<c>"]}},
    {"question": "谁？", "choices": ["A", "B"], "answer": 0, "target": "C", "label": 0, "premise": "", "hypothesis": "\n", "context": "上文",
     "number": 2.5, "doc_nested": {"text": []}},
]


def cases():
    for template in TEMPLATES:
        for row in ROWS:
            yield template, template, row
