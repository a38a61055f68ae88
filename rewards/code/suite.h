// What a task's code is tested with, read from the forms that data sets come in.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "rewards/reward.h"

namespace cohort::code {

enum class Language { python, cpp, java };
std::string_view to_string(Language language);

enum class Form {
  input_output,  // a program: standard input → standard output
  call,          // a function: arguments → value, both JSON
  assertions,    // a test that names the candidate's functions
};

struct Suite {
  Language language = Language::python;
  Form form = Form::input_output;
  std::vector<Json> inputs;   // text, or for `call` a list of arguments
  std::vector<Json> outputs;  // text, or for `call` the value; as many as inputs
  std::string function;       // of `call`
  std::string test;           // of `assertions`: what runs after the program
  std::string setup;          // of `assertions`: runs with the program, after it (MBPP's test_setup_code)
  std::string prompt;         // HumanEval forms: what a bare continuation continues; what it defines before the
                              // function that it asks for, a test in Python takes from here
  std::string declaration;    // HumanEval-X C++: includes and signature, which the test sees in place of the program
};

/// Throws UsageError saying what is broken: no tests, lists of unequal length, an unknown language.
Suite suite_of(const Task& task);

/// The program a completion holds: the last fenced block of the language, or unlabelled, after the last </think>; an
/// unclosed last block counts; without a fence all of it. With a prompt, a bare continuation is put behind it.
std::string program_of(std::string_view completion, const Suite& suite);

}  // namespace cohort::code
