#include "policy/files/safetensors.h"

#include <ctime>
#include <random>

#include "configs/error.h"
#include "golden.h"

namespace cohort {
namespace {

class SafetensorsGolden : public FilesTest {};
class SafetensorsFolders : public FilesTest {};
class SafetensorsAttack : public FilesTest {
 protected:
  // The message with which a file of these bytes is refused; fails the test when it is not, or not at once.
  std::string refusal(const std::string& bytes) {
    write_text(folder / "model.safetensors", bytes);
    return refusal_of(folder / "model.safetensors");
  }
  static std::string refusal_of(const std::filesystem::path& path) {
    const std::clock_t start = std::clock();  // processor time: the machine may be busy
    std::string message = "accepted";
    try {
      open_safetensors(path);
    } catch (const UsageError& error) {
      message = error.what();
    }
    EXPECT_LT(std::clock() - start, 2 * CLOCKS_PER_SEC);
    EXPECT_EQ(message.find('\n'), message.npos) << message;
    return message;
  }
  static std::string file_of(const std::string& header, const std::string& contents = "") {
    return raw<uint64_t>(header.size()) + header + contents;
  }
};

void expect_contains(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), message.npos) << part << " is not in: " << message;
}

TEST_F(SafetensorsGolden, ReadsWhatTheReferenceWrote) {
  const SafetensorsFolder file = open_safetensors(golden("all_types.safetensors"));
  EXPECT_EQ(file.tensors.size(), 18u);
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  const TensorView* tensor = file.find("layer.bfloat16");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->dtype, DType::bf16);
  EXPECT_EQ(tensor->shape, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(tensor->bytes.size(), 30u);
  EXPECT_EQ(values_of(file.find("scalar")), std::vector<float>{2.5f});
  EXPECT_EQ(file.find("empty")->shape, (std::vector<int64_t>{0, 7}));
  EXPECT_NE(file.find("quote \" and é"), nullptr);
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST_F(SafetensorsGolden, WritesTheBytesTheReferenceWrites) {
  const SafetensorsFolder file = open_safetensors(golden("all_types.safetensors"));
  write_safetensors(folder / "again.safetensors", file.tensors, file.metadata);
  EXPECT_EQ(read_text(folder / "again.safetensors"), read_text(golden("all_types.safetensors")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);  // no temporary name is left
}

TEST_F(SafetensorsFolders, RefusesToWriteWhatIsNoFile) {
  const std::vector<std::byte> bytes(64);
  const TensorView one{"w", DType::f32, {16}, bytes}, wrong{"w", DType::f32, {15}, bytes};
  const auto out = folder / "out.safetensors";
  EXPECT_THROW(write_safetensors(out, std::vector{one, one}), std::logic_error);
  EXPECT_THROW(write_safetensors(out, std::vector{wrong}), std::logic_error);
  EXPECT_THROW(write_safetensors(out, std::vector{TensorView{"q", DType::q8_0, {32}, std::span(bytes).first(34)}}),
               std::logic_error);
  EXPECT_THROW(write_safetensors(folder / "absent" / "out.safetensors", std::vector{one}), std::runtime_error);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST_F(SafetensorsFolders, FollowsTheIndexToTheShards) {
  const std::vector<float> first{1, 2}, second{3, 4, 5};
  write_safetensors(folder / "model-00001-of-00002.safetensors",
                    std::vector{TensorView{"a", DType::f32, {2}, std::as_bytes(std::span(first))}});
  write_safetensors(folder / "model-00002-of-00002.safetensors",
                    std::vector{TensorView{"b", DType::f32, {3}, std::as_bytes(std::span(second))}});
  EXPECT_FALSE(is_safetensors(folder));
  write_text(folder / "model.safetensors.index.json",
             R"({"metadata": {"total_size": 20, "note": [null, 1.5]}, "weight_map":
    {"b": "model-00002-of-00002.safetensors", "a": "model-00001-of-00002.safetensors"}})");
  EXPECT_TRUE(is_safetensors(folder));
  SafetensorsFolder opened = open_safetensors(folder);
  const SafetensorsFolder model = std::move(opened);  // the views outlive a move
  EXPECT_EQ(values_of(model.find("a")), first);
  EXPECT_EQ(values_of(model.find("b")), second);
  EXPECT_EQ(model.files.size(), 2u);
}

TEST_F(SafetensorsAttack, TruncatedAtEveryByte) {
  const std::string whole = read_text(golden("all_types.safetensors"));
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_NE(refusal(whole.substr(0, length)), "accepted") << length;
}

TEST_F(SafetensorsAttack, HeaderLengths) {
  expect_contains(refusal(""), {"model.safetensors", "0 bytes"});
  expect_contains(refusal(raw<uint64_t>(3) + "{}"), {"model.safetensors", "claims 3 bytes"});
  expect_contains(refusal(raw<uint64_t>(UINT64_MAX) + "{}"), {"18446744073709551615"});
  expect_contains(refusal(raw<uint64_t>(UINT64_MAX - 7) + "{}"), {"claims"});
  expect_contains(refusal(file_of("[1, 2]")), {"no safetensors file"});
}

TEST_F(SafetensorsAttack, OffsetsAndShapes) {
  const std::string data(16, 'x');
  const auto one = [&](const std::string& entry) { return refusal(file_of("{\"w\":" + entry + "}", data)); };
  EXPECT_EQ(one(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})"), "accepted");
  expect_contains(one(R"({"dtype":"F32","shape":[4],"data_offsets":[0,17]})"), {"\"w\"", "17"});
  expect_contains(one(R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})"), {"\"w\""});
  expect_contains(one(R"({"dtype":"F32","shape":[4],"data_offsets":[18446744073709551600,16]})"), {"\"w\""});
  expect_contains(one(R"({"dtype":"F32","shape":[5],"data_offsets":[0,16]})"), {"\"w\"", "shape"});
  expect_contains(one(R"({"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16]})"),
                  {"\"w\"", "shape"});
  expect_contains(one(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,16]})"), {"\"w\"", "2^63"});
  expect_contains(one(R"({"dtype":"F32","shape":[-4],"data_offsets":[0,16]})"), {"\"w\"", "negative"});
  expect_contains(one(R"({"dtype":"F32","shape":[4.0],"data_offsets":[0,16]})"), {"\"w\"", "integer"});
  expect_contains(one(R"({"dtype":"Q4_0","shape":[32],"data_offsets":[0,16]})"), {"\"w\"", "unknown type \"Q4_0\""});
  expect_contains(one(R"({"dtype":"F33","shape":[4],"data_offsets":[0,16]})"), {"\"w\"", "\"F33\""});
  expect_contains(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), {"8 bytes after the last tensor"});
  expect_contains(one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,16]})"), {"\"w\"", "hole"});
}

