#include "voice/ssrc_map.hpp"

namespace discord::voice {

void SsrcMap::reset(Generation generation, std::uint64_t own_user) {
  generation_ = generation;
  own_user_ = own_user;
  by_ssrc_.clear();
  by_user_.clear();
  present_.clear();
  video_.clear();
  next_retirement_.reset();
}

void SsrcMap::set_own(std::uint32_t ssrc, Out& out) {
  assign(ssrc, own_user_, out);
}

void SsrcMap::joined(std::uint64_t user, Out& out) {
  if (user == own_user_ || present_.contains(user)) {
    return;
  }
  if (present_.size() >= max_users) {
    ++overflows_;
    return;
  }
  present_.insert(user);
  out.push_back(UserJoined{user});
}

void SsrcMap::announced(std::uint32_t ssrc, std::uint64_t user, Time now, Out& out) {
  if (ssrc == 0) {
    return;
  }
  joined(user, out);
  const auto known = by_user_.find(user);
  if (known != by_user_.end() && known->second != ssrc) {
    retire(user, now);
  }
  assign(ssrc, user, out);
}

// The newest claim wins: an SSRC is small and given again as soon as its user has left, and a
// client that keeps the old owner attributes speech to somebody who is gone.
void SsrcMap::assign(std::uint32_t ssrc, std::uint64_t user, Out& out) {
  const auto owned = by_ssrc_.find(ssrc);
  if (owned == by_ssrc_.end() && by_ssrc_.size() >= max_ssrcs) {
    ++overflows_;
    return;
  }
  if (owned != by_ssrc_.end()) {
    if (owned->second.user == user) {
      owned->second.retires.reset();
      by_user_[user] = ssrc;
      return;
    }
    const auto former = by_user_.find(owned->second.user);
    if (former != by_user_.end() && former->second == ssrc) {
      by_user_.erase(former);
    }
  }
  by_ssrc_[ssrc] = Owner{user, std::nullopt};
  by_user_[user] = ssrc;
  out.push_back(MapSsrc{generation_, ssrc, user});
}

void SsrcMap::video(std::uint64_t user, std::span<const std::uint32_t> ssrcs) {
  std::erase_if(video_, [&](const auto& entry) { return entry.second == user; });
  for (const std::uint32_t ssrc : ssrcs) {
    if (video_.size() >= max_ssrcs) {
      ++overflows_;
      return;
    }
    video_[ssrc] = user;
  }
}

void SsrcMap::left(std::uint64_t user, Time now, Out& out) {
  video(user, {});
  if (user == own_user_) {
    return;
  }
  retire(user, now);
  if (present_.erase(user) != 0) {
    out.push_back(UserLeft{user});
  }
}

void SsrcMap::retire(std::uint64_t user, Time now) {
  const auto known = by_user_.find(user);
  if (known == by_user_.end()) {
    return;
  }
  by_ssrc_[known->second].retires = now + grace;
  next_retirement_ = earlier(next_retirement_, now + grace);
  by_user_.erase(known);
}

void SsrcMap::on_timer(Time now, Out& out) {
  if (!next_retirement_ || now < *next_retirement_) {
    return;
  }
  next_retirement_.reset();
  for (auto it = by_ssrc_.begin(); it != by_ssrc_.end();) {
    if (it->second.retires && *it->second.retires <= now) {
      out.push_back(RetireSsrc{generation_, it->first, it->second.user});
      it = by_ssrc_.erase(it);
    } else {
      next_retirement_ = earlier(next_retirement_, it->second.retires);
      ++it;
    }
  }
}

std::optional<std::uint64_t> SsrcMap::user_of(std::uint32_t ssrc) const {
  const auto it = by_ssrc_.find(ssrc);
  return it == by_ssrc_.end() ? std::nullopt : std::optional(it->second.user);
}

std::optional<std::uint32_t> SsrcMap::ssrc_of(std::uint64_t user) const {
  const auto it = by_user_.find(user);
  return it == by_user_.end() ? std::nullopt : std::optional(it->second);
}

bool SsrcMap::is_video(std::uint32_t ssrc) const {
  return video_.contains(ssrc);
}

bool SsrcMap::is_present(std::uint64_t user) const {
  return present_.contains(user);
}

}  // namespace discord::voice
