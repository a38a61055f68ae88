// Files that are whole or absent: in order, when writing fails, and when the writer is killed at any moment.
#include "configs/durable_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include "configs/error.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

int num_entries(const fs::path& folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

/// An empty folder of the test's own, removed at its end.
class Folder : public testing::Test {
 protected:
  Folder() {
    std::string pattern = testing::TempDir() + "durable-XXXXXX";
    folder = mkdtemp(pattern.data());
  }
  ~Folder() override { fs::remove_all(folder); }
  fs::path folder;
};
using DurableWrite = Folder;
using DurableFolder = Folder;
using DurableLogFile = Folder;
using Lock = Folder;
using DurableFault = Folder;

// ---- In order

TEST_F(DurableWrite, ReplacesTheContentAndLeavesNoOtherName) {
  write_durably(folder / "a.json", "one");
  write_durably(folder / "a.json", std::string("two\0three", 9));
  EXPECT_EQ(content(folder / "a.json"), std::string("two\0three", 9));
  EXPECT_EQ(num_entries(folder), 1);
}

TEST_F(DurableWrite, FollowsALink) {
  put(folder / "target", "old");
  fs::create_symlink("target", folder / "link");
  write_durably(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(content(folder / "target"), "new");
}

TEST_F(DurableWrite, WritesIntoWhatIsNoFile) {
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  write_durably(pipe, "through");
  char got[16] = {};
  EXPECT_EQ(read(reader, got, sizeof got), 7);
  close(reader);
  EXPECT_TRUE(fs::is_fifo(pipe));
  write_durably("/dev/null", "gone");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(DurableWrite, LeavesTheFormerContentWhenItStopsHalfWay) {
  put(folder / "kept", "old");
  {
    DurableFile file(folder / "kept");
    file.write("half of the new");
  }
  EXPECT_EQ(content(folder / "kept"), "old");
  EXPECT_EQ(num_entries(folder), 1);
  DurableFile file(folder / "kept");
  file.write("new");
  file.commit();
  EXPECT_EQ(content(folder / "kept"), "new");
}

TEST_F(DurableWrite, NamesThePathThatCannotBeWritten) {
  const std::string path = (folder / "none" / "a").string();
  try {
    write_durably(path, "x");
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find((folder / "none").string()), std::string::npos);
  }
}

TEST_F(DurableFolder, IsBuiltWholeAndReplaced) {
  write_folder_durably(folder / "step", [](const fs::path& unfinished) {
    fs::create_directory(unfinished / "sub");
    put(unfinished / "sub" / "weights", "1");
  });
  EXPECT_EQ(content(folder / "step" / "sub" / "weights"), "1");
  write_folder_durably(folder / "step" / "", [](const fs::path& unfinished) { put(unfinished / "other", "2"); });
  EXPECT_EQ(content(folder / "step" / "other"), "2");
  EXPECT_FALSE(fs::exists(folder / "step" / "sub"));
  EXPECT_EQ(num_entries(folder), 1);
}

TEST_F(DurableFolder, LeavesNothingWhenFillingFails) {
  put(folder / "keep", "x");
  const auto fill = [](const fs::path& unfinished) {
    put(unfinished / "half", "1");
    throw UsageError("no");
  };
  EXPECT_THROW(write_folder_durably(folder / "step", fill), UsageError);
  EXPECT_EQ(num_entries(folder), 1);
}

TEST_F(DurableFolder, CanBeMadeWritable) {
  make_writable_folder(folder / "a" / "b");
  EXPECT_TRUE(fs::is_directory(folder / "a" / "b"));
  EXPECT_EQ(num_entries(folder / "a" / "b"), 0);
  put(folder / "file", "x");
  EXPECT_THROW(make_writable_folder(folder / "file"), UsageError);
  EXPECT_THROW(make_writable_folder(folder / "file" / "below"), UsageError);
  EXPECT_THROW(make_writable_folder("/proc/none"), UsageError);
}

TEST_F(DurableLogFile, GoesOnWhereItStopped) {
  { DurableLog(folder / "log").append("{\"step\": 1}"); }
  DurableLog log(folder / "log", DurableLog::Sync::each_line);
  EXPECT_EQ(log.num_lines(), 1);
  log.append("{\"step\": 2}");
  EXPECT_EQ(content(folder / "log"), "{\"step\": 1}\n{\"step\": 2}\n");
}

TEST_F(DurableLogFile, CutsOffATornLastLine) {
  put(folder / "log", "{\"step\": 1}\n{\"st");
  DurableLog log(folder / "log");
  EXPECT_EQ(log.num_lines(), 1);
  log.append("{\"step\": 2}");
  EXPECT_EQ(content(folder / "log"), "{\"step\": 1}\n{\"step\": 2}\n");
  put(folder / "only", "torn");
  EXPECT_EQ(DurableLog(folder / "only").num_lines(), 0);
  EXPECT_EQ(content(folder / "only"), "");
}

TEST_F(DurableLogFile, KeepsItsFirstLines) {
  const std::string wide(700000, 'x');  // lines that end in different chunks
  DurableLog log(folder / "log");
  for (int i = 0; i < 5; ++i) log.append(std::to_string(i) + wide);
  log.keep_first(3);
  EXPECT_EQ(log.num_lines(), 3);
  log.append("3");
  const std::string all = content(folder / "log");
  EXPECT_EQ(all, "0" + wide + "\n1" + wide + "\n2" + wide + "\n3\n");
  log.keep_first(100);
  EXPECT_EQ(log.num_lines(), 4);
  log.keep_first(0);
  EXPECT_EQ(content(folder / "log"), "");
}

TEST_F(Lock, KeepsASecondRunOut) {
  {
    const RunLock lock(folder);
    try {
      const RunLock second(folder);
      FAIL();
    } catch (const UsageError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(folder.string()), std::string::npos);
      EXPECT_NE(message.find("process " + std::to_string(getpid())), std::string::npos);
    }
  }
  EXPECT_EQ(num_entries(folder), 0);
  EXPECT_NO_THROW(RunLock{folder});
}

TEST(Checksum, HasThePublishedValues) {  // RFC 3720, B.4
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  EXPECT_EQ(crc32c(rising), 0x46DD794Eu);
}

TEST_F(DurableWrite, HasTheChecksumOfItsBytes) {
  std::string bytes;
  for (int i = 0; i < 3000001; ++i) bytes += static_cast<char>(i * 31);
  put(folder / "a", bytes);
  EXPECT_EQ(file_crc32c(folder / "a"), crc32c(bytes));
  EXPECT_EQ(crc32c(std::string_view(bytes).substr(13), crc32c(std::string_view(bytes).substr(0, 13))), crc32c(bytes));
}

// ---- When writing fails

/// Runs `work` in a child that may write files of at most `limit` bytes; its exit status.
int in_child_with_file_limit(rlim_t limit, const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit bound{limit, limit};
    setrlimit(RLIMIT_FSIZE, &bound);
    _exit(work());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(DurableFault, KeepsTheFormerContentWhenTheDiskIsFull) {
  write_durably(folder / "a", "former");
  const int status = in_child_with_file_limit(4096, [this] {
    try {
      write_durably(folder / "a", std::string(10000, 'x'));
    } catch (const std::runtime_error&) {
      return 7;
    }
    return 0;
  });
  EXPECT_EQ(status, 7);
  EXPECT_EQ(content(folder / "a"), "former");
  EXPECT_EQ(num_entries(folder), 1);
}

TEST_F(DurableFault, LogLosesOnlyTheLineThatDidNotFit) {
  const int status = in_child_with_file_limit(100, [this] {
    DurableLog log(folder / "log");
    log.append(std::string(60, 'a'));
    try {
      log.append(std::string(60, 'b'));
    } catch (const std::runtime_error&) {
      log.append("c");
      return 7;
    }
    return 0;
  });
  EXPECT_EQ(status, 7);
  EXPECT_EQ(content(folder / "log"), std::string(60, 'a') + "\nc\n");
}

// ---- When the writer is killed

/// Runs `work` in a child over and over, with a rising number, and kills it once `due` says so.
void kill_when(const std::function<bool()>& due, const std::function<void(int)>& work) {
  const pid_t child = fork();
  if (child == 0)
    for (int i = 0;; ++i) work(i);
  while (!due()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

void kill_after(int milliseconds, const std::function<void(int)>& work) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  kill_when([end] { return std::chrono::steady_clock::now() >= end; }, work);
}

bool is_uniform(const std::string& bytes, size_t size) {
  return bytes.size() == size && bytes.find_first_not_of(bytes.front()) == bytes.npos;
}

TEST_F(DurableFault, FileIsWholeAfterAKill) {
  constexpr size_t kSize = 1 << 20;
  write_durably(folder / "a", std::string(kSize, 'A'));
  for (int round = 0; round < 12; ++round) {
    kill_after(5 + round, [this](int i) { write_durably(folder / "a", std::string(kSize, 'a' + i % 26)); });
    EXPECT_TRUE(is_uniform(content(folder / "a"), kSize));
  }
  remove_unfinished(folder);
  EXPECT_EQ(num_entries(folder), 1);
}

TEST_F(DurableFault, FolderIsWholeAfterAKill) {
  for (int round = 0; round < 12; ++round) {
    kill_after(5 + round, [this](int i) {
      write_folder_durably(folder / "step", [i](const fs::path& unfinished) {
        for (const char* name : {"x", "y", "z"}) put(unfinished / name, std::string(100000, 'a' + i % 26));
      });
    });
    if (!fs::exists(folder / "step")) continue;  // killed before the first was whole
    std::string all;
    for (const char* name : {"x", "y", "z"}) all += content(folder / "step" / name);
    EXPECT_TRUE(is_uniform(all, 300000));
  }
  remove_unfinished(folder);
  EXPECT_EQ(num_entries(folder), fs::exists(folder / "step") ? 1 : 0);
}

TEST_F(DurableFault, LogHasEveryLineButTheLastAfterAKill) {
  int64_t before = 0;
  for (int round = 0; round < 8; ++round) {
    const fs::path log_path = folder / "log";
    const uintmax_t size = fs::exists(log_path) ? fs::file_size(log_path) : 0;
    const auto has_grown = [&] { return fs::exists(log_path) && fs::file_size(log_path) > size + 100000; };
    kill_when(has_grown, [&](int i) {
      static DurableLog log(log_path);
      log.append(std::to_string(i) + std::string(5000, 'x'));
    });
    const DurableLog log(log_path);
    EXPECT_GE(log.num_lines(), before + 20);
    before = log.num_lines();
  }
  std::ifstream lines(folder / "log");
  int expected = 0;
  for (std::string line; std::getline(lines, line); ++expected) {
    const int number = std::stoi(line);
    if (number == 0) expected = 0;  // the next round
    ASSERT_EQ(line, std::to_string(expected) + std::string(5000, 'x'));
  }
}

TEST_F(DurableFault, LockOfADeadRunHoldsNothing) {
  const auto is_held = [this] { return content(folder / ".lock") != ""; };
  kill_when(is_held, [this](int) {
    const RunLock lock(folder);
    pause();
  });
  EXPECT_NO_THROW(RunLock{folder});
}

TEST_F(DurableFault, UnfinishedNamesOfADeadWriterAreRemoved) {
  const auto has_begun = [this] { return num_entries(folder) == 1; };
  kill_when(has_begun, [this](int) { write_folder_durably(folder / "step", [](const fs::path&) { pause(); }); });
  EXPECT_EQ(num_entries(folder), 1);
  EXPECT_EQ(remove_unfinished(folder), 1);
  EXPECT_EQ(num_entries(folder), 0);
}

}  // namespace
}  // namespace cohort
