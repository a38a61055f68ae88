#include "rollout/service.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "configs/error.h"
#include "rollout/same_model.h"

namespace cohort {

struct Service::Ticket {
  std::vector<Request> requests;
  http::Answer* answer = nullptr;
  // Under the service's mutex:
  std::vector<int64_t> ids;  // the engine's, once it has seen them
  Tell tell;                 // set while its owner waits for a stream's end
  bool is_told = false;      // now, by the thread that tells
  std::vector<SampledToken> tokens;
  std::vector<Finished> finished;  // [requests]
  size_t num_finished = 0;
  std::optional<End> end;
  std::condition_variable changed;
};

int64_t service_length(const ModelSpec& spec, const ServiceOptions& options) {
  if (options.max_model_len > spec.max_position)
    throw UsageError("--max-model-len " + std::to_string(options.max_model_len) + " exceeds the model's context of " +
                     std::to_string(spec.max_position));
  return options.max_model_len ? options.max_model_len : spec.max_position;
}

int64_t service_cache_tokens(const ModelSpec& spec, const ServiceOptions& options) {
  if (options.engine.kv_cache_tokens) return options.engine.kv_cache_tokens;
  const int64_t length = service_length(spec, options), least = 2 * kKeyBlock + round_up(length, kKeyBlock);
  const int64_t bytes = KvStore(spec, 1, false).bytes() / kKeyBlock,  // of a token
      memory = int64_t(sysconf(_SC_PHYS_PAGES)) * int64_t(sysconf(_SC_PAGESIZE));
  const int64_t fits = memory / 16 / bytes, wanted = int64_t(options.engine.max_slots) * (length + 2 * kKeyBlock);
  return std::max(least, std::min(fits, wanted));
}

Service::Service(LoadedModel& loaded, const Compute& compute, const ServiceOptions& options)
    : loaded_(loaded),
      spec_(loaded.model.spec),
      compute_(compute),
      options_(options),
      max_length_(service_length(loaded.model.spec, options)),
      policy_version_(loaded.model.version) {
  options_.engine.kv_cache_tokens = service_cache_tokens(loaded.model.spec, options);
  extend_rope(loaded_.model, max_length_);
  engine_ = std::make_unique<Engine>(loaded_.model, compute_, loaded_.tokenizer.get(), options_.engine, max_length_);
  statistics_.kv_tokens = engine_->kv_tokens(), statistics_.kv_bytes = engine_->kv_bytes();
  worker_ = std::thread([this] { work(); });
  teller_ = std::thread([this] { tell_streams(); });
}

Service::~Service() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    work_wanted_.notify_all(), news_come_.notify_all();
  }
  worker_.join(), teller_.join();
}

// ---- Whoever asks: threads of connections.

Service::Submission::Submission(Service& service, std::vector<Request> requests, http::Answer& answer)
    : service_(service), ticket_(std::make_unique<Ticket>()) {
  ticket_->requests = std::move(requests);
  ticket_->finished.resize(ticket_->requests.size());
  ticket_->answer = &answer;
  const std::lock_guard lock(service_.mutex_);
  ++service_.statistics_.requests;
  const ServiceOptions& options = service_.options_;
  const int64_t taken = int64_t(service_.places_.size()) + service_.in_inbox(),
                asked = int64_t(ticket_->requests.size()),
                room = std::max<int64_t>(0, options.max_waiting + options.engine.max_slots - taken);
  if (asked > room) {
    ++service_.statistics_.refused;
    throw http::Error(429, "the line is full: it has room for " + std::to_string(room) + " of this request's " +
                               std::to_string(asked) + " prompts; try again in a second");
  }
  service_.tickets_.push_back(ticket_.get());
  service_.inbox_.push_back(ticket_.get());
  service_.work_wanted_.notify_one();
}

Service::Submission::~Submission() {
  const std::lock_guard lock(service_.mutex_);
  if (!ticket_->end) service_.end(*ticket_, End::gone);
}

