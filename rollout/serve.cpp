#include "rollout/serve.h"

#include <iostream>

#include "configs/error.h"
#include "configs/interrupts.h"

namespace cohort {

void serve(ServeConfig config) {
  if (!config.model.empty())
    throw MissingError(
        "serving a model is not available yet in this version: cohort serve --sandbox, or cohort sample");
  if (!config.sandbox) throw UsageError("nothing to serve: give --sandbox");
  if (!config.api_key_file.empty()) config.server.keys = http::read_keys(config.api_key_file);
  http::expect_safe(config.server, config.insecure);
  http::Server server(config.server);  // the port first: it is the cheapest to be refused
  std::vector<http::Route> routes = code::run_code_routes(config.code);
  routes.push_back({"GET", "/health",
                    [](const http::Request&, http::Answer& answer) { answer.send(200, "application/json", "{}"); },
                    true});
  watch_interrupts();
  std::cerr << "serving POST /run_code at http://" << config.server.host << ":" << server.port() << "\n";
  server.run(std::move(routes), interrupted);
  std::cerr << "served; the end was asked for\n";
}

}  // namespace cohort
