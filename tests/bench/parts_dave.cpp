// Opening end-to-end encrypted frames beside the bare cipher on the same bytes, in turns, so that a
// busy machine disturbs both alike. `ratio` is the median over all turns.
#include "dave/frame_opener.hpp"

#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

using namespace discord;
using namespace discord::dave;

namespace {

constexpr std::size_t frames_in_turn = 500;
constexpr std::uint64_t user = 7;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

BaseSecret some_base() {
  std::array<std::uint8_t, 16> bytes;
  bytes.fill(0x42);
  return BaseSecret(bytes);
}

MediaKeysPtr some_keys() {
  auto epoch = std::make_shared<EpochKeys>();
  epoch->serial = 1;
  epoch->senders.push_back({user, some_base()});
  auto keys = std::make_shared<MediaKeys>();
  keys->active = true;
  keys->epochs.push_back({std::move(epoch), std::nullopt});
  return keys;
}

// One call of EVP for each step that AES-128-GCM has, with a context made once.
class BareCipher {
 public:
  explicit BareCipher(const MediaKey& key) : context_(EVP_CIPHER_CTX_new()) {
    EVP_CipherInit_ex(context_, EVP_aes_128_gcm(), nullptr, key.data(), nullptr, 0);
  }
  ~BareCipher() { EVP_CIPHER_CTX_free(context_); }
  BareCipher(const BareCipher&) = delete;
  BareCipher& operator=(const BareCipher&) = delete;

  bool open(const std::uint8_t* frame, std::size_t size, std::uint32_t nonce,
            std::uint8_t* out) noexcept {
    std::array<std::uint8_t, 12> iv{};
    for (std::size_t i = 0; i < 4; ++i) {
      iv[8 + i] = static_cast<std::uint8_t>(nonce >> (8 * i));
    }
    int written = 0;
    EVP_CipherInit_ex(context_, nullptr, nullptr, nullptr, iv.data(), 0);
    EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, frame_tag_size,
                        const_cast<std::uint8_t*>(frame + size));
    EVP_CipherUpdate(context_, out, &written, frame, static_cast<int>(size));
    return EVP_CipherFinal_ex(context_, out + size, &written) == 1;
  }

 private:
  EVP_CIPHER_CTX* context_;
};

// Argument: bytes of Opus in a frame.
void frame_open(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const Bytes plain(size, 0x5A);
  const Time now = time_from_ns(1'000'000'000);
  SendRatchet sender(some_base());
  FrameOpener opener;
  opener.use(some_keys(), now);
  BareCipher bare(KeyChain(some_base()).take());

  std::vector<Bytes> frames(frames_in_turn, Bytes(size + frame_max_audio_footer));
  std::vector<MutableByteSpan> sealed(frames_in_turn);
  Bytes out(size + 32);
  std::vector<double> ratios, opens;
  std::uint32_t nonce = 1;
  bool all_good = true;
  for (auto _ : state) {
    for (std::size_t i = 0; i < frames_in_turn; ++i) {
      sealed[i] = *sender.seal(plain, {}, frames[i]);
    }
    const auto begin_bare = Clock::now();
    for (std::size_t i = 0; i < frames_in_turn; ++i) {
      all_good &= bare.open(sealed[i].data(), size, nonce++, out.data());
    }
    const double bare_time = seconds_since(begin_bare);
    const auto begin_open = Clock::now();
    for (std::size_t i = 0; i < frames_in_turn; ++i) {
      all_good &= opener.open(user, sealed[i], now).outcome == FrameOutcome::opened;
    }
    const double open_time = seconds_since(begin_open);
    state.SetIterationTime(open_time);
    ratios.push_back(open_time / bare_time);
    opens.push_back(open_time / frames_in_turn);
  }
  if (!all_good) {
    state.SkipWithError("a good frame was refused");
    return;
  }
  const auto median = [](std::vector<double>& values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
  };
  state.counters["ns/frame"] = median(opens) * 1e9;
  state.counters["ratio"] = median(ratios);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(frames_in_turn));
}
BENCHMARK(frame_open)->Arg(40)->Arg(100)->Arg(200)->Arg(400)->UseManualTime();

}  // namespace
