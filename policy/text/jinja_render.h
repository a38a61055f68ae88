// Runs a chat template's syntax tree over variables.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/text/jinja_syntax.h"

namespace cohort::jinja {

/// One run. Errors are TemplateError; line() tells where.
class Renderer {
 public:
  /// `variables` is a dict and outlives the renderer.
  explicit Renderer(const Dict& variables) : variables_(variables) {}
  std::string run(const Block& block);
  int line() const { return line_; }

  /// A filter or test by name, on a value and further arguments.
  Value apply_filter(const std::string& name, const Value& subject, const Arguments& arguments);
  bool apply_test(const std::string& name, const Value& subject, const Arguments& arguments);

 private:
  struct Scope {
    std::shared_ptr<Scope> parent;
    std::vector<std::pair<std::string, Value>> variables;
  };
  using ScopePointer = std::shared_ptr<Scope>;  // a macro may outlive the block that defined it
  /// A new scope inside `parent` for the life of this object.
  struct Inside {
    Inside(Renderer& renderer, ScopePointer parent);
    ~Inside();
    Renderer& renderer;
    ScopePointer before;
  };
  enum class Flow { on, leave_loop, next_loop };

  Value evaluate(const Expression& expression);
  Value evaluate_kind(const Expression& expression);
  Value logic(const Expression& expression);
  Value compare(const Expression& expression);
  Value concatenate(const Expression& expression);
  Value literal(const Expression& expression);
  Value call(const Expression& expression, std::pair<std::string, Value> further = {});
  Arguments arguments_of(const Expression& expression);
  Value lookup(const std::string& name) const;
  void charge(const std::string& filter, const Value& subject);

  Flow execute(const Block& block);
  Flow execute(const Statement& statement);
  Flow branch(const Statement& statement);
  Flow loop(const Statement& statement);
  Flow loop_over(const Statement& statement, const List& elements);
  void bind(const Expression& target, const Value& value);
  void define(const std::string& name, Value value);
  void call_block(const Statement& statement);
  void with(const Statement& statement);
  Value filtered_body(const Statement& statement);
  Value macro(const Statement& statement, const std::string& name);
  Value run_macro(const Statement& statement, const ScopePointer& defined_in, const Arguments& arguments);
  std::string capture(const Block& block);
  void print(std::string_view text);

  const Dict& variables_;
  Budget budget_;
  ScopePointer scope_ = std::make_shared<Scope>();
  std::vector<ScopePointer> kept_;  // scopes that macros were defined in
  std::string out_;
  int line_ = 0;
  int depth_ = 0;
};

/// What `value.name` gives: a method, an entry, an attribute; undefined when there is none.
Value attribute(const Value& value, const std::string& name);
/// A text's method as a function; undefined when there is none.
Value text_method(const std::string& text, const std::string& name);
/// range, namespace, dict, raise_exception, strftime_now, joiner, cycler; undefined otherwise.
Value global_function(const std::string& name);

}  // namespace cohort::jinja
