// What a worker says, and whether to believe it: everything is held against the parent's own
// copies.
#include "worker/lane.hpp"

#include <algorithm>
#include <utility>

namespace discord::worker {

namespace {

// A packet brings forth a concealed, a recovered and a decoded frame at most.
constexpr unsigned max_frames_per_packet = 3;

}  // namespace

Lane::Meaning Lane::handle(const Result<Output, ProtocolError>& output, media::DecodedFrame& frame,
                           Monotonic now) {
  if (!output) {
    return Meaning::violation;
  }
  if (const auto* f = std::get_if<FrameOut>(&output.value())) {
    return take(*f, frame);
  }
  if (const auto* f = std::get_if<FinishedOut>(&output.value())) {
    return take(*f);
  }
  if (const auto* c = std::get_if<CheckpointOut>(&output.value())) {
    return take(*c);
  }
  if (const auto* r = std::get_if<RowOut>(&output.value())) {
    return take(*r);
  }
  if (const auto* u = std::get_if<UndecryptableOut>(&output.value())) {
    return settings_.told_users.contains(u->user_id) ? Meaning::undecryptable : Meaning::violation;
  }
  if (const auto* b = std::get_if<BatchOut>(&output.value())) {
    return take(*b, now);
  }
  if (const auto* s = std::get_if<SpeakingOut>(&output.value())) {
    return s->user_id == 0 || settings_.told_users.contains(s->user_id) ? Meaning::speaking
                                                                        : Meaning::violation;
  }
  if (const auto* h = std::get_if<Hello>(&output.value())) {
    return h->version == protocol_version ? Meaning::hello : Meaning::violation;
  }
  if (std::holds_alternative<Drained>(output.value())) {
    if (!draining_ || open_.count() != 0) {
      return Meaning::violation;
    }
    draining_ = false;
    return Meaning::drained;
  }
  return Meaning::rtcp;
}

Lane::Meaning Lane::take(const FrameOut& out, media::DecodedFrame& frame) {
  OpenPacket* open = open_.find(out.id);
  if (open == nullptr || open->ssrc != out.ssrc || open->bytes.size() < rtp::fixed_header_size ||
      ++open->frames > max_frames_per_packet ||
      (out.user_id != 0 && !settings_.told_users.contains(out.user_id))) {
    return Meaning::violation;
  }
  const bool arrived = out.opus_size != 0;
  if (arrived && (out.timestamp != load_be32(open->bytes.data() + 4) ||
                  (out.sequence & 0xFFFF) != load_be16(open->bytes.data() + 2) ||
                  out.opus_size >= open->bytes.size())) {
    return Meaning::violation;
  }
  if ((out.pcm_samples != 0) != settings_.receiver.decode ||
      (!settings_.receiver.decode && !arrived && out.lost_packets == 0)) {
    return Meaning::violation;
  }
  const Mirror* known = mirrors_.find(out.ssrc);
  // For a speaker nobody knew before there is nothing to compare with yet.
  const std::int64_t newest = media::samples_from_duration(newest_ - settings_.receiver.zero);
  // Frames that are not decoded may begin a little inside the one before.
  const std::int64_t slack = settings_.receiver.decode ? 0 : media::opus_max_duration;
  if ((known != nullptr && out.sample + slack < known->end) ||
      out.sample > std::max<std::int64_t>(newest, 0) + 2 * media::Timeline::max_ahead) {
    return Meaning::violation;
  }
  if (open->delivered) {
    return Meaning::nothing;  // by a predecessor, who died before it could say so
  }
  Mirror& mirror = mirrors_.find_or_add(out.ssrc, max_speakers());
  mirror.excluded = settings_.is_denied(out.ssrc);
  mirror.end = out.sample + out.samples;
  opus_.assign(out.opus.begin(), out.opus.end());
  if (arrived) {
    mirror.remember(opus_);
  }
  frame = {};
  frame.ssrc = out.ssrc;
  frame.user_id = out.user_id;
  frame.kind = static_cast<media::FrameKind>(out.kind);
  frame.sample = out.sample;
  frame.samples = out.samples;
  frame.pcm = {reinterpret_cast<const std::int16_t*>(out.pcm.data()),
               out.pcm.size() / sizeof(std::int16_t)};
  frame.opus = opus_;
  frame.id = out.id;
  frame.sequence = out.sequence;
  frame.timestamp = out.timestamp;
  frame.discont = (out.flags & frame_discont) != 0;
  frame.marker = (out.flags & frame_marker) != 0;
  frame.resync = (out.flags & frame_resync) != 0;
  frame.lost_packets = out.lost_packets;
  frame.lost_each = out.lost_each;
  frame.audio_level = out.audio_level;
  frame.speaking_flags = out.speaking_flags;
  return Meaning::frame;
}

Lane::Meaning Lane::take(const CheckpointOut& out) {
  media::Timeline probe(settings_.receiver.zero);
  if (out.checkpoint.timeline.zero != to_ns(settings_.receiver.zero) ||
      !probe.restore(out.checkpoint.timeline)) {
    return Meaning::violation;
  }
  if (out.checkpoint.ledger.received > received_) {
    return Meaning::violation;
  }
  if (settings_.is_denied(out.ssrc) || (!mirrors_.contains(out.ssrc) && !open_.has(out.ssrc))) {
    return Meaning::nothing;  // forgotten here while the worker did not know yet
  }
  Mirror& mirror = mirrors_.find_or_add(out.ssrc, max_speakers());
  mirror.checkpoint = out.checkpoint;
  mirror.current = out.checkpoint.ledger;
  mirror.user_id =
      settings_.told_users.contains(out.checkpoint.user_id) ? out.checkpoint.user_id : 0;
  mirror.complete = true;
  return Meaning::nothing;
}

Lane::Meaning Lane::take(const RowOut& out) {
  if (out.ledger.received > received_ ||
      (out.user_id != 0 && !settings_.told_users.contains(out.user_id))) {
    return Meaning::violation;
  }
  if (settings_.is_denied(out.ssrc) || (!mirrors_.contains(out.ssrc) && !open_.has(out.ssrc))) {
    return Meaning::nothing;
  }
  Mirror& mirror = mirrors_.find_or_add(out.ssrc, max_speakers());
  mirror.current = out.ledger;
  mirror.user_id = out.user_id;
  return Meaning::nothing;
}

Lane::Meaning Lane::take(const FinishedOut& out) {
  OpenPacket* open = open_.find(out.id);
  if (open == nullptr) {
    return Meaning::violation;
  }
  Mirror* known = mirrors_.find(open->ssrc);
  if (out.epoch != 0) {
    std::uint64_t user = settings_.user_of(open->ssrc);
    if (user == 0 && known != nullptr) {
      user = known->user_id;  // it left while its last frames were in order
    }
    if (!settings_.mark(user, out.epoch, out.counter, open->arrival, this)) {
      return Meaning::violation;
    }
  }
  if (out.authentic != 0 && known != nullptr && !known->excluded &&
      open->bytes.size() >= rtp::fixed_header_size) {
    known->history.see(load_be16(open->bytes.data() + 2), load_be32(open->bytes.data() + 4));
  }
  open_.close(*open);
  success_ = true;
  return Meaning::nothing;
}

Lane::Meaning Lane::take(const BatchOut& out, Monotonic now) {
  if (out.inputs < inputs_done_ || out.inputs > inputs_sent_ || !out.ledger.adds_up() ||
      out.ledger.received > received_) {
    return Meaning::violation;
  }
  if (out.inputs > inputs_done_) {
    last_progress_ = now;
  }
  inputs_done_ = out.inputs;
  current_ = out.ledger;
  deadline_ = out.deadline == no_deadline ? Deadline() : Deadline(time_from_ns(out.deadline));
  for (auto it = secret_until_.begin(); it != secret_until_.end();) {
    if (it->second <= inputs_done_) {
      channel_->wipe_secret(it->first);
      it = secret_until_.erase(it);
    } else {
      ++it;
    }
  }
  return Meaning::batch;
}

}  // namespace discord::worker
