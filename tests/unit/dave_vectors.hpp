// The shared vectors of DAVE, where they are at hand.
#pragma once

#include "base/hex.hpp"
#include "base/secret.hpp"

#include <gtest/gtest.h>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace discord::test {

inline std::string shared_path(const std::string& name) {
  const char* folder = std::getenv("DISCORD_SHARED");
  return std::string(folder ? folder : "") + "/" + name;
}

// Null when absent.
inline nlohmann::json load_dave(const std::string& name) {
  std::ifstream file(shared_path("vectors/dave/" + name));
  return file ? nlohmann::json::parse(file) : nlohmann::json();
}

inline std::optional<Bytes> load_bytes(const std::string& name) {
  std::ifstream file(shared_path(name), std::ios::binary);
  if (!file) {
    return std::nullopt;
  }
  return Bytes{std::istreambuf_iterator<char>(file), {}};
}

inline Bytes hex(const nlohmann::json& value) {
  return *from_hex(value.get<std::string>());
}
inline Secret<16> secret16(std::string_view text) {
  const Bytes bytes = *from_hex(text);
  return Secret<16>(ByteSpan(bytes).first<16>());
}

}  // namespace discord::test

#define NEED_VECTORS(value)                            \
  if ((value).is_null()) {                             \
    GTEST_SKIP() << "the shared vectors are not here"; \
  }                                                    \
  static_assert(true)
