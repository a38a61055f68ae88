// Answers in OpenAI's forms: whole, or as chunks of a stream. Both are written by the same hand, so that the pieces of
// a stream together are the whole answer.
#pragma once
#include <nlohmann/json.hpp>

#include "rollout/service_request.h"
#include "rollout/text_stream.h"

namespace cohort {

/// One choice of an answer, as its tokens come. Request and tokenizer must outlive it.
class ChoiceWriter {
 public:
  /// `scores`: of the prompt's tokens, where the answer begins with them.
  ChoiceWriter(const GenerationRequest& asked, const Tokenizer& tokenizer, size_t prompt, int32_t member);

  void echo(const std::vector<ComparedToken>& prompt_scores);
  void push(const SampledToken& token);
  void finish(FinishReason reason) { finish_ = reason; }
  /// Whether there is something to tell since the last chunk.
  bool has_news() const;
  /// What is new, as a choice of a chunk.
  OrderedJson chunk();
  /// All of it, as a choice of a whole answer.
  OrderedJson whole();
  int64_t num_tokens() const { return num_tokens_; }

 private:
  std::string named(int32_t token) const;
  OrderedJson chat_logprob(int32_t token, float logprob) const;
  void add_logprob(int32_t token, std::optional<float> logprob, const std::vector<TokenLogprob>& top);
  OrderedJson choice(bool streamed);

  const GenerationRequest& asked_;
  const Tokenizer& tokenizer_;
  size_t prompt_;
  int32_t index_;
  TextStream text_, offsets_;
  std::string ready_;         // text not told yet
  std::vector<int32_t> ids_;  // tokens not told yet
  OrderedJson logprobs_;      // of them, in the form of the route
  int64_t offset_ = 0;        // characters before the next token
  int64_t num_tokens_ = 0;
  bool is_first_ = true;
  std::optional<FinishReason> finish_;
};

/// [member + n · prompt]
std::vector<ChoiceWriter> choice_writers(const GenerationRequest& asked, const Tokenizer& tokenizer);

/// What all answers to one request begin with.
struct Envelope {
  std::string id;
  int64_t created = 0;  // Unix seconds
  OrderedJson of(const GenerationRequest& asked, bool streamed, int64_t policy_version) const;
};
Envelope make_envelope(const GenerationRequest& asked);

OrderedJson usage_of(const GenerationRequest& asked, const std::vector<ChoiceWriter>& choices);
/// vLLM's form: null, then for each token an object of the ids that it was compared with.
OrderedJson prompt_logprobs_of(const std::vector<ComparedToken>& scores, const Tokenizer& tokenizer);

/// One line; text that is no UTF-8 repaired.
std::string line_of(const OrderedJson& json);

}  // namespace cohort
