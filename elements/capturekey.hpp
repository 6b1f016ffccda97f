// The transport key that properties name, for use without a session.
#pragma once

#include "base/secret.hpp"
#include "transport/mode.hpp"

#include <optional>
#include <string>

namespace discord {

struct CaptureKey {
  transport::Mode mode;
  transport::Key key;
};

struct CaptureKeyCheck {
  std::optional<CaptureKey> key;  // none, and no problem: nothing was set
  std::string problem;            // a sentence that says what to do
  std::string warning;            // a sentence
};

// `file`, if not empty, names a file that holds the key, and wins over `text`.
CaptureKeyCheck check_capture_key(const std::string& mode, const SecretString& text,
                                  const std::string& file);

}  // namespace discord
