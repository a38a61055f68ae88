// `cohort config import`: configs of TRL and verl become configs that train takes.
#include <gtest/gtest.h>

#include <set>

#include "tests/program/job.h"

namespace cohort {
namespace {

const std::string kImported = COHORT_SOURCE_DIR "/tests/program/imported/";

struct Imported {
  int exit_code;
  Json config;
  std::string told;
  bool tells(const std::string& part) const { return told.find(part) != std::string::npos; }
};

Imported imported(const std::string& file, Arguments more = {}) {
  Arguments arguments = {"config", "import", file};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Outcome outcome = run_program(arguments);
  return {outcome.exit_code, Json::parse(outcome.out, nullptr, false), outcome.err};
}

Imported imported_text(const std::string& text, Arguments more = {}) {
  const TestFolder folder;
  write_file(folder / "given", text);
  return imported((folder / "given").string(), more);
}

/// The keys of `expected` stand in the config with these values.
void expect_keys(const Json& config, const Json& expected) {
  for (const auto& [key, value] : expected.items()) EXPECT_EQ(config.value(key, Json()), value) << key;
}

TEST(ConfigImportIntegration, TrlCountsCompletionsOfADevice) {
  const Imported result = imported(kImported + "trl.yaml", {"--num-processes", "8"});
  ASSERT_EQ(result.exit_code, 0) << result.told;
  expect_keys(result.config, Json::parse(R"({"$schema": "schema/train.json", "model": "Qwen/Qwen2.5-1.5B-Instruct",
    "prompts_per_step": 32, "steps_per_generation": 2, "num_iterations": 2, "num_generations": 8, "max_steps": 300,
    "warmup_steps": 15, "lr_scheduler_type": "cosine", "learning_rate": 1e-6, "temperature": 0.9, "beta": 0.001,
    "epsilon_high": 0.28, "scale_rewards": "group", "mask_truncated_completions": true, "save_total_limit": 3,
    "seed": 7})"));
  EXPECT_EQ(result.config["tasks"]["reference"], "openai/gsm8k");
  EXPECT_EQ(result.config["rewards"][0], (Json{{"name", "accuracy"}, {"weight", 1.0}}));
  EXPECT_EQ(result.config["rewards"][2]["name"], "python:my_rewards/brevity.py:short_is_good");
  EXPECT_FALSE(result.config.contains("eval_steps"));
  EXPECT_TRUE(
      result.tells("24, 25: per_device_train_batch_size 8, gradient_accumulation_steps 4 -> prompts_per_step 32 "
                   "(8 completions a device x 4 passes x 8 processes = 256 completions a step, in groups of 8)"))
      << result.told;
  EXPECT_TRUE(result.tells("  43: use_vllm true: sampling runs inside the program")) << result.told;
  EXPECT_TRUE(result.tells("54: lerning_rate 2e-06: no such key is known; the nearest is learning_rate"));
}

TEST(ConfigImportIntegration, VerlCountsRollouts) {
  const Imported result = imported(kImported + "verl.yaml");
  ASSERT_EQ(result.exit_code, 0) << result.told;
  expect_keys(result.config,
              Json::parse(R"({"model": "Qwen/Qwen3-4B", "tasks": ["tasks/train.jsonl", "tasks/more.jsonl"],
    "eval_tasks": "tasks/test.jsonl", "rewards": ["python:rewards/brevity.py:short_is_good"], "prompts_per_step": 128,
    "steps_per_generation": 4, "max_steps": 800, "warmup_steps": 40, "eval_steps": 20, "save_steps": 80,
    "num_generations": 16, "max_prompt_length": 1024, "max_completion_length": 2048, "adam_beta2": 0.95,
    "weight_decay": 0.1, "filter_overlong_prompts": true, "lr_scheduler_type": "constant_with_warmup", "epsilon": 0.2, "epsilon_high": 0.28,
    "loss_type": "dr_grpo", "beta": 0.001, "use_bias_correction_kl": false, "scale_rewards": "none", "top_k": 0,
    "eval_temperature": 0.7, "eval_num_generations": 4, "save_total_limit": 2})"));
  EXPECT_TRUE(result.tells("69 to 70: critic.* (2 keys): there is no critic")) << result.told;
  EXPECT_TRUE(result.tells("trainer.* (n_gpus_per_node, nnodes)")) << result.told;
}

TEST(ConfigImportIntegration, AScriptOfVerlIsRead) {
  const Imported result = imported(kImported + "verl.sh");
  ASSERT_EQ(result.exit_code, 0) << result.told;
  expect_keys(result.config, Json::parse(R"({"model": "Qwen/Qwen2.5-32B", "tasks": "$HOME/data/dapo.parquet",
    "prompts_per_step": 16, "steps_per_generation": 16, "max_completion_length": 20480, "epsilon_high": 0.28,
    "loss_type": "dapo", "weight_decay": 0.01, "overlong": {"soft_cache": 4096, "penalty": 1.0},
    "dynamic_sampling": {"max_refill_batches": 9}})"));
  EXPECT_TRUE(result.tells("30: trainer.total_epochs 1: set max_steps")) << result.told;
  EXPECT_TRUE(result.tells("still to be given: max_steps, else the run has 100")) << result.told;
}

/// Every line of the source is spoken of, by its key.
TEST(ConfigImportIntegration, Adapters) {
  const Imported trl = imported_text(
      "model_name_or_path: m\nuse_peft: true\nlora_r: 8\nlora_alpha: 24\nlora_target_modules: [q_proj, o_proj]\n"
      "lora_dropout: 0.1\ngradient_checkpointing: true\n");
  ASSERT_EQ(trl.exit_code, 0) << trl.told;
  expect_keys(trl.config, Json::parse(R"({"use_peft": true, "lora_r": 8, "lora_alpha": 24.0,
    "lora_target_modules": ["q_proj", "o_proj"], "gradient_checkpointing": true})"));
  EXPECT_TRUE(trl.tells("lora_dropout 0.1: nothing is dropped")) << trl.told;
  const Imported without = imported_text("model_name_or_path: m\nlora_r: 8\n");
  EXPECT_FALSE(without.config.contains("lora_r"));
  EXPECT_TRUE(without.tells("lora_r 8: use_peft is not set")) << without.told;
  const Imported verl = imported_text(
      "actor_rollout_ref:\n  model:\n    path: m\n    lora_rank: 64\n    lora_alpha: 32\n    target_modules: "
      "all-linear\n");
  ASSERT_EQ(verl.exit_code, 0) << verl.told;
  expect_keys(verl.config, Json::parse(R"({"use_peft": true, "lora_r": 64, "lora_alpha": 32.0,
    "lora_target_modules": ["all-linear"]})"));
}

TEST(ConfigImportIntegration, EveryKeyIsToldOf) {
  for (const std::string file : {"trl.yaml", "verl.yaml", "verl.sh"}) {
    const Imported result = imported(kImported + file);
    std::istringstream lines(read_file(kImported + file));
    int number = 0, keys = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      const size_t end = line.find_first_of(":=");
      const bool is_section = end + 1 == line.size() || line.find("[") == end + 2;
      if (end == line.npos || line.find('#') == 0 || line.find('-') < end || is_section) continue;
      std::string name = line.substr(0, end);
      name.erase(0, name.find_last_of(" +.") == name.npos ? 0 : name.find_last_of(" +.") + 1);
      const bool is_variable = file == "verl.sh" && number < 6;
      const bool is_counted = name == "lr" || name == "ppo_epochs" || name.ends_with("_offload") ||
                              name == "use_reentrant" || name == "kl_coef";
      EXPECT_TRUE(is_variable || is_counted || result.tells(name)) << file << ":" << number << " " << line;
      ++keys;
    }
    EXPECT_GT(keys, 15);
  }
}

/// YAML takes JSON, and a dotted name for a key of sections.
std::string yaml_of(const Json& keys) {
  std::string text;
  for (const auto& [name, value] : keys.items()) text += Json(name).dump() + ": " + value.dump() + "\n";
  return text;
}

struct Peer {
  std::string name;
  Json least;  // what a file of its has to hold
};
const std::vector<Peer> kPeers = {
    {"trl", {{"output_dir", "out"}}},
    {"verl", {{"algorithm.adv_estimator", "grpo"}, {"data.train_files", "train.parquet"}}}};

/// [name, default, another value] of every field.
Json fields_of(const std::string& peer) {
  return Json::parse(read_file(COHORT_SOURCE_DIR "/tests/program/golden/" + peer + "_fields.json"))["fields"];
}

/// Whether a line speaks of the key by its name or by the beginning it shares with others: "a.b.* (2 keys): …".
bool speaks_of(const std::string& line, const std::string& name) {
  for (const char* end : {" ", ".", ":"})
    if (line.find(" " + name + end) != line.npos) return true;
  const size_t star = line.find("* ("), begin = line.find(": ") + 2;
  return star != line.npos && begin < star && name.starts_with(line.substr(begin, star - begin));
}

TEST(ConfigImportIntegration, EveryFieldOfThePeersIsAnswered) {
  for (const Peer& peer : kPeers) {
    const Json fields = fields_of(peer.name);
    EXPECT_GT(fields.size(), peer.name == "trl" ? 200u : 800u);
    for (const Json& field : fields) {
      const std::string name = field[0];
      Json keys = peer.least;
      keys[name] = field[2];
      const Imported result = imported_text(yaml_of(keys));
      std::istringstream lines(result.told);
      bool is_answered = false;
      for (std::string line; std::getline(lines, line);) {
        const bool is_refused = result.exit_code == 2 && line.find("expected ") != line.npos;
        is_answered |= speaks_of(line, name) && (result.exit_code == 0 || is_refused);
      }
      EXPECT_TRUE(is_answered) << yaml_of(keys) << result.told;
      EXPECT_FALSE(result.tells("no such key is known")) << result.told;
    }
  }
}

/// What a file leaves out is what the peer takes for it. Ours stay where they change no weight; ref_model_mixup_alpha
/// is TRL's with sync_ref_model.
TEST(ConfigImportIntegration, DefaultsOfThePeersAreTheirs) {
  const std::set<std::string> own = {"gradient_checkpointing", "log_completions_steps", "max_slots", "save_steps",
                                     "ref_model_mixup_alpha"};
  const Json schema = Json::parse(run_program({"train", "--print-schema"}).out)["properties"];
  for (const Peer& peer : kPeers) {
    Json every = peer.least;
    for (const Json& field : fields_of(peer.name))
      if (!every.contains(field[0]) && field[0] != "data.val_files") every[field[0]] = field[1];
    const Imported least = imported_text(yaml_of(peer.least)), whole = imported_text(yaml_of(every));
    ASSERT_EQ(whole.exit_code, 0) << whole.told;
    EXPECT_GT(whole.config.size(), least.config.size());
    for (const auto& [key, property] : schema.items()) {
      const Json otherwise = property.value("default", Json());
      if (own.contains(key) || key == "model" || key == "tasks") continue;
      EXPECT_EQ(least.config.value(key, otherwise), whole.config.value(key, otherwise)) << peer.name << " " << key;
    }
  }
}

TEST(ConfigImportIntegration, CorrectionForThePolicyThatSampled) {
  const std::string trl = "dataset_name: d\nuse_vllm: true\nvllm_importance_sampling_";
  expect_keys(imported_text(trl + "correction: true\n").config,
              {{"importance_sampling_correction", "sequence_mask"}, {"importance_sampling_clip_max", nullptr}});
  expect_keys(imported_text(trl + "mode: token_truncate\nvllm_importance_sampling_cap: 2\n").config,
              {{"importance_sampling_correction", "token_truncate"}, {"importance_sampling_clip_max", 2.0}});
  const Json masked = imported_text(trl +
                                    "mode: token_mask\nvllm_importance_sampling_clip_min: 0.5\n"
                                    "vllm_importance_sampling_clip_max: null\n")
                          .config;
  expect_keys(masked, {{"importance_sampling_correction", "token_mask"}, {"importance_sampling_clip_min", 0.5}});
  EXPECT_TRUE(masked.contains("importance_sampling_clip_max")) << "null is no bound, 3 the default";
  EXPECT_FALSE(imported_text(trl + "correction: false\nvllm_importance_sampling_mode: token_mask\n")
                   .config.contains("importance_sampling_correction"));
  const Imported without = imported_text("dataset_name: d\nvllm_importance_sampling_mode: token_mask\n");
  EXPECT_FALSE(without.config.contains("importance_sampling_correction"));
  EXPECT_TRUE(without.tells("token_mask: acts with use_vllm")) << without.told;

  const std::string verl = "data.train_files=f algorithm.rollout_correction.";
  expect_keys(imported_text(verl + "rollout_is=token").config,
              {{"importance_sampling_correction", "token_truncate"}, {"importance_sampling_clip_max", 2.0}});
  expect_keys(
      imported_text(verl + "rollout_is=sequence algorithm.rollout_correction.rollout_is_threshold=0.5_5.0").config,
      {{"importance_sampling_correction", "sequence_mask"},
       {"importance_sampling_clip_min", 0.5},
       {"importance_sampling_clip_max", 5.0}});
  const Imported rejected =
      imported_text(verl +
                    "rollout_rs=seq_mean_k3 algorithm.rollout_correction.rollout_rs_threshold=0.01 "
                    "algorithm.rollout_correction.rollout_is_threshold=3");
  EXPECT_FALSE(rejected.config.contains("importance_sampling_correction"));
  EXPECT_TRUE(rejected.tells("rollout_rs seq_mean_k3: tokens left out there count in no mean")) << rejected.told;
  EXPECT_TRUE(rejected.tells("rollout_is_threshold 3: no factors")) << rejected.told;
  const Imported bypassed = imported_text(verl +
                                          "bypass_mode=True algorithm.rollout_correction.rollout_is=token "
                                          "actor_rollout_ref.actor.policy_loss.loss_mode=gspo");
  EXPECT_FALSE(bypassed.config.contains("importance_sampling_correction"));
  EXPECT_FALSE(bypassed.config.contains("importance_sampling_level")) << "bypass_mode has losses of its own";
  EXPECT_TRUE(bypassed.tells("rollout_is token: the ratio is the factor")) << bypassed.told;
}

/// Losses of verl as tests/grpo/golden/verl_loss.json has them, each with the keys that go with it.
TEST(ConfigImportIntegration, LossesOfVerlStart) {
  const TinyJob job;
  const std::string actor = " actor_rollout_ref.actor.";
  const std::vector<std::pair<std::string, Json>> losses = {
      {"", {{"loss_type", "dapo"}, {"dual_clip", 3.0}}},
      {actor + "loss_agg_mode=seq-mean-token-sum", {{"loss_type", "luspo"}, {"dual_clip", 3.0}}},
      {actor + "policy_loss.loss_mode=gspo" + actor + "loss_agg_mode=seq-mean-token-mean",
       {{"loss_type", "grpo"}, {"importance_sampling_level", "sequence"}, {"dual_clip", nullptr}}},
      {actor + "policy_loss.loss_mode=cispo", {{"loss_type", "cispo"}, {"cispo_clip", "band"}, {"dual_clip", nullptr}}},
      {actor + "policy_loss.loss_mode=sapo" + actor + "clip_ratio_c=5",
       {{"loss_type", "sapo"}, {"dual_clip", nullptr}}},
      {actor + "clip_ratio=0.1" + actor + "clip_ratio_low=null", {{"epsilon", 0.1}, {"epsilon_high", 0.2}}}};
  for (const auto& [words, expected] : losses) {
    const fs::path source = job.folder / "given", out = job.folder / "imported.json";
    write_file(source, "data.train_files=f actor_rollout_ref.rollout.n=4" + words);
    const Outcome outcome = run_program({"config", "import", source.string(), "--out", out.string()});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    Json config = Json::parse(read_file(out));
    if (!config.contains("loss_type")) config["loss_type"] = "dapo";
    expect_keys(config, expected);
    const Outcome planned =
        run_program({"train", out.string(), "--dry-run", "--set", "model=" + job.model(), "--set", "tasks=arithmetic",
                     "--set", "max_completion_length=32", "--set", "max_prompt_length=null"});
    EXPECT_EQ(planned.exit_code, 0) << words << ": " << planned.err;
  }
}

TEST(ConfigImportIntegration, TheResultStarts) {
  const TinyJob job;
  write_file(job.folder / "brevity.py",
             "def short_is_good(completions, **kwargs):\n    return [1.0 for _ in completions]\n");
  for (const std::string file : {"trl.yaml", "verl.yaml", "verl.sh"}) {
    const fs::path out = job.folder / "imported.json";
    const Outcome outcome = run_program({"config", "import", kImported + file, "--out", out.string()});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    Arguments plan = {"train", out.string(), "--dry-run"};
    for (const std::string& set : {"model=" + job.model(), std::string("tasks=arithmetic:operations=2"),
                                   std::string("max_completion_length=32"), std::string("max_prompt_length=null")})
      plan.insert(plan.end(), {"--set", set});
    const std::string reward = "python:" + (job.folder / "brevity.py").string() + ":short_is_good";
    if (file == "trl.yaml") plan.insert(plan.end(), {"--set", "rewards.2.name=" + reward});
    if (file == "verl.yaml") plan.insert(plan.end(), {"--set", "rewards.0=" + reward});
    if (file == "verl.yaml") plan.insert(plan.end(), {"--set", "eval_tasks=arithmetic:split=held_out,limit=4"});
    if (file == "verl.sh") plan.insert(plan.end(), {"--set", "overlong.soft_cache=8"});
    const Outcome planned = run_program(plan);
    EXPECT_EQ(planned.exit_code, 0) << file << ": " << planned.err;
    EXPECT_NE(planned.out.find("prompts per rollout"), std::string::npos);
  }
}

TEST(ConfigImportIntegration, WrongValuesNameKeyAndLine) {
  const std::string trl = "model_name_or_path: m\ndataset_name: d\n";
  const std::string verl = "data:\n  train_files: f\n  train_batch_size: 512\nactor_rollout_ref:\n  actor:\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {trl + "epsilon: 3\n", ":3: epsilon is 3, expected a number in (0, 1]"},
      {trl + "learning_rate: fast\n", ":3: learning_rate is fast, expected a number"},
      {trl + "num_generations: 0\n", ":3: num_generations is 0, expected an integer of at least 1"},
      {trl + "loss_type: ppo\n", ":3: loss_type is ppo, expected one of grpo"},
      {trl + "bf16: maybe\n", ":3: bf16 is maybe"},
      {trl + "per_device_train_batch_size: 6\n",
       ":3: per_device_train_batch_size is 6, expected optimizer steps of whole"},
      {trl + "generation_batch_size: 8\nsteps_per_generation: 1\n", ":3: generation_batch_size is 8, expected this or"},
      {trl + "reward_funcs: [accuracy_reward]\nreward_weights: [1, 2]\n",
       ":4: reward_weights is [1,2], expected a list of 1"},
      {trl + "eval_strategy: sometimes\n", ":3: eval_strategy is sometimes, expected one of no, steps"},
      {verl + "    ppo_mini_batch_size: 100\n", ":3: data.train_batch_size is 512, expected a rollout of whole"},
      {verl + "    clip_ratio_low: 2\n",
       ":6: actor_rollout_ref.actor.clip_ratio_low: epsilon is 2.0, expected a number in"},
      {verl + "    optim: {lr: big}\n", ":6: actor_rollout_ref.actor.optim.lr is big, expected a number"},
      {"algorithm.adv_estimator=gae data.train_files=f\n", ":1: algorithm.adv_estimator is gae, expected grpo"},
      {"data.train_files=f \\\n data.train_batch_size=$((4 * 8))\n",
       ":2: data.train_batch_size is $((4, expected a number"},
      {"data.train_files=f algorithm.rollout_correction.rollout_is=token "
       "algorithm.rollout_correction.rollout_is_threshold=5_2",
       ":1: algorithm.rollout_correction.rollout_is_threshold is 5_2, expected a number, or two"},
      {"colour: red\n", "neither a TRL config"},
      {"{\"model\": \"m\", \"tasks\": \"t\", \"prompts_per_step\": 4}", "is a Cohort config already"},
  };
  for (const auto& [text, message] : cases) {
    const Imported result = imported_text(text);
    EXPECT_EQ(result.exit_code, 2) << text << result.told;
    EXPECT_TRUE(result.tells(message)) << message << "\nis not in: " << result.told;
  }
  EXPECT_EQ(imported("/nowhere/trl.yaml").exit_code, 2);
}

