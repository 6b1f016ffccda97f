#include "worker/service.hpp"

#include <openssl/crypto.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <utility>

namespace discord::worker {

namespace {

// A packet can bring forth a concealed, a recovered and a decoded frame; before the next one is
// looked at there is room for all of it, and for what ends a batch.
constexpr std::size_t worst_packet = 128 * 1024;
constexpr std::size_t max_touched = 64;

const InputHeader& input_header(const std::uint8_t* memory) noexcept {
  return *reinterpret_cast<const InputHeader*>(memory);
}
OutputHeader& output_header(std::uint8_t* memory) noexcept {
  return *reinterpret_cast<OutputHeader*>(memory);
}

media::ReceiverConfig config_of(const Configure& c) {
  media::ReceiverConfig out;
  out.ingress.max_speakers = static_cast<std::size_t>(c.max_speakers);
  out.ingress.hold.hold_time = Duration(c.hold_time);
  out.ingress.hold.bytes_per_ssrc = static_cast<std::size_t>(c.hold_bytes_per_ssrc);
  out.ingress.hold.bytes_total = static_cast<std::size_t>(c.hold_bytes_total);
  out.ingress.audio_payload_type = static_cast<std::uint8_t>(c.audio_payload_type);
  out.latency = Duration(c.latency);
  out.zero = time_from_ns(c.zero);
  out.decode = c.decode != 0;
  out.max_packet_bytes = static_cast<std::size_t>(c.max_packet_bytes);
  return out;
}

Deadline deadline_of(std::int64_t ns) {
  return ns == no_deadline ? Deadline() : Deadline(time_from_ns(ns));
}

}  // namespace

void warm_up_libraries() {
  // What /etc says about engines and providers is for programs that can open files.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS, nullptr);
  for (std::size_t mode = 0; mode < transport::mode_count; ++mode) {
    transport::Cipher cipher(static_cast<transport::Mode>(mode), transport::Key());
    Bytes nothing(64, 0x80);
    (void)cipher.open_rtp(nothing);
    nothing.assign(64, 0x80);
    (void)cipher.open_rtcp(nothing);
  }
  dave::ReceiveRatchet ratchet(dave::BaseSecret(), Time{});
  constexpr std::uint8_t frame[] = {1,  2,  3,  4,  5,  6,  7,  8, 9,  10,   11,
                                    12, 13, 14, 15, 16, 17, 18, 1, 12, 0xFA, 0xFA};
  Bytes plain(sizeof frame);
  if (const auto view = dave::parse_frame(frame)) {
    (void)ratchet.open(view.value(), plain, Time{});
  }
  alignas(media::SpeakerDecoder::slot_alignment) static std::uint8_t slot[64 * 1024];
  media::SpeakerDecoder decoder(slot);
  constexpr std::uint8_t silence[] = {0xF8, 0xFF, 0xFE};
  decoder.warm_up(silence);
}

Service::Service(const std::uint8_t* input, std::uint8_t* output, int doorbell,
                 const InputHeader* first_in, OutputHeader* first_out)
    : input_(input),
      in_(input_header(input)),
      out_(output_header(output)),
      first_in_(first_in != nullptr ? *first_in : in_),
      doorbell_(doorbell),
      reader_(input + input_ring_offset, ring_size, in_.head, out_.input_tail),
      writer_(output + output_ring_offset, ring_size, out_.head, in_.output_tail),
      sleeper_(first_out != nullptr ? first_out->asleep : out_.asleep, first_in_.wake) {}
Service::~Service() = default;

template <class T> void Service::write(const T& value) {
  const ByteSpan bytes = bytes_of(value);
  std::memcpy(room_for(type_of<Output, T>(), bytes.size()).data(), bytes.data(), bytes.size());
}

bool Service::configure() {
  for (;;) {
    if (const auto record = reader_.peek()) {
      const auto input = parse_input(record->type, record->body);
      const auto* settings = input ? std::get_if<Configure>(&input.value()) : nullptr;
      if (settings == nullptr || !begin_session(*settings)) {
        return false;
      }
      warm_up_libraries();
      reader_.pop();
      reader_.release();
      ++inputs_;
      return true;
    }
    if (!reader_.sane()) {
      return false;
    }
    sleep_until_news();
  }
}

// Makes everything that will be needed. Settings come once a session.
bool Service::begin_session(const Configure& settings) {
  if (receiver_) {
    return false;
  }
  receiver_ = std::make_unique<media::Receiver>(config_of(settings));
  return true;
}

void Service::say_hello(std::uint32_t missing_parts) {
  write(Hello{protocol_version, missing_parts});
  publish();
}

bool Service::run() {
  while (!leaving_ && !broken_) {
    if (!step() && !broken_) {
      sleep_until_news();
    }
  }
  return !broken_;
}

bool Service::step() {
  bool done = false;
  while (!leaving_ && !broken_) {
    const auto record = reader_.peek();
    if (!record) {
      broken_ = !reader_.sane();
      break;
    }
    if (!apply(*record)) {
      broken_ = true;
      break;
    }
    done = true;
    reader_.pop();
    reader_.release();
    ++inputs_;
    if (std::exchange(drained_, false)) {
      // Counted by then, so that whoever waited for it finds nothing on its way.
      end_batch();
      write(Drained{});
      publish();
      break;
    }
    if (++in_batch_ >= batch_inputs) {
      break;
    }
  }
  if (in_batch_ > 0 && !broken_) {
    end_batch();
  }
  return done;
}

bool Service::apply(const Record& record) {
  const auto input = parse_input(record.type, record.body);
  if (!input) {
    return false;
  }
  if (const auto* settings = std::get_if<Configure>(&input.value())) {
    return begin_session(*settings);
  }
  if (std::holds_alternative<Leave>(input.value())) {
    leaving_ = true;
    return true;
  }
  if (std::holds_alternative<EndSession>(input.value())) {
    // Keys wipe themselves. What has not been published is nobody's.
    receiver_.reset();
    epochs_.clear();
    return true;
  }
  if (!receiver_) {
    return false;
  }
  media::Receiver& receiver = *receiver_;
  if (const auto* d = std::get_if<Datagram>(&input.value())) {
    receiver.push(d->bytes, d->id, time_from_ns(d->arrival), *this);
    ask_for_recovery(time_from_ns(d->arrival));
  } else if (const auto* a = std::get_if<Advance>(&input.value())) {
    receiver.advance(time_from_ns(a->now), *this);
  } else if (const auto* k = std::get_if<SetKey>(&input.value())) {
    const std::uint8_t* slot = input_ + secrets_offset + k->slot * secret_slot_size;
    const transport::Key key(
        std::span<const std::uint8_t, transport::Key::size>(slot, transport::Key::size));
    receiver.set_key(k->generation, static_cast<transport::Mode>(k->mode), key,
                     time_from_ns(k->now), *this);
  } else if (std::holds_alternative<ClearKey>(input.value())) {
    receiver.clear_key();
  } else if (const auto* m = std::get_if<MapUser>(&input.value())) {
    receiver.map_user(m->ssrc, m->user_id, time_from_ns(m->now), *this);
  } else if (const auto* r = std::get_if<Retire>(&input.value())) {
    receiver.retire(r->ssrc, time_from_ns(r->now), *this);
  } else if (const auto* f = std::get_if<ForgetAll>(&input.value())) {
    receiver.forget_all(time_from_ns(f->now), *this);
  } else if (const auto* admit = std::get_if<Admit>(&input.value())) {
    receiver.admit(admit->user_id, static_cast<media::Admission>(admit->admission),
                   time_from_ns(admit->now), *this);
  } else if (const auto* need = std::get_if<NeedUsers>(&input.value())) {
    receiver.need_users(need->needed != 0, time_from_ns(need->now), *this);
  } else if (const auto* e = std::get_if<BeginEpoch>(&input.value())) {
    return add_epoch(*e);
  } else if (const auto* senders = std::get_if<AddSenders>(&input.value())) {
    return add_senders(*senders);
  } else if (const auto* use = std::get_if<UseEpochs>(&input.value())) {
    if (!use_epochs(*use)) {
      return false;
    }
  } else if (const auto* mark = std::get_if<RestoreMark>(&input.value())) {
    receiver.restore_mark({mark->user_id, mark->serial, dave::ReplayWindow::from(mark->window),
                           false, deadline_of(mark->expires)},
                          time_from_ns(mark->now));
  } else if (const auto* t = std::get_if<SetTimes>(&input.value())) {
    receiver.set_hold_time(Duration(t->hold_time));
    receiver.set_latency(Duration(t->latency));
  } else if (const auto* s = std::get_if<Restore>(&input.value())) {
    receiver.restore(s->ssrc, s->checkpoint, s->history, time_from_ns(s->now));
  } else if (const auto* w = std::get_if<WarmUp>(&input.value())) {
    out_.working_on.store(warming_up | w->ssrc, std::memory_order_relaxed);
    receiver.warm_up(w->ssrc, w->opus);
  } else if (const auto* n = std::get_if<Drain>(&input.value())) {
    receiver.drain(time_from_ns(n->now), *this);
    drained_ = true;
  }
  out_.working_on.store(0, std::memory_order_relaxed);
  return true;
}

bool Service::add_epoch(const BeginEpoch& epoch) {
  std::erase_if(epochs_, [&](const auto& known) { return known->serial == epoch.serial; });
  if (epochs_.size() >= 2 * dave::max_media_epochs) {
    return false;
  }
  epochs_.push_back(std::make_shared<dave::EpochKeys>());
  epochs_.back()->serial = epoch.serial;
  epochs_.back()->made = time_from_ns(epoch.made);
  return true;
}

// Copies the secrets out of the parent's page, which wipes them when this has been answered.
bool Service::add_senders(const AddSenders& senders) {
  const auto epoch = std::find_if(epochs_.begin(), epochs_.end(), [&](const auto& known) {
    return known->serial == senders.serial;
  });
  if (epoch == epochs_.end()) {
    return false;
  }
  std::vector<dave::SenderKey>& into = (*epoch)->senders;
  const std::uint8_t* slot = input_ + secrets_offset + senders.slot * secret_slot_size;
  for (std::size_t i = 0; i < senders.users.size() && senders.users[i] != 0; ++i) {
    constexpr std::size_t size = dave::BaseSecret::size;
    if (!into.empty() && into.back().user >= senders.users[i]) {
      return false;
    }
    if (into.size() == into.capacity()) {
      // What a vector leaves behind when it grows would be keys; these wipe themselves.
      std::vector<dave::SenderKey> larger;
      larger.reserve(std::max<std::size_t>(16, 2 * into.size()));
      larger.insert(larger.end(), into.begin(), into.end());
      into.swap(larger);
    }
    into.push_back({senders.users[i],
                    dave::BaseSecret(std::span<const std::uint8_t, size>(slot + i * size, size))});
  }
  return true;
}

bool Service::use_epochs(const UseEpochs& use) {
  auto keys = std::make_shared<dave::MediaKeys>();
  keys->active = use.active != 0;
  keys->passthrough = use.passthrough != 0;
  keys->passthrough_until = deadline_of(use.passthrough_until);
  for (std::size_t i = 0; i < use.serials.size() && use.serials[i] != 0; ++i) {
    const auto epoch = std::find_if(epochs_.begin(), epochs_.end(), [&](const auto& known) {
      return known->serial == use.serials[i];
    });
    if (epoch == epochs_.end()) {
      return false;
    }
    keys->epochs.push_back({*epoch, deadline_of(use.expires[i])});
  }
  std::erase_if(epochs_, [&](const auto& known) {
    return std::none_of(keys->epochs.begin(), keys->epochs.end(),
                        [&](const auto& entry) { return entry.keys == known; });
  });
  receiver_->set_media_keys(use.known != 0 ? std::move(keys) : nullptr, time_from_ns(use.published),
                            time_from_ns(use.now), *this);
  return true;
}

void Service::ask_for_recovery(Time now) {
  if (const auto user = receiver_->take_recovery_request(now)) {
    write(UndecryptableOut{*user});
  }
}

void Service::frame(const media::DecodedFrame& frame) {
  FrameHead head;
  head.id = frame.id;
  head.user_id = frame.user_id;
  head.sample = frame.sample;
  head.sequence = frame.sequence;
  head.ssrc = frame.ssrc;
  head.samples = frame.samples;
  head.timestamp = frame.timestamp;
  head.pcm_samples = frame.pcm.empty() ? 0 : frame.samples;
  head.kind = static_cast<std::uint8_t>(frame.kind);
  head.flags = static_cast<std::uint8_t>((frame.discont ? frame_discont : 0) |
                                         (frame.marker ? frame_marker : 0) |
                                         (frame.resync ? frame_resync : 0));
  head.lost_packets = static_cast<std::uint32_t>(std::min<std::uint64_t>(frame.lost_packets, ~0U));
  head.lost_each = frame.lost_each;
  head.audio_level = frame.audio_level;
  head.speaking_flags = frame.speaking_flags;
  head.opus_size = static_cast<std::uint32_t>(frame.opus.size());
  const ByteSpan pcm(reinterpret_cast<const std::uint8_t*>(frame.pcm.data()),
                     frame.pcm.size_bytes());
  const MutableByteSpan to =
      room_for(type_of<Output, FrameOut>(), sizeof head + pcm.size() + frame.opus.size());
  std::memcpy(to.data(), &head, sizeof head);
  if (!pcm.empty()) {
    std::memcpy(to.data() + sizeof head, pcm.data(), pcm.size());
  }
  if (!frame.opus.empty()) {
    std::memcpy(to.data() + sizeof head + pcm.size(), frame.opus.data(), frame.opus.size());
  }
}

void Service::speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) {
  write(SpeakingOut{user_id, to_ns(when), ssrc, speaking ? 1u : 0u});
}

