// A tiny model behind a service in this process.
#pragma once
#include <filesystem>
#include <thread>

#include "policy/save.h"
#include "rollout/service_routes.h"
#include "tests/rollout/byte_models.h"
#include "tests/rollout/http_client.h"

namespace cohort {

class Served {
 public:
  explicit Served(ServiceOptions options = {}, http::ServerOptions server = {}, const Json& config = tiny_llama(),
                  int threads = 2)
      : compute_(threads),
        loaded_{random_model(over_bytes(config), compute_, 5), std::make_unique<Tokenizer>(bytes_tokenizer())},
        service_(loaded_, compute_, named(options)),
        server_(with_free_port(server)) {
    thread_ = std::thread([this] { server_.run(model_routes(service_), [this] { return stop_.load(); }); });
  }
  ~Served() { stop(); }
  /// As SIGTERM does.
  void begin_to_stop() { stop_ = true; }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  int port() const { return server_.port(); }
  Service& service() { return service_; }
  const CausalLM& model() const { return loaded_.model; }
  const Compute& compute() const { return compute_; }
  const Tokenizer& tokenizer() const { return *loaded_.tokenizer; }

  Reply post(const std::string& path, const Json& body) const {
    HttpClient client(port());
    client.ask("POST", path, body.dump());
    return client.reply();
  }
  Reply get(const std::string& path) const {
    HttpClient client(port());
    client.ask("GET", path);
    return client.reply();
  }
  int64_t metric(const std::string& name) const {
    const std::string text = get("/metrics").body, line = "\ncohort_" + name + " ";
    const size_t at = text.find(line);
    return at == std::string::npos ? -1 : std::stoll(text.substr(at + line.size()));
  }
  /// Looks until it is so; false after ten seconds.
  bool comes_to(const std::string& name, int64_t value) const {
    for (int i = 0; i < 500; ++i) {
      if (metric(name) == value) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

 private:
  static ServiceOptions named(ServiceOptions options) {
    options.name = "tiny";
    return options;
  }
  static http::ServerOptions with_free_port(http::ServerOptions options) {
    options.port = 0;
    return options;
  }
  Compute compute_;
  LoadedModel loaded_;
  Service service_;
  http::Server server_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace cohort
