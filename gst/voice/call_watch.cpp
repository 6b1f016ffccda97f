#include "voice/call_watch.hpp"

namespace discord::voice {

std::string_view to_string(Hearing hearing) noexcept {
  switch (hearing) {
    case Hearing::Unknown:
      return "unknown";
    case Hearing::Fine:
      return "hearing";
    case Hearing::NobodyHere:
      return "nobody-here";
    case Hearing::NobodySpeaks:
      return "nobody-speaks";
    case Hearing::NoMedia:
      return "no-media";
    case Hearing::NotOpened:
      return "not-opened";
    case Hearing::Deafened:
      return "server-deafened";
  }
  return "unknown";
}

std::string_view describe(Hearing hearing) noexcept {
  switch (hearing) {
    case Hearing::Unknown:
      return "Not connected.";
    case Hearing::Fine:
      return "Packets come and can be opened.";
    case Hearing::NobodyHere:
      return "Nobody else is in the call.";
    case Hearing::NobodySpeaks:
      return "People are in the call, and none of them speaks.";
    case Hearing::NoMedia:
      return "Somebody speaks, but no UDP packet arrives: allow outgoing UDP to ports 50000-65535 "
             "and its answers in the firewall, NAT or container network, or try prime=true.";
    case Hearing::NotOpened:
      return "Packets arrive, but none can be opened: the keys do not fit. If it lasts, end the "
             "source and start it again, and report it with a debug log.";
    case Hearing::Deafened:
      return "A moderator has deafened this client, so Discord sends it nothing: undeafen it in "
             "the member list of the channel.";
  }
  return {};
}

bool is_trouble(Hearing hearing) noexcept {
  return hearing == Hearing::NoMedia || hearing == Hearing::NotOpened ||
         hearing == Hearing::Deafened;
}

std::optional<Hearing> CallWatch::look(const CallView& view, Time now) {
  const Hearing found = judge(view, now);
  last_ = view;
  if (found == hearing_) {
    return std::nullopt;
  }
  hearing_ = found;
  return found;
}

Hearing CallWatch::judge(const CallView& view, Time now) {
  if (!view.connected) {
    started_ = false;
    spoke_.reset();
    unopened_.reset();
    return Hearing::Unknown;
  }
  if (!started_) {
    started_ = true;
    started_at_ = last_audio_ = now;
    last_.media = view.media;
    last_.opened = view.opened;
    last_.unopened = view.unopened;
  }
  const bool arrives = view.media != last_.media;
  const bool opens = view.opener ? view.opened != last_.opened : arrives;
  const bool refuses = view.opener && view.unopened != last_.unopened;
  if (opens) {
    unopened_.reset();
  } else if (refuses && !unopened_) {
    unopened_ = now;
  }
  if (opens || refuses) {
    last_audio_ = now;
  }
  if (arrives) {
    spoke_.reset();
  } else if (view.announced != last_.announced && !spoke_ &&
             now - started_at_ >= announcements_count_after) {
    spoke_ = now;
  }
  if (view.deafened) {
    return Hearing::Deafened;
  }
  if (opens) {
    return Hearing::Fine;
  }
  const bool audio_comes = now - last_audio_ < 2 * interval;
  if (audio_comes && unopened_ && now - *unopened_ >= unopened_after) {
    return Hearing::NotOpened;
  }
  if (spoke_ && now - *spoke_ >= no_media_after) {
    return Hearing::NoMedia;
  }
  if (now - last_audio_ >= quiet_after) {
    if (hearing_ == Hearing::NoMedia) {
      return hearing_;  // until a packet proves the contrary
    }
    return view.others == 0 ? Hearing::NobodyHere : Hearing::NobodySpeaks;
  }
  return hearing_ == Hearing::Deafened ? Hearing::Unknown : hearing_;
}

}  // namespace discord::voice
