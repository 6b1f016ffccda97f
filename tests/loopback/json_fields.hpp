// Reading the fields of a command, and answering it.
#pragma once

#include "base/time.hpp"

#include <charconv>
#include <nlohmann/json.hpp>
#include <string>

namespace discord::loopback {

inline nlohmann::json good() {
  return {{"ok", true}};
}

inline nlohmann::json bad(std::string why) {
  return {{"ok", false}, {"error", std::move(why)}};
}

// Ids come as strings, and as numbers from people in a hurry.
inline std::uint64_t id_of(const nlohmann::json& command, const char* key) {
  const auto it = command.find(key);
  if (it == command.end()) {
    return 0;
  }
  if (it->is_number_unsigned()) {
    return it->get<std::uint64_t>();
  }
  std::uint64_t value = 0;
  if (it->is_string()) {
    const auto& text = it->get_ref<const std::string&>();
    std::from_chars(text.data(), text.data() + text.size(), value);
  }
  return value;
}

inline double number_of(const nlohmann::json& command, const char* key, double otherwise) {
  const auto it = command.find(key);
  return it != command.end() && it->is_number() ? it->get<double>() : otherwise;
}

inline Duration milliseconds_of(const nlohmann::json& command, const char* key, double otherwise) {
  return Duration(static_cast<Duration::rep>(number_of(command, key, otherwise) * 1e6));
}

}  // namespace discord::loopback
