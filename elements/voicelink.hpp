// Tells the pipeline what the voice connection says: keys and names to the session, the rest to
// the bus.
#pragma once

#include "discord/call_state.hpp"
#include "elements/mediaport.hpp"
#include "net/voice_client.hpp"
#include "voice/call_watch.hpp"

#include <gst/gst.h>
#include <atomic>
#include <functional>
#include <set>
#include <string>

namespace discord {

// Everything runs on the control thread; messages are posted without a lock.
class VoiceLink final : public net::VoiceClient::Observer {
 public:
  // All of it outlives the link.
  struct Surroundings {
    GstElement* element;
    CallState& call;
    MediaPort& port;
    std::function<std::uint64_t()> media;  // datagrams of media so far
    std::function<void(const std::string& reason)> credentials_needed;
    std::function<void(guint64 user, const UserName& name)> named;
  };
  explicit VoiceLink(Surroundings around);

  void on_media_socket(voice::Generation generation,
                       std::shared_ptr<net::UdpSocket> socket) override;
  void on_action(const voice::Action& action) override;
  void on_gateway(const voice::gateway::Action& action) override;

  // Reports open progress as cancelled; for a stop before the connection was complete. From the
  // stopping thread, after the client has stopped: `open_progress_` has no lock.
  void cancel_progress();

  // Looks every two seconds whether anything is heard, and says why not. From any thread but the
  // control thread.
  void start_watching();
  void stop_watching();
  // There has been a session description.
  bool was_connected() const noexcept { return was_connected_; }

 private:
  std::uint64_t global(voice::Generation generation) const noexcept;
  void post(GstStructure* structure);
  void tell(GstStructure* structure);
  void look();
  void notice(const voice::Notice& notice);
  void state_changed(const voice::StateChanged& change);
  void encryption_changed(const voice::EncryptionChanged& change);
  void progress(const voice::Progress& progress);
  void end_progress(GstProgressType type, const std::string& text);
  void fail(const voice::Fail& fail);

  const Surroundings around_;
  GstElement* const element_;
  CallState& call_;
  MediaPort& port_;
  const std::uint64_t run_;
  std::set<std::string> open_progress_;
  int told_version_ = -1;  // of the end-to-end encryption

  // Of the control thread.
  std::shared_ptr<net::ControlThread> thread_ = net::ControlThread::get();
  std::unique_ptr<net::Timer> watch_timer_;
  voice::CallWatch watch_;
  voice::CallView view_;
  std::set<std::uint64_t> others_;
  std::uint64_t media_ = 0;  // the last connection that had a media socket
  std::atomic<bool> was_connected_{false};
};

// Makes a name known: to everybody who reads the call's snapshots, and to the bus when it is new.
void publish_name(GstElement* element, CallState& call, guint64 user, const UserName& name);

}  // namespace discord
