// gst-discord-worker: decrypts and decodes for one session, and can do nothing else. Started by
// worker/process.cpp with three descriptors (worker/layout.hpp) and two numbers: the parent's pid
// and the uid to become when root. Links neither GLib nor GStreamer.
#include "worker/sandbox.hpp"
#include "worker/service.hpp"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace {

// A heap grown once: later allocations come out of it, because behind the filter no memory can be
// asked of the kernel. Pages that are never touched cost nothing.
void grow_heap(std::size_t channels) {
  std::size_t heap = (std::size_t{100} + 60 * channels) << 20;
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  // The volatile keeps the compiler from seeing that nothing is done with it.
  void* volatile all = std::malloc(heap);
  for (; all == nullptr && heap > 1; heap /= 2) {
    all = std::malloc(heap / 2);
  }
  std::free(all);
}

bool number(const char* text, long& out) {
  char* end = nullptr;
  out = std::strtol(text, &end, 10);
  return end != text && *end == '\0' && out >= 0;
}

// A batch each, so that a busy session delays the others by no more than that.
int take_turns(const std::vector<std::unique_ptr<discord::worker::Service>>& services,
               const discord::worker::InputHeader& in, discord::worker::OutputHeader& out) {
  discord::worker::Sleeper sleeper(out.asleep, in.wake);
  for (;;) {
    bool done = false;
    for (const auto& service : services) {
      done = service->step() || done;
      if (service->broken() || service->leaving()) {
        return service->broken() ? 2 : 0;
      }
    }
    if (!done) {
      sleeper.sleep([&] {
        return std::any_of(services.begin(), services.end(),
                           [](const auto& service) { return service->news(); });
      });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace discord::worker;
  long parent = 0;
  long uid = 0;
  long channels = 1;
  if ((argc != 3 && argc != 4) || !number(argv[1], parent) || !number(argv[2], uid) ||
      (argc == 4 && (!number(argv[3], channels) || channels < 1 ||
                     channels > static_cast<long>(max_channels)))) {
    std::fputs("gst-discord-worker is started by discordworkerdec and does nothing by itself.\n",
               stderr);
    return 2;
  }
  SandboxParts missing = 0;
  const auto count = static_cast<std::size_t>(channels);
  if (!settle(static_cast<pid_t>(parent), static_cast<uid_t>(uid), leash_fd_of(count), missing)) {
    return 0;
  }
  grow_heap(count);
  std::vector<std::unique_ptr<Service>> services;
  const InputHeader* first_in = nullptr;
  OutputHeader* first_out = nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    void* input = mmap(nullptr, input_size, PROT_READ, MAP_SHARED, input_fd_of(i), 0);
    void* output =
        mmap(nullptr, output_size, PROT_READ | PROT_WRITE, MAP_SHARED, output_fd_of(i), 0);
    if (input == MAP_FAILED || output == MAP_FAILED) {
      return 2;
    }
    madvise(static_cast<std::uint8_t*>(input) + secrets_offset, page_size, MADV_DONTDUMP);
    services.push_back(std::make_unique<Service>(static_cast<const std::uint8_t*>(input),
                                                 static_cast<std::uint8_t*>(output), doorbell_fd,
                                                 first_in, first_out));
    if (i == 0) {
      first_in = static_cast<const InputHeader*>(input);
      first_out = static_cast<OutputHeader*>(output);
    }
  }
  // A worker of one session makes what it needs before it is locked up; in a shared one sessions
  // come and go, and have the heap.
  if (count == 1) {
    if (!services[0]->configure()) {
      return 2;
    }
  } else {
    warm_up_libraries();
  }
  missing |= lock_down(doorbell_fd);
  services[0]->say_hello(missing);
  _exit(count == 1 ? services[0]->run() ? 0 : 2 : take_turns(services, *first_in, *first_out));
}
