// Calls of several sessions over a scripted gateway.
#include "dave_rig.hpp"

using namespace discord;
using namespace discord::dave;
using namespace discord::dave::rig;

namespace {

// Everybody says something; everybody who shares the sender's epoch has to hear it.
struct Media {
  explicit Media(Gateway& gateway) : g(gateway) {}

  void speak(Client& from) {
    const std::string code = from.sending_code();
    if (code.empty()) {
      return;  // nobody to speak to
    }
    Bytes plain{0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    store_be64(plain.data() + 1, ++words);
    const Bytes frame = from.seal(plain);
    for (Client* to : g.present()) {
      if (to->id == from.id) {
        continue;
      }
      if (words % 20 == 0) {
        // Somebody in between takes the encryption off, or sends nonsense.
        EXPECT_EQ(to->hear(from.id, plain), FrameOutcome::not_a_frame);
        Bytes forged = frame;
        forged[3] ^= 0x80;
        EXPECT_NE(to->hear(from.id, forged), FrameOutcome::opened);
      }
      if (to->told_codes.contains(code)) {
        ASSERT_EQ(to->hear(from.id, frame), FrameOutcome::opened)
            << from.id << " to " << to->id << " at epoch " << g.epoch;
        ASSERT_EQ(to->heard.back(), plain);
        EXPECT_EQ(to->hear(from.id, frame), FrameOutcome::replayed);
        ++good;
      }
    }
  }
  void round() {
    for (Client* c : g.present()) {
      speak(*c);
    }
    g.advance(20ms);
  }

  Gateway& g;
  std::uint64_t words = 0, good = 0;
};

void join_many(Gateway& g, std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t id = first; id <= last; ++id) {
    g.join(id);
  }
}

}  // namespace

TEST(DaveCall, TwoFoundAGroup) {
  Gateway g;
  g.join(1);
  EXPECT_FALSE(g.wants_change());
  EXPECT_TRUE(g.client(1).binaries.empty() && g.client(1).texts.empty())
      << "alone: nothing but the key package";
  EXPECT_EQ(g.client(1).encryption.version, 1);
  EXPECT_EQ(g.client(1).encryption.epoch, 0u);
  g.join(2);
  g.settle();
  g.expect_agreement();
  EXPECT_EQ(g.epoch, 1u);
  for (Client* c : g.present()) {
    EXPECT_TRUE(c->take_texts(23).empty()) << "transition 0 is not acknowledged";
    EXPECT_TRUE(c->session.send_state()) << "and takes effect at once";
  }
  Media media(g);
  for (int i = 0; i < 100; ++i) {
    media.round();
  }
  EXPECT_EQ(media.good, 200u);
}

TEST(DaveCall, ExternalSenderBeforeTheSessionDescription) {
  Gateway g;
  g.join(1, true);
  g.join(2, true);
  g.settle();
  g.expect_agreement();
}

TEST(DaveCall, FoundingRaceIsLostGracefully) {
  std::set<std::uint64_t> winners;
  for (std::uint64_t seed = 1; seed < 12; ++seed) {
    Gateway g(seed);
    join_many(g, 1, 4);
    g.settle();
    g.expect_agreement();
    winners.insert(*g.leaves[0]);
  }
  EXPECT_GT(winners.size(), 1u);
}

TEST(DaveCall, JoinLeaveRejoin) {
  Gateway g;
  join_many(g, 1, 4);
  g.settle();
  Media media(g);
  for (int i = 0; i < 3; ++i) {
    g.join(9);
    g.settle();
    g.expect_agreement();
    media.round();
    g.leave(9);
    g.settle();
    g.expect_agreement();
    media.round();
  }
  EXPECT_EQ(g.epoch, 7u);
}

TEST(DaveCall, EmptyAndRefill) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  Media media(g);
  media.round();
  g.leave(1);
  g.leave(2);
  g.change();
  g.execute();
  Client& last = g.client(3);
  EXPECT_FALSE(last.failure);
  EXPECT_TRUE(last.take_texts(31).empty());
  EXPECT_EQ(last.encryption.epoch, 0u) << "alone in no group";
  EXPECT_FALSE(last.opener.knows(4, g.now));
  g.join(4);
  g.join(5);
  g.settle();
  g.expect_agreement();
  media.round();
  EXPECT_GT(media.good, 6u);
}

