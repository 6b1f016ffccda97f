#include "worker/lane.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace discord::worker {

namespace {

// A packet brings forth a concealed, a recovered and a decoded frame at most.
constexpr unsigned max_frames_per_packet = 3;

}  // namespace

Configure configure_of(const media::ReceiverConfig& config) noexcept {
  Configure out;
  out.max_speakers = config.ingress.max_speakers;
  out.hold_time = config.ingress.hold.hold_time.count();
  out.hold_bytes_per_ssrc = config.ingress.hold.bytes_per_ssrc;
  out.hold_bytes_total = config.ingress.hold.bytes_total;
  out.max_packet_bytes = config.max_packet_bytes;
  out.latency = config.latency.count();
  out.zero = to_ns(config.zero);
  out.audio_payload_type = config.ingress.audio_payload_type;
  out.decode = config.decode ? 1 : 0;
  return out;
}

std::uint64_t CallSettings::user_of(std::uint32_t ssrc) const noexcept {
  const auto it = users.find(ssrc);
  return it == users.end() ? 0 : it->second;
}

bool CallSettings::is_denied(std::uint32_t ssrc) const noexcept {
  const auto it = admissions.find(user_of(ssrc));
  return it != admissions.end() && it->second == media::Admission::denied;
}

void CallSettings::use_keys(dave::MediaKeysPtr published, Time on_their_clock, Time at) {
  now = std::max(now, at);
  keys = std::move(published);
  key_clock = on_their_clock - at;
  const auto dropped = [this](const dave::SenderMark& mark) {
    return !keys || std::none_of(keys->epochs.begin(), keys->epochs.end(), [&](const auto& entry) {
      return entry.keys->serial == mark.epoch;
    });
  };
  for (auto it = marks.begin(); it != marks.end();) {
    std::erase_if(it->second.epochs, dropped);
    it = it->second.epochs.empty() ? marks.erase(it) : std::next(it);
  }
}

bool CallSettings::mark(std::uint64_t user, dave::EpochSerial serial, std::uint64_t counter,
                        Time arrival, const void* lane) {
  const auto published = [&] {
    if (keys) {
      for (const auto& entry : keys->epochs) {
        if (entry.keys->serial == serial && entry.keys->find(user) != nullptr) {
          return entry.keys.get();
        }
      }
    }
    return static_cast<const dave::EpochKeys*>(nullptr);
  }();
  if (user == 0 || published == nullptr) {
    return true;
  }
  if (!dave::generation_can_have_begun(counter >> 24, now + key_clock - published->made)) {
    return false;
  }
  Marks& of_user = marks[user];
  of_user.heard_by = lane;
  const auto mark_of = [&](dave::EpochSerial epoch) -> dave::SenderMark& {
    for (dave::SenderMark& known : of_user.epochs) {
      if (known.epoch == epoch) {
        return known;
      }
    }
    return of_user.epochs.emplace_back(dave::SenderMark{user, epoch, {}, false, std::nullopt});
  };
  const bool first = std::none_of(of_user.epochs.begin(), of_user.epochs.end(),
                                  [&](const auto& m) { return m.epoch == serial; });
  mark_of(serial).window.mark(counter);
  if (first) {
    // Whoever has gone on leaves the epochs before, as FrameOpener has it.
    for (const auto& entry : keys->epochs) {
      if (entry.keys->serial < serial && entry.keys->find(user) != nullptr) {
        dave::SenderMark& older = mark_of(entry.keys->serial);
        older.expires = earlier(older.expires, arrival + key_clock + dave::ratchet_tail);
      }
    }
  }
  return true;
}

void Lane::start(std::shared_ptr<WorkerProcess> worker, std::size_t channel, bool configured,
                 Monotonic now) {
  worker_ = std::move(worker);
  channel_ = &worker_->channel(channel);
  last_progress_ = now;
  inputs_sent_ = configured ? 1 : 0;  // the settings
  inputs_done_ = 0;
  if (!configured) {
    control(configure_of(settings_.receiver));
  }
  const std::int64_t time = to_ns(settings_.now);
  control(NeedUsers{time, settings_.needs_users ? 1u : 0u, 0});
  for (const auto& [user, admission] : settings_.admissions) {
    control(Admit{user, time, static_cast<std::uint32_t>(admission), 0});
  }
  for (const auto& [ssrc, user] : settings_.users) {
    control(MapUser{user, time, ssrc, 0});
  }
  epochs_.clear();
  send_media_keys();
  for (const auto& [user, marks] : settings_.marks) {
    send_marks(user, marks);
  }
  control(SetTimes{settings_.receiver.ingress.hold.hold_time.count(),
                   settings_.receiver.latency.count()});
  send_key();
  for (auto& [ssrc, mirror] : mirrors_) {
    mirror.known = false;
    mirror.end = mirror.complete ? mirror.checkpoint.timeline.end : 0;
    if (mirror.checkpoint.speaking.speaking != 0) {
      introduce(ssrc, mirror);
    }
  }
  for (Open& open : open_) {
    if (!open.done) {
      queue_datagram(open);
    }
  }
  if (draining_) {
    control(Drain{time});
  }
  pump(now);
}

