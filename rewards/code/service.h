// POST /run_code in SandboxFusion's form (bytedance.github.io/SandboxFusion, "Run Code"), so that verl and others use
// this sandbox over HTTP. Goals: programs in Python, C++ and Java with standard input, files in and files out, in
// boxes. Non-goals: its other languages, Jupyter, data sets.
#pragma once
#include <string>
#include <vector>

#include "rewards/http/server.h"

namespace cohort::code {

struct ServiceOptions {
  int max_running = 2;   // programs at once
  int max_waiting = 64;  // requests that wait for one of them; what comes beyond is answered 429
  std::string python = "/usr/bin/python3";
};

/// Throws MissingError naming the layer of the sandbox that this machine
/// refuses.
std::vector<http::Route> run_code_routes(const ServiceOptions& options);

}  // namespace cohort::code
