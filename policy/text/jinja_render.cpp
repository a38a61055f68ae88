#include "policy/text/jinja_render.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace cohort::jinja {
namespace {

constexpr size_t iteration_cost = 20;  // steps: each turn of a loop makes the variable `loop`
constexpr int most_frames = 1000;      // of evaluation, macro calls included: bounds the C++ stack

struct Frame {
  explicit Frame(int& depth) : depth_(depth) {
    if (++depth_ > most_frames) {
      --depth_;
      throw TemplateError("recursion deeper than a chat template may go");
    }
  }
  ~Frame() { --depth_; }
  int& depth_;
};

std::string name_of(const Expression& expression) {
  if (expression.kind == ExpressionKind::name || expression.kind == ExpressionKind::attribute)
    return "'" + expression.text + "'";
  return "this expression";
}

/// Filters that look at the elements of a list but not into them.
bool is_shallow(const std::string& filter) {
  constexpr std::string_view names[] = {"length",     "count",   "first",   "last",   "list",
                                        "items",      "map",     "select",  "reject", "selectattr",
                                        "rejectattr", "reverse", "default", "d",      "batch"};
  return std::ranges::find(names, filter) != std::end(names);
}

/// `last_seen`: the arguments of the last loop.changed of this loop.
Dict loop_variables(const List& elements, size_t at, const std::shared_ptr<List>& last_seen) {
  Dict loop;
  const size_t n = elements.size();
  loop.set("index0", at), loop.set("index", at + 1);
  loop.set("revindex0", n - at - 1), loop.set("revindex", n - at);
  loop.set("first", at == 0), loop.set("last", at + 1 == n), loop.set("length", n);
  loop.set("depth", 1), loop.set("depth0", 0);
  loop.set("previtem", at > 0 ? elements[at - 1] : Value::make_undefined("there is no previous item"));
  loop.set("nextitem", at + 1 < n ? elements[at + 1] : Value::make_undefined("there is no next item"));
  loop.set("cycle", Function{"cycle", [at](const Arguments& a) {
                               if (a.positional.empty()) throw TemplateError("loop.cycle without arguments");
                               return a.positional[at % a.positional.size()];
                             }});
  loop.set("changed", Function{"changed", [last_seen](const Arguments& a) {
                                 const bool same =
                                     !last_seen->empty() && std::ranges::equal(*last_seen, a.positional, equal);
                                 if (!same) *last_seen = a.positional;
                                 return !same;
                               }});
  return loop;
}

}  // namespace

std::string Renderer::run(const Block& block) {
  execute(block);
  return std::move(out_);
}

void Renderer::print(std::string_view text) {
  check_text(out_.size() + text.size());
  budget_.spend(text.size() / 16);
  out_ += text;
}

std::string Renderer::capture(const Block& block) {
  std::string before = std::exchange(out_, {});
  try {
    execute(block);
  } catch (...) {
    out_ = std::move(before);
    throw;
  }
  return std::exchange(out_, std::move(before));
}

Renderer::Inside::Inside(Renderer& r, ScopePointer parent) : renderer(r), before(r.scope_) {
  r.scope_ = std::make_shared<Scope>(Scope{std::move(parent), {}});
}
Renderer::Inside::~Inside() {
  renderer.scope_ = std::move(before);
}

// Expressions

Value Renderer::evaluate(const Expression& expression) {
  const Frame frame(depth_);
  line_ = expression.line;
  budget_.spend(1);
  return evaluate_kind(expression);
}

