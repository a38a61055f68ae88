// Programs a second of the reward `code`, each language, beside what starting a process costs on this machine.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "configs/error.h"
#include "grpo/bench/bench.h"
#include "rewards/compose.h"

extern char** environ;

namespace cohort {
namespace {

constexpr int kTests = 20;  // of a compiled program

struct ProgramForm {
  const char* label;
  const char* language;
  int tests, batch;
  const char* program;  // N: a number that makes it another program than the last
};
constexpr ProgramForm kPrograms[] = {
    {"Python, 1 test", "python", 1, 32, "a, b = map(int, input().split())\nprint(a + b + N - N)"},
    {"C++, 20 tests", "cpp", kTests, 4,
     "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b + N - N; }"},
    {"Java, 20 tests", "java", kTests, 4,
     "import java.util.*;\npublic class Main { public static void main(String[] x) { Scanner in = new "
     "Scanner(System.in); System.out.println(in.nextInt() + in.nextInt() + N - N); } }"}};

std::string with_number(std::string text, int number) {
  for (size_t at; (at = text.find('N')) != std::string::npos;) text.replace(at, 1, std::to_string(number));
  return text;
}

Task sum_task(const ProgramForm& form) {
  Json inputs = Json::array(), outputs = Json::array();
  for (int i = 0; i < form.tests; ++i) {
    inputs.push_back(std::to_string(i) + " " + std::to_string(3 * i));
    outputs.push_back(std::to_string(4 * i));
  }
  Task task;
  task.extra = {{"tests", {{"language", form.language}, {"inputs", inputs}, {"outputs", outputs}}}};
  return task;
}

/// Throws MissingError with the reason where a program that is right gets no point.
void judge_programs(Scorer& scorer, const ProgramForm& form, const Task& task, int round) {
  std::vector<std::string> programs;
  for (int i = 0; i < form.batch; ++i) programs.push_back(with_number(form.program, round * form.batch + i));
  std::vector<Judged> batch;
  for (const std::string& program : programs) batch.push_back({.task = &task, .completion = program});
  for (const Score& score : scorer.judge(batch))
    if (score.status != Status::correct) throw MissingError(score.reason);
}

void start_and_wait(const char* path, std::vector<const char*> words) {
  words.insert(words.begin(), path), words.push_back(nullptr);
  pid_t process = 0;
  if (posix_spawn(&process, path, nullptr, nullptr, const_cast<char**>(words.data()), environ) != 0)
    throw MissingError(std::string("there is no ") + path);
  waitpid(process, nullptr, 0);
}

void fork_and_wait() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
}

}  // namespace

void bench_code(const Compute& compute, const BenchConfig& config, const BenchReport& report) {
  const auto measure = [&](const std::string& name, const char* unit, double count, const std::function<void()>& run) {
    try {
      report({.bench = "rewards", .name = name, .value = count / median_seconds(config.seconds, run), .unit = unit});
    } catch (const MissingError& error) {
      std::fprintf(stderr, "bench rewards: %s is left out: %s\n", name.c_str(), error.what());
    }
  };
  measure("fork and exit", "processes/s", 1, fork_and_wait);
  measure("python3 started, no sandbox", "processes/s", 1, [] {
    start_and_wait("/usr/bin/python3", {"-I", "-c", "pass"});
  });
  for (const ProgramForm& form : kPrograms) {
    const Task task = sum_task(form);
    int round = 0;
    std::unique_ptr<Scorer> scorer;
    measure(std::string("code, ") + form.label, "programs/s", form.batch, [&] {
      if (!scorer)
        scorer = std::make_unique<Scorer>(std::vector{parse_reward("code:timeout=60,compile_timeout=120")},
                                          compute.pool.num_threads());
      judge_programs(*scorer, form, task, round++);
    });
  }
}

}  // namespace cohort