Service::News Service::Submission::wait(Tell tell) {
  std::unique_lock lock(service_.mutex_);
  ticket_->tell = std::move(tell);
  ticket_->changed.wait(lock, [&] { return ticket_->end && !ticket_->is_told; });
  return {std::exchange(ticket_->tokens, {}), *ticket_->end};
}

const std::vector<Finished>& Service::Submission::finished() const {
  return ticket_->finished;
}

int64_t Service::in_inbox() const {
  int64_t count = 0;
  for (const Ticket* ticket : inbox_) count += int64_t(ticket->requests.size());
  return count;
}

ServiceStatistics Service::statistics() const {
  const std::lock_guard lock(mutex_);
  ServiceStatistics now = statistics_;
  now.waiting += in_inbox();
  now.policy_version = policy_version_;
  return now;
}

int64_t Service::reload(const std::string& reference, std::optional<int64_t> version) {
  const std::unique_lock one(reloading_, std::try_to_lock);
  if (!one.owns_lock()) throw http::Error(429, "other weights are being loaded: try again when they are in use");
  if (version && *version <= policy_version_)
    throw UsageError("policy_version " + std::to_string(*version) + " is not above the current one, " +
                     std::to_string(policy_version_));
  const Compute own(1);  // the engine's threads go on with what runs
  LoadedModel fresh = load_model(reference, own, options_.bf16, Weights::packed);
  expect_same_model(spec_, fresh.model.spec, reference);
  extend_rope(fresh.model, max_length_);
  fresh.model.version = version.value_or(policy_version_ + 1);
  std::unique_lock lock(mutex_);
  fresh_ = &fresh.model;
  work_wanted_.notify_one();
  reloaded_.wait(lock, [&] { return fresh_ == nullptr || stop_; });
  if (std::exchange(fresh_, nullptr)) throw http::Error(503, "the service ends");
  return policy_version_;
}

// ---- The engine's thread. The mutex is held but in step().

void Service::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (fresh_ && is_idle()) {
      std::swap(loaded_.model, *fresh_);
      policy_version_ = loaded_.model.version;
      engine_->forget_prompts();
      fresh_ = nullptr;
      reloaded_.notify_all();
    }
    drop_abandoned();
    for (int64_t id : std::exchange(cancelled_, {})) engine_->cancel(id);
    if (!fresh_) take_in();
    if (is_idle()) {
      count();
      if (inbox_.empty() && !fresh_) work_wanted_.wait(lock);
      continue;
    }
    lock.unlock();
    bool failed = false;
    try {
      engine_->step();
    } catch (const std::exception& error) {
      std::cerr << "cohort: the engine failed and is begun anew: " << error.what() << "\n";
      failed = true;
    }
    lock.lock();
    failed ? fail_all() : hand_out();
  }
  while (!tickets_.empty()) end(*tickets_.back(), End::failed);
  reloaded_.notify_all();
}

void Service::take_in() {
  for (Ticket* ticket : inbox_)
    for (size_t i = 0; i < ticket->requests.size(); ++i) {
      Request request = std::move(ticket->requests[i]);
      request.id = next_id_++;
      places_[request.id] = {ticket, i};
      ticket->ids.push_back(request.id);
      engine_->submit(std::move(request));
    }
  inbox_.clear();
  statistics_.waiting = engine_->num_waiting();
}

void Service::drop_abandoned() {
  const std::vector<Ticket*> tickets = tickets_;
  std::vector<http::Answer*> answers;
  for (Ticket* ticket : tickets) answers.push_back(ticket->answer);
  const std::vector<bool> gone = http::abandoned(answers);
  for (size_t i = 0; i < tickets.size(); ++i)
    if (gone[i]) end(*tickets[i], End::gone);
}

/// From here on the ticket is its owner's alone.
void Service::end(Ticket& ticket, End how) {
  ticket.end = how;
  statistics_.abandoned += how == End::gone, statistics_.unread += how == End::unread;
  std::erase(tickets_, &ticket), std::erase(inbox_, &ticket);
  for (int64_t id : ticket.ids)
    if (places_.erase(id)) cancelled_.push_back(id);
  ticket.changed.notify_all();
}

