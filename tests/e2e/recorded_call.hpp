// A call from the loopback Discord through the recording pipeline to files, over real sockets, and
// everything that is known about it afterwards.
#pragma once

#include "discord/gstptr.hpp"
#include "server.hpp"

#include <gst/gst.h>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace discord::e2e {

// A packet or the frame decoded from it, or the announcement of a lost one, as it entered the
// recorder.
struct Passed {
  std::uint32_t ssrc = 0;
  std::uint16_t sequence = 0;
  std::int64_t begin = 0;    // samples of running time, from its PTS
  std::int64_t samples = 0;  // how long
  bool lost = false;
};

// A file as its `discord-file` message described it.
struct RecordedFile {
  std::string path;
  std::uint64_t user_id = 0;
  std::uint64_t duration = 0;  // ns
};

// A `discord-e2ee` message.
struct EncryptionNews {
  int version = -1;
  std::uint64_t epoch = 0;
  std::vector<std::uint64_t> members;
  std::string privacy_code;
};

struct Outcome {
  std::string problem;       // why the call could not be recorded to its end; empty = it was
  std::int64_t zero_ns = 0;  // CLOCK_MONOTONIC at running time zero
  std::vector<loopback::SpeakerTruth> truth;
  loopback::Status server;
  std::vector<Passed> passed;
  std::vector<RecordedFile> files;
  std::vector<std::string> on_disk;  // every path below the recorder's location
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
  std::vector<std::string> infos;
  std::vector<std::string> elements;  // names of element messages, in order
  std::vector<std::string> session;   // states of the `discord-session` messages, in order
  unsigned pads_added = 0;            // speakers' pads inside the recorder, until the end
  unsigned pads_removed = 0;
  std::vector<EncryptionNews> e2ee;
  loopback::DaveTruth dave;  // just before the end, as the elements' `stats`
  using Figures = std::map<std::string, std::uint64_t>;
  Figures source;  // the elements' `stats` just before the end
  Figures decrypt;
  Figures reorder;

  // The folder of the files, removed with the last copy of the outcome.
  std::shared_ptr<void> folder;
};

// A call while it is recorded.
struct Live {
  loopback::Server& server;
  GstElement* pipeline;

  ObjectPtr<GstElement> element(const char* name) const {
    return ObjectPtr<GstElement>(gst_bin_get_by_name(GST_BIN(pipeline), name));
  }
  // Until so many packets of the speakers have been generated.
  bool wait_for_packets(std::uint64_t packets) const;
  // These fail the test when a minute is over, or the server refuses.
  void wait_until(const std::function<bool(const loopback::Status&)>& done) const;
  void hear(std::uint64_t packets) const;  // until that many more have been sent to us
  void command(const nlohmann::json& what) const;
};

struct CallPlan {
  enum class End {
    eos,      // when everybody has finished and every datagram has been read, EOS is sent
    session,  // the session ends by itself
    stop,     // as `eos`, but the pipeline is taken to NULL without EOS
  };

  enum class Join {
    values,       // the server's credentials as properties
    bot,          // by itself, with the server's token
    application,  // without any: `before` connects to what the source asks for
  };

  loopback::Options server;
  std::string source = "";  // more properties of discordvoicesrc
  Join join = Join::values;
  std::string recorder = "format=wav";  // properties of discordrecordsink
  // In the middle; `dec` and `order` name those whose figures are kept.
  std::string receiver = "discorddecrypt name=dec ! discordreorder name=order";
  End end = End::eos;
  std::function<void(const Live&)> before = {};  // runs before the pipeline starts
  std::function<void(const Live&)> during = {};  // runs once the pipeline plays
};

// Starts server and pipeline, waits for the end and collects. Nothing in it sleeps or polls; no
// wait is longer than a minute. Several may run at once.
Outcome record(CallPlan plan);

}  // namespace discord::e2e
