// What a worker does: takes records, runs a `media::Receiver`, and publishes what came of them.
#pragma once

#include "worker/protocol.hpp"
#include "worker/ring.hpp"

#include <memory>

namespace discord::worker {

// One for a worker's life. Between `configure` and the end it makes no system call but waiting on a
// futex and ringing the doorbell.
class Service final : private media::ReceiverSink {
 public:
  // The two mappings of worker/layout.hpp.
  Service(const std::uint8_t* input, std::uint8_t* output, int doorbell);
  ~Service() override;

  // Waits for the settings and makes everything that will be needed. False when the first record is
  // something else.
  bool configure();
  void say_hello(std::uint32_t missing_parts);
  // Until told to leave (true), or the parent writes nonsense (false).
  bool run();

 private:
  // What a crash makes to be done again: more where there is a backlog, as each batch costs
  // checkpoints, and the parent a wake-up.
  static constexpr unsigned batch_inputs = 64;

  bool apply(const Record& record);
  bool add_epoch(const BeginEpoch& epoch);
  bool add_senders(const AddSenders& senders);
  bool use_epochs(const UseEpochs& use);
  void ask_for_recovery(Time now);
  void end_batch();
  void publish();
  void sleep_until_news();
  MutableByteSpan room_for(std::uint32_t type, std::size_t size);
  template <class T> void write(const T& value);

  void frame(const media::DecodedFrame& frame) override;
  void speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) override;
  void rtcp(ByteSpan compound, Time arrival) override;
  void working_on(std::uint64_t id) override;
  void boundary() override;

  const std::uint8_t* input_;
  const InputHeader& in_;
  OutputHeader& out_;
  int doorbell_;
  RingReader reader_;
  RingWriter writer_;
  Sleeper sleeper_;
  std::unique_ptr<media::Receiver> receiver_;
  std::vector<std::shared_ptr<dave::EpochKeys>> epochs_;  // in use, or being told
  std::uint64_t inputs_ = 0;
  unsigned in_batch_ = 0;
  std::uint32_t rung_for_ = 0;  // the dispatcher's nap we have rung for
  bool leaving_ = false;
};

}  // namespace discord::worker
