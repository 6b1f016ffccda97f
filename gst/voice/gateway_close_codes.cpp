#include "voice/gateway_close_codes.hpp"

namespace discord::voice::gateway {
namespace {

using enum CloseAction;

// docs/protocol/gateway.md "Close codes of the main gateway".
constexpr CloseRow table[] = {
    {std::nullopt, Resume, FailKind::Unreachable, "connection lost",
     "The connection to Discord's gateway was lost; it is being resumed."},
    {1000, Resume, FailKind::Unreachable, "closed normally by the server",
     "Discord's gateway closed the connection; it is being resumed."},
    {1001, Resume, FailKind::Unreachable, "server going away",
     "Discord's gateway is being restarted; the connection is being resumed."},
    {1006, Resume, FailKind::Unreachable, "connection lost",
     "The connection to Discord's gateway was lost; it is being resumed."},
    {4000, Resume, FailKind::Unreachable, "unknown error",
     "Discord's gateway had an error (4000); the connection is being resumed."},
    {4001, Resume, FailKind::Protocol, "unknown opcode",
     "Discord's gateway did not understand a message of this client (4001); the connection is "
     "being resumed. Please report this with a debug log."},
    {4002, Resume, FailKind::Protocol, "payload not decoded",
     "Discord's gateway could not decode a message of this client (4002); the connection is being "
     "resumed. Please report this with a debug log."},
    {4003, Identify, FailKind::Protocol, "not authenticated",
     "Discord's gateway did not know this client yet (4003); it identifies again."},
    {4004, Stop, FailKind::Authentication, "authentication failed",
     "Discord refused the bot token (4004); copy it anew from the Bot page of the developer portal "
     "into bot-token-file. It is neither the client secret nor the voice token."},
    {4005, Identify, FailKind::Protocol, "already authenticated",
     "Discord's gateway refused a second identification (4005); a new session is being opened."},
    {4007, Identify, FailKind::Protocol, "invalid sequence",
     "Discord's gateway cannot resume from here (4007); a new session is being opened."},
    {4008, ResumeLater, FailKind::RateLimited, "rate limited",
     "This bot sends too much to Discord's gateway (4008); the connection is resumed after a "
     "pause."},
    {4009, Identify, FailKind::Unreachable, "session timed out",
     "The session at Discord's gateway timed out (4009); a new one is being opened."},
    {4010, Stop, FailKind::Settings, "invalid shard",
     "Discord refused the shard (4010); set shard to ID/COUNT with ID below COUNT."},
    {4011, Stop, FailKind::Settings, "sharding required",
     "This bot is in so many guilds that Discord demands shards (4011); set shard to ID/COUNT, "
     "where ID is (guild-id >> 22) % COUNT."},
    {4012, Stop, FailKind::Protocol, "invalid version",
     "Discord no longer offers the gateway version of this plugin (4012); a newer version of it is "
     "needed."},
    {4013, Stop, FailKind::Protocol, "invalid intents",
     "Discord refused the intents of this plugin (4013); a newer version of it is needed."},
    {4014, Stop, FailKind::Authentication, "disallowed intents",
     "Discord does not allow this bot the intents Guilds and Guild Voice States (4014); check the "
     "bot on its page of the developer portal."},
};

}  // namespace

std::span<const CloseRow> close_table() noexcept {
  return table;
}

const CloseRow& close_row(std::optional<std::uint16_t> code) noexcept {
  for (const CloseRow& row : table) {
    if (row.code == code) {
      return row;
    }
  }
  return table[0];
}

}  // namespace discord::voice::gateway
