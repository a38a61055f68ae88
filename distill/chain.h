// A chain of stages, one after another: sft, train (GRPO), distill, eval. A stage's model may be "stage:NAME", the
// final folder of an earlier one. It resumes at the stage and step where it stopped.
#pragma once
#include <filesystem>

#include "distill/distill.h"
#include "rollout/evaluate.h"

namespace cohort {

struct StageConfig {
  std::string name, kind;
  std::string title;             // in the table; empty: the name
  Json config = Json::object();  // of its kind
  bool evaluate = false;         // a line in the table
  std::string seconds_of;        // train: end after as many seconds as that stage took
  uint64_t seed_offset = 0;      // added to the chain's seed
};
template <class V>
void visit_fields(V& v, StageConfig& c) {
  v.field("name", c.name, "of the stage and its folder", not_empty(), required());
  v.field("kind", c.kind, "what the stage does", one_of({"sft", "train", "distill", "eval"}), required());
  v.field("title", c.title, "in the table; empty: the name");
  v.field("config", c.config, "config of that kind; a model may be stage:NAME", required());
  v.field("evaluate", c.evaluate,
          "evaluate its final model on the chain's eval tasks; a stage of kind eval has tasks of its own");
  v.field("seconds_of", c.seconds_of, "for train: end after as many seconds as that stage took");
  v.field("seed_offset", c.seed_offset, "added to the chain's seed");
}

struct ChainConfig {
  std::vector<StageConfig> stages;
  EvalConfig eval;
  uint64_t seed = 0;
  int32_t threads = 0;
};
template <class V>
void visit_fields(V& v, ChainConfig& c) {
  v.field("stages", c.stages, "in order", required());
  v.object("eval", c.eval, "how stages marked evaluate are measured");
  v.field("seed", c.seed, "of all stages");
  v.field("threads", c.threads, "threads; 0: all usable cores", between(0, 1024));
}

/// Throws UsageError naming the stage for what no run of the chain could go through with: a key or value its kind
/// refuses, a name given twice, a stage:NAME or seconds_of that is no earlier stage. `folder` is where the chain will
/// run.
void validate(const ChainConfig& config, const std::filesystem::path& folder);

/// Runs (or resumes) all stages into folders of `request.out`; writes stages.json and report.html.
void run_chain(const ChainConfig& config, const RunRequest& request);

/// The table and examples of a chain folder, as text.
std::string chain_summary(const std::filesystem::path& folder);

}  // namespace cohort
