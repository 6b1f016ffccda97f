// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/capturekey.hpp"

#include "base/hex.hpp"
#include "elements/secretfile.hpp"

namespace discord {

namespace {

std::string mode_names() {
  std::string out;
  for (std::size_t i = 0; i < transport::mode_count; i++) {
    out += i == 0 ? "" : i + 1 == transport::mode_count ? " or " : ", ";
    out += transport::to_string(static_cast<transport::Mode>(i));
  }
  return out;
}

std::optional<transport::Key> parse_key(const std::string& hex) {
  std::optional<Bytes> bytes = from_hex(hex);
  std::optional<transport::Key> key;
  if (bytes && bytes->size() == transport::Key::size) {
    key.emplace(std::span<const std::uint8_t, transport::Key::size>(*bytes));
  }
  if (bytes) {
    sodium_memzero(bytes->data(), bytes->size());
  }
  return key;
}

}  // namespace

CaptureKeyCheck check_capture_key(const std::string& mode, const SecretString& text,
                                  const std::string& file) {
  CaptureKeyCheck out;
  SecretString hex = text;
  if (!file.empty()) {
    SecretFile read = read_secret_file(file);
    out.problem = std::move(read.problem);
    out.warning = std::move(read.warning);
    hex = std::move(read.secret);
  }
  if (!out.problem.empty() || (hex.empty() && mode.empty())) {
    return out;
  }
  if (mode.empty()) {
    out.problem = "There is a secret key but no mode: set mode to " + mode_names() + ".";
    return out;
  }
  const std::optional<transport::Mode> known = transport::mode_from_name(mode);
  if (!known) {
    out.problem = "The mode \"" + mode + "\" is unknown: set mode to " + mode_names() + ".";
    return out;
  }
  if (hex.empty()) {
    out.problem =
        "There is a mode but no secret key: set secret-key-file to a file with 64 hexadecimal "
        "digits.";
    return out;
  }
  const std::optional<transport::Key> key = parse_key(hex.reveal());
  if (!key) {
    out.problem =
        "The secret key is not 64 hexadecimal digits: check secret-key-file or secret-key.";
    return out;
  }
  out.key = CaptureKey{*known, *key};
  return out;
}

}  // namespace discord
