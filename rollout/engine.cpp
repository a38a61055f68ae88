#include "rollout/engine.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "configs/error.h"
#include "policy/kernels/philox.h"
#include "rollout/engine_state.h"
#include "rollout/guess.h"

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
  expect_in_vocabulary(request.sampling, model_.spec.vocab);
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

/// Logits of the rows that tokens are sampled from: those of a decoding slot and of the guesses behind it, or the last
/// one of its request's prompt. Returns where those of each slot begin.
std::vector<int64_t> Engine::compute_logits(std::span<const Decoding> decoding) {
  const int64_t D = model_.spec.dim;
  std::vector<int64_t> first;
  int64_t N = 0;
  for (const Decoding& d : decoding) first.push_back(N), N += 1 + d.guesses;
  scratch_.resize(N * D);
  logits_.resize(N * model_.spec.vocab);
  for (size_t i = 0; i < decoding.size(); ++i) {
    const Decoding& d = decoding[i];
    const float* hidden = d.row < 0 ? d.slot->active->hidden.data() : state_.hidden_TD.data() + d.row * D;
    std::memcpy(scratch_.data() + first[i] * D, hidden, sizeof(float) * size_t((1 + d.guesses) * D));
  }
  logits(model_, compute_, scratch_.data(), nullptr, N, logits_.data());
  return first;
}

/// The slot's next token, from a row of logits.
void Engine::choose(Slot& slot, std::span<float> row, SamplerScratch& scratch) {
  const Request& request = slot.active->request();
  Completion& c = slot.completion;
  SamplingContext context{.prompt = request.prompt, .completion = c.tokens};
  if (int64_t(c.tokens.size()) < request.sampling.min_tokens) context.banned = request.stop_ids;
  const float uniform = token_uniform(request.seed, uint32_t(c.member), uint32_t(c.tokens.size()));
  const Choice choice = choose_token(*compute_.kernels, row, request.sampling, context, uniform, scratch);
  c.tokens.push_back(choice.token);
  c.logprobs.push_back(choice.logprob);
  c.entropy_sum += choice.entropy;
  if (request.sampling.keep_sampling_mask) c.kept.add(scratch.kept);
  ++slot.fresh;
  if (request.top_logprobs)
    slot.top.push_back(most_likely(*compute_.kernels, row, request.sampling.temperature, request.top_logprobs));
}

/// Samples from the slots' newest rows, and on from the rows behind guesses as long as these are what was sampled.
void Engine::sample(std::span<const Decoding> decoding, std::span<const int32_t> passed_tokens) {
  if (decoding.empty()) return;
  const int64_t V = model_.spec.vocab;
  const std::vector<int64_t> first = compute_logits(decoding);
  const auto sample_slot = [&](size_t i, SamplerScratch& scratch) {
    const Decoding& d = decoding[i];
    for (int64_t guess = 0;; ++guess) {
      choose(*d.slot, {logits_.data() + (first[i] + guess) * V, size_t(V)}, scratch);
      d.slot->over = ends(*d.slot);
      if (d.slot->over || guess == d.guesses) return;
      if (d.slot->completion.tokens.back() != passed_tokens[size_t(d.row + 1 + guess)]) return;
      ++d.slot->passed;
    }
  };
  samplers_.resize(size_t(compute_.pool.num_threads()));
  std::atomic<size_t> next = 0;
  compute_.pool.parallel_for(std::min(int64_t(decoding.size()), int64_t(samplers_.size())), [&](int64_t thread) {
    for (size_t i; (i = next.fetch_add(1)) < decoding.size();) sample_slot(i, samplers_[size_t(thread)]);
  });
  for (const Decoding& d : decoding) {
    generated_tokens_ += d.slot->fresh, guessed_tokens_ += d.guesses, right_guesses_ += d.slot->fresh - 1;
    if (d.guesses) trust(*d.slot, d.guesses);
  }
}

/// How far ahead is guessed next: two tokens further after guesses that were all right, else one further than was
/// right, and none for a while after three steps of misses.
void Engine::trust(Slot& slot, int64_t guesses) {
  constexpr int32_t kRest = 8;  // tokens
  const int64_t right = slot.fresh - 1;
  slot.misses = right ? 0 : slot.misses + 1;
  slot.trusted = int32_t(right == guesses ? guesses + 2 : right + 1);
  if (slot.misses == 3) slot.misses = 0, slot.rest = kRest;
}

/// Tells what was sampled, and ends what has come to its end.
void Engine::settle(std::span<const Decoding> decoding) {
  for (const Decoding& d : decoding) {
    Slot& slot = *d.slot;
    const Completion& c = slot.completion;
    const Active& active = *slot.active;
    const auto begin = c.tokens.size() - size_t(slot.fresh);
    for (size_t i = begin; i < c.tokens.size(); ++i) {
      SampledToken& told = sampled_.emplace_back(SampledToken{.id = active.request().id,
                                                              .member = c.member,
                                                              .token = c.tokens[i],
                                                              .logprob = c.logprobs[i],
                                                              .policy_version = active.result.policy_version});
      if (!slot.top.empty()) told.top = std::move(slot.top[i - begin]);
      if (i + 1 == c.tokens.size()) told.finish = slot.over;
    }
    slot.fresh = 0, slot.top.clear();
    if (slot.over) finish(slot, *slot.over);
  }
}