std::uint64_t Lane::lose(bool blamed) {
  std::uint64_t suspect = worker_ ? channel_->working_on() : 0;
  if ((suspect & warming_up) != 0) {
    // It died of what was only to be heard again: the next one does without.
    const auto known = mirrors_.find(static_cast<std::uint32_t>(suspect));
    if (blamed && known != mirrors_.end()) {
      known->second.last.clear();
    }
    suspect = 0;
  }
  fold();
  worker_.reset();
  pending_.clear();
  secret_until_.clear();
  deadline_.reset();
  channel_ = nullptr;
  for (Open& open : open_) {
    open.delivered = open.delivered || open.frames > 0;
    open.frames = 0;
  }
  for (auto& [ssrc, mirror] : mirrors_) {
    fold(mirror);
  }
  return find(suspect) != nullptr ? suspect : 0;
}

// What the lost worker had counted stays; what it had not finished, its successor counts.
void Lane::fold() {
  current_.received -= current_.held + current_.in_flight;
  current_.held = current_.in_flight = 0;
  base_ += current_;
  current_ = {};
  const std::uint64_t known = base_.received + skipped_ + open_count_;
  if (received_ > known) {
    // It finished some without saying how; a worker that lies must not make packets vanish.
    skipped_ += received_ - known;
  }
}

media::Ledger Lane::ledger() const noexcept {
  media::Ledger out = base_;
  out += current_;
  out.in_flight += received_ - skipped_ - out.received;
  out.skipped += skipped_;
  out.received = received_;
  return out;
}

Lane::Open* Lane::find(std::uint64_t id) noexcept {
  if (open_.empty() || id < open_.front().id || id >= next_id_) {
    return nullptr;
  }
  Open& open = open_[static_cast<std::size_t>(id - open_.front().id)];
  return open.done ? nullptr : &open;
}
const Lane::Open* Lane::find(std::uint64_t id) const noexcept {
  return const_cast<Lane*>(this)->find(id);
}

void Lane::close(Open& open) {
  open.done = true;
  --open_count_;
  open_bytes_ -= open.bytes.size();
  open.bytes.clear();
  spare_bytes_.push_back(std::move(open.bytes));
  while (!open_.empty() && open_.front().done) {
    open_.pop_front();
  }
}

void Lane::skip(std::uint64_t id) {
  if (Open* open = find(id)) {
    ++skipped_;
    if (const auto mirror = mirrors_.find(open->ssrc); mirror != mirrors_.end()) {
      ++mirror->second.base.received;
      ++mirror->second.base.skipped;
    }
    close(*open);
  }
}

std::uint32_t Lane::ssrc_of(std::uint64_t id) const noexcept {
  const Open* open = find(id);
  return open != nullptr ? open->ssrc : 0;
}

unsigned Lane::count_death(std::uint64_t id) noexcept {
  Open* open = find(id);
  return open != nullptr ? ++open->deaths : 0;
}

bool Lane::push(ByteSpan datagram, std::uint32_t ssrc, Time arrival) {
  if (open_.size() >= max_open || open_bytes_ + datagram.size() > max_open_bytes) {
    return false;
  }
  Open open;
  open.id = next_id_++;
  if (!spare_bytes_.empty()) {
    open.bytes = std::move(spare_bytes_.back());
    spare_bytes_.pop_back();
  }
  open.bytes.assign(datagram.begin(), datagram.end());
  open.arrival = arrival;
  open.ssrc = ssrc;
  ++received_;
  ++open_count_;
  open_bytes_ += open.bytes.size();
  newest_ = std::max(newest_, arrival);
  open_.push_back(std::move(open));
  if (running()) {
    queue_datagram(open_.back());
  }
  return true;
}

void Lane::queue(std::uint32_t type, ByteSpan body, std::uint64_t id) {
  queue({type, Bytes(body.begin(), body.end()), id});
}

void Lane::queue(Pending pending) {
  if (!pending_.empty() || !send(pending)) {
    pending_.push_back(std::move(pending));
  }
}

