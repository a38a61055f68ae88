// What a server answered, kept by what it was asked: one line {"request", "response"} for each answer, on the disk
// before it is used. Goals: an answer that came is never paid for twice, whatever kills the run, changes its config or
// starts it anew in the same folder; any order of lines. Non-goals: requests on their way at a kill, which nobody can
// know the end of; several processes (RunLock keeps them apart).
#pragma once
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "configs/durable_file.h"

namespace cohort {

using Json = nlohmann::json;

class ResponseLog {
 public:
  struct Place {
    int64_t offset = 0, size = 0;  // bytes of the line
  };

  /// Throws UsageError naming the line that is none.
  explicit ResponseLog(std::filesystem::path file);

  /// All thread-safe. Requests are the same when their bytes are, as Json::dump writes them.
  std::optional<Place> find(const Json& request) const;
  Place add(const Json& request, const Json& response);
  Json response(Place place) const;

 private:
  std::filesystem::path file_;
  DurableLog log_;
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, Place> places_;  // by hash of the request
  int64_t size_ = 0;
};

}  // namespace cohort
