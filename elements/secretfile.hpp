// Secrets that come from files, so that they stay out of argv.
#pragma once

#include "base/secret.hpp"

#include <gst/gst.h>
#include <string>

namespace discord {

struct SecretFile {
  SecretString secret;
  std::string problem;  // a sentence; empty when the file could be used
  std::string warning;  // a sentence, when others can read the file
};

// Reads a small file. White space and quotes around the secret and a `Bot ` prefix in front of it
// are taken away, because that is how people store tokens.
SecretFile read_secret_file(const std::string& path);

}  // namespace discord
