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

// The properties `mode`, `secret-key` and `secret-key-file` of an element, and what they name.
class OwnKeyProperties {
 public:
  explicit OwnKeyProperties(GstElement* element) : element_(element) {}

  // Installs the three under `first`, `first` + 1 and `first` + 2.
  static constexpr guint count = 3;
  static void install(GObjectClass* object_class, guint first);
  // `index` is 0 to 2 in the same order. Any thread.
  void set(guint index, const GValue* value);
  void get(guint index, GValue* value) const;

  // Before READY, and again before PAUSED: checks what has been set since. False after an error on
  // the bus; a key file that others can read is a warning.
  bool prepare();
  // At NULL: the file may have another content next time, and keys are kept no longer than needed.
  void forget();
  // None when nothing is set. Changes with the state only, below PAUSED.
  const std::optional<OwnKey>& key() const noexcept { return key_; }

 private:
  GstElement* element_;
  // Object lock of the element.
  std::string mode_;
  SecretString secret_key_;
  std::string secret_key_file_;
  bool checked_ = false;

  std::optional<OwnKey> key_;
};

}  // namespace discord
