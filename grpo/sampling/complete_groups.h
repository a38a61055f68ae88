// Groups of a rollout in their order, each as soon as it is complete, while others are still sampled.
#pragma once
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>

#include "rollout/completion.h"

namespace cohort {

class CompleteGroups {
 public:
  void put(int64_t index, const Group& group);
  /// No more come.
  void close();
  /// Returns when the group is there; none where no more come.
  std::optional<Group> take(int64_t index);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, Group> groups_;  // that wait to be taken
  bool closed_ = false;
};

}  // namespace cohort
