// The properties of discordworkerdec, but for the key and the statistics.
#pragma once

#include "worker/pool.hpp"

#include <gst/gst.h>
#include <string>

typedef enum {
  GST_DISCORD_ISOLATION_PROCESS,
  GST_DISCORD_ISOLATION_NONE,
} GstDiscordIsolation;

#define GST_TYPE_DISCORD_ISOLATION (gst_discord_isolation_get_type())
GType gst_discord_isolation_get_type(void);

namespace discord {

// What an application has set. Copied under the element's object lock.
struct WorkerSettings {
  guint latency = 100;  // ms, as the others
  guint hold_time = 2000;
  guint max_speakers = 256;
  guint max_workers = 0;  // as many as there are processors
  guint idle_timeout = 30000;
  guint worker_timeout = 500;
  guint max_restarts = 30;
  bool decode = true;
  bool require_sandbox = false;
  GstDiscordIsolation isolation = GST_DISCORD_ISOLATION_PROCESS;

  static constexpr guint property_count = 10;
  // Installs them under `first` and the numbers behind it.
  static void install(GObjectClass* object_class, guint first);
  // `index` counts from 0 in the same order; false when there is no such property.
  bool set(guint index, const GValue* value);
  bool get(guint index, GValue* value) const;
  // Those that take effect at once.
  static bool is_time(guint index) noexcept { return index < 2; }

  worker::PoolConfig pool_config() const;
};

}  // namespace discord
