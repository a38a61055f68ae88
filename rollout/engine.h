// Continuous batching over the one forward. A request's prompt is passed once and shared by its completions, and what
// it has in common with the prompt of another request, running or recently finished, is passed once for both; a slot
// is refilled as soon as its completion ends. Where the key/value cache is full, the youngest completions give their
// blocks back and later go on by passing their tokens again. Which tokens a request receives is a function of
// (weights, prompt, seed, member, settings) alone, never of slots, neighbours, order, memory or threads.
#pragma once
#include <deque>
#include <list>
#include <memory>
#include <optional>

#include "policy/forward.h"
#include "policy/text/tokenizer.h"
#include "rollout/completion.h"
#include "rollout/sampler.h"

namespace cohort {

struct EngineConfig {
  int32_t max_slots = 64;          // completions decoded at once
  int32_t prefill_tokens = 512;    // prompt tokens passed at most in one step beside the decoding
  int64_t kv_cache_tokens = 0;     // 0: as many as max_slots completions and their prompts need
  int32_t speculative_tokens = 6;  // guessed ahead of a completion while few run; changes speed, no bit
};
template <class V>
void visit_fields(V& v, EngineConfig& c) {
  v.field("max_slots", c.max_slots, "completions decoded at once", at_least(1));
  v.field("prefill_tokens", c.prefill_tokens, "prompt tokens passed at most in one step beside the decoding",
          at_least(1));
  v.field("kv_cache_tokens", c.kv_cache_tokens, "tokens of the key/value cache; 0 plans it from the slots and lengths",
          at_least(0));
  v.field("speculative_tokens", c.speculative_tokens,
          "tokens guessed ahead of a completion while few run, from its own text and earlier completions of its "
          "prompt; changes speed, no bit; 0: none",
          at_least(0));
}

struct Request {
  int64_t id = 0;               // the caller's
  std::vector<int32_t> prompt;  // [P] ids, P ≥ 1
  int32_t num_completions = 1;
  uint64_t seed = 0;
  SamplingConfig sampling;
  std::vector<int32_t> stop_ids;                // end a completion (and belong to it)
  int32_t top_logprobs = 0;                     // most likely tokens told beside each sampled one
  std::optional<int32_t> prompt_logprobs = {};  // score the prompt's tokens, and tell so many most likely ones
  std::vector<std::vector<int32_t>> drafts;     // earlier completions of the prompt, to guess from
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
};

/// A token among the others that might have stood in its place.
struct ComparedToken {
  int32_t token = 0;
  float logprob = 0;
  int32_t rank = 1;               // 1: the most likely
  std::vector<TokenLogprob> top;  // most likely first
};

/// A token of a running request, as it was sampled.
struct SampledToken {
  int64_t id = 0;  // of the request
  int32_t member = 0, token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;       // [Request::top_logprobs]
  std::optional<FinishReason> finish;  // of the member's last token
  int64_t policy_version = 0;
};

struct Finished {
  Request request;
  std::vector<Completion> completions;  // [num_completions], by member
  std::vector<std::string> texts;       // decoded, special tokens and stop strings left out; empty without a tokenizer
  std::vector<double> expert_load;      // [moe layers · E]
  int64_t policy_version = 0;
  std::vector<ComparedToken> prompt_scores;  // [P − 1] of the prompt's tokens from the second on, at temperature 1
};

class Engine {
 public:
  /// `tokenizer` may be null: no texts, no stop strings. `max_length`: longest prompt + completion.
  Engine(const CausalLM& model, const Compute& compute, const Tokenizer* tokenizer, const EngineConfig& config,
         int64_t max_length);
  ~Engine();

  /// Throws UsageError when prompt and budget cannot fit. A budget of 0 passes the prompt alone.
  void submit(Request request);
  void cancel(int64_t id);
  /// Decodes until a request is complete; none when nothing is left. Complete requests come as they finish.
  std::optional<Finished> next_completed();
  /// One forward over all slots and at most prefill_tokens of prompts; false when there is nothing to do.
  bool step();
  std::optional<Finished> take_completed();
  /// What the last step sampled.
  std::span<const SampledToken> sampled() const { return sampled_; }
  /// Drops the prompts of finished requests: the weights have changed without their version.
  void forget_prompts();

  int64_t num_running() const;
  int64_t num_waiting() const;
  int64_t generated_tokens() const { return generated_tokens_; }
  int64_t prompt_tokens() const { return prompt_tokens_; }      // passed, each once
  int64_t repeated_tokens() const { return repeated_tokens_; }  // passed again after their memory was given back
  int64_t shared_tokens() const { return shared_tokens_; }      // of prompts, not passed: another request had
  int64_t preemptions() const { return preemptions_; }
  int64_t guessed_tokens() const { return guessed_tokens_; }
  int64_t right_guesses() const { return right_guesses_; }
  int64_t kv_bytes() const { return kv_.bytes(); }
  int64_t kv_tokens() const { return kv_.num_blocks * kKeyBlock; }
  int64_t kv_tokens_used() const;  // of running requests

