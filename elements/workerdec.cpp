// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/workerdec.hpp"

#include "elements/downstream.hpp"
#include "elements/ledgerstats.hpp"
#include "elements/outputbatch.hpp"

#include <algorithm>
#include <optional>

GST_DEBUG_CATEGORY_EXTERN(discord_worker_dec_debug);
#define GST_CAT_DEFAULT discord_worker_dec_debug

namespace discord {

namespace {

// Records that may be on their way to workers before a source that is not live has to wait.
constexpr std::size_t max_queued = 512;
// How often what is in `stats` is also posted.
constexpr Duration stats_interval = std::chrono::seconds(10);

}  // namespace

WorkerSettings WorkerDec::current_settings() const {
  GST_OBJECT_LOCK(element);
  const WorkerSettings out = settings;
  GST_OBJECT_UNLOCK(element);
  return out;
}

void WorkerDec::start_engine() {
  const WorkerSettings s = current_settings();
  const worker::PoolConfig config = s.pool_config();
  std::shared_ptr<DecodeEngine> made = s.isolation == GST_DISCORD_ISOLATION_NONE
                                           ? make_local_engine(config.receiver, output)
                                           : make_worker_engine(config, output);
  if (const auto& key = own_key.key()) {
    made->set_key(0, key->mode, key->key, Time{});
  }
  same_thread = s.isolation == GST_DISCORD_ISOLATION_NONE;
  output.set_same_thread(same_thread);
  call.reset_report();
  seen_rule = filter.version();
  follower = CallFollower(filter.rule());
  follower.tell_rule(Time{}, *made);
  call.reset();
  Lock lock(mutex);
  engine = std::move(made);
}

void WorkerDec::stop_engine() {
  std::shared_ptr<DecodeEngine> old;
  {
    Lock lock(mutex);
    old = std::move(engine);
    if (old) {
      last_ledger = old->ledger();
      last_speakers = old->speakers();
    }
  }
}

void WorkerDec::find_call() {
  if (own_key.key()) {
    call.drop();
  } else {
    call.find(sinkpad);
  }
}

// Something has changed in the call, or in who is to be heard.
bool WorkerDec::news() const {
  return filter.version() != seen_rule || call.news();
}

void WorkerDec::synchronise(DecodeEngine& e, Time now) {
  if (const std::uint64_t rule = filter.version(); rule != seen_rule) {
    seen_rule = rule;
    for (EventPtr& name : follower.use_rule(filter.rule(), now, e)) {
      output.add(std::move(name));
    }
  }
  if (const CallState::SnapshotPtr view = call.take()) {
    follower.apply(*view, now, e);
  }
}

// The way back to whoever looks after the group; the engine found it on a thread of its own.
void WorkerDec::ask_for_recovery() {
  if (const std::uint64_t user = undecryptable.exchange(0)) {
    call.report_undecryptable(user);
  }
}

void WorkerDec::on_timer(GstClockTime now) {
  GST_PAD_STREAM_LOCK(sinkpad);
  ask_for_recovery();
  const auto e = current();
  if (e && timing.live() && GST_CLOCK_TIME_IS_VALID(now)) {
    const Time time = time_from_ns(static_cast<std::int64_t>(now));
    synchronise(*e, time);
    e->advance(time);
    hand_on();
    // Workers say what is next when they have answered.
    if (const Deadline next = e->next_deadline(); next && *next > time) {
      arm(*next);
    }
  }
  GST_PAD_STREAM_UNLOCK(sinkpad);
}

// As many at once as belong together: for each one the engine takes a lock that its own thread
// wants as well, and wakes a worker.
void WorkerDec::hand_over(DecodeEngine& e, const std::vector<BufferPtr>& datagrams) {
  std::vector<std::optional<MappedBuffer>> maps(datagrams.size());
  std::vector<worker::Arrival> together;
  together.reserve(datagrams.size());
  const auto flush = [&] {
    if (!together.empty()) {
      e.push(together);
      together.clear();
    }
  };
  // Noticing late that there is a new one changes nothing: what is due is done at its time.
  Deadline due = e.next_deadline();
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    const Time arrival = timing.arrival(datagrams[i].get(), last_arrival);
    last_arrival = std::max(last_arrival, arrival);
    const bool is_due = due && *due <= last_arrival;
    const bool changed = news();
    if (is_due || changed) {
      flush();
      if (changed && !timing.live()) {
        // A worker that is only being started is told of the call as it is by then; what lies
        // before the change in the file belongs to the call as it was.
        output.wait_until([&] { return e.queued() == 0; });
      }
      synchronise(e, last_arrival);
      if (is_due) {
        e.advance(last_arrival);
      }
      due = e.next_deadline();
    }
    maps[i].emplace(datagrams[i].get(), GST_MAP_READ);
    together.push_back(
        {*maps[i] ? ByteSpan(maps[i]->data(), maps[i]->size()) : ByteSpan(), arrival});
  }
  flush();
}

