// SPDX-License-Identifier: LGPL-2.1-or-later
// Registers the elements, and does nothing else.
#include "config.h"
#include "elements/gstdiscorddecrypt.h"
#include "elements/gstdiscordreorder.h"
#include "elements/gstdiscordvoicesrc.h"

static gboolean plugin_init(GstPlugin* plugin) {
  gboolean ok = TRUE;
  ok &= GST_ELEMENT_REGISTER(discordvoicesrc, plugin);
  ok &= GST_ELEMENT_REGISTER(discorddecrypt, plugin);
  ok &= GST_ELEMENT_REGISTER(discordreorder, plugin);
  return ok;
}

#ifndef PACKAGE
#define PACKAGE PACKAGE_NAME
#endif
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, discord, "Receives Discord voice",
                  plugin_init, PACKAGE_VERSION, "LGPL", PACKAGE_NAME, PACKAGE_ORIGIN)
