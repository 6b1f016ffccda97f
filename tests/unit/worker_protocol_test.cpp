#include "worker/protocol.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::worker;

namespace {

template <class T> Bytes with_rest(const T& head, std::size_t rest) {
  const ByteSpan bytes = bytes_of(head);
  Bytes out(bytes.begin(), bytes.end());
  out.resize(out.size() + rest, 0x55);
  return out;
}
template <class T> ProtocolError input_error(const T& head, std::size_t rest = 0) {
  const auto parsed = parse_input(type_of<Input, T>(), with_rest(head, rest));
  EXPECT_FALSE(parsed);
  return parsed ? ProtocolError::unknown_type : parsed.error();
}
template <class T> ProtocolError output_error(const T& head, std::size_t rest = 0) {
  const auto parsed = parse_output(type_of<Output, T>(), with_rest(head, rest));
  EXPECT_FALSE(parsed);
  return parsed ? ProtocolError::unknown_type : parsed.error();
}
template <class T> bool round_trip_input(const T& value) {
  const auto parsed = parse_input(type_of<Input, T>(), with_rest(value, 0));
  return parsed && std::holds_alternative<T>(parsed.value());
}
constexpr auto frame_type = type_of<Output, FrameOut>();

FrameHead frame() {
  FrameHead head;
  head.id = 1;
  head.ssrc = 2;
  head.samples = head.pcm_samples = 960;
  head.opus_size = 10;
  return head;
}
bool frame_ok(const FrameHead& head, std::size_t rest = 960 * 4 + 10) {
  return parse_output(frame_type, with_rest(head, rest)).ok();
}

}  // namespace

TEST(WorkerProtocol, SettingsSurviveTheWay) {
  Configure configure;
  configure.max_speakers = 7;
  EXPECT_TRUE(round_trip_input(configure));
  EXPECT_TRUE(round_trip_input(SetKey{1, 2, 3, 4}));
  EXPECT_TRUE(round_trip_input(ClearKey{}));
  EXPECT_TRUE(round_trip_input(MapUser{1, 2, 3, 0}));
  EXPECT_TRUE(round_trip_input(Retire{1, 2, 0}));
  EXPECT_TRUE(round_trip_input(ForgetAll{1}));
  EXPECT_TRUE(round_trip_input(Admit{1, 2, 2, 0}));
  EXPECT_TRUE(round_trip_input(NeedUsers{1, 1, 0}));
  EXPECT_TRUE(round_trip_input(BeginEpoch{1, 2}));
  EXPECT_TRUE(round_trip_input(AddSenders{1, {5, 6, 0, 0}, 63, 0}));
  EXPECT_TRUE(round_trip_input(UseEpochs{}));
  EXPECT_TRUE(round_trip_input(RestoreMark{1, 2, 3, no_deadline, {}}));
  EXPECT_TRUE(round_trip_input(SetTimes{1, 2}));
  EXPECT_TRUE(round_trip_input(Advance{1}));
  EXPECT_TRUE(round_trip_input(Drain{1}));
  EXPECT_TRUE(round_trip_input(Leave{}));
  EXPECT_TRUE(round_trip_input(Restore{}));
}

TEST(WorkerProtocol, DatagramAndWarmUpCarryTheirBytes) {
  const Bytes datagram = with_rest(DatagramHead{9, 8}, 5);
  const auto parsed = parse_input(type_of<Input, Datagram>(), datagram);
  ASSERT_TRUE(parsed);
  const auto& d = std::get<Datagram>(parsed.value());
  EXPECT_EQ(d.id, 9u);
  EXPECT_EQ(d.arrival, 8);
  EXPECT_EQ(d.bytes.size(), 5u);
  const Bytes warm = with_rest(WarmUpHead{3, 0}, 2);
  const auto heard = parse_input(type_of<Input, WarmUp>(), warm);
  ASSERT_TRUE(heard);
  EXPECT_EQ(std::get<WarmUp>(heard.value()).opus.size(), 2u);
}

TEST(WorkerProtocol, RefusesUnknownTypes) {
  EXPECT_EQ(parse_input(0, {}).error(), ProtocolError::unknown_type);
  EXPECT_EQ(parse_input(99, {}).error(), ProtocolError::unknown_type);
  EXPECT_EQ(parse_output(0, {}).error(), ProtocolError::unknown_type);
  EXPECT_EQ(parse_output(99, {}).error(), ProtocolError::unknown_type);
}

