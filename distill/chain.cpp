#include "distill/chain.h"

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/interrupts.h"
#include "grpo/report/report.h"
#include "rollout/unfinished_groups.h"
#include "tasks/task_set.h"

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
    if (earlier.name == name && earlier.kind != "eval")
      return void(value = fs::absolute(folder / name / "final").lexically_normal().string());
  }
  throw UsageError("stage \"" + stage + "\" names the model stage:" + name +
                   ", which is no earlier stage that makes one");
}

Json stage_config(const ChainConfig& chain, const StageConfig& stage, const fs::path& folder, const Json& finished) {
  Json config = stage.config;
  if (!config.is_object())
    throw UsageError("stage \"" + stage.name + "\": config is " + config.dump() + ", expected an object");
  resolve_stages(config, folder, chain, stage.name);
  uint64_t seed = chain.seed + stage.seed_offset;
  if (!config.contains("seed")) config["seed"] = seed;
  if (!config.contains("threads")) config["threads"] = chain.threads;
  if (stage.kind == "distill" && config.contains("student") && config["student"].is_object()) {
    for (const char* key : {"seed", "threads"})
      if (!config["student"].contains(key)) config["student"][key] = config[key];
  }
  if (config.contains("model") && config["model"].is_string()) {
    std::string model = config["model"];
    if (model.starts_with("init:") && model.find('?') == std::string::npos)
      config["model"] = model + "?seed=" + std::to_string(seed);
  }
  if (!stage.seconds_of.empty()) {
    const Json* other = find_stage(finished, stage.seconds_of);
    config["max_seconds"] = other ? other->at("seconds").get<double>() : 0.0;
  }
  return config;
}

template <class C>
C read_stage(const Json& config, const StageConfig& stage) {
  C parsed;
  read_config(config, parsed, "stage \"" + stage.name + "\"");
  return parsed;
}

/// What the model of a stage begins as: through stage:NAME back to one that is there already.
std::string first_model(const ChainConfig& chain, std::string model) {
  while (model.starts_with("stage:")) {
    const auto made_by = std::ranges::find(chain.stages, model.substr(6), &StageConfig::name);
    const Json& config = made_by->config;
    model = made_by->kind == "distill" ? config.value("student", Json::object()).value("model", "")
                                       : config.value("model", "");
  }
  return model;
}

void check_stage(const ChainConfig& chain, const Json& config, const StageConfig& stage) {
  const auto named = [](const Json& part, const char* key) { return part.at(key).get<std::string>(); };
  if (stage.kind == "sft") {
    const SftConfig c = read_stage<SftConfig>(config, stage);
    expect_runnable(c, first_model(chain, named(stage.config, "model")));
  } else if (stage.kind == "train") {
    const TrainConfig c = read_stage<TrainConfig>(config, stage);
    expect_runnable(c, first_model(chain, named(stage.config, "model")));
  } else if (stage.kind == "eval") {
    const EvalConfig c = read_stage<EvalConfig>(config, stage);
    if (c.model.empty()) throw UsageError("stage \"" + stage.name + "\" has no model: name a folder or stage:NAME");
    expect_runnable(c, first_model(chain, named(stage.config, "model")));
  } else {
    const DistillConfig c = read_stage<DistillConfig>(config, stage);
    expect_runnable(c, first_model(chain, named(stage.config, "teacher")),
                    first_model(chain, named(stage.config.at("student"), "model")));
  }
  if (stage.evaluate) expect_runnable(chain.eval, first_model(chain, "stage:" + stage.name));
}

/// A name is that of a folder, and no other stage's; seconds_of is an earlier one.
void check_names(const ChainConfig& chain, const StageConfig& stage) {
  const auto here =
      std::find_if(chain.stages.begin(), chain.stages.end(), [&](const StageConfig& s) { return &s == &stage; });
  const auto is_earlier = [&](const std::string& name) {
    return std::any_of(chain.stages.begin(), here, [&](const StageConfig& s) { return s.name == name; });
  };
  const std::vector<std::string> taken = {"checkpoints", "final", "sampled", "completions", "evaluations"};
  if (stage.name.front() == '.' || stage.name.find('/') != stage.name.npos ||
      std::find(taken.begin(), taken.end(), stage.name) != taken.end())
    throw UsageError("the stage name \"" + stage.name +
                     "\" cannot be that of its folder: choose one without slashes and leading dot, and not final, "
                     "checkpoints, completions, evaluations or sampled");
  if (is_earlier(stage.name))
    throw UsageError("two stages have the name \"" + stage.name + "\": every stage needs its own");
  const auto measured = std::ranges::find(chain.stages, stage.seconds_of, &StageConfig::name);
  if (!stage.seconds_of.empty() && (stage.kind != "train" || !is_earlier(stage.seconds_of) || measured->kind == "eval"))
    throw UsageError("stage \"" + stage.name + "\" has seconds_of \"" + stage.seconds_of +
                     "\": expected an earlier stage that trains, in a stage of kind train");
}

