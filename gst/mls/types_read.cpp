// Decoders of types.hpp. A reader's failure is sticky, so most of them test nothing: what they
// build after a failure is discarded by the caller, who asks the reader.
#include "mls/types.hpp"

#include <algorithm>

namespace discord::mls {
namespace {

// Longest lists accepted, so that short elements cannot cost much memory.
constexpr std::size_t max_extensions = 64;
constexpr std::size_t max_path_nodes = 32;

Bytes read_bytes(Reader& in) {
  const ByteSpan bytes = in.opaque();
  return Bytes(bytes.begin(), bytes.end());
}

// Calls `read_one` until the vector is used up; a longer list than `limit` is too large.
template <class ReadOne> void read_list(Reader& in, std::size_t limit, ReadOne&& read_one) {
  Reader items = in.vector();
  for (std::size_t count = 0; !items.at_end(); ++count) {
    if (count == limit) {
      items.fail(Error::too_large);
      break;
    }
    read_one(items);
  }
  in.join(items);
}

std::vector<std::uint16_t> read_u16s(Reader& in) {
  std::vector<std::uint16_t> out;
  read_list(in, max_message_size, [&](Reader& items) { out.push_back(items.u16()); });
  return out;
}

Credential read_credential(Reader& in) {
  if (in.u16() != credential_basic) {
    in.fail(Error::unsupported_credential);
  }
  return {read_bytes(in)};
}

void read_version_and_suite(Reader& in) {
  if (in.u16() != protocol_version) {
    in.fail(Error::unsupported_version);
  }
  if (in.u16() != cipher_suite) {
    in.fail(Error::unsupported_suite);
  }
}

HpkeCiphertext read_ciphertext(Reader& in) {
  HpkeCiphertext out;
  out.kem_output = read_bytes(in);
  out.ciphertext = read_bytes(in);
  return out;
}

ProposalOrRef read_proposal_or_ref(Reader& in) {
  switch (in.u8()) {
    case 1:
      return read_proposal(in);
    case 2: {
      ProposalRef ref{};
      const ByteSpan bytes = in.opaque_of(ref.size());
      std::copy(bytes.begin(), bytes.end(), ref.begin());
      return ref;
    }
    default:
      in.fail(Error::malformed);
      return ProposalRef{};
  }
}

Sender read_sender(Reader& in) {
  Sender sender;
  const std::uint8_t type = in.u8();
  if (type < 1 || type > 4) {
    in.fail(Error::malformed);
    return sender;
  }
  sender.type = static_cast<SenderType>(type);
  if (sender.type == SenderType::member || sender.type == SenderType::external) {
    sender.index = in.u32();
  }
  return sender;
}

Secret32 read_secret(Reader& in) {
  const ByteSpan bytes = in.opaque_of(Secret32::size);
  return bytes.empty() ? Secret32() : Secret32(bytes.first<Secret32::size>());
}

// Runs a reader over the whole of `bytes`.
template <class T, class Read> Result<T, Error> parse(ByteSpan bytes, Read&& read) {
  if (bytes.size() > max_message_size) {
    return Failure{Error::too_large};
  }
  Reader in(bytes);
  T value = read(in);
  in.finish();
  if (!in.ok()) {
    return Failure{in.error()};
  }
  return value;
}

}  // namespace

Extensions read_extensions(Reader& in) {
  Extensions out;
  read_list(in, max_extensions, [&](Reader& items) {
    Extension extension;
    extension.type = items.u16();
    extension.data = read_bytes(items);
    // RFC 9420 section 13.4: no type comes twice.
    if (find_extension(out, extension.type) != nullptr) {
      items.fail(Error::malformed);
    }
    out.push_back(std::move(extension));
  });
  return out;
}

std::shared_ptr<const LeafNode> read_leaf_node(Reader& in) {
  auto leaf = std::make_shared<LeafNode>();
  leaf->encryption_key = read_bytes(in);
  leaf->signature_key = read_bytes(in);
  leaf->credential = read_credential(in);
  leaf->capabilities.versions = read_u16s(in);
  leaf->capabilities.cipher_suites = read_u16s(in);
  leaf->capabilities.extensions = read_u16s(in);
  leaf->capabilities.proposals = read_u16s(in);
  leaf->capabilities.credentials = read_u16s(in);
  switch (in.u8()) {
    case 1:
      leaf->source = LeafSource::key_package;
      leaf->lifetime.not_before = in.u64();
      leaf->lifetime.not_after = in.u64();
      break;
    case 2:
      leaf->source = LeafSource::update;
      break;
    case 3:
      leaf->source = LeafSource::commit;
      leaf->parent_hash = read_bytes(in);
      break;
    default:
      in.fail(Error::malformed);
  }
  leaf->extensions = read_extensions(in);
  leaf->signature = read_bytes(in);
  return leaf;
}

KeyPackage read_key_package(Reader& in) {
  KeyPackage out;
  read_version_and_suite(in);
  out.init_key = read_bytes(in);
  out.leaf = read_leaf_node(in);
  out.extensions = read_extensions(in);
  out.signature = read_bytes(in);
  return out;
}

ExternalSender read_external_sender(Reader& in) {
  ExternalSender out;
  out.signature_key = read_bytes(in);
  out.credential = read_credential(in);
  return out;
}

Proposal read_proposal(Reader& in) {
  switch (in.u16()) {
    case proposal_add:
      return Add{read_key_package(in)};
    case proposal_remove:
      return Remove{in.u32()};
    default:
      in.fail(Error::unsupported_proposal);
      return Remove{};
  }
}

UpdatePath read_update_path(Reader& in) {
  UpdatePath out;
  out.leaf = read_leaf_node(in);
  read_list(in, max_path_nodes, [&](Reader& nodes) {
    UpdatePathNode node;
    node.public_key = read_bytes(nodes);
    read_list(nodes, max_leaves, [&](Reader& items) {
      node.encrypted_path_secrets.push_back(read_ciphertext(items));
    });
    out.nodes.push_back(std::move(node));
  });
  return out;
}

Commit read_commit(Reader& in) {
  Commit out;
  read_list(in, max_proposals,
            [&](Reader& items) { out.proposals.push_back(read_proposal_or_ref(items)); });
  if (in.optional()) {
    out.path = read_update_path(in);
  }
  return out;
}

GroupContext read_group_context(Reader& in) {
  GroupContext out;
  read_version_and_suite(in);
  out.group_id = read_bytes(in);
  out.epoch = in.u64();
  out.tree_hash = read_bytes(in);
  out.confirmed_transcript_hash = read_bytes(in);
  out.extensions = read_extensions(in);
  return out;
}

PublicMessage read_public_message(Reader& in) {
  PublicMessage out;
  if (in.u16() != protocol_version) {
    in.fail(Error::unsupported_version);
  }
  if (in.u16() != wire_format_public_message) {
    in.fail(Error::unsupported_message);
  }
  const ByteSpan start = in.rest();
  out.group_id = read_bytes(in);
  out.epoch = in.u64();
  out.sender = read_sender(in);
  out.authenticated_data = read_bytes(in);
  bool is_commit = false;
  switch (in.u8()) {
    case content_type_proposal:
      out.content = read_proposal(in);
      break;
    case content_type_commit:
      out.content = read_commit(in);
      is_commit = true;
      break;
    default:
      in.fail(Error::unsupported_message);
  }
  if (in.ok()) {
    const ByteSpan framed = Reader::consumed(start, in.rest());
    out.framed_content.assign(framed.begin(), framed.end());
  }
  out.signature = read_bytes(in);
  if (is_commit) {
    out.confirmation_tag = read_bytes(in);
  }
  if (out.sender.type == SenderType::member) {
    out.membership_tag = read_bytes(in);
  }
  return out;
}

Welcome read_welcome(Reader& in) {
  Welcome out;
  if (in.u16() != cipher_suite) {
    in.fail(Error::unsupported_suite);
  }
  read_list(in, max_leaves, [&](Reader& items) {
    EncryptedGroupSecrets secrets;
    secrets.new_member = read_bytes(items);
    secrets.secrets = read_ciphertext(items);
    out.secrets.push_back(std::move(secrets));
  });
  out.encrypted_group_info = read_bytes(in);
  return out;
}

Result<KeyPackage, Error> parse_key_package(ByteSpan bytes) {
  return parse<KeyPackage>(bytes, read_key_package);
}

Result<ExternalSender, Error> parse_external_sender(ByteSpan bytes) {
  return parse<ExternalSender>(bytes, read_external_sender);
}

Result<std::vector<ExternalSender>, Error> parse_external_senders(ByteSpan bytes) {
  return parse<std::vector<ExternalSender>>(bytes, [](Reader& in) {
    std::vector<ExternalSender> out;
    read_list(in, max_leaves, [&](Reader& items) { out.push_back(read_external_sender(items)); });
    return out;
  });
}

Result<Commit, Error> parse_commit(ByteSpan bytes) {
  return parse<Commit>(bytes, read_commit);
}

Result<PublicMessage, Error> parse_public_message(ByteSpan bytes) {
  return parse<PublicMessage>(bytes, read_public_message);
}

Result<GroupContext, Error> parse_group_context(ByteSpan bytes) {
  return parse<GroupContext>(bytes, read_group_context);
}

Result<GroupInfo, Error> parse_group_info(ByteSpan bytes) {
  return parse<GroupInfo>(bytes, [](Reader& in) {
    GroupInfo out;
    out.context = read_group_context(in);
    out.extensions = read_extensions(in);
    out.confirmation_tag = read_bytes(in);
    out.signer = in.u32();
    out.signature = read_bytes(in);
    return out;
  });
}

Result<GroupSecrets, Error> parse_group_secrets(ByteSpan bytes) {
  return parse<GroupSecrets>(bytes, [](Reader& in) {
    GroupSecrets out;
    out.joiner_secret = read_secret(in);
    if (in.optional()) {
      out.path_secret = read_secret(in);
    }
    if (!in.opaque().empty()) {
      in.fail(Error::unsupported_psk);
    }
    return out;
  });
}

Result<Welcome, Error> parse_welcome(ByteSpan bytes) {
  return parse<Welcome>(bytes, read_welcome);
}

}  // namespace discord::mls
