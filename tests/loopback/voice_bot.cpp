// What the main gateway asks of the voice server: credentials for the bot, and their end.
#include "voice_server.hpp"

namespace discord::loopback {

void VoiceServer::send_text(std::uint64_t socket, const std::string& text) {
  if (listener_) {
    listener_->send_text(socket, text);
  }
}

void VoiceServer::close_socket(std::uint64_t socket, std::uint16_t code, const std::string& why) {
  if (listener_) {
    listener_->close(socket, code, why);
  }
}

void VoiceServer::drop_socket(std::uint64_t socket) {
  if (listener_) {
    listener_->drop(socket);
  }
}

bool VoiceServer::is_tls(std::uint64_t socket) {
  return listener_ && listener_->is_tls(socket);
}

std::string VoiceServer::voice_endpoint(bool tls) {
  return tls ? "127.0.0.1:" + std::to_string(listener_->tls_port())
             : "ws://127.0.0.1:" + std::to_string(listener_->port());
}

std::vector<std::uint64_t> VoiceServer::guilds() {
  std::vector<std::uint64_t> out;
  for (const auto& room : rooms_) {
    out.push_back(room->guild_id);
  }
  return out;
}

std::uint64_t VoiceServer::call_channel(std::uint64_t guild) {
  const Room* room = find_room(guild);
  return room != nullptr ? room->channel_id : 0;
}

std::vector<MainHost::Person> VoiceServer::people(std::uint64_t guild) {
  std::vector<Person> out;
  if (const Room* room = find_room(guild)) {
    for (const auto& talker : room->call->talkers()) {
      if (talker->present) {
        out.push_back({talker->truth.user_id, talker->truth.name, talker->bot});
      }
    }
  }
  return out;
}

std::string VoiceServer::issue(std::uint64_t guild, std::uint64_t channel, std::uint64_t user,
                               const std::string& session, bool spoiled) {
  Room& room = *find_room(guild);
  Client* bot = nullptr;
  for (const auto& client : room.clients) {
    if (client->credentials.user_id == user) {
      bot = client.get();
    }
  }
  if (bot == nullptr) {
    bot = &make_client(room);
  } else {
    end_voice(guild, user, 0);
  }
  bot->credentials = {user, guild, channel, session, random_text(16)};
  bot->spent = spoiled;
  return bot->credentials.token;
}

void VoiceServer::end_voice(std::uint64_t guild, std::uint64_t user, std::uint16_t code) {
  Room* room = find_room(guild);
  if (room == nullptr) {
    return;
  }
  for (const auto& client : room->clients) {
    if (client->credentials.user_id != user) {
      continue;
    }
    if (client->socket != 0 && code != 0) {
      refuse(client->socket, {code, "on command"});
    } else if (client->socket != 0) {
      forgotten_.insert(client->socket);
    }
    client->socket = 0;
    client->spent = true;
    end_session(*room, *client);
  }
}

void VoiceServer::relocate(std::uint64_t guild, std::uint64_t channel) {
  Room* room = find_room(guild);
  if (room == nullptr) {
    return;
  }
  room->channel_id = channel;
  const Time now = monotonic_now();
  for (const auto& talker : room->call->talkers()) {
    if (talker->present) {
      room->call->rejoin(*talker, new_ssrc(), now);
      talker->announced = false;
    }
  }
  make_dave(*room, options_.dave, random_.next());
}

}  // namespace discord::loopback
