// A file mapped read-only.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>

namespace cohort {

/// Move-only; the bytes keep their address when the object moves. The file must not shrink while it is mapped.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws UsageError when the path is missing, unreadable, or not a regular file.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

/// Bytes of a mapping that were read and are not needed now: this process's memory no longer counts them. They can be
/// read again.
void forget_mapped(std::span<const std::byte> bytes);

}  // namespace cohort
