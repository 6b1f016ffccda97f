/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_DISCORD_DECRYPT (gst_discord_decrypt_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordDecrypt, gst_discord_decrypt, GST, DISCORD_DECRYPT, GstElement)

GST_ELEMENT_REGISTER_DECLARE(discorddecrypt)

G_END_DECLS
