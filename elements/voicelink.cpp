// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/voicelink.hpp"

#include "base/overloaded.hpp"
#include "discord/gstptr.hpp"
#include "elements/userinfo.hpp"

#include <atomic>
#include <utility>

GST_DEBUG_CATEGORY_EXTERN(discord_voice_src_debug);
#define GST_CAT_DEFAULT discord_voice_src_debug

namespace discord {

namespace {

// Which error an application sees. The sentence says the rest.
std::pair<GQuark, gint> error_code(voice::FailKind kind) {
  using voice::FailKind;
  switch (kind) {
    case FailKind::Settings:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS};
    case FailKind::Unreachable:
    case FailKind::Tls:
    case FailKind::Timeout:
    case FailKind::UdpBlocked:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ};
    case FailKind::Authentication:
    case FailKind::StaleCredentials:
    case FailKind::NotAllowed:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_AUTHORIZED};
    case FailKind::Removed:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ};
    case FailKind::Encryption:
    case FailKind::DaveRequired:
    case FailKind::UnsupportedMode:
      return {GST_STREAM_ERROR, GST_STREAM_ERROR_DECRYPT};
    case FailKind::RateLimited:
    case FailKind::Full:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY};
    case FailKind::Protocol:
      break;
  }
  return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_FAILED};
}

// Sessions number their connections from one; a process numbers its sessions, so that no
// generation ever comes twice.
std::uint64_t next_run() {
  static std::atomic<std::uint64_t> runs{1};
  return runs.fetch_add(1);
}

}  // namespace

VoiceLink::VoiceLink(Surroundings around)
    : around_(std::move(around)),
      element_(around_.element),
      call_(around_.call),
      port_(around_.port),
      run_(next_run()) {}

std::uint64_t VoiceLink::global(voice::Generation generation) const noexcept {
  return (run_ << 32) | generation;
}

void VoiceLink::on_media_socket(voice::Generation generation,
                                std::shared_ptr<net::UdpSocket> socket) {
  if (socket) {
    media_ = global(generation);
  }
  port_.install({generation, std::move(socket), global(generation)});
}

void VoiceLink::post(GstStructure* structure) {
  gst_element_post_message(element_, gst_message_new_element(GST_OBJECT_CAST(element_), structure));
}

// What a recorder wants to note goes down the stream as well, out of band.
void VoiceLink::tell(GstStructure* structure) {
  const ObjectPtr<GstPad> src(gst_element_get_static_pad(element_, "src"));
  gst_pad_push_event(src.get(), gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM_OOB,
                                                     gst_structure_copy(structure)));
  post(structure);
}

void VoiceLink::on_action(const voice::Action& action) {
  std::visit(
      Overloaded{
          [this](const voice::UseKey& a) {
            GST_INFO_OBJECT(element_, "media is encrypted with %s",
                            std::string(transport::to_string(a.mode)).c_str());
            call_.update([&](CallSnapshot& call) {
              call.generation = global(a.generation);
              call.mode = a.mode;
              call.key = a.key;
            });
          },
          [this](const voice::MapSsrc& a) {
            view_.announced++;
            call_.update([&](CallSnapshot& call) { call.users[a.ssrc] = a.user; });
          },
          [this](const voice::RetireSsrc& a) {
            call_.update([&](CallSnapshot& call) {
              const auto entry = call.users.find(a.ssrc);
              if (entry != call.users.end() && entry->second == a.user) {
                call.users.erase(entry);
              }
            });
          },
          [this](const voice::ForgetAll& a) {
            others_.clear();
            call_.forget_news();
            call_.update([&](CallSnapshot& call) {
              const auto names = call.names;
              const bool bots_are_told = call.bots_are_told;
              call = CallSnapshot();
              call.names = names;
              call.bots_are_told = bots_are_told;
              call.generation = global(a.generation);
              call.after = media_;
            });
          },
          [this](const voice::UserJoined& a) {
            others_.insert(a.user);
            call_.tell({CallNews::What::joined, a.user, 0, 0, {}});
            tell(gst_structure_new("discord-user-joined", "user-id", G_TYPE_UINT64, a.user,
                                   nullptr));
          },
          [this](const voice::UserLeft& a) {
            others_.erase(a.user);
            call_.tell({CallNews::What::left, a.user, 0, 0, {}});
            tell(gst_structure_new("discord-user-left", "user-id", G_TYPE_UINT64, a.user, nullptr));
          },
          [this](const voice::UserInfo& a) {
            GstStructure* info =
                gst_structure_new("discord-user-info", "user-id", G_TYPE_UINT64, a.user, nullptr);
            if (a.platform) {
              gst_structure_set(info, "platform", G_TYPE_INT64, *a.platform, nullptr);
            }
            if (a.flags) {
              gst_structure_set(info, "flags", G_TYPE_INT64, *a.flags, nullptr);
            }
            if (a.video) {
              gst_structure_set(info, "video", G_TYPE_BOOLEAN, gboolean{*a.video}, nullptr);
            }
            post(info);
          },
          [this](const voice::PublishKeys& a) {
            call_.update([&](CallSnapshot& call) { call.media_keys = a.keys; });
          },
          [this](const voice::EncryptionChanged& a) { encryption_changed(a); },
          [this](const voice::Notice& a) { notice(a); },
          [this](const voice::StateChanged& a) { state_changed(a); },
          [this](const voice::Progress& a) { progress(a); },
          [this](const voice::Fail& a) { fail(a); },
          [this](const voice::NeedCredentials& a) {
            GST_INFO_OBJECT(element_, "new credentials are needed: %s", a.reason.c_str());
            around_.credentials_needed(a.reason);
          },
          // What is left are the actions that the client carries out.
          [](const auto&) {},
      },
      action);
}

