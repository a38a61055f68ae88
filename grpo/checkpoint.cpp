#include "grpo/checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "policy/files/dequantize.h"
#include "policy/files/safetensors.h"
#include "policy/load.h"
#include "policy/save.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

std::string step_name(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
  return name;
}

int64_t step_of(const fs::path& checkpoint) {
  return std::atoll(checkpoint.filename().c_str() + std::strlen("step-"));
}

TensorView view(const std::string& name, const float* values, int64_t count) {
  return {name, DType::f32, {count}, {reinterpret_cast<const std::byte*>(values), size_t(count) * sizeof(float)}};
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw std::runtime_error("could not write " + path.string());
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Name, size and checksum of every file of the folder.
Json manifest(const fs::path& folder) {
  Json files = Json::object();
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = {{"bytes", entry.file_size()}, {"crc32c", file_crc32c(entry.path())}};
  return files;
}

std::vector<fs::path> checkpoints_of(const fs::path& run) {
  std::vector<fs::path> found;
  if (!fs::is_directory(run / "checkpoints")) return found;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints"))
    if (entry.is_directory() && entry.path().filename().string().starts_with("step-")) found.push_back(entry.path());
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) { return step_of(a) < step_of(b); });
  return found;
}

/// Under a name that the next resume removes first, so that a kill leaves no half of a checkpoint.
void remove_checkpoint(const fs::path& checkpoint) {
  fs::path gone = checkpoint;
  gone += ".unfinished-removal";
  fs::rename(checkpoint, gone);
  fs::remove_all(gone);
}

void read_tensor(const SafetensorsFolder& file, const std::string& name, Buffer& out, const fs::path& path) {
  const TensorView* tensor = file.find(name);
  if (!tensor || tensor->num_elements() != out.size())
    throw UsageError(path.string() + ": tensor " + name + " does not fit this model, which has " +
                     std::to_string(out.size()) + " parameters");
  dequantize(*tensor, {out.data(), size_t(out.size())});
}

constexpr const char* kInstead =
    "go on from an earlier checkpoint with --resume=FOLDER, or start a run with another --out";

std::vector<Group> read_unused_groups(const fs::path& checkpoint) try {
  return read_groups(checkpoint / "unused_groups.jsonl");
} catch (const UsageError& error) {
  throw UsageError(std::string(error.what()) + "; " + kInstead);
}

}  // namespace

void save_checkpoint(const fs::path& run, const Learner& learner, const CausalLM& model, const Tokenizer* tokenizer,
                     const RunState& state, const CausalLM* reference) {
  make_writable_folder(run / "checkpoints");
  write_folder_durably(checkpoint_of(run, state.step), [&](const fs::path& folder) {
    save_model(model, tokenizer, folder);
    std::vector<TensorView> tensors = {view("mean", learner.mean.data(), learner.mean.size()),
                                       view("variance", learner.variance.data(), learner.variance.size())};
    if (reference)
      tensors.push_back(view("reference", trained_values(*reference).data(), trained_values(*reference).size()));
    write_safetensors(folder / "optimizer.safetensors", tensors);
    std::string groups;
    for (const Group& group : state.unused)
      groups += to_json(group).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    write_text(folder / "unused_groups.jsonl", groups);
    write_text(
        folder / "state.json",
        Json{{"format", 1}, {"step", state.step}, {"cursor", state.cursor}, {"counters", state.counters}}.dump(1) +
            "\n");
    write_text(folder / "run.json", state.config.dump(2) + "\n");
    write_text(folder / "COMPLETE", manifest(folder).dump(1) + "\n");
  });
}

