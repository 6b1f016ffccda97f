#include "voice_rig.hpp"

#include "voice/close_codes.hpp"

#include <map>

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;

namespace {

using Code = std::optional<std::uint16_t>;

// Written down once more, by hand, so that a row that goes missing or changes is noticed.
const std::map<Code, CloseAction>& expected() {
  static const std::map<Code, CloseAction> list = {
      {std::nullopt, CloseAction::Resume}, {1001, CloseAction::Resume},
      {1006, CloseAction::Resume},         {1000, CloseAction::ResumeOnce},
      {4001, CloseAction::RejoinOnce},     {4002, CloseAction::RejoinOnce},
      {4003, CloseAction::RejoinOnce},     {4005, CloseAction::RejoinOnce},
      {4020, CloseAction::RejoinOnce},     {4004, CloseAction::RejoinOnce},
      {4006, CloseAction::Rejoin},         {4009, CloseAction::Rejoin},
      {4011, CloseAction::Rejoin},         {4012, CloseAction::Stop},
      {4016, CloseAction::RetryXChaCha20}, {4013, CloseAction::Resume},
      {4014, CloseAction::AwaitMove},      {4015, CloseAction::Resume},
      {4017, CloseAction::Stop},           {4021, CloseAction::Stop},
      {4022, CloseAction::AwaitMove},
  };
  return list;
}

std::string name(Code code) {
  return code ? std::to_string(*code) : std::string("none");
}

bool contains(const std::string& text, std::string_view word) {
  return text.find(word) != std::string::npos;
}

}  // namespace

TEST(VoiceCloseCodes, TableHasEveryDocumentedCodeOnce) {
  std::map<Code, CloseAction> found;
  for (const CloseRow& row : close_table()) {
    EXPECT_TRUE(found.emplace(row.code, row.action).second) << name(row.code) << " twice";
  }
  EXPECT_EQ(found, expected());
}

TEST(VoiceCloseCodes, OtherCodes) {
  for (const std::uint16_t code : {0, 1002, 1011, 1012, 3000, 3999}) {
    EXPECT_EQ(close_row(code).action, CloseAction::Resume) << code;
  }
  for (const std::uint16_t code : {4000, 4007, 4018, 4999, 65535}) {
    EXPECT_EQ(close_row(code).action, CloseAction::Rejoin) << code;
  }
}

class VoiceCloseCode : public testing::TestWithParam<CloseRow> {};

// With nobody who could renew: what the user of the manual values sees.
TEST_P(VoiceCloseCode, InACallWithoutRenewal) {
  const CloseRow& row = GetParam();
  Rig r;
  r.connect();
  r.close(row.code, "reason\n\x01");
  switch (row.action) {
    case CloseAction::Resume:
    case CloseAction::ResumeOnce:
      EXPECT_EQ(r.session.state(), State::Reconnecting);
      EXPECT_EQ(r.count<Fail>(), 0u);
      EXPECT_EQ(r.count<CloseUdp>(), 0u) << "media goes on";
      r.open();
      EXPECT_EQ(r.sent(7).size(), 1u);
      EXPECT_EQ(r.sent(0).size(), 1u);
      return;
    case CloseAction::Rejoin:
    case CloseAction::RejoinOnce:
    case CloseAction::RetryXChaCha20:
    case CloseAction::AwaitMove:
    case CloseAction::Stop:
      EXPECT_EQ(r.session.state(), State::Failed);
      ASSERT_EQ(r.count<Fail>(), 1u);
      EXPECT_EQ(r.last<Fail>().kind, row.kind);
      EXPECT_EQ(r.last<Fail>().message, row.sentence);
      EXPECT_TRUE(contains(r.last<Fail>().message, name(row.code)));
      EXPECT_TRUE(contains(r.last<Fail>().debug, "reason??")) << r.last<Fail>().debug;
      EXPECT_EQ(r.count<CloseUdp>(), 1u);
      r.advance(600s);
      EXPECT_EQ(r.count<OpenWebSocket>(), 1u) << "never tried again";
      return;
  }
}

