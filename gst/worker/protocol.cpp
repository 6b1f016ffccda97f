#include "worker/protocol.hpp"

#include <algorithm>
#include <cstring>

namespace discord::worker {

namespace {

constexpr std::int64_t time_limit = std::int64_t{1} << 62;

bool time_ok(std::int64_t ns) noexcept {
  return ns > -time_limit && ns < time_limit;
}
bool duration_ok(std::int64_t ns) noexcept {
  return ns >= 0 && ns < time_limit;
}
bool is_flag(std::uint64_t value) noexcept {
  return value <= 1;
}

// The fixed part at the front of `body`; false when the size is not that of the record.
template <class T> bool load(ByteSpan body, T& out, std::size_t least_rest, std::size_t most_rest) {
  if (body.size() < sizeof(T) + least_rest || body.size() > sizeof(T) + most_rest) {
    return false;
  }
  std::memcpy(static_cast<void*>(&out), body.data(), sizeof(T));
  return true;
}

bool valid(const Configure& c) noexcept {
  return c.max_speakers >= 1 && c.max_speakers <= 65536 && duration_ok(c.hold_time) &&
         duration_ok(c.latency) && time_ok(c.zero) && c.audio_payload_type < 128 &&
         is_flag(c.decode);
}
bool valid(const SetKey& k) noexcept {
  return time_ok(k.now) && k.mode < transport::mode_count && k.slot < secret_slots;
}
bool valid(const ClearKey&) noexcept {
  return true;
}
bool valid(const MapUser& m) noexcept {
  return time_ok(m.now);
}
bool valid(const Retire& r) noexcept {
  return time_ok(r.now);
}
bool valid(const ForgetAll& f) noexcept {
  return time_ok(f.now);
}
bool valid(const Admit& a) noexcept {
  return time_ok(a.now) && a.user_id != 0 &&
         a.admission <= static_cast<std::uint32_t>(media::Admission::denied);
}
bool valid(const NeedUsers& n) noexcept {
  return time_ok(n.now) && is_flag(n.needed);
}
bool deadline_ok(std::int64_t ns) noexcept {
  return time_ok(ns) || ns == no_deadline;
}
bool valid(const BeginEpoch& e) noexcept {
  return e.serial != 0 && time_ok(e.made);
}
bool valid(const AddSenders& a) noexcept {
  for (std::size_t i = 1; i < a.users.size(); ++i) {
    if (a.users[i] != 0 && (a.users[i - 1] == 0 || a.users[i] <= a.users[i - 1])) {
      return false;
    }
  }
  return a.serial != 0 && a.users[0] != 0 && a.slot < secret_slots;
}
bool valid(const UseEpochs& u) noexcept {
  return time_ok(u.now) && time_ok(u.published) && deadline_ok(u.passthrough_until) &&
         is_flag(u.known) && is_flag(u.active) && is_flag(u.passthrough) &&
         std::all_of(u.expires.begin(), u.expires.end(), deadline_ok);
}
bool valid(const RestoreMark& m) noexcept {
  return m.user_id != 0 && m.serial != 0 && time_ok(m.now) && deadline_ok(m.expires) &&
         is_flag(m.window.any);
}
bool valid(const SetTimes& t) noexcept {
  return duration_ok(t.hold_time) && duration_ok(t.latency);
}
bool valid(const Advance& a) noexcept {
  return time_ok(a.now);
}
bool valid(const Drain& d) noexcept {
  return time_ok(d.now);
}
bool valid(const Leave&) noexcept {
  return true;
}
bool valid(const EndSession&) noexcept {
  return true;
}
bool valid(const Restore& r) noexcept {
  return time_ok(r.now);
}
bool valid(const Hello& h) noexcept {
  return h.missing < (1U << sandbox_parts);
}
bool valid(const SpeakingOut& s) noexcept {
  return time_ok(s.when) && is_flag(s.speaking);
}
bool valid(const FinishedOut& f) noexcept {
  return is_flag(f.authentic);
}
bool valid(const CheckpointOut& c) noexcept {
  return c.checkpoint.ledger.adds_up();
}
bool valid(const RowOut& r) noexcept {
  return r.ledger.adds_up();
}
bool valid(const UndecryptableOut& u) noexcept {
  return u.user_id != 0;
}
bool valid(const BatchOut& b) noexcept {
  return deadline_ok(b.deadline);
}
bool valid(const Drained&) noexcept {
  return true;
}

template <class T, class Out> Result<Out, ProtocolError> fixed(ByteSpan body) noexcept {
  T out;
  if (!load(body, out, 0, 0)) {
    return Failure{ProtocolError::bad_size};
  }
  if (!valid(out)) {
    return Failure{ProtocolError::bad_value};
  }
  return Out(out);
}

Result<Input, ProtocolError> parse_warm_up(ByteSpan body) noexcept {
  WarmUp out;
  if (!load(body, static_cast<WarmUpHead&>(out), 1, max_datagram)) {
    return Failure{ProtocolError::bad_size};
  }
  out.opus = body.subspan(sizeof(WarmUpHead));
  return Input(out);
}

Result<Input, ProtocolError> parse_datagram(ByteSpan body) noexcept {
  Datagram out;
  if (!load(body, static_cast<DatagramHead&>(out), 0, max_datagram)) {
    return Failure{ProtocolError::bad_size};
  }
  if (!time_ok(out.arrival) || out.id == 0) {
    return Failure{ProtocolError::bad_value};
  }
  out.bytes = body.subspan(sizeof(DatagramHead));
  return Input(out);
}

Result<Output, ProtocolError> parse_frame(ByteSpan body) noexcept {
  constexpr std::size_t bytes_per_sample = media::output_channels * sizeof(std::int16_t);
  FrameOut out;
  if (!load(body, static_cast<FrameHead&>(out), 0,
            media::opus_max_duration * bytes_per_sample + max_datagram)) {
    return Failure{ProtocolError::bad_size};
  }
  const bool arrived = out.kind == static_cast<std::uint8_t>(media::FrameKind::audio) ||
                       out.kind == static_cast<std::uint8_t>(media::FrameKind::silence);
  if (out.id == 0 || out.samples == 0 || out.samples > media::opus_max_duration ||
      (out.pcm_samples != 0 && out.pcm_samples != out.samples) || out.sample < 0 ||
      out.sample >= time_limit || out.kind > static_cast<std::uint8_t>(media::FrameKind::silence) ||
      out.flags > (frame_discont | frame_marker | frame_resync) || out.opus_size > max_datagram ||
      arrived != (out.opus_size != 0) ||
      (out.lost_packets != 0 && (arrived || out.pcm_samples != 0)) ||
      out.lost_each > media::opus_max_duration || (out.lost_each == 0) != (out.lost_packets == 0)) {
    return Failure{ProtocolError::bad_value};
  }
  const std::size_t pcm = out.pcm_samples * bytes_per_sample;
  if (body.size() != sizeof(FrameHead) + pcm + out.opus_size) {
    return Failure{ProtocolError::bad_size};
  }
  out.pcm = body.subspan(sizeof(FrameHead), pcm);
  out.opus = body.subspan(sizeof(FrameHead) + pcm);
  return Output(out);
}

Result<Output, ProtocolError> parse_rtcp(ByteSpan body) noexcept {
  RtcpOut out;
  if (!load(body, static_cast<RtcpHead&>(out), 1, max_datagram)) {
    return Failure{ProtocolError::bad_size};
  }
  if (!time_ok(out.arrival)) {
    return Failure{ProtocolError::bad_value};
  }
  out.compound = body.subspan(sizeof(RtcpHead));
  return Output(out);
}

}  // namespace

Result<Input, ProtocolError> parse_input(std::uint32_t type, ByteSpan body) noexcept {
  switch (type) {
    case type_of<Input, Configure>():
      return fixed<Configure, Input>(body);
    case type_of<Input, SetKey>():
      return fixed<SetKey, Input>(body);
    case type_of<Input, ClearKey>():
      return fixed<ClearKey, Input>(body);
    case type_of<Input, MapUser>():
      return fixed<MapUser, Input>(body);
    case type_of<Input, Retire>():
      return fixed<Retire, Input>(body);
    case type_of<Input, ForgetAll>():
      return fixed<ForgetAll, Input>(body);
    case type_of<Input, Admit>():
      return fixed<Admit, Input>(body);
    case type_of<Input, NeedUsers>():
      return fixed<NeedUsers, Input>(body);
    case type_of<Input, BeginEpoch>():
      return fixed<BeginEpoch, Input>(body);
    case type_of<Input, AddSenders>():
      return fixed<AddSenders, Input>(body);
    case type_of<Input, UseEpochs>():
      return fixed<UseEpochs, Input>(body);
    case type_of<Input, RestoreMark>():
      return fixed<RestoreMark, Input>(body);
    case type_of<Input, SetTimes>():
      return fixed<SetTimes, Input>(body);
    case type_of<Input, Advance>():
      return fixed<Advance, Input>(body);
    case type_of<Input, Drain>():
      return fixed<Drain, Input>(body);
    case type_of<Input, Leave>():
      return fixed<Leave, Input>(body);
    case type_of<Input, EndSession>():
      return fixed<EndSession, Input>(body);
    case type_of<Input, Restore>():
      return fixed<Restore, Input>(body);
    case type_of<Input, WarmUp>():
      return parse_warm_up(body);
    case type_of<Input, Datagram>():
      return parse_datagram(body);
    default:
      return Failure{ProtocolError::unknown_type};
  }
}

Result<Output, ProtocolError> parse_output(std::uint32_t type, ByteSpan body) noexcept {
  switch (type) {
    case type_of<Output, Hello>():
      return fixed<Hello, Output>(body);
    case type_of<Output, FrameOut>():
      return parse_frame(body);
    case type_of<Output, SpeakingOut>():
      return fixed<SpeakingOut, Output>(body);
    case type_of<Output, RtcpOut>():
      return parse_rtcp(body);
    case type_of<Output, FinishedOut>():
      return fixed<FinishedOut, Output>(body);
    case type_of<Output, CheckpointOut>():
      return fixed<CheckpointOut, Output>(body);
    case type_of<Output, RowOut>():
      return fixed<RowOut, Output>(body);
    case type_of<Output, UndecryptableOut>():
      return fixed<UndecryptableOut, Output>(body);
    case type_of<Output, BatchOut>():
      return fixed<BatchOut, Output>(body);
    case type_of<Output, Drained>():
      return fixed<Drained, Output>(body);
    default:
      return Failure{ProtocolError::unknown_type};
  }
}

}  // namespace discord::worker
