#include "limit.hpp"

#include <openssl/evp.h>
#include <opus/opus.h>
#include <sodium.h>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>

namespace discord::bench {

namespace {

constexpr std::size_t clear = 12;  // these packets have neither CSRC nor extension
constexpr std::size_t tag = 16;
constexpr std::size_t counter = 4;

[[noreturn]] void refuse() {
  std::fputs("the limit could not open its own packets\n", stderr);
  std::abort();
}

}  // namespace

struct BareOpener::Context {
  EVP_CIPHER_CTX* evp = EVP_CIPHER_CTX_new();
  std::array<std::uint8_t, 32> key;
  Context() {
    const transport::Key secret = corpus::some_key();
    std::memcpy(key.data(), secret.view().data(), key.size());
    EVP_DecryptInit_ex(evp, EVP_aes_256_gcm(), nullptr, key.data(), nullptr);
  }
  ~Context() { EVP_CIPHER_CTX_free(evp); }
};

BareOpener::BareOpener(transport::Mode mode) : mode_(mode), context_(new Context) {}
BareOpener::~BareOpener() = default;

std::size_t BareOpener::open(const Bytes& in, std::uint8_t* out) {
  Context& context = *context_;
  const std::size_t size = in.size() - clear - tag - counter;
  std::array<std::uint8_t, 24> nonce{};
  std::memcpy(nonce.data(), in.data() + in.size() - counter, counter);
  if (mode_ == transport::Mode::aead_aes256_gcm_rtpsize) {
    int n = 0;
    auto* expected = const_cast<std::uint8_t*>(in.data() + clear + size);
    if (EVP_DecryptInit_ex(context.evp, nullptr, nullptr, nullptr, nonce.data()) != 1 ||
        EVP_DecryptUpdate(context.evp, nullptr, &n, in.data(), clear) != 1 ||
        EVP_DecryptUpdate(context.evp, out, &n, in.data() + clear, static_cast<int>(size)) != 1 ||
        EVP_CIPHER_CTX_ctrl(context.evp, EVP_CTRL_GCM_SET_TAG, tag, expected) != 1 ||
        EVP_DecryptFinal_ex(context.evp, out + n, &n) != 1) {
      refuse();
    }
  } else if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, nullptr, nullptr, in.data() + clear,
                                                        size + tag, in.data(), clear, nonce.data(),
                                                        context.key.data()) != 0) {
    refuse();
  }
  return size;
}

std::uint64_t run_limit(const std::vector<corpus::Datagram>& datagrams, transport::Mode mode) {
  struct Free {
    void operator()(OpusDecoder* d) const { opus_decoder_destroy(d); }
  };
  BareOpener opener(mode);
  std::unordered_map<std::uint32_t, std::unique_ptr<OpusDecoder, Free>> decoders;
  std::array<std::uint8_t, 2048> opus;
  std::array<opus_int16, 2 * 5760> pcm;
  std::uint64_t samples = 0;
  for (const corpus::Datagram& d : datagrams) {
    const std::size_t size = opener.open(d.bytes, opus.data());
    auto& decoder = decoders[d.ssrc];
    if (!decoder) {
      int error = 0;
      decoder.reset(opus_decoder_create(48000, 2, &error));
    }
    const int got =
        opus_decode(decoder.get(), opus.data(), static_cast<int>(size), pcm.data(), 5760, 0);
    samples += static_cast<std::uint64_t>(std::max(got, 0));
  }
  return samples;
}

}  // namespace discord::bench
