// The process that a shared library of rewards lives in, so that its crash costs one batch. A program of its own,
// embedded in Cohort. It speaks as python_worker.py does: batches in, answers out, JSON lines on file descriptor 3.
//   library_host PATH SYMBOL
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "rewards/plugins/cohort_reward.h"

namespace {

using Json = nlohmann::json;
constexpr int kChannel = 3;

void say(const Json& message) {
  static std::mutex one_line;  // a library may answer from threads of its own
  const std::lock_guard lock(one_line);
  const std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t sent = 0; sent < line.size();) {
    const ssize_t count = write(kChannel, line.data() + sent, line.size() - sent);
    if (count < 0) _exit(1);  // nobody listens any more
    sent += size_t(count);
  }
}

bool read_line(std::string& line) {
  static std::string inbox;
  std::array<char, 65536> bytes{};
  size_t end;
  while ((end = inbox.find('\n')) == std::string::npos) {
    const ssize_t count = read(kChannel, bytes.data(), bytes.size());
    if (count <= 0) return false;
    inbox.append(bytes.data(), size_t(count));
  }
  line = inbox.substr(0, end);
  inbox.erase(0, end + 1);
  return true;
}

// A library that never returns must not outlive the program that asked it.
void leave_with_host() {
  pollfd hung_up{kChannel, 0, 0};
  while (poll(&hung_up, 1, -1) <= 0 || !(hung_up.revents & (POLLHUP | POLLERR))) {
  }
  kill(0, SIGKILL);
}

cohort_reward_text text(const std::string& s) {
  return {s.c_str(), s.size()};
}
std::string string_of(const cohort_reward_text& t) {
  return t.bytes ? std::string(t.bytes, t.size) : std::string();
}
std::string text_of(const Json& json) {
  return json.is_string() ? json.get<std::string>() : json.is_null() ? std::string() : json.dump();
}

const cohort_reward_plugin& load(const char* path, const char* symbol) {
  const std::string file = std::string(path).find('/') == std::string::npos ? "./" + std::string(path) : path;
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(std::string("it cannot be loaded: ") + dlerror());
  const auto* plugin = static_cast<const cohort_reward_plugin*>(dlsym(library, symbol));
  if (!plugin) throw std::runtime_error(std::string("it has no symbol ") + symbol);
  if (plugin->abi_version != COHORT_REWARD_ABI_VERSION)
    throw std::runtime_error(std::string(symbol) + " has ABI version " + std::to_string(plugin->abi_version) +
                             ", this host has version " + std::to_string(COHORT_REWARD_ABI_VERSION) +
                             ": build it anew with this version's cohort_reward.h");
  if (plugin->struct_size < sizeof(cohort_reward_plugin) || !plugin->judge)
    throw std::runtime_error(std::string(symbol) + " is no cohort_reward_plugin: its struct_size is " +
                             std::to_string(plugin->struct_size) + ", expected " +
                             std::to_string(sizeof(cohort_reward_plugin)) + ", and its judge must be set");
  return *plugin;
}

// The texts an item points to.
struct ItemTexts {
  explicit ItemTexts(const Json& item)
      : id(item.at("id").get<std::string>()),
        prompt(text_of(item.at("prompt"))),
        completion(item.at("completion").get<std::string>()),
        ground_truth(text_of(item.at("ground_truth"))),
        data_source(text_of(item.at("data_source"))),
        extra(item.at("extra").dump()),
        ids(item.at("completion_ids").get<std::vector<int32_t>>()),
        is_chat(!item.at("prompt").is_string()),
        step(item.at("step").get<int64_t>()) {}

  cohort_reward_item view() const {
    return {text(id),    text(prompt), text(completion), text(ground_truth), text(data_source),
            text(extra), ids.data(),   ids.size(),       is_chat ? 1 : 0,    0,
            step};
  }

  std::string id, prompt, completion, ground_truth, data_source, extra;
  std::vector<int32_t> ids;
  bool is_chat;
  int64_t step;
};

void put_object(Json& answer, const char* name, const cohort_reward_text& given) {
  const std::string json = string_of(given);
  if (json.empty()) return;
  const Json parsed = Json::parse(json, nullptr, false);
  answer[name] = parsed.is_discarded() ? Json(json) : parsed;  // no JSON: refused by type on the other side
}

void answer(void*, const cohort_reward_score* score) {
  Json line = {{"id", string_of(score->id)}, {"score", nullptr}};
  if (score->struct_size < sizeof(cohort_reward_score)) {
    line.update({{"status", "error"}, {"reason", "the library's score has no valid struct_size"}});
    return say(line);
  }
  if (score->verdict == COHORT_REWARD_SCORED)
    line["score"] = std::isfinite(score->score) ? Json(score->score) : Json(std::to_string(score->score));
  else if (score->verdict != COHORT_REWARD_NO_SCORE)
    line["status"] = "error";
  const std::string reason = string_of(score->reason);
  if (!reason.empty()) line["reason"] = reason;
  put_object(line, "components", score->components);
  put_object(line, "extra_logs", score->extra_logs);
  say(line);
}

void judge(const cohort_reward_plugin& plugin, void* state, const Json& request) {
  std::vector<ItemTexts> texts;
  for (const Json& item : request.at("items")) texts.emplace_back(item);
  std::vector<cohort_reward_item> items;
  for (const ItemTexts& one : texts) items.push_back(one.view());
  const cohort_reward_batch batch = {COHORT_REWARD_ABI_VERSION,
                                     sizeof(cohort_reward_batch),
                                     items.size(),
                                     sizeof(cohort_reward_item),
                                     items.data(),
                                     request.at("seconds_per_item").get<double>(),
                                     nullptr,
                                     answer};
  try {
    const int code = plugin.judge(state, &batch);
    if (code != 0) say({{"failed", "the library's judge returned " + std::to_string(code)}});
  } catch (const std::exception& error) {
    say({{"failed", std::string("the library threw: ") + error.what()}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::thread(leave_with_host).detach();
  const cohort_reward_plugin* plugin = nullptr;
  try {
    plugin = &load(argv[1], argv[2]);
  } catch (const std::exception& error) {
    say({{"fault", error.what()}});
    return 0;
  }
  void* state = plugin->open ? plugin->open() : nullptr;
  say({{"ready", "library"}, {"one_by_one", false}});
  for (std::string line; read_line(line);) {
    judge(*plugin, state, Json::parse(line));
    say({{"end", true}});
  }
  if (plugin->close) plugin->close(state);
  _exit(0);  // the thread that waits for the host is still there
}
