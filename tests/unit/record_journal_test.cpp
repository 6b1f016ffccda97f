// The journal: what goes in comes out, each refusal, and what damage may cost.
#include "record/crc32c.hpp"
#include "record/journal_reader.hpp"
#include "record/journal_summary.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <random>
#include <set>
#include <string>

namespace {

using namespace discord;
using namespace discord::record;

constexpr std::uint32_t tag = 0x5eed1234;

JournalPacket packet(std::int64_t sample, std::uint64_t user, ByteSpan opus) {
  JournalPacket p;
  p.sample = sample;
  p.arrival = sample + 700;
  p.user_id = user;
  p.ssrc = static_cast<std::uint32_t>(user + 1000);
  p.timestamp = static_cast<std::uint32_t>(sample + 5);
  p.sequence = static_cast<std::uint16_t>(sample / 960);
  p.opus = opus;
  return p;
}

// A 20 ms packet of `size` bytes with something different in each.
Bytes opus(std::size_t size, std::uint8_t fill) {
  Bytes b(size, fill);
  b[0] = 0x78;  // SILK/CELT 20 ms, mono, one frame
  return b;
}

JournalSession session() {
  JournalSession s;
  s.id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  s.zero_utc_ns = 1'700'000'000'000'000'000;
  s.guild_id = 11;
  s.channel_id = 22;
  s.software = "test 1";
  return s;
}

struct Written {
  Bytes file;
  std::vector<std::pair<std::size_t, std::size_t>> records;  // offset, size
};

template <class T> void add(Written& w, JournalEncoder& encoder, const T& record) {
  const std::size_t at = w.file.size();
  encoder.append(record, w.file);
  w.records.emplace_back(at, w.file.size() - at);
}

Written conversation(unsigned packets) {
  Written w;
  JournalEncoder encoder(tag);
  add(w, encoder, session());
  add(w, encoder, JournalUser{7, 1007, "Ada"});
  for (unsigned i = 0; i < packets; i++) {
    add(w, encoder,
        packet(i * 960, i % 2 == 0 ? 7 : 9, opus(20 + i % 90, static_cast<std::uint8_t>(i))));
    if (i % 25 == 24) {
      add(w, encoder, JournalLoss{i * 960 + 960, 960, 7, 1007, 3, 1});
      add(w, encoder, session());
    }
  }
  add(w, encoder, JournalEnd{packets * 960});
  return w;
}

std::vector<JournalItem> read(ByteSpan file) {
  std::vector<JournalItem> items;
  JournalReader reader(file);
  while (auto item = reader.next()) {
    items.push_back(std::move(*item));
  }
  return items;
}

std::vector<JournalDamage> damage_of(const std::vector<JournalItem>& items) {
  std::vector<JournalDamage> out;
  for (const JournalItem& item : items) {
    if (const auto* d = std::get_if<JournalDamage>(&item.what)) {
      out.push_back(*d);
    }
  }
  return out;
}

JournalRecord only_record(const Bytes& bytes) {
  const auto frame = parse_journal_frame(bytes, tag);
  EXPECT_TRUE(frame.ok());
  EXPECT_EQ(frame->size, bytes.size());
  auto record = parse_journal_body(*frame);
  EXPECT_TRUE(record.ok());
  return std::move(record).value();
}

TEST(Crc32c, KnownAnswers) {
  // RFC 3720 appendix B.4.
  EXPECT_EQ(crc32c(Bytes(32, 0)), 0x8a9136aau);
  EXPECT_EQ(crc32c(Bytes(32, 0xff)), 0x62a8ab43u);
  Bytes ascending(32);
  for (std::size_t i = 0; i < 32; i++) {
    ascending[i] = static_cast<std::uint8_t>(i);
  }
  EXPECT_EQ(crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(as_bytes("6789"), crc32c(as_bytes("12345"))), 0xe3069283u);
}

TEST(Journal, EveryRecordComesBackAsItWas) {
  JournalEncoder encoder(tag);
  Bytes b;
  encoder.append(session(), b);
  EXPECT_EQ(std::get<JournalSession>(only_record(b)), session());

  const Bytes sound = opus(80, 5);
  JournalPacket p = packet(-960, 7, sound);
  p.silence = true;
  p.quiet = true;
  b.clear();
  ASSERT_TRUE(encoder.append(p, b));
  const auto back = only_record(b);
  const auto& q = std::get<JournalPacket>(back);
  EXPECT_EQ(q.sample, p.sample);
  EXPECT_EQ(q.arrival, p.arrival);
  EXPECT_EQ(q.user_id, p.user_id);
  EXPECT_EQ(q.ssrc, p.ssrc);
  EXPECT_EQ(q.timestamp, p.timestamp);
  EXPECT_EQ(q.sequence, p.sequence);
  EXPECT_TRUE(q.silence);
  EXPECT_TRUE(q.quiet);
  EXPECT_TRUE(std::equal(q.opus.begin(), q.opus.end(), sound.begin(), sound.end()));

  const JournalLoss loss{12345678901, 2880, 7, 1007, 65535, 3};
  b.clear();
  encoder.append(loss, b);
  EXPECT_EQ(std::get<JournalLoss>(only_record(b)), loss);

  const JournalUser user{7, 1007, "Zo\xc3\xab"};
  b.clear();
  encoder.append(user, b);
  EXPECT_EQ(std::get<JournalUser>(only_record(b)), user);

  const JournalEvent event{JournalEventKind::encryption,    5, 0, 0, 3,
                           "123456789012345678901234567890"};
  b.clear();
  encoder.append(event, b);
  EXPECT_EQ(std::get<JournalEvent>(only_record(b)), event);

  const JournalDropped dropped{99, 5};
  b.clear();
  encoder.append(dropped, b);
  EXPECT_EQ(std::get<JournalDropped>(only_record(b)), dropped);

  const JournalEnd end{48000};
  b.clear();
  encoder.append(end, b);
  EXPECT_EQ(std::get<JournalEnd>(only_record(b)), end);
  EXPECT_EQ(encoder.records(), 7u);
}

TEST(Journal, APacketThatCannotBeOpusIsRefusedWhenWritten) {
  JournalEncoder encoder(tag);
  Bytes b;
  EXPECT_FALSE(encoder.append(packet(0, 7, {}), b));
  EXPECT_FALSE(encoder.append(packet(0, 7, Bytes(journal_max_opus + 1, 1)), b));
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(encoder.records(), 0u);
}

TEST(Journal, LongTextIsCut) {
  JournalEncoder encoder(tag);
  Bytes b;
  encoder.append(JournalUser{7, 0, std::string(5000, 'x')}, b);
  EXPECT_EQ(std::get<JournalUser>(only_record(b)).name.size(), journal_max_text);
}

// --- refusals ---

Bytes one_packet() {
  JournalEncoder encoder(tag);
  Bytes b;
  encoder.append(packet(960, 7, opus(30, 1)), b);
  return b;
}

// With the checksum made right again, as only somebody who writes the format could.
Bytes resealed(Bytes b) {
  const ByteSpan all(b);
  store_be32(b.data() + 16, crc32c(all.subspan(journal_head_size), crc32c(all.subspan(4, 12))));
  return b;
}

TEST(JournalRefusal, EveryPrefixIsTruncated) {
  const Bytes b = one_packet();
  for (std::size_t n = 0; n < b.size(); n++) {
    const auto frame = parse_journal_frame(ByteSpan(b).first(n), tag);
    ASSERT_FALSE(frame.ok());
    EXPECT_EQ(frame.error(), JournalError::truncated) << n;
  }
}

TEST(JournalRefusal, NoSync) {
  Bytes b = one_packet();
  b[1] ^= 1;
  EXPECT_EQ(parse_journal_frame(b).error(), JournalError::no_sync);
}

TEST(JournalRefusal, OfAnotherJournal) {
  EXPECT_EQ(parse_journal_frame(one_packet(), tag + 1).error(), JournalError::foreign);
}

TEST(JournalRefusal, ReservedBits) {
  Bytes b = one_packet();
  b[9] = 1;
  EXPECT_EQ(parse_journal_frame(resealed(b)).error(), JournalError::reserved);
}

TEST(JournalRefusal, TooLong) {
  Bytes b = one_packet();
  store_be16(b.data() + 10, journal_max_body + 1);
  b.resize(journal_head_size + journal_max_body + 1);
  EXPECT_EQ(parse_journal_frame(resealed(b)).error(), JournalError::too_long);
}

TEST(JournalRefusal, EveryFlippedBit) {
  const Bytes good = one_packet();
  for (std::size_t i = 0; i < good.size(); i++) {
    for (int bit = 0; bit < 8; bit++) {
      Bytes b = good;
      b[i] ^= static_cast<std::uint8_t>(1 << bit);
      EXPECT_FALSE(parse_journal_frame(b, tag).ok()) << i;
    }
  }
}

TEST(JournalRefusal, Checksum) {
  Bytes b = one_packet();
  b.back() ^= 1;
  EXPECT_EQ(parse_journal_frame(b, tag).error(), JournalError::bad_checksum);
}

// Bodies one byte shorter than their fields.
TEST(JournalRefusal, ShortBodies) {
  JournalEncoder encoder(tag);
  std::vector<Bytes> all(7);
  JournalSession s = session();
  s.software.clear();
  encoder.append(s, all[0]);
  encoder.append(packet(0, 7, opus(1, 1)), all[1]);
  encoder.append(JournalLoss{}, all[2]);
  encoder.append(JournalUser{}, all[3]);
  encoder.append(JournalEvent{}, all[4]);
  encoder.append(JournalDropped{}, all[5]);
  encoder.append(JournalEnd{}, all[6]);
  for (Bytes& b : all) {
    b.pop_back();
    store_be16(b.data() + 10, static_cast<std::uint16_t>(b.size() - journal_head_size));
    const Bytes sealed = resealed(b);
    const auto frame = parse_journal_frame(sealed, tag);
    ASSERT_TRUE(frame.ok());
    const auto record = parse_journal_body(*frame);
    ASSERT_FALSE(record.ok()) << int{b[8]};
    EXPECT_EQ(record.error(), JournalError::bad_body);
  }
}

// Journals of before losses were counted.
TEST(Journal, ALossWithoutACountIsOnePacket) {
  JournalEncoder encoder(tag);
  Bytes b;
  encoder.append(JournalLoss{960, 2880, 7, 1007, 5, 3}, b);
  b.resize(b.size() - 4);
  store_be16(b.data() + 10, static_cast<std::uint16_t>(b.size() - journal_head_size));
  EXPECT_EQ(std::get<JournalLoss>(only_record(resealed(b))),
            (JournalLoss{960, 2880, 7, 1007, 5, 1}));
}

JournalError body_error(Bytes b) {
  store_be16(b.data() + 10, static_cast<std::uint16_t>(b.size() - journal_head_size));
  const Bytes sealed = resealed(std::move(b));
  const auto frame = parse_journal_frame(sealed);
  EXPECT_TRUE(frame.ok());
  const auto record = parse_journal_body(*frame);
  EXPECT_FALSE(record.ok());
  return record.ok() ? JournalError::no_sync : record.error();
}

TEST(JournalRefusal, ImpossibleContent) {
  JournalEncoder encoder(tag);
  Bytes b;
  encoder.append(session(), b);
  Bytes magic = b;
  magic[journal_head_size] ^= 1;
  EXPECT_EQ(body_error(magic), JournalError::bad_body);
  Bytes version = b;
  version[journal_head_size + 20] = 0;
  EXPECT_EQ(body_error(version), JournalError::bad_body);
  Bytes long_text = b;
  long_text.resize(long_text.size() + journal_max_text);
  EXPECT_EQ(body_error(long_text), JournalError::bad_body);

  b = one_packet();
  b.resize(b.size() + journal_max_opus);
  EXPECT_EQ(body_error(b), JournalError::bad_body);

  b.clear();
  encoder.append(JournalUser{}, b);
  b.resize(b.size() + journal_max_text + 1);
  EXPECT_EQ(body_error(b), JournalError::bad_body);

  b.clear();
  encoder.append(JournalEvent{}, b);
  Bytes low = b;
  low[journal_head_size] = 0;
  EXPECT_EQ(body_error(low), JournalError::bad_body);
  Bytes high = b;
  high[journal_head_size] = 8;
  EXPECT_EQ(body_error(high), JournalError::bad_body);
  b.resize(b.size() + journal_max_text + 1);
  EXPECT_EQ(body_error(b), JournalError::bad_body);
}

TEST(Journal, ATypeOfALaterVersionIsSkippedAndSaid) {
  Bytes b = one_packet();
  b[8] = 200;
  b = resealed(b);
  EXPECT_EQ(std::get<JournalUnknown>(only_record(b)).type, 200);
}

// --- the reader ---

TEST(JournalReader, ReadsEverythingInOrder) {
  const Written w = conversation(60);
  const auto items = read(w.file);
  ASSERT_EQ(items.size(), w.records.size());
  for (std::size_t i = 0; i < items.size(); i++) {
    EXPECT_EQ(items[i].offset, w.records[i].first);
    EXPECT_EQ(items[i].size, w.records[i].second);
    EXPECT_TRUE(std::holds_alternative<JournalRecord>(items[i].what));
  }
}

TEST(JournalReader, ACutTailIsSaid) {
  Written w = conversation(10);
  w.file.resize(w.file.size() - 3);
  const auto items = read(w.file);
  ASSERT_EQ(items.size(), w.records.size());
  const auto damage = damage_of(items);
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].cause, JournalError::truncated);
  EXPECT_EQ(damage[0].bytes, w.records.back().second - 3);
}

