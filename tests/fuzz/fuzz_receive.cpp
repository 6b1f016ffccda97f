// A member of the call who sends what it likes: packets chosen by the input, sealed with the right
// key, go through ingress, reorder queue and timeline, with users, time and keys changing between.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "media/ingress.hpp"
#include "media/opus_packet.hpp"
#include "media/reorder_queue.hpp"
#include "media/timeline.hpp"
#include "rtp/unwrap.hpp"

using namespace discord;
using namespace discord::media;

namespace {

using Handle = std::unique_ptr<Bytes>;

void require(bool condition, int line = __builtin_LINE()) {
  if (!condition) {
    std::fprintf(stderr, "line %d: not so\n", line);
    std::abort();
  }
}

struct Frame {
  AudioPacket packet;
  Handle handle;
};

struct Track {
  ReorderQueue<Frame> queue;
  Timeline timeline;
  rtp::TimestampUnwrapper unwrap;
  std::uint64_t lost = 0;
  std::int64_t end = 0;
  Time newest{};

  void poll(Time now) {
    for (;;) {
      auto out = queue.pop(now);
      require(queue.ledger().adds_up());
      if (auto* hole = std::get_if<ReorderQueue<Frame>::Lost>(&out)) {
        require(hole->count > 0);
        lost += hole->count;
      } else if (auto* packet = std::get_if<ReorderQueue<Frame>::Packet>(&out)) {
        place(*packet);
      } else {
        if (auto* wait = std::get_if<ReorderQueue<Frame>::Wait>(&out)) {
          require(wait->deadline > now);
        }
        return;
      }
    }
  }
  void place(const ReorderQueue<Frame>::Packet& packet) {
    const AudioPacket& audio = packet.item.packet;
    require(audio.offset + audio.size <= packet.item.handle->size());
    const auto opus =
        parse_opus_packet(ByteSpan(*packet.item.handle).subspan(audio.offset, audio.size));
    if (!opus) {
      ++lost;
      return;
    }
    TimelineFrame frame;
    frame.timestamp = unwrap.unwrap(audio.timestamp);
    frame.lost_packets = std::exchange(lost, 0);
    frame.arrival = audio.arrival;
    frame.duration = opus.value().duration;
    frame.silence = audio.silence;
    frame.resync = packet.resync;
    frame.quiet = audio.sequence % 2 == 0;
    const Placement placed = timeline.place(frame);
    const auto gap = static_cast<std::int64_t>(placed.lost_before + placed.pause_before);
    require(placed.sample == end + gap);
    require(placed.trim <= frame.duration);
    end = placed.sample + frame.duration - placed.trim;
    require(end == timeline.position());
    // Nobody can get further ahead of the clock than the rule says.
    newest = std::max(newest, frame.arrival);
    require(end <= samples_from_duration(newest - timeline.zero()) + 2 * Timeline::max_ahead);
  }
};

struct Sink {
  std::map<std::uint32_t, Track>& speakers;
  Time now{};

  void audio(const AudioPacket& packet, Handle&& handle) {
    speakers[packet.ssrc].queue.push(Frame{packet, std::move(handle)}, packet.sequence, now);
  }
  void padding(const AudioPacket& packet, Handle&&) {
    speakers[packet.ssrc].queue.skip(packet.sequence, now);
  }
  void rtcp(std::size_t offset, std::size_t size, Handle&& handle, Time) {
    require(offset + size <= handle->size());
  }
  void speaking(std::uint32_t, std::uint64_t, bool, Time at) { require(at <= now); }
};

Bytes seal(transport::Cipher& server, std::uint32_t counter, ByteReader& in) {
  rtp::PacketParts parts;
  const std::uint8_t shape = in.u8();
  parts.header.payload_type = (shape & 1) != 0 ? std::uint8_t{101} : std::uint8_t{120};
  parts.header.ssrc = in.u8() & 7u;
  parts.header.sequence = in.u16();
  parts.header.timestamp = in.u32();
  parts.has_extension = (shape & 2) != 0;
  parts.elements =
      parts.has_extension ? in.take(std::min<std::size_t>(4, in.remaining())) : ByteSpan{};
  parts.padding = (shape & 4) != 0 ? in.u8() : std::uint8_t{0};
  parts.payload = in.take(std::min<std::size_t>(shape >> 4, in.remaining()));
  Bytes out(server.sealed_size(parts));
  require(server.seal_rtp(parts, counter, out).ok());
  if ((shape & 8) != 0) {
    out[out.size() / 2] ^= 1;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr auto mode = transport::Mode::aead_aes256_gcm_rtpsize;
  static transport::Cipher server(mode, transport::Key());
  IngressConfig config;
  config.max_speakers = 4;
  config.hold = {std::chrono::seconds(2), 2000, 5000};
  Ingress<Handle> ingress(config);
  std::map<std::uint32_t, Track> speakers;
  Sink sink{speakers};
  ByteReader in(ByteSpan(data, size));
  std::uint32_t counter = 0;
  while (in.remaining() > 0) {
    const std::uint8_t what = in.u8();
    const std::uint8_t with = in.u8();
    switch (what % 12) {
      case 0:
        sink.now += std::chrono::milliseconds(with);
        break;
      case 1:
        sink.now += std::chrono::milliseconds(250 * with);
        ingress.on_timer(sink.now, sink);
        break;
      case 2:
        ingress.map_user(with & 7, with >> 3, sink.now, sink);
        break;
      case 3:
        ingress.retire(with & 7, sink.now, sink);
        break;
      case 4:
        ingress.set_e2ee((with & 1) != 0, sink);
        break;
      case 5:
        ingress.set_key(with & 3, mode, transport::Key(), sink.now, sink);
        break;
      case 6:
        if (with % 4 == 0) {
          ingress.clear_key();
        } else if (with % 4 == 1) {
          ingress.forget_all(sink.now, sink);
        } else if (auto it = speakers.find(with & 7); it != speakers.end()) {
          with % 4 == 2 ? it->second.queue.drain() : it->second.queue.flush();
        }
        break;
      case 7: {
        const ByteSpan raw = in.take(std::min<std::size_t>(with, in.remaining()));
        auto handle = std::make_unique<Bytes>(raw.begin(), raw.end());
        const MutableByteSpan span(*handle);
        ingress.push(span, std::move(handle), sink.now, sink);
        break;
      }
      default: {
        sink.now += std::chrono::milliseconds(with % 32);
        auto handle = std::make_unique<Bytes>(seal(server, counter++, in));
        const MutableByteSpan span(*handle);
        ingress.push(span, std::move(handle), sink.now, sink);
      }
    }
    Ledger all = ingress.ledger();
    require(all.adds_up());
    for (auto& [ssrc, speaker] : speakers) {
      speaker.poll(sink.now);
      require(speaker.queue.size() <= ReorderRules::max_queued + ReorderRules::max_candidates);
      all.then(speaker.queue.ledger());
    }
    require(all.received == ingress.ledger().received);
  }
  return 0;
}
