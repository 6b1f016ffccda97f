// The end-to-end encryption of the voice server: what joins sessions, speakers and the delivery
// service.
#include "json_fields.hpp"
#include "voice_server.hpp"

#include <algorithm>

namespace discord::loopback {

using nlohmann::json;

json to_json(const DaveTruth& truth) {
  const DaveCounters& c = truth.counters;
  json members = json::array();
  for (const std::uint64_t user : truth.members) {
    members.push_back(std::to_string(user));
  }
  json codes = json::array();
  for (const PrivacyCode& code : truth.codes) {
    codes.push_back({{"group", code.group}, {"epoch", code.epoch}, {"privacy_code", code.code}});
  }
  return {{"version", c.version},
          {"group", c.group},
          {"epoch", c.epoch},
          {"members", std::move(members)},
          {"settled", c.settled},
          {"epochs", c.epochs},
          {"client_commits", c.client_commits},
          {"lost_commits", c.lost_commits},
          {"key_packages", c.key_packages},
          {"welcomes", c.welcomes},
          {"transitions", c.transitions},
          {"executed", c.executed},
          {"unready", c.unready},
          {"revoked", c.revoked},
          {"recoveries", c.recoveries},
          {"spoilt", c.spoilt},
          {"resets", c.resets},
          {"refused", c.refused},
          {"codes", std::move(codes)}};
}

void VoiceServer::make_dave(Room& room, const DaveOptions& options, std::uint64_t seed) {
  room.dave = std::make_unique<DaveCall>(options, room.channel_id, seed);
  room.call->set_seal([&room](const Talker& talker, Packet& packet, Time now) {
    room.dave->seal(talker.truth.user_id, packet, now);
  });
  room.call->set_openable([this, &room](const Packet& packet) {
    if (packet.protection != Protection::sealed) {
      return true;
    }
    bool all = true;
    for (const auto& client : room.clients) {
      const MediaPath* path = client->session ? forwarder_.find(client->session->ssrc()) : nullptr;
      if (path != nullptr && path->started()) {
        all = all && room.dave->service().has_keys(client->credentials.user_id, packet.group,
                                                   packet.epoch);
      }
    }
    return all;
  });
  std::vector<std::uint64_t> users;
  for (const auto& talker : room.call->talkers()) {
    if (talker->present) {
      users.push_back(talker->truth.user_id);
    }
  }
  room.dave->speakers_joined(users, monotonic_now());
}

void VoiceServer::dave_received(Room& room, Client& client, const DaveReceived& message) {
  const Time now = monotonic_now();
  const std::uint64_t user = client.credentials.user_id;
  if (message.body.empty()) {
    room.dave->client_text(user, message.op, message.transition_id, now);
  } else if (const auto refusal = room.dave->client_binary(user, message.op, message.body, now)) {
    flush_dave(room);
    const Close code = refusal->undecodable ? Close::decode_error : Close::bad_request;
    apply(room, client, {CloseSocket{static_cast<std::uint16_t>(code), refusal->text}});
  }
  flush_dave(room);
}

void VoiceServer::flush_dave(Room& room) {
  for (const DaveMessage& message : room.dave->take_messages()) {
    for (const auto& client : room.clients) {
      if (client->session && client->credentials.user_id == message.to) {
        apply(room, *client, client->session->dave(message));
      }
    }
  }
  for (const std::string& complaint : room.dave->take_complaints()) {
    complain(complaint);
  }
}

void VoiceServer::speaker_joined(Room& room, const Talker& talker) {
  const std::uint64_t user = talker.truth.user_id;
  broadcast(room, nullptr, [&](VoiceSession& s) { return s.joined({user}); });
  room.dave->speaker_joined(user, monotonic_now());
  flush_dave(room);
}

void VoiceServer::speaker_left(Room& room, Talker& talker) {
  const std::uint64_t user = talker.truth.user_id;
  room.call->leave(talker);
  broadcast(room, nullptr, [&](VoiceSession& s) { return s.left(user); });
  room.dave->left(user, monotonic_now());
  flush_dave(room);
}

DaveTruth VoiceServer::dave_truth(std::uint64_t guild_id) const {
  DaveTruth out;
  if (const Room* room = find_room(guild_id)) {
    out.counters = room->dave->service().counters();
    out.members = room->dave->service().group().users();
    out.codes.assign(room->dave->codes().begin(), room->dave->codes().end());
  }
  return out;
}

json VoiceServer::dave_command(Room& room, const std::string& what, const json& command) {
  const Time now = monotonic_now();
  DeliveryService& service = room.dave->service();
  std::uint64_t user = id_of(command, "user_id");
  if (user == 0) {
    user = room.clients.front()->credentials.user_id;
  }
  std::optional<std::string> failed;
  json answer = good();
  if (what == "dave-upgrade") {
    for (const auto& client : room.clients) {
      if (client->session && client->session->offered_dave() == 0) {
        apply(room, *client,
              {CloseSocket{static_cast<std::uint16_t>(Close::e2ee_required),
                           "E2EE/DAVE protocol required"}});
      }
    }
    failed = service.set_version(1, now);
  } else if (what == "dave-downgrade") {
    failed = service.set_version(0, now);
  } else if (what == "dave-restart") {
    failed = service.restart(now);
  } else if (what == "dave-remove") {
    failed = service.remove(user, now);
  } else if (what == "dave-revoke") {
    failed = service.propose_and_revoke(user, milliseconds_of(command, "ms", 200), now);
  } else if (what == "dave-spoil") {
    const std::string which = command.value("what", "commit");
    const auto count = static_cast<unsigned>(number_of(command, "count", 1));
    if (which == "commit") {
      service.spoil_commits(count);
    } else if (which == "welcome") {
      service.spoil_welcomes(count);
    } else {
      failed = "\"what\" is commit or welcome";
    }
  } else if (what == "dave-options") {
    failed = set_dave_options(room, command);
  } else if (what == "dave-forge" || what == "dave-replay") {
    const auto count = static_cast<unsigned>(number_of(command, "count", 10));
    answer["sent"] = room.noise->hostile_frames(*room.call, what == "dave-replay", count, now);
  } else if (what == "dave-verify") {
    const auto code = room.dave->verification_code(user, room.clients.front()->credentials.user_id);
    if (code) {
      answer["code"] = *code;
    } else {
      failed = "the speaker and the first client are not in a group";
    }
  } else if (what == "dave-status") {
    answer["dave"] = to_json(dave_truth(room.guild_id));
  } else if (what == "empty") {
    for (const auto& talker : room.call->talkers()) {
      if (talker->present) {
        speaker_left(room, *talker);
      }
    }
  } else if (what == "refill") {
    for (const auto& talker : room.call->talkers()) {
      if (!talker->present) {
        room.call->rejoin(*talker, new_ssrc(), now);
        speaker_joined(room, *talker);
        announce(room, *talker);
      }
    }
  } else {
    failed = "unknown command: " + what;
  }
  room.dave->advance(now);
  flush_dave(room);
  return failed ? bad(*failed) : answer;
}

std::optional<std::string> VoiceServer::set_dave_options(Room& room, const json& command) {
  DeliveryOptions& delivery = room.dave->service().options();
  const auto prefer = prefer_from(command.value("commits", std::string()));
  if (command.contains("commits") && !prefer) {
    return "\"commits\" is first, clients, speakers or mixed";
  }
  delivery.prefer = prefer.value_or(delivery.prefer);
  const auto ms = [](Duration d) { return static_cast<double>(d.count()) / 1e6; };
  delivery.execute_delay = milliseconds_of(command, "execute_delay_ms", ms(delivery.execute_delay));
  delivery.found_with_client = command.value("found_with_client", delivery.found_with_client);
  SpeakerDaveOptions speakers = room.dave->speaker_options();
  if (const double early = number_of(command, "early_epoch_ms", -1); early >= 0) {
    speakers.early_epoch = milliseconds_of(command, "early_epoch_ms", 0);
  }
  if (const double lag = number_of(command, "commit_lag_ms", -1); lag >= 0) {
    room.dave->set_commit_lag(milliseconds_of(command, "commit_lag_ms", 0));
  }
  speakers.passthrough = number_of(command, "passthrough", speakers.passthrough);
  room.dave->set_speaker_options(speakers);
  NoiseOptions& noise = room.noise->options();
  noise.forged_frames = number_of(command, "forged_frames", noise.forged_frames);
  noise.replayed_frames = number_of(command, "replayed_frames", noise.replayed_frames);
  return std::nullopt;
}

}  // namespace discord::loopback
