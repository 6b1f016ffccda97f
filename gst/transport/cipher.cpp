#include "transport/cipher.hpp"

#include <openssl/evp.h>
#include <sodium.h>
#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <new>

namespace discord::transport {
namespace {

constexpr std::size_t max_nonce = 24;
using Nonce = std::array<std::uint8_t, max_nonce>;

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

// The key schedule is paid for here; a packet only sets its nonce.
Context make_gcm(const Key& key, int encrypt) {
  Context context(EVP_CIPHER_CTX_new());
  if (!context || EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nullptr,
                                    encrypt) != 1) {
    throw std::bad_alloc();
  }
  return context;
}

// The nonce bytes that travel come first, zeros fill the rest. They are copied as they are: byte
// order and counting are the sender's business.
Nonce make_nonce(ByteSpan bytes) noexcept {
  Nonce nonce{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), nonce.size()), nonce.begin());
  return nonce;
}

OpenError to_open_error(rtp::PacketError error) noexcept {
  switch (error) {
    case rtp::PacketError::too_short:
      return OpenError::too_short;
    case rtp::PacketError::bad_version:
      return OpenError::bad_version;
    case rtp::PacketError::bad_extension:
      return OpenError::bad_extension;
    case rtp::PacketError::bad_padding:
      break;
  }
  return OpenError::bad_padding;
}

// How many bytes of an RTP packet stay clear; nothing when they are not all there.
Result<std::size_t, OpenError> clear_size(const ModeTraits& mode, ByteSpan bytes) noexcept {
  if (bytes.size() < rtp::fixed_header_size) {
    return Failure{OpenError::too_short};
  }
  if (bytes[0] >> 6 != 2) {
    return Failure{OpenError::bad_version};
  }
  if (!mode.rtpsize) {
    return rtp::fixed_header_size;
  }
  const auto header = rtp::parse_header(bytes);
  if (!header || bytes.size() < rtp::header_size_with_preamble(*header)) {
    return Failure{OpenError::too_short};
  }
  return rtp::header_size_with_preamble(*header);
}

}  // namespace

const char* to_string(OpenError error) noexcept {
  switch (error) {
    case OpenError::too_short:
      return "too-short";
    case OpenError::bad_version:
      return "bad-version";
    case OpenError::bad_extension:
      return "bad-extension";
    case OpenError::not_authentic:
      return "not-authentic";
    case OpenError::bad_padding:
      break;
  }
  return "bad-padding";
}

// The algorithm under one key, with the same shape for all: associated data, text in place, tag.
class Cipher::Engine {
 public:
  Engine(Algorithm algorithm, const Key& key) : algorithm_(algorithm), key_(key) {
    if (algorithm == Algorithm::aes256_gcm) {
      decrypt_ = make_gcm(key, 0);
      encrypt_ = make_gcm(key, 1);
    }
  }

  bool open(const Nonce& nonce, ByteSpan aad, MutableByteSpan text,
            const std::uint8_t* tag) noexcept {
    std::uint8_t* data = text.data();
    switch (algorithm_) {
      case Algorithm::aes256_gcm:
        return open_gcm(nonce, aad, text, tag);
      case Algorithm::xchacha20_poly1305:
        return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(data, nullptr, data, text.size(),
                                                                   tag, aad.data(), aad.size(),
                                                                   nonce.data(), key_.data()) == 0;
      case Algorithm::xsalsa20_poly1305:
        return crypto_secretbox_open_detached(data, data, tag, text.size(), nonce.data(),
                                              key_.data()) == 0;
    }
    return false;
  }

