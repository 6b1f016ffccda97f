/* gst-discord: the bot token, for elements that an application cannot reach
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/discord/discord-prelude.h>

G_BEGIN_DECLS

/**
 * GST_DISCORD_BOT_TOKEN_CONTEXT_TYPE:
 *
 * Type of the context by which an application gives `discordvoicebin` a bot token where it has no
 * element to set a property of: behind an URI `discord://guild/channel`. Set it on the pipeline
 * with gst_element_set_context(), or answer %GST_MESSAGE_NEED_CONTEXT with it.
 *
 * Its structure has `bot-token-file` (string, the path of a file that holds the token) or
 * `bot-token` (an object that gives nothing away: contexts are logged and printed), and may have
 * `gateway-url` (string), where that bot connects in place of Discord's own gateway.
 *
 * Since: 0.1
 */
#define GST_DISCORD_BOT_TOKEN_CONTEXT_TYPE "gst.discord.BotToken"

/**
 * gst_discord_bot_token_context_new:
 * @token: the token of a bot
 *
 * The copy that is kept is wiped with the context.
 *
 * Returns: (transfer full): a persistent context
 * Since: 0.1
 */
GST_DISCORD_API
GstContext* gst_discord_bot_token_context_new(const gchar* token);

/**
 * gst_discord_bot_token_context_new_from_file:
 * @path: (type filename): a file that holds the token of a bot
 *
 * The file is read when a call starts; what is wrong with it is an error of the element then.
 *
 * Returns: (transfer full): a persistent context
 * Since: 0.1
 */
GST_DISCORD_API
GstContext* gst_discord_bot_token_context_new_from_file(const gchar* path);

G_END_DECLS
