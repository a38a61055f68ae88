#include "rewards/code/suite.h"

#include <algorithm>
#include <optional>

#include "configs/error.h"
#include "rewards/rules.h"
#include "rewards/text.h"

namespace cohort::code {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::optional<Language> language_from(std::string_view name) {
  std::string known = lower(name);
  known.resize(known.find_last_not_of("0123456789. ") + 1);  // c++17, python3.11
  if (known == "python" || known == "py") return Language::python;
  if (known == "cpp" || known == "c++" || known == "cxx" || known == "cc") return Language::cpp;
  if (known == "java") return Language::java;
  return std::nullopt;
}

Language expect_language(const Json& name) {
  if (name.is_null()) return Language::python;
  const auto language = name.is_string() ? language_from(name.get<std::string>()) : std::nullopt;
  if (!language) throw UsageError("tests: language is " + excerpt(name.dump()) + ", expected python, cpp or java");
  return *language;
}

/// Null counts as absent: tables have a column in every row.
bool has(const Json& json, const char* name) {
  return json.contains(name) && !json[name].is_null();
}

std::string text_at(const Json& json, const char* name) {
  return json.contains(name) && json[name].is_string() ? json[name].get<std::string>() : std::string();
}

/// Columns hold JSON, or JSON in a string.
Json parsed(const Json& value) {
  return value.is_string() ? Json::parse(value.get<std::string>(), nullptr, false) : value;
}

std::string lines_of(const Json& lines) {
  std::string text;
  for (const Json& line : lines)
    if (line.is_string()) text += line.get<std::string>() + "\n";
  return text;
}

/// Standard input or output; lists of lines are APPS's.
Json as_text(const Json& value) {
  const bool is_lines =
      value.is_array() && std::ranges::all_of(value, [](const Json& line) { return line.is_string(); });
  if (!is_lines) return value;
  std::string text;
  for (const Json& line : value) {
    text += line.get<std::string>();
    if (!text.ends_with('\n')) text += '\n';
  }
  return text;
}

/// {language, inputs, outputs, fn_name? | assert_case?}
Suite from_lists(const Json& tests) {
  Suite suite{.language = expect_language(tests.value("language", Json()))};
  if (has(tests, "assert_case")) {
    const Json& asserts = tests["assert_case"];
    suite.form = Form::assertions;
    suite.test = asserts.is_string() ? asserts.get<std::string>() : lines_of(asserts);
    if (trim(suite.test).empty()) throw UsageError("tests: assert_case asserts nothing");
    return suite;
  }
  for (const char* name : {"inputs", "outputs"})
    if (!tests.contains(name) || !tests[name].is_array())
      throw UsageError(std::string("tests: no list \"") + name + "\"");
  suite.inputs = tests["inputs"].get<std::vector<Json>>();
  suite.outputs = tests["outputs"].get<std::vector<Json>>();
  if (suite.inputs.empty()) throw UsageError("tests: there is no test");
  if (suite.inputs.size() != suite.outputs.size())
    throw UsageError("tests: " + std::to_string(suite.inputs.size()) + " inputs and " +
                     std::to_string(suite.outputs.size()) + " outputs");
  suite.function = text_at(tests, "fn_name");
  if (!suite.function.empty()) suite.form = Form::call;
  if (suite.form == Form::input_output)
    for (std::vector<Json>* texts : {&suite.inputs, &suite.outputs})
      std::ranges::transform(*texts, texts->begin(), as_text);
  return suite;
}

/// Whether a test case says that it is a call: open-r1's and LiveCodeBench's words.
bool is_call(const Json& test) {
  return text_at(test, "type") == "function_call" || text_at(test, "testtype") == "functional";
}

/// open-r1's {language, test_cases: [{type, input, output, fn_name}, …]}; such a list alone is LiveCodeBench's
Suite from_cases(const Json& information) {
  Json lists = {{"inputs", Json::array()}, {"outputs", Json::array()}};
  if (information.contains("language")) lists["language"] = information["language"];
  if (!information.contains("test_cases") || !information["test_cases"].is_array())
    throw UsageError("tests: no list \"test_cases\"");
  for (const Json& test : information["test_cases"]) {
    if (!test.is_object() || !test.contains("input") || !test.contains("output"))
      throw UsageError("tests: a test case without input and output");
    lists["inputs"].push_back(test["input"]);
    lists["outputs"].push_back(test["output"]);
    const std::string function = text_at(has(test, "fn_name") ? test : information, "fn_name");
    if (function.empty() && is_call(test)) throw UsageError("tests: a test case calls a function and has no fn_name");
    if (!function.empty()) lists["fn_name"] = function;
  }
  return from_lists(lists);
}

/// HumanEval {prompt, test, entry_point}; HumanEval-X {prompt, test, task_id, language?, declaration?}
Suite from_human_eval(const Json& row, const std::string& id) {
  Suite suite{.form = Form::assertions};
  suite.language = has(row, "language") ? expect_language(row["language"])
                                        : language_from(id.substr(0, id.find('/'))).value_or(Language::python);
  suite.test = text_at(row, "test");
  if (has(row, "entry_point")) suite.test += "\ncheck(" + text_at(row, "entry_point") + ")\n";
  suite.prompt = text_at(row, "prompt");
  suite.declaration = text_at(row, "declaration");
  return suite;
}

Suite from_mbpp(const Json& row) {
  Suite suite{.form = Form::assertions};
  suite.test = lines_of(row["test_list"]);
  suite.setup = text_at(row, "test_setup_code");
  if (trim(suite.test).empty()) throw UsageError("test_list asserts nothing");
  return suite;
}

/// Its lines moved left, as a block in a list of Markdown is: as far as its mark stands in, and all of them can go.
std::string outdented(const Fence& fence) {
  size_t indent = fence.indent;
  std::vector<std::string_view> lines;
  for (std::string_view rest = fence.text; !rest.empty(); rest.remove_prefix(lines.back().size())) {
    lines.push_back(rest.substr(0, std::min(rest.find('\n'), rest.size() - 1) + 1));
    if (!trim(lines.back()).empty()) indent = std::min(indent, lines.back().find_first_not_of(" \t"));
  }
  std::string text;
  for (const std::string_view line : lines) text += trim(line).empty() ? line : line.substr(indent);
  return text;
}

/// Whether a continuation is a program of its own: it defines what the prompt's last line begins.
bool defines(std::string_view text, const Suite& suite) {
  const std::string_view last = trim(suite.prompt);
  if (suite.language == Language::python) {
    const size_t def = suite.prompt.rfind("\ndef ");
    const size_t begin = def != std::string::npos             ? def + 1
                         : suite.prompt.rfind("def ", 0) == 0 ? 0
                                                              : std::string::npos;
    if (begin == std::string::npos) return false;
    const std::string_view signature = std::string_view(suite.prompt).substr(begin);
    const std::string name(signature.substr(0, signature.find('(')));
    return text.find(name + "(") != std::string_view::npos &&
           (text.starts_with(name) || text.find("\n" + name + "(") != std::string_view::npos);
  }
  if (suite.language == Language::java) return text.find("class Solution") != std::string_view::npos;
  const size_t line = last.rfind('\n');
  std::string_view signature = line == std::string_view::npos ? last : last.substr(line + 1);
  signature = signature.substr(0, signature.find('('));
  const size_t space = signature.find_last_of(" *&>");
  const std::string name(space == std::string_view::npos ? signature : signature.substr(space + 1));
  for (size_t at = text.find(name + "("); at != std::string_view::npos; at = text.find(name + "(", at + 1)) {
    const size_t brace = text.find_first_of(";{", at);  // a definition, at the start of a line that names a type
    const size_t start = text.rfind('\n', at) == std::string_view::npos ? 0 : text.rfind('\n', at) + 1;
    if (brace != std::string_view::npos && text[brace] == '{' && at > start && text[start] != ' ' &&
        text[start] != '\t')
      return true;
  }
  return false;
}

}  // namespace

