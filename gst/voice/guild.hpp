// What the main gateway told about a guild, and whether a bot can join one of its voice channels.
#pragma once

#include "voice/gateway_messages.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace discord::voice {

namespace permission {
inline constexpr std::uint64_t administrator = 1ull << 3, view_channel = 1ull << 10,
                               connect = 1ull << 20, move_members = 1ull << 24;
}  // namespace permission

namespace channel_type {
inline constexpr int voice = 2, stage = 13;
}  // namespace channel_type

// Why a channel cannot be joined.
enum class JoinProblem {
  NotInGuild,
  NoSuchChannel,  // or one that the bot may not even see
  NotVoice,
  NoView,
  NoConnect,
  Full,
};

struct Person {
  std::string name;
  bool bot = false;
};

// Follows the events of one guild. Its size is bounded by the caps of gateway_messages.hpp.
class Guild {
 public:
  explicit Guild(std::uint64_t id) : id_(id) {}

  void apply(gateway::GuildCreate&& guild, std::uint64_t own_user);
  void apply(const gateway::GuildUpdate& update);
  void apply(gateway::Channel&& channel);
  void apply(const gateway::Role& role);
  void apply(const gateway::VoiceState& state, std::uint64_t own_user);
  void apply(const gateway::Member& person, std::uint64_t own_user);
  void remove_channel(std::uint64_t channel) { channels_.erase(channel); }
  void remove_role(std::uint64_t role) { roles_.erase(role); }
  // An outage: what is known stays, but nothing can be joined until GUILD_CREATE comes again.
  void set_available(bool available) noexcept { available_ = available; }

  std::uint64_t id() const noexcept { return id_; }
  // GUILD_CREATE has come, and no outage since.
  bool available() const noexcept { return available_; }
  const std::string& name() const noexcept { return name_; }
  const gateway::Channel* channel(std::uint64_t id) const;
  const Person* person(std::uint64_t user) const;
  // Where a user is at the moment; 0 = in no voice channel.
  std::uint64_t channel_of(std::uint64_t user) const;
  // People in a channel.
  std::size_t occupants(std::uint64_t channel) const;

  // What the bot may do in a channel (docs/protocol/gateway.md "Permissions"); nothing while the
  // guild or the channel is not known.
  std::optional<std::uint64_t> permissions(std::uint64_t own_user, std::uint64_t channel) const;
  // Nothing when joining should work.
  std::optional<JoinProblem> join_problem(std::uint64_t own_user, std::uint64_t channel) const;

 private:
  std::uint64_t id_;
  bool available_ = false;
  std::string name_;
  std::uint64_t owner_ = 0;
  std::map<std::uint64_t, gateway::Channel> channels_;
  std::map<std::uint64_t, std::uint64_t> roles_;  // role to permissions
  std::vector<std::uint64_t> own_roles_;
  bool own_roles_known_ = false;
  std::map<std::uint64_t, Person> people_;
  std::map<std::uint64_t, std::uint64_t> voice_;  // user to channel
};

// One sentence: why joining `channel` cannot work and what to do. `application` is for the invite
// link of a bot that is not in the guild.
std::string describe(JoinProblem problem, const Guild* guild, std::uint64_t guild_id,
                     std::uint64_t channel, std::uint64_t application);

// Where an administrator adds the bot to the guild, with the two permissions that listening needs.
std::string invite_url(std::uint64_t application, std::uint64_t guild);

}  // namespace discord::voice
