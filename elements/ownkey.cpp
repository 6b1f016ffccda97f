// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/ownkey.hpp"

#include "base/hex.hpp"
#include "elements/secretfile.hpp"

namespace discord {

bool read_own_key(GstElement* element, const KeySettings& settings, std::optional<OwnKey>& key) {
  key.reset();
  SecretString text = settings.secret_key;
  if (!settings.secret_key_file.empty()) {
    SecretFile file = read_secret_file(settings.secret_key_file);
    if (!file.problem.empty()) {
      GST_ELEMENT_ERROR(element, RESOURCE, SETTINGS, ("%s", file.problem.c_str()),
                        ("secret-key-file"));
      return false;
    }
    if (!file.warning.empty()) {
      GST_ELEMENT_WARNING(element, RESOURCE, SETTINGS, ("%s", file.warning.c_str()),
                          ("secret-key-file"));
    }
    text = std::move(file.secret);
  }
  if (text.empty() && settings.mode.empty()) {
    return true;
  }
  const std::optional<transport::Mode> mode = transport::mode_from_name(settings.mode);
  if (!mode) {
    GST_ELEMENT_ERROR(element, RESOURCE, SETTINGS,
                      ("The mode \"%s\" is unknown: set mode to a name such as "
                       "aead_xchacha20_poly1305_rtpsize.",
                       settings.mode.c_str()),
                      (nullptr));
    return false;
  }
  std::optional<Bytes> bytes = from_hex(text.reveal());
  if (!bytes || bytes->size() != transport::Key::size) {
    GST_ELEMENT_ERROR(element, RESOURCE, SETTINGS,
                      ("The secret key must be 64 hexadecimal digits: set secret-key-file."),
                      (nullptr));
    return false;
  }
  key.emplace(OwnKey{*mode, transport::Key(std::span<const std::uint8_t, 32>(*bytes))});
  sodium_memzero(bytes->data(), bytes->size());
  return true;
}

}  // namespace discord
