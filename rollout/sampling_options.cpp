#include "rollout/sampling_options.h"

#include <CLI/CLI.hpp>

#include "configs/command_line.h"

namespace cohort {
namespace {

/// CLI::Range lets nan pass.
CLI::Validator within(double low, double high) {
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const bool is_number = CLI::detail::lexical_cast(text, value);
        return is_number && value >= low && value <= high
                   ? std::string()
                   : text + " is not a number from " + Json(low).dump() + " to " + Json(high).dump();
      },
      "FLOAT in [" + Json(low).dump() + " - " + Json(high).dump() + "]");
}

/// "42=-100": a token id and what is added to its logit.
std::string read_bias(const std::string& text, std::map<int32_t, double>& biases) {
  const size_t equals = text.find('=');
  double bias = 0;
  int32_t id = 0;
  const bool is_bias = equals != text.npos && CLI::detail::lexical_cast(text.substr(0, equals), id) && id >= 0 &&
                       CLI::detail::lexical_cast(text.substr(equals + 1), bias) && std::abs(bias) <= 1e6;
  if (!is_bias) return text + " is not of the form ID=NUMBER, as in 42=-100";
  biases[id] = bias;
  return "";
}

void add_penalties(CLI::App& verb, SamplingConfig& s) {
  verb.add_option("--repetition-penalty", s.repetition_penalty,
                  "divides positive logits of tokens that prompt or completion hold, multiplies negative ones")
      ->check(within(0.01, 100));
  verb.add_option("--presence-penalty", s.presence_penalty, "taken from the logits of tokens that the completion holds")
      ->check(within(-100, 100));
  verb.add_option("--frequency-penalty", s.frequency_penalty, "the same for each time that it holds them")
      ->check(within(-100, 100));
  verb.add_option_function<std::vector<std::string>>(
          "--logit-bias",
          [&s](const std::vector<std::string>& biases) {
            for (const std::string& bias : biases)
              if (const std::string problem = read_bias(bias, s.logit_bias); !problem.empty())
                throw CLI::ValidationError("--logit-bias", problem);
          },
          "ID=NUMBER, added to the logit of a token; may be repeated")
      ->allow_extra_args(false);
}

}  // namespace

void add_sampling_options(CLI::App& verb, SamplingConfig& s) {
  verb.add_option("--temperature", s.temperature, "0 takes the most likely token")
      ->capture_default_str()
      ->check(within(0.0, 100.0));
  verb.add_option("--top-p", s.top_p, "keep the most likely tokens that together reach this probability")
      ->check(within(1e-9, 1.0));
  verb.add_option("--top-k", s.top_k, "keep this many tokens; 0 keeps all")->check(CLI::NonNegativeNumber);
  verb.add_option("--min-p", s.min_p, "drop tokens less likely than this share of the most likely")
      ->check(within(0.0, 1.0));
  add_penalties(verb, s);
  verb.add_option("--max-completion-length", s.max_completion_length, "tokens")
      ->capture_default_str()
      ->check(at_least_one());
  verb.add_option("--min-tokens", s.min_tokens, "tokens before a stop token may come")->check(CLI::NonNegativeNumber);
  verb.add_option("--stop", s.stop, "a text that ends a completion; may be repeated")->allow_extra_args(false);
  verb.add_option("--stop-token-id", s.stop_token_ids, "a token that ends a completion; may be repeated")
      ->allow_extra_args(false);
  verb.add_flag("--keep-sampling-mask", s.keep_sampling_mask,
                "log-probabilities over the tokens that the cuts keep, whose ids are written too");
}

}  // namespace cohort
