/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_DISCORD_WORKER_DEC (gst_discord_worker_dec_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordWorkerDec, gst_discord_worker_dec, GST, DISCORD_WORKER_DEC,
                     GstElement)

GST_ELEMENT_REGISTER_DECLARE(discordworkerdec)

G_END_DECLS