  bool seal(const Nonce& nonce, ByteSpan aad, MutableByteSpan text, std::uint8_t* tag) noexcept {
    std::uint8_t* data = text.data();
    switch (algorithm_) {
      case Algorithm::aes256_gcm:
        return seal_gcm(nonce, aad, text, tag);
      case Algorithm::xchacha20_poly1305:
        return crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
                   data, tag, nullptr, data, text.size(), aad.data(), aad.size(), nullptr,
                   nonce.data(), key_.data()) == 0;
      case Algorithm::xsalsa20_poly1305:
        return crypto_secretbox_detached(data, tag, data, text.size(), nonce.data(), key_.data()) ==
               0;
    }
    return false;
  }

 private:
  // Sets the nonce and runs associated data and text through; the tag is left to the caller.
  static bool run_gcm(EVP_CIPHER_CTX* context, const Nonce& nonce, ByteSpan aad,
                      MutableByteSpan text) noexcept {
    int written = 0;
    if (text.size() > INT_MAX ||
        EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce.data(), -1) != 1 ||
        EVP_CipherUpdate(context, nullptr, &written, aad.data(), static_cast<int>(aad.size())) !=
            1) {
      return false;
    }
    return text.empty() || EVP_CipherUpdate(context, text.data(), &written, text.data(),
                                            static_cast<int>(text.size())) == 1;
  }

  bool open_gcm(const Nonce& nonce, ByteSpan aad, MutableByteSpan text,
                const std::uint8_t* tag) noexcept {
    std::array<std::uint8_t, tag_size> expected;
    std::copy_n(tag, tag_size, expected.begin());
    std::array<std::uint8_t, tag_size> nothing;
    int written = 0;
    if (run_gcm(decrypt_.get(), nonce, aad, text) &&
        EVP_CIPHER_CTX_ctrl(decrypt_.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag_size),
                            expected.data()) == 1 &&
        EVP_CipherFinal_ex(decrypt_.get(), nothing.data(), &written) == 1) {
      return true;
    }
    // GCM writes before it knows: nobody may see plaintext that was never authentic.
    std::fill(text.begin(), text.end(), std::uint8_t{0});
    return false;
  }

  bool seal_gcm(const Nonce& nonce, ByteSpan aad, MutableByteSpan text,
                std::uint8_t* tag) noexcept {
    std::array<std::uint8_t, tag_size> nothing;
    int written = 0;
    return run_gcm(encrypt_.get(), nonce, aad, text) &&
           EVP_CipherFinal_ex(encrypt_.get(), nothing.data(), &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(encrypt_.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag_size),
                               tag) == 1;
  }

  Algorithm algorithm_;
  Key key_;
  Context decrypt_;
  Context encrypt_;
};

Cipher::Cipher(Mode mode, const Key& key)
    : mode_(mode), engine_(std::make_unique<Engine>(traits(mode).algorithm, key)) {
  // Picks the fast implementations; without it the portable ones run. A second call costs nothing.
  if (sodium_init() < 0) {
    throw std::bad_alloc();
  }
}
Cipher::~Cipher() = default;
Cipher::Cipher(Cipher&&) noexcept = default;
Cipher& Cipher::operator=(Cipher&&) noexcept = default;

// Decrypts what lies behind `clear` bytes and returns clear part and plaintext as one run.
Result<MutableByteSpan, OpenError> Cipher::open(MutableByteSpan datagram,
                                                std::size_t clear) noexcept {
  const ModeTraits& mode = traits(mode_);
  if (datagram.size() < clear + mode.overhead()) {
    return Failure{OpenError::too_short};
  }
  const ByteSpan prefix = datagram.first(clear);
  const MutableByteSpan sealed =
      datagram.subspan(clear, datagram.size() - clear - mode.suffix_size);
  const Nonce nonce =
      make_nonce(mode.suffix_size > 0 ? ByteSpan(datagram.last(mode.suffix_size)) : prefix);
  const ByteSpan aad = mode.authenticates_prefix ? prefix : ByteSpan();
  const std::size_t text_size = sealed.size() - tag_size;
  const std::size_t text_at = mode.tag_first ? tag_size : 0;
  const std::size_t tag_at = mode.tag_first ? 0 : text_size;
  if (!engine_->open(nonce, aad, sealed.subspan(text_at, text_size), sealed.data() + tag_at)) {
    return Failure{OpenError::not_authentic};
  }
  // Where the tag stood in front, the few clear bytes move up to the plaintext: cheaper than moving
  // the plaintext down.
  std::memmove(datagram.data() + text_at, datagram.data(), clear);
  return datagram.subspan(text_at, clear + text_size);
}

