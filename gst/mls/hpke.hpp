// Hybrid public key encryption in the one form MLS uses: base mode, one message, DHKEM(P-256,
// HKDF-SHA256), HKDF-SHA256, AES-128-GCM (RFC 9180). libcrypto 3.0 has none.
#pragma once

#include "mls/types.hpp"

namespace discord::mls {

// RFC 9180 section 7.1.3. `input` is the input keying material; it should have 32 bytes of entropy.
Result<KeyPair, Error> derive_key_pair(ByteSpan input);

// RFC 9180 section 6.1 with empty associated data.
Result<HpkeCiphertext, Error> hpke_seal(ByteSpan public_key, ByteSpan info, ByteSpan plain,
                                        RandomSource& random);
Result<SecretBytes, Error> hpke_open(const KeyPair& key, ByteSpan info,
                                     const HpkeCiphertext& sealed);

// RFC 9420 section 5.1.3. The label comes without the "MLS 1.0 " in front.
Result<HpkeCiphertext, Error> encrypt_with_label(ByteSpan public_key, std::string_view label,
                                                 ByteSpan context, ByteSpan plain,
                                                 RandomSource& random);
Result<SecretBytes, Error> decrypt_with_label(const KeyPair& key, std::string_view label,
                                              ByteSpan context, const HpkeCiphertext& sealed);

}  // namespace discord::mls