void VoiceLink::notice(const voice::Notice& notice) {
  if (notice.warning) {
    GST_WARNING_OBJECT(element_, "%s", notice.text.c_str());
  } else {
    GST_INFO_OBJECT(element_, "not followed: %s", notice.text.c_str());
  }
}

void VoiceLink::state_changed(const voice::StateChanged& change) {
  const std::string state(voice::to_string(change.state));
  GST_DEBUG_OBJECT(element_, "%s: %s", state.c_str(), change.reason.c_str());
  const bool connected = change.state == voice::State::Connected;
  // A lost WebSocket that is being resumed takes nothing from the media.
  view_.connected = connected || (view_.connected && change.state == voice::State::Reconnecting);
  was_connected_ = was_connected_ || connected;
  post(gst_structure_new("discord-session", "state", G_TYPE_STRING, state.c_str(), "reason",
                         G_TYPE_STRING, change.reason.c_str(), nullptr));
}

void VoiceLink::on_gateway(const voice::gateway::Action& action) {
  std::visit(Overloaded{
                 [this](const voice::gateway::StateChanged& a) {
                   GST_INFO_OBJECT(element_, "main gateway %s: %s",
                                   std::string(voice::gateway::to_string(a.state)).c_str(),
                                   a.reason.c_str());
                   if (!was_connected_) {
                     progress({"voice-connect", a.reason, false});
                   }
                 },
                 [this](const voice::Notice& a) { notice(a); },
                 [this](const voice::gateway::SeatNotice& a) {
                   if (a.warning) {
                     GST_ELEMENT_WARNING(element_, RESOURCE, FAILED, ("%s", a.text.c_str()),
                                         (nullptr));
                   } else {
                     GST_INFO_OBJECT(element_, "%s", a.text.c_str());
                   }
                 },
                 [this](const voice::gateway::SeatMoved& a) {
                   post(gst_structure_new("discord-session", "state", G_TYPE_STRING, "moved",
                                          "reason", G_TYPE_STRING,
                                          "The bot is in another channel now.", "channel-id",
                                          G_TYPE_UINT64, static_cast<guint64>(a.channel), nullptr));
                   // From now on this is where the user has the bot.
                   g_object_set(element_, "channel-id", static_cast<guint64>(a.channel), nullptr);
                 },
                 [this](const voice::gateway::SeatDeafened& a) {
                   view_.deafened = a.deafened;
                   look();
                 },
                 [this](const voice::gateway::SeatName& a) {
                   const UserName name{a.name, a.bot};
                   publish_name(element_, call_, a.user, name);
                   around_.named(a.user, name);
                 },
                 [](const auto&) {},
             },
             action);
}

void VoiceLink::start_watching() {
  thread_->run([this] {
    watch_timer_ = std::make_unique<net::Timer>(thread_->context(), [this] {
      look();
      watch_timer_->set(net::now() + voice::CallWatch::interval);
    });
    watch_timer_->set(net::now() + voice::CallWatch::interval);
  });
}