Value Renderer::evaluate_kind(const Expression& e) {
  using Kind = ExpressionKind;
  switch (e.kind) {
    case Kind::constant:
      return e.value;
    case Kind::name:
      return lookup(e.text);
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
      return literal(e);
    case Kind::negate:
      return negated(evaluate(e.parts[0]));
    case Kind::positive:
      return evaluate(e.parts[0]);
    case Kind::logical_not:
      return !evaluate(e.parts[0]).truth();
    case Kind::logical_and:
    case Kind::logical_or:
      return logic(e);
    case Kind::compare:
      return compare(e);
    case Kind::binary: {
      const Value left = evaluate(e.parts[0]);
      const Value result = binary(e.text, left, evaluate(e.parts[1]));
      budget_.spend(result.is_sequence() ? result.elements().size() : result.weight());
      return result;
    }
    case Kind::concatenate:
      return concatenate(e);
    case Kind::conditional:
      if (evaluate(e.parts[1]).truth()) return evaluate(e.parts[0]);
      return e.parts.size() > 2 ? evaluate(e.parts[2]) : Value::make_undefined("the other side of an inline if");
    case Kind::attribute: {
      const Value owner = evaluate(e.parts[0]);
      if (owner.is(Value::undefined))
        throw TemplateError("." + e.text + " of " + name_of(e.parts[0]) + ", which is undefined");
      if (!owner.is(Value::dict)) budget_.spend(owner.weight());  // methods of texts and lists walk over them
      return attribute(owner, e.text);
    }
    case Kind::subscript: {
      const Value owner = evaluate(e.parts[0]), key = evaluate(e.parts[1]);
      if (owner.is(Value::undefined))
        throw TemplateError("[" + key.repr() + "] of " + name_of(e.parts[0]) + ", which is undefined");
      if (owner.is(Value::text)) budget_.spend(owner.weight());
      const Value found = subscript(owner, key);
      return found.is(Value::undefined) && key.is(Value::text) ? attribute(owner, key.as_text()) : found;
    }
    case Kind::slice: {
      const Value owner = evaluate(e.parts[0]), begin = evaluate(e.parts[1]), end = evaluate(e.parts[2]);
      budget_.spend(owner.is_sequence() ? owner.elements().size() : owner.weight());
      return slice(owner, begin, end, evaluate(e.parts[3]));
    }
    case Kind::call:
      return call(e);
    case Kind::filter: {
      const Value subject = evaluate(e.parts[0]);
      const Arguments arguments = arguments_of(e);
      line_ = e.line;
      return apply_filter(e.text, subject, arguments);
    }
    case Kind::test: {
      const Value subject = evaluate(e.parts[0]);
      return apply_test(e.text, subject, arguments_of(e));
    }
  }
  return {};
}

void Renderer::charge(const std::string& filter, const Value& subject) {
  constexpr std::string_view dear[] = {"unique", "sort", "dictsort", "groupby"};  // keys are made and compared
  if (std::ranges::find(dear, filter) != std::end(dear)) return budget_.spend(20 * subject.weight());
  if (subject.is(Value::text) || !is_shallow(filter)) return budget_.spend(subject.weight());
  budget_.spend(subject.is(Value::dict) ? subject.as_dict().entries.size()
                : subject.is_sequence() ? subject.elements().size()
                                        : 1);
}

Value Renderer::lookup(const std::string& name) const {
  for (const Scope* scope = scope_.get(); scope; scope = scope->parent.get())
    for (const auto& [known, value] : scope->variables)
      if (known == name) return value;
  if (const Value* found = variables_.find(name)) return *found;
  const Value global = global_function(name);
  return global.is(Value::undefined) ? Value::make_undefined(name) : global;
}

Value Renderer::literal(const Expression& e) {
  if (e.kind == ExpressionKind::dict) {
    Dict dict;
    for (size_t i = 0; i < e.parts.size(); i += 2) {
      const Value key = evaluate(e.parts[i]);
      dict.set(key, evaluate(e.parts[i + 1]));
    }
    return dict;
  }
  List elements;
  for (const Expression& part : e.parts) elements.push_back(evaluate(part));
  return e.kind == ExpressionKind::list ? Value(std::move(elements)) : Value::make_tuple(std::move(elements));
}

Value Renderer::logic(const Expression& e) {
  Value left = evaluate(e.parts[0]);
  const bool decided = left.truth() == (e.kind == ExpressionKind::logical_or);
  return decided ? left : evaluate(e.parts[1]);
}