 private:
  struct Active;    // a request whose prompt is being passed or whose completions run
  struct Slot;      // one running completion
  struct Adopted {  // a request, and the leading blocks of its prompt that are another's, to be passed in this step
    Active* active = nullptr;
    const Active* owner = nullptr;
    int64_t blocks = 0;
  };
  struct KeptPrompt {                // of a finished request
    std::vector<int32_t> prompt;     // [blocks · 16]
    std::vector<int32_t> blocks;     //
    std::vector<double> block_load;  // as in Active
    int64_t version = 0;
  };
  struct Pass {  // consecutive rows of one request in a step
    Active* active = nullptr;
    Slot* slot = nullptr;  // null: of its prompt
  };
  struct Decoding {  // a slot whose next token is sampled
    Slot* slot = nullptr;
    int64_t row = -1;     // its newest; −1: the last one of its request's prompt
    int64_t guesses = 0;  // rows behind it, of tokens that may follow
  };
  struct Plan {  // what a step passes
    std::vector<int32_t> tokens;
    std::vector<RowSpan> spans;
    std::vector<Pass> passes;  // [spans]
    std::vector<Decoding> decoding;
    std::vector<Adopted> adopted;
  };
  // engine.cpp, engine_scores.cpp
  void admit();
  std::deque<Request>::iterator next_waiting();
  void start_request(Request request);
  void plan_completions(Plan& plan, int64_t& budget);
  void plan_prompts(Plan& plan, int64_t& budget);
  int64_t guesses_each() const;
  std::vector<int32_t> guess(Slot& slot, int64_t most);
  void run(const Plan& plan);
  void count_experts(const Plan& plan);
  void count_experts(const RowSpan& span, const Pass& pass);
  std::vector<int64_t> compute_logits(std::span<const Decoding> decoding);
  void choose(Slot& slot, std::span<float> row, SamplerScratch& scratch);
  void sample(std::span<const Decoding> decoding, std::span<const int32_t> passed_tokens);
  static void trust(Slot& slot, int64_t guesses);
  void settle(std::span<const Decoding> decoding);
  void pass_prompts(const Plan& plan);
  void score_prompt(Active& active, const RowSpan& span);
  void start_members();
  bool start_member(Active& active, Slot& slot);
  std::optional<FinishReason> ends(Slot& slot);
  void finish(Slot& slot, FinishReason reason);
  void complete(Active& active);
  // engine_memory.cpp
  std::vector<int32_t> allocate(int64_t count);
  void release(std::span<const int32_t> blocks);
  bool make_free(int64_t count);
  bool take_from_younger(int64_t order, int32_t member);
  bool reserve(int64_t count, int64_t order, int32_t member);
  void make_room(Plan& plan);
  bool place_prompt(Active& active, Plan& plan);
  int64_t adopt_prefix(Active& active, Plan& plan);
  static void count_adopted(Active& active, const std::vector<double>& block_load, int64_t blocks);
  void pause(Slot& slot);
  void drop_prompt(Active& active);
  void keep_prompt(Active& active);
  void forget(std::list<KeptPrompt>::iterator kept);

  const CausalLM& model_;
  const Compute& compute_;
  const Tokenizer* tokenizer_;
  EngineConfig config_;
  int64_t max_length_;
  KvStore kv_;
  std::vector<int32_t> free_blocks_, block_users_;  // [num_blocks] prompts and completions that hold a block
  std::vector<uint8_t> block_cleared_;              // [num_blocks] whether it was ever used
  std::deque<Request> waiting_;
  std::vector<std::unique_ptr<Active>> active_;  // in the order of their admission
  std::vector<std::unique_ptr<Slot>> slots_;
  std::list<KeptPrompt> kept_;  // the one longest unused first
  std::deque<Finished> completed_;
  std::vector<SampledToken> sampled_;
  ForwardState state_;
  Buffer logits_, scratch_;
  std::vector<SamplerScratch> samplers_;  // one for each thread
  std::vector<uint16_t> routing_;
  int64_t admitted_ = 0, generated_tokens_ = 0, prompt_tokens_ = 0, repeated_tokens_ = 0, shared_tokens_ = 0,
          preemptions_ = 0, guessed_tokens_ = 0, right_guesses_ = 0;
};

}  // namespace cohort
