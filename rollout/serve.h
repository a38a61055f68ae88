// The HTTP service: what the routes of each folder have in common.
#pragma once
#include <string>

#include "rewards/code/service.h"
#include "rewards/http/server.h"
#include "rollout/service.h"

namespace cohort {

struct ServeConfig {
  std::string model;     // empty: none
  bool sandbox = false;  // POST /run_code
  http::ServerOptions server;
  std::string api_key_file;  // empty: no key is wanted
  bool insecure = false;     // an address that others reach, without a key
  code::ServiceOptions code;
  ServiceOptions service;   // name: empty for the model's reference
  int32_t threads = 0;      // 0: all usable cores
  int64_t max_waiting = 0;  // of model and sandbox; 0: the default of each
};

/// Serves until SIGINT or SIGTERM, then finishes what runs. Throws UsageError, MissingError, std::runtime_error where
/// the port is taken.
void serve(ServeConfig config);

}  // namespace cohort
