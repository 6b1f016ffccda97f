#include "voice/gateway_messages.hpp"

#include "voice/json_read.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace discord::voice::gateway {
namespace {

using namespace json_read;

constexpr double min_interval_ms = 20;
constexpr double max_interval_ms = 300'000;

// Never cuts a character of UTF-8 in two.
std::string bounded_name(std::string_view name) {
  if (name.size() > max_name_bytes) {
    std::size_t end = max_name_bytes;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) {
      --end;
    }
    name = name.substr(0, end);
  }
  return std::string(name);
}

std::string name_at(const json& object, const char* key) {
  const std::string* value = text(object, key);
  return value == nullptr ? std::string() : bounded_name(*value);
}

// Permissions are numbers written as text, because they have outgrown JavaScript's numbers. What
// does not fit is a later version's business: the low bits do not change.
std::uint64_t permissions_at(const json& object, const char* key) noexcept {
  const std::string* value = text(object, key);
  std::uint64_t bits = 0;
  if (value != nullptr) {
    std::from_chars(value->data(), value->data() + value->size(), bits);
    return bits;
  }
  return integer<std::uint64_t>(object, key).value.value_or(0);
}

// Reads every element of an array; counts those that `read` refuses and those beyond `most`.
template <class T, class F>
std::vector<T> list(const json& object, const char* key, std::size_t most, std::size_t& skipped,
                    F read) {
  std::vector<T> out;
  const json* array = member(object, key);
  if (array == nullptr || !array->is_array()) {
    return out;
  }
  for (const json& element : *array) {
    if (out.size() == most) {
      skipped += array->size() - most;
      break;
    }
    if (std::optional<T> value = read(element)) {
      out.push_back(std::move(*value));
    } else {
      ++skipped;
    }
  }
  return out;
}

std::optional<std::uint64_t> read_id(const json& value) noexcept {
  const auto* name = value.get_ptr<const json::string_t*>();
  return name == nullptr ? std::nullopt : parse_snowflake(*name);
}

std::optional<Member> read_member(const json& object) {
  const json* user = member(object, "user");
  const auto id = user == nullptr ? std::nullopt : snowflake(*user, "id");
  if (!id) {
    return std::nullopt;
  }
  Member out{*id, name_at(object, "nick"), flag(*user, "bot"), {}};
  if (out.name.empty()) {
    out.name = name_at(*user, "global_name");
  }
  if (out.name.empty()) {
    out.name = name_at(*user, "username");
  }
  std::size_t skipped = 0;
  out.roles = list<std::uint64_t>(object, "roles", max_roles, skipped, read_id);
  return out;
}

std::optional<Overwrite> read_overwrite(const json& object) {
  const auto id = snowflake(object, "id");
  // The type is 0 or 1; older forms write it as text.
  const auto type = integer<int>(object, "type");
  const std::string* word = text(object, "type");
  if (!id || (!type.value && word == nullptr)) {
    return std::nullopt;
  }
  const bool is_member = type.value ? *type.value == 1 : *word == "1" || *word == "member";
  return Overwrite{*id, is_member, permissions_at(object, "allow"), permissions_at(object, "deny")};
}

std::optional<Channel> read_channel(const json& object) {
  const auto id = snowflake(object, "id");
  const auto type = integer<int>(object, "type");
  const auto limit = integer<int>(object, "user_limit");
  if (!id || !type.value) {
    return std::nullopt;
  }
  std::size_t skipped = 0;
  return Channel{
      *id,
      snowflake(object, "guild_id").value_or(0),
      *type.value,
      name_at(object, "name"),
      std::max(0, limit.value.value_or(0)),
      list<Overwrite>(object, "permission_overwrites", max_overwrites, skipped, read_overwrite)};
}

std::optional<Role> read_role(const json& object) {
  const auto id = snowflake(object, "id");
  return id ? std::optional(Role{*id, permissions_at(object, "permissions")}) : std::nullopt;
}

