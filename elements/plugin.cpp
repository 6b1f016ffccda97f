// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin `discord`. It only registers: one line an element.
#include "config.h"

#include "elements/gstdiscorddecrypt.h"
#include "elements/gstdiscordmix.h"
#include "elements/gstdiscordrecordsink.h"
#include "elements/gstdiscordreorder.h"
#include "elements/gstdiscordssrcdemux.h"
#include "elements/gstdiscordutterances.h"
#include "elements/gstdiscordvoicebin.h"
#include "elements/gstdiscordvoicesrc.h"
#include "elements/gstdiscordworkerdec.h"

#define PACKAGE PACKAGE_NAME  // GST_PLUGIN_DEFINE wants the older name

static gboolean plugin_init(GstPlugin* plugin) {
  gboolean any = FALSE;
  any |= GST_ELEMENT_REGISTER(discordvoicesrc, plugin);
  any |= GST_ELEMENT_REGISTER(discordvoicebin, plugin);
  any |= GST_ELEMENT_REGISTER(discorddecrypt, plugin);
  any |= GST_ELEMENT_REGISTER(discordreorder, plugin);
  any |= GST_ELEMENT_REGISTER(discordssrcdemux, plugin);
  any |= GST_ELEMENT_REGISTER(discordrecordsink, plugin);
  any |= GST_ELEMENT_REGISTER(discordutterances, plugin);
  any |= GST_ELEMENT_REGISTER(discordworkerdec, plugin);
  any |= GST_ELEMENT_REGISTER(discordmix, plugin);
  return any;
}

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, discord, "Receives Discord voice",
                  plugin_init, PACKAGE_VERSION, "LGPL", PACKAGE_NAME, PACKAGE_ORIGIN)
