// Where the session of a bot is kept over restarts: a small file in the user's state folder.
#pragma once

#include "net/udp_socket.hpp"
#include "voice/main_gateway.hpp"

#include <string>

namespace discord::net {

// One file for each bot and gateway, named after a hash, so that no name gives a token away. Only
// one process at a time has it; another one starts without a saved session and keeps none, since
// two that resume one session would throw each other out.
class SessionFile {
 public:
  // `folder` is made when it is missing; empty stands for gst-discord in the user's state folder
  // (XDG_STATE_HOME).
  SessionFile(std::string folder, const SecretString& token, const std::string& url,
              std::optional<voice::gateway::Shard> shard);

  // Whether this process has the file. Otherwise load() gives nothing and save() does nothing.
  bool held() const noexcept { return static_cast<bool>(lock_); }
  // What was kept; nothing when there is no file or it is damaged.
  voice::gateway::Saved load() const;
  // Replaces the file (mode 0600) as a whole. Losing it costs one Identify, so failures are only
  // counted.
  void save(const voice::gateway::Saved& saved);
  unsigned failures() const noexcept { return failures_; }
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  FileDescriptor lock_;
  unsigned failures_ = 0;
};

}  // namespace discord::net