std::optional<VoiceState> read_voice_state(const json& object) {
  const auto user = snowflake(object, "user_id");
  const json* channel = member(object, "channel_id");
  const auto channel_id = snowflake(object, "channel_id");
  if (!user || (channel != nullptr && !channel_id)) {
    return std::nullopt;
  }
  VoiceState state{snowflake(object, "guild_id").value_or(0),
                   *user,
                   channel_id.value_or(0),
                   {},
                   flag(object, "deaf"),
                   {}};
  if (const std::string* session = text(object, "session_id")) {
    state.session_id = session->substr(0, max_name_bytes);
  }
  if (const json* person = member(object, "member")) {
    state.member = read_member(*person);
    if (!state.member) {
      // The user may stand beside the member instead of in it.
      json copy = *person;
      copy["user"] = {{"id", std::to_string(*user)}};
      state.member = read_member(copy);
    }
  }
  return state;
}

Body read_ready(const json& d) {
  const json* user = member(d, "user");
  const auto id = user == nullptr ? std::nullopt : snowflake(*user, "id");
  const std::string* session = text(d, "session_id");
  if (!id || session == nullptr || session->empty()) {
    return Malformed{"READY"};
  }
  const json* application = member(d, "application");
  const auto application_id = application == nullptr ? std::nullopt : snowflake(*application, "id");
  const std::string* url = text(d, "resume_gateway_url");
  std::size_t skipped = 0;
  return Ready{*id, application_id.value_or(*id), *session, url != nullptr ? *url : std::string(),
               list<std::uint64_t>(d, "guilds", max_guilds, skipped,
                                   [](const json& guild) { return snowflake(guild, "id"); })};
}

Body read_guild_create(const json& d) {
  const auto id = snowflake(d, "id");
  if (!id) {
    return Malformed{"GUILD_CREATE"};
  }
  GuildCreate guild{*id,
                    flag(d, "unavailable"),
                    name_at(d, "name"),
                    snowflake(d, "owner_id").value_or(0),
                    {},
                    {},
                    {},
                    {}};
  guild.channels = list<Channel>(d, "channels", max_channels, guild.skipped, read_channel);
  guild.roles = list<Role>(d, "roles", max_roles, guild.skipped, read_role);
  guild.members = list<Member>(d, "members", max_members, guild.skipped, read_member);
  guild.voice_states =
      list<VoiceState>(d, "voice_states", max_members, guild.skipped, read_voice_state);
  return guild;
}

Body read_voice_server(json& d) {
  const auto guild = snowflake(d, "guild_id");
  const std::string* endpoint = text(d, "endpoint");
  VoiceServer server{guild.value_or(0), {}, endpoint != nullptr ? *endpoint : std::string()};
  if (d.is_object()) {
    if (const auto token = d.find("token"); token != d.end() && token->is_string()) {
      auto& value = token->get_ref<std::string&>();
      server.token = SecretString(value);
      // The tree is about to be freed with the token in it.
      sodium_memzero(value.data(), value.size());
    }
  }
  if (!guild || (!server.endpoint.empty() && server.token.empty())) {
    return Malformed{"VOICE_SERVER_UPDATE"};
  }
  return server;
}

// Everything else that has a guild and something in it.
template <class F> Body with_guild(const json& d, std::string_view event, F make) {
  const auto guild = snowflake(d, "guild_id");
  std::optional<Body> body = guild ? make(*guild) : std::nullopt;
  return body ? std::move(*body) : Body{Malformed{event}};
}

Body read_members_chunk(const json& d) {
  return with_guild(d, "GUILD_MEMBERS_CHUNK", [&](std::uint64_t guild) -> std::optional<Body> {
    std::size_t skipped = 0;
    return MembersChanged{guild, list<Member>(d, "members", max_members, skipped, read_member)};
  });
}

