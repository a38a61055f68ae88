#include "rollout/engine.h"

#include <algorithm>
#include <cstring>

#include "configs/error.h"
#include "policy/kernels/philox.h"
#include "rollout/engine_state.h"

namespace cohort {

namespace {

int64_t plan_blocks(const EngineConfig& config, int64_t max_length) {
  int64_t longest = blocks_for(max_length) + 1;
  if (!config.kv_cache_tokens) return (config.max_slots + 1) * (longest + 1);
  if (config.kv_cache_tokens < (longest + 1) * kKeyBlock)
    throw UsageError("kv_cache_tokens is " + std::to_string(config.kv_cache_tokens) +
                     ", one prompt and completion need " + std::to_string((longest + 1) * kKeyBlock));
  return config.kv_cache_tokens / kKeyBlock;
}

}  // namespace

Engine::Engine(const CausalLM& model, const Compute& compute, const Tokenizer* tokenizer, const EngineConfig& config,
               int64_t max_length)
    : model_(model),
      compute_(compute),
      tokenizer_(tokenizer),
      config_(config),
      max_length_(max_length),
      kv_(model.spec, plan_blocks(config, max_length), false, false) {
  if (max_length > model.rope_positions)
    throw std::logic_error("[engine] the rope table is shorter than max_length: call extend_rope first");
  for (int64_t b = kv_.num_blocks; b-- > 0;) free_blocks_.push_back(int32_t(b));
  block_users_.resize(size_t(kv_.num_blocks)), block_cleared_.resize(size_t(kv_.num_blocks));
  for (int32_t i = 0; i < config.max_slots; ++i) slots_.push_back(std::make_unique<Slot>());
}
Engine::~Engine() = default;

void Engine::submit(Request request) {
  int64_t length = int64_t(request.prompt.size()) + request.sampling.max_completion_length;
  if (request.num_completions < 1)
    throw UsageError("a request asks for " + std::to_string(request.num_completions) +
                     " completions: at least one is needed");
  if (request.sampling.max_completion_length < 0) throw std::logic_error("[engine] a budget below 0");
  if (request.prompt.empty()) throw UsageError("a prompt has no tokens: at least one is needed");
  if (length > max_length_)
    throw UsageError("a prompt of " + std::to_string(request.prompt.size()) + " tokens and a budget of " +
                     std::to_string(request.sampling.max_completion_length) + " do not fit into " +
                     std::to_string(max_length_) + " tokens");
  for (int32_t id : request.prompt)
    if (id < 0 || id >= model_.spec.vocab)
      throw UsageError("prompt token " + std::to_string(id) + " is outside the vocabulary of " +
                       std::to_string(model_.spec.vocab));
  waiting_.push_back(std::move(request));
}

void Engine::cancel(int64_t id) {
  std::erase_if(waiting_, [&](const Request& r) { return r.id == id; });
  for (auto& active : active_) active->cancelled |= active->request().id == id;
  for (auto& slot : slots_)
    if (slot->active && slot->active->cancelled) finish(*slot, FinishReason::abort);
  std::erase_if(active_, [&](auto& active) {
    if (!active->cancelled) return false;
    release(active->blocks);
    return true;
  });
}

int64_t Engine::num_running() const {
  return std::count_if(slots_.begin(), slots_.end(), [](auto& s) { return s->active != nullptr; });
}
int64_t Engine::num_waiting() const {
  return int64_t(waiting_.size());
}

std::optional<Finished> Engine::take_completed() {
  if (completed_.empty()) return std::nullopt;
  Finished finished = std::move(completed_.front());
  completed_.pop_front();
  return finished;
}

std::optional<Finished> Engine::next_completed() {
  while (completed_.empty() && step()) {
  }
  return take_completed();
}

/// Every second admission takes the request that has waited longest, so that nobody starves; the others the longest
/// prompt, so that what takes longest is not begun last.
std::deque<Request>::iterator Engine::next_waiting() {
  if (admitted_ % 2 == 0) return waiting_.begin();
  return std::max_element(waiting_.begin(), waiting_.end(),
                          [](const Request& a, const Request& b) { return a.prompt.size() < b.prompt.size(); });
}

/// Takes requests up while slots stand free beyond those that members of taken-up requests will fill, and memory for
/// their prompts with a block for whatever runs.
void Engine::admit() {
  int64_t open = int64_t(slots_.size()) - num_running(), promised = num_running();
  for (auto& active : active_) {
    open -= active->unstarted();
    if (active->blocks.empty()) promised += blocks_for(active->prompt_length());
  }
  while (!waiting_.empty() && (open > 0 || active_.empty())) {
    auto next = next_waiting();
    const int64_t need = blocks_for(int64_t(next->prompt.size()));
    if (!active_.empty() && !make_free(promised + need + 1)) return;
    promised += need, open -= next->num_completions;
    Request request = std::move(*next);
    waiting_.erase(next);
    start_request(std::move(request));
  }
}

void Engine::start_request(Request request) {
  auto active = std::make_unique<Active>();
  active->order = admitted_++;
  active->result.request = std::move(request);
  active->result.completions.resize(size_t(active->request().num_completions));
  active->result.texts.resize(tokenizer_ ? size_t(active->request().num_completions) : 0);
  active->result.policy_version = model_.version;
  const int64_t moe_layers = model_.spec.moe_layers();
  const size_t width = size_t(moe_layers * (moe_layers ? model_.spec.layers.back().moe.experts : 0));
  active->result.expert_load.assign(width, 0.0);
  active->block_load.assign(size_t(blocks_for(active->prompt_length())) * width, 0.0);
  active_.push_back(std::move(active));
}

/// Samples the next token of slots whose newest hidden rows lie in state_.hidden_TD at `rows`, or, where that is −1, in
/// their request's `hidden`.
void Engine::sample(std::span<const int64_t> rows, std::span<Slot* const> slots) {
  int64_t N = int64_t(slots.size()), D = model_.spec.dim, V = model_.spec.vocab;
  if (!N) return;
  scratch_.resize(N * (D + V));
  logits_.resize(N * V);
  for (int64_t n = 0; n < N; ++n) {
    const float* hidden =
        rows[size_t(n)] < 0 ? slots[size_t(n)]->active->hidden.data() : state_.hidden_TD.data() + rows[size_t(n)] * D;
    std::memcpy(scratch_.data() + n * D, hidden, sizeof(float) * size_t(D));
  }
  logits(model_, compute_, scratch_.data(), nullptr, N, logits_.data());
  compute_.pool.parallel_for(N, [&](int64_t n) {
    Slot& slot = *slots[size_t(n)];
    const Request& request = slot.active->request();
    Completion& c = slot.completion;
    bool too_short = int64_t(c.tokens.size()) < request.sampling.min_tokens;
    float uniform = token_uniform(request.seed, uint32_t(c.member), uint32_t(c.tokens.size()));
    Choice choice = choose_token(*compute_.kernels, {logits_.data() + n * V, size_t(V)}, request.sampling,
                                 too_short ? std::span<const int32_t>(request.stop_ids) : std::span<const int32_t>(),
                                 uniform, {scratch_.data() + N * D + n * V, size_t(V)});
    c.tokens.push_back(choice.token);
    c.logprobs.push_back(choice.logprob);
    c.entropy_sum += choice.entropy;
    if (request.top_logprobs)
      slot.top = most_likely(*compute_.kernels, {logits_.data() + n * V, size_t(V)}, request.sampling.temperature,
                             request.top_logprobs);
  });
  generated_tokens_ += N;
  settle(slots);
}

/// Tells what was sampled, and ends what has come to its end.
void Engine::settle(std::span<Slot* const> slots) {
  for (Slot* slot : slots) {
    const Completion& c = slot->completion;
    const Active& active = *slot->active;
    SampledToken& told = sampled_.emplace_back(SampledToken{.id = active.request().id,
                                                            .member = c.member,
                                                            .token = c.tokens.back(),
                                                            .logprob = c.logprobs.back(),
                                                            .top = std::move(slot->top),
                                                            .policy_version = active.result.policy_version});
    FinishReason reason;
    if (!ends(*slot, reason)) continue;
    told.finish = reason;
    finish(*slot, reason);
  }
}

bool Engine::ends(Slot& slot, FinishReason& reason) {
  const Request& request = slot.active->request();
  const Completion& c = slot.completion;
  reason = FinishReason::stop;
  if (slot.text && slot.text->push(c.tokens.back())) return true;
  if (std::find(request.stop_ids.begin(), request.stop_ids.end(), c.tokens.back()) != request.stop_ids.end())
    return true;
  reason = FinishReason::length;
  return int64_t(c.tokens.size()) >= request.sampling.max_completion_length;
}

void Engine::finish(Slot& slot, FinishReason reason) {
  Active& active = *slot.active;
  size_t member = size_t(slot.completion.member);
  slot.completion.finish = reason;
  if (tokenizer_) {  // the text before the first stop string
    std::string text = tokenizer_->decode(slot.completion.tokens);
    active.result.texts[member] = slot.text ? text.substr(0, slot.text->stop_at()) : text;
  }
  active.result.completions[member] = std::move(slot.completion);
  release(slot.own());
  slot = Slot{};
  if (++active.done == active.request().num_completions && !active.cancelled) complete(active);
}

void Engine::complete(Active& active) {
  keep_prompt(active);
  completed_.push_back(std::move(active.result));
  std::erase_if(active_, [&](auto& a) { return a.get() == &active; });
}

/// Gives the slot to a member that was paused, or to the next one; false where memory lacks.
bool Engine::start_member(Active& active, Slot& slot) {
  const bool resumes = !active.paused.empty();
  Slot member;
  if (resumes) member = active.paused.front();
  const int64_t shared = active.prompt_length() / kKeyBlock, running = num_running(),
                length = active.prompt_length() + std::max<int64_t>(1, int64_t(member.completion.tokens.size())),
                need = blocks_for(length) - shared;
  if (!make_free(need + running) && (running || !reserve(need, active.order, -1))) return false;
  if (resumes) {
    active.paused.pop_front();
  } else {
    member.active = &active;
    member.completion.member = active.started++;
    member.completion.seed = active.request().seed;
    const SamplingConfig& sampling = active.request().sampling;
    if (tokenizer_ && !sampling.stop.empty()) member.text.emplace(tokenizer_, sampling.stop, sampling.min_tokens);
  }
  // A completion reads the prompt's full blocks where they are, and starts from a copy of the last, partial one.
  const std::vector<int32_t> own = allocate(need);
  member.shared = shared;
  member.blocks.assign(active.blocks.begin(), active.blocks.begin() + shared);
  member.blocks.insert(member.blocks.end(), own.begin(), own.end());
  if (const auto lanes = int32_t(active.prompt_length() % kKeyBlock))
    copy_lanes(kv_, model_.spec, {active.blocks.back(), own.front(), lanes});
  slot = std::move(member);
  return true;
}

/// Members of requests whose prompt is passed take the free slots; their first tokens come from its last row.
void Engine::start_members() {
  std::vector<Slot*> started;
  bool has_memory = true;
  for (auto& active : active_) {
    for (auto& slot : slots_) {
      if (!active->ready() || !has_memory) break;
      if (slot->active) continue;
      has_memory = start_member(*active, *slot);
      if (has_memory && slot->completion.tokens.empty()) started.push_back(slot.get());
    }
    if (!has_memory) break;  // nobody younger takes what it waits for
  }
  std::vector<int64_t> rows(started.size(), -1);
  sample(rows, started);
}

void Engine::plan_completions(Plan& plan, int64_t& budget) {
  for (auto& slot : slots_) {
    if (!slot->active) continue;
    const std::vector<int32_t>& tokens = slot->completion.tokens;
    int64_t count = int64_t(tokens.size()) - slot->passed;
    if (count > 1) budget -= count = std::min(count, budget);  // it passes again what it had passed before its pause
    if (!count) continue;
    plan.spans.push_back({int64_t(plan.tokens.size()), count, int32_t(slot->active->prompt_length() + slot->passed),
                          slot->blocks.data()});
    plan.passes.push_back({slot->active, slot.get()});
    plan.tokens.insert(plan.tokens.end(), tokens.begin() + slot->passed, tokens.begin() + slot->passed + count);
    repeated_tokens_ += std::clamp<int64_t>(slot->booked - slot->passed, 0, count);
    slot->passed += count;
    if (slot->passed < int64_t(tokens.size())) continue;
    plan.decoding.push_back(slot.get());
    plan.rows.push_back(int64_t(plan.tokens.size()) - 1);
  }
}

void Engine::plan_prompts(Plan& plan, int64_t& budget) {
  for (auto& active : active_) {
    if (!budget) return;
    if (active->prefilled == active->prompt_length()) continue;
    if (active->blocks.empty() && !place_prompt(*active, plan)) return;
    const int64_t begin = active->prefilled, count = std::min(budget, active->prompt_length() - begin);
    budget -= count;
    const std::vector<int32_t>& prompt = active->request().prompt;
    plan.spans.push_back({int64_t(plan.tokens.size()), count, int32_t(begin), active->blocks.data()});
    plan.passes.push_back({active.get(), nullptr});
    plan.tokens.insert(plan.tokens.end(), prompt.begin() + begin, prompt.begin() + begin + count);
    active->prefilled += count;
    const int64_t first_time = std::max<int64_t>(0, active->prefilled - std::max(begin, active->passed));
    prompt_tokens_ += first_time, repeated_tokens_ += count - first_time;
    active->passed = std::max(active->passed, active->prefilled);
  }
}

bool Engine::step() {
  sampled_.clear();
  admit();
  Plan plan;
  int64_t budget = config_.prefill_tokens;
  make_room(plan);
  plan_completions(plan, budget);
  plan_prompts(plan, budget);
  if (!plan.tokens.empty()) {
    run(plan);
    for (const Adopted& adopted : plan.adopted)
      count_adopted(*adopted.active, adopted.owner->block_load, adopted.blocks);
    pass_prompts(plan);
    sample(plan.rows, plan.decoding);
  }
  start_members();  // they may also wait for a slot that their siblings' first token freed
  return !plan.tokens.empty() || !active_.empty() || !waiting_.empty();
}

/// Keeps the last row of prompts that are passed whole.
void Engine::pass_prompts(const Plan& plan) {
  for (size_t i = 0; i < plan.spans.size(); ++i) {
    if (plan.passes[i].slot) continue;
    Active& active = *plan.passes[i].active;
    const RowSpan& span = plan.spans[i];
    if (active.request().prompt_logprobs && !active.counted) score_prompt(active, span);
    if (span.first_position + span.num_rows < active.prompt_length()) continue;
    const float* last = state_.hidden_TD.data() + (span.first_row + span.num_rows - 1) * model_.spec.dim;
    active.hidden.assign(last, last + model_.spec.dim);
    active.counted = true;
  }
  std::vector<Active*> over;  // nothing is to be generated
  for (auto& active : active_)
    if (active->counted && active->request().sampling.max_completion_length == 0) over.push_back(active.get());
  for (Active* active : over) {
    for (int32_t member = 0; member < active->request().num_completions; ++member)
      active->result.completions[size_t(member)] = {
          .finish = FinishReason::length, .seed = active->request().seed, .member = member};
    complete(*active);
  }
}

/// The forward, and the tokens that each expert received, booked on the requests whose rows they were.
void Engine::run(const Plan& plan) {
  int64_t choices = 0, experts = 0;
  for (const LayerSpec& layer : model_.spec.layers)
    if (!layer.dense_dim) choices += layer.moe.top_k, experts = layer.moe.experts;
  routing_.resize(plan.tokens.size() * size_t(choices));
  forward(model_, compute_, {plan.tokens, plan.spans, {}}, kv_, false, state_, routing_);
  for (size_t i = 0; i < plan.spans.size(); ++i) {
    if (choices) count_experts(plan, i, choices, experts);
    if (Slot* slot = plan.passes[i].slot) slot->booked = std::max(slot->booked, slot->passed);
  }
}

/// Rows that are passed again were counted when they were passed first.
void Engine::count_experts(const Plan& plan, size_t i, int64_t choices, int64_t experts) {
  const RowSpan& span = plan.spans[i];
  const auto [active, slot] = plan.passes[i];
  const int64_t top_k = choices / model_.spec.moe_layers(), P = active->prompt_length();
  std::vector<double>& load = active->result.expert_load;
  for (int64_t n = span.first_row * choices; n < (span.first_row + span.num_rows) * choices; ++n) {
    const int64_t position = span.first_position + n / choices - span.first_row,
                  expert = n % choices / top_k * experts + routing_[size_t(n)];
    if (slot ? position < P + slot->booked : active->counted) continue;
    load[size_t(expert)] += 1;
    if (position < P) active->block_load[size_t(position / kKeyBlock) * load.size() + size_t(expert)] += 1;
  }
}

}  // namespace cohort
