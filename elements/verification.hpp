// The code two users compare, worked out where it holds nobody up.
#pragma once

#include "base/bytes.hpp"

#include <gst/gst.h>

#include <cstdint>

namespace discord {

struct VerificationRequest {
  std::uint64_t own_user = 0;
  Bytes own_key;
  std::uint64_t user = 0;
  Bytes key;
};

// A promise that a thread of GLib's pool answers after about 60 ms with the structure
// `discord-verification-code`: `user-id` (guint64) and `code` (45 digits), or `error` (a sentence).
GstPromise* promise_verification_code(VerificationRequest request);

// A promise that is answered already, with `error`.
GstPromise* refuse_verification_code(std::uint64_t user, const char* error);

}  // namespace discord
