// A verl trainer config (its YAML, or the overrides of a script), names of verl 0.9 and the older ones that scripts
// still hold. verl counts a run in rollouts (train_batch_size prompts each), we count optimizer steps.
#include <algorithm>
#include <cmath>

#include "configs/error.h"
#include "configs/import/translation.h"

namespace cohort {
namespace {

using Names = Translation::Names;

const std::string kActor = "actor_rollout_ref.actor.", kRollout = "actor_rollout_ref.rollout.",
                  kOptim = "actor_rollout_ref.actor.optim.";
constexpr int64_t kMostRefills = 100;  // where verl has no limit

struct Plain {
  std::string theirs;
  const char* ours;
};
/// Same meaning, same unit.
const std::vector<Plain> kPlain = {{"data.max_prompt_length", "max_prompt_length"},
                                   {"data.max_response_length", "max_completion_length"},
                                   {"data.filter_overlong_prompts", "filter_overlong_prompts"},
                                   {"data.seed", "seed"},
                                   {kOptim + "lr", "learning_rate"},
                                   {kActor + "ppo_epochs", "num_iterations"},
                                   {kRollout + "n", "num_generations"},
                                   {kRollout + "temperature", "temperature"},
                                   {kRollout + "top_p", "top_p"},
                                   {kRollout + "min_p", "min_p"},
                                   {kRollout + "max_num_seqs", "max_slots"},
                                   {kActor + "tau_pos", "sapo_temperature_pos"},
                                   {kActor + "tau_neg", "sapo_temperature_neg"},
                                   {kRollout + "val_kwargs.n", "eval_num_generations"}};

struct Section {
  std::string prefix;
  const char* reason;
  bool by_name = false;  // sections of which some keys do have a counterpart
};
const char* const kOneProcess = "one process; memory follows max_tokens_per_batch and max_slots";
const char* const kNoCritic = "there is no critic: advantages are relative to the group";
const char* const kOwnEngine = "sampling runs inside the program, on the weights that learn";
const char* const kNoProfiler = "cohort bench measures";
const char* const kRouting =
    "on-policy the experts are those of sampling, bit for bit; after that they are chosen anew";
const char* const kOwnKernels = "kernels are the program's own";
const char* const kMetrics = "metrics.jsonl, completions/, TensorBoard events and report.html have every step";
const char* const kTokenizer = "the tokenizer and the chat template are the model's own";
const std::map<std::string, const char*> kReasons = {
    {kActor + "rollout_n", "rollout.n counts"},
    {kActor + "shuffle", "prompts are shuffled once for each epoch"},
    {kActor + "data_loader_seed", "data.seed counts"},
    {kActor + "calculate_entropy", kMetrics},
    {kActor + "calculate_sum_pi_squared", kNoCritic},
    {kActor + "freeze_vision_tower", "models are of text alone"},
    {kActor + "use_torch_compile", kOwnKernels},
    {kActor + "use_fused_kernels", kOwnKernels},
    {kActor + "use_remove_padding", "nothing is padded: completions are packed behind one prompt for each group"},
    {kActor + "use_prefix_grouper", "nothing is padded: completions are packed behind one prompt for each group"},
    {kActor + "pad_to_length", "nothing is padded: completions are packed behind one prompt for each group"},
    {kActor + "entropy_from_logits_with_chunking", kOwnKernels},
    {kActor + "entropy_from_logits_chunk_size", kOwnKernels},
    {kActor + "entropy_checkpointing", kOwnKernels},
    {kRollout + "ignore_eos", "a completion ends where the model ends it, at the latest at max_completion_length"},
    {kRollout + "seed", "data.seed counts"},
    {kRollout + "prompt_length", "data.max_prompt_length counts"},
    {kRollout + "response_length", "data.max_response_length counts"},
    {kRollout + "max_model_len", "data.max_prompt_length and max_response_length count"},
    {kRollout + "calculate_log_probs", "they are kept in any case"},
    {kRollout + "logprobs_mode", "log-probabilities are those that tokens are drawn by"},
    {kRollout + "moe_load_balance_metrics_interval", kMetrics},
    {kRollout + "enable_rollout_routing_replay", kRouting},
    {"algorithm.use_pf_ppo", "groups are not weighed again"},
    {"data.tokenizer", kTokenizer},
    {"data.trust_remote_code", kTokenizer},
    {"data.shuffle", "each epoch is shuffled in any case"},
    {"data.reward_fn_key", "rewards are named in rewards (cohort score --list)"},
    {"trainer.critic_warmup", kNoCritic},
    {"trainer.max_critic_ckpt_to_keep", kNoCritic},
    {"trainer.val_only", "cohort eval does it"},
    {"trainer.default_hdfs_dir", "a run is a folder of this machine, --out"},
    {"trainer.del_local_ckpt_after_load", "a checkpoint stays until save_total_limit newer ones are there"},
    {"trainer.esi_redundant_time",
     "a run that was ended goes on from its last checkpoint; max_seconds ends it in time"},
    {"trainer.logger", kMetrics},
    {"trainer.project_name", kMetrics},
    {"trainer.experiment_name", kMetrics},
    {"trainer.log_val_generations", kMetrics},
    {"trainer.rollout_data_dir", kMetrics},
    {"trainer.validation_data_dir", kMetrics}};
const std::vector<Section> kSections = {
    {"critic.", kNoCritic},
    {kActor + "fsdp_config.", kOneProcess},
    {kActor + "megatron.", kOneProcess},
    {kActor + "profiler.", kNoProfiler},
    {kActor + "checkpoint.", "a checkpoint has all that a run needs to go on"},
    {kActor + "qat.", "training keeps fp32 masters"},
    {kActor + "router_replay.", kRouting},
    {"actor_rollout_ref.ref.", "the reference model is a copy of the policy as it began, where beta is above 0"},
    {kRollout + "profiler.", kNoProfiler},
    {kRollout + "engine_kwargs.", kOwnEngine},
    {kRollout + "multi_turn.", "a completion is one turn"},
    {kRollout + "agent.", "a completion is one turn"},
    {kRollout + "checkpoint_engine.", "weights need no way to the engine: it reads them where they are"},
    {kRollout + "trace.", "completions/ has what was sampled"},
    {kRollout + "prometheus.", "cohort serve has /metrics"},
    {kRollout + "disaggregation.", kOwnEngine},
    {kRollout + "mtp.", kOwnEngine},
    {"actor_rollout_ref.model.lora", "adapters take rank, alpha and target_modules"},
    {"actor_rollout_ref.model.mtp.", "the multi-token-prediction layer is left as it is"},
    {"actor_rollout_ref.nccl_timeout", kOneProcess},
    {"actor_rollout_ref.hybrid_engine", kOneProcess},
    {"algorithm.pf_ppo.", "groups are not weighed again"},
    {"algorithm.kl_ctrl.", "the weight of the KL is constant: beta"},
    {"distillation.", "cohort distill does it, with a config of its own"},
    {"transfer_queue.", kOneProcess},
    {"trainer.v1.", "one process; how far sampling may run ahead of learning is max_staleness"},
    {"global_profiler.", kNoProfiler},
    {"skip.", "a run that stopped keeps its samples"},
    {"ray_kwargs.", kOneProcess},
    {"ray_init.", kOneProcess},
    {"hydra.", "a config is one file, with --set"},
    {"sandbox_fusion.", "programs run in the program's own sandbox: the reward code"},
    {"reward.sandbox_fusion.", "programs run in the program's own sandbox: the reward code"},
    {"reward.reward_model.", "no model that judges is run: name a reward that answers over HTTP"},
    {"reward_model.model.", "no model that judges is run: name a reward that answers over HTTP"},
    {"reward_model.rollout.", "no model that judges is run: name a reward that answers over HTTP"},
    {"data.apply_chat_template_kwargs", "the chat template is the model's own"},
    {"data.custom_cls.", "rows are read in the formats that cohort tasks list shows"},
    {"data.", "rows are read whole, in the formats that cohort tasks list shows", true},
    {"reward_model.", "rewards are named in rewards (cohort score --list)", true},
    {"reward.", "rewards are named in rewards (cohort score --list)", true},
    {"custom_reward_function.", "rewards are named in rewards (cohort score --list)", true},
    {kOptim, "AdamW with a schedule of lr_scheduler_type", true},
    {kRollout, kOwnEngine, true},
    {kActor, kOneProcess, true},
    {"actor_rollout_ref.model.", "the model is taken as its folder has it", true},
    {"algorithm.", kNoCritic, true},
    {"trainer.", kOneProcess, true}};

void put_plain(Translation& t) {
  for (const Plain& plain : kPlain) {
    const SourceKey* key = t.find(plain.theirs);
    if (!key) continue;
    if (!key->value.is_boolean()) t.number(plain.theirs);  // refuses a text
    t.put(plain.ours, key->value, {plain.theirs});
  }
  if (const auto top_k = t.integer(kRollout + "top_k", -1))
    t.put("top_k", std::max<int64_t>(0, *top_k), {kRollout + "top_k"}, *top_k < 0 ? "-1 there is 0 here: all" : "");
}

/// A file or a list of them.
void put_files(Translation& t, const std::string& theirs, const char* ours, const std::string& most) {
  const SourceKey* key = t.find(theirs);
  if (!key) return;
  const std::optional<int64_t> limit = t.integer(most, -1);
  const Json files = key->value.is_array() ? key->value : Json::array({key->value});
  Json sources = Json::array();
  for (const Json& file : files) {
    if (!file.is_string()) t.refuse(theirs, "a path or a list of them");
    if (limit.value_or(-1) > 0)
      sources.push_back({{"reference", file}, {"limit", *limit}});
    else
      sources.push_back(file);
  }
  t.put(ours, sources.size() == 1 ? sources[0] : sources, {theirs},
        sources.size() > 1 ? "weights are equal until they are given, verl's are the sizes" : "");
  t.tell(most, limit.value_or(-1) > 0 ? "the limit of each file" : "all");
}

/// Optimizer steps of one rollout.
int64_t put_batch(Translation& t) {
  const std::string train = "data.train_batch_size", mini = kActor + "ppo_mini_batch_size";
  const int64_t prompts = t.integer(train, 1).value_or(1024), step = t.integer(mini, 1).value_or(256);
  if (prompts % step)
    t.refuse(t.find(train) ? train : mini, "a rollout of whole mini-batches: data.train_batch_size " +
                                               std::to_string(prompts) + " is no multiple of ppo_mini_batch_size " +
                                               std::to_string(step));
  t.put("prompts_per_step", step, {mini}, "prompts, as there");
  t.put("steps_per_generation", prompts / step, {train},
        std::to_string(prompts) + " prompts a rollout, " + std::to_string(step) + " an optimizer step");
  return prompts / step * t.integer(kActor + "ppo_epochs", 1).value_or(1);
}

/// What verl counts in rollouts; negative is never.
void put_steps(Translation& t, const std::string& theirs, const char* ours, int64_t inner) {
  const std::optional<int64_t> rollouts = t.integer(theirs, -1);
  if (rollouts)
    t.put(ours, std::max<int64_t>(0, *rollouts) * inner, {theirs},
          *rollouts > 0 && inner > 1 ? "rollouts there, of " + std::to_string(inner) + " optimizer steps each" : "");
}

void put_schedule(Translation& t, int64_t inner) {
  const std::optional<int64_t> rollouts = t.integer("trainer.total_training_steps", 1);
  put_steps(t, "trainer.total_training_steps", "max_steps", inner);
  if (rollouts)
    t.tell("trainer.total_epochs", "total_training_steps counts");
  else
    t.lose("trainer.total_epochs",
           "set max_steps = epochs x prompts x num_iterations / prompts_per_step, rounded down to whole rollouts");
  const std::string steps = kOptim + "lr_warmup_steps", ratio = kOptim + "lr_warmup_steps_ratio";
  const int64_t warmup = t.integer(steps, -1).value_or(-1);
  const double share = t.number(ratio).value_or(0);
  if (warmup >= 0) {
    put_steps(t, steps, "warmup_steps", inner);
    t.tell(ratio, "lr_warmup_steps counts");
  } else if (share > 0 && rollouts) {
    t.put("warmup_steps", int64_t(share * double(*rollouts)) * inner, {ratio}, "a share of max_steps");
  } else if (share > 0) {
    t.lose(ratio, "set warmup_steps = " + Json(share).dump() + " x max_steps");
  }
  t.tell(steps, "lr_warmup_steps_ratio counts");
  t.tell(ratio, "no warm-up");
  const std::string name = t.find(kOptim + "lr_scheduler_type") ? "lr_scheduler_type" : "warmup_style";
  const std::string course = t.choice(kOptim + name, {"constant", "cosine"}).value_or("constant");
  const double least = t.number(kOptim + "min_lr_ratio").value_or(0);
  const std::string ours = course == "constant" ? "constant_with_warmup" : least > 0 ? "cosine_with_min_lr" : "cosine";
  t.put("lr_scheduler_type", ours, {kOptim + name});
  if (course == "cosine" && least > 0 && least != 0.1) t.lose(kOptim + "min_lr_ratio", "a tenth is the least here");
  t.tell(kOptim + "min_lr_ratio", course == "cosine" ? "in lr_scheduler_type" : "unused");
}

/// A rank of 0 is no adapter, as verl has it.
void put_adapters(Translation& t) {
  const std::string model = "actor_rollout_ref.model.", rank = model + "lora_rank", alpha = model + "lora_alpha",
                    targets = model + "target_modules", checkpointing = model + "enable_gradient_checkpointing";
  if (const auto kept = t.boolean(checkpointing)) t.put("gradient_checkpointing", *kept, {checkpointing});
  const int64_t r = t.integer(rank, 0).value_or(0);
  if (r == 0) {
    for (const std::string& name : {rank, alpha, targets}) t.tell(name, "lora_rank is 0: all weights are trained");
    return;
  }
  t.put("use_peft", true, {rank});
  t.put("lora_r", r, {rank});
  t.put("lora_alpha", t.number(alpha).value_or(16), {alpha});
  if (const SourceKey* key = t.find(targets))
    t.put("lora_target_modules", key->value.is_array() ? key->value : Json::array({key->value}), {targets});
}

void put_optimizer(Translation& t) {
  t.put("weight_decay", t.number(kOptim + "weight_decay").value_or(0.01), {kOptim + "weight_decay"});
  if (const SourceKey* betas = t.find(kOptim + "betas")) {
    const Json& pair = betas->value;
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number() || !pair[1].is_number())
      t.refuse(kOptim + "betas", "two numbers");
    t.put("adam_beta1", pair[0], {kOptim + "betas"});
    t.put("adam_beta2", pair[1], {kOptim + "betas"});
  }
  const std::string norm = t.find(kOptim + "clip_grad") ? kOptim + "clip_grad" : kActor + "grad_clip";
  if (const auto most = t.number(norm)) t.put("max_grad_norm", *most, {norm});
  t.tell(kActor + "grad_clip", "clip_grad of the optimizer counts");
}

/// Forwards there read bfloat16 until one of these says otherwise.
void put_precision(Translation& t) {
  const std::string engine = kActor + "fsdp_config.", mixed = engine + "mixed_precision.param_dtype";
  const std::string name = t.find(mixed) ? mixed : engine + "dtype";
  const std::string type = t.text(name).value_or("bfloat16");
  if (type == "float16" || type == "fp16") return t.lose(name, "forwards read fp32 or bfloat16");
  t.put("bf16", type == "bfloat16" || type == "bf16", {name});
}

void put_advantage(Translation& t) {
  const std::string name = "algorithm.adv_estimator";
  if (const auto estimator = t.text(name)) {
    if (*estimator == "gae") t.refuse(name, "grpo: there is no critic");
    if (*estimator == "grpo")
      t.tell(name, "relative to the group");
    else
      t.lose(name, "taken as grpo, relative to the group");
  }
  const std::string by_std = "algorithm.norm_adv_by_std_in_grpo";
  if (const auto normed = t.boolean(by_std)) t.put("scale_rewards", *normed ? "group" : "none", {by_std});
}

/// verl counts batches that are sampled, we count those behind the first.
void put_dynamic_sampling(Translation& t) {
  const std::string filter = "algorithm.filter_groups.", enable = filter + "enable",
                    most = filter + "max_num_gen_batches";
  const bool refills_groups = t.boolean(enable).value_or(false);
  if (refills_groups) {
    const int64_t batches = t.integer(most, 0).value_or(0);
    const int64_t refills = batches > 0 ? batches - 1 : kMostRefills;
    t.put("dynamic_sampling", {{"max_refill_batches", refills}}, {most, enable},
          batches > 0 ? "batches behind the first" : "no limit there");
    t.lose("data.gen_batch_size", "a refill samples as many groups as are wanting");
    const std::string metric = t.text(filter + "metric").value_or("reward");
    t.tell(filter + "metric", "groups whose scores are equal are refilled");
  }
  t.tell(enable, "no refills");
  t.lose_section(filter, refills_groups ? "a refill samples as many groups as are wanting" : "there are no refills");
}

void put_overlong(Translation& t) {
  for (const std::string place : {"reward.reward_kwargs.overlong_buffer_cfg.",
                                  "reward_model.reward_kwargs.overlong_buffer_cfg.", "reward_model.overlong_buffer."}) {
    const SourceKey* length = t.find(place + "len");
    if (length && t.boolean(place + "enable").value_or(false))
      t.put(
          "overlong",
          {{"soft_cache", *t.integer(place + "len", 1)}, {"penalty", t.number(place + "penalty_factor").value_or(1.0)}},
          {place + "len", place + "penalty_factor", place + "enable"});
    t.lose_section(place, "completions show their length in metrics.jsonl");
  }
}

void put_rewards(Translation& t) {
  for (const std::string place : {"reward.custom_reward_function.", "custom_reward_function."})
    if (const auto path = t.text(place + "path"))
      t.put("rewards", {"python:" + *path + ":" + t.text(place + "name").value_or("compute_score")},
            {place + "path", place + "name"});
  for (const char* manager : {"reward.reward_manager.name", "reward_model.reward_manager"})
    t.tell(manager, "completions are judged by rewards");
}

void put_evaluation(Translation& t, int64_t inner) {
  const std::string sampling = kRollout + "val_kwargs.";
  put_files(t, "data.val_files", "eval_tasks", "data.val_max_samples");
  if (t.find("data.val_files"))
    put_steps(t, "trainer.test_freq", "eval_steps", inner);
  else
    t.lose("trainer.test_freq", "needs eval_tasks");
  const bool samples = t.boolean(sampling + "do_sample").value_or(false);
  const double temperature = samples ? t.number(sampling + "temperature").value_or(0) : 0;
  if (t.find(sampling + "temperature") || t.find(sampling + "do_sample"))
    t.put("eval_temperature", temperature, {sampling + "temperature", sampling + "do_sample"});
  t.lose_section(sampling, "an evaluation has the sampling of training but for its temperature");
  t.tell("trainer.val_before_train", "an evaluation comes before the first step in any case");
}

void put_run(Translation& t, int64_t inner) {
  put_steps(t, "trainer.save_freq", "save_steps", inner);
  if (const auto limit = t.integer("trainer.max_actor_ckpt_to_keep", 1))
    t.put("save_total_limit", *limit, {"trainer.max_actor_ckpt_to_keep"});
  t.put_default("save_total_limit", 0);
  t.tell("trainer.default_local_dir", "give it as --out");
  t.tell("trainer.resume_mode", "give it as --resume");
  t.tell("trainer.resume_from_path", "give it as --resume=FOLDER");
}

}  // namespace

