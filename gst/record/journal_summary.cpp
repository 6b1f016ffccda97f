// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/journal_summary.hpp"

#include "base/overloaded.hpp"
#include "media/opus_packet.hpp"

#include <algorithm>

namespace discord::record {

namespace {

constexpr std::size_t progress_step = 1 << 20;
constexpr std::size_t max_speakers = 65536;
constexpr std::size_t max_marks = 65536;

std::int64_t duration_of(const JournalPacket& packet) noexcept {
  const auto opus = media::parse_opus_packet(packet.opus);
  return opus.ok() ? opus->duration : 0;
}

// Positions in a damaged or hostile file can be anything; sums of them must not overflow.
constexpr std::int64_t sane_limit = std::int64_t{1} << 48;  // 180 years
std::int64_t sane(std::int64_t sample) noexcept {
  return std::clamp(sample, -sane_limit, sane_limit);
}

class Summariser {
 public:
  Summariser(JournalSummary& summary, const JournalIdentities& who) : s_(summary), who_(who) {}

  void operator()(const JournalSession& session) {
    if (!s_.session) {
      s_.session = session;
    }
  }
  void operator()(const JournalPacket& p) {
    JournalSpeaker* speaker = find(who_.of(p.user_id, p.ssrc));
    if (speaker == nullptr) {
      return;
    }
    const std::int64_t at = sane(p.sample);
    const std::int64_t duration = duration_of(p);
    if (speaker->packets++ == 0) {
      speaker->first = at;
    }
    speaker->bytes += p.opus.size();
    speaker->spoken += p.silence ? 0 : duration;
    speaker->first = std::min(speaker->first, at);
    speaker->end = std::max(speaker->end, at + duration);
    s_.length = std::max(s_.length, at + duration);
  }
  void operator()(const JournalLoss& l) {
    if (JournalSpeaker* speaker = find(who_.of(l.user_id, l.ssrc))) {
      speaker->losses++;
      speaker->lost_packets += l.packets;
      speaker->lost_samples += l.samples;
    }
  }
  void operator()(const JournalUser& u) {
    if (u.user_id != 0 && !u.name.empty() && s_.names.size() < max_speakers) {
      s_.names[u.user_id] = u.name;
    }
  }
  void operator()(const JournalEvent& e) {
    if (e.kind == JournalEventKind::mark && s_.marks.size() < max_marks) {
      s_.marks.push_back(e);
    }
  }
  void operator()(const JournalDropped& d) { s_.dropped += d.packets; }
  void operator()(const JournalEnd& e) {
    s_.ended = true;
    s_.length = std::max(s_.length, sane(e.sample));
  }
  void operator()(const JournalUnknown&) { s_.unknown++; }

 private:
  JournalSpeaker* find(const JournalSpeakerKey& key) {
    const auto known = s_.speakers.find(key);
    if (known != s_.speakers.end()) {
      return &known->second;
    }
    return s_.speakers.size() < max_speakers ? &s_.speakers[key] : nullptr;
  }

  JournalSummary& s_;
  const JournalIdentities& who_;
};

void add_damage(JournalSummary& s, const JournalDamage& damage) {
  s.damaged_stretches++;
  s.damaged_bytes += damage.bytes;
  s.missing_records += damage.records;
  if (s.damage.size() < JournalSummary::max_damage) {
    s.damage.push_back(damage);
  }
}

}  // namespace

void JournalIdentities::learn(const JournalRecord& record) {
  std::uint64_t user = 0;
  std::uint32_t ssrc = 0;
  if (const auto* packet = std::get_if<JournalPacket>(&record)) {
    user = packet->user_id;
    ssrc = packet->ssrc;
  } else if (const auto* known = std::get_if<JournalUser>(&record)) {
    user = known->user_id;
    ssrc = known->ssrc;
  }
  if (user == 0 || ssrc == 0) {
    return;
  }
  const auto row = users_.find(ssrc);
  if (row != users_.end()) {
    if (row->second.back() != user && !had(user, ssrc)) {
      row->second.push_back(user);
    }
  } else if (users_.size() < max_ssrcs) {
    users_[ssrc].push_back(user);
  }
}

JournalSpeakerKey JournalIdentities::of(std::uint64_t user_id, std::uint32_t ssrc) const {
  if (user_id != 0) {
    return {user_id, 0};
  }
  const auto row = users_.find(ssrc);
  return row != users_.end() ? JournalSpeakerKey{row->second.front(), 0}
                             : JournalSpeakerKey{0, ssrc};
}

bool JournalIdentities::had(std::uint64_t user_id, std::uint32_t ssrc) const {
  const auto row = users_.find(ssrc);
  return row != users_.end() &&
         std::find(row->second.begin(), row->second.end(), user_id) != row->second.end();
}

JournalIdentities identities(ByteSpan file) {
  JournalIdentities who;
  JournalReader reader(file);
  while (const auto item = reader.next()) {
    if (const auto* record = std::get_if<JournalRecord>(&item->what)) {
      who.learn(*record);
    }
  }
  return who;
}

JournalSummary summarise(ByteSpan file, const std::function<void(std::size_t)>& progress) {
  JournalSummary summary;
  const JournalIdentities who = identities(file);
  Summariser add(summary, who);
  JournalReader reader(file);
  std::size_t told = 0;
  while (const auto item = reader.next()) {
    if (const auto* damage = std::get_if<JournalDamage>(&item->what)) {
      add_damage(summary, *damage);
    } else {
      summary.records++;
      std::visit(add, std::get<JournalRecord>(item->what));
    }
    if (progress && reader.offset() - told >= progress_step) {
      told = reader.offset();
      progress(told);
    }
  }
  for (auto row = summary.speakers.begin(); row != summary.speakers.end();) {
    if (row->second.packets == 0) {
      row = summary.speakers.erase(row);  // only losses: there is nothing to listen to
      continue;
    }
    const auto name = summary.names.find(row->first.user_id);
    if (name != summary.names.end()) {
      row->second.name = name->second;
    }
    ++row;
  }
  return summary;
}

std::uint64_t erase_speaker(ByteSpan file, std::uint64_t user_id, std::uint32_t new_tag,
                            const std::function<void(ByteSpan)>& out) {
  const JournalIdentities who = identities(file);
  const auto mine = [&](std::uint64_t user, std::uint32_t ssrc) {
    return user == user_id || (user == 0 && who.had(user_id, ssrc));
  };
  JournalEncoder encoder(new_tag);
  Bytes bytes;
  std::uint64_t erased = 0;
  const auto keep = Overloaded{
      [&](const JournalPacket& p) { return !mine(p.user_id, p.ssrc); },
      [&](const JournalLoss& l) { return !mine(l.user_id, l.ssrc); },
      [&](const JournalUser& u) { return !mine(u.user_id, u.ssrc); },
      // A mark is the recorder's own, whoever it mentions.
      [&](const JournalEvent& e) {
        return e.kind == JournalEventKind::mark || !mine(e.user_id, e.ssrc);
      },
      [](const auto&) { return true; },
  };
  const auto write = Overloaded{
      [](const JournalUnknown&) {},  // nobody can say whose it is
      [&](const auto& record) { encoder.append(record, bytes); },
  };
  JournalReader reader(file);
  while (const auto item = reader.next()) {
    const auto* record = std::get_if<JournalRecord>(&item->what);
    if (record == nullptr) {
      continue;
    }
    if (!std::visit(keep, *record)) {
      erased++;
      continue;
    }
    bytes.clear();
    std::visit(write, *record);
    if (!bytes.empty()) {
      out(bytes);
    }
  }
  return erased;
}

}  // namespace discord::record
