#include "distill/chain.h"

#include <cstdio>
#include <fstream>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "grpo/report/report.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

Json read_stages(const fs::path& folder) {
  std::ifstream in(folder / "stages.json");
  Json stages = in ? Json::parse(in, nullptr, false) : Json::array();
  return stages.is_array() ? stages : Json::array();
}

const Json* find_stage(const Json& stages, const std::string& name) {
  for (const Json& stage : stages)
    if (stage.at("name") == name) return &stage;
  return nullptr;
}

/// "stage:NAME" anywhere in the config becomes that stage's final folder.
void resolve_stages(Json& value, const fs::path& folder, const ChainConfig& config, const std::string& stage) {
  if (value.is_structured())
    for (Json& child : value) resolve_stages(child, folder, config, stage);
  if (!value.is_string() || !value.get_ref<const std::string&>().starts_with("stage:")) return;
  std::string name = value.get<std::string>().substr(6);
  for (const StageConfig& earlier : config.stages) {
    if (earlier.name == stage) break;
    if (earlier.name == name) return void(value = (folder / name / "final").string());
  }
  throw UsageError("stage \"" + stage + "\" names the model stage:" + name + ", which is no earlier stage");
}

Json stage_config(const ChainConfig& chain, const StageConfig& stage, const fs::path& folder, const Json& finished) {
  Json config = stage.config;
  resolve_stages(config, folder, chain, stage.name);
  uint64_t seed = chain.seed + stage.seed_offset;
  if (!config.contains("seed")) config["seed"] = seed;
  if (!config.contains("threads")) config["threads"] = chain.threads;
  if (stage.kind == "distill" && config.contains("student")) {
    config["student"]["seed"] = config["seed"], config["student"]["threads"] = config["threads"];
    if (!config["student"].contains("tasks")) config["student"]["tasks"] = "-";  // the traces take its place
  }
  if (config.contains("model")) {
    std::string model = config["model"];
    if (model.starts_with("init:") && model.find('?') == std::string::npos) config["model"] = model + "?seed=" + std::to_string(seed);
  }
  if (!stage.seconds_of.empty()) {
    const Json* other = find_stage(finished, stage.seconds_of);
    config["max_seconds"] = other ? other->at("seconds").get<double>() : 0.0;
  }
  return config;
}

/// Configs are read before anything runs, so that a misspelt key of the last stage costs no time.
template <class C>
C read_stage(const Json& config, const StageConfig& stage) {
  C parsed;
  read_config(config, parsed, "stage \"" + stage.name + "\"");
  return parsed;
}
void check_stage(const Json& config, const StageConfig& stage) {
  if (stage.kind == "sft") read_stage<SftConfig>(config, stage);
  else if (stage.kind == "train") validate(read_stage<TrainConfig>(config, stage));
  else read_stage<DistillConfig>(config, stage);
}

TrainResult run_stage(const Json& config, const StageConfig& stage, const RunRequest& request) {
  if (stage.kind == "sft") return sft(read_stage<SftConfig>(config, stage), request);
  if (stage.kind == "train") return train(read_stage<TrainConfig>(config, stage), request);
  return distill(read_stage<DistillConfig>(config, stage), request);
}

/// pass@1 under the chain's rewards, and under the lenient ones, of the same completions.
Json evaluate_stage(const ChainConfig& chain, const fs::path& stage_folder) {
  std::vector<Task> tasks = read_all_tasks(chain.eval.tasks);
  Compute compute(chain.threads ? chain.threads : usable_cores());
  LoadedModel loaded = load_with_tokenizer((stage_folder / "final").string(), compute, chain.eval.bf16);
  std::vector<Group> groups = evaluate(loaded, compute, chain.eval, tasks);
  write_groups(stage_folder / "evaluation.jsonl", groups);
  Evaluation strict = summarize(groups);
  Json row = {{"pass@1", strict.pass_at_1}, {"ci95", {strict.ci_low, strict.ci_high}}, {"mean_length", strict.mean_length}, {"truncated", strict.truncated}, {"tasks", strict.tasks}};
  if (!chain.eval.lenient_rewards.empty()) {
    Scorer lenient(reward_specs(chain.eval.lenient_rewards), compute.pool.num_threads());
    for (Group& group : groups) judge(lenient, group);
    row["lenient_pass@1"] = summarize(groups).pass_at_1;
  }
  return row;
}

