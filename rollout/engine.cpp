#include "rollout/engine.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "configs/error.h"
#include "policy/kernels/philox.h"

namespace cohort {

struct Engine::Active {
  Finished result;
  std::vector<int32_t> blocks;     // of the prompt
  std::vector<double> block_load;  // [blocks, moe layers · E] tokens of each that each expert received
  int64_t prefilled = 0;           // prompt tokens passed, or found passed
  std::vector<float> hidden;       // [D] of the prompt's last row, once it is passed
  int32_t started = 0, done = 0;   // members
  bool cancelled = false;
  const Request& request() const { return result.request; }
  int64_t prompt_length() const { return int64_t(result.request.prompt.size()); }
  bool ready() const { return prefilled == prompt_length() && started < result.request.num_completions && !cancelled; }
};

struct Engine::Slot {
  Active* active = nullptr;          // null: free
  std::vector<int32_t> blocks, own;  // block table from position 0, and those that are this slot's alone
  Completion completion;
};

namespace {

int64_t blocks_for(int64_t tokens) {
  return ceil_div(tokens, kKeyBlock);
}

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
      kv_(model.spec, plan_blocks(config, max_length), false) {
  if (max_length > model.rope_positions)
    throw std::logic_error("[engine] the rope table is shorter than max_length: call extend_rope first");
  for (int64_t b = kv_.num_blocks; b-- > 0;) free_blocks_.push_back(int32_t(b));
  block_users_.resize(size_t(kv_.num_blocks));
  for (int32_t i = 0; i < config.max_slots; ++i) slots_.push_back(std::make_unique<Slot>());
}
Engine::~Engine() = default;

void Engine::submit(Request request) {
  int64_t length = int64_t(request.prompt.size()) + request.sampling.max_completion_length;
  if (request.num_completions < 1)
    throw UsageError("a request asks for " + std::to_string(request.num_completions) +
                     " completions: at least one is needed");
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

std::vector<int32_t> Engine::allocate(int64_t count) {
  std::vector<int32_t> blocks(free_blocks_.end() - count, free_blocks_.end());
  free_blocks_.resize(free_blocks_.size() - size_t(count));
  for (int32_t block : blocks) block_users_[size_t(block)] = 1;
  return blocks;
}

void Engine::release(std::span<const int32_t> blocks) {
  for (int32_t block : blocks)
    if (--block_users_[size_t(block)] == 0) free_blocks_.push_back(block);
}

/// Takes requests up while slots stand free beyond those that members of taken-up requests will fill.
void Engine::admit() {
  int64_t open = int64_t(slots_.size()) - num_running();
  for (auto& active : active_) open -= active->request().num_completions - active->started;
  while (!waiting_.empty() && (open > 0 || active_.empty())) {
    int64_t need = blocks_for(int64_t(waiting_.front().prompt.size()));
    if (int64_t(free_blocks_.size()) < need + blocks_for(max_length_) + 1 && !active_.empty()) return;
    auto active = std::make_unique<Active>();
    active->result.request = std::move(waiting_.front());
    waiting_.pop_front();
    active->result.completions.resize(size_t(active->request().num_completions));
    active->result.texts.resize(tokenizer_ ? size_t(active->request().num_completions) : 0);
    active->result.policy_version = model_.version;
    active->result.expert_load.assign(
        size_t(model_.spec.moe_layers() * (model_.spec.moe_layers() ? model_.spec.layers.back().moe.experts : 0)), 0.0);
    active->blocks = allocate(need);
    active->block_load.assign(size_t(need) * active->result.expert_load.size(), 0.0);
    open -= active->request().num_completions;
    active_.push_back(std::move(active));
  }
}

/// Samples the next token of slots whose newest hidden rows lie in state_.hidden_TD at `rows`, or, where that is −1, in
/// their request's `hidden`.
void Engine::sample(std::span<const int64_t> rows, std::span<Slot* const> slots) {
  int64_t N = int64_t(slots.size()), D = model_.spec.dim, V = model_.spec.vocab;
  if (!N) return;
  scratch_.resize(N * D);
  logits_.resize(N * V);
  for (int64_t n = 0; n < N; ++n) {
    const float* hidden =
        rows[size_t(n)] < 0 ? slots[size_t(n)]->active->hidden.data() : state_.hidden_TD.data() + rows[size_t(n)] * D;
    std::memcpy(scratch_.data() + n * D, hidden, sizeof(float) * size_t(D));
  }
  logits(model_, compute_, scratch_.data(), nullptr, N, logits_.data());
  const auto choose = [&](int64_t n, SamplerScratch& scratch) {
    const Request& request = slots[size_t(n)]->active->request();
    Completion& c = slots[size_t(n)]->completion;
    SamplingContext context{.prompt = request.prompt, .completion = c.tokens};
    if (int64_t(c.tokens.size()) < request.sampling.min_tokens) context.banned = request.stop_ids;
    float uniform = token_uniform(request.seed, uint32_t(c.member), uint32_t(c.tokens.size()));
    Choice choice = choose_token(*compute_.kernels, {logits_.data() + n * V, size_t(V)}, request.sampling, context,
                                 uniform, scratch);
    c.tokens.push_back(choice.token);
    c.logprobs.push_back(choice.logprob);
    c.entropy_sum += choice.entropy;
    if (request.sampling.keep_sampling_mask) c.kept.add(scratch.kept);
  };
  samplers_.resize(size_t(compute_.pool.num_threads()));
  std::atomic<int64_t> next = 0;
  compute_.pool.parallel_for(std::min(N, int64_t(samplers_.size())), [&](int64_t thread) {
    for (int64_t n; (n = next.fetch_add(1)) < N;) choose(n, samplers_[size_t(thread)]);
  });
  generated_tokens_ += N;
  for (Slot* slot : slots) {
    FinishReason reason;
    if (ends(*slot, reason)) finish(*slot, reason);
  }
}

bool Engine::ends(Slot& slot, FinishReason& reason) {
  const Request& request = slot.active->request();
  const Completion& c = slot.completion;
  reason = FinishReason::stop;
  if (std::find(request.stop_ids.begin(), request.stop_ids.end(), c.tokens.back()) != request.stop_ids.end())
    return true;
  if (tokenizer_ && !request.sampling.stop.empty()) {
    std::string text = tokenizer_->decode(c.tokens);
    for (const std::string& stop : request.sampling.stop)
      if (!stop.empty() && text.find(stop) != std::string::npos) return true;
  }
  reason = FinishReason::length;
  return int64_t(c.tokens.size()) >= request.sampling.max_completion_length;
}

/// The text before the first stop string.
static std::string final_text(const Tokenizer& tokenizer, const Completion& c, const std::vector<std::string>& stops) {
  std::string text = tokenizer.decode(c.tokens);
  size_t end = text.size();
  for (const std::string& stop : stops)
    if (!stop.empty()) end = std::min(end, text.find(stop));
  return text.substr(0, end);
}

void Engine::finish(Slot& slot, FinishReason reason) {
  Active& active = *slot.active;
  size_t member = size_t(slot.completion.member);
  slot.completion.finish = reason;
  if (tokenizer_)
    active.result.texts[member] = final_text(*tokenizer_, slot.completion, active.request().sampling.stop);
  active.result.completions[member] = std::move(slot.completion);
  release(slot.own);
  slot = Slot{};
  if (++active.done < active.request().num_completions || active.cancelled) return;
  release(active.blocks);
  completed_.push_back(std::move(active.result));
  std::erase_if(active_, [&](auto& a) { return a.get() == &active; });
}

/// A completion reads the prompt's full blocks where they are, and starts from a copy of the last, partial one.
static void share_prompt(KvStore& kv, const ModelSpec& spec, const std::vector<int32_t>& prompt, int64_t prompt_length,
                         std::vector<int32_t>& table, const std::vector<int32_t>& own) {
  table.assign(prompt.begin(), prompt.begin() + prompt_length / kKeyBlock);
  table.insert(table.end(), own.begin(), own.end());
  if (int32_t lanes = int32_t(prompt_length % kKeyBlock)) copy_lanes(kv, spec, {prompt.back(), own.front(), lanes});
}

/// Members of requests whose prompt is passed take the free slots; their first tokens come from its last row.
void Engine::start_members() {
  std::vector<Slot*> started;
  for (auto& active : active_)
    for (auto& slot : slots_) {
      if (!active->ready()) break;
      if (slot->active) continue;
      int64_t need = blocks_for(active->prompt_length() + active->request().sampling.max_completion_length) -
                     active->prompt_length() / kKeyBlock;
      if (int64_t(free_blocks_.size()) < need) break;
      slot->active = active.get();
      slot->own = allocate(need);
      slot->completion.member = active->started++;
      slot->completion.seed = active->request().seed;
      share_prompt(kv_, model_.spec, active->blocks, active->prompt_length(), slot->blocks, slot->own);
      started.push_back(slot.get());
    }
  std::vector<int64_t> rows(started.size(), -1);
  sample(rows, started);
}

/// Takes over the full blocks of the prompt that another request has passed, or passes in this forward: every row of a
/// forward writes its keys before any row reads them.
Engine::Adopted Engine::adopt_prefix(Active& active) {
  const std::vector<int32_t>& prompt = active.request().prompt;
  Adopted adopted{.active = &active};
  for (auto& other : active_) {
    if (other.get() == &active) continue;
    const std::vector<int32_t>& theirs = other->request().prompt;
    int64_t limit = std::min(other->prefilled, int64_t(prompt.size()) - 1),
            same = 0;  // the last row is passed for its hidden state
    while (same < limit && prompt[size_t(same)] == theirs[size_t(same)]) ++same;
    if (same / kKeyBlock > adopted.blocks) adopted.blocks = same / kKeyBlock, adopted.owner = other.get();
  }
  release({active.blocks.data(), size_t(adopted.blocks)});
  for (int64_t i = 0; i < adopted.blocks; ++i)
    ++block_users_[size_t(active.blocks[size_t(i)] = adopted.owner->blocks[size_t(i)])];
  active.prefilled = adopted.blocks * kKeyBlock;
  return adopted;
}

/// The experts that a taken-over prefix went through count as if the request had passed it itself.
void Engine::book(const Adopted& a) {
  size_t width = a.active->result.expert_load.size();
  for (size_t i = 0; i < size_t(a.blocks) * width; ++i) {
    a.active->block_load[i] = a.owner->block_load[i];
    a.active->result.expert_load[i % width] += a.owner->block_load[i];
  }
}

bool Engine::step() {
  admit();
  std::vector<int32_t> tokens;
  std::vector<RowSpan> spans;
  std::vector<Active*> owners;
  std::vector<Slot*> decoding;
  std::vector<int64_t> rows;
  std::vector<Adopted> adopted;
  for (auto& slot : slots_) {
    if (!slot->active) continue;
    rows.push_back(int64_t(tokens.size()));
    spans.push_back({int64_t(tokens.size()), 1,
                     int32_t(slot->active->prompt_length() + int64_t(slot->completion.tokens.size()) - 1),
                     slot->blocks.data()});
    owners.push_back(slot->active);
    decoding.push_back(slot.get());
    tokens.push_back(slot->completion.tokens.back());
  }
  int64_t budget = config_.prefill_tokens;
  for (auto& active : active_) {
    if (!budget) break;
    if (active->prefilled == 0) adopted.push_back(adopt_prefix(*active));
    int64_t count = std::min(budget, active->prompt_length() - active->prefilled);
    if (!count) continue;
    budget -= count;
    const std::vector<int32_t>& prompt = active->request().prompt;
    spans.push_back({int64_t(tokens.size()), count, int32_t(active->prefilled), active->blocks.data()});
    owners.push_back(active.get());
    tokens.insert(tokens.end(), prompt.begin() + active->prefilled, prompt.begin() + active->prefilled + count);
    active->prefilled += count, prompt_tokens_ += count;
  }
  if (tokens.empty()) {  // members may still wait for a slot that their siblings' first token freed
    start_members();
    return !active_.empty() || !waiting_.empty();
  }
  run(tokens, spans, owners);
  for (const Adopted& a : adopted) book(a);
  for (size_t i = decoding.size(); i < spans.size(); ++i) {
    Active& active = *owners[i];
    const float* last = state_.hidden_TD.data() + (spans[i].first_row + spans[i].num_rows - 1) * model_.spec.dim;
    if (active.prefilled == active.prompt_length()) active.hidden.assign(last, last + model_.spec.dim);
  }
  sample(rows, decoding);
  start_members();
  return true;
}

/// The forward, and the tokens that each expert received, booked on the requests whose rows they were.
void Engine::run(std::span<const int32_t> tokens, std::span<const RowSpan> spans, std::span<Active* const> owners) {
  int64_t choices = 0, experts = 0;
  for (const LayerSpec& layer : model_.spec.layers)
    if (!layer.dense_dim) choices += layer.moe.top_k, experts = layer.moe.experts;
  routing_.resize(tokens.size() * size_t(choices));
  forward(model_, compute_, {tokens, spans, {}}, kv_, false, state_, routing_);
  if (!choices) return;
  int64_t top_k = choices / model_.spec.moe_layers();
  for (size_t i = 0; i < spans.size(); ++i)
    for (int64_t n = spans[i].first_row * choices; n < (spans[i].first_row + spans[i].num_rows) * choices; ++n) {
      Active& owner = *owners[i];
      int64_t position = spans[i].first_position + n / choices - spans[i].first_row,
              expert = n % choices / top_k * experts + routing_[size_t(n)];
      owner.result.expert_load[size_t(expert)] += 1;
      if (position < owner.prompt_length())
        owner.block_load[size_t(position / kKeyBlock) * owner.result.expert_load.size() + size_t(expert)] += 1;
    }
}

}  // namespace cohort
