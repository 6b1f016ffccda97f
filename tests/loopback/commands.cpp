// What a test or a user can make the server do while it runs (docs/loopback.md "Commands").
#include "json_fields.hpp"
#include "voice_server.hpp"

#include <algorithm>

namespace discord::loopback {

using nlohmann::json;

namespace {

// Closing with one of these leaves the session alive, so that Resume is the right answer.
bool is_resumable(int code) {
  return code < 4000 || code == 4013 || code == 4015;
}

json to_json(const Credentials& c) {
  return {{"user_id", std::to_string(c.user_id)},
          {"guild_id", std::to_string(c.guild_id)},
          {"channel_id", std::to_string(c.channel_id)},
          {"session_id", c.session_id},
          {"token", c.token}};
}

}  // namespace

json VoiceServer::command(const json& command) {
  if (!command.is_object() || !command.contains("do") || !command["do"].is_string()) {
    return bad("a command is an object with a string \"do\"");
  }
  if (!listener_) {
    return bad("the server has been stopped");
  }
  Room* room = find_room(id_of(command, "guild_id"));
  if (room == nullptr) {
    return bad("no such guild");
  }
  json answer;
  try {
    answer = run(*room, command);
  } catch (const json::exception& e) {
    answer = bad(e.what());  // a key of the wrong type
  }
  arm();
  publish();
  return answer;
}

void VoiceServer::close_clients(Room& room, std::uint16_t code, const std::string& reason) {
  for (const auto& client : room.clients) {
    if (client->socket == 0) {
      continue;
    }
    refuse(client->socket, {code, reason});
    if (is_resumable(code)) {
      client->session->socket_lost();
      client->forget_at = monotonic_now() + options_.resume_window;
      client->socket = 0;
    } else {
      client->socket = 0;
      client->spent = true;
      end_session(room, *client);
    }
  }
}

// Of every call: what would be sent until then is lost.
void VoiceServer::pause_media(Time until) {
  for (const auto& room : rooms_) {
    forwarder_.each(room->guild_id, [&](MediaPath& path) { path.pause(until); });
  }
}

json VoiceServer::run(Room& room, const json& command) {
  const std::string what = command["do"];
  const Time now = monotonic_now();
  if (what.starts_with("gateway-") || what.starts_with("bot-") || what.starts_with("guild-")) {
    return main_->command(room.guild_id, command, now);
  }
  if (what == "drop-socket") {
    for (const auto& client : room.clients) {
      listener_->drop(client->socket);
    }
    return good();
  }
  if (what == "outage") {
    const Time until = now + milliseconds_of(command, "ms", 500);
    listener_->vanish();
    pause_media(until);
    script_.emplace(until, json{{"do", "outage-over"}});
    return good();
  }
  if (what == "outage-over") {
    pause_media(now);
    const auto failed = listener_->come_back();
    return failed ? bad(*failed) : good();
  }
  if (what == "close") {
    const double code = number_of(command, "code", 0);
    if (code != 1000 && code != 1001 && (code < 3000 || code > 4999)) {
      return bad("a close code is 1000, 1001 or 3000 to 4999");
    }
    close_clients(room, static_cast<std::uint16_t>(code), command.value("reason", "on command"));
    return good();
  }
  if (what == "new-client") {
    json answer = good();
    answer["credentials"] = to_json(make_client(room).credentials);
    return answer;
  }
  if (what == "move" || what == "change-server") {
    // Both end the connection; a move also changes the channel. New credentials come with it, and
    // everybody's SSRC is new on the other side.
    const bool move = what == "move";
    close_clients(room, move ? 4014 : 4022, move ? "moved" : "voice server changed");
    if (move) {
      const std::uint64_t channel = id_of(command, "channel_id");
      room.channel_id = channel != 0 ? channel : room.channel_id + 1;
    }
    relocate(room.guild_id, room.channel_id);
    Client& client = *room.clients.front();
    client.credentials.token = random_text(16);
    client.credentials.channel_id = room.channel_id;
    client.spent = false;
    json answer = good();
    answer["credentials"] = to_json(client.credentials);
    return answer;
  }
  if (what == "stall" || what == "pause") {
    const Time until = now + milliseconds_of(command, "ms", 500);
    forwarder_.each(room.guild_id, [&](MediaPath& path) {
      what == "stall" ? path.stall(until) : path.pause(until);
    });
    return good();
  }
  if (what == "forge") {
    const double count = number_of(command, "count", 100);
    if (count < 1 || count > 1e6) {
      return bad("count is 1 to 1000000");
    }
    json answer = good();
    answer["sent"] =
        room.noise->forge(*room.call, forwarder_, static_cast<std::uint64_t>(count), now);
    return answer;
  }
  if (what == "network") {
    NetworkOptions n = room.call->options().network;
    n.loss = number_of(command, "loss", n.loss);
    n.loss_burst = number_of(command, "loss_burst", n.loss_burst);
    n.reorder = number_of(command, "reorder", n.reorder);
    n.duplicate = number_of(command, "duplicate", n.duplicate);
    n.jitter = milliseconds_of(command, "jitter_ms", static_cast<double>(n.jitter.count()) / 1e6);
    n.reorder_delay = milliseconds_of(command, "reorder_delay_ms",
                                      static_cast<double>(n.reorder_delay.count()) / 1e6);
    room.call->set_network(n);
    return good();
  }
  if (what == "send") {
    if (!command.contains("op") || !command["op"].is_number_integer()) {
      return bad("op is an integer");
    }
    const int op = command["op"];
    const json d = command.contains("d") ? command["d"] : json();
    broadcast(room, nullptr, [&](VoiceSession& s) { return s.send(op, d); });
    return good();
  }
  if (what == "truth") {
    json answer = truth_summary();
    answer["ok"] = true;
    return answer;
  }
  if (what.starts_with("dave-") || what == "empty" || what == "refill") {
    return dave_command(room, what, command);
  }
  return speaker_command(room, what, command);
}

json VoiceServer::speaker_command(Room& room, const std::string& what, const json& command) {
  static constexpr const char* known[] = {"leave", "rejoin", "announce", "reuse-ssrc", "video"};
  if (std::find(std::begin(known), std::end(known), what) == std::end(known)) {
    return bad("unknown command: " + what);
  }
  Talker* talker = room.call->find(id_of(command, "user_id"));
  if (talker == nullptr) {
    return bad("no such speaker");
  }
  const Time now = monotonic_now();
  if (what == "leave") {
    speaker_left(room, *talker);
  } else if (what == "rejoin") {
    const std::uint64_t ssrc = id_of(command, "ssrc");
    room.call->rejoin(*talker, ssrc != 0 ? static_cast<std::uint32_t>(ssrc) : new_ssrc(), now);
    speaker_joined(room, *talker);
    if (command.value("announce", true)) {
      announce(room, *talker);
    }
  } else if (what == "announce") {
    announce(room, *talker);
  } else if (what == "reuse-ssrc") {
    // Another user leaves and this one gets the number that became free.
    Talker* other = room.call->find(id_of(command, "of"));
    if (other == nullptr || other == talker) {
      return bad("\"of\" names the speaker whose SSRC is taken over");
    }
    if (other->present) {
      speaker_left(room, *other);
    }
    const bool was_there = talker->present;
    room.call->rejoin(*talker, other->truth.ssrc, now);
    if (!was_there) {
      speaker_joined(room, *talker);
    }
    announce(room, *talker);
  } else {
    talker->video_ssrc = command.value("on", true) ? new_ssrc() : 0;
    const Participant who = participant(*talker);
    broadcast(room, nullptr, [&](VoiceSession& s) { return s.video(who); });
  }
  json answer = good();
  answer["ssrc"] = talker->truth.ssrc;
  return answer;
}

}  // namespace discord::loopback
