#include "rollout/completion.h"

#include <algorithm>
#include <fstream>
#include <functional>

#include "configs/config.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

FinishReason finish_from(const std::string& name) {
  for (FinishReason reason : {FinishReason::stop, FinishReason::length, FinishReason::abort})
    if (name == to_string(reason)) return reason;
  throw UsageError("finish_reason \"" + name + "\" is not stop, length or abort");
}

Json to_json(const KeptSets& kept) {
  Json sets = Json::array();
  for (size_t i = 0; i + 1 < kept.begin.size(); ++i) {
    const std::span<const int32_t> set = kept.of(i);
    sets.push_back(std::vector<int32_t>(set.begin(), set.end()));
  }
  return sets;
}

Json to_json(const Rollout& r) {
  const Completion& c = r.completion;
  Json line = {{"completion", r.text},   {"completion_ids", c.tokens},
               {"logprobs", c.logprobs}, {"finish_reason", to_string(c.finish)},
               {"seed", c.seed},         {"member", c.member}};
  if (!c.versions.empty()) line["versions"] = c.versions;
  if (!c.kept.ids.empty()) line["kept"] = to_json(c.kept);
  if (c.entropy_sum != 0) line["entropy_sum"] = c.entropy_sum;
  if (!c.loss_mask.empty()) line["loss_mask"] = c.loss_mask;
  const bool is_judged = r.score.value || !r.score.reason.empty();
  if (is_judged) line["score"] = to_json(r.score), line["advantage"] = r.advantage;
  return line;
}

/// Each set is ascending and holds the token that was chosen from it, or is empty.
void expect_chosen_from(const KeptSets& kept, std::span<const int32_t> tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::span<const int32_t> set = kept.of(i);
    if (set.empty()) continue;
    const std::string where = "[group] kept[" + std::to_string(i) + "] ";
    if (std::ranges::adjacent_find(set, std::greater_equal()) != set.end())
      throw UsageError(where + "is not ascending: each set names its token ids once, the lowest first");
    if (!std::ranges::binary_search(set, tokens[i]))
      throw UsageError(where + "lacks the token " + std::to_string(tokens[i]) + ", which was chosen from it");
  }
}

/// JSON has no NaN and no infinity; null stands where one was written.
std::vector<float> logprobs_from(const Json& list) {
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].is_null())
      throw UsageError("[group] logprobs[" + std::to_string(i) +
                       "] is null, expected a number: the weights that sampled it were not finite");
  return list.get<std::vector<float>>();
}

Rollout rollout_from_json(const Json& line) {
  Rollout r;
  r.text = line.value("completion", "");
  Completion& c = r.completion;
  c.tokens = line.at("completion_ids").get<std::vector<int32_t>>();
  c.logprobs = logprobs_from(line.at("logprobs"));
  c.loss_mask = line.value("loss_mask", std::vector<uint8_t>());
  c.versions = line.value("versions", std::vector<int32_t>());
  for (const Json& set : line.value("kept", Json::array())) c.kept.add(set.get<std::vector<int32_t>>());
  c.entropy_sum = line.value("entropy_sum", 0.0);
  c.finish = finish_from(line.value("finish_reason", "stop"));
  c.seed = line.value("seed", uint64_t(0)), c.member = line.value("member", 0);
  if (line.contains("score")) r.score = score_from_json(line["score"]);
  r.advantage = line.value("advantage", 0.0f);
  auto check = [&](const char* name, size_t size) {
    if (size != c.tokens.size())
      throw UsageError(std::string("[group] ") + name + " has " + std::to_string(size) +
                       " entries, completion_ids has " + std::to_string(c.tokens.size()));
  };
  check("logprobs", c.logprobs.size());
  if (!c.loss_mask.empty()) check("loss_mask", c.loss_mask.size());
  if (!c.versions.empty()) check("versions", c.versions.size());
  if (!c.kept.begin.empty()) check("kept", c.kept.begin.size() - 1);
  expect_chosen_from(c.kept, c.tokens);
  return r;
}

}  // namespace

void KeptSets::add(std::span<const int32_t> set) {
  if (begin.empty()) begin.push_back(0);
  ids.insert(ids.end(), set.begin(), set.end());
  begin.push_back(int64_t(ids.size()));
}

std::span<const int32_t> KeptSets::of(size_t token) const {
  if (begin.empty()) return {};
  return std::span(ids).subspan(size_t(begin[token]), size_t(begin[token + 1] - begin[token]));
}

const char* to_string(FinishReason reason) {
  return reason == FinishReason::stop ? "stop" : reason == FinishReason::length ? "length" : "abort";
}

Json to_json(const Group& group) {
  Json line = {{"task", to_json(group.task)},
               {"prompt_ids", group.prompt},
               {"policy_version", group.policy_version},
               {"rollouts", Json::array()}};
  for (const Rollout& rollout : group.rollouts) line["rollouts"].push_back(to_json(rollout));
  if (!group.expert_load.empty()) line["expert_load"] = group.expert_load;
  return line;
}

Group group_from_json(const Json& line) {
  Group group;
  group.task = task_from_json(line.at("task"));
  group.prompt = line.at("prompt_ids").get<std::vector<int32_t>>();
  group.policy_version = line.value("policy_version", int64_t(0));
  for (const Json& rollout : line.at("rollouts")) group.rollouts.push_back(rollout_from_json(rollout));
  group.expert_load = line.value("expert_load", std::vector<double>());
  return group;
}

bool has_finite_logprobs(const Json& group) {
  return std::ranges::none_of(group.at("rollouts"), [](const Json& rollout) {
    return std::ranges::any_of(rollout.at("logprobs"), [](const Json& logprob) { return logprob.is_null(); });
  });
}

std::vector<Group> read_groups(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in || std::filesystem::is_directory(file))
    throw UsageError("the groups file " + file.string() + " cannot be read");
  std::vector<Group> groups;
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    const std::string where = file.string() + ":" + std::to_string(++number);
    if (line.empty()) continue;
    const Json row = parse_config_text(line, where);
    try {
      groups.push_back(group_from_json(row));
    } catch (const UsageError& error) {
      throw UsageError(where + ": " + error.what());
    } catch (const Json::exception&) {
      throw UsageError(where +
                       ": no group, expected {\"task\", \"prompt_ids\", \"rollouts\": [{\"completion_ids\", "
                       "\"logprobs\", \"score\"}]}");
    }
  }
  return groups;
}

void print_groups(std::span<const Group> groups, std::ostream& out) {
  for (const Group& group : groups) out << to_json(group).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

void write_groups(const std::filesystem::path& file, std::span<const Group> groups) {
  std::string text;
  for (const Group& group : groups) text += to_json(group).dump() + "\n";
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  write_durably(file, text);
}

}  // namespace cohort
