#include "voice/guild.hpp"

#include <algorithm>

namespace discord::voice {

void Guild::apply(gateway::GuildCreate&& guild, std::uint64_t own_user) {
  available_ = !guild.unavailable;
  if (guild.unavailable) {
    return;
  }
  name_ = std::move(guild.name);
  owner_ = guild.owner;
  channels_.clear();
  roles_.clear();
  voice_.clear();
  own_roles_known_ = false;
  for (gateway::Channel& channel : guild.channels) {
    channels_.insert_or_assign(channel.id, std::move(channel));
  }
  for (const gateway::Role& role : guild.roles) {
    roles_.insert_or_assign(role.id, role.permissions);
  }
  for (const gateway::Member& person : guild.members) {
    apply(person, own_user);
  }
  for (const gateway::VoiceState& state : guild.voice_states) {
    apply(state, own_user);
  }
}

void Guild::apply(const gateway::GuildUpdate& update) {
  if (!update.name.empty()) {
    name_ = update.name;
  }
  if (update.owner != 0) {
    owner_ = update.owner;
  }
}

void Guild::apply(gateway::Channel&& channel) {
  const auto known = channels_.find(channel.id);
  if (known != channels_.end()) {
    known->second = std::move(channel);
  } else if (channels_.size() < gateway::max_channels) {
    channels_.emplace(channel.id, std::move(channel));
  }
}

void Guild::apply(const gateway::Role& role) {
  if (roles_.size() < gateway::max_roles || roles_.contains(role.id)) {
    roles_.insert_or_assign(role.id, role.permissions);
  }
}

void Guild::apply(const gateway::VoiceState& state, std::uint64_t own_user) {
  if (state.member) {
    apply(*state.member, own_user);
  }
  if (state.channel == 0) {
    voice_.erase(state.user);
  } else if (voice_.size() < gateway::max_members || voice_.contains(state.user)) {
    voice_.insert_or_assign(state.user, state.channel);
  }
}

void Guild::apply(const gateway::Member& person, std::uint64_t own_user) {
  if (person.user == own_user) {
    own_roles_ = person.roles;
    own_roles_known_ = true;
  }
  if (!person.name.empty() &&
      (people_.size() < gateway::max_members || people_.contains(person.user))) {
    people_.insert_or_assign(person.user, Person{person.name, person.bot});
  }
}

const gateway::Channel* Guild::channel(std::uint64_t id) const {
  const auto found = channels_.find(id);
  return found == channels_.end() ? nullptr : &found->second;
}

const Person* Guild::person(std::uint64_t user) const {
  const auto found = people_.find(user);
  return found == people_.end() ? nullptr : &found->second;
}

std::uint64_t Guild::channel_of(std::uint64_t user) const {
  const auto found = voice_.find(user);
  return found == voice_.end() ? 0 : found->second;
}

std::size_t Guild::occupants(std::uint64_t channel) const {
  return static_cast<std::size_t>(std::count_if(
      voice_.begin(), voice_.end(), [&](const auto& entry) { return entry.second == channel; }));
}

std::optional<std::uint64_t> Guild::permissions(std::uint64_t own_user,
                                                std::uint64_t channel_id) const {
  constexpr std::uint64_t everything = ~std::uint64_t{0};
  if (!available_ || !own_roles_known_) {
    return std::nullopt;
  }
  const gateway::Channel* where = channel(channel_id);
  // The role that everybody has carries the number of the guild.
  const auto everyone = roles_.find(id_);
  if (where == nullptr || everyone == roles_.end()) {
    return std::nullopt;
  }
  if (own_user == owner_) {
    return everything;
  }
  std::uint64_t bits = everyone->second;
  for (const std::uint64_t role : own_roles_) {
    const auto found = roles_.find(role);
    bits |= found == roles_.end() ? 0 : found->second;
  }
  if ((bits & permission::administrator) != 0) {
    return everything;
  }
  // First what the channel says of everybody, then of the bot's roles together, then of the bot.
  const auto put = [&bits](std::uint64_t deny, std::uint64_t allow) {
    bits = (bits & ~deny) | allow;
  };
  std::uint64_t role_deny = 0;
  std::uint64_t role_allow = 0;
  const gateway::Overwrite* own = nullptr;
  for (const gateway::Overwrite& overwrite : where->overwrites) {
    if (overwrite.member) {
      own = overwrite.id == own_user ? &overwrite : own;
    } else if (overwrite.id == id_) {
      put(overwrite.deny, overwrite.allow);
    } else if (std::find(own_roles_.begin(), own_roles_.end(), overwrite.id) != own_roles_.end()) {
      role_deny |= overwrite.deny;
      role_allow |= overwrite.allow;
    }
  }
  // An overwrite of everybody may stand behind those of roles in the list.
  put(role_deny, role_allow);
  if (own != nullptr) {
    put(own->deny, own->allow);
  }
  return bits;
}

std::optional<JoinProblem> Guild::join_problem(std::uint64_t own_user,
                                               std::uint64_t channel_id) const {
  const gateway::Channel* where = channel(channel_id);
  if (where == nullptr) {
    return JoinProblem::NoSuchChannel;
  }
  if (where->type != channel_type::voice && where->type != channel_type::stage) {
    return JoinProblem::NotVoice;
  }
  const auto bits = permissions(own_user, channel_id);
  if (!bits) {
    return std::nullopt;  // not enough is known to refuse
  }
  if ((*bits & permission::view_channel) == 0) {
    return JoinProblem::NoView;
  }
  if ((*bits & permission::connect) == 0) {
    return JoinProblem::NoConnect;
  }
  const bool inside = channel_of(own_user) == channel_id;
  if (!inside && where->user_limit > 0 && (*bits & permission::move_members) == 0 &&
      occupants(channel_id) >= static_cast<std::size_t>(where->user_limit)) {
    return JoinProblem::Full;
  }
  return std::nullopt;
}

std::string invite_url(std::uint64_t application, std::uint64_t guild) {
  return "https://discord.com/oauth2/authorize?client_id=" + std::to_string(application) +
         "&scope=bot&permissions=" +
         std::to_string(permission::view_channel | permission::connect) +
         "&guild_id=" + std::to_string(guild);
}

std::string describe(JoinProblem problem, const Guild* guild, std::uint64_t guild_id,
                     std::uint64_t channel_id, std::uint64_t application) {
  const gateway::Channel* where = guild == nullptr ? nullptr : guild->channel(channel_id);
  const std::string channel =
      "the channel " + (where != nullptr && !where->name.empty() ? "\"" + where->name + "\""
                                                                 : std::to_string(channel_id));
  const std::string in_guild =
      guild != nullptr && !guild->name().empty() ? " of \"" + guild->name() + "\"" : "";
  switch (problem) {
    case JoinProblem::NotInGuild:
      return "The bot is not a member of the guild " + std::to_string(guild_id) +
             "; check guild-id, or let an administrator add the bot with this link: " +
             invite_url(application, guild_id);
    case JoinProblem::NoSuchChannel:
      return "There is no channel " + std::to_string(channel_id) + in_guild +
             ", or the bot may not see it; check channel-id, and that the bot has the permission "
             "View Channel.";
    case JoinProblem::NotVoice:
      return "Nobody can talk in " + channel + in_guild +
             ": it is not a voice or stage channel; check channel-id.";
    case JoinProblem::NoView:
      return "The bot may not see " + channel + in_guild +
             "; give it the permission View Channel there.";
    case JoinProblem::NoConnect:
      return "The bot may not join " + channel + in_guild +
             "; give it the permission Connect there.";
    case JoinProblem::Full:
      return "There is no place left in " + channel + in_guild + " (" +
             std::to_string(where != nullptr ? where->user_limit : 0) +
             " people at most); raise its user limit, or give the bot the permission Move Members.";
  }
  return {};
}

}  // namespace discord::voice