TrainResult run_stage(const Json& config, const StageConfig& stage, const RunRequest& request) {
  if (stage.kind == "sft") return sft(read_stage<SftConfig>(config, stage), request);
  if (stage.kind == "train") return train(read_stage<TrainConfig>(config, stage), request);
  return distill(read_stage<DistillConfig>(config, stage), request);
}

/// pass@1 of config.model under its rewards, and under the lenient ones, of the same completions.
Json evaluate_stage(const EvalConfig& config, const fs::path& stage_folder) {
  std::vector<Task> tasks = read_all_tasks(config.tasks);
  Compute compute(config.threads ? config.threads : usable_cores());
  LoadedModel loaded = load_with_tokenizer(config.model, compute, config.bf16, Weights::packed);
  fs::create_directories(stage_folder);
  std::vector<Group> groups = evaluate_into(stage_folder / "evaluation.jsonl", loaded, compute, config, tasks);
  Evaluation strict = summarize(groups);
  Json row = {{"pass@1", strict.pass_at_1},
              {"ci95", {strict.ci_low, strict.ci_high}},
              {"mean_length", strict.mean_length},
              {"truncated", strict.truncated},
              {"tasks", strict.tasks}};
  if (!config.lenient_rewards.empty()) {
    Scorer lenient(reward_specs(config.lenient_rewards), compute.pool.num_threads());
    for (Group& group : groups) judge(lenient, group);
    row["lenient_pass@1"] = summarize(groups).pass_at_1;
  }
  return row;
}

/// How the chain measures the final model of a stage.
EvalConfig eval_config(const ChainConfig& chain, const fs::path& stage_folder) {
  EvalConfig config = chain.eval;
  config.model = (stage_folder / "final").string();
  if (!config.threads) config.threads = chain.threads;
  return config;
}

std::vector<Group> first_groups(const fs::path& file, size_t count) {
  std::vector<Group> groups;
  std::ifstream in(file);
  for (std::string line; groups.size() < count && std::getline(in, line);)
    groups.push_back(group_from_json(Json::parse(line)));
  return groups;
}

std::string table_line(const Json& stage) {
  char text[256];
  char lenient[32] = "-  ";
  if (stage.contains("lenient_pass@1"))
    std::snprintf(lenient, sizeof lenient, "%.1f %%", 100 * stage["lenient_pass@1"].get<double>());
  std::string title = stage.value("title", stage.at("name").get<std::string>());
  const auto characters = std::ranges::count_if(title, [](char c) { return (c & 0xC0) != 0x80; });
  title.append(size_t(std::max<int64_t>(0, 34 - characters)), ' ');
  std::snprintf(text, sizeof text, "%s %6.1f %%  [%5.1f, %5.1f]  %9s  %7.1f  %10lld  %8.1f\n", title.c_str(),
                100 * stage.at("pass@1").get<double>(), 100 * stage.at("ci95")[0].get<double>(),
                100 * stage.at("ci95")[1].get<double>(), lenient, stage.at("mean_length").get<double>(),
                static_cast<long long>(stage.at("tokens").get<int64_t>()), stage.at("seconds").get<double>());
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
    if (before[i].task.id != after[i].task.id) break;  // an eval stage may have other tasks
    text += "\n" + before[i].task.prompt.back().content + "  (answer " + before[i].task.answer + ")\n";
    for (auto [stage, group] : {std::pair(first, &before[i]), std::pair(best, &after[i])})
      text += "  " + stage->value("title", "") + ": " + group->rollouts[0].text + "   [" +
              std::string(to_string(group->rollouts[0].score.status)) + "]\n";
  }
  return text;
}

}  // namespace

std::string chain_summary(const fs::path& folder) {
  Json stages = read_stages(folder);
  std::string text =
      "stage                               pass@1   95 % interval   lenient   length      tokens   seconds\n";
  for (const Json& stage : stages) {
    if (stage.contains("pass@1"))
      text += table_line(stage);
    else
      text += stage.value("title", "") + ": " + std::to_string(stage.value("tokens", int64_t(0))) + " tokens, " +
              std::to_string(int64_t(stage.value("seconds", 0.0))) + " s\n";
  }
  return text + examples(folder, stages) + "\nreport: " + (folder / "report.html").string() + "\n";
}

void validate(const ChainConfig& chain, const fs::path& folder) {
  if (chain.stages.empty()) throw UsageError("stages is empty: a chain needs at least one");
  for (const StageConfig& stage : chain.stages) check_names(chain, stage);
  const bool is_evaluated =
      std::any_of(chain.stages.begin(), chain.stages.end(), [](const StageConfig& stage) { return stage.evaluate; });
  if (is_evaluated && chain.eval.tasks.empty())
    throw UsageError("eval.tasks is empty, but stages are to be evaluated: name held-out tasks there");
  if (!chain.eval.model.empty())
    throw UsageError("eval.model is " + chain.eval.model +
                     ": a chain evaluates the final model of its stages, leave it out");
  expect_rewards(chain.eval.rewards), expect_rewards(chain.eval.lenient_rewards);
  for (const StageConfig& stage : chain.stages) {
    try {
      check_stage(chain, stage_config(chain, stage, folder, Json::array()), stage);
    } catch (const UsageError& error) {
      const std::string what = error.what(), where = "stage \"" + stage.name + "\"";
      throw UsageError(what.starts_with(where) ? what : where + ": " + what);
    }
  }
}

