// A certificate authority that lives as long as the process, and a certificate for 127.0.0.1.
#pragma once

#include "base/result.hpp"

#include <string>

namespace discord::loopback {

struct Certificate {
  std::string chain_and_key_pem;  // leaf certificate, then its private key
  std::string ca_pem;
};

// For 127.0.0.1, ::1 and localhost; valid for a day. The error is a sentence.
Result<Certificate, std::string> make_certificate();

// Writes the CA into a new temporary folder; the path of the file.
Result<std::string, std::string> write_ca_file(const Certificate& certificate);

}  // namespace discord::loopback