void Service::hand_out() {
  for (const SampledToken& sampled : engine_->sampled()) {
    const auto place = places_.find(sampled.id);
    if (place == places_.end()) continue;  // its client has gone
    Ticket& ticket = *place->second.ticket;
    SampledToken& told = ticket.tokens.emplace_back(sampled);
    told.id = int64_t(place->second.request);
    has_news_ |= ticket.tell != nullptr;
  }
  while (std::optional<Finished> finished = engine_->take_completed()) {
    const auto place = places_.find(finished->request.id);
    if (place == places_.end()) continue;
    Ticket& ticket = *place->second.ticket;
    ticket.finished[place->second.request] = std::move(*finished);
    places_.erase(place);
    if (++ticket.num_finished == ticket.requests.size()) end(ticket, End::complete);
  }
  std::vector<Ticket*> unread;
  for (Ticket* ticket : tickets_)
    if (ticket->tell && int64_t(ticket->tokens.size()) > options_.max_unread) unread.push_back(ticket);
  for (Ticket* ticket : unread) end(*ticket, End::unread);
  if (has_news_) news_come_.notify_one();
  count();
}

void Service::count() {
  statistics_.running = engine_->num_running(), statistics_.waiting = engine_->num_waiting();
  statistics_.prompt_tokens = engine_->prompt_tokens(), statistics_.shared_tokens = engine_->shared_tokens();
  statistics_.generation_tokens = engine_->generated_tokens(), statistics_.preemptions = engine_->preemptions();
  statistics_.kv_tokens_used = engine_->kv_tokens_used();
}

// ---- The thread that tells. One wakes for the tokens of a step, not one for each client: waking a thread takes longer
// than what it tells, and takes a core from the engine.

static bool could_tell(const Service::Tell& tell, std::span<const SampledToken> tokens) {
  try {
    tell(tokens);
    return true;
  } catch (const std::exception& error) {
    std::cerr << "cohort: a stream failed and is ended: " << error.what() << "\n";
    return false;
  }
}

void Service::tell_streams() {
  using Clock = std::chrono::steady_clock;
  constexpr int kRest = 19;  // times as long as telling took: the engine wants the cores
  constexpr Clock::duration kLongestRest = std::chrono::milliseconds(100);
  for (Clock::duration rest{0};; std::this_thread::sleep_for(rest)) {
    std::unique_lock lock(mutex_);
    news_come_.wait(lock, [&] { return has_news_ || stop_; });
    if (stop_) return;
    has_news_ = false;
    std::vector<std::pair<Ticket*, std::vector<SampledToken>>> news;
    for (Ticket* ticket : tickets_) {
      if (!ticket->tell || ticket->tokens.empty() || !ticket->answer->offer("")) continue;
      ticket->is_told = true;
      news.emplace_back(ticket, std::exchange(ticket->tokens, {}));
    }
    lock.unlock();
    const auto start = Clock::now();
    std::vector<Ticket*> failed;
    for (const auto& [ticket, tokens] : news)
      if (!could_tell(ticket->tell, tokens)) failed.push_back(ticket);
    rest = std::min(kLongestRest, kRest * (Clock::now() - start));
    lock.lock();
    for (Ticket* ticket : failed)
      if (!ticket->end) end(*ticket, End::failed);
    for (const auto& [ticket, tokens] : news) {
      ticket->is_told = false;
      if (ticket->end) ticket->changed.notify_one();
    }
  }
}

void Service::fail_all() {
  while (!tickets_.empty()) end(*tickets_.back(), End::failed);
  places_.clear(), cancelled_.clear();
  engine_.reset();
  engine_ = std::make_unique<Engine>(loaded_.model, compute_, loaded_.tokenizer.get(), options_.engine, max_length_);
}

}  // namespace cohort