void Lane::queue_datagram(const Open& open) {
  const auto mirror = mirrors_.find(open.ssrc);
  if (mirror != mirrors_.end() && !mirror->second.known) {
    introduce(open.ssrc, mirror->second);
  }
  queue(type_of<Input, Datagram>(), {}, open.id);
}

// Hands a successor what it must know of a speaker.
void Lane::introduce(std::uint32_t ssrc, Mirror& mirror) {
  mirror.known = true;
  if (!mirror.complete) {
    return;
  }
  Restore restore;
  restore.ssrc = ssrc;
  restore.now = to_ns(settings_.now);
  restore.checkpoint = mirror.checkpoint;
  restore.history = mirror.history.save();
  control(restore);
  for (const Bytes& opus : mirror.last) {
    const WarmUpHead head{ssrc, 0};
    Bytes body(sizeof head + opus.size());
    std::memcpy(body.data(), &head, sizeof head);
    std::memcpy(body.data() + sizeof head, opus.data(), opus.size());
    queue(type_of<Input, WarmUp>(), body, 0);
  }
}

bool Lane::send(Pending& pending) {
  std::optional<std::uint32_t> slot;
  if (!pending.secret.empty()) {
    slot = channel_->put_secret(pending.secret.view());
    if (!slot) {
      return false;  // until the worker has taken some
    }
    std::memcpy(pending.body.data() + pending.slot_at, &*slot, sizeof *slot);
  }
  ByteSpan body = pending.body;
  DatagramHead head;
  if (pending.id != 0) {
    const Open* open = find(pending.id);
    if (open == nullptr) {
      return true;  // given up meanwhile
    }
    head = {open->id, to_ns(open->arrival)};
    body = open->bytes;
  }
  const std::size_t head_size = pending.id != 0 ? sizeof head : 0;
  const MutableByteSpan to = channel_->input().reserve(pending.type, head_size + body.size());
  if (to.empty()) {
    if (slot) {
      channel_->wipe_secret(*slot);
    }
    return false;
  }
  std::memcpy(to.data(), &head, head_size);
  if (!body.empty()) {
    std::memcpy(to.data() + head_size, body.data(), body.size());
  }
  was_idle_ = was_idle_ || inputs_sent_ == inputs_done_;
  ++inputs_sent_;
  if (slot) {
    secret_until_[*slot] = inputs_sent_;
  }
  return true;
}

void Lane::pump(Monotonic now) {
  if (!running()) {
    return;
  }
  while (!pending_.empty() && send(pending_.front())) {
    pending_.pop_front();
  }
  if (channel_->input().unpublished()) {
    if (std::exchange(was_idle_, false)) {
      last_progress_ = now;
    }
    channel_->input().publish();
    worker_->wake();
  }
}

void Lane::send_key() {
  if (!running()) {
    return;
  }
  if (!settings_.key) {
    control(ClearKey{});
    return;
  }
  const auto& key = *settings_.key;
  control_with_secret(
      SetKey{key.generation, to_ns(settings_.now), static_cast<std::uint32_t>(key.mode), 0},
      SecretBytes(ByteSpan(key.key.view())));
}

void Lane::send_media_keys() {
  if (!running()) {
    return;
  }
  const auto ns = [](Deadline d) { return d ? to_ns(*d) : no_deadline; };
  UseEpochs use;
  use.now = to_ns(settings_.now);
  use.published = to_ns(settings_.now + settings_.key_clock);
  std::vector<std::shared_ptr<const dave::EpochKeys>> in_use;
  if (settings_.keys) {
    const dave::MediaKeys& keys = *settings_.keys;
    use.known = 1;
    use.active = keys.active ? 1 : 0;
    use.passthrough = keys.passthrough ? 1 : 0;
    use.passthrough_until = ns(keys.passthrough_until);
    for (std::size_t i = 0; i < std::min(keys.epochs.size(), use.serials.size()); ++i) {
      const std::shared_ptr<const dave::EpochKeys>& epoch = keys.epochs[i].keys;
      use.serials[i] = epoch->serial;
      use.expires[i] = ns(keys.epochs[i].expires);
      in_use.push_back(epoch);
      if (std::find(epochs_.begin(), epochs_.end(), epoch) != epochs_.end()) {
        continue;
      }
      control(BeginEpoch{epoch->serial, to_ns(epoch->made)});
      constexpr std::size_t size = dave::BaseSecret::size;
      for (std::size_t at = 0; at < epoch->senders.size(); at += senders_per_record) {
        AddSenders add;
        add.serial = epoch->serial;
        const std::size_t count = std::min(senders_per_record, epoch->senders.size() - at);
        SecretBytes secret(count * size);
        for (std::size_t n = 0; n < count; ++n) {
          const dave::SenderKey& sender = epoch->senders[at + n];
          add.users[n] = sender.user;
          std::copy_n(sender.base.data(), size, secret.writable().data() + n * size);
        }
        control_with_secret(add, std::move(secret));
      }
    }
  }
  epochs_ = std::move(in_use);
  control(use);
}

