#include "distill/teachers/response_log.h"

#include <fstream>

#include "configs/error.h"
#include "rewards/rules.h"
#include "tasks/split.h"

namespace cohort {

ResponseLog::ResponseLog(std::filesystem::path file)
    : file_(std::move(file)), log_(file_, DurableLog::Sync::each_line) {
  std::ifstream in(file_, std::ios::binary);
  int64_t number = 1;
  for (std::string line; std::getline(in, line); ++number) {
    const Json entry = Json::parse(line, nullptr, false);
    if (!entry.is_object() || !entry.contains("request") || !entry.contains("response"))
      throw UsageError(file_.string() + ":" + std::to_string(number) +
                       " is no {\"request\", \"response\"}: take the line out, or the file away to ask anew");
    const auto size = int64_t(line.size());
    places_[stable_hash(json_text(entry["request"]))] = {size_, size};
    size_ += size + 1;
  }
}

std::optional<ResponseLog::Place> ResponseLog::find(const Json& request) const {
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(stable_hash(json_text(request)));
  return found == places_.end() ? std::nullopt : std::optional(found->second);
}

ResponseLog::Place ResponseLog::add(const Json& request, const Json& response) {
  const std::string text = json_text(request);
  const std::string line = "{\"request\":" + text + ",\"response\":" + json_text(response) + "}";
  const std::lock_guard lock(mutex_);
  log_.append(line);
  const Place place{size_, int64_t(line.size())};
  size_ += place.size + 1;
  return places_[stable_hash(text)] = place;
}

Json ResponseLog::response(Place place) const {
  std::ifstream in(file_, std::ios::binary);
  std::string line(size_t(place.size), '\0');
  in.seekg(place.offset);
  if (!in.read(line.data(), place.size)) throw std::runtime_error(file_.string() + " was cut while the run reads it");
  return Json::parse(line).at("response");
}

}  // namespace cohort
