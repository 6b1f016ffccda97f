#include "voice/close_codes.hpp"

namespace discord::voice {
namespace {

using enum CloseAction;

// docs/protocol.md "Close codes of the voice gateway".
constexpr CloseRow table[] = {
    {std::nullopt, Resume, FailKind::StaleCredentials, "connection lost",
     "The connection to the voice server was lost; it is being resumed."},
    {1000, ResumeOnce, FailKind::StaleCredentials, "closed normally by the server",
     "The voice server closed the connection; it is being resumed once."},
    {1001, Resume, FailKind::StaleCredentials, "server going away",
     "The voice server is being restarted; the connection is being resumed."},
    {1006, Resume, FailKind::StaleCredentials, "connection lost",
     "The connection to the voice server was lost; it is being resumed."},
    {4001, RejoinOnce, FailKind::Protocol, "unknown opcode",
     "Discord did not understand a message of this client (4001, unknown opcode); please report "
     "this with a debug log."},
    {4002, RejoinOnce, FailKind::Protocol, "payload not decoded",
     "Discord could not decode a message of this client (4002); please report this with a debug "
     "log."},
    {4003, RejoinOnce, FailKind::Protocol, "not authenticated",
     "Discord refused a message sent before authentication (4003); please report this with a debug "
     "log."},
    {4004, RejoinOnce, FailKind::Authentication, "authentication failed",
     "Discord refused the voice token (4004); join the channel again and set endpoint, session-id "
     "and token to the values of that join (this token is not the bot token)."},
    {4005, RejoinOnce, FailKind::Protocol, "already authenticated",
     "Discord refused a second authentication (4005); please report this with a debug log."},
    {4006, Rejoin, FailKind::StaleCredentials, "session no longer valid",
     "Discord no longer knows this voice session (4006); join the channel again and set endpoint "
     "(with its port), session-id and token to the values of that join."},
    {4009, Rejoin, FailKind::StaleCredentials, "session timed out",
     "The voice session timed out (4009); join the channel again and set endpoint, session-id and "
     "token to the values of that join."},
    {4011, Rejoin, FailKind::StaleCredentials, "server not found",
     "Discord did not find the voice server (4011); join the channel again and set endpoint, "
     "session-id and token to the values of that join."},
    {4012, Stop, FailKind::UnsupportedMode, "unknown protocol",
     "Discord refused the media protocol of this client (4012); a newer version of this plugin is "
     "needed."},
    {4013, Resume, FailKind::StaleCredentials, "media worker crashed",
     "Discord's media process crashed (4013); the connection is being resumed."},
    {4014, AwaitMove, FailKind::Removed, "disconnected from the channel",
     "Discord disconnected this client from the channel (4014: removed, moved, or its main session "
     "ended); to go on, join again and set endpoint, session-id and token to the values of that "
     "join."},
    {4015, Resume, FailKind::StaleCredentials, "server crashed",
     "The voice server crashed (4015); the connection is being resumed."},
    {4016, RetryXChaCha20, FailKind::UnsupportedMode, "unknown encryption mode",
     "Discord refused the transport encryption of this client (4016); a newer version of this "
     "plugin is needed."},
    {4017, Stop, FailKind::DaveRequired, "end-to-end encryption required",
     "This call demands end-to-end encryption (DAVE; 4017) and it was not offered; do not set "
     "e2ee=off, "
     "or record a stage channel, which is not end-to-end encrypted."},
    {4020, RejoinOnce, FailKind::Protocol, "bad request",
     "Discord found a message of this client malformed (4020); please report this with a debug "
     "log."},
    {4021, Stop, FailKind::RateLimited, "rate limited",
     "Discord limits how often this client may connect (4021); wait several minutes before trying "
     "again."},
    {4022, AwaitMove, FailKind::Removed, "everybody disconnected",
     "Discord ended this call for everybody (4022: channel deleted, voice server changed, or call "
     "over); to go on, join again and set endpoint, session-id and token to the values of that "
     "join."},
};

constexpr CloseRow other_network = {
    1006, Resume, FailKind::StaleCredentials, "connection lost",
    "The connection to the voice server was lost; it is being resumed."};
constexpr CloseRow other_discord = {
    4000, Rejoin, FailKind::StaleCredentials, "unknown close code",
    "The voice server ended the session with a code this version does not know; join the channel "
    "again and set endpoint, session-id and token to the values of that join."};

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
  return *code < 4000 ? other_network : other_discord;
}

}  // namespace discord::voice
