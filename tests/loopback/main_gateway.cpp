#include "main_gateway.hpp"

#include "json_fields.hpp"

#include <algorithm>

namespace discord::loopback {

using nlohmann::json;

namespace {

constexpr std::size_t kept_events = 5000;
constexpr Duration resume_window = std::chrono::minutes(5);

}  // namespace

MainGateway::MainGateway(MainOptions options, MainHost& host)
    : options_(std::move(options)), host_(host) {
  for (const std::uint64_t guild : host_.guilds()) {
    first_channel_[guild] = host_.call_channel(guild);
  }
}

void MainGateway::send(std::uint64_t socket, const json& message) {
  host_.send_text(socket, message.dump());
}

void MainGateway::refuse(std::uint64_t socket, std::uint16_t code, const std::string& why) {
  host_.log("main gateway: close " + std::to_string(code) + " (" + why + ")");
  host_.close_socket(socket, code, why);
}

MainGateway::Session* MainGateway::session_at(std::uint64_t number) {
  const auto found = sessions_.find(number);
  return found == sessions_.end() ? nullptr : &found->second;
}

MainGateway::Session* MainGateway::session_of(std::uint64_t socket) {
  const auto found = sockets_.find(socket);
  return found == sockets_.end() ? nullptr : session_at(found->second.session);
}

std::string MainGateway::url(std::uint64_t socket) {
  const bool tls = host_.is_tls(socket);
  return tls ? "wss://" + host_.voice_endpoint(true) : host_.voice_endpoint(false);
}

void MainGateway::opened(std::uint64_t socket, Time) {
  ++counters_.sockets;
  ++counters_.sockets_now;
  sockets_[socket] = {};
  send(socket, {{"op", 10},
                {"d", {{"heartbeat_interval", options_.heartbeat_interval_ms}}},
                {"s", nullptr},
                {"t", nullptr}});
}

void MainGateway::closed(std::uint64_t socket, Time now) {
  --counters_.sockets_now;
  if (Session* session = session_of(socket); session != nullptr && session->socket == socket) {
    session->socket = 0;
    session->forget_at = now + resume_window;
  }
  sockets_.erase(socket);
}

void MainGateway::text(std::uint64_t socket, const std::string& text, Time now) {
  if (text.size() > 4096) {
    refuse(socket, 4002, "payload too large");
    return;
  }
  const json message = json::parse(text, nullptr, false);
  if (!message.is_object() || !message.contains("op") || !message["op"].is_number_integer()) {
    refuse(socket, 4002, "not a message");
    return;
  }
  const json d = message.value("d", json());
  const int op = message["op"];
  Session* session = session_of(socket);
  if (op == 1) {
    ++counters_.heartbeats;
    if (!silent_) {
      send(socket, {{"op", 11}});
    }
  } else if (op == 2) {
    sockets_[socket].identified ? refuse(socket, 4005, "already authenticated")
                                : identify(socket, d, now);
  } else if (op == 6) {
    resume(socket, d, now);
  } else if (session == nullptr) {
    refuse(socket, 4003, "not authenticated");
  } else if (op == 4) {
    voice_state(*session, d, now);
  } else if (op == 8) {
    members(*session, d);
  } else if (op != 3) {
    refuse(socket, 4001, "unknown opcode");
  }
}

void MainGateway::identify(std::uint64_t socket, const json& d, Time) {
  if (!d.is_object() || d.value("token", "") != options_.bot_token) {
    refuse(socket, 4004, "authentication failed");
    return;
  }
  if (const auto shard = d.find("shard"); shard != d.end() && !shard->is_null()) {
    const bool good_shard = shard->is_array() && shard->size() == 2 &&
                            (*shard)[0].is_number_unsigned() && (*shard)[1].is_number_unsigned() &&
                            (*shard)[0].get<unsigned>() < (*shard)[1].get<unsigned>();
    if (!good_shard) {
      refuse(socket, 4010, "invalid shard");
      return;
    }
  }
  if (!d.contains("intents") || !d["intents"].is_number_unsigned()) {
    refuse(socket, 4013, "invalid intents");
    return;
  }
  ++counters_.identified;
  // A session nobody is connected to is over, and so is its voice.
  std::vector<std::uint64_t> gone;
  for (const auto& [number, old] : sessions_) {
    if (old.socket == 0) {
      gone.push_back(number);
    }
  }
  for (const std::uint64_t number : gone) {
    forget(number);
  }
  const std::uint64_t number = next_session_++;
  Session& session = sessions_[number];
  session.id = host_.random_text(32);
  session.socket = socket;
  sockets_[socket] = {true, number};
  host_.log("main gateway: identified");
  json guilds = json::array();
  if (options_.invited) {
    for (const std::uint64_t guild : host_.guilds()) {
      guilds.push_back({{"id", std::to_string(guild)}, {"unavailable", true}});
    }
  }
  dispatch(session, "READY",
           {{"v", 10},
            {"user", bot_json()},
            {"session_id", session.id},
            {"session_type", "normal"},
            {"resume_gateway_url", url(socket)},
            {"private_channels", json::array()},
            {"relationships", json::array()},
            {"presences", json::array()},
            {"guilds", guilds},
            {"shard", d.value("shard", json::array({0, 1}))},
            {"application", {{"id", std::to_string(options_.bot_user)}, {"flags", 0}}}});
  if (options_.invited) {
    for (const std::uint64_t guild : host_.guilds()) {
      dispatch(session, "GUILD_CREATE", guild_json(guild));
    }
  }
}

void MainGateway::resume(std::uint64_t socket, const json& d, Time now) {
  if (!d.is_object() || d.value("token", "") != options_.bot_token) {
    refuse(socket, 4004, "authentication failed");
    return;
  }
  const std::string id = d.value("session_id", "");
  const auto found = std::find_if(sessions_.begin(), sessions_.end(),
                                  [&](const auto& entry) { return entry.second.id == id; });
  if (refuse_resumes_ > 0 || found == sessions_.end()) {
    const bool resumable = refuse_resumes_ > 0 && refusal_resumable_;
    refuse_resumes_ = std::max(0, refuse_resumes_ - 1);
    ++counters_.refused_resumes;
    if (!resumable && found != sessions_.end()) {
      forget(found->first);
    }
    send(socket, {{"op", 9}, {"d", resumable}});
    return;
  }
  Session& session = found->second;
  if (session.socket != 0) {
    host_.drop_socket(session.socket);
  }
  session.socket = socket;
  session.forget_at.reset();
  sockets_[socket] = {true, found->first};
  const std::uint64_t seq = d.value("seq", std::uint64_t{0});
  if (seq > session.seq) {
    refuse(socket, 4007, "invalid seq");
    return;
  }
  ++counters_.resumed;
  host_.log("main gateway: resumed after " + std::to_string(seq));
  std::vector<std::string> missed;
  for (const auto& [number, text] : session.kept) {
    if (number > seq) {
      missed.push_back(text);
    }
  }
  if (options_.resumed_first) {
    dispatch(session, "RESUMED", {{"_trace", json::array()}});
  }
  for (const std::string& text : missed) {
    host_.send_text(socket, text);
  }
  if (!options_.resumed_first) {
    dispatch(session, "RESUMED", {{"_trace", json::array()}});
  }
  (void)now;
}

void MainGateway::dispatch(Session& session, const char* event, json d) {
  const std::string text =
      json{{"op", 0}, {"t", event}, {"s", ++session.seq}, {"d", std::move(d)}}.dump();
  session.kept.emplace_back(session.seq, text);
  if (session.kept.size() > kept_events) {
    session.kept.pop_front();
  }
  if (session.socket != 0) {
    host_.send_text(session.socket, text);
  }
}

void MainGateway::broadcast(const char* event, const json& d) {
  for (auto& [number, session] : sessions_) {
    dispatch(session, event, d);
  }
}

void MainGateway::forget(std::uint64_t number) {
  sessions_.erase(number);
  for (const std::uint64_t guild : host_.guilds()) {
    const auto place = places_.find(guild);
    if (place != places_.end() && place->second.session == number) {
      host_.end_voice(guild, options_.bot_user, 4014);
      places_.erase(place);
    }
  }
}

void MainGateway::members(Session& session, const json& d) {
  const std::uint64_t guild = id_of(d, "guild_id");
  json found = json::array();
  json missing = json::array();
  const json wanted = options_.nameless ? json::array() : d.value("user_ids", json::array());
  for (const json& id : wanted) {
    const std::string text = id.is_string() ? id.get<std::string>() : id.dump();
    const auto people = host_.people(guild);
    const auto person = std::find_if(people.begin(), people.end(), [&](const MainHost::Person& p) {
      return std::to_string(p.user) == text;
    });
    if (person == people.end()) {
      missing.push_back(text);
    } else {
      found.push_back(member_json(guild, person->user, person->name, person->bot));
    }
  }
  dispatch(session, "GUILD_MEMBERS_CHUNK",
           {{"guild_id", std::to_string(guild)},
            {"members", found},
            {"not_found", missing},
            {"chunk_index", 0},
            {"chunk_count", 1},
            {"nonce", d.value("nonce", json())}});
}

void MainGateway::voice_state(Session& session, const json& d, Time now) {
  const std::uint64_t guild = id_of(d, "guild_id");
  const std::uint64_t channel = id_of(d, "channel_id");
  const auto guilds = host_.guilds();
  if (counters_.asked.size() < 1000) {
    counters_.asked.push_back(d);
  }
  if (!options_.invited || std::find(guilds.begin(), guilds.end(), guild) == guilds.end()) {
    return;
  }
  counters_.self_mute = d.value("self_mute", false);
  counters_.self_deaf = d.value("self_deaf", false);
  const auto known = places_.find(guild);
  if (channel == 0) {
    ++counters_.leaves;
    if (known != places_.end()) {
      unseat(guild, 4014);
    }
    return;
  }
  ++counters_.joins;
  const bool there = known != places_.end() && known->second.channel == channel;
  if (!there) {
    if (options_.ignore_joins > 0) {
      --options_.ignore_joins;
      return;
    }
    if (!joinable(guild, channel)) {
      return;  // Discord says nothing
    }
  }
  Place& place = places_[guild];
  place.self_mute = counters_.self_mute;
  place.self_deaf = counters_.self_deaf;
  for (const auto& [number, one] : sessions_) {
    if (&one == &session) {
      place.session = number;
    }
  }
  if (there) {
    tell_state(guild);  // and no voice server: nothing of it has changed
    return;
  }
  const bool moved = place.channel != 0;
  place.channel = channel;
  if (moved) {
    host_.end_voice(guild, options_.bot_user, 4014);
  }
  if (channel != host_.call_channel(guild)) {
    host_.relocate(guild, channel);
  }
  seat(guild, channel, now);
}

// Both updates, in the order wanted.
void MainGateway::seat(std::uint64_t guild, std::uint64_t, Time now) {
  ++counters_.seated;
  if (options_.null_endpoint_joins > 0) {
    --options_.null_endpoint_joins;
    tell_state(guild);
    tell_server(guild, false);
    later_.push_back(
        {now + std::chrono::milliseconds(300), [this, guild](Time) { tell_server(guild, true); }});
    return;
  }
  if (options_.server_first) {
    tell_server(guild, true);
    tell_state(guild);
  } else {
    tell_state(guild);
    tell_server(guild, true);
  }
}

void MainGateway::tell_server(std::uint64_t guild, bool with_endpoint) {
  const auto place = places_.find(guild);
  Session* session = place == places_.end() ? nullptr : session_at(place->second.session);
  if (session == nullptr) {
    return;
  }
  json d = {{"guild_id", std::to_string(guild)}, {"token", "none"}, {"endpoint", nullptr}};
  if (with_endpoint) {
    const bool spoiled = options_.stale_joins > 0;
    options_.stale_joins -= spoiled ? 1 : 0;
    d["token"] = host_.issue(guild, place->second.channel, options_.bot_user, session->id, spoiled);
    d["endpoint"] = host_.voice_endpoint(session->socket != 0 && host_.is_tls(session->socket));
  }
  dispatch(*session, "VOICE_SERVER_UPDATE", std::move(d));
}

void MainGateway::tell_state(std::uint64_t guild) {
  counters_.last_channel = places_.contains(guild) ? places_[guild].channel : 0;
  broadcast("VOICE_STATE_UPDATE", state_json(guild));
}

void MainGateway::unseat(std::uint64_t guild, std::uint16_t code) {
  json state = state_json(guild);
  state["channel_id"] = nullptr;
  places_.erase(guild);
  counters_.last_channel = 0;
  broadcast("VOICE_STATE_UPDATE", state);
  host_.end_voice(guild, options_.bot_user, code);
}

void MainGateway::advance(Time now) {
  std::vector<Later> due;
  std::erase_if(later_, [&](Later& later) {
    if (later.at > now) {
      return false;
    }
    due.push_back(std::move(later));
    return true;
  });
  for (const Later& later : due) {
    later.run(now);
  }
  std::vector<std::uint64_t> gone;
  for (const auto& [number, session] : sessions_) {
    if (session.forget_at && *session.forget_at <= now) {
      gone.push_back(number);
    }
  }
  for (const std::uint64_t number : gone) {
    forget(number);
  }
}

Deadline MainGateway::next_deadline() const {
  Deadline next;
  for (const Later& later : later_) {
    next = earlier(next, later.at);
  }
  for (const auto& [number, session] : sessions_) {
    next = earlier(next, session.forget_at);
  }
  return next;
}

json MainGateway::command(std::uint64_t guild, const json& command, Time now) {
  const std::string what = command["do"];
  return what.starts_with("gateway-") ? gateway_command(what, command)
                                      : bot_command(guild, what, command, now);
}

json MainGateway::gateway_command(const std::string& what, const json& command) {
  std::vector<std::uint64_t> sockets;
  for (const auto& [number, session] : sessions_) {
    if (session.socket != 0) {
      sockets.push_back(session.socket);
    }
  }
  if (what == "gateway-drop") {
    std::for_each(sockets.begin(), sockets.end(),
                  [&](std::uint64_t socket) { host_.drop_socket(socket); });
  } else if (what == "gateway-close") {
    const double code = number_of(command, "code", 0);
    if (code != 1000 && code != 1001 && (code < 3000 || code > 4999)) {
      return bad("a close code is 1000, 1001 or 3000 to 4999");
    }
    for (const std::uint64_t socket : sockets) {
      refuse(socket, static_cast<std::uint16_t>(code), command.value("reason", "on command"));
    }
  } else if (what == "gateway-reconnect") {
    for (const std::uint64_t socket : sockets) {
      send(socket, {{"op", 7}, {"d", nullptr}, {"s", nullptr}, {"t", nullptr}});
    }
  } else if (what == "gateway-invalid") {
    for (const std::uint64_t socket : sockets) {
      send(socket, {{"op", 9}, {"d", command.value("resumable", false)}});
    }
    if (!command.value("resumable", false)) {
      while (!sessions_.empty()) {
        forget(sessions_.begin()->first);
      }
    }
  } else if (what == "gateway-refuse-resume") {
    refuse_resumes_ = static_cast<int>(number_of(command, "count", 1));
    refusal_resumable_ = command.value("resumable", false);
  } else if (what == "gateway-silence") {
    silent_ = command.value("on", true);
  } else if (what == "gateway-send") {
    const json message = command.value("message", json());
    for (const std::uint64_t socket : sockets) {
      message.is_string() ? host_.send_text(socket, message.get<std::string>())
                          : send(socket, message);
    }
  } else {
    return bad("unknown command: " + what);
  }
  return good();
}

json MainGateway::bot_command(std::uint64_t guild, const std::string& what, const json& command,
                              Time now) {
  const Duration wait = milliseconds_of(command, "ms", 500);
  if (what == "bot-stale" || what == "bot-ignore") {
    (what == "bot-stale" ? options_.stale_joins : options_.ignore_joins) =
        static_cast<int>(number_of(command, "count", 1));
    return good();
  }
  if (what == "bot-status") {
    const auto at = places_.find(guild);
    json answer = good();
    answer["channel_id"] = std::to_string(at != places_.end() ? at->second.channel : 0);
    answer["self_deaf"] = counters_.self_deaf;
    answer["identified"] = counters_.identified;
    answer["asked"] = counters_.asked;
    answer["answers"] = counters_.answers;
    answer["posted"] = counters_.posted;
    return answer;
  }
  if (what == "bot-rename" || what == "bot-command") {
    const std::uint64_t user = id_of(command, "user_id");
    const auto people = host_.people(guild);
    const auto person = std::find_if(people.begin(), people.end(),
                                     [user](const auto& one) { return one.user == user; });
    if (person == people.end()) {
      return bad("no such person");
    }
    if (what == "bot-command") {
      broadcast("INTERACTION_CREATE", interaction_json(guild, *person, command));
      return good();
    }
    nicks_[user] = command.value("nick", "");
    json d = member_json(guild, user, person->name, person->bot);
    d["guild_id"] = std::to_string(guild);
    broadcast("GUILD_MEMBER_UPDATE", d);
    return good();
  }
  if (what == "bot-message") {
    broadcast("MESSAGE_CREATE",
              message_json(guild, first_channel_[guild] + guild_channel::text,
                           user_json(id_of(command, "user_id"), "somebody", false),
                           command.value("content", ""), json::array()));
    return good();
  }
  if (what == "guild-outage") {
    broadcast("GUILD_DELETE", {{"id", std::to_string(guild)}, {"unavailable", true}});
    if (command.value("leave", false) && places_.contains(guild)) {
      host_.end_voice(guild, options_.bot_user, 4014);
      places_.erase(guild);
    }
    later_.push_back(
        {now + wait, [this, guild](Time) { broadcast("GUILD_CREATE", guild_json(guild)); }});
    return good();
  }
  if (what == "guild-remove") {
    broadcast("GUILD_DELETE", {{"id", std::to_string(guild)}});
    host_.end_voice(guild, options_.bot_user, 4014);
    places_.erase(guild);
    return good();
  }
  const auto place = places_.find(guild);
  if (place == places_.end()) {
    return bad("the bot is in no channel of this guild");
  }
  // 0: the voice socket is left open and silent, as happens when the close gets lost.
  const auto code = static_cast<std::uint16_t>(number_of(command, "code", 4014));
  const bool events_first = command.value("events_first", false);
  if (what == "bot-kick") {
    if (!events_first) {
      host_.end_voice(guild, options_.bot_user, code);
    }
    unseat(guild, code);
  } else if (what == "bot-move" || what == "bot-region") {
    if (what == "bot-move") {
      const std::uint64_t to = id_of(command, "channel_id");
      place->second.channel = to != 0 ? to
                              : place->second.channel == first_channel_[guild]
                                  ? first_channel_[guild] + guild_channel::other
                                  : first_channel_[guild];
    }
    if (!events_first) {
      host_.end_voice(guild, options_.bot_user, what == "bot-move" ? code : 4022);
    }
    host_.relocate(guild, place->second.channel);
    if (what == "bot-move") {
      seat(guild, place->second.channel, now);
    } else {
      tell_server(guild, true);
    }
  } else if (what == "bot-no-endpoint") {
    host_.end_voice(guild, options_.bot_user, code);
    tell_server(guild, false);
    later_.push_back({now + wait, [this, guild](Time) {
                        if (places_.contains(guild)) {
                          host_.relocate(guild, places_[guild].channel);
                          tell_server(guild, true);
                        }
                      }});
  } else if (what == "bot-deafen") {
    place->second.deaf = command.value("on", true);
    tell_state(guild);
  } else {
    return bad("unknown command: " + what);
  }
  return good();
}

}  // namespace discord::loopback