Value Renderer::compare(const Expression& e) {
  Value left = evaluate(e.parts[0]);
  for (size_t i = 0; i < e.operators.size(); ++i) {
    const Value right = evaluate(e.parts[i + 1]);
    const std::string& op = e.operators[i];
    if (!right.is(Value::dict) || !op.ends_with("in")) budget_.spend(left.weight() + right.weight());
    const bool holds = op == "=="   ? equal(left, right)
                       : op == "!=" ? !equal(left, right)
                       : op == "<"  ? less(left, right)
                       : op == ">"  ? less(right, left)
                       : op == "<=" ? less(left, right) || equal(left, right)
                       : op == ">=" ? less(right, left) || equal(left, right)
                       : op == "in" ? contains(right, left)
                                    : !contains(right, left);
    if (!holds) return false;
    left = right;
  }
  return true;
}

Value Renderer::concatenate(const Expression& e) {
  std::string text;
  for (const Expression& part : e.parts) {
    text += evaluate(part).str();
    check_text(text.size());
  }
  budget_.spend(text.size() / 16);
  return text;
}

Arguments Renderer::arguments_of(const Expression& e) {
  Arguments arguments;
  for (size_t i = 1; i < e.parts.size(); ++i) arguments.positional.push_back(evaluate(e.parts[i]));
  for (const NamedExpression& named : e.named) arguments.named.emplace_back(named.name, evaluate(named.expression));
  return arguments;
}

Value Renderer::call(const Expression& e, std::pair<std::string, Value> further) {
  const Value callee = evaluate(e.parts[0]);
  Arguments arguments = arguments_of(e);
  if (!further.first.empty()) arguments.named.push_back(std::move(further));
  line_ = e.line;
  if (callee.is(Value::undefined)) throw TemplateError("a call of " + name_of(e.parts[0]) + ", which is undefined");
  if (!callee.is(Value::function))
    throw TemplateError("a call of " + name_of(e.parts[0]) + ", which is a " + callee.type_name());
  const Value result = callee.as_function().call(arguments);
  budget_.spend(result.is(Value::dict) ? result.as_dict().entries.size()
                : result.is_sequence() ? result.elements().size()
                                       : result.weight());
  return result;
}

// Statements

Renderer::Flow Renderer::execute(const Block& block) {
  const Frame frame(depth_);
  for (const Statement& statement : block)
    if (const Flow flow = execute(statement); flow != Flow::on) return flow;
  return Flow::on;
}

Renderer::Flow Renderer::execute(const Statement& s) {
  line_ = s.line;
  budget_.spend(1);
  switch (s.kind) {
    case StatementKind::text:
      print(s.text);
      break;
    case StatementKind::print:
      print(evaluate(s.expressions[0]).str());
      break;
    case StatementKind::branch:
      return branch(s);
    case StatementKind::loop:
      return loop(s);
    case StatementKind::set:
      bind(s.targets[0], evaluate(s.expressions[0]));
      break;
    case StatementKind::set_block:
      bind(s.targets[0], filtered_body(s));
      break;
    case StatementKind::filter:
      print(filtered_body(s).str());
      break;
    case StatementKind::macro:
      define(s.text, macro(s, s.text));
      break;
    case StatementKind::call:
      call_block(s);
      break;
    case StatementKind::with:
      with(s);
      break;
    case StatementKind::scope: {
      const Inside inside(*this, scope_);
      return execute(s.bodies[0]);
    }
    case StatementKind::leave_loop:
      return Flow::leave_loop;
    case StatementKind::next_loop:
      return Flow::next_loop;
  }
  return Flow::on;
}

Renderer::Flow Renderer::branch(const Statement& s) {
  for (size_t i = 0; i < s.expressions.size(); ++i)
    if (evaluate(s.expressions[i]).truth()) return execute(s.bodies[i]);
  return s.bodies.size() > s.expressions.size() ? execute(s.bodies.back()) : Flow::on;
}