TEST_P(VoiceCloseCode, InACallWithRenewal) {
  const CloseRow& row = GetParam();
  Rig r(Options{.can_renew = true});
  r.connect();
  r.close(row.code);
  switch (row.action) {
    case CloseAction::Resume:
    case CloseAction::ResumeOnce:
      EXPECT_EQ(r.session.state(), State::Reconnecting);
      return;
    case CloseAction::Rejoin:
    case CloseAction::RejoinOnce:
      EXPECT_EQ(r.session.state(), State::AwaitingCredentials);
      EXPECT_EQ(r.count<NeedCredentials>(), 1u);
      EXPECT_EQ(r.count<CloseUdp>(), 1u);
      r.session.renew(good_credentials(), r.now, r.out);
      r.open();
      EXPECT_EQ(r.sent(0).size(), 2u);
      EXPECT_TRUE(r.sent(7).empty());
      r.close(row.code);
      EXPECT_EQ(r.session.state(),
                row.action == CloseAction::Rejoin ? State::AwaitingCredentials : State::Failed);
      return;
    case CloseAction::AwaitMove:
      EXPECT_EQ(r.session.state(), State::AwaitingCredentials);
      EXPECT_EQ(r.count<NeedCredentials>(), 0u) << "coming back uninvited undoes a kick";
      EXPECT_EQ(r.count<CloseUdp>(), 1u);
      r.advance(9s);
      EXPECT_EQ(r.count<Fail>(), 0u);
      r.advance(1s);
      EXPECT_EQ(r.last<Fail>().kind, FailKind::Removed);
      return;
    case CloseAction::RetryXChaCha20:
    case CloseAction::Stop:
      EXPECT_EQ(r.session.state(), State::Failed);
      EXPECT_EQ(r.count<NeedCredentials>(), 0u);
      return;
  }
}

TEST_P(VoiceCloseCode, BeforeReady) {
  const CloseRow& row = GetParam();
  Rig r;
  r.identify();
  r.close(row.code);
  if (row.action == CloseAction::Resume || row.action == CloseAction::ResumeOnce) {
    EXPECT_EQ(r.session.state(), State::Reconnecting);
    r.open();
    EXPECT_EQ(r.sent(0).size(), 2u) << "there is nothing to resume";
    EXPECT_TRUE(r.sent(7).empty());
  } else {
    EXPECT_EQ(r.session.state(), State::Failed);
    EXPECT_EQ(r.last<Fail>().kind, row.kind);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, VoiceCloseCode,
                         testing::ValuesIn(close_table().begin(), close_table().end()),
                         [](const auto& row) { return name(row.param.code); });

TEST(VoiceCloseCodes, NormalClosureIsResumedOnlyOnce) {
  Rig r;
  r.connect();
  r.close(1000);
  r.open();
  r.close(1000);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::StaleCredentials);
}

TEST(VoiceCloseCodes, RefusedModeIsTriedOnceMoreWithXChaCha) {
  Rig r;
  r.identify();
  r.ready();
  r.discovery_reply();
  ASSERT_EQ(r.sent(1).at(0)["d"]["data"]["mode"], "aead_aes256_gcm_rtpsize");
  r.close(4016);
  EXPECT_EQ(r.count<CloseUdp>(), 1u);
  r.open();
  EXPECT_EQ(r.sent(0).size(), 2u);
  r.ready();
  r.discovery_reply();
  EXPECT_EQ(r.sent(1).at(1)["d"]["data"]["mode"], "aead_xchacha20_poly1305_rtpsize");
  r.close(4016);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::UnsupportedMode);
}

// discord-audio-pipe#54: 4017 was retried for ever.
TEST(VoiceCloseCodes, DaveDemandSaysSo) {
  const std::string sentence(close_row(4017).sentence);
  EXPECT_TRUE(contains(sentence, "end-to-end"));
  EXPECT_TRUE(contains(sentence, "e2ee"));
  EXPECT_TRUE(contains(sentence, "stage"));
}

TEST(VoiceCloseCodes, RefusedCredentialsSayWhatToRenew) {
  for (const std::uint16_t code : {4004, 4006, 4009, 4011, 4014, 4022}) {
    const std::string sentence(close_row(code).sentence);
    for (const char* word : {"endpoint", "session-id", "token", "join"}) {
      EXPECT_TRUE(contains(sentence, word)) << code << " " << word;
    }
  }
  EXPECT_TRUE(contains(std::string(close_row(4006).sentence), "port"))
      << "a dropped port is the usual cause";
}
