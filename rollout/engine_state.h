// What the engine knows of the requests that it runs.
#pragma once
#include <deque>
#include <optional>

#include "rollout/engine.h"
#include "rollout/text_stream.h"

namespace cohort {

inline int64_t blocks_for(int64_t tokens) {
  return ceil_div(tokens, kKeyBlock);
}

/// The most likely tokens of a row of logits, ties to the lower id.
std::vector<TokenLogprob> most_likely(const Kernels& kernels, std::span<const float> logits, double temperature,
                                      int32_t count);

struct Engine::Slot {
  Active* active = nullptr;     // null: free
  std::vector<int32_t> blocks;  // block table from position 0
  int64_t shared = 0;           // leading blocks of the table that are the prompt's
  Completion completion;
  int64_t passed = 0;                          // tokens of the completion that are in the cache
  int64_t booked = 0;                          // tokens of it whose experts are counted
  std::optional<TextStream> text;              // where stop strings are looked for
  int64_t fresh = 0;                           // newest tokens, not yet told, and
  std::vector<std::vector<TokenLogprob>> top;  // [fresh] what is told beside them
  std::optional<FinishReason> over;            // why it ends with the newest token
  int32_t trusted = 2, misses = 0, rest = 0;   // tokens guessed ahead next; guesses wrong in a row; tokens without
  std::span<const int32_t> own() const { return std::span(blocks).subspan(size_t(shared)); }
};

struct Engine::Active {
  Finished result;
  int64_t order = 0;               // of admission: the higher, the sooner it gives its memory back
  std::vector<int32_t> blocks;     // of the prompt; empty while it has no memory
  std::vector<double> block_load;  // [blocks, moe layers · E] tokens of each that each expert received
  int64_t prefilled = 0;           // prompt tokens in the cache
  int64_t passed = 0;              // the most that were there
  bool counted = false;            // the whole prompt was passed, and is in the loads
  std::vector<float> hidden;       // [D] of the prompt's last row, once it is passed
  int32_t started = 0, done = 0;   // members
  std::deque<Slot> paused;         // members that gave their memory back, by member
  bool cancelled = false;
  const Request& request() const { return result.request; }
  int64_t prompt_length() const { return int64_t(result.request.prompt.size()); }
  int64_t unstarted() const { return result.request.num_completions - started + int64_t(paused.size()); }
  int64_t running() const { return started - done - int64_t(paused.size()); }
  bool ready() const { return prefilled == prompt_length() && unstarted() > 0 && !cancelled; }
};

}  // namespace cohort