TEST(JournalReader, ADamagedRecordCostsItselfAndIsCounted) {
  Written w = conversation(10);
  const auto [at, size] = w.records[5];
  w.file[at + journal_head_size + 4] ^= 0x40;
  const auto items = read(w.file);
  EXPECT_EQ(items.size(), w.records.size());
  const auto damage = damage_of(items);
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].offset, at);
  EXPECT_EQ(damage[0].bytes, size);
  EXPECT_EQ(damage[0].records, 1u);
  EXPECT_EQ(damage[0].cause, JournalError::bad_checksum);
}

TEST(JournalReader, ADamagedLengthHidesNothingBehindIt) {
  Written w = conversation(10);
  store_be16(w.file.data() + w.records[5].first + 10, 4000);
  const auto items = read(w.file);
  EXPECT_EQ(items.size(), w.records.size());
  EXPECT_EQ(damage_of(items).size(), 1u);
}

TEST(JournalReader, RecordsThatWereCutOutAreMissed) {
  Written w = conversation(10);
  const auto begin = w.file.begin() + static_cast<std::ptrdiff_t>(w.records[4].first);
  w.file.erase(begin,
               begin + static_cast<std::ptrdiff_t>(w.records[4].second + w.records[5].second));
  const auto damage = damage_of(read(w.file));
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].bytes, 0u);
  EXPECT_EQ(damage[0].records, 2u);
}

