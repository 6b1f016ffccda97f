// Whole calls that other implementations recorded, followed by one of their members.
#include "dave/codes.hpp"
#include "dave/epoch_list.hpp"
#include "dave/frame_opener.hpp"
#include "dave/member.hpp"
#include "dave_vectors.hpp"

#include <set>

using namespace discord;
using namespace discord::dave;
using namespace discord::test;

namespace {

std::uint64_t id_of(const nlohmann::json& text) {
  return std::stoull(text.get<std::string>());
}

struct Observation {
  const char* file;
  std::uint64_t observer;
  int epochs;
  int frames;
};
void PrintTo(const Observation& o, std::ostream* out) {
  *out << o.file << " as " << o.observer;
}

// A change that must not be believed: flipped bits, a lost or an added end.
Bytes mutated(ByteSpan good, std::uint64_t seed) {
  Bytes bad(good.begin(), good.end());
  std::uint64_t state = seed * 6364136223846793005u + 1442695040888963407u;
  const auto next = [&](std::size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>((state >> 33) % below);
  };
  switch (seed % 8) {
    case 0:
      bad.resize(next(bad.size()));
      break;
    case 1:
      bad.push_back(static_cast<std::uint8_t>(next(256)));
      break;
    case 2:
      bad.erase(bad.begin() + static_cast<std::ptrdiff_t>(next(bad.size())));
      break;
    default:
      bad[next(bad.size())] ^= static_cast<std::uint8_t>(1 + next(255));
  }
  return bad;
}

class Replay {
 public:
  explicit Replay(const Observation& what)
      : session(load_dave(std::string("sessions/") + what.file)), observer(what.observer) {
    if (session.is_null()) {
      return;
    }
    for (const auto& user : session["users"]) {
      everybody.insert(id_of(user["user_id"]));
      keys[id_of(user["user_id"])] = hex(user["signature_public"]);
      if (id_of(user["user_id"]) != observer) {
        continue;
      }
      const auto& secret = user["private"];
      member.emplace(observer, id_of(session["channel_id"]),
                     std::move(*mls::KeyPair::from_private(hex(secret["signature_priv"]))), random);
      auto package = mls::import_key_package(hex(user["key_package"]), hex(secret["init_priv"]),
                                             hex(secret["encryption_priv"]));
      EXPECT_TRUE(package.ok());
      EXPECT_FALSE(member->set_external_sender(hex(session["external_sender"]["body"])));
      EXPECT_TRUE(member->start_over(std::move(*package)).ok());
    }
  }

  bool addressed(const nlohmann::json& to) const {
    if (to.is_string()) {
      return id_of(to) == observer;
    }
    return std::any_of(to.begin(), to.end(),
                       [&](const auto& one) { return id_of(one) == observer; });
  }

  // Runs hostile messages past the member before each good one: `mutations` changed copies, all
  // that are cut off, and everything from elsewhere and from other times.
  void run(int mutations) {
    for (const auto& step : session["steps"]) {
      SCOPED_TRACE(step["step"]);
      const std::string kind = step["kind"];
      turn = step["step"];
      hostile = mutations > 0;
      if (step.contains("to") && addressed(step["to"])) {
        const Bytes body = hex(step["body"]);
        for (int i = 0; i < mutations; ++i) {
          deliver_bad(kind, body, static_cast<std::uint64_t>(i) * 131 + body.size());
        }
        if (hostile) {
          deliver_cut_off(kind, body);
          deliver_out_of_place(session, kind, body);
          if (!foreign.is_null()) {
            deliver_out_of_place(foreign, kind, body);
          }
        }
        ASSERT_EQ(refusal_of(*member, kind, body), std::nullopt);
        if (kind != "proposals") {
          epochs.execute(epochs.add(member->epoch(), member->sender_keys(), now), now);
          auto keys_now = std::make_shared<MediaKeys>();
          keys_now->active = true;
          keys_now->epochs = epochs.entries();
          opener.use(std::move(keys_now), now);
        }
      } else if (kind == "epoch" && member->established()) {
        check_epoch(step);
      } else if (kind == "frames" && member->established()) {
        check_frames(step);
      } else if (kind == "verification") {
        EXPECT_EQ(verification_code(hex(step["public_a"]), id_of(step["a"]), hex(step["public_b"]),
                                    id_of(step["b"])),
                  step["code"].get<std::string>());
      }
    }
  }