/// The config that a stage's run wrote down.
Json stored_config(const fs::path& file, const StageConfig& stage) {
  if (stage.kind == "sft") return read_stored_config<SftConfig>(file);
  if (stage.kind == "train") return read_stored_config<TrainConfig>(file);
  if (stage.kind == "distill") return read_stored_config<DistillConfig>(file);
  return read_stored_config<EvalConfig>(file);
}

/// Every key of a stage's config, as its run writes it down.
Json full_config(const Json& config, const StageConfig& stage) {
  if (stage.kind == "sft") {
    const SftConfig c = read_stage<SftConfig>(config, stage);
    return dump_config(with_max_steps(c, open_sft_set(c.tasks, c.seed)));
  }
  if (stage.kind == "train") return dump_config(read_stage<TrainConfig>(config, stage));
  if (stage.kind == "distill") return dump_config(read_stage<DistillConfig>(config, stage));
  return dump_config(read_stage<EvalConfig>(config, stage));
}

/// Later stages began where a finished one ended: what it ran with cannot change any more, its length neither.
void expect_same_stage(const Json& config, const StageConfig& stage, const fs::path& stage_folder) {
  if (!fs::exists(stage_folder / "config.json")) return;
  const Json saved = stored_config(stage_folder / "config.json", stage), now = full_config(config, stage);
  expect_same_config(saved, now, stage_folder);
  for (const char* key : {"max_steps", "max_seconds"})
    if (now.contains(key) && saved.contains(key) && now[key] != saved[key])
      throw UsageError("stage \"" + stage.name + "\" is finished with " + key + " " + saved[key].dump() +
                       ", the config now says " + now[key].dump() +
                       ": run the chain with another --out, or with --overwrite");
}

/// Finished stages whose folders are still there.
Json stages_that_stand(const ChainConfig& chain, const fs::path& folder) {
  Json standing = Json::array();
  for (const Json& row : read_stages(folder)) {
    const auto stage = std::ranges::find(chain.stages, row.at("name").get<std::string>(), &StageConfig::name);
    if (stage == chain.stages.end()) continue;
    const fs::path made = folder / stage->name;
    if (fs::exists(stage->kind == "eval" ? made / "evaluation.jsonl" : made / "final" / "config.json"))
      standing.push_back(row);
  }
  return standing;
}

void stop_when_interrupted() {
  if (interrupted()) throw Interrupted("interrupted between two stages: go on with the same command and --resume");
}

void run_chain(const ChainConfig& chain, const RunRequest& request) {
  if (!request.resume_from.empty())
    throw UsageError("run goes on in its own folder: give --resume alone, and the folder with --out");
  validate(chain, request.out);  // before anything runs, so that a misspelt key of the last stage costs no time
  watch_interrupts();
  Run run = open_run(request, dump_config(chain), read_stored_config<ChainConfig>);
  const bool anew = run.overwrite;
  Json finished = anew ? Json::array() : stages_that_stand(chain, request.out);
  for (const StageConfig& stage : chain.stages)
    if (find_stage(finished, stage.name))
      expect_same_stage(stage_config(chain, stage, request.out, finished), stage, request.out / stage.name);
  if (finished.size() == chain.stages.size() && fs::exists(request.out / "report.html")) return;
  begin_run(run, 0);  // without its stages.json no stage counts as finished
  for (const StageConfig& stage : chain.stages)
    if (anew) fs::remove_all(request.out / stage.name);
  for (const StageConfig& stage : chain.stages) {
    if (find_stage(finished, stage.name)) continue;
    stop_when_interrupted();
    std::fprintf(stderr, "== %s\n", (stage.title.empty() ? stage.name : stage.title).c_str());
    fs::path folder = request.out / stage.name;
    Json row = {{"name", stage.name},
                {"kind", stage.kind},
                {"title", stage.title.empty() ? stage.name : stage.title},
                {"folder", stage.name}};
    const Json config = stage_config(chain, stage, request.out, finished);
    if (stage.kind == "eval") {
      row.update({{"tokens", 0}, {"seconds", 0.0}});
      row.update(evaluate_stage(read_stage<EvalConfig>(config, stage), folder));
    } else {
      TrainResult result = run_stage(config, stage, {.out = folder, .resume = request.resume});
      row.update({{"tokens", result.tokens}, {"seconds", result.seconds}});
      if (stage.evaluate) row.update(evaluate_stage(eval_config(chain, folder), folder));
    }
    finished.push_back(row);
    write_durably(request.out / "stages.json", finished.dump(1) + "\n");
  }
  stop_when_interrupted();
  fs::path folders[] = {request.out};
  write_report(folders, request.out / "report.html");
}

}  // namespace cohort
