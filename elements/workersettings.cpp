// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/workersettings.hpp"

using namespace discord;

GType gst_discord_isolation_get_type(void) {
  static const GEnumValue values[] = {
      {GST_DISCORD_ISOLATION_PROCESS, "Locked-up worker processes", "process"},
      {GST_DISCORD_ISOLATION_NONE, "In this process", "none"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstDiscordIsolation", values);
  return type;
}

namespace discord {

namespace {

enum Index : guint {
  latency,
  hold_time,
  max_speakers,
  max_workers,
  idle_timeout,
  worker_timeout,
  max_restarts,
  decode,
  require_sandbox,
  isolation,
};

}  // namespace

void WorkerSettings::install(GObjectClass* object_class, guint first) {
  const auto flags = [](int mutability) {
    return static_cast<GParamFlags>(G_PARAM_READWRITE | mutability | G_PARAM_STATIC_STRINGS);
  };
  const GParamFlags ready = flags(GST_PARAM_MUTABLE_READY);
  const GParamFlags playing = flags(GST_PARAM_MUTABLE_PLAYING);
  const WorkerSettings standard;
  const auto number = [&](guint index, const char* name, const char* nick, const char* blurb,
                          guint least, guint most, guint value, GParamFlags f) {
    g_object_class_install_property(object_class, first + index,
                                    g_param_spec_uint(name, nick, blurb, least, most, value, f));
  };
  const auto flag = [&](guint index, const char* name, const char* nick, const char* blurb,
                        bool value) {
    g_object_class_install_property(object_class, first + index,
                                    g_param_spec_boolean(name, nick, blurb, value, ready));
  };
  number(Index::latency, "latency", "Latency",
         "How long a missing packet is waited for, in ms; 40 ms are added for the workers", 0, 5000,
         standard.latency, playing);
  number(Index::hold_time, "hold-time", "Hold time",
         "How long packets wait for their key, and in an encrypted call for their user, in ms", 0,
         60000, standard.hold_time, playing);
  number(Index::max_speakers, "max-speakers", "Maximum speakers",
         "How many SSRCs are kept; beyond it the longest idle one goes", 1, 65536,
         standard.max_speakers, ready);
  number(Index::max_workers, "max-workers", "Maximum workers",
         "How many worker processes there may be, without the spare; 0 = as many as processors", 0,
         1024, standard.max_workers, ready);
  number(Index::idle_timeout, "idle-timeout", "Idle timeout",
         "After how long without work a worker leaves, in ms; 0 = never", 0, G_MAXUINT,
         standard.idle_timeout, ready);
  number(Index::worker_timeout, "worker-timeout", "Worker timeout",
         "After how long without progress a worker is replaced, in ms", 10, 60000,
         standard.worker_timeout, ready);
  number(Index::max_restarts, "max-restarts", "Maximum restarts",
         "How many times a minute a worker may die of what it was given before it is an error", 0,
         G_MAXUINT, standard.max_restarts, ready);
  flag(Index::decode, "decode", "Decode",
       "Decode Opus; otherwise the authentic packets come out, in order", standard.decode);
  flag(Index::require_sandbox, "require-sandbox", "Require sandbox",
       "Fail where any part of the workers' sandbox is not available", standard.require_sandbox);
  g_object_class_install_property(
      object_class, first + Index::isolation,
      g_param_spec_enum("isolation", "Isolation", "Where packets are decrypted and decoded",
                        GST_TYPE_DISCORD_ISOLATION, standard.isolation, ready));
}

bool WorkerSettings::set(guint index, const GValue* value) {
  switch (index) {
    case Index::latency:
      latency = g_value_get_uint(value);
      return true;
    case Index::hold_time:
      hold_time = g_value_get_uint(value);
      return true;
    case Index::max_speakers:
      max_speakers = g_value_get_uint(value);
      return true;
    case Index::max_workers:
      max_workers = g_value_get_uint(value);
      return true;
    case Index::idle_timeout:
      idle_timeout = g_value_get_uint(value);
      return true;
    case Index::worker_timeout:
      worker_timeout = g_value_get_uint(value);
      return true;
    case Index::max_restarts:
      max_restarts = g_value_get_uint(value);
      return true;
    case Index::decode:
      decode = g_value_get_boolean(value) != FALSE;
      return true;
    case Index::require_sandbox:
      require_sandbox = g_value_get_boolean(value) != FALSE;
      return true;
    case Index::isolation:
      isolation = static_cast<GstDiscordIsolation>(g_value_get_enum(value));
      return true;
    default:
      return false;
  }
}

bool WorkerSettings::get(guint index, GValue* value) const {
  switch (index) {
    case Index::latency:
      g_value_set_uint(value, latency);
      return true;
    case Index::hold_time:
      g_value_set_uint(value, hold_time);
      return true;
    case Index::max_speakers:
      g_value_set_uint(value, max_speakers);
      return true;
    case Index::max_workers:
      g_value_set_uint(value, max_workers);
      return true;
    case Index::idle_timeout:
      g_value_set_uint(value, idle_timeout);
      return true;
    case Index::worker_timeout:
      g_value_set_uint(value, worker_timeout);
      return true;
    case Index::max_restarts:
      g_value_set_uint(value, max_restarts);
      return true;
    case Index::decode:
      g_value_set_boolean(value, decode);
      return true;
    case Index::require_sandbox:
      g_value_set_boolean(value, require_sandbox);
      return true;
    case Index::isolation:
      g_value_set_enum(value, isolation);
      return true;
    default:
      return false;
  }
}

worker::PoolConfig WorkerSettings::pool_config() const {
  worker::PoolConfig out;
  out.receiver.ingress.hold.hold_time = std::chrono::milliseconds(hold_time);
  out.receiver.ingress.max_speakers = max_speakers;
  out.receiver.latency = std::chrono::milliseconds(latency);
  out.receiver.decode = decode;
  out.program = worker::find_program();
  out.max_workers = max_workers != 0 ? max_workers : g_get_num_processors();
  out.idle_timeout = std::chrono::milliseconds(idle_timeout);
  out.worker_timeout = std::chrono::milliseconds(worker_timeout);
  out.max_restarts = max_restarts;
  out.require_sandbox = require_sandbox;
  return out;
}

}  // namespace discord