void translate_verl(Translation& t) {
  for (const SourceKey& key : t.keys())
    if (key.name.ends_with("._target_")) t.tell(key.name, "a class of verl");
  if (const auto model = t.text("actor_rollout_ref.model.path"))
    t.put("model", *model, {"actor_rollout_ref.model.path"}, "a folder or file stands here: nothing is downloaded");
  put_files(t, "data.train_files", "tasks", "data.train_max_samples");
  const int64_t inner = put_batch(t);
  put_plain(t);
  put_optimizer(t);
  put_adapters(t);
  put_precision(t);
  put_schedule(t, inner);
  translate_verl_loss(t);
  put_advantage(t);
  put_dynamic_sampling(t);
  put_overlong(t);
  put_rewards(t);
  put_evaluation(t, inner);
  put_run(t, inner);
  if (t.text("data.prompt_key").value_or("prompt") == "prompt") t.tell("data.prompt_key", "the column that is read");
  if (t.boolean("data.shuffle").value_or(true)) t.tell("data.shuffle", "each epoch is shuffled");
  if (t.text("data.truncation").value_or("error") == "error")
    t.tell("data.truncation", "prompts that are too long are refused, or left out by filter_overlong_prompts");
  t.lose("data.truncation", "no prompt is cut: too long ones are refused, or left out by filter_overlong_prompts");
  t.tell(kRollout + "do_sample", "it does, at a temperature above 0");
  const std::vector<std::pair<std::string, Json>> defaults = {{"num_generations", 1}, {"max_prompt_length", 512}};
  for (const auto& [ours, value] : defaults) t.put_default(ours, value);
  for (const auto& [name, reason] : kReasons)
    if (t.find(name)) t.lose(name, reason);
  for (const Section& section : kSections) t.lose_section(section.prefix, section.reason, section.by_name);
  Names known;
  for (const Plain& plain : kPlain) known.push_back(plain.theirs);
  for (const Section& section : kSections) known.push_back(section.prefix);
  t.lose_the_rest(known);
}

}  // namespace cohort
