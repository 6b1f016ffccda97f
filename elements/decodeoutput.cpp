// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/decodeoutput.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "elements/lostevents.hpp"
#include "elements/speakingnews.hpp"
#include "rtp/header.hpp"

#include <algorithm>
#include <utility>

namespace discord {

namespace {

BufferPtr copy_bytes(ByteSpan bytes, std::size_t in_front = 0) {
  BufferPtr buffer(gst_buffer_new_allocate(nullptr, in_front + bytes.size(), nullptr));
  gst_buffer_fill(buffer.get(), in_front, bytes.data(), bytes.size());
  return buffer;
}

GstClockTime running_time(Time t) noexcept {
  return static_cast<GstClockTime>(std::max<std::int64_t>(to_ns(t), 0));
}

BufferPtr rtp_buffer(const media::DecodedFrame& frame) {
  BufferPtr buffer = copy_bytes(frame.opus, rtp::fixed_header_size);
  rtp::Header header;
  header.payload_type = 120;
  header.marker = frame.marker;
  header.sequence = static_cast<std::uint16_t>(frame.sequence);
  header.timestamp = frame.timestamp;
  header.ssrc = frame.ssrc;
  const MappedBuffer map(buffer.get(), GST_MAP_WRITE);
  rtp::write_header(header, MutableByteSpan(map.data(), rtp::fixed_header_size));
  return buffer;
}

const char* name_of(worker::WorkerEvent::What what) noexcept {
  switch (what) {
    case worker::WorkerEvent::What::started:
      return "started";
    case worker::WorkerEvent::What::lost:
      return "lost";
    case worker::WorkerEvent::What::replaced:
      return "replaced";
    case worker::WorkerEvent::What::left:
      return "left";
    case worker::WorkerEvent::What::skipped:
      return "skipped";
    case worker::WorkerEvent::What::muted:
      break;
  }
  return "muted";
}

}  // namespace

void DecodeOutput::set_live(bool live) {
  Lock lock(mutex_);
  live_ = live;
}

void DecodeOutput::set_same_thread(bool same) {
  Lock lock(mutex_);
  same_thread_ = same;
}

void DecodeOutput::set_flushing(bool flushing) {
  std::deque<Item> dropped;
  {
    Lock lock(mutex_);
    flushing_ = flushing;
    dropped.swap(items_);
    while (std::optional<Item> item = held_.take(std::nullopt)) {
      dropped.push_back(std::move(*item));
    }
  }
  arrived_.notify_all();
  changed_.notify_all();
}

void DecodeOutput::add(Item item) {
  {
    Lock lock(mutex_);
    hand_on(lock, std::move(item));
  }
  arrived_.notify_one();
}

void DecodeOutput::flush() {
  {
    Lock lock(mutex_);
    if (!std::exchange(unannounced_, false)) {
      return;
    }
  }
  arrived_.notify_one();
}

// One engine in this process brings everything in order, and live nobody is ahead.
void DecodeOutput::append(Item item, std::uint32_t ssrc, GstClockTime when) {
  Lock lock(mutex_);
  if (live_ || same_thread_) {
    hand_on(lock, std::move(item));
  } else if (!flushing_) {
    held_.add(ssrc, time_from_ns(static_cast<std::int64_t>(when)), std::move(item));
  }
}

void DecodeOutput::hand_on(Lock& lock, Item item) {
  if (std::holds_alternative<BufferPtr>(item) && !same_thread_) {
    if (live_ && items_.size() >= max_waiting) {
      ++dropped_;
      return;
    }
    if (items_.size() >= max_waiting) {
      arrived_.notify_one();  // whoever is to make room must know that there is something
      changed_.wait(lock.native(), [this] { return flushing_ || items_.size() < max_waiting; });
    }
  }
  if (flushing_) {
    return;
  }
  items_.push_back(std::move(item));
  unannounced_ = true;
}

void DecodeOutput::release_before(Deadline until) {
  Lock lock(mutex_);
  while (std::optional<Item> item = held_.take(until)) {
    hand_on(lock, std::move(*item));
  }
}

void DecodeOutput::release() {
  release_before(std::nullopt);
  flush();
}

bool DecodeOutput::take(Item& item) {
  Lock lock(mutex_);
  arrived_.wait(lock.native(), [this] { return flushing_ || !items_.empty(); });
  if (flushing_) {
    return false;
  }
  item = std::move(items_.front());
  items_.pop_front();
  if (items_.size() == max_waiting - 1 || items_.size() == max_waiting / 2 - 1) {
    changed_.notify_all();
  }
  return true;
}

bool DecodeOutput::try_take(Item& item) {
  Lock lock(mutex_);
  if (flushing_ || items_.empty()) {
    return false;
  }
  item = std::move(items_.front());
  items_.pop_front();
  return true;
}

void DecodeOutput::wait_until(const std::function<bool()>& ready) {
  for (;;) {
    std::uint64_t seen = 0;
    {
      Lock lock(mutex_);
      if (flushing_) {
        return;
      }
      seen = batches_;
    }
    // Without the lock: it may ask the pool, whose dispatcher may be about to call us.
    if (ready()) {
      return;
    }
    Lock lock(mutex_);
    waiting_ = true;
    changed_.wait(lock.native(), [&] { return flushing_ || batches_ != seen; });
    waiting_ = false;
  }
}

void DecodeOutput::wait_for_room() {
  Lock lock(mutex_);
  changed_.wait(lock.native(), [this] { return flushing_ || items_.size() < max_waiting / 2; });
}

std::uint64_t DecodeOutput::dropped() const {
  Lock lock(mutex_);
  return dropped_;
}

void DecodeOutput::frame(const media::DecodedFrame& frame) {
  const auto position = [](std::int64_t sample) {
    return static_cast<GstClockTime>(media::duration_from_samples(sample).count());
  };
  if (frame.lost_packets > 0) {
    LostStretch lost;
    lost.ssrc = frame.ssrc;
    lost.user_id = frame.user_id;
    lost.first_sequence = static_cast<std::uint16_t>(frame.sequence);
    lost.sample = frame.sample;
    lost.concealed = frame.samples;
    lost.packets = frame.lost_packets;
    lost.each = frame.lost_each;
    announce_lost(lost, position, [&](EventPtr event) {
      append(std::move(event), frame.ssrc, position(std::max<std::int64_t>(frame.sample, 0)));
    });
    return;
  }
  const bool decoded = !frame.pcm.empty();
  BufferPtr buffer = decoded ? copy_bytes({reinterpret_cast<const std::uint8_t*>(frame.pcm.data()),
                                           frame.pcm.size_bytes()})
                             : rtp_buffer(frame);
  GST_BUFFER_PTS(buffer.get()) = position(frame.sample);
  GST_BUFFER_DURATION(buffer.get()) =
      static_cast<GstClockTime>(media::duration_from_samples(frame.samples).count());
  if (frame.discont) {
    GST_BUFFER_FLAG_SET(buffer.get(), GST_BUFFER_FLAG_DISCONT);
  }
  if (frame.resync && !decoded) {
    GST_BUFFER_FLAG_SET(buffer.get(), GST_BUFFER_FLAG_RESYNC);
  }
  GstDiscordSpeakerMeta* meta =
      gst_buffer_add_discord_speaker_meta(buffer.get(), frame.ssrc, frame.user_id);
  switch (frame.kind) {
    case media::FrameKind::audio:
      meta->kind = GST_DISCORD_FRAME_AUDIO;
      break;
    case media::FrameKind::fec:
      meta->kind = GST_DISCORD_FRAME_FEC;
      break;
    case media::FrameKind::plc:
      meta->kind = GST_DISCORD_FRAME_PLC;
      break;
    case media::FrameKind::silence:
      meta->kind = GST_DISCORD_FRAME_SILENCE;
      break;
  }
  meta->audio_level = frame.audio_level;
  meta->speaking_flags = frame.speaking_flags;
  if (decoded && !frame.opus.empty()) {
    meta->packet = copy_bytes(frame.opus).release();
    meta->sequence = static_cast<guint16>(frame.sequence);
    meta->rtp_timestamp = frame.timestamp;
  }
  append(std::move(buffer), frame.ssrc, GST_BUFFER_PTS(buffer.get()));
}

void DecodeOutput::speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) {
  const SpeakingNews news{ssrc, user_id, speaking, when};
  const GstClockTime at = running_time(when);
  append(speaking_message(element_, news), ssrc, at);
  append(speaking_event(news), ssrc, at);
}

