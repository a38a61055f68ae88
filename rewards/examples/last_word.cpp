// A checker in C++: 1 when the last word of the completion is the reference, in any case of letters. It keeps a count
// over its batches as a state, and says in components how many words it saw.
//   c++ -std=c++20 -shared -fPIC -I INCLUDE_DIR -o last_word.so last_word.cpp
//   cohort score --reward lib:./last_word.so:last_word --in rows.jsonl
#include <algorithm>
#include <cctype>
#include <sstream>
#include <string>

#include <cohort_reward.h>

namespace {

struct State {
  size_t num_judged = 0;
};

std::string lower(const cohort_reward_text& text) {
  std::string s(text.bytes, text.size);
  std::transform(s.begin(), s.end(), s.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return s;
}

void judge_item(State& state, const cohort_reward_batch& batch, const cohort_reward_item& item) {
  std::istringstream words(lower(item.completion));
  std::string word, last;
  size_t count = 0;
  for (; words >> word; ++count) last = word;
  last.erase(last.find_last_not_of(".,;:!?") + 1);
  const std::string components = "{\"words\": " + std::to_string(count) + "}";
  const std::string logs = "{\"judged\": " + std::to_string(++state.num_judged) + "}";
  const bool has_reference = item.ground_truth.size > 0;
  const cohort_reward_score score = {.struct_size = sizeof(cohort_reward_score),
                                     .verdict = has_reference ? COHORT_REWARD_SCORED : COHORT_REWARD_NO_SCORE,
                                     .score = last == lower(item.ground_truth) ? 1.0 : 0.0,
                                     .id = item.id,
                                     .reason = {},
                                     .components = {components.data(), components.size()},
                                     .extra_logs = {logs.data(), logs.size()}};
  batch.answer(batch.sink, &score);
}

int judge(void* state, const cohort_reward_batch* batch) {
  for (size_t i = 0; i < batch->num_items; ++i)
    judge_item(*static_cast<State*>(state), *batch, *cohort_reward_item_at(batch, i));
  return 0;
}

}  // namespace

extern "C" const cohort_reward_plugin last_word = {
    COHORT_REWARD_PLUGIN_HEAD,
    .open = []() -> void* { return new State; },
    .close = [](void* state) { delete static_cast<State*>(state); },
    .judge = judge,
};
