#include "grpo/report/metrics_log.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "configs/error.h"
#include "folder.h"

namespace cohort {
namespace {

using nlohmann::json;

class Metrics : public FolderTest {
 protected:
  std::filesystem::path path = folder / "metrics.jsonl";

  void log_steps(int64_t first, int64_t last) {
    MetricsLog log(path, first - 1);
    for (int64_t step = first; step <= last; ++step)
      log.append({{"step", step}, {"reward", 0.5 * static_cast<double>(step)}});
  }
};
class MetricsFault : public Metrics {};

TEST_F(Metrics, LinesReadBack) {
  log_steps(1, 3);
  const auto rows = read_metrics(path);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[2], (json{{"step", 3}, {"reward", 1.5}}));
}

TEST_F(Metrics, AResumeGivesTheBytesOfOneRun) {
  log_steps(1, 5);
  const std::string whole = read_text(path);
  log_steps(3, 5);  // from a checkpoint of step 2
  EXPECT_EQ(read_text(path), whole);
  log_steps(6, 6);
  EXPECT_TRUE(read_text(path).starts_with(whole));
  EXPECT_EQ(read_metrics(path).size(), 6u);
}

TEST_F(Metrics, AnEmptyFileStartsAnywhere) {
  log_steps(21, 22);
  EXPECT_EQ(read_metrics(path)[0]["step"], 21);
}

TEST_F(Metrics, NotANumberBecomesNull) {
  MetricsLog log(path, 0);
  log.append({{"step", 1}, {"kl", std::nan("")}, {"text", "\xff"}});
  EXPECT_TRUE(read_metrics(path)[0]["kl"].is_null());
}

TEST_F(Metrics, StepsOutOfOrderAreOurOwnFault) {
  MetricsLog log(path, 0);
  EXPECT_THROW(log.append({{"step", 2}}), std::logic_error);
  EXPECT_THROW(log.append({{"step", 1.0}}), std::logic_error);
  EXPECT_THROW(log.append({{"reward", 1}}), std::logic_error);
  log.append({{"step", 1}});
  EXPECT_THROW(log.append({{"step", 1}}), std::logic_error);
}

TEST_F(Metrics, BrokenFilesAreRefusedByLine) {
  const auto refusal = [&](const std::string& text) -> std::string {
    write_text(path, text);
    try {
      read_metrics(path);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(refusal("{\"step\":1}\nnonsense\n{\"step\":2}\n").find("metrics.jsonl:2"), std::string::npos);
  EXPECT_NE(refusal("{\"step\":1}\n{\"step\":3}\n").find("metrics.jsonl:2: step 3 follows step 1"), std::string::npos);
  EXPECT_NE(refusal("{\"step\":1}\n{\"step\":1}\n").find("metrics.jsonl:2"), std::string::npos);
  EXPECT_NE(refusal("{\"step\":\"1\"}\n").find("metrics.jsonl:1"), std::string::npos);
  EXPECT_NE(refusal("[]\n").find("metrics.jsonl:1"), std::string::npos);
  EXPECT_THROW(read_metrics(folder / "absent"), UsageError);
}

TEST_F(Metrics, AFileThatEndsTooEarlyIsNoResume) {
  log_steps(1, 3);
  EXPECT_THROW(MetricsLog(path, 5), UsageError);
  EXPECT_EQ(read_metrics(path).size(), 3u);
}

TEST_F(MetricsFault, TornAtEveryByte) {
  log_steps(1, 4);
  const std::string whole = read_text(path);
  const size_t line = whole.find('\n') + 1;
  for (size_t length = line * 2; length < whole.size(); ++length) {
    write_text(path, whole.substr(0, length));
    EXPECT_EQ(read_metrics(path).size(), std::count(whole.begin(), whole.begin() + static_cast<long>(length), '\n'))
        << length;
    log_steps(3, 4);
    ASSERT_EQ(read_text(path), whole) << length;
  }
}

TEST_F(MetricsFault, ALastLineThatNeverReachedTheDisk) {
  write_text(path, std::string("{\"step\":1}\n") + std::string(20, '\0') + "\n");
  EXPECT_EQ(read_metrics(path).size(), 1u);
  log_steps(2, 2);
  EXPECT_EQ(read_metrics(path).size(), 2u);
}

}  // namespace
}  // namespace cohort
