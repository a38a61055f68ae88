// Files that somebody else may have put in place of a text.
#include "configs/read_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "configs/config.h"
#include "configs/error.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

class ReadFileAttack : public testing::Test {
 protected:
  ReadFileAttack() {
    std::string pattern = testing::TempDir() + "read-XXXXXX";
    folder = mkdtemp(pattern.data());
  }
  ~ReadFileAttack() override { fs::remove_all(folder); }

  std::string refusal(const fs::path& path, Pipes pipes = Pipes::refused) const {
    try {
      read_file(path, pipes);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder;
};

TEST_F(ReadFileAttack, WhatIsNoFileIsRefusedByName) {
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", folder / "zeros");
  fs::create_symlink("loop", folder / "loop");
  fs::create_symlink("/nowhere", folder / "nowhere");
  fs::create_directory(folder / "folder");
  for (const char* name : {"pipe", "zeros", "loop", "nowhere", "folder"}) {
    EXPECT_TRUE(is_there(folder / name)) << name;
    EXPECT_TRUE(refusal(folder / name).starts_with((folder / name).string() + ": ")) << refusal(folder / name);
  }
  EXPECT_FALSE(is_there(folder / "absent"));
  EXPECT_NE(refusal(folder / "absent"), "");
}

TEST_F(ReadFileAttack, LengthIsBounded) {
  std::ofstream(folder / "long") << "x";
  fs::resize_file(folder / "long", (uint64_t{256} << 20) + 1);  // a hole: takes no disk
  EXPECT_NE(refusal(folder / "long").find("more than 268435456 bytes"), std::string::npos);
  EXPECT_NE(refusal("/dev/zero", Pipes::read).find("more than 268435456 bytes"), std::string::npos);
}

TEST_F(ReadFileAttack, FilesAreReadWholeAndPipesWhereTheyMayBe) {
  std::string text(3'000'000, 'x');
  text[1234567] = '\0';
  std::ofstream(folder / "text") << text;
  EXPECT_EQ(read_file(folder / "text"), text);
  std::ofstream(folder / "empty");
  EXPECT_EQ(read_file(folder / "empty"), "");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(folder / "pipe") << R"({"a": [1, 2]})"; });
  EXPECT_EQ(parse_config_file(folder / "pipe")["a"][1], 2);
  writer.join();
}

}  // namespace
}  // namespace cohort
