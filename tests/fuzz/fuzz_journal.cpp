// A file that says it is a journal: everything in it is read, summed up, and written again without
// its first speaker.
#include "media/opus_packet.hpp"
#include "record/journal_summary.hpp"
#include "record/opustrack.hpp"

#include <cstdlib>

using namespace discord;
using namespace discord::record;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan file(data, size);
  JournalReader reader(file);
  std::size_t covered = 0;
  OpusTrack track;
  while (const auto item = reader.next()) {
    if (item->offset != covered) {
      std::abort();
    }
    covered = item->offset + item->size;
    const auto* record = std::get_if<JournalRecord>(&item->what);
    if (record != nullptr && std::holds_alternative<JournalPacket>(*record)) {
      const auto& packet = std::get<JournalPacket>(*record);
      const auto opus = media::parse_opus_packet(packet.opus);
      if (packet.sample < 48000 * 60 && opus) {
        OpusTrack::Packets out;
        track.packet(packet.opus, opus->duration, packet.sample, packet.quiet, out);
      }
    }
  }
  if (covered != size) {
    std::abort();
  }
  const JournalSummary summary = summarise(file);
  const std::uint64_t user =
      summary.speakers.empty() ? 0 : summary.speakers.rbegin()->first.user_id;
  Bytes out;
  erase_speaker(file, user, 1, [&](ByteSpan b) { out.insert(out.end(), b.begin(), b.end()); });
  const JournalSummary after = summarise(out);
  if (after.damaged_stretches != 0 || (user != 0 && after.speakers.count({user, 0}) != 0)) {
    std::abort();
  }
  return 0;
}
