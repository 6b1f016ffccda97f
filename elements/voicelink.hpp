// Tells the pipeline what the voice connection says: keys and names to the session, the rest to
// the bus.
#pragma once

#include "discord/call_state.hpp"
#include "elements/mediaport.hpp"
#include "net/voice_client.hpp"

#include <gst/gst.h>
#include <set>
#include <string>

namespace discord {

// Everything runs on the control thread; messages are posted without a lock.
class VoiceLink final : public net::VoiceClient::Observer {
 public:
  // All three outlive the link.
  VoiceLink(GstElement* element, CallState& call, MediaPort& port);

  void on_media_socket(voice::Generation generation,
                       std::shared_ptr<net::UdpSocket> socket) override;
  void on_action(const voice::Action& action) override;

  // Reports open progress as cancelled; for a stop before the connection was complete. From the
  // stopping thread, after the client has stopped: `open_progress_` has no lock.
  void cancel_progress();

 private:
  std::uint64_t global(voice::Generation generation) const noexcept;
  void post(GstStructure* structure);
  void encryption_changed(const voice::EncryptionChanged& change);
  void progress(const voice::Progress& progress);
  void end_progress(GstProgressType type, const std::string& text);
  void fail(const voice::Fail& fail);

  GstElement* element_;
  CallState& call_;
  MediaPort& port_;
  const std::uint64_t run_;
  std::set<std::string> open_progress_;
  int told_version_ = -1;  // of the end-to-end encryption
};

}  // namespace discord