TEST(DaveCall, RevokedProposal) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  g.join(7);
  g.join(8);
  g.collect();
  g.propose();
  g.revoke(0);
  const auto kept = g.packages.extract(7);  // the gateway changed its mind
  g.announce(g.choose());
  g.execute();
  g.expect_agreement();
  EXPECT_TRUE(g.is_member(8));
  g.packages.insert(g.packages.end(), {7, kept.mapped()});
  g.settle();
  g.expect_agreement();
  EXPECT_TRUE(g.is_member(7));
}

TEST(DaveCall, EverythingRevokedSendsNothing) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  g.join(7);
  g.collect();
  g.propose();
  for (Client* c : g.recipients()) {
    EXPECT_EQ(c->take_binaries(opcode_commit_welcome).size(), 1u);
  }
  g.revoke(0);
  for (Client* c : g.recipients()) {
    EXPECT_TRUE(c->take_binaries(opcode_commit_welcome).empty());
  }
  g.settle();
  g.expect_agreement();
}

// The gateway may have taken the first commit before its second opcode 27 arrived here.
TEST(DaveCall, AnEarlierCommitOfOursCounts) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  g.join(7);
  g.collect();
  g.propose();
  Client& first = g.client(1);
  const MadeBody made(first.take_binaries(opcode_commit_welcome).at(0));
  g.join(8);
  g.collect();
  g.outstanding.clear();
  g.add_outstanding(mls::Add{g.packages.at(8)});
  g.send_proposals(first);
  EXPECT_FALSE(first.take_binaries(opcode_commit_welcome).empty());
  first.session.on_announce_commit(1, made.commit, g.now, first.out);
  first.take();
  EXPECT_EQ(first.take_texts(23), std::vector<int>{1});
  EXPECT_TRUE(first.take_texts(31).empty());
  EXPECT_EQ(first.encryption.members, (std::vector<std::uint64_t>{1, 2, 7}));
}

// A crowd comes in one after another within a second. What the gateway takes is our first commit,
// which reached it before it had sent the others' proposals out.
TEST(DaveCall, ThirtyJoinWhileOurFirstCommitIsUnderWay) {
  for (const bool founding : {false, true}) {
    Gateway g;
    join_many(g, 1, founding ? 1 : 2);
    g.settle();
    Client& us = g.client(1);
    std::optional<MadeBody> first;
    std::vector<std::uint64_t> in =
        founding ? std::vector<std::uint64_t>{1, 100} : std::vector<std::uint64_t>{1, 2, 100};
    for (std::uint64_t user = 100; user < 130; ++user) {
      g.join(user);
      g.collect();
      g.outstanding.clear();
      g.add_outstanding(mls::Add{g.packages.at(user)});
      g.send_proposals(us);
      const auto bodies = us.take_binaries(opcode_commit_welcome);
      ASSERT_EQ(bodies.size(), 1u) << user;
      const MadeBody made(bodies[0]);
      EXPECT_EQ(made.refs.size(), user - 99) << "all that is proposed";
      if (!first) {
        first = made;
      }
      g.advance(33ms);
    }
    us.session.on_announce_commit(1, first->commit, g.now, us.out);
    us.take();
    EXPECT_EQ(us.take_texts(23), std::vector<int>{1}) << us.notices.back();
    EXPECT_TRUE(us.take_texts(31).empty());
    EXPECT_EQ(us.encryption.members, in);
    Client& other = g.client(100);
    other.session.on_welcome(1, first->welcome, g.now, other.out);
    other.take();
    EXPECT_EQ(other.encryption.privacy_code, us.encryption.privacy_code);
  }
}

TEST(DaveCall, ThirtyJoinAndOurLastCommitTakesThemIn) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  std::vector<Gateway::Outstanding> all;
  for (std::uint64_t user = 100; user < 130; ++user) {
    g.join(user);
    g.collect();
    g.outstanding.clear();
    g.add_outstanding(mls::Add{g.packages.at(user)});
    g.outstanding.back().add = user;
    for (Client* c : g.recipients()) {
      g.send_proposals(*c);
    }
    all.push_back(g.outstanding.back());
    g.advance(33ms);
  }
  g.outstanding = all;
  g.announce(g.choose());
  g.execute();
  g.expect_agreement();
  EXPECT_EQ(g.client(1).encryption.members.size(), 32u);
}

