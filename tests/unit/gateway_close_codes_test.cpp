#include "gateway_rig.hpp"

#include <map>

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;
using gateway::CloseAction;

namespace {

using Code = std::optional<std::uint16_t>;

// Written down once more, by hand, so that a row that goes missing or changes is noticed.
const std::map<Code, CloseAction> expected = {
    {std::nullopt, CloseAction::Resume}, {1000, CloseAction::Resume},
    {1001, CloseAction::Resume},         {1006, CloseAction::Resume},
    {4000, CloseAction::Resume},         {4001, CloseAction::Resume},
    {4002, CloseAction::Resume},         {4003, CloseAction::Identify},
    {4004, CloseAction::Stop},           {4005, CloseAction::Identify},
    {4007, CloseAction::Identify},       {4008, CloseAction::ResumeLater},
    {4009, CloseAction::Identify},       {4010, CloseAction::Stop},
    {4011, CloseAction::Stop},           {4012, CloseAction::Stop},
    {4013, CloseAction::Stop},           {4014, CloseAction::Stop},
};

std::string name(Code code) {
  return code ? std::to_string(*code) : std::string("none");
}

}  // namespace

TEST(GatewayCloseCodes, TableHasEveryDocumentedCodeOnce) {
  std::map<Code, CloseAction> found;
  for (const gateway::CloseRow& row : gateway::close_table()) {
    EXPECT_TRUE(found.emplace(row.code, row.action).second) << name(row.code) << " twice";
  }
  EXPECT_EQ(found, expected);
  for (const std::uint16_t code : {0, 1011, 3000, 4006, 4015, 4999}) {
    EXPECT_EQ(gateway::close_row(code).action, CloseAction::Resume) << code;
  }
}

class GatewayCloseCode : public testing::TestWithParam<gateway::CloseRow> {};

TEST_P(GatewayCloseCode, InASeatedSession) {
  const gateway::CloseRow& row = GetParam();
  GatewayRig r;
  r.sit();
  r.close(row.code, "because\n");
  const std::size_t identifies = r.count_sent(2);
  switch (row.action) {
    case CloseAction::Stop:
      ASSERT_EQ(r.count<gateway::SeatFailed>(), 1u);
      EXPECT_EQ(r.last<gateway::SeatFailed>().kind, row.kind);
      EXPECT_EQ(r.last<gateway::SeatFailed>().message, row.sentence);
      EXPECT_NE(r.last<gateway::SeatFailed>().message.find(name(row.code)), std::string::npos);
      EXPECT_NE(r.last<gateway::SeatFailed>().debug.find("because?"), std::string::npos);
      EXPECT_EQ(r.gateway.next_deadline(), std::nullopt) << "never tried again";
      return;
    case CloseAction::Resume:
      EXPECT_EQ(r.count<OpenWebSocket>(), 2u) << "at once";
      EXPECT_NE(r.last<OpenWebSocket>().url.find("gateway-us-east1-b"), std::string::npos);
      r.resume();
      EXPECT_EQ(r.count_sent(6), 1u);
      EXPECT_EQ(r.count_sent(2), identifies);
      EXPECT_EQ(r.count<gateway::SeatSuspended>(), 0u) << "voice goes on";
      EXPECT_EQ(r.count_sent(4), 1u);
      return;
    case CloseAction::ResumeLater:
      r.advance(59s);
      EXPECT_EQ(r.count<OpenWebSocket>(), 1u);
      r.advance(2s);
      r.resume();
      EXPECT_EQ(r.count_sent(6), 1u);
      return;
    case CloseAction::Identify:
      EXPECT_EQ(r.count<OpenWebSocket>(), 1u);
      EXPECT_EQ(r.last<gateway::SaveSession>().saved.session_id, "");
      r.advance(6s);
      EXPECT_EQ(r.count<OpenWebSocket>(), 2u);
      r.open();
      r.hello();
      EXPECT_EQ(r.count_sent(2), identifies + 1);
      EXPECT_EQ(r.count_sent(6), 0u);
      r.ready();
      EXPECT_EQ(r.count<gateway::SeatSuspended>(), 1u) << "a new session has no voice";
      r.guild();
      EXPECT_EQ(r.asked(), std::to_string(GatewayRig::channel_id));
      return;
  }
}

INSTANTIATE_TEST_SUITE_P(Table, GatewayCloseCode,
                         testing::ValuesIn(gateway::close_table().begin(),
                                           gateway::close_table().end()),
                         [](const auto& row) {
                           return row.param.code ? "Code" + std::to_string(*row.param.code)
                                                 : std::string("NoCode");
                         });
