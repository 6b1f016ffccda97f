#include "worker/lane.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace discord::worker {

void Lane::start(std::shared_ptr<WorkerProcess> worker, std::size_t channel, bool configured,
                 Monotonic now) {
  worker_ = std::move(worker);
  channel_ = &worker_->channel(channel);
  last_progress_ = now;
  inputs_sent_ = configured ? 1 : 0;  // the settings
  inputs_done_ = 0;
  answered_until_ = 0;
  if (!configured) {
    control(configure_of(settings_.receiver));
  }
  const std::int64_t time = to_ns(settings_.now);
  control(NeedUsers{time, settings_.needs_users ? 1u : 0u, 0});
  for (const auto& [user, admission] : settings_.admissions) {
    control(Admit{user, time, static_cast<std::uint32_t>(admission), 0});
  }
  for (const auto& [ssrc, user] : settings_.users) {
    control(MapUser{user, time, ssrc, 0});
  }
  epochs_.clear();
  send_media_keys();
  for (const auto& [user, marks] : settings_.marks) {
    send_marks(user, marks);
  }
  control(SetTimes{settings_.receiver.ingress.hold.hold_time.count(),
                   settings_.receiver.latency.count()});
  send_key();
  for (auto& [ssrc, mirror] : mirrors_) {
    mirror.known = false;
    mirror.end = mirror.complete ? mirror.checkpoint.timeline.end : 0;
    if (mirror.checkpoint.speaking.speaking != 0) {
      introduce(ssrc, mirror);
    }
  }
  for (OpenPacket& open : open_) {
    if (!open.done) {
      queue_datagram(open);
    }
  }
  if (draining_) {
    control(Drain{time});
  }
  pump(now);
}

std::uint64_t Lane::lose(bool blamed) {
  std::uint64_t suspect = worker_ ? channel_->working_on() : 0;
  if ((suspect & warming_up) != 0) {
    // It died of what was only to be heard again: the next one does without.
    Mirror* heard = mirrors_.find(static_cast<std::uint32_t>(suspect));
    if (blamed && heard != nullptr) {
      heard->last.clear();
    }
    suspect = 0;
  }
  fold();
  worker_.reset();
  pending_.clear();
  secret_until_.clear();
  deadline_.reset();
  channel_ = nullptr;
  answered_until_ = 0;
  for (OpenPacket& open : open_) {
    open.delivered = open.delivered || open.frames > 0;
    open.frames = 0;
    open.input = 0;
  }
  for (auto& [ssrc, mirror] : mirrors_) {
    mirror.fold();
  }
  return open_.find(suspect) != nullptr ? suspect : 0;
}

// What the lost worker had counted stays; what it had not finished, its successor counts.
void Lane::fold() {
  current_.received -= current_.held + current_.in_flight;
  current_.held = current_.in_flight = 0;
  base_ += current_;
  current_ = {};
  const std::uint64_t known = base_.received + skipped_ + open_.count();
  if (received_ > known) {
    // It finished some without saying how; a worker that lies must not make packets vanish.
    skipped_ += received_ - known;
  }
}

media::Ledger Lane::ledger() const noexcept {
  media::Ledger out = base_;
  out += current_;
  out.in_flight += received_ - skipped_ - out.received;
  out.skipped += skipped_;
  out.received = received_;
  return out;
}

void Lane::skip(std::uint64_t id) {
  if (OpenPacket* open = open_.find(id)) {
    ++skipped_;
    if (Mirror* mirror = mirrors_.find(open->ssrc); mirror != nullptr && !mirror->excluded) {
      ++mirror->base.received;
      ++mirror->base.skipped;
    }
    open_.close(*open);
  }
}

std::uint32_t Lane::ssrc_of(std::uint64_t id) const noexcept {
  const OpenPacket* open = open_.find(id);
  return open != nullptr ? open->ssrc : 0;
}

unsigned Lane::count_death(std::uint64_t id) noexcept {
  OpenPacket* open = open_.find(id);
  return open != nullptr ? ++open->deaths : 0;
}

bool Lane::push(ByteSpan datagram, std::uint32_t ssrc, Time arrival) {
  const OpenPacket* open = open_.add(datagram, ssrc, arrival);
  if (open == nullptr) {
    return false;
  }
  ++received_;
  newest_ = std::max(newest_, arrival);
  if (running()) {
    queue_datagram(*open);
  }
  return true;
}

void Lane::queue(std::uint32_t type, ByteSpan body, std::uint64_t id) {
  queue({type, Bytes(body.begin(), body.end()), id});
}

void Lane::queue(Pending pending) {
  if (!pending_.empty() || !send(pending)) {
    pending_.push_back(std::move(pending));
  }
}

void Lane::queue_datagram(const OpenPacket& open) {
  if (Mirror* mirror = mirrors_.find(open.ssrc); mirror != nullptr && !mirror->known) {
    introduce(open.ssrc, *mirror);
  }
  queue(type_of<Input, Datagram>(), {}, open.id);
}

// Hands a successor what it must know of a speaker.
void Lane::introduce(std::uint32_t ssrc, Mirror& mirror) {
  mirror.known = true;
  if (!mirror.complete) {
    return;
  }
  Restore restore;
  restore.ssrc = ssrc;
  restore.now = to_ns(settings_.now);
  restore.checkpoint = mirror.checkpoint;
  restore.history = mirror.history.save();
  control(restore);
  for (const Bytes& opus : mirror.last) {
    const WarmUpHead head{ssrc, 0};
    Bytes body(sizeof head + opus.size());
    std::memcpy(body.data(), &head, sizeof head);
    std::memcpy(body.data() + sizeof head, opus.data(), opus.size());
    queue(type_of<Input, WarmUp>(), body, 0);
  }
}

