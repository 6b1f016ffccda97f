// Main gateway messages (version 10, JSON): text to typed values, and the messages this client
// sends. docs/protocol/gateway.md.
#pragma once

#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "voice/messages.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace discord::voice::gateway {

// Caps of what one message may make us keep; what is beyond is left out and counted.
inline constexpr std::size_t max_guilds = 5000;
inline constexpr std::size_t max_channels = 1000;
inline constexpr std::size_t max_roles = 1000;
inline constexpr std::size_t max_overwrites = 1000;
inline constexpr std::size_t max_members = 100'000;
inline constexpr std::size_t max_name_bytes = 256;

namespace opcode {
inline constexpr int dispatch = 0, heartbeat = 1, identify = 2, voice_state_update = 4, resume = 6,
                     reconnect = 7, request_guild_members = 8, invalid_session = 9, hello = 10,
                     heartbeat_ack = 11;
}  // namespace opcode

// ID and count of a shard.
using Shard = std::pair<std::uint32_t, std::uint32_t>;

struct Hello {
  Duration heartbeat_interval;
};
struct HeartbeatRequest {};
struct HeartbeatAck {};
struct Reconnect {};
struct InvalidSession {
  bool resumable;
};
struct Resumed {};
struct Ready {
  std::uint64_t user;
  std::uint64_t application;  // the user when absent; bots have one number for both
  std::string session_id;
  std::string resume_url;  // empty when absent
  std::vector<std::uint64_t> guilds;
};
// Somebody in a guild. A nickname wins over the global name, that over the user name.
struct Member {
  std::uint64_t user;
  std::string name;  // UTF-8, at most max_name_bytes; may be empty
  bool bot;
  std::vector<std::uint64_t> roles;
};
struct Overwrite {
  std::uint64_t id;  // of a role, or of a member
  bool member;
  std::uint64_t allow;
  std::uint64_t deny;
};
struct Channel {
  std::uint64_t id;
  std::uint64_t guild;  // 0 inside GUILD_CREATE
  int type;             // 2 voice, 13 stage
  std::string name;
  int user_limit;  // 0 = none
  std::vector<Overwrite> overwrites;
};
struct Role {
  std::uint64_t id;
  std::uint64_t permissions;
};
struct VoiceState {
  std::uint64_t guild;  // 0 inside GUILD_CREATE
  std::uint64_t user;
  std::uint64_t channel;  // 0 = none
  std::string session_id;
  bool deaf;  // by the server
  std::optional<Member> member;
};
struct VoiceServer {
  std::uint64_t guild;
  SecretString token;
  std::string endpoint;  // empty: the server is gone, another will be named
};
struct GuildCreate {
  std::uint64_t id;
  bool unavailable;
  std::string name;
  std::uint64_t owner;
  std::vector<Channel> channels;
  std::vector<Role> roles;
  std::vector<Member> members;
  std::vector<VoiceState> voice_states;
  std::size_t skipped = 0;  // entries that could not be read, or were too many
};
struct GuildUpdate {
  std::uint64_t id;
  std::string name;
  std::uint64_t owner;  // 0 when absent
};
struct GuildDelete {
  std::uint64_t id;
  bool unavailable;  // an outage; otherwise the bot is not in it any more
};
struct ChannelChanged {
  Channel channel;
};
struct ChannelDeleted {
  std::uint64_t guild;
  std::uint64_t id;
};
struct RoleChanged {
  std::uint64_t guild;
  Role role;
};
struct RoleDeleted {
  std::uint64_t guild;
  std::uint64_t id;
};
// Also the answer to a request for members.
struct MembersChanged {
  std::uint64_t guild;
  std::vector<Member> members;
};
// Known or not, of no use here.
struct Ignored {};
struct Unknown {
  std::int64_t op;
};
// A message whose fields cannot be used; `what` names opcode or event.
struct Malformed {
  std::string_view what;
};

using Body = std::variant<Hello, HeartbeatRequest, HeartbeatAck, Reconnect, InvalidSession, Resumed,
                          Ready, VoiceState, VoiceServer, GuildCreate, GuildUpdate, GuildDelete,
                          ChannelChanged, ChannelDeleted, RoleChanged, RoleDeleted, MembersChanged,
                          Ignored, Unknown, Malformed>;

struct Message {
  std::optional<std::uint64_t> seq;
  Body body;
};

// Never throws. What of a message is of no use (presences, emojis, threads) costs no memory. A
// voice token is wiped from what is thrown away.
Result<Message, MessageError> parse(std::string_view text);

// What to connect as: GUILDS and GUILD_VOICE_STATES, neither of them privileged.
inline constexpr int intents = 129;

SecretString build_identify(const SecretString& token, std::optional<Shard> shard);
SecretString build_resume(const SecretString& token, std::string_view session_id,
                          std::uint64_t seq);
// `seq` is the last number seen, or none yet.
std::string build_heartbeat(std::optional<std::uint64_t> seq);
// Channel 0 leaves.
std::string build_voice_state(std::uint64_t guild, std::uint64_t channel, bool self_mute,
                              bool self_deaf);
// At most 100 users.
std::string build_request_members(std::uint64_t guild, const std::vector<std::uint64_t>& users);

}  // namespace discord::voice::gateway
