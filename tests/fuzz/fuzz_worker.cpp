// What one side of the rings may find there: a ring, its positions and its records made of the
// input, read as the parent and as the worker would.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "worker/protocol.hpp"
#include "worker/ring.hpp"

using namespace discord;
using namespace discord::worker;

namespace {

void require(bool condition, int line = __builtin_LINE()) {
  if (!condition) {
    std::fprintf(stderr, "line %d: not so\n", line);
    std::abort();
  }
}

bool inside(ByteSpan part, ByteSpan whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check(std::uint32_t type, ByteSpan body) {
  if (const auto output = parse_output(type, body)) {
    if (const auto* f = std::get_if<FrameOut>(&output.value())) {
      require(inside(f->pcm, body) && inside(f->opus, body));
      require(f->samples >= 1 && f->samples <= media::opus_max_duration);
      require(f->pcm.empty() || f->pcm.size() == f->samples * 4);
    } else if (const auto* r = std::get_if<RtcpOut>(&output.value())) {
      require(!r->compound.empty() && inside(r->compound, body));
    } else if (const auto* c = std::get_if<CheckpointOut>(&output.value())) {
      // Numbers from nowhere: refused, or a timeline that works.
      media::Timeline timeline;
      if (timeline.restore(c->checkpoint.timeline)) {
        media::TimelineFrame frame;
        for (int i = 0; i < 3; ++i) {
          frame.timestamp += 960;
          frame.arrival += std::chrono::milliseconds(20);
          const std::int64_t before = timeline.position();
          require(timeline.place(frame).sample >= before);
        }
      }
    }
  }
  if (const auto input = parse_input(type, body)) {
    if (const auto* d = std::get_if<Datagram>(&input.value())) {
      require(inside(d->bytes, body) && d->bytes.size() <= max_datagram);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) {
    return 0;
  }
  const ByteSpan input(data, size);
  check(input[0], input.subspan(1));  // straight

  constexpr std::size_t capacity = 8192;
  alignas(8) static std::uint8_t ring[capacity];
  std::fill(std::begin(ring), std::end(ring), std::uint8_t{0});
  const std::size_t used = std::min(size - 1, capacity);
  std::memcpy(ring, data + 1, used);
  std::atomic<std::uint64_t> head{std::uint64_t{input[0]} * 8 + (used & ~std::size_t{7})};
  std::atomic<std::uint64_t> tail{0};
  RingReader reader(ring, capacity, head, tail);
  const ByteSpan whole(ring, capacity);
  for (int records = 0; records < 2000; ++records) {
    const auto record = reader.peek();
    if (!record) {
      break;
    }
    require(inside(record->body, whole) && !record->body.empty());
    check(record->type, record->body);
    reader.pop();
    reader.release();
  }
  require(tail <= head || !reader.sane());
  return 0;
}
