/* gst-discord: what every public header needs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

/**
 * GST_DISCORD_API: (skip)
 *
 * Marks what the library exports. Everything else is hidden.
 */
#ifndef GST_DISCORD_API
#ifdef BUILDING_GST_DISCORD
#define GST_DISCORD_API GST_API_EXPORT
#else
#define GST_DISCORD_API GST_API_IMPORT
#endif
#endif
