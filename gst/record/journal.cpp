// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/journal.hpp"

#include "record/crc32c.hpp"

#include <algorithm>

namespace discord::record {

namespace {

constexpr std::array<std::uint8_t, 4> sync_word = {0x9a, 'D', 'J', 0xc5};
constexpr std::string_view file_magic = "gst-discord journal\n";

enum Type : std::uint8_t {
  type_session = 1,
  type_packet = 2,
  type_loss = 3,
  type_user = 4,
  type_event = 5,
  type_dropped = 6,
  type_end = 7,
};

constexpr std::uint8_t flag_silence = 1;
constexpr std::uint8_t flag_quiet = 2;

std::uint32_t checksum(ByteSpan head, ByteSpan body) noexcept {
  // Everything but the sync word and the checksum itself.
  return crc32c(body, crc32c(head.subspan(4, 12)));
}

std::uint64_t u64(ByteReader& in) noexcept {
  const std::uint64_t high = in.u32();
  return high << 32 | in.u32();
}

std::int64_t i64(ByteReader& in) noexcept {
  return static_cast<std::int64_t>(u64(in));
}

std::string text(ByteSpan bytes) {
  return std::string(bytes.begin(), bytes.end());
}

bool text_fits(const ByteReader& in) noexcept {
  return in.ok() && in.remaining() <= journal_max_text;
}

using Parsed = Result<JournalRecord, JournalError>;

Parsed bad_body() {
  return Failure{JournalError::bad_body};
}

// Later versions may add fields at the end of a body that has no text in it, so those are accepted.
template <class T> Parsed whole(const ByteReader& in, T record) {
  return in.ok() ? Parsed(JournalRecord(std::move(record))) : bad_body();
}

Parsed parse_session(ByteReader in) {
  const ByteSpan magic = in.take(file_magic.size());
  JournalSession s;
  s.version = in.u8();
  const ByteSpan id = in.take(s.id.size());
  s.zero_utc_ns = i64(in);
  s.guild_id = u64(in);
  s.channel_id = u64(in);
  if (!text_fits(in) || !std::equal(magic.begin(), magic.end(), file_magic.begin()) ||
      s.version == 0) {
    return bad_body();
  }
  std::copy(id.begin(), id.end(), s.id.begin());
  s.software = text(in.rest());
  return JournalRecord(std::move(s));
}

Parsed parse_packet(ByteReader in) {
  JournalPacket p;
  p.sample = i64(in);
  p.arrival = i64(in);
  p.user_id = u64(in);
  p.ssrc = in.u32();
  p.timestamp = in.u32();
  p.sequence = in.u16();
  const std::uint8_t flags = in.u8();
  p.silence = (flags & flag_silence) != 0;
  p.quiet = (flags & flag_quiet) != 0;
  p.opus = in.rest();
  if (!in.ok() || p.opus.empty() || p.opus.size() > journal_max_opus) {
    return bad_body();
  }
  return JournalRecord(p);
}

Parsed parse_loss(ByteReader in) {
  JournalLoss l;
  l.sample = i64(in);
  l.samples = in.u32();
  l.user_id = u64(in);
  l.ssrc = in.u32();
  l.sequence = in.u16();
  // Journals of before the count have one packet for each.
  l.packets = in.remaining() > 0 ? in.u32() : 1;
  return whole(in, l);
}

Parsed parse_user(ByteReader in) {
  JournalUser u;
  u.user_id = u64(in);
  u.ssrc = in.u32();
  if (!text_fits(in)) {
    return bad_body();
  }
  u.name = text(in.rest());
  return JournalRecord(std::move(u));
}

Parsed parse_event(ByteReader in) {
  JournalEvent e;
  const std::uint8_t kind = in.u8();
  e.sample = i64(in);
  e.user_id = u64(in);
  e.ssrc = in.u32();
  e.value = u64(in);
  if (!text_fits(in) || kind < static_cast<std::uint8_t>(JournalEventKind::mark) ||
      kind > static_cast<std::uint8_t>(JournalEventKind::note)) {
    return bad_body();
  }
  e.kind = static_cast<JournalEventKind>(kind);
  e.text = text(in.rest());
  return JournalRecord(std::move(e));
}

Parsed parse_dropped(ByteReader in) {
  JournalDropped d;
  d.sample = i64(in);
  d.packets = u64(in);
  return whole(in, d);
}

Parsed parse_end(ByteReader in) {
  JournalEnd e;
  e.sample = i64(in);
  return whole(in, e);
}

}  // namespace

const char* to_string(JournalError error) noexcept {
  switch (error) {
    case JournalError::truncated:
      return "cut off";
    case JournalError::no_sync:
      return "no record";
    case JournalError::foreign:
      return "of another journal";
    case JournalError::reserved:
      return "reserved bits set";
    case JournalError::too_long:
      return "too long";
    case JournalError::bad_checksum:
      return "wrong checksum";
    case JournalError::bad_body:
      return "impossible content";
  }
  return "unknown";
}

Result<JournalFrame, JournalError> parse_journal_frame(ByteSpan bytes) noexcept {
  const std::size_t there = std::min(bytes.size(), sync_word.size());
  if (!std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(there),
                  sync_word.begin())) {
    return Failure{JournalError::no_sync};
  }
  if (bytes.size() < journal_head_size) {
    return Failure{JournalError::truncated};
  }
  JournalFrame frame;
  frame.tag = load_be32(bytes.data() + 4);
  frame.type = bytes[8];
  const std::size_t length = load_be16(bytes.data() + 10);
  frame.number = load_be32(bytes.data() + 12);
  if (bytes[9] != 0) {
    return Failure{JournalError::reserved};
  }
  if (length > journal_max_body) {
    return Failure{JournalError::too_long};
  }
  if (bytes.size() - journal_head_size < length) {
    return Failure{JournalError::truncated};
  }
  frame.size = journal_head_size + length;
  frame.body = bytes.subspan(journal_head_size, length);
  if (checksum(bytes, frame.body) != load_be32(bytes.data() + 16)) {
    return Failure{JournalError::bad_checksum};
  }
  return frame;
}

