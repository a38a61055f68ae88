// Every family against transformers: log-probabilities of tiny models over the switches that change the numbers
// (tests/policy/golden/make_families.py).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>

#include "policy/forward.h"
#include "policy/model.h"
#include "tests/policy/weights_by_name.h"

namespace cohort {
namespace {

std::vector<float> logprobs_of(const CausalLM& model, const Compute& compute, const std::vector<int32_t>& tokens) {
  std::vector<int32_t> blocks;
  for (int64_t b = 0; b < ceil_div(int64_t(tokens.size()), kKeyBlock); ++b) blocks.push_back(int32_t(b));
  const std::vector<RowSpan> spans = {{0, int64_t(tokens.size()), 0, blocks.data()}};
  KvStore kv(model.spec, int64_t(blocks.size()), false);
  ForwardState state;
  forward(model, compute, {tokens, spans, {}}, kv, Activations::none, state);
  const int64_t V = model.spec.vocab, N = int64_t(tokens.size()) - 1;
  Buffer logits_NV(N * V);
  logits(model, compute, state.hidden_TD.data(), nullptr, N, logits_NV.data());
  std::vector<float> found;
  for (int64_t n = 0; n < N; ++n)
    found.push_back(
        compute.kernels->token_statistics(logits_NV.data() + n * V, V, 1.0f, tokens[size_t(n + 1)]).logprob);
  return found;
}

/// config.json as transformers wrote it before version 5, and as model hubs hold it.
Json in_old_spelling(Json config) {
  Json rope = config.contains("rope_parameters") ? config["rope_parameters"] : Json();
  config.erase("rope_parameters");
  if (!rope.is_object()) return config;
  for (const char* key : {"rope_theta", "partial_rotary_factor"})
    if (rope.contains(key)) config[key] = rope[key], rope.erase(key);
  const bool is_default = rope.value("rope_type", "default") == "default";
  if (!is_default) rope["type"] = rope["rope_type"], rope.erase("rope_type");
  config["rope_scaling"] = is_default ? Json() : rope;
  return config;
}

TEST(FamilyGolden, LogprobsAreThoseOfTransformers) {
  std::ifstream file(COHORT_SOURCE_DIR "/tests/policy/golden/families.json");
  const Json golden = Json::parse(file);
  const auto tokens = golden["tokens"].get<std::vector<int32_t>>();
  Compute compute(2);
  std::set<std::string> families;
  for (const Json& c : golden["cases"]) {
    for (const Json& config : {c["config"], in_old_spelling(c["config"])}) {
      CausalLM model = make_model(model_spec(config));
      families.insert(model.spec.model_type);
      fill_by_name(model);
      repack(model, compute);
      extend_rope(model, 64);
      const std::vector<float> found = logprobs_of(model, compute, tokens);
      double worst = 0;
      for (size_t i = 0; i < found.size(); ++i)
        worst = std::max(worst, std::abs(double(found[i]) - c["logprobs"][i].get<double>()));
      EXPECT_LT(worst, 2e-4) << c["case"] << " " << config.dump();
    }
  }
  EXPECT_EQ(families.size(), 12u);
}

}  // namespace
}  // namespace cohort
