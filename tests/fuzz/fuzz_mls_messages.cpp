// Encodings: what parses must be written back as it was.
#include "mls/types.hpp"

#include <algorithm>
#include <cstdlib>

using namespace discord;
using namespace discord::mls;

namespace {

template <class T> void check(const Result<T, Error>& parsed, ByteSpan bytes) {
  if (parsed.ok()) {
    const Bytes again = encode(*parsed);
    if (!std::equal(bytes.begin(), bytes.end(), again.begin(), again.end())) {
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const ByteSpan bytes(data + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      check(parse_key_package(bytes), bytes);
      break;
    case 1:
      check(parse_commit(bytes), bytes);
      break;
    case 2:
      check(parse_welcome(bytes), bytes);
      break;
    case 3:
      check(parse_group_info(bytes), bytes);
      break;
    case 4:
      check(parse_group_secrets(bytes), bytes);
      break;
    case 5:
      check(parse_external_sender(bytes), bytes);
      break;
    case 6:
      if (const auto senders = parse_external_senders(bytes)) {
        if (make_external_senders(*senders).data != Bytes(bytes.begin(), bytes.end())) {
          std::abort();
        }
      }
      break;
    default:
      if (const auto message = parse_public_message(bytes)) {
        if (message->framed_content.empty()) {
          std::abort();
        }
      }
  }
  return 0;
}