  // Hands the member a message; gives the reason when it is refused.
  std::optional<std::string> refusal_of(Member& to, const std::string& kind, ByteSpan body) {
    std::optional<MemberFailure> failure;
    if (body.size() < (kind == "proposals" ? 1u : 2u)) {
      return "too short for its opcode";
    }
    if (kind == "proposals") {
      const auto made = to.proposals(body[0], body.subspan(1), everybody);
      failure = made ? std::nullopt : std::optional(made.error());
    } else if (kind == "announce_commit") {
      const auto done = to.commit(body.subspan(2));
      failure = done ? std::nullopt : std::optional(done.error());
    } else {
      failure = to.welcome(body.subspan(2));
    }
    return failure ? std::optional(describe(*failure)) : std::nullopt;
  }

  void deliver_cut_off(const std::string& kind, const Bytes& body) {
    Member copy(*member);
    for (std::size_t size = 0; size < body.size(); ++size) {
      const auto reason = refusal_of(copy, kind, ByteSpan(body).first(size));
      ASSERT_TRUE(reason) << "of " << body.size() << " bytes " << size << " were enough";
      EXPECT_NE(*reason, "");
      ++refused;
    }
    EXPECT_EQ(copy.state_digest(), member->state_digest());
  }

  // Every message of a call, to whomever it went and whenever: none but the one whose turn it is.
  void deliver_out_of_place(const nlohmann::json& from, const std::string& kind,
                            const Bytes& body) {
    const mls::Hash before = member->state_digest();
    for (const auto& step : from["steps"]) {
      const std::string other_kind = step["kind"];
      if (other_kind != "proposals" && other_kind != "announce_commit" && other_kind != "welcome") {
        continue;
      }
      const Bytes other = hex(step["body"]);
      if (other_kind == kind && other.size() >= 2 && body.size() >= 2 &&
          std::ranges::equal(ByteSpan(other).subspan(2), ByteSpan(body).subspan(2))) {
        continue;
      }
      Member copy(*member);
      const auto reason = refusal_of(copy, other_kind, other);
      if (reason) {
        EXPECT_NE(*reason, "");
        EXPECT_EQ(copy.state_digest(), before) << *reason;
        ++refused;
      } else {
        // Opcode 27 may come in any order within its epoch, and twice; a commit or Welcome for us
        // does not need proposals that are revoked later or concern others.
        EXPECT_EQ(&from, &session) << "of another channel";
        EXPECT_TRUE(other_kind == "proposals" ||
                    (addressed(step["to"]) && step["step"].get<int>() > turn))
            << step["step"];
      }
    }
  }

  // What somebody between could make of a frame. Nothing of it opens or changes anything.
  void open_bad(std::uint64_t from, const Bytes& good) {
    const auto expect_refused = [&](std::uint64_t user, Bytes bad, const char* what) {
      const OpenedFrame opened = opener.open(user, bad, now);
      EXPECT_FALSE(opened.deliverable()) << what << ": " << to_string(opened.outcome);
      ++refused;
    };
    for (std::size_t i = 0; i < good.size(); ++i) {
      expect_refused(from, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(i)),
                     "cut off");
      Bytes bad = good;
      bad[i] ^= static_cast<std::uint8_t>(1u << (i % 8));
      expect_refused(from, bad, "bit");
    }
    for (const std::uint64_t other : everybody) {
      if (other != from) {
        expect_refused(other, good, "another sender");
      }
    }
    const auto view = parse_frame(good);
    ASSERT_TRUE(view.ok());
    for (const std::uint32_t nonce :
         {view.value().nonce + (1u << 24), view.value().nonce + 1, 0xFE000000u, 0xFFFFFFFFu}) {
      Bytes bad(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(view.value().media.size() +
                                                                         frame_tag_size));
      std::array<std::uint8_t, 5> number;
      const std::size_t size = put_uleb128(nonce, number);
      bad.insert(bad.end(), number.begin(), number.begin() + static_cast<std::ptrdiff_t>(size));
      bad.insert(bad.end(), view.value().ranges.begin(), view.value().ranges.end());
      bad.push_back(
          static_cast<std::uint8_t>(frame_min_footer - 1 + size + view.value().ranges.size()));
      bad.insert(bad.end(), {0xFA, 0xFA});
      expect_refused(from, bad, "another nonce");
    }
  }

