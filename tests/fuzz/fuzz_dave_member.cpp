// Opcodes 25, 27, 29 and 30 into one member of a call, with the gateway's key at hand, so that
// hostile proposals get past their signatures. A refusal must change nothing.
// Input: records of one byte kind, one byte argument, two bytes length, content.
#include "dave/member.hpp"
#include "mls/framing.hpp"

#include <algorithm>
#include <cstdlib>

using namespace discord;
using namespace discord::dave;

namespace {

constexpr std::uint64_t own_user = 1, channel = 77;

class CountingRandom final : public mls::RandomSource {
 public:
  [[nodiscard]] bool fill(MutableByteSpan out) noexcept override {
    std::array<std::uint8_t, 8> input;
    store_be64(input.data(), ++count_);
    const mls::Hash block = mls::sha256(input);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = block[i % block.size()];
    }
    return true;
  }

 private:
  std::uint64_t count_ = 0;
};

// Made once: keys are slow.
struct Cast {
  CountingRandom random;
  mls::KeyPair gateway = *mls::KeyPair::generate(random);
  mls::KeyPair own = *mls::KeyPair::generate(random);
  std::vector<mls::KeyPackage> others;
  Bytes external_sender;
  Bytes group_id = Bytes(8);
  std::optional<Member> pending, established;

  Cast() {
    store_be64(group_id.data(), channel);
    const ByteSpan key = gateway.public_key();
    external_sender = mls::encode(mls::ExternalSender{Bytes(key.begin(), key.end()), {{'g'}}});
    for (std::uint64_t user = 2; user <= 4; ++user) {
      Bytes identity(8);
      store_be64(identity.data(), user);
      const mls::Identity who{*mls::KeyPair::generate(random), identity};
      others.push_back(mls::make_key_package(who, random).value().key_package);
    }
    pending.emplace(own_user, channel, own, random);
    static_cast<void>(pending->set_external_sender(external_sender));
    static_cast<void>(pending->start_over());
    established.emplace(*pending);
    const Bytes list = wrap({add(0, 0), add(0, 1)});
    const auto made = established->proposals(0, list, {2, 3, 4});
    if (!made || !made.value() || !announce(*established, *made.value())) {
      std::abort();
    }
  }
  Bytes add(std::uint64_t epoch, std::size_t which) const {
    return *mls::make_external_proposal(gateway, 0, group_id, epoch, mls::Add{others[which]});
  }
  static Bytes wrap(const std::vector<Bytes>& messages) {
    mls::Writer out;
    out.vector([&](mls::Writer& w) {
      for (const Bytes& message : messages) {
        w.raw(message);
      }
    });
    return out.take();
  }
  static bool announce(Member& member, ByteSpan commit_welcome) {
    mls::Reader reader(commit_welcome);
    mls::read_public_message(reader);
    const std::size_t size = commit_welcome.size() - reader.rest().size();
    return member.commit(commit_welcome.first(size)).ok();
  }
};

struct World {
  World(Cast& with, bool in_group)
      : cast(with), member(in_group ? *with.established : *with.pending) {}

  // Runs it and compares.
  template <class Run> void step(Run run) {
    const mls::Hash before = member.state_digest();
    if (!run() && member.state_digest() != before) {
      std::abort();
    }
    std::vector<std::uint64_t> users;
    for (const GroupMember& m : member.members()) {
      users.push_back(m.user);
    }
    std::sort(users.begin(), users.end());
    if (std::adjacent_find(users.begin(), users.end()) != users.end() ||
        member.established() != (member.privacy_code().size() == 30)) {
      std::abort();
    }
  }
  bool propose(std::uint8_t operation, ByteSpan list) {
    auto made = member.proposals(operation, list, {2, 3, 4});
    if (made && made.value()) {
      last = *made.value();
    }
    return made.ok();
  }

  void record(std::uint8_t kind, std::uint8_t argument, ByteSpan content) {
    switch (kind % 9) {
      case 0:
        step([&] { return !member.set_external_sender(content); });
        break;
      case 1:
        step([&] { return propose(argument % 3, content); });
        break;
      case 2:
        step([&] { return member.commit(content).ok(); });
        break;
      case 3:
        step([&] { return !member.welcome(content); });
        break;
      case 4: {  // any proposal, signed by the gateway
        mls::Writer framed;
        framed.opaque(cast.group_id);
        framed.u64(member.epoch() + (argument & 1));
        framed.u8(2);
        framed.u32((argument >> 1) & 1);
        framed.opaque({});
        framed.u8(2);
        framed.raw(content);
        const Bytes inner = framed.take();
        const auto signature =
            mls::sign_with_label(cast.gateway, "FramedContentTBS", mls::signed_content(inner, {}));
        const Bytes message = mls::assemble(inner, signature.value(), std::nullopt, std::nullopt);
        step([&] { return propose(0, Cast::wrap({message})); });
        break;
      }
      case 5: {  // a good Add or Remove
        const Bytes message =
            (argument & 0x80) != 0
                ? *mls::make_external_proposal(cast.gateway, 0, cast.group_id, member.epoch(),
                                               mls::Remove{argument & 7u})
                : cast.add(member.epoch(), argument % cast.others.size());
        step([&] { return propose(0, Cast::wrap({message})); });
        break;
      }
      case 6:  // our commit is announced, with some bytes changed
      {
        Bytes changed = last;
        for (std::size_t i = 0; i + 1 < content.size() && !changed.empty(); i += 2) {
          changed[(argument + load_be16(content.data() + i)) % changed.size()] ^= 1;
        }
        if (!changed.empty()) {
          step([&] { return Cast::announce(member, changed); });
        }
        break;
      }
      case 7:
        step([&] { return member.start_over().ok(); });
        break;
      case 8:
        member.leave();
        break;
    }
  }

  Cast& cast;
  Member member;
  Bytes last;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Cast cast;
  ByteReader reader(ByteSpan(data, size));
  World world(cast, (reader.u8() & 1) != 0);
  for (int i = 0; i < 30 && reader.remaining() >= 4; ++i) {
    const std::uint8_t kind = reader.u8();
    const std::uint8_t argument = reader.u8();
    const std::size_t length = reader.u16();
    world.record(kind, argument, reader.take(std::min(length, reader.remaining())));
  }
  return 0;
}
