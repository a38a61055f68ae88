#include "rollout/unfinished_groups.h"

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace cohort {
namespace {

namespace fs = std::filesystem;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

uint32_t weights_checksum(const CausalLM& model, const Compute& compute) {
  const std::vector<std::span<const uint8_t>> pieces = stored_pieces(model);
  std::vector<uint32_t> sums(pieces.size());
  compute.pool.parallel_for(int64_t(sums.size()), [&](int64_t i) {
    const std::span<const uint8_t> piece = pieces[size_t(i)];
    sums[size_t(i)] = crc32c({reinterpret_cast<const char*>(piece.data()), piece.size()});
  });
  return crc32c({reinterpret_cast<const char*>(sums.data()), sums.size() * sizeof(uint32_t)});
}

UnfinishedGroups::UnfinishedGroups(const fs::path& out, const Json& identity) : file_(out.string() + ".unfinished") {
  log_ = std::make_unique<DurableLog>(file_);  // cuts off a torn last line
  std::ifstream lines(file_);
  std::string line;
  const std::string head = text_of({{"evaluation", identity}});
  const bool is_same = std::getline(lines, line) && line == head;
  if (!is_same && log_->num_lines() > 0)
    std::fprintf(stderr, "%s is of another evaluation (weights or settings differ) and is begun anew\n", file_.c_str());
  if (!is_same) {
    log_->keep_first(0);
    log_->append(head);
    return;
  }
  while (std::getline(lines, line)) {
    const Json row = Json::parse(line, nullptr, false);
    if (!row.is_object() || !row.contains("group") || row.value("checksum", Json()) != crc32c(text_of(row["group"])))
      continue;  // damaged: sampled anew
    if (has_finite_logprobs(row["group"])) found_[row.at("index")] = group_from_json(row["group"]);
  }
}

UnfinishedGroups::~UnfinishedGroups() {
  std::error_code none;
  if (log_ && log_->num_lines() <= 1) fs::remove(file_, none);
}

GroupStore UnfinishedGroups::store() {
  return {.find = [this](int64_t index) -> std::optional<Group> {
            const auto found = found_.find(index);
            return found == found_.end() ? std::nullopt : std::optional(found->second);
          },
          .keep =
              [this](int64_t index, const Group& group) {
                const Json row = to_json(group);
                log_->append(text_of({{"index", index}, {"checksum", crc32c(text_of(row))}, {"group", row}}));
              }};
}

void UnfinishedGroups::finish() {
  log_.reset();
  fs::remove(file_);
}

std::vector<Group> evaluate_into(const fs::path& out, LoadedModel& loaded, const Compute& compute,
                                 const EvalConfig& config, std::span<const Task> tasks,
                                 const std::function<void(std::span<const Group>)>& write_more) {
  const Json identity = {{"weights", weights_checksum(loaded.model, compute)},
                         {"sampling", dump_config(config.sampling)},
                         {"num_generations", config.num_generations},
                         {"seed", config.seed},
                         {"rewards", config.rewards}};
  UnfinishedGroups unfinished(out, identity);
  if (unfinished.found())
    std::fprintf(stderr, "%s.unfinished has %lld tasks of this evaluation: going on behind them\n", out.c_str(),
                 static_cast<long long>(unfinished.found()));
  std::vector<Group> groups = evaluate(loaded, compute, config, tasks, unfinished.store());
  write_groups(out, groups);
  if (write_more) write_more(groups);
  unfinished.finish();
  return groups;
}

}  // namespace cohort
