#include "mls/error.hpp"

namespace discord::mls {

const char* to_string(Error error) noexcept {
  switch (error) {
    case Error::malformed:
      return "malformed";
    case Error::too_large:
      return "too-large";
    case Error::unsupported_version:
      return "unsupported-version";
    case Error::unsupported_suite:
      return "unsupported-suite";
    case Error::unsupported_message:
      return "unsupported-message";
    case Error::unsupported_proposal:
      return "unsupported-proposal";
    case Error::unsupported_psk:
      return "unsupported-psk";
    case Error::unsupported_extension:
      return "unsupported-extension";
    case Error::bad_key:
      return "bad-key";
    case Error::bad_signature:
      return "bad-signature";
    case Error::bad_membership_tag:
      return "bad-membership-tag";
    case Error::bad_confirmation_tag:
      return "bad-confirmation-tag";
    case Error::cannot_decrypt:
      return "cannot-decrypt";
    case Error::no_randomness:
      return "no-randomness";
    case Error::crypto_failure:
      return "crypto-failure";
    case Error::wrong_group:
      return "wrong-group";
    case Error::wrong_epoch:
      return "wrong-epoch";
    case Error::wrong_sender:
      return "wrong-sender";
    case Error::own_message:
      return "own-message";
    case Error::unknown_proposal:
      return "unknown-proposal";
    case Error::inline_proposal:
      return "inline-proposal";
    case Error::duplicate_proposal:
      return "duplicate-proposal";
    case Error::invalid_key_package:
      return "invalid-key-package";
    case Error::invalid_leaf:
      return "invalid-leaf";
    case Error::unsupported_credential:
      return "unsupported-credential";
    case Error::duplicate_key:
      return "duplicate-key";
    case Error::invalid_tree:
      return "invalid-tree";
    case Error::bad_tree_hash:
      return "bad-tree-hash";
    case Error::bad_parent_hash:
      return "bad-parent-hash";
    case Error::bad_update_path:
      return "bad-update-path";
    case Error::missing_tree:
      return "missing-tree";
    case Error::no_proposals:
      return "no-proposals";
    case Error::invalid_proposals:
      return "invalid-proposals";
    case Error::removes_committer:
      return "removes-committer";
    case Error::missing_path:
      return "missing-path";
    case Error::not_for_us:
      return "not-for-us";
  }
  return "unknown";
}

}  // namespace discord::mls
