// One engine for many clients: a thread of its own takes requests up, steps, and hands out what it sampled; another
// tells the streams what has come, all of them in one go; those who asked wait for the end. Goals: the bits that
// offline sampling gives; a bounded line; a client that is gone, or does not read, holds nobody up; weights that change
// only between requests.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "policy/load.h"
#include "rewards/http/server.h"
#include "rollout/engine.h"

namespace cohort {

struct ServiceOptions {
  EngineConfig engine;         // kv_cache_tokens 0: see service_cache_tokens
  int64_t max_model_len = 0;   // longest prompt and completion; 0: the model's context
  int64_t max_waiting = 1024;  // prompts in line beside as many as there are slots; those beyond are refused
  int64_t max_unread = 16384;  // tokens sampled for a client that does not read; beyond, its request ends
  std::string name;            // the model's
  bool allow_reload = false;   // weights from a folder, POST /reload
  bool bf16 = false;           // of weights that are loaded later
};

/// The longest prompt and completion that are served, and the tokens that the cache is to hold for it: what max_slots
/// completions of that length need, or what a sixteenth of the memory holds.
int64_t service_length(const ModelSpec& spec, const ServiceOptions& options);
int64_t service_cache_tokens(const ModelSpec& spec, const ServiceOptions& options);

/// What /metrics tells.
struct ServiceStatistics {
  int64_t running = 0, waiting = 0, prompt_tokens = 0, generation_tokens = 0, shared_tokens = 0, preemptions = 0;
  int64_t kv_tokens = 0, kv_tokens_used = 0, kv_bytes = 0, policy_version = 0;
  int64_t requests = 0, refused = 0, abandoned = 0, unread = 0;  // by how they ended, `requests` all of them
};

class Service {
 public:
  /// The model and the tokenizer must outlive this; the weights change with reload.
  Service(LoadedModel& loaded, const Compute& compute, const ServiceOptions& options);
  ~Service();
  Service(const Service&) = delete;

  enum class End { complete, gone, unread, failed };
  /// What has come for a ticket and was not told.
  struct News {
    std::vector<SampledToken> tokens;  // id: which of its requests
    End end = End::complete;
  };
  /// Tells the client of tokens as they come; waits for nothing (Answer::offer).
  using Tell = std::function<void(std::span<const SampledToken>)>;
  struct Ticket;
  /// Some prompts in the engine, or in line for it; withdrawn with this object.
  class Submission {
   public:
    Submission(Service& service, std::vector<Request> requests, http::Answer& answer);
    ~Submission();
    Submission(const Submission&) = delete;
    /// Waits for the end. `tell`, if there is one, is called meanwhile, by another thread.
    News wait(Tell tell = nullptr);
    /// By request; after the end.
    const std::vector<Finished>& finished() const;

   private:
    Service& service_;
    std::unique_ptr<Ticket> ticket_;
  };

  /// New weights of the same model; returns once they are in use. Throws UsageError for what is unusable, which changes
  /// nothing. The version becomes `version`, or the next one.
  int64_t reload(const std::string& reference, std::optional<int64_t> version);

  ServiceStatistics statistics() const;
  int64_t policy_version() const { return policy_version_; }
  int64_t max_model_len() const { return max_length_; }
  const ModelSpec& spec() const { return spec_; }
  const Tokenizer& tokenizer() const { return *loaded_.tokenizer; }
  const ServiceOptions& options() const { return options_; }

 private:
  struct Place {  // of an engine's request
    Ticket* ticket = nullptr;
    size_t request = 0;
  };
  void work();
  void tell_streams();
  void take_in();
  void drop_abandoned();
  void end(Ticket& ticket, End how);
  void hand_out();
  void count();
  void fail_all();
  bool is_idle() const { return places_.empty(); }
  int64_t in_inbox() const;

  LoadedModel& loaded_;
  const ModelSpec spec_;  // reload changes weights alone
  const Compute& compute_;
  ServiceOptions options_;
  int64_t max_length_;
  std::unique_ptr<Engine> engine_;
  mutable std::mutex mutex_;
  std::condition_variable work_wanted_, news_come_, reloaded_;
  std::vector<Ticket*> tickets_;     // all that have not ended
  std::vector<Ticket*> inbox_;       // of them, those that the engine has not seen
  std::map<int64_t, Place> places_;  // by the engine's id
  std::vector<int64_t> cancelled_;   // of the engine's, before its next step
  int64_t next_id_ = 0;
  CausalLM* fresh_ = nullptr;  // weights that wait for the engine to be idle
  std::atomic<int64_t> policy_version_;
  ServiceStatistics statistics_;
  bool stop_ = false, has_news_ = false;
  std::mutex reloading_;  // one at a time
  std::thread worker_, teller_;
};

}  // namespace cohort
