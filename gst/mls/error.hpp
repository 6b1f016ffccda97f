// Why the room refuses something. Every refusal leaves the state as it was.
#pragma once

#include "base/result.hpp"

namespace discord::mls {

enum class Error {
  // Encoding
  malformed,              // truncated, trailing bytes, non-minimal length, impossible value
  too_large,              // over a stated limit of this implementation
  unsupported_version,    // not MLS 1.0
  unsupported_suite,      // not cipher suite 2
  unsupported_message,    // a wire format or content type outside the subset
  unsupported_proposal,   // neither Add nor Remove
  unsupported_psk,        // a Welcome that wants a pre-shared key
  unsupported_extension,  // the group uses an extension that somebody does not support
  // Cryptography
  bad_key,               // not a point of the curve, or not a scalar in range
  bad_signature,         // a signature does not verify
  bad_membership_tag,    // RFC 9420 section 6.2
  bad_confirmation_tag,  // RFC 9420 section 8.1: the epochs differ
  cannot_decrypt,        // HPKE or AEAD opening failed
  no_randomness,         // the source of randomness failed
  crypto_failure,        // libcrypto refused something that cannot fail for valid input
  // Messages
  wrong_group,         // for another group id
  wrong_epoch,         // for another epoch than the current one
  wrong_sender,        // a kind of sender that may not send this, or an empty leaf
  own_message,         // a commit of our own leaf that we do not have at hand
  unknown_proposal,    // a reference to nothing we hold
  inline_proposal,     // a proposal by value where only references are allowed
  duplicate_proposal,  // queued already, or the same reference twice in a commit
  // Key packages and leaves
  invalid_key_package,     // init key equal to the encryption key, wrong leaf source
  invalid_leaf,            // leaf source, credential or capabilities are not acceptable
  unsupported_credential,  // not a basic credential
  duplicate_key,           // an encryption or signature key that another leaf has
  // Trees
  invalid_tree,     // shape, unmerged leaves or blank at the end
  bad_tree_hash,    // not the hash that the GroupInfo signs
  bad_parent_hash,  // RFC 9420 section 7.9.2
  bad_update_path,  // wrong number of nodes or ciphertexts, or keys that do not follow
  missing_tree,     // a Welcome without a ratchet_tree extension
  // Commits and welcomes
  no_proposals,       // nothing to commit
  invalid_proposals,  // two removes of a leaf, a leaf that is empty
  removes_committer,  // a member may not commit its own removal
  missing_path,       // a commit with a Remove needs a path
  not_for_us,         // no entry for our key package, or no leaf of ours in the tree
};

// A word in kebab-case, for logs and counters.
const char* to_string(Error error) noexcept;

}  // namespace discord::mls
