/* gst-discord: the public API in one header
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/discord/discord-prelude.h>
#include <gst/discord/gstdiscordbottoken.h>
#include <gst/discord/gstdiscordmessages.h>
#include <gst/discord/gstdiscordsession.h>
#include <gst/discord/gstdiscordspeakermeta.h>
#include <gst/discord/gstdiscordtags.h>