void Lane::adopt(std::uint64_t user) {
  const auto it = settings_.marks.find(user);
  if (it != settings_.marks.end() && it->second.heard_by != this) {
    it->second.heard_by = this;
    send_marks(user, it->second);
  }
}

void Lane::send_marks(std::uint64_t user, const CallSettings::Marks& marks) {
  for (const dave::SenderMark& mark : marks.epochs) {
    control(RestoreMark{user, mark.epoch, to_ns(settings_.now),
                        mark.expires ? to_ns(*mark.expires) : no_deadline, mark.window.save()});
  }
}

bool Lane::end_session(Monotonic now) {
  pending_.clear();
  control(EndSession{});
  pump(now);
  return pending_.empty();
}

void Lane::drain() {
  draining_ = true;
  control(Drain{to_ns(settings_.now)});
}

void Lane::give_up() {
  while (!open_.empty()) {
    skip(open_.front().id);
  }
  draining_ = false;
}

void Lane::forget(std::uint32_t ssrc) {
  const auto it = mirrors_.find(ssrc);
  if (it != mirrors_.end()) {
    depart(ssrc, it->second, &media::Ledger::no_user);
    mirrors_.erase(it);
  }
}
void Lane::forget_all() {
  for (const auto& [ssrc, mirror] : mirrors_) {
    depart(ssrc, mirror, &media::Ledger::evicted);
  }
  mirrors_.clear();
}

void Lane::exclude(std::uint32_t ssrc, bool excluded) {
  const auto it = mirrors_.find(ssrc);
  if (it == mirrors_.end() || it->second.excluded == excluded) {
    return;
  }
  Mirror& mirror = it->second;
  if (excluded) {
    const media::Ledger heard = row(ssrc, mirror).ledger;
    if (heard.played + heard.silence > 0) {
      depart(ssrc, mirror, &media::Ledger::denied);
    }
    mirror.base = mirror.current = {};
    mirror.last.clear();
    mirror.complete = false;
  }
  mirror.excluded = excluded;
}

// The row stays for the record. What still waited for its user is given up with it; what was in
// order comes out yet.
void Lane::depart(std::uint32_t ssrc, const Mirror& mirror, std::uint64_t media::Ledger::*cause) {
  media::SpeakerStats out = row(ssrc, mirror);
  if (out.ledger.received == 0) {
    return;
  }
  out.gone = true;
  out.speaking = false;
  out.ledger.*cause += std::exchange(out.ledger.held, 0);
  out.ledger.played += std::exchange(out.ledger.in_flight, 0);
  departed_.push_back(out);
  if (departed_.size() > settings_.receiver.ingress.max_speakers) {
    departed_.pop_front();
  }
}

media::SpeakerStats Lane::row(std::uint32_t ssrc, const Mirror& mirror) const {
  media::SpeakerStats out;
  out.ssrc = ssrc;
  out.user_id = mirror.user_id;
  out.speaking = mirror.checkpoint.speaking.speaking != 0;
  if (mirror.checkpoint.audio_level != 255) {
    out.audio_level = mirror.checkpoint.audio_level;
  }
  media::JitterEstimator jitter;
  jitter.restore(mirror.checkpoint.jitter);
  out.jitter = jitter.value();
  out.ledger = mirror.base;
  out.ledger += mirror.current;
  return out;
}

void Lane::speakers(std::vector<media::SpeakerStats>& out) const {
  out.insert(out.end(), departed_.begin(), departed_.end());
  for (const auto& [ssrc, mirror] : mirrors_) {
    if (!mirror.excluded) {
      out.push_back(row(ssrc, mirror));
    }
  }
}

// What a lost worker had not finished, its successor counts.
void Lane::fold(Mirror& mirror) {
  mirror.current.received -= mirror.current.held + mirror.current.in_flight;
  mirror.current.held = mirror.current.in_flight = 0;
  mirror.base += mirror.current;
  mirror.current = {};
}

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
    if (!draining_ || open_count_ != 0) {
      return Meaning::violation;
    }
    draining_ = false;
    return Meaning::drained;
  }
  return Meaning::rtcp;
}

