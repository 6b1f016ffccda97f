#include "dave_client.hpp"

#include <charconv>

namespace discord::loopback {

using nlohmann::json;

namespace {

std::uint64_t number(const json& text) {
  const auto& s = text.get_ref<const std::string&>();
  std::uint64_t value = 0;
  std::from_chars(s.data(), s.data() + s.size(), value);
  return value;
}

mls::KeyPair key(SeededRandom& random) {
  return std::move(*mls::KeyPair::generate(random));
}

}  // namespace

DaveClient::DaveClient(std::uint64_t id, std::uint64_t channel, std::uint64_t seed, bool stage)
    : random_(derive_seed(seed, "client", id)),
      user(id),
      session(dave::Policy::automatic, key(random_), random_),
      channel_(channel),
      stage_(stage) {}

void DaveClient::begin(Time now) {
  dave::Out out;
  session.begin({user, channel_, stage_}, now, out);
  take(std::move(out), now);
}

void DaveClient::described(int version, Time now) {
  dave::Out out;
  session.on_session_description(version, now, out);
  take(std::move(out), now);
}

void DaveClient::receive(const DaveMessage& m, Time now) {
  received.push_back(m.op);
  dave::Out out;
  const ByteSpan body = m.body;
  switch (m.op) {
    case 21:
      session.on_prepare_transition(m.transition_id, m.version, now, out);
      break;
    case 22:
      session.on_execute_transition(m.transition_id, now, out);
      break;
    case 24:
      session.on_prepare_epoch(m.version, m.epoch, now, out);
      break;
    case 25:
      session.on_external_sender(body, now, out);
      break;
    case 27:
      session.on_proposals(body[0], body.subspan(1), now, out);
      break;
    case 29:
      session.on_announce_commit(load_be16(body.data()), body.subspan(2), now, out);
      break;
    default:
      session.on_welcome(load_be16(body.data()), body.subspan(2), now, out);
  }
  take(std::move(out), now);
}

void DaveClient::receive_text(const json& message, Time now) {
  const int op = message["op"];
  const json& d = message["d"];
  if (op == 4) {
    described(d["dave_protocol_version"], now);
  } else if (op == 11) {
    for (const json& one : d["user_ids"]) {
      joined({number(one)});
    }
  } else if (op == 13) {
    left(number(d["user_id"]));
  } else if (op == 21 || op == 22 || op == 24) {
    DaveMessage m;
    m.op = op;
    m.transition_id = d.value("transition_id", std::uint16_t{0});
    m.version = d.value("protocol_version", 0);
    m.epoch = d.value("epoch", std::uint64_t{0});
    receive(m, now);
  }
}

void DaveClient::receive_binary(ByteSpan bytes, Time now) {
  DaveMessage m;
  m.op = bytes[2];
  m.body.assign(bytes.begin() + 3, bytes.end());
  receive(m, now);
}

void DaveClient::on_timer(Time now) {
  if (const Deadline next = session.next_deadline(); next && *next <= now) {
    dave::Out out;
    session.on_timer(now, out);
    take(std::move(out), now);
  }
}

void DaveClient::take(dave::Out out, Time now) {
  for (dave::Action& action : out) {
    if (auto* binary = std::get_if<dave::SendBinary>(&action)) {
      replies_.push_back(
          {binary->bytes[0], Bytes(binary->bytes.begin() + 1, binary->bytes.end()), 0});
    } else if (auto* text = std::get_if<dave::SendText>(&action)) {
      const auto m = json::parse(text->text);
      replies_.push_back({m["op"], {}, m["d"]["transition_id"]});
    } else if (auto* keys = std::get_if<dave::PublishKeys>(&action)) {
      opener.use(std::move(keys->keys), now);
    } else if (auto* told = std::get_if<dave::Encryption>(&action)) {
      encryption = *told;
    } else if (auto* notice = std::get_if<dave::Notice>(&action)) {
      notices.push_back(std::to_string(notice->op) + ": " + notice->text);
    } else if (auto* fail = std::get_if<dave::Fail>(&action)) {
      failure = fail->message;
    }
  }
}

json DaveClient::to_text(const SpeakerMember::Reply& reply) {
  return {{"op", reply.op}, {"d", {{"transition_id", reply.transition_id}}}};
}

}  // namespace discord::loopback
