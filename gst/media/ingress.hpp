// From a datagram to an authentic audio packet that knows its speaker.
#pragma once

#include "dave/frame_opener.hpp"
#include "media/hold_queue.hpp"
#include "media/opus_packet.hpp"
#include "media/speaker_table.hpp"
#include "media/user_rule.hpp"
#include "transport/cipher.hpp"

#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace discord::media {

// An authentic packet; offsets are into the datagram that was pushed.
struct AudioPacket {
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;   // 0 = nobody said, and the call is not end-to-end encrypted
  std::uint64_t sequence = 0;  // 64 bit, low 16 bits as on the wire
  std::uint32_t timestamp = 0;
  bool marker = false;
  std::uint8_t payload_type = 120;
  std::size_t offset = 0;  // the payload: no header, extension or padding
  std::size_t size = 0;
  std::size_t packet_offset =
      0;  // the whole RTP packet in the clear, extension and padding included
  std::size_t packet_size = 0;
  std::optional<std::uint8_t> audio_level;  // -dBov: 0 loud, 127 silent
  bool voice_activity = false;
  std::uint8_t speaking_flags = 1;  // as opcode 5 has them: 1 voice, 2 soundshare, 4 priority
  bool silence = false;             // exactly a silence frame
  // The SSRC is new, or was not heard for a while: denied, of somebody else, or of the call before.
  // Numbers and timestamps before this one mean nothing.
  bool first = false;
  Time arrival{};
};

struct IngressConfig {
  HoldLimits hold;
  std::size_t max_speakers = 256;
  std::uint8_t audio_payload_type = 120;
};

// Fills in what an opened packet says; no `user_id`, no unwrapped sequence.
AudioPacket describe(const transport::OpenedRtp& opened, ByteSpan datagram, Time arrival) noexcept;

// Updates what statistics say about a speaker.
void observe(Speaker& speaker, const AudioPacket& packet) noexcept;
// How a refusal is counted: outside the tag it is `bad_tag`, inside it `not_a_frame`.
std::uint64_t Ledger::*cause_of(transport::OpenError error) noexcept;
std::uint64_t Ledger::*cause_of(dave::FrameOutcome refusal) noexcept;

