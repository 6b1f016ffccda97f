#include "call.hpp"

#include <algorithm>

namespace discord::loopback {

Talker::Talker(TalkerOptions o, std::uint64_t seed, const NetworkOptions& call_network)
    : speaker(o.speaker, derive_seed(seed, "speaker")),
      network(o.network.value_or(call_network), derive_seed(seed, "network")),
      announce(o.announce),
      video_ssrc(o.video_ssrc),
      flags(o.speaker.flags),
      bot(o.speaker.bot) {
  truth.user_id = o.speaker.user_id;
  truth.name = o.speaker.name;
  truth.ssrc = o.speaker.ssrc;
  next = speaker.next();
}

Call::Call(CallOptions options, std::uint64_t seed) : options_(std::move(options)), seed_(seed) {
  for (const TalkerOptions& t : options_.talkers) {
    talkers_.push_back(std::make_unique<Talker>(t, derive_seed(seed_, "talker", talkers_.size()),
                                                options_.network));
  }
}

Talker* Call::find(std::uint64_t user_id) noexcept {
  for (const auto& t : talkers_) {
    if (t->truth.user_id == user_id) {
      return t.get();
    }
  }
  return nullptr;
}

void Call::start(Time now) {
  ++clients_;
  if (!zero_) {
    zero_ = now + options_.lead;
  }
}

bool Call::finished() const noexcept {
  return started() && flights_.empty() &&
         std::all_of(talkers_.begin(), talkers_.end(),
                     [](const auto& t) { return !t->present || !t->next; });
}

Deadline Call::next_deadline() const noexcept {
  Deadline out;
  if (!zero_) {
    return out;
  }
  if (!flights_.empty()) {
    out = flights_.top().at;
  }
  for (const auto& t : talkers_) {
    if (t->present && t->next) {
      out = earlier(out, *zero_ + t->next->due);
    }
  }
  return out;
}

void Call::launch(Talker& talker, Time now) {
  Packet packet = std::move(*talker.next);
  talker.next.reset();
  packet.sequence = static_cast<std::uint16_t>(packet.sequence + talker.inserted);
  SpeakerTruth& truth = talker.truth;
  const Time due = *zero_ + packet.due;

  if (packet.first_of_spurt) {
    const Spurt& source = talker.speaker.spurt_source(packet.spurt);
    SpurtRecord spurt;
    spurt.number = packet.spurt;
    spurt.pcm = source.pcm;
    spurt.first_frame = source.first_frame;
    spurt.frames = source.frames;
    spurt.due_ns = to_ns(due);
    spurt.first_record = truth.packets;
    truth.spurts.push_back(std::move(spurt));
  }
  FrameRecord record;
  record.kind = packet.kind;
  record.ssrc = packet.ssrc;
  record.sequence = packet.sequence;
  record.timestamp = packet.timestamp;
  record.ticks = packet.ticks;
  record.spurt = packet.spurt;
  record.pcm_frame = packet.pcm_frame;
  record.due_ns = to_ns(due);
  if (options_.keep_opus) {
    record.opus = packet.payload;
  }
  if (seal_) {
    seal_(talker, packet, now);
  }
  if (packet.protection == Protection::unsent) {
    ++truth.unsent;
    --talker.inserted;  // whoever sends nothing uses up no sequence number
    return;
  }
  if (packet.protection == Protection::sealed) {
    talker.last_sealed = packet.payload;
  }
  ++truth.spurts.back().records;
  send(talker, std::move(packet), std::move(record), due);
}

bool Call::insert(Talker& talker, Protection protection, Bytes payload, Time now) {
  SpeakerTruth& truth = talker.truth;
  if (!talker.present || truth.records.empty() || !talker.next) {
    return false;
  }
  Packet packet;
  packet.kind = Packet::Kind::hostile;
  packet.ssrc = talker.next->ssrc;
  packet.sequence = static_cast<std::uint16_t>(talker.next->sequence + talker.inserted++);
  packet.timestamp = truth.records.back().timestamp;
  packet.spurt = truth.records.back().spurt;
  packet.payload = std::move(payload);
  packet.protection = protection;
  FrameRecord record;
  record.kind = packet.kind;
  record.ssrc = packet.ssrc;
  record.sequence = packet.sequence;
  record.timestamp = packet.timestamp;
  record.spurt = packet.spurt;
  record.due_ns = to_ns(now);
  ++truth.spurts.back().records;
  send(talker, std::move(packet), std::move(record), now);
  return true;
}

void Call::send(Talker& talker, Packet packet, FrameRecord record, Time due) {
  SpeakerTruth& truth = talker.truth;
  record.protection = packet.protection;
  record.group = packet.group;
  record.epoch = packet.epoch;
  const Fate fate = talker.network.next(due.time_since_epoch());
  record.lost = fate.lost;
  const std::size_t number = truth.packets++;
  if (fate.lost) {
    ++truth.lost;
  } else {
    if (fate.duplicate_at) {
      flights_.push({Time(*fate.duplicate_at), order_++, &talker, number, packet, true});
    }
    flights_.push({Time(fate.at), order_++, &talker, number, std::move(packet), false});
  }
  truth.records.push_back(std::move(record));
  if (truth.records.size() > options_.keep_records) {
    truth.records.pop_front();
    ++talker.records_dropped;
  }
}

void Call::deliver(Flight& flight, Time now, const Forward& forward) {
  const Packet& packet = flight.packet;
  const bool hostile =
      packet.kind == Packet::Kind::hostile || packet.protection == Protection::passthrough;
  const bool openable = !hostile && !packet.payload.empty() && (!openable_ || openable_(packet));
  const unsigned copies = forward(packet);
  SpeakerTruth& truth = flight.talker->truth;
  if (copies == 0) {
    truth.not_forwarded += flight.duplicate ? 0 : 1;
    return;
  }
  if (flight.duplicate) {
    ++truth.duplicated;
  } else {
    ++truth.delivered;
    if (flight.packet.kind == Packet::Kind::speech || flight.packet.kind == Packet::Kind::dtx) {
      truth.samples += static_cast<std::uint64_t>(flight.packet.ticks);
    }
    truth.openable += openable;
    truth.sealed += packet.protection == Protection::sealed;
    truth.passthrough += packet.protection == Protection::passthrough;
    truth.forged += packet.protection == Protection::forged;
    truth.replayed += packet.protection == Protection::replayed;
    truth.foreign_keys += packet.protection == Protection::sealed && !openable;
  }
  if (flight.record < flight.talker->records_dropped) {
    return;
  }
  const std::size_t index = flight.record - flight.talker->records_dropped;
  FrameRecord& record = truth.records[index];
  record.copies += copies;
  record.openable = record.openable || openable;
  if (record.sent_ns == 0) {
    record.sent_ns = to_ns(now);
    record.clients = clients_;
    record.left_ns = clock_ ? to_ns(clock_()) : record.sent_ns;
    // A successor that has left already means that this one was overtaken.
    if (index + 1 < truth.records.size() && truth.records[index + 1].sent_ns != 0) {
      record.displaced = true;
      ++truth.displaced;
    }
  }
  for (auto spurt = truth.spurts.rbegin(); spurt != truth.spurts.rend(); ++spurt) {
    if (spurt->number == flight.packet.spurt) {
      if (spurt->start_ns == 0) {
        spurt->start_ns = to_ns(now);
      }
      break;
    }
  }
}

void Call::advance(Time now, const Forward& forward) {
  if (!zero_) {
    return;
  }
  bool more = true;
  while (more) {
    for (const auto& t : talkers_) {
      if (t->present && t->next && *zero_ + t->next->due <= now) {
        launch(*t, now);
      }
    }
    while (!flights_.empty() && flights_.top().at <= now) {
      Flight flight = flights_.top();
      flights_.pop();
      deliver(flight, now, forward);
    }
    // Encoding comes after sending, so that it delays nobody's packet.
    more = false;
    for (const auto& t : talkers_) {
      if (!t->present || t->truth.finished) {
        continue;
      }
      if (!t->next) {
        t->next = t->speaker.next();
        t->truth.finished = !t->next;
      }
      more = more || (t->next && *zero_ + t->next->due <= now);
    }
  }
}

Talker& Call::add(TalkerOptions options, Time now) {
  if (zero_ && now > *zero_) {
    for (Spurt& spurt : options.speaker.spurts) {
      spurt.start += now - *zero_;
    }
  }
  talkers_.push_back(std::make_unique<Talker>(
      std::move(options), derive_seed(seed_, "talker", talkers_.size()), options_.network));
  return *talkers_.back();
}

void Call::leave(Talker& talker) {
  talker.present = false;
  talker.last_sealed.clear();
  talker.announced = false;
}

void Call::rejoin(Talker& talker, std::uint32_t ssrc, Time now) {
  talker.speaker.rejoin(ssrc, zero_ && now > *zero_ ? now - *zero_ : Duration{0});
  talker.truth.ssrc = ssrc;
  talker.next = talker.speaker.next();
  talker.truth.finished = !talker.next;
  talker.present = true;
}

void Call::set_network(const NetworkOptions& network) {
  options_.network = network;
  for (const auto& t : talkers_) {
    t->network.set_options(network);
  }
}

}  // namespace discord::loopback
