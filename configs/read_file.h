// A whole file into memory, for texts whose place somebody else may have filled: a model folder from a hub, say.
#pragma once
#include <filesystem>
#include <string>

namespace cohort {

/// Whether something stands under that name, a link that leads nowhere included: reading it then says what is wrong.
bool is_there(const std::filesystem::path& path);

enum class Pipes { refused, read };  // read: a file that a person named may be a pipe (`<(jq …)`)

/// At most 256 MiB. Throws UsageError naming the path: what cannot be opened, a folder, a device or (refused) a pipe,
/// what is longer.
std::string read_file(const std::filesystem::path& path, Pipes pipes = Pipes::refused);

}  // namespace cohort