TEST(JournalReader, AFileWithoutARecordIsNone) {
  const Bytes noise(5000, 0x9a);
  JournalReader reader(noise);
  EXPECT_FALSE(reader.recognised());
  const auto items = read(noise);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(damage_of(items)[0].bytes, noise.size());
  EXPECT_TRUE(read({}).empty());
}

// A speaker who knows the format hides records in the sound: no damage may bring them out.
TEST(JournalReader, RecordsInsideAPacketAreNeverTaken) {
  Bytes forged;
  JournalEncoder forger(tag + 1);
  forger.append(JournalUser{666, 1007, "Mallory"}, forged);
  Bytes sound = {0x78};
  sound.insert(sound.end(), forged.begin(), forged.end());

  Written w;
  JournalEncoder encoder(tag);
  add(w, encoder, session());
  for (unsigned i = 0; i < 20; i++) {
    add(w, encoder, packet(i * 960, 7, sound));
  }
  const auto mallory = [](const std::vector<JournalItem>& items) {
    return std::any_of(items.begin(), items.end(), [](const JournalItem& item) {
      const auto* record = std::get_if<JournalRecord>(&item.what);
      return record != nullptr && std::holds_alternative<JournalUser>(*record);
    });
  };
  for (std::size_t i = 0; i < w.records.size(); i++) {
    Bytes damaged = w.file;
    damaged[w.records[i].first + 2] ^= 0xff;
    EXPECT_FALSE(mallory(read(damaged))) << "record " << i;
    damaged = w.file;
    damaged[w.records[0].first + 2] ^= 0xff;  // and the front is gone as well
    damaged[w.records[i].first + 17] ^= 0xff;
    EXPECT_FALSE(mallory(read(damaged))) << "record " << i;
  }
}

