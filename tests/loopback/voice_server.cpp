#include "voice_server.hpp"

#include <algorithm>

namespace discord::loopback {

using nlohmann::json;

namespace {

constexpr std::size_t complaint_limit = 200;

void add(PathCounters& sum, const PathCounters& c) {
  sum.discovery += c.discovery;
  sum.bad_discovery += c.bad_discovery;
  sum.pings += c.pings;
  sum.keepalives += c.keepalives;
  sum.media_sent += c.media_sent;
  sum.other_sent += c.other_sent;
  sum.held_back += c.held_back;
  sum.client_rtp += c.client_rtp;
  sum.client_rtcp += c.client_rtcp;
  sum.client_bad += c.client_bad;
}

// Only the main gateway is asked for an encoding.
bool is_main_gateway(const std::string& query) {
  return query.find("encoding=json") != std::string::npos;
}

bool asks_for_v8(const std::string& query) {
  const std::string padded = "&" + query + "&";
  return padded.find("&v=8&") != std::string::npos;
}

}  // namespace

VoiceServer::VoiceServer(Options options, OnChange on_change)
    : options_(std::move(options)),
      on_change_(std::move(on_change)),
      random_(derive_seed(options_.seed, "server")),
      forwarder_(options_.udp, [this](const Address& to, ByteSpan b) { udp_->send(to, b); }),
      listener_(std::make_unique<WebSocketListener>(WebSocketListener::Callbacks{
          [this](std::uint64_t id, const std::string&, const std::string& q) { opened(id, q); },
          [this](std::uint64_t id, const std::string& t) { text(id, t); },
          [this](std::uint64_t id, ByteSpan b) { binary(id, b); },
          [this](std::uint64_t id, int code) { closed(id, code); },
          [this](const HttpRequest& request) {
            HttpAnswer answer = main_->request(request);
            publish();
            return answer;
          }})),
      udp_(std::make_unique<UdpSocket>([this](const Address& from, MutableByteSpan bytes) {
        forwarder_.on_datagram(from, bytes, monotonic_now());
        publish();
      })),
      timer_(std::make_unique<Timer>([this] { tick(); })) {
  std::uint64_t index = 0;
  for (CallOptions& call : options_.calls) {
    auto room = std::make_unique<Room>();
    room->guild_id = call.guild_id;
    room->channel_id = call.channel_id;
    for (TalkerOptions& t : call.talkers) {
      if (t.speaker.ssrc == 0) {
        t.speaker.ssrc = new_ssrc();
      }
      if (t.speaker.user_id == 0) {
        t.speaker.user_id = next_user_++;
      }
    }
    room->call = std::make_unique<Call>(call, derive_seed(options_.seed, "call", index));
    room->call->set_clock(monotonic_now);
    room->noise =
        std::make_unique<Noise>(options_.noise, derive_seed(options_.seed, "noise", index));
    make_client(*room);
    make_dave(*room, options_.dave, derive_seed(options_.seed, "dave", index));
    rooms_.push_back(std::move(room));
    ++index;
  }
  main_ = std::make_unique<MainGateway>(options_.main, static_cast<MainHost&>(*this));
}

std::optional<std::string> VoiceServer::start(const std::optional<std::string>& pem) {
  if (auto failed = udp_->bind(options_.udp_port)) {
    return failed;
  }
  if (auto failed = timer_->start()) {
    return failed;
  }
  return listener_->listen(options_.port, options_.tls_port, pem);
}

void VoiceServer::shut_down() {
  listener_.reset();
  timer_.reset();
  udp_.reset();
}

void VoiceServer::log(const std::string& line) {
  if (options_.log) {
    options_.log(line);
  }
}

std::string VoiceServer::random_text(std::size_t size) {
  std::string out;
  while (out.size() < size) {
    out += "0123456789abcdef"[random_.below(16)];
  }
  return out;
}

VoiceServer::Client& VoiceServer::make_client(Room& room) {
  auto client = std::make_unique<Client>();
  client->credentials = {next_user_++, room.guild_id, room.channel_id, random_text(32),
                         random_text(16)};
  room.clients.push_back(std::move(client));
  return *room.clients.back();
}

VoiceServer::Room* VoiceServer::find_room(std::uint64_t guild_id) const {
  for (const auto& room : rooms_) {
    if (guild_id == 0 || room->guild_id == guild_id) {
      return room.get();
    }
  }
  return nullptr;
}

std::pair<VoiceServer::Room*, VoiceServer::Client*> VoiceServer::find_socket(
    std::uint64_t id) const {
  for (const auto& room : rooms_) {
    for (const auto& client : room->clients) {
      if (client->socket == id) {
        return {room.get(), client.get()};
      }
    }
  }
  return {nullptr, nullptr};
}

Participant VoiceServer::participant(const Talker& talker) const {
  return {talker.truth.user_id, talker.truth.ssrc, talker.flags, talker.video_ssrc};
}

void VoiceServer::opened(std::uint64_t id, const std::string& query) {
  if (is_main_gateway(query)) {
    main_->opened(id, monotonic_now());
    publish();
    return;
  }
  ++status_.sockets;
  ++status_.sockets_now;
  if (!asks_for_v8(query)) {
    log("socket without v=8 refused: ?" + query);
    refuse(id, {static_cast<std::uint16_t>(Close::unknown_protocol), "only version 8"});
  } else {
    listener_->send_text(id, hello(options_.session.heartbeat_interval_ms).dump());
  }
  publish();
}

void VoiceServer::refuse(std::uint64_t id, const CloseSocket& close) {
  log("close " + std::to_string(close.code) + " (" + close.reason + ")");
  status_.last_close_sent = close.code;
  listener_->close(id, close.code, close.reason);
}

void VoiceServer::text(std::uint64_t id, const std::string& text) {
  if (forgotten_.contains(id)) {
    return;
  }
  if (main_->owns(id)) {
    main_->text(id, text, monotonic_now());
    arm();
    publish();
    return;
  }
  auto [room, client] = find_socket(id);
  if (client != nullptr) {
    client->session->set_dave_version(room->dave->version());
    apply(*room, *client, client->session->on_text(text, monotonic_now()));
  } else {
    auto opening = read_opening(text);
    if (auto* refused = std::get_if<CloseSocket>(&opening)) {
      refuse(id, *refused);
    } else if (auto* answer = std::get_if<SendText>(&opening)) {
      listener_->send_text(id, answer->text);
    } else {
      open_session(id, std::get<Opening>(opening));
    }
  }
  arm();
  publish();
}

void VoiceServer::binary(std::uint64_t id, ByteSpan bytes) {
  if (forgotten_.contains(id)) {
    return;
  }
  auto [room, client] = find_socket(id);
  if (client != nullptr) {
    apply(*room, *client, client->session->on_binary(bytes, monotonic_now()));
  } else {
    refuse(id, {static_cast<std::uint16_t>(Close::not_authenticated), "not authenticated"});
  }
  arm();
  publish();
}

void VoiceServer::open_session(std::uint64_t id, const Opening& opening) {
  // The token says whose credentials are meant; everything else is checked against them.
  const auto& d = opening.data;
  const auto token = d.find("token");
  Room* found_room = nullptr;
  Client* found = nullptr;
  for (const auto& room : rooms_) {
    for (const auto& client : room->clients) {
      if (token != d.end() && token->is_string() && *token == client->credentials.token) {
        found_room = room.get();
        found = client.get();
      }
    }
  }
  if (found == nullptr) {
    const bool readable = token != d.end() && token->is_string();
    refuse(id, readable ? CloseSocket{static_cast<std::uint16_t>(Close::authentication_failed),
                                      "authentication failed"}
                        : CloseSocket{static_cast<std::uint16_t>(Close::decode_error), "no token"});
  } else if (opening.resume) {
    resume(id, *found_room, *found, d);
  } else {
    identify(id, *found_room, *found, d);
  }
}

void VoiceServer::identify(std::uint64_t id, Room& room, Client& client, const json& d) {
  if (auto refused =
          VoiceSession::refuse_identify(d, client.credentials, room.dave->version() > 0)) {
    refuse(id, *refused);
    return;
  }
  // Old credentials open nothing new: a client has to resume, or to join again.
  if (client.spent || (client.session && client.session->described())) {
    refuse(id, {static_cast<std::uint16_t>(Close::session_invalid), "session is no longer valid"});
    return;
  }
  if (client.session) {
    end_session(room, client);
  }
  client.session = std::make_unique<VoiceSession>(client.credentials, options_.session, new_ssrc(),
                                                  udp_->port(), random_.next());
  forwarder_.add(room.guild_id, client.session->ssrc());
  attach(id, client);
  ++status_.identified;
  log("identify: user " + std::to_string(client.credentials.user_id) + " in guild " +
      std::to_string(room.guild_id));

  std::vector<std::uint64_t> present;
  std::vector<Participant> early;
  for (const auto& t : room.call->talkers()) {
    if (!t->present) {
      continue;
    }
    present.push_back(t->truth.user_id);
    // Whoever has been announced to others is old news that a newcomer gets at once.
    if (t->announce == Announce::early || t->announced) {
      t->announced = true;
      early.push_back(participant(*t));
    }
  }
  for (const auto& other : room.clients) {
    if (other.get() != &client && other->session && other->session->described()) {
      present.push_back(other->credentials.user_id);
      if (other->session->speaking()) {
        early.push_back({other->credentials.user_id, other->session->ssrc(), 1, 0});
      }
    }
  }
  apply(room, client, client.session->identify(d, present, early));
  broadcast(room, &client, [&](VoiceSession& s) { return s.joined({client.credentials.user_id}); });
  if (client.session && client.session->offered_dave() > 0) {
    room.dave->client_joined(client.credentials.user_id, monotonic_now());
    flush_dave(room);
  }
}

void VoiceServer::resume(std::uint64_t id, Room& room, Client& client, const json& d) {
  if (!client.session) {
    refuse(id, {static_cast<std::uint16_t>(Close::session_invalid), "session is no longer valid"});
    return;
  }
  const std::uint64_t old_socket = client.socket;
  if (old_socket != 0) {
    listener_->drop(old_socket);  // the client gave that one up, whatever TCP thinks
  }
  attach(id, client);
  log("resume: user " + std::to_string(client.credentials.user_id) + " after seq " +
      (d.contains("seq_ack") ? d["seq_ack"].dump() : std::string("?")));
  SessionActions actions = client.session->resume(d);
  const bool refused = std::any_of(actions.begin(), actions.end(), [](const SessionAction& a) {
    return std::holds_alternative<CloseSocket>(a);
  });
  status_.resumed += refused ? 0 : 1;
  apply(room, client, std::move(actions));
}

void VoiceServer::attach(std::uint64_t id, Client& client) {
  client.socket = id;
  client.forget_at.reset();
  client.session->socket_attached(monotonic_now());
}

void VoiceServer::broadcast(Room& room, const Client* except,
                            const std::function<SessionActions(VoiceSession&)>& message) {
  for (const auto& client : room.clients) {
    // A client without a socket gets it by Resume: the session keeps it.
    if (client.get() != except && client->session) {
      apply(room, *client, message(*client->session));
    }
  }
}

void VoiceServer::apply(Room& room, Client& client, SessionActions actions) {
  for (SessionAction& action : actions) {
    if (auto* t = std::get_if<SendText>(&action)) {
      listener_->send_text(client.socket, t->text);
    } else if (auto* b = std::get_if<SendBinary>(&action)) {
      listener_->send_binary(client.socket, b->bytes);
    } else if (auto* c = std::get_if<CloseSocket>(&action)) {
      refuse(client.socket, *c);
      client.socket = 0;
      end_session(room, client);
      client.spent = true;
      return;  // the session that made the rest is gone
    } else if (auto* m = std::get_if<OpenMedia>(&action)) {
      ++status_.described;
      if (MediaPath* path = forwarder_.find(client.session->ssrc())) {
        const Address to{parse_ipv4(m->address).value_or(0), m->port};
        if (path->discovered() != to) {
          complain("Select Protocol names " + m->address + ":" + std::to_string(m->port) +
                   ", which is not what discovery answered");
        }
        path->open(to, client.session->mode(), client.session->key());
      }
    } else if (std::holds_alternative<StartMedia>(action)) {
      start_media(room, client);
    } else if (auto* complaint = std::get_if<Complaint>(&action)) {
      complain(complaint->text);
    } else if (std::holds_alternative<Described>(action)) {
      room.dave->client_described(client.credentials.user_id, monotonic_now());
      flush_dave(room);
    } else if (auto* dave = std::get_if<DaveReceived>(&action)) {
      dave_received(room, client, *dave);
    }
    if (!client.session) {
      return;
    }
  }
}

void VoiceServer::complain(const std::string& text) {
  log("client: " + text);
  if (status_.complaints.size() < complaint_limit) {
    status_.complaints.push_back(text);
  }
}

void VoiceServer::start_media(Room& room, Client& client) {
  const Time now = monotonic_now();
  ++status_.speaking;
  log("media starts for user " + std::to_string(client.credentials.user_id));
  if (MediaPath* path = forwarder_.find(client.session->ssrc())) {
    path->start(now);
  }
  room.call->start(now);
  broadcast(room, &client, [&](VoiceSession& s) {
    return s.announce({client.credentials.user_id, client.session->ssrc(), 1, 0});
  });
  for (const auto& t : room.call->talkers()) {
    if (t->present && !t->announced && t->announce == Announce::normal) {
      announce(room, *t);
    }
  }
  if (!script_started_ && &room == rooms_.front().get()) {
    script_started_ = true;
    for (const ScriptedCommand& s : options_.script) {
      script_.emplace(now + s.after, s.command);
    }
  }
}

void VoiceServer::announce(Room& room, Talker& talker) {
  talker.announced = true;
  const Participant who = participant(talker);
  broadcast(room, nullptr, [&](VoiceSession& s) { return s.announce(who); });
  if (who.video_ssrc != 0) {
    broadcast(room, nullptr, [&](VoiceSession& s) { return s.video(who); });
  }
}

void VoiceServer::end_session(Room& room, Client& client) {
  if (!client.session) {
    return;
  }
  if (MediaPath* path = forwarder_.find(client.session->ssrc())) {
    add(gone_, path->counters());
    forwarder_.remove(client.session->ssrc());
  }
  status_.heartbeats += client.session->heartbeats();
  client.session.reset();
  client.forget_at.reset();
  broadcast(room, &client, [&](VoiceSession& s) { return s.left(client.credentials.user_id); });
  room.dave->left(client.credentials.user_id, monotonic_now());
  flush_dave(room);
}

void VoiceServer::closed(std::uint64_t id, int code) {
  if (main_->owns(id)) {
    main_->closed(id, monotonic_now());
    arm();
    publish();
    return;
  }
  forgotten_.erase(id);
  --status_.sockets_now;
  status_.last_close_received = code;
  auto [room, client] = find_socket(id);
  if (client != nullptr) {
    client->socket = 0;
    if (code == 1000) {
      log("user " + std::to_string(client->credentials.user_id) + " left");
      ++status_.left;
      client->spent = options_.session.strict_credentials;
      end_session(*room, *client);
    } else {
      log("socket of user " + std::to_string(client->credentials.user_id) +
          " closed: " + std::to_string(code));
      client->session->socket_lost();
      client->forget_at = monotonic_now() + options_.resume_window;
    }
  }
  arm();
  publish();
}

void VoiceServer::tick() {
  const Time now = monotonic_now();
  while (!script_.empty() && script_.begin()->first <= now) {
    const json command_now = script_.begin()->second;
    script_.erase(script_.begin());
    const json answer = command(command_now);
    log("script: " + command_now.dump() + " -> " + answer.dump());
  }
  forwarder_.advance(now);
  main_->advance(now);
  for (const auto& room : rooms_) {
    room->call->advance(
        now, [&](const Packet& packet) { return forwarder_.forward(room->guild_id, packet, now); });
    room->noise->advance(*room->call, forwarder_, now);
    room->dave->advance(now);
    flush_dave(*room);
    for (const auto& client : room->clients) {
      if (!client->session) {
        continue;
      }
      if (const Deadline beat = client->session->heartbeat_deadline(); beat && *beat <= now) {
        refuse(client->socket,
               {static_cast<std::uint16_t>(Close::session_timeout), "no heartbeat"});
        client->socket = 0;
        client->spent = true;
        end_session(*room, *client);
      } else if (client->forget_at && *client->forget_at <= now) {
        log("user " + std::to_string(client->credentials.user_id) + " did not resume");
        client->spent = true;
        end_session(*room, *client);
      }
    }
  }
  arm();
  publish();
}

void VoiceServer::arm() {
  if (!timer_) {
    return;
  }
  Deadline at = earlier(forwarder_.next_deadline(), main_->next_deadline());
  for (const auto& room : rooms_) {
    at = earlier(at, earlier(room->call->next_deadline(), room->noise->next_deadline(*room->call)));
    at = earlier(at, room->dave->next_deadline());
    for (const auto& client : room->clients) {
      if (client->session) {
        at = earlier(at, earlier(client->session->heartbeat_deadline(), client->forget_at));
      }
    }
  }
  if (!script_.empty()) {
    at = earlier(at, script_.begin()->first);
  }
  timer_->set(at);
}

void VoiceServer::publish() {
  Status s = status_;
  s.main = main_->counters();
  s.udp = gone_;
  s.strangers = forwarder_.strangers();
  s.finished = !rooms_.empty();
  if (s.finished) {
    s.dave = rooms_.front()->dave->service().counters();
  }
  for (const auto& room : rooms_) {
    s.finished = s.finished && room->call->finished();
    for (const auto& t : room->call->talkers()) {
      s.packets += t->truth.packets;
      s.delivered += t->truth.delivered;
    }
    for (const auto& client : room->clients) {
      s.heartbeats += client->session ? client->session->heartbeats() : 0;
    }
    forwarder_.each(room->guild_id, [&](MediaPath& path) { add(s.udp, path.counters()); });
  }
  on_change_(s);
}

Credentials VoiceServer::credentials(std::uint64_t guild_id) const {
  const Room* room = find_room(guild_id);
  return room != nullptr ? room->clients.front()->credentials : Credentials{};
}

Credentials VoiceServer::add_client(std::uint64_t guild_id) {
  Room* room = find_room(guild_id);
  return room != nullptr ? make_client(*room).credentials : Credentials{};
}

void VoiceServer::add_speaker(TalkerOptions options, bool announce_now, std::uint64_t guild_id) {
  Room* room = find_room(guild_id);
  if (room == nullptr || !listener_) {
    return;
  }
  if (options.speaker.ssrc == 0) {
    options.speaker.ssrc = new_ssrc();
  }
  if (options.speaker.user_id == 0) {
    options.speaker.user_id = next_user_++;
  }
  Talker& talker = room->call->add(std::move(options), monotonic_now());
  speaker_joined(*room, talker);
  if (announce_now) {
    announce(*room, talker);
  }
  arm();
  publish();
}

std::vector<SpeakerTruth> VoiceServer::truth(std::uint64_t guild_id) const {
  std::vector<SpeakerTruth> out;
  if (const Room* room = find_room(guild_id)) {
    for (const auto& t : room->call->talkers()) {
      out.push_back(t->truth);
    }
  }
  return out;
}

json VoiceServer::truth_summary() const {
  json calls = json::array();
  for (const auto& room : rooms_) {
    json speakers = json::array();
    for (const auto& t : room->call->talkers()) {
      speakers.push_back(summary(t->truth));
    }
    calls.push_back({{"guild_id", std::to_string(room->guild_id)},
                     {"speakers", speakers},
                     {"dave", to_json(dave_truth(room->guild_id))}});
  }
  return {{"seed", options_.seed}, {"calls", calls}};
}

}  // namespace discord::loopback
