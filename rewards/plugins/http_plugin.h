// Plug-ins behind HTTP: our list of items, and OpenRLHF's lists of queries, prompts and labels.
#pragma once
#include "rewards/reward.h"

namespace cohort {

RewardFn http_reward(const std::string& url);  // throw UsageError for what is no address
RewardFn openrlhf_reward(const std::string& url);

}  // namespace cohort
