// Joining, and why not; moving, being moved, losing the voice server.
#include "gateway_rig.hpp"

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;
using gateway::SeatCredentials;
using gateway::SeatFailed;
using gateway::SeatMoved;
using gateway::SeatNotice;
using gateway::SeatSuspended;
using nlohmann::json;

namespace {

// The sentence with which a join fails right after GUILD_CREATE.
SeatFailed refusal(std::uint64_t channel, json guild = GatewayRig::guild_json()) {
  GatewayRig r;
  r.connect();
  r.event("GUILD_CREATE", std::move(guild));
  r.gateway.join(GatewayRig::wish(channel), r.now, r.out);
  EXPECT_EQ(r.count<SeatFailed>(), 1u);
  EXPECT_EQ(r.count_sent(4), 0u) << "nothing was asked";
  return r.count<SeatFailed>() == 1 ? r.last<SeatFailed>() : SeatFailed{};
}

}  // namespace

TEST(GatewayJoin, TakesBothUpdatesInEitherOrder) {
  for (const bool server_first : {false, true}) {
    GatewayRig r;
    r.connect();
    r.guild();
    const auto seat = r.gateway.join(GatewayRig::wish(), r.now, r.out);
    ASSERT_EQ(r.count_sent(4), 1u);
    EXPECT_EQ(r.sent(4)[0]["d"], (json{{"guild_id", "2000"},
                                       {"channel_id", "3000"},
                                       {"self_mute", true},
                                       {"self_deaf", false}}));
    server_first ? r.server() : r.own_state(3000);
    EXPECT_EQ(r.count<SeatCredentials>(), 0u);
    server_first ? r.own_state(3000) : r.server();
    ASSERT_EQ(r.count<SeatCredentials>(), 1u);
    const SeatCredentials given = r.last<SeatCredentials>();
    EXPECT_EQ(given.seat, seat);
    EXPECT_FALSE(given.stage);
    EXPECT_EQ(given.credentials.endpoint, "v1.discord.media:2048");
    EXPECT_EQ(given.credentials.session_id, "voice-session");
    EXPECT_EQ(given.credentials.token.reveal(), "voice-token");
    EXPECT_EQ(given.credentials.user_id, 900u);
    EXPECT_EQ(given.credentials.guild_id, 2000u);
    EXPECT_EQ(given.credentials.channel_id, 3000u);
  }
}

TEST(GatewayJoin, WaitsForTheGuild) {
  GatewayRig r;
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.connect();
  EXPECT_EQ(r.count_sent(4), 0u);
  r.guild();
  EXPECT_EQ(r.count_sent(4), 1u);
}

TEST(GatewayJoin, AGuildThatNeverComesIsAnOutage) {
  GatewayRig r;
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.connect();
  r.advance(29s);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
  r.advance(2s);
  EXPECT_EQ(r.last<SeatFailed>().kind, FailKind::Timeout);
  EXPECT_NE(r.last<SeatFailed>().message.find("outage"), std::string::npos);
}

TEST(GatewayJoin, ABotThatIsNotInTheGuildGetsTheLink) {
  GatewayRig r;
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.connect({7});
  EXPECT_EQ(r.last<SeatFailed>().kind, FailKind::NotAllowed);
  EXPECT_EQ(
      r.last<SeatFailed>().message,
      "The bot is not a member of the guild 2000; check guild-id, or let an administrator add "
      "the bot with this link: https://discord.com/oauth2/authorize?client_id=901&scope=bot"
      "&permissions=1049600&guild_id=2000");
}

TEST(GatewayJoin, AGuildOfAnotherShardIsSaidToBe) {
  gateway::Options options = GatewayRig::good_options();
  options.shard = gateway::Shard{1, 4};
  GatewayRig r(std::move(options));
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.connect({});
  EXPECT_EQ(r.last<SeatFailed>().message,
            "The guild 2000 belongs to shard 0 of 4; set shard to it.");
}

