// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/voicelink.hpp"

#include "base/overloaded.hpp"

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
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_AUTHORIZED};
    case FailKind::Removed:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ};
    case FailKind::Encryption:
    case FailKind::DaveRequired:
    case FailKind::UnsupportedMode:
      return {GST_STREAM_ERROR, GST_STREAM_ERROR_DECRYPT};
    case FailKind::RateLimited:
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

VoiceLink::VoiceLink(GstElement* element, CallState& call, MediaPort& port)
    : element_(element), call_(call), port_(port), run_(next_run()) {}

std::uint64_t VoiceLink::global(voice::Generation generation) const noexcept {
  return (run_ << 32) | generation;
}

void VoiceLink::on_media_socket(voice::Generation generation,
                                std::shared_ptr<net::UdpSocket> socket) {
  port_.install({generation, std::move(socket)});
}

void VoiceLink::post(GstStructure* structure) {
  gst_element_post_message(element_, gst_message_new_element(GST_OBJECT_CAST(element_), structure));
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
            call_.update([&](CallSnapshot& call) {
              call = CallSnapshot();
              call.generation = global(a.generation);
            });
          },
          [this](const voice::UserJoined& a) {
            call_.tell({CallNews::What::joined, a.user, 0, 0, {}});
            post(gst_structure_new("discord-user-joined", "user-id", G_TYPE_UINT64, a.user,
                                   nullptr));
          },
          [this](const voice::UserLeft& a) {
            call_.tell({CallNews::What::left, a.user, 0, 0, {}});
            post(gst_structure_new("discord-user-left", "user-id", G_TYPE_UINT64, a.user, nullptr));
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
          [this](const voice::Notice& a) {
            GST_INFO_OBJECT(element_, "not followed: %s", a.text.c_str());
          },
          [this](const voice::StateChanged& a) {
            const std::string state(voice::to_string(a.state));
            GST_DEBUG_OBJECT(element_, "%s: %s", state.c_str(), a.reason.c_str());
            post(gst_structure_new("discord-session", "state", G_TYPE_STRING, state.c_str(),
                                   "reason", G_TYPE_STRING, a.reason.c_str(), nullptr));
          },
          [this](const voice::Progress& a) { progress(a); },
          [this](const voice::Fail& a) { fail(a); },
          // Nobody here can get new credentials, and the session has been told so: it fails with a
          // sentence instead of asking. What is left are the actions that the client carries out.
          [](const auto&) {},
      },
      action);
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
  post(structure);
  if (change.version == 0) {
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
