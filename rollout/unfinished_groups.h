// Groups of an evaluation that is under way, in a file beside the one that they will be written to: OUT.unfinished, one
// line for each as it is judged, so that a killed evaluation goes on where it stood, with the same bits.
#pragma once
#include <map>
#include <memory>

#include "configs/durable_file.h"
#include "rollout/evaluate.h"

namespace cohort {

/// CRC-32C of the packed weights: a function of the weights and of bf16 alone.
uint32_t weights_checksum(const CausalLM& model, const Compute& compute);

class UnfinishedGroups {
 public:
  /// Takes up what an earlier attempt at the evaluation `identity` (weights, settings) left; groups of another one, and
  /// lines that are damaged, are dropped.
  UnfinishedGroups(const std::filesystem::path& out, const Json& identity);
  ~UnfinishedGroups();  // a file without a group goes
  UnfinishedGroups(const UnfinishedGroups&) = delete;

  int64_t found() const { return int64_t(found_.size()); }
  GroupStore store();
  /// Nothing is unfinished any more: the file beside `out` goes.
  void finish();

 private:
  std::filesystem::path file_;
  std::unique_ptr<DurableLog> log_;
  std::map<int64_t, Group> found_;
};

/// evaluate(), its groups written to `out`; what a killed attempt left beside it is taken up. `write_more` writes what
/// follows from the groups: a kill before its end samples nothing again.
std::vector<Group> evaluate_into(const std::filesystem::path& out, LoadedModel& loaded, const Compute& compute,
                                 const EvalConfig& config, std::span<const Task> tasks,
                                 const std::function<void(std::span<const Group>)>& write_more = {});

}  // namespace cohort