TEST(DaveCall, InvalidCommitAndRecovery) {
  Gateway g;
  join_many(g, 1, 4);
  g.settle();
  Media media(g);
  media.round();
  g.join(5);
  g.collect();
  g.propose();
  auto winner = g.choose();
  g.spoiled = {winner.first == 2 ? 3u : 2u};
  const std::uint64_t victim = *g.spoiled.begin();
  g.announce(winner, g.spoiled);
  g.collect();
  ASSERT_EQ(g.invalid.size(), 1u);
  EXPECT_EQ(g.invalid[0], std::pair(victim, int{g.transition}));
  EXPECT_TRUE(g.client(victim).take_texts(23).empty());
  EXPECT_TRUE(g.packages.contains(victim)) << "a new key package at once";
  EXPECT_TRUE(g.client(victim).session.recovering());
  g.execute();
  media.round();
  g.spoiled.clear();
  g.settle();
  g.expect_agreement();
  EXPECT_FALSE(g.client(victim).session.recovering());
  media.round();
}

TEST(DaveCall, InvalidWelcomeAndRecovery) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  g.join(5);
  g.collect();
  g.propose();
  g.spoiled = {5};
  g.announce(g.choose(), g.spoiled);
  g.collect();
  ASSERT_EQ(g.invalid.size(), 1u);
  g.execute();
  g.spoiled.clear();
  g.settle();
  g.expect_agreement();
}

TEST(DaveCall, RecoveriesWaitLongerAndLonger) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  Client& c = g.client(1);
  std::vector<std::int64_t> seconds;
  Time last = g.now;
  // Never a commit nor a Welcome that is worth anything.
  while (!c.failure) {
    c.session.on_announce_commit(5, Bytes{1, 2, 3}, g.now, c.out);
    c.session.on_welcome(5, Bytes{1, 2, 3}, g.now, c.out);
    c.take();
    while (c.take_texts(31).empty() && !c.failure) {
      ASSERT_TRUE(c.session.next_deadline());
      g.advance(*c.session.next_deadline() - g.now);
    }
    if (!c.failure) {
      EXPECT_EQ(c.take_binaries(opcode_key_package).size(), 1u);
      seconds.push_back(std::chrono::duration_cast<std::chrono::seconds>(g.now - last).count());
      last = g.now;
    }
  }
  EXPECT_EQ(seconds, (std::vector<std::int64_t>{0, 1, 2, 4, 8, 16, 32, 60, 60, 60}));
  EXPECT_EQ(c.failure->kind, FailKind::group_lost);
  EXPECT_FALSE(c.session.next_deadline());
}

TEST(DaveCall, HundredBadCommitsEndInAWorkingGroup) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  Client& c = g.client(2);
  for (int i = 0; i < 100; ++i) {
    const Bytes bad(200, static_cast<std::uint8_t>(i));
    c.session.on_announce_commit(static_cast<std::uint16_t>(100 + i), bad, g.now, c.out);
    c.take();
    g.advance(20ms);
    g.collect();
    if (i % 10 == 9) {
      // The gateway takes it in again, and the next commit is bad once more.
      c.take_texts(23);
      g.settle();
    }
  }
  ASSERT_FALSE(c.failure);
  EXPECT_GT(g.invalid.size(), 1u);
  EXPECT_LT(g.invalid.size(), 12u) << "one at a time";
  for (int i = 0; i < 100 && (c.encryption.epoch == 0 || g.wants_change()); ++i) {
    g.advance(1s);
    c.take_texts(23);
    g.settle();
  }
  g.expect_agreement();
}

TEST(DaveCall, HundredBadWelcomesEndInOneError) {
  Gateway g;
  Client& c = g.join(1);
  unsigned failures = 0, asked = 0;
  for (int i = 0; i < 100; ++i) {
    c.failure.reset();
    const Bytes bad(200, static_cast<std::uint8_t>(i));
    c.session.on_welcome(static_cast<std::uint16_t>(1 + i), bad, g.now, c.out);
    c.take();
    failures += c.failure ? 1 : 0;
    asked += static_cast<unsigned>(c.take_texts(31).size());
    if (c.failure) {
      EXPECT_EQ(c.failure->kind, FailKind::group_lost);
      EXPECT_NE(c.failure->message.find("could not be entered"), std::string::npos);
    }
    g.advance(61s);
    asked += static_cast<unsigned>(c.take_texts(31).size());
  }
  EXPECT_EQ(failures, 1u);
  EXPECT_EQ(asked, max_recoveries);
}

