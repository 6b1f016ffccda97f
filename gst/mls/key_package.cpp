#include "mls/key_package.hpp"

#include <algorithm>

namespace discord::mls {
namespace {

bool contains(const std::vector<std::uint16_t>& list, std::uint16_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// RFC 9420 section 7.2: types 1 to 5 are implied and need not be listed.
bool supports_extension(const Capabilities& capabilities, std::uint16_t type) {
  return (type >= 1 && type <= 5) || contains(capabilities.extensions, type);
}

bool supports_all(const Capabilities& capabilities, const Extensions& extensions) {
  return std::all_of(extensions.begin(), extensions.end(),
                     [&](const Extension& e) { return supports_extension(capabilities, e.type); });
}

// RFC 9420 section 11.1: a group may demand capabilities of its members.
bool meets_requirements(const Capabilities& capabilities, ByteSpan required) {
  Reader in(required);
  bool met = true;
  const auto each = [&](auto&& supported) {
    Reader list = in.vector();
    while (!list.at_end()) {
      const std::uint16_t type = list.u16();
      met = met && (!list.ok() || supported(type));
    }
    in.join(list);
  };
  each([&](std::uint16_t type) { return supports_extension(capabilities, type); });
  // Proposal types 1 to 7 are implied.
  each([&](std::uint16_t type) {
    return (type >= 1 && type <= 7) || contains(capabilities.proposals, type);
  });
  each([&](std::uint16_t type) { return contains(capabilities.credentials, type); });
  in.finish();
  return met && in.ok();
}

Bytes leaf_content(const LeafNode& leaf, ByteSpan group_id, LeafIndex index) {
  Writer out;
  out.reserve(512);
  write_unsigned(out, leaf);
  if (leaf.source != LeafSource::key_package) {
    out.opaque(group_id);
    out.u32(index);
  }
  return out.take();
}

Bytes key_package_content(const KeyPackage& key_package) {
  Writer out;
  out.reserve(512);
  write_unsigned(out, key_package);
  return out.take();
}

Bytes to_bytes(ByteSpan bytes) {
  return Bytes(bytes.begin(), bytes.end());
}

}  // namespace

Result<LeafNode, Error> sign_leaf(LeafNode leaf, const KeyPair& key, ByteSpan group_id,
                                  LeafIndex index) {
  auto signature = sign_with_label(key, "LeafNodeTBS", leaf_content(leaf, group_id, index));
  if (!signature) {
    return Failure{signature.error()};
  }
  leaf.signature = std::move(*signature);
  return leaf;
}

bool verify_leaf_signature(const LeafNode& leaf, ByteSpan group_id, LeafIndex index) {
  return verify_with_label(leaf.signature_key, "LeafNodeTBS", leaf_content(leaf, group_id, index),
                           leaf.signature);
}

std::optional<Error> check_leaf(const LeafNode& leaf, const Extensions& group_extensions) {
  const Capabilities& capabilities = leaf.capabilities;
  if (!contains(capabilities.versions, protocol_version) ||
      !contains(capabilities.cipher_suites, cipher_suite) ||
      !contains(capabilities.credentials, credential_basic) ||
      !supports_all(capabilities, leaf.extensions)) {
    return Error::invalid_leaf;
  }
  const Extension* required = find_extension(group_extensions, extension_required_capabilities);
  if (!supports_all(capabilities, group_extensions) ||
      (required != nullptr && !meets_requirements(capabilities, required->data))) {
    return Error::unsupported_extension;
  }
  // A signature key that is no point shows when the signature is verified.
  if (!is_public_key(leaf.encryption_key)) {
    return Error::bad_key;
  }
  return std::nullopt;
}

std::optional<Error> check_key_package(const KeyPackage& key_package,
                                       const Extensions& group_extensions) {
  const LeafNode& leaf = *key_package.leaf;
  if (leaf.source != LeafSource::key_package || key_package.init_key == leaf.encryption_key ||
      !supports_all(leaf.capabilities, key_package.extensions)) {
    return Error::invalid_key_package;
  }
  if (!is_public_key(key_package.init_key)) {
    return Error::bad_key;
  }
  if (const auto error = check_leaf(leaf, group_extensions)) {
    return error;
  }
  if (!verify_leaf_signature(leaf, {}, 0) ||
      !verify_with_label(leaf.signature_key, "KeyPackageTBS", key_package_content(key_package),
                         key_package.signature)) {
    return Error::bad_signature;
  }
  return std::nullopt;
}

Result<OwnKeyPackage, Error> make_key_package(const Identity& identity, RandomSource& random) {
  auto init_key = KeyPair::generate(random);
  if (!init_key) {
    return Failure{init_key.error()};
  }
  auto encryption_key = KeyPair::generate(random);
  if (!encryption_key) {
    return Failure{encryption_key.error()};
  }
  LeafNode leaf;
  leaf.encryption_key = to_bytes(encryption_key->public_key());
  leaf.signature_key = to_bytes(identity.signature_key.public_key());
  leaf.credential.identity = identity.identity;
  leaf.capabilities.versions = {protocol_version};
  leaf.capabilities.cipher_suites = {cipher_suite};
  leaf.capabilities.credentials = {credential_basic};
  auto signed_leaf = sign_leaf(std::move(leaf), identity.signature_key, {}, 0);
  if (!signed_leaf) {
    return Failure{signed_leaf.error()};
  }
  KeyPackage key_package;
  key_package.init_key = to_bytes(init_key->public_key());
  key_package.leaf = std::make_shared<const LeafNode>(std::move(*signed_leaf));
  auto signature =
      sign_with_label(identity.signature_key, "KeyPackageTBS", key_package_content(key_package));
  if (!signature) {
    return Failure{signature.error()};
  }
  key_package.signature = std::move(*signature);
  Bytes encoded = encode(key_package);
  return OwnKeyPackage{std::move(key_package), std::move(encoded), std::move(*init_key),
                       std::move(*encryption_key)};
}

Result<OwnKeyPackage, Error> import_key_package(ByteSpan encoded, ByteSpan init_private,
                                                ByteSpan encryption_private) {
  auto key_package = parse_key_package(encoded);
  if (!key_package) {
    return Failure{key_package.error()};
  }
  auto init_key = KeyPair::from_private(init_private);
  auto encryption_key = KeyPair::from_private(encryption_private);
  if (!init_key || !encryption_key || !equal_tags(init_key->public_key(), key_package->init_key) ||
      !equal_tags(encryption_key->public_key(), key_package->leaf->encryption_key)) {
    return Failure{Error::bad_key};
  }
  return OwnKeyPackage{std::move(*key_package), to_bytes(encoded), std::move(*init_key),
                       std::move(*encryption_key)};
}

}  // namespace discord::mls