bool Lane::send(Pending& pending) {
  std::optional<std::uint32_t> slot;
  if (!pending.secret.empty()) {
    slot = channel_->put_secret(pending.secret.view());
    if (!slot) {
      return false;  // until the worker has taken some
    }
    std::memcpy(pending.body.data() + pending.slot_at, &*slot, sizeof *slot);
  }
  ByteSpan body = pending.body;
  DatagramHead head;
  OpenPacket* open = nullptr;
  if (pending.id != 0) {
    open = open_.find(pending.id);
    if (open == nullptr) {
      return true;  // given up meanwhile
    }
    head = {open->id, to_ns(open->arrival)};
    body = open->bytes;
  }
  const std::size_t head_size = pending.id != 0 ? sizeof head : 0;
  const MutableByteSpan to = channel_->input().reserve(pending.type, head_size + body.size());
  if (to.empty()) {
    if (slot) {
      channel_->wipe_secret(*slot);
    }
    return false;
  }
  std::memcpy(to.data(), &head, head_size);
  if (!body.empty()) {
    std::memcpy(to.data() + head_size, body.data(), body.size());
  }
  was_idle_ = was_idle_ || inputs_sent_ == inputs_done_;
  ++inputs_sent_;
  if (open != nullptr) {
    open->input = inputs_sent_;
  }
  if (slot) {
    secret_until_[*slot] = inputs_sent_;
  }
  return true;
}

void Lane::pump(Monotonic now) {
  if (!running()) {
    return;
  }
  while (!pending_.empty() && send(pending_.front())) {
    pending_.pop_front();
  }
  if (channel_->input().unpublished()) {
    if (std::exchange(was_idle_, false)) {
      last_progress_ = now;
    }
    channel_->input().publish();
    worker_->wake();
  }
}

void Lane::send_key() {
  if (!running()) {
    return;
  }
  if (!settings_.key) {
    control(ClearKey{});
    return;
  }
  const auto& key = *settings_.key;
  control_with_secret(
      SetKey{key.generation, to_ns(settings_.now), static_cast<std::uint32_t>(key.mode), 0},
      SecretBytes(ByteSpan(key.key.view())));
}

void Lane::send_media_keys() {
  if (!running()) {
    return;
  }
  const auto ns = [](Deadline d) { return d ? to_ns(*d) : no_deadline; };
  UseEpochs use;
  use.now = to_ns(settings_.now);
  use.published = to_ns(settings_.now + settings_.key_clock);
  std::vector<std::shared_ptr<const dave::EpochKeys>> in_use;
  if (settings_.keys) {
    const dave::MediaKeys& keys = *settings_.keys;
    use.known = 1;
    use.active = keys.active ? 1 : 0;
    use.passthrough = keys.passthrough ? 1 : 0;
    use.passthrough_until = ns(keys.passthrough_until);
    for (std::size_t i = 0; i < std::min(keys.epochs.size(), use.serials.size()); ++i) {
      const std::shared_ptr<const dave::EpochKeys>& epoch = keys.epochs[i].keys;
      use.serials[i] = epoch->serial;
      use.expires[i] = ns(keys.epochs[i].expires);
      in_use.push_back(epoch);
      if (std::find(epochs_.begin(), epochs_.end(), epoch) != epochs_.end()) {
        continue;
      }
      control(BeginEpoch{epoch->serial, to_ns(epoch->made)});
      constexpr std::size_t size = dave::BaseSecret::size;
      for (std::size_t at = 0; at < epoch->senders.size(); at += senders_per_record) {
        AddSenders add;
        add.serial = epoch->serial;
        const std::size_t count = std::min(senders_per_record, epoch->senders.size() - at);
        SecretBytes secret(count * size);
        for (std::size_t n = 0; n < count; ++n) {
          const dave::SenderKey& sender = epoch->senders[at + n];
          add.users[n] = sender.user;
          std::copy_n(sender.base.data(), size, secret.writable().data() + n * size);
        }
        control_with_secret(add, std::move(secret));
      }
    }
  }
  epochs_ = std::move(in_use);
  control(use);
}

void Lane::adopt(std::uint64_t user) {
  const auto it = settings_.marks.find(user);
  if (it != settings_.marks.end() && it->second.heard_by != this) {
    it->second.heard_by = this;
    send_marks(user, it->second);
  }
}

void Lane::send_marks(std::uint64_t user, const CallSettings::Marks& marks) {
  for (const dave::SenderMark& mark : marks.epochs) {
    control(RestoreMark{user, mark.epoch, to_ns(settings_.now),
                        mark.expires ? to_ns(*mark.expires) : no_deadline, mark.window.save()});
  }
}

bool Lane::end_session(Monotonic now) {
  pending_.clear();
  control(EndSession{});
  pump(now);
  return pending_.empty();
}

void Lane::drain() {
  draining_ = true;
  control(Drain{to_ns(settings_.now)});
}

// Each is looked at once: what has been answered stays so.
Deadline Lane::oldest_queued() noexcept {
  const OpenPacket* open = open_.next(answered_until_);
  while (open != nullptr && open->input != 0 && open->input <= inputs_done_) {
    open = open_.next(open->id + 1);
  }
  answered_until_ = open != nullptr ? open->id : open_.next_id();
  return open != nullptr ? Deadline(open->arrival) : Deadline();
}

void Lane::give_up() {
  while (!open_.empty()) {
    skip(open_.first_id());
  }
  draining_ = false;
}

}  // namespace discord::worker
