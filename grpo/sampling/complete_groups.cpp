#include "grpo/sampling/complete_groups.h"

#include <utility>

namespace cohort {

void CompleteGroups::put(int64_t index, const Group& group) {
  const std::lock_guard lock(mutex_);
  groups_[index] = group;
  changed_.notify_one();
}

void CompleteGroups::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_one();
}

std::optional<Group> CompleteGroups::take(int64_t index) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed_ || groups_.contains(index); });
  const auto found = groups_.extract(index);
  return found.empty() ? std::nullopt : std::optional(std::move(found.mapped()));
}

}  // namespace cohort