Lane::Meaning Lane::take(const FrameOut& out, media::DecodedFrame& frame) {
  Open* open = find(out.id);
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
  const auto known = mirrors_.find(out.ssrc);
  // For a speaker nobody knew before there is nothing to compare with yet.
  const std::int64_t newest = media::samples_from_duration(newest_ - settings_.receiver.zero);
  // Frames that are not decoded may begin a little inside the one before.
  const std::int64_t slack = settings_.receiver.decode ? 0 : media::opus_max_duration;
  if ((known != mirrors_.end() && out.sample + slack < known->second.end) ||
      out.sample > std::max<std::int64_t>(newest, 0) + 2 * media::Timeline::max_ahead) {
    return Meaning::violation;
  }
  if (open->delivered) {
    return Meaning::nothing;  // by a predecessor, who died before it could say so
  }
  Mirror& mirror = known != mirrors_.end() ? known->second : add_mirror(out.ssrc);
  mirror.end = out.sample + out.samples;
  opus_.assign(out.opus.begin(), out.opus.end());
  if (arrived) {
    Bytes oldest;
    if (mirror.last.size() >= media::warm_up_packets) {
      oldest = std::move(mirror.last.front());
      mirror.last.pop_front();
    }
    oldest = opus_;
    mirror.last.push_back(std::move(oldest));
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

// Keeps no more speakers than a worker does; the longest idle one makes room.
Lane::Mirror& Lane::add_mirror(std::uint32_t ssrc) {
  if (mirrors_.size() >= settings_.receiver.ingress.max_speakers) {
    const auto idlest =
        std::min_element(mirrors_.begin(), mirrors_.end(), [](const auto& a, const auto& b) {
          return a.second.checkpoint.last_packet < b.second.checkpoint.last_packet;
        });
    depart(idlest->first, idlest->second, &media::Ledger::evicted);
    mirrors_.erase(idlest);
  }
  Mirror& made = mirrors_[ssrc];
  made.excluded = settings_.is_denied(ssrc);
  return made;
}

Lane::Meaning Lane::take(const CheckpointOut& out) {
  media::Timeline probe(settings_.receiver.zero);
  if (out.checkpoint.timeline.zero != to_ns(settings_.receiver.zero) ||
      !probe.restore(out.checkpoint.timeline)) {
    return Meaning::violation;
  }
  const auto known = mirrors_.find(out.ssrc);
  if (out.checkpoint.ledger.received > received_) {
    return Meaning::violation;
  }
  if (settings_.is_denied(out.ssrc) || (known == mirrors_.end() && !has_open(out.ssrc))) {
    return Meaning::nothing;  // forgotten here while the worker did not know yet
  }
  Mirror& mirror = known != mirrors_.end() ? known->second : add_mirror(out.ssrc);
  mirror.checkpoint = out.checkpoint;
  mirror.current = out.checkpoint.ledger;
  mirror.user_id =
      settings_.told_users.contains(out.checkpoint.user_id) ? out.checkpoint.user_id : 0;
  mirror.complete = true;
  return Meaning::nothing;
}

bool Lane::has_open(std::uint32_t ssrc) const {
  return std::any_of(open_.begin(), open_.end(),
                     [&](const Open& open) { return !open.done && open.ssrc == ssrc; });
}

Lane::Meaning Lane::take(const RowOut& out) {
  if (out.ledger.received > received_ ||
      (out.user_id != 0 && !settings_.told_users.contains(out.user_id))) {
    return Meaning::violation;
  }
  const auto known = mirrors_.find(out.ssrc);
  if (settings_.is_denied(out.ssrc) || (known == mirrors_.end() && !has_open(out.ssrc))) {
    return Meaning::nothing;
  }
  Mirror& mirror = known != mirrors_.end() ? known->second : add_mirror(out.ssrc);
  mirror.current = out.ledger;
  mirror.user_id = out.user_id;
  return Meaning::nothing;
}

Lane::Meaning Lane::take(const FinishedOut& out) {
  Open* open = find(out.id);
  if (open == nullptr) {
    return Meaning::violation;
  }
  const auto known = mirrors_.find(open->ssrc);
  if (out.epoch != 0) {
    std::uint64_t user = settings_.user_of(open->ssrc);
    if (user == 0 && known != mirrors_.end()) {
      user = known->second.user_id;  // it left while its last frames were in order
    }
    if (!settings_.mark(user, out.epoch, out.counter, open->arrival, this)) {
      return Meaning::violation;
    }
  }
  if (out.authentic != 0 && known != mirrors_.end() &&
      open->bytes.size() >= rtp::fixed_header_size) {
    known->second.history.see(load_be16(open->bytes.data() + 2), load_be32(open->bytes.data() + 4));
  }
  close(*open);
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