GstFlowReturn WorkerDec::process(std::vector<BufferPtr> datagrams) {
  if (!call && !own_key.key()) {
    find_call();
    if (!call) {
      GST_ELEMENT_ERROR(element, STREAM, DECRYPT_NOKEY,
                        ("There is no key: put discordvoicesrc upstream, or set mode and "
                         "secret-key-file for a capture."),
                        (nullptr));
      return GST_FLOW_ERROR;
    }
  }
  const auto e = current();
  if (!e) {
    return GST_FLOW_FLUSHING;
  }
  hand_over(*e, datagrams);
  hand_on();
  ask_for_recovery();
  call.report(last_arrival, [&] { return e->ledger(); });
  if (last_arrival - last_stats >= stats_interval) {
    last_stats = last_arrival;
    post_stats();
  }
  if (timing.live()) {
    if (const Deadline next = e->next_deadline()) {
      arm(*next);
    }
  } else {
    // Woken seldom and then for much.
    if (e->queued() >= max_queued) {
      output.wait_until([&] { return e->queued() < max_queued / 2; });
    }
    output.wait_for_room();
  }
  return flow;
}

// False when the task should rest.
bool WorkerDec::push_item(DecodeOutput::Item item) {
  GstFlowReturn result = GST_FLOW_OK;
  if (auto* buffer = std::get_if<BufferPtr>(&item)) {
    result = gst_pad_push(srcpad, buffer->release());
  } else if (auto* event = std::get_if<EventPtr>(&item)) {
    gst_pad_push_event(srcpad, event->release());
  } else if (auto* message = std::get_if<MessagePtr>(&item)) {
    gst_element_post_message(element, message->release());
  } else {
    std::vector<BufferPtr> compounds;
    compounds.push_back(std::move(std::get<DecodeOutput::Rtcp>(item).buffer));
    rtcp.push(srcpad, std::move(compounds));
  }
  if (result != GST_FLOW_OK) {
    flow = result;
    output.set_flushing(true);
    if (result == GST_FLOW_NOT_LINKED || result < GST_FLOW_EOS) {
      GST_ELEMENT_FLOW_ERROR(element, result);
    }
  }
  return result == GST_FLOW_OK;
}

// What the engine has brought goes on: by this thread, or by the task, which is told.
void WorkerDec::hand_on() {
  if (!same_thread) {
    output.flush();
    return;
  }
  DecodeOutput::Item item;
  while (output.try_take(item) && push_item(std::move(item))) {
  }
}

GstStructure* WorkerDec::stats() {
  GstStructure* out = gst_structure_new_empty("application/x-discordworkerdec-stats");
  media::Ledger ledger;
  std::vector<media::SpeakerStats> speakers;
  std::shared_ptr<DecodeEngine> e;
  {
    Lock lock(mutex);
    e = engine;
    ledger = last_ledger;
    speakers = last_speakers;
  }
  if (e) {
    ledger = e->ledger();
    speakers = e->speakers();
  }
  add_ledger(out, ledger);
  add_speakers(out, speakers);
  gst_structure_set(out, "workers", G_TYPE_UINT, static_cast<guint>(e ? e->workers() : 0),
                    "restarts", G_TYPE_UINT, e ? e->restarts() : 0U, "frames-dropped",
                    G_TYPE_UINT64, static_cast<guint64>(output.dropped()), nullptr);
  return out;
}

void WorkerDec::post_stats() {
  GstStructure* s = stats();
  gst_structure_set_name(s, "discord-stats");
  gst_element_post_message(element, gst_message_new_element(GST_OBJECT_CAST(element), s));
}

// The caps feature keeps most stock elements away, but some sinks take any caps.
void WorkerDec::warn_of_strangers() {
  if (const auto sink = sink_of_mixed_up_speakers(srcpad)) {
    GST_ELEMENT_WARNING(
        element, STREAM, FORMAT,
        ("%s takes the sound of all speakers as one: put discordssrcdemux before it for a pad per "
         "speaker, or discordrecordsink in its place for a file per speaker.",
         sink->c_str()),
        (nullptr));
  }
}

}  // namespace discord
