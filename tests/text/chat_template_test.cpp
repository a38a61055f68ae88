#include "policy/text/chat_template.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "configs/error.h"
#include "policy/text/tokenizer.h"

namespace cohort {
namespace {

std::string render(const std::string& source, const OrderedJson& variables = OrderedJson::object()) {
  return ChatTemplate(source).render(variables);
}

std::string refusal(const std::string& source, const OrderedJson& variables = OrderedJson::object()) {
  try {
    return "not refused: " + render(source, variables).substr(0, 100);
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(ChatTemplate, ErrorsNameLineAndConstruct) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{% include 'x' %}", "line 2: {% include %}"},
      {"\n\n{{ 1 | frobnicate }}", "line 3: the filter 'frobnicate'"},
      {"{% if true %}\n{{ missing.field }}{% endif %}", "line 2: .field of 'missing', which is undefined"},
      {"{{ raise_exception('roles must alternate') }}", "line 1: the template refuses: roles must alternate"},
      {"{% for x in [1] recursive %}{% endfor %}", "recursive"},
      {"{% if true %}", "{% endif %}"},
      {"{{ 'a' | }}", "the name of a filter"},
      {"{{ '%s' % 1 }}", "'%' between str and int"},
      {"{% set x = [] %}{{ x.append(1) }}", ".append of a list"},
      {"{{ f(*args) }}", "argument list"},
      {"{{ 1 if }}", "expected a value"},
      {"{# never ends", "comment"},
      {"{{ 'never ends }}", "string that does not end"},
      {"{{ a ? b }}", "'?'"},
  };
  for (const auto& [source, named] : cases)
    EXPECT_NE(refusal(source).find(named), std::string::npos) << source << "\n" << refusal(source);
}

TEST(ChatTemplate, KeepsTheOrderOfKeys) {
  const auto variables = OrderedJson::parse(R"({"d": {"z": 1, "a": {"y": 2, "b": 3}}})");
  EXPECT_EQ(render("{{ d | tojson }}", variables), R"({"z": 1, "a": {"y": 2, "b": 3}})");
}

TEST(ChatTemplate, TellsTheTime) {
  EXPECT_EQ(render("{{ strftime_now('%Y') | length }}{{ strftime_now('%d %b') | length }}"), "46");
}

TEST(ChatTemplate, MacrosMayOutliveTheirBlock) {
  EXPECT_EQ(render("{% set ns = namespace(f=none) %}{% for i in [7] %}{% macro m(x) %}{{ i }}{{ x }}{% endmacro %}{% "
                   "set ns.f = m %}{% endfor %}{{ ns.f(8) }}"),
            "78");
}

TEST(RenderChat, IsChatMlForTheByteTokenizer) {
  const Tokenizer tokenizer = byte_tokenizer({"<|im_end|>", "<|im_start|>"});
  const OrderedJson messages = {{{"role", "user"}, {"content", "Hi"}}};
  EXPECT_EQ(render_chat(tokenizer, messages, true), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(render_chat(tokenizer, messages, false), "<|im_start|>user\nHi<|im_end|>\n");
}

TEST(RenderChat, LeavesNullKeysOutAndPassesSpecialTokensAndExtras) {
  Json config = {{"bos_token", {{"content", "<s>"}}},
                 {"chat_template", "{{ bos_token }}{{ tools is none }}{{ enable_thinking }}{{ messages | tojson }}"}};
  const Tokenizer plain = byte_tokenizer({"<s>"});
  const Tokenizer tokenizer = tokenizer_from_json(Json::parse(plain.files().at("tokenizer.json")), config);
  const auto messages = OrderedJson::parse(R"([{"role": "assistant", "content": null, "reasoning": "r"}])");
  EXPECT_EQ(render_chat(tokenizer, messages, true, {{"enable_thinking", false}}),
            R"(<s>TrueFalse[{"thinking": "r", "role": "assistant", "reasoning": "r", "reasoning_content": "r"}])");
}

TEST(RenderChat, ContinuesTheFinalMessage) {
  const Tokenizer tokenizer = byte_tokenizer({"<|im_end|>", "<|im_start|>"});
  const OrderedJson messages = {{{"role", "user"}, {"content", "Hi"}}, {{"role", "assistant"}, {"content", "Hello "}}};
  const OrderedJson extra = {{"continue_final_message", true}};
  EXPECT_EQ(render_chat(tokenizer, messages, false, extra),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello ");
  EXPECT_THROW(render_chat(tokenizer, messages, true, extra), UsageError);
  EXPECT_THROW(render_chat(tokenizer, messages, false, {{"continue_final_message", "reasoning"}}), UsageError);
  EXPECT_THROW(render_chat(tokenizer, {{{"role", "assistant"}, {"content", 1}}}, false, extra), UsageError);
  EXPECT_EQ(render_chat(tokenizer, messages, false, {{"continue_final_message", false}}),
            render_chat(tokenizer, messages, false));
}

TEST(RenderChat, NamesWhatIsWrong) {
  const Tokenizer tokenizer = byte_tokenizer({"<|eos|>"});
  EXPECT_THROW(render_chat(tokenizer, OrderedJson::array(), true), UsageError);
  EXPECT_THROW(render_chat(tokenizer, OrderedJson("text"), true), UsageError);
  EXPECT_THROW(render_chat(tokenizer, OrderedJson::array({1}), true), UsageError);
  const Tokenizer bare = tokenizer_from_json(Json::parse(tokenizer.files().at("tokenizer.json")), Json::object());
  EXPECT_THROW(render_chat(bare, {{{"role", "user"}, {"content", "Hi"}}}, true), UsageError);
}

TEST(ChatTemplateAttack, NothingRunsForever) {
  std::string parentheses(100'000, '('), sum = "{{ 1", chain = "{{ x", nested;
  for (int i = 0; i < 100'000; ++i) sum += "+1", chain += ".a";
  for (int i = 0; i < 100'000; ++i) nested += "{% if true %}";
  const std::string bombs[] = {
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{% for a in range(100000) %}{% for b in range(1000) %}{{ b }}{% endfor %}{% endfor %}",
      "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m(x) %}{% call m(x) %}{{ caller() }}{% endcall %}{% endmacro %}{{ m(1) }}",
      "{% set s = 'ab' * 30000000 %}{% for i in range(100000) %}{% set x = s.count('c') %}{% endfor %}",
      "{% set s = 'ab' * 30000000 %}{% for i in range(100000) %}{% set x = s | length %}{% endfor %}",
      "{% set s = 'ab' * 30000000 %}{% for i in range(100000) %}{% if s == s ~ 'c' %}{% endif %}{% endfor %}",
      "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a == ns.a "
      "}}",
      "{% set l = range(100000) | list %}{% for i in l %}{% set x = l.index(99999) %}{% endfor %}",
      "{% set l = range(100000) | list %}{% for i in l %}{% set x = l | unique | list %}{% endfor %}",
      "{% set l = range(100000) | list %}{% for i in l %}{% set x = l | join %}{% endfor %}",
      "{{ 'ab' * 10000000000 }}",
      "{{ [1] * 10000000000 }}",
      "{{ 'a' | center(10000000000) }}",
      "{{ 'a\nb' | indent(10000000000) }}",
      "{{ [1] | tojson(indent=10000000000) }}",
      "{% set s = 'ab' * 10000000 %}{{ s | replace('', s) }}",
      "{% set s = 'ab' * 10000000 %}{{ range(10000) | join(s) }}",
      "{{ range(10000000000) | list }}",
      "{{ 9 ** 99999 }}",
      "{{ [1] | batch(10000000000, 0) | list }}",
      "{{ 'a'.ljust(99999999999) }}",
      "{{ 'x' | truncate(9223372036854775807) | length and 9223372036854775807 + 1 }}",
      "{{ " + parentheses,
      sum + " }}",
      chain + " }}",
      nested,
      "{{ " + std::string(100'000, '-') + "1 }}",
      "{{ not " + std::string(0, ' ') + std::string(300'000, ' ') + "x(" + std::string(50'000, '[') + " }}",
  };
  for (const std::string& bomb : bombs) {
    const std::clock_t start = std::clock();  // processor time: the machine may be busy
    EXPECT_EQ(refusal(bomb).find("not refused"), std::string::npos) << bomb.substr(0, 100);
    EXPECT_LT((std::clock() - start) / CLOCKS_PER_SEC, 10) << bomb.substr(0, 100);
  }
}

/// Bytes that the process has had in memory at most.
size_t peak_memory() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) << 10;
}

TEST(ChatTemplateAttack, MemoryIsBounded) {
  const std::string bombs[] = {
      "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = ns.l + ['ab' * 30000000] %}{% endfor %}",
      "{% set s = 'ab' * 1000 %}{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = ns.l + [s ~ i] "
      "%}{% endfor %}",
      "{% set a = 'x' * 60000000 %}{% set b = a ~ 1 %}{% set c = a ~ 2 %}{% set d = a ~ 3 %}{% set e = a ~ 4 %}{{ a ~ "
      "b }}",
      "{% macro m(x, n) %}{{ m(x ~ x, n) }}{% endmacro %}{{ m('ab', 1) }}",
      "{% set ns = namespace(d={'a': 1}) %}{% for i in range(1000) %}{% set ns.d = {'x': ns.d, 'y': ns.d} %}{% endfor "
      "%}{{ "
      "ns.d | tojson }}",
      "{% for i in range(100000) %}{{ 'abcdefgh' * 100000 }}{% endfor %}",
      "{{ range(1000000) | list | join('x' * 100) | list | length }}{{ range(1000000) | map('string') | list | "
      "batch(1) | list }}",
  };
  const size_t before = peak_memory();
  for (const std::string& bomb : bombs) {
    const std::clock_t start = std::clock();
    EXPECT_EQ(refusal(bomb).find("not refused"), std::string::npos) << bomb;
    EXPECT_LT((std::clock() - start) / CLOCKS_PER_SEC, 10) << bomb;
  }
  EXPECT_LT(peak_memory() - before, size_t{2} << 30);
}

TEST(ChatTemplateAttack, DeepVariablesAreRefused) {
  OrderedJson deep = 1;
  for (int i = 0; i < 500; ++i) deep = OrderedJson::array({deep});
  EXPECT_NE(refusal("{{ x }}", {{"x", deep}}).find("nested deeper"), std::string::npos);
}

TEST(ChatTemplateAttack, NothingOutsideIsReached) {
  for (const char* source : {"{{ ''.__class__ }}", "{{ messages.__init__ }}", "{{ self }}",
                             "{{ namespace.__globals__ }}", "{{ ''|attr('__class__') }}"})
    EXPECT_EQ(render(source, {{"messages", OrderedJson::array()}}), "") << source;
}

}  // namespace
}  // namespace cohort