TEST(DaveCall, ReplaysAfterAResumeAreIgnored) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  g.join(4);
  g.settle();
  g.join(5);
  g.settle();
  const Bytes old_commit = g.last_commit;
  const Bytes old_welcome = g.last_welcome;
  g.join(6);
  g.settle();
  for (Client* c : g.present()) {
    const mls::Hash before = c->session.member()->state_digest();
    const std::size_t waiting = c->texts.size() + c->binaries.size();
    c->session.on_announce_commit(3, old_commit, g.now, c->out);
    c->session.on_welcome(3, old_welcome, g.now, c->out);
    c->take();
    EXPECT_EQ(c->session.member()->state_digest(), before);
    EXPECT_EQ(c->texts.size() + c->binaries.size(), waiting) << "nothing is answered";
  }
  g.expect_agreement();
}

TEST(DaveCall, ReplayedProposalsGiveTheSameCommit) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  g.join(7);
  g.collect();
  g.propose();
  Client& c = g.client(1);
  const auto first = c.take_binaries(opcode_commit_welcome);
  g.send_proposals(c);
  EXPECT_EQ(c.take_binaries(opcode_commit_welcome), first);
}

TEST(DaveCall, ExecuteBeforeTheCommitAppliesAtOnce) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  g.join(3);
  g.collect();
  g.propose();
  const auto winner = g.choose();
  Client& c = g.client(winner.first);
  const auto before = c.session.send_state()->serial;
  c.session.on_execute_transition(g.next_transition, g.now, c.out);
  g.announce(winner);
  EXPECT_GT(c.session.send_state()->serial, before);
  Client& other = g.client(winner.first == 1 ? 2 : 1);
  EXPECT_EQ(other.session.send_state()->serial, before) << "the others wait for opcode 22";
  other.session.on_execute_transition(999, g.now, other.out);
  EXPECT_EQ(other.session.send_state()->serial, before);
  g.execute();
  EXPECT_GT(other.session.send_state()->serial, before);
}

TEST(DaveCall, SenderOfTheNewEpochIsHeardBeforeItIsExecuted) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  g.join(4);
  g.collect();
  g.propose();
  g.announce(g.choose());
  // 1 already seals under the new epoch, 2 still under the old one.
  SendRatchet early(*g.client(1).session.member()->base_secret(1));
  Bytes room(100);
  const auto frame = early.seal(Bytes(20, 7), {}, room);
  const Bytes old_frame = g.client(2).seal(Bytes(20, 8));
  Client& c = g.client(3);
  EXPECT_EQ(c.hear(1, Bytes(frame->begin(), frame->end())), FrameOutcome::opened);
  EXPECT_EQ(c.hear(2, old_frame), FrameOutcome::opened);
  g.execute();
  EXPECT_EQ(c.hear(2, g.client(2).seal(Bytes(20, 9))), FrameOutcome::opened);
}

TEST(DaveCall, OldEpochEndsTenSecondsAfterItsSuccessorIsExecuted) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  SendRatchet old(*g.client(1).session.member()->base_secret(1));
  const auto from_old_epoch = [&] {
    Bytes room(100);
    const auto frame = old.seal(Bytes(20, 7), {}, room);
    return Bytes(frame->begin(), frame->end());
  };
  g.join(3);
  g.collect();
  g.propose();
  g.announce(g.choose());
  Client& c = g.client(2);
  g.advance(60s);
  EXPECT_EQ(c.hear(1, from_old_epoch()), FrameOutcome::opened) << "nobody was told to switch";
  g.execute();
  EXPECT_EQ(c.session.next_deadline(), g.now + ratchet_tail);
  g.advance(9s);
  EXPECT_EQ(c.hear(1, from_old_epoch()), FrameOutcome::opened);
  g.advance(1s);
  EXPECT_EQ(c.hear(1, from_old_epoch()), FrameOutcome::bad_tag);
  EXPECT_FALSE(c.session.next_deadline());
}

TEST(DaveCall, CommitOfOthersWhilePendingIsNotAnswered) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  g.join(3);
  g.settle();
  Client& c = g.join(4);
  const mls::Hash before = c.session.member()->state_digest();
  c.session.on_announce_commit(9, g.last_commit, g.now, c.out);
  c.take();
  EXPECT_TRUE(c.take_texts(31).empty());
  EXPECT_TRUE(c.take_texts(23).empty());
  EXPECT_EQ(c.session.member()->state_digest(), before);
  g.settle();
  g.expect_agreement();
}