TEST(GatewayJoin, AnUnknownChannel) {
  EXPECT_EQ(refusal(77).message,
            "There is no channel 77 of \"Guild\", or the bot may not see it; check channel-id, and "
            "that the bot has the permission View Channel.");
}

TEST(GatewayJoin, ATextChannel) {
  EXPECT_EQ(refusal(GatewayRig::text_channel).message,
            "Nobody can talk in the channel \"text\" of \"Guild\": it is not a voice or stage "
            "channel; check channel-id.");
}

TEST(GatewayJoin, WithoutThePermissionToConnect) {
  const SeatFailed failed = refusal(GatewayRig::locked_channel);
  EXPECT_EQ(failed.kind, FailKind::NotAllowed);
  EXPECT_EQ(failed.message,
            "The bot may not join the channel \"Locked\" of \"Guild\"; give it the permission "
            "Connect there.");
}

TEST(GatewayJoin, WithoutThePermissionToView) {
  EXPECT_EQ(refusal(GatewayRig::hidden_channel).message,
            "The bot may not see the channel \"Hidden\" of \"Guild\"; give it the permission View "
            "Channel there.");
}

TEST(GatewayJoin, AFullChannel) {
  const SeatFailed failed = refusal(GatewayRig::full_channel);
  EXPECT_EQ(failed.kind, FailKind::Full);
  EXPECT_EQ(failed.message,
            "There is no place left in the channel \"Full\" of \"Guild\" (1 people at most); raise "
            "its user limit, or give the bot the permission Move Members.");
}

TEST(GatewayJoin, AStageIsJoinedUnlessEncryptionIsDemanded) {
  GatewayRig r;
  r.connect();
  r.guild();
  gateway::Wish wish = GatewayRig::wish(GatewayRig::stage_channel);
  wish.encrypted_only = true;
  r.gateway.join(wish, r.now, r.out);
  EXPECT_EQ(r.last<SeatFailed>().kind, FailKind::Encryption);
  wish.encrypted_only = false;
  r.gateway.join(wish, r.now, r.out);
  r.own_state(GatewayRig::stage_channel);
  r.server();
  EXPECT_TRUE(r.last<SeatCredentials>().stage);
}

TEST(GatewayJoin, NoAnswerIsTheLastResort) {
  GatewayRig r;
  r.connect();
  r.guild();
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.own_state(3000);
  r.advance(14s);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
  r.advance(2s);
  EXPECT_EQ(r.last<SeatFailed>().kind, FailKind::Timeout);
}

TEST(GatewayJoin, OneBotHasOnePlaceInAGuild) {
  GatewayRig r;
  r.sit();
  r.gateway.join(GatewayRig::wish(GatewayRig::other_channel), r.now, r.out);
  EXPECT_EQ(r.last<SeatFailed>().kind, FailKind::Settings);
  EXPECT_EQ(r.gateway.seats(), 1u);
}

TEST(GatewayJoin, ABotThatIsStillThereGoesOutFirst) {
  json guild = GatewayRig::guild_json();
  guild["voice_states"].push_back(GatewayRig::voice_state(GatewayRig::own, 3000));
  GatewayRig r;
  r.connect();
  r.event("GUILD_CREATE", guild);
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  EXPECT_TRUE(r.asked().is_null()) << "discord.js#9195: the same channel again gets no answer";
  r.own_state(0);
  EXPECT_EQ(r.asked(), "3000");
}

// --- in the channel ---

