// The real program as a child process: started, killed at a moment, waited for; and the folders it leaves.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace cohort {

using Arguments = std::vector<std::string>;

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Seconds = std::chrono::duration<double>;

inline bool test_all() {
  return std::getenv("COHORT_TEST_ALL") != nullptr;
}

inline std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A folder of its own for one test, gone with it.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (fs::temp_directory_path() / "cohort-program-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TestFolder() { fs::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Outcome {
  int exit_code = -1;  // -N when signal N ended it
  std::string out, err;
};

/// `cohort` with these arguments; killed and waited for when it goes out of scope.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {COHORT_BINARY_DIR "/cohort"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(open((output_ / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
      dup2(open((output_ / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Process() {
    if (is_running()) kill(pid_, SIGKILL), wait();
  }
  Process(const Process&) = delete;

  void signal(int number) const { kill(pid_, number); }
  pid_t pid() const { return pid_; }

  bool is_running() {
    int status = 0;
    if (!ended_ && waitpid(pid_, &status, WNOHANG) == pid_) end(status);
    return !ended_;
  }

  Outcome wait() {
    int status = 0;
    if (!ended_ && waitpid(pid_, &status, 0) == pid_) end(status);
    return {exit_code_, read_file(output_ / "out"), read_file(output_ / "err")};
  }

  std::string error_text() const { return read_file(output_ / "err"); }  // so far

  /// Looks every 0.2 ms; false when the process ended first or a minute went by.
  bool wait_until(const std::function<bool()>& moment) {
    const auto deadline = std::chrono::steady_clock::now() + Seconds(60);
    while (is_running() && std::chrono::steady_clock::now() < deadline) {
      if (moment()) return true;
      std::this_thread::sleep_for(Seconds(0.0002));
    }
    return false;
  }

 private:
  void end(int status) {
    ended_ = true;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  TestFolder output_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_code_ = -1;
};

inline Outcome run_program(const std::vector<std::string>& arguments) {
  return Process(arguments).wait();
}

/// Path below the folder → bytes, of every file.
inline std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder).string()] = read_file(entry.path());
  return files;
}

inline std::vector<Json> json_lines(const fs::path& file) {
  std::vector<Json> rows;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) rows.push_back(Json::parse(line));
  return rows;
}

inline int64_t num_lines(const fs::path& file) {
  const std::string text = read_file(file);
  return std::count(text.begin(), text.end(), '\n');
}

/// A deepseek_v3 policy of two layers (the first dense, then four experts) over bytes.
inline Json tiny_model() {
  return Json::parse(R"({"model_type": "deepseek_v3", "vocab_size": 264, "hidden_size": 32, "intermediate_size": 64,
    "moe_intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "norm_topk_prob": true,
    "routed_scaling_factor": 1.0, "first_k_dense_replace": 1, "kv_lora_rank": 16, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16, "v_head_dim": 16, "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "initializer_range": 0.05, "tokenizer": {"bytes": ["<|eos|>", "<|bos|>", "<|pad|>"]}})");
}

/// A GRPO job on it of nine steps, three checkpoints and rewards that differ within most groups.
inline Json tiny_train(const fs::path& model) {
  return {{"model", "init:" + model.string() + "?seed=1"},
          {"tasks", "arithmetic:operations=2"},
          {"rewards", Json::array({{{"name", "regex"}, {"options", {{"pattern", "[0-9a-m]"}}}}})},
          {"num_generations", 4},
          {"prompts_per_step", 4},
          {"steps_per_generation", 2},
          {"num_iterations", 2},
          {"max_steps", 9},
          {"save_steps", 3},
          {"max_completion_length", 8},
          {"learning_rate", 0.01},
          {"lr_scheduler_type", "constant"},
          {"router_bias_update_rate", 0.001},
          {"log_completions_steps", 1},
          {"threads", 2}};
}

inline Json tiny_sft(const std::string& model) {
  return {{"model", model},        {"tasks", "arithmetic_text:operations=2"},
          {"rows_per_step", 8},    {"max_steps", 9},
          {"save_steps", 3},       {"max_length", 64},
          {"learning_rate", 0.01}, {"threads", 2}};
}

}  // namespace cohort
