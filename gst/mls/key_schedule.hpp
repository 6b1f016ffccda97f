// Secrets of an epoch, transcript hashes and tags (RFC 9420 section 8). Secrets that only
// PrivateMessage, external commits and resumption use are left out.
#pragma once

#include "mls/types.hpp"

namespace discord::mls {

struct EpochSecrets {
  Secret32 init;
  Secret32 exporter;
  Secret32 confirmation_key;
  Secret32 membership_key;
  Secret32 epoch_authenticator;
};

struct WelcomeKeys {
  SecretBytes key;
  SecretBytes nonce;
};

// The psk_secret of a group without pre-shared keys, and the commit_secret without a path.
extern const Secret32 zero_secret;

Secret32 make_joiner_secret(const Secret32& init_secret_before, const Secret32& commit_secret,
                            ByteSpan group_context);
WelcomeKeys make_welcome_keys(const Secret32& joiner_secret,
                              const Secret32& psk_secret = zero_secret);
EpochSecrets make_epoch(const Secret32& joiner_secret, ByteSpan group_context,
                        const Secret32& psk_secret = zero_secret);
// For the first epoch of a group, whose epoch_secret is random (RFC 9420 section 11).
EpochSecrets make_epoch_from(ByteSpan epoch_secret);

// RFC 9420 section 8.2. `framed_content` is the encoded FramedContent of a public message.
Hash confirmed_transcript_hash(ByteSpan interim_before, ByteSpan framed_content,
                               ByteSpan signature);
Hash interim_transcript_hash(ByteSpan confirmed, ByteSpan confirmation_tag);
Hash make_confirmation_tag(const Secret32& confirmation_key, ByteSpan confirmed_transcript_hash);

// RFC 9420 section 8.5; an empty result when `length` is over 8160.
SecretBytes export_secret(const Secret32& exporter_secret, std::string_view label, ByteSpan context,
                          std::size_t length);

}  // namespace discord::mls
