#include "rollout/serve.h"

#include <iostream>
#include <sstream>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/machine.h"
#include "rollout/service_routes.h"

namespace cohort {
namespace {

/// The model, what computes it, and who serves it.
struct ServedModel {
  explicit ServedModel(const ServeConfig& config)
      : compute(config.threads ? config.threads : usable_cores()),
        loaded(load_with_tokenizer(config.model, compute, config.service.bf16, Weights::packed)),
        service(loaded, compute, config.service) {}
  Compute compute;
  LoadedModel loaded;
  Service service;
};

http::Route health_route() {
  return {
      "GET", "/health",
      [](const http::Request&, http::Answer& answer) { answer.send(200, "application/json", "{\"status\":\"ok\"}"); },
      true};
}

void append(std::vector<http::Route>& routes, std::vector<http::Route> more) {
  routes.insert(routes.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

void serve(ServeConfig config) {
  if (config.model.empty() && !config.sandbox) throw UsageError("nothing to serve: give -m MODEL, --sandbox, or both");
  if (!config.api_key_file.empty()) config.server.keys = http::read_keys(config.api_key_file);
  http::expect_safe(config.server, config.insecure);
  if (config.max_waiting) config.code.max_waiting = int(config.service.max_waiting = config.max_waiting);
  if (config.service.name.empty()) config.service.name = config.model;
  if (!config.model.empty()) service_length(load_spec(config.model), config.service);
  http::Server server(config.server);  // the port first: it is the cheapest to be refused
  watch_interrupts();
  std::vector<http::Route> routes;
  if (config.sandbox) routes = code::run_code_routes(config.code);
  std::unique_ptr<ServedModel> served;
  if (!config.model.empty()) served = std::make_unique<ServedModel>(config);
  append(routes, served ? model_routes(served->service) : std::vector{health_route()});
  std::ostringstream line;  // written in one piece: who waits for it reads all of it
  line << "serving " << (config.sandbox ? "POST /run_code" : "") << (config.sandbox && served ? " and " : "")
       << (served ? config.service.name : "") << " at http://" << config.server.host << ":" << server.port();
  if (served)
    line << " (context " << served->service.max_model_len() << ", cache of " << served->service.statistics().kv_tokens
         << " tokens, " << served->service.statistics().kv_bytes / (1 << 20) << " MiB)";
  std::cerr << line.str() + "\n";
  server.run(std::move(routes), interrupted);
  std::cerr << "served; the end was asked for\n";
}

}  // namespace cohort
