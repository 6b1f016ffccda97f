// gst-discord-worker: decrypts and decodes for one session, and can do nothing else. Started by
// worker/process.cpp with three descriptors (worker/layout.hpp) and two numbers: the parent's pid
// and the uid to become when root. Links neither GLib nor GStreamer.
#include "worker/sandbox.hpp"
#include "worker/service.hpp"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>

namespace {

// A heap grown once: later allocations come out of it, because behind the filter no memory can be
// asked of the kernel. Pages that are never touched cost nothing.
void grow_heap() {
  constexpr std::size_t heap = std::size_t{160} << 20;
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  // The volatile keeps the compiler from seeing that nothing is done with it.
  void* volatile all = std::malloc(heap);
  std::free(all);
}

bool number(const char* text, long& out) {
  char* end = nullptr;
  out = std::strtol(text, &end, 10);
  return end != text && *end == '\0' && out >= 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace discord::worker;
  long parent = 0;
  long uid = 0;
  if (argc != 3 || !number(argv[1], parent) || !number(argv[2], uid)) {
    std::fputs("gst-discord-worker is started by discordworkerdec and does nothing by itself.\n",
               stderr);
    return 2;
  }
  SandboxParts missing = 0;
  if (!settle(static_cast<pid_t>(parent), static_cast<uid_t>(uid), missing)) {
    return 0;
  }
  void* input = mmap(nullptr, input_size, PROT_READ, MAP_SHARED, input_fd, 0);
  void* output = mmap(nullptr, output_size, PROT_READ | PROT_WRITE, MAP_SHARED, output_fd, 0);
  if (input == MAP_FAILED || output == MAP_FAILED) {
    return 2;
  }
  madvise(static_cast<std::uint8_t*>(input) + secrets_offset, page_size, MADV_DONTDUMP);
  grow_heap();
  Service service(static_cast<const std::uint8_t*>(input), static_cast<std::uint8_t*>(output),
                  doorbell_fd);
  if (!service.configure()) {
    return 2;
  }
  missing |= lock_down(doorbell_fd);
  service.say_hello(missing);
  _exit(service.run() ? 0 : 2);
}
