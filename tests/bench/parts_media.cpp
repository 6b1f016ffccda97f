// The stages between datagram and sound, one at a time.
#include "corpus.hpp"

#include "media/ingress.hpp"
#include "media/opus_decoder.hpp"
#include "media/packet_store.hpp"
#include "media/reorder_queue.hpp"
#include "media/timeline.hpp"
#include "rtp/classify.hpp"
#include "worker/ring.hpp"

#include <benchmark/benchmark.h>
#include <cstring>
#include <memory>

using namespace discord;
using namespace std::chrono_literals;

namespace {

const std::vector<corpus::Talk>& talks() {
  static const auto made = corpus::wide_band(1, 200);
  return made;
}

void open_packet(benchmark::State& state) {
  const auto mode = static_cast<transport::Mode>(state.range(0));
  const auto datagrams = corpus::call(talks(), 1, 200, mode, corpus::some_key());
  transport::Cipher cipher(mode, corpus::some_key());
  Bytes copy;
  std::size_t i = 0;
  for (auto _ : state) {
    const Bytes& in = datagrams[i++ % datagrams.size()].bytes;
    copy.assign(in.begin(), in.end());
    benchmark::DoNotOptimize(cipher.open_rtp(copy));
  }
  state.SetLabel(std::string(transport::to_string(mode)));
}
BENCHMARK(open_packet)
    ->Arg(static_cast<int>(transport::Mode::aead_aes256_gcm_rtpsize))
    ->Arg(static_cast<int>(transport::Mode::aead_xchacha20_poly1305_rtpsize));

void classify(benchmark::State& state) {
  const auto mode = transport::Mode::aead_aes256_gcm_rtpsize;
  const auto datagrams = corpus::call(talks(), 1, 1, mode, corpus::some_key());
  const auto limits = transport::limits_for(mode);
  for (auto _ : state) {
    benchmark::DoNotOptimize(rtp::classify(datagrams[0].bytes, limits));
  }
}
BENCHMARK(classify);

void reorder_in_order(benchmark::State& state) {
  media::ReorderQueue<int> queue(100ms);
  std::uint64_t sequence = 1000;
  Time now = time_from_ns(1);
  for (auto _ : state) {
    queue.push(1, sequence++, now);
    benchmark::DoNotOptimize(queue.pop(now));
    benchmark::DoNotOptimize(queue.pop(now));
    now += 20ms;
  }
}
BENCHMARK(reorder_in_order);

void place_on_timeline(benchmark::State& state) {
  media::Timeline timeline(Time{});
  media::TimelineFrame frame;
  frame.duration = 960;
  frame.timestamp = 48000;
  frame.arrival = time_from_ns(1000000000);
  for (auto _ : state) {
    benchmark::DoNotOptimize(timeline.place(frame));
    frame.timestamp += 960;
    frame.arrival += 20ms;
  }
}
BENCHMARK(place_on_timeline);

void decode_celt(benchmark::State& state) {
  alignas(media::SpeakerDecoder::slot_alignment) static std::uint8_t slot[64 * 1024];
  media::SpeakerDecoder decoder(slot);
  std::vector<std::int16_t> pcm(2 * 5760);
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(decoder.decode(talks()[0][i++ % talks()[0].size()], pcm));
  }
}
BENCHMARK(decode_celt);

// A record of that many bytes written, published, read and given back, by one thread.
void ring_record(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  std::vector<std::uint64_t> memory((1 << 20) / 8);
  auto* data = reinterpret_cast<std::uint8_t*>(memory.data());
  std::atomic<std::uint64_t> head{0}, tail{0};
  worker::RingWriter writer(data, 1 << 20, head, tail);
  worker::RingReader reader(data, 1 << 20, head, tail);
  const Bytes body(size, 1);
  for (auto _ : state) {
    std::memcpy(writer.reserve(1, size).data(), body.data(), size);
    writer.publish();
    benchmark::DoNotOptimize(reader.peek());
    reader.pop();
    reader.release();
  }
}
BENCHMARK(ring_record)->Arg(208)->Arg(3856);

}  // namespace
