"""Writes tests/text/golden/chat.json: what Jinja2 renders with transformers' settings, for the templates under
golden/templates and for one-line templates that together use the whole language we support.

Usage: python generate_chat_goldens.py
       python generate_chat_goldens.py FILE FOLDER…
           writes FILE: what is rendered for all *.jinja under the FOLDERs, by many more chats;
           COHORT_CHAT_CASES=FILE build/text_tests --gtest_filter='*TemplatesOfOthers*' compares
"""
import json
import pathlib
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

HERE = pathlib.Path(__file__).parent / "golden"

MESSAGES = [{"role":"system","content":"You are é."},{"role":"user","content":"  Hi\nthere  "},{"role":"assistant","content":"<think>\nhmm\n</think>\n\nOK 'q' \"d\"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"a":1,"b":[1,2.5,None,True],"c":{"x":"é\u2028\n"}}}}]},{"role":"user","content":"bye"}]
VARIABLES = {"messages": MESSAGES,"add_generation_prompt":True,"bos_token":"<s>","eos_token":"</s>","tools":[{"type":"function","function":{"name":"f","description":"d <b>","parameters":{"type":"object","properties":{"zeta":{"type":"string"},"alpha":{"type":"integer"}}}}}],
"n":5,"x":3.5,"big":1e16,"small":1e-5,"s":"Hello, World","u":"ünïcödé ß 日本","l":[3,1,2],"d":{"b":1,"a":2,"items":"I"},"e":[],"nul":None,"t":True,"f":False,"words":["b","A","c","a"],"rows":[{"k":1,"v":"x"},{"k":2,"v":"y"},{"k":1,"v":"z"},{"v":"w"}],"lines":"a\n\nb\r\nc"}
SNIPPETS = r"""
{{ s }}|{{ n }}|{{ x }}|{{ big }}|{{ small }}|{{ t }}|{{ nul }}|{{ l }}|{{ d }}|{{ undefinedvar }}|{{ u }}
{{ s[0] }}{{ s[-1] }}{{ s[1:4] }}{{ s[::-1] }}{{ s[:-2] }}{{ s[5:] }}{{ s[100:] }}{{ u[1:5] }}{{ l[::-1] }}{{ l[1:] }}{{ l[-2:] }}{{ l[:1] }}{{ l[5] }}
{{ n + 2 }} {{ n / 2 }} {{ n // 2 }} {{ n % 3 }} {{ -n // 2 }} {{ -n % 3 }} {{ n ** 2 }} {{ x * 2 }} {{ n - 7 }} {{ 7.0 // 2 }} {{ -7.5 % 2 }} {{ 2 ** -1 }} {{ 1e3 }} {{ 10 / 5 }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ undefinedvar }} {{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ (1,2) }} {{ (1,) }} {{ () }} {{ {'a': 1, 'b': [1, 'x']} }}
{{ 1 if t else 2 }} {{ 1 if f }} {{ 'x' if f else 'y' if f else 'z' }} {{ not t }} {{ t and n }} {{ f or 'q' }} {{ f and 1 }} {{ nul or e or 'w' }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ 'a' in s }} {{ 'Hello' in s }} {{ 3 in l }} {{ 'a' in d }} {{ 4 not in l }} {{ 1 == 1.0 }} {{ true == 1 }} {{ [1] == [1] }} {{ 'a' == 1 }} {{ none == none }} {{ undefinedvar == undefinedvar2 }} {{ undefinedvar in l }} {{ 'x' in undefinedvar }}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a','b') }}{{ loop.changed(i) }};{% endfor %}
{% for i in e %}x{% else %}empty{% endfor %} {% for i in l if i > 1 %}{{ i }}{{ loop.length }}{% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for c in 'añb' %}{{ c }}-{% endfor %}
{% set a = 1 %}{% for i in l %}{{ a }}{% set a = i %}{{ a }}{% endfor %}{{ a }}
{% set ns = namespace(v=0, found=false) %}{% for i in l %}{% set ns.v = ns.v + i %}{% if i == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.v }} {{ ns.found }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set z %}x{{ n }}y{% endset %}{{ z }}{{ z|upper }} {% set q | upper | trim %} abc {% endset %}[{{ q }}]
{% macro m(a, b=2, c='z') %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=3) }} {{ m(b=5, a=4) }} {{ m() }}
{% macro m2(x) %}{{ caller() }}<{{ x }}>{% endmacro %}{% call m2('q') %}inner{{ n }}{% endcall %}
{% macro m3() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m3() %}{{ a }}/{{ b }}{% endcall %}
{% macro f() %}{{ late }}{% endmacro %}{% set late = 'L' %}{{ f() }}
{% filter upper %}abc {{ s }}{% endfilter %} {% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}
{{ tools | tojson }} {{ tools[0] | tojson(indent=4) }} {{ d | tojson(indent=2, sort_keys=true) }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }} {{ l | tojson(separators=(',', ':')) }} {{ [] | tojson(indent=2) }} {{ {} | tojson(indent=2) }} {{ x|tojson }} {{ big|tojson }} {{ "a\"\\\n\x01\x7f</b>" | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 2} | tojson }} {{ (1, 2) | tojson }}
{{ '  a b  ' | trim }}| {{ '  a b  '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xxaxx'.lstrip('x') }}|{{ 'xxaxx'.rstrip('x') }}|{{ 'abc' | trim('a') }}|{{ '\u3000a\u00a0' | trim }}|
{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a b c d'.split(' ', 1) }} {{ 'a b c d'.rsplit(' ', 1) }} {{ ' a  b c '.split(none, 1) }} {{ ' a  b c '.rsplit(none, 1) }} {{ lines.splitlines() }} {{ 'a</think>b'.split('</think>')[-1] }} {{ ''.split(',') }} {{ ''.split() }}
{{ s.startswith('Hel') }} {{ s.endswith(('x', 'ld')) }} {{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ 'abc'.replace('', '-') }} {{ 'añc'.replace('', '-', 2) }} {{ s | replace('o', '0') }} {{ s.upper() }} {{ s.lower() }} {{ u.upper() }} {{ 'hello wORLD-foo it\'s'.title() }} {{ 'hello wORLD-foo it\'s (bar)' | title }} {{ 'hELLO wORLD' | capitalize }} {{ 'hELLO'.capitalize() }} {{ s.find('o') }} {{ s.find('zz') }} {{ u.find('ö') }} {{ s.rfind('o') }} {{ s.count('l') }} {{ s.index('W') }}
{{ 'abc'.isdigit() }} {{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'a1'.isalnum() }} {{ 'ab'.ljust(5) }}| {{ 'ab'.rjust(5, '*') }} {{ 'ab'.center(5) }}| {{ 'abc'.center(6) }}| {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'x'.partition('-') }} {{ 'prefix_x'.removeprefix('prefix_') }} {{ 'x.py'.removesuffix('.py') }} {{ ', '.join(words) }}
{{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.get('a') }} {{ d.get('zz') }} {{ d.get('zz', 7) }} {{ d['a'] }} {{ d.a }} {{ d.zz }} {{ d['items'] }} {{ d | items | list }} {{ d | length }} {{ s | length }} {{ u | length }} {{ l | length }} {{ undefinedvar | length }}
{{ undefinedvar | default('D') }} {{ nul | default('D') }} {{ nul | default('D', true) }} {{ '' | d('E', boolean=true) }} {{ undefinedvar | default }}
{{ l | join('-') }} {{ l | join }} {{ rows | join(', ', attribute='v') }} {{ l | first }} {{ l | last }} {{ e | first }} {{ s | first }} {{ l | sum }} {{ l | min }} {{ l | max }} {{ l | sort }} {{ l | sort(reverse=true) }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ l | reverse | list }} {{ 'abc' | reverse }} {{ words | unique | list }} {{ ['a','A','b'] | unique | list }}
{{ rows | map(attribute='v') | list }} {{ rows | map(attribute='k', default=0) | list }} {{ words | map('upper') | list }} {{ rows | selectattr('k') | list }} {{ rows | selectattr('k', 'equalto', 1) | map(attribute='v') | join }} {{ rows | rejectattr('k', 'defined') | list }} {{ l | select('odd') | list }} {{ l | reject('gt', 2) | list }} {{ [0, 1, '', 'a'] | select | list }} {{ l | map('string') | join('+') }} {{ words | map('replace', 'a', 'Z') | list }}
{{ d | dictsort }} {{ d | dictsort(by='key', reverse=true) if false }} {{ rows[:3] | groupby('k') | map(attribute=0) | list }} {{ [1,2,3,4,5] | batch(2) | list }} {{ [1,2,3] | batch(2, 0) | list }} {{ 3.7 | int }} {{ '42' | int }} {{ ' 42 ' | int }} {{ 'x' | int }} {{ 'x' | int(9) }} {{ '3.9' | int }} {{ 'ff' | int(0, 16) }} {{ '2.5' | float }} {{ 'x' | float }} {{ 3.14159 | round(2) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.1 | round(method='ceil') }} {{ n | string }} {{ -3 | abs }} {{ -3.5 | abs }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb\n\nc' | indent(2, true) }}|{{ 'a\nb\n\nc' | indent(2, first=true, blank=true) }}|{{ 'a\nb' | indent('>>') }}|{{ 'a\nb\n' | indent(2) }}|
{{ 'foo bar baz qux' | truncate(9) }} {{ 'foo bar baz qux' | truncate(9, true) }} {{ 'foo bar baz qux' | truncate(11, leeway=0) }} {{ '<b>&"\'' | e }} {{ '<b>' | safe }} {{ s | wordcount }} {{ 'ab' | center(6) }}|
{{ n is defined }} {{ zz is defined }} {{ zz is undefined }} {{ nul is none }} {{ n is not none }} {{ s is string }} {{ d is mapping }} {{ l is sequence }} {{ s is sequence }} {{ d is sequence }} {{ n is sequence }} {{ l is iterable }} {{ n is iterable }} {{ n is number }} {{ t is number }} {{ t is integer }} {{ n is integer }} {{ x is float }} {{ t is boolean }} {{ t is true }} {{ f is false }} {{ n is odd }} {{ n is even }} {{ n is divisibleby 5 }} {{ n is divisibleby(3) }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ n is eq 5 }} {{ n is in l }} {{ 3 is in l }} {{ n is sameas 5 }} {{ namespace is callable }} {{ n is gt(4) and n is lt 6 }} {{ zz is iterable }}
{{ range(3) | list }} {{ range(1, 8, 3) | list }} {{ range(5, 0, -2) | list }} {% for i in range(3) %}{{ i }}{% endfor %} {{ dict(a=1, b='x') }} {{ dict({'q': 1}, r=2) }}
{% for m in messages %}{% if m.role == 'user' and not loop.first %}[{{ m['content'] | trim }}]{% elif m.role == 'assistant' %}({{ m.content.split('</think>')[-1].lstrip('\n') }}){% if m.tool_calls %}{% for tc in m.tool_calls %}{{ tc.function.name }}:{{ tc.function.arguments | tojson }}{% endfor %}{% endif %}{% else %}{{ m.content }}{% endif %}{% endfor %}
{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %} {{ messages[0].role }} {{ messages[-1]['content'] }} {{ messages | length }} {{ (messages | last).role }} {{ messages[0]['zz'] is defined }}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% set x1 = [1,2,3] %}{% for a in x1 %}{% for b in x1 %}{{ loop.index }}{% endfor %}|{{ loop.index }} {% endfor %}
{# comment #}a{#- c -#} b {{- ' c' -}}  d {%- if true -%}  e  {%- endif %} f
{% raw %}{{ not }} {% x %}{% endraw %} {%- raw -%}  z  {%- endraw -%}  y
{{ '\n\t\\ \' " \x41 \u00e9 \q' }} {{ "a" "b" 'c' }} {{ 'a' if true }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ 1_000 }}
{{ ['a', "it's", 'q"', 'q"\'', 'é', '\n', '\x00', '\u200b', none, true, 1.0, {'k': (1,)}] }}
{{ 1.0 }} {{ 100000000000000000000.0 }} {{ 0.1 + 0.2 }} {{ 1e22 }} {{ 123456789.123456789 }} {{ 0.0001 }} {{ 0.00001 }} {{ -0.0 }} {{ 1/3 }}
{{ messages[0] }} {{ messages[1] | string }} {{ tools[0].function.parameters.properties.keys() | list }}
{%- generation -%} gen {{ n }} {%- endgeneration %} {{ true and 'x' is string }} {{ not 'x' is string }} {{ 'a' ~ 'b' | upper }} {{ -1 | abs }} {{ (1 + 2) * 3 }} {{ 2 + 3 * 4 }}
{%- set found = namespace(i=-1) %}{%- for m in messages %}{%- if m.role == 'user' %}{%- set found.i = loop.index0 %}{%- endif %}{%- endfor %}{{ found.i }} {{ messages[found.i].content }} {{ messages[:found.i] | length }}
{% if a is defined and a.b %}1{% else %}2{% endif %}{% if n > 3 and (x < 4 or zz) %}ok{% endif %}{% if messages[0]['role'] == 'system' %}{% set sm = messages[0]['content'] %}{% set lm = messages[1:] %}{% else %}{% set lm = messages %}{% endif %}{{ sm }}{{ lm | length }}
{{ d.b }} {{ d['b'] }}
{% set j = joiner('; ') %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}
{{ 'a.b'.split('.') | first }} {{ s | list }} {{ d | list }} {{ l | string }} {{ [[1,2],[3]] | sum(start=[]) }} {{ rows | sum(attribute='zz') if false }} {{ [1, [2, 3]][1][0] }} {{ rows.0.v }} {{ [3,1] < [3,2] }} {{ (1,2) == (1,2) }} {{ (1,2) == [1,2] }}
{{ '<{}|{}>'.format(n, 'x') }} {{ '{1}{0}{1}'.format(1, 2) }} {{ '{{{a}}} {b}'.format(a=none, b=true) }} {{ ''.format() }} {{ none | selectattr('x') | list }} {{ false | map('upper') | list }} {{ zz | reject | list }}
{% set content = messages[1].content %}{{ content }}{{ content | trim }}{{ '' if not content else content | trim | upper }}
""".strip("\n").split("\n")
BLOCKS = ["""{% if true %}
  line1
  {% if false %}
  no
  {% else %}
  yes
  {% endif %}
{% endif %}
end
""","""  {% for i in l %}
    {{ i }}
  {% endfor %}  
tail   {% if true %} x {% endif %}   
\t{% set z = 1 %}
\t{{ z }}
   {# comment #}
after
""","a\n\n{%- if true %}\n\n b \n{%+ if true %}\n c\n   {%+ endif +%}\n d\n{% endif -%}\n\n\n e \n","x\r\n{% if true %}\r\ny\r\n{% endif %}\r\nz\r\n","{{ 'a' }}\n{{ 'b' }}\n\n","  {{- 'x' }}\n  {{ 'y' -}}  \n z\n\n\n", "{% macro a(x) %}\n  <{{ x }}>\n{% endmacro %}\n{{ a(1) }}\n{{- a(2) }}\n", "{%- for m in messages -%}\n{{ m.role }}\n{%- if not loop.last -%}\n,\n{%- endif -%}\n{%- endfor -%}\n"]
REFUSED = ["{{ foo.bar }}","{{ foo['x'] }}","{{ foo() }}","{{ 1 + 'a' }}","{{ raise_exception('no') }}","{% if %}x{% endif %}","{% for i in 5 %}{% endfor %}","{{ x | nofilter }}","{% unknown %}","{% if true %}","{{ 'a' }","{{ (1 }}","{% endif %}","{{ l.append(1) }}","{{ undefinedvar + 1 }}","{{ s.nomethod() }}","{% include 'x' %}","{{ 1 is notest }}","{% set a.b = 1 %}","{{ undefinedvar | tojson }}", "{{ 1 < 'a' }}", "{% set a, b = [1] %}","{{ 1 / 0 }}","{{ range(10**9) | list }}","{{ 5 in 5 }}", "{% break %}", "{{ '{'.format(1) }}", "{{ '}'.format(1) }}", "{{ '{} {}'.format(1) }}", "{{ '{a}'.format(1) }}"]

CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "add", "arguments": {"zeta": "1", "alpha": "é\n\"q\""}}}
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds <two> numbers.", "parameters": {
    "type": "object", "properties": {"zeta": {"type": "string"}, "alpha": {"type": "string", "enum": ["a", "b"]}}, "required": ["zeta"]}}}]
