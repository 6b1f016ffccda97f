// A person who talks: turns sound into the schedule of RTP packets an official client would send.
#pragma once

#include "pcm.hpp"
#include "random.hpp"

#include "base/bytes.hpp"
#include "base/time.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

struct OpusEncoder;

namespace discord::loopback {

inline constexpr std::uint8_t audio_payload_type = 120;

// Bits of the speaker element (extension id 9) and of opcode 5 differ; these are opcode 5's.
inline constexpr int speaking_microphone = 1;
inline constexpr int speaking_soundshare = 2;
inline constexpr int speaking_priority = 4;

// One stretch of talk. `start` counts from the beginning of the call's media.
struct Spurt {
  PcmPtr pcm;
  Duration start{0};
  std::size_t first_frame = 0;  // where in `pcm` it begins
  std::size_t frames = 0;       // how much of it; 0 = to its end
};

enum class TimestampHabit {
  advance,  // native clients: the timestamp jumps by the length of a pause
  freeze,   // most bots: the timestamp goes on as if there had been no pause
};

enum class Channels { mono, stereo, alternate };

struct SpeakerOptions {
  std::uint64_t user_id = 0;
  std::string name;
  std::uint32_t ssrc = 0;
  bool bot = false;           // as the main gateway says of the user
  std::vector<Spurt> spurts;  // in order of start; one that would overlap its predecessor waits
  Duration repeat{0};         // when > 0 the list starts again every `repeat`

  Channels channels = Channels::mono;
  std::vector<int> frame_ticks = {960};  // 120 240 480 960 1920 2880, used in turn
  int bitrate = 40000;                   // bit/s; 40 kbit/s in VOIP mode gives hybrid full-band
  int complexity = 5;                    // 0 to 10
  bool fec = false;
  double expected_loss = 0;  // percent, told to the encoder; in-band FEC needs > 0

  TimestampHabit timestamps = TimestampHabit::advance;
  std::optional<std::uint16_t> first_sequence;   // random when absent
  std::optional<std::uint32_t> first_timestamp;  // random when absent
  bool extension = true;                         // audio level and speaker flag on speech packets
  double padding = 8;                            // percent of speech packets with RTP padding
  int silence_frames = 5;                        // F8 FF FE at the end of a spurt
  double fewer_silence = 10;                     // percent of spurts that end with fewer
  Duration dtx_tail{0};   // silence through the encoder's DTX before the spurt ends
  int padding_burst = 0;  // packets of pure padding after a spurt, 2 ms apart
  int flags = speaking_microphone;
};

// How a payload travels in an end-to-end encrypted call.
enum class Protection {
  none,         // the call is not end-to-end encrypted, or there is no payload
  sealed,       // for the members of an epoch
  silence,      // F8 FF FE, which always goes as it is
  passthrough,  // speech that should be encrypted and is not: to be refused
  forged,       // looks encrypted, but nobody can open it
  replayed,     // was sent before
  unsent,       // not sent at all, for want of a key
};

// What the packet carries besides its clear header. Kept apart so that the payload can be
// encrypted end to end before the packet is sealed.
struct Packet {
  enum class Kind { speech, dtx, silence, padding, hostile };

  Kind kind = Kind::speech;
  Duration due{0};  // since the speaker's zero
  std::uint32_t ssrc = 0;
  std::uint16_t sequence = 0;
  std::uint32_t timestamp = 0;
  int ticks = 0;              // duration of the payload in samples at 48 kHz
  std::size_t spurt = 0;      // counts every spurt begun, repeats included
  std::size_t pcm_frame = 0;  // first frame of the source that it encodes
  bool first_of_spurt = false;

  bool has_extension = false;
  std::uint8_t level = 127;       // -dBov, RFC 6464 section 3
  std::uint8_t speaker_flag = 0;  // Discord's extension element 9
  Bytes payload;                  // Opus
  std::uint8_t padding = 0;       // count byte included
  Protection protection = Protection::none;
  std::uint64_t group = 0;  // `sealed`: in which group and epoch
  std::uint64_t epoch = 0;
};

// -dBov of a packet's samples (0 loud, 127 silent), as RFC 6464 section 3 defines it.
std::uint8_t audio_level(std::span<const std::int16_t> samples) noexcept;

// Sans-I/O and deterministic: the same options and seed give the same packets.
class Speaker {
 public:
  // Throws std::invalid_argument when the options cannot be played (frame sizes, empty PCM).
  Speaker(SpeakerOptions options, std::uint64_t seed);
  ~Speaker();
  Speaker(Speaker&&) noexcept;
  Speaker& operator=(Speaker&&) noexcept;

  const SpeakerOptions& options() const noexcept { return options_; }
  std::uint32_t ssrc() const noexcept { return options_.ssrc; }

  // The next packet in order of `due`, or nothing when the last spurt is over.
  std::optional<Packet> next();

  // Leaves and comes back: a new SSRC, new random start values, and the first spurt that begins
  // at `at` or later.
  void rejoin(std::uint32_t ssrc, Duration at);

  // The spurt a packet's `spurt` number stands for.
  const Spurt& spurt_source(std::size_t number) const;

 private:
  enum class Phase { idle, speech, tail, silence, padding };

  void randomize_start(bool first);
  bool begin_spurt();
  Packet make(Packet::Kind kind, int ticks);
  Packet speech(bool tail);
  Packet silence();
  Packet pure_padding();

  SpeakerOptions options_;
  Random random_;
  std::unique_ptr<OpusEncoder, void (*)(OpusEncoder*)> encoder_;

  Phase phase_ = Phase::idle;
  std::size_t spurts_begun_ = 0;
  std::int64_t clock_ = 0;        // samples at 48 kHz since zero
  std::int64_t media_ticks_ = 0;  // what the timestamp of a freezing sender counts
  std::int64_t last_offset_ = 0;  // timestamp of the last media packet, without the start value
  std::uint16_t sequence_ = 0;
  std::uint32_t timestamp_base_ = 0;
  std::size_t position_ = 0;  // frames of the spurt already coded
  std::size_t length_ = 0;
  std::size_t tail_left_ = 0;
  int silence_left_ = 0;
  int padding_left_ = 0;
  std::size_t packets_ = 0;
  bool first_of_spurt_ = false;
  std::vector<std::int16_t> scratch_;
};

}  // namespace discord::loopback
