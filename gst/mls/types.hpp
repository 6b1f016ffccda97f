// Structures of RFC 9420 that the subset needs, and their encodings. Members stand in the order of
// the wire. Every `parse_*` takes the whole of its input and refuses trailing bytes; the `read_*`
// ones take what they need from a reader.
#pragma once

#include "mls/codec.hpp"
#include "mls/crypto.hpp"

#include <memory>
#include <optional>
#include <variant>
#include <vector>

namespace discord::mls {

using LeafIndex = std::uint32_t;
using NodeIndex = std::uint32_t;

inline constexpr std::uint16_t wire_format_public_message = 1;
inline constexpr std::uint8_t content_type_proposal = 2;
inline constexpr std::uint8_t content_type_commit = 3;
inline constexpr std::uint16_t proposal_add = 1;
inline constexpr std::uint16_t proposal_remove = 3;
inline constexpr std::uint16_t credential_basic = 1;
inline constexpr std::uint16_t extension_ratchet_tree = 2;
inline constexpr std::uint16_t extension_required_capabilities = 3;
inline constexpr std::uint16_t extension_external_senders = 5;

// Largest tree, and most proposals of a commit.
inline constexpr std::size_t max_leaves = 1024;
inline constexpr std::size_t max_proposals = 2048;

// RFC 9420 section 5.3: the only kind here is basic, so an identity is all there is.
struct Credential {
  Bytes identity;
  friend bool operator==(const Credential&, const Credential&) = default;
};

struct Extension {
  std::uint16_t type = 0;
  Bytes data;
  friend bool operator==(const Extension&, const Extension&) = default;
};
using Extensions = std::vector<Extension>;

struct Capabilities {
  std::vector<std::uint16_t> versions;
  std::vector<std::uint16_t> cipher_suites;
  std::vector<std::uint16_t> extensions;
  std::vector<std::uint16_t> proposals;
  std::vector<std::uint16_t> credentials;
};

struct Lifetime {
  std::uint64_t not_before = 0;
  std::uint64_t not_after = ~std::uint64_t{0};
};

enum class LeafSource : std::uint8_t { key_package = 1, update = 2, commit = 3 };

// RFC 9420 section 7.2.
struct LeafNode {
  Bytes encryption_key;
  Bytes signature_key;
  Credential credential;
  Capabilities capabilities;
  LeafSource source = LeafSource::key_package;
  Lifetime lifetime;  // source key_package
  Bytes parent_hash;  // source commit
  Extensions extensions;
  Bytes signature;
};

// RFC 9420 section 10.
struct KeyPackage {
  Bytes init_key;
  std::shared_ptr<const LeafNode> leaf;
  Extensions extensions;
  Bytes signature;
};

// RFC 9420 section 12.1.8.1; also the whole body in which a delivery service announces itself.
struct ExternalSender {
  Bytes signature_key;
  Credential credential;
  friend bool operator==(const ExternalSender&, const ExternalSender&) = default;
};

struct Add {
  KeyPackage key_package;
};
struct Remove {
  LeafIndex leaf = 0;
};
// Proposals outside the subset are refused when they are read.
using Proposal = std::variant<Add, Remove>;

using ProposalRef = Hash;
using ProposalOrRef = std::variant<Proposal, ProposalRef>;

struct HpkeCiphertext {
  Bytes kem_output;
  Bytes ciphertext;
};

struct UpdatePathNode {
  Bytes public_key;
  std::vector<HpkeCiphertext> encrypted_path_secrets;
};

struct UpdatePath {
  std::shared_ptr<const LeafNode> leaf;
  std::vector<UpdatePathNode> nodes;
};

struct Commit {
  std::vector<ProposalOrRef> proposals;
  std::optional<UpdatePath> path;
};

enum class SenderType : std::uint8_t {
  member = 1,
  external = 2,
  new_member_proposal = 3,
  new_member_commit = 4,
};

struct Sender {
  SenderType type = SenderType::member;
  std::uint32_t index = 0;  // leaf of a member, place in the list of external senders
};

// RFC 9420 section 6.2: FramedContent, its authentication, and the encoded pieces that signatures,
// tags and hashes cover.
struct PublicMessage {
  Bytes group_id;
  std::uint64_t epoch = 0;
  Sender sender;
  Bytes authenticated_data;
  std::variant<Proposal, Commit> content;
  Bytes signature;
  Bytes confirmation_tag;  // commits
  Bytes membership_tag;    // sender member
  Bytes framed_content;    // encoded FramedContent
};

// RFC 9420 section 8.1.
struct GroupContext {
  Bytes group_id;
  std::uint64_t epoch = 0;
  Bytes tree_hash;
  Bytes confirmed_transcript_hash;
  Extensions extensions;
};

// RFC 9420 section 12.4.3.
struct GroupInfo {
  GroupContext context;
  Extensions extensions;
  Bytes confirmation_tag;
  LeafIndex signer = 0;
  Bytes signature;
};

struct GroupSecrets {
  Secret32 joiner_secret;
  std::optional<Secret32> path_secret;
};

struct EncryptedGroupSecrets {
  Bytes new_member;  // reference of a key package
  HpkeCiphertext secrets;
};

struct Welcome {
  std::vector<EncryptedGroupSecrets> secrets;
  Bytes encrypted_group_info;
};

void write(Writer& out, const Credential& credential);
void write(Writer& out, const Extensions& extensions);
void write(Writer& out, const LeafNode& leaf);
void write(Writer& out, const KeyPackage& key_package);
void write(Writer& out, const ExternalSender& sender);
void write(Writer& out, const Proposal& proposal);
void write(Writer& out, const HpkeCiphertext& ciphertext);
void write(Writer& out, const UpdatePath& path);
void write(Writer& out, const Commit& commit);
void write(Writer& out, const Sender& sender);
void write(Writer& out, const GroupContext& context);
void write(Writer& out, const GroupInfo& info);
void write(Writer& out, const GroupSecrets& secrets);
void write(Writer& out, const Welcome& welcome);

// All but the signature, which is what a signature covers.
void write_unsigned(Writer& out, const LeafNode& leaf);
void write_unsigned(Writer& out, const KeyPackage& key_package);
void write_unsigned(Writer& out, const GroupInfo& info);

// Any of the above as bytes of its own.
template <class T> Bytes encode(const T& value) {
  Writer out;
  write(out, value);
  return out.take();
}

Extensions read_extensions(Reader& in);
std::shared_ptr<const LeafNode> read_leaf_node(Reader& in);
KeyPackage read_key_package(Reader& in);
ExternalSender read_external_sender(Reader& in);
Proposal read_proposal(Reader& in);
UpdatePath read_update_path(Reader& in);
Commit read_commit(Reader& in);
GroupContext read_group_context(Reader& in);
// An MLSMessage that holds a PublicMessage; more may follow it in the reader.
PublicMessage read_public_message(Reader& in);
Welcome read_welcome(Reader& in);

Result<KeyPackage, Error> parse_key_package(ByteSpan bytes);
Result<ExternalSender, Error> parse_external_sender(ByteSpan bytes);
// The data of an external_senders extension: a vector.
Result<std::vector<ExternalSender>, Error> parse_external_senders(ByteSpan bytes);
Result<Commit, Error> parse_commit(ByteSpan bytes);
Result<PublicMessage, Error> parse_public_message(ByteSpan bytes);
Result<GroupContext, Error> parse_group_context(ByteSpan bytes);
Result<GroupInfo, Error> parse_group_info(ByteSpan bytes);
Result<GroupSecrets, Error> parse_group_secrets(ByteSpan bytes);
// A bare Welcome, without the MLSMessage around it.
Result<Welcome, Error> parse_welcome(ByteSpan bytes);

// Extension of this type, or nullptr.
const Extension* find_extension(const Extensions& extensions, std::uint16_t type) noexcept;
// The extension that lets these senders propose from outside.
Extension make_external_senders(const std::vector<ExternalSender>& senders);
// Reference by which a Welcome names its receiver (RFC 9420 section 5.2).
Hash key_package_ref(ByteSpan encoded_key_package);

}  // namespace discord::mls