Body read_dispatch(const std::string& event, json& d) {
  if (event == "READY") {
    return read_ready(d);
  }
  if (event == "RESUMED") {
    return Resumed{};
  }
  if (event == "GUILD_CREATE") {
    return read_guild_create(d);
  }
  if (event == "VOICE_STATE_UPDATE") {
    std::optional<VoiceState> state = read_voice_state(d);
    return state ? Body{std::move(*state)} : Body{Malformed{"VOICE_STATE_UPDATE"}};
  }
  if (event == "VOICE_SERVER_UPDATE") {
    return read_voice_server(d);
  }
  if (event == "GUILD_DELETE") {
    const auto id = snowflake(d, "id");
    return id ? Body{GuildDelete{*id, flag(d, "unavailable")}} : Body{Malformed{"GUILD_DELETE"}};
  }
  if (event == "GUILD_UPDATE") {
    const auto id = snowflake(d, "id");
    return id ? Body{GuildUpdate{*id, name_at(d, "name"), snowflake(d, "owner_id").value_or(0)}}
              : Body{Malformed{"GUILD_UPDATE"}};
  }
  if (event == "CHANNEL_CREATE" || event == "CHANNEL_UPDATE") {
    std::optional<Channel> channel = read_channel(d);
    return channel ? Body{ChannelChanged{std::move(*channel)}} : Body{Malformed{"CHANNEL_UPDATE"}};
  }
  if (event == "CHANNEL_DELETE") {
    return with_guild(d, "CHANNEL_DELETE", [&](std::uint64_t guild) -> std::optional<Body> {
      const auto id = snowflake(d, "id");
      return id ? std::optional<Body>(ChannelDeleted{guild, *id}) : std::nullopt;
    });
  }
  if (event == "GUILD_ROLE_CREATE" || event == "GUILD_ROLE_UPDATE") {
    return with_guild(d, "GUILD_ROLE_UPDATE", [&](std::uint64_t guild) -> std::optional<Body> {
      const json* object = member(d, "role");
      const auto role = object == nullptr ? std::nullopt : read_role(*object);
      return role ? std::optional<Body>(RoleChanged{guild, *role}) : std::nullopt;
    });
  }
  if (event == "GUILD_ROLE_DELETE") {
    return with_guild(d, "GUILD_ROLE_DELETE", [&](std::uint64_t guild) -> std::optional<Body> {
      const auto id = snowflake(d, "role_id");
      return id ? std::optional<Body>(RoleDeleted{guild, *id}) : std::nullopt;
    });
  }
  if (event == "GUILD_MEMBER_UPDATE" || event == "GUILD_MEMBER_ADD") {
    return with_guild(d, "GUILD_MEMBER_UPDATE", [&](std::uint64_t guild) -> std::optional<Body> {
      std::optional<Member> person = read_member(d);
      if (!person) {
        return std::nullopt;
      }
      MembersChanged changed{guild, {}};
      changed.members.push_back(std::move(*person));
      return changed;
    });
  }
  if (event == "GUILD_MEMBERS_CHUNK") {
    return read_members_chunk(d);
  }
  return Ignored{};
}

Body read_hello(const json& d) {
  const json* interval = member(d, "heartbeat_interval");
  if (interval == nullptr || !interval->is_number()) {
    return Malformed{"hello"};
  }
  const double ms = interval->get<double>();
  if (!std::isfinite(ms) || ms <= 0) {
    return Malformed{"hello"};
  }
  return Hello{
      Duration(static_cast<Duration::rep>(std::clamp(ms, min_interval_ms, max_interval_ms) * 1e6))};
}

// The parts of a guild that can be megabytes and that nobody here reads.
bool is_ballast(const json& key) {
  static constexpr std::array<std::string_view, 9> names = {"presences",
                                                            "emojis",
                                                            "stickers",
                                                            "soundboard_sounds",
                                                            "threads",
                                                            "stage_instances",
                                                            "guild_scheduled_events",
                                                            "features",
                                                            "activities"};
  const auto* name = key.get_ptr<const json::string_t*>();
  return name != nullptr && std::find(names.begin(), names.end(), *name) != names.end();
}

}  // namespace