TEST_F(SafetensorsAttack, OverlapAndDuplicates) {
  const std::string f32 = R"({"dtype":"F32","shape":[2],"data_offsets":)";
  expect_contains(refusal(file_of("{\"a\":" + f32 + "[0,8]},\"b\":" + f32 + "[4,12]}}", std::string(12, 'x'))),
                  {"\"b\"", "overlaps"});
  expect_contains(refusal(file_of("{\"a\":" + f32 + "[0,8]},\"b\":" + f32 + "[0,8]}}", std::string(8, 'x'))),
                  {"overlaps"});
  expect_contains(refusal(file_of("{\"a\":" + f32 + "[0,8]},\"a\":" + f32 + "[8,16]}}", std::string(16, 'x'))),
                  {"\"a\"", "twice"});
  expect_contains(refusal(file_of(R"({"a":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}})")),
                  {"\"a\"", "twice"});
  expect_contains(refusal(file_of(R"({"__metadata__":{"x":"1","x":"2"}})")), {"\"x\"", "twice"});
  expect_contains(refusal(file_of(R"({"__metadata__":{},"__metadata__":{}})")), {"twice"});
}

TEST_F(SafetensorsAttack, HeadersOfAnotherForm) {
  for (const char* header : {R"({"w":1})",
                             R"({"w":null})",
                             R"({"w":"x"})",
                             R"({"w":[0,1]})",
                             R"({"w":{}})",
                             R"({"w":{"dtype":"F32"}})",
                             R"({"w":{"dtype":["F32"],"shape":[0],"data_offsets":[0,0]}})",
                             R"({"w":{"dtype":"F32","shape":0,"data_offsets":[0,0]}})",
                             R"({"w":{"dtype":"F32","shape":[[0]],"data_offsets":[0,0]}})",
                             R"({"w":{"dtype":"F32","shape":[0],"data_offsets":[0]}})",
                             R"({"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0,0]}})",
                             R"({"w":{"dtype":"F32","shape":[{}],"data_offsets":[0,0]}})",
                             R"({"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"more":1}})",
                             R"({"__metadata__":{"x":1}})",
                             R"({"__metadata__":[]})",
                             R"({"__metadata__":{"x":{}}})",
                             R"({"w":{"dtype":{"dtype":"F32"}}})",
                             R"({"w":)",
                             "{",
                             "{}}",
                             "{\"\xff\":{}}",
                             R"({"w":true})",
                             R"({"w":{"dtype":"F32","shape":[true],"data_offsets":[0,0]}})"})
    EXPECT_NE(refusal(file_of(header)), "accepted") << header;
  EXPECT_EQ(refusal(file_of("{}   ")), "accepted");
}