Result<OpenedRtp, OpenError> Cipher::open_rtp(MutableByteSpan datagram) noexcept {
  const auto clear = clear_size(traits(mode_), datagram);
  if (!clear) {
    return Failure{clear.error()};
  }
  const auto plain = open(datagram, *clear);
  if (!plain) {
    return Failure{plain.error()};
  }
  const auto packet = rtp::parse_packet(*plain);
  if (!packet) {
    return Failure{to_open_error(packet.error())};
  }
  OpenedRtp out;
  out.header = packet->header;
  out.packet = *plain;
  out.payload = plain->subspan(static_cast<std::size_t>(packet->payload.data() - plain->data()),
                               packet->payload.size());
  out.extension = rtp::parse_audio_extension(packet->profile, packet->elements);
  return out;
}

Result<MutableByteSpan, OpenError> Cipher::open_rtcp(MutableByteSpan datagram) noexcept {
  if (datagram.size() < traits(mode_).min_rtcp()) {
    return Failure{OpenError::too_short};
  }
  if (datagram[0] >> 6 != 2) {
    return Failure{OpenError::bad_version};
  }
  return open(datagram, rtp::rtcp_clear_size);
}

// Encrypts the plain packet that stands at the front of `out`.
Result<MutableByteSpan, SealError> Cipher::seal(std::size_t plain_size, std::size_t clear,
                                                std::uint32_t counter,
                                                MutableByteSpan out) noexcept {
  const ModeTraits& mode = traits(mode_);
  const std::size_t text_size = plain_size - clear;
  const std::size_t text_at = clear + (mode.tag_first ? tag_size : 0);
  const std::size_t tag_at = clear + (mode.tag_first ? 0 : text_size);
  if (mode.tag_first) {
    std::memmove(out.data() + text_at, out.data() + clear, text_size);
  }
  const MutableByteSpan datagram = out.first(sealed_size(plain_size));
  const MutableByteSpan suffix = datagram.last(mode.suffix_size);
  if (!suffix.empty()) {
    std::fill(suffix.begin(), suffix.end(), std::uint8_t{0});
    store_be32(suffix.data(), counter);
  }
  const ByteSpan prefix = datagram.first(clear);
  const Nonce nonce = make_nonce(suffix.empty() ? prefix : ByteSpan(suffix));
  if (!engine_->seal(nonce, mode.authenticates_prefix ? prefix : ByteSpan(),
                     datagram.subspan(text_at, text_size), datagram.data() + tag_at)) {
    return Failure{SealError::bad_packet};
  }
  return datagram;
}

Result<MutableByteSpan, SealError> Cipher::seal_rtp(const rtp::PacketParts& parts,
                                                    std::uint32_t counter,
                                                    MutableByteSpan out) noexcept {
  if (out.size() < sealed_size(parts)) {
    return Failure{SealError::too_small};
  }
  const std::size_t size = rtp::write_packet(parts, out);
  const auto clear = clear_size(traits(mode_), out.first(size));
  if (!clear) {
    return Failure{SealError::bad_packet};
  }
  return seal(size, *clear, counter, out);
}

Result<MutableByteSpan, SealError> Cipher::seal_plain_rtp(ByteSpan plain, std::uint32_t counter,
                                                          MutableByteSpan out) noexcept {
  const auto clear = clear_size(traits(mode_), plain);
  if (!clear) {
    return Failure{SealError::bad_packet};
  }
  if (out.size() < sealed_size(plain.size())) {
    return Failure{SealError::too_small};
  }
  std::copy(plain.begin(), plain.end(), out.begin());
  return seal(plain.size(), *clear, counter, out);
}

Result<MutableByteSpan, SealError> Cipher::seal_rtcp(ByteSpan compound, std::uint32_t counter,
                                                     MutableByteSpan out) noexcept {
  if (compound.size() < rtp::rtcp_clear_size || compound[0] >> 6 != 2) {
    return Failure{SealError::bad_packet};
  }
  if (out.size() < sealed_size(compound.size())) {
    return Failure{SealError::too_small};
  }
  std::copy(compound.begin(), compound.end(), out.begin());
  return seal(compound.size(), rtp::rtcp_clear_size, counter, out);
}

}  // namespace discord::transport