std::vector<Group> first_groups(const fs::path& file, size_t count) {
  std::vector<Group> groups;
  std::ifstream in(file);
  for (std::string line; groups.size() < count && std::getline(in, line);) groups.push_back(group_from_json(Json::parse(line)));
  return groups;
}

std::string table_line(const Json& stage) {
  char text[256];
  double lenient = stage.value("lenient_pass@1", -1.0);
  std::snprintf(text, sizeof text, "%-34s %6.1f %%  [%5.1f, %5.1f]  %7.1f %%  %7.1f  %10lld  %8.1f\n", stage.value("title", stage.at("name").get<std::string>()).c_str(),
                100 * stage.at("pass@1").get<double>(), 100 * stage.at("ci95")[0].get<double>(), 100 * stage.at("ci95")[1].get<double>(), 100 * lenient,
                stage.at("mean_length").get<double>(), static_cast<long long>(stage.at("tokens").get<int64_t>()), stage.at("seconds").get<double>());
  return text;
}

/// Three completions of the same tasks by the first and by the best evaluated stage.
std::string examples(const fs::path& folder, const Json& stages) {
  const Json *first = nullptr, *best = nullptr;
  for (const Json& stage : stages) {
    if (!stage.contains("pass@1")) continue;
    if (!first) first = &stage;
    if (!best || stage["pass@1"] > (*best)["pass@1"]) best = &stage;
  }
  if (!first || first == best) return "";
  std::string text;
  std::vector<Group> before = first_groups(folder / first->at("folder").get<std::string>() / "evaluation.jsonl", 3);
  std::vector<Group> after = first_groups(folder / best->at("folder").get<std::string>() / "evaluation.jsonl", 3);
  for (size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
    text += "\n" + before[i].task.prompt.back().content + "  (answer " + before[i].task.answer + ")\n";
    for (auto [stage, group] : {std::pair(first, &before[i]), std::pair(best, &after[i])})
      text += "  " + stage->value("title", "") + ": " + group->rollouts[0].text + "   [" + std::string(to_string(group->rollouts[0].score.status)) + "]\n";
  }
  return text;
}

}  // namespace

std::string chain_summary(const fs::path& folder) {
  Json stages = read_stages(folder);
  std::string text = "stage                               pass@1   95 % interval   lenient   length      tokens   seconds\n";
  for (const Json& stage : stages) {
    if (stage.contains("pass@1")) text += table_line(stage);
    else text += stage.value("title", "") + ": " + std::to_string(stage.value("tokens", int64_t(0))) + " tokens, " + std::to_string(int64_t(stage.value("seconds", 0.0))) + " s\n";
  }
  return text + examples(folder, stages) + "\nreport: " + (folder / "report.html").string() + "\n";
}

void run_chain(const ChainConfig& chain, const RunRequest& request) {
  Json finished = request.overwrite ? Json::array() : read_stages(request.out);
  if (!finished.empty() && !request.resume) throw UsageError(request.out.string() + " already holds a chain: give --resume to go on with it, --overwrite to replace it, or another --out");
  make_writable_folder(request.out);
  RunLock lock(request.out);
  for (const StageConfig& stage : chain.stages) check_stage(stage_config(chain, stage, request.out, finished), stage);
  for (const StageConfig& stage : chain.stages) {
    if (find_stage(finished, stage.name)) continue;
    std::fprintf(stderr, "== %s\n", (stage.title.empty() ? stage.name : stage.title).c_str());
    fs::path folder = request.out / stage.name;
    TrainResult result = run_stage(stage_config(chain, stage, request.out, finished), stage, {.out = folder, .resume = request.resume, .overwrite = true});
    Json row = {{"name", stage.name}, {"kind", stage.kind}, {"title", stage.title.empty() ? stage.name : stage.title}, {"folder", stage.name}, {"tokens", result.tokens}, {"seconds", result.seconds}};
    if (stage.evaluate) row.update(evaluate_stage(chain, folder));
    finished.push_back(row);
    write_durably(request.out / "stages.json", finished.dump(1) + "\n");
  }
  fs::path folders[] = {request.out};
  write_report(folders, request.out / "report.html");
}

}  // namespace cohort
