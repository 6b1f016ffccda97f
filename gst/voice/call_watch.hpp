// Why nothing is heard: tells silence from a network that swallows media, from keys that do not
// fit, from a bot that was deafened.
#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace discord::voice {

enum class Hearing {
  Unknown,       // not connected, or not for long enough
  Fine,          // packets come and open
  NobodyHere,    // nobody else is in the call
  NobodySpeaks,  // people are there, and none of them was announced as speaking since
  NoMedia,       // somebody was announced as speaking, and no packet came
  NotOpened,     // packets come, and none of them opens
  Deafened,      // by a moderator: Discord sends nothing
};
std::string_view to_string(Hearing hearing) noexcept;
// One sentence: what is the case, and what to try.
std::string_view describe(Hearing hearing) noexcept;
// Whether something is wrong, as opposed to quiet.
bool is_trouble(Hearing hearing) noexcept;

// What is known of the call at one moment. Counters only grow within a run.
struct CallView {
  bool connected = false;
  bool deafened = false;
  std::size_t others = 0;       // people in the call but us
  std::uint64_t announced = 0;  // opcode 5 of others
  std::uint64_t media = 0;      // datagrams of the media connection
  bool opener = false;          // somebody downstream opens packets and counts those of audio:
  std::uint64_t opened = 0;     // that could be opened,
  std::uint64_t unopened = 0;   // and that could not, or not yet
};

// Looks now and then; not thread-safe. Says each finding once, until another one holds.
class CallWatch {
 public:
  static constexpr Duration interval = std::chrono::seconds(2);
  static constexpr Duration quiet_after = std::chrono::seconds(15);
  static constexpr Duration no_media_after = std::chrono::seconds(10);
  // At first those who spoke before are announced, silent or not.
  static constexpr Duration announcements_count_after = std::chrono::seconds(5);
  static constexpr Duration unopened_after = std::chrono::seconds(8);

  // The new finding, if it is another one than before.
  std::optional<Hearing> look(const CallView& view, Time now);
  Hearing hearing() const noexcept { return hearing_; }

 private:
  Hearing judge(const CallView& view, Time now);

  Hearing hearing_ = Hearing::Unknown;
  CallView last_;
  bool started_ = false;
  Time started_at_{};
  Time last_audio_{};  // media, where nobody says what of it is audio
  Deadline spoke_;     // somebody was announced, and no media has come since
  Deadline unopened_;  // audio comes, and nothing of it has opened since
};

}  // namespace discord::voice
