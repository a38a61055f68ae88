// The evaluation sets of the field by name: their files, the prompts they are usually asked with, and what judges them.
// A name is a task reference like a file's: gsm8k, math500:limit=100, humaneval:chat=false.
//   Chats take chat_prompt; with chat=false, for a base model, a plain text takes plain_prompt. {prompt} stands for
//   what the row's reader makes of the row. prompt_template replaces either.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "tasks/task.h"

namespace cohort {

struct Benchmark {
  std::string_view name, description;
  std::string_view file;  // below datasets_folder()
  std::string_view chat_prompt, plain_prompt;
  std::string_view reward;         // what judges its completions
  std::string_view prompt_source;  // where the prompts come from
  bool (*has_row)(const Task&);    // null: every row of the file belongs to it
};

std::span<const Benchmark> benchmarks();

/// Null when no benchmark has this name.
const Benchmark* find_benchmark(std::string_view name);

/// COHORT_DATASETS in the environment, else the folder datasets where the program runs.
std::filesystem::path datasets_folder();

/// Its file. Throws MissingError, saying where it should lie, when it is not there.
std::filesystem::path expect_file(const Benchmark& benchmark);

}  // namespace cohort