TEST_F(SafetensorsAttack, DeepAndLongHeadersAreQuick) {
  const std::string brackets(20'000'000, '[');
  expect_contains(refusal(file_of("{\"w\":" + brackets)), {"\"w\"", "array"});
  std::string many = "{";
  for (int i = 0; i < 100'000; ++i)
    many += "\"" + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)";
  many += R"("0":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})";
  expect_contains(refusal(file_of(many)), {"\"0\"", "twice"});
}

TEST_F(SafetensorsAttack, HeadersOfEndlessManyPartsAreQuick) {
  std::string tensors = "{", keys = R"({"__metadata__":{)";
  for (int i = 0; tensors.size() < 60'000'000; ++i)
    tensors += "\"" + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)";
  expect_contains(refusal(file_of(tensors)), {"262144", "at most"});
  for (int i = 0; keys.size() < 60'000'000; ++i) keys += "\"" + std::to_string(i) + "\":\"\",";
  expect_contains(refusal(file_of(keys)), {"__metadata__", "65536 keys"});
}

TEST_F(SafetensorsAttack, LinksInPlaceOfShards) {
  namespace fs = std::filesystem;
  fs::create_directories(folder / "model");
  const float value = 1;
  write_safetensors(folder / "store.bin",
                    std::vector{TensorView{"w", DType::f32, {1}, std::as_bytes(std::span(&value, 1))}});
  write_text(folder / "model" / "model.safetensors.index.json", R"({"weight_map":{"w":"a.safetensors"}})");
  const auto linked_to = [&](const fs::path& target) {
    fs::remove(folder / "model" / "a.safetensors");
    fs::create_symlink(target, folder / "model" / "a.safetensors");
    return refusal_of(folder / "model");
  };
  EXPECT_EQ(linked_to(folder / "store.bin"), "accepted");                              // as hubs keep their files
  expect_contains(linked_to("a.safetensors"), {"a.safetensors", "cannot be opened"});  // of itself
  expect_contains(linked_to("/dev/zero"), {"a.safetensors", "regular file"});
  expect_contains(linked_to(folder), {"a.safetensors", "regular file"});
  expect_contains(linked_to(folder / "absent"), {"a.safetensors", "cannot be opened"});
}

