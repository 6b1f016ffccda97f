#include "dave/member.hpp"

#include "dave/codes.hpp"

#include <algorithm>

namespace discord::dave {
namespace {

constexpr std::string_view exporter_label = "Discord Secure Frames v0";
constexpr std::uint8_t operation_append = 0, operation_revoke = 1;
constexpr std::uint32_t external_sender_index = 0;

Bytes to_be(std::uint64_t id) {
  Bytes out(8);
  store_be64(out.data(), id);
  return out;
}

std::optional<std::uint64_t> user_of(ByteSpan identity) noexcept {
  if (identity.size() != 8) {
    return std::nullopt;
  }
  return load_be64(identity.data());
}

Failure<MemberFailure> failed(MemberError kind) {
  return {{kind, std::nullopt}};
}
Failure<MemberFailure> failed(mls::Error cause) {
  return {{MemberError::mls, cause}};
}

}  // namespace

const char* to_string(MemberError error) noexcept {
  switch (error) {
    case MemberError::mls:
      return "mls";
    case MemberError::malformed:
      return "malformed body";
    case MemberError::no_external_sender:
      return "no external sender yet";
    case MemberError::no_group:
      return "no group";
    case MemberError::no_key_package:
      return "no key package out";
    case MemberError::established:
      return "in an established group";
    case MemberError::stale:
      return "of a past epoch";
    case MemberError::not_for_pending:
      return "commit while pending";
    case MemberError::unrecognised_user:
      return "add of an unrecognised user";
    case MemberError::duplicate_user:
      return "user twice in the group";
    case MemberError::bad_identity:
      return "credential is no user id";
    case MemberError::wrong_channel:
      return "group of another channel";
    case MemberError::wrong_extensions:
      return "group without exactly our external sender";
    case MemberError::wrong_proposal_sender:
      return "proposal not from the external sender";
    case MemberError::changed_signature_key:
      return "committer changed its key";
  }
  return "?";
}

std::string describe(const MemberFailure& failure) {
  return failure.cause ? std::string("mls: ") + mls::to_string(*failure.cause)
                       : to_string(failure.kind);
}

Member::Member(std::uint64_t user, std::uint64_t channel, mls::KeyPair signature_key,
               mls::RandomSource& random)
    : user_(user),
      group_id_(to_be(channel)),
      identity_{std::move(signature_key), to_be(user)},
      random_(random) {}

std::optional<MemberFailure> Member::set_external_sender(ByteSpan body) {
  if (established_) {
    return MemberFailure{MemberError::established, std::nullopt};
  }
  auto sender = mls::parse_external_sender(body);
  if (!sender) {
    return MemberFailure{MemberError::mls, sender.error()};
  }
  if (!mls::is_public_key(sender->signature_key)) {
    return MemberFailure{MemberError::mls, mls::Error::bad_key};
  }
  if (external_sender_ == *sender && group_) {
    return std::nullopt;
  }
  if (key_package_) {
    auto group = found(*key_package_, *sender);
    if (!group) {
      return group.error();
    }
    group_ = std::move(*group);
    forget_commits();
  }
  external_sender_ = std::move(*sender);
  return std::nullopt;
}

Result<Bytes, MemberFailure> Member::start_over() {
  auto package = mls::make_key_package(identity_, random_);
  if (!package) {
    return failed(package.error());
  }
  return start_over(std::move(*package));
}

Result<Bytes, MemberFailure> Member::start_over(mls::OwnKeyPackage package) {
  std::optional<mls::Group> group;
  if (external_sender_) {
    auto founded = found(package, *external_sender_);
    if (!founded) {
      return Failure{founded.error()};
    }
    group = std::move(*founded);
  }
  leave();
  key_package_ = std::move(package);
  group_ = std::move(group);
  return key_package_->encoded;
}

void Member::leave() noexcept {
  group_.reset();
  key_package_.reset();
  established_ = false;
  forget_commits();
}

void Member::forget_commits() noexcept {
  sent_.clear();
  last_commit_welcome_.clear();
}

Result<mls::Group, MemberFailure> Member::found(const mls::OwnKeyPackage& package,
                                                const mls::ExternalSender& sender) const {
  auto group = mls::Group::create(identity_, package, group_id_,
                                  {mls::make_external_senders({sender})}, random_);
  if (!group) {
    return failed(group.error());
  }
  return std::move(*group);
}

void Member::enter(mls::Group group) {
  group_ = std::move(group);
  established_ = true;
  key_package_.reset();  // good for one group
  forget_commits();
}

std::optional<MemberFailure> Member::check_proposal(const mls::Group& group,
                                                    const mls::ReceivedProposal& proposal,
                                                    const UserSet& recognised) const {
  if (proposal.sender.type != mls::SenderType::external ||
      proposal.sender.index != external_sender_index) {
    return MemberFailure{MemberError::wrong_proposal_sender, std::nullopt};
  }
  if (const mls::Add* add = proposal.add()) {
    const auto user = user_of(add->key_package.leaf->credential.identity);
    if (!user) {
      return MemberFailure{MemberError::bad_identity, std::nullopt};
    }
    // The whole point of the rule: nobody listens who is not shown in the call.
    if (*user != user_ && !recognised.contains(*user)) {
      return MemberFailure{MemberError::unrecognised_user, std::nullopt};
    }
  } else if (const mls::Remove* remove = proposal.remove(); !group.member(remove->leaf)) {
    return MemberFailure{MemberError::mls, mls::Error::invalid_proposals};
  }
  return std::nullopt;
}

Result<std::optional<Bytes>, MemberFailure> Member::proposals(std::uint8_t operation, ByteSpan list,
                                                              const UserSet& recognised) {
  if (!group_) {
    return failed(MemberError::no_group);
  }
  mls::Reader body(list);
  ByteSpan rest = body.opaque();
  if (!body.ok() || !body.at_end() || operation > operation_revoke) {
    return failed(MemberError::malformed);
  }
  mls::Group group = *group_;
  bool changed = false;
  if (operation == operation_append) {
    while (!rest.empty()) {
      const ByteSpan message = rest;
      auto proposal = group.check_next_proposal(rest);
      if (!proposal) {
        return proposal.error() == mls::Error::wrong_epoch && older_than_group(message)
                   ? failed(MemberError::stale)
                   : failed(proposal.error());
      }
      if (const auto failure = check_proposal(group, *proposal, recognised)) {
        return Failure{*failure};
      }
      const auto refused = group.queue(std::move(*proposal));
      // What is queued already was replayed over a resumed connection.
      if (refused && *refused != mls::Error::duplicate_proposal) {
        return failed(*refused);
      }
      changed = changed || !refused;
    }
  } else {
    mls::Reader refs(rest);
    while (refs.ok() && !refs.at_end()) {
      const ByteSpan ref = refs.opaque_of(mls::hash_size);
      if (!refs.ok()) {
        break;
      }
      mls::ProposalRef wanted{};
      std::copy(ref.begin(), ref.end(), wanted.begin());
      if (const auto refused = group.revoke(wanted)) {
        return failed(*refused);
      }
      changed = true;
    }
    if (!refs.ok()) {
      return failed(MemberError::malformed);
    }
  }
  if (!changed) {
    return last_commit_welcome_.empty() ? std::optional<Bytes>() : last_commit_welcome_;
  }
  return commit_queued(std::move(group));
}

// Every member commits everything that is proposed; which commit counts, the gateway decides. Until
// it does, each of ours may be the one, so the states they lead to are kept.
Result<std::optional<Bytes>, MemberFailure> Member::commit_queued(mls::Group group) {
  std::optional<Bytes> body;
  if (group.proposals().empty() || group.removes_self()) {
    group.discard_pending_commit();
  } else {
    auto made = group.commit(random_);
    if (!made) {
      return failed(made.error());
    }
    body = std::move(made->commit);
    if (made->welcome) {
      body->insert(body->end(), made->welcome->begin(), made->welcome->end());
    }
  }
  if (group_->has_pending_commit()) {
    sent_.push_back(std::move(*group_));
    sent_.back().keep_only_commit();
    if (sent_.size() > max_sent_commits) {
      sent_.pop_front();
    }
  }
  group_ = std::move(group);
  last_commit_welcome_ = body.value_or(Bytes());
  return body;
}

// One of our own commits is known by its bytes alone: at epoch 0 everybody is leaf 0 of a group of
// its own.
std::optional<mls::Group> Member::own_commit(ByteSpan message) const {
  const auto try_one = [&](const mls::Group& candidate) -> std::optional<mls::Group> {
    if (!candidate.is_pending_commit(message)) {
      return std::nullopt;
    }
    auto staged = candidate.stage(message);
    if (!staged || !staged->own) {
      return std::nullopt;
    }
    mls::Group group = candidate;
    return group.apply(std::move(*staged)) ? std::nullopt : std::optional(std::move(group));
  };
  if (auto group = try_one(*group_)) {
    return group;
  }
  for (auto earlier = sent_.rbegin(); earlier != sent_.rend(); ++earlier) {
    if (auto group = try_one(*earlier)) {
      return group;
    }
  }
  return std::nullopt;
}

bool Member::older_than_group(ByteSpan message) const {
  mls::Reader reader(message);
  const mls::PublicMessage parsed = mls::read_public_message(reader);
  return reader.ok() && established_ && parsed.group_id == group_id_ &&
         parsed.epoch < group_->epoch();
}

std::optional<MemberFailure> Member::check_roster(const std::vector<mls::Member>& roster) const {
  UserSet seen;
  for (const mls::Member& member : roster) {
    const auto user = user_of(member.identity);
    if (!user) {
      return MemberFailure{MemberError::bad_identity, std::nullopt};
    }
    if (!seen.insert(*user).second) {
      return MemberFailure{MemberError::duplicate_user, std::nullopt};
    }
  }
  return std::nullopt;
}

Result<CommitOutcome, MemberFailure> Member::commit(ByteSpan message) {
  if (!group_) {
    return failed(MemberError::no_group);
  }
  mls::Group next = *group_;
  if (auto own = own_commit(message)) {
    if (const auto failure = check_roster(own->members())) {
      return Failure{*failure};
    }
    next = std::move(*own);
  } else {
    if (!established_) {
      return failed(MemberError::not_for_pending);
    }
    auto staged = group_->stage(message);
    if (!staged) {
      return staged.error() == mls::Error::wrong_epoch && older_than_group(message)
                 ? failed(MemberError::stale)
                 : failed(staged.error());
    }
    if (staged->self_removed) {
      leave();
      return CommitOutcome::removed;
    }
    const std::vector<mls::Member> after = staged->members_after();
    if (const auto failure = check_roster(after)) {
      return Failure{*failure};
    }
    const auto before = group_->member(staged->committer);
    if (!before || std::find(after.begin(), after.end(), *before) == after.end()) {
      return failed(MemberError::changed_signature_key);
    }
    if (const auto refused = next.apply(std::move(*staged))) {
      return failed(*refused);
    }
  }
  enter(std::move(next));
  return CommitOutcome::advanced;
}

std::optional<MemberFailure> Member::welcome(ByteSpan body) {
  if (established_) {
    return MemberFailure{MemberError::established, std::nullopt};
  }
  if (!external_sender_) {
    return MemberFailure{MemberError::no_external_sender, std::nullopt};
  }
  if (!key_package_) {
    return MemberFailure{MemberError::no_key_package, std::nullopt};
  }
  auto joined = mls::Group::join(identity_, *key_package_, body);
  if (!joined) {
    return MemberFailure{MemberError::mls, joined.error()};
  }
  if (!std::ranges::equal(joined->group_id(), group_id_)) {
    return MemberFailure{MemberError::wrong_channel, std::nullopt};
  }
  if (joined->extensions() != mls::Extensions{mls::make_external_senders({*external_sender_})}) {
    return MemberFailure{MemberError::wrong_extensions, std::nullopt};
  }
  if (const auto failure = check_roster(joined->members())) {
    return failure;
  }
  enter(std::move(*joined));
  return std::nullopt;
}

std::uint64_t Member::epoch() const noexcept {
  return established_ ? group_->epoch() : 0;
}

std::vector<GroupMember> Member::members() const {
  std::vector<GroupMember> out;
  if (established_) {
    for (mls::Member& member : group_->members()) {
      out.push_back({user_of(member.identity).value_or(0), std::move(member.signature_key)});
    }
  }
  return out;
}

std::string Member::privacy_code() const {
  return established_ ? voice_privacy_code(group_->epoch_authenticator().view()) : std::string();
}

std::optional<BaseSecret> Member::base_secret(std::uint64_t user) const {
  if (!established_) {
    return std::nullopt;
  }
  // Unlike group id and identity, this id is little-endian.
  std::array<std::uint8_t, 8> context;
  for (std::size_t i = 0; i < context.size(); ++i) {
    context[i] = static_cast<std::uint8_t>(user >> (8 * i));
  }
  const SecretBytes secret = group_->exporter(exporter_label, context, BaseSecret::size);
  return BaseSecret(ByteSpan(secret.view()).first<BaseSecret::size>());
}

std::vector<SenderKey> Member::sender_keys() const {
  std::vector<SenderKey> out;
  for (const GroupMember& member : members()) {
    if (member.user != user_) {
      out.push_back({member.user, *base_secret(member.user)});
    }
  }
  std::ranges::sort(out, {}, &SenderKey::user);
  return out;
}

mls::Hash Member::state_digest() const {
  mls::Writer out;
  out.u8(established_ ? 1 : 0);
  out.opaque(external_sender_ ? mls::encode(*external_sender_) : Bytes());
  out.opaque(key_package_ ? ByteSpan(key_package_->encoded) : ByteSpan());
  if (group_) {
    out.opaque(group_->state_digest());
  }
  for (const mls::Group& group : sent_) {
    out.opaque(group.state_digest());
  }
  out.opaque(last_commit_welcome_);
  return mls::sha256(out.view());
}

}  // namespace discord::dave