// Ten thousand files cut, overwritten, zeroed or shifted at random: no crash, and every record that
// is still whole is found.
TEST(JournalReader, TenThousandDamagedJournalsLoseNoWholeRecord) {
  const Written w = conversation(120);
  std::mt19937 random(4711);
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  for (int round = 0; round < 10000; round++) {
    Bytes file = w.file;
    std::set<std::size_t> hit;  // records that are no longer whole
    const auto spoil = [&](std::size_t from, std::size_t to) {
      for (std::size_t i = 0; i < w.records.size(); i++) {
        const auto [at, size] = w.records[i];
        if (at < to && from < at + size) {
          hit.insert(i);
        }
      }
    };
    const std::size_t wounds = below(4);
    for (std::size_t k = 0; k < wounds; k++) {
      const std::size_t from = below(file.size());
      const std::size_t length = 1 + below(std::min<std::size_t>(600, file.size() - from));
      const bool zero = below(2) == 0;
      for (std::size_t i = from; i < from + length; i++) {
        file[i] = zero ? 0 : static_cast<std::uint8_t>(random());
      }
      spoil(from, from + length);
    }
    std::ptrdiff_t shift_from = static_cast<std::ptrdiff_t>(file.size());
    std::ptrdiff_t shift = 0;
    if (below(3) == 0) {  // bytes that were never written, or twice
      shift_from = static_cast<std::ptrdiff_t>(below(file.size()));
      shift = static_cast<std::ptrdiff_t>(1 + below(50));
      Bytes junk(static_cast<std::size_t>(shift));
      std::generate(junk.begin(), junk.end(), [&] { return static_cast<std::uint8_t>(random()); });
      file.insert(file.begin() + shift_from, junk.begin(), junk.end());
      for (std::size_t i = 0; i < w.records.size(); i++) {
        const auto at = static_cast<std::ptrdiff_t>(w.records[i].first);
        if (at < shift_from && shift_from < at + static_cast<std::ptrdiff_t>(w.records[i].second)) {
          hit.insert(i);
        }
      }
    }
    const std::size_t size = below(2) == 0 ? file.size() : below(file.size() + 1);
    file.resize(size);

    std::set<std::size_t> found;
    std::size_t covered = 0;
    for (const JournalItem& item : read(file)) {
      EXPECT_EQ(item.offset, covered) << "the items cover the file";
      covered = item.offset + item.size;
      if (std::holds_alternative<JournalRecord>(item.what)) {
        found.insert(item.offset);
      }
    }
    EXPECT_EQ(covered, file.size());
    for (std::size_t i = 0; i < w.records.size(); i++) {
      auto at = static_cast<std::ptrdiff_t>(w.records[i].first);
      at += at >= shift_from ? shift : 0;
      if (hit.count(i) == 0 && at + static_cast<std::ptrdiff_t>(w.records[i].second) <=
                                   static_cast<std::ptrdiff_t>(size)) {
        ASSERT_EQ(found.count(static_cast<std::size_t>(at)), 1u)
            << "round " << round << " record " << i;
      }
    }
  }
}