TEST(GatewayMove, BeingMovedIsFollowedInEitherOrder) {
  for (const bool server_first : {false, true}) {
    GatewayRig r;
    const auto seat = r.sit();
    if (server_first) {
      r.server("token-2");
      EXPECT_EQ(r.count<SeatCredentials>(), 1u) << "the other half may be on its way";
    }
    r.own_state(GatewayRig::other_channel);
    EXPECT_EQ(r.last<SeatMoved>().channel, GatewayRig::other_channel);
    EXPECT_EQ(r.count<SeatSuspended>(), 1u);
    if (!server_first) {
      r.server("token-2");
    }
    ASSERT_EQ(r.count<SeatCredentials>(), 2u);
    EXPECT_EQ(r.last<SeatCredentials>().seat, seat);
    EXPECT_EQ(r.last<SeatCredentials>().credentials.channel_id, GatewayRig::other_channel);
    EXPECT_EQ(r.last<SeatCredentials>().credentials.token.reveal(), "token-2");
    r.advance(30s);
    EXPECT_EQ(r.count<SeatCredentials>(), 2u);
    EXPECT_EQ(r.count_sent(4), 1u);
  }
}

TEST(GatewayMove, AMoveWithoutAServerIsAskedForAfterTenSeconds) {
  GatewayRig r;
  r.sit();
  r.own_state(GatewayRig::other_channel);
  r.advance(9s);
  EXPECT_EQ(r.count_sent(4), 1u);
  r.advance(2s);
  EXPECT_TRUE(r.asked().is_null());
  r.own_state(0);
  EXPECT_EQ(r.asked(), std::to_string(GatewayRig::other_channel)) << "where the moderator put it";
}

TEST(GatewayMove, ChannelIdMovesTheBot) {
  GatewayRig r;
  const auto seat = r.sit();
  r.gateway.change(seat, GatewayRig::wish(GatewayRig::other_channel), r.now, r.out);
  EXPECT_EQ(r.asked(), std::to_string(GatewayRig::other_channel));
  EXPECT_EQ(r.count<SeatSuspended>(), 0u) << "until Discord agrees";
  r.own_state(GatewayRig::channel_id);  // some other change of the state
  EXPECT_EQ(r.count<SeatMoved>(), 0u);
  r.own_state(GatewayRig::other_channel);
  EXPECT_EQ(r.count<SeatSuspended>(), 1u);
  r.server("token-2");
  EXPECT_EQ(r.last<SeatCredentials>().credentials.channel_id, GatewayRig::other_channel);
}

TEST(GatewayMove, AChannelThatCannotBeJoinedIsToldAndTheBotStays) {
  GatewayRig r;
  const auto seat = r.sit();
  r.gateway.change(seat, GatewayRig::wish(GatewayRig::locked_channel), r.now, r.out);
  EXPECT_TRUE(r.last<SeatNotice>().warning);
  EXPECT_EQ(r.count_sent(4), 1u);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
}

TEST(GatewayMove, AMoveThatIsNotAnsweredLeavesTheBotWhereItIs) {
  GatewayRig r;
  const auto seat = r.sit();
  r.gateway.change(seat, GatewayRig::wish(GatewayRig::other_channel), r.now, r.out);
  r.advance(16s);
  EXPECT_TRUE(r.last<SeatNotice>().warning);
  EXPECT_EQ(r.count<SeatSuspended>(), 0u);
  EXPECT_EQ(r.gateway.seats(), 1u);
  r.own_state(GatewayRig::channel_id);
  EXPECT_EQ(r.count<SeatMoved>(), 0u);
}

TEST(GatewayMove, AHundredMoves) {
  GatewayRig r;
  r.sit();
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t to = i % 2 == 0 ? GatewayRig::other_channel : GatewayRig::channel_id;
    const std::string token = "token-" + std::to_string(i);
    if (i % 3 == 0) {
      r.server(token.c_str());
    }
    r.own_state(to);
    if (i % 3 != 0) {
      r.server(token.c_str());
    }
    ASSERT_EQ(r.last<SeatCredentials>().credentials.token.reveal(), token);
    ASSERT_EQ(r.last<SeatCredentials>().credentials.channel_id, to);
    r.advance(1s);
  }
  EXPECT_EQ(r.count<SeatCredentials>(), 101u);
  EXPECT_EQ(r.count<SeatMoved>(), 100u);
  EXPECT_EQ(r.count<SeatSuspended>(), 100u);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
}