std::string checkpoint_fault(const fs::path& checkpoint) {
  if (!fs::exists(checkpoint / "COMPLETE")) return "COMPLETE is missing";
  Json files = Json::parse(read_text(checkpoint / "COMPLETE"), nullptr, false);
  if (!files.is_object()) return "COMPLETE is broken";
  const bool is_adapter = files.contains("adapter_config.json");
  for (const char* name : {is_adapter ? "adapter_model.safetensors" : "model.safetensors", "optimizer.safetensors",
                           "state.json", is_adapter ? "adapter_config.json" : "config.json", "run.json"})
    if (!files.contains(name)) return std::string("COMPLETE does not list ") + name;
  for (const auto& [name, expected] : files.items()) {
    fs::path path = checkpoint / name;
    if (!fs::is_regular_file(path)) return name + " is missing";
    if (!expected.is_object() || fs::file_size(path) != expected.value("bytes", uint64_t(0)) ||
        file_crc32c(path) != expected.value("crc32c", uint32_t(0)))
      return name + " does not match its recorded size and checksum";
  }
  return "";
}

std::optional<fs::path> newest_checkpoint(const fs::path& run) {
  std::vector<fs::path> found = checkpoints_of(run);
  for (auto checkpoint = found.rbegin(); checkpoint != found.rend(); ++checkpoint) {
    std::string fault = checkpoint_fault(*checkpoint);
    if (fault.empty()) return *checkpoint;
    std::fprintf(stderr, "skipping %s: %s\n", checkpoint->c_str(), fault.c_str());
  }
  return std::nullopt;
}

RunState load_checkpoint(const fs::path& checkpoint, Learner& learner, CausalLM& model, const Compute& compute,
                         CausalLM* reference) {
  if (std::string fault = checkpoint_fault(checkpoint); !fault.empty())
    throw UsageError(checkpoint.string() + " is no whole checkpoint: " + fault);
  Json saved = Json::parse(read_text(checkpoint / "state.json"));
  if (saved.value("format", 0) != 1)
    throw UsageError(checkpoint.string() + " has checkpoint format " + saved.value("format", Json()).dump() +
                     ", this version reads 1: " + kInstead);
  load_parameters(model, checkpoint, compute);
  SafetensorsFolder file = open_safetensors(checkpoint / "optimizer.safetensors");
  read_tensor(file, "mean", learner.mean, checkpoint);
  read_tensor(file, "variance", learner.variance, checkpoint);
  if (reference) {
    read_tensor(file, "reference", trained_values(*reference), checkpoint);
    repack(*reference, compute);
  }
  RunState state;
  try {
    state = {.step = saved.at("step"), .cursor = saved.at("cursor"), .counters = saved.at("counters")};
  } catch (const Json::exception& error) {
    refuse_state(checkpoint, error);
  }
  state.unused = read_unused_groups(checkpoint);
  model.version = state.step;
  return state;
}

void refuse_state(const fs::path& checkpoint, const Json::exception& error) {
  throw UsageError((checkpoint / "state.json").string() +
                   " lacks what this version resumes from, or holds null where a "
                   "number was not finite (" +
                   error.what() + "): " + kInstead);
}

void forget_later_checkpoints(const fs::path& run, int64_t step) {
  for (const fs::path& checkpoint : checkpoints_of(run))
    if (step_of(checkpoint) > step) remove_checkpoint(checkpoint);
}

fs::path checkpoint_of(const fs::path& run, int64_t step) {
  return run / "checkpoints" / step_name(step);
}

void name_best_checkpoint(const fs::path& run, const BestStep& best, const char* metric) {
  if (best.step == 0) {
    fs::remove(run / "best.json");
    return;
  }
  const Json named = {{"checkpoint", "checkpoints/" + step_name(best.step)}, {"step", best.step}, {metric, best.value}};
  write_durably(run / "best.json", named.dump(1) + "\n");
}

BestStep best_that_stands(const fs::path& run, const BestStep& best) {
  if (best.step == 0 || fs::exists(checkpoint_of(run, best.step) / "COMPLETE")) return best;
  std::fprintf(stderr, "cohort: the best checkpoint so far, of step %lld, is not in %s: the best begins anew\n",
               static_cast<long long>(best.step), run.c_str());
  return {};
}

void limit_checkpoints(const fs::path& run, int64_t keep, int64_t best) {
  std::vector<fs::path> found = checkpoints_of(run);
  for (size_t i = 0; keep > 0 && i + size_t(keep) < found.size(); ++i)
    if (step_of(found[i]) != best) remove_checkpoint(found[i]);
}

}  // namespace cohort
