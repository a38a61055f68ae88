// The engine's blocks of the key/value cache: who holds them, who gives them back first, which prompts share them.
#include <algorithm>

#include "rollout/engine_state.h"

namespace cohort {

std::vector<int32_t> Engine::allocate(int64_t count) {
  std::vector<int32_t> blocks(free_blocks_.end() - count, free_blocks_.end());
  free_blocks_.resize(free_blocks_.size() - size_t(count));
  for (int32_t block : blocks) {
    block_users_[size_t(block)] = 1;
    if (!block_cleared_[size_t(block)]) kv_.clear_block(block);
    block_cleared_[size_t(block)] = 1;
  }
  return blocks;
}

void Engine::release(std::span<const int32_t> blocks) {
  for (int32_t block : blocks)
    if (--block_users_[size_t(block)] == 0) free_blocks_.push_back(block);
}

int64_t Engine::kv_tokens_used() const {
  std::vector<int32_t> users = block_users_;
  for (const KeptPrompt& kept : kept_)
    for (int32_t block : kept.blocks) --users[size_t(block)];
  return kKeyBlock * std::count_if(users.begin(), users.end(), [](int32_t n) { return n > 0; });
}

/// Frees so many blocks at the cost of kept prompts alone.
bool Engine::make_free(int64_t count) {
  while (int64_t(free_blocks_.size()) < count && !kept_.empty()) forget(kept_.begin());
  return int64_t(free_blocks_.size()) >= count;
}

/// The same, also at the cost of what is younger than member `member` of the request admitted at `order`.
bool Engine::reserve(int64_t count, int64_t order, int32_t member) {
  while (!make_free(count))
    if (!take_from_younger(order, member)) return false;
  return true;
}

/// The youngest completion, or prompt without a running completion, gives its blocks back.
bool Engine::take_from_younger(int64_t order, int32_t member) {
  Slot* victim = nullptr;
  std::pair youngest{order, member};
  for (auto& slot : slots_) {
    if (!slot->active) continue;
    const std::pair age{slot->active->order, slot->completion.member};
    if (age > youngest) youngest = age, victim = slot.get();
  }
  for (auto active = active_.rbegin(); active != active_.rend() && (*active)->order > youngest.first; ++active)
    if (!(*active)->blocks.empty()) {
      drop_prompt(**active);
      return true;
    }
  if (victim) pause(*victim);
  return victim != nullptr;
}

void Engine::pause(Slot& slot) {
  Active& active = *slot.active;
  release(slot.own());
  slot.blocks.clear();
  slot.shared = 0;
  slot.passed = 0;
  const auto behind = std::find_if(active.paused.begin(), active.paused.end(),
                                   [&](const Slot& other) { return other.completion.member > slot.completion.member; });
  active.paused.insert(behind, std::move(slot));
  slot = Slot{};
  ++preemptions_;
}

/// Of a request without a running completion.
void Engine::drop_prompt(Active& active) {
  release(active.blocks);
  active.blocks.clear();
  active.prefilled = 0;
  ++preemptions_;
  if (active.counted) return;
  std::fill(active.block_load.begin(), active.block_load.end(), 0.0);
  std::fill(active.result.expert_load.begin(), active.result.expert_load.end(), 0.0);
}

/// Blocks for what running completions pass in this step, the oldest served first, and for the oldest prompt.
void Engine::make_room(Plan& plan) {
  std::vector<Slot*> running;
  for (auto& slot : slots_)
    if (slot->active) running.push_back(slot.get());
  std::sort(running.begin(), running.end(), [](const Slot* a, const Slot* b) {
    return std::pair(a->active->order, a->completion.member) < std::pair(b->active->order, b->completion.member);
  });
  for (Slot* slot : running) {
    if (!slot->active) continue;  // paused by an older one
    const int64_t length = slot->active->prompt_length() + int64_t(slot->completion.tokens.size()),
                  need = blocks_for(length) - int64_t(slot->blocks.size());
    if (need <= 0) continue;
    if (!reserve(need, slot->active->order, slot->completion.member)) {
      pause(*slot);
      continue;
    }
    const std::vector<int32_t> more = allocate(need);
    slot->blocks.insert(slot->blocks.end(), more.begin(), more.end());
  }
  if (!active_.empty()) {
    Active& oldest = *active_.front();
    if (oldest.blocks.empty() && reserve(blocks_for(oldest.prompt_length()), oldest.order, -1))
      place_prompt(oldest, plan);
  }
}

/// Blocks for a prompt, those of an equal beginning taken over; false where memory lacks.
bool Engine::place_prompt(Active& active, Plan& plan) {
  const int64_t need = blocks_for(active.prompt_length());
  const bool is_oldest = &active == active_.front().get();
  if (!make_free(need + (is_oldest ? 0 : num_running()))) return false;
  const int64_t shared = adopt_prefix(active, plan);
  const std::vector<int32_t> own = allocate(need - shared);
  active.blocks.insert(active.blocks.end(), own.begin(), own.end());
  return true;
}

static int64_t equal_beginning(const std::vector<int32_t>& a, const std::vector<int32_t>& b, int64_t limit) {
  int64_t same = 0;
  while (same < limit && a[size_t(same)] == b[size_t(same)]) ++same;
  return same;
}

/// Takes over the full blocks of the prompt that a finished request has left, or another has passed, or passes in this
/// forward: every row of a forward writes its keys before any row reads them. How many.
int64_t Engine::adopt_prefix(Active& active, Plan& plan) {
  if (active.request().prompt_logprobs && !active.counted) return 0;  // every row is wanted
  const std::vector<int32_t>& prompt = active.request().prompt;
  const int64_t most = int64_t(prompt.size()) - 1;  // the last row is passed for its hidden state
  Adopted adopted{.active = &active};
  for (auto& other : active_) {
    if (other.get() == &active) continue;
    const int64_t blocks =
        equal_beginning(prompt, other->request().prompt, std::min(other->prefilled, most)) / kKeyBlock;
    if (blocks > adopted.blocks) adopted.blocks = blocks, adopted.owner = other.get();
  }
  auto best = kept_.end();
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    if (kept->version != model_.version) continue;
    const int64_t blocks =
        equal_beginning(prompt, kept->prompt, std::min(int64_t(kept->prompt.size()), most)) / kKeyBlock;
    if (blocks > adopted.blocks) adopted.blocks = blocks, adopted.owner = nullptr, best = kept;
  }
  if (!adopted.blocks) return 0;
  const std::vector<int32_t>& theirs = adopted.owner ? adopted.owner->blocks : best->blocks;
  active.blocks.assign(theirs.begin(), theirs.begin() + adopted.blocks);
  for (int32_t block : active.blocks) ++block_users_[size_t(block)];
  active.prefilled = adopted.blocks * kKeyBlock;
  if (active.prefilled > active.passed) shared_tokens_ += active.prefilled - active.passed;
  active.passed = std::max(active.passed, active.prefilled);
  if (!active.counted && adopted.owner) plan.adopted.push_back(adopted);
  if (adopted.owner) return adopted.blocks;
  if (!active.counted) count_adopted(active, best->block_load, adopted.blocks);
  kept_.splice(kept_.end(), kept_, best);  // used last
  return adopted.blocks;
}

