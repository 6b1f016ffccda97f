// Key packages: making one's own and checking others' (RFC 9420 sections 7.3 and 10.1).
#pragma once

#include "mls/types.hpp"

namespace discord::mls {

// Who we are: the long-lived signature key and the identity in the credential.
struct Identity {
  KeyPair signature_key;
  Bytes identity;
};

// A key package with the private keys that open what is sent to it. For one use.
struct OwnKeyPackage {
  KeyPackage key_package;
  Bytes encoded;  // bare KeyPackage, without the MLSMessage around it
  KeyPair init_key;
  KeyPair encryption_key;
};

// A fresh package: capabilities are version 1, suite 2 and basic credentials; the lifetime never
// ends; no extensions.
Result<OwnKeyPackage, Error> make_key_package(const Identity& identity, RandomSource& random);

// A package from outside together with its private keys; refused when they do not belong together.
Result<OwnKeyPackage, Error> import_key_package(ByteSpan encoded, ByteSpan init_private,
                                                ByteSpan encryption_private);

// Signs or verifies a leaf. `group_id` and `leaf` are covered for sources update and commit only.
Result<LeafNode, Error> sign_leaf(LeafNode leaf, const KeyPair& key, ByteSpan group_id,
                                  LeafIndex index);
bool verify_leaf_signature(const LeafNode& leaf, ByteSpan group_id, LeafIndex index);

// What every leaf has to fulfil apart from its signature: keys on the curve, our version, suite and
// credential type supported, own extensions listed, those of the group supported.
// Lifetimes are not checked: that is the business of the delivery service.
std::optional<Error> check_leaf(const LeafNode& leaf, const Extensions& group_extensions);

// Everything about a package that needs no group: both signatures, source, keys.
std::optional<Error> check_key_package(const KeyPackage& key_package,
                                       const Extensions& group_extensions);

}  // namespace discord::mls
