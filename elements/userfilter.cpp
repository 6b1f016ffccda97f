// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/userfilter.hpp"

#include "discord/gstdiscordsession.h"
#include "elements/userinfo.hpp"

#include <optional>
#include <utility>

namespace discord {

namespace {

constexpr const char* heard_query = "GstDiscordUserHeard";

enum Index : guint { users, ignore_bots };

std::optional<bool> bot_of(const CallSnapshot& call, std::uint64_t user) {
  const auto known = call.names->find(user);
  return known == call.names->end() ? std::nullopt : std::optional(known->second.bot);
}

}  // namespace

void UserFilter::install(GObjectClass* object_class, guint first) {
  const auto flags = static_cast<GParamFlags>(G_PARAM_READWRITE | GST_PARAM_MUTABLE_PLAYING |
                                              G_PARAM_STATIC_STRINGS);
  g_object_class_install_property(
      object_class, first + Index::users,
      g_param_spec_string("users", "Users",
                          "Ids of those to be heard, as 123,456, or of those who are not, as "
                          "-123,-456; empty: everybody",
                          "", flags));
  g_object_class_install_property(
      object_class, first + Index::ignore_bots,
      g_param_spec_boolean("ignore-bots", "Ignore bots",
                           "Do not hear bots, but for those that users names", TRUE, flags));
}

void UserFilter::set(guint index, const GValue* value) {
  Lock lock(mutex_);
  if (index == Index::ignore_bots) {
    rule_ = rule_.with_ignore_bots(g_value_get_boolean(value) != FALSE);
  } else {
    const gchar* text = g_value_get_string(value);
    auto parsed = media::UserRule::parse(text != nullptr ? text : "", rule_.ignore_bots());
    if (!parsed.ok()) {
      lock.unlock();
      g_warning("%s: users: %s Nothing was changed.", GST_OBJECT_NAME(element_),
                parsed.error().c_str());
      return;
    }
    text_ = text != nullptr ? text : "";
    rule_ = std::move(parsed).value();
  }
  version_.fetch_add(1, std::memory_order_release);
}

void UserFilter::get(guint index, GValue* value) const {
  Lock lock(mutex_);
  if (index == Index::ignore_bots) {
    g_value_set_boolean(value, rule_.ignore_bots());
  } else {
    g_value_set_string(value, text_.c_str());
  }
}

media::UserRule UserFilter::rule() const {
  Lock lock(mutex_);
  return rule_;
}

bool UserFilter::passes(GstEvent* event, GstDiscordSession* session) const {
  const GstStructure* s = gst_event_get_structure(event);
  if (s == nullptr || !(gst_structure_has_name(s, "discord-user-info") ||
                        gst_structure_has_name(s, "discord-user-joined") ||
                        gst_structure_has_name(s, "discord-user-left"))) {
    return true;
  }
  guint64 user = 0;
  gst_structure_get_uint64(s, "user-id", &user);
  gboolean bot = FALSE;
  if (gst_structure_get_boolean(s, "bot", &bot)) {
    return rule().of(user, bot != FALSE, true) != media::Admission::denied;
  }
  const CallState::SnapshotPtr call =
      session != nullptr ? call_state(session).snapshot() : std::make_shared<CallSnapshot>();
  return admission_of(rule(), *call, user) != media::Admission::denied;
}

bool UserFilter::answer(GstQuery* query, GstPad* sinkpad) const {
  if (GST_QUERY_TYPE(query) != GST_QUERY_CUSTOM) {
    return false;
  }
  GstStructure* s = gst_query_writable_structure(query);
  guint64 user = 0;
  if (!gst_structure_has_name(s, heard_query) || !gst_structure_get_uint64(s, "user-id", &user)) {
    return false;
  }
  const GObjectPtr<GstDiscordSession> session(gst_discord_session_find(sinkpad));
  const CallState::SnapshotPtr call =
      session ? call_state(session.get()).snapshot() : std::make_shared<CallSnapshot>();
  const media::Admission admission = admission_of(rule(), *call, user);
  gst_structure_set(s, "heard", G_TYPE_BOOLEAN, gboolean{admission != media::Admission::denied},
                    "decided", G_TYPE_BOOLEAN, gboolean{admission != media::Admission::undecided},
                    nullptr);
  return true;
}

media::Admission heard_upstream(GstPad* sinkpad, std::uint64_t user) {
  const QueryPtr query(gst_query_new_custom(
      GST_QUERY_CUSTOM,
      gst_structure_new(heard_query, "user-id", G_TYPE_UINT64, guint64{user}, nullptr)));
  gboolean heard = TRUE;
  gboolean decided = TRUE;
  if (gst_pad_peer_query(sinkpad, query.get())) {
    const GstStructure* s = gst_query_get_structure(query.get());
    gst_structure_get_boolean(s, "heard", &heard);
    gst_structure_get_boolean(s, "decided", &decided);
  }
  return heard == FALSE     ? media::Admission::denied
         : decided == FALSE ? media::Admission::undecided
                            : media::Admission::allowed;
}

media::Admission admission_of(const media::UserRule& rule, const CallSnapshot& call,
                              std::uint64_t user) {
  return rule.of(user, bot_of(call, user), call.bots_are_told);
}

std::vector<EventPtr> names_of_newly_heard(const media::UserRule& before,
                                           const media::UserRule& after, const CallSnapshot& call) {
  std::vector<EventPtr> out;
  for (const auto& [user, name] : *call.names) {
    if (before.of(user, name.bot, true) == media::Admission::denied &&
        after.of(user, name.bot, true) != media::Admission::denied) {
      out.emplace_back(user_info_event(user, name));
    }
  }
  return out;
}

}  // namespace discord