  void deliver_bad(const std::string& kind, ByteSpan body, std::uint64_t seed) {
    const Bytes bad = mutated(body, seed);
    if (std::ranges::equal(bad, body) ||
        (kind != "proposals" && bad.size() >= 2 &&
         std::ranges::equal(ByteSpan(bad).subspan(2), body.subspan(2)))) {
      return;  // only the transition id
    }
    Member copy(*member);
    const mls::Hash before = copy.state_digest();
    if (const auto reason = refusal_of(copy, kind, bad)) {
      EXPECT_NE(*reason, "");
      EXPECT_EQ(copy.state_digest(), before) << "a refusal changed the member";
      ++refused;
      return;
    }
    // The parts of a Welcome that are for others are nobody's business.
    ASSERT_EQ(kind, "welcome") << "a changed message was believed: " << to_hex(bad);
    Member good(*member);
    ASSERT_EQ(refusal_of(good, kind, body), std::nullopt);
    EXPECT_EQ(copy.state_digest(), good.state_digest());
  }

  void check_epoch(const nlohmann::json& step) {
    ++epochs_seen;
    EXPECT_EQ(member->epoch(), step["epoch"].get<std::uint64_t>());
    EXPECT_EQ(member->privacy_code(), step["voice_privacy_code"].get<std::string>());
    std::set<std::uint64_t> expected, got;
    for (const auto& leaf : step["leaves"]) {
      if (!leaf.is_null()) {
        expected.insert(id_of(leaf));
      }
    }
    for (const GroupMember& m : member->members()) {
      got.insert(m.user);
      EXPECT_EQ(to_hex(m.signature_key), to_hex(keys[m.user]));
    }
    EXPECT_EQ(got, expected);
    for (const auto& [user, base] : step["sender_base_secrets"].items()) {
      EXPECT_EQ(to_hex(member->base_secret(std::stoull(user))->view()), base.get<std::string>());
    }
  }

  void check_frames(const nlohmann::json& step) {
    for (const auto& f : step["frames"]) {
      const std::uint64_t from = id_of(f["from"]);
      if (from == observer) {
        continue;
      }
      Bytes frame = hex(f["frame"]);
      const Bytes sent = frame;
      if (hostile && !is_silence(frame)) {
        open_bad(from, frame);
      }
      const OpenedFrame opened = opener.open(from, frame, now);
      ASSERT_EQ(opened.outcome, is_silence(frame) ? FrameOutcome::silence : FrameOutcome::opened);
      EXPECT_EQ(to_hex(opened.plain), f["plaintext"].get<std::string>());
      if (hostile && opened.outcome == FrameOutcome::opened) {
        Bytes again = sent;
        EXPECT_EQ(opener.open(from, again, now).outcome, FrameOutcome::replayed);
      }
      ++frames_seen;
    }
  }

  mls::SystemRandom random;
  nlohmann::json session;
  nlohmann::json foreign;  // another call
  std::uint64_t observer;
  std::optional<Member> member;
  UserSet everybody;
  std::map<std::uint64_t, Bytes> keys;
  EpochList epochs;
  FrameOpener opener;
  Time now = time_from_ns(1);
  int epochs_seen = 0, frames_seen = 0, refused = 0;
  bool hostile = false;
  int turn = 0;  // step of the call
};

}  // namespace

