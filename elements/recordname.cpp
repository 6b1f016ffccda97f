#include "elements/recordname.hpp"

#include "discord/gstptr.hpp"

#include <glib.h>

namespace discord {

namespace {

// Characters that a shell, another file system or a reader's eye would stumble over.
bool is_awkward(gunichar c) {
  return c == '/' || c == '\\' || c == ':' || c == '*' || c == '?' || c == '"' || c == '<' ||
         c == '>' || c == '|' || g_unichar_isspace(c);
}

// Characters that do not show, or change how their neighbours show (bidi controls are of type Cf).
bool is_invisible(gunichar c) {
  switch (g_unichar_type(c)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_UNASSIGNED:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_SURROGATE:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string safe_name(std::string_view any, std::size_t max_bytes) {
  std::string out;
  std::size_t at = 0;
  while (at < any.size()) {
    const gunichar c =
        g_utf8_get_char_validated(any.data() + at, static_cast<gssize>(any.size() - at));
    if (c == static_cast<gunichar>(-1) || c == static_cast<gunichar>(-2) || c == 0) {
      at++;  // not UTF-8, or NUL: the byte is left out
      continue;
    }
    char encoded[6];
    const int length = g_unichar_to_utf8(c, encoded);
    at += static_cast<std::size_t>(length);
    std::string_view piece(encoded, static_cast<std::size_t>(length));
    if (is_awkward(c)) {
      piece = "_";
    } else if (is_invisible(c)) {
      continue;
    }
    if (out.empty() && (piece == "." || piece == "-" || piece == "_")) {
      continue;
    }
    if (out.size() + piece.size() > max_bytes) {
      break;
    }
    out += piece;
  }
  while (!out.empty() && (out.back() == '.' || out.back() == '_')) {
    out.pop_back();
  }
  return out;
}

std::string tag_text(std::string_view any) {
  const GCharPtr valid(g_utf8_make_valid(any.data(), static_cast<gssize>(any.size())));
  std::string out;
  for (const gchar* p = valid.get(); *p != '\0'; p = g_utf8_next_char(p)) {
    if (g_unichar_iscntrl(g_utf8_get_char(p)) == FALSE) {
      out.append(p, static_cast<const gchar*>(g_utf8_next_char(p)));
    }
  }
  return out;
}

std::string numbered_name(std::string_view stem, std::string_view extension, unsigned attempt) {
  std::string name(stem);
  if (attempt > 1) {
    name += "-" + std::to_string(attempt);
  }
  if (!extension.empty()) {
    name += ".";
    name += extension;
  }
  return name;
}

}  // namespace discord