void DecodeOutput::rtcp(ByteSpan compound, Time arrival) {
  BufferPtr buffer = copy_bytes(compound);
  const GstClockTime at = running_time(arrival);
  GST_BUFFER_PTS(buffer.get()) = at;
  append(Rtcp{std::move(buffer)}, 0, at);
}

void DecodeOutput::deadline(Deadline next, Deadline unsettled) {
  release_before(unsettled);
  bool waited_for = false;
  {
    Lock lock(mutex_);
    ++batches_;
    waited_for = waiting_;
  }
  flush();
  if (waited_for) {
    changed_.notify_all();
  }
  if (next) {
    due_(*next);
  }
}

void DecodeOutput::event(const worker::WorkerEvent& event) {
  flush();  // a worker that was lost may not have ended its batch
  gst_element_post_message(
      element_,
      gst_message_new_element(
          GST_OBJECT_CAST(element_),
          gst_structure_new("discord-worker", "event", G_TYPE_STRING, name_of(event.what), "pid",
                            G_TYPE_INT, event.pid, "reason", G_TYPE_STRING, event.reason.c_str(),
                            "blamed", G_TYPE_BOOLEAN, gboolean{event.blamed}, "ssrc", G_TYPE_UINT,
                            event.ssrc, "packets-again", G_TYPE_UINT64,
                            static_cast<guint64>(event.packets_again), "pause", GST_TYPE_CLOCK_TIME,
                            static_cast<GstClockTime>(event.pause.count()), nullptr)));
}

void DecodeOutput::undecryptable(std::uint64_t user_id) {
  recover_(user_id);
}

void DecodeOutput::failed(const std::string& reason) {
  GST_ELEMENT_ERROR(element_, STREAM, DECODE, ("%s", reason.c_str()), (nullptr));
  deadline(std::nullopt, std::nullopt);  // nobody waits for frames that will not come
}

}  // namespace discord
