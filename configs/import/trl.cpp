// A TRL GRPOConfig with the arguments of its script, as `trl grpo --config` and open-r1 read them; names of TRL 1.16,
// and those older ones that files still hold.
#include <algorithm>
#include <cmath>

#include "configs/error.h"
#include "configs/import/translation.h"

namespace cohort {
namespace {

using Names = Translation::Names;

/// Same name, same meaning, same unit.
const Names kSame = {"learning_rate",
                     "adam_beta1",
                     "adam_beta2",
                     "adam_epsilon",
                     "weight_decay",
                     "max_grad_norm",
                     "num_generations",
                     "num_iterations",
                     "max_completion_length",
                     "max_prompt_length",
                     "temperature",
                     "top_p",
                     "top_k",
                     "min_p",
                     "beta",
                     "epsilon",
                     "epsilon_high",
                     "delta",
                     "mask_truncated_completions",
                     "sync_ref_model",
                     "ref_model_sync_steps",
                     "ref_model_mixup_alpha",
                     "top_entropy_quantile",
                     "entropy_coef",
                     "use_adaptive_entropy",
                     "entropy_coef_min",
                     "entropy_coef_max",
                     "entropy_coef_delta",
                     "entropy_target",
                     "off_policy_mask_threshold",
                     "use_bias_correction_kl",
                     "sapo_temperature_neg",
                     "sapo_temperature_pos",
                     "vespo_k_pos",
                     "vespo_lambda_pos",
                     "vespo_k_neg",
                     "vespo_lambda_neg",
                     "bf16",
                     "seed"};

struct Choice {
  const char* name;
  Names theirs;
};
const std::vector<Choice> kChoices = {
    {"loss_type", {"grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"}},
    {"importance_sampling_level", {"token", "sequence"}},
    {"multi_objective_aggregation", {"sum_then_normalize", "normalize_then_sum"}}};

struct Without {
  const char* reason;
  Names names;     // whole
  Names prefixes;  // or beginnings
};
const std::vector<Without> kWithout = {
    {"completions are sampled freely: a reward (regex, format) can judge their form",
     {"vllm_structured_outputs_regex"},
     {}},
    {"AdamW is the only optimizer", {"optim_args", "optim_target_modules"}, {}},
    {"nothing is dropped and no noise added: sampling and learning compute the same bits",
     {"neftune_noise_alpha", "disable_dropout", "full_determinism"},
     {}},
    {"experts are balanced by router_bias_update_rate, not by a loss", {"router_aux_loss_coef"}, {}},
    {"seed is that of the prompts' order, each epoch is shuffled, and a resumed run goes on with the next prompts",
     {"data_seed", "ignore_data_skip", "train_sampling_strategy"},
     {}},
    {"sampling runs inside the program, on the weights that learn",
     {"use_vllm", "cache_implementation", "use_transformers_paged", "use_transformers_continuous_batching",
      "transformers_continuous_batching_config", "ds3_gather_for_generation"},
     {"vllm_"}},
    {"one process; memory follows max_tokens_per_batch and max_slots",
     {"gradient_checkpointing_kwargs", "activation_checkpointing_kwargs", "deepspeed", "local_rank",
      "auto_find_batch_size", "torch_empty_cache_steps", "per_device_eval_batch_size", "eval_accumulation_steps",
      "parallelism_config", "accelerator_config", "average_tokens_across_devices", "pad_to_multiple_of", "tp_size"},
     {"fsdp", "ddp_"}},
    {"kernels are the program's own",
     {"attn_implementation", "torch_compile", "use_liger_kernel", "use_liger_loss", "tf32", "use_cpu",
      "torch_compile_backend", "torch_compile_mode", "liger_kernel_config", "cast_lm_head_to_fp32", "use_mps_device",
      "half_precision_backend", "use_cache", "debug"},
     {}},
    {"forwards read fp32 or bfloat16, an evaluation's too", {"bf16_full_eval", "fp16_full_eval"}, {}},
    {"metrics.jsonl, TensorBoard events and report.html have every step",
     {"report_to", "run_name", "project", "log_multimodal", "num_completions_to_print", "log_unique_prompts",
      "log_completions_hub_repo", "disable_tqdm", "log_level", "log_level_replica", "log_on_each_node",
      "include_num_input_tokens_seen", "include_tokens_per_second", "skip_memory_metrics"},
     {"logging_", "wandb_", "trackio_"}},
    {"nothing is uploaded; final/ is a folder that transformers loads",
     {"push_to_hub", "hub_model_id", "create_pr", "overwrite_hub_revision"},
     {"hub_", "push_to_hub_"}},
    {"frozen weights are kept in fp32 or bfloat16", {"load_in_8bit", "load_in_4bit", "use_bnb_nested_quant"}, {"bnb_"}},
    {"weights come from a folder or file as they are",
     {"model_revision", "trust_remote_code", "model_init_kwargs", "torch_dtype", "dtype", "ignore_bias_buffers"},
     {}},
    {"prompts are read whole before the run, in the formats that cohort tasks list shows",
     {"dataset_config", "dataset_streaming", "streaming", "test_split_size", "remove_unused_columns", "group_by_length",
      "dataset_prompt_column", "label_names"},
     {"dataloader_", "length_column"}},
    {"a checkpoint has all that a run needs to go on",
     {"save_only_model", "save_safetensors", "save_on_each_node", "restore_callback_states_from_checkpoint",
      "enable_jit_checkpoint"},
     {}},
    {"no model that judges is run: name a reward that answers over HTTP", {"reward_model_name_or_path"}, {}},
    {"an evaluation samples and judges",
     {"eval_do_concat_batches", "eval_use_gather_object", "include_for_metrics", "batch_eval_metrics", "do_predict"},
     {}},
    {"the loss of GRPO has no labels", {"label_smoothing_factor"}, {}},
    {"set them where the run is started", {"env"}, {}},
    {"no tools are called while sampling", {"max_tool_calling_iterations", "tools"}, {}},
    {"the chat template is the model's own", {"chat_template", "chat_template_kwargs", "chat_template_path"}, {}},
    {"the best is that of eval/pass@1", {"metric_for_best_model", "greater_is_better"}, {}},
    {"rewards run with a deadline each (cohort score --timeout)",
     {"code_language", "code_provider", "parallel_code_exec_per_proc", "e2b_router_url", "morph_router_url",
      "enforce_same_language", "code_eval_test_batch_size", "code_eval_scoring_mode"},
     {}}};

void put_same(Translation& t) {
  for (const std::string& name : kSame) {
    const SourceKey* key = t.find(name);
    if (!key) continue;
    Json value = key->value;
    if (!value.is_boolean()) {
      t.number(name);  // refuses a text
      if (value.is_string()) value = Json::parse(value.get<std::string>());
    }
    t.put(name, value, {name});
  }
  for (const Choice& choice : kChoices)
    if (const auto value = t.choice(choice.name, choice.theirs)) t.put_choice(choice.name, *value, {choice.name});
}

/// TRL's lists of targets are PEFT's; without one, PEFT goes by the family.
void put_adapters(Translation& t) {
  const bool has_adapters = t.boolean("use_peft").value_or(false);
  const Names own = {"lora_r",   "lora_alpha",     "use_rslora",           "lora_target_modules",   "lora_dropout",
                     "use_dora", "lora_task_type", "lora_modules_to_save", "lora_target_parameters"};
  if (t.find("use_peft")) t.put("use_peft", has_adapters, {"use_peft"});
  for (const std::string& name : own)
    if (!has_adapters) t.tell(name, "use_peft is not set");
  if (!has_adapters) return;
  if (const auto rank = t.integer("lora_r", 1)) t.put("lora_r", *rank, {"lora_r"});
  if (const auto alpha = t.number("lora_alpha")) t.put("lora_alpha", *alpha, {"lora_alpha"});
  if (const auto by_root = t.boolean("use_rslora")) t.put("use_rslora", *by_root, {"use_rslora"});
  if (const SourceKey* targets = t.find("lora_target_modules"))
    t.put("lora_target_modules", targets->value.is_array() ? targets->value : Json::array({targets->value}),
          {"lora_target_modules"});
  else
    t.put("lora_target_modules", {"q_proj", "v_proj"}, {}, "PEFT's default for most families");
  if (t.number("lora_dropout").value_or(0.05) > 0)
    t.lose("lora_dropout", "nothing is dropped: sampling and learning compute the same bits");
  t.tell("lora_dropout", "none");
  if (t.boolean("use_dora").value_or(false)) t.lose("use_dora", "adapters are added, not rescaled");
  t.tell("use_dora", "adapters are added");
  t.lose("lora_modules_to_save", "only adapters are learned");
  t.lose("lora_target_parameters", "adapters stand at modules: routed experts are lora_target_modules [\"experts\"]");
  if (t.text("lora_task_type").value_or("CAUSAL_LM") == "CAUSAL_LM") t.tell("lora_task_type", "the one there is");
  t.lose("lora_task_type", "models of language alone");
}

/// TRL corrects completions of vLLM alone. Here factors differ from 1 only where sampling runs ahead of learning, so
/// its default is set where a file speaks of it.
void put_correction(Translation& t) {
  const std::string prefix = "vllm_importance_sampling_", on = prefix + "correction", mode = prefix + "mode",
                    most = prefix + "clip_max", least = prefix + "clip_min", cap = prefix + "cap";
  const Names own = {on, mode, most, least, cap};
  const bool uses_vllm = t.boolean("use_vllm").value_or(false), corrects = t.boolean(on).value_or(true);
  const std::string how =
      t.choice(mode, {"token_truncate", "token_mask", "sequence_truncate", "sequence_mask"}).value_or("sequence_mask");
  const bool is_given = std::any_of(own.begin(), own.end(), [&](const std::string& name) { return t.find(name); });
  if (is_given && uses_vllm && corrects) {
    t.put("importance_sampling_correction", how, {on, mode},
          "its factors are 1 while max_staleness is 0: none then saves a forward");
    const std::string high = t.find(cap) ? cap : most;
    if (t.find(high)) t.put("importance_sampling_clip_max", *t.number(high), {high});
    if (high == most && t.is_null(most)) t.put("importance_sampling_clip_max", nullptr, {most});
    if (t.find(least)) t.put("importance_sampling_clip_min", *t.number(least), {least});
  }
  for (const std::string& name : own)
    if (t.find(name)) t.tell(name, !uses_vllm ? "acts with use_vllm" : corrects ? "cap counts" : "no correction");
}

/// true and false are older TRL's names.
void put_scale_rewards(Translation& t) {
  const SourceKey* key = t.find("scale_rewards");
  if (!key) return;
  if (key->value.is_boolean())
    t.put("scale_rewards", key->value.get<bool>() ? "group" : "none", {"scale_rewards"});
  else
    t.put("scale_rewards", *t.choice("scale_rewards", {"group", "batch", "none"}), {"scale_rewards"});
}

/// bfloat16 unless fp16 is set; transformers' newer name of checkpointing counts before the older.
void put_precision(Translation& t) {
  const bool is_half = t.boolean("fp16").value_or(false);
  if (!t.find("bf16") && !is_half) t.put_default("bf16", true);
  if (is_half) t.lose("fp16", "forwards read fp32 or bfloat16");
  t.tell("fp16", "nor here");
  const std::string newer = "activation_checkpointing", older = "gradient_checkpointing";
  const std::string name = t.find(newer) ? newer : older;
  if (const auto keeps = t.boolean(name)) t.put("gradient_checkpointing", *keeps, {name});
  t.tell(older, newer + " counts");
}

/// TRL counts completions of one device's pass, we count prompts of an optimizer step.
void put_batch(Translation& t, int64_t num_processes) {
  const int64_t device = t.integer("per_device_train_batch_size", 1).value_or(8),
                accumulation = t.integer("gradient_accumulation_steps", 1).value_or(1),
                processes = t.integer("num_processes", 1).value_or(num_processes),
                generations = t.integer("num_generations", 1).value_or(8),
                completions = device * accumulation * processes;
  const Names from = {"per_device_train_batch_size", "gradient_accumulation_steps", "num_processes"};
  const std::string product = std::to_string(device) + " completions a device x " + std::to_string(accumulation) +
                              " passes x " + std::to_string(processes) + " processes = " + std::to_string(completions);
  const std::string given = t.find(from[0]) ? from[0] : t.find(from[1]) ? from[1] : "num_generations";
  if (completions % generations)
    t.refuse(given, "optimizer steps of whole groups, as a group is learned from at once here: " + product +
                        " completions a step, which num_generations " + std::to_string(generations) +
                        " does not divide (--num-processes says how many devices there were)");
  t.put("prompts_per_step", completions / generations, from,
        product + " completions a step, in groups of " + std::to_string(generations));
  const std::optional<int64_t> batch = t.integer("generation_batch_size", 1),
                               passes = t.integer("steps_per_generation", 1);
  if (batch && passes) t.refuse("generation_batch_size", "this or steps_per_generation, not both");
  if (batch && *batch % (device * processes))
    t.refuse("generation_batch_size", "a multiple of the " + std::to_string(device * processes) + " of one pass");
  const int64_t total = batch ? *batch / (device * processes) : passes.value_or(accumulation);
  const Names own = {batch ? "generation_batch_size" : "steps_per_generation"};
  if (total % accumulation && accumulation % total)
    t.refuse(own[0], "whole optimizer steps of gradient_accumulation_steps " + std::to_string(accumulation));
  if (batch || passes)
    t.put("steps_per_generation", std::max<int64_t>(1, total / accumulation), own,
          std::to_string(total) + " passes of a rollout, " + std::to_string(accumulation) + " an optimizer step");
}

void put_schedule(Translation& t) {
  const std::optional<int64_t> max_steps = t.integer("max_steps", -1);
  if (max_steps && *max_steps > 0)
    t.put("max_steps", *max_steps, {"max_steps"});
  else
    t.tell("max_steps", "epochs count, see num_train_epochs");
  if (max_steps && *max_steps > 0)
    t.tell("num_train_epochs", "max_steps counts");
  else
    t.lose("num_train_epochs", "set max_steps = epochs x prompts x num_iterations / prompts_per_step");
  const std::optional<double> warmup = t.number("warmup_steps"), ratio = t.number("warmup_ratio");
  if (warmup && *warmup >= 1) {
    t.put("warmup_steps", *t.integer("warmup_steps", 0), {"warmup_steps"});
    t.tell("warmup_ratio", "warmup_steps counts");
  } else if (const double share = warmup && *warmup > 0 ? *warmup : ratio.value_or(0); share > 0) {
    const std::string name = warmup && *warmup > 0 ? "warmup_steps" : "warmup_ratio";
    if (share >= 1) t.refuse(name, "a share below 1");
    if (max_steps && *max_steps > 0)
      t.put("warmup_steps", int64_t(std::ceil(share * double(*max_steps))), {name}, "a share of max_steps");
    else
      t.lose(name, "set warmup_steps = " + Json(share).dump() + " x max_steps");
  } else if (warmup || ratio) {
    t.put("warmup_steps", 0, {"warmup_steps", "warmup_ratio"});
  }
  if (const auto scheduler = t.text("lr_scheduler_type"))
    t.put_choice("lr_scheduler_type", *scheduler, {"lr_scheduler_type"},
                 *scheduler == "cosine_with_min_lr" ? "its least is a tenth" : "");
  t.lose("lr_scheduler_kwargs", "cosine_with_min_lr ends at a tenth, the other schedules at 0");
  t.lose_section("lr_scheduler_kwargs.", "cosine_with_min_lr ends at a tenth, the other schedules at 0");
  if (const auto optimizer = t.text("optim")) {
    if (optimizer->starts_with("adamw"))
      t.tell("optim", "AdamW it is");
    else
      t.lose("optim", "AdamW is the only optimizer");
  }
}

/// "no" | "steps" | "epoch" and the number of steps.
std::optional<int64_t> steps_of(Translation& t, const std::string& strategy, const std::string& steps,
                                const std::string& by_default, int64_t steps_by_default) {
  const std::string when = t.choice(strategy, {"no", "steps", "epoch", "best"}).value_or(by_default);
  const std::optional<double> every = t.number(steps);
  if (when == "epoch") t.lose(strategy, "steps are counted, not epochs: set " + steps);
  if (when == "best") t.lose(strategy, "set keep_best_checkpoint, which keeps the best beside the newest");
  if (when == "no") t.tell(strategy, "0 steps is never");
  if (when == "no") t.tell(steps, "never, as " + strategy + " is no");
  if (when != "steps") return when == "no" ? std::optional<int64_t>(0) : std::nullopt;
  if (every && *every > 0 && *every < 1) {
    t.lose(steps, "a share of the run: set it as a number of steps");
    return std::nullopt;
  }
  t.tell(strategy, "every " + steps);
  return every ? t.integer(steps, 0) : steps_by_default;
}

void put_saving(Translation& t) {
  if (const auto steps = steps_of(t, "save_strategy", "save_steps", "steps", 500))
    t.put("save_steps", *steps, {"save_steps"}, *steps ? "" : "only the last");
  if (t.boolean("load_best_model_at_end").value_or(false))
    t.lose("load_best_model_at_end", "set it and keep_best_checkpoint, with eval_tasks and eval_steps");
  t.tell("load_best_model_at_end", "the last it is");
  if (const auto limit = t.integer("save_total_limit", 0)) t.put("save_total_limit", *limit, {"save_total_limit"});
  t.put_default("save_total_limit", 0);
  t.tell("output_dir", "give it as --out");
  t.tell("overwrite_output_dir", "give it as --overwrite");
  t.tell("resume_from_checkpoint", "give it as --resume or --resume=FOLDER");
  if (t.boolean("log_completions").value_or(true))
    t.tell("log_completions", "every log_completions_steps");
  else
    t.put("log_completions_steps", 0, {"log_completions"});
}

Json dataset(Translation& t) {
  Json source = Json::object();
  if (const auto name = t.text("dataset_name")) source["reference"] = *name;
  if (const auto system = t.text("system_prompt")) source["system_prompt"] = *system, source["chat"] = true;
  return source;
}

/// An evaluation needs tasks of its own, which TRL takes from the other split of the same name.
void put_evaluation(Translation& t, const std::string& test_split) {
  const std::string strategy = t.find("evaluation_strategy") ? "evaluation_strategy" : "eval_strategy";
  const auto steps = steps_of(t, strategy, "eval_steps", "no", 10);
  const bool evaluates = steps.value_or(1) > 0;
  t.tell("do_eval", "eval_steps decides");
  t.tell("eval_on_start", "an evaluation comes before the first step in any case");
  t.lose("eval_delay", "evaluations come every eval_steps from the start on");
  t.lose("prediction_loss_only", "an evaluation samples and judges");
  if (!evaluates) t.tell("dataset_test_split", "unused, as there is no evaluation");
  if (!evaluates) t.tell("num_generations_eval", "unused, as there is no evaluation");
  if (!evaluates) return;
  if (steps)
    t.lose("eval_steps", "needs eval_tasks: set eval_tasks (the split " + test_split + " as a file) and eval_steps " +
                             std::to_string(*steps));
  t.lose("dataset_test_split", "name a file with --set eval_tasks=FILE");
  if (const auto n = t.integer("num_generations_eval", 1)) {
    t.put("eval_num_generations", *n, {"num_generations_eval"});
    t.put("eval_temperature", t.number("temperature").value_or(1.0), {"num_generations_eval"},
          "TRL's evaluation samples as training does");
  }
}

void put_tasks(Translation& t) {
  const std::string export_it = "a file, a generator or a benchmark stands here: write the rows as .jsonl or .parquet";
  if (const SourceKey* list = t.find("datasets"); list && list->value.is_array()) {
    Json sources = Json::array();
    for (const Json& one : list->value) {
      const Json files = one.is_object() ? one.value("data_files", Json()) : Json();
      const Json path = files.is_string() ? files : one.is_object() ? one.value("path", Json()) : Json();
      if (!path.is_string()) t.refuse("datasets", "a list of {path: …}");
      sources.push_back({{"reference", path}});
    }
    t.put("tasks", sources, {"datasets"}, export_it + "; weights are equal until they are given, TRL's are the sizes");
  }
  t.lose("dataset_mixture", "give tasks as a list of {reference, weight}");
  t.lose_section("dataset_mixture.", "give tasks as a list of {reference, weight}");
  Json source = dataset(t);
  if (source.contains("reference")) {
    const Json tasks = source.size() > 1 ? source : source["reference"];
    t.put("tasks", tasks, {"dataset_name", "system_prompt"}, export_it);
  }
  t.lose("system_prompt", "belongs to tasks: {reference, chat: true, system_prompt}");
  if (const auto split = t.text("dataset_train_split"))
    t.tell("dataset_train_split", "the file in tasks is to hold it");
  if (t.boolean("shuffle_dataset").value_or(true))
    t.tell("shuffle_dataset", "each epoch is shuffled");
  else
    t.lose("shuffle_dataset", "each epoch is shuffled in any case");
}

void lose_what_has_no_counterpart(Translation& t) {
  for (const Without& without : kWithout) {
    for (const std::string& name : without.names) {
      t.lose(name, without.reason);
      t.lose_section(name + ".", without.reason);
    }
    for (const SourceKey& key : t.keys())
      for (const std::string& prefix : without.prefixes)
        if (key.name.starts_with(prefix)) t.lose(key.name, without.reason);
  }
}

}  // namespace

void translate_trl(Translation& t, int64_t num_processes) {
  if (const auto model = t.text("model_name_or_path"))
    t.put("model", *model, {"model_name_or_path"}, "a folder or file stands here: nothing is downloaded");
  put_tasks(t);
  translate_trl_rewards(t);
  put_batch(t, num_processes);
  put_same(t);
  put_scale_rewards(t);
  put_precision(t);
  put_correction(t);
  put_adapters(t);
  put_schedule(t);
  put_saving(t);
  put_evaluation(t, t.text("dataset_test_split").value_or("test"));
  if (const auto penalty = t.number("repetition_penalty")) {
    if (*penalty == 1)
      t.tell("repetition_penalty", "none");
    else
      t.lose("repetition_penalty", "cannot be trained with: the learner knows the model's own log-probabilities");
  }
  t.lose("generation_kwargs", "give temperature, top_p, top_k, min_p, min_tokens and stop by name");
  t.lose_section("generation_kwargs.", "give temperature, top_p, top_k, min_p, min_tokens and stop by name");
  t.tell("do_train", "it does");
  t.tell("num_processes", "counted in prompts_per_step");
  if (t.boolean("sync_ref_model").value_or(false)) t.put_default("ref_model_mixup_alpha", 0.6);
  t.put_default("seed", 42);
  lose_what_has_no_counterpart(t);
  Names known = kSame;
  for (const Choice& choice : kChoices) known.emplace_back(choice.name);
  for (const Without& without : kWithout) known.insert(known.end(), without.names.begin(), without.names.end());
  for (const char* name : {"model_name_or_path",
                           "dataset_name",
                           "reward_funcs",
                           "reward_weights",
                           "gradient_checkpointing",
                           "vllm_importance_sampling_correction",
                           "vllm_importance_sampling_mode",
                           "vllm_importance_sampling_clip_max",
                           "vllm_importance_sampling_clip_min",
                           "per_device_train_batch_size",
                           "gradient_accumulation_steps",
                           "steps_per_generation",
                           "generation_batch_size",
                           "scale_rewards",
                           "max_steps",
                           "num_train_epochs",
                           "warmup_steps",
                           "warmup_ratio",
                           "lr_scheduler_type",
                           "optim",
                           "save_steps",
                           "save_strategy",
                           "save_total_limit",
                           "eval_strategy",
                           "eval_steps",
                           "output_dir",
                           "log_completions"})
    known.emplace_back(name);
  t.lose_the_rest(known);
}

}  // namespace cohort
