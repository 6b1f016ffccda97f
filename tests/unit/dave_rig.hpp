// Clients of the dave room, and a voice gateway that is scripted by the test: it proposes, picks a
// commit, announces, executes, and carries media.
#pragma once

#include "dave/frame_opener.hpp"
#include "dave/session.hpp"
#include "mls/framing.hpp"

#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace discord::dave::rig {

using namespace std::chrono_literals;

inline constexpr std::uint64_t channel = 927310423890473011;

class TestRandom final : public mls::RandomSource {
 public:
  explicit TestRandom(std::uint64_t seed = 1) : seed_(seed) {}
  [[nodiscard]] bool fill(MutableByteSpan out) noexcept override {
    if (broken) {
      return false;
    }
    for (std::size_t at = 0; at < out.size(); at += mls::hash_size) {
      std::array<std::uint8_t, 16> input;
      store_be64(input.data(), seed_);
      store_be64(input.data() + 8, counter_++);
      const mls::Hash block = mls::sha256(input);
      std::copy_n(block.begin(), std::min(mls::hash_size, out.size() - at),
                  out.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return true;
  }
  std::size_t below(std::size_t n) {
    std::array<std::uint8_t, 8> bytes;
    static_cast<void>(fill(bytes));
    return static_cast<std::size_t>(load_be64(bytes.data()) % n);
  }
  bool broken = false;

 private:
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
};

// One user: gateway side, media side, and what it has told the world.
struct Client {
  Client(std::uint64_t user, mls::RandomSource& random, Policy policy = Policy::automatic)
      : id(user), session(policy, *mls::KeyPair::generate(random), random) {}

  // Goes through the actions; messages for the gateway stay.
  void take() {
    for (Action& action : out) {
      if (auto* keys = std::get_if<PublishKeys>(&action)) {
        opener.use(std::move(keys->keys), now);
        retry_waiting();
      } else if (auto* told = std::get_if<Encryption>(&action)) {
        encryption = *told;
        told_codes.insert(told->privacy_code);
      } else if (auto* notice = std::get_if<Notice>(&action)) {
        notices.push_back(std::to_string(notice->op) + ": " + notice->text);
      } else if (auto* fail = std::get_if<Fail>(&action)) {
        failure = *fail;
      } else if (auto* text = std::get_if<SendText>(&action)) {
        texts.push_back(nlohmann::json::parse(text->text));
      } else if (auto* binary = std::get_if<SendBinary>(&action)) {
        binaries.push_back(std::move(binary->bytes));
      }
    }
    out.clear();
    if (const Member* member = session.member(); member != nullptr && member->established()) {
      codes[text_of(*member->base_secret(id))] = member->privacy_code();
    }
  }
  static std::string text_of(const BaseSecret& base) {
    return {reinterpret_cast<const char*>(base.data()), BaseSecret::size};
  }
  // Privacy code of the epoch that our next frame belongs to; empty without encryption.
  std::string sending_code() const {
    const auto& state = session.send_state();
    return state ? codes.at(text_of(state->base)) : std::string();
  }

  Bytes seal(ByteSpan plain) {
    const auto& state = session.send_state();
    if (!state) {
      return Bytes(plain.begin(), plain.end());
    }
    if (!sender || sender_serial != state->serial) {
      sender.emplace(state->base);
      sender_serial = state->serial;
    }
    Bytes buffer(plain.size() + frame_max_footer);
    const auto frame = sender->seal(plain, {}, buffer);
    return Bytes(frame->begin(), frame->end());
  }

  FrameOutcome hear(std::uint64_t from, const Bytes& frame) {
    Bytes copy = frame;
    const OpenedFrame opened = opener.open(from, copy, now);
    if (opened.outcome == FrameOutcome::no_key) {
      waiting.push_back({from, frame});
    } else if (opened.deliverable()) {
      heard.emplace_back(opened.plain.begin(), opened.plain.end());
    }
    return opened.outcome;
  }
  void retry_waiting() {
    auto before = std::move(waiting);
    waiting.clear();
    for (auto& [from, frame] : before) {
      hear(from, frame);
    }
  }
  // Messages of this opcode since the last look, oldest first.
  std::vector<Bytes> take_binaries(std::uint8_t op) {
    std::vector<Bytes> found;
    std::erase_if(binaries, [&](const Bytes& bytes) {
      if (bytes[0] != op) {
        return false;
      }
      found.emplace_back(bytes.begin() + 1, bytes.end());
      return true;
    });
    return found;
  }
  std::vector<int> take_texts(int op) {
    std::vector<int> ids;
    std::erase_if(texts, [&](const nlohmann::json& text) {
      if (text["op"] != op) {
        return false;
      }
      ids.push_back(text["d"]["transition_id"]);
      return true;
    });
    return ids;
  }

  std::uint64_t id;
  Time now = time_from_ns(1'000'000'000);
  Session session;
  FrameOpener opener;
  std::optional<SendRatchet> sender;
  EpochSerial sender_serial = 0;
  Out out;
  Encryption encryption;
  std::set<std::string> told_codes;
  std::map<std::string, std::string> codes;  // by our own base secret of the epoch
  std::vector<std::string> notices;
  std::optional<Fail> failure;
  std::vector<nlohmann::json> texts;
  std::vector<Bytes> binaries;
  std::vector<std::pair<std::uint64_t, Bytes>> waiting;
  std::vector<Bytes> heard;
};

// opcode 28, taken apart
struct MadeBody {
  Bytes commit, welcome;
  std::set<mls::ProposalRef> refs;
  std::uint64_t epoch = 0;

  explicit MadeBody(ByteSpan body) {
    mls::Reader reader(body);
    const mls::PublicMessage message = mls::read_public_message(reader);
    EXPECT_TRUE(reader.ok());
    const ByteSpan rest = reader.rest();
    commit.assign(body.begin(), body.end() - static_cast<std::ptrdiff_t>(rest.size()));
    welcome.assign(rest.begin(), rest.end());
    epoch = message.epoch;
    for (const auto& proposal : std::get<mls::Commit>(message.content).proposals) {
      EXPECT_TRUE(std::holds_alternative<mls::ProposalRef>(proposal)) << "references only";
      if (const auto* ref = std::get_if<mls::ProposalRef>(&proposal)) {
        refs.insert(*ref);
      }
    }
  }
};

class Gateway {
 public:
  explicit Gateway(std::uint64_t seed = 1) : random(seed), key(*mls::KeyPair::generate(random)) {}

  Client& client(std::uint64_t id) { return *clients.at(id); }
  std::vector<Client*> present() {
    std::vector<Client*> out;
    for (auto& [id, c] : clients) {
      out.push_back(c.get());
    }
    return out;
  }

  Bytes external_sender() const {
    const ByteSpan pub = key.public_key();
    const std::string_view name = "gateway";
    return mls::encode(mls::ExternalSender{Bytes(pub.begin(), pub.end()),
                                           {Bytes(as_bytes(name).begin(), as_bytes(name).end())}});
  }

  // A user connects: Identify up to opcode 11. `early`: opcode 25 overtakes opcode 4.
  Client& join(std::uint64_t id, bool early = false, Policy policy = Policy::automatic) {
    clients[id] = std::make_unique<Client>(id, random, policy);
    Client& c = *clients[id];
    c.now = now;
    c.session.begin({id, channel, stage}, now, c.out);
    if (early) {
      c.session.on_external_sender(external_sender(), now, c.out);
    }
    c.session.on_session_description(version, now, c.out);
    if (!early) {
      c.session.on_external_sender(external_sender(), now, c.out);
    }
    std::vector<std::uint64_t> everybody;
    for (auto& [other, o] : clients) {
      everybody.push_back(other);
      if (other != id) {
        o->session.on_users_joined(std::array{id});
      }
    }
    c.session.on_users_joined(everybody);
    c.take();
    return c;
  }
  void leave(std::uint64_t id) {
    clients.erase(id);
    packages.erase(id);
    for (Client* c : present()) {
      c->session.on_user_left(id);
    }
  }

  void advance(Duration step) {
    now += step;
    for (Client* c : present()) {
      c->now = now;
      if (const Deadline next = c->session.next_deadline(); next && *next <= now) {
        c->session.on_timer(now, c->out);
        c->take();
      }
    }
  }

  // Reads what clients have sent.
  void collect() {
    for (Client* c : present()) {
      for (const Bytes& body : c->take_binaries(opcode_key_package)) {
        const auto parsed = mls::parse_key_package(body);
        ASSERT_TRUE(parsed.ok());
        packages.insert_or_assign(c->id, parsed.value());
      }
      for (const int id : c->take_texts(31)) {
        invalid.push_back({c->id, id});
      }
    }
  }

  // Whether the group differs from who is here and wants in.
  bool wants_change() {
    collect();
    if (version == 0 && !upgrading) {
      return false;
    }
    std::size_t members = 0;
    for (const auto& leaf : leaves) {
      if (leaf) {
        if (!clients.contains(*leaf) || packages.contains(*leaf)) {
          return true;
        }
        ++members;
      }
    }
    return members == 0 ? packages.size() >= 2 : !packages.empty();
  }

  // One change of the group, up to opcode 29 and 30. Members that are left alone get a new epoch 1.
  void change() {
    collect();
    transition = 0;
    ready_expected.clear();
    std::set<std::uint64_t> staying;
    for (const auto& leaf : leaves) {
      if (leaf && clients.contains(*leaf) && !packages.contains(*leaf)) {
        staying.insert(*leaf);
      }
    }
    const bool refounding = staying.empty() || (staying.size() == 1 && packages.empty());
    if (refounding && !leaves.empty()) {
      leaves.clear();
      epoch = 0;
      if (staying.size() == 1) {
        Client& last = client(*staying.begin());
        last.session.on_prepare_epoch(1, 1, now, last.out);
        last.session.on_prepare_transition(0, 1, now, last.out);
        last.take();
        collect();
        return;
      }
    }
    propose();
    announce(choose());
  }

  struct Outstanding {
    Bytes message;
    mls::ProposalRef ref;
    std::optional<std::uint64_t> add;
    std::optional<mls::LeafIndex> remove;
  };

  // Opcode 27 to everybody concerned. At the founding each pending member gets the others.
  void propose() {
    outstanding.clear();
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (leaves[i] && (!clients.contains(*leaves[i]) || packages.contains(*leaves[i]))) {
        add_outstanding(mls::Remove{static_cast<mls::LeafIndex>(i)});
      }
    }
    for (const auto& [id, package] : packages) {
      add_outstanding(mls::Add{package});
      outstanding.back().add = id;
    }
    for (Client* c : recipients()) {
      send_proposals(*c);
    }
  }
  void add_outstanding(const mls::Proposal& proposal) {
    Outstanding o;
    o.message = *mls::make_external_proposal(key, 0, group_id(), epoch, proposal);
    const auto parsed = mls::parse_public_message(o.message);
    o.ref = mls::proposal_ref(parsed.value().framed_content, parsed.value().signature);
    if (const auto* remove = std::get_if<mls::Remove>(&proposal)) {
      o.remove = remove->leaf;
    }
    outstanding.push_back(std::move(o));
  }
  void send_proposals(Client& c) {
    mls::Writer list;
    list.vector([&](mls::Writer& w) {
      for (const Outstanding& o : outstanding) {
        if (o.add != c.id) {
          w.raw(o.message);
        }
      }
    });
    c.session.on_proposals(0, list.view(), now, c.out);
    c.take();
  }
  void revoke(std::size_t which) {
    mls::Writer list;
    list.vector([&](mls::Writer& w) { w.opaque(outstanding[which].ref); });
    const auto revoked = outstanding[which];
    outstanding.erase(outstanding.begin() + static_cast<std::ptrdiff_t>(which));
    for (Client* c : recipients()) {
      if (revoked.add != c->id) {
        c->session.on_proposals(1, list.view(), now, c->out);
        c->take();
      }
    }
  }
  // Members, or before the founding everybody who wants in.
  std::vector<Client*> recipients() {
    std::vector<Client*> out;
    for (Client* c : present()) {
      if (leaves.empty() ? packages.contains(c->id) : is_member(c->id)) {
        out.push_back(c);
      }
    }
    return out;
  }
  bool is_member(std::uint64_t id) const {
    return !packages.contains(id) && std::find(leaves.begin(), leaves.end(), id) != leaves.end();
  }

  // Takes the last opcode 28 of one of the clients; its rivals lose.
  std::pair<std::uint64_t, MadeBody> choose() {
    std::vector<std::pair<std::uint64_t, MadeBody>> candidates;
    for (Client* c : recipients()) {
      const auto bodies = c->take_binaries(opcode_commit_welcome);
      if (bodies.empty()) {
        continue;
      }
      MadeBody made(bodies.back());
      std::set<mls::ProposalRef> wanted;
      for (const Outstanding& o : outstanding) {
        if (o.add != c->id) {
          wanted.insert(o.ref);
        }
      }
      EXPECT_EQ(made.epoch, epoch);
      EXPECT_EQ(made.refs, wanted) << "user " << c->id;
      EXPECT_EQ(made.welcome.empty(),
                std::none_of(outstanding.begin(), outstanding.end(),
                             [&](auto& o) { return o.add && o.add != c->id; }));
      candidates.emplace_back(c->id, std::move(made));
    }
    EXPECT_FALSE(candidates.empty()) << "nobody commits";
    return candidates.at(random.below(candidates.size()));
  }

  // Opcodes 29 and 30. `spoil`: who gets a changed one.
  void announce(const std::pair<std::uint64_t, MadeBody>& winner,
                const std::set<std::uint64_t>& spoil = {}) {
    const auto& [committer, made] = winner;
    const bool founding = leaves.empty();
    transition = founding && !upgrading && first_is_zero ? 0 : next_transition++;
    const auto old_members = recipients();
    if (founding) {
      leaves.push_back(committer);
      packages.erase(committer);
    }
    for (const Outstanding& o : outstanding) {
      if (o.remove) {
        leaves[*o.remove].reset();
      }
    }
    while (leaves.size() > 1 && all_blank(leaves.size() / 2)) {
      leaves.resize(leaves.size() / 2);
    }
    std::vector<std::uint64_t> added;
    for (const Outstanding& o : outstanding) {
      if (o.add && o.add != committer) {
        add_leaf(*o.add);
        added.push_back(*o.add);
      }
    }
    outstanding.clear();
    ++epoch;
    ready_expected.clear();
    const auto damage = [&](std::uint64_t id, Bytes body) {
      if (spoil.contains(id)) {
        body[body.size() / 2] ^= 0x40;
      }
      return body;
    };
    for (Client* c : old_members) {
      if (founding ? c->id == committer
                   : std::find(added.begin(), added.end(), c->id) == added.end()) {
        c->session.on_announce_commit(transition, damage(c->id, made.commit), now, c->out);
        last_commit = made.commit;
        c->take();
        ready_expected.insert(c->id);
      }
    }
    for (const std::uint64_t id : added) {
      Client& c = client(id);
      packages.erase(id);
      c.session.on_welcome(transition, damage(id, made.welcome), now, c.out);
      last_welcome = made.welcome;
      c.take();
      ready_expected.insert(id);
    }
  }
  bool all_blank(std::size_t from) const {
    return std::all_of(leaves.begin() + static_cast<std::ptrdiff_t>(from), leaves.end(),
                       [](const auto& leaf) { return !leaf; });
  }
  void add_leaf(std::uint64_t id) {
    for (auto& leaf : leaves) {
      if (!leaf) {
        leaf = id;
        return;
      }
    }
    leaves.resize(leaves.size() * 2);
    leaves[leaves.size() / 2] = id;
  }

  // Opcode 22, after everybody's opcode 23.
  void execute() {
    if (transition != 0) {
      for (Client* c : present()) {
        if (ready_expected.contains(c->id) && !spoiled.contains(c->id)) {
          EXPECT_EQ(c->take_texts(23), std::vector<int>{transition})
              << "user " << c->id << (c->notices.empty() ? "" : ": " + c->notices.back());
        }
        c->session.on_execute_transition(transition, now, c->out);
        c->take();
      }
    }
    upgrading = false;
  }

  // Until the group is who is here.
  void settle() {
    for (int i = 0; i < 10 && wants_change(); ++i) {
      change();
      execute();
    }
    EXPECT_FALSE(wants_change());
  }

  Bytes group_id() const {
    Bytes out(8);
    store_be64(out.data(), channel);
    return out;
  }

  // Everybody in the group agrees on everything.
  void expect_agreement() {
    std::vector<std::uint64_t> members;
    for (const auto& leaf : leaves) {
      if (leaf) {
        members.push_back(*leaf);
      }
    }
    std::sort(members.begin(), members.end());
    std::set<std::string> codes;
    for (const std::uint64_t id : members) {
      Client& c = client(id);
      ASSERT_FALSE(c.failure) << c.failure->message;
      EXPECT_EQ(c.encryption.members, members);
      EXPECT_EQ(c.encryption.epoch, epoch);
      EXPECT_EQ(c.encryption.version, version);
      codes.insert(c.encryption.privacy_code);
    }
    EXPECT_LE(codes.size(), 1u);
    if (!codes.empty()) {
      EXPECT_EQ(codes.begin()->size(), 30u);
    }
  }

  TestRandom random;
  mls::KeyPair key;
  Time now = time_from_ns(1'000'000'000);
  int version = 1;
  bool stage = false;
  bool upgrading = false;
  bool first_is_zero = true;
  std::map<std::uint64_t, std::unique_ptr<Client>> clients;
  std::map<std::uint64_t, mls::KeyPackage> packages;  // of those who are to be added
  std::vector<std::optional<std::uint64_t>> leaves;
  std::uint64_t epoch = 0;
  std::vector<Outstanding> outstanding;
  std::set<std::uint64_t> ready_expected, spoiled;
  std::vector<std::pair<std::uint64_t, int>> invalid;
  std::uint16_t transition = 0, next_transition = 1;
  Bytes last_commit, last_welcome;
};

}  // namespace discord::dave::rig
