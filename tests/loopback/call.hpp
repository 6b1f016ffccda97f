// One voice call: who is in it, who talks when, and what became of every packet. No sockets.
#pragma once

#include "network_model.hpp"
#include "truth.hpp"

#include <functional>
#include <queue>

namespace discord::loopback {

// How and when the server tells clients whose SSRC it is.
enum class Announce {
  early,   // opcode 5 between Ready and the session description
  normal,  // after the client's own opcode 5
  late,    // only on command: its RTP comes first
};

struct TalkerOptions {
  SpeakerOptions speaker;
  Announce announce = Announce::normal;
  std::uint32_t video_ssrc = 0;           // != 0 = camera on (opcode 12)
  std::optional<NetworkOptions> network;  // instead of the call's
};

struct CallOptions {
  std::uint64_t guild_id = 0;
  std::uint64_t channel_id = 0;
  std::vector<TalkerOptions> talkers;
  NetworkOptions network;
  Duration lead = std::chrono::milliseconds(300);  // from the first client's opcode 5 to time zero
  bool keep_opus = true;                           // keep every payload in the truth
  std::size_t keep_records = 400000;               // per talker; the oldest go first
};

struct Talker {
  Talker(TalkerOptions o, std::uint64_t seed, const NetworkOptions& call_network);

  Speaker speaker;
  NetworkModel network;
  Announce announce;
  std::uint32_t video_ssrc;
  int flags;
  bool bot;  // as the main gateway says of the user
  bool present = true;
  bool announced = false;
  std::optional<Packet> next;
  SpeakerTruth truth;
  std::size_t records_dropped = 0;  // how many old records are gone
  std::uint16_t inserted = 0;       // sequence numbers that hostile packets took, less unsent ones
  Bytes last_sealed;                // payload, to be replayed or spoilt
};

class Call {
 public:
  // Throws std::invalid_argument (see Speaker).
  Call(CallOptions options, std::uint64_t seed);

  const CallOptions& options() const noexcept { return options_; }
  std::vector<std::unique_ptr<Talker>>& talkers() noexcept { return talkers_; }
  const std::vector<std::unique_ptr<Talker>>& talkers() const noexcept { return talkers_; }
  Talker* find(std::uint64_t user_id) noexcept;

  // Encrypts the payload of a packet before it is sent, and says in it how.
  using Seal = std::function<void(const Talker&, Packet&, Time now)>;
  void set_seal(Seal seal) { seal_ = std::move(seal); }
  // Whether every client it goes to can open it. Without this, all but hostile packets.
  using Openable = std::function<bool(const Packet&)>;
  void set_openable(Openable openable) { openable_ = std::move(openable); }
  // Reads the clock when a packet has left, for `FrameRecord::left_ns`. Without this, no time
  // passes inside `advance`.
  using Clock = std::function<Time()>;
  void set_clock(Clock clock) { clock_ = std::move(clock); }

  // Sends `payload` as one more packet of a talker, with a sequence number of its own. False for
  // one who has not begun or has ended.
  bool insert(Talker& talker, Protection protection, Bytes payload, Time now);

  // A client listens from now on; the first one sets time zero.
  void start(Time now);
  bool started() const noexcept { return zero_.has_value(); }
  // Every talker has said everything and nothing is under way. Never true while a list repeats.
  bool finished() const noexcept;

  Deadline next_deadline() const noexcept;
  // Sends one packet to every client that may have it; returns how many datagrams left.
  using Forward = std::function<unsigned(const Packet&)>;
  // Lets everything due at `now` out.
  void advance(Time now, const Forward& forward);

  Talker& add(TalkerOptions options, Time now);
  void leave(Talker& talker);
  void rejoin(Talker& talker, std::uint32_t ssrc, Time now);
  void set_network(const NetworkOptions& network);

 private:
  struct Flight {
    Time at;
    std::uint64_t order;
    Talker* talker;
    std::size_t record;  // absolute number, dropped ones included
    Packet packet;
    bool duplicate;
    bool operator>(const Flight& o) const noexcept {
      return at != o.at ? at > o.at : order > o.order;
    }
  };

  void launch(Talker& talker, Time now);
  void send(Talker& talker, Packet packet, FrameRecord record, Time due);
  void deliver(Flight& flight, Time now, const Forward& forward);

  CallOptions options_;
  Seal seal_;
  Openable openable_;
  Clock clock_;
  std::size_t clients_ = 0;
  std::uint64_t seed_;
  std::vector<std::unique_ptr<Talker>> talkers_;
  std::optional<Time> zero_;
  std::priority_queue<Flight, std::vector<Flight>, std::greater<>> flights_;
  std::uint64_t order_ = 0;
};

}  // namespace discord::loopback
