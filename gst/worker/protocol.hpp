// The records in the rings (worker/layout.hpp) and how they are read. Both sides are built
// together, so numbers are in the machine's own order.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "media/receiver.hpp"
#include "worker/layout.hpp"

#include <array>
#include <type_traits>
#include <variant>

namespace discord::worker {

enum class ProtocolError {
  unknown_type,
  bad_size,   // shorter or longer than its kind of record
  bad_value,  // something in it is outside its range
};

// To the worker. Times are nanoseconds.
struct Configure {
  std::uint64_t max_speakers = 0;  // 1-65536
  std::int64_t hold_time = 0;
  std::uint64_t hold_bytes_per_ssrc = 0;
  std::uint64_t hold_bytes_total = 0;
  std::uint64_t max_packet_bytes = 0;
  std::int64_t latency = 0;
  std::int64_t zero = 0;
  std::uint32_t audio_payload_type = 120;
  std::uint32_t decode = 1;
};
struct SetKey {
  std::uint64_t generation = 0;
  std::int64_t now = 0;
  std::uint32_t mode = 0;
  std::uint32_t slot = 0;  // of the secrets page
};
// Keys of the end-to-end encryption come in pieces: an epoch, its senders, and then which epochs
// are in use. An epoch is sent once; `UseEpochs` forgets those it does not name.
struct BeginEpoch {
  std::uint64_t serial = 0;  // not 0
  std::int64_t made = 0;
};
inline constexpr std::size_t senders_per_record = 4;  // as many base secrets fit into a slot
struct AddSenders {
  std::uint64_t serial = 0;
  std::array<std::uint64_t, senders_per_record> users{};  // ascending; 0 = no more
  std::uint32_t slot = 0;                                 // of the secrets page
  std::uint32_t reserved = 0;
};
struct UseEpochs {
  std::int64_t now = 0;
  std::int64_t published = 0;  // the time now on the clock of the keys
  std::int64_t passthrough_until = 0;
  std::uint32_t known = 0;  // anything has been published at all
  std::uint32_t active = 0;
  std::uint32_t passthrough = 0;
  std::uint32_t reserved = 0;
  std::array<std::uint64_t, dave::max_media_epochs> serials{};  // newest first; 0 = no more
  std::array<std::int64_t, dave::max_media_epochs> expires{};
};
// What a predecessor has opened of a sender; times on the clock of the keys.
struct RestoreMark {
  std::uint64_t user_id = 0;
  std::uint64_t serial = 0;
  std::int64_t now = 0;  // not on that clock
  std::int64_t expires = 0;
  dave::ReplayWindow::State window;
};
struct ClearKey {
  std::uint64_t reserved = 0;
};
struct MapUser {
  std::uint64_t user_id = 0;
  std::int64_t now = 0;
  std::uint32_t ssrc = 0;
  std::uint32_t reserved = 0;
};
struct Retire {
  std::int64_t now = 0;
  std::uint32_t ssrc = 0;
  std::uint32_t reserved = 0;
};
struct ForgetAll {
  std::int64_t now = 0;
};
// As `media::Ingress` has them: what becomes of a user's packets; whether a packet needs a user.
struct Admit {
  std::uint64_t user_id = 0;
  std::int64_t now = 0;
  std::uint32_t admission = 0;
  std::uint32_t reserved = 0;
};
struct NeedUsers {
  std::int64_t now = 0;
  std::uint32_t needed = 0;
  std::uint32_t reserved = 0;
};
struct SetTimes {
  std::int64_t hold_time = 0;
  std::int64_t latency = 0;
};
struct Advance {
  std::int64_t now = 0;
};
// Answered by `Drained`.
struct Drain {
  std::int64_t now = 0;
};
struct Leave {
  std::uint64_t reserved = 0;
};
// Nobody is behind this pair of rings any more: keys and speakers are forgotten.
struct EndSession {
  std::uint64_t reserved = 0;
};
struct Restore {
  std::uint32_t ssrc = 0;
  std::uint32_t reserved = 0;
  std::int64_t now = 0;
  media::SpeakerCheckpoint checkpoint;
  media::SequenceHistory::Words history{};
};
struct WarmUpHead {
  std::uint32_t ssrc = 0;
  std::uint32_t reserved = 0;
};
struct DatagramHead {
  std::uint64_t id = 0;
  std::int64_t arrival = 0;
};
struct WarmUp : WarmUpHead {
  ByteSpan opus;
};
struct Datagram : DatagramHead {
  ByteSpan bytes;
};
using Input = std::variant<Configure, SetKey, ClearKey, MapUser, Retire, ForgetAll, Admit,
                           NeedUsers, BeginEpoch, AddSenders, UseEpochs, RestoreMark, SetTimes,
                           Advance, Drain, Leave, EndSession, Restore, WarmUp, Datagram>;
inline constexpr std::int64_t no_deadline = INT64_MAX;

// From the worker, all of it to be distrusted.
inline constexpr std::uint32_t sandbox_parts = 7;  // see sandbox.hpp
struct Hello {
  std::uint32_t version = 0;
  std::uint32_t missing = 0;  // parts of the sandbox that were forbidden
};
struct FrameHead {
  std::uint64_t id = 0;  // of the datagram it comes from or, for a concealed one, precedes
  std::uint64_t user_id = 0;
  std::int64_t sample = 0;
  std::uint64_t sequence = 0;
  std::uint32_t ssrc = 0;
  std::uint32_t samples = 0;
  std::uint32_t timestamp = 0;
  std::uint32_t pcm_samples = 0;  // `samples`, or 0 when nothing is decoded
  std::uint8_t kind = 0;
  std::uint8_t flags = 0;  // frame_discont, …
  std::uint8_t audio_level = 0;
  std::uint8_t speaking_flags = 0;
  std::uint32_t opus_size = 0;
  std::uint32_t lost_packets = 0;  // of a hole that is not concealed here
  std::uint32_t lost_each = 0;
};
inline constexpr std::uint8_t frame_discont = 1;
inline constexpr std::uint8_t frame_marker = 2;
inline constexpr std::uint8_t frame_resync = 4;
struct FrameOut : FrameHead {
  ByteSpan pcm;  // still in shared memory, as is `opus`
  ByteSpan opus;
};
struct SpeakingOut {
  std::uint64_t user_id = 0;
  std::int64_t when = 0;
  std::uint32_t ssrc = 0;
  std::uint32_t speaking = 0;
};
struct RtcpHead {
  std::int64_t arrival = 0;
};
struct RtcpOut : RtcpHead {
  ByteSpan compound;
};
struct FinishedOut {
  std::uint64_t id = 0;
  std::uint64_t authentic = 0;
  std::uint64_t epoch = 0;  // serial of what it was opened with end to end, 0 = nothing
  std::uint64_t counter = 0;
};
// The frames of this user cannot be opened any more.
struct UndecryptableOut {
  std::uint64_t user_id = 0;
};
// Figures of a speaker of whom nothing has left yet.
struct RowOut {
  std::uint64_t user_id = 0;
  std::uint32_t ssrc = 0;
  std::uint32_t reserved = 0;
  media::Ledger ledger;
};
struct CheckpointOut {
  std::uint32_t ssrc = 0;
  std::uint32_t reserved = 0;
  media::SpeakerCheckpoint checkpoint;
};
// Ends what was published together.
struct BatchOut {
  std::uint64_t inputs = 0;   // records read so far
  std::int64_t deadline = 0;  // next; `no_deadline` = none
  media::Ledger ledger;       // of the worker's life
};
struct Drained {
  std::uint64_t reserved = 0;
};
using Output = std::variant<Hello, FrameOut, SpeakingOut, RtcpOut, FinishedOut, CheckpointOut,
                            RowOut, UndecryptableOut, BatchOut, Drained>;

inline constexpr std::size_t max_datagram = media::PacketStore::max_packet;

// The number of a kind of record on the ring: its place in the variant, from 1.
template <class Variant, class T, std::size_t I = 0> constexpr std::uint32_t type_of() {
  if constexpr (std::is_same_v<std::variant_alternative_t<I, Variant>, T>) {
    return I + 1;
  } else {
    return type_of<Variant, T, I + 1>();
  }
}

// Fixed parts are copied out of the shared memory before they are checked; spans stay in it.
Result<Input, ProtocolError> parse_input(std::uint32_t type, ByteSpan body) noexcept;
Result<Output, ProtocolError> parse_output(std::uint32_t type, ByteSpan body) noexcept;

// A copy of the bytes of a record's fixed part.
template <class T> ByteSpan bytes_of(const T& value) noexcept {
  static_assert(std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>,
                "padding would carry memory of this process to the other");
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

}  // namespace discord::worker
