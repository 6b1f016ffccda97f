// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/structurejson.hpp"

#include <nlohmann/json.hpp>
#include <string_view>

namespace discord {

namespace {

using nlohmann::json;

// Discarded where there is nothing to say.
json json_of(const GValue* value, bool id) {
  if (G_VALUE_HOLDS_UINT64(value)) {
    const guint64 number = g_value_get_uint64(value);
    return id ? json(std::to_string(number)) : json(number);
  }
  if (G_VALUE_HOLDS_INT64(value)) {
    return g_value_get_int64(value);
  }
  if (G_VALUE_HOLDS_UINT(value)) {
    return g_value_get_uint(value);
  }
  if (G_VALUE_HOLDS_INT(value)) {
    return g_value_get_int(value);
  }
  if (G_VALUE_HOLDS_BOOLEAN(value)) {
    return g_value_get_boolean(value) != FALSE;
  }
  if (G_VALUE_HOLDS_DOUBLE(value)) {
    return g_value_get_double(value);
  }
  if (G_VALUE_HOLDS_STRING(value)) {
    const gchar* text = g_value_get_string(value);
    return text != nullptr ? json(text) : json();
  }
  if (GST_VALUE_HOLDS_STRUCTURE(value)) {
    return discord::json_of(gst_value_get_structure(value));
  }
  if (GST_VALUE_HOLDS_ARRAY(value)) {
    json list = json::array();
    for (guint i = 0; i < gst_value_array_get_size(value); i++) {
      list.push_back(json_of(gst_value_array_get_value(value, i), id));
    }
    return list;
  }
  return json(json::value_t::discarded);
}

}  // namespace

json json_of(const GstStructure* structure) {
  json out = json::object();
  for (gint i = 0; i < gst_structure_n_fields(structure); i++) {
    const gchar* name = gst_structure_nth_field_name(structure, static_cast<guint>(i));
    const std::string_view view = name;
    const bool id = view.size() >= 3 && view.substr(view.size() - 3) == "-id";
    json value = json_of(gst_structure_get_value(structure, name), id);
    if (!value.is_discarded()) {
      out[name] = std::move(value);
    }
  }
  return out;
}

}  // namespace discord
