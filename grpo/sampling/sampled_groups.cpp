#include "grpo/sampling/sampled_groups.h"

#include <algorithm>
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

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

/// Of the pieces' CRC-32C.
uint32_t parameters_checksum(const CausalLM& model, const Compute& compute) {
  constexpr int64_t piece = 1 << 16;
  const Buffer& parameters = model.parameters;
  std::vector<uint32_t> sums(static_cast<size_t>(ceil_div(parameters.size(), piece)));
  compute.pool.parallel_for(int64_t(sums.size()), [&](int64_t i) {
    const int64_t count = std::min(piece, parameters.size() - i * piece);
    sums[size_t(i)] =
        crc32c({reinterpret_cast<const char*>(parameters.data() + i * piece), size_t(count) * sizeof(float)});
  });
  return crc32c({reinterpret_cast<const char*>(sums.data()), sums.size() * sizeof(uint32_t)});
}

SampledGroups::SampledGroups(const fs::path& run, int64_t version, uint32_t weights) : weights_(weights) {
  fs::create_directories(run / "sampled");
  fs::path file = file_of(run, version);
  log_ = std::make_unique<DurableLog>(file);  // cuts off a torn last line
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    Json row = Json::parse(line, nullptr, false);
    if (!row.is_object() || row.value("weights", Json()) != weights_ || !row.contains("group")) continue;
    if (row.value("checksum", Json()) != crc32c(text_of(row["group"]))) continue;  // damaged: sampled anew
    if (has_finite_logprobs(row["group"])) found_[row.at("index")] = group_from_json(row["group"]);
  }
}

GroupStore SampledGroups::store() {
  return {.find = [this](int64_t index) -> std::optional<Group> {
            auto found = found_.find(index);
            return found == found_.end() ? std::nullopt : std::optional(found->second);
          },
          .keep =
              [this](int64_t index, const Group& group) {
                const Json row = to_json(group);
                log_->append(text_of(
                    {{"index", index}, {"weights", weights_}, {"checksum", crc32c(text_of(row))}, {"group", row}}));
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