CHATS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "  What is 2+2?\n"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb  "}, {"role": "user", "content": "c"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "\nr\n"}],
    [{"role": "system", "content": "S"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
     {"role": "tool", "content": "3", "tool_call_id": "abcdefghi"}, {"role": "tool", "content": "4"}, {"role": "assistant", "content": "It is 3."}],
    [{"role": "user", "content": "u"}, {"role": "assistant", "tool_calls": [CALL, CALL]}, {"role": "tool", "content": {"x": [1]}}],
    [{"role": "user", "content": [{"type": "text", "text": "part one "}, {"type": "text", "text": "two"}]}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    [{"role": "other", "content": "a"}],
]


def rendered(template, variables):
    try:
        return {"text": _compile_jinja_template(template).render(**variables)}
    except Exception as error:
        return {"error": type(error).__name__}


def main():
    one_line = [{"template": t, **rendered(t, VARIABLES)} for t in SNIPPETS + BLOCKS + REFUSED]
    for case in one_line[:-len(REFUSED)]:
        assert "text" in case, case
    for case in one_line[-len(REFUSED):]:
        assert "error" in case, case
    chats = []
    for path in sorted((HERE / "templates").glob("*.jinja")):
        for messages in CHATS:
            for tools in (None, TOOLS):
                for extra in ({"add_generation_prompt": True}, {"add_generation_prompt": False, "enable_thinking": False},
                              {"add_generation_prompt": True, "enable_thinking": False, "tools_in_user_message": False, "builtin_tools": ["add", "code_interpreter"]}):
                    variables = {"bos_token": "<s>", "eos_token": "</s>", "messages": messages, "tools": tools, **extra}
                    chats.append({"template": path.name, "variables": variables, **rendered(path.read_text(), variables)})
    content = {"variables": VARIABLES, "one_line": one_line, "chats": chats}
    (HERE / "chat.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(len(one_line), "one-line templates,", len(chats), "chats,", sum("text" in c for c in chats), "rendered")


MORE_CHATS = [
    [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "thinking": "zz"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "w", "reasoning_content": "r1"}],
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "hey"}]}, {"role": "assistant", "content": [{"type": "text", "text": "ok"}]}],
    [{"role": "developer", "content": "dev"}, {"role": "user", "content": "u"}],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a", "reasoning_content": "why", "tool_calls": [CALL]},
     {"role": "tool", "content": "[1, 2]", "name": "add", "tool_call_id": "abcdefghi"}, {"role": "assistant", "content": "<think>\nt\n</think>\n\nz"}, {"role": "user", "content": "é\U0001f44d"}],
    [{"role": "user", "content": "u"}, {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": {"name": "add", "arguments": "{\"zeta\": \"1\"}"}}]}],
    [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}, {"role": "assistant", "content": " four"}],
]
SWITCHES = [{"add_generation_prompt": True}, {}, {"add_generation_prompt": True, "enable_thinking": True, "thinking": True, "reasoning_effort": "high"},
            {"add_generation_prompt": True, "enable_thinking": False, "thinking": False}, {"enable_thinking": False, "preserve_thinking": True, "clear_thinking": False},
            {"continue_final_message": True}, {"continue_final_message": "reasoning_content"}]


def rendered_chat(template, messages, switches):
    """As apply_chat_template renders, which leaves out null keys of messages."""
    messages = [{key: value for key, value in message.items() if value is not None} for message in messages]
    try:
        return {"text": render_jinja_template([messages], chat_template=template, bos_token="<s>", eos_token="</s>", **switches)[0][0]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error)[:200]}"}


def write_cases_of_others(file, folders):
    paths = sorted(path for folder in folders for path in pathlib.Path(folder).rglob("*.jinja"))
    templates = {"/".join(path.parts[-2:]): path.read_text() for path in paths}
    cases = []
    for name, template in templates.items():
        for messages in CHATS + MORE_CHATS:
            for tools in (None, TOOLS):
                for switches in SWITCHES:
                    given = {**switches, "tools": tools}
                    cases.append({"template": name, "messages": messages, "extra": given, **rendered_chat(template, messages, given)})
    pathlib.Path(file).write_text(json.dumps({"templates": templates, "cases": cases}))
    print(len(templates), "templates,", len(cases), "chats,", sum("text" in case for case in cases), "rendered")


if len(sys.argv) > 2:
    write_cases_of_others(sys.argv[1], sys.argv[2:])
else:
    main()
