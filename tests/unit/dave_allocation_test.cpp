// Opening a frame takes no memory: neither ours nor libcrypto's.
#include "dave_rig.hpp"

#include <openssl/crypto.h>

#include <cstdlib>
#include <new>

namespace {

thread_local std::size_t allocations = 0;

void* counted_malloc(std::size_t size, const char*, int) {
  ++allocations;
  return std::malloc(size);
}
void* counted_realloc(void* p, std::size_t size, const char*, int) {
  ++allocations;
  return std::realloc(p, size);
}
void counted_free(void* p, const char*, int) {
  std::free(p);
}
// Only possible before libcrypto has taken any memory.
const bool counting_libcrypto =
    CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) == 1;

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size != 0 ? size : 1)) {
    return p;
  }
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

using namespace discord;
using namespace discord::dave;

TEST(DaveAllocation, NoneForAFrameWhateverBecomesOfIt) {
  ASSERT_TRUE(counting_libcrypto);
  std::array<std::uint8_t, 16> bytes{};
  std::shared_ptr<EpochKeys> epochs[2];
  auto keys = std::make_shared<MediaKeys>();
  keys->active = true;
  for (std::uint8_t i = 0; i < 2; ++i) {
    auto& epoch = epochs[i] = std::make_shared<EpochKeys>();
    epoch->serial = 2 - i;
    for (std::uint8_t user = 1; user <= 20; ++user) {
      bytes[0] = user;
      bytes[1] = i;
      epoch->senders.push_back({user, BaseSecret(bytes)});
    }
    keys->epochs.push_back({epoch, std::nullopt});
  }
  const Time now = time_from_ns(1'000'000'000);
  FrameOpener opener;
  opener.use(keys, now);

  // Everybody has been heard once; from then on nothing is made any more.
  std::vector<SendRatchet> senders;
  for (const SenderKey& sender : epochs[1]->senders) {
    senders.emplace_back(sender.base);
  }
  std::array<std::uint8_t, 400> room;
  const auto sealed = [&](std::size_t user, std::size_t size) {
    const std::array<std::uint8_t, 300> plain{};
    return *senders[user - 1].seal(ByteSpan(plain).first(size), {}, room);
  };
  for (std::size_t user = 1; user <= 20; ++user) {
    ASSERT_EQ(opener.open(user, sealed(user, 300), now).outcome, FrameOutcome::opened);
  }
  std::array<std::size_t, frame_outcome_count> outcomes{};
  const std::size_t before = allocations;
  for (std::size_t i = 0; i < 1000; ++i) {
    const std::size_t user = 1 + i % 20;
    MutableByteSpan frame = sealed(user, 20 + i % 280);
    const std::array<std::uint8_t, 3> silence{0xF8, 0xFF, 0xFE};
    switch (i % 5) {
      case 1:
        frame[0] ^= 1;  // bad tag, tried with the keys of both epochs
        break;
      case 2:
        frame = frame.first(frame.size() - 1);  // not a frame
        break;
      case 3:
        std::copy(silence.begin(), silence.end(), frame.begin());
        frame = frame.first(3);
        break;
      default:
        break;
    }
    const FrameOutcome outcome = opener.open(i % 7 == 6 ? 99 : user, frame, now).outcome;
    ++outcomes[static_cast<std::size_t>(outcome)];
  }
  EXPECT_EQ(allocations, before);
  for (const FrameOutcome outcome :
       {FrameOutcome::opened, FrameOutcome::silence, FrameOutcome::no_key,
        FrameOutcome::not_a_frame, FrameOutcome::bad_tag}) {
    EXPECT_GT(outcomes[static_cast<std::size_t>(outcome)], 50u) << to_string(outcome);
  }
}