TEST(ConfigImportIntegration, UnitsOfTheSmallPrint) {
  const std::string head = "dataset_name: d\nnum_generations: 4\n";
  const auto trl = [&](const std::string& more) { return imported_text(head + more).config; };
  EXPECT_EQ(trl("per_device_train_batch_size: 4\ngradient_accumulation_steps: 2\ngeneration_batch_size: 16\n")
                .value("steps_per_generation", 0),
            2);
  EXPECT_EQ(trl("gradient_accumulation_steps: 8\nsteps_per_generation: 2\n").value("steps_per_generation", 0), 1)
      << "weights do not change between the passes of one optimizer step";
  EXPECT_EQ(trl("warmup_steps: 0.1\nmax_steps: 50\n").value("warmup_steps", 0), 5);
  EXPECT_EQ(trl("save_strategy: 'no'\n").value("save_steps", -1), 0);
  EXPECT_EQ(trl("sync_ref_model: true\n").value("ref_model_mixup_alpha", 0.0), 0.6) << "a default that is not ours";
  EXPECT_EQ(trl("").value("prompts_per_step", 0), 2) << "8 completions, TRL's default";
  const Json in_reward =
      imported_text("data.train_files=f algorithm.use_kl_in_reward=True algorithm.kl_ctrl.kl_coef=0.02").config;
  expect_keys(in_reward, {{"kl_in_reward", true}, {"beta", 0.02}, {"kl_estimator", "k1"}, {"dual_clip", 3.0}});
  const Json cispo = imported_text("data.train_files=f actor_rollout_ref.actor.policy_loss.loss_mode=cispo").config;
  expect_keys(cispo, {{"loss_type", "cispo"}, {"cispo_clip", "band"}});
  expect_keys(trl("loss_type: cispo\nepsilon_high: 5\nentropy_coef: 0.01\n"),
              {{"loss_type", "cispo"}, {"epsilon_high", 5}, {"entropy_coef", 0.01}});
  const Json verl = imported_text("data.train_files=f actor_rollout_ref.actor.clip_ratio=0.1").config;
  EXPECT_EQ(verl.value("epsilon", 0.0), 0.2) << "verl's clip_ratio_low is 0.2 until it is set";
  EXPECT_EQ(verl.value("bf16", false), true) << "verl's precision until it is set, as TRL's";
  EXPECT_EQ(imported_text("data.train_files=f actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype=fp32")
                .config.value("bf16", true),
            false);
  EXPECT_EQ(trl("").value("bf16", false), true);
  EXPECT_EQ(trl("fp16: true\n").value("bf16", false), false);
  EXPECT_EQ(verl.value("num_generations", 0), 1);
  EXPECT_EQ(verl.value("prompts_per_step", 0), 256);
  EXPECT_EQ(verl.value("steps_per_generation", 0), 4);
}

}  // namespace
}  // namespace cohort
