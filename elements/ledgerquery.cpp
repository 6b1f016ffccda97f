// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/ledgerquery.hpp"

namespace discord {

namespace {

constexpr const char* query_name = "discord-ledgers";

}  // namespace

StructurePtr ask_for_ledgers(GstPad* sinkpad) {
  QueryPtr query(gst_query_new_custom(GST_QUERY_CUSTOM, gst_structure_new_empty(query_name)));
  gst_pad_peer_query(sinkpad, query.get());
  return StructurePtr(gst_structure_copy(gst_query_get_structure(query.get())));
}

bool answer_ledger_query(GstElement* element, GstPad* sinkpad, GstQuery* query) {
  if (GST_QUERY_TYPE(query) != GST_QUERY_CUSTOM ||
      !gst_structure_has_name(gst_query_get_structure(query), query_name)) {
    return false;
  }
  GstStructure* raw = nullptr;
  g_object_get(element, "stats", &raw, nullptr);
  const StructurePtr stats(raw);
  const GstElementFactory* factory = gst_element_get_factory(element);
  if (stats && factory != nullptr) {
    gst_structure_set(gst_query_writable_structure(query), GST_OBJECT_NAME(factory),
                      GST_TYPE_STRUCTURE, stats.get(), nullptr);
  }
  if (sinkpad != nullptr) {
    gst_pad_peer_query(sinkpad, query);
  }
  return true;
}

}  // namespace discord
