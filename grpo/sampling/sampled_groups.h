// Groups as they are sampled, one file a rollout, so that a run killed before its next checkpoint finds them again.
#pragma once
#include <filesystem>
#include <map>
#include <memory>

#include "configs/durable_file.h"
#include "rollout/collect.h"

namespace cohort {

/// CRC-32C of the parameters.
uint32_t parameters_checksum(const CausalLM& model, const Compute& compute);

class SampledGroups {
 public:
  /// `run`/sampled/version-000012.jsonl, for the rollout that policy version 12 begins to learn from; what other
  /// weights sampled for it (another max_steps gives another learning rate) is not found.
  SampledGroups(const std::filesystem::path& run, int64_t version, uint32_t weights);
  GroupStore store();

 private:
  uint32_t weights_;  // checksum of the parameters that sample
  std::map<int64_t, Group> found_;
  std::unique_ptr<DurableLog> log_;
};

/// Removes the files of rollouts before `version`: a checkpoint has what came of them.
void forget_sampled_groups(const std::filesystem::path& run, int64_t version);

}  // namespace cohort
