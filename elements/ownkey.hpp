// A transport key that comes from properties, for captures, where there is no session.
#pragma once

#include "base/secret.hpp"
#include "transport/mode.hpp"

#include <gst/gst.h>
#include <optional>
#include <string>

namespace discord {

struct OwnKey {
  transport::Mode mode;
  transport::Key key;
};

// The properties `mode`, `secret-key` and `secret-key-file`.
struct KeySettings {
  std::string mode;
  SecretString secret_key;
  std::string secret_key_file;
};

// Nothing in `key` when nothing is set. False after an error that has been posted on `element`.
bool read_own_key(GstElement* element, const KeySettings& settings, std::optional<OwnKey>& key);

}  // namespace discord
