#include "speaker_member.hpp"

#include "dave/frame.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace discord::loopback {
namespace {

constexpr int op_ready = 23, op_invalid = 31;
constexpr std::size_t kept_names = 8;

mls::KeyPair signature_key(std::uint64_t seed) {
  SeededRandom random(derive_seed(seed, "signature"));
  auto key = mls::KeyPair::generate(random);
  if (!key) {
    throw std::bad_alloc();  // the source never fails
  }
  return std::move(*key);
}

}  // namespace

SpeakerMember::SpeakerMember(std::uint64_t user, std::uint64_t channel, SpeakerDaveOptions options,
                             std::uint64_t seed)
    : user_(user),
      channel_(channel),
      options_(options),
      random_(derive_seed(seed, "keys")),
      draws_(derive_seed(seed, "draws")),
      session_(dave::Policy::automatic, signature_key(seed), random_) {}

void SpeakerMember::begin(int version, const std::vector<std::uint64_t>& present, Time now) {
  dave::Out out;
  // Downgrades come on command here, so every call may have one.
  session_.begin({user_, channel_, true}, now, out);
  session_.on_users_joined(present);
  session_.on_session_description(version, now, out);
  take(std::move(out));
}

void SpeakerMember::joined(std::uint64_t user) {
  session_.on_users_joined(std::array{user});
}

void SpeakerMember::left(std::uint64_t user) {
  session_.on_user_left(user);
}

void SpeakerMember::receive(const DaveMessage& m, Time now) {
  dave::Out out;
  const ByteSpan body = m.body;
  switch (m.op) {
    case 21:
      session_.on_prepare_transition(m.transition_id, m.version, now, out);
      break;
    case 22:
      session_.on_execute_transition(m.transition_id, now, out);
      break;
    case 24:
      session_.on_prepare_epoch(m.version, m.epoch, now, out);
      break;
    case 25:
      session_.on_external_sender(body, now, out);
      break;
    case 27:
      session_.on_proposals(body[0], body.subspan(1), now, out);
      break;
    case 29:
      entered_ = {m.group, m.epoch};
      entered_at_ = now;
      session_.on_announce_commit(m.transition_id, body.subspan(2), now, out);
      break;
    case 30:
      entered_ = {m.group, m.epoch};
      entered_at_ = now;
      session_.on_welcome(m.transition_id, body.subspan(2), now, out);
      break;
    default:
      break;
  }
  take(std::move(out));
}

void SpeakerMember::on_timer(Time now) {
  dave::Out out;
  session_.on_timer(now, out);
  take(std::move(out));
}

void SpeakerMember::take(dave::Out out) {
  for (dave::Action& action : out) {
    if (auto* binary = std::get_if<dave::SendBinary>(&action)) {
      replies_.push_back(
          {binary->bytes[0], Bytes(binary->bytes.begin() + 1, binary->bytes.end()), 0});
    } else if (auto* text = std::get_if<dave::SendText>(&action)) {
      const auto message = nlohmann::json::parse(text->text);
      replies_.push_back({message["op"], {}, message["d"]["transition_id"]});
    } else if (auto* notice = std::get_if<dave::Notice>(&action)) {
      // 22 goes to everybody, also to those who wait for their Welcome.
      if (notice->op != 22) {
        troubles_.push_back("opcode " + std::to_string(notice->op) + ": " + notice->text);
      }
    } else if (auto* fail = std::get_if<dave::Fail>(&action)) {
      troubles_.push_back(fail->message);
    } else if (auto* keys = std::get_if<dave::PublishKeys>(&action)) {
      const auto& epochs = keys->keys->epochs;
      if (!epochs.empty() && epochs.front().keys->serial > newest_serial_) {
        newest_serial_ = epochs.front().keys->serial;
        names_.emplace_back(newest_serial_, entered_);
        if (names_.size() > kept_names) {
          names_.pop_front();
        }
      }
    }
  }
}

void SpeakerMember::choose_keys(Time now) {
  const auto use = [&](const dave::BaseSecret& base, dave::EpochSerial serial) {
    if (ratchet_ && ratchet_serial_ == serial) {
      return;
    }
    ratchet_.emplace(base);
    ratchet_serial_ = serial;
    for (const auto& [number, name] : names_) {
      if (number == serial) {
        ratchet_name_ = name;
      }
    }
  };
  const dave::Member* member = session_.member();
  const auto& state = session_.send_state();
  const bool early = options_.early_epoch && now >= entered_at_ + *options_.early_epoch;
  if (early && state && member != nullptr && member->established()) {
    use(*member->base_secret(user_), newest_serial_);
  } else if (state) {
    // Having switched early once, there is no way back to the keys before.
    if (!ratchet_ || state->serial > ratchet_serial_) {
      use(state->base, state->serial);
    }
  } else {
    ratchet_.reset();
  }
}

void SpeakerMember::seal(Packet& packet, Time now) {
  choose_keys(now);
  packet.protection = Protection::none;
  packet.group = packet.epoch = 0;
  if (packet.payload.empty() || (!ratchet_ && session_.version() == 0)) {
    return;
  }
  if (dave::is_silence(packet.payload)) {
    packet.protection = Protection::silence;
    return;
  }
  if (!ratchet_) {
    packet.protection = Protection::unsent;
    return;
  }
  if (draws_.percent(options_.passthrough)) {
    packet.protection = Protection::passthrough;
    return;
  }
  scratch_.resize(packet.payload.size() + dave::frame_max_audio_footer);
  const auto sealed = ratchet_->seal(packet.payload, {}, scratch_);
  if (!sealed) {
    return;
  }
  packet.payload.assign(sealed->begin(), sealed->end());
  packet.protection = Protection::sealed;
  packet.group = ratchet_name_.group;
  packet.epoch = ratchet_name_.epoch;
}

}  // namespace discord::loopback
