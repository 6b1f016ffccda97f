// A worker that misbehaves, for tests: which way is the uid it is told. Where it is honest it is
// the real thing without the sandbox, with a decoder that dies of a certain packet.
#include "worker/sandbox.hpp"
#include "worker/service.hpp"

#include <dlfcn.h>
#include <opus/opus.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <string>

#include "hostile_worker.hpp"

using namespace discord;
using namespace discord::worker;

namespace {

Misbehaviour how = Misbehaviour::none;

// Until there is no more; `new` throws then, which ends a program that catches nothing.
[[noreturn]] void eat() {
  for (;;) {
    constexpr std::size_t bite = std::size_t{1} << 20;
    auto* volatile memory = new std::uint8_t[bite];
    std::memset(memory, 1, bite);
  }
}

void limit_memory() {
  const rlimit limit{std::size_t{600} << 20, std::size_t{600} << 20};
  setrlimit(RLIMIT_AS, &limit);
}

void enter_group() {
  for (const std::string group : oom_groups) {
    for (const char* file : {"/tasks", "/cgroup.procs"}) {
      if (std::ofstream out(group + file); out && (out << getpid()).flush()) {
        return;
      }
    }
  }
}

}  // namespace

// In front of the library's own.
extern "C" __attribute__((visibility("default"))) int opus_decode(OpusDecoder* st,
                                                                  const unsigned char* data,
                                                                  opus_int32 len, opus_int16* pcm,
                                                                  int frame_size, int decode_fec) {
  static const auto real =
      reinterpret_cast<decltype(&opus_decode)>(dlsym(RTLD_NEXT, "opus_decode"));
  static std::set<const void*> used;
  const bool fresh = used.insert(st).second;
  if (data != nullptr && len >= 7 && fresh && std::memcmp(data + len - 6, "FRESH!", 6) == 0) {
    raise(SIGSEGV);  // only when nothing was decoded before
  }
  if (data != nullptr && len >= 7 && std::memcmp(data + len - 6, "POISON", 6) == 0) {
    while (how == Misbehaviour::hangs_on_poison) {
    }
    if (how == Misbehaviour::eats_on_poison || how == Misbehaviour::oom_on_poison) {
      eat();
    }
    raise(SIGSEGV);
  }
  return real(st, data, len, pcm, frame_size, decode_fec);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGSEGV, SIG_DFL);
  signal(SIGABRT, SIG_DFL);
  how = static_cast<Misbehaviour>(std::atoi(argv[2]));
  auto* input =
      static_cast<std::uint8_t*>(mmap(nullptr, input_size, PROT_READ, MAP_SHARED, input_fd, 0));
  auto* output = static_cast<std::uint8_t*>(
      mmap(nullptr, output_size, PROT_READ | PROT_WRITE, MAP_SHARED, output_fd, 0));
  auto& in = *reinterpret_cast<InputHeader*>(input);
  auto& out = *reinterpret_cast<OutputHeader*>(output);
  RingReader reader(input + input_ring_offset, ring_size, in.head, out.input_tail);
  RingWriter writer(output + output_ring_offset, ring_size, out.head, in.output_tail);
  Sleeper sleeper(out.asleep, in.wake);
  const auto ring_bell = [] {
    const std::uint64_t one = 1;
    if (write(doorbell_fd, &one, sizeof one) < 0) {
      _exit(1);
    }
  };
  const auto send = [&](std::uint32_t type, ByteSpan body) {
    const MutableByteSpan to = writer.reserve(type, body.size());
    std::copy(body.begin(), body.end(), to.begin());
    writer.publish();
    ring_bell();
  };
  if (how <= Misbehaviour::oom_on_poison) {
    if (how == Misbehaviour::eats_on_poison) {
      limit_memory();
    } else if (how == Misbehaviour::oom_on_poison) {
      enter_group();
    }
    Service service(input, output, doorbell_fd);
    if (service.configure()) {
      service.say_hello(0);
      service.run();
    }
    return 0;
  }
  if (how == Misbehaviour::exits) {
    return 0;
  }
  for (;;) {
    const auto record = reader.peek();
    if (!record) {
      sleeper.sleep([&] { return reader.news(); });
      continue;
    }
    const auto parsed = parse_input(record->type, record->body);
    const auto* d = parsed ? std::get_if<Datagram>(&parsed.value()) : nullptr;
    reader.pop();
    if (how != Misbehaviour::answers_nothing) {
      reader.release();
    }
    if (d == nullptr) {
      continue;
    }
    out.working_on = d->id;
    FrameHead frame;
    frame.id = d->id;
    frame.ssrc = load_be32(d->bytes.data() + 8);
    frame.timestamp = load_be32(d->bytes.data() + 4);
    frame.sequence = load_be16(d->bytes.data() + 2);
    frame.samples = frame.pcm_samples = 960;
    frame.opus_size = 3;
    Bytes body(sizeof frame + 960 * 4 + 3);
    switch (how) {
      case Misbehaviour::garbage: {
        Bytes noise(100, 0xAB);
        send(0xDEADBEEF, noise);
        break;
      }
      case Misbehaviour::oversize:
        out.head = out.head + (std::uint64_t{1} << 40);
        send(1, body);
        break;
      case Misbehaviour::wrong_ssrc:
        frame.ssrc ^= 1;
        break;
      case Misbehaviour::wrong_id:
        frame.id += 1000;
        break;
      case Misbehaviour::wrong_user:
        frame.user_id = 4711;
        break;
      case Misbehaviour::far_future:
        frame.sample = std::int64_t{1} << 50;
        break;
      case Misbehaviour::babbles:
        for (int i = 0; i < 100; ++i) {
          frame.sample = i * 960;
          std::memcpy(body.data(), &frame, sizeof frame);
          send(type_of<Output, FrameOut>(), body);
        }
        break;
      case Misbehaviour::finishes_twice:
        send(type_of<Output, FinishedOut>(), bytes_of(FinishedOut{d->id, 1, 0, 0}));
        send(type_of<Output, FinishedOut>(), bytes_of(FinishedOut{d->id, 1, 0, 0}));
        break;
      case Misbehaviour::impossible_counter:
        send(type_of<Output, FinishedOut>(),
             bytes_of(FinishedOut{d->id, 1, 1, std::uint64_t{1} << 40}));
        break;
      case Misbehaviour::lying_row: {
        RowOut row;
        row.ssrc = frame.ssrc;
        row.ledger.received = row.ledger.played = 1000000;
        send(type_of<Output, RowOut>(), bytes_of(row));
        break;
      }
      case Misbehaviour::stranger_cannot_be_opened:
        send(type_of<Output, UndecryptableOut>(), bytes_of(UndecryptableOut{4711}));
        break;
      case Misbehaviour::bad_ledger: {
        BatchOut batch;
        batch.inputs = 1;
        batch.deadline = no_deadline;
        batch.ledger.received = 5;
        send(type_of<Output, BatchOut>(), bytes_of(batch));
        break;
      }
      case Misbehaviour::shrinks_memory:
        // Sealed: a parent that reads on must not die of it.
        if (ftruncate(output_fd, 0) == 0 || ftruncate(input_fd, 0) == 0 ||
            mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, input_fd, 0) !=
                MAP_FAILED) {
          _exit(77);
        }
        raise(SIGABRT);
        break;
      case Misbehaviour::scribbles: {
        std::mt19937 random(static_cast<std::uint32_t>(getpid()));
        for (std::size_t i = 0; i < output_size; ++i) {
          output[i] = static_cast<std::uint8_t>(random());
        }
        ring_bell();
        break;
      }
      case Misbehaviour::bad_tail:
        out.input_tail = out.input_tail + (std::uint64_t{1} << 40);
        ring_bell();
        break;
      default:
        break;
    }
    if (how == Misbehaviour::wrong_ssrc || how == Misbehaviour::wrong_id ||
        how == Misbehaviour::wrong_user || how == Misbehaviour::far_future) {
      std::memcpy(body.data(), &frame, sizeof frame);
      send(type_of<Output, FrameOut>(), body);
    }
  }
}
