#include "mls/epoch.hpp"

#include <algorithm>

namespace discord::mls {

Member member_of(LeafIndex leaf, const LeafNode& node) {
  return {leaf, node.credential.identity, node.signature_key};
}

std::vector<Member> members_of(const RatchetTree& tree) {
  std::vector<Member> out;
  for (LeafIndex i = 0; i < tree.leaf_count(); ++i) {
    if (tree.leaf(i)) {
      out.push_back(member_of(i, *tree.leaf(i)));
    }
  }
  return out;
}

Hash digest_of(const Epoch& epoch) {
  Writer all;
  all.opaque(epoch.identity.signature_key.public_key());
  all.opaque(epoch.identity.identity);
  all.raw(epoch.encoded_context);
  epoch.tree.write(all);
  all.raw(epoch.tree.tree_hash());
  all.u32(epoch.own);
  for (const auto& [node, key] : epoch.keys) {
    all.u32(node);
    all.raw(key.private_key().view());
  }
  for (const Secret32* secret :
       {&epoch.secrets.init, &epoch.secrets.exporter, &epoch.secrets.confirmation_key,
        &epoch.secrets.membership_key, &epoch.secrets.epoch_authenticator}) {
    all.raw(secret->view());
  }
  all.raw(epoch.interim_transcript_hash);
  const Hash digest = sha256(all.view());
  all.wipe();
  return digest;
}

Result<std::vector<ExternalSender>, Error> external_senders_of(const Extensions& extensions) {
  const Extension* found = find_extension(extensions, extension_external_senders);
  if (found == nullptr) {
    return std::vector<ExternalSender>{};
  }
  return parse_external_senders(found->data);
}

Result<Applied, Error> apply_proposals(RatchetTree& tree,
                                       const std::vector<const Proposal*>& proposals,
                                       LeafIndex committer, LeafIndex own) {
  Applied out;
  for (const Proposal* proposal : proposals) {
    const auto* remove = std::get_if<Remove>(proposal);
    if (remove == nullptr) {
      continue;
    }
    if (remove->leaf == committer) {
      return Failure{Error::removes_committer};
    }
    const RatchetTree::LeafPointer leaf = tree.leaf(remove->leaf);
    if (!leaf) {
      return Failure{Error::invalid_proposals};
    }
    out.removed.push_back(member_of(remove->leaf, *leaf));
    out.self_removed = out.self_removed || remove->leaf == own;
    tree.remove(remove->leaf);
  }
  for (const Proposal* proposal : proposals) {
    if (const auto* add = std::get_if<Add>(proposal)) {
      const auto leaf = tree.add(add->key_package.leaf);
      if (!leaf) {
        return Failure{leaf.error()};
      }
      out.added_leaves.push_back(*leaf);
      out.added_packages.push_back(&add->key_package);
      out.added.push_back(member_of(*leaf, *add->key_package.leaf));
    }
  }
  // After the Removes: a member may be removed and added again, with the same signature key, in one
  // commit.
  if (!out.added.empty() && !tree.keys_are_unique()) {
    return Failure{Error::duplicate_key};
  }
  tree.update_hashes();
  return out;
}

Bytes provisional_context(const Epoch& before, const RatchetTree& tree) {
  GroupContext context = before.context;
  ++context.epoch;
  context.tree_hash.assign(tree.tree_hash().begin(), tree.tree_hash().end());
  return encode(context);
}

NextEpoch next_epoch(const Epoch& before, RatchetTree tree, PrivateKeys keys,
                     const Secret32& commit_secret, ByteSpan framed_content, ByteSpan signature) {
  keys.insert(before.keys.begin(), before.keys.end());  // keeps what is new
  std::erase_if(keys, [&](const auto& entry) {
    return entry.first >= tree.size() || tree.is_blank(entry.first);
  });
  const Hash confirmed =
      confirmed_transcript_hash(before.interim_transcript_hash, framed_content, signature);
  GroupContext context = before.context;
  ++context.epoch;
  context.tree_hash.assign(tree.tree_hash().begin(), tree.tree_hash().end());
  context.confirmed_transcript_hash.assign(confirmed.begin(), confirmed.end());
  Bytes encoded = encode(context);
  NextEpoch next;
  next.joiner_secret = make_joiner_secret(before.secrets.init, commit_secret, encoded);
  const EpochSecrets secrets = make_epoch(next.joiner_secret, encoded);
  next.confirmation_tag = make_confirmation_tag(secrets.confirmation_key, confirmed);
  const Hash interim = interim_transcript_hash(confirmed, next.confirmation_tag);
  next.epoch = std::make_shared<const Epoch>(
      Epoch{before.identity, std::move(context), std::move(encoded), std::move(tree), before.own,
            std::move(keys), secrets, interim, before.external_senders});
  return next;
}

}  // namespace discord::mls
