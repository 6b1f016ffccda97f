// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/ownkey.hpp"

#include "base/hex.hpp"
#include "elements/secretfile.hpp"

#include <utility>

namespace discord {

namespace {

struct Check {
  std::optional<OwnKey> key;  // none, and no problem: nothing was set
  std::string problem;        // a sentence that says what to do
  std::string warning;        // a sentence
};

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

// `file`, if not empty, names a file that holds the key, and wins over `text`.
Check check(const std::string& mode, const SecretString& text, const std::string& file) {
  Check out;
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
  out.key = OwnKey{*known, *key};
  return out;
}

std::string text_of(const GValue* value) {
  const gchar* s = g_value_get_string(value);
  return s != nullptr ? s : "";
}

}  // namespace

void OwnKeyProperties::install(GObjectClass* object_class, guint first) {
  constexpr auto written =
      static_cast<GParamFlags>(G_PARAM_WRITABLE | GST_PARAM_MUTABLE_READY | G_PARAM_STATIC_STRINGS);
  constexpr auto both = static_cast<GParamFlags>(written | G_PARAM_READABLE);
  g_object_class_install_property(
      object_class, first,
      g_param_spec_string("mode", "Mode",
                          "Transport encryption mode, for use without a session; its name as in "
                          "Discord's session description",
                          nullptr, both));
  g_object_class_install_property(
      object_class, first + 1,
      g_param_spec_string("secret-key", "Secret key",
                          "Transport key as 64 hexadecimal digits, for use without a session; "
                          "other users of the machine see it in the arguments of gst-launch, "
                          "secret-key-file hides it",
                          nullptr, written));
  g_object_class_install_property(
      object_class, first + 2,
      g_param_spec_string("secret-key-file", "Secret key file",
                          "File that holds the transport key as 64 hexadecimal digits", nullptr,
                          both));
}

void OwnKeyProperties::set(guint index, const GValue* value) {
  GST_OBJECT_LOCK(element_);
  checked_ = false;
  if (index == 0) {
    mode_ = text_of(value);
  } else if (index == 1) {
    secret_key_ = SecretString(text_of(value));
  } else {
    secret_key_file_ = text_of(value);
  }
  GST_OBJECT_UNLOCK(element_);
}

void OwnKeyProperties::get(guint index, GValue* value) const {
  GST_OBJECT_LOCK(element_);
  g_value_set_string(value, index == 0 ? mode_.c_str() : secret_key_file_.c_str());
  GST_OBJECT_UNLOCK(element_);
}

bool OwnKeyProperties::prepare() {
  GST_OBJECT_LOCK(element_);
  const std::string mode = mode_;
  const SecretString text = secret_key_;
  const std::string file = secret_key_file_;
  const bool checked = std::exchange(checked_, true);
  GST_OBJECT_UNLOCK(element_);
  if (checked) {
    return true;
  }
  const Check result = check(mode, text, file);
  key_ = result.key;
  if (!result.warning.empty()) {
    GST_ELEMENT_WARNING(element_, RESOURCE, SETTINGS, ("%s", result.warning.c_str()), (nullptr));
  }
  if (!result.problem.empty()) {
    forget();
    GST_ELEMENT_ERROR(element_, RESOURCE, SETTINGS, ("%s", result.problem.c_str()), (nullptr));
    return false;
  }
  return true;
}

void OwnKeyProperties::forget() {
  GST_OBJECT_LOCK(element_);
  checked_ = false;
  GST_OBJECT_UNLOCK(element_);
  key_.reset();
}

}  // namespace discord