/// Why the completion ends with its newest token; none: it goes on.
std::optional<FinishReason> Engine::ends(Slot& slot) {
  const Request& request = slot.active->request();
  const Completion& c = slot.completion;
  if (slot.text && slot.text->push(c.tokens.back())) return FinishReason::stop;
  if (std::find(request.stop_ids.begin(), request.stop_ids.end(), c.tokens.back()) != request.stop_ids.end())
    return FinishReason::stop;
  if (int64_t(c.tokens.size()) >= request.sampling.max_completion_length) return FinishReason::length;
  return std::nullopt;
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
  std::vector<Decoding> started;
  bool has_memory = true;
  for (auto& active : active_) {
    for (auto& slot : slots_) {
      if (!active->ready() || !has_memory) break;
      if (slot->active) continue;
      has_memory = start_member(*active, *slot);
      if (has_memory && slot->completion.tokens.empty()) started.push_back({slot.get()});
    }
    if (!has_memory) break;  // nobody younger takes what it waits for
  }
  sample(started, {});
  settle(started);
}

void Engine::plan_completions(Plan& plan, int64_t& budget) {
  const int64_t most_guesses = guesses_each();
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
    plan.decoding.push_back({slot.get(), int64_t(plan.tokens.size()) - 1});
    if (count > 1 || !most_guesses) continue;
    const std::vector<int32_t> guesses = guess(*slot, most_guesses);
    plan.decoding.back().guesses = int64_t(guesses.size());
    plan.spans.back().num_rows += int64_t(guesses.size());
    plan.spans.back().blocks = slot->blocks.data();  // there may be more now
    plan.tokens.insert(plan.tokens.end(), guesses.begin(), guesses.end());
  }
}

/// Tokens guessed ahead of every completion: as many as rows cost little more than the weights that they read.
int64_t Engine::guesses_each() const {
  constexpr int64_t kCheapRows = 8;
  const int64_t running = num_running();
  const bool has_prompts = std::any_of(active_.begin(), active_.end(),
                                       [](const auto& active) { return active->prefilled < active->prompt_length(); });
  if (!running || has_prompts) return 0;
  return std::clamp<int64_t>(kCheapRows / running - 1, 0, config_.speculative_tokens);
}

/// What may follow the slot's tokens, as far as its budget and free memory go.
std::vector<int32_t> Engine::guess(Slot& slot, int64_t most) {
  if (slot.rest) return --slot.rest, std::vector<int32_t>();
  const Active& active = *slot.active;
  const int64_t length = active.prompt_length() + int64_t(slot.completion.tokens.size());
  most = std::min<int64_t>(
      {most, slot.trusted, active.prompt_length() + active.request().sampling.max_completion_length - length - 1});
  if (most <= 0) return {};
  std::vector<int32_t> guesses = guess_next(active.request().prompt, slot.completion.tokens, active.request().drafts,
                                            size_t(slot.completion.member), size_t(most));
  const int64_t need = blocks_for(length + int64_t(guesses.size())) - int64_t(slot.blocks.size());
  if (need > 0 && int64_t(free_blocks_.size()) < need + num_running()) return {};
  const std::vector<int32_t> more = allocate(std::max<int64_t>(0, need));
  slot.blocks.insert(slot.blocks.end(), more.begin(), more.end());
  return guesses;
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
    sample(plan.decoding, plan.tokens);
    count_experts(plan);
    for (const Adopted& adopted : plan.adopted)
      count_adopted(*adopted.active, adopted.owner->block_load, adopted.blocks);
    pass_prompts(plan);
    settle(plan.decoding);
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

/// The forward; which experts its rows chose stays in routing_.
void Engine::run(const Plan& plan) {
  int64_t choices = 0;
  for (const LayerSpec& layer : model_.spec.layers) choices += layer.dense_dim ? 0 : layer.moe.top_k;
  routing_.resize(plan.tokens.size() * size_t(choices));
  forward(model_, compute_, {plan.tokens, plan.spans, {}}, kv_, Activations::none, state_, routing_);
}

/// The tokens that each expert received, on the requests whose rows they were; not those of wrong guesses.
void Engine::count_experts(const Plan& plan) {
  for (size_t i = 0; i < plan.spans.size(); ++i) {
    if (!routing_.empty()) count_experts(plan.spans[i], plan.passes[i]);
    if (Slot* slot = plan.passes[i].slot) slot->booked = std::max(slot->booked, slot->passed);
  }
}

/// Rows that are passed again were counted when they were passed first.
void Engine::count_experts(const RowSpan& span, const Pass& pass) {
  const auto [active, slot] = pass;
  const int64_t moe_layers = model_.spec.moe_layers(), top_k = model_.spec.layers.back().moe.top_k,
                choices = moe_layers * top_k, experts = model_.spec.layers.back().moe.experts,
                P = active->prompt_length();
  std::vector<double>& load = active->result.expert_load;
  for (int64_t n = span.first_row * choices; n < (span.first_row + span.num_rows) * choices; ++n) {
    const int64_t position = span.first_position + n / choices - span.first_row,
                  expert = n % choices / top_k * experts + routing_[size_t(n)];
    if (slot ? position < P + slot->booked || position >= P + slot->passed : active->counted) continue;
    load[size_t(expert)] += 1;
    if (position < P) active->block_load[size_t(position / kKeyBlock) * load.size() + size_t(expert)] += 1;
  }
}

}  // namespace cohort