TEST(GatewayVoiceServer, ANewRegionHasTheOldSession) {
  GatewayRig r;
  r.sit();
  r.server("token-2", "v2.discord.media:443");
  r.advance(99ms);
  EXPECT_EQ(r.count<SeatCredentials>(), 1u);
  r.advance(1ms);
  ASSERT_EQ(r.count<SeatCredentials>(), 2u);
  EXPECT_EQ(r.last<SeatCredentials>().credentials.endpoint, "v2.discord.media:443");
  EXPECT_EQ(r.last<SeatCredentials>().credentials.session_id, "voice-session");
}

TEST(GatewayVoiceServer, TheSameUpdateTwiceChangesNothing) {
  GatewayRig r;
  r.sit();
  r.server();
  r.advance(60s);
  EXPECT_EQ(r.count<SeatCredentials>(), 1u);
}

TEST(GatewayVoiceServer, NoEndpointMeansWaiting) {
  GatewayRig r;
  r.sit();
  r.server("t", nullptr);
  ASSERT_EQ(r.count<SeatSuspended>(), 1u);
  EXPECT_GE(r.last<SeatSuspended>().patience, 60s);
  r.advance(80s);
  EXPECT_EQ(r.count_sent(4), 1u);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
  r.server("token-2", "v2.discord.media:443");
  EXPECT_EQ(r.last<SeatCredentials>().credentials.endpoint, "v2.discord.media:443");
}

TEST(GatewayVoiceServer, NoEndpointWhileJoining) {
  GatewayRig r;
  r.connect();
  r.guild();
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.own_state(3000);
  r.server("t", nullptr);
  r.advance(60s);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
  r.server();
  EXPECT_EQ(r.count<SeatCredentials>(), 1u);
}

TEST(GatewayVoiceServer, NoOtherServerForTooLongIsAskedForAnew) {
  GatewayRig r;
  r.sit();
  r.server("t", nullptr);
  r.advance(91s);
  EXPECT_TRUE(r.asked().is_null());
  r.advance(3s);
  EXPECT_EQ(r.asked(), "3000");
  for (int i = 0; i < 20; ++i) {
    r.advance(20s);
  }
  EXPECT_EQ(r.last<SeatFailed>().kind, FailKind::Timeout) << "and given up at last";
}

TEST(GatewayKick, EndsTheSeat) {
  GatewayRig r;
  const auto seat = r.sit();
  r.own_state(0);
  ASSERT_EQ(r.count<SeatFailed>(), 1u);
  EXPECT_EQ(r.last<SeatFailed>().seat, seat);
  EXPECT_EQ(r.last<SeatFailed>().kind, FailKind::Removed);
  EXPECT_EQ(r.gateway.seats(), 0u);
}

TEST(GatewayKick, StatesOfOthersAreNotOurs) {
  GatewayRig r;
  r.sit();
  json d = GatewayRig::voice_state(11, 0);
  d["guild_id"] = "2000";
  r.event("VOICE_STATE_UPDATE", d);
  d = GatewayRig::voice_state(GatewayRig::own, 0);
  d["guild_id"] = "4000";
  r.event("VOICE_STATE_UPDATE", d);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
}

TEST(GatewayKick, RemovedFromTheGuild) {
  GatewayRig r;
  r.sit();
  r.event("GUILD_DELETE", {{"id", "2000"}});
  EXPECT_EQ(r.last<SeatFailed>().kind, FailKind::Removed);
  EXPECT_NE(r.last<SeatFailed>().message.find("https://"), std::string::npos);
}

TEST(GatewayRenew, LeavesAndJoins) {
  GatewayRig r;
  const auto seat = r.sit();
  r.gateway.renew(seat, r.now, r.out);
  EXPECT_TRUE(r.asked().is_null());
  r.gateway.renew(seat, r.now, r.out);
  r.server("late");
  EXPECT_EQ(r.count_sent(4), 2u) << "once";
  r.own_state(0);
  EXPECT_EQ(r.asked(), "3000");
  r.own_state(3000, "voice-session-2");
  r.server("token-2");
  EXPECT_EQ(r.last<SeatCredentials>().credentials.session_id, "voice-session-2");
  EXPECT_EQ(r.last<SeatCredentials>().credentials.token.reveal(), "token-2");
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
}