// The stages of one session, always in this order: classify, transport open, strip, find the user
// and drop who is denied, drop duplicates, hold for user and key, end-to-end open. Nothing changes
// for a packet that is not authentic except a counter.
//
// `Handle` is a movable owner of the datagram's memory: the span handed to `push` must stay valid
// as long as the handle lives, wherever it is moved. A `Sink` has
//   void audio(const AudioPacket&, Handle&&);
//   void padding(const AudioPacket&, Handle&&);  // no payload, but a sequence number spent: a
//                                                // reorder queue must not take it for lost
//                                                (`skip`)
//   void rtcp(std::size_t offset, std::size_t size, Handle&&, Time arrival);  // authentic compound
//   void speaking(std::uint32_t ssrc, std::uint64_t user_id, bool, Time);
// and may have `void changed(std::uint32_t ssrc)`: figures of a speaker have changed without a
// packet of it. It must not call back into the Ingress. A `Handle` may have `mark_authentic()` and
// `mark_opened(epoch, counter)` (see PacketStore). Functions that take a sink may release packets
// that were held. Not for two threads at once.
template <class Handle> class Ingress {
 public:
  explicit Ingress(const IngressConfig& config = {})
      : config_(config),
        speakers_(config.max_speakers),
        held_(config.hold),
        waiting_(config.hold) {}

  // The key of a session description. A newer `generation` (a new Identify) means new SSRCs, so
  // everything known is forgotten first, unless `forget_all` has been called since the last key; an
  // older one is ignored and false.
  template <class Sink>
  bool set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key, Time now,
               Sink& sink) {
    if (generation_ && generation < *generation_) {
      return false;
    }
    if (generation_ && generation != *generation_ && !fresh_) {
      forget_speakers(now, sink);
    }
    generation_ = generation;
    fresh_ = false;
    cipher_.emplace(mode, key);
    limits_ = transport::limits_for(mode, config_.audio_payload_type);
    waiting_.release(no_ssrc, [&](Waiting&& w) {
      --speakers_.nobody().held;
      --speakers_.nobody().received;
      sort(w.datagram, std::move(w.handle), w.arrival, now, sink);
    });
    return true;
  }
  // Packets wait for a key again.
  void clear_key() noexcept {
    cipher_.reset();
    limits_ = limits_of_any_mode();
  }
  bool has_key() const noexcept { return cipher_.has_value(); }

  // This SSRC is that user's from now on (docs/protocol.md "SSRC and user"): retires the user's
  // other SSRC, replaces another user of this one. False when there are too many users, or for 0.
  template <class Sink>
  bool map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now, Sink& sink) {
    const std::uint64_t before = speakers_.user_of(ssrc);
    if (before == user_id || user_id == 0) {
      return user_id != 0;
    }
    if (const auto other = speakers_.other_ssrc_of(user_id, ssrc)) {
      retire(*other, now, sink);
    }
    if (before != 0) {
      retire(ssrc, now, sink);
    }
    if (!speakers_.set_user(ssrc, user_id)) {
      return false;
    }
    Speaker* speaker = speakers_.find(ssrc);
    if (speaker == nullptr) {
      return true;
    }
    if (admission_of(user_id) == Admission::denied) {
      exclude(ssrc, now, sink);
      return true;
    }
    if (speaker->speaking.speaking()) {
      // Said under user 0 until now.
      sink.speaking(ssrc, 0, false, now);
      sink.speaking(ssrc, user_id, true, now);
    }
    speaker->user_id = user_id;
    release_if_openable(*speaker, now, sink);
    return true;
  }

  // What becomes of this user's packets, from the next one on. Of a user nobody has said anything
  // about, they are allowed; what is said is forgotten together with the users' SSRCs, by
  // `forget_all` or a new generation, so it is said before `map_user`. Packets of a denied user are
  // dropped when they are authentic, before anything is kept of them: they count as `denied` of
  // nobody. Those of an undecided one wait, for the hold time at most, and then the user is
  // allowed.
  template <class Sink>
  void admit(std::uint64_t user_id, Admission admission, Time now, Sink& sink) {
    if (user_id == 0 || admission_of(user_id) == admission) {
      return;
    }
    if (admission == Admission::allowed) {
      admissions_.erase(user_id);
    } else {
      admissions_[user_id] = admission;
    }
    for (const std::uint32_t ssrc : speakers_.ssrcs_of(user_id)) {
      Speaker* speaker = speakers_.find(ssrc);
      if (speaker == nullptr) {
        continue;
      }
      if (admission == Admission::denied) {
        exclude(ssrc, now, sink);
      } else {
        release_if_openable(*speaker, now, sink);
      }
    }
  }

  // Whether a packet needs its user also in a call without end-to-end encryption, because it
  // depends on the user whether it may be heard.
  template <class Sink> void need_users(bool needed, Time now, Sink& sink) {
    needs_users_ = needed;
    speakers_.for_each([&](Speaker& speaker) { release_if_openable(speaker, now, sink); });
  }

  // The user left or has another SSRC; what is still held will never have a user.
  template <class Sink> void retire(std::uint32_t ssrc, Time now, Sink& sink) {
    speakers_.forget_user(ssrc);
    remove(ssrc, &Ledger::no_user, now, sink);
  }

  // A new Identify: no SSRC, user or waiting packet of the old connection means anything. The key
  // stays until `clear_key` or `set_key`.
  template <class Sink> void forget_all(Time now, Sink& sink) {
    forget_speakers(now, sink);
    waiting_.drop(no_ssrc, [&](Waiting&&) {
      --speakers_.nobody().held;
      ++speakers_.nobody().evicted;
    });
    fresh_ = true;
  }

  // The keys of the end-to-end encryption from now on; none for a call without. While it is active
  // a packet needs its user and a key of that user, and waits for them. `published` is the time now
  // on the clock on which the keys were stamped, which need not be the clock of `now`.
  template <class Sink>
  void set_media_keys(dave::MediaKeysPtr keys, Time published, Time now, Sink& sink) {
    key_clock_ = published - now;
    e2ee_ = keys && keys->active;
    keys_ = keys;
    opener_.use(std::move(keys), published);
    speakers_.for_each([&](Speaker& speaker) { release_if_openable(speaker, now, sink); });
  }

  // A user whose frames have failed for so long that the group's owner should start over; at most
  // one, and asking clears it.
  std::optional<std::uint64_t> take_recovery_request(Time now) noexcept {
    return opener_.take_recovery_request(now + key_clock_);
  }
  // What a predecessor has opened: never opens that again. After `set_media_keys`; times in the
  // mark are those of the keys' clock.
  void restore_mark(const dave::SenderMark& mark, Time now) {
    opener_.restore(mark, now + key_clock_);
  }

  // `arrival` is also the time now. `datagram` is decrypted in place.
  template <class Sink>
  void push(MutableByteSpan datagram, Handle handle, Time arrival, Sink& sink) {
    sort(datagram, std::move(handle), arrival, arrival, sink);
  }

  // Gives up on what has waited long enough, and ends speech that has ended.
  template <class Sink> void on_timer(Time now, Sink& sink) {
    waiting_.expire(now, [&](std::uint32_t, Waiting&&) {
      --speakers_.nobody().held;
      ++speakers_.nobody().no_key;
    });
    std::vector<std::pair<std::uint32_t, Held>> due;
    std::vector<std::uint32_t> decided;
    held_.expire(now,
                 [&](std::uint32_t ssrc, Held&& held) { due.emplace_back(ssrc, std::move(held)); });
    for (auto& [ssrc, held] : due) {
      Speaker& speaker = *speakers_.find(ssrc);
      if (admission_of(speaker.user_id) == Admission::undecided) {
        // Nobody has said whether it is a bot: long enough waited.
        admissions_.erase(speaker.user_id);
        decided.push_back(ssrc);
      }
      const bool refused = held.refused != nullptr;
      settle(speaker, std::move(held), now, sink);
      if (refused) {
        // What only stood behind it has nothing to wait for.
        settle_while(speaker, now, sink, [](const Held& next) { return next.refused == nullptr; });
      }
    }
    for (const std::uint32_t ssrc : decided) {
      release_if_openable(*speakers_.find(ssrc), now, sink);
    }
    speakers_.for_each([&](Speaker& speaker) {
      if (const Deadline stopped = speaker.speaking.timer(now)) {
        sink.speaking(speaker.ssrc, speaker.user_id, false, *stopped);
      }
    });
    speakers_.detectors_told();
  }
  Deadline next_deadline() const {
    return earlier(earlier(waiting_.next_deadline(), held_.next_deadline()),
                   speakers_.next_deadline());
  }

  // After a row's speaking was restored.
  void detector_moved(const Speaker& speaker) noexcept { speakers_.detector_moved(speaker); }

  void set_hold_time(Duration hold_time) {
    held_.set_hold_time(hold_time);
    waiting_.set_hold_time(hold_time);
  }

  // The row of an SSRC that has been authenticated, or null.
  Speaker* find(std::uint32_t ssrc) noexcept { return speakers_.find(ssrc); }
  const Speaker* find(std::uint32_t ssrc) const noexcept { return speakers_.find(ssrc); }
  // A row for an SSRC that a predecessor had authenticated, for the caller to fill in; null when it
  // has one already or the table is full.
  Speaker* restore(std::uint32_t ssrc, Time now) {
    return speakers_.full() || speakers_.find(ssrc) != nullptr ? nullptr
                                                               : &speakers_.add(ssrc, now);
  }

  // Of the session; and the part that belongs to nobody. Both add up after every call.
  Ledger ledger() const noexcept { return speakers_.total(); }
  const Ledger& nobody() const noexcept { return speakers_.nobody(); }
  std::vector<SpeakerStats> speakers() const { return speakers_.stats(); }

 private:
  using Cause = std::uint64_t Ledger::*;
  struct Held {
    AudioPacket packet;
    MutableByteSpan datagram;
    Handle handle;
    Time since;               // it waits
    Cause refused = nullptr;  // by every key so far, but one of a newer epoch may open it
  };
  struct Waiting {
    MutableByteSpan datagram;
    Handle handle;
    Time arrival;
  };
  // Without a key an SSRC is only a claim, so all packets share one lane.
  static constexpr std::uint32_t no_ssrc = 0;

  template <class Sink>
  void sort(MutableByteSpan datagram, Handle&& handle, Time arrival, Time now, Sink& sink) {
    const rtp::DatagramKind kind = rtp::classify(datagram, limits_);
    switch (kind) {
      case rtp::DatagramKind::rtp_audio:
      case rtp::DatagramKind::rtcp:
        break;
      case rtp::DatagramKind::discovery_reply:
      case rtp::DatagramKind::ping_reply:
      case rtp::DatagramKind::keepalive_echo:
      case rtp::DatagramKind::rtp_other:
      case rtp::DatagramKind::drop:
        nobody(&Ledger::not_audio);
        return;
    }
    if (!cipher_) {
      await_key(datagram, std::move(handle), arrival, now);
    } else if (kind == rtp::DatagramKind::rtcp) {
      open_rtcp(datagram, std::move(handle), arrival, sink);
    } else {
      open_rtp(datagram, std::move(handle), arrival, now, sink);
    }
  }

  void await_key(MutableByteSpan datagram, Handle&& handle, Time arrival, Time now) {
    if (!waiting_.waits(no_ssrc)) {
      nobody(&Ledger::no_key);
      return;
    }
    nobody(&Ledger::held);
    waiting_.push(no_ssrc, Waiting{datagram, std::move(handle), arrival}, datagram.size(), now,
                  [&](std::uint32_t, Waiting&&) {
                    --speakers_.nobody().held;
                    ++speakers_.nobody().evicted;
                  });
  }

  template <class Sink>
  void open_rtcp(MutableByteSpan datagram, Handle&& handle, Time arrival, Sink& sink) {
    const auto opened = cipher_->open_rtcp(datagram);
    if (!opened) {
      nobody(&Ledger::bad_tag);
      return;
    }
    if (is_denied(load_be32(opened.value().data() + 4))) {
      nobody(&Ledger::denied);
      return;
    }
    nobody(&Ledger::not_audio);
    sink.rtcp(static_cast<std::size_t>(opened.value().data() - datagram.data()),
              opened.value().size(), std::move(handle), arrival);
  }

  template <class Sink>
  void open_rtp(MutableByteSpan datagram, Handle&& handle, Time arrival, Time now, Sink& sink) {
    const auto opened = cipher_->open_rtp(datagram);
    if (!opened) {
      nobody(cause_of(opened.error()));
      return;
    }
    // Authentic from here on: now things may change.
    if (is_denied(opened.value().header.ssrc)) {
      nobody(&Ledger::denied);
      return;
    }
    AudioPacket packet = describe(opened.value(), datagram, arrival);
    Speaker* speaker = find_or_admit(packet.ssrc, now, sink);
    if (speaker == nullptr) {
      nobody(&Ledger::evicted);
      return;
    }
    ++speaker->ledger.received;
    const SeenSequence seen =
        speaker->history.see(opened.value().header.sequence, packet.timestamp);
    if (seen.duplicate) {
      ++speaker->ledger.duplicate;
      return;
    }
    // Not before: what comes twice must not make a successor refuse the first one, which may still
    // wait here.
    if constexpr (requires { handle.mark_authentic(); }) {
      handle.mark_authentic();
    }
    packet.sequence = seen.sequence;
    observe(*speaker, packet);
    Held item{packet, datagram, std::move(handle), now};
    if (held_.holds(speaker->ssrc) && !openable(*speaker, now)) {
      // Behind those that wait already, or it would overtake them.
      hold(*speaker, std::move(item), speaker->user_id == 0 ? &Ledger::no_user : &Ledger::no_key);
    } else {
      pass_on(*speaker, std::move(item), true, now, sink);
    }
  }

  // Whether neither a user nor a key is missing.
  bool openable(const Speaker& speaker, Time now) const noexcept {
    if (lacks_user(speaker) || admission_of(speaker.user_id) == Admission::undecided) {
      return false;
    }
    const Time when = now + key_clock_;
    return !e2ee_ || keys_->passes(when) || opener_.knows(speaker.user_id, when);
  }
  bool lacks_user(const Speaker& speaker) const noexcept {
    return speaker.user_id == 0 && (e2ee_ || needs_users_);
  }

  Admission admission_of(std::uint64_t user_id) const noexcept {
    const auto it = admissions_.find(user_id);
    return it == admissions_.end() ? Admission::allowed : it->second;
  }
  bool is_denied(std::uint32_t ssrc) const noexcept {
    return !admissions_.empty() && admission_of(speakers_.user_of(ssrc)) == Admission::denied;
  }
  // Of somebody who is denied from now on. A row from which nothing has gone on leaves no trace.
  template <class Sink> void exclude(std::uint32_t ssrc, Time now, Sink& sink) {
    const Ledger& ledger = speakers_.find(ssrc)->ledger;
    const bool heard = ledger.played + ledger.silence > 0;
    remove(ssrc, &Ledger::denied, now, sink, heard);
    changed(ssrc, sink);
  }

  // `otherwise`: how it counts when this SSRC does not wait any more.
  void hold(Speaker& speaker, Held held, Cause otherwise) {
    if (!held_.waits(speaker.ssrc)) {
      ++(speaker.ledger.*otherwise);
      return;
    }
    ++speaker.ledger.held;
    const std::size_t bytes = held.datagram.size();
    const Time since = held.since;
    held_.push(speaker.ssrc, std::move(held), bytes, since, [&](std::uint32_t ssrc, Held&&) {
      Ledger& ledger = speakers_.find(ssrc)->ledger;
      --ledger.held;
      ++ledger.evicted;
    });
  }

  template <class Sink> void release_if_openable(Speaker& speaker, Time now, Sink& sink) {
    if (!openable(speaker, now)) {
      return;
    }
    held_.release(speaker.ssrc, [&](Held&& held) {
      --speaker.ledger.held;
      pass_on(speaker, std::move(held), true, now, sink);
      changed(speaker.ssrc, sink);
    });
  }

  template <class Sink> static void changed(std::uint32_t ssrc, Sink& sink) {
    if constexpr (requires { sink.changed(ssrc); }) {
      sink.changed(ssrc);
    }
  }

  // Has waited long enough, one way or the other.
  template <class Sink> void settle(Speaker& speaker, Held held, Time now, Sink& sink) {
    --speaker.ledger.held;
    if (held.refused != nullptr) {
      ++(speaker.ledger.*held.refused);
    } else {
      pass_on(speaker, std::move(held), false, now, sink);
    }
    changed(speaker.ssrc, sink);
  }
  template <class Sink, class Which>
  void settle_while(Speaker& speaker, Time now, Sink& sink, Which&& which) {
    while (std::optional<Held> held = held_.take_if(speaker.ssrc, which)) {
      settle(speaker, std::move(*held), now, sink);
    }
  }

  // The one way to the outside, once per packet and in order: what end-to-end decryption refuses
  // was not said by anybody. A frame that lacks its user or key may wait, and so may one that no
  // key opens: its sender can be in an epoch already whose commit has not reached us. The latter
  // holds up only what is not authentic itself, so that a forger delays nobody.
  template <class Sink>
  void pass_on(Speaker& speaker, Held held, bool may_wait, Time now, Sink& sink) {
    AudioPacket& packet = held.packet;
    packet.user_id = speaker.user_id;
    bool authentic = false;
    if (may_wait && held_.waits(speaker.ssrc) &&
        admission_of(speaker.user_id) == Admission::undecided) {
      hold(speaker, std::move(held), nullptr);
      return;
    }
    if ((e2ee_ || lacks_user(speaker)) && packet.size > 0) {
      const MutableByteSpan frame = held.datagram.subspan(packet.offset, packet.size);
      // Also what would pass in the clear needs its user: nobody's sound is nobody's track.
      const dave::OpenedFrame opened = speaker.user_id == 0
                                           ? dave::OpenedFrame{dave::FrameOutcome::no_user, {}}
                                           : opener_.open(speaker.user_id, frame, now + key_clock_);
      if (!opened.deliverable()) {
        const Cause cause = cause_of(opened.outcome);
        held.refused = opened.unauthentic() ? cause : nullptr;
        if (may_wait && (held.refused != nullptr || opened.lacks_key())) {
          hold(speaker, std::move(held), cause);
        } else {
          ++(speaker.ledger.*cause);
        }
        return;
      }
      authentic = opened.outcome == dave::FrameOutcome::opened;
      if constexpr (requires { held.handle.mark_opened(opened.epoch, opened.counter); }) {
        held.handle.mark_opened(opened.epoch, opened.counter);
      }
      packet.offset = static_cast<std::size_t>(opened.plain.data() - held.datagram.data());
      packet.size = opened.plain.size();
      packet.silence = is_silence_frame(opened.plain);
    }
    if (authentic) {
      // A sender does not go back: what waits and was sent before is of no newer epoch.
      settle_while(speaker, now, sink, [sequence = packet.sequence](const Held& next) {
        return next.packet.sequence < sequence;
      });
      held_.forgive(speaker.ssrc);
    } else if (may_wait && held_.holds(speaker.ssrc) && held_.waits(speaker.ssrc)) {
      hold(speaker, std::move(held), nullptr);
      return;
    }
    if (packet.size == 0) {
      ++speaker.ledger.padding_only;
      sink.padding(std::as_const(packet), std::move(held.handle));
      return;
    }
    packet.first = speaker.ledger.silence + speaker.ledger.played == 0;
    ++(packet.silence ? speaker.ledger.silence : speaker.ledger.played);
    const SpeakingChange change =
        speaker.speaking.packet(packet.sequence, packet.silence, packet.arrival);
    speakers_.detector_moved(speaker);
    if (change.stopped) {
      sink.speaking(speaker.ssrc, speaker.user_id, false, *change.stopped);
    }
    if (change.started) {
      sink.speaking(speaker.ssrc, speaker.user_id, true, *change.started);
    }
    sink.audio(std::as_const(packet), std::move(held.handle));
  }

  template <class Sink> Speaker* find_or_admit(std::uint32_t ssrc, Time now, Sink& sink) {
    if (Speaker* known = speakers_.find(ssrc)) {
      return known;
    }
    if (speakers_.full()) {
      const auto victim = speakers_.victim();
      if (!victim) {
        return nullptr;
      }
      remove(*victim, &Ledger::evicted, now, sink);
    }
    return &speakers_.add(ssrc, now);
  }

  template <class Sink>
  void remove(std::uint32_t ssrc, Cause cause, Time now, Sink& sink, bool remembered = true) {
    Speaker* speaker = speakers_.find(ssrc);
    if (speaker == nullptr) {
      return;
    }
    held_.drop(ssrc, [&](Held&& held) {
      --speaker->ledger.held;
      ++(speaker->ledger.*(held.refused != nullptr ? held.refused : cause));
    });
    if (speaker->speaking.speaking()) {
      sink.speaking(ssrc, speaker->user_id, false, now);
    }
    remembered ? speakers_.remove(ssrc) : speakers_.dissolve(ssrc);
  }

  template <class Sink> void forget_speakers(Time now, Sink& sink) {
    speakers_.forget_users();
    admissions_.clear();
    for (const std::uint32_t ssrc : speakers_.ssrcs()) {
      remove(ssrc, &Ledger::evicted, now, sink);
    }
  }

  // Until the mode is known: the smallest packets of any.
  rtp::DatagramLimits limits_of_any_mode() const noexcept {
    return transport::limits_for(transport::Mode::xsalsa20_poly1305, config_.audio_payload_type);
  }

  void nobody(std::uint64_t Ledger::*cause) noexcept {
    ++speakers_.nobody().received;
    ++(speakers_.nobody().*cause);
  }

  IngressConfig config_;
  rtp::DatagramLimits limits_ = limits_of_any_mode();
  std::optional<transport::Cipher> cipher_;
  std::optional<std::uint64_t> generation_;
  bool fresh_ = false;  // everything has been forgotten since the last key
  bool e2ee_ = false;
  bool needs_users_ = false;
  std::unordered_map<std::uint64_t, Admission> admissions_;  // of those who are not just allowed
  dave::MediaKeysPtr keys_;
  dave::FrameOpener opener_;
  Duration key_clock_{};  // what to add to a time of ours to compare it with those of the keys
  SpeakerTable speakers_;
  HoldQueue<Held> held_;
  HoldQueue<Waiting> waiting_;
};

}  // namespace discord::media