Result<JournalFrame, JournalError> parse_journal_frame(ByteSpan bytes, std::uint32_t tag) noexcept {
  // Before the checksum, which is the expensive part of looking for the next record.
  if (bytes.size() >= 8 && std::equal(sync_word.begin(), sync_word.end(), bytes.begin()) &&
      load_be32(bytes.data() + 4) != tag) {
    return Failure{JournalError::foreign};
  }
  return parse_journal_frame(bytes);
}

Result<JournalRecord, JournalError> parse_journal_body(const JournalFrame& frame) {
  const ByteReader in(frame.body);
  switch (frame.type) {
    case type_session:
      return parse_session(in);
    case type_packet:
      return parse_packet(in);
    case type_loss:
      return parse_loss(in);
    case type_user:
      return parse_user(in);
    case type_event:
      return parse_event(in);
    case type_dropped:
      return parse_dropped(in);
    case type_end:
      return parse_end(in);
    default:
      return JournalRecord(JournalUnknown{frame.type});
  }
}

// One record at the end of `out`: its head is completed when the body is there.
class JournalEncoder::Draft {
 public:
  Draft(JournalEncoder& encoder, Type type, Bytes& out)
      : encoder_(encoder), out_(out), start_(out.size()) {
    bytes(sync_word);
    u32(encoder.tag_);
    u8(type);
    u8(0);
    u16(0);
    u32(encoder.number_);
    u32(0);
  }
  ~Draft() {
    std::uint8_t* head = out_.data() + start_;
    const std::size_t length = out_.size() - start_ - journal_head_size;
    store_be16(head + 10, static_cast<std::uint16_t>(length));
    store_be32(head + 16, checksum(ByteSpan(head, journal_head_size),
                                   ByteSpan(head + journal_head_size, length)));
    encoder_.number_++;
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  void bytes(ByteSpan b) { out_.insert(out_.end(), b.begin(), b.end()); }
  void text(std::string_view t) { bytes(as_bytes(t.substr(0, journal_max_text))); }
  void u8(std::uint8_t v) { out_.push_back(v); }
  void u16(std::uint16_t v) { store_be16(grow(2), v); }
  void u32(std::uint32_t v) { store_be32(grow(4), v); }
  void u64(std::uint64_t v) { store_be64(grow(8), v); }
  void i64(std::int64_t v) { u64(static_cast<std::uint64_t>(v)); }

 private:
  std::uint8_t* grow(std::size_t n) {
    out_.resize(out_.size() + n);
    return out_.data() + out_.size() - n;
  }

  JournalEncoder& encoder_;
  Bytes& out_;
  const std::size_t start_;
};

void JournalEncoder::append(const JournalSession& session, Bytes& out) {
  Draft d(*this, type_session, out);
  d.bytes(as_bytes(file_magic));
  d.u8(session.version);
  d.bytes(session.id);
  d.i64(session.zero_utc_ns);
  d.u64(session.guild_id);
  d.u64(session.channel_id);
  d.text(session.software);
}

bool JournalEncoder::append(const JournalPacket& packet, Bytes& out) {
  if (packet.opus.empty() || packet.opus.size() > journal_max_opus) {
    return false;
  }
  Draft d(*this, type_packet, out);
  d.i64(packet.sample);
  d.i64(packet.arrival);
  d.u64(packet.user_id);
  d.u32(packet.ssrc);
  d.u32(packet.timestamp);
  d.u16(packet.sequence);
  d.u8(static_cast<std::uint8_t>((packet.silence ? flag_silence : 0) |
                                 (packet.quiet ? flag_quiet : 0)));
  d.bytes(packet.opus);
  return true;
}

void JournalEncoder::append(const JournalLoss& loss, Bytes& out) {
  Draft d(*this, type_loss, out);
  d.i64(loss.sample);
  d.u32(loss.samples);
  d.u64(loss.user_id);
  d.u32(loss.ssrc);
  d.u16(loss.sequence);
  d.u32(loss.packets);
}

void JournalEncoder::append(const JournalUser& user, Bytes& out) {
  Draft d(*this, type_user, out);
  d.u64(user.user_id);
  d.u32(user.ssrc);
  d.text(user.name);
}

void JournalEncoder::append(const JournalEvent& event, Bytes& out) {
  Draft d(*this, type_event, out);
  d.u8(static_cast<std::uint8_t>(event.kind));
  d.i64(event.sample);
  d.u64(event.user_id);
  d.u32(event.ssrc);
  d.u64(event.value);
  d.text(event.text);
}

void JournalEncoder::append(const JournalDropped& dropped, Bytes& out) {
  Draft d(*this, type_dropped, out);
  d.i64(dropped.sample);
  d.u64(dropped.packets);
}

void JournalEncoder::append(const JournalEnd& end, Bytes& out) {
  Draft d(*this, type_end, out);
  d.i64(end.sample);
}

}  // namespace discord::record
