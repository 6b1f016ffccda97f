// What each close code of the voice gateway means and what this client does about it.
#pragma once

#include "voice/actions.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace discord::voice {

enum class CloseAction {
  Resume,          // resume with back-off, then new credentials
  ResumeOnce,      // one resume, then new credentials
  Rejoin,          // new credentials, bounded number of times
  RejoinOnce,      // new credentials one time; stop when it happens again
  RetryXChaCha20,  // identify again and ask for XChaCha20; stop when it happens again
  AwaitMove,       // moved or removed: wait for new credentials, stop when none come
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

// The row for a code. Codes without a row: below 4000 like a lost network, from 4000 on an unknown
// reason to rejoin.
const CloseRow& close_row(std::optional<std::uint16_t> code) noexcept;

}  // namespace discord::voice