void VoiceLink::stop_watching() {
  thread_->run([this] { watch_timer_.reset(); });
}

void VoiceLink::look() {
  view_.others = others_.size();
  view_.media = around_.media();
  view_.opener = call_.has_opener();
  view_.opened = call_.opened();
  view_.unopened = call_.unopened();
  const auto found = watch_.look(view_, net::now());
  if (!found || *found == voice::Hearing::Unknown) {
    return;
  }
  const std::string state(voice::to_string(*found));
  const std::string reason(voice::describe(*found));
  GST_INFO_OBJECT(element_, "%s: %s", state.c_str(), reason.c_str());
  post(gst_structure_new("discord-session", "state", G_TYPE_STRING, state.c_str(), "reason",
                         G_TYPE_STRING, reason.c_str(), nullptr));
  if (voice::is_trouble(*found)) {
    GST_ELEMENT_WARNING(element_, RESOURCE, READ, ("%s", reason.c_str()), ("%s", state.c_str()));
  }
}

void publish_name(GstElement* element, CallState& call, guint64 user, const UserName& name) {
  constexpr std::size_t max_names = 5000;
  bool changed = false;
  call.update([&](CallSnapshot& next) {
    const auto known = next.names->find(user);
    if ((known == next.names->end() && next.names->size() >= max_names) ||
        (known != next.names->end() && known->second == name)) {
      return;
    }
    auto names = std::make_shared<UserNames>(*next.names);
    (*names)[user] = name;
    next.names = std::move(names);
    changed = true;
  });
  if (changed) {
    gst_element_post_message(
        element, gst_message_new_element(GST_OBJECT_CAST(element), user_info(user, name)));
  }
}

void VoiceLink::encryption_changed(const voice::EncryptionChanged& change) {
  call_.tell({CallNews::What::encryption, 0, change.version,
              static_cast<std::uint64_t>(change.epoch), change.privacy_code});
  GstStructure* structure =
      gst_structure_new("discord-e2ee", "version", G_TYPE_INT, change.version, "epoch",
                        G_TYPE_UINT64, static_cast<guint64>(change.epoch), "privacy-code",
                        G_TYPE_STRING, change.privacy_code.c_str(), nullptr);
  GValue members = G_VALUE_INIT;
  gst_value_array_init(&members, static_cast<guint>(change.members.size()));
  for (const std::uint64_t user : change.members) {
    GValue member = G_VALUE_INIT;
    g_value_init(&member, G_TYPE_UINT64);
    g_value_set_uint64(&member, user);
    gst_value_array_append_and_take_value(&members, &member);
  }
  gst_structure_take_value(structure, "members", &members);
  tell(structure);
  if (std::exchange(told_version_, change.version) != 0 && change.version == 0) {
    GST_ELEMENT_INFO(element_, STREAM, DECRYPT,
                     ("This call is not end-to-end encrypted: Discord can hear it."), (nullptr));
  }
}

void VoiceLink::progress(const voice::Progress& p) {
  const std::string code(p.code);
  const bool known = !open_progress_.insert(code).second;
  gst_element_post_message(element_, gst_message_new_progress(GST_OBJECT_CAST(element_),
                                                              p.done  ? GST_PROGRESS_TYPE_COMPLETE
                                                              : known ? GST_PROGRESS_TYPE_CONTINUE
                                                                      : GST_PROGRESS_TYPE_START,
                                                              code.c_str(), p.text.c_str()));
  if (p.done) {
    open_progress_.erase(code);
  }
}

void VoiceLink::end_progress(GstProgressType type, const std::string& text) {
  for (const std::string& code : std::exchange(open_progress_, {})) {
    gst_element_post_message(element_, gst_message_new_progress(GST_OBJECT_CAST(element_), type,
                                                                code.c_str(), text.c_str()));
  }
}

void VoiceLink::cancel_progress() {
  end_progress(GST_PROGRESS_TYPE_CANCELED, "Stopped.");
}

void VoiceLink::fail(const voice::Fail& f) {
  end_progress(GST_PROGRESS_TYPE_ERROR, f.message);
  const auto [domain, code] = error_code(f.kind);
  gst_element_message_full(element_, GST_MESSAGE_ERROR, domain, code, g_strdup(f.message.c_str()),
                           f.debug.empty() ? nullptr : g_strdup(f.debug.c_str()), __FILE__,
                           GST_FUNCTION, __LINE__);
  port_.end();
}

}  // namespace discord
