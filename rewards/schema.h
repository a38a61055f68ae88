// JSON Schema (draft 2020-12, json-schema.org), with a bounded amount of work for each value.
#pragma once
#include <map>
#include <set>
#include <string>

#include "rewards/pattern.h"
#include "tasks/task.h"

namespace cohort {

/// Known: type, enum, const, the limits of numbers, strings, arrays and objects, pattern, properties,
/// patternProperties, additionalProperties, propertyNames, required, dependentRequired, dependentSchemas, items,
/// prefixItems, contains, uniqueItems, allOf, anyOf, oneOf, not, if/then/else, $ref and $anchor within the schema, and
/// of older drafts definitions, items as a list, additionalItems, dependencies. `format` and unknown words are
/// annotations, as the draft has it.
class Schema {
 public:
  /// Throws UsageError naming the place of what is broken or would change the verdict and is not supported
  /// (unevaluatedProperties, unevaluatedItems, $dynamicRef, references to other documents).
  explicit Schema(Json document);

  struct Verdict {
    bool holds = true;
    bool out_of_budget = false;
    std::string fault;  // the first, as "at /a/0: …"
  };
  /// Thread-safe.
  Verdict check(const Json& value) const;

 private:
  friend struct SchemaWalk;
  void find_anchors(const Json& part, const std::string& at);
  void add_pattern(const std::string& pattern, const std::string& at);
  void add_reference(const Json& reference, const std::string& at);
  void prepare(const std::string& at);  // JSON pointer of a schema in the document

  Json document_;
  std::map<std::string, Pattern> patterns_;
  std::map<std::string, Json::json_pointer> targets_;  // of references
  std::set<std::string> prepared_;
};

}  // namespace cohort
