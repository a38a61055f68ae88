// The routes of a served model (cli contract §4).
#pragma once
#include "rollout/service.h"

#include "rewards/http/server.h"

namespace cohort {

/// The service must outlive them.
std::vector<http::Route> model_routes(Service& service);

}  // namespace cohort
