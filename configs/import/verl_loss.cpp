// The loss of a verl config: clipping, aggregation, correction for the policy that sampled, KL.
#include "configs/import/translation.h"

namespace cohort {
namespace {

using Names = Translation::Names;

const std::string kActor = "actor_rollout_ref.actor.";

void put_clipping(Translation& t) {
  const std::string low = kActor + "clip_ratio_low", high = kActor + "clip_ratio_high";
  const bool is_given = t.find(low) || t.find(high);
  const double either = t.number(kActor + "clip_ratio").value_or(0.2);
  t.put("epsilon", t.number(low).value_or(t.is_null(low) ? either : 0.2), {low});
  t.put("epsilon_high", t.number(high).value_or(t.is_null(high) ? either : 0.2), {high});
  if (t.is_null(low) || t.is_null(high)) t.tell(kActor + "clip_ratio", "counts where clip_ratio_low or _high is null");
  t.tell(kActor + "clip_ratio", is_given ? "clip_ratio_low and clip_ratio_high count"
                                         : "without effect in verl too, whose clip_ratio_low and clip_ratio_high are "
                                           "0.2 until they are set");
}

/// bypass_mode names a loss of its own, that of vanilla or REINFORCE.
std::string loss_mode(Translation& t) {
  const std::string correction = "algorithm.rollout_correction.", mode = kActor + "policy_loss.loss_mode";
  if (!t.boolean(correction + "bypass_mode").value_or(false)) return t.text(mode).value_or("vanilla");
  t.tell(mode, "bypass_mode has losses of its own");
  if (t.choice(correction + "loss_type", {"ppo_clip", "reinforce"}).value_or("ppo_clip") == "reinforce")
    t.lose(correction + "loss_type",
           "taken as ppo_clip; with a rollout_is of token and one threshold it is loss_type cispo, whose epsilon_high "
           "is that threshold");
  return "vanilla";
}

void put_aggregation(Translation& t, const std::string& loss) {
  const std::string sum = kActor + "loss_agg_mode";
  const std::string aggregation =
      t.choice(sum, {"token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean"})
          .value_or("token-mean");
  const std::map<std::string, std::string> types = {{"token-mean", "dapo"},
                                                    {"seq-mean-token-mean", "grpo"},
                                                    {"seq-mean-token-sum", "luspo"},
                                                    {"seq-mean-token-sum-norm", "dr_grpo"}};
  if (loss == "sapo")
    t.tell(sum, "sapo is the mean of the sequences' means, there and here");
  else if (loss == "cispo" && aggregation == "token-mean")
    t.tell(sum, "of cispo too");
  else if (loss == "cispo" || !types.contains(aggregation))
    t.lose(sum, "taken as token-mean");
  else
    t.put("loss_type", types.at(aggregation), {sum});
  if (const auto bonus = t.number(kActor + "entropy_coeff"))
    t.put("entropy_coef", *bonus, {kActor + "entropy_coeff"},
          *bonus != 0 && aggregation != "token-mean" ? "of the mean per token; there it is summed as the loss is" : "");
  if (t.number(kActor + "loss_scale_factor"))
    t.lose(kActor + "loss_scale_factor", "dr_grpo divides by max_completion_length");
}

void put_loss(Translation& t) {
  const std::string mode = kActor + "policy_loss.loss_mode", dual = kActor + "clip_ratio_c";
  const std::string loss = loss_mode(t);
  if (loss == "cispo" || loss == "sapo") t.put_choice("loss_type", loss, {mode});
  if (loss == "cispo" && t.knows("cispo_clip")) t.put("cispo_clip", "band", {}, "verl clips on both sides");
  if (loss == "gspo") t.put("importance_sampling_level", "sequence", {mode});
  if (loss == "vanilla") t.tell(mode, "the clipped ratio");
  t.lose(mode, "taken as vanilla, the clipped ratio");
  if (loss == "cispo" || loss == "sapo" || loss == "gspo")
    t.tell(dual, "of vanilla alone");
  else
    t.put("dual_clip", t.number(dual).value_or(3.0), {dual});
  t.lose_section(kActor + "policy_loss.", "parameters of losses that are not here");
  put_aggregation(t, loss);
}

/// "2.0" truncates factors above, "0.5_5.0" drops those outside (IcePop).
std::pair<double, std::optional<double>> factor_bounds(Translation& t, const std::string& threshold) {
  const SourceKey* key = t.find(threshold);
  const std::string text = key && key->value.is_string() ? key->value.get<std::string>() : "";
  const size_t middle = text.find('_');
  if (middle == text.npos) return {t.number(threshold).value_or(2.0), std::nullopt};
  const Json low = Json::parse(text.substr(0, middle), nullptr, false),
             high = Json::parse(text.substr(middle + 1), nullptr, false);
  if (!low.is_number() || !high.is_number() || low >= high)
    t.refuse(threshold, "a number, or two as 0.5_5.0, the smaller one first");
  return {high, low.get<double>()};
}

/// Between the policy that sampled and that of the rollout's start, by factors (rollout_is) or by leaving tokens out
/// (rollout_rs).
void put_correction(Translation& t) {
  const std::string prefix = "algorithm.rollout_correction.", level = prefix + "rollout_is",
                    threshold = prefix + "rollout_is_threshold", bypass = prefix + "bypass_mode";
  const bool bypasses = t.boolean(bypass).value_or(false);
  const std::optional<std::string> of = t.choice(level, {"token", "sequence"});
  if (of && !bypasses && !t.is_null(threshold)) {
    const auto [high, low] = factor_bounds(t, threshold);
    t.put("importance_sampling_correction", *of + (low ? "_mask" : "_truncate"), {level, threshold},
          "its factors are 1 while max_staleness is 0: none then saves a forward");
    t.put("importance_sampling_clip_max", high, {threshold});
    if (low) t.put("importance_sampling_clip_min", *low, {threshold});
  }
  t.tell(bypass, bypasses ? "ratios are to the policy that sampled, as here without a correction" : "nor here");
  t.tell(level, bypasses ? "the ratio is the factor" : "no factors without a threshold");
  t.tell(threshold, "no factors");
  t.tell(prefix + "loss_type", bypasses ? "the clipped ratio" : "of bypass_mode");
  if (!t.boolean(prefix + "rollout_is_batch_normalize").value_or(false))
    t.tell(prefix + "rollout_is_batch_normalize", "nor here");
  t.lose(prefix + "rollout_is_batch_normalize", "factors are taken as they are");
  for (const char* name : {"rollout_rs", "rollout_rs_threshold"})
    if (t.find(prefix + name))
      t.lose(prefix + name,
             "tokens left out there count in no mean; importance_sampling_correction token_mask and sequence_mask give "
             "them the factor 0 and count them");
}

void put_kl(Translation& t) {
  const std::string use = kActor + "use_kl_loss", weight = kActor + "kl_loss_coef", type = kActor + "kl_loss_type";
  const bool has_kl = t.boolean(use).value_or(false);
  t.put("beta", has_kl ? t.number(weight).value_or(0.001) : 0.0, has_kl ? Names{weight, use} : Names{use});
  t.tell(weight, "use_kl_loss is not set");
  const std::map<std::string, std::string> estimators = {{"low_var_kl", "k3"}, {"k3", "k3"},  {"kl", "k1"},
                                                         {"k1", "k1"},         {"mse", "k2"}, {"k2", "k2"}};
  const std::string estimator = t.text(type).value_or("low_var_kl");
  if (!has_kl)
    t.tell(type, "use_kl_loss is not set");
  else if (!estimators.contains(estimator))
    t.lose(type, "taken as k3");
  else if (!t.knows("kl_estimator") && estimators.at(estimator) == "k3")
    t.tell(type, "the estimator here");
  else
    t.put_choice("kl_estimator", estimators.at(estimator), {type});
  if (has_kl) t.put("use_bias_correction_kl", false, {}, "verl's KL is not weighed by the ratio");
}

/// verl's other place for the KL; here it is the one or the other.
void put_kl_in_reward(Translation& t) {
  const std::string use = "algorithm.use_kl_in_reward", weight = "algorithm.kl_ctrl.kl_coef";
  if (!t.boolean(use).value_or(false)) {
    t.tell(use, "nor here");
    return t.tell("algorithm.kl_penalty", "of the KL in the reward, see use_kl_in_reward");
  }
  if (t.boolean(kActor + "use_kl_loss").value_or(false))
    return t.lose(use, "the KL stands in the loss or in the reward: use_kl_loss counts");
  t.put("kl_in_reward", true, {use});
  t.put("beta", t.number(weight).value_or(0.001), {weight});
  const std::string penalty = t.text("algorithm.kl_penalty").value_or("kl");
  const std::map<std::string, std::string> estimators = {{"kl", "k1"}, {"k1", "k1"},         {"mse", "k2"},
                                                         {"k2", "k2"}, {"low_var_kl", "k3"}, {"k3", "k3"}};
  if (estimators.contains(penalty)) t.put_choice("kl_estimator", estimators.at(penalty), {"algorithm.kl_penalty"});
}

}  // namespace

void translate_verl_loss(Translation& t) {
  put_clipping(t);
  put_loss(t);
  put_correction(t);
  put_kl(t);
  put_kl_in_reward(t);
}

}  // namespace cohort
