// Continuous batching over the one forward. A request's prompt is passed once and shared by its completions, and what
// it has in common with the prompt of another running request is passed once for both; a slot is refilled as soon as
// its completion ends. Which tokens a request receives is a function of (weights, prompt, seed, member, settings)
// alone, never of slots, neighbours, order or threads.
#pragma once
#include <deque>
#include <memory>
#include <optional>

#include "policy/forward.h"
#include "policy/text/tokenizer.h"
#include "rollout/completion.h"
#include "rollout/sampler.h"

namespace cohort {

struct EngineConfig {
  int32_t max_slots = 64;        // completions decoded at once
  int32_t prefill_tokens = 512;  // prompt tokens passed at most in one step beside the decoding
  int64_t kv_cache_tokens = 0;   // 0: as many as max_slots completions and their prompts need
};
template <class V>
void visit_fields(V& v, EngineConfig& c) {
  v.field("max_slots", c.max_slots, "completions decoded at once", at_least(1));
  v.field("prefill_tokens", c.prefill_tokens, "prompt tokens passed at most in one step beside the decoding",
          at_least(1));
  v.field("kv_cache_tokens", c.kv_cache_tokens, "tokens of the key/value cache; 0 plans it from the slots and lengths",
          at_least(0));
}

struct Request {
  int64_t id = 0;               // the caller's
  std::vector<int32_t> prompt;  // [P] ids, P ≥ 1
  int32_t num_completions = 1;
  uint64_t seed = 0;
  SamplingConfig sampling;
  std::vector<int32_t> stop_ids;  // end a completion (and belong to it)
};

struct Finished {
  Request request;
  std::vector<Completion> completions;  // [num_completions], by member
  std::vector<std::string> texts;       // decoded, special tokens and stop strings left out; empty without a tokenizer
  std::vector<double> expert_load;      // [moe layers · E]
  int64_t policy_version = 0;
};

class Engine {
 public:
  /// `tokenizer` may be null: no texts, no stop strings. `max_length`: longest prompt + completion.
  Engine(const CausalLM& model, const Compute& compute, const Tokenizer* tokenizer, const EngineConfig& config,
         int64_t max_length);
  ~Engine();

  /// Throws UsageError when prompt and budget cannot fit.
  void submit(Request request);
  void cancel(int64_t id);
  /// Decodes until a request is complete; none when nothing is left. Complete requests come as they finish.
  std::optional<Finished> next_completed();
  /// One forward over all slots and at most prefill_tokens of prompts; false when there is nothing to do.
  bool step();
  std::optional<Finished> take_completed();

  int64_t num_running() const;
  int64_t num_waiting() const;
  int64_t generated_tokens() const { return generated_tokens_; }
  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t kv_bytes() const { return kv_.bytes(); }

 private:
  struct Active;    // a request whose prompt is being passed or whose completions run
  struct Slot;      // one running completion
  struct Adopted {  // a request, and the leading blocks of its prompt that were another's
    Active* active = nullptr;
    const Active* owner = nullptr;
    int64_t blocks = 0;
  };
  void admit();
  void run(std::span<const int32_t> tokens, std::span<const RowSpan> spans, std::span<Active* const> owners);
  void sample(std::span<const int64_t> rows, std::span<Slot* const> slots);
  void start_members();
  bool ends(Slot& slot, FinishReason& reason);
  void finish(Slot& slot, FinishReason reason);
  Adopted adopt_prefix(Active& active);
  void book(const Adopted& adopted);
  std::vector<int32_t> allocate(int64_t count);
  void release(std::span<const int32_t> blocks);

  const CausalLM& model_;
  const Compute& compute_;
  const Tokenizer* tokenizer_;
  EngineConfig config_;
  int64_t max_length_;
  KvStore kv_;
  std::vector<int32_t> free_blocks_, block_users_;  // [num_blocks] prompts and completions that hold a block
  std::deque<Request> waiting_;
  std::vector<std::unique_ptr<Active>> active_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::deque<Finished> completed_;
  ForwardState state_;
  Buffer logits_, scratch_;
  std::vector<SamplerScratch> samplers_;  // one for each thread
  std::vector<uint16_t> routing_;
  int64_t generated_tokens_ = 0, prompt_tokens_ = 0;
};

}  // namespace cohort
