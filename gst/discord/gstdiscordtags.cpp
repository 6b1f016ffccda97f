// SPDX-License-Identifier: LGPL-2.1-or-later
#include "discord/gstdiscordtags.h"

void gst_discord_tags_register(void) {
  if (!gst_tag_exists(GST_TAG_DISCORD_USER_ID)) {
    gst_tag_register_static(GST_TAG_DISCORD_USER_ID, GST_TAG_FLAG_META, G_TYPE_STRING,
                            "Discord user id", "Snowflake of the user who speaks in this stream",
                            nullptr);
  }
}
