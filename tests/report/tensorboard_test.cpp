#include "grpo/report/tensorboard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <vector>

#include "folder.h"

namespace cohort {
namespace {

using Scalars = std::vector<std::pair<std::string, double>>;

class EventFileGolden : public FolderTest {};
class EventFiles : public FolderTest {};

constexpr double started = 1.7e9;

void write_steps(const std::filesystem::path& folder) {
  EventFile file(folder, 0, started);
  file.add_scalars(1, started + 1, Scalars{{"reward", 0.25}, {"eval/pass@1", 0.5}});
  file.add_scalars(2, started + 2, Scalars{{"reward", std::nan("")}, {"loss", -1e-7}});
  file.add_scalars(300, started + 300, Scalars{{"reward", 1.0}});
}

TEST_F(EventFileGolden, BytesAreTensorBoards) {
  write_steps(folder);
  const auto golden = std::filesystem::path(COHORT_SOURCE_DIR) / "tests/report/golden/events.golden";
  ASSERT_FALSE(read_text(golden).empty());
  EXPECT_EQ(read_text(folder / "events.out.tfevents.cohort"), read_text(golden));
}

TEST_F(EventFiles, AResumeCutsLaterSteps) {
  write_steps(folder);
  const std::string whole = read_text(folder / "events.out.tfevents.cohort");
  {
    EventFile file(folder, 2, started + 1000);
    file.add_scalars(300, started + 300, Scalars{{"reward", 1.0}});
  }
  EXPECT_EQ(read_text(folder / "events.out.tfevents.cohort"), whole);
  { EventFile file(folder, 0, started); }
  EXPECT_EQ(read_text(folder / "events.out.tfevents.cohort"), whole.substr(0, 40));  // the version record alone
}

TEST_F(EventFiles, ATornOrBrokenRecordEndsTheFile) {
  write_steps(folder);
  const auto path = folder / "events.out.tfevents.cohort";
  const std::string whole = read_text(path);
  for (size_t length = 0; length < whole.size(); ++length) {
    write_text(path, whole.substr(0, length));
    { EventFile file(folder, 1000, started); }
    const std::string kept = read_text(path);
    ASSERT_TRUE(whole.starts_with(kept)) << length;
    ASSERT_GE(kept.size(), 40u);
  }
  std::string broken = whole;
  broken[60] ^= 1;
  write_text(path, broken);
  { EventFile file(folder, 1000, started); }
  EXPECT_EQ(read_text(path), whole.substr(0, 40));
}

TEST_F(EventFiles, AFolderThatIsAbsentIsNamed) {
  try {
    EventFile file(folder / "absent", 0, started);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("absent"), std::string::npos);
  }
}

}  // namespace
}  // namespace cohort
