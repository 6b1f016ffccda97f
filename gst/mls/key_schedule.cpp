#include "mls/key_schedule.hpp"

namespace discord::mls {
namespace {

Secret32 to_secret32(const SecretBytes& bytes) {
  return Secret32(bytes.view().first<32>());
}

// RFC 9420 section 8: the secret from which those of the welcome and of the epoch come.
Secret32 make_member_secret(const Secret32& joiner_secret, const Secret32& psk_secret) {
  return hkdf_extract(joiner_secret.view(), psk_secret.view());
}

}  // namespace

const Secret32 zero_secret;

Secret32 make_joiner_secret(const Secret32& init_secret_before, const Secret32& commit_secret,
                            ByteSpan group_context) {
  const Secret32 extracted = hkdf_extract(init_secret_before.view(), commit_secret.view());
  return to_secret32(expand_with_label(extracted.view(), "joiner", group_context, 32));
}

WelcomeKeys make_welcome_keys(const Secret32& joiner_secret, const Secret32& psk_secret) {
  const Secret32 member = make_member_secret(joiner_secret, psk_secret);
  const Secret32 welcome = derive_secret(member.view(), "welcome");
  return {expand_with_label(welcome.view(), "key", {}, aead_key_size),
          expand_with_label(welcome.view(), "nonce", {}, aead_nonce_size)};
}

EpochSecrets make_epoch(const Secret32& joiner_secret, ByteSpan group_context,
                        const Secret32& psk_secret) {
  const Secret32 member = make_member_secret(joiner_secret, psk_secret);
  return make_epoch_from(expand_with_label(member.view(), "epoch", group_context, 32).view());
}

EpochSecrets make_epoch_from(ByteSpan epoch_secret) {
  return {derive_secret(epoch_secret, "init"), derive_secret(epoch_secret, "exporter"),
          derive_secret(epoch_secret, "confirm"), derive_secret(epoch_secret, "membership"),
          derive_secret(epoch_secret, "authentication")};
}

Hash confirmed_transcript_hash(ByteSpan interim_before, ByteSpan framed_content,
                               ByteSpan signature) {
  Writer rest;
  rest.u16(wire_format_public_message);
  rest.raw(framed_content);
  rest.opaque(signature);
  return Sha256().update(interim_before).update(rest.view()).finish();
}

Hash interim_transcript_hash(ByteSpan confirmed, ByteSpan confirmation_tag) {
  Writer tag;
  tag.opaque(confirmation_tag);
  return Sha256().update(confirmed).update(tag.view()).finish();
}

Hash make_confirmation_tag(const Secret32& confirmation_key, ByteSpan confirmed) {
  return hmac_sha256(confirmation_key.view(), confirmed);
}

SecretBytes export_secret(const Secret32& exporter_secret, std::string_view label, ByteSpan context,
                          std::size_t length) {
  const Secret32 derived = derive_secret(exporter_secret.view(), label);
  return expand_with_label(derived.view(), "exported", sha256(context), length);
}

}  // namespace discord::mls
