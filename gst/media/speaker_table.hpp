// What is known about each SSRC: its user, its figures, who is speaking.
#pragma once

#include "media/ledger.hpp"
#include "media/sequence_history.hpp"
#include "media/speaking.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace discord::media {

// Interarrival jitter in timestamp units, RFC 3550 section 6.4.1 and appendix A.8.
class JitterEstimator {
 public:
  void packet(std::uint32_t timestamp, Time arrival) noexcept;
  std::uint32_t value() const noexcept { return scaled_ >> 4; }

  // For a successor in another process.
  struct State {
    std::int64_t last = 0;
    std::uint32_t transit = 0;
    std::uint32_t scaled = 0;
    std::uint8_t started = 0;
    std::uint8_t reserved[7] = {};
  };
  State save() const noexcept;
  void restore(const State& state) noexcept;

 private:
  bool started_ = false;
  std::uint32_t transit_ = 0;
  std::uint32_t scaled_ = 0;
  Time last_{};
};

struct Speaker {
  std::uint32_t ssrc = 0;
  std::uint64_t serial = 0;   // of the row: tells a newcomer from whoever had this SSRC before
  std::uint64_t user_id = 0;  // 0 = not known
  SequenceHistory history;
  SpeakingDetector speaking;
  JitterEstimator jitter;
  Ledger ledger;
  std::optional<std::uint8_t> audio_level;  // last one, -dBov: 0 loud, 127 silent
  Time last_packet{};
};

// A row of the statistics.
struct SpeakerStats {
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;
  bool speaking = false;
  bool gone = false;  // retired, evicted, or from before a reconnection
  std::optional<std::uint8_t> audio_level;
  std::uint32_t jitter = 0;  // timestamp units, 48 a millisecond
  Ledger ledger;
};

SpeakerStats stats_of(const Speaker& speaker);

// At most `max_speakers` SSRCs, and as many departed ones for the record. Users survive the
// eviction of their SSRC's row: they come from the gateway, not from the network.
class SpeakerTable {
 public:
  static constexpr std::size_t max_users = 16384;

  explicit SpeakerTable(std::size_t max_speakers) : max_speakers_(max_speakers) {}

  Speaker* find(std::uint32_t ssrc) noexcept;
  const Speaker* find(std::uint32_t ssrc) const noexcept;
  // A row for an SSRC that has none; `victim_for_new` has made room.
  Speaker& add(std::uint32_t ssrc, Time now);
  bool full() const noexcept { return rows_.size() >= max_speakers_; }
  // Who must go for a newcomer: the longest idle of those that do not speak, SSRCs without a user
  // first; then those without a user. Nothing when everybody is a known user who speaks.
  std::optional<std::uint32_t> victim() const noexcept;
  // Keeps the row's figures under the departed.
  void remove(std::uint32_t ssrc);
  // Counts the row's figures with those of nobody: no trace of it stays.
  void dissolve(std::uint32_t ssrc);

  std::uint64_t user_of(std::uint32_t ssrc) const noexcept;
  // False when there are too many.
  bool set_user(std::uint32_t ssrc, std::uint64_t user_id);
  void forget_user(std::uint32_t ssrc) noexcept { users_.erase(ssrc); }
  void forget_users() noexcept { users_.clear(); }
  // The SSRCs that are this user's.
  std::vector<std::uint32_t> ssrcs_of(std::uint64_t user_id) const;
  // Another SSRC of the same user.
  std::optional<std::uint32_t> other_ssrc_of(std::uint64_t user_id,
                                             std::uint32_t ssrc) const noexcept;

  std::vector<std::uint32_t> ssrcs() const;
  std::size_t size() const noexcept { return rows_.size(); }
  // Calls `visit(Speaker&)` for each row; rows must not come or go meanwhile.
  template <class Visitor> void for_each(Visitor&& visit) {
    for (auto& [ssrc, row] : rows_) {
      visit(*row);
    }
  }

  // When speaking may end next. Among many it may be earlier than that: every packet moves its own
  // sender's, and looking at all for each packet is what a large call would spend its time on.
  Deadline next_deadline() const noexcept { return rows_.size() <= few ? soonest() : no_sooner_; }
  // A row's detector has been given a packet, or a state.
  void detector_moved(const Speaker& speaker) noexcept {
    no_sooner_ = earlier(no_sooner_, speaker.speaking.next_deadline());
  }
  // All detectors have been told the time.
  void detectors_told() noexcept { no_sooner_ = soonest(); }
  // What belongs to no SSRC: not authentic, not audio, no room.
  Ledger& nobody() noexcept { return nobody_; }
  const Ledger& nobody() const noexcept { return nobody_; }
  Ledger total() const noexcept;
  // Departed first, oldest first; then those of now by SSRC.
  std::vector<SpeakerStats> stats() const;

 private:
  static constexpr std::size_t few = 32;
  Deadline soonest() const noexcept;

  std::size_t max_speakers_;
  std::unordered_map<std::uint32_t, std::unique_ptr<Speaker>> rows_;
  std::unordered_map<std::uint32_t, std::uint64_t> users_;
  std::deque<SpeakerStats> departed_;
  Ledger departed_before_;  // of those that no longer fit into `departed_`
  std::uint64_t added_ = 0;
  Ledger nobody_;
  Deadline no_sooner_;  // no detector has a deadline before this
};

}  // namespace discord::media
