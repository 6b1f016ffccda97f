// What each close code of the main gateway means and what this client does about it.
#pragma once

#include "voice/actions.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace discord::voice::gateway {

enum class CloseAction {
  Resume,       // resume with back-off
  ResumeLater,  // rate limited: resume, but not soon
  Identify,     // the session is over: a new one
  Stop,
};

struct CloseRow {
  std::optional<std::uint16_t> code;  // empty: the connection ended without a close frame
  CloseAction action;
  FailKind kind;              // when this client gives up because of it
  std::string_view meaning;   // a few words, for logs
  std::string_view sentence;  // for the user: what happened and what to do
};

// Every code that has a row of its own.
std::span<const CloseRow> close_table() noexcept;

// The row for a code. Codes without a row count as a lost network: resuming costs nothing, and a
// session that is over says so.
const CloseRow& close_row(std::optional<std::uint16_t> code) noexcept;

}  // namespace discord::voice::gateway
