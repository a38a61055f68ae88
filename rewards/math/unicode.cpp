// Unicode mathematics spelled in ASCII and LaTeX.
#include <utf8proc.h>

#include <array>
#include <unordered_map>

#include "rewards/math/normalize.h"

namespace cohort::math {
namespace {

// Code points with a meaning of their own. Everything here is a fact of Unicode, spelled in LaTeX.
const std::unordered_map<utf8proc_int32_t, std::string_view>& spellings() {
  static const std::unordered_map<utf8proc_int32_t, std::string_view> table = {
      {0x00A0, " "},
      {0x2009, " "},
      {0x202F, " "},
      {0x3000, " "},
      {0x2002, " "},
      {0x2003, " "},
      {0x2005, " "},
      {0x2212, "-"},
      {0x2013, "-"},
      {0x2014, "-"},
      {0x2010, "-"},
      {0x2011, "-"},
      {0xFE63, "-"},
      {0x00D7, "\\times "},
      {0x00B7, "\\cdot "},
      {0x22C5, "\\cdot "},
      {0x2219, "\\cdot "},
      {0x2217, "*"},
      {0x00F7, "/"},
      {0x2215, "/"},
      {0x2044, "/"},
      {0x221A, "\\sqrt "},
      {0x221B, "\\cbrt "},
      {0x221E, "\\infty "},
      {0x00B0, "\\degree "},
      {0x00BA, "\\degree "},
      {0x2103, "\\degree C"},
      {0x2109, "\\degree F"},
      {0x00B1, "\\pm "},
      {0x2213, "\\mp "},
      {0x2264, "\\le "},
      {0x2265, "\\ge "},
      {0x2A7D, "\\le "},
      {0x2A7E, "\\ge "},
      {0x2266, "\\le "},
      {0x2267, "\\ge "},
      {0x2260, "\\ne "},
      {0x2248, "\\approx "},
      {0x2243, "\\approx "},
      {0x2245, "\\approx "},
      {0x2261, "\\equiv "},
      {0x2208, "\\in "},
      {0x2209, "\\notin "},
      {0x222A, "\\cup "},
      {0x2229, "\\cap "},
      {0x2216, "\\setminus "},
      {0x2205, "\\emptyset "},
      {0x2282, "\\subset "},
      {0x2286, "\\subseteq "},
      {0x211D, "\\mathbb{R}"},
      {0x2124, "\\mathbb{Z}"},
      {0x211A, "\\mathbb{Q}"},
      {0x2115, "\\mathbb{N}"},
      {0x2102, "\\mathbb{C}"},
      {0x2032, "'"},
      {0x2019, "'"},
      {0x2018, "'"},
      {0x201C, "\""},
      {0x201D, "\""},
      {0x2223, "|"},
      {0x2225, "\\|"},
      {0x230A, "\\lfloor "},
      {0x230B, "\\rfloor "},
      {0x2308, "\\lceil "},
      {0x2309, "\\rceil "},
      {0x27E8, "\\langle "},
      {0x27E9, "\\rangle "},
      {0x2329, "\\langle "},
      {0x232A, "\\rangle "},
      {0x3008, "\\langle "},
      {0x3009, "\\rangle "},
      {0x2211, "\\sum "},
      {0x220F, "\\prod "},
      {0x2192, "\\to "},
      {0x2236, ":"},
      {0x2218, "\\circ "},
      {0x2234, "\\therefore "},
      {0x00F8, "\\emptyset "},
      {0x21D2, "\\to "},
      {0x2220, "\\angle "},
      {0x25B3, "\\triangle "},
      {0x2026, "..."},
      {0x22EF, "..."},
      {0x3001, ","},
      {0x3002, "."},
      {0xFF0C, ","},
      {0xFF0E, "."},
      {0x3010, "["},
      {0x3011, "]"},
      {0x300C, ""},
      {0x300D, ""},
      {0x20AC, "\\$"},
      {0x00A3, "\\$"},
      {0x00A5, "\\$"},
      {0xFFE5, "\\$"},
      {0x20B9, "\\$"},
      {0xFF04, "\\$"},
      {0x00BD, "\\frac12 "},
      {0x00BC, "\\frac14 "},
      {0x00BE, "\\frac34 "},
      {0x2153, "\\frac13 "},
      {0x2154, "\\frac23 "},
      {0x2155, "\\frac15 "},
      {0x2156, "\\frac25 "},
      {0x2157, "\\frac35 "},
      {0x2158, "\\frac45 "},
      {0x2159, "\\frac16 "},
      {0x215A, "\\frac56 "},
      {0x215B, "\\frac18 "},
      {0x215C, "\\frac38 "},
      {0x215D, "\\frac58 "},
      {0x215E, "\\frac78 "},
      {0x2150, "\\frac17 "},
      {0x2151, "\\frac19 "},
      {0x03C0, "\\pi "},
      {0x212F, "e"},
      {0x2147, "e"},
      {0x2148, "i"},
      {0x1D456, "i"},
      {0x210E, "h"},
      {0x03D5, "\\phi "},
      {0x03F5, "\\epsilon "},
      {0x2206, "\\Delta "},
      {0x2126, "\\Omega "},
      {0x00B5, "\\mu "},
  };
  return table;
}

constexpr std::array<std::string_view, 25> kGreek = {
    "alpha", "beta",    "gamma", "delta", "epsilon", "zeta",  "eta", "theta",   "iota", "kappa", "lambda", "mu",   "nu",
    "xi",    "omicron", "pi",    "rho",   "sigma",   "sigma", "tau", "upsilon", "phi",  "chi",   "psi",    "omega"};

// Super- and subscript digits, signs and a few letters: the plain character, or 0.
char superscript(utf8proc_int32_t c) {
  if (c == 0xB9) return '1';
  if (c == 0xB2 || c == 0xB3) return static_cast<char>('2' + (c - 0xB2));
  if (c == 0x2070 || (c >= 0x2074 && c <= 0x2079)) return static_cast<char>('0' + (c - 0x2070));
  if (c == 0x207A) return '+';
  if (c == 0x207B) return '-';
  if (c == 0x207F) return 'n';
  if (c == 0x02E3) return 'x';
  if (c == 0x207D) return '(';
  if (c == 0x207E) return ')';
  return '\0';
}

char subscript(utf8proc_int32_t c) {
  if (c >= 0x2080 && c <= 0x2089) return static_cast<char>('0' + (c - 0x2080));
  if (c == 0x2099) return 'n';
  if (c == 0x2090) return 'a';
  if (c == 0x2093) return 'x';
  return '\0';
}

// Letters and digits of the mathematical alphanumeric block as plain ones; 0 for others.
char styled(utf8proc_int32_t c) {
  if (c >= 0x1D7CE && c <= 0x1D7FF) return static_cast<char>('0' + (c - 0x1D7CE) % 10);
  if (c >= 0x1D400 && c <= 0x1D6A3) {
    const int at = (c - 0x1D400) % 52;
    return static_cast<char>(at < 26 ? 'A' + at : 'a' + at - 26);
  }
  return '\0';
}

bool is_invisible(utf8proc_int32_t c) {
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CC || c == 0xFE0F;
}

// One code point beyond ASCII. `script` tells whether the character before was a super- ('^') or subscript ('_').
void append_character(std::string& out, utf8proc_int32_t c, std::string_view bytes, char& script) {
  const char up = superscript(c), down = subscript(c);
  if (up != '\0' || down != '\0') {
    const char now = up != '\0' ? '^' : '_';
    if (script == now)
      out.pop_back();
    else
      out.append({now, '{'});
    out.append({up != '\0' ? up : down, '}'});
    script = now;
    return;
  }
  script = '\0';
  if (const auto found = spellings().find(c); found != spellings().end())
    out += found->second;
  else if (c >= 0xFF01 && c <= 0xFF5E)
    out += static_cast<char>(c - 0xFF01 + '!');
  else if (c >= 0x3B1 && c <= 0x3C9)
    (out += '\\').append(kGreek[static_cast<size_t>(c - 0x3B1)]) += ' ';
  else if (c == 0x394 || c == 0x3A9 || c == 0x398 || c == 0x3A6 || c == 0x3A3)
    out += c == 0x394   ? "\\Delta "
           : c == 0x3A9 ? "\\Omega "
           : c == 0x398 ? "\\Theta "
           : c == 0x3A6 ? "\\Phi "
                        : "\\Sigma ";
  else if (const char plain = styled(c); plain != '\0')
    out += plain;
  else if (!is_invisible(c))
    out += bytes;
}

// A control character that was the start of a LaTeX command before an escape was read once too often: the form feed of
// "\frac", the tab of "\times". The letter that the escape stood for, or 0.
char lost_letter(std::string_view text) {
  struct Lost {
    std::string_view found;
    char letter;
  };
  static constexpr std::array<Lost, 13> kLost = {{{"\frac{", 'f'},
                                                  {"\begin{", 'b'},
                                                  {"\boxed{", 'b'},
                                                  {"\binom{", 'b'},
                                                  {"\bar{", 'b'},
                                                  {"\approx", 'a'},
                                                  {"\alpha", 'a'},
                                                  {"\angle", 'a'},
                                                  {"\vec{", 'v'},
                                                  {"\times", 't'},
                                                  {"\tfrac", 't'},
                                                  {"\theta", 't'},
                                                  {"\right", 'r'}}};
  for (const Lost& lost : kLost) {
    if (text.starts_with(lost.found)) return lost.letter;
  }
  return '\0';
}

}  // namespace

std::string to_ascii_math(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  char script = '\0';
  for (size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      if (byte >= 0x20)
        out += text[at];
      else if (const char letter = lost_letter(text.substr(at)); letter != '\0')
        out.append({'\\', letter});
      else if (byte == '\n' || byte == '\t' || byte == '\r')
        out += ' ';
      script = '\0';
      ++at;
      continue;
    }
    utf8proc_int32_t c = 0;
    const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                         static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    if (length <= 0) {
      out += '?';
      ++at;
      continue;
    }
    append_character(out, c, text.substr(at, static_cast<size_t>(length)), script);
    at += static_cast<size_t>(length);
  }
  return out;
}

}  // namespace cohort::math