TEST(JournalReader, ManySyncWordsDoNotMakeItSlow) {
  Written w = conversation(5);
  Bytes heads;
  for (int i = 0; i < 20000; i++) {
    heads.insert(heads.end(), {0x9a, 'D', 'J', 0xc5, 0, 0, 0, 0, 2, 0, 0x0f, 0xff});
  }
  w.file.insert(w.file.end(), heads.begin(), heads.end());
  const auto items = read(w.file);
  EXPECT_EQ(items.size(), w.records.size() + 1);
}

// --- summary and erasure ---

TEST(JournalSummary, SaysWhoSpokeHowLongAndWhatIsMissing) {
  Written w;
  JournalEncoder encoder(tag);
  add(w, encoder, session());
  add(w, encoder, packet(0, 0, opus(30, 1)));  // before the user was known
  Bytes early = w.file;
  JournalPacket p = packet(960, 7, {});
  const Bytes sound = opus(40, 2);
  p.opus = sound;
  p.ssrc = 1000;
  add(w, encoder, p);
  add(w, encoder, JournalUser{7, 1000, "Ada"});
  add(w, encoder, JournalLoss{1920, 960, 7, 1000, 9, 1});
  const Bytes silence = {0xf8, 0xff, 0xfe};
  JournalPacket quiet = packet(2880, 7, silence);
  quiet.silence = true;
  add(w, encoder, quiet);
  add(w, encoder, packet(0, 9, sound));
  add(w, encoder, JournalEvent{JournalEventKind::mark, 1000, 0, 0, 0, "here"});
  add(w, encoder, JournalDropped{2000, 4});
  const JournalSummary cut = summarise(w.file);
  EXPECT_FALSE(cut.ended);
  EXPECT_EQ(cut.length, 3840);
  add(w, encoder, JournalEnd{48000});

  const JournalSummary s = summarise(w.file);
  ASSERT_TRUE(s.session);
  EXPECT_EQ(*s.session, session());
  ASSERT_EQ(s.speakers.size(), 2u);
  const JournalSpeaker& ada = s.speakers.at({7, 0});
  EXPECT_EQ(ada.name, "Ada");
  EXPECT_EQ(ada.packets, 3u) << "the early one too";
  EXPECT_EQ(ada.spoken, 1920);
  EXPECT_EQ(ada.first, 0);
  EXPECT_EQ(ada.end, 3840);
  EXPECT_EQ(ada.losses, 1u);
  EXPECT_EQ(ada.lost_samples, 960);
  EXPECT_EQ(s.speakers.at({9, 0}).packets, 1u);
  ASSERT_EQ(s.marks.size(), 1u);
  EXPECT_EQ(s.marks[0].text, "here");
  EXPECT_EQ(s.dropped, 4u);
  EXPECT_TRUE(s.ended);
  EXPECT_EQ(s.length, 48000);
  EXPECT_EQ(s.damaged_stretches, 0u);
}

