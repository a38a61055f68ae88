// From another program's keys to a Cohort train config: what became of each key is told in one line.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "configs/import/source_config.h"

namespace cohort {

/// What a train config takes, from where its struct is known.
struct ImportTarget {
  Json defaults;                                                            // of every key
  std::function<void(const Json& config, const std::string& where)> check;  // throws UsageError for a wrong value
};

class Translation {
 public:
  using Names = std::vector<std::string>;

  Translation(std::string file, std::vector<SourceKey> keys, ImportTarget target);

  /// A key of the source that has a value. Typed: throw UsageError, naming file, line and key, for another type.
  const SourceKey* find(const std::string& name) const;
  bool is_null(const std::string& name) const;  // given, as null
  std::optional<bool> boolean(const std::string& name) const;
  std::optional<int64_t> integer(const std::string& name, int64_t least) const;
  std::optional<double> number(const std::string& name) const;
  std::optional<std::string> text(const std::string& name) const;
  std::optional<std::string> choice(const std::string& name, const Names& choices) const;
  const std::vector<SourceKey>& keys() const { return keys_; }

  /// Whether this version has the key.
  bool knows(const std::string& ours) const { return target_.defaults.contains(ours); }
  /// Sets a key of ours from these of the source (none: from a default of the other program). A key that this version
  /// lacks is told as lost; a value that the key does not take is a UsageError naming the source's line.
  void put(const std::string& ours, const Json& value, const Names& from, const std::string& note = "");
  /// The same for a name of a list: one that this version does not have is lost.
  void put_choice(const std::string& ours, const Json& value, const Names& from, const std::string& note = "");
  /// A default of the other program, set where it is not ours.
  void put_default(const std::string& ours, const Json& value);
  /// A key that needs nothing here, or a hint.
  void tell(const std::string& name, const std::string& text);
  void lose(const std::string& name, const std::string& reason);
  /// All keys that begin so: told as one, by their number or by their names.
  void lose_section(const std::string& prefix, const std::string& reason, bool by_name = false);
  /// What nobody asked for.
  void lose_the_rest(const Names& known);
  [[noreturn]] void refuse(const std::string& name, const std::string& expected) const;

  /// The config as a file, "$schema" first.
  std::string config_text() const;
  /// One line for each key, in the order of the source, then those without counterpart.
  std::string told() const;

 private:
  std::string place(const Names& from) const;
  std::string shown(const SourceKey& key) const;
  const SourceKey* any(const std::string& name) const;

  std::string file_;
  std::vector<SourceKey> keys_;
  ImportTarget target_;
  nlohmann::ordered_json config_;
  struct Line {
    int64_t line;  // of the source; 0: a default
    std::string text;
  };
  std::vector<Line> told_, lost_;
  std::set<std::string> done_;  // keys of the source that a line speaks of
};

void translate_trl(Translation& translation, int64_t num_processes);
void translate_trl_rewards(Translation& translation);
void translate_verl(Translation& translation);
void translate_verl_loss(Translation& translation);

/// The whole of `cohort config import`: throws UsageError, or returns what is to be written.
struct Imported {
  std::string config, told;
};
Imported import_config(const std::string& text, const std::string& file, int64_t num_processes,
                       const ImportTarget& target);

}  // namespace cohort
