// Who is to be heard: the properties `users` and `ignore-bots` of an element that opens packets,
// and what of a call follows from them.
#pragma once

#include "base/mutex.hpp"
#include "discord/call_state.hpp"
#include "discord/gstptr.hpp"
#include "media/user_rule.hpp"

#include <gst/gst.h>
#include <atomic>
#include <map>
#include <string>
#include <vector>

namespace discord {

class UserFilter {
 public:
  explicit UserFilter(GstElement* element) : element_(element) {}

  // Installs `users` and `ignore-bots` under `first` and `first` + 1.
  static constexpr guint count = 2;
  static void install(GObjectClass* object_class, guint first);
  // `index` is 0 or 1 in the same order. A list that cannot be read is a warning, and the one
  // before stays. Any thread, in any state.
  void set(guint index, const GValue* value) EXCLUDES(mutex_);
  void get(guint index, GValue* value) const EXCLUDES(mutex_);

  // One atomic load; another number with every change of the rule.
  std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }
  media::UserRule rule() const EXCLUDES(mutex_);

  // Whether a downstream event may go on: one that tells of somebody who is not to be heard may
  // not. `session` may be null.
  bool passes(GstEvent* event, GstDiscordSession* session) const EXCLUDES(mutex_);
  // Answers `heard_upstream` of an element downstream. `sinkpad` is where the session is found.
  bool answer(GstQuery* query, GstPad* sinkpad) const EXCLUDES(mutex_);

 private:
  GstElement* const element_;
  mutable Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
  media::UserRule rule_ GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> version_{1};
};

// Asks upstream of `sinkpad` whether this user is heard there; everybody is where nobody answers.
media::Admission heard_upstream(GstPad* sinkpad, std::uint64_t user);

media::Admission admission_of(const media::UserRule& rule, const CallSnapshot& call,
                              std::uint64_t user);

// The names of those who are heard under `after` and were not under `before`, as events: those that
// told them did not pass.
std::vector<EventPtr> names_of_newly_heard(const media::UserRule& before,
                                           const media::UserRule& after, const CallSnapshot& call);

// What has been told to whoever opens packets. One thread.
class Admissions {
 public:
  // Who has been forgotten there, in a new connection or a flush.
  void forget() { told_.clear(); }

  // Tells what is new: `need_users(bool)` and `admit(user, admission)`. Between the users who have
  // gone and those who are new: somebody denied is told so before the first packet has its user.
  template <class NeedUsers, class Admit>
  void apply(const media::UserRule& rule, const CallSnapshot& call, NeedUsers&& need_users,
             Admit&& admit) {
    if (rule.needs_user() != needs_users_) {
      needs_users_ = rule.needs_user();
      need_users(needs_users_);
    }
    std::map<std::uint64_t, media::Admission> now;
    for (const auto& [ssrc, user] : call.users) {
      if (const auto admission = admission_of(rule, call, user);
          admission != media::Admission::allowed) {
        now.emplace(user, admission);
      }
    }
    for (const auto& [user, admission] : told_) {
      if (!now.contains(user)) {
        admit(user, media::Admission::allowed);
      }
    }
    for (const auto& [user, admission] : now) {
      const auto before = told_.find(user);
      if (before == told_.end() || before->second != admission) {
        admit(user, admission);
      }
    }
    told_ = std::move(now);
  }

 private:
  bool needs_users_ = false;
  std::map<std::uint64_t, media::Admission> told_;  // those who are not just allowed
};

}  // namespace discord
