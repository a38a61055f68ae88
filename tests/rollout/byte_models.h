// Tiny random models over bytes, and requests to them whose completions end at various lengths.
#pragma once
#include <algorithm>
#include <bit>
#include <map>

#include "policy/kernels/philox.h"
#include "rollout/engine.h"
#include "tests/policy/tiny_models.h"

namespace cohort {

inline Json over_bytes(Json config) {
  config["vocab_size"] = 258, config["eos_token_id"] = 256;
  return config;
}
inline Tokenizer bytes_tokenizer() {
  return byte_tokenizer({"<|eos|>", "<|pad|>"});
}

inline std::vector<int32_t> byte_ids(int64_t count, uint32_t seed) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(int32_t(philox({uint32_t(i), seed, 5, 0}, {1, 2})[0] % 256));
  return ids;
}

/// Every tenth id ends a completion.
inline std::vector<int32_t> stops() {
  std::vector<int32_t> ids;
  for (int32_t id = 6; id < 258; id += 10) ids.push_back(id);
  return ids;
}

/// Requests 0 to count − 1: prompts of 1 to 49 tokens, 1 to 5 completions of at most 24.
inline std::vector<Request> byte_requests(int64_t count, const SamplingConfig& sampling = {}) {
  std::vector<Request> requests;
  for (int64_t i = 0; i < count; ++i) {
    Request r{.id = i,
              .prompt = byte_ids(1 + i * 16 % 49, uint32_t(i)),
              .num_completions = int32_t(1 + i * 3 % 5),
              .seed = uint64_t(1000 + i),
              .sampling = sampling};
    r.sampling.max_completion_length = 24 - int32_t(i % 4);
    r.stop_ids = stops();
    requests.push_back(r);
  }
  return requests;
}

/// Runs an engine to its end; completions by request id.
inline std::map<int64_t, Finished> run_all(Engine& engine) {
  std::map<int64_t, Finished> all;
  while (std::optional<Finished> finished = engine.next_completed()) {
    int64_t id = finished->request.id;
    all[id] = std::move(*finished);
  }
  return all;
}

inline bool same_bits(const Completion& a, const Completion& b) {
  return a.tokens == b.tokens && a.finish == b.finish && a.member == b.member && a.seed == b.seed && a.kept == b.kept &&
         a.entropy_sum == b.entropy_sum && a.logprobs.size() == b.logprobs.size() &&
         std::equal(a.logprobs.begin(), a.logprobs.end(), b.logprobs.begin(),
                    [](float x, float y) { return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y); });
}

}  // namespace cohort
