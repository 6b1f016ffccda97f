// The bot's places in voice channels (docs/design/voice.md "Seats").
#include "voice/main_gateway.hpp"

#include <algorithm>

namespace discord::voice {

using namespace std::chrono_literals;

namespace {

constexpr Duration answer_timeout = 15s;  // op 4 to both updates
constexpr Duration guild_timeout = 30s;   // READY to GUILD_CREATE
constexpr Duration leave_timeout = 2s;    // op 4 without a channel to the own voice state
constexpr Duration move_timeout = 10s;    // own voice state to the voice server
// A move shows in the voice state and in the voice server update, in either order; a change of
// region only in the latter. So long a lone server update waits for its other half.
constexpr Duration pair_grace = 100ms;
constexpr int max_asks = 5;

}  // namespace

MainGateway::Seat* MainGateway::seat_of(std::uint64_t guild) {
  const auto found = std::find_if(seats_.begin(), seats_.end(),
                                  [&](const Seat& seat) { return seat.wish.guild == guild; });
  return found == seats_.end() ? nullptr : &*found;
}

MainGateway::Seat* MainGateway::find(SeatId id) {
  const auto found =
      std::find_if(seats_.begin(), seats_.end(), [&](const Seat& seat) { return seat.id == id; });
  return found == seats_.end() ? nullptr : &*found;
}

void MainGateway::suspend(const Seat& seat, std::string reason, Duration patience, Out& out) {
  out.push_back(gateway::SeatSuspended{seat.id, std::move(reason), patience});
}

void MainGateway::end_seat(SeatId id, FailKind kind, std::string message, std::string debug,
                           Out& out) {
  std::erase_if(seats_, [&](const Seat& seat) { return seat.id == id; });
  out.push_back(gateway::SeatFailed{id, kind, std::move(message), std::move(debug)});
}

// True when the seat has ended.
bool MainGateway::refuse(Seat& seat, JoinProblem problem, Out& out) {
  const FailKind kind = problem == JoinProblem::Full ? FailKind::Full
                        : problem == JoinProblem::NoView || problem == JoinProblem::NoConnect ||
                                problem == JoinProblem::NotInGuild
                            ? FailKind::NotAllowed
                            : FailKind::Settings;
  end_seat(seat.id, kind,
           describe(problem, guild(seat.wish.guild), seat.wish.guild, seat.wish.channel,
                    session_.application),
           {}, out);
  return true;
}

MainGateway::SeatId MainGateway::join(const gateway::Wish& wish, Time now, Out& out) {
  const SeatId id = next_seat_++;
  if (seat_of(wish.guild) != nullptr) {
    out.push_back(gateway::SeatFailed{
        id,
        FailKind::Settings,
        "This bot already has a connection in the guild " + std::to_string(wish.guild) +
            " from this process; a bot has one voice connection for each guild, so use another "
            "bot, or one source with a tee behind it.",
        {}});
    return id;
  }
  if (is_over()) {
    out.push_back(gateway::SeatFailed{
        id, FailKind::Unreachable, "The connection to Discord's gateway has ended.", {}});
    return id;
  }
  Seat& seat = seats_.emplace_back();
  seat.id = id;
  seat.wish = wish;
  if (state_ == gateway::State::Ready) {
    seat_waits(seat, now, out);
  }
  return id;
}

// What stands between the seat and asking for the channel. Ends the seat when asking cannot help.
void MainGateway::seat_waits(Seat& seat, Time now, Out& out) {
  seat.state = SeatState::Waiting;
  seat.deadline.reset();
  if (!listed_) {
    // The session of an earlier process, whose bot may still sit somewhere: asking for the channel
    // it is in would go unanswered.
    go_out_and_in(seat, leave_timeout / 2, now, out);
    return;
  }
  const std::uint64_t guild_id = seat.wish.guild;
  if (!members_of_.contains(guild_id)) {
    if (options_.shard && (guild_id >> 22) % options_.shard->second != options_.shard->first) {
      end_seat(seat.id, FailKind::Settings,
               "The guild " + std::to_string(guild_id) + " belongs to shard " +
                   std::to_string((guild_id >> 22) % options_.shard->second) + " of " +
                   std::to_string(options_.shard->second) + "; set shard to it.",
               {}, out);
      return;
    }
    refuse(seat, JoinProblem::NotInGuild, out);
    return;
  }
  const Guild* where = guild(guild_id);
  if (where == nullptr || !where->available()) {
    seat.deadline = seat.ever_seated ? Deadline{} : Deadline{now + guild_timeout};
    return;
  }
  if (const auto problem = where->join_problem(own_user_, seat.wish.channel)) {
    refuse(seat, *problem, out);
    return;
  }
  const gateway::Channel* channel = where->channel(seat.wish.channel);
  if (seat.wish.encrypted_only && channel->type == channel_type::stage) {
    end_seat(seat.id, FailKind::Encryption,
             "\"" + channel->name +
                 "\" is a stage channel, which is not end-to-end encrypted; set e2ee=auto to "
                 "record it.",
             {}, out);
    return;
  }
  if (seat.renew_when_ready || where->channel_of(own_user_) == seat.wish.channel) {
    go_out_and_in(seat, leave_timeout, now, out);
  } else {
    ask(seat, now, out);
  }
}

void MainGateway::ask(Seat& seat, Time now, Out& out) {
  seat.state = SeatState::Asked;
  seat.confirmed = false;
  seat.endpoint.clear();
  seat.token = SecretString();
  seat.deadline = now + answer_timeout;
  send(gateway::build_voice_state(seat.wish.guild, seat.wish.channel, seat.wish.self_mute,
                                  seat.wish.self_deaf),
       now, out);
}

void MainGateway::go_out_and_in(Seat& seat, Duration limit, Time now, Out& out) {
  seat.renew_when_ready = false;
  seat.came_from = 0;
  seat.state = SeatState::Leaving;
  seat.deadline = now + limit;
  send(gateway::build_voice_state(seat.wish.guild, 0, seat.wish.self_mute, seat.wish.self_deaf),
       now, out);
}

void MainGateway::give(Seat& seat, Out& out) {
  seat.state = SeatState::Seated;
  seat.ever_seated = true;
  seat.deadline.reset();
  seat.asks = 0;
  seat.came_from = 0;
  const Guild* where = guild(seat.wish.guild);
  const gateway::Channel* channel = where == nullptr ? nullptr : where->channel(seat.wish.channel);
  out.push_back(gateway::SeatCredentials{
      seat.id,
      {seat.endpoint, seat.session_id, seat.token, own_user_, seat.wish.guild, seat.wish.channel},
      channel != nullptr && channel->type == channel_type::stage});
}

void MainGateway::change(SeatId id, const gateway::Wish& wish, Time now, Out& out) {
  Seat* seat = find(id);
  if (seat == nullptr) {
    return;
  }
  const bool moved = wish.channel != seat->wish.channel;
  const bool shown =
      wish.self_mute != seat->wish.self_mute || wish.self_deaf != seat->wish.self_deaf;
  seat->wish.self_mute = wish.self_mute;
  seat->wish.self_deaf = wish.self_deaf;
  if (moved) {
    const Guild* where = guild(wish.guild);
    const auto problem = where != nullptr && where->available()
                             ? where->join_problem(own_user_, wish.channel)
                             : std::nullopt;
    if (problem) {
      out.push_back(gateway::SeatNotice{
          id, true,
          describe(*problem, where, wish.guild, wish.channel, session_.application) +
              " The bot stays where it is."});
      return;
    }
    const std::uint64_t from = seat->wish.channel;
    const bool inside = seat->state == SeatState::Seated || seat->state == SeatState::AwaitServer ||
                        (seat->state == SeatState::Asked && seat->confirmed);
    seat->wish.channel = wish.channel;
    if (state_ == gateway::State::Ready && seat->state != SeatState::Waiting &&
        seat->state != SeatState::Leaving) {
      ask(*seat, now, out);
      seat->came_from = inside ? from : 0;
    } else {
      seat->resend = true;
    }
  } else if (shown) {
    if (state_ == gateway::State::Ready && seat->state != SeatState::Waiting &&
        seat->state != SeatState::Leaving) {
      send(gateway::build_voice_state(seat->wish.guild, seat->wish.channel, seat->wish.self_mute,
                                      seat->wish.self_deaf),
           now, out);
    } else {
      seat->resend = true;
    }
  }
}

void MainGateway::renew(SeatId id, Time now, Out& out) {
  Seat* seat = find(id);
  if (seat == nullptr || seat->state != SeatState::Seated) {
    return;  // new credentials are on their way
  }
  if (state_ != gateway::State::Ready) {
    seat->renew_when_ready = true;
    return;
  }
  go_out_and_in(*seat, leave_timeout, now, out);
}

void MainGateway::leave(SeatId id, Time now, Out& out) {
  const Seat* seat = find(id);
  if (seat == nullptr) {
    return;
  }
  if (state_ == gateway::State::Ready && seat->state != SeatState::Waiting) {
    send(
        gateway::build_voice_state(seat->wish.guild, 0, seat->wish.self_mute, seat->wish.self_deaf),
        now, out);
  }
  nameless_.erase(seat->wish.guild);
  std::erase_if(seats_, [&](const Seat& one) { return one.id == id; });
}

// A session that is not the old one resumed: Discord has put the bot out of every channel.
void MainGateway::session_new(Time now, Out& out) {
  std::erase_if(guilds_, [&](const auto& entry) { return !members_of_.contains(entry.first); });
  for (auto& [id, guild] : guilds_) {
    guild.set_available(false);
  }
  for (std::size_t i = 0; i < seats_.size();) {
    Seat& seat = seats_[i];
    const SeatId id = seat.id;
    if (seat.state != SeatState::Waiting) {
      suspend(seat, "The session at Discord's gateway is a new one; joining again.",
              failover_timeout, out);
    }
    seat.renew_when_ready = false;
    seat.resend = false;
    seat.came_from = 0;
    seat.session_id.clear();
    seat_waits(seat, now, out);
    i += i < seats_.size() && seats_[i].id == id ? 1 : 0;
  }
}

void MainGateway::session_resumed(Time now, Out& out) {
  for (std::size_t i = 0; i < seats_.size();) {
    Seat& seat = seats_[i];
    const SeatId id = seat.id;
    switch (seat.state) {
      case SeatState::Waiting:
        seat_waits(seat, now, out);
        break;
      case SeatState::Leaving:
        go_out_and_in(seat, leave_timeout, now, out);
        break;
      case SeatState::Asked:
        if (!seat.confirmed) {
          ask(seat, now, out);  // the question may have been lost with the connection
          break;
        }
        [[fallthrough]];
      case SeatState::AwaitServer:
        if (!seat.deadline) {
          seat.deadline = now + move_timeout;  // it passed while there was no session
        }
        break;
      case SeatState::Seated:
        if (seat.renew_when_ready) {
          go_out_and_in(seat, leave_timeout, now, out);
        } else if (seat.resend) {
          send(gateway::build_voice_state(seat.wish.guild, seat.wish.channel, seat.wish.self_mute,
                                          seat.wish.self_deaf),
               now, out);
        }
        break;
    }
    if (i < seats_.size() && seats_[i].id == id) {
      seats_[i].resend = false;
      ++i;
    }
  }
  names_at_ = nameless_.empty() ? Deadline{} : Deadline{now};
}

void MainGateway::seat_due(Seat& seat, Time now, Out& out) {
  seat.deadline.reset();
  const std::string channel = std::to_string(seat.wish.channel);
  if (seat.state == SeatState::Seated) {
    give(seat, out);  // the server update had no other half: the region has changed
    return;
  }
  if (state_ != gateway::State::Ready) {
    // What was asked is asked again once there is a session.
    return;
  }
  switch (seat.state) {
    case SeatState::Seated:
      return;
    case SeatState::Waiting:
      end_seat(seat.id, FailKind::Timeout,
               "The guild " + std::to_string(seat.wish.guild) +
                   " is not available: Discord has an outage there. Try again later.",
               {}, out);
      return;
    case SeatState::Leaving:
      ask(seat, now, out);
      return;
    case SeatState::AwaitServer:
      go_out_and_in(seat, leave_timeout, now, out);
      return;
    case SeatState::Asked:
      break;
  }
  if (seat.came_from != 0) {
    out.push_back(gateway::SeatNotice{seat.id, true,
                                      "Discord did not answer the request to move to the channel " +
                                          channel + "; the bot stays where it is."});
    seat.wish.channel = seat.came_from;
    seat.came_from = 0;
    seat.state = SeatState::Seated;
    return;
  }
  if (!listed_) {
    // A resumed session says nothing of the guilds; a new one does, and so says why.
    drop_socket(1000, out);
    forget_session(out);
    lose(FailKind::Timeout,
         "Discord did not answer the request to join; opening a new session to learn why.", {}, {},
         now, out);
    return;
  }
  if (seat.ever_seated && ++seat.asks < max_asks) {
    go_out_and_in(seat, leave_timeout, now, out);
    return;
  }
  end_seat(seat.id, FailKind::Timeout,
           "Discord did not answer the request to join the channel " + channel +
               " within 15 s; look whether the channel is full, whether the bot may join it, and "
               "whether Discord has an outage.",
           {}, out);
}

void MainGateway::on(gateway::VoiceState& message, Time now, Out& out) {
  Seat* seat = seat_of(message.guild);
  if (message.guild == 0 || (seat == nullptr && !guilds_.contains(message.guild))) {
    return;
  }
  const std::uint64_t user = message.user;
  Guild& where = guild_at(message.guild);
  const std::string before =
      where.person(user) != nullptr ? where.person(user)->name : std::string();
  where.apply(message, own_user_);
  if (seat == nullptr) {
    return;
  }
  if (user == own_user_) {
    own_state(*seat, message, now, out);
  } else if (where.person(user) != nullptr && where.person(user)->name != before) {
    tell_name(*seat, user, out);
  }
}

void MainGateway::own_state(Seat& seat, const gateway::VoiceState& message, Time now, Out& out) {
  if (message.channel == 0) {
    switch (seat.state) {
      case SeatState::Waiting:
        return;
      case SeatState::Leaving:
        ask(seat, now, out);
        return;
      case SeatState::Asked:
        if (!seat.confirmed && seat.came_from == 0) {
          return;  // of before
        }
        break;
      case SeatState::AwaitServer:
      case SeatState::Seated:
        break;
    }
    end_seat(seat.id, FailKind::Removed,
             "The bot was disconnected from the channel: a moderator removed it, or the channel "
             "was deleted. Start again to go back.",
             {}, out);
    return;
  }
  if (message.deaf != seat.deafened) {
    seat.deafened = message.deaf;
    out.push_back(gateway::SeatDeafened{seat.id, message.deaf});
  }
  if (seat.state == SeatState::Waiting || seat.state == SeatState::Leaving) {
    return;
  }
  if (seat.state == SeatState::Asked && message.channel == seat.came_from) {
    return;  // some other change, before the move has happened
  }
  const bool moved = message.channel != seat.wish.channel;
  seat.session_id = message.session_id;
  if (moved) {
    seat.wish.channel = message.channel;
    out.push_back(gateway::SeatMoved{seat.id, message.channel});
  }
  if (seat.state == SeatState::Asked) {
    const bool first = !std::exchange(seat.confirmed, true);
    if (first && seat.came_from != 0) {
      suspend(seat, "The bot moves to another channel.", move_timeout, out);
    }
    if (!seat.endpoint.empty()) {
      give(seat, out);
    }
  } else if (moved) {
    suspend(seat, "The bot was moved to another channel.", move_timeout, out);
    if (seat.state == SeatState::Seated && seat.deadline) {
      give(seat, out);  // the server update came first
    } else if (seat.state == SeatState::Seated) {
      seat.state = SeatState::AwaitServer;
      seat.deadline = now + move_timeout;
    }
  }
}

void MainGateway::on(gateway::VoiceServer& message, Time now, Out& out) {
  Seat* seat = seat_of(message.guild);
  if (seat == nullptr || seat->state == SeatState::Waiting || seat->state == SeatState::Leaving) {
    return;
  }
  if (message.endpoint.empty()) {
    if (seat->state != SeatState::Asked) {
      suspend(*seat, "The voice server is gone; waiting for another one.", failover_timeout, out);
      seat->state = SeatState::AwaitServer;
    }
    seat->endpoint.clear();
    seat->deadline = now + failover_timeout;
    return;
  }
  const bool same =
      seat->endpoint == message.endpoint && seat->token.reveal() == message.token.reveal();
  seat->endpoint = std::move(message.endpoint);
  seat->token = std::move(message.token);
  switch (seat->state) {
    case SeatState::Asked:
      if (seat->confirmed) {
        give(*seat, out);
      }
      return;
    case SeatState::AwaitServer:
      give(*seat, out);
      return;
    case SeatState::Seated:
      if (!same) {
        seat->deadline = now + pair_grace;
      }
      return;
    case SeatState::Waiting:
    case SeatState::Leaving:
      return;
  }
}

}  // namespace discord::voice
