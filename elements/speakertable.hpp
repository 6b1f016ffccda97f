// Which of the known speakers a packet belongs to: the grouping rules of discordssrcdemux.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace discord {

enum class GroupBy { User, Ssrc };

// Speakers by user and by SSRC. `S` has members `std::uint32_t ssrc` and `std::uint64_t user_id`.
// Not thread-safe. Pointers stay valid until remove() or clear().
template <class S> class SpeakerTable {
 public:
  // The speaker of a packet, or nullptr when the packet is the first of a new one.
  // Grouped by user, a user's new SSRC stays with the user, a packet without a user is filed by its
  // SSRC, and a speaker without a user is adopted by the first user who appears on its SSRC (the
  // caller sees user_id change). Grouped by SSRC, only the SSRC counts.
  S* find(GroupBy by, std::uint32_t ssrc, std::uint64_t user_id) {
    const auto same_ssrc = by_ssrc_.find(ssrc);
    S* known = same_ssrc != by_ssrc_.end() ? same_ssrc->second : nullptr;
    if (by == GroupBy::Ssrc || user_id == 0) {
      if (known != nullptr && user_id != 0) {
        known->user_id = user_id;
      }
      return known;
    }
    if (known != nullptr && known->user_id == user_id) {
      return known;
    }
    if (const auto same_user = by_user_.find(user_id); same_user != by_user_.end()) {
      bind(ssrc, same_user->second);
      return same_user->second;
    }
    if (known != nullptr && known->user_id == 0) {
      known->user_id = user_id;
      by_user_[user_id] = known;
      return known;
    }
    return nullptr;  // nobody yet, or the SSRC has passed to another user
  }

  S* find_user(std::uint64_t user_id) const {
    for (const auto& s : all_) {
      if (s->user_id == user_id) {
        return s.get();
      }
    }
    return nullptr;
  }

  S* add(std::unique_ptr<S> speaker) {
    S* s = speaker.get();
    all_.push_back(std::move(speaker));
    bind(s->ssrc, s);
    if (s->user_id != 0) {
      by_user_[s->user_id] = s;
    }
    return s;
  }

  std::unique_ptr<S> remove(S* speaker) {
    std::erase_if(by_ssrc_, [&](const auto& e) { return e.second == speaker; });
    std::erase_if(by_user_, [&](const auto& e) { return e.second == speaker; });
    for (auto it = all_.begin(); it != all_.end(); ++it) {
      if (it->get() == speaker) {
        std::unique_ptr<S> out = std::move(*it);
        all_.erase(it);
        return out;
      }
    }
    return nullptr;
  }

  void clear() {
    by_ssrc_.clear();
    by_user_.clear();
    all_.clear();
  }

  const std::vector<std::unique_ptr<S>>& all() const { return all_; }
  std::size_t size() const { return all_.size(); }

 private:
  // A user who changes SSRC without end must not grow the table: past the cap a new SSRC is found
  // through its user only.
  static constexpr std::size_t ssrcs_per_speaker = 16;

  void bind(std::uint32_t ssrc, S* speaker) {
    if (by_ssrc_.size() < ssrcs_per_speaker * (all_.size() + 1) || by_ssrc_.contains(ssrc)) {
      by_ssrc_[ssrc] = speaker;
    }
  }

  std::vector<std::unique_ptr<S>> all_;
  std::unordered_map<std::uint32_t, S*> by_ssrc_;
  std::unordered_map<std::uint64_t, S*> by_user_;
};

}  // namespace discord