TEST_F(SafetensorsAttack, ShardsThatLeaveTheFolder) {
  std::filesystem::create_directories(folder / "model");
  write_safetensors(folder / "outside.safetensors", std::vector<TensorView>{});
  const auto shard = [&](const std::string& name) {
    write_text(folder / "model" / "model.safetensors.index.json", R"({"weight_map":{"w":")" + name + "\"}}");
    return refusal_of(folder / "model");
  };
  for (const std::string name : {"../outside.safetensors", "/etc/passwd", "a/../../outside.safetensors", "..", "",
                                 "x\\u0000/../../outside.safetensors"})
    expect_contains(shard(name), {"index.json", "\"w\"", "outside the folder"});
  for (const std::string name : {"./x", "a//b", "a/../x", "."})
    expect_contains(shard(name), {"\"w\"", "plain file name"});
  for (const std::string& name :
       {std::string("a.safetensors/"), std::string("a\\n\\u001b[1m.safetensors"), std::string(5000, 'a')})
    expect_contains(shard(name), {"index.json", "plain file name"});
  expect_contains(shard("absent.safetensors"), {"absent.safetensors", "cannot be opened"});
}

TEST_F(SafetensorsAttack, IndexesThatLie) {
  const float value = 1;
  const TensorView tensor{"w", DType::f32, {1}, std::as_bytes(std::span(&value, 1))};
  write_safetensors(folder / "a.safetensors", std::vector{tensor});
  write_safetensors(folder / "b.safetensors", std::vector{tensor});
  const auto index = [&](const std::string& text) {
    write_text(folder / "model.safetensors.index.json", text);
    return refusal_of(folder / "model.safetensors.index.json");
  };
  EXPECT_EQ(index(R"({"weight_map":{"w":"a.safetensors"}})"), "accepted");
  expect_contains(index(R"({"weight_map":{"v":"a.safetensors"}})"), {"\"v\"", "not in its shard", "a.safetensors"});
  expect_contains(index(R"({"weight_map":{"w":"a.safetensors","w":"a.safetensors"}})"), {"\"w\"", "twice"});
  expect_contains(index(R"({"weight_map":{"w":"a.safetensors","w":"b.safetensors"}})"), {"\"w\"", "twice"});
  for (const char* text :
       {"", "[]", "{}", "{\"weight_map\":[]}", "{\"weight_map\":\"w\"}", "{\"weight_map\":{\"w\":1}}",
        "{\"weight_map\":{\"w\":null}}", "{\"weight_map\":{\"w\":{}}}", "{\"weight_map\":{},\"weight_map\":{}}", "{"})
    EXPECT_NE(index(text), "accepted") << text;
}

TEST_F(SafetensorsAttack, FoldersAndPathsThatAreNoModel) {
  expect_contains(refusal_of(folder), {"neither model.safetensors nor"});
  expect_contains(refusal_of(folder / "absent"), {"absent", "cannot be opened"});
  expect_contains(refusal_of("/dev/null"), {"/dev/null", "regular file"});
}

// Whatever the bytes, a file is refused or its views lie inside it and can be read.
TEST_F(SafetensorsAttack, MutatedFiles) {
  const std::string whole = read_text(golden("all_types.safetensors"));
  std::mt19937 random(7);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (uint32_t change = 0; change <= random() % 3; ++change) {
      const size_t at = random() % 1500;  // the header and a little more
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = "0123456789{}[],:\""[random() % 17];
          break;
        default:
          bytes.erase(at, random() % 4);
          break;
      }
    }
    write_text(folder / "model.safetensors", bytes);
    try {
      for (const TensorView& tensor : open_safetensors(folder / "model.safetensors").tensors)
        ASSERT_EQ(num_bytes(tensor.dtype, tensor.shape), static_cast<int64_t>(tensor.bytes.size()));
    } catch (const UsageError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_LT(refused, 3000);
}

}  // namespace
}  // namespace cohort
