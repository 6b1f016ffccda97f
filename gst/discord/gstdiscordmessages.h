/* gst-discord: what the elements post on the bus, read
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/discord/discord-prelude.h>

G_BEGIN_DECLS

/**
 * GstDiscordMessageType:
 * @GST_DISCORD_MESSAGE_NONE: not one of ours
 * @GST_DISCORD_MESSAGE_SESSION: the state of the connection has changed
 * @GST_DISCORD_MESSAGE_SPEAKING: somebody began or stopped to speak
 * @GST_DISCORD_MESSAGE_USER_JOINED: a user came into the call
 * @GST_DISCORD_MESSAGE_USER_LEFT: a user left the call
 * @GST_DISCORD_MESSAGE_USER_INFO: something was told about a user
 * @GST_DISCORD_MESSAGE_E2EE: the end-to-end encryption has changed
 * @GST_DISCORD_MESSAGE_WORKER: a worker process started, was lost or replaced
 * @GST_DISCORD_MESSAGE_FILE: a file is complete
 * @GST_DISCORD_MESSAGE_STATS: where every packet went
 *
 * Which of our element messages a message is.
 *
 * Since: 0.1
 */
typedef enum {
  GST_DISCORD_MESSAGE_NONE,
  GST_DISCORD_MESSAGE_SESSION,
  GST_DISCORD_MESSAGE_SPEAKING,
  GST_DISCORD_MESSAGE_USER_JOINED,
  GST_DISCORD_MESSAGE_USER_LEFT,
  GST_DISCORD_MESSAGE_USER_INFO,
  GST_DISCORD_MESSAGE_E2EE,
  GST_DISCORD_MESSAGE_WORKER,
  GST_DISCORD_MESSAGE_FILE,
  GST_DISCORD_MESSAGE_STATS,
} GstDiscordMessageType;

#define GST_TYPE_DISCORD_MESSAGE_TYPE (gst_discord_message_type_get_type())

GST_DISCORD_API
GType gst_discord_message_type_get_type(void);

/**
 * gst_discord_message_get_message_type:
 * @message: any message
 *
 * Which parse function fits @message. All functions here may be called from any thread; they change
 * nothing in the message.
 *
 * Each parse function returns %FALSE, and leaves what it was given as it was, if the message is
 * another one or lacks a field that it must have. Every out argument may be %NULL. Strings and
 * structures belong to the message and live as long as it does.
 *
 * Returns: the type; %GST_DISCORD_MESSAGE_NONE for messages of others
 * Since: 0.1
 */
GST_DISCORD_API
GstDiscordMessageType gst_discord_message_get_message_type(GstMessage* message);

/**
 * gst_discord_message_parse_session:
 * @message: a message
 * @state: (out) (optional) (transfer none): name of the state
 * @reason: (out) (optional) (transfer none): a sentence, may be empty
 *
 * Returns: %TRUE if @message is a `discord-session`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_session(GstMessage* message, const gchar** state,
                                           const gchar** reason);

/**
 * gst_discord_message_parse_speaking:
 * @message: a message
 * @ssrc: (out) (optional): SSRC
 * @user_id: (out) (optional): snowflake, 0 where no user is known
 * @speaking: (out) (optional): whether this is the beginning
 * @running_time: (out) (optional): when, or %GST_CLOCK_TIME_NONE
 *
 * Returns: %TRUE if @message is a `discord-speaking`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_speaking(GstMessage* message, guint32* ssrc, guint64* user_id,
                                            gboolean* speaking, GstClockTime* running_time);

/**
 * gst_discord_message_parse_user_joined:
 * @message: a message
 * @user_id: (out) (optional): snowflake
 *
 * Returns: %TRUE if @message is a `discord-user-joined`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_user_joined(GstMessage* message, guint64* user_id);

/**
 * gst_discord_message_parse_user_left:
 * @message: a message
 * @user_id: (out) (optional): snowflake
 *
 * Returns: %TRUE if @message is a `discord-user-left`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_user_left(GstMessage* message, guint64* user_id);

/**
 * gst_discord_message_parse_user_info:
 * @message: a message
 * @user_id: (out) (optional): snowflake
 * @platform: (out) (optional): 0 desktop, 1 mobile, 2 Xbox, 3 PlayStation; -1 when not told
 * @flags: (out) (optional): as Discord sends them; -1 when not told
 * @video: (out) (optional): 1 camera on, 0 off; -1 when not told
 *
 * Returns: %TRUE if @message is a `discord-user-info`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_user_info(GstMessage* message, guint64* user_id,
                                             gint64* platform, gint64* flags, gint* video);

/**
 * gst_discord_message_parse_e2ee:
 * @message: a message
 * @version: (out) (optional): of the protocol; 0 = the call is not end-to-end encrypted
 * @epoch: (out) (optional): MLS epoch; 0 = not in the group
 * @privacy_code: (out) (optional) (transfer none): 30 digits that all members share, or empty
 *
 * Returns: %TRUE if @message is a `discord-e2ee`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_e2ee(GstMessage* message, gint* version, guint64* epoch,
                                        const gchar** privacy_code);

/**
 * gst_discord_message_parse_worker:
 * @message: a message
 * @event: (out) (optional) (transfer none): `started`, `lost`, `replaced`, `left`, `skipped` or
 *     `muted`
 * @pid: (out) (optional): process id
 * @reason: (out) (optional) (transfer none): why, may be empty
 * @blamed: (out) (optional): whether a packet is to blame
 * @ssrc: (out) (optional): whose packet, 0 where none is
 *
 * Returns: %TRUE if @message is a `discord-worker`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_worker(GstMessage* message, const gchar** event, gint* pid,
                                          const gchar** reason, gboolean* blamed, guint32* ssrc);

/**
 * gst_discord_message_parse_file:
 * @message: a message
 * @path: (out) (optional) (transfer none): of the file
 * @user_id: (out) (optional): snowflake, 0 where no user is known
 * @duration: (out) (optional): length of the recording
 * @ledger: (out) (optional) (nullable) (transfer none): counters of this file
 *
 * Returns: %TRUE if @message is a `discord-file`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_file(GstMessage* message, const gchar** path, guint64* user_id,
                                        GstClockTime* duration, const GstStructure** ledger);

/**
 * gst_discord_message_parse_stats:
 * @message: a message
 * @stats: (out) (optional) (transfer none): the fields of the element's `stats` property
 *
 * Returns: %TRUE if @message is a `discord-stats`
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_message_parse_stats(GstMessage* message, const GstStructure** stats);

G_END_DECLS
