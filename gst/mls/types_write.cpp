// Encoders of types.hpp.
#include "mls/types.hpp"

#include <algorithm>

namespace discord::mls {
namespace {

void write_u16s(Writer& out, const std::vector<std::uint16_t>& values) {
  out.vector([&](Writer& w) {
    for (const std::uint16_t v : values) {
      w.u16(v);
    }
  });
}

}  // namespace

void write(Writer& out, const Credential& credential) {
  out.u16(credential_basic);
  out.opaque(credential.identity);
}

void write(Writer& out, const Extensions& extensions) {
  out.vector([&](Writer& w) {
    for (const Extension& extension : extensions) {
      w.u16(extension.type);
      w.opaque(extension.data);
    }
  });
}

void write_unsigned(Writer& out, const LeafNode& leaf) {
  out.opaque(leaf.encryption_key);
  out.opaque(leaf.signature_key);
  write(out, leaf.credential);
  write_u16s(out, leaf.capabilities.versions);
  write_u16s(out, leaf.capabilities.cipher_suites);
  write_u16s(out, leaf.capabilities.extensions);
  write_u16s(out, leaf.capabilities.proposals);
  write_u16s(out, leaf.capabilities.credentials);
  out.u8(static_cast<std::uint8_t>(leaf.source));
  switch (leaf.source) {
    case LeafSource::key_package:
      out.u64(leaf.lifetime.not_before);
      out.u64(leaf.lifetime.not_after);
      break;
    case LeafSource::update:
      break;
    case LeafSource::commit:
      out.opaque(leaf.parent_hash);
      break;
  }
  write(out, leaf.extensions);
}

void write(Writer& out, const LeafNode& leaf) {
  write_unsigned(out, leaf);
  out.opaque(leaf.signature);
}

void write_unsigned(Writer& out, const KeyPackage& key_package) {
  out.u16(protocol_version);
  out.u16(cipher_suite);
  out.opaque(key_package.init_key);
  write(out, *key_package.leaf);
  write(out, key_package.extensions);
}

void write(Writer& out, const KeyPackage& key_package) {
  write_unsigned(out, key_package);
  out.opaque(key_package.signature);
}

void write(Writer& out, const ExternalSender& sender) {
  out.opaque(sender.signature_key);
  write(out, sender.credential);
}

void write(Writer& out, const Proposal& proposal) {
  if (const auto* add = std::get_if<Add>(&proposal)) {
    out.u16(proposal_add);
    write(out, add->key_package);
  } else if (const auto* remove = std::get_if<Remove>(&proposal)) {
    out.u16(proposal_remove);
    out.u32(remove->leaf);
  }
}

void write(Writer& out, const HpkeCiphertext& ciphertext) {
  out.opaque(ciphertext.kem_output);
  out.opaque(ciphertext.ciphertext);
}

void write(Writer& out, const UpdatePath& path) {
  write(out, *path.leaf);
  out.vector([&](Writer& nodes) {
    for (const UpdatePathNode& node : path.nodes) {
      nodes.opaque(node.public_key);
      nodes.vector([&](Writer& w) {
        for (const HpkeCiphertext& secret : node.encrypted_path_secrets) {
          write(w, secret);
        }
      });
    }
  });
}

void write(Writer& out, const Commit& commit) {
  out.vector([&](Writer& w) {
    for (const ProposalOrRef& item : commit.proposals) {
      if (const auto* proposal = std::get_if<Proposal>(&item)) {
        w.u8(1);
        write(w, *proposal);
      } else if (const auto* ref = std::get_if<ProposalRef>(&item)) {
        w.u8(2);
        w.opaque(*ref);
      }
    }
  });
  out.u8(commit.path ? 1 : 0);
  if (commit.path) {
    write(out, *commit.path);
  }
}

void write(Writer& out, const Sender& sender) {
  out.u8(static_cast<std::uint8_t>(sender.type));
  if (sender.type == SenderType::member || sender.type == SenderType::external) {
    out.u32(sender.index);
  }
}

void write(Writer& out, const GroupContext& context) {
  out.u16(protocol_version);
  out.u16(cipher_suite);
  out.opaque(context.group_id);
  out.u64(context.epoch);
  out.opaque(context.tree_hash);
  out.opaque(context.confirmed_transcript_hash);
  write(out, context.extensions);
}

void write_unsigned(Writer& out, const GroupInfo& info) {
  write(out, info.context);
  write(out, info.extensions);
  out.opaque(info.confirmation_tag);
  out.u32(info.signer);
}

void write(Writer& out, const GroupInfo& info) {
  write_unsigned(out, info);
  out.opaque(info.signature);
}

void write(Writer& out, const GroupSecrets& secrets) {
  out.opaque(secrets.joiner_secret.view());
  out.u8(secrets.path_secret ? 1 : 0);
  if (secrets.path_secret) {
    out.opaque(secrets.path_secret->view());
  }
  out.opaque({});  // no pre-shared keys
}

void write(Writer& out, const Welcome& welcome) {
  out.u16(cipher_suite);
  out.vector([&](Writer& w) {
    for (const EncryptedGroupSecrets& secrets : welcome.secrets) {
      w.opaque(secrets.new_member);
      write(w, secrets.secrets);
    }
  });
  out.opaque(welcome.encrypted_group_info);
}

const Extension* find_extension(const Extensions& extensions, std::uint16_t type) noexcept {
  const auto found = std::find_if(extensions.begin(), extensions.end(),
                                  [&](const Extension& e) { return e.type == type; });
  return found == extensions.end() ? nullptr : &*found;
}

Extension make_external_senders(const std::vector<ExternalSender>& senders) {
  Writer out;
  out.vector([&](Writer& w) {
    for (const ExternalSender& sender : senders) {
      write(w, sender);
    }
  });
  return {extension_external_senders, out.take()};
}

Hash key_package_ref(ByteSpan encoded_key_package) {
  return ref_hash("MLS 1.0 KeyPackage Reference", encoded_key_package);
}

}  // namespace discord::mls
