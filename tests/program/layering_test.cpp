// The shape of the tree: which folder may include which, where LibTorch may be seen, and names that say nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// Of each folder, those whose headers it may include besides its own.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"configs", {}},
    {"tasks", {"configs"}},
    {"rewards", {"configs", "tasks"}},
    {"policy", {"configs"}},
    {"rollout", {"configs", "tasks", "rewards", "policy"}},
    {"grpo", {"configs", "tasks", "rewards", "policy", "rollout"}},
    {"distill", {"configs", "tasks", "rewards", "policy", "rollout", "grpo"}},
};

/// Parts of a folder that know nothing of the rest of it.
const std::vector<std::string> kClosedParts = {"policy/text/", "policy/files/", "policy/kernels/", "grpo/report/"};

const std::set<std::string> kNamesThatSayNothing = {"utils",  "util",    "common",  "core",
                                                    "helper", "helpers", "manager", "misc"};

/// The closed part that a path lies in, "" outside of them.
std::string closed_part_of(const std::string& path) {
  for (const std::string& part : kClosedParts)
    if (path.starts_with(part)) return part;
  return "";
}

/// LibTorch is seen by the reference of the engine and by tests alone: the program starts without it.
bool may_see_torch(const std::string& path) {
  return path.starts_with("policy/reference.") || path.starts_with("tests/policy/") || path.starts_with("tests/grpo/");
}

std::string folder_of(const std::string& path) {
  return path.substr(0, path.find('/'));
}

/// What is wrong with `#include included` in the file `path`; "" when nothing is. Paths are relative to the root.
std::string include_violation(const std::string& path, const std::string& included, bool angled) {
  static const std::regex torch("(torch|ATen|c10|caffe2)/.*");
  const std::string folder = folder_of(path);
  const std::string edge = path + " includes " + included;
  if (!may_see_torch(path) && std::regex_match(included, torch)) return edge + ", but is to compile without LibTorch";
  if (angled || folder == "tests" || path == "main.cpp") return "";
  const auto may_include = kMayInclude.find(folder);
  if (may_include == kMayInclude.end()) return path + " stands outside the folders of the house";
  const std::string target = folder_of(included);
  if (target != folder && !may_include->second.contains(target)) return edge + ", against the direction of includes";
  if (may_see_torch(included) && !may_see_torch(path)) return edge + ", which needs LibTorch";
  if (target == folder && !closed_part_of(path).empty() && closed_part_of(included).empty())
    return edge + ", the folder around its part";
  return "";
}

std::vector<std::string> violations_in(const std::string& path, const std::string& text) {
  static const std::regex include(R"re((?:^|\n)[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"])re");
  std::vector<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), include), end; match != end; ++match) {
    const std::string violation = include_violation(path, (*match)[2], (*match)[1] == "<");
    if (!violation.empty()) found.push_back(violation);
  }
  return found;
}

bool says_nothing(const fs::path& path) {
  return kNamesThatSayNothing.contains(path.stem().string());
}

/// Every file and folder that belongs to the sources: what is hidden, built or written by runs is left out.
std::vector<fs::path> source_tree() {
  const fs::path root = COHORT_SOURCE_DIR;
  std::vector<fs::path> paths;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename().string();
    const bool at_root = entry.depth() == 0;
    if (name.starts_with(".") || (at_root && (name.starts_with("build") || name == "runs")))
      entry.disable_recursion_pending();
    else
      paths.push_back(fs::relative(entry->path(), root));
  }
  return paths;
}

bool is_source(const fs::path& path) {
  static const std::set<std::string> endings = {".h", ".cpp", ".cu", ".cuh", ".inc"};
  return endings.contains(path.extension().string());
}

TEST(Layering, IncludesGoOneWay) {
  int num_sources = 0;
  for (const fs::path& path : source_tree()) {
    if (!is_source(path)) continue;
    ++num_sources;
    std::ifstream file(fs::path(COHORT_SOURCE_DIR) / path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    for (const std::string& violation : violations_in(path.string(), text)) ADD_FAILURE() << violation;
  }
  EXPECT_GT(num_sources, 50);
}

TEST(Layering, NoNameSaysNothing) {
  for (const fs::path& path : source_tree()) EXPECT_FALSE(says_nothing(path)) << path;
}

TEST(Layering, SeesWhatItForbids) {
  const auto count = [](const char* path, const char* text) { return violations_in(path, text).size(); };
  EXPECT_EQ(count("policy/model.cpp", "#include \"tasks/task.h\"\n"), 1u);
  EXPECT_EQ(count("configs/a.h", "// c\n  #  include \"policy/text/regex.h\"\n#include <string>\n"), 1u);
  EXPECT_EQ(count("rewards/a.cpp", "#include \"policy/files/dtype.h\"\n#include \"rollout/engine.h\"\n"), 2u);
  EXPECT_EQ(count("tasks/a.cpp", "#include <ATen/core/Tensor.h>\n"), 1u);
  EXPECT_EQ(count("policy/kernels/a.cpp", "#include <torch/torch.h>\n#include \"policy/model.h\"\n"), 2u);
  EXPECT_EQ(count("policy/model.h", "#include <ATen/core/Tensor.h>\n#include \"policy/text/regex.h\"\n"), 1u);
  EXPECT_EQ(count("policy/reference.h", "#include <ATen/core/Tensor.h>\n#include \"policy/model.h\"\n"), 0u);
  EXPECT_EQ(count("grpo/learner.h", "#include \"policy/reference.h\"\n"), 1u);
  EXPECT_EQ(count("grpo/report/a.cpp", "#include \"policy/files/json.h\"\n#include \"grpo/loss.h\"\n"), 1u);
  EXPECT_EQ(count("engine/a.cpp", "#include \"engine/a.h\"\n"), 1u);
  EXPECT_EQ(count("tests/a.cpp", "#include \"distill/chain.h\"\n"), 0u);
  EXPECT_EQ(count("configs/a.h", "text = \"#include <torch/torch.h>\";\n"), 0u);
  EXPECT_TRUE(says_nothing("policy/utils"));
  EXPECT_TRUE(says_nothing("grpo/common.h"));
  EXPECT_FALSE(says_nothing("policy/commons.h"));
}

/// What a shell command prints.
std::string printed(const std::string& command) {
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  char chunk[4096];
  while (const size_t got = fread(chunk, 1, sizeof chunk, pipe)) out.append(chunk, got);
  pclose(pipe);
  return out;
}

TEST(Layering, SourcesAreFormatted) {
  const std::string version = printed("clang-format --version 2>&1");
  if (version.find("version 14.") == version.npos)
    GTEST_SKIP() << "clang-format 14 is not here (each version has its own mind): " << version;
  const std::string sources =
      "find configs tasks rewards policy rollout grpo distill tests main.cpp -name '*.cpp' -o -name '*.h' -o -name "
      "'*.cu'";
  EXPECT_EQ(
      printed("cd '" COHORT_SOURCE_DIR "' && " + sources + " | xargs clang-format --dry-run 2>&1 | grep -c warning"),
      "0\n")
      << "git ls-files '*.cpp' '*.h' '*.cu' | xargs clang-format -i";
}

}  // namespace
}  // namespace cohort
