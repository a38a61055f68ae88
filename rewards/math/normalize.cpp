#include "rewards/math/normalize.h"

#include <algorithm>
#include <array>

namespace cohort::math {
namespace {

// Commands that only change how a formula looks.
constexpr std::array<std::string_view, 30> kDropped = {
    "left",        "right",  "big",        "Big",      "bigg",      "Bigg",  "bigl",         "bigr",
    "Bigl",        "Bigr",   "biggl",      "biggr",    "Biggl",     "Biggr", "displaystyle", "textstyle",
    "scriptstyle", "limits", "nolimits",   "middle",   "mathstrut", "strut", "bigm",         "Bigm",
    "large",       "Large",  "normalsize", "boldmath", "rm",        "bf"};
constexpr std::array<std::string_view, 10> kSpaces = {"thinspace", "enspace",    "space",    "hfill",
                                                      "medspace",  "thickspace", "negspace", "negthinspace",
                                                      "nobreak",   "allowbreak"};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool digits_around(const std::string& out, std::string_view rest) {
  const size_t last = out.find_last_not_of(' ');
  const size_t next = rest.find_first_not_of(' ');
  return last != std::string::npos && is_digit(out[last]) && next != std::string_view::npos && is_digit(rest[next]);
}

// Whether a \quad between what is written and what follows parts two answers, as in "x = 1 \quad x = 2".
bool parts_values(const std::string& out, std::string_view rest) {
  const size_t last = out.find_last_not_of(' ');
  while (!rest.empty() && (rest[0] == ' ' || rest[0] == '$')) rest.remove_prefix(1);
  const std::string_view before = std::string_view(out).substr(0, last == std::string::npos ? 0 : last + 1);
  if (before.ends_with("and}") || before.ends_with("and }") || before.ends_with("or}") || before.ends_with("or }"))
    return false;  // the word joins them
  const bool ends = last != std::string::npos &&
                    (is_digit(out[last]) || is_letter(out[last]) || out[last] == '}' || out[last] == ')');
  const bool starts =
      !rest.empty() && (is_digit(rest[0]) || is_letter(rest[0]) || rest[0] == '(' || rest[0] == '-' ||
                        rest.starts_with("\\frac") || rest.starts_with("\\dfrac") || rest.starts_with("\\sqrt"));
  const bool word = rest.size() > 1 && is_letter(rest[0]) && is_letter(rest[1]);
  return ends && starts && !word;
}

// Behind \\ : the space that [1ex] asks for.
size_t skip_row_space(std::string_view text, size_t at) {
  const size_t open = text.find_first_not_of(' ', at);
  if (open == std::string_view::npos || text[open] != '[') return at;
  const size_t close = text.find_first_not_of("0123456789.-", open + 1);
  if (close == std::string_view::npos || close == open + 1) return at;
  for (std::string_view unit : {"pt", "ex", "em", "mm", "cm", "in"}) {
    if (text.substr(close).starts_with(unit) && close + 2 < text.size() && text[close + 2] == ']') return close + 3;
  }
  return at;
}

// One backslash at text[at]: writes what it stands for, returns where reading goes on.
size_t take_command(std::string& out, std::string_view text, size_t at) {
  size_t end = at + 1;
  while (end < text.size() && is_letter(text[end])) ++end;
  const std::string_view name = text.substr(at + 1, end - at - 1);
  if (name.empty()) {
    const char c = at + 1 < text.size() ? text[at + 1] : ' ';
    if (c == '%')
      out += '%';
    else if (c == '!' || c == '$' || c == '#')
      out += c == '!' ? "" : " ";
    else if (c == ',' || c == ';' || c == ':' || c == '>' || c == ' ' || c == '/' || c == '(' || c == ')' || c == '[' ||
             c == ']')
      out += ' ';
    else
      out.append(text.substr(at, 2));
    return std::min(at + 2, text.size());
  }
  if (among(kDropped, name)) {
    if (end < text.size() && text[end] == '.' && (name == "left" || name == "right")) ++end;  // \right. closes nothing
    return end;
  }
  if (name == "textdollar" || name == "dollar")
    out += ' ';
  else if (name == "cr" || name == "newline" || name == "tabularnewline")
    out += "\\\\";
  else if (name == "quad" || name == "qquad")
    out += parts_values(out, text.substr(end)) ? ", " : " ";
  else if ((name.size() == 5 && name.starts_with("quad")) || (name.size() == 6 && name.starts_with("qquad")))
    (out += parts_values(out, text.substr(end - 1)) ? ", " : " ") += name.back();  // \quadx, run together
  else if (among(kSpaces, name))
    out += ' ';
  else
    out.append(text.substr(at, end - at));
  return end;
}

// Length of a comma with the thin negative space that closes its gap, 1,\!000 or 1, \! 000; zero where none stands.
size_t thin_comma(std::string_view rest) {
  if (!rest.starts_with(',')) return 0;
  const std::string_view near = rest.substr(0, 12);
  const size_t mark = near.find_first_not_of(' ', 1);
  if (mark == std::string_view::npos || !near.substr(mark).starts_with("\\!")) return 0;
  return std::min(near.find_first_not_of("\\! ", mark), near.size());
}

// Length of {,} or {, }; zero where none stands.
size_t braced_comma(std::string_view rest) {
  for (std::string_view form : {"{,}\\!", "{,}", "{, }", "{ , }"}) {
    if (rest.starts_with(form)) return form.size();
  }
  return 0;
}

// {=}, {-}: a sign in braces, which only spaces it; not the + of R^{+} or the argument of a command.
bool braced_sign(const std::string& out, std::string_view rest) {
  if (rest.size() < 3 || rest[0] != '{' || rest[2] != '}' ||
      std::string_view(":=+-").find(rest[1]) == std::string::npos)
    return false;
  const size_t last = out.find_last_not_of(' ');
  return last == std::string::npos || (!is_letter(out[last]) && out[last] != '^' && out[last] != '_');
}

// Length of {\sin}, a function's name in braces of its own; zero where none stands.
size_t braced_function(const std::string& out, std::string_view rest) {
  static constexpr std::array<std::string_view, 10> kBraced = {"sin", "cos", "tan",  "cot",  "sec",
                                                               "csc", "log", "sinh", "cosh", "ln"};
  if (!rest.starts_with("{\\") || (!out.empty() && (is_letter(out.back()) || out.back() == '}'))) return 0;
  const size_t end = rest.find('}');
  return end != std::string_view::npos && among(kBraced, rest.substr(2, end - 2)) ? end + 1 : 0;
}

// Length of _{(2)}, a base in brackets; zero where none stands.
size_t bracketed_base(std::string_view rest) {
  if (!rest.starts_with("_{(")) return 0;
  const size_t end = std::min(rest.find_first_not_of("0123456789", 3), rest.size());
  return end > 3 && rest.substr(end).starts_with(")}") ? end + 2 : 0;
}

// Length of the {1101} of {1101}_2, digits in braces before their base; zero where none stands.
size_t braced_digits(const std::string& out, std::string_view rest) {
  if (!rest.starts_with('{') || (!out.empty() && out.back() != ' ' && out.back() != '=')) return 0;
  const size_t end = std::min(rest.find_first_not_of("0123456789", 1), rest.size());
  return end > 1 && rest.substr(end).starts_with("}_") ? end + 1 : 0;
}

// Length of a currency's name before its sign or a number: Rs. 7, US\$7; zero where none stands.
size_t currency_name(std::string_view rest) {
  for (std::string_view name : {"Rs.", "Rs ", "US\\$", "US$"}) {
    if (rest.starts_with(name)) return name.size();
  }
  return 0;
}

// Whether every backslash stands twice, as in JSON inside JSON: \\\\frac{1}{2}. In an environment written with one
// backslash two of them end a row.
bool is_escaped_twice(std::string_view text) {
  static constexpr std::array<std::string_view, 26> kShown = {
      "frac", "dfrac", "tfrac", "sqrt", "left", "right", "text", "mbox",   "begin", "cdot",  "times",  "pi",    "le",
      "leq",  "ge",    "geq",   "in",   "cup",  "infty", "pm",   "mathbb", "boxed", "theta", "mathrm", "binom", "circ"};
  for (size_t at = text.find("\\begin"); at != std::string_view::npos; at = text.find("\\begin", at + 1)) {
    if (at == 0 || text[at - 1] != '\\') return false;
  }
  for (size_t at = text.find("\\\\"); at != std::string_view::npos; at = text.find("\\\\", at + 2)) {
    size_t end = at + 2;
    while (end < text.size() && is_letter(text[end])) ++end;
    if (among(kShown, text.substr(at + 2, end - at - 2))) return true;
  }
  return false;
}

std::string clean_commands(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (const size_t comma = thin_comma(rest); comma > 0 && digits_around(out, rest.substr(comma))) {
      at += comma;
    } else if (braced_sign(out, rest)) {
      out += rest[1];
      at += 3;
    } else if (const size_t function = braced_function(out, rest); function > 0) {
      (out += rest.substr(1, function - 2)) += ' ';
      at += function;
    } else if (rest.starts_with("\\text{,}") && digits_around(out, rest.substr(8))) {
      at += 8;
    } else if (rest.starts_with("{}") && rest.substr(2).find_first_not_of(" ^{") != std::string_view::npos &&
               rest.substr(rest.find_first_not_of(" ^{", 2)).starts_with("\\circ")) {
      at += 2;
    } else if (const size_t base = bracketed_base(rest); base > 0) {
      ((out += "_{") += rest.substr(3, base - 5)) += '}';
      at += base;
    } else if (const size_t digits = braced_digits(out, rest); digits > 0) {
      out += rest.substr(1, digits - 2);
      at += digits;
    } else if (const size_t currency = out.empty() ? currency_name(rest) : 0; currency > 0) {
      at += currency;
    } else if (rest.starts_with("+/-")) {
      out += "\\pm ";
      at += 3;
    } else if (rest.starts_with(":=")) {
      ++at;
    } else if (const size_t comma = braced_comma(rest); comma > 0 && digits_around(out, rest.substr(comma))) {
      const size_t digits = std::min(rest.find_first_not_of("0123456789", comma), rest.size()) - comma;
      if (digits % 3 != 0) out += '.';  // 2{,}5 is a decimal comma, 1{,}000 a group
      out.erase(out.find_last_not_of(' ') + 1);
      at += comma;
    } else if (rest.starts_with("\\\\")) {
      out += "\\\\";
      at = skip_row_space(text, at + 2);
    } else if (text[at] == '\\') {
      at = take_command(out, text, at);
    } else {
      if (text[at] != '$') out += text[at] == '~' ? ' ' : text[at];
      ++at;
    }
  }
  return out;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

}  // namespace

std::string normalize(std::string_view text) {
  std::string ascii = to_ascii_math(text);
  if (is_escaped_twice(ascii)) replace_all(ascii, "\\\\", "\\");
  std::string out = clean_commands(ascii);
  if (out.find("circ") != std::string::npos) {
    for (std::string_view form :
         {"^{\\circ}", "^{ \\circ }", "^ {\\circ}", "^{\\circ }", "^ \\circ", "^\\circ", "\\circ"})
      replace_all(out, form, "\\degree ");
  }
  const size_t first = out.find_first_not_of(" ");
  if (first == std::string::npos) return {};
  return out.substr(first, out.find_last_not_of(" ") - first + 1);
}

namespace {

// "the circle" as "circle", "20th" as "20": articles and endings that carry nothing.
std::string without_articles(std::string text) {
  for (bool again = true; again;) {
    again = false;
    for (std::string_view word : {"a ", "an ", "the ", "on ", "in ", "at ", "it is ", "it's "}) {
      if (text.starts_with(word) && text.size() > word.size()) text.erase(0, word.size()), again = true;
    }
  }
  for (std::string_view ending : {"st", "nd", "rd", "th"}) {
    for (size_t at = text.find(ending, 1); at != std::string::npos; at = text.find(ending, at + 1)) {
      const bool ends = at + 2 == text.size() || !is_letter(text[at + 2]);
      if (is_digit(text[at - 1]) && ends) text.erase(at, 2);
      if (at >= text.size()) break;
    }
  }
  return text;
}

}  // namespace

std::string folded_words(std::string_view text, bool keep_case) {
  std::string ascii = normalize(text);
  std::string out;
  for (size_t i = 0; i < ascii.size(); ++i) {
    if (ascii[i] == '\\') {
      size_t end = i + 1;
      while (end < ascii.size() && is_letter(ascii[end])) ++end;
      const std::string_view name = std::string_view(ascii).substr(i + 1, end - i - 1);
      if (name.starts_with("text") || name == "mbox" || name.starts_with("math") || name == "operatorname" ||
          name == "boxed") {
        i = end - 1;
        continue;
      }
    }
    const char c = ascii[i];
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    if (c == '{' || c == '}' || c == '"' || c == '`' || c == '*') continue;
    out += !keep_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  out = without_articles(std::move(out));
  std::erase(out, ' ');
  while (!out.empty() && (out.back() == '.' || out.back() == ',' || out.back() == ';' || out.back() == '!'))
    out.pop_back();
  while (out.size() >= 2 && out.front() == '(' && out.back() == ')' && out.find(')') == out.size() - 1)
    out = out.substr(1, out.size() - 2);
  std::erase(out, '.');
  return out;
}

}  // namespace cohort::math