class DaveRecorded : public testing::TestWithParam<Observation> {};

TEST_P(DaveRecorded, IsFollowed) {
  Replay replay(GetParam());
  NEED_VECTORS(replay.session);
  replay.run(0);
  EXPECT_EQ(replay.epochs_seen, GetParam().epochs);
  EXPECT_EQ(replay.frames_seen, GetParam().frames);
}

TEST_P(DaveRecorded, ChangedMessagesAreRefusedWithoutATrace) {
  Replay replay(GetParam());
  NEED_VECTORS(replay.session);
  const bool churn = std::string(GetParam().file).find("churn") != std::string::npos;
  replay.foreign =
      load_dave(std::string("sessions/") + (churn ? "dave-n4.json" : "dave-churn5x10.json"));
  replay.run(200);
  EXPECT_EQ(replay.epochs_seen, GetParam().epochs);
  EXPECT_EQ(replay.frames_seen, GetParam().frames);
  EXPECT_GT(replay.refused, 20000);
}

INSTANTIATE_TEST_SUITE_P(
    Sessions, DaveRecorded,
    testing::Values(Observation{"dave-n4.json", 158049329153427145, 7, 70},
                    Observation{"dave-churn5x10.json", 158049329151427139, 11, 37}),
    [](const auto& what) { return "from" + std::to_string(what.param.observer); });

// Bytes that a real gateway once sent.
class DaveRealBytes : public testing::Test {
 protected:
  void SetUp() override {
    const auto sender = load_bytes("data/dave-mls/external_sender.bin");
    const auto append = load_bytes("data/dave-mls/appending_proposals.bin");
    const auto revoke = load_bytes("data/dave-mls/revoking_proposals.bin");
    if (!sender || !append || !revoke) {
      GTEST_SKIP() << "the recorded bytes are not here";
    }
    external_sender = *sender;
    appended = *append;
    revoked = *revoke;
    ASSERT_TRUE(member.start_over().ok());
    ASSERT_FALSE(member.set_external_sender(external_sender));
  }

  Bytes external_sender, appended, revoked;
  mls::SystemRandom random;
  Member member{158049329150427136, 927310423890473011, std::move(*mls::KeyPair::generate(random)),
                random};
};

TEST_F(DaveRealBytes, ProposalIsCommitted) {
  const auto made = member.proposals(0, appended, {158533742254751744});
  ASSERT_TRUE(made.ok()) << describe(made.error());
  ASSERT_TRUE(made.value());
  const auto again = member.proposals(0, appended, {158533742254751744});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again.value(), made.value()) << "replayed: the same commit once more";
}

TEST_F(DaveRealBytes, ProposalOfAStrangerIsRefused) {
  const auto before = member.state_digest();
  const auto made = member.proposals(0, appended, {});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().kind, MemberError::unrecognised_user);
  EXPECT_EQ(member.state_digest(), before);
}

TEST_F(DaveRealBytes, RevokedProposalIsNotCommitted) {
  EXPECT_FALSE(member.proposals(1, revoked, {}).ok()) << "nothing to revoke yet";
  ASSERT_TRUE(member.proposals(0, appended, {158533742254751744}).ok());
  const auto made = member.proposals(1, revoked, {});
  ASSERT_TRUE(made.ok()) << describe(made.error());
  EXPECT_FALSE(made.value());
}

TEST_F(DaveRealBytes, EveryByteCounts) {
  const auto before = member.state_digest();
  for (std::size_t i = 0; i < appended.size(); ++i) {
    Bytes bad = appended;
    bad[i] ^= 0x10;
    EXPECT_FALSE(member.proposals(0, bad, {158533742254751744}).ok()) << i;
  }
  EXPECT_EQ(member.state_digest(), before);
}
