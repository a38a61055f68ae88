#include "policy/files/gguf_writer.h"

#include <set>

#include "golden.h"
#include "policy/files/gguf.h"

namespace cohort {
namespace {

using Metadata = nlohmann::ordered_json;

class GgufWriter : public FilesTest {
 protected:
  std::filesystem::path path = folder / "model.gguf";

  void write(const Metadata& metadata, const std::vector<GgufTensor>& tensors) {
    write_gguf(path, metadata, tensors, [](size_t index, std::span<std::byte> out) {
      for (size_t i = 0; i < out.size(); ++i) out[i] = std::byte(index + i);
    });
  }
};

TEST_F(GgufWriter, ReadsBackAsItWasWritten) {
  Metadata metadata = {{"general.architecture", "llama"}, {"a.count", 7}, {"a.below", -7}, {"a.large", 1ll << 40}};
  metadata["a.ratio"] = 0.5, metadata["a.yes"] = true, metadata["a.texts"] = {"a", "", "ü"};
  metadata["a.types"] = {1, -2, 3}, metadata["a.scores"] = {0.5, -1.5}, metadata["a.nothing"] = Metadata::array();
  write(metadata, {{"b", DType::q8_0, {3, 32}}, {"a", DType::f16, {5}}, {"c", DType::f32, {2, 3, 4}}});
  const GgufFile file = open_gguf(path);
  EXPECT_EQ(file.metadata, nlohmann::json(metadata));
  ASSERT_EQ(file.tensors.size(), 3u);
  EXPECT_EQ(file.find("b")->shape, (std::vector<int64_t>{3, 32}));
  EXPECT_EQ(file.find("c")->shape, (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(file.find("a")->dtype, DType::f16);
  for (const auto& [name, first] : {std::pair("b", 0), std::pair("a", 1), std::pair("c", 2)})
    for (size_t i = 0; i < file.find(name)->bytes.size(); ++i)
      ASSERT_EQ(file.find(name)->bytes[i], std::byte(size_t(first) + i)) << name << " " << i;
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);  // no temporary name is left
}

TEST_F(GgufWriter, RefusesWhatTheFormatCannotHold) {
  const GgufTensor one{"w", DType::f32, {4}};
  EXPECT_THROW(write({}, {one, one}), std::logic_error);
  EXPECT_THROW(write({}, {{"w", DType::q8_0, {31}}}), std::logic_error);
  EXPECT_THROW(write({}, {{"w", DType::u8, {4}}}), std::logic_error);
  EXPECT_THROW(write({}, {{"w", DType::f32, {1, 1, 1, 1, 1}}}), std::logic_error);
  for (const char* value : {"null", "[1, \"a\"]", "[3000000000]", "[[1], 2]"})
    EXPECT_THROW(write(Metadata::parse("{\"k\": " + std::string(value) + "}"), {}), std::logic_error) << value;
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

}  // namespace
}  // namespace cohort