std::string_view to_string(Language language) {
  return language == Language::python ? "python" : language == Language::cpp ? "cpp" : "java";
}

Suite suite_of(const Task& task) {
  const Json& row = task.extra;
  for (const char* name : {"tests", "verification_info", "input_output"}) {  // the last is APPS's and TACO's
    if (!has(row, name)) continue;
    Json tests = parsed(row[name]);
    if (tests.is_array()) tests = {{"test_cases", tests}, {"language", row.value("language", Json())}};
    if (!tests.is_object()) throw UsageError(std::string(name) + " is no JSON object");
    return tests.contains("test_cases") ? from_cases(tests) : from_lists(tests);
  }
  if (has(row, "test_list")) return from_mbpp(row);
  if (row.contains("test") && row["test"].is_string()) {
    Json whole = row;
    if (!whole.contains("prompt") && has(row, "raw_prompt"))  // before a template and instructions were put around it
      whole["prompt"] = row["raw_prompt"];
    else if (!whole.contains("prompt") && task.prompt.size() == 1)
      whole["prompt"] = task.prompt[0].content;
    return from_human_eval(whole, text_at(row, "task_id").empty() ? task.id : text_at(row, "task_id"));
  }
  if (has(row, "reward_model") && row["reward_model"].is_object()) {  // verl's
    const Json tests = parsed(row["reward_model"].value("ground_truth", Json()));
    if (tests.is_object() && (tests.contains("inputs") || tests.contains("assert_case"))) return from_lists(tests);
  }
  throw UsageError("the row has no tests: expected \"tests\", \"verification_info\", \"test_list\" or \"test\"");
}

std::string program_of(std::string_view completion, const Suite& suite) {
  if (const size_t thought = completion.rfind("</think>"); thought != std::string_view::npos)
    completion.remove_prefix(thought + 8);
  std::string program(completion);
  const std::vector<Fence> fences = fences_of(completion);
  const auto fits = [&](const Fence& fence) {
    const std::string_view word = fence.label.substr(0, fence.label.find_first_of(" \t{"));
    return word.empty() || language_from(word) == suite.language;
  };
  const auto last = std::find_if(fences.rbegin(), fences.rend(), fits);
  if (last != fences.rend()) program = outdented(*last);
  return suite.prompt.empty() || defines(program, suite) ? program : suite.prompt + program;
}

}  // namespace cohort::code
