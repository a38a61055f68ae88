// Score: its names, its JSON form, and the short ways rules make one.
#include <array>
#include <cmath>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

constexpr std::array<std::string_view, 8> kStatusNames = {"correct", "wrong",  "partial", "unparsable",
                                                          "timeout", "memory", "hack",    "error"};

const Json& field(const Json& json, const char* name) {
  if (!json.is_object() || !json.contains(name)) throw UsageError(std::string("score: no field \"") + name + "\"");
  return json.at(name);
}

// Bytes of the UTF-8 character at text[at], 0 where the bytes are none.
size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U; };
  const unsigned lead = byte(0);
  const size_t length = lead < 0x80                   ? 1
                        : lead >= 0xC2 && lead < 0xE0 ? 2
                        : lead >= 0xE0 && lead < 0xF0 ? 3
                        : lead >= 0xF0 && lead < 0xF5 ? 4
                                                      : 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;   // overlong
  if (lead == 0xED && byte(1) >= 0xA0) return 0;  // surrogates
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) >= 0x90) return 0;
  return length;
}

}  // namespace

std::string_view to_string(Status status) {
  return kStatusNames.at(static_cast<size_t>(status));
}

Status status_from(std::string_view name) {
  for (size_t i = 0; i < kStatusNames.size(); ++i) {
    if (kStatusNames[i] == name) return static_cast<Status>(i);
  }
  throw UsageError("unknown status " + excerpt(name) +
                   ", expected correct, wrong, partial, unparsable, timeout, memory, hack or error");
}

Json to_json(const Score& score) {
  Json json;
  json["value"] = score.value ? Json(*score.value) : Json(nullptr);
  json["status"] = to_string(score.status);
  json["reason"] = score.reason;
  json["components"] = score.components;
  json["seconds"] = score.seconds;
  if (!score.extra_logs.is_null()) json["extra_logs"] = score.extra_logs;
  if (score.num_errors) json["num_errors"] = score.num_errors;
  return json;
}

Score score_from_json(const Json& json) {
  Score score;
  const Json& value = field(json, "value");
  if (!value.is_number() && !value.is_null()) throw UsageError("score: value is neither a number nor null");
  if (value.is_number()) score.value = value.get<float>();
  if (!field(json, "status").is_string()) throw UsageError("score: status is not a string");
  score.status = status_from(json["status"].get<std::string>());
  if (json.contains("reason")) {
    if (!json["reason"].is_string()) throw UsageError("score: reason is not a string");
    score.reason = json["reason"].get<std::string>();
  }
  if (json.contains("components")) {
    if (!json["components"].is_object()) throw UsageError("score: components is not an object");
    for (const auto& [name, part] : json["components"].items()) {
      if (!part.is_number()) throw UsageError("score: component " + excerpt(name) + " is not a number");
      score.components[name] = part.get<double>();
    }
  }
  if (json.contains("seconds")) {
    if (!json["seconds"].is_number()) throw UsageError("score: seconds is not a number");
    score.seconds = json["seconds"].get<double>();
  }
  if (json.contains("extra_logs")) score.extra_logs = json["extra_logs"];
  if (json.contains("num_errors")) {
    if (!json["num_errors"].is_number_integer()) throw UsageError("score: num_errors is not an integer");
    score.num_errors = json["num_errors"].get<int>();
  }
  return score;
}

Score verdict(bool correct, std::string reason) {
  return {
      .value = correct ? 1.0F : 0.0F, .status = correct ? Status::correct : Status::wrong, .reason = std::move(reason)};
}

Score graded(double value, double worst, double best, std::string reason) {
  const Status status = value >= best ? Status::correct : value <= worst ? Status::wrong : Status::partial;
  return {.value = static_cast<float>(value), .status = status, .reason = std::move(reason)};
}

Score unparsable(std::string reason) {
  return {.value = 0.0F, .status = Status::unparsable, .reason = std::move(reason)};
}

Score no_score(std::string reason) {
  return {.value = std::nullopt, .status = Status::error, .reason = std::move(reason)};
}

std::string excerpt(std::string_view text, size_t limit) {
  std::string out = "\"";
  size_t at = 0;
  while (at < text.size() && at < limit) {
    const size_t length = utf8_length(text, at);
    if (length == 0)
      out += "?";
    else if (length == 1 && static_cast<unsigned char>(text[at]) < 0x20)
      out += ' ';
    else
      out.append(text.substr(at, length));
    at += length == 0 ? 1 : length;
  }
  return out + (at < text.size() ? "…\"" : "\"");
}

std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n\f\v");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n\f\v") - first + 1);
}

RewardFn each(std::function<Score(const Judged&)> judge) {
  return [judge = std::move(judge)](std::span<const Judged> batch, Deadline) {
    std::vector<Score> scores;
    scores.reserve(batch.size());
    for (const Judged& judged : batch) {
      const auto start = std::chrono::steady_clock::now();
      Score score;
      try {
        score = judged.task ? judge(judged) : no_score("no task to judge against");
      } catch (const std::exception& error) {
        score = no_score("the verifier failed: " + excerpt(error.what(), 200));
      }
      score.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      scores.push_back(std::move(score));
    }
    return scores;
  };
}

}  // namespace cohort
