// Reading JSON that may have any shape. Private to this room.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace discord::voice {

// A decimal snowflake other than 0; nothing for signs, blanks, overflow or anything else.
std::optional<std::uint64_t> parse_snowflake(std::string_view text) noexcept;

namespace json_read {

using nlohmann::json;

// The parser recurses for nobody, but a document of brackets costs a node each: refuse it unread.
inline bool too_deep(std::string_view text, int max_depth) noexcept {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) {
        return true;
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

// A member that is there and not null.
inline const json* member(const json& object, const char* key) noexcept {
  if (!object.is_object()) {
    return nullptr;
  }
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

// Tells "absent or null" (ok, empty) from "of another type or range" (not ok).
template <class T> struct Field {
  std::optional<T> value;
  bool ok = true;
};

template <class T> Field<T> integer(const json& object, const char* key) noexcept {
  const json* value = member(object, key);
  if (value == nullptr) {
    return {};
  }
  if (const auto* u = value->get_ptr<const json::number_unsigned_t*>()) {
    if (*u <= static_cast<std::uint64_t>(std::numeric_limits<T>::max())) {
      return {static_cast<T>(*u), true};
    }
    return {std::nullopt, false};
  }
  if constexpr (std::numeric_limits<T>::is_signed) {
    if (const auto* i = value->get_ptr<const json::number_integer_t*>()) {
      if (*i >= std::numeric_limits<T>::min() && *i <= std::numeric_limits<T>::max()) {
        return {static_cast<T>(*i), true};
      }
    }
  }
  return {std::nullopt, false};
}

inline const std::string* text(const json& object, const char* key) noexcept {
  const json* value = member(object, key);
  return value == nullptr ? nullptr : value->get_ptr<const json::string_t*>();
}

inline std::optional<std::uint64_t> snowflake(const json& object, const char* key) noexcept {
  const std::string* value = text(object, key);
  return value == nullptr ? std::nullopt : parse_snowflake(*value);
}

// False when absent, null or of another type.
inline bool flag(const json& object, const char* key) noexcept {
  const json* value = member(object, key);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

// Appends `text` as a JSON string. Written by hand because a JSON tree would leave copies of a
// token on the heap.
void append_quoted(std::string& out, std::string_view text);

}  // namespace json_read
}  // namespace discord::voice
