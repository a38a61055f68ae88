#include "tasks/task_set.h"

#include "configs/error.h"

namespace cohort {

TaskSet open_task_set(const std::vector<TaskSource>& sources, uint64_t seed) {
  std::vector<Stream<Task>> streams;
  streams.reserve(sources.size());
  for (const TaskSource& source : sources) streams.push_back(open_tasks(source));
  return {std::move(streams), seed};
}

SftSet open_sft_set(const std::vector<TaskSource>& sources, uint64_t seed) {
  if (sources.empty())
    throw UsageError(
        "the key tasks is missing or empty: name rows to learn from, a file or a generator (cohort tasks list)");
  std::vector<Stream<SftRow>> streams;
  streams.reserve(sources.size());
  for (const TaskSource& source : sources) streams.push_back(open_sft_rows(source));
  return {std::move(streams), seed};
}

}  // namespace cohort