Result<Message, MessageError> parse(std::string_view input) {
  if (input.size() > max_message_size) {
    return Failure{MessageError::TooLarge};
  }
  if (too_deep(input, max_json_depth)) {
    return Failure{MessageError::TooDeep};
  }
  json tree = json::parse(
      input.begin(), input.end(),
      [](int depth, json::parse_event_t event, json& value) {
        return !(event == json::parse_event_t::key && depth == 2 && is_ballast(value));
      },
      false);
  if (tree.is_discarded()) {
    return Failure{MessageError::NotJson};
  }
  if (!tree.is_object()) {
    return Failure{MessageError::NotObject};
  }
  const auto op = integer<std::int64_t>(tree, "op");
  if (!op.value) {
    return Failure{MessageError::NoOpcode};
  }
  Message message{integer<std::uint64_t>(tree, "s").value, Unknown{*op.value}};
  json nothing;
  const auto found = tree.find("d");
  json& d = found == tree.end() ? nothing : *found;
  switch (*op.value) {
    case opcode::dispatch:
      if (const std::string* event = text(tree, "t")) {
        message.body = read_dispatch(*event, d);
      } else {
        message.body = Malformed{"dispatch"};
      }
      break;
    case opcode::heartbeat:
      message.body = HeartbeatRequest{};
      break;
    case opcode::reconnect:
      message.body = Reconnect{};
      break;
    case opcode::invalid_session:
      message.body = InvalidSession{d.is_boolean() && d.get<bool>()};
      break;
    case opcode::hello:
      message.body = read_hello(d);
      break;
    case opcode::heartbeat_ack:
      message.body = HeartbeatAck{};
      break;
    default:
      break;
  }
  return message;
}

SecretString build_identify(const SecretString& token, std::optional<Shard> shard) {
  std::string out;
  out.reserve(256 + 6 * token.reveal().size());  // no growing means no freed copy of the token
  out += "{\"op\":2,\"d\":{\"token\":";
  append_quoted(out, token.reveal());
  out += ",\"intents\":" + std::to_string(intents) +
         ",\"properties\":{\"os\":\"linux\",\"browser\":\"gst-discord\","
         "\"device\":\"gst-discord\"}";
  if (shard) {
    out +=
        ",\"shard\":[" + std::to_string(shard->first) + "," + std::to_string(shard->second) + "]";
  }
  out += "}}";
  return SecretString(std::move(out));
}

SecretString build_resume(const SecretString& token, std::string_view session_id,
                          std::uint64_t seq) {
  std::string out;
  out.reserve(256 + 6 * (token.reveal().size() + session_id.size()));
  out += "{\"op\":6,\"d\":{\"token\":";
  append_quoted(out, token.reveal());
  out += ",\"session_id\":";
  append_quoted(out, session_id);
  out += ",\"seq\":" + std::to_string(seq) + "}}";
  return SecretString(std::move(out));
}

std::string build_heartbeat(std::optional<std::uint64_t> seq) {
  return "{\"op\":1,\"d\":" + (seq ? std::to_string(*seq) : "null") + "}";
}

std::string build_voice_state(std::uint64_t guild, std::uint64_t channel, bool self_mute,
                              bool self_deaf) {
  const auto word = [](bool value) { return value ? "true" : "false"; };
  return "{\"op\":4,\"d\":{\"guild_id\":\"" + std::to_string(guild) +
         "\",\"channel_id\":" + (channel != 0 ? "\"" + std::to_string(channel) + "\"" : "null") +
         ",\"self_mute\":" + word(self_mute) + ",\"self_deaf\":" + word(self_deaf) + "}}";
}

std::string build_request_members(std::uint64_t guild, const std::vector<std::uint64_t>& users) {
  std::string out =
      "{\"op\":8,\"d\":{\"guild_id\":\"" + std::to_string(guild) + "\",\"limit\":0,\"user_ids\":[";
  for (std::size_t i = 0; i < users.size(); ++i) {
    out += (i == 0 ? "\"" : ",\"") + std::to_string(users[i]) + "\"";
  }
  return out + "]}}";
}

}  // namespace discord::voice::gateway