TEST(DaveCall, FirstWordsWaitForTheKey) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  g.join(3);
  g.collect();
  g.propose();
  const auto winner = g.choose();
  // The frame overtakes the Welcome.
  Client& joiner = g.client(3);
  std::unique_ptr<Client> moved;
  g.announce(winner);
  SendRatchet send(*g.client(1).session.member()->base_secret(1));
  Bytes room(100);
  const auto frame = send.seal(Bytes(20, 7), {}, room);
  FrameOpener fresh;
  std::swap(fresh, joiner.opener);  // as if nothing had been published
  EXPECT_EQ(joiner.hear(1, Bytes(frame->begin(), frame->end())), FrameOutcome::no_key);
  std::swap(fresh, joiner.opener);
  joiner.retry_waiting();
  EXPECT_EQ(joiner.heard.size(), 1u);
}

TEST(DaveCall, RemovedMemberAsksToBeTakenInAgain) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  g.outstanding.clear();
  const auto leaf = std::find(g.leaves.begin(), g.leaves.end(), 2u) - g.leaves.begin();
  g.add_outstanding(mls::Remove{static_cast<mls::LeafIndex>(leaf)});
  for (Client* c : g.recipients()) {
    g.send_proposals(*c);
  }
  Client& victim = g.client(2);
  EXPECT_TRUE(victim.take_binaries(opcode_commit_welcome).empty())
      << "nobody commits its own removal";
  Client& other = g.client(1);
  const MadeBody made(other.take_binaries(opcode_commit_welcome).at(0));
  victim.session.on_announce_commit(1, made.commit, g.now, victim.out);
  victim.take();
  EXPECT_TRUE(victim.take_texts(31).empty());
  EXPECT_EQ(victim.take_binaries(opcode_key_package).size(), 1u);
  EXPECT_EQ(victim.encryption.epoch, 0u);
}

TEST(DaveCall, StrangerIsNotCommitted) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  g.join(7);
  g.collect();
  for (Client* c : g.present()) {
    c->session.on_user_left(7);
  }
  g.propose();
  for (Client* c : g.recipients()) {
    EXPECT_TRUE(c->take_binaries(opcode_commit_welcome).empty());
    EXPECT_TRUE(c->take_texts(31).empty());
  }
}

TEST(DaveCall, WelcomeWithSomebodyWhoJustLeft) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  g.join(4);
  g.client(4).session.on_user_left(3);
  g.settle();
  g.expect_agreement();
  const auto& notices = g.client(4).notices;
  EXPECT_NE(std::find(notices.begin(), notices.end(), "30: user 3 was not announced"),
            notices.end());
}

TEST(DaveCall, ManyMembersComeAndGo) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Gateway g(seed);
    Media media(g);
    std::uint64_t next_id = 1;
    join_many(g, 1, 6);
    next_id = 7;
    g.settle();
    for (int i = 0; i < 60; ++i) {
      for (std::size_t n = g.random.below(3); n > 0; --n) {
        if (g.clients.size() < 14) {
          g.join(g.random.below(4) == 0 && next_id > 8 && !g.clients.contains(next_id - 2)
                     ? next_id - 2  // comes back
                     : next_id++);
        }
      }
      for (std::size_t n = g.random.below(3); n > 0 && g.clients.size() > 1; --n) {
        g.leave(std::next(g.clients.begin(),
                          static_cast<std::ptrdiff_t>(g.random.below(g.clients.size())))
                    ->first);
      }
      for (int tries = 0; tries < 10 && g.wants_change(); ++tries) {
        g.change();
        media.round();  // between opcode 29 and 22
        g.execute();
      }
      media.round();
      media.round();
      ASSERT_NO_FATAL_FAILURE(g.expect_agreement());
      for (Client* c : g.present()) {
        ASSERT_TRUE(c->notices.empty()) << "user " << c->id << ": " << c->notices.back();
      }
      ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed << ", round " << i;
    }
    for (Client* c : g.present()) {
      EXPECT_TRUE(c->take_texts(31).empty());
      EXPECT_FALSE(c->opener.take_recovery_request(g.now));
    }
    EXPECT_GT(media.good, 1000u);
  }
}