TEST(GatewayRenew, AskedForWithoutAnAnswerToLeaving) {
  GatewayRig r;
  const auto seat = r.sit();
  r.gateway.renew(seat, r.now, r.out);
  r.advance(2s);
  EXPECT_EQ(r.asked(), "3000");
}

// A bot that was moved while its gateway was lost for long waited for the voice server for ever.
TEST(GatewayMove, AServerThatDidNotComeWhileTheGatewayWasLostIsAskedFor) {
  GatewayRig r;
  r.sit();
  r.own_state(GatewayRig::other_channel);
  r.close(1006);
  r.advance(11s);
  EXPECT_EQ(r.count_sent(4), 1u);
  r.wait_for_socket();
  r.resume();
  r.advance(11s);
  EXPECT_TRUE(r.asked().is_null());
  EXPECT_EQ(r.count_sent(4), 2u);
  r.own_state(0);
  EXPECT_EQ(r.asked(), std::to_string(GatewayRig::other_channel));
}

TEST(GatewayJoin, AServerThatDidNotComeWhileTheGatewayWasLostIsAskedFor) {
  GatewayRig r;
  r.connect();
  r.guild();
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.own_state(GatewayRig::channel_id);
  r.close(1006);
  r.advance(16s);
  r.wait_for_socket();
  r.resume();
  r.advance(16s);
  EXPECT_EQ(r.count<SeatFailed>(), 1u) << "with a sentence, and not after waiting for ever";
}

TEST(GatewayRenew, WaitsForTheSession) {
  GatewayRig r;
  const auto seat = r.sit();
  r.close(1006);
  r.gateway.renew(seat, r.now, r.out);
  EXPECT_EQ(r.count_sent(4), 1u);
  r.resume();
  EXPECT_EQ(r.count_sent(4), 2u);
  EXPECT_TRUE(r.asked().is_null());
}

TEST(GatewayRenew, AQuestionLostWithTheConnectionIsAskedAgain) {
  GatewayRig r;
  r.connect();
  r.guild();
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.close(1006);
  r.resume();
  EXPECT_EQ(r.count_sent(4), 2u);
}

TEST(GatewayState, MuteAndDeafChangeLive) {
  GatewayRig r;
  const auto seat = r.sit();
  gateway::Wish wish = GatewayRig::wish();
  wish.self_mute = false;
  wish.self_deaf = true;
  r.gateway.change(seat, wish, r.now, r.out);
  EXPECT_EQ(r.sent(4).back()["d"], (json{{"guild_id", "2000"},
                                         {"channel_id", "3000"},
                                         {"self_mute", false},
                                         {"self_deaf", true}}));
  r.close(1006);
  r.gateway.change(seat, GatewayRig::wish(), r.now, r.out);
  r.resume();
  EXPECT_EQ(r.sent(4).back()["d"]["self_deaf"], false) << "said after the resume";
  EXPECT_EQ(r.count<SeatSuspended>(), 0u);
}

TEST(GatewayState, BeingDeafenedIsTold) {
  GatewayRig r;
  r.sit();
  r.own_state(3000, "voice-session", true);
  EXPECT_TRUE(r.last<gateway::SeatDeafened>().deafened);
  r.own_state(3000, "voice-session", true);
  EXPECT_EQ(r.count<gateway::SeatDeafened>(), 1u);
  r.own_state(3000);
  EXPECT_FALSE(r.last<gateway::SeatDeafened>().deafened);
}

TEST(GatewayState, LeavingIsSaid) {
  GatewayRig r;
  const auto seat = r.sit();
  r.gateway.leave(seat, r.now, r.out);
  EXPECT_TRUE(r.asked().is_null());
  EXPECT_EQ(r.gateway.seats(), 0u);
  r.own_state(0);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
}