void Service::rtcp(ByteSpan compound, Time arrival) {
  const RtcpHead head{to_ns(arrival)};
  const MutableByteSpan to = room_for(type_of<Output, RtcpOut>(), sizeof head + compound.size());
  std::memcpy(to.data(), &head, sizeof head);
  std::memcpy(to.data() + sizeof head, compound.data(), compound.size());
}

void Service::working_on(std::uint64_t id) {
  out_.working_on.store(id, std::memory_order_relaxed);
}

void Service::boundary() {
  if (receiver_->touched().size() >= max_touched || writer_.room() < ring_size / 2) {
    end_batch();
  }
}

void Service::end_batch() {
  in_batch_ = 0;
  if (!receiver_) {
    write(BatchOut{inputs_, no_deadline, {}});
    publish();
    return;
  }
  // Checkpoints first: the parent takes one only for an SSRC with an open datagram.
  CheckpointOut out;
  for (const std::uint32_t ssrc : receiver_->touched()) {
    out.ssrc = ssrc;
    media::SpeakerStats row;
    if (receiver_->checkpoint(ssrc, out.checkpoint)) {
      write(out);
    } else if (receiver_->row(ssrc, row)) {
      write(RowOut{row.user_id, ssrc, 0, row.ledger});
    }
  }
  receiver_->clear_touched();
  for (const auto& done : receiver_->finished()) {
    write(FinishedOut{done.id, done.authentic ? 1u : 0u, done.epoch, done.counter});
  }
  receiver_->clear_finished();
  const Deadline deadline = receiver_->next_deadline();
  write(BatchOut{inputs_, deadline ? to_ns(*deadline) : no_deadline, receiver_->ledger()});
  publish();
  while (writer_.sane() && writer_.room() < worst_packet + max_touched * sizeof(CheckpointOut)) {
    sleeper_.sleep([this] {
      return !writer_.sane() ||
             writer_.room() >= worst_packet + max_touched * sizeof(CheckpointOut);
    });
  }
}

void Service::publish() {
  writer_.publish();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint32_t nap = first_in_.nap.load(std::memory_order_relaxed);
  if (nap % 2 == 1 && nap != rung_for_) {
    rung_for_ = nap;
    constexpr std::uint64_t one = 1;
    // It can only fail when it has been rung very often already.
    if (::write(doorbell_, &one, sizeof one) < 0) {
      rung_for_ = 0;
    }
  }
}

void Service::sleep_until_news() {
  sleeper_.sleep([this] { return reader_.news(); });
}

// Waits for the parent when there is none, which happens only when thousands of packets are dropped
// at once: everything else leaves room before it begins.
MutableByteSpan Service::room_for(std::uint32_t type, std::size_t size) {
  for (;;) {
    const MutableByteSpan to = writer_.reserve(type, size);
    if (!to.empty()) {
      return to;
    }
    publish();
    sleeper_.sleep([&] { return !writer_.sane() || writer_.room() >= size + 64 + worst_packet; });
    if (!writer_.sane()) {
      ::_exit(3);
    }
  }
}

}  // namespace discord::worker