Renderer::Flow Renderer::loop(const Statement& s) {
  List elements = iterate(evaluate(s.expressions[0]));
  budget_.spend(elements.size());
  if (s.expressions.size() > 1) {
    std::erase_if(elements, [&](const Value& element) {
      const Inside inside(*this, scope_);
      bind(s.targets[0], element);
      return !evaluate(s.expressions[1]).truth();
    });
  }
  if (!elements.empty()) return loop_over(s, elements);
  if (s.bodies.size() < 2) return Flow::on;
  const Inside inside(*this, scope_);
  return execute(s.bodies[1]);
}

Renderer::Flow Renderer::loop_over(const Statement& s, const List& elements) {
  const auto last_seen = std::make_shared<List>();
  for (size_t i = 0; i < elements.size(); ++i) {
    budget_.spend(iteration_cost);
    const Inside inside(*this, scope_);
    if (!s.text.empty()) define("loop", loop_variables(elements, i, last_seen));
    bind(s.targets[0], elements[i]);
    if (execute(s.bodies[0]) == Flow::leave_loop) break;
  }
  return Flow::on;
}

void Renderer::define(const std::string& name, Value value) {
  for (auto& [known, held] : scope_->variables)
    if (known == name) {
      held = std::move(value);
      return;
    }
  scope_->variables.emplace_back(name, std::move(value));
}

void Renderer::bind(const Expression& target, const Value& value) {
  if (target.kind == ExpressionKind::name) return define(target.text, value);
  if (target.kind == ExpressionKind::attribute) {
    const Value owner = evaluate(target.parts[0]);
    if (!owner.is(Value::name_space))
      throw TemplateError("an assignment to ." + target.text + " of " + name_of(target.parts[0]) +
                          ", which is no namespace");
    return owner.attributes().set(target.text, value);
  }
  const List elements = iterate(value);
  if (elements.size() != target.parts.size())
    throw TemplateError(std::to_string(target.parts.size()) + " variables for " + std::to_string(elements.size()) +
                        " values");
  for (size_t i = 0; i < elements.size(); ++i) bind(target.parts[i], elements[i]);
}

void Renderer::with(const Statement& s) {
  const Inside inside(*this, scope_);
  for (const NamedExpression& named : s.parameters) define(named.name, evaluate(named.expression));
  execute(s.bodies[0]);
}

Value Renderer::filtered_body(const Statement& s) {
  const Inside inside(*this, scope_);
  Value text = capture(s.bodies[0]);
  if (s.expressions.empty()) return text;
  define(body_name, std::move(text));
  return evaluate(s.expressions[0]);
}

// Macros

Value Renderer::macro(const Statement& s, const std::string& name) {
  kept_.push_back(scope_);
  return Function{name, [this, &s, defined_in = std::weak_ptr(scope_)](const Arguments& arguments) {
                    return run_macro(s, defined_in.lock(), arguments);
                  }};
}

Value Renderer::run_macro(const Statement& s, const ScopePointer& defined_in, const Arguments& arguments) {
  const Frame frame(depth_);
  const Inside inside(*this, defined_in);
  Dict unknown;
  List surplus;
  for (size_t i = s.parameters.size(); i < arguments.positional.size(); ++i) surplus.push_back(arguments.positional[i]);
  for (const auto& [name, value] : arguments.named) name == "caller" ? define(name, value) : unknown.set(name, value);
  for (size_t i = 0; i < s.parameters.size(); ++i) {
    const auto& [name, otherwise] = s.parameters[i];
    define(name, arguments.has(i, name) ? arguments.get(i, name) : evaluate(otherwise));
  }
  define("varargs", std::move(surplus));
  define("kwargs", std::move(unknown));
  return capture(s.bodies[0]);
}

/// {% call(…) macro(…) %}: the body is the macro's `caller`.
void Renderer::call_block(const Statement& s) {
  print(call(s.expressions[0], {"caller", macro(s, "caller")}).str());
}

}  // namespace cohort::jinja
