#include "grpo/sampled_groups.h"

#include <cstdio>
#include <fstream>

namespace cohort {
namespace {

namespace fs = std::filesystem;

fs::path file_of(const fs::path& run, int64_t version) {
  char name[48];
  std::snprintf(name, sizeof name, "version-%06lld.jsonl", static_cast<long long>(version));
  return run / "sampled" / name;
}

}  // namespace

SampledGroups::SampledGroups(const fs::path& run, int64_t version) {
  fs::create_directories(run / "sampled");
  fs::path file = file_of(run, version);
  log_ = std::make_unique<DurableLog>(file);  // cuts off a torn last line
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    Json row = Json::parse(line, nullptr, false);
    if (row.is_object() && row.contains("index")) found_[row["index"]] = group_from_json(row.at("group"));
  }
}

GroupStore SampledGroups::store() {
  return {.find = [this](int64_t index) -> std::optional<Group> {
            auto found = found_.find(index);
            return found == found_.end() ? std::nullopt : std::optional(found->second);
          },
          .keep =
              [this](int64_t index, const Group& group) {
                log_->append(Json{{"index", index}, {"group", to_json(group)}}.dump());
              }};
}

void forget_sampled_groups(const fs::path& run, int64_t version) {
  if (!fs::is_directory(run / "sampled")) return;
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(run / "sampled"))
    if (entry.path() < file_of(run, version)) old.push_back(entry.path());
  for (const fs::path& path : old) fs::remove(path);
}

}  // namespace cohort