/// The experts that a taken-over prefix went through count as if the request had passed it itself.
void Engine::count_adopted(Active& active, const std::vector<double>& block_load, int64_t blocks) {
  const size_t width = active.result.expert_load.size();
  for (size_t i = 0; i < size_t(blocks) * width; ++i) {
    active.block_load[i] = block_load[i];
    active.result.expert_load[i % width] += block_load[i];
  }
}

/// The prompt of a finished request stays where it is until its memory is needed.
void Engine::keep_prompt(Active& active) {
  const int64_t full = active.prompt_length() / kKeyBlock;
  const std::vector<int32_t>& prompt = active.request().prompt;
  const bool is_whole = active.prefilled == active.prompt_length() && active.result.policy_version == model_.version;
  if (!is_whole || full == 0) return release(active.blocks);
  release(std::span(active.blocks).subspan(size_t(full)));
  KeptPrompt kept{.version = model_.version};
  kept.prompt.assign(prompt.begin(), prompt.begin() + full * kKeyBlock);
  kept.blocks.assign(active.blocks.begin(), active.blocks.begin() + full);
  kept.block_load.assign(active.block_load.begin(),
                         active.block_load.begin() + full * std::ptrdiff_t(active.result.expert_load.size()));
  for (auto old = kept_.begin(); old != kept_.end();) {  // those of other weights, and those that this one holds
    auto next = std::next(old);
    const bool is_held = old->prompt.size() <= kept.prompt.size() &&
                         std::equal(old->prompt.begin(), old->prompt.end(), kept.prompt.begin());
    if (is_held || old->version != model_.version) forget(old);
    old = next;
  }
  kept_.push_back(std::move(kept));
}

void Engine::forget(std::list<KeptPrompt>::iterator kept) {
  release(kept->blocks);
  kept_.erase(kept);
}

void Engine::forget_prompts() {
  while (!kept_.empty()) forget(kept_.begin());
}

}  // namespace cohort
