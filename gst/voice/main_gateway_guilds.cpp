// What the gateway tells of guilds: their channels, roles and outages, and what people are called.
#include "voice/main_gateway.hpp"

namespace discord::voice {

using namespace std::chrono_literals;

namespace {

constexpr Duration names_delay = 200ms;
constexpr std::size_t names_a_request = 100;
constexpr std::size_t max_wanted = 5000;

}  // namespace

const Guild* MainGateway::guild(std::uint64_t id) const {
  const auto found = guilds_.find(id);
  return found == guilds_.end() ? nullptr : &found->second;
}

Guild& MainGateway::guild_at(std::uint64_t id) {
  return guilds_.try_emplace(id, id).first->second;
}

void MainGateway::on(gateway::GuildCreate& message, Time now, Out& out) {
  const std::uint64_t id = message.id;
  const bool unavailable = message.unavailable;
  if (guilds_.size() >= gateway::max_guilds && !guilds_.contains(id)) {
    return;
  }
  members_of_.insert(id);
  Guild& where = guild_at(id);
  where.apply(std::move(message), own_user_);
  Seat* seat = seat_of(id);
  if (seat == nullptr || unavailable) {
    return;
  }
  for (const std::uint64_t user : seat->wanted) {
    tell_name(*seat, user, out);
  }
  if (seat->state == SeatState::Waiting && state_ == gateway::State::Ready) {
    seat_waits(*seat, now, out);
  } else if (seat->state == SeatState::Seated && where.channel_of(own_user_) == 0) {
    // The outage has put the bot out of its channel.
    suspend(*seat, "The guild is back, and the bot joins again.", failover_timeout, out);
    ask(*seat, now, out);
  }
}

void MainGateway::on(const gateway::GuildUpdate& message, Time, Out&) {
  if (const auto found = guilds_.find(message.id); found != guilds_.end()) {
    found->second.apply(message);
  }
}

void MainGateway::on(const gateway::GuildDelete& message, Time, Out& out) {
  Seat* seat = seat_of(message.id);
  if (message.unavailable) {
    if (const auto found = guilds_.find(message.id); found != guilds_.end()) {
      found->second.set_available(false);
    }
    if (seat != nullptr) {
      out.push_back(gateway::SeatNotice{
          seat->id, true, "Discord reports an outage of this guild; waiting for it to come back."});
    }
    return;
  }
  guilds_.erase(message.id);
  members_of_.erase(message.id);
  if (seat != nullptr) {
    end_seat(seat->id, FailKind::Removed,
             "The bot was removed from the guild " + std::to_string(message.id) +
                 "; an administrator can add it again with this link: " +
                 invite_url(session_.application, message.id),
             {}, out);
  }
}

void MainGateway::on(gateway::ChannelChanged& message, Time, Out&) {
  const auto found = guilds_.find(message.channel.guild);
  if (found != guilds_.end()) {
    found->second.apply(std::move(message.channel));
  }
}

void MainGateway::on(const gateway::ChannelDeleted& message, Time, Out&) {
  if (const auto found = guilds_.find(message.guild); found != guilds_.end()) {
    found->second.remove_channel(message.id);
  }
}

void MainGateway::on(const gateway::RoleChanged& message, Time, Out&) {
  if (const auto found = guilds_.find(message.guild); found != guilds_.end()) {
    found->second.apply(message.role);
  }
}

void MainGateway::on(const gateway::RoleDeleted& message, Time, Out&) {
  if (const auto found = guilds_.find(message.guild); found != guilds_.end()) {
    found->second.remove_role(message.id);
  }
}

void MainGateway::on(const gateway::MembersChanged& message, Time, Out& out) {
  const Seat* seat = seat_of(message.guild);
  if (seat == nullptr && !guilds_.contains(message.guild)) {
    return;
  }
  Guild& where = guild_at(message.guild);
  for (const gateway::Member& person : message.members) {
    const std::string before =
        where.person(person.user) != nullptr ? where.person(person.user)->name : std::string();
    where.apply(person, own_user_);
    if (seat != nullptr && where.person(person.user) != nullptr &&
        where.person(person.user)->name != before) {
      tell_name(*seat, person.user, out);
    }
  }
}

void MainGateway::tell_name(const Seat& seat, std::uint64_t user, Out& out) {
  const Guild* where = guild(seat.wish.guild);
  const Person* person = where == nullptr ? nullptr : where->person(user);
  if (person != nullptr && seat.wanted.contains(user)) {
    out.push_back(gateway::SeatName{seat.id, user, person->name, person->bot});
  }
}

void MainGateway::want_name(SeatId id, std::uint64_t user, Time now, Out& out) {
  Seat* seat = find(id);
  if (seat == nullptr || user == 0 || seat->wanted.size() >= max_wanted ||
      !seat->wanted.insert(user).second) {
    return;
  }
  const Guild* where = guild(seat->wish.guild);
  if (where != nullptr && where->person(user) != nullptr) {
    tell_name(*seat, user, out);
    return;
  }
  // Whoever has just come is usually named by the voice state that is on its way.
  nameless_[seat->wish.guild].insert(user);
  if (!names_at_) {
    names_at_ = now + names_delay;
  }
}

void MainGateway::request_names(Time now, Out& out) {
  names_at_.reset();
  if (state_ != gateway::State::Ready) {
    return;  // session_resumed() or the members of the next GUILD_CREATE go on from here
  }
  for (const auto& [guild_id, users] : nameless_) {
    const Guild* where = guild(guild_id);
    std::vector<std::uint64_t> missing;
    const auto request = [&] {
      if (!missing.empty()) {
        send(gateway::build_request_members(guild_id, missing), now, out);
        missing.clear();
      }
    };
    for (const std::uint64_t user : users) {
      if (where == nullptr || where->person(user) == nullptr) {
        missing.push_back(user);
      }
      if (missing.size() == names_a_request) {
        request();
      }
    }
    request();
  }
  nameless_.clear();
}

}  // namespace discord::voice