TEST(JournalSummary, ExtremePositionsDoNotOverflow) {
  Written w;
  JournalEncoder encoder(tag);
  const Bytes sound = opus(40, 2);
  add(w, encoder, packet(INT64_MAX, 7, sound));
  add(w, encoder, packet(INT64_MIN, 7, sound));
  add(w, encoder, JournalEnd{INT64_MAX});
  EXPECT_GT(summarise(w.file).length, 0);
}

TEST(JournalErase, LeavesNothingOfTheSpeakerAndEverythingOfTheOthers) {
  Written w;
  JournalEncoder encoder(tag);
  const Bytes secret = opus(60, 0xab);
  const Bytes other = opus(60, 0x11);
  add(w, encoder, session());
  JournalPacket early = packet(0, 0, secret);
  early.ssrc = 1007;
  add(w, encoder, early);
  add(w, encoder, JournalUser{7, 1007, "Ada Lovelace"});
  add(w, encoder, JournalUser{9, 1009, "Bob"});
  for (unsigned i = 1; i < 10; i++) {
    add(w, encoder, packet(i * 960, 7, secret));
    add(w, encoder, packet(i * 960, 9, other));
  }
  add(w, encoder, JournalLoss{9600, 960, 7, 1007, 1, 1});
  add(w, encoder, JournalEvent{JournalEventKind::joined, 0, 7, 0, 0, "Ada Lovelace"});
  add(w, encoder, JournalEvent{JournalEventKind::mark, 0, 0, 0, 0, "kept"});
  const std::size_t torn = w.file.size();
  add(w, encoder, packet(9600, 7, secret));
  w.file[torn + 3] ^= 1;  // a damaged stretch that holds the speaker's sound
  add(w, encoder, JournalEnd{48000});

  Bytes out;
  const std::uint64_t erased =
      erase_speaker(w.file, 7, 99, [&](ByteSpan b) { out.insert(out.end(), b.begin(), b.end()); });
  EXPECT_EQ(erased, 13u);
  const auto contains = [&](ByteSpan needle) {
    return std::search(out.begin(), out.end(), needle.begin(), needle.end()) != out.end();
  };
  EXPECT_FALSE(contains(ByteSpan(secret).subspan(1)));
  EXPECT_FALSE(contains(as_bytes("Ada")));
  const JournalSummary s = summarise(out);
  EXPECT_EQ(s.damaged_stretches, 0u);
  ASSERT_EQ(s.speakers.size(), 1u);
  EXPECT_EQ(s.speakers.at({9, 0}).packets, 9u);
  EXPECT_EQ(s.speakers.at({9, 0}).name, "Bob");
  EXPECT_EQ(s.marks.size(), 1u);
  EXPECT_EQ(s.length, 48000) << "the others' tracks keep their length";
}

}  // namespace