TEST(WorkerProtocol, RefusesWrongSizes) {
  EXPECT_EQ(input_error(Advance{}, 1), ProtocolError::bad_size);
  EXPECT_EQ(parse_input(type_of<Input, Advance>(), Bytes(7)).error(), ProtocolError::bad_size);
  EXPECT_EQ(parse_input(type_of<Input, Datagram>(), Bytes(15)).error(), ProtocolError::bad_size);
  EXPECT_EQ(parse_input(type_of<Input, Datagram>(), with_rest(DatagramHead{1, 1}, 2049)).error(),
            ProtocolError::bad_size);
  EXPECT_EQ(parse_input(type_of<Input, WarmUp>(), with_rest(WarmUpHead{}, 0)).error(),
            ProtocolError::bad_size);
  EXPECT_EQ(output_error(Hello{1, 0}, 1), ProtocolError::bad_size);
  EXPECT_EQ(output_error(BatchOut{}, 8), ProtocolError::bad_size);
  EXPECT_EQ(parse_output(type_of<Output, RtcpOut>(), with_rest(RtcpHead{}, 0)).error(),
            ProtocolError::bad_size);
}

TEST(WorkerProtocol, RefusesImpossibleSettings) {
  Configure configure;
  EXPECT_EQ(input_error(configure), ProtocolError::bad_value);  // nobody may speak
  configure.max_speakers = 1;
  configure.latency = -1;
  EXPECT_EQ(input_error(configure), ProtocolError::bad_value);
  EXPECT_EQ(input_error(SetKey{1, 1, 7, 0}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(SetKey{1, 1, 0, 64}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(Admit{0, 2, 2, 0}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(Admit{1, 2, 3, 0}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(NeedUsers{1, 2, 0}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(Advance{INT64_MAX}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(BeginEpoch{0, 2}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(AddSenders{0, {5, 6, 0, 0}, 0, 0}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(AddSenders{1, {0, 0, 0, 0}, 0, 0}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(AddSenders{1, {6, 5, 0, 0}, 0, 0}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(AddSenders{1, {5, 0, 6, 0}, secret_slots, 0}), ProtocolError::bad_value);
  UseEpochs use;
  use.active = 2;
  EXPECT_EQ(input_error(use), ProtocolError::bad_value);
  EXPECT_EQ(input_error(RestoreMark{0, 2, 3, 4, {}}), ProtocolError::bad_value);
  EXPECT_EQ(input_error(RestoreMark{1, 0, 3, 4, {}}), ProtocolError::bad_value);
  EXPECT_EQ(parse_input(type_of<Input, Datagram>(), with_rest(DatagramHead{0, 1}, 5)).error(),
            ProtocolError::bad_value);
}

TEST(WorkerProtocol, FramesAreWhatTheySay) {
  EXPECT_TRUE(frame_ok(frame()));
  EXPECT_FALSE(frame_ok(frame(), 960 * 4 + 9));
  EXPECT_FALSE(frame_ok(frame(), 960 * 4 + 11));
  const auto changed = [](auto change, std::size_t rest = 960 * 4 + 10) {
    FrameHead head = frame();
    change(head);
    return frame_ok(head, rest);
  };
  EXPECT_FALSE(changed([](FrameHead& f) { f.id = 0; }));
  EXPECT_FALSE(changed([](FrameHead& f) { f.samples = f.pcm_samples = 0; }, 10));
  EXPECT_FALSE(changed([](FrameHead& f) { f.samples = f.pcm_samples = 5761; }, 5761 * 4 + 10));
  EXPECT_FALSE(changed([](FrameHead& f) { f.pcm_samples = 480; }, 480 * 4 + 10));
  EXPECT_FALSE(changed([](FrameHead& f) { f.sample = -1; }));
  EXPECT_FALSE(changed([](FrameHead& f) { f.sample = INT64_MAX; }));
  EXPECT_FALSE(changed([](FrameHead& f) { f.kind = 4; }));
  EXPECT_FALSE(changed([](FrameHead& f) { f.flags = 8; }));
  EXPECT_FALSE(changed([](FrameHead& f) { f.kind = 2; }));                // PLC with a packet
  EXPECT_FALSE(changed([](FrameHead& f) { f.opus_size = 0; }, 960 * 4));  // sound without
  EXPECT_FALSE(changed([](FrameHead& f) { f.opus_size = 2049; }, 960 * 4 + 2049));
  EXPECT_TRUE(changed([](FrameHead& f) { f.pcm_samples = 0; }, 10));  // not decoded
}

TEST(WorkerProtocol, RefusesImpossibleAnswers) {
  EXPECT_EQ(output_error(Hello{1, 1u << sandbox_parts}), ProtocolError::bad_value);
  EXPECT_EQ(output_error(SpeakingOut{0, 0, 1, 2}), ProtocolError::bad_value);
  EXPECT_EQ(output_error(SpeakingOut{0, INT64_MAX, 1, 1}), ProtocolError::bad_value);
  EXPECT_EQ(output_error(FinishedOut{1, 2, 0, 0}), ProtocolError::bad_value);
  BatchOut batch;
  batch.deadline = INT64_MIN;
  EXPECT_EQ(output_error(batch), ProtocolError::bad_value);
}
