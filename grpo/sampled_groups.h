// Groups as they are sampled, one file a rollout, so that a run killed before its next checkpoint finds them again.
#pragma once
#include <filesystem>
#include <map>
#include <memory>

#include "configs/durable_file.h"
#include "rollout/collect.h"

namespace cohort {

class SampledGroups {
 public:
  /// `run`/sampled/version-000012.jsonl, for the rollout under policy version 12; what other weights sampled under that
  /// number (another max_steps gives another learning rate) is not found.
  SampledGroups(const std::filesystem::path& run, const CausalLM& model, const Compute& compute);
  GroupStore store();

 private:
  uint32_t weights_;  // checksum
  std::map<int64_t, Group> found_;
  std::unique_ptr<DurableLog> log_;
};

/// Removes the files of rollouts before `version`: a checkpoint has what came of them.
void forget_sampled_groups(const std::filesystem::path& run, int64_t version);

}  // namespace cohort
