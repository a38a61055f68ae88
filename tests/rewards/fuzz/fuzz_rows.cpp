// Fuzzes what is read from files and command lines: rows of data files in every format, specs of rewards, stored
// scores. What must hold: no crash, no sanitizer report, nothing thrown but a UsageError (or a MissingError for what
// this machine lacks), and a score that was read is written and read again to the same.
#include <cstdlib>
#include <string_view>

#include "configs/error.h"
#include "rewards/reward.h"
#include "tasks/formats.h"
#include "tasks/rows.h"

namespace cohort {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class F>
void refused_or_done(F act) {
  try {
    act();
  } catch (const UsageError&) {
  } catch (const MissingError&) {
  }
}

void read_row(std::string_view text) {
  Json row;
  if (parse_row(text, row)) return;
  for (const TaskFormat& format : task_formats()) {
    Task task;
    if (format.recognises(row)) read_task(format, row, "fuzz", 1, task);
    unreadable_answer(task);
  }
  refused_or_done([&] {
    const Score score = score_from_json(row);
    require(to_json(score_from_json(to_json(score))) == to_json(score));
  });
  refused_or_done([&] { reward_from_json(row); });
}

}  // namespace
}  // namespace cohort

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace cohort;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  for (const RawRow& row : split_rows(text)) {
    if (!row.problem) read_row(row.text);
  }
  refused_or_done([&] { parse_reward(text); });
  return 0;
}
