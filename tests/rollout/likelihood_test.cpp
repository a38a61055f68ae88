// Log-likelihood of reference solutions: the bits of sampling, and which text is the solution.
#include "rollout/likelihood.h"

#include <gtest/gtest.h>

#include <cmath>

#include "configs/error.h"
#include "tasks/reference_solution.h"
#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

TEST(Likelihood, HasTheBitsThatSamplingGave) {
  const Compute compute{2};
  for (const Json& config : {over_bytes(tiny_llama()), over_bytes(tiny_deepseek())}) {
    CausalLM model = random_model(config, compute, 5);
    extend_rope(model, 128);
    Engine engine(model, compute, nullptr, {}, 128);
    std::vector<SolvedPrompt> solved;
    std::vector<std::vector<float>> expected;
    for (const Request& r : byte_requests(6)) engine.submit(r);
    for (const auto& [id, finished] : run_all(engine))
      for (const Completion& c : finished.completions) {
        solved.push_back({finished.request.prompt, c.tokens, 1});
        expected.push_back(c.logprobs);
      }
    Request longer{.id = 9, .prompt = byte_ids(20, 9), .seed = 3};  // more rows than are looked at in one go
    longer.sampling.max_completion_length = 90;
    engine.submit(longer);
    const Finished finished = std::move(engine.next_completed().value());
    solved.push_back({longer.prompt, finished.completions[0].tokens, 1});
    expected.push_back(finished.completions[0].logprobs);
    EXPECT_EQ(solution_logprobs(model, compute, solved), expected);
  }
}

TEST(Likelihood, FiguresAreOverAllTokens) {
  const std::vector<Likelihood> all = {{-2.0, 4, 8}, {-7.0, 6, 12}};
  const Json f = likelihood_figures(all);
  EXPECT_DOUBLE_EQ(f["nll"], 0.9);
  EXPECT_DOUBLE_EQ(f["perplexity"], std::exp(0.9));
  EXPECT_DOUBLE_EQ(f["bits_per_byte"], 9 / std::log(2.0) / 20);
  EXPECT_EQ(f["tokens"], 10);
  EXPECT_EQ(f["tasks"], 2);
  EXPECT_DOUBLE_EQ(f["ci95"][0], 0.5);
  EXPECT_DOUBLE_EQ(f["ci95"][1], 7.0 / 6);
}

Task task(const Json& extra, const std::string& answer = "", bool chat = false) {
  return {.id = "t", .prompt = {{chat ? "user" : "", "Q?"}}, .answer = answer, .extra = extra};
}

TEST(Likelihood, TheSolutionIsTheWorkedOneWhereThereIsOne) {
  EXPECT_EQ(reference_solution(task({{"solution", "1+1=2 #### 2"}}, "2")), "1+1=2 #### 2");
  EXPECT_EQ(reference_solution(task({{"completion", "so 2"}}, "2")), "so 2");
  EXPECT_EQ(reference_solution(task(Json::object(), "2")), "2");
  EXPECT_EQ(reference_solution(task({{"canonical_solution", "  return 1\n"}})), "  return 1\n");
  EXPECT_EQ(
      reference_solution(task(
          {{"canonical_solution", "  return 1;\n}"}, {"raw_prompt", "int f(){\n"}, {"language", "cpp"}}, "", true)),
      "```cpp\nint f(){\n  return 1;\n}\n```");
  EXPECT_EQ(reference_solution(task({{"code", "def f(): pass"}}, "", true)), "```python\ndef f(): pass\n```");
  EXPECT_THROW(reference_solution(task(Json::object())), UsageError);
}

TEST(Likelihood, ASolutionFollowsItsPromptOnANewLine) {
  const Tokenizer tokenizer = bytes_tokenizer();
  EXPECT_EQ(tokenizer.decode(encode_solved(task(Json::object(), "42"), tokenizer, 100).solution), "\n42");
  Task open = task(Json::object(), "42");
  open.prompt[0].content = "def f():\n";
  const SolvedPrompt solved = encode_solved(open, tokenizer, 100);
  EXPECT_EQ(tokenizer.decode(solved.solution), "42");
  EXPECT_EQ(solved.bytes, 2);
  EXPECT_THROW(encode_solved(open, tokenizer, 10), UsageError);
}

}  // namespace
}  // namespace cohort
