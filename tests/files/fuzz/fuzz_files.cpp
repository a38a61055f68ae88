// Fuzzes the readers of model files: the first byte chooses a safetensors file (with its header's length or without),
// an index or a GGUF file, the rest is the file. What must hold: no crash, no sanitizer report, nothing thrown but
// UsageError (or MissingError for a type that is not read), tensors that lie in the file, and every tensor of a
// floating-point type read whole.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "configs/error.h"
#include "policy/files/dequantize.h"
#include "policy/files/gguf.h"
#include "policy/files/safetensors.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

const fs::path& folder() {
  static const fs::path path = [] {
    fs::path made = fs::path("/dev/shm") / ("fuzz_files_" + std::to_string(getpid()));
    fs::create_directories(made);
    return made;
  }();
  return path;
}

struct FolderRemoved {
  ~FolderRemoved() { fs::remove_all(folder()); }
} removed_at_exit;

fs::path written(const char* name, const uint8_t* bytes, size_t size) {
  const fs::path path = folder() / name;
  FILE* file = std::fopen(path.c_str(), "wb");
  if (!file || std::fwrite(bytes, 1, size, file) != size || std::fclose(file) != 0) std::abort();
  return path;
}

void read_whole(const std::vector<TensorView>& tensors) {
  for (const TensorView& tensor : tensors) {
    if (num_bytes(tensor.dtype, tensor.shape) != int64_t(tensor.bytes.size())) std::abort();
    std::vector<float> out(size_t(tensor.num_elements()));
    try {
      dequantize(tensor, out);
    } catch (const UsageError&) {
    }
  }
}

/// A header that ends at the first newline, behind its length: fuzzers do not find out lengths.
std::string with_length(const uint8_t* bytes, size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  const uint64_t length = std::min(text.find('\n'), text.size());
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file + text.substr(0, length) + text.substr(std::min<size_t>(length + 1, text.size()));
}

void read_file(uint8_t kind, const uint8_t* bytes, size_t size) {
  if (kind % 4 == 3) {
    const std::string file = with_length(bytes, size);
    read_whole(
        open_safetensors(written("model.safetensors", reinterpret_cast<const uint8_t*>(file.data()), file.size()))
            .tensors);
  }
  if (kind % 4 == 0) read_whole(open_safetensors(written("model.safetensors", bytes, size)).tensors);
  if (kind % 4 == 1) read_whole(open_safetensors(written("model.safetensors.index.json", bytes, size)).tensors);
  if (kind % 4 == 2) read_whole(open_gguf(written("model.gguf", bytes, size)).tensors);
}

}  // namespace
}  // namespace cohort

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  try {
    cohort::read_file(bytes[0], bytes + 1, size - 1);
  } catch (const cohort::UsageError&) {
  } catch (const cohort::MissingError&) {
  }
  return 0;
}
